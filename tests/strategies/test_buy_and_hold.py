"""The benchmark strategy."""

from __future__ import annotations

import pytest

from argus_core.replay.lanes import replay_lanes
from argus_core.replay.metrics import compute_metrics
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.buy_and_hold import BuyAndHold
from tests.replay.frames import decision_frame, random_prices


def test_it_earns_what_the_market_earns_after_warm_up():
    frame = decision_frame(random_prices(3, 400), bars_per_day=100, warmup=100)
    free = ExecutionSettings(slippage_bps=0, commission_per_share=0, commission_min=0, participation=1.0)
    intents = BuyAndHold().intents(frame, BuyAndHold.Params())
    [result] = replay_lanes(
        frame, [intents], Instrument(symbol="X", asset_class="etf", lot=1e-6), free, starting_cash=1e5, symbol="X"
    )
    metrics = compute_metrics(result, days_per_year=252)
    assert metrics["total_return"] == pytest.approx(frame["close"][-1] / frame["open"][101] - 1, abs=1e-6)
    assert (metrics["n_trades"], metrics["n_days"]) == (1, 3)
    assert result.trades["exit_reason"].to_list() == ["forced"]
