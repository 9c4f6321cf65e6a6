"""Phases of the trading week, their moves, and how long they are held."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from argus_core.replay.lanes import replay_lanes
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.global_phase import GlobalPhase
from tests.strategies.frames import calendar_frame, entries, entry_rows, with_closes

# Thursday to the Tuesday after; Monday 2025-02-17 is a holiday.
WEEK = (date(2025, 2, 13), date(2025, 2, 19))


def at(day: int, hour: int, minute: int = 0, month: int = 2) -> datetime:
    return datetime(2025, month, day, hour, minute, tzinfo=UTC)


def crypto(changes: dict[datetime, float], **keywords) -> pl.DataFrame:
    return with_closes(calendar_frame("always", *WEEK, **keywords), changes)


def rth(changes: dict[datetime, float], start: date = WEEK[0], end: date = WEEK[1], **keywords) -> pl.DataFrame:
    return with_closes(calendar_frame("rth", start, end, **keywords), changes)


def replayed(frame: pl.DataFrame, kind: str, **params) -> list[dict]:
    instrument = Instrument(symbol="X", asset_class=kind, hours="always" if kind == "crypto" else "rth")
    intents = GlobalPhase().intents(frame, GlobalPhase.Params(**params))
    [result] = replay_lanes(frame, [intents], instrument, ExecutionSettings(), starting_cash=1e5, symbol="X")
    return result.trades.to_dicts()


def test_europe_follows_what_asia_did():
    # Friday's Asia rises by 1 %, Saturday's falls back.
    frame = crypto({at(14, 3): 101.0, at(15, 4): 100.0})
    assert entries(GlobalPhase, frame, phase="EU") == [(at(14, 8), 1), (at(15, 8), -1)]
    assert entries(GlobalPhase, frame, phase="EU", mode="fade") == [(at(14, 8), -1), (at(15, 8), 1)]
    assert entries(GlobalPhase, frame, phase="EU", allow_short=False) == [(at(14, 8), 1)]


@pytest.mark.parametrize(
    ("phase", "moved", "decided", "hours"),
    [
        ("ASIA", at(13, 18), at(14, 0), 8),
        # The pause after the US session counts to it.
        ("ASIA", at(13, 23), at(14, 0), 8),
        ("EU", at(14, 0, 0), at(14, 8), 6),
        ("US", at(14, 13, 59), at(14, 14), 8),
        ("WEEKEND", at(14, 12), at(15, 0), 48),
    ],
)
def test_each_phase_is_decided_at_its_start_and_held_to_its_end(phase, moved, decided, hours):
    [row] = entry_rows(GlobalPhase, crypto({moved: 102.0}), phase=phase).iter_rows(named=True)
    assert row["at"] == decided
    assert row["max_hold_seconds"] == hours * 3600
    assert row["stop_distance"] == pytest.approx(0.02 * 102)


def test_the_replay_is_in_for_exactly_the_phase():
    [trade] = replayed(crypto({at(14, 3): 101.0}), "crypto", phase="EU")
    assert (trade["entry_ts"], trade["exit_ts"], trade["exit_reason"]) == (at(14, 8), at(14, 14), "time")


def test_the_least_move_is_measured_from_the_start_of_the_phase_before():
    frame = crypto({at(13, 23): 101.0, at(14, 3): 101.3})
    # From 101.0 to 101.3; since yesterday it would be 1.3 %.
    assert entries(GlobalPhase, frame, phase="EU", min_move=0.003) == []
    assert entries(GlobalPhase, frame, phase="EU", min_move=0.0029) == [(at(14, 8), 1)]


def test_without_a_move_there_is_no_side():
    assert entries(GlobalPhase, crypto({}), phase="EU", min_move=0.0) == []


def test_a_phase_whose_hand_over_is_missing_is_left_out():
    changes = {at(14, 3): 101.0}
    late = pl.col("ts").is_between(at(14, 7, 50), at(14, 8, 10))
    assert entries(GlobalPhase, crypto(changes, drop=late), phase="EU") == []
    few = pl.col("ts").is_between(at(14, 7, 58), at(14, 8, 1))
    assert entries(GlobalPhase, crypto(changes, drop=few), phase="EU") == [(at(14, 8, 3), 1)]
    # Asia's own start is missing: its move is not known.
    early = pl.col("ts").is_between(at(13, 23, 50), at(14, 0, 10))
    assert entries(GlobalPhase, crypto(changes, drop=early), phase="EU") == []


def test_the_risk_flow_must_agree_and_be_known():
    frame = crypto({at(14, 3): 101.0})
    for flow, count in ((0.01, 1), (-0.01, 0), (0.0, 0), (None, 0)):
        with_flow = frame.with_columns(global_risk_flow=pl.lit(flow, pl.Float64))
        assert len(entries(GlobalPhase, with_flow, phase="EU", agree_with_risk_flow=True)) == count


def test_the_regular_session_follows_the_gap_that_the_night_left():
    frame = rth({at(14, 14, 30): 101.0})
    assert entries(GlobalPhase, frame, phase="US") == [(at(14, 14, 31), 1)]
    [trade] = replayed(frame, "etf", phase="US")
    assert trade["entry_ts"] == at(14, 14, 31)
    assert (trade["exit_ts"], trade["exit_reason"]) == (at(14, 20, 55), "signal")


def test_summer_time_moves_the_regular_session():
    frame = rth({at(14, 13, 30, 3): 101.0}, date(2025, 3, 13), date(2025, 3, 14))
    assert entries(GlobalPhase, frame, phase="US") == [(at(14, 13, 31, 3), 1)]


def test_a_day_that_begins_late_or_follows_a_hole_has_no_gap_to_follow():
    late = pl.col("ts").is_between(at(14, 14, 30), at(14, 14, 40))
    assert entries(GlobalPhase, rth({at(14, 14, 41): 101.0}, drop=late), phase="US") == []
    hole = pl.col("ts").is_between(at(13, 0), at(18, 0))
    wide = rth({at(18, 14, 30): 101.0}, date(2025, 2, 10), date(2025, 2, 18), drop=hole)
    assert entries(GlobalPhase, wide, phase="US") == []


def test_the_weekend_is_bought_before_fridays_close_and_sold_at_the_next_open():
    frame = rth({at(14, 18): 101.0}, end=date(2025, 2, 19))
    [row] = entry_rows(GlobalPhase, frame, phase="WEEKEND").iter_rows(named=True)
    assert row["at"] == at(14, 20, 55)
    # Monday is a holiday.
    [trade] = replayed(frame, "etf", phase="WEEKEND")
    assert (trade["exit_ts"], trade["exit_reason"]) == (at(18, 14, 30), "time")


def test_the_weekend_of_the_clock_change_ends_at_mondays_open():
    # New York goes to summer time on Sunday 2025-03-09.
    frame = rth({at(7, 18, 0, 3): 101.0}, date(2025, 3, 6), date(2025, 3, 11))
    [trade] = replayed(frame, "etf", phase="WEEKEND")
    assert trade["exit_ts"] == at(10, 13, 30, 3)


def test_a_short_friday_is_entered_before_its_own_close():
    frame = rth({datetime(2025, 11, 28, 16, tzinfo=UTC): 101.0}, date(2025, 11, 26), date(2025, 12, 1))
    [(moment, side)] = entries(GlobalPhase, frame, phase="WEEKEND")
    # 13:00 New York is 18:00 UTC.
    assert (moment, side) == (datetime(2025, 11, 28, 17, 55, tzinfo=UTC), 1)


def test_a_phase_that_the_instrument_does_not_trade_is_an_error():
    with pytest.raises(ValueError, match="phase ASIA needs a series that trades around the clock"):
        entries(GlobalPhase, rth({}), phase="ASIA")


def test_confidence_is_one_half_at_a_move_of_usual_size():
    frame = crypto({at(14, 3): 101.0})
    [row] = entry_rows(GlobalPhase, frame, phase="EU").iter_rows(named=True)
    assert row["confidence"] > 0.5
    steady = crypto({at(d, 3): 100 * 1.01 ** (d - 12) for d in range(13, 19)})
    found = entry_rows(GlobalPhase, steady, phase="EU")
    assert found.height >= 4
    assert found["confidence"].to_list() == pytest.approx([0.5] * found.height)
