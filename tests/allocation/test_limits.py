"""Ceilings: they hold, they bind no more than needed, and a tighter limit never raises a weight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from argus_core.allocation.limits import sum_ceiling, volatility_ceiling

WEIGHTS = arrays(np.float64, st.integers(1, 8), elements=st.floats(0.0, 5.0))


@given(WEIGHTS, st.floats(0.01, 10.0))
def test_the_sum_ceiling_is_the_highest_that_holds(proposals, limit):
    ceiling = sum_ceiling(proposals, limit)
    total = np.minimum(proposals, ceiling).sum()
    assert total <= limit * (1 + 1e-9)
    if np.isfinite(ceiling):
        assert total == pytest.approx(limit)


@given(WEIGHTS, st.floats(0.01, 10.0), st.floats(0.01, 10.0))
def test_a_tighter_sum_never_raises_a_weight(proposals, one, other):
    tight, loose = sorted((one, other))
    lower = np.minimum(proposals, sum_ceiling(proposals, tight))
    assert (lower <= np.minimum(proposals, sum_ceiling(proposals, loose)) + 1e-12).all()


@given(WEIGHTS, st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.integers(0, 99))
def test_a_tighter_volatility_never_raises_a_weight_and_holds(proposals, one, other, seed):
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.05, 0.5, len(proposals))
    loading = rng.uniform(0.0, 1.0, len(proposals))
    related = np.outer(loading, loading)
    np.fill_diagonal(related, 1.0)
    covariance = related * np.outer(sigma, sigma)
    tight, loose = sorted((one, other))
    lower = np.minimum(proposals, volatility_ceiling(proposals, covariance, tight) / sigma)
    higher = np.minimum(proposals, volatility_ceiling(proposals, covariance, loose) / sigma)
    assert (lower <= higher + 1e-12).all()
    assert np.sqrt(lower @ covariance @ lower) <= tight * (1 + 1e-9)


@given(WEIGHTS, st.floats(0.01, 10.0))
def test_a_second_pass_changes_nothing(proposals, limit):
    once = np.minimum(proposals, sum_ceiling(proposals, limit))
    assert np.minimum(once, sum_ceiling(once, limit)) == pytest.approx(once, rel=1e-9)
