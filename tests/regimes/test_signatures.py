"""Signatures: table rows A-62 and A-63, Chen's identity and the invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.regimes.signatures import (
    lead_lag,
    log_signature_2,
    signature,
    windowed_signatures,
    with_basepoint,
    with_time,
)

PRIMER = np.array([[1, 1], [3, 4], [5, 2], [8, 6]])


def test_a62_the_primer():
    assert signature(PRIMER, 2) == pytest.approx([7, 5, 24.5, 19, 16, 12.5])
    assert log_signature_2(PRIMER) == pytest.approx([7, 5, 1.5])


def test_a63_a_corner_to_level_three():
    found = signature(np.array([[0, 0], [1, 0], [1, 1]]), 3)
    expected = [1, 1, 0.5, 1, 0, 0.5, 1 / 6, 0.5, 0, 0.5, 0, 0, 0, 1 / 6]
    assert found == pytest.approx(expected)


paths = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(7, 2)))


@settings(deadline=None, max_examples=40)
@given(paths, st.integers(1, 5))
def test_joining_is_chens_product(path, cut):
    whole, first, second = (signature(p, 2) for p in (path, path[: cut + 1], path[cut:]))
    joined = first + second
    joined[2:] += np.outer(first[:2], second[:2]).ravel()
    assert whole == pytest.approx(joined)


@settings(deadline=None, max_examples=40)
@given(paths, st.integers(0, 6), st.floats(-5, 5))
def test_speed_and_place_do_not_matter_unless_they_are_added(path, where, shift):
    slower = np.insert(path, where, path[where], axis=0)
    assert signature(slower, 3) == pytest.approx(signature(path, 3))
    assert signature(path + shift, 3) == pytest.approx(signature(path, 3))
    if abs(shift) > 0.1:
        moved = signature(with_basepoint(path + shift), 1) - signature(with_basepoint(path), 1)
        assert np.abs(moved).max() > 0.05
    late, early = np.array([[0.0], [0], [1]]), np.array([[0.0], [1], [1]])
    assert not np.allclose(signature(with_time(late), 2), signature(with_time(early), 2))


@settings(deadline=None, max_examples=40)
@given(paths)
def test_the_area_of_lead_and_lag_is_half_the_quadratic_variation(path):
    one = path[:, :1]
    area = log_signature_2(lead_lag(one))[-1]
    assert 2 * abs(area) == pytest.approx((np.diff(one[:, 0]) ** 2).sum())


def test_a_batch_is_its_members_and_windows_lie_in_the_past():
    batch = np.random.default_rng(0).normal(size=(5, 9, 3))
    assert signature(batch, 3) == pytest.approx(np.stack([signature(p, 3) for p in batch]))
    path = batch[0]
    found = windowed_signatures(path, 4, 2)
    assert np.isnan(found[:4]).all()
    assert found[6] == pytest.approx(signature(path[2:6], 2))
    changed = path.copy()
    changed[6:] += 9
    assert windowed_signatures(changed, 4, 2)[:7] == pytest.approx(found[:7], nan_ok=True)
