"""Warm-up sensitivity: does a result depend on where the window starts?"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.robustness.warmup import compare_restart, masked_starts


def sharpe(values: np.ndarray) -> float:
    return values.mean() / values.std(ddof=1) * np.sqrt(252)


def test_masking_the_start_equals_the_sharpe_of_the_rest():
    returns = np.random.default_rng(0).normal(0.0005, 0.01, (3, 200))
    found = masked_starts(returns)
    assert found.shares == (0.0, 0.1, 0.2, 0.3)
    assert found.first_day == (0, 20, 40, 60)
    for k, first in enumerate(found.first_day):
        assert found.sharpe[k] == pytest.approx([sharpe(one[first:]) for one in returns])
    assert found.spread == pytest.approx(np.ptp(found.sharpe, axis=0))


def test_a_lucky_start_stands_out_and_an_even_run_does_not():
    rng = np.random.default_rng(1)
    even = rng.normal(0.001, 0.01, 252)
    lucky = rng.normal(-0.0005, 0.01, 252)
    lucky[:25] += 0.02
    found = masked_starts(np.array([even, lucky]))
    assert found.z[0] < 2 < found.z[1]
    assert found.spread[1] > 2 * found.spread[0]


def test_z_is_a_standard_normal_where_nothing_depends_on_the_start():
    returns = np.random.default_rng(2).normal(0.05, 1.0, (4_000, 250))
    z = masked_starts(returns, shares=(0.3,)).z
    # |N(0, 1)| exceeds 1.96 in 5 % of all cases.
    assert (z > 1.96).mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4_000))


@settings(max_examples=30, deadline=None)
@given(days=st.integers(2, 60), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 999))
def test_size_and_sign_change_nothing(days, scale, seed):
    returns = np.random.default_rng(seed).normal(size=(2, days))
    one, larger, turned = masked_starts(returns), masked_starts(returns * scale), masked_starts(-returns)
    np.testing.assert_allclose(larger.spread, one.spread, rtol=1e-7)
    np.testing.assert_allclose(turned.spread, one.spread, rtol=1e-9)
    np.testing.assert_allclose(turned.z, one.z, rtol=1e-9)


def test_idle_runs_and_wrong_shares():
    found = masked_starts(np.zeros((1, 50)))
    assert np.isnan(found.spread[0])
    assert np.isnan(found.z[0])
    with pytest.raises(ValueError, match=r"shares: 1.0 is not between 0 and 1"):
        masked_starts(np.zeros((1, 50)), shares=(0.1, 1.0))


def test_a_restart_is_compared_on_the_common_days_only():
    days = [date(2025, 1, 1) + timedelta(days=k) for k in range(30)]
    returns = np.random.default_rng(3).normal(size=30)
    same = compare_restart(days, returns, days[5:], returns[5:])
    assert (same.days, same.difference, same.changed_days) == (25, 0.0, 0.0)
    assert same.correlation == pytest.approx(1.0)
    moved = returns[5:].copy()
    moved[:5] += 0.5
    other = compare_restart(days, returns, days[5:], moved)
    assert other.changed_days == pytest.approx(0.2)
    assert other.difference == pytest.approx(sharpe(moved) - sharpe(returns[5:]))
    assert compare_restart(days[:5], returns[:5], days[5:], returns[5:]).days == 0
    assert compare_restart(days, np.zeros(30), days[5:], returns[5:]).difference is None
