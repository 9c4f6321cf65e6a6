"""The merged clock of several symbols: their bars in order of publication."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argus_core.replay.share_desk import ShareDesk

#: What is published at one moment: symbols in the order in which the replay names them, and their desks in the order
#: in which their bars began.
Batch = tuple[tuple[str, ...], tuple[ShareDesk, ...]]


def merged(desks: Sequence[ShareDesk]) -> tuple[list[int], Iterator[Batch]]:
    """Bars of several symbols in order of publication, those that are published together in one batch.

    Returns:
        The time of every batch, and the batches.

    Raises:
        ValueError: if a symbol's bars are not in order of publication.
    """
    keys: list[tuple[NDArray[Any], ...]] = []
    for owner, desk in enumerate(desks):
        available, rows = np.asarray(desk.available, np.int64), np.arange(len(desk.available))
        if (np.diff(available) < 0).any():
            raise ValueError(f"decision frame of {desk.symbol}: available_at must not descend. Sort it.")
        # Bars of one symbol that are published at one moment are played one after another.
        again = rows - np.searchsorted(available, available, side="left")
        keys.append((np.full(len(rows), owner), desk.market.ts, again, available))
    owners, starts, again, available = (np.concatenate(parts) for parts in zip(*keys, strict=True))
    order = np.lexsort((owners, starts, again, available))
    owners, again, available = owners[order], again[order], available[order]
    last = np.flatnonzero((np.diff(available, append=-1) != 0) | (np.diff(again, append=-1) != 0))

    def batches() -> Iterator[Batch]:
        known: dict[tuple[int, ...], Batch] = {}
        numbers, begin = owners.tolist(), 0
        for stop in (last + 1).tolist():
            key = tuple(numbers[begin:stop])
            begin = stop
            batch = known.get(key)
            if batch is None:
                names = tuple(desks[n].symbol for n in sorted(key))
                batch = known[key] = (names, tuple(desks[n] for n in key))
            yield batch

    return available[last].tolist(), batches()
