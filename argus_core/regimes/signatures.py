"""Path signatures: what a path did, order by order, whatever its speed.

One straight piece has level j = increment^⊗j / j!; pieces join by Chen's identity. Sources: Chen 1957; Lyons 1998;
Chevyrev & Kormilitzin, "A Primer on the Signature Method in Machine Learning", 2016.

Traps: reparametrisation invariance removes time (add a channel: `with_time`); translation invariance (add a basepoint:
`with_basepoint`); quadratic variation needs `lead_lag`; channels of different size are scaled first; a window must not
hold the bar that is predicted.
"""

from __future__ import annotations

import numpy as np


def signature(path: np.ndarray, level: int) -> np.ndarray:
    """Truncated signature without the leading 1: levels 1..``level``, each in row-major order.

    Args:
        path: (..., n, d) points, n >= 1; leading axes are a batch.
        level: at least 1; level m has d^m entries.

    Returns:
        (..., d + d² + ... + d^level).
    """
    points = np.asarray(path, dtype=np.float64)
    if level < 1 or points.ndim < 2:
        raise ValueError(
            f"signature needs points of shape (..., n, d) and a level of at least 1, found {points.shape}."
        )
    *batch, n, d = points.shape
    steps = np.diff(points, axis=-2)
    state = [np.ones((*batch, 1))] + [np.zeros((*batch, d**m)) for m in range(1, level + 1)]
    for k in range(n - 1):
        step = steps[..., k, :]
        piece = [np.ones((*batch, 1))]
        for m in range(1, level + 1):
            piece.append(_outer(piece[-1], step) / m)
        # Chen: level m of the joined path is the sum of products of levels i and m - i.
        joined = []
        for m in range(level + 1):
            total = np.zeros((*batch, d**m))
            for i in range(m + 1):
                total = total + _outer(state[i], piece[m - i])
            joined.append(total)
        state = joined
    return np.concatenate(state[1:], axis=-1)


def log_signature_2(path: np.ndarray) -> np.ndarray:
    """Log-signature to level 2: increments, then areas of channels i < j (half of the antisymmetric part)."""
    points = np.asarray(path, dtype=np.float64)
    d = points.shape[-1]
    found = signature(points, 2)
    square = found[..., d:].reshape(*found.shape[:-1], d, d)
    rows, columns = np.triu_indices(d, 1)
    area = (square[..., rows, columns] - square[..., columns, rows]) / 2
    return np.concatenate([found[..., :d], area], axis=-1)


def with_time(path: np.ndarray) -> np.ndarray:
    """``path`` with a first channel that runs from 0 to 1."""
    points = np.asarray(path, dtype=np.float64)
    clock = np.broadcast_to(np.linspace(0, 1, points.shape[-2])[:, None], (*points.shape[:-1], 1))
    return np.concatenate([clock, points], axis=-1)


def with_basepoint(path: np.ndarray) -> np.ndarray:
    """``path`` that starts at the origin: its level is seen too."""
    points = np.asarray(path, dtype=np.float64)
    return np.concatenate([np.zeros_like(points[..., :1, :]), points], axis=-2)


def lead_lag(path: np.ndarray) -> np.ndarray:
    """Every channel twice, one half step ahead of the other: its area is half the quadratic variation."""
    points = np.repeat(np.asarray(path, dtype=np.float64), 2, axis=-2)
    return np.concatenate([points[..., 1:, :], points[..., :-1, :]], axis=-1)


def windowed_signatures(path: np.ndarray, window: int, level: int) -> np.ndarray:
    """Signature of the ``window`` points **before** each point; NaN while there are fewer. (n, d) -> (n, features)."""
    points = np.asarray(path, dtype=np.float64)
    n, d = points.shape
    size = sum(d**m for m in range(1, level + 1))
    found = np.full((n, size), np.nan)
    if n > window >= 2:
        windows = np.lib.stride_tricks.sliding_window_view(points, window, axis=0)[:-1].transpose(0, 2, 1)
        found[window:] = signature(windows, level)
    return found


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left[..., :, None] * right[..., None, :]).reshape(*left.shape[:-1], -1)
