"""Splits of rows in time order into train and test: k-fold, combinatorial, walk-forward; all purged by label interval.

López de Prado 2018, ch. 7 and 12; Arian, Norouzi & Seco, Knowledge-Based Systems 2024: the combinatorial form finds
false discoveries best and walk-forward worst. Walk-forward stays for the claim about deployment: it alone trains only
on the past.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Literal, NamedTuple

import numpy as np

from argus_core.validation.purge import purged_train


class Split(NamedTuple):
    """Row numbers, ascending. ``groups``: the groups (folds) that test."""

    train: np.ndarray
    test: np.ndarray
    groups: tuple[int, ...]


def split_count(groups: int, test_groups: int) -> int:
    """C(N, k) combinatorial splits."""
    return comb(groups, test_groups)


def path_count(groups: int, test_groups: int) -> int:
    """k C(N, k) / N whole out-of-sample paths: every group is tested in so many splits."""
    return comb(groups - 1, test_groups - 1)


def group_edges(rows: int, groups: int) -> np.ndarray:
    """Edges of ``groups`` blocks of (nearly) equal length, shape (groups + 1,).

    Raises:
        ValueError: if a group would be empty.
    """
    if not 2 <= groups <= rows:
        raise ValueError(f"{groups} groups of {rows} rows: give between 2 and {rows} groups.")
    return np.round(np.linspace(0, rows, groups + 1)).astype(np.int64)


def combinatorial_splits(
    starts: Sequence[int] | np.ndarray,
    ends: Sequence[int] | np.ndarray,
    *,
    groups: int,
    test_groups: int,
    embargo: int = 0,
) -> Iterator[Split]:
    """Every choice of ``test_groups`` of ``groups`` blocks as test; the rest, purged, as train.

    Args:
        starts, ends: label intervals of all rows (`purged_train`).
    """
    if not 1 <= test_groups < groups:
        raise ValueError(f"test_groups {test_groups}: give between 1 and {groups - 1} of {groups} groups.")
    edges = group_edges(len(starts), groups)
    for chosen in combinations(range(groups), test_groups):
        test = np.concatenate([np.arange(edges[g], edges[g + 1]) for g in chosen])
        yield Split(purged_train(starts, ends, test, embargo), test, chosen)


def purged_k_fold(
    starts: Sequence[int] | np.ndarray, ends: Sequence[int] | np.ndarray, *, folds: int, embargo: int = 0
) -> Iterator[Split]:
    """Each fold once as test, the others, purged, as train."""
    return combinatorial_splits(starts, ends, groups=folds, test_groups=1, embargo=embargo)


def walk_forward_splits(
    starts: Sequence[int] | np.ndarray,
    ends: Sequence[int] | np.ndarray,
    *,
    folds: int,
    mode: Literal["anchored", "rolling"] = "anchored",
    train_blocks: int = 1,
    embargo: int = 0,
) -> Iterator[Split]:
    """``folds`` tests in time order, each trained on rows before it whose labels are known when it begins.

    Rows are cut into train_blocks + folds blocks; the last ``folds`` of them test. ``anchored`` trains on everything
    before the test (at first that is ``train_blocks`` blocks), ``rolling`` on the ``train_blocks`` blocks before it.
    ``embargo``: gap between the last train label and the first test label, in the unit of the intervals; it shortens
    the train rows.

    Raises:
        ValueError: if ``train_blocks`` is below 1 or a block would be empty.
    """
    if train_blocks < 1:
        raise ValueError(f"train_blocks is {train_blocks}: give at least 1 block to train on.")
    first, last = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
    edges = group_edges(len(first), folds + train_blocks)
    for fold in range(train_blocks, folds + train_blocks):
        test = np.arange(edges[fold], edges[fold + 1])
        train = np.flatnonzero(last[: edges[fold]] < first[test[0]] - embargo)
        if mode == "rolling":
            train = train[train >= edges[fold - train_blocks]]
        yield Split(train, test, (fold,))
