"""Variance risk premium: implied less expected realised variance, both totals over one and the same window.

Implied side, first usable of: the model-free strip, twice the integral of OTM(K)/K^2 over K (Carr and Madan 1998;
Britten-Jones and Neuberger, Journal of Finance 55, 2000), over volatilities interpolated between clean out-of-the-money
quotes (Jiang and Tian, Review of Financial Studies 18, 2005); the expected variance of a Heston fit; the volatility at
the forward. Realised side: the forecast of `argus_core.features.realised_sessions` times the sessions inside the
window. Annualised volatilities of 365 and 252 days are never subtracted from each other.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import to_us
from argus_core.market.schemas import conform, empty
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.normalised_black import evaluate
from argus_core.options.schemas import Snapshot
from argus_core.packs.join import as_of_join
from argus_core.settings.realised_volatility import VariancePremiumSettings

Floats = NDArray[np.float64]

_YEAR_DAYS = 365.0
_WING, _NODES = 10.0, 8
_KEY = ["provider", "underlying", "recv_ts"]


class VariancePremiums(Snapshot):
    """One row per snapshot. Variances are totals over ``horizon_days``; volatilities their annualised roots (365 days).

    Nothing in a row rests on what was received after ``recv_ts``.
    """

    horizon_days = dy.Float64(nullable=False)
    sessions = dy.Int32(nullable=True)  # closes inside the window
    implied_variance = dy.Float64(nullable=True)
    implied_by = dy.String(nullable=True)  # strip, heston or atm
    realised_variance = dy.Float64(nullable=True)  # expected
    realised_by = dy.String(nullable=True)  # har or window
    realised_available_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=True)
    premium = dy.Float64(nullable=True)
    implied_vol = dy.Float64(nullable=True)
    realised_vol = dy.Float64(nullable=True)
    reason = dy.String(nullable=True)  # why there is no premium; null: there is one


def strip_variance(log_moneyness: Floats, iv: Floats, years: float) -> float:
    """Total variance that the whole smile pays for: -2 E[ln(S_T/F)] of its density, without a model.

    The volatility is linear in ln(K/F) between quotes and flat beyond the last ones.

    Args:
        log_moneyness: ln(K/F), shape (n,), ascending and different.
        iv: volatilities, fractions, shape (n,).
        years: time to expiry.
    """
    root = float(np.sqrt(years))
    low, high = -_WING * iv[0] * root, _WING * iv[-1] * root
    wings = np.concatenate([np.linspace(low, 0.0, 41), np.linspace(0.0, high, 41)[1:]])
    inside = log_moneyness[(log_moneyness > low) & (log_moneyness < high)]
    edges = np.unique(np.concatenate([wings, inside]))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = 0.5 * np.diff(edges)
    k = (edges[:-1] + half)[:, None] + half[:, None] * nodes
    s = np.interp(k, log_moneyness, iv) * root
    with np.errstate(under="ignore"):
        integrand = np.exp(-0.5 * k) * evaluate(np, -np.abs(k), s)[0]
    return float(2.0 * np.sum(integrand * weights * half[:, None]))


def variance_premiums(
    implied_vols: pl.DataFrame,
    realised: pl.DataFrame,
    calendar: TradingCalendar,
    settings: VariancePremiumSettings,
    *,
    heston: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """`VariancePremiums` of every snapshot.

    Args:
        implied_vols: rows of `ImpliedVols` of one underlying; those with ``used`` count.
        realised: `realised_features` of the same underlying.
        heston: rows of `HestonFits`; each serves the snapshot that it was fitted to.

    Returns:
        One row per snapshot, ascending; where a side is missing, the other one and a reason.
    """
    if implied_vols.is_empty():
        return empty(VariancePremiums)
    fits = {} if heston is None else {tuple(row[name] for name in _KEY): row for row in heston.to_dicts()}
    rows = []
    for key, part in implied_vols.sort(*_KEY, "expiry_ts", "strike").group_by(_KEY, maintain_order=True):
        moment: datetime = key[2]  # type: ignore[assignment]
        variance, source = _implied(part, fits.get(key), settings)
        rows.append(
            dict(zip(_KEY, key, strict=True))
            | {
                "sessions": _sessions_within(calendar, moment, settings.horizon_days),
                "implied_variance": variance,
                "implied_by": source,
            }
        )
    schema = VariancePremiums.create_empty().schema
    frame = pl.DataFrame(rows, schema={name: schema[name] for name in rows[0]}, orient="row")
    side = realised.select("available_at", "expected_variance", "expected_by", age="available_at")
    frame = as_of_join(
        frame,
        side,
        {"expected_variance": "per_session", "expected_by": "realised_by", "age": "realised_available_at"},
        left_on="recv_ts",
    )
    return conform(_judged(frame, settings), VariancePremiums)


def _judged(frame: pl.DataFrame, settings: VariancePremiumSettings) -> pl.DataFrame:
    """Both sides, their difference, and why there is none."""
    per_year = _YEAR_DAYS / settings.horizon_days
    age = pl.col("recv_ts") - pl.col("realised_available_at")
    stale = age > pl.duration(seconds=round(settings.max_realised_age_days * 86_400))
    reason = (
        pl.when(pl.col("implied_variance").is_null())
        .then(pl.lit("no implied variance: no expiry near the horizon has enough clean quotes"))
        .when(pl.col("sessions").is_null())
        .then(pl.lit("the window leaves the calendar's table"))
        .when(pl.col("realised_available_at").is_null())
        .then(pl.lit("no realised volatility was available yet"))
        .when(stale)
        .then(pl.lit("realised volatility is stale"))
        .when(pl.col("per_session").is_null())
        .then(pl.lit("no forecast of realised variance: too few clean sessions"))
    )
    frame = frame.with_columns(
        horizon_days=pl.lit(settings.horizon_days),
        realised_variance=pl.when(~stale).then(pl.col("per_session") * pl.col("sessions")),
        reason=reason,
    ).with_columns(realised_by=pl.when(pl.col("realised_variance").is_not_null()).then("realised_by"))
    return frame.with_columns(
        premium=pl.col("implied_variance") - pl.col("realised_variance"),
        implied_vol=(pl.col("implied_variance") * per_year).sqrt(),
        realised_vol=(pl.col("realised_variance") * per_year).sqrt(),
    )


def _implied(
    part: pl.DataFrame, fit: dict[str, Any] | None, settings: VariancePremiumSettings
) -> tuple[float | None, str | None]:
    """(total variance over the horizon, source) of one snapshot."""
    years = settings.horizon_days / _YEAR_DAYS
    clean = part.filter("used", pl.col("iv_mid") > 0, pl.col("t_cal") >= settings.min_days / _YEAR_DAYS)
    clean = clean.filter(pl.col("log_moneyness").is_not_null())
    for source in settings.implied:
        if source == "heston":
            if fit is not None and fit["converged"]:
                parameters = HestonParameters(*(fit[name] for name in HestonParameters._fields))
                return parameters.expected_variance(years) * years, source
            continue
        points = []
        for group in clean.partition_by("expiry_ts", maintain_order=True):
            # A put and a call at the forward itself are one point.
            group = group.group_by("log_moneyness").agg(pl.col("iv_mid").mean(), pl.col("t_cal").first())
            group = group.sort("log_moneyness")
            t = float(group["t_cal"][0])
            k, iv = group["log_moneyness"].to_numpy(), group["iv_mid"].to_numpy()
            variance = (_strip if source == "strip" else _at_the_money)(k, iv, t, settings)
            if variance is not None:
                points.append((t, variance))
        variance = _at_horizon(points, years, settings.max_extrapolation)
        if variance is not None:
            return variance, source
    return None, None


def _strip(k: Floats, iv: Floats, t: float, settings: VariancePremiumSettings) -> float | None:
    reach = settings.min_reach * float(np.interp(0.0, k, iv)) * np.sqrt(t)
    if len(k) < settings.min_quotes or k[0] > -reach or k[-1] < reach:
        return None
    return strip_variance(k, iv, t)


def _at_the_money(k: Floats, iv: Floats, t: float, settings: VariancePremiumSettings) -> float | None:
    """Variance at the forward, between the strikes around it; of the nearest one where all lie on one side."""
    nearest = int(np.argmin(np.abs(k)))
    if abs(k[nearest]) > settings.max_atm_distance * iv[nearest] * np.sqrt(t):
        return None
    return float(np.interp(0.0, k, iv)) ** 2 * t


def _at_horizon(points: list[tuple[float, float]], years: float, reach: float) -> float | None:
    """Total variance at ``years``: linear in time between expiries, at the nearest one's volatility beyond them."""
    if not points:
        return None
    times, variances = (np.array(column) for column in zip(*sorted(points), strict=True))
    if years < times[0]:
        return float(variances[0] * years / times[0]) if times[0] <= reach * years else None
    if years > times[-1]:
        return float(variances[-1] * years / times[-1]) if years <= reach * times[-1] else None
    return float(np.interp(years, times, variances))


def _sessions_within(calendar: TradingCalendar, moment: datetime, days: float) -> int | None:
    """Session closes after ``moment`` and not after ``moment`` + ``days``; None where the table ends before."""
    closes = calendar.sessions["close_ts"].dt.timestamp("us").to_numpy()
    start, stop = to_us(moment), to_us(moment + timedelta(days=days))
    if stop > closes[-1] or start < closes[0]:
        return None
    return int(np.searchsorted(closes, stop, side="right") - np.searchsorted(closes, start, side="right"))
