from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.robustness import optimal_block_length

arch_bootstrap = pytest.importorskip("arch.bootstrap")


def autoregressive(noise, rho):
    out = noise.copy()
    for i in range(1, len(out)):
        out[i] = rho * out[i - 1] + noise[i]
    return out


def test_published_value_of_an_autoregressive_series():
    series = autoregressive(np.random.RandomState(0).standard_normal(10_100), 0.3)[100:]
    assert optimal_block_length(series) == pytest.approx((13.635665, 15.608940), abs=1e-4)


def test_daily_index_returns_and_their_absolute_values():
    from arch.data import sp500

    returns = np.diff(np.log(sp500.load()["Adj Close"].to_numpy()))
    expected = {8.789853: returns, 146.458034: np.abs(returns), 136.521336: returns**2}
    for value, series in expected.items():
        assert optimal_block_length(series).stationary == pytest.approx(value, abs=1e-5)


def test_nile_volumes():
    from statsmodels.datasets import nile

    volumes = nile.load_pandas().data["volume"].to_numpy()
    assert optimal_block_length(volumes) == pytest.approx((12.333495, 14.118327), abs=1e-5)


@pytest.mark.parametrize(("rho", "n", "expected"), [(0.5, 1000, 12.114137), (0.9, 10_000, 96.459706)])
def test_the_estimate_of_long_series_lies_around_the_theory(rho, n, expected):
    theory = (2 * rho / (1 - rho**2)) ** (2 / 3) * n ** (1 / 3)
    assert theory == pytest.approx(expected, abs=1e-6)
    rng = np.random.default_rng(5)
    estimates = [
        optimal_block_length(autoregressive(rng.standard_normal(n + 200), rho)[200:]).stationary for _ in range(12)
    ]
    assert np.median(estimates) == pytest.approx(theory, rel=0.3)


@given(st.integers(20, 400), st.floats(-0.6, 0.9), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_the_length_equals_archs_where_that_is_at_least_one(n, rho, seed):
    series = autoregressive(np.random.default_rng(seed).standard_normal(n), rho)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = arch_bootstrap.optimal_block_length(series).to_numpy()[0]
    assert optimal_block_length(series) == pytest.approx(np.maximum(oracle, 1.0), rel=1e-9)


def test_short_and_constant_series_have_blocks_of_one():
    assert optimal_block_length(np.ones(500)) == (1.0, 1.0)
    assert optimal_block_length(np.array([0.1, -0.2, 0.3])) == (1.0, 1.0)


def test_scale_and_shift_do_not_matter():
    series = autoregressive(np.random.default_rng(1).standard_normal(600), 0.4)
    assert optimal_block_length(series * 250 + 3) == pytest.approx(optimal_block_length(series))
