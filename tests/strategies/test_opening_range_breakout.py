"""The opening candle, its breaks and their stops."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from argus_core.replay.lanes import replay_lanes
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.opening_range_breakout import OpeningRangeBreakout
from tests.strategies.frames import calendar_frame, entries, entry_rows, with_bars, with_closes

DAY = date(2025, 2, 3)


def at(hour: int, minute: int, day: int = 3) -> datetime:
    return datetime(2025, 2, day, hour, minute, tzinfo=UTC)


def day_with_breaks(**keywords) -> pl.DataFrame:
    """Candle 99.5 to 100.5 (14:30 to 14:35 UTC); 101 from 14:40 on, 99 from 15:00 on, 101 again from 15:30 on."""
    frame = with_closes(
        calendar_frame("rth", DAY, DAY, **keywords), {at(14, 40): 101.0, at(15, 0): 99.0, at(15, 30): 101.0}
    )
    return with_bars(frame, {at(14, 32): (100, 100.5, 99.5, 100)})


def test_each_side_is_entered_once_a_day_at_the_first_close_beyond():
    assert entries(OpeningRangeBreakout, day_with_breaks()) == [(at(14, 41), 1), (at(15, 1), -1)]


@pytest.mark.parametrize(("side", "found"), [("long", [(at(14, 41), 1)]), ("short", [(at(15, 1), -1)])])
def test_one_side_alone(side, found):
    assert entries(OpeningRangeBreakout, day_with_breaks(), side=side) == found


def test_the_stop_is_the_other_side_of_the_candle_and_the_target_its_multiple():
    long, short = entry_rows(OpeningRangeBreakout, day_with_breaks(), target_r=3.0, trail_r=2.0).iter_rows(named=True)
    assert long["stop_distance"] == pytest.approx(101 - 99.5)
    assert short["stop_distance"] == pytest.approx(100.5 - 99)
    assert long["target_distance"] == pytest.approx(4.5)
    assert long["trail_distance"] == pytest.approx(3.0)
    assert long["risk"] == 0.005
    # 21:00 UTC is the close.
    assert long["max_hold_seconds"] == (21 - 14) * 3600 - 41 * 60


def test_without_risk_sizing_there_is_no_such_column():
    assert "risk" not in entry_rows(OpeningRangeBreakout, day_with_breaks(), risk_per_trade=None).columns


def test_a_touch_without_a_close_beyond_is_no_break():
    frame = with_bars(calendar_frame("rth", DAY, DAY, wick=0.1), {at(15, 0): (100, 105, 95, 100)})
    assert entries(OpeningRangeBreakout, frame) == []


def test_a_day_that_lacks_a_bar_of_its_candle_is_left_out():
    late = day_with_breaks(drop=pl.col("ts") == at(14, 30))
    assert entries(OpeningRangeBreakout, late) == []
    assert entries(OpeningRangeBreakout, late, opening_minutes=15) == []


def test_breaks_after_the_entry_time_do_not_count():
    assert entries(OpeningRangeBreakout, day_with_breaks(), entry_minutes=20) == [(at(14, 41), 1)]
    assert entries(OpeningRangeBreakout, day_with_breaks(), entry_minutes=10) == []


def test_a_longer_candle_holds_more_bars():
    # The first 15 minutes end at 14:45 and hold the rise to 101.
    found = entries(OpeningRangeBreakout, day_with_breaks(), opening_minutes=15)
    assert found == [(at(15, 1), -1)]


def test_a_candle_shorter_than_a_bar_is_an_error_that_says_so():
    frame = calendar_frame("rth", DAY, DAY, bar_seconds=900)
    with pytest.raises(ValueError, match=r"opening_minutes 5 is shorter than a bar of 900 s\. Choose at least 15"):
        entries(OpeningRangeBreakout, frame)


def test_pre_market_bars_are_no_part_of_it():
    frame = with_closes(calendar_frame("extended", DAY, DAY), {at(10, 0): 90.0, at(14, 30): 100.0, at(14, 50): 101.0})
    frame = with_bars(frame, {at(14, 30): (100, 100, 100, 100)})
    assert entries(OpeningRangeBreakout, frame) == [(at(14, 51), 1)]


def test_positions_are_closed_before_the_close_also_on_a_short_day():
    day = date(2025, 7, 3)
    frame = with_closes(calendar_frame("rth", day, day), {datetime(2025, 7, 3, 13, 50, tzinfo=UTC): 100.5})
    intents = OpeningRangeBreakout().intents(frame, OpeningRangeBreakout.Params(risk_per_trade=None))
    [result] = replay_lanes(
        frame,
        [intents.drop("target_distance")],
        Instrument(symbol="X", asset_class="etf"),
        ExecutionSettings(),
        starting_cash=1e5,
        symbol="X",
    )
    # 13:00 New York is 17:00 UTC; five minutes before it.
    assert result.trades["exit_ts"].to_list() == [datetime(2025, 7, 3, 16, 55, tzinfo=UTC)]
    assert result.trades["exit_reason"].to_list() == ["signal"]


def test_without_an_average_range_there_is_no_entry_with_such_a_stop():
    assert entries(OpeningRangeBreakout, day_with_breaks(), stop="atr", atr_window=300) == []
    assert len(entries(OpeningRangeBreakout, day_with_breaks(), stop="atr", atr_window=10)) == 2
