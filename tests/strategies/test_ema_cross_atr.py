"""Crosses, exits and distances of the trend strategy."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from argus_core.replay.lanes import replay_lanes
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.ema_cross_atr import EmaCrossAtr
from tests.replay.frames import decision_frame, random_prices

FRAME = decision_frame(random_prices(21, 1_500))
CLOSE = FRAME["close"].to_numpy()


def intents(**params):
    return EmaCrossAtr().intents(FRAME, EmaCrossAtr.Params(**params))


def plain_ema(length: int) -> np.ndarray:
    out = np.full(len(CLOSE), np.nan)
    out[length - 1] = CLOSE[:length].mean()
    for k in range(length, len(CLOSE)):
        out[k] = out[k - 1] + 2 / (length + 1) * (CLOSE[k] - out[k - 1])
    return out


def test_it_enters_on_crosses_and_leaves_below():
    fast, slow = plain_ema(8), plain_ema(30)
    above = fast > slow
    found = intents(fast=8, slow=30, atr_window=5)
    crosses = [k for k in range(30, len(CLOSE)) if above[k] and not above[k - 1]]
    assert np.flatnonzero(found["enter"].to_numpy()).tolist() == crosses
    assert len(crosses) > 10
    assert found["exit"].to_numpy()[29:].tolist() == (~above[29:]).tolist()
    assert not found["exit"].to_numpy()[:29].any()


def test_distances_are_multiples_of_the_average_true_range():
    high, low = FRAME["high"].to_numpy(), FRAME["low"].to_numpy()
    before = np.concatenate([[np.nan], CLOSE[:-1]])
    ranges = np.fmax(high - low, np.fmax(np.abs(high - before), np.abs(low - before)))
    atr = np.full(len(CLOSE), np.nan)
    atr[9] = ranges[:10].mean()
    for k in range(10, len(CLOSE)):
        atr[k] = (atr[k - 1] * 9 + ranges[k]) / 10
    found = intents(fast=8, slow=30, atr_window=10, stop_atr=2.0, target_atr=3.0)
    np.testing.assert_allclose(found["stop_distance"].to_numpy()[9:], 2 * atr[9:], rtol=1e-9)
    np.testing.assert_allclose(found["target_distance"].to_numpy()[9:], 3 * atr[9:], rtol=1e-9)


def test_without_multiples_there_are_no_distances():
    assert intents(stop_atr=None).columns == ["enter", "exit"]


def test_nothing_is_entered_before_the_range_is_known():
    assert not intents(fast=5, slow=20, atr_window=1_000)["enter"].to_numpy()[:999].any()


def test_with_shorts_a_cross_reverses_the_position():
    found = intents(fast=8, slow=30, stop_atr=None, allow_short=True)
    instrument = Instrument(symbol="X", asset_class="etf")
    [result] = replay_lanes(FRAME, [found], instrument, ExecutionSettings(), starting_cash=1e5, symbol="X")
    sides = result.trades["side"].to_numpy()
    assert len(sides) > 20
    assert np.mean(sides[1:] != sides[:-1]) > 0.9


def test_one_instance_gives_the_same_intents_for_any_order_of_frames_and_parameters():
    other = decision_frame(random_prices(22, 900))
    shared = EmaCrossAtr()
    quick, slow = EmaCrossAtr.Params(fast=5, slow=20), EmaCrossAtr.Params(fast=8, slow=60)
    for frame, params in [(FRAME, quick), (other, quick), (FRAME, slow), (FRAME, quick), (other, slow)]:
        assert shared.intents(frame, params).equals(EmaCrossAtr().intents(frame, params))


def test_fast_must_be_faster_than_slow():
    with pytest.raises(ValidationError, match="fast 50 must be smaller than slow 50"):
        EmaCrossAtr.Params(fast=50, slow=50)
