"""When a path leaves through the exit boundaries of positions: two estimators of the same probabilities.

`update_count` draws every path and counts. All positions share the paths, so that one more costs its look-up.
`SURVIVAL` (one-step survival, Glasserman & Staum, Operations Research 49, 2001) adds up the exact conditional
probability of each exit given both variances and goes on with a path that stays: smooth, with a smaller error, but
every position has log prices of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from argus_core.accelerator import load_jax
from argus_core.options.heston.exit_boundaries import FINE, HOLD, STOP, TARGET
from argus_core.options.heston.simulation import Proposal, Statistic


class Exits(NamedTuple):
    """``fixed`` of both statistics: labels (positions, boundaries + 1), cells per unit of sqrt(v), and what their
    finish reads. The rows are the boundaries (looks, positions, boundaries, cells)."""

    labels: Any
    cells: Any
    reading: Any = ()


def _edges(jnp: Any, fixed: Exits, row: Any, v: Any) -> Any:
    """Boundaries (positions, boundaries, paths) of the look at variance ``v``."""
    cell = jnp.clip((jnp.sqrt(v) * fixed.cells).astype(jnp.int32), 0, FINE - 1)
    return jnp.take(row, cell, axis=-1, mode="clip")


def start_count(fixed: Exits, paths: int, dtype: Any) -> Any:
    """State per position and path: 0 while open, then look * 4 + label of the exit."""
    jnp = load_jax().numpy
    return (jnp.zeros((fixed.labels.shape[0], paths), jnp.int32), jnp.int32(0)), ()


def update_count(fixed: Exits, row: Any, state: Any, p: Proposal) -> Any:
    """Emits x and v of every look, shared by all positions."""
    jnp = load_jax().numpy
    left, look = state
    x = p.mean + p.deviation * p.z
    edges = _edges(jnp, fixed, row, p.after)
    label = fixed.labels[:, :1]
    for j in range(edges.shape[1]):
        label = jnp.where(x >= edges[:, j], fixed.labels[:, j + 1 : j + 2], label)
    left = jnp.where((left == 0) & (label != HOLD), look * 4 + label, left)
    return x, (left, look + 1), (x, p.after)


def start_survival(fixed: Exits, paths: int, dtype: Any) -> Any:
    jnp = load_jax().numpy
    positions = fixed.labels.shape[0]
    return jnp.ones((positions, paths), dtype), (positions,)


def update_survival(fixed: Exits, row: Any, weight: Any, p: Proposal) -> Any:
    jax = load_jax()
    jnp, ndtr, ndtri = jax.numpy, jax.scipy.special.ndtr, jax.scipy.special.ndtri
    edges = _edges(jnp, fixed, row, p.after)
    # The variance can be zero twice running: the step is then certain.
    below = ndtr((edges - p.mean[:, None]) / jnp.maximum(p.deviation, 1e-9))
    count = edges.shape[1]
    bounds = [jnp.zeros_like(p.mean), *(below[:, j] for j in range(count)), jnp.ones_like(p.mean)]
    shares = [jnp.maximum(bounds[j + 1] - bounds[j], 0) for j in range(count + 1)]
    kinds = [fixed.labels[:, j : j + 1] for j in range(count + 1)]
    chance = [
        sum(jnp.where(kind == wanted, share, 0) for kind, share in zip(kinds, shares, strict=True))
        for wanted in (HOLD, TARGET, STOP)
    ]
    # A uniform number of the part that holds, moved past every part below it that does not.
    place = ndtr(p.z) * chance[0]
    for kind, low, share in zip(kinds, bounds, shares, strict=False):
        place = jnp.where((kind != HOLD) & (place >= low), place + share, place)
    tiny = 2.0**-24
    x = p.mean + p.deviation * ndtri(jnp.clip(place, tiny, 1 - tiny))
    emitted = tuple(jnp.sum((weight * chance[k]).astype(jnp.float64), axis=-1) for k in (TARGET, STOP))
    return x, weight * chance[0], emitted


def _shares(fixed: Exits, weight: Any, emitted: Any, x: Any, v: Any) -> Any:
    """Sums over the tile of the chances of target and stop, (looks, positions) each."""
    return emitted


SURVIVAL = Statistic(start_survival, update_survival, _shares)
