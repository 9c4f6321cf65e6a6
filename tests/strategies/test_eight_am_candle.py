"""The candle of eight o'clock in New York, its breaks and its failures."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.strategies.eight_am_candle import EightAmCandle
from tests.strategies.frames import calendar_frame, entries, entry_rows, with_bars, with_closes

WINTER = date(2025, 2, 3)


def at(hour: int, minute: int, day: int = 3, month: int = 2) -> datetime:
    return datetime(2025, month, day, hour, minute, tzinfo=UTC)


def frame_with(changes: dict[datetime, float], hours: str = "always", day: date = WINTER, **keywords) -> pl.DataFrame:
    """Flat at 100 but for ``changes``; the candle of 2025-02-03 reaches from 99.5 to 100.5 (13:00 to 14:00 UTC)."""
    frame = with_closes(calendar_frame(hours, day, day, **keywords), changes)
    return with_bars(frame, {at(13, 20): (100, 100.5, 99.5, 100)}) if day == WINTER else frame


def test_the_first_close_beyond_the_candle_is_followed():
    frame = frame_with({at(13, 40): 100.2, at(15, 0): 101.0, at(16, 0): 99.0})
    assert entries(EightAmCandle, frame) == [(at(15, 1), 1)]
    [row] = entry_rows(EightAmCandle, frame, stop_range=0.5, target_range=2.0).iter_rows(named=True)
    assert row["stop_distance"] == pytest.approx(0.5)
    assert row["target_distance"] == pytest.approx(2.0)
    # 15:45 New York is 20:45 UTC.
    assert row["max_hold_seconds"] == (20 * 60 + 45 - 15 * 60 - 1) * 60


def test_a_break_that_comes_back_in_time_is_traded_the_other_way():
    frame = frame_with({at(15, 0): 101.0, at(15, 10): 100.2})
    assert entries(EightAmCandle, frame, mode="failure") == [(at(15, 11), -1)]
    assert entries(EightAmCandle, frame, mode="failure", failure_minutes=10.0) == [(at(15, 11), -1)]
    assert entries(EightAmCandle, frame, mode="failure", failure_minutes=9.0) == []
    below = frame_with({at(15, 0): 99.0, at(15, 10): 100.2})
    assert entries(EightAmCandle, below, mode="failure") == [(at(15, 11), 1)]


def test_a_break_through_both_sides_is_no_failure():
    frame = frame_with({at(15, 0): 101.0, at(15, 10): 99.0})
    assert entries(EightAmCandle, frame, mode="failure") == []


def test_the_days_first_break_is_the_days_trade():
    frame = frame_with({at(15, 0): 101.0, at(16, 0): 99.0})
    assert entries(EightAmCandle, frame, side="long") == [(at(15, 1), 1)]
    assert entries(EightAmCandle, frame, side="short") == []


@pytest.mark.parametrize(
    ("day", "inside", "after"),
    [
        # 08:00 New York is 13:00 UTC in winter, 12:00 UTC in summer.
        (date(2025, 2, 3), at(13, 30), at(15, 0)),
        (date(2025, 7, 7), at(12, 30, 7, 7), at(14, 0, 7, 7)),
    ],
)
def test_the_candle_keeps_to_new_yorks_clock(day, inside, after):
    frame = with_closes(calendar_frame("always", day, day), {after: 101.0})
    frame = with_bars(frame, {inside: (100, 100.5, 99.5, 100)})
    [row] = entry_rows(EightAmCandle, frame).iter_rows(named=True)
    assert row["stop_distance"] == pytest.approx(1.0)
    outside = with_bars(frame, {inside: (100, 100, 100, 100)})
    assert entries(EightAmCandle, outside) == []


def test_a_longer_candle_holds_more():
    frame = frame_with({at(15, 0): 101.0, at(15, 30): 102.0})
    # Until 10:15 New York, 15:15 UTC: the first step is inside.
    assert entries(EightAmCandle, frame, minutes=135) == [(at(15, 31), 1)]


def test_breaks_after_the_last_entry_do_not_count():
    frame = frame_with({at(17, 30): 101.0})
    assert entries(EightAmCandle, frame, entry_until=12.0) == []
    assert entries(EightAmCandle, frame, entry_until=13.0) == [(at(17, 31), 1)]


def test_session_instruments_wait_for_the_regular_session():
    frame = frame_with({at(14, 10): 101.0}, hours="extended")
    assert entries(EightAmCandle, frame) == [(at(14, 31), 1)]


def test_a_candle_without_half_of_its_bars_is_none():
    missing = pl.col("ts").is_between(at(13, 30), at(13, 59))
    few = pl.col("ts").is_between(at(13, 31), at(13, 59))
    assert entries(EightAmCandle, frame_with({at(15, 0): 101.0}, drop=missing)) == []
    assert entries(EightAmCandle, frame_with({at(15, 0): 101.0}, drop=few)) == [(at(15, 1), 1)]


def test_weekends_have_no_candle():
    # The trade date of a Monday holds the weekend before.
    saturday = {at(13, 30, 1): 100.5, at(13, 40, 1): 100.0, at(15, 0, 1): 101.0, at(15, 30, 1): 100.0}
    frame = frame_with({**saturday, at(15, 0): 101.0})
    assert entries(EightAmCandle, frame) == [(at(15, 1), 1)]


def test_regular_hours_alone_are_an_error_that_says_what_is_needed():
    with pytest.raises(ValueError, match=r"regular hours only.*hours: extended"):
        entries(EightAmCandle, calendar_frame("rth", WINTER, WINTER))


def test_the_hours_must_ascend():
    with pytest.raises(ValidationError, match="must ascend"):
        EightAmCandle.Params(minutes=240, entry_until=12.0)
    with pytest.raises(ValidationError, match="must ascend"):
        EightAmCandle.Params(entry_until=16.0, exit_at=15.5)
