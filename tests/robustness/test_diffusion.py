"""Closed forms of ruin and drawdown: table rows A-28 to A-33."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.robustness.diffusion import (
    drawdown_mean,
    drawdown_tail,
    driftless_drawdown_mean,
    driftless_drawdown_quantile,
    driftless_drawdown_tail,
    gamblers_ruin,
    monitored_ruin_probability,
    ruin_probability,
    triple_penance,
)


def test_a28_gamblers_ruin():
    assert gamblers_ruin(0.55, 10, 20) == pytest.approx(0.118501, rel=1e-5)
    assert gamblers_ruin(0.5, 10, 20) == 0.5


@pytest.mark.parametrize(
    ("x", "mu", "s", "horizon", "exact", "monitored"),
    [(20, 0.1, 2, 250, 0.284413, 0.262441), (0.2, 0.0004, 0.01, 252, 0.082763, 0.075675)],
)
def test_a29_brownian_ruin(x, mu, s, horizon, exact, monitored):
    assert ruin_probability(x, mu, s, horizon) == pytest.approx(exact, abs=1e-6)
    assert monitored_ruin_probability(x, mu, s, horizon, 1.0) == pytest.approx(monitored, rel=0.02)
    assert ruin_probability(x, mu, s) == pytest.approx(math.exp(-2 * mu * x / s**2))


def test_a30_drawdown_without_drift():
    assert driftless_drawdown_mean() == pytest.approx(1.253314, abs=1e-6)
    quantiles = [driftless_drawdown_quantile(p) for p in (0.5, 0.95, 0.99)]
    assert quantiles == pytest.approx([1.148973, 2.241403, 2.807034], abs=1e-6)
    assert driftless_drawdown_tail(1.0) == pytest.approx(0.629223, abs=1e-6)


def test_a31_drawdown_with_drift():
    assert drawdown_mean(1.0) == pytest.approx(0.92508, rel=1e-3)
    assert drawdown_mean(1.0) == pytest.approx(0.926318, rel=4e-3)  # the printed table
    assert drawdown_tail(1.6123, 1.0) == pytest.approx(0.05, abs=2e-4)


def test_the_general_form_without_drift_is_the_series():
    for h in (0.5, 1.0, 2.0, 3.0):
        assert drawdown_tail(h, 0.0) == pytest.approx(driftless_drawdown_tail(h), abs=2e-5)


@pytest.mark.parametrize(("steps", "expected"), [(252, 0.8512), (1260, 0.8904)])
def test_a32_discrete_paths_see_less(steps, expected):
    paths = 20_000
    draw = np.random.default_rng(1)
    drawdowns = []
    for _ in range(10):
        moves = draw.normal(1 / steps, steps**-0.5, (paths // 10, steps)).astype(np.float32)
        wealth = np.concatenate([np.zeros((len(moves), 1), np.float32), moves.cumsum(axis=1)], axis=1)
        drawdowns.append((np.maximum.accumulate(wealth, axis=1) - wealth).max(axis=1))
    values = np.concatenate(drawdowns)
    assert float(values.mean()) == pytest.approx(expected, abs=0.0025 + 4 * float(values.std()) / paths**0.5)
    assert values.mean() < drawdown_mean(1.0)


def test_a33_triple_penance():
    found = triple_penance(1.0, 1.0, 0.95)
    assert found == pytest.approx((0.676386, 0.676386, 2.705544), abs=1e-6)
    with pytest.raises(ValueError, match="positive mean"):
        triple_penance(0.0, 1.0)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.05, 3), st.floats(-0.5, 0.5), st.floats(0.1, 2), st.floats(0.1, 5), st.floats(0.01, 0.5))
def test_ruin_is_likelier_nearer_longer_and_wilder(x, mu, s, horizon, more):
    base = ruin_probability(x, mu, s, horizon)
    assert 0 <= base <= 1 + 1e-12
    assert ruin_probability(x + more, mu, s, horizon) <= base + 1e-12
    assert ruin_probability(x, mu, s, horizon + more) >= base - 1e-12
    assert ruin_probability(x, mu + more, s, horizon) <= base + 1e-12
    assert monitored_ruin_probability(x, mu, s, horizon, 0.01) <= base + 1e-12


@settings(deadline=None, max_examples=15)
@given(st.floats(0.3, 2.5), st.floats(-1, 2), st.floats(0.1, 0.5))
def test_drawdown_tails_are_ordered(h, mu, more):
    base = drawdown_tail(h, mu, cells=200)
    assert drawdown_tail(h + more, mu, cells=200) <= base + 1e-9
    assert drawdown_tail(h, mu + more, cells=200) <= base + 1e-9
