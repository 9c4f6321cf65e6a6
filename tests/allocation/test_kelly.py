"""Kelly family (statistics.md A-46 to A-50)."""

from __future__ import annotations

import math

import pytest

from argus_core.allocation.kelly import (
    discrete_kelly,
    estimation_multiplier,
    growth_rate,
    kelly_fraction,
    plug_in_growth,
    shortfall_probability,
    two_outcome_kelly,
)


def test_a46_continuous_kelly_equals_thorps_example():
    assert kelly_fraction(0.11, 0.15, rate=0.06) == pytest.approx(2.222222, abs=1e-6)
    assert growth_rate(0.11, 0.15, rate=0.06) == pytest.approx(0.115556, abs=1e-6)
    assert kelly_fraction(0.11, 0.15, rate=0.06) * 0.15 == pytest.approx(0.333333, abs=1e-6)


def test_a47_two_outcome_kelly():
    assert two_outcome_kelly(0.6, 0.02, 0.01) == pytest.approx(40)
    assert two_outcome_kelly(0.53, 1, 1) == pytest.approx(0.06)

    def growth(share):
        return 0.53 * math.log(1 + share) + 0.47 * math.log(1 - share)

    assert growth(two_outcome_kelly(0.53, 1, 1)) == pytest.approx(0.00180108, abs=5e-9)
    assert growth(0.06) > max(growth(0.059), growth(0.061))


def test_a48_discrete_kelly_is_not_the_ratio_of_moments():
    outcomes, chances = (0.10, -0.05, 0.02), (0.30, 0.35, 0.35)
    mean = sum(p * x for p, x in zip(chances, outcomes, strict=True))
    spread = math.sqrt(sum(p * (x - mean) ** 2 for p, x in zip(chances, outcomes, strict=True)))
    assert kelly_fraction(mean, spread) == pytest.approx(5.3649, abs=5e-5)
    assert discrete_kelly([0.10, -0.05, 0.02], [0.30, 0.35, 0.35]) == pytest.approx(6.0, abs=1e-5)
    assert discrete_kelly([0.1, -0.2], [0.5, 0.5]) == 0.0
    with pytest.raises(ValueError, match="losing outcome"):
        discrete_kelly([0.1, 0.2], [0.5, 0.5])


@pytest.mark.parametrize(("c", "half", "growth"), [(1, 0.5, 1), (0.5, 0.125, 0.75), (0.25, 0.0078125, 0.4375)])
def test_a49_fractional_kelly_trades_growth_for_safety(c, half, growth):
    assert shortfall_probability(0.5, c) == pytest.approx(half)
    assert growth_rate(0.4, 1.0, fraction=c) / growth_rate(0.4, 1.0) == pytest.approx(growth)


def test_a50_estimation_error_leaves_less_than_half_of_kelly():
    multiplier = estimation_multiplier(0.4, 5)
    assert multiplier == pytest.approx(0.444444, abs=1e-6)
    assert plug_in_growth(0.4, 5) == pytest.approx(-0.02)
    assert plug_in_growth(0.4, 5, multiplier=multiplier) == pytest.approx(0.035556, abs=1e-6)
    assert estimation_multiplier(-1.0, 5) == 0.0
