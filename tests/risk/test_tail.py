"""Value at risk, expected shortfall, backtests, volatility: table rows A-52 to A-55."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.risk import (
    ewma_volatility,
    expected_shortfall,
    kupiec_ratio,
    kupiec_region,
    normal_expected_shortfall,
    student_expected_shortfall,
    value_at_risk,
    volatility_target_weights,
)


def test_a52_normal():
    found = [normal_expected_shortfall(level) for level in (0.95, 0.975, 0.99)]
    assert found == pytest.approx([2.062713, 2.337803, 2.665214], abs=1e-6)
    assert student_expected_shortfall(0.95, 1e6) == pytest.approx(found[0], abs=1e-4)


def test_a53_discrete():
    losses = [-2, -1, 0, 1, 2, 3, 4, 5, 8, 13]
    assert (value_at_risk(losses, 0.8), expected_shortfall(losses, 0.8)) == pytest.approx((5, 10.5))
    assert (value_at_risk(losses, 0.9), expected_shortfall(losses, 0.9)) == pytest.approx((8, 13))


def test_a54_kupiec():
    assert kupiec_region(255, 0.05) == (6, 21)
    assert kupiec_region(1000, 0.01) == (4, 17)
    assert kupiec_ratio(20, 255, 0.05) == pytest.approx(3.727214, abs=1e-6)


def test_a55_ewma_without_lookahead():
    returns = np.array([0.01, -0.02, 0.015, 0.005, -0.03, 0.02])
    found = ewma_volatility(returns)
    assert np.isnan(found[0])
    np.testing.assert_allclose(
        np.append(found[1:], ewma_volatility(np.append(returns, 0.5))[6]),
        [0.01, 0.01086278, 0.01115437, 0.01088369, 0.01285875, 0.01339502],
        atol=1e-7,
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-0.1, 0.1), min_size=3, max_size=40), st.integers(1, 39))
def test_the_future_does_not_enter_a_forecast(values, cut):
    cut = min(cut, len(values) - 1)
    changed = np.array(values)
    changed[cut:] = 9.0
    np.testing.assert_array_equal(ewma_volatility(values)[: cut + 1], ewma_volatility(changed)[: cut + 1])
    weights = volatility_target_weights(values, 0.01, cap=2.0)
    assert weights[0] == 0.0
    assert (weights <= 2.0).all()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.floats(0.05, 0.99))
def test_shortfall_is_at_least_the_quantile_and_at_most_the_worst(losses, level):
    found = expected_shortfall(losses, level)
    assert found >= value_at_risk(losses, level) - 1e-6
    assert found <= max(losses) + 1e-6


def test_large_samples_reach_the_closed_forms():
    draws = np.random.default_rng(0).normal(size=400_000)
    assert expected_shortfall(draws, 0.95) == pytest.approx(normal_expected_shortfall(0.95), abs=0.02)
    heavy = np.random.default_rng(0).standard_t(4, 400_000)
    assert expected_shortfall(heavy, 0.95) == pytest.approx(student_expected_shortfall(0.95, 4), abs=0.05)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"level 1\.5"):
        value_at_risk([1.0], 1.5)
    with pytest.raises(ValueError, match="at least one, all finite"):
        expected_shortfall([], 0.9)
