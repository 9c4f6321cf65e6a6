"""When an option's life ends, and how much time is left: one clock for interest, another for variance.

The calendar clock ``t_cal`` counts every second (ACT/365) up to the exact moment of expiry; it discounts and
annualises. The variance clock ``t_var`` counts a session, a night, a weekend day and a holiday by the variance that
they bring and adds events. From Friday's close to Monday's the two differ twofold, so they are never mixed.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import NEW_YORK, to_us
from argus_core.settings import Instrument
from argus_core.settings.option_chains import ClockSettings, ExpiryRule, OptionChainSettings

Floats = NDArray[np.float64]

UTC_US = pl.Datetime("us", "UTC")
_DAY_US = 86_400 * 1_000_000
_SESSION_US = 23_400 * 1_000_000
_EPOCH = date(1970, 1, 1).toordinal()
#: Days and sessions of an average year.
_YEAR_DAYS, _YEAR_SESSIONS = 365.2425, 252.0
#: OCC symbol: root, yymmdd, right, strike in thousandths; Deribit: root-DMMMYY-strike-right.
OCC_SYMBOL = r"^([A-Z]+[0-9]?)\s*(\d{6})([CP])(\d{8})$"
DERIBIT_SYMBOL = r"^([A-Z]+(?:_[A-Z]+)?)-(\d{1,2}[A-Z]{3}\d{2})-(\d+(?:[dD]\d+)?)-([CP])$"


def root_of(contract: str = "contract", underlying: str = "underlying") -> pl.Expr:
    """Root of every contract symbol (SPXW of SPXW260918C07700000); the underlying where the form is unknown."""
    symbol = pl.col(contract)
    return pl.coalesce(
        symbol.str.extract(OCC_SYMBOL, 1), symbol.str.extract(DERIBIT_SYMBOL, 1), pl.col(underlying)
    ).alias("root")


def expiry_rule(root: str, instrument: Instrument, settings: OptionChainSettings) -> ExpiryRule:
    """The rule of a root: its own, or the default of the instrument's asset class."""
    default = settings.crypto_expiry if instrument.is_crypto else settings.default_expiry
    return settings.expiry_rules.get(root, default)


def expiry_moment(expiry: date, rule: ExpiryRule, calendar: TradingCalendar) -> datetime:
    """The exact end of life, aware UTC.

    A session-bound rule on a day without a session (Saturday expiries before 2015, holidays) ends with the last
    session before it. Beyond the calendar's table: 09:30 or 16:00 New York of the day.
    """
    if not isinstance(rule.moment, str):
        return datetime.combine(expiry, rule.moment, ZoneInfo(rule.zone)).astimezone(UTC)
    at = 0 if rule.moment == "open" else 1
    if calendar.dates[0] <= expiry <= calendar.dates[-1]:
        day = expiry
        while not calendar.is_session(day):
            day -= timedelta(days=1)
        return calendar.session_bounds(day)[at]
    hour, minute = ((9, 30), (16, 0))[at]
    local = datetime(expiry.year, expiry.month, expiry.day, hour, minute, tzinfo=NEW_YORK)
    return local.astimezone(UTC)


def with_expiry(
    quotes: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar, settings: OptionChainSettings
) -> pl.DataFrame:
    """``quotes`` (OptionQuotes) with ``root``, ``expiry_ts`` and ``settlement`` (AM or PM)."""
    rows = quotes.with_columns(root_of())
    keys = rows.select("root", "expiry").unique(maintain_order=True)
    rules = [expiry_rule(root, instrument, settings) for root in keys["root"]]
    ends = [expiry_moment(day, rule, calendar) for day, rule in zip(keys["expiry"], rules, strict=True)]
    keys = keys.with_columns(
        pl.Series("expiry_ts", ends, dtype=UTC_US),
        pl.Series("settlement", [rule.settlement for rule in rules], dtype=pl.String),
    )
    return rows.join(keys, on=["root", "expiry"], how="left", maintain_order="left")


def calendar_years(start_us: ArrayLike, end_us: ArrayLike, day_count: float = 365.0) -> Floats:
    """Time on the calendar clock in years, negative after the end.

    Args:
        start_us, end_us: microseconds since the epoch, broadcast.
    """
    return (np.asarray(end_us, np.int64) - np.asarray(start_us, np.int64)) / (day_count * _DAY_US)


def variance_years(
    start_us: ArrayLike,
    end_us: ArrayLike,
    instrument: Instrument,
    calendar: TradingCalendar,
    settings: ClockSettings,
) -> Floats:
    """Time on the variance clock in years, negative after the end; NaN outside the calendar's table.

    Inside a session (and inside a closure) variance runs evenly. A full session counts ``session``, a closure
    ``night`` and more per weekend day and holiday inside it; a half day counts its share of 6.5 hours. The sum is
    divided by that of an average year, so a year counts about one. Instruments that trade around the clock count
    days, a weekend day as ``around_the_clock_weekend``. An event after the start and not after the end adds its
    weight.
    """
    knots = _around_the_clock if instrument.hours == "always" else _by_sessions
    times, clock, unit = knots(calendar, settings)
    start, end = np.asarray(start_us, np.int64), np.asarray(end_us, np.int64)
    left = (np.interp(end, times, clock) - np.interp(start, times, clock)) / unit
    if settings.events:
        moments = sorted(settings.events)
        at = np.array([to_us(moment) for moment in moments])
        added = np.concatenate([[0.0], np.cumsum([settings.events[moment] for moment in moments])])
        extra = added[np.searchsorted(at, end, side="right")] - added[np.searchsorted(at, start, side="right")]
        left = left + extra / unit
    known = (np.minimum(start, end) >= times[0]) & (np.maximum(start, end) <= times[-1])
    return np.where(known, left, np.nan)


def _around_the_clock(calendar: TradingCalendar, settings: ClockSettings) -> tuple[NDArray[np.int64], Floats, float]:
    """Knots of the clock at every UTC midnight: moments, variance up to them, variance of an average year."""
    days = np.arange(calendar.dates[0].toordinal(), calendar.dates[-1].toordinal() + 1)
    weight = settings.around_the_clock_weekend
    per_day = np.where((days + 6) % 7 >= 5, weight, 1.0)  # ordinal 1 was a Monday
    times = (days - _EPOCH) * _DAY_US
    return times, np.concatenate([[0.0], np.cumsum(per_day[:-1])]), _YEAR_DAYS / 7 * (5 + 2 * weight)


def _by_sessions(calendar: TradingCalendar, settings: ClockSettings) -> tuple[NDArray[np.int64], Floats, float]:
    """The same with knots at every open and close."""
    opens, closes = (calendar.sessions[name].dt.timestamp("us").to_numpy() for name in ("open_ts", "close_ts"))
    days = calendar.sessions["date"].to_physical().to_numpy().astype(np.int64) + _EPOCH
    sessions = settings.session * (closes - opens) / _SESSION_US
    # Saturdays and Sundays strictly between two session days.
    weekends = sum((days[1:] - 1 + shift) // 7 - (days[:-1] + shift) // 7 for shift in (1, 0))
    between = settings.night + settings.weekend_day * weekends + settings.holiday * (np.diff(days) - 1 - weekends)
    steps = np.concatenate([np.column_stack([sessions[:-1], between]).ravel(), sessions[-1:]])
    weekend_days = 2 * _YEAR_DAYS / 7
    year = (
        _YEAR_SESSIONS * (settings.session + settings.night)
        + settings.weekend_day * weekend_days
        + settings.holiday * (_YEAR_DAYS - weekend_days - _YEAR_SESSIONS)
    )
    return np.column_stack([opens, closes]).ravel(), np.concatenate([[0.0], np.cumsum(steps)]), year
