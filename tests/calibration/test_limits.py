"""What no test can beat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.calibration.limits import limit_of_one, limit_of_sweep


def test_a_sharpe_of_two_over_a_year_cannot_be_found_in_80_percent_of_cases():
    assert limit_of_one(2.0, 1.0) == pytest.approx(0.63876, abs=1e-5)
    assert limit_of_one(1.6448536 + 0.8416212, 1.0) == pytest.approx(0.80, abs=1e-6)
    assert limit_of_one(0.0, 1.0) == pytest.approx(0.05)


def test_one_lane_and_clones_are_one_strategy():
    for k in (1, 20):
        found = limit_of_sweep(np.full(k, 2.0), np.ones((k, k)))
        assert found == pytest.approx(limit_of_one(2.0, 1.0), abs=0.015)


def test_independent_lanes_of_which_one_has_the_edge():
    # Exact: P(max of 20 > c) with c the 95 % quantile of the maximum of 20 normals.
    from scipy.stats import norm

    critical = norm.ppf(0.95 ** (1 / 20))
    exact = 1 - norm.cdf(critical) ** 19 * norm.cdf(critical - 3)
    shifts = np.zeros(20)
    shifts[4] = 3.0
    assert limit_of_sweep(shifts, np.eye(20)) == pytest.approx(exact, abs=0.015)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.0, 4.0), st.floats(0.1, 1.0), st.floats(0.0, 0.9))
def test_power_grows_with_the_edge_and_never_beats_the_known_strategy(sharpe, more, rho):
    k = 10
    correlation = np.full((k, k), rho) + (1 - rho) * np.eye(k)
    shifts = np.zeros(k)
    shifts[0] = sharpe
    smaller = limit_of_sweep(shifts, correlation, draws=4000)
    shifts[0] += more
    assert limit_of_sweep(shifts, correlation, draws=4000) >= smaller
    assert smaller <= limit_of_one(sharpe, 1.0) + 0.04
