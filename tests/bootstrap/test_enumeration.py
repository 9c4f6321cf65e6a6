"""Tiny bootstraps enumerated: every index path of five periods with its probability, against the kernels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from argus_core.bootstrap.joint_paths import best_of_trials, joint_paths
from argus_core.bootstrap.resampled_means import index_paths, resample_means, stationary_variance
from argus_core.evaluation.spa import spa_test, statistics_of_means, studentise

N = 5
RETURNS = np.array(
    [[0.12, -0.03, 0.02], [-0.15, 0.06, 0.05], [0.08, 0.02, -0.11], [0.05, -0.07, 0.04], [-0.02, 0.09, 0]]
)
PATHS = np.array(list(product(range(N), repeat=N)))
DRAWS = 40_000
BLOCKS = [1.0, 2.0, 5.0]


def probability(block: float) -> np.ndarray:
    """Exact probability of every row of `PATHS`: a uniform start, then restart with 1 / block or go on, wrapping."""
    follows = PATHS[:, 1:] == (PATHS[:, :-1] + 1) % N
    found = np.prod(1 / (block * N) + (1 - 1 / block) * follows, axis=1) / N
    assert found.sum() == pytest.approx(1)
    return found


def near(share: float, draws: int = DRAWS):
    """A share of draws, within four standard errors."""
    return pytest.approx(share, abs=4 * np.sqrt(max(share * (1 - share), 1 / draws) / draws))


def mean_near(values: np.ndarray, weight: np.ndarray, draws: int = DRAWS):
    """A mean of draws, within four standard errors, and its single-precision rounding."""
    mean = weight @ values
    return pytest.approx(mean, abs=4 * np.sqrt(weight @ (values - mean) ** 2 / draws) + 1e-6)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_index_path_comes_as_often_as_it_should(block):
    drawn = index_paths(N, block_length=block, paths=DRAWS, seed=12)
    code = drawn @ N ** np.arange(N - 1, -1, -1)
    counts, expected = np.bincount(code, minlength=N**N), probability(block) * DRAWS
    # Pearson's statistic of 3,124 degrees of freedom: sd about 79 and more, since the rare paths are very rare.
    pearson = ((counts - expected) ** 2 / expected).sum()
    spread = np.sqrt(2 * (N**N - 1) + (1 / (expected / DRAWS)).sum() / DRAWS)
    assert abs(pearson - (N**N - 1)) < 4 * spread


@pytest.mark.parametrize("block", BLOCKS)
def test_the_exact_variance_is_the_variance_of_all_paths(block):
    weight, means = probability(block), RETURNS[PATHS].mean(axis=1)
    variance = weight @ (means - RETURNS.mean(axis=0)) ** 2
    assert stationary_variance(RETURNS, block) == pytest.approx(np.sqrt(N * variance))
    assert weight @ means == pytest.approx(RETURNS.mean(axis=0))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("route", ["counts", "block_edges"])
def test_both_routes_to_the_means_are_the_bootstrap(block, route):
    drawn = resample_means(RETURNS, block_length=block, resamples=DRAWS, seed=3, route=route)
    weight, means = probability(block), RETURNS[PATHS].mean(axis=1)
    for column in range(3):
        assert drawn[:, column].mean() == mean_near(means[:, column], weight)
    # Joint: the chance that the first column's mean is above the second's.
    assert (drawn[:, 0] > drawn[:, 1] + 1e-12).mean() == near(weight[means[:, 0] > means[:, 1] + 1e-12].sum())


@pytest.mark.parametrize("block", BLOCKS)
def test_joint_paths_are_those_of_the_enumeration(block):
    weight, level = probability(block), 0.8
    mix = np.array([[0.5, 0.5, 0.0]])
    every = np.concatenate([RETURNS, RETURNS @ mix.T], axis=1)
    wealth = np.cumprod(1 + every[PATHS], axis=1)
    wealth = np.concatenate([np.ones((len(PATHS), 1, 4)), wealth], axis=1)
    peak = np.maximum.accumulate(wealth, axis=1)
    drawdown = (1 - wealth / peak).max(axis=1)
    ruined = (wealth <= level).any(axis=1)
    water = np.zeros(wealth.shape[::2], int)
    run = np.zeros_like(water)
    for step in range(1, N + 1):
        run = np.where(wealth[:, step] < peak[:, step] - 1e-9, run + 1, 0)
        water = np.maximum(water, run)
    found = joint_paths(RETURNS, block_length=block, paths=DRAWS, seed=8, ruin_level=level, weights=mix)
    for column in range(4):
        assert found.terminal[:, column].mean() == mean_near(wealth[:, -1, column], weight)
        assert found.max_drawdown[:, column].mean() == mean_near(drawdown[:, column], weight)
        assert found.ruined[:, column].mean() == near(weight @ ruined[:, column])
        # Back at a peak up to rounding may count as under water in single precision.
        assert found.time_under_water[:, column].mean() == pytest.approx(
            weight @ water[:, column], abs=0.03 + 4 * water.std() / np.sqrt(DRAWS)
        )
    # Both columns in one crash: the calendar is shared.
    assert (found.ruined[:, 0] & found.ruined[:, 2]).mean() == near(weight @ (ruined[:, 0] & ruined[:, 2]))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_best_of_all_trials_is_that_of_the_enumeration(block):
    weight, drawn, means = probability(block), RETURNS[PATHS].mean(axis=1), RETURNS.mean(axis=0)
    scale = np.sqrt(N) / stationary_variance(RETURNS, block)
    winner = np.argmax(drawn * scale, axis=1)
    rows = np.arange(len(PATHS))
    maxima = np.maximum(((drawn - means) * scale).max(axis=1), 0)
    found = best_of_trials(RETURNS, block_length=block, resamples=DRAWS, seed=4)
    assert found.selection_bias == mean_near(drawn[rows, winner] - means[winner], weight)
    assert found.null_maxima.mean() == mean_near(maxima, weight)
    for column in range(3):
        assert found.wins[column] == near(weight[winner == column].sum())


@pytest.mark.parametrize("block", BLOCKS)
def test_stepm_is_that_of_the_enumeration(block):
    weight = probability(block)
    means, omegas, t_values = studentise(RETURNS, block)
    order = np.argsort(-t_values)
    drawn = RETURNS[PATHS].mean(axis=1)
    expected, worst = np.ones(3), 0.0
    for rank, column in enumerate(order):
        rest = order[rank:]
        # The maximum over the column and all worse ones, recentred as the joint test does.
        maxima = statistics_of_means(drawn[:, rest], means[rest], omegas[rest], N)[:, 1]
        worst = max(worst, weight[maxima >= t_values[column] - 1e-9].sum())
        expected[column] = worst if t_values[column] > 0 else 1.0
    result = spa_test(RETURNS, block_length=block, resamples=DRAWS, seed=9)
    for column in range(3):
        assert result.adjusted_p[column] == near(expected[column])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("shift", [1, 3])
def test_turning_the_circle_of_periods_changes_no_distribution(block, shift):
    weight = probability(block)
    turned = np.roll(RETURNS, shift, axis=0)
    assert stationary_variance(turned, block) == pytest.approx(stationary_variance(RETURNS, block))
    one, other = (np.sort((values[PATHS].mean(axis=1) @ [1.0, 7.0, 31.0]).round(12)) for values in (RETURNS, turned))
    assert one == pytest.approx(other)
    for values in (0.0, 0.3):
        shares = [weight[v[PATHS].mean(axis=1)[:, 0] > values * 0.1].sum() for v in (RETURNS, turned)]
        assert shares[0] == pytest.approx(shares[1])
