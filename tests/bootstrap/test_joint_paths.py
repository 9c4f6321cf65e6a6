"""Joint paths: one calendar for all columns, the calendar of the joint test; the winner's curse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.bootstrap.joint_paths import best_of_trials, joint_block_length, joint_paths
from argus_core.bootstrap.resampled_means import index_paths
from argus_core.evaluation.spa import spa_test


def returns(n=120, k=4, seed=0, drift=0.0):
    return np.random.default_rng(seed).normal(drift, 0.01, (n, k))


def plainly(values, index, ruin_level):
    wealth = np.cumprod(1 + values[index], axis=0)
    path = np.concatenate([np.ones((1, values.shape[1])), wealth])
    peak = np.maximum.accumulate(path)
    under = path < peak
    longest = np.zeros(values.shape[1], int)
    for column in range(values.shape[1]):
        run = 0
        for flag in under[:, column]:
            run = run + 1 if flag else 0
            longest[column] = max(longest[column], run)
    return path[-1], (1 - path / peak).max(axis=0), longest, (path <= ruin_level).any(axis=0)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.floats(1, 20), st.integers(40, 200))
def test_paths_are_those_of_a_plain_loop_over_the_same_indices(seed, block, horizon):
    values = returns(seed=seed)
    weights = np.array([[0.5, 0.5, 0, 0], [0.25] * 4])
    found = joint_paths(
        values, block_length=block, paths=9, seed=seed, horizon=horizon, ruin_level=0.97, weights=weights
    )
    index = index_paths(len(values), block_length=block, paths=9, seed=seed, horizon=horizon)
    every = np.concatenate([values, values @ weights.T], axis=1)
    for path in range(9):
        terminal, drawdown, longest, ruined = plainly(every, index[path], 0.97)
        np.testing.assert_allclose(found.terminal[path], terminal, rtol=2e-4)
        np.testing.assert_allclose(found.max_drawdown[path], drawdown, atol=2e-5)
        assert np.abs(found.time_under_water[path] - longest).max() <= 1  # rounding of a new peak
        assert (found.ruined[path] == ruined).mean() > 0.8
    np.testing.assert_allclose(found.fan[:, -1, :], found.terminal[:, 4:], rtol=2e-4)
    assert found.fan_steps[-1] == horizon


def test_a_path_is_the_resample_of_the_joint_test_with_its_number():
    values = returns(n=90, k=3)
    found = best_of_trials(values, block_length=5.0, resamples=200, seed=11)
    tested = spa_test(values, block_length=5.0, resamples=200, seed=11)
    # The upper p-value of the joint test counts exactly these maxima.
    count = (found.null_maxima >= tested.statistic - 1e-9).sum()
    assert tested.p_upper == pytest.approx((1 + count) / 201)


def test_more_paths_do_not_change_the_first_ones():
    values = returns()
    few = joint_paths(values, block_length=4.0, paths=130, seed=3)
    many = joint_paths(values, block_length=4.0, paths=400, seed=3)
    np.testing.assert_array_equal(few.terminal, many.terminal[:130])


def test_a_clone_moves_like_its_twin_and_a_hedge_does_not_move():
    values = returns(k=2)
    values[:, 1] = values[:, 0]
    found = joint_paths(values, block_length=4.0, paths=50, seed=3, weights=np.array([[1.0, -1.0]]))
    np.testing.assert_array_equal(found.terminal[:, 0], found.terminal[:, 1])
    np.testing.assert_allclose(found.terminal[:, 2], 1.0)
    assert not found.ruined[:, 2].any()


def test_the_winner_is_flattered_and_a_lone_trial_is_not():
    null = [best_of_trials(returns(n=250, k=30, seed=s), block_length=1.0, resamples=300, seed=s) for s in range(10)]
    lone = [best_of_trials(returns(n=250, k=1, seed=s), block_length=1.0, resamples=300, seed=s) for s in range(10)]
    standard_error = 0.01 / 250**0.5
    assert np.mean([one.selection_bias for one in null]) > 0.7 * standard_error
    assert abs(np.mean([one.selection_bias for one in lone])) < 0.1 * standard_error
    assert null[0].wins.sum() == pytest.approx(1)


def test_a_clear_winner_is_hardly_flattered():
    values = returns(n=250, k=30)
    values[:, 7] += 0.01
    found = best_of_trials(values, block_length=1.0, resamples=300, seed=0)
    assert found.wins[7] > 0.99
    assert abs(found.selection_bias) < 0.1 * 0.01 / 250**0.5


def test_scale_changes_neither_the_race_nor_the_null():
    values = returns(k=5)
    scaled = values * np.array([1, 10, 0.1, 3, 7])
    one, other = (best_of_trials(v, block_length=2.0, resamples=200, seed=1) for v in (values, scaled))
    np.testing.assert_allclose(one.null_maxima, other.null_maxima)
    np.testing.assert_array_equal(one.wins, other.wins)


def test_blocks_follow_the_volatility():
    draw = np.random.default_rng(4)
    clusters = np.exp(np.cumsum(draw.normal(0, 0.05, 2000)) % 1.5)
    values = draw.normal(size=(2000, 3)) * clusters[:, None]
    assert joint_block_length(values) > 3 * joint_block_length(draw.normal(size=(2000, 3)))
    assert joint_block_length(np.zeros((50, 3))) == 1.0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="finite"):
        joint_paths(np.full((5, 2), np.nan), block_length=1.0, paths=5, seed=0)
    with pytest.raises(ValueError, match="weights have 3 columns, the returns 2"):
        joint_paths(returns(k=2), block_length=1.0, paths=5, seed=0, weights=np.ones((1, 3)))
