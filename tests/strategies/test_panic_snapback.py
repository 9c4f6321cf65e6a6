"""Falls, volume, reversals, and the levels that follow from them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.strategies.panic_snapback import PanicSnapback
from tests.strategies.frames import calendar_frame, entries, entry_rows, random_frame

DAY = date(2025, 2, 3)
FALL = 200
SET = {"bars": 5, "baseline": 100, "sigmas": 4.0, "confirm_bars": 5}


def panic(
    after: list[float] | None = None, *, heavy: float = 5.0, drop: float = 0.4, to: date = DAY, hours: str = "rth"
) -> pl.DataFrame:
    """Quiet at 100 (moves of 0.05), then five bars down by ``drop`` each from row `FALL` on, then closes ``after``."""
    height = 4_400
    close = 100 + 0.05 * (np.arange(height) % 2)
    close[FALL : FALL + 5] = 100 - drop * np.arange(1, 6)
    tail = after if after is not None else [98.5]
    close[FALL + 5 : FALL + 5 + len(tail)] = tail
    close[FALL + 5 + len(tail) :] = tail[-1]
    volume = np.full(height, 1_000.0)
    volume[FALL : FALL + 5] *= heavy
    frame = calendar_frame(hours, DAY, to, closes=close, wick=0.01, volume=volume)
    return frame.with_columns(vol_regime=pl.lit("NORMAL"))


def moment(frame: pl.DataFrame, row: int) -> datetime:
    return frame["available_at"][row]


def test_the_first_close_above_the_bar_before_is_bought():
    frame = panic([97.9, 97.8, 98.5])
    # Row 207 closes above the high of row 206, which is its open.
    assert entries(PanicSnapback, frame, **SET) == [(moment(frame, FALL + 7), 1)]


def test_the_levels_are_shares_of_the_fall():
    frame = panic([98.5])
    [row] = entry_rows(PanicSnapback, frame, **SET, trail_fraction=0.5, stop_buffer=0.1).iter_rows(named=True)
    # From the close of 100.05 to the low of 97.99.
    top, bottom = 100.05, 97.99
    fall = top - bottom
    assert row["stop_distance"] == pytest.approx(98.5 - bottom + 0.1 * fall)
    assert row["target_distance"] == pytest.approx(bottom + 0.5 * fall - 98.5)
    assert row["trail_distance"] == pytest.approx(0.5 * fall)
    assert row["break_even_distance"] == pytest.approx(0.25 * fall)
    assert row["max_hold_seconds"] == 90 * 60
    assert row["confidence"] == pytest.approx((bottom + 0.5 * fall - 98.5) / (0.5 * fall))


def test_the_fall_counts_in_deviations_of_the_bars_before_it():
    frame = panic()
    returns = np.diff(np.log(frame["close"].to_numpy()))
    usual = np.std(returns[FALL - 101 : FALL - 1], ddof=1) * np.sqrt(5)
    # At row 204 the five bars before it have fallen together.
    close = frame["close"].to_numpy()
    sigmas = float(np.log(close[FALL - 1] / close[FALL + 4]) / usual)
    assert len(entries(PanicSnapback, frame, **{**SET, "sigmas": sigmas * 0.999})) == 1
    assert entries(PanicSnapback, frame, **{**SET, "sigmas": sigmas * 1.001}) == []


def test_a_quiet_fall_is_no_panic():
    assert entries(PanicSnapback, panic(heavy=1.0), **SET) == []
    assert len(entries(PanicSnapback, panic(heavy=1.0), **SET, volume_ratio=0.9)) == 1


def test_a_reversal_that_comes_late_is_left_alone():
    # The panic lasts to row 208; from 214 on it is too late.
    slow = [98.0 - 0.001 * k for k in range(14)]
    assert entries(PanicSnapback, panic([*slow, 98.4]), **SET) == []
    assert len(entries(PanicSnapback, panic([*slow, 98.4]), **{**SET, "confirm_bars": 20})) == 1


def test_a_reversal_that_has_regained_the_target_is_left_alone():
    assert entries(PanicSnapback, panic([99.5]), **SET) == []
    assert len(entries(PanicSnapback, panic([99.5]), **SET, target_fraction=0.9)) == 1


def test_one_episode_is_bought_once():
    frame = panic([98.3, 98.1, 98.4, 98.2, 98.5])
    assert len(entries(PanicSnapback, frame, **SET)) == 1


def test_the_volatility_regime_can_be_asked_for():
    frame = panic()
    gated = {**SET, "only_high_volatility": True}
    for regime, count in (("NORMAL", 0), ("HIGH", 1), ("SPIKE", 1), (None, 0)):
        labelled = frame.with_columns(vol_regime=pl.lit(regime, pl.String))
        assert len(entries(PanicSnapback, labelled, **gated)) == count


def test_a_gap_over_night_is_no_fall():
    quiet = 100 + 0.05 * (np.arange(900) % 2)
    quiet[390:] -= 5
    # The second morning's volume is heavy and prices recover.
    quiet[392:] += 0.5
    volume = np.where(np.arange(900) >= 390, 9_000.0, 1_000.0)
    frame = calendar_frame("rth", DAY, date(2025, 2, 4), closes=quiet, volume=volume)
    assert entries(PanicSnapback, frame, **SET) == []


def test_around_the_clock_the_trade_date_does_not_matter():
    frame = panic(hours="always")
    shifted = frame.with_columns(
        trade_date=pl.when(pl.int_range(pl.len()) >= FALL + 2).then(date(2025, 2, 4)).otherwise(DAY)
    )
    assert len(entries(PanicSnapback, shifted, **SET)) == 1


def test_no_entry_shortly_before_the_close():
    frame = panic()
    left = frame["seconds_to_close"][FALL + 5]
    early = frame.with_columns(seconds_to_close=pl.col("seconds_to_close") - left + 120)
    assert entries(PanicSnapback, early, **SET) == []
    assert len(entries(PanicSnapback, early, **SET, flat_minutes=1)) == 1


def test_without_volume_there_is_no_baseline():
    assert entries(PanicSnapback, panic().with_columns(volume=pl.lit(0.0)), **SET, volume_ratio=0.0) == []


def test_entries_are_found_like_by_a_loop():
    frame = random_frame("rth", DAY, date(2025, 2, 6), seed=11)
    bars, baseline, confirm = 5, 60, 4
    close, high, volume = (frame[n].to_numpy() for n in ("close", "high", "volume"))
    low = frame["low"].to_numpy()
    day, left = frame["trade_date"].to_list(), frame["seconds_to_close"].to_list()
    returns = np.concatenate([[np.nan], np.diff(np.log(close))])
    newest, bought, expected = None, False, []
    for j in range(frame.height):
        i = j - bars
        if i >= baseline and day[i] == day[j]:
            usual = np.std(returns[i - baseline + 1 : i + 1], ddof=1) * np.sqrt(bars)
            ratio = volume[i + 1 : j + 1].mean() / volume[i - baseline + 1 : i + 1].mean()
            if -np.log(close[j] / close[i]) / usual >= 2.0 and ratio >= 1.2:
                if newest is None or j - newest > confirm + 1:
                    bought = False
                newest = j
        if newest is None or j - newest > confirm:
            continue
        if close[j] > high[j - 1] and not bought:
            bought = True
            first = max(j - bars - confirm, day.index(day[j]))
            top, bottom = close[first : j + 1].max(), low[first : j + 1].min()
            if left[j] > 300 and bottom + 0.5 * (top - bottom) > close[j]:
                expected.append((frame["available_at"][j], 1))
    params = {"bars": bars, "baseline": baseline, "confirm_bars": confirm, "sigmas": 2.0, "volume_ratio": 1.2}
    assert entries(PanicSnapback, frame, **params) == expected
    assert len(expected) >= 3


def test_times_are_those_of_the_decision():
    frame = panic([97.9, 97.8, 98.5])
    [(when, _)] = entries(PanicSnapback, frame, **SET)
    assert when == datetime(2025, 2, 3, 14, 30, tzinfo=UTC) + timedelta(minutes=FALL + 8)
