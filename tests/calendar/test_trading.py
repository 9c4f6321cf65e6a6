"""Sessions, the trade-date rule, and the grid of bars that a calendar offers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.calendar import UTC_US, TradingCalendar, load_calendar
from argus_core.calendar.trading import build_sessions
from argus_core.settings import Instrument, SettingsError

SHARE = Instrument(symbol="SPY", asset_class="etf")
EXTENDED = Instrument(symbol="SPY", asset_class="etf", hours="extended")
COIN = Instrument(symbol="BTC", asset_class="crypto", hours="always")
DAILY = Instrument(symbol="EWJ", asset_class="etf", bar_seconds=86_400)


def stamps(*moments: datetime) -> pl.Series:
    return pl.Series("ts", list(moments), dtype=UTC_US)


def test_the_stored_sessions_equal_the_library(calendar: TradingCalendar) -> None:
    assert calendar.sessions.equals(build_sessions("XNYS"))


def test_sessions_know_holidays_and_early_closes(calendar: TradingCalendar) -> None:
    assert not calendar.is_session(date(2025, 1, 9))  # day of mourning
    assert not calendar.is_session(date(2025, 4, 18))  # Good Friday
    assert calendar.session_bounds(date(2024, 11, 29))[1] == datetime(2024, 11, 29, 18, tzinfo=UTC)


def test_labels_follow_new_york_time_weekends_and_holidays(calendar: TradingCalendar) -> None:
    moments = stamps(
        datetime(2025, 1, 3, 8, 59, tzinfo=UTC),  # 03:59
        datetime(2025, 1, 3, 9, 0, tzinfo=UTC),  # 04:00
        datetime(2025, 1, 3, 14, 30, tzinfo=UTC),  # 09:30
        datetime(2025, 7, 3, 13, 30, tzinfo=UTC),  # 09:30 in summer
        datetime(2025, 7, 3, 17, 0, tzinfo=UTC),  # early close at 13:00
        datetime(2025, 1, 4, 15, 0, tzinfo=UTC),  # a Saturday
        datetime(2024, 12, 25, 16, 0, tzinfo=UTC),  # Christmas
    )
    expected = ["CLOSED", "PRE", "RTH", "RTH", "POST", "CLOSED", "CLOSED"]
    assert calendar.session_labels(moments, SHARE).to_list() == expected


def test_crypto_labels_go_by_utc_hour(calendar: TradingCalendar) -> None:
    moments = stamps(*(datetime(2025, 1, 4, hour, tzinfo=UTC) for hour in (0, 7, 8, 14, 22)))
    assert calendar.session_labels(moments, COIN).to_list() == ["ASIA", "ASIA", "EU", "US", "OFFPEAK"]


def test_bars_of_a_weekend_belong_to_monday(calendar: TradingCalendar) -> None:
    moments = stamps(
        datetime(2025, 1, 3, 20, 59, tzinfo=UTC),
        datetime(2025, 1, 3, 21, 0, tzinfo=UTC),  # the bar that starts at Friday's close
        datetime(2025, 1, 5, 12, 0, tzinfo=UTC),
        datetime(2025, 1, 6, 20, 59, tzinfo=UTC),
    )
    expected = [date(2025, 1, 3), date(2025, 1, 6), date(2025, 1, 6), date(2025, 1, 6)]
    assert calendar.trade_dates(moments, COIN).to_list() == expected
    assert calendar.trade_dates(moments[2:3], SHARE).to_list() == [None]


@given(st.integers(0, 400 * 1440))
@settings(max_examples=60, deadline=None)
def test_every_minute_of_a_24_7_symbol_has_exactly_one_partition(minute: int) -> None:
    calendar = load_calendar("XNYS")
    moment = datetime(2024, 1, 5, tzinfo=UTC) + timedelta(minutes=minute)
    day = calendar.trade_dates(stamps(moment), COIN)[0]
    start, end = calendar.partition_bounds(day, COIN)
    assert start <= moment < end


def test_the_grid_has_390_minutes_and_210_on_an_early_close(calendar: TradingCalendar) -> None:
    assert len(calendar.bar_grid(SHARE, date(2024, 11, 27), date(2024, 11, 27))) == 390
    assert len(calendar.bar_grid(SHARE, date(2024, 11, 29), date(2024, 11, 29))) == 210
    assert len(calendar.bar_grid(EXTENDED, date(2024, 11, 27), date(2024, 11, 27))) == 960
    assert len(calendar.bar_grid(COIN, date(2025, 1, 6), date(2025, 1, 6))) == 3 * 1440
    assert len(calendar.bar_grid(DAILY, date(2025, 1, 2), date(2025, 1, 10))) == 6
    assert len(calendar.bar_grid(SHARE, date(2025, 1, 4), date(2025, 1, 5))) == 0


def test_a_grid_bar_never_spans_sessions(calendar: TradingCalendar) -> None:
    hourly = Instrument(symbol="SPY", asset_class="etf", bar_seconds=3600)
    assert len(calendar.bar_grid(hourly, date(2024, 11, 27), date(2024, 11, 27))) == 6


def test_a_daily_bar_ends_at_its_sessions_close(calendar: TradingCalendar) -> None:
    opens = stamps(datetime(2024, 11, 29, 14, 30, tzinfo=UTC))
    assert calendar.bar_ends(opens, DAILY)[0] == datetime(2024, 11, 29, 18, tzinfo=UTC)
    minute = calendar.bar_ends(opens, SHARE)[0]
    assert minute == datetime(2024, 11, 29, 14, 31, tzinfo=UTC)


def test_always_open_has_every_day() -> None:
    calendar = load_calendar("always_open")
    assert calendar.is_session(date(2024, 12, 25))
    assert len(calendar.bar_grid(COIN, date(2024, 12, 25), date(2024, 12, 25))) == 1440


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown calendar 'NOPE'"):
        build_sessions("NOPE")
