"""Pairs and bases: dear legs are sold, cheap ones bought, lost legs closed, stale references ignored."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from argus_core.replay.callback import replay_callback
from argus_core.replay.lookahead import Scene, prove_callback
from argus_core.replay.reference import Reference
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.crypto_etf_basis import CryptoEtfBasis
from argus_core.strategies.pair_spread import PairSpread
from tests.replay.frames import decision_frame

HEIGHT = 240
FREE = ExecutionSettings(slippage_bps=0, commission_min=0, commission_per_share=0, participation=1.0)
SPY = Instrument(symbol="SPY", asset_class="etf", lot=0.001)
QQQ = Instrument(symbol="QQQ", asset_class="etf", lot=0.001)


def flat(path) -> pl.DataFrame:
    path = np.asarray(path, float)
    return decision_frame(np.column_stack([path] * 4), bars_per_day=HEIGHT)


def market(bump: dict[int, float] | None = None, seed: int = 3) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A primary with beta 2 to its reference plus noise; ``bump``: log deviation of the primary at single bars."""
    rng = np.random.default_rng(seed)
    common = np.cumsum(rng.normal(0, 1e-3, HEIGHT))
    own = rng.normal(0, 1e-4, HEIGHT)
    for row, size in (bump or {}).items():
        own[row : row + 6] += size
    return flat(100 * np.exp(2 * common + own)), flat(50 * np.exp(common))


def run(cls, frames, execution=FREE, **params):
    primary, other = frames
    strategy = cls(cls.Params(**params))
    return replay_callback(
        strategy, primary, SPY, execution, starting_cash=100_000.0, symbol="SPY",
        references={"QQQ": Reference(other, QQQ)},
    )  # fmt: skip


def test_a_dear_primary_is_sold_against_the_hedge_ratio_and_closed_on_return():
    result = run(PairSpread, market({150: 0.002}), entry_z=5.0, stop_z=None, window=100)
    short, long = sorted(result.trades.iter_rows(named=True), key=lambda trade: trade["side"])
    assert (short["symbol"], long["symbol"]) == ("SPY", "QQQ")
    assert short["entry_ts"] == long["entry_ts"] == market()[0]["ts"][151]
    assert short["quantity"] * short["entry_price"] == pytest.approx(40_000, rel=0.01)
    # Beta 2 wants twice the notional against it; 60,000 dollars of buying power are left.
    assert long["quantity"] * long["entry_price"] == pytest.approx(60_000, rel=0.01)
    assert {short["exit_reason"], long["exit_reason"]} == {"profit_target"}
    assert result.final_equity > 100_000


def test_a_cheap_primary_is_bought_and_unhedged_it_is_alone():
    result = run(PairSpread, market({150: -0.002}), entry_z=5.0, stop_z=None, window=100, hedged=False)
    [trade] = result.trades.iter_rows(named=True)
    assert (trade["symbol"], trade["side"]) == ("SPY", 1)
    assert run(
        PairSpread, market({150: 0.002}), entry_z=5.0, stop_z=None, window=100, allow_short=False
    ).trades.is_empty()


def test_a_deviation_that_grows_is_given_up_and_one_that_stays_runs_out_of_time():
    grows = {150: 0.0015, 152: 0.004}
    stopped = run(PairSpread, market(grows), entry_z=5.0, stop_z=12.0, window=100, hedged=False)
    assert stopped.trades["exit_reason"][0] == "stop_loss"
    stays = dict.fromkeys(range(150, 230, 6), 0.0015)
    late = run(PairSpread, market(stays), entry_z=5.0, stop_z=None, window=100, max_hold_bars=3, hedged=False)
    first = late.trades.row(0, named=True)
    assert (first["exit_reason"], first["holding_seconds"]) == ("time", 180.0)


def test_a_position_that_lost_a_leg_is_closed():
    primary, other = market({150: 0.002})
    # Nothing can be bought of the reference.
    thin = other.with_columns(volume=pl.when(pl.int_range(pl.len()) == 151).then(0.0).otherwise(pl.col("volume")))
    result = run(PairSpread, (primary, thin), entry_z=5.0, stop_z=None, window=100)
    first = result.trades.row(0, named=True)
    assert dict(result.rejects)["INSUFFICIENT_SIZE"] >= 1
    assert (first["symbol"], first["exit_reason"]) == ("SPY", "signal")
    assert first["holding_seconds"] == 60.0


def test_a_stale_reference_decides_nothing():
    primary, other = market({150: 0.002})
    gone = other.filter(~pl.int_range(pl.len()).is_between(140, 160))
    assert run(PairSpread, (primary, gone), entry_z=5.0, stop_z=None, window=100).trades.is_empty()


def test_the_judgement_is_that_of_a_regression_over_the_window():
    primary, other = market({150: 0.002})
    strategy = PairSpread(PairSpread.Params(window=60))
    x, y = (np.log(frame["close"].to_numpy()) for frame in (primary, other))
    x, y = x - x[0], y - y[0]
    for row in range(HEIGHT):
        judged = strategy._judge(x[row], y[row])
        strategy._remember(x[row], y[row])
        if row < 60:
            assert judged is None
            continue
        past = slice(row - 60, row)
        slope, intercept = np.polyfit(y[past], x[past], 1)
        residual = x[past] - intercept - slope * y[past]
        expected = (x[row] - intercept - slope * y[row]) / residual.std()
        assert judged[0] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert judged[1] == pytest.approx(slope, rel=1e-6)


def test_a_basis_hedges_one_to_one():
    rng = np.random.default_rng(5)
    coin = np.cumsum(rng.normal(0, 1e-3, HEIGHT))
    basis = rng.normal(0, 1e-4, HEIGHT)
    basis[150:154] += 0.002
    result = run(CryptoEtfBasis, (flat(40 * np.exp(coin + basis)), flat(6e4 * np.exp(coin))), window=50, entry_z=5.0,
                 stop_z=None)  # fmt: skip
    short, long = result.trades.sort("side").iter_rows(named=True)
    assert short["quantity"] * short["entry_price"] == pytest.approx(long["quantity"] * long["entry_price"], rel=0.01)
    assert result.final_equity > 100_000


def test_parameters_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"exit_z 3\.0 must be below entry_z 2\.0"):
        PairSpread.Params(exit_z=3.0)
    with pytest.raises(ValueError, match=r"stop_z 1\.0 must be above entry_z 2\.0"):
        PairSpread.Params(stop_z=1.0)


def test_a_pair_does_not_look_ahead():
    primary, other = market({150: 0.002, 180: -0.002})

    def replay(strategy, scene):
        references = {"QQQ": Reference(scene.references["QQQ"], QQQ)}
        return replay_callback(
            strategy, scene.frame, SPY, FREE, starting_cash=1e5, symbol="SPY", references=references
        ).decisions

    params, scene = {"window": 60, "entry_z": 3.0}, Scene(primary, None, {"QQQ": other})
    proof = prove_callback(PairSpread, params, scene, replay, cuts=3, seed=1)
    assert proof.ok, proof.detail
