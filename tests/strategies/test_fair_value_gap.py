"""Imbalances, returns into them, and what ends them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.strategies.fair_value_gap import FairValueGap
from tests.strategies.frames import calendar_frame, entries, entry_rows, random_frame, with_bars

DAY = date(2025, 2, 3)
#: The third bar of the gap; bars are numbered from it.
GAP = datetime(2025, 2, 3, 15, 0, tzinfo=UTC)
QUICK = {"atr_window": 5, "min_gap_atr": 0.1}


def bars(*rows: tuple[float, float, float, float], **keywords) -> pl.DataFrame:
    """A day at 100 with a bullish gap from 100.1 (high two bars before) to 101 (low), then ``rows`` and their close."""
    shape = [(100, 100.1, 100, 100.1), (100.1, 102, 100.1, 101.5), (101.5, 102, 101, 102), *rows]
    frame = calendar_frame("rth", DAY, DAY, closes=np.full(390, 100.0), **keywords)
    after = pl.col("ts") > GAP
    frame = frame.with_columns(
        pl.when(after).then(float(shape[-1][3])).otherwise(pl.col(n)).alias(n) for n in ("open", "high", "low", "close")
    )
    return with_bars(frame, {GAP + timedelta(minutes=k - 2): bar for k, bar in enumerate(shape)})


def end_of(number: int) -> datetime:
    return GAP + timedelta(minutes=number + 1)


def test_the_first_bar_back_in_the_gap_is_bought():
    frame = bars((102, 102, 101.5, 101.5), (101.5, 101.5, 100.8, 101.2), (101.2, 101.2, 100.5, 101))
    assert entries(FairValueGap, frame, **QUICK) == [(end_of(2), 1)]


def test_the_stop_lies_beyond_the_far_edge_and_the_target_is_a_multiple_of_it():
    frame = bars((102, 102, 100.8, 101.2))
    [row] = entry_rows(FairValueGap, frame, **QUICK, stop_atr=0.0, reward=3.0).iter_rows(named=True)
    assert row["stop_distance"] == pytest.approx(101.2 - 100.1)
    assert row["target_distance"] == pytest.approx(3 * 1.1)
    assert row["break_even_distance"] == pytest.approx(1.1)
    [wider] = entry_rows(FairValueGap, frame, **QUICK, stop_atr=2.0).iter_rows(named=True)
    assert wider["stop_distance"] > row["stop_distance"]


def test_a_close_through_the_gap_ends_it():
    frame = bars((102, 102, 99.9, 100), (100, 101.2, 100, 101.2), (101.2, 101.2, 100.9, 101))
    assert [found for found in entries(FairValueGap, frame, **QUICK, side="long") if found[0] < end_of(5)] == []


def test_a_gap_grows_old():
    quiet = [(102.0, 102.0, 102.0, 102.0)] * 9
    frame = bars(*quiet, (102, 102, 100.8, 101.2))
    assert entries(FairValueGap, frame, **QUICK, max_age=10, side="long") == [(end_of(10), 1)]
    assert entries(FairValueGap, frame, **QUICK, max_age=9, side="long") == []


def test_a_deeper_fill_waits_for_it():
    frame = bars((102, 102, 100.8, 101.2), (101.2, 101.2, 100.5, 101))
    assert entries(FairValueGap, frame, **QUICK) == [(end_of(1), 1)]
    # Half of the gap from 101 to 100.1 is 100.55.
    assert entries(FairValueGap, frame, **QUICK, fill=0.5) == [(end_of(2), 1)]


def test_the_size_counts_in_average_ranges():
    frame = bars((102, 102, 100.8, 101.2))
    assert entries(FairValueGap, frame, atr_window=5, min_gap_atr=1.0) == [(end_of(1), 1)]
    assert entries(FairValueGap, frame, atr_window=5, min_gap_atr=5.0) == []


def test_a_bearish_gap_is_the_mirror_image():
    frame = bars((102, 102, 100.8, 101.2))
    mirrored = frame.with_columns(
        open=200 - pl.col("open"), high=200 - pl.col("low"), low=200 - pl.col("high"), close=200 - pl.col("close")
    )
    assert entries(FairValueGap, mirrored, **QUICK) == [(end_of(1), -1)]
    assert entries(FairValueGap, mirrored, **QUICK, side="long") == []


def test_missing_bars_make_no_gap():
    frame = bars((102, 102, 100.8, 101.2), drop=pl.col("ts") == GAP - timedelta(minutes=5))
    assert entries(FairValueGap, frame, **QUICK) == [(end_of(1), 1)]
    torn = bars((102, 102, 100.8, 101.2)).filter(pl.col("ts") != GAP - timedelta(minutes=1))
    torn = torn.with_columns(missing_before=pl.when(pl.col("ts") == GAP).then(1).otherwise(0))
    assert end_of(1) not in [moment for moment, _ in entries(FairValueGap, torn, **QUICK)]


def test_a_night_makes_no_gap():
    frame = calendar_frame("rth", DAY, date(2025, 2, 4))
    second = pl.col("trade_date") > DAY
    frame = frame.with_columns(
        pl.when(second).then(pl.col(n) + 5).otherwise(pl.col(n)).alias(n) for n in ("open", "high", "low", "close")
    )
    assert entries(FairValueGap, frame, **QUICK) == []


def test_returns_are_found_like_by_a_loop():
    frame = random_frame("rth", date(2025, 2, 3), date(2025, 2, 5), seed=8)
    high, low, close = (frame[n].to_numpy() for n in ("high", "low", "close"))
    day = frame["trade_date"].to_list()
    expected: dict[int, tuple[int, int]] = {}
    for i in range(2, frame.height):
        way = 1 if low[i] > high[i - 2] else -1 if high[i] < low[i - 2] else 0
        if not way or day[i] != day[i - 2]:
            continue
        near, far = (low[i], high[i - 2]) if way > 0 else (high[i], low[i - 2])
        for j in range(i + 1, min(i + 16, frame.height)):
            if day[j] != day[i] or way * (close[j] - far) <= 0:
                break
            if (low[j] <= near) if way > 0 else (high[j] >= near):
                if j not in expected or expected[j][0] < i:
                    expected[j] = (i, way)
                break
    stamps = frame["available_at"].to_list()
    to_close = frame["seconds_to_close"].to_list()
    plain = [(stamps[j], way) for j, (_, way) in sorted(expected.items()) if to_close[j] > 300]
    found = entries(FairValueGap, frame.with_columns(missing_before=0), atr_window=2, min_gap_atr=0.05, max_age=15)
    assert len(plain) > 100
    assert set(found) <= set(plain)
    # The least size drops a few of the loop's.
    assert len(found) > 0.8 * len(plain)
