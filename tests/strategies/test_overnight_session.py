"""Windows, thresholds and gates of the overnight strategy."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.calendar import load_calendar
from argus_core.packs.frame import assemble_frame
from argus_core.replay.lanes import replay_lanes
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.overnight_session import OvernightSession

UTC_US = pl.Datetime("us", "UTC")


def frame_of(
    hours: str, days: tuple[date, date], *, value: float | None = 0.01, flow: float | None = None
) -> pl.DataFrame:
    """Decision frame on the calendar's whole grid, with the same realised return on every row."""
    calendar = load_calendar("XNYS")
    crypto = hours == "always"
    instrument = Instrument(symbol="X", asset_class="crypto" if crypto else "etf", hours=hours)
    ts = pl.Series("ts", calendar.bar_grid(instrument, *days)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    end = calendar.bar_ends(ts, instrument)
    bars = pl.DataFrame({"ts": ts}).with_columns(
        end=end,
        available_at=end,
        trade_date=calendar.trade_dates(ts, instrument),
        session=calendar.session_labels(ts, instrument),
        volume=pl.lit(1e6),
        bid=pl.lit(None, pl.Float64),
        ask=pl.lit(None, pl.Float64),
        **{name: pl.lit(100.0) for name in ("open", "high", "low", "close")},
    )
    return assemble_frame(bars, instrument, calendar, []).with_columns(
        pl.lit(value, pl.Float64).alias("fwd_return_14400"), pl.lit(flow, pl.Float64).alias("global_risk_flow")
    )


DAYS = (date(2025, 2, 3), date(2025, 2, 5))


def entries(frame: pl.DataFrame, **params) -> list[datetime]:
    intents = OvernightSession().intents(frame, OvernightSession.Params(**params))
    assert intents["enter"].min() >= 0, "long only"
    return frame["available_at"].filter(intents["enter"] == 1).to_list()


def at(day: int, hour: int, minute: int) -> datetime:
    return datetime(2025, 2, day, hour, minute, tzinfo=UTC)


def test_one_entry_per_day_at_the_start_of_the_last_minutes():
    """Predecessor C5: every bar of the window was an entry, thirty stacked lots a day."""
    # 16:00 New York is 21:00 UTC in February.
    assert entries(frame_of("rth", DAYS), entry_window_minutes=30) == [at(d, 20, 30) for d in (3, 4, 5)]


def test_the_window_follows_an_early_close():
    day = date(2025, 7, 3)
    assert entries(frame_of("rth", (day, day))) == [datetime(2025, 7, 3, 16, 30, tzinfo=UTC)]


def test_the_close_itself_is_outside_the_window():
    frame = frame_of("rth", DAYS)
    late = frame.with_columns(fwd_return_14400=pl.when(pl.col("seconds_to_close") == 0).then(0.01).otherwise(-0.01))
    assert entries(late) == []


def test_a_signal_in_mid_window_enters_there_and_only_once():
    frame = frame_of("rth", DAYS)
    minute = pl.col("seconds_to_close") // 60
    later = frame.with_columns(fwd_return_14400=pl.when(minute.is_in([20, 10])).then(0.01).otherwise(-0.01))
    assert entries(later) == [at(d, 20, 40) for d in (3, 4, 5)]


def test_pre_market_bars_are_a_window_of_their_own():
    found = entries(frame_of("extended", DAYS), entry_window_minutes=15)
    assert found == [at(d, h, m) for d in (3, 4, 5) for h, m in ((9, 1), (20, 45))]


def test_crypto_enters_before_each_hand_over():
    """Predecessor A10: the crypto branch could not be reached."""
    found = entries(frame_of("always", DAYS), entry_window_minutes=15)
    assert {(t.hour, t.minute) for t in found} == {(7, 46), (13, 46)}
    assert len(found) == len({(t.date(), t.hour) for t in found})


def test_the_return_must_exceed_the_threshold():
    frame = frame_of("rth", DAYS, value=0.005)
    assert entries(frame, fwd_return_threshold=0.005) == []
    assert len(entries(frame, fwd_return_threshold=0.004)) == 3


def test_an_unknown_return_never_enters():
    assert entries(frame_of("rth", DAYS, value=None), fwd_return_threshold=-1.0) == []


@pytest.mark.parametrize(("flow", "count"), [(None, 0), (-0.001, 0), (0.0, 3), (0.01, 3)])
def test_the_risk_flow_gate_blocks_what_is_low_or_unknown(flow, count):
    """The predecessor let a missing metric through its gate."""
    assert len(entries(frame_of("rth", DAYS, flow=flow), min_global_risk_flow=0.0)) == count


def test_without_a_gate_the_risk_flow_is_not_read():
    assert len(entries(frame_of("rth", DAYS).drop("global_risk_flow"))) == 3


def test_a_horizon_that_is_not_computed_is_an_error_that_names_the_setting():
    """Predecessor C2: the shipped sweep asked for a horizon that the config never computed."""
    with pytest.raises(ValueError, match=r"28800 is not computed; the outcomes have \[14400\].*outcomes.horizons"):
        entries(frame_of("rth", DAYS), horizon_seconds=28_800)


def test_the_position_is_closed_after_the_horizon():
    frame = frame_of("always", DAYS)
    intents = OvernightSession().intents(frame, OvernightSession.Params())
    instrument = Instrument(symbol="X", asset_class="crypto", hours="always")
    [result] = replay_lanes(frame, [intents], instrument, ExecutionSettings(), starting_cash=1e5, symbol="X")
    timed = result.trades.filter(pl.col("exit_reason") == "time")
    assert timed.height >= 4
    assert (timed["holding_seconds"] == 14_400).all()


def test_the_first_qualifying_row_of_each_window_is_found_like_by_a_loop():
    rng = np.random.default_rng(0)
    frame = frame_of("extended", DAYS)
    frame = frame.with_columns(fwd_return_14400=pl.Series(rng.normal(-0.01, 0.01, frame.height)))
    expected, seen = [], set()
    for row in frame.iter_rows(named=True):
        closing = row["session"] == "RTH" and timedelta(0).seconds < row["seconds_to_close"] <= 1800
        window = (row["trade_date"], row["session"])
        if (closing or row["session"] == "PRE") and window not in seen and row["fwd_return_14400"] > 0.005:
            seen.add(window)
            expected.append(row["available_at"])
    assert entries(frame) == expected
    assert len(expected) > 3


def test_unknown_parameters_are_refused():
    with pytest.raises(ValidationError, match="treshold"):
        OvernightSession.Params(treshold=1)
