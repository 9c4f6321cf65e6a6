"""Realised volatility as features: one row per finished session, usable only from its ``available_at``.

Bars become sessions (`session_variances`), sessions become rolling volatilities and a forecast (`realised_features`).
Join the result to decisions with `argus_core.packs.join.as_of_join`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import to_us
from argus_core.features.realised import (
    ESTIMATORS,
    SHORT_WINDOW,
    LogBars,
    garman_klass_terms,
    har_forecast,
    intraday_variance,
    log_bars,
    rolling_reasons,
    rolling_variance,
    trailing_mean,
)
from argus_core.market.schemas import UTC_US
from argus_core.settings import Instrument
from argus_core.settings.realised_volatility import RealisedVolatilitySettings

_FLOATS = ("open", "high", "low", "close", "rv", "bipower", "median_rv", "minimum_rv", "jump_share")
SESSION_SCHEMA: dict[str, Any] = {
    "trade_date": pl.Date,
    "available_at": UTC_US,
    **dict.fromkeys(_FLOATS, pl.Float64),
    "intraday_reason": pl.String,
}
THIN = "fewer intervals with a bar than min_completeness asks"
WILD_NIGHT = "a night in the window moved by more than max_night: an unadjusted split, or a bad price"
NO_INTRADAY = "bars are longer than half a session"


def session_variances(
    bars: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar, settings: RealisedVolatilitySettings
) -> pl.DataFrame:
    """One row per session whose last interval has a bar: an unfinished one has no row.

    Args:
        bars: rows of `Bars` of one symbol and bar length, split-adjusted. Outside regular hours they are left out,
            unless the instrument trades around the clock.

    Returns:
        `SESSION_SCHEMA`: prices of the session; sums over its ``bar_minutes`` returns, the first from the open (an
        interval without a bar repeats the last price), null with ``intraday_reason`` where there are too few.

    Raises:
        ValueError: if ``bars`` hold more than one symbol.
    """
    if bars["symbol"].n_unique() > 1:
        raise ValueError(f"bars: one symbol at a time, found {bars['symbol'].unique().sort().to_list()}.")
    whole_day = instrument.hours == "always"
    if instrument.bar_seconds < 86_400 and not whole_day:
        bars = bars.filter(pl.col("session") == "RTH")
    rows = [
        _session(day[0], part, instrument, calendar, settings)
        for day, part in bars.sort("ts").group_by("trade_date", maintain_order=True)
    ]
    return pl.DataFrame([row for row in rows if row], schema=SESSION_SCHEMA, orient="row")


def _session(
    day: Any,
    bars: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    settings: RealisedVolatilitySettings,
) -> dict[str, Any] | None:
    """The row of one session, None while it is unfinished."""
    row: dict[str, Any] = {
        "trade_date": day,
        "available_at": bars["available_at"].max(),
        "open": bars["open"][0],
        "high": bars["high"].max(),
        "low": bars["low"].min(),
        "close": bars["close"][-1],
        "intraday_reason": NO_INTRADAY,
    }
    if instrument.bar_seconds >= 86_400:
        return row
    whole_day = instrument.hours == "always"
    bounds = calendar.partition_bounds(day, instrument) if whole_day else calendar.session_bounds(day)
    start, stop = (to_us(moment) for moment in bounds)
    step = max(settings.bar_minutes * 60, instrument.bar_seconds) * 1_000_000
    count = -(-(stop - start) // step)
    interval = -(-(bars["end"].dt.timestamp("us").to_numpy() - start) // step) - 1
    inside = (interval >= 0) & (interval < count)
    if not inside.any() or interval[inside].max() < count - 1:
        return None
    if count < 4:
        return row
    last = np.full(count, np.nan)
    # Ascending, so that the last bar of an interval stays.
    last[interval[inside]] = bars["close"].to_numpy()[inside]
    if np.isfinite(last).mean() < settings.min_completeness:
        return {**row, "intraday_reason": THIN}
    path = np.concatenate([[row["open"]], last])
    known = np.maximum.accumulate(np.where(np.isfinite(path), np.arange(count + 1), 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = intraday_variance(np.diff(np.log(path[known])))
    if not np.isfinite(found.realised):
        return {**row, "intraday_reason": "a price is missing or not above zero"}
    names = ("rv", "bipower", "median_rv", "minimum_rv", "jump_share")
    return {**row, **dict(zip(names, found, strict=True)), "intraday_reason": None}


def realised_features(sessions: pl.DataFrame, settings: RealisedVolatilitySettings) -> pl.DataFrame:
    """Rolling realised volatilities and the HAR forecast at the end of every session.

    Args:
        sessions: `session_variances`, or any frame with trade_date, available_at, open, high, low and close (then
            without intraday variance).

    Returns:
        trade_date, available_at; rv_<estimator> per estimator and rv_intraday, annualised fractions over the window;
        variance, of the session with its night (intraday where known, else Garman-Klass, plus the squared night);
        expected_variance, the mean per session that is forecast for the next ``har_horizon`` sessions, and
        expected_by: har, or window (mean of the last 22) before a fit is possible; reason, why the window has no
        volatility. Nulls where unknown. A row rests on its own and earlier sessions only.
    """
    rows = sessions.sort("trade_date")
    close = rows["close"].cast(pl.Float64)
    names = ("open", "high", "low", "close")
    bars = log_bars(*(_array(rows, name) for name in names), close.shift().fill_null(np.nan).to_numpy())
    gap = rows["trade_date"].diff().dt.total_days().cast(pl.Float64).fill_null(np.nan).to_numpy()
    window, year = settings.window, settings.sessions_per_year
    wild = np.abs(bars.night) > settings.max_night
    bars = LogBars(*(np.where(wild, np.nan, field) for field in bars))
    reasons = rolling_reasons(bars, window, gap, settings.max_gap_days)
    for at in np.flatnonzero(wild):
        reasons[at : at + window] = [WILD_NIGHT] * len(reasons[at : at + window])
    # The first session has no close before it.
    reasons[:window] = [SHORT_WINDOW] * min(window, len(reasons))
    usable = np.array([reason is None for reason in reasons], dtype=bool)
    within = _array(rows, "rv") if "rv" in rows.columns else np.full(len(rows), np.nan)
    night = bars.night**2
    variance = np.where(np.isfinite(within), within, garman_klass_terms(bars)) + night
    # A long gap belongs to no month: the forecast starts anew behind it.
    variance = np.where(np.nan_to_num(gap, nan=0.0) > settings.max_gap_days, np.nan, variance)
    har = har_forecast(
        variance, settings.har_horizon, fit_sessions=settings.har_fit_sessions, min_rows=settings.har_min_rows
    )
    month = trailing_mean(variance, 22)
    columns = {f"rv_{name}": np.sqrt(year * rolling_variance(bars, window, name)) for name in ESTIMATORS}
    columns["rv_intraday"] = np.sqrt(year * trailing_mean(within + night, window))
    frame = rows.select("trade_date", "available_at").with_columns(
        *(pl.Series(name, np.where(usable, values, np.nan)) for name, values in columns.items()),
        pl.Series("variance", variance),
        pl.Series("expected_variance", np.where(np.isfinite(har), har, month)),
        pl.Series("expected_by", np.where(np.isfinite(har), "har", "window").tolist(), dtype=pl.String),
        pl.Series("reason", reasons, dtype=pl.String),
    )
    frame = frame.with_columns(pl.col(pl.Float64).fill_nan(None))
    return frame.with_columns(pl.when(pl.col("expected_variance").is_not_null()).then("expected_by"))


def _array(rows: pl.DataFrame, name: str) -> np.ndarray:
    return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
