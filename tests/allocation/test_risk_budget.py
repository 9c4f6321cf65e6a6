"""Risk budgets (A-45), drawdown-constrained Kelly (A-51), shrinkage of iris (A-44)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.allocation.covariance import ledoit_wolf
from argus_core.allocation.kelly import discrete_kelly, drawdown_constrained_kelly
from argus_core.allocation.risk_budget import risk_budget_weights, risk_contributions

VOLS = np.array([0.1, 0.2, 0.3, 0.4])


def test_a45_equal_risk_contributions():
    correlations = np.eye(4)
    correlations[0, 1] = correlations[1, 0] = 0.8
    correlations[2, 3] = correlations[3, 2] = -0.5
    matrix = correlations * np.outer(VOLS, VOLS)
    weights = risk_budget_weights(matrix)
    assert weights == pytest.approx([0.383613, 0.191806, 0.242618, 0.181963], abs=1e-5)
    assert np.sqrt(weights @ matrix @ weights) == pytest.approx(0.102934, abs=1e-5)
    constant = np.full((4, 4), 0.4) + 0.6 * np.eye(4)
    assert risk_budget_weights(constant * np.outer(VOLS, VOLS)) == pytest.approx([0.48, 0.24, 0.16, 0.12], abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.integers(0, 10_000))
def test_contributions_are_the_budgets(n, seed):
    draw = np.random.default_rng(seed)
    loadings = draw.normal(size=(n, n + 3)) * draw.uniform(0.01, 5, (n, 1))
    budgets = draw.uniform(0.1, 1, n)
    matrix = loadings @ loadings.T
    weights = risk_budget_weights(matrix, budgets)
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(risk_contributions(matrix, weights), budgets / budgets.sum(), atol=1e-7)


def test_a_singular_matrix_is_refused_with_the_fix():
    with pytest.raises(ValueError, match="ledoit_wolf"):
        risk_budget_weights(np.ones((3, 3)))


def test_a51_drawdown_constrained_kelly():
    power, share = drawdown_constrained_kelly([1, -1], [0.55, 0.45], level=0.7, probability=0.1)
    assert power == pytest.approx(6.455696, abs=1e-5)
    assert share == pytest.approx(0.0268997, abs=1e-6)
    assert share < discrete_kelly([1, -1], [0.55, 0.45])
    steps = np.where(np.random.default_rng(2).random((4000, 4000)) < 0.55, np.log1p(share), np.log1p(-share))
    lowest = np.exp(steps.cumsum(axis=1).min(axis=1))
    assert (lowest < 0.7).mean() == pytest.approx(0.093, abs=0.02)


def test_a44_iris():
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn (extra test)")
    _, intensity = ledoit_wolf(datasets.load_iris().data)
    assert intensity == pytest.approx(0.00757880, abs=1e-6)


def test_a44_the_oracle_approximating_intensity_of_iris():
    """Argus shrinks by Ledoit and Wolf alone; the second intensity is the oracle's form, written out."""
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn (extra test)")
    covariance = pytest.importorskip("sklearn.covariance", reason="needs scikit-learn (extra test)")
    values = datasets.load_iris().data
    centred = values - values.mean(axis=0)
    n, p = values.shape
    sample = centred.T @ centred / n
    power, level = np.mean(sample**2), np.trace(sample) / p
    written = min(1.0, (power + level**2) / ((n + 1) * (power - level**2 / p)))
    assert written == pytest.approx(0.0202366, abs=1e-6)
    assert covariance.oas(values)[1] == pytest.approx(0.0202366, abs=1e-6)
