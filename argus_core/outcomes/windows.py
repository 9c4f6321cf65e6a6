"""First maximum of many windows of one series at once: a sparse table, built level by level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def first_maximum(values: np.ndarray, windows: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Index of the first largest value of every window ``[lo, hi)``.

    A window of length w is covered by two blocks of length 2**k <= w whose maxima are precomputed, so the work is
    O(n log w) whatever the windows (Bender & Farach-Colton 2000, "The LCA problem revisited", section 3). Only one
    level is held at a time. For minima pass ``-values``.

    Args:
        values: float array (n,); NaN counts as smaller than everything.
        windows: pairs of int arrays (m,), 0 <= lo <= hi <= n.

    Returns:
        One int64 array (m,) per pair; -1 where the window is empty.
    """
    base = np.where(np.isnan(values), -np.inf, values)
    spans = [hi - lo for lo, hi in windows]
    levels = [np.frexp(span.astype(np.float64))[1] - 1 for span in spans]  # floor(log2), -1 for an empty window
    found = [np.full(len(span), -1, np.int64) for span in spans]
    deepest = max((int(level.max(initial=-1)) for level in levels), default=-1)
    best, where = base, np.arange(len(base), dtype=np.int64)
    for level in range(deepest + 1):
        size = 1 << level
        for (lo, hi), level_of, out in zip(windows, levels, found, strict=True):
            rows = np.flatnonzero(level_of == level)
            if len(rows):
                left, right = where[lo[rows]], where[hi[rows] - size]
                # The blocks overlap: an equal maximum of the right block cannot come before the left one's.
                out[rows] = np.where(base[right] > base[left], right, left)
        if level < deepest:
            length = len(best) - size
            later = best[size:] > best[:length]
            best = np.where(later, best[size:], best[:length])
            where = np.where(later, where[size:], where[:length])
    return found
