"""K: kinks of the term structure in variance time, with known events allowed for."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from argus_core.options.anomalies.flags import Flag, percent
from argus_core.options.anomalies.smooth import Series, predict_each
from argus_core.options.surface import SurfaceFit
from argus_core.settings.option_anomalies import KinkSettings

#: Prior sd of level and slope of ln volatility in ln time, of a known event (shares of the variance up to it).
_LEVEL, _SLOPE, _EVENT = 3.0, 1.0, 1.0
_LENGTHS = (0.5, 1.5)


def kink_flags(fit: SurfaceFit, settings: KinkSettings, vols: pl.DataFrame) -> list[Flag]:
    """Expiries whose at-the-money volatility (each fitted on its own) the others do not expect, and forward variances
    below zero.

    ln volatility over ln variance time: level, slope, one step per known event, and a smooth rest; the prediction of an
    expiry leaves it out. A known event adds the same total variance to every later expiry, so that no expiry after
    it is a kink for that.
    """
    rows = fit.slices.join(fit.apart.select("expiry_ts", apart_theta="theta", se="log_theta_se"), on="expiry_ts")
    rows = rows.filter(pl.col("t_var") > 0).sort("t_var", "expiry_ts")
    if rows.height < settings.min_expiries:
        return []
    theta, time, se, years = (rows[name].to_numpy() for name in ("apart_theta", "t_var", "se", "t_cal"))
    expiries = rows["expiry"].to_list()
    today = rows["recv_ts"][0].date()
    noise = np.sqrt((0.5 * se) ** 2 + settings.vol_floor**2)
    events = sorted(day for day in settings.events if today <= day <= max(expiries))
    steps = [[0.5 * (expiry >= day) * theta.min() / value for expiry, value in zip(expiries, theta, strict=True)]
             for day in events]  # fmt: skip
    x = np.log(time)
    y = 0.5 * np.log(theta / time)
    middle = float(np.median(y))
    basis = np.column_stack([np.ones_like(x), x - x.mean(), *(np.asarray(step) for step in steps)])
    prior = np.array([_LEVEL, _SLOPE, *([_EVENT * float(theta.max() / theta.min())] * len(steps))])
    series = Series(x, y - middle, noise, basis, prior, np.ones_like(x))
    (seen,) = predict_each([series], _LENGTHS)
    z = (y - middle - seen.mean) / np.sqrt(noise**2 + seen.variance)
    to_calendar = np.sqrt(time / years)
    flags = []
    for i in np.flatnonzero(np.abs(z) > settings.min_z):
        has, wants = np.exp(y[i]) * to_calendar[i], np.exp(seen.mean[i] + middle) * to_calendar[i]
        extra = max(theta[i] * (1.0 - (wants / has) ** 2), 0.0)
        event = f" An event by then worth {100 * np.sqrt(extra):.2f} % of the spot would explain it." if extra else ""
        flags.append(
            Flag(
                "kink",
                expiries[i],
                _near_money(vols, rows["expiry_ts"][int(i)]),
                float(z[i]),
                settings.min_z,
                _normal_p(float(z[i])),
                None,
                f"At-the-money volatility of {expiries[i]} is {percent(has)}, the other expiries say {percent(wants)} "
                f"(z {z[i]:.1f}).{event}",
            )
        )
    return flags + _negative_forwards(rows, theta, time, se, expiries, settings, vols)


def _negative_forwards(
    rows: pl.DataFrame,
    theta: np.ndarray,
    time: np.ndarray,
    se: np.ndarray,
    expiries: list[date],
    settings: KinkSettings,
    vols: pl.DataFrame,
) -> list[Flag]:
    flags = []
    error = np.hypot(se[1:] * theta[1:], se[:-1] * theta[:-1]) + settings.vol_floor * theta[:-1]
    drop = (theta[:-1] - theta[1:]) / error
    for i in np.flatnonzero(drop > settings.min_z):
        rate = (theta[i + 1] - theta[i]) / (time[i + 1] - time[i])
        flags.append(
            Flag(
                "kink",
                expiries[i + 1],
                _near_money(vols, rows["expiry_ts"][int(i)])[:1] + _near_money(vols, rows["expiry_ts"][int(i) + 1]),
                float(drop[i]),
                settings.min_z,
                _normal_p(float(drop[i])),
                None,
                f"Forward variance from {expiries[i]} to {expiries[i + 1]} is below zero ({rate:.4f} a year): the "
                "later expiry has less total variance at the money than the earlier one.",
            )
        )
    return flags


def _near_money(vols: pl.DataFrame, expiry_ts: object) -> tuple[str, ...]:
    """The two used contracts nearest to the forward."""
    near = vols.filter(pl.col("used") & (pl.col("expiry_ts") == expiry_ts)).sort(
        pl.col("log_moneyness").abs(), "contract"
    )
    return tuple(near["contract"].head(2).to_list())


def _normal_p(z: float) -> float:
    from scipy.special import ndtr

    return float(2.0 * ndtr(-abs(z)))
