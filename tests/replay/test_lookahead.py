"""The lookahead proof convicts cheats and acquits honest strategies."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from argus_core.replay.lookahead import perturb_future, prove_no_lookahead, prove_no_lookahead_callback
from argus_core.strategies.buy_and_hold import BuyAndHold
from argus_core.strategies.ema_cross_atr import EmaCrossAtr
from argus_core.strategies.interface import ColumnarStrategy
from argus_core.strategies.overnight_session import OvernightSession
from tests.replay import cheats
from tests.replay.frames import decision_frame, random_prices

HEIGHT = 600
FRAME = decision_frame(
    random_prices(8, HEIGHT),
    bars_per_day=100,
    fwd_return_14400=np.random.default_rng(1).normal(0, 0.01, HEIGHT),
    global_risk_flow=np.random.default_rng(2).normal(0, 0.01, HEIGHT),
)


def prove(strategy, params=None, *, cuts=3, seed=0, frame=FRAME):
    return prove_no_lookahead(strategy, params or {}, frame, cuts=cuts, seed=seed)


@pytest.mark.parametrize(
    "cheat",
    [
        cheats.NegativeShift,
        cheats.FullSampleScaling,
        cheats.CentredWindow,
        cheats.FutureStop,
        cheats.BackwardFill,
        cheats.GlobalState,
        cheats.ModuleState,
        cheats.InstanceState,
    ],
    ids=lambda cls: cls.__name__,
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_cheat_is_convicted_whatever_the_seed(cheat, seed):
    proof = prove(cheat, seed=seed)
    assert not proof.ok
    assert "row" in proof.detail


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        (cheats.Honest, {}),
        (BuyAndHold, {}),
        (EmaCrossAtr, {"fast": 5, "slow": 20, "atr_window": 10, "target_atr": 3.0, "allow_short": True}),
        (OvernightSession, {"entry_window_minutes": 30, "min_global_risk_flow": 0.0}),
    ],
)
def test_an_honest_strategy_is_acquitted(strategy, params):
    proof = prove(strategy, params, cuts=6)
    assert proof.ok, proof.detail
    assert "6 cuts" in proof.detail


def test_a_peek_of_one_bar_is_found_with_a_single_cut():
    assert not prove(cheats.NegativeShift, cuts=1).ok


def test_a_model_of_parameters_is_accepted():
    assert prove(EmaCrossAtr, EmaCrossAtr.Params(fast=5, slow=20)).ok


def test_a_strategy_defined_in_a_function_is_proved_too():
    class Local(ColumnarStrategy):
        def intents(self, frame, params):
            return frame.select(enter=(pl.col("close").shift(-1) > pl.col("close")).fill_null(False).cast(pl.Int8))

    assert not prove(Local).ok


def test_the_proof_is_deterministic():
    assert prove(cheats.NegativeShift, seed=4) == prove(cheats.NegativeShift, seed=4)


def test_perturbing_changes_the_future_only_and_keeps_bars_valid():
    for direction in (1, -1):
        changed = perturb_future(FRAME, 200, seed=3, direction=direction)
        assert changed.schema == FRAME.schema
        assert changed.head(200).equals(FRAME.head(200))
        future = changed.slice(200)
        for column in ("open", "high", "low", "close", "volume", "fwd_return_14400", "global_risk_flow"):
            assert (future[column] != FRAME[column].slice(200)).all(), column
        assert future.select(
            (
                (pl.col("low") <= pl.min_horizontal("open", "close"))
                & (pl.col("high") >= pl.max_horizontal("open", "close"))
            ).all()
        ).item()
        assert future["ts"].equals(FRAME["ts"].slice(200))


def callback_proof(rule):
    """Run ``rule(closes, row, last) -> bool`` over the rows that a frame has."""

    def decide(frame, options):
        closes = frame["close"].to_numpy()
        quotes = None if options is None else options["bid"].to_numpy()
        times = frame["available_at"].dt.timestamp("us").to_list()
        return [(t, ("open", row)) for row, t in enumerate(times[:-1]) if rule(closes, row, quotes)]

    options = pl.DataFrame({"recv_ts": FRAME["available_at"], "bid": FRAME["close"] / 50})
    return prove_no_lookahead_callback(decide, FRAME, options, cuts=4, seed=1)


def test_an_honest_callback_is_acquitted():
    proof = callback_proof(lambda closes, row, quotes: closes[row] > closes[max(row - 1, 0)])
    assert proof.ok, proof.detail


def test_a_callback_that_knows_the_whole_sample_is_convicted():
    assert not callback_proof(lambda closes, row, quotes: closes[row] > closes.mean()).ok


def test_a_callback_that_reads_later_option_quotes_is_convicted():
    proof = callback_proof(lambda closes, row, quotes: quotes.max() > 1.01 * closes[: row + 1].max() / 50)
    assert not proof.ok
    assert "decision" in proof.detail
