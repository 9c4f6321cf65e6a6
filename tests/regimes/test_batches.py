"""A batch of symbols gives every symbol the numbers that it has alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.regimes.bocpd import bocpd, log_squares, standardise_on_past
from argus_core.regimes.hmm import HmmParameters, filter_states

SYMBOLS, SESSIONS = 7, 64


def returns(seed: int) -> np.ndarray:
    """Seven symbols of different volatility, with holes and one symbol that is listed late."""
    rng = np.random.default_rng(seed)
    found = rng.standard_t(4, (SYMBOLS, SESSIONS)) * 10.0 ** rng.uniform(-3, 0, (SYMBOLS, 1))
    found[rng.random(found.shape) < 0.05] = np.nan
    found[0, :40] = np.nan
    return found


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.permutations(range(SYMBOLS)))
def test_change_points_of_a_batch_are_those_of_its_symbols(seed, order):
    series = standardise_on_past(log_squares(returns(seed)))
    together, moved = bocpd(series, 1 / 60), bocpd(series[list(order)], 1 / 60)
    for row in range(SYMBOLS):
        alone = bocpd(series[row], 1 / 60)
        for name in ("log_evidence", "map_run_length", "recent", "change", "level", "pruned", "posterior"):
            mine = getattr(together, name)[row]
            np.testing.assert_allclose(mine, getattr(alone, name)[0], rtol=0, atol=1e-12)
            np.testing.assert_allclose(mine, getattr(moved, name)[list(order).index(row)], rtol=0, atol=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_filtered_states_of_a_batch_are_those_of_its_symbols(seed):
    series = returns(seed)
    rng = np.random.default_rng(seed + 1)
    level = np.nanvar(series, axis=1, keepdims=True)
    stay = rng.uniform(0.8, 0.99, (SYMBOLS, 2))
    models = HmmParameters(
        np.zeros((SYMBOLS, 2)),
        level * [0.5, 3.0],
        np.stack([np.stack([stay[:, 0], 1 - stay[:, 0]], 1), np.stack([1 - stay[:, 1], stay[:, 1]], 1)], 1),
        np.full((SYMBOLS, 2), 0.5),
        5.0,
    )
    together = filter_states(series, models)
    for row in range(SYMBOLS):
        one = HmmParameters(
            *(values[row : row + 1] for values in (models.mean, models.variance, models.transition, models.initial)),
            5.0,
        )
        alone = filter_states(series[row], one)
        for name in ("filtered", "predicted", "log_likelihood"):
            np.testing.assert_allclose(getattr(together, name)[row], getattr(alone, name)[0], rtol=0, atol=1e-12)
    assert together.filtered.sum(axis=2) == pytest.approx(np.ones((SYMBOLS, SESSIONS)))
