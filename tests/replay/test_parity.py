"""The callback engine and the lane kernel are two implementations of one meaning: same intents, same trades."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.replay.callback import ColumnarAdapter, replay_callback
from argus_core.replay.lanes import replay_lanes
from argus_core.replay.results import TRADE_SCHEMA, ReplayResult
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import ColumnarStrategy, Params
from tests.replay.frames import decision_frame, full_intents, random_intents, random_prices

ETF = Instrument(symbol="SPY", asset_class="etf", tick=0.05)
BTC = Instrument(symbol="BTC", asset_class="crypto", hours="always", lot=0.001, tick=0.05)
HEIGHT = 60
#: Sums over several trades or costs, which the engines add up in another order. All else is equal to the bit.
SUMS = ("costs", "equity_at_entry", "trade_return")


class Recorded(ColumnarStrategy):
    """Returns intents that were made beforehand."""

    def __init__(self, intents: pl.DataFrame) -> None:
        self._intents = intents

    def intents(self, frame: pl.DataFrame, params: Params) -> pl.DataFrame:
        return self._intents.head(frame.height)


def both(frame: pl.DataFrame, lane: pl.DataFrame, instrument, execution) -> tuple[ReplayResult, ReplayResult]:
    arguments = {"starting_cash": 10_000.0, "symbol": instrument.symbol}
    adapter = ColumnarAdapter(Recorded(lane), Params(), frame)
    lanes = replay_lanes(frame, [lane], instrument, execution, **arguments)[0]
    return lanes, replay_callback(adapter, frame, instrument, execution, **arguments)


def assert_equal(lanes: ReplayResult, callback: ReplayResult) -> None:
    assert callback.trades.columns == lanes.trades.columns
    assert callback.trades.height == lanes.trades.height
    for name in TRADE_SCHEMA:
        if name in SUMS:
            a, b = lanes.trades[name].to_numpy(), callback.trades[name].to_numpy()
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            assert callback.trades[name].to_list() == lanes.trades[name].to_list(), name
    assert callback.daily["trade_date"].to_list() == lanes.daily["trade_date"].to_list()
    for name in ("equity", "daily_return"):
        np.testing.assert_allclose(callback.daily[name], lanes.daily[name], rtol=1e-9, atol=1e-9)
    assert (callback.fills, callback.partials) == (lanes.fills, lanes.partials)
    assert dict(callback.rejects) == dict(lanes.rejects)
    assert callback.offered == lanes.offered
    for name in ("final_equity", "exposure", "turnover"):
        assert getattr(callback, name) == pytest.approx(getattr(lanes, name), rel=1e-9), name


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    basis=st.sampled_from(["next_open", "next_open", "next_worst", "next_close", "signal_close"]),
    latency=st.sampled_from([0.0, 0.0, 61.0, 300.0]),
    leverage=st.sampled_from([1.0, 2.0]),
    multiplier=st.sampled_from([1.0, 1.5, 0.0]),
    crypto=st.booleans(),
    warmup=st.sampled_from([0, 15]),
    delay=st.sampled_from([0, 30]),
)
def test_random_intents_make_the_same_trades_in_both_engines(
    seed, basis, latency, leverage, multiplier, crypto, warmup, delay
):
    rng = np.random.default_rng(seed)
    frame = decision_frame(
        random_prices(seed, HEIGHT),
        bars_per_day=15,
        half_spread=rng.choice([0.01, 0.05, 0.2], HEIGHT),
        volume=rng.choice([0.0, 5.0, 400.0, 1e6], HEIGHT, p=[0.05, 0.05, 0.2, 0.7]),
        missing_before=rng.choice([0, 1, 20], HEIGHT, p=[0.9, 0.05, 0.05]),
        warmup=warmup,
        delay_seconds=delay,
        vol=rng.choice(["LOW", "NORMAL", "HIGH"], HEIGHT).tolist(),
        trend=rng.choice(["UP", "DOWN", "RANGE"], HEIGHT).tolist(),
    )
    execution = ExecutionSettings(
        price_basis=basis, latency_seconds=latency, leverage=leverage, cost_multiplier=multiplier, slippage_bps=1.0
    )
    instrument = BTC if crypto else ETF
    assert_equal(*both(frame, random_intents(seed + 1, HEIGHT), instrument, execution))
    assert_equal(*both(frame, full_intents(seed, HEIGHT), instrument, execution))


@pytest.mark.parametrize("basis", ["next_open", "next_worst", "next_close", "signal_close"])
def test_lots_trailing_and_break_even_stops_happen_and_are_equal(basis):
    reasons: set[str] = set()
    overlapping = 0
    for seed in range(6):
        frame = decision_frame(random_prices(seed, 200), bars_per_day=50, half_spread=0.01)
        lanes, callback = both(frame, full_intents(seed, 200), ETF, ExecutionSettings(price_basis=basis, leverage=2.0))
        assert_equal(lanes, callback)
        reasons |= set(lanes.trades["exit_reason"])
        ordered = lanes.trades.sort("entry_ts")
        overlapping += int((ordered["entry_ts"].shift(-1) < ordered["exit_ts"]).sum())
    assert {"signal", "stop", "break_even", "trailing", "target", "time"} <= reasons
    assert overlapping > 10


def test_intents_without_optional_columns_mean_the_same_in_both_engines():
    frame = decision_frame(random_prices(3, HEIGHT), bars_per_day=20, half_spread=0.02)
    lane = random_intents(4, HEIGHT, rate=0.3).select("enter")
    lanes, callback = both(frame, lane, ETF, ExecutionSettings())
    assert lanes.trades.height > 3
    assert_equal(lanes, callback)
