"""Which rows may train when others test (López de Prado, Advances in Financial Machine Learning, 2018, ch. 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def purged_train(
    starts: Sequence[int] | np.ndarray,
    ends: Sequence[int] | np.ndarray,
    test: Sequence[int] | np.ndarray,
    embargo: int = 0,
) -> np.ndarray:
    """Rows that may train: their label intervals touch no test block, nor the embargo after it.

    Row i's label is known from the closed interval [starts[i], ends[i]]. The test rows fall into blocks of consecutive
    rows; a block covers [min start, max end] of its rows, both included. A row is removed if its interval meets that of
    a block, or if it starts within ``embargo`` units after the block's end.

    Args:
        starts, ends: label intervals of all rows, shape (n,), any integer unit (bars, days, microseconds); starts
            ascending.
        test: test rows, ascending.
        embargo: in the unit of the intervals.

    Returns:
        Train rows, ascending.

    Raises:
        ValueError: if an interval ends before it starts, or starts descend.
    """
    first, last = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
    if (last < first).any():
        row = int(np.argmax(last < first))
        raise ValueError(f"label {row} ends at {last[row]}, before it starts at {first[row]}.")
    if (np.diff(first) < 0).any():
        raise ValueError("starts must ascend: sort the rows by the start of their labels.")
    rows = np.unique(np.asarray(test, np.int64))
    keep = np.ones(len(first), bool)
    keep[rows] = False
    for block in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []:
        opens, closes = first[block].min(), last[block].max()
        keep &= (last < opens) | (first > closes + embargo)
    return np.flatnonzero(keep)
