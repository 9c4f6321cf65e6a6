"""PairSpread: the fitted relation, both legs, baskets, lost legs, stale references, and the end of the day."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from argus_core.experiments.sweep import load_sweep
from argus_core.replay.callback import replay_callback
from argus_core.replay.lookahead import Scene, prove_callback
from argus_core.replay.reference import Reference
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.pair_spread import PairSpread, PairSpreadParams
from tests.replay.frames import decision_frame

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, JUMP = 240, 150
FREE = ExecutionSettings(slippage_bps=0, commission_min=0, commission_per_share=0, participation=1.0)
ETF = Instrument(symbol="SPY", asset_class="etf", lot=0.001)


def flat(path, bars_per_day: int = HEIGHT) -> pl.DataFrame:
    path = np.asarray(path, float)
    return decision_frame(np.column_stack([path] * 4), bars_per_day=bars_per_day)


def market(bump: dict[int, float] | None = None, *, beta: float = 1.0, seed: int = 3, noise: float = 1e-4):
    """A primary that moves ``beta`` times its reference plus noise; ``bump``: log deviation of six bars."""
    rng = np.random.default_rng(seed)
    common = np.cumsum(rng.normal(0, 1e-3, HEIGHT))
    own = rng.normal(0, noise, HEIGHT)
    for row, size in (bump or {}).items():
        own[row : row + 6] += size
    return flat(100 * np.exp(beta * common + own)), flat(50 * np.exp(common))


def run(frames, *, execution=FREE, **params):
    primary, *others = frames
    values = {"window": 100, "entry_z": 6.0, "stop_z": None, "flat_minutes": 0, **params}
    references = {f"R{k}": Reference(frame, ETF) for k, frame in enumerate(others)}
    return replay_callback(
        PairSpread(PairSpreadParams(**values)), primary, ETF, execution, starting_cash=100_000.0, symbol="SPY",
        references=references,
    )  # fmt: skip


def legs(result) -> list[tuple[str, int, float]]:
    """Symbol, side and dollars of every trade."""
    rows = result.trades.sort("entry_ts", "symbol", descending=[False, True]).iter_rows(named=True)
    return [(row["symbol"], row["side"], row["quantity"] * row["entry_price"]) for row in rows]


@pytest.mark.parametrize(("size", "side"), [(0.002, -1), (-0.002, 1)])
def test_what_is_dear_is_sold_against_as_many_dollars_and_closed_on_return(size, side):
    result = run(market({JUMP: size}))
    [(one, first, dollars), (other, second, against)] = legs(result)
    assert (one, first, other, second) == ("SPY", side, "R0", -side)
    assert dollars == pytest.approx(45_000, rel=0.01)
    assert against == pytest.approx(45_000, rel=0.01)
    ts = market()[0]["ts"]
    assert set(result.trades["entry_ts"]) == {ts[JUMP + 1]}
    assert set(result.trades["exit_ts"]) == {ts[JUMP + 7]}
    assert set(result.trades["exit_reason"]) == {"profit_target"}
    assert result.final_equity - 100_000 == pytest.approx(0.002 * 45_000, rel=0.3)


def test_a_move_that_both_share_is_none():
    primary, other = market()
    shared = np.where(np.arange(HEIGHT) >= JUMP, 1.03, 1.0)
    prices = ("open", "high", "low", "close")
    moved = [frame.with_columns(pl.col(*prices) * pl.Series(shared)) for frame in (primary, other)]
    assert run(moved).trades.is_empty()


def test_the_hedge_can_follow_the_slope_or_be_left_out():
    frames = market({JUMP: 0.002}, beta=0.5)
    by_slope = legs(run(frames, hedge="beta"))
    assert by_slope[1][2] / by_slope[0][2] == pytest.approx(0.5, rel=0.05)
    assert [symbol for symbol, *_ in legs(run(frames, hedge="none"))] == ["SPY"]
    assert legs(run(frames, hedge="dollar"))[1][2] == pytest.approx(45_000, rel=0.01)


def test_a_relation_that_is_none_is_not_traded():
    assert run(market({JUMP: 0.002}, beta=0.2)).trades.is_empty()
    assert run(market({JUMP: 0.002}, beta=0.2), min_slope=0.1).trades.height == 2
    assert run(market({JUMP: -0.002}, beta=2.0), max_slope=1.5).trades.is_empty()
    assert run((market()[0], flat(np.full(HEIGHT, 50.0)))).trades.is_empty()


def test_a_basket_shares_the_other_leg():
    primary, other = market({JUMP: 0.002})
    twin = other.with_columns(pl.col("open", "high", "low", "close") * 3.0)
    result = run((primary, other, twin))
    assert [(symbol, side) for symbol, side, _ in legs(result)] == [("SPY", -1), ("R1", 1), ("R0", 1)]
    assert [dollars for *_, dollars in legs(result)] == pytest.approx([45_000, 22_500, 22_500], rel=0.01)
    assert set(result.trades["exit_reason"]) == {"profit_target"}


def test_the_distance_that_grows_is_given_up_and_one_that_stays_runs_out_of_time():
    stopped = run(market({JUMP: 0.0015, JUMP + 2: 0.004}), stop_z=20.0)
    assert set(stopped.trades["exit_reason"][:2]) == {"stop_loss"}
    stays = run(market(dict.fromkeys(range(JUMP, 230, 6), 0.0015)), max_hold_bars=3)
    first = stays.trades.row(0, named=True)
    assert (first["exit_reason"], first["holding_seconds"]) == ("time", 180.0)


def test_a_position_that_lost_a_leg_is_closed():
    primary, other = market({JUMP: 0.002})
    row = pl.int_range(pl.len())
    thin = other.with_columns(volume=pl.when(row == JUMP + 1).then(0.0).otherwise(pl.col("volume")))
    result = run((primary, thin))
    assert dict(result.rejects)["INSUFFICIENT_SIZE"] >= 1
    first = result.trades.row(0, named=True)
    assert (first["symbol"], first["exit_reason"], first["holding_seconds"]) == ("SPY", "signal", 60.0)


def test_a_stale_reference_decides_nothing_and_is_not_fitted():
    primary, other = market({JUMP: 0.002})
    row = pl.int_range(pl.len())
    gone = other.filter(~row.is_between(JUMP - 5, JUMP + 10))
    assert run((primary, gone)).trades.is_empty()
    assert run((primary, gone), max_apart_seconds=3_600).trades.height > 0


def test_positions_are_flat_before_the_close_and_none_is_opened_there():
    frames = market(dict.fromkeys(range(202, 240, 6), 0.0015))
    result = run(frames, flat_minutes=30)
    left = frames[0]["seconds_to_close"].to_numpy()
    assert set(result.trades["exit_reason"]) == {"time"}
    assert result.trades["exit_ts"].max() == frames[0]["ts"][int(np.argmax(left <= 1_800)) + 1]
    assert run(market({HEIGHT - 20: 0.002}), flat_minutes=30).trades.is_empty()


def test_bars_of_a_day_have_no_end_of_the_day():
    primary, other = market({JUMP: 0.002})
    spread = [
        frame.with_columns(
            ts=pl.datetime(2024, 1, 1, 14, 30, time_zone="UTC") + pl.duration(days=pl.int_range(pl.len())),
            seconds_to_close=pl.lit(0),
        ).with_columns(end=pl.col("ts") + pl.duration(hours=6, minutes=30), trade_date=pl.col("ts").dt.date())
        for frame in (primary, other)
    ]
    daily = [frame.with_columns(available_at=pl.col("end")) for frame in spread]
    assert run(daily, flat_minutes=15).trades.height == 2


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60))
def test_the_judgement_is_that_of_a_regression_over_the_window_before(seed, window):
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(0, 1e-3, 150))
    y = 0.7 * x + np.cumsum(rng.normal(0, 3e-4, 150))
    strategy = PairSpread(PairSpreadParams(window=window))
    bars = iter(zip(x.tolist(), y.tolist(), strict=True))
    strategy._pair = lambda view: next(bars)
    for row in range(150):
        judged = strategy._newest(None)
        if row < window:
            assert judged is None
            continue
        past = slice(row - window, row)
        slope, level = np.polyfit(x[past], y[past], 1)
        deviation = np.std(y[past] - level - slope * x[past])
        assert judged.slope == pytest.approx(slope, rel=1e-6)
        assert judged.z == pytest.approx((y[row] - level - slope * x[row]) / deviation, rel=1e-5, abs=1e-7)


def test_without_a_reference_it_says_what_is_missing():
    with pytest.raises(ValueError, match=r"no reference symbol\. Name it under pack\.references"):
        run((market()[0],))


def test_it_does_not_look_ahead():
    primary, other = market({JUMP: 0.002, 190: -0.002})

    def replay(strategy, scene):
        references = {"R0": Reference(scene.references["R0"], ETF)}
        return replay_callback(strategy, scene.frame, ETF, FREE, starting_cash=1e5, symbol="SPY", references=references)

    params = {"window": 60, "entry_z": 2.0, "flat_minutes": 0}
    proof = prove_callback(PairSpread, params, Scene(primary, None, {"R0": other}), replay, cuts=3, seed=1)
    assert proof.ok, proof.detail


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"exit_z": 3.0}, r"exit_z 3\.0 must be below"),
        ({"stop_z": 1.0}, r"stop_z 1\.0 must be above"),
        ({"min_slope": 5.0}, "must not exceed"),
    ],
)
def test_parameters_in_the_wrong_order_are_refused(bad, words):
    with pytest.raises(ValidationError, match=words):
        PairSpreadParams(**bad)


def test_the_shipped_sweep_is_valid():
    sets = load_sweep(ROOT / "config" / "sweeps" / "pair_spread.yaml")
    assert len({PairSpreadParams(**values) for values in sets}) == len(sets) == 36
