"""Many questions at once: table rows A-11 to A-13 and A-69 to A-74, and rates by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from argus_core.evaluation.multiplicity import (
    adjusted_p_values,
    average_correlation_trials,
    e_benjamini_hochberg,
    e_lond_level,
    e_value,
    effective_rank,
    effective_trials,
    lord_level,
    p_value_for,
    rademacher_bound,
    rademacher_complexity,
    romano_wolf,
    sharpe_haircut,
    shrunk_sharpes,
)

BH_1995 = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip


def rejections(p_values, method, alpha=0.05):
    return int((adjusted_p_values(p_values, method) <= alpha).sum())


def test_a11_haircut():
    left, cut = sharpe_haircut(0.75, 20, 200)
    p = 2 * norm.sf(0.75 * 20**0.5)
    assert (p, 200 * p) == pytest.approx((0.00079623, 0.159246), abs=1e-4)
    assert left == pytest.approx(0.314752, abs=1e-4)
    assert cut == pytest.approx(0.580, abs=1e-3)
    assert sharpe_haircut(-1, 5, 10) == (0.0, 1.0)


def test_a12_step_up_and_down():
    p = [0.005, 0.009, 0.0128, 0.0135, 0.045, 0.06]
    assert [rejections(p, m) for m in ("bonferroni", "holm", "by", "bh")] == [1, 2, 4, 4]


def test_a13_benjamini_hochberg_1995():
    assert [rejections(BH_1995, m) for m in ("bonferroni", "hochberg", "bh", "by")] == [3, 3, 4, 3]
    assert adjusted_p_values(BH_1995, "bh")[3] == pytest.approx(0.035625)


def test_a69_e_bh():
    assert e_benjamini_hochberg([40, 3, 120, 0.5, 25, 8, 60, 1.1], 0.1) == [2, 6, 0, 4]


def test_a70_lord_plus_plus():
    p = [2.9e-14, 0.06743, 0.01514, 0.08174, 0.00171, 3.61e-5, 0.79149, 0.27201, 0.28295, 7.59e-8, 0.69274, 0.30443,
         0.000487, 0.72342, 0.54757]  # fmt: skip
    rejected: list[bool] = []
    levels = []
    for value in p:
        levels.append(lord_level(rejected, 0.05))
        rejected.append(value <= levels[-1])
    assert levels[:4] == pytest.approx([0.000267584, 0.00246645, 0.000573282, 0.00048728], rel=1e-5)
    assert [i + 1 for i, hit in enumerate(rejected) if hit] == [1, 6, 10, 13]


def test_a71_effective_trials_of_equal_correlations():
    matrix = np.full((100, 100), 0.5) + 0.5 * np.eye(100)
    assert effective_rank(matrix) == pytest.approx(19.447, abs=1e-2)
    assert average_correlation_trials(matrix) == pytest.approx(50.5, abs=1e-2)
    # The number of independent trials with the same expected maximum: sqrt(.5) E[max of 100] = E[max of 16.25].
    from argus_core.evaluation.sharpe import expected_maximum_exact

    target = 0.5**0.5 * expected_maximum_exact(100)[0]
    # The density of the maximum holds for a number of trials that is not whole too.
    matching = brentq(lambda count: expected_maximum_exact(count)[0] - target, 10, 30)
    assert matching == pytest.approx(16.25, abs=1e-2)


def test_a72_effective_rank_of_a_published_matrix():
    assert effective_rank(np.array([[1, 0.1, 0.7], [0.1, 1, 0.8], [0.7, 0.8, 1]])) == pytest.approx(1.8402, abs=1e-3)


def test_a73_rademacher_exact():
    values = np.array([[1.2, -0.3, 0.7, -0.9], [-0.5, 0.8, 0.4, 1.1]]).T
    assert rademacher_complexity(values) == pytest.approx(0.3)
    absolute = rademacher_complexity(np.hstack([values, -values]))
    assert absolute == pytest.approx(0.446875)
    assert 0 - rademacher_bound(0.0, 0.0, 1000, 100) == pytest.approx(0.386, abs=2e-3)


def test_a74_shrunk_sharpes():
    found, factor = shrunk_sharpes([0.02, 0.05, -0.01, 0.08, 0.03, 0.00], 1250)
    assert factor == pytest.approx(0.562310, abs=1e-5)
    assert found == pytest.approx([0.023647, 0.040517, 0.006778, 0.057386, 0.029271, 0.012401], abs=1e-5)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_values_keep_the_order_and_only_grow(p_values):
    order = np.argsort(p_values, kind="stable")
    for method in ("bonferroni", "holm", "hochberg", "bh", "by"):
        found = adjusted_p_values(p_values, method)
        assert (found >= np.array(p_values) - 1e-12).all()
        assert (np.diff(found[order]) >= -1e-12).all()


def test_romano_wolf_knows_clones():
    null = np.random.default_rng(0).normal(size=(5000, 1))
    clones = romano_wolf(np.full(20, 2.0), np.repeat(null, 20, axis=1))
    single = romano_wolf(np.array([2.0]), null)
    assert clones == pytest.approx(np.full(20, single[0]))
    apart = romano_wolf(np.full(20, 2.0), np.random.default_rng(1).normal(size=(5000, 20)))
    assert apart[0] > 5 * single[0]


def test_clones_are_one_trial():
    one = np.random.default_rng(2).normal(size=(300, 1))
    assert effective_trials(np.repeat(one, 8, axis=1)) == pytest.approx(1.0, abs=1e-6)
    assert effective_trials(np.random.default_rng(3).normal(size=(30_000, 8))) == pytest.approx(8.0, abs=0.01)
    assert effective_trials(np.zeros((50, 4))) == 0.0


def stream(seed, dependent):
    """(p-values, which are true discoveries): 60 tests, a fifth with an effect; errors shared or not."""
    draw = np.random.default_rng(seed)
    effect = draw.random(60) < 0.2
    shared = draw.normal() if dependent else 0.0
    z = (0.9 * shared + (1 - 0.81) ** 0.5 * draw.normal(size=60)) if dependent else draw.normal(size=60)
    return norm.sf(z + 3.5 * effect), effect


@pytest.mark.parametrize("dependent", [False, True])
def test_online_procedures_hold_their_rate(dependent):
    q, shares = 0.1, {"lord": [], "e-lond": []}
    for seed in range(400):
        p_values, effect = stream(seed, dependent)
        for name, found in shares.items():
            rejected: list[bool] = []
            for p in p_values:
                if name == "lord":
                    rejected.append(bool(p <= lord_level(rejected, q)))
                else:
                    rejected.append(bool(e_value(p) >= 1 / e_lond_level(rejected, q)))
            false = sum(hit and not true for hit, true in zip(rejected, effect, strict=True))
            found.append(false / max(1, sum(rejected)))
    limit = q + 4 * 0.5 * 0.2 / 20
    assert np.mean(shares["e-lond"]) <= limit
    if not dependent:
        assert np.mean(shares["lord"]) <= limit


@given(st.floats(1e-6, 0.5))
def test_the_calibrator_turns_back(level):
    assert e_value(p_value_for(level)) == pytest.approx(1 / level)
