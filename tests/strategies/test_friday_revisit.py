"""Friday's levels on Monday: which one, when, how far, and how long."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.strategies.friday_revisit import FridayRevisit
from tests.strategies.frames import calendar_frame, entries, entry_rows, random_frame, with_bars, with_closes

# Friday 2025-02-07 and Monday 2025-02-10.
FRIDAY, MONDAY = date(2025, 2, 7), date(2025, 2, 10)
WIDE = {"max_distance": 0.05, "entry_window_minutes": 380}


def at(day: int, hour: int, minute: int = 0, month: int = 2) -> datetime:
    return datetime(2025, month, day, hour, minute, tzinfo=UTC)


def weekend(monday: dict[datetime, float], hours: str = "rth", to: date = MONDAY, **keywords) -> pl.DataFrame:
    """Thursday to Monday, flat at 100 but for ``monday``; Friday reaches from 98 to 101."""
    frame = with_closes(calendar_frame(hours, date(2025, 2, 6), to, **keywords), monday)
    return with_bars(frame, {at(7, 15): (100, 101, 98, 100)})


def test_it_goes_for_the_nearer_level_with_the_level_as_target():
    frame = weekend({at(10, 14, 30): 100.4})
    [row] = entry_rows(FridayRevisit, frame, stop_ratio=0.5).iter_rows(named=True)
    # Five minutes after the open at 14:30 UTC.
    assert (row["at"], row["enter"]) == (at(10, 14, 35), 1)
    assert row["target_distance"] == pytest.approx(0.6)
    assert row["stop_distance"] == pytest.approx(0.3)
    assert row["max_hold_seconds"] == (21 * 60 - 14 * 60 - 35) * 60
    assert row["confidence"] == pytest.approx(1 - 0.6 / 100.4 / 0.01)
    assert entries(FridayRevisit, weekend({at(10, 14, 30): 98.5})) == [(at(10, 14, 35), -1)]


def test_a_level_that_the_open_jumped_over_is_approached_from_the_other_side():
    assert entries(FridayRevisit, weekend({at(10, 14, 30): 101.5}), **WIDE) == []
    # The opening bar runs from 100 to 101.5 and has traded 101; a bar that opens above has not.
    frame = weekend({at(10, 14, 30): 101.5})
    jumped = with_bars(frame, {at(10, 14, 30): (101.5, 101.5, 101.5, 101.5)})
    assert entries(FridayRevisit, jumped, **WIDE) == [(at(10, 14, 35), -1)]
    [row] = entry_rows(FridayRevisit, jumped, **WIDE).iter_rows(named=True)
    assert row["target_distance"] == pytest.approx(0.5)


def test_a_level_already_met_is_no_goal():
    frame = with_bars(weekend({at(10, 14, 30): 100.4}), {at(10, 14, 32): (100.4, 101, 100.4, 100.4)})
    assert entries(FridayRevisit, frame, **WIDE) == []
    assert entries(FridayRevisit, frame, **WIDE, entry_delay_minutes=1) == [(at(10, 14, 31), 1)]


def test_the_distance_has_bounds_and_the_entry_waits_for_them():
    frame = weekend({at(10, 14, 30): 99.5, at(10, 15): 100.8})
    assert entries(FridayRevisit, frame, max_distance=0.005) == [(at(10, 15, 1), 1)]
    assert entries(FridayRevisit, frame, max_distance=0.005, min_distance=0.003) == []
    assert entries(FridayRevisit, frame, max_distance=0.005, entry_window_minutes=20) == []


def test_after_a_monday_holiday_it_is_tuesday():
    # Friday 2025-02-14, Washington's Birthday on the 17th.
    frame = with_closes(calendar_frame("rth", date(2025, 2, 13), date(2025, 2, 19)), {at(18, 14, 30): 100.4})
    frame = with_bars(frame, {at(14, 15): (100, 101, 98, 100)})
    assert entries(FridayRevisit, frame) == [(at(18, 14, 35), 1)]


def test_a_friday_without_bars_gives_no_levels():
    frame = weekend({at(10, 14, 30): 100.4}).filter(pl.col("trade_date") != FRIDAY)
    assert entries(FridayRevisit, frame, **WIDE) == []


def test_a_session_in_between_ends_it():
    frame = weekend({at(10, 14, 30): 100.4}, to=date(2025, 2, 11))
    tuesday_only = frame.filter(pl.col("trade_date") != MONDAY)
    assert entries(FridayRevisit, tuesday_only) == [(at(11, 14, 35), 1)]
    assert entries(FridayRevisit, frame) == [(at(10, 14, 35), 1)]


def test_only_the_regular_session_of_friday_counts():
    frame = with_bars(weekend({at(10, 14, 30): 100.4}, "extended"), {at(7, 22): (100, 105, 95, 100)})
    [row] = entry_rows(FridayRevisit, frame).iter_rows(named=True)
    assert (row["at"], row["target_distance"]) == (at(10, 14, 35), pytest.approx(0.6))


def test_crypto_takes_the_days_of_the_utc_calendar():
    # Saturday's extremes are no levels, Monday begins at midnight.
    frame = weekend({at(8, 3): 103.0, at(9, 3): 97.0, at(9, 20): 100.4}, "always")
    [row] = entry_rows(FridayRevisit, frame).iter_rows(named=True)
    assert (row["at"], row["enter"]) == (at(10, 0, 5), 1)
    assert row["target_distance"] == pytest.approx(0.6)
    assert row["max_hold_seconds"] == (24 * 60 - 5) * 60


def test_one_entry_a_week_found_like_by_a_loop():
    frame = random_frame("rth", date(2025, 2, 3), date(2025, 3, 7), seed=6)
    found = entries(FridayRevisit, frame, **WIDE)
    expected = []
    days = frame.partition_by("trade_date", maintain_order=True)
    for before, day in pairwise(days):
        if before["trade_date"][0].weekday() != 4:
            continue
        high, low = before["high"].max(), before["low"].min()
        met = {high: False, low: False}
        for row in day.iter_rows(named=True):
            for level in met:
                met[level] |= row["low"] <= level <= row["high"]
            level = high if abs(high - row["close"]) <= abs(low - row["close"]) else low
            share = abs(level - row["close"]) / row["close"]
            late = 0 <= row["minute_of_session"] + 1 - 5 <= 380 and row["seconds_to_close"] > 300
            if late and not met[level] and 0.0005 <= share <= 0.05:
                expected.append((row["available_at"], 1 if level > row["close"] else -1))
                break
    assert found == expected
    assert len(found) >= 3


def test_the_bounds_must_ascend():
    with pytest.raises(ValidationError, match="must be below"):
        FridayRevisit.Params(min_distance=0.02, max_distance=0.02)
