"""H: the surface against its own past: level, skew and curvature of the smile at constant maturities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.anomalies.flags import Flag, percent
from argus_core.options.surface import Surface
from argus_core.settings.option_anomalies import HistorySettings

Floats = NDArray[np.float64]

_NAMES = ("atm", "rr25", "bf25")
_WORDS = {"atm": "at-the-money volatility", "rr25": "25-delta risk reversal", "bf25": "25-delta butterfly"}
#: A maturity is read off only from half the first to twice the last expiry.
_BEYOND = 2.0


def surface_features(slices: pl.DataFrame, days: tuple[int, ...]) -> pl.DataFrame:
    """One row per snapshot: columns atm_30, rr25_30, bf25_30 ... as volatilities; null where expiries do not reach.

    rr25 = iv(25-delta call) - iv(25-delta put), bf25 = their mean - atm; delta of the forward, N(d1).

    Args:
        slices: `SurfaceSlices` of any number of snapshots of one underlying.
    """
    rows = []
    for part in slices.sort("recv_ts", "t_cal").partition_by("recv_ts", maintain_order=True):
        surface = Surface.of(part)
        row: dict[str, object] = {"recv_ts": part["recv_ts"][0]}
        for count in days:
            years = count / 365.0
            known = surface.years[0] / _BEYOND <= years <= surface.years[-1] * _BEYOND
            values = _smile(surface, years) if known else (None, None, None)
            row |= {f"{name}_{count}": value for name, value in zip(_NAMES, values, strict=True)}
        rows.append(row)
    schema = {"recv_ts": pl.Datetime("us", "UTC")} | {
        f"{name}_{count}": pl.Float64 for count in days for name in _NAMES
    }
    return pl.DataFrame(rows, schema=schema)


def _smile(surface: Surface, years: float) -> tuple[float, float, float]:
    """(atm, rr25, bf25); the strikes by fixed-point iteration on delta."""
    from scipy.special import ndtri

    quantile = float(ndtri(0.75))
    atm = float(surface.iv(0.0, years))
    wings = []
    for sign in (1.0, -1.0):
        iv = atm
        for _ in range(60):
            total = iv * np.sqrt(years)
            now = float(surface.iv(sign * quantile * total + 0.5 * total * total, years))
            if abs(now - iv) < 1e-13:
                break
            iv = now
        wings.append(iv)
    return atm, wings[0] - wings[1], 0.5 * (wings[0] + wings[1]) - atm


@dataclass(frozen=True)
class Multivariate:
    """A vector against its past: Hotelling's T^2 and the residual outside the principal components, with p-values."""

    t2: float
    t2_p: float
    q: float
    q_p: float


def history_flags(now: pl.DataFrame, history: pl.DataFrame, settings: HistorySettings) -> list[Flag]:
    """Flags of one snapshot's surface.

    Args:
        now: `SurfaceSlices` of the snapshot.
        history: `SurfaceSlices` of other snapshots; only those received before ``now`` and within
            ``time_of_day_minutes`` of the same time of day (UTC) count, the last ``window`` of them.
    """
    if now.is_empty() or history.is_empty():
        return []
    moment = now["recv_ts"][0]
    minutes = pl.col("recv_ts").dt.hour().cast(pl.Int32) * 60 + pl.col("recv_ts").dt.minute().cast(pl.Int32)
    apart = (minutes - (moment.hour * 60 + moment.minute)).abs()
    near = pl.min_horizontal(apart, 1440 - apart) <= settings.time_of_day_minutes
    past = history.filter((pl.col("recv_ts") < moment) & near)
    times = past["recv_ts"].unique().sort().tail(settings.window)
    if len(times) < settings.min_snapshots:
        return []
    earlier = surface_features(past.filter(pl.col("recv_ts").is_in(times.implode())), settings.days)
    today = surface_features(now, settings.days)
    names = [name for name in today.columns if name != "recv_ts" and today[name][0] is not None]
    flags, kept, scaled, point = [], [], [], []
    for name in names:
        values = earlier[name].drop_nulls().to_numpy()
        if len(values) < settings.min_snapshots:
            continue
        x = float(today[name][0])
        median = float(np.median(values))
        spread = max(1.4826 * float(np.median(np.abs(values - median))), 1e-6)
        z = (x - median) / spread
        p_value = _robust_p(z, len(values))
        if p_value < settings.max_p:
            flags.append(_one(name, x, median, z, p_value, settings))
        kept.append(name)
        scaled.append((earlier[name].cast(pl.Float64).fill_null(np.nan).to_numpy() - median) / spread)
        point.append(z)
    if len(kept) < 2:
        return flags
    matrix = np.column_stack(scaled)
    matrix = matrix[np.isfinite(matrix).all(axis=1)]
    if len(matrix) < max(settings.min_snapshots, 2 * len(kept)):
        return flags
    found = against_past(matrix, np.array(point), settings.explained)
    for label, value, p_value, words in (
        ("T2", found.t2, found.t2_p, "together they are unusual, though each alone may not be"),
        ("Q", found.q, found.q_p, "they moved against each other in a way that the past does not know"),
    ):
        if p_value < settings.max_p:
            flags.append(
                Flag(
                    "history",
                    None,
                    (f"surface {label}",),
                    value,
                    settings.max_p,
                    p_value,
                    None,
                    f"{len(kept)} features of the surface against {len(matrix)} earlier snapshots: {words} "
                    f"({label} {value:.1f}, p {p_value:.1e}).",
                )
            )
    return flags


def _one(name: str, x: float, median: float, z: float, p_value: float, settings: HistorySettings) -> Flag:
    kind, days = name.split("_")
    return Flag(
        "history",
        None,
        (f"{kind} {days}d",),
        z,
        settings.max_p,
        p_value,
        None,
        f"{days}-day {_WORDS[kind]} is {percent(x)}, its median over earlier snapshots at this hour {percent(median)} "
        f"(robust z {z:.1f}).",
    )


def _robust_p(z: float, n: int) -> float:
    """Two-sided p-value of a robust z: Student's t with the degrees of freedom that a median absolute deviation of n
    values is worth, 37 % of them (its efficiency at the normal law)."""
    from scipy.special import stdtr

    return float(2.0 * stdtr(max(0.37 * (n - 1), 1.0), -abs(z)))


def shrunk_covariance(values: Floats) -> Floats:
    """Covariance shrunk towards its mean variance (Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004).

    Args:
        values: shape (n, p).
    """
    n, p = values.shape
    centred = values - values.mean(axis=0)
    sample = centred.T @ centred / n
    mean = np.trace(sample) / p
    apart = ((sample - mean * np.eye(p)) ** 2).sum() / p
    squares = centred**2
    noise = ((squares.T @ squares) / n - sample**2).sum() / (n * p)
    share = min(max(noise, 0.0), apart) / apart if apart > 0 else 0.0
    return share * mean * np.eye(p) + (1.0 - share) * sample


def against_past(past: Floats, point: Floats, explained: float) -> Multivariate:
    """T^2 of a new point (Hotelling 1931, F law) and its squared distance Q from the subspace of the leading
    principal components (Jackson and Mudholkar 1979). The p-value of Q is Box's scaled chi-square over the sampling
    of the variances it is measured by: an F law of first^2 / second and n - p degrees of freedom.

    Args:
        past: shape (n, p), n > p + 1.
        point: shape (p,).
        explained: share of variance that the leading components keep.
    """
    from scipy.special import fdtrc

    n, p = past.shape
    centre = past.mean(axis=0)
    covariance = shrunk_covariance(past) * n / (n - 1)
    off = point - centre
    t2 = float(n / (n + 1) * off @ np.linalg.solve(covariance, off))
    t2_p = float(fdtrc(p, n - p, t2 * (n - p) / (p * (n - 1))))
    # Shrinking lifts the small variances, which are what Q is made of: the sample's own serve it.
    values, vectors = np.linalg.eigh(np.cov(past, rowvar=False))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = min(int(np.searchsorted(np.cumsum(values) / values.sum(), explained) + 1), p - 1)
    rest = vectors[:, kept:].T @ off
    q = float(n / (n + 1) * rest @ rest)
    first, second = values[kept:].sum(), (values[kept:] ** 2).sum()
    q_p = float(fdtrc(first**2 / second, n - p, q / first))
    return Multivariate(t2, t2_p, q, q_p)
