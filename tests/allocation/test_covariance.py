"""Shrinkage (statistics.md A-42, A-43) and clusters."""

from __future__ import annotations

import numpy as np
import pytest

from argus_core.allocation.covariance import clusters, correlation, ledoit_wolf

COV_A = np.array(
    [[0.01, -0.02, 0.005], [-0.015, 0.01, 0], [0.02, 0.015, -0.01], [0.005, -0.005, 0.012], [-0.01, 0.02, -0.004]]
)


def test_a42_ledoit_wolf_equals_the_scikit_learn_example():
    real = np.array([[0.4, 0.2], [0.2, 0.8]])
    values = np.random.RandomState(0).multivariate_normal([0, 0], real, size=50)
    covariance, intensity = ledoit_wolf(values)
    assert covariance == pytest.approx(np.array([[0.440673, 0.161616], [0.161616, 0.802263]]), abs=1e-6)
    assert intensity == pytest.approx(0.230254, abs=1e-6)


def test_a43_ledoit_wolf_equals_the_small_case_and_the_slow_sum():
    covariance, intensity = ledoit_wolf(COV_A)
    assert intensity == pytest.approx(0.689961, abs=1e-5)
    assert np.diag(covariance) == pytest.approx([1.51888e-4, 1.66770e-4, 1.17982e-4], abs=1e-9)
    x = COV_A - COV_A.mean(axis=0)
    sample = x.T @ x / 5
    target = np.trace(sample) / 3 * np.eye(3)
    slow = sum(((np.outer(row, row) - sample) ** 2).sum() for row in x) / 25
    assert intensity == pytest.approx(min(1.0, slow / ((sample - target) ** 2).sum()))


def test_shrunk_covariance_of_more_plays_than_days_is_positive_definite():
    values = np.random.default_rng(0).normal(size=(10, 40))
    assert np.linalg.eigvalsh(ledoit_wolf(values)[0]).min() > 0


def test_unusable_input_is_named():
    with pytest.raises(ValueError, match="finite"):
        ledoit_wolf(np.array([[1.0, np.nan], [0.0, 1.0]]))


def test_a_constant_play_correlates_with_nothing():
    assert correlation(np.array([[0.0, 0.0], [0.0, 4.0]])) == pytest.approx(np.eye(2))


def test_clusters_are_linked_through_a_common_neighbour():
    related = np.eye(5)
    for i, j in ((0, 3), (3, 4)):
        related[i, j] = related[j, i] = 0.85
    assert clusters(related, 0.8) == [0, 1, 2, 0, 0]
    assert clusters(related, 0.9) == [0, 1, 2, 3, 4]
