"""The split matrix of CSCV, and PBO against the plain loop over splits."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.evaluation.pbo import _halves, overfitting_probability


@pytest.mark.parametrize("blocks", [2, 4, 6, 8, 12, 16])
def test_the_other_half_of_a_split_is_the_split_at_the_mirrored_place(blocks):
    chosen = _halves(blocks)
    assert [tuple(np.flatnonzero(row)) for row in chosen] == list(combinations(range(blocks), blocks // 2))
    np.testing.assert_array_equal(chosen[::-1], 1 - chosen)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([4, 6, 8]), st.integers(2, 7))
def test_logits_are_those_of_a_loop_over_the_splits(seed, blocks, strategies):
    values = np.random.default_rng(seed).normal(size=(blocks * 5 + 3, strategies))
    found = overfitting_probability(values, blocks=blocks)
    cut = np.array_split(values[3:], blocks)
    logits = []
    for members in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([cut[b] for b in members])
        outside = np.concatenate([cut[b] for b in range(blocks) if b not in members])
        first, second = (half.mean(axis=0) / half.std(axis=0, ddof=1) for half in (inside, outside))
        share = (second <= second[first.argmax()]).sum() / (strategies + 1)
        logits.append(np.log(share / (1 - share)))
    np.testing.assert_allclose(found.logits, logits, rtol=1e-9)
