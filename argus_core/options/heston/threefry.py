"""Random numbers of the Heston simulation: Threefry-2x32, a function of (seed, path, step) alone.

Two words of 32 bits per path and step, equal on CPU and GPU, for any chunking and any order. 13 rounds pass BigCrush
(Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The bootstrap's hash
(`argus_core.bootstrap.counter_hash`) has one word of 32 bits behind every number; hundreds of millions of draws for
one probability would meet the same word again and again, so that paths use this generator.

A word is split into a side (its top bit) and a tail probability in (0, 1/2]: both tails of a normal or an
exponential keep their relative precision in 32-bit floats.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

ROUNDS = 13
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA  # of the key schedule (Skein)

#: Giles, "Approximating the erfinv function" (GPU Computing Gems, 2011), single precision: erfinv(x) / x as a
#: polynomial of w - 2.5 for w = -ln(1 - x^2) < 5 and of sqrt(w) - 3 above; highest power first.
_CENTRE = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_FAR = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


class Tail(NamedTuple):
    """A uniform number as the side of the median on which it lies and its distance from that end, in (0, 1/2]."""

    upper: Any
    probability: Any

    def complement(self, xp: Any) -> Any:
        """1 - U: precise where U is near one."""
        return xp.where(self.upper, self.probability, 1 - self.probability)


def key(seed: int) -> tuple[int, int]:
    """The two 32-bit words of the key.

    Raises:
        ValueError: if the seed is not between 0 and 2^63 - 1.
    """
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed = {seed}: give an integer between 0 and 2^63 - 1.")
    return seed & 0xFFFFFFFF, seed >> 32


def words(xp: Any, key0: Any, key1: Any, path: Any, step: Any, rounds: int = ROUNDS) -> tuple[Any, Any]:
    """Two uint32 words per (path, step): shapes broadcast. ``xp`` is NumPy or ``jax.numpy``; all arrays uint32."""
    u = xp.uint32
    schedule = (key0, key1, key0 ^ key1 ^ u(_PARITY))
    left, right = path + key0, step + key1
    for done in range(rounds):
        turn = _ROTATIONS[(done // 4) % 2][done % 4]
        left = left + right
        right = ((right << u(turn)) | (right >> u(32 - turn))) ^ left
        if done % 4 == 3:
            block = done // 4 + 1
            left = left + schedule[block % 3]
            right = right + schedule[(block + 1) % 3] + u(block)
    return left, right


def tail(xp: Any, word: Any, dtype: Any) -> Tail:
    """The side and tail probability of a word."""
    low = (word & xp.uint32(0x7FFFFFFF)).astype(xp.int32).astype(dtype)
    return Tail((word >> xp.uint32(31)) == xp.uint32(1), (low + dtype(0.5)) * dtype(2.0**-32))


def deviation(xp: Any, surprise: Any, distance: Any) -> Any:
    """Size of the normal number with tail probability p: ``surprise`` = -ln(4 p (1 - p)), ``distance`` = 1 - 2p."""
    far = surprise >= 5
    moved = xp.where(far, xp.sqrt(surprise) - 3, surprise - surprise.dtype.type(2.5))
    value = xp.where(far, _FAR[0], _CENTRE[0]).astype(surprise.dtype)
    for outer, inner in zip(_FAR[1:], _CENTRE[1:], strict=True):
        value = value * moved + xp.where(far, outer, inner).astype(surprise.dtype)
    return value * distance * surprise.dtype.type(math.sqrt(2))


def normal(xp: Any, uniform: Tail) -> Any:
    """Standard normal number of a uniform one, in the precision of its probability."""
    p = uniform.probability
    if p.dtype == xp.float32:
        size = deviation(xp, xp.maximum(-xp.log(4 * p * (1 - p)), 0), 1 - 2 * p)
    else:
        from jax.scipy.special import ndtri

        size = -ndtri(p)
    return xp.where(uniform.upper, size, -size)
