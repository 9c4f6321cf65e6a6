"""R: z is the studentised leave-one-out residual, the p-value that of a uniform plus a normal error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.options.anomalies.residuals import benjamini_hochberg, spread_p_value
from argus_core.options.anomalies.smooth import Series, _leave_out, predict_each


def line(n: int = 30, seed: int = 0) -> Series:
    rng = np.random.default_rng(seed)
    x = np.linspace(-3, 3, n)
    noise = np.full(n, 0.1)
    y = 1.0 + 0.5 * x + 0.1 * rng.standard_normal(n)
    basis = np.column_stack([np.ones(n), x])
    return Series(x, y, noise, basis, np.array([100.0, 100.0]), 1 + np.abs(x))


def test_without_a_smooth_error_z_is_the_studentised_residual_of_least_squares():
    one = line()
    mean, variance = _leave_out(one.y, one.noise, one.trend, np.ones(30, dtype=bool))
    z = (one.y - mean) / np.sqrt(one.noise**2 + variance)
    hat = one.basis @ np.linalg.inv(one.basis.T @ one.basis) @ one.basis.T
    residual = one.y - hat @ one.y
    assert z == pytest.approx(residual / (0.1 * np.sqrt(1 - np.diag(hat))), rel=1e-4)


def test_leaving_out_in_closed_form_equals_leaving_out_one_by_one():
    one = line()
    smooth = 1e-4 * one.trend + 0.01 * one.shape(1.0)
    mean, variance = _leave_out(one.y, one.noise, smooth, np.ones(30, dtype=bool))
    for i in (0, 7, 29):
        teaching = np.arange(30) != i
        slow = _leave_out(one.y, one.noise, smooth, teaching)
        assert mean[i] == pytest.approx(slow[0][i], rel=1e-7)
        assert variance[i] == pytest.approx(slow[1][i], rel=1e-6)


def test_what_stands_out_does_not_teach_its_neighbours():
    one = line()
    spoiled = one.y.copy()
    spoiled[12] += 5.0
    bad = Series(one.x, spoiled, one.noise, one.basis, one.prior, one.growth)
    (seen,), (clean,) = predict_each([bad], (1.0,)), predict_each([one], (1.0,))
    others = np.arange(30) != 12
    assert np.abs(seen.mean - clean.mean)[others].max() < 0.1
    assert spoiled[12] - seen.mean[12] == pytest.approx(5.0, abs=0.5)


def test_a_smooth_pattern_is_learned_and_a_jump_is_not():
    one = line(60)
    wave = Series(one.x, one.y + np.sin(2 * one.x), one.noise, one.basis, one.prior, one.growth)
    (seen,) = predict_each([wave], (0.7, 1.5))
    assert seen.size > 0
    assert np.sqrt(np.mean((wave.y - seen.mean) ** 2)) < 0.2


@settings(max_examples=10, deadline=None)
@given(half=st.floats(0.01, 5), deviation=st.floats(0.05, 3), distance=st.floats(0, 6))
def test_the_p_value_is_that_of_a_uniform_plus_a_normal_error(half, deviation, distance):
    rng = np.random.default_rng(1)
    drawn = rng.uniform(-half, half, 200_000) + deviation * rng.standard_normal(200_000)
    p = float(spread_p_value(np.array([distance]), np.array([half]), np.array([deviation]))[0])
    assert p == pytest.approx((np.abs(drawn) > distance).mean(), abs=0.005)


def test_benjamini_hochberg_agrees_with_statsmodels():
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(4)
    p = np.concatenate([rng.random(200), rng.random(20) * 1e-3])
    assert (benjamini_hochberg(p, 0.05) == multipletests(p, 0.05, method="fdr_bh")[0]).all()
    assert benjamini_hochberg(np.empty(0), 0.05).shape == (0,)
