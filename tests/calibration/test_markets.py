"""Markets without an edge: what stays of the real ones, and what is gone."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.calendar import load_calendar
from argus_core.calibration.markets import RealSessions, real_sessions, tape_of, with_night_drift
from argus_core.settings import UniverseSettings

CALENDAR = load_calendar("XNYS")
SPY = UniverseSettings.parse(
    {"instruments": {"SPY": {"asset_class": "etf", "bar_seconds": 1800}}}, source="test"
).instrument("SPY")


def made_up(sessions=80, bars=13, seed=0, drift=0.001):
    draw = np.random.default_rng(seed)
    opens = draw.normal(0, 0.002, (sessions, bars)) * (np.arange(bars) == 0)
    close = opens + draw.normal(drift, 0.003, (sessions, bars))
    high = np.maximum(opens, close) + draw.exponential(0.001, (sessions, bars))
    low = np.minimum(opens, close) - draw.exponential(0.001, (sessions, bars))
    return RealSessions(np.stack([opens, high, low, close], axis=2), draw.integers(1, 99, (sessions, bars)) * 1.0)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["signs", "blocks"]), st.integers(0, 10_000), st.integers(60, 200))
def test_every_redrawn_bar_is_a_bar(source, seed, count):
    redrawn = made_up().redrawn(source, count, seed)
    opens, high, low, close = np.moveaxis(redrawn.offsets, 2, 0)
    assert redrawn.offsets.shape == (count, 13, 4)
    assert (high >= np.maximum(opens, close) - 1e-12).all()
    assert (low <= np.minimum(opens, close) + 1e-12).all()
    again = made_up().redrawn(source, count, seed)
    assert np.array_equal(redrawn.offsets, again.offsets)


def test_signs_keep_sizes_and_lose_the_drift():
    real = made_up(drift=0.002)
    drawn = [real.redrawn("signs", 80, seed).offsets[:, :, 3] for seed in range(40)]
    assert np.allclose(np.sort(np.abs(drawn[0]), axis=None), np.sort(np.abs(real.offsets[:, :, 3]), axis=None))
    assert abs(np.mean(drawn)) < 4 * 0.0036 / np.sqrt(40 * 80 * 13)
    assert real.offsets[:, :, 3].mean() > 0.0015


def test_blocks_are_demeaned_by_time_of_day_and_part_days_from_nights():
    real = made_up(sessions=400, drift=0.002)
    # Plant the night in the day: whoever is up sleeps well.
    real.offsets[1:, 0, :] += 0.5 * real.offsets[:-1, 1:, 3].sum(axis=1)[:, None]
    redrawn = real.redrawn("blocks", 4000, 3)
    nights, days = redrawn.offsets[1:, 0, 0], redrawn.offsets[:-1, 1:, 3].sum(axis=1)
    own = np.corrcoef(real.offsets[1:, 0, 0], real.offsets[:-1, 1:, 3].sum(axis=1))[0, 1]
    assert own > 0.8
    assert abs(np.corrcoef(nights, days)[0, 1]) < 0.1
    assert abs(redrawn.offsets[:, 1:, 3].mean()) < 2e-4


def test_an_unknown_source_names_the_known_ones():
    with pytest.raises(ValueError, match="known: signs, blocks"):
        made_up().redrawn("simulated", 10, 0)


def test_bars_become_sessions_and_sessions_bars_again():
    days = CALENDAR.last_sessions(date(2025, 6, 20), 80)  # no half day among them
    real = made_up()
    tape = tape_of(real, CALENDAR, SPY, list(days), price=500.0)
    bars = pl.concat([tape.bars(SPY, day) for day in days])
    back = real_sessions(bars, CALENDAR, SPY)
    # The night before the first session is not known, so that session is left out.
    assert back.offsets.shape == real.offsets[1:].shape
    # Prices are rounded to a cent: 0.2 bp at 500 dollars, on both ends.
    np.testing.assert_allclose(back.offsets, real.offsets[1:], atol=5e-5)
    np.testing.assert_array_equal(back.volumes, real.volumes[1:])


def test_a_hole_in_the_history_is_no_night():
    days = CALENDAR.last_sessions(date(2025, 6, 20), 90)
    real = made_up(90)
    real.offsets[:, 0] += (np.arange(90) == 40)[:, None] * 0.12  # what happened in the hole
    tape = tape_of(real, CALENDAR, SPY, list(days), price=500.0)
    bars = pl.concat([tape.bars(SPY, day) for number, day in enumerate(days) if number not in range(30, 40)])
    back = real_sessions(bars, CALENDAR, SPY)
    assert len(back.offsets) == 90 - 10 - 2
    assert np.abs(back.offsets[:, 0, 0]).max() < 0.05


def test_a_short_history_says_what_is_needed():
    days = CALENDAR.last_sessions(date(2025, 3, 31), 20)
    tape = tape_of(made_up(20), CALENDAR, SPY, list(days))
    with pytest.raises(ValueError, match="only 19 whole sessions of 1800 s bars in a row; at least 60"):
        real_sessions(pl.concat([tape.bars(SPY, day) for day in days]), CALENDAR, SPY)


def test_a_planted_drift_moves_nights_and_nothing_else():
    days = CALENDAR.last_sessions(date(2025, 3, 31), 70)
    tape = tape_of(made_up(70), CALENDAR, SPY, list(days))
    bars = pl.concat([tape.bars(SPY, day).with_columns(trade_date=pl.lit(day)) for day in days])
    planted = with_night_drift(bars, 0.003)

    def parts(frame):
        daily = frame.group_by("trade_date", maintain_order=True).agg(pl.col("open").first(), pl.col("close").last())
        return np.log(daily["open"][1:] / daily["close"][:-1]), np.log(daily["close"] / daily["open"])

    (night, day), (night_planted, day_planted) = parts(bars), parts(planted)
    np.testing.assert_allclose(night_planted - night, 0.003, atol=1e-12)
    np.testing.assert_allclose(day_planted, day, atol=1e-12)
