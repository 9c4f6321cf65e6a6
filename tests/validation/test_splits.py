"""Purging, combinatorial splits and paths: table rows A-39 to A-41, and what must never leak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.validation import (
    combinatorial_paths,
    combinatorial_splits,
    path_count,
    purged_k_fold,
    purged_train,
    split_count,
    walk_forward_splits,
)


@pytest.mark.parametrize(("groups", "test_groups", "splits", "paths"), [(6, 2, 15, 5), (10, 2, 45, 9)])
def test_a39_counts(groups, test_groups, splits, paths):
    assert split_count(groups, test_groups) == splits
    assert path_count(groups, test_groups) == paths
    days = np.arange(120)
    made = list(combinatorial_splits(days, days, groups=groups, test_groups=test_groups))
    assert len(made) == splits
    for group in range(groups):
        assert sum(group in split.groups for split in made) == paths


@pytest.mark.parametrize(("embargo", "train"), [(0, [0, 1, 8, 9]), (1, [0, 1, 9])])
def test_a40_closed_intervals(embargo, train):
    rows = np.arange(10)
    assert purged_train(rows, rows + 2, [4, 5], embargo).tolist() == train


@pytest.mark.parametrize(("embargo", "train"), [(0, [0, 4, 5, 6, 7]), (1, [0, 5, 6, 7])])
def test_a41_labels_of_varying_length(embargo, train):
    ends = [1, 4, 3, 3, 6, 5, 7, 7]
    assert purged_train(np.arange(8), ends, [3], embargo).tolist() == train


def test_bad_labels_say_what_is_wrong():
    with pytest.raises(ValueError, match="label 1 ends at 0, before it starts at 1"):
        purged_train([0, 1], [0, 0], [0])
    with pytest.raises(ValueError, match="starts must ascend"):
        purged_train([1, 0], [1, 1], [0])
    with pytest.raises(ValueError, match="between 2 and 5 groups"):
        list(combinatorial_splits(np.arange(5), np.arange(5), groups=6, test_groups=1))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 12), min_size=20, max_size=60),
    st.integers(2, 6),
    st.integers(0, 5),
    st.data(),
)
def test_no_train_label_meets_a_test_block_or_its_embargo(lengths, groups, embargo, data):
    starts = np.arange(len(lengths)) * 2
    ends = starts + np.array(lengths)
    test_groups = data.draw(st.integers(1, groups - 1))
    for split in combinatorial_splits(starts, ends, groups=groups, test_groups=test_groups, embargo=embargo):
        blocks = np.split(split.test, np.flatnonzero(np.diff(split.test) > 1) + 1)
        for block in blocks:
            opens, closes = starts[block].min(), ends[block].max()
            for row in split.train:
                assert ends[row] < opens or starts[row] > closes + embargo
        # Nothing is removed without a reason.
        for row in set(range(len(starts))) - set(split.train) - set(split.test):
            assert any(ends[row] >= starts[b].min() and starts[row] <= ends[b].max() + embargo for b in blocks)


def test_k_fold_tests_every_row_once():
    days = np.arange(53)
    tested = np.concatenate([split.test for split in purged_k_fold(days, days, folds=5)])
    assert sorted(tested) == days.tolist()


@settings(deadline=None, max_examples=40)
@given(
    st.integers(30, 120),
    st.integers(2, 5),
    st.integers(1, 3),
    st.integers(0, 6),
    st.sampled_from(["anchored", "rolling"]),
)
def test_walk_forward_trains_on_the_past_alone(rows, folds, blocks, embargo, mode):
    starts = np.arange(rows)
    ends = starts + (starts % 4)
    edges = np.round(np.linspace(0, rows, folds + blocks + 1)).astype(int)
    terms = {"folds": folds, "mode": mode, "train_blocks": blocks, "embargo": embargo}
    splits = list(walk_forward_splits(starts, ends, **terms))
    assert len(splits) == folds
    for number, split in enumerate(splits):
        first = edges[number] if mode == "rolling" else 0
        before = edges[number + blocks]
        assert split.test.tolist() == list(range(before, edges[number + blocks + 1]))
        # Every row of the window whose label is known in time, and no other.
        assert split.train.tolist() == [row for row in range(first, before) if ends[row] < starts[before] - embargo]


def test_walk_forward_needs_a_block_to_train_on():
    with pytest.raises(ValueError, match="train_blocks is 0"):
        list(walk_forward_splits([0, 1], [0, 1], folds=2, train_blocks=0))


def lanes(seed=0, k=12, days=250, drift=0.0):
    made = np.random.default_rng(seed).normal(0, 0.01, (k, days))
    made[3] += drift
    return made


def test_a_lane_with_an_edge_is_chosen_and_its_paths_earn():
    found = combinatorial_paths(lanes(drift=0.004), groups=10, test_groups=2)
    assert found is not None
    assert len(found.path_sharpes) == 9
    assert set(found.chosen) == {3}
    whole = lanes(drift=0.004)[3]
    # One lane everywhere: every path is that lane itself.
    np.testing.assert_allclose(found.path_sharpes, whole.mean() / whole.std(ddof=1) * 252**0.5)
    assert found.share_negative == 0.0


def test_luck_does_not_pay_out_of_sample():
    medians = [combinatorial_paths(lanes(seed)).median for seed in range(60)]  # type: ignore[union-attr]
    inside = [np.max(lanes(seed).mean(axis=1) / lanes(seed).std(axis=1)) * 252**0.5 for seed in range(60)]
    assert np.mean(inside) > 1.2
    assert abs(np.mean(medians)) < 0.5


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(12)), st.integers(0, 50))
def test_the_order_of_lanes_does_not_matter(order, seed):
    matrix = lanes(seed)
    one, other = combinatorial_paths(matrix), combinatorial_paths(matrix[list(order)])
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.path_sharpes, other.path_sharpes)
    assert [order[c] for c in other.chosen if c is not None] == list(one.chosen)


def test_the_choice_of_a_split_does_not_see_its_test_days():
    matrix = lanes(5)
    before = combinatorial_paths(matrix, groups=5, test_groups=1)
    changed = matrix.copy()
    changed[:, 0:50] = np.random.default_rng(1).normal(0, 1, (12, 50))
    after = combinatorial_paths(changed, groups=5, test_groups=1)
    assert before is not None
    assert after is not None
    assert before.chosen[0] == after.chosen[0]


def test_too_few_days_or_idle_lanes():
    assert combinatorial_paths(np.zeros((3, 15))) is None
    assert combinatorial_paths(np.zeros((0, 100))) is None
    idle = combinatorial_paths(np.zeros((3, 100)))
    assert idle is not None
    assert idle.share_negative == 1.0
