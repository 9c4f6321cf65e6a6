"""Selection-corrected Monte Carlo (statistics §5.1): the luck of a rank, estimated from the joint bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.robustness.selection_correction import corrected_trade_returns, selection_correction


def draws_of(returns: np.ndarray, rng: np.random.Generator, draws: int = 300) -> np.ndarray:
    """Joint iid bootstrap of the means: one set of counts for all runs."""
    periods = returns.shape[1]
    return rng.multinomial(periods, np.full(periods, 1 / periods), size=draws) / periods @ returns.T


def sweep(rng: np.random.Generator, lanes: int, periods: int, common: float = 0.0) -> np.ndarray:
    shared = np.sqrt(common) * rng.normal(size=periods)
    return shared + np.sqrt(1 - common) * rng.normal(size=(lanes, periods))


@pytest.mark.parametrize("common", [0.0, 0.5])
def test_the_best_of_a_null_sweep_is_unbiased_after_the_correction_and_biased_before(common):
    rng = np.random.default_rng(7)
    before, after, second = [], [], []
    for _ in range(250):
        returns = sweep(rng, 50, 250, common)
        found = selection_correction(returns, draws_of(returns, rng, 200))
        ratios = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        best, next_best = np.argsort(-ratios)[:2]
        before.append(ratios[best])
        after.append(ratios[best] - found.sharpe_shift[best])
        second.append(ratios[next_best] - found.sharpe_shift[next_best])
    error = np.std(before) / np.sqrt(len(before))
    assert np.mean(before) > 15 * error
    for corrected in (after, second):
        assert abs(np.mean(corrected)) < 4 * np.std(corrected) / np.sqrt(len(corrected))
        assert abs(np.mean(corrected)) < 0.08 * np.mean(before)


def test_a_real_winner_keeps_most_of_its_edge_where_shrinking_to_the_mean_would_take_it():
    rng = np.random.default_rng(3)
    kept, shrunk = [], []
    for _ in range(60):
        returns = sweep(rng, 50, 250)
        returns[11] += 0.4
        found = selection_correction(returns, draws_of(returns, rng))
        ratios = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        kept.append(ratios[11] - found.sharpe_shift[11])
        shrunk.append(ratios.mean() + max(0.0, 1 - (1 / 250) / ratios.var(ddof=1)) * (ratios[11] - ratios.mean()))
    # Never flattered, and far closer to the truth than the posterior mean of a normal prior.
    assert 0.25 < np.mean(kept) < 0.4
    assert np.mean(kept) > np.mean(shrunk) + 0.05


@settings(max_examples=40, deadline=None)
@given(
    lanes=st.integers(1, 12),
    periods=st.integers(5, 60),
    scale=st.floats(0.01, 100.0),
    seed=st.integers(0, 2**16),
    idle=st.booleans(),
)
def test_the_correction_never_raises_scales_with_size_and_ignores_the_order(lanes, periods, scale, seed, idle):
    rng = np.random.default_rng(seed)
    returns = sweep(rng, lanes, periods) * 0.01
    if idle:
        returns[0] = 0.0
    draws = draws_of(returns, rng, 64)
    found = selection_correction(returns, draws)
    assert (found.sharpe_shift >= 0).all()
    assert (found.mean_shift >= 0).all()
    assert 0.0 <= found.reliability < 1.0
    live = returns.std(axis=1) > 0
    assert sorted(found.rank[live]) == list(range(1, live.sum() + 1))
    if idle:
        assert found.rank[0] == 0
        assert found.mean_shift[0] == 0.0
    if live.sum() == 1:
        assert (found.sharpe_shift == 0).all()
    # A lane of another size is as lucky, and its mean is too high by so much more.
    sizes = np.ones(lanes)
    sizes[-1] = scale
    larger = selection_correction(returns * sizes[:, None], draws * sizes)
    np.testing.assert_allclose(larger.sharpe_shift, found.sharpe_shift, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(larger.mean_shift, found.mean_shift * sizes, rtol=1e-7, atol=1e-14)
    turned = rng.permutation(lanes)
    again = selection_correction(returns[turned], draws[:, turned])
    np.testing.assert_allclose(again.sharpe_shift, found.sharpe_shift[turned], rtol=1e-9, atol=1e-12)


def test_clones_of_one_strategy_are_not_selected_from():
    rng = np.random.default_rng(1)
    one = rng.normal(0.1, 1.0, 200)
    returns = np.tile(one, (40, 1))
    assert selection_correction(returns, draws_of(returns, rng)).sharpe_shift == pytest.approx(np.zeros(40), abs=1e-12)
    # And clones beside others do not tell which of them was tried first.
    mixed = np.vstack([returns[:3], sweep(rng, 10, 200)])
    shift = selection_correction(mixed, draws_of(mixed, rng)).sharpe_shift
    assert shift[0] == shift[1] == shift[2]


def test_the_shift_vanishes_as_history_grows():
    rng = np.random.default_rng(2)
    largest = []
    for periods in (100, 1_600, 25_600):
        returns = sweep(rng, 20, periods)
        largest.append(selection_correction(returns, draws_of(returns, rng)).sharpe_shift.max())
    # The error falls by four with sixteen times the history.
    assert largest[0] / largest[1] == pytest.approx(4.0, rel=0.3)
    assert largest[1] / largest[2] == pytest.approx(4.0, rel=0.3)


def test_the_more_was_tried_the_luckier_the_best_of_it():
    rng = np.random.default_rng(4)
    shifts = []
    for lanes in (2, 10, 50):
        sweeps = [sweep(rng, lanes, 250) for _ in range(20)]
        shifts.append(np.mean([selection_correction(one, draws_of(one, rng)).sharpe_shift.max() for one in sweeps]))
    # Expected maxima of 2, 10 and 50 standard normals, times the error of a Sharpe ratio.
    assert np.array(shifts) * np.sqrt(250) == pytest.approx([0.564, 1.539, 2.249], rel=0.12)


def test_trades_carry_exactly_what_the_days_carry():
    trades = np.array([0.01, -0.02, 0.03, 0.005])
    corrected = corrected_trade_returns(trades, 1e-4, 250)
    assert corrected.sum() == pytest.approx(trades.sum() - 1e-4 * 250)
    assert np.ptp(trades - corrected) == pytest.approx(0.0, abs=1e-15)
    assert corrected_trade_returns(trades, 0.0, 250) is trades
    assert corrected_trade_returns(np.array([-0.95, -1.2]), 1e-3, 250).tolist() == [-1.0, -1.2]
    assert corrected_trade_returns(np.empty(0), 1e-3, 250).size == 0


def test_what_does_not_fit_is_named():
    returns = np.zeros((3, 10))
    with pytest.raises(ValueError, match=r"resampled_means: shape \(5, 2\); give \(draws, 3\)"):
        selection_correction(returns, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="returns: shape"):
        selection_correction(returns[:, :1], np.zeros((5, 3)))
    with pytest.raises(ValueError, match="mean_shift is -1"):
        corrected_trade_returns(np.ones(2), -1.0, 5)
