"""When more paths can no longer change a decision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm

from argus_core.bootstrap.trade_paths import PathStatistics
from argus_core.robustness.path_count import (
    ERROR,
    error_per_interval,
    quantile_interval,
    share_interval,
    undecided,
)
from argus_core.settings.loop import McKillThresholds

NONE = McKillThresholds(median_return_min=None, p95_drawdown_max=None, ruin_prob_max=None, fraction_positive_min=None)


def paths(gains, drawdown=None, ruined=0) -> PathStatistics:
    n = len(gains)
    depth = np.zeros(n) if drawdown is None else np.asarray(drawdown)
    return PathStatistics(1.0 + np.asarray(gains), depth, np.arange(n) < ruined, np.zeros(n, np.int32))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.sampled_from([0.05, 0.5, 0.95]), st.sampled_from([0.2, 0.01, 0.0005]))
def test_ranks_of_a_quantile_are_those_of_the_binomial_counted_out(n, level, error):
    low, high = quantile_interval(np.arange(1.0, n + 1), level, error)
    at_most = np.cumsum([math.comb(n, k) * level**k * (1 - level) ** (n - k) for k in range(n + 1)])
    # P(K < rank) for ranks 1..n + 1.
    lower = [rank for rank in range(1, n + 1) if at_most[rank - 1] <= error / 2 * (1 + 1e-9)]
    upper = [rank for rank in range(1, n + 1) if 1 - at_most[rank - 1] <= error / 2 * (1 + 1e-9)]
    assert low in (-math.inf if not lower else lower[-1], -math.inf if len(lower) < 2 else lower[-2])
    assert high in (math.inf if not upper else upper[0], math.inf if len(upper) < 2 else upper[1])
    # By SciPy's own distribution the interval holds what it promises, and one rank less would not.
    inside = binom.cdf(high - 1 if high < math.inf else n, n, level) - binom.cdf(
        low - 1 if low > -math.inf else -1, n, level
    )
    assert inside >= 1 - error - 1e-9


def test_quantile_intervals_cover_as_often_as_they_say():
    draws = np.random.default_rng(4).normal(size=(3000, 200))
    for level in (0.5, 0.95):
        held = [low <= norm.ppf(level) <= high for low, high in (quantile_interval(x, level, 0.1) for x in draws)]
        # At least 90 %; the ranks of 200 values step by up to 6 %.
        assert 0.89 < np.mean(held) < 0.97


@pytest.mark.parametrize(("count", "n"), [(0, 1000), (3, 1000), (500, 1000), (1000, 1000)])
def test_share_intervals_are_clopper_pearsons(count, n):
    low, high = share_interval(count, n, 0.02)
    assert low == pytest.approx(0.0 if not count else beta.ppf(0.01, count, n - count + 1))
    assert high == pytest.approx(1.0 if count == n else beta.ppf(0.99, count + 1, n - count))


def test_a_decision_is_open_only_while_its_interval_holds_the_threshold():
    gains = np.linspace(-0.05, 0.15, 1001)
    for limit, open_ in ((0.0, False), (0.05, True), (0.1, False)):
        found = undecided(paths(gains), NONE.model_copy(update={"median_return_min": limit}))
        assert found == (("median_return_min",) if open_ else ())
    depth = np.linspace(0.0, 0.4, 1001)
    for limit, open_ in ((0.35, False), (0.38, True), (0.4, False)):
        found = undecided(paths(gains, depth), NONE.model_copy(update={"p95_drawdown_max": limit}))
        assert found == (("p95_drawdown_max",) if open_ else ())
    for ruined, open_ in ((0, False), (40, True), (50, True), (100, False)):
        found = undecided(paths(gains, ruined=ruined), NONE.model_copy(update={"ruin_prob_max": 0.05}))
        assert found == (("ruin_prob_max",) if open_ else ())
    for limit, open_ in ((0.65, False), (0.75, True), (0.85, False)):
        found = undecided(paths(gains), NONE.model_copy(update={"fraction_positive_min": limit}))
        assert found == (("fraction_positive_min",) if open_ else ())


def test_a_number_that_sits_on_its_threshold_for_good_is_decided():
    # Paths that never gain: the median is 0 with certainty, and 0 is enough.
    still = paths(np.zeros(500))
    assert undecided(still, NONE.model_copy(update={"median_return_min": 0.0})) == ()
    assert undecided(still, NONE.model_copy(update={"p95_drawdown_max": 0.0})) == ()
    assert undecided(still, NONE) == ()


def test_the_error_is_shared_out_over_decisions_and_looks():
    assert error_per_interval(1000, 1000) == ERROR / 4
    assert error_per_interval(1000, 16_000) == ERROR / 4 / 5
    assert error_per_interval(1000, 1001) == ERROR / 4 / 2


def test_too_few_values_bound_nothing():
    assert quantile_interval(np.array([1.0, 2.0]), 0.5, 0.01) == (-math.inf, math.inf)
    low, high = quantile_interval(np.arange(50.0), 0.95, 0.01)
    assert low > 0
    assert high == math.inf
