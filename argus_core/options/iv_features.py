"""What a chain says about volatility, as features of a decision: one row per snapshot, known from its receipt on.

Level, skew and curvature at constant maturities come from the surface without static arbitrage; the variance premium
from the quotes themselves (`argus_core.options.premium`).
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.features.realised_sessions import SESSION_SCHEMA, realised_features, session_variances
from argus_core.market.schemas import conform, empty
from argus_core.options.anomalies.history import surface_features
from argus_core.options.forwards import forwards_of
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.premium import variance_premiums
from argus_core.options.schemas import IvFeatures
from argus_core.options.snapshots import chosen_snapshots
from argus_core.options.surface import Surface
from argus_core.options.surface.snapshots import fit_surfaces
from argus_core.settings import Instrument
from argus_core.settings.iv_features import IvFeatureSettings
from argus_core.settings.options import OptionSettings

#: Constant maturities, calendar days; columns are named after them.
MATURITIES = (30, 60)
_NAMES = {"atm": "iv", "rr25": "iv_rr25", "bf25": "iv_bf25"}
_STEP = 1e-3
_YEAR_DAYS = 365.0


def iv_features_of(
    implied_vols: pl.DataFrame,
    slices: pl.DataFrame,
    sessions: pl.DataFrame,
    calendar: TradingCalendar,
    settings: IvFeatureSettings,
) -> pl.DataFrame:
    """`IvFeatures` of every snapshot in ``implied_vols``.

    Args:
        implied_vols: rows of `ImpliedVols` of one underlying.
        slices: `SurfaceSlices` of the same snapshots; one that has none gets nulls and the reason.
        sessions: `session_variances` of the underlying. All of them enter the forecast, so for a row that is the same
            whatever else is computed give the ``history_sessions`` that end with the day of the snapshots.

    Returns:
        One row per snapshot, ascending. Nothing in it rests on what was received after ``recv_ts``: of the sessions,
        those that were published by then count.
    """
    if implied_vols.is_empty():
        return empty(IvFeatures)
    realised = realised_features(sessions, settings.realised)
    premiums = variance_premiums(implied_vols, realised, calendar, settings.premium)
    smile = surface_features(slices, MATURITIES).rename(
        {f"{old}_{days}": f"{new}_{days}" for old, new in _NAMES.items() for days in MATURITIES}
    )
    per_year = _YEAR_DAYS / settings.premium.horizon_days
    strip = pl.when(pl.col("implied_by") == "strip").then(pl.col("implied_variance") * per_year)
    no_surface = pl.when(pl.col("n_expiries").is_null()).then(pl.lit("no surface: no expiry has enough clean quotes"))
    out_of_reach = pl.when(pl.col("iv_30").is_null() | pl.col("iv_60").is_null()).then(
        pl.lit("the expiries do not reach both maturities")
    )
    frame = (
        premiums.join(smile, on="recv_ts", how="left", maintain_order="left")
        .join(_skews(slices), on="recv_ts", how="left", maintain_order="left")
        .with_columns(
            available_at=pl.col("recv_ts"),
            iv_skew_30=pl.when(pl.col("iv_30").is_not_null()).then("iv_skew_30"),
            iv_term_slope=pl.col("iv_60") - pl.col("iv_30"),
            iv_strip_variance_30=strip,
            expected_vol_30=pl.col("realised_vol"),
            variance_premium_30=pl.col("premium") * per_year,
            vol_premium_30=pl.col("implied_vol") - pl.col("realised_vol"),
            reason=pl.concat_str(
                pl.coalesce(no_surface, out_of_reach), pl.col("reason"), separator="; ", ignore_nulls=True
            ).replace("", None),
        )
        .with_columns(pl.col("n_expiries").fill_null(0))
    )
    return conform(frame, IvFeatures)


def iv_features_of_chain(
    quotes: pl.DataFrame,
    bars: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    settings: OptionSettings,
    day: date,
    *,
    carry_seconds: int = 0,
) -> pl.DataFrame:
    """`IvFeatures` of one trade date straight from its quotes, by the same steps as the tables of the lake.

    Args:
        quotes: rows of `OptionQuotes` of ``day``.
        bars: published bars up to ``day``; the newest ``history_sessions`` of them count. Empty: no realised side.
        carry_seconds: of a feed of changes (`chosen_snapshots`).
    """
    chosen = chosen_snapshots(quotes, per_day=settings.snapshots.per_day, carry_seconds=carry_seconds)
    forwards = forwards_of(chosen, instrument, calendar, settings.chains)
    vols = implied_vols_of(chosen, forwards, instrument, calendar, settings.chains)
    sessions = history_of(bars, instrument, calendar, settings.features, day)
    return iv_features_of(vols, fit_surfaces(vols, settings.surface), sessions, calendar, settings.features)


def history_of(
    bars: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar, settings: IvFeatureSettings, day: date
) -> pl.DataFrame:
    """`session_variances` of the ``history_sessions`` that end with ``day``."""
    days = calendar.last_sessions(day, settings.history_sessions)
    if bars.height:
        bars = bars.filter(pl.col("trade_date").is_in(pl.Series(days, dtype=pl.Date).implode()))
    return sessions_of(bars, instrument, calendar, settings)


def sessions_of(
    bars: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar, settings: IvFeatureSettings
) -> pl.DataFrame:
    """`session_variances`; of no bars, none."""
    if bars.is_empty():
        return pl.DataFrame(schema=SESSION_SCHEMA)
    return session_variances(bars, instrument, calendar, settings.realised)


def _skews(slices: pl.DataFrame) -> pl.DataFrame:
    """recv_ts, expiries of the surface, and d iv / d k at the forward at the first maturity."""
    years = MATURITIES[0] / _YEAR_DAYS
    rows = []
    for part in slices.partition_by("recv_ts", maintain_order=True) if slices.height else ():
        surface = Surface.of(part)
        low, high = surface.iv(np.array([-_STEP, _STEP]), years)
        rows.append((part["recv_ts"][0], part.height, float(high - low) / (2 * _STEP)))
    schema = {"recv_ts": pl.Datetime("us", "UTC"), "n_expiries": pl.Int32, "iv_skew_30": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")
