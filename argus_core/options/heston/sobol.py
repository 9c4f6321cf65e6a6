"""Scrambled Sobol nets as the two Brownian drivers of a path, through a Brownian bridge.

Direction numbers: scipy (Joe & Kuo, 2008). Scramble: a random lower triangular bit matrix and a digital shift per
dimension, Matousek, "On the L2-discrepancy for anchored boxes", J. Complexity 14 (1998): any scramble keeps the net,
makes each point uniform, and so the mean over points unbiased. The error of a mean is known only from several
independent scrambles. The bridge (Caflisch, Morokoff & Owen, 1997) gives the best dimensions to the coarsest moves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from argus_core.options.heston import threefry

_BITS = 32


class Net(NamedTuple):
    """One scramble: ``low`` (points of a tile, dimensions), ``high`` (further bits, dimensions), shift, bridge."""

    low: np.ndarray
    high: np.ndarray
    shift: np.ndarray
    bridge: np.ndarray


@lru_cache(maxsize=4)
def directions(dimensions: int, bits: int) -> np.ndarray:
    """Direction numbers V, uint32 of shape (bits, dimensions): point n is the XOR of V[b] over the bits b of n.

    Read off scipy's public sequence, whose point n has the bits of the Gray code n ^ (n >> 1): point 2^(b+1) - 1 is
    V[b].
    """
    from scipy.stats import qmc

    out = np.empty((bits, dimensions), np.uint32)
    engine = qmc.Sobol(dimensions, scramble=False, bits=_BITS)
    at = 0
    for bit in range(bits):
        engine.fast_forward(2 ** (bit + 1) - 1 - at)
        out[bit] = np.asarray(engine.random(1)[0] * 2.0**_BITS, dtype=np.uint64).astype(np.uint32)
        at = 2 ** (bit + 1)
    return out


def bridge(steps: int) -> np.ndarray:
    """Orthogonal matrix that turns bridge-ordered normals into normals of the steps, shape (steps, steps).

    Rows are steps, columns the order of the bridge: the end point first, then mid-points of ever shorter gaps.
    """
    levels = np.zeros((steps + 1, steps))  # W at 0..steps as combinations of the bridge's normals
    levels[steps, 0] = np.sqrt(steps)
    gaps = [(0, steps)]
    column = 1
    while column < steps:
        following = []
        for left, right in gaps:
            if right - left < 2:
                continue
            middle = (left + right) // 2
            share = (middle - left) / (right - left)
            levels[middle] = (1 - share) * levels[left] + share * levels[right]
            levels[middle, column] += np.sqrt(share * (right - middle))
            column += 1
            following += [(left, middle), (middle, right)]
        gaps = following
    return np.diff(levels, axis=0)


def _scrambled(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """``values`` (bits, dimensions) under one random lower triangular bit matrix per dimension, diagonal one."""
    dimensions = values.shape[1]
    out = np.zeros_like(values)
    for digit in range(_BITS):
        # Digit `digit` (from the top) of the result: parity of the digits above it that the row picks, and itself.
        row = random.integers(0, 2**32, dimensions, dtype=np.uint64).astype(np.uint32)
        above = np.uint32(((1 << digit) - 1) << (_BITS - digit)) if digit else np.uint32(0)
        picked = values & ((row & above) | np.uint32(1 << (_BITS - 1 - digit)))
        out |= (np.bitwise_count(picked) & 1).astype(np.uint32) << np.uint32(_BITS - 1 - digit)
    return out


@lru_cache(maxsize=32)
def net(steps: int, seed: int, scramble: int, points: int, dtype: Any) -> Net:
    """Scramble number ``scramble`` of ``seed`` for ``points`` (a power of two) paths of ``steps`` steps."""
    from argus_core.options.heston.simulation import TILE

    bits, within = points.bit_length() - 1, TILE.bit_length() - 1
    random = np.random.default_rng([seed, scramble])
    vectors = _scrambled(directions(2 * steps, bits), random)
    shift = random.integers(0, 2**32, 2 * steps, dtype=np.uint64).astype(np.uint32)
    low = np.zeros((1, 2 * steps), np.uint32)
    for bit in range(min(bits, within)):
        low = np.concatenate([low, low ^ vectors[bit]])
    return Net(low.T.copy(), vectors[within:], shift, bridge(steps).astype(dtype))


def padded(net: Net, steps: int) -> Net:
    """The net with steps beyond its own that no path moves in."""
    own = len(net.bridge)
    if steps == own:
        return net
    more = 2 * (steps - own)
    return Net(
        np.pad(net.low, ((0, more), (0, 0))),
        np.pad(net.high, ((0, 0), (0, more))),
        np.pad(net.shift, (0, more)),
        np.pad(net.bridge, (0, steps - own)),
    )


def normals(jnp: Any, net: Net, tile: Any, paths: int, dtype: Any) -> tuple[Any, Any]:
    """Normals of tile ``tile`` of a net for (ln S, v): two arrays (steps, paths)."""
    u = jnp.uint32
    start = net.shift
    for bit in range(net.high.shape[0]):
        start = start ^ (net.high[bit] * ((tile >> u(bit)) & u(1)))
    z = threefry.normal(jnp, threefry.tail(jnp, net.low ^ start[:, None], dtype))
    # Even dimensions move the price, odd ones the variance: both get their share of the good ones.
    return net.bridge @ z[0::2], net.bridge @ z[1::2]
