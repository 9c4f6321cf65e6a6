"""Fit the eSSVI surface of one snapshot: frames in, frames out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.market.schemas import conform
from argus_core.options.schemas import SurfaceSlices
from argus_core.options.surface import solve
from argus_core.options.surface.arbitrage import durrleman
from argus_core.options.surface.solve import Loss, SliceData
from argus_core.options.surface.svi import RawSvi, fit_svi, svi
from argus_core.settings.option_surface import SurfaceSettings

Floats = NDArray[np.float64]

_DAYS = 365.0
_LEFT_OUT = {
    "expiry": pl.Date,
    "expiry_ts": pl.Datetime("us", "UTC"),
    "n_quotes": pl.Int32,
    "reason": pl.String,
}


@dataclass(frozen=True)
class SurfaceFit:
    """What `fit_surface` found.

    Attributes:
        slices: `SurfaceSlices`, ascending in time; empty where no expiry could be fitted.
        left_out: expiries without a slice, with ``n_quotes`` and the ``reason``.
        apart: theta, psi and rho of every slice on its own, before the conditions between slices, with the standard
            error of ln theta (``log_theta_se``); rows as in ``slices``.
        quotes: the quotes used: contract, expiry_ts, log_moneyness, the three volatilities, half_spread, iv_fit.
    """

    slices: pl.DataFrame
    left_out: pl.DataFrame
    apart: pl.DataFrame
    quotes: pl.DataFrame


def fit_surface(
    vols: pl.DataFrame, settings: SurfaceSettings | None = None, *, previous: pl.DataFrame | None = None
) -> SurfaceFit:
    """Fit one snapshot; free of static arbitrage by construction, whatever the quotes are.

    First every expiry alone (Levenberg-Marquardt on volatilities), then all together under the conditions of
    `argus_core.options.surface.ssvi`, so that one bad early expiry cannot lift all later ones, and last a pass from the
    nearest expiry to the furthest that makes each condition hold exactly. A chain that cannot be fitted gives no
    slices and reasons; nothing is raised for what a market quotes.

    Args:
        vols: `ImpliedVols` of one snapshot, any order; rows with ``used`` false are ignored.
        previous: `SurfaceSlices` of an earlier snapshot: where to start. It changes the time, not the answer.

    Raises:
        ValueError: if ``vols`` holds more than one snapshot.
    """
    settings = settings or SurfaceSettings()
    if vols.select("provider", "underlying", "recv_ts").n_unique() > 1:
        raise ValueError(
            "fit_surface takes one snapshot, found "
            f"{vols.select('provider', 'underlying', 'recv_ts').n_unique()} values of provider, underlying and "
            "recv_ts together. Split the frame with group_by first."
        )
    expiries, quotes = _usable(vols, settings)
    good = expiries.filter(pl.col("reason").is_null())
    left_out = expiries.filter(pl.col("reason").is_not_null()).select(
        "expiry", "expiry_ts", pl.col("n_quotes").cast(pl.Int32), "reason"
    )
    quotes = quotes.join(good.select("expiry_ts"), on="expiry_ts", how="semi", maintain_order="left")
    if good.is_empty():
        return SurfaceFit(SurfaceSlices.create_empty(), left_out, _apart(), quotes)
    data, row_of, column_of = _padded(quotes, good)
    loss = Loss(settings.loss, settings.huber)
    centre = solve.start(data)
    first = _warm(centre, good, previous)
    apart, apart_hessian = solve.fit_apart(data, loss, first, centre, settings.max_iterations)
    x, _ = solve.fit_together(data, loss, apart, centre, settings.max_rounds)
    slices = _rows(good, data, x, settings)
    iv_fit = solve.volatility(x, data)[0][row_of, column_of]
    theta, psi, rho = solve.parameters(apart)
    error = np.sqrt(np.linalg.inv(apart_hessian + 1e-12 * np.eye(3))[:, 0, 0])
    return SurfaceFit(
        slices,
        left_out,
        _apart(good["expiry_ts"], theta, psi, rho, error),
        quotes.with_columns(iv_fit=pl.Series(iv_fit)),
    )


def _usable(vols: pl.DataFrame, settings: SurfaceSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row per expiry with a reason where it is left out, and the quotes that can be fitted, sorted."""
    snapshot = ("provider", "underlying", "recv_ts")
    expiries = (
        vols.group_by("expiry", "expiry_ts")
        .agg(
            pl.col(*snapshot, "t_cal", "t_var", "forward", "discount").sort_by("contract").first(),
            quoted=pl.len(),
        )
        .sort("t_cal", "expiry_ts")
    )
    half = 0.5 * (pl.col("iv_ask") - pl.col("iv_bid"))
    spread_known = half.is_finite() & (half > 0)
    quotes = (
        vols.filter(pl.col("used"))
        .with_columns(pl.col("log_moneyness", "iv_bid", "iv_mid", "iv_ask", "iv_se").fill_nan(None))
        .filter(
            pl.col("log_moneyness").is_finite()
            & pl.col("iv_mid").is_between(1e-4, 20.0)
            & (pl.col("t_cal") > 0)
            & pl.col("forward").is_finite()
        )
        .with_columns(
            half_spread=pl.when(spread_known).then(half).otherwise(pl.col("iv_se") * np.sqrt(3.0)).fill_null(0.0)
        )
        .with_columns(unit=_unit(settings))
        .select(
            "contract",
            "expiry",
            "expiry_ts",
            "strike",
            "right",
            "t_cal",
            "log_moneyness",
            "iv_bid",
            "iv_mid",
            "iv_ask",
            "iv_se",
            "half_spread",
            "unit",
        )
        .sort("t_cal", "expiry_ts", "strike", "right", "contract")
    )
    quotes = quotes.filter(
        pl.col("log_moneyness").abs()
        <= settings.max_deviations * (_near_iv() * pl.col("t_cal").sqrt()).over("expiry_ts")
    )
    counts = quotes.group_by("expiry_ts").agg(n_quotes=pl.len(), strikes=pl.col("strike").n_unique())
    expiries = expiries.join(counts, on="expiry_ts", how="left", maintain_order="left").with_columns(
        pl.col("n_quotes", "strikes").fill_null(0)
    )
    reason = (
        pl.when(~(pl.col("t_cal") > 0))
        .then(pl.lit("expired"))
        .when(pl.col("t_cal") * _DAYS < settings.min_days)
        .then(pl.lit(f"nearer than {settings.min_days:g} days"))
        .when(~pl.col("forward").is_finite().fill_null(value=False) | ~(pl.col("forward") > 0))
        .then(pl.lit("no forward"))
        .when(pl.col("strikes") < settings.min_quotes)
        .then(
            pl.format(
                "{} usable strikes of {} quotes, at least {} are needed", "strikes", "quoted", settings.min_quotes
            )
        )
    )
    return expiries.with_columns(reason=reason), quotes


def _unit(settings: SurfaceSettings) -> pl.Expr:
    """Unit of misfit: at least the floor."""
    wanted = pl.col("half_spread") if settings.weight == "half_spread" else pl.col("iv_se")
    return pl.max_horizontal(wanted.fill_null(pl.col("half_spread")), pl.lit(settings.vol_floor))


def _near_iv() -> pl.Expr:
    """Median volatility of the three quotes nearest to the forward."""
    nearest = pl.col("log_moneyness").abs().arg_sort().head(3)
    return pl.col("iv_mid").gather(nearest).median()


def _padded(quotes: pl.DataFrame, good: pl.DataFrame) -> tuple[SliceData, NDArray[np.intp], NDArray[np.intp]]:
    """Rectangles of the quotes, with the row and column of every quote."""
    counts = good["n_quotes"].to_numpy().astype(np.intp)
    row_of = np.repeat(np.arange(len(counts)), counts)
    column_of = np.arange(len(row_of)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (len(counts), int(counts.max()))

    def filled(values: Floats, padding: float) -> Floats:
        result = np.full(shape, padding)
        result[row_of, column_of] = values
        return result

    iv = quotes["iv_mid"].to_numpy()
    bid = quotes["iv_bid"].fill_null(0.0).to_numpy()
    ask = quotes["iv_ask"].fill_null(np.inf).to_numpy()
    data = SliceData(
        k=filled(quotes["log_moneyness"].to_numpy(), 0.0),
        iv=filled(iv, 0.2),
        bid=filled(bid, 0.0),
        ask=filled(ask, np.inf),
        weight=filled(1.0 / quotes["unit"].to_numpy(), 0.0),
        years=good["t_cal"].to_numpy().astype(float),
    )
    return data, row_of, column_of


def _warm(centre: Floats, good: pl.DataFrame, previous: pl.DataFrame | None) -> Floats:
    """Start at the previous snapshot's slice of the same expiry, with theta from today's quotes."""
    if previous is None or previous.is_empty():
        return centre
    known = good.select("expiry_ts").join(
        previous.select("expiry_ts", "psi", "rho"), on="expiry_ts", how="left", maintain_order="left"
    )
    psi, rho = (known[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("psi", "rho"))
    usable = (psi > 0) & (np.abs(rho) < 1)
    if not usable.any():
        return centre
    first = centre.copy()
    first[usable] = solve.unknowns(np.exp(centre[usable, 0]), psi[usable], rho[usable])
    return first


def _rows(good: pl.DataFrame, data: SliceData, x: Floats, settings: SurfaceSettings) -> pl.DataFrame:
    """`SurfaceSlices` of fitted unknowns."""
    theta, psi, rho = solve.parameters(x)
    iv, _ = solve.volatility(x, data)
    real = data.weight > 0
    count = real.sum(axis=1)
    miss = np.where(real, iv - data.iv, 0.0)
    half = 0.5 * (data.ask - data.bid)
    half = np.where(np.isfinite(half) & (half > 0), half, settings.vol_floor)
    inside = real & (iv >= data.bid) & (iv <= data.ask)
    atm = np.sqrt(theta / data.years)
    columns: dict[str, Floats | NDArray[np.intp]] = {
        "theta": theta,
        "psi": psi,
        "rho": rho,
        "n_quotes": count,
        "k_min": np.where(real, data.k, np.inf).min(axis=1),
        "k_max": np.where(real, data.k, -np.inf).max(axis=1),
        "atm_iv": atm,
        "skew": rho * psi / (2.0 * atm * data.years),
        "rmse_iv": np.sqrt((miss**2).sum(axis=1) / count),
        "rmse_half_spreads": np.sqrt(((miss / half) ** 2).sum(axis=1) / count),
        "inside_share": inside.sum(axis=1) / count,
        **_diagnosis(data, theta, psi, rho, settings),
    }
    frame = good.with_columns(pl.Series(name, values) for name, values in columns.items())
    return conform(frame.with_columns(pl.col("^svi_.*$").fill_nan(None)), SurfaceSlices)


def _diagnosis(
    data: SliceData, theta: Floats, psi: Floats, rho: Floats, settings: SurfaceSettings
) -> dict[str, Floats]:
    """Raw SVI slices beside the fit, started at the same shape; NaN where there are none."""
    n = len(theta)
    if not settings.diagnose_svi:
        return {f"svi_{name}": np.full(n, np.nan) for name in (*RawSvi._fields, "rmse_iv", "min_g")}
    total = data.iv**2 * data.years[:, None]
    weight = data.weight / (2.0 * data.iv * data.years[:, None])
    phi = psi / theta
    raw = fit_svi(data.k, total, weight, (-rho / phi, np.sqrt(1.0 - rho**2) / phi))
    column = RawSvi(*(np.asarray(value)[:, None] for value in raw))
    with np.errstate(invalid="ignore"):
        iv = np.sqrt(np.maximum(svi(data.k, column).value, 0.0) / data.years[:, None])
        real = data.weight > 0
        rmse = np.sqrt((np.where(real, iv - data.iv, 0.0) ** 2).sum(axis=1) / real.sum(axis=1))
        k = np.sqrt(theta)[:, None] * np.linspace(-settings.grid_deviations, settings.grid_deviations, 201)
        variance = svi(k, column)
        g = np.where(variance.value > 0, durrleman(k, variance), -np.inf)
        smallest = np.where(np.isfinite(rmse), np.maximum(g.min(axis=1), -1e6), np.nan)
    return {
        **{f"svi_{name}": np.asarray(value) for name, value in zip(RawSvi._fields, raw, strict=True)},
        "svi_rmse_iv": rmse,
        "svi_min_g": smallest,
    }


def _apart(
    expiry_ts: pl.Series | None = None,
    theta: Floats | None = None,
    psi: Floats | None = None,
    rho: Floats | None = None,
    log_theta_se: Floats | None = None,
) -> pl.DataFrame:
    schema = {"expiry_ts": pl.Datetime("us", "UTC")} | dict.fromkeys(
        ("theta", "psi", "rho", "log_theta_se"), pl.Float64
    )
    columns = (expiry_ts, theta, psi, rho, log_theta_se)
    return pl.DataFrame(
        {name: [] if value is None else value for name, value in zip(schema, columns, strict=True)}, schema=schema
    )
