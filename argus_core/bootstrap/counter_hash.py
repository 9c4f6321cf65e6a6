"""The one source of random numbers of every bootstrap kernel: a counter-based 32-bit integer hash.

A number is a function of (key, path, counter) alone: equal in NumPy and JAX, on CPU and GPU, for any chunking, padding
or order. At step t of a path, counter 2t decides whether a new block starts and counter 2t + 1 where it starts.

Every function takes the array module ``xp`` (NumPy or ``jax.numpy``) first and works on ``uint32``.
"""

from __future__ import annotations

import zlib
from typing import Any

#: 2^32 over the golden ratio: neighbouring paths start far apart (Weyl sequence); odd, so no two paths share a stream.
_GOLDEN = 0x9E3779B9


def finalise(xp: Any, h: Any) -> Any:
    """Finaliser of MurmurHash3 (Appleby, public domain): a bijection in which every input bit reaches every output."""
    h = (h ^ (h >> xp.uint32(16))) * xp.uint32(0x85EBCA6B)
    h = (h ^ (h >> xp.uint32(13))) * xp.uint32(0xC2B2AE35)
    return h ^ (h >> xp.uint32(16))


def streams(xp: Any, key: Any, paths: Any) -> Any:
    """Stream of every path: uint32 of the shape of ``paths``."""
    return finalise(xp, finalise(xp, paths * xp.uint32(_GOLDEN) + key))


def counters(xp: Any, steps: Any) -> tuple[Any, Any]:
    """(restart, start) counters of steps, hashed once for all paths; combine with `words`."""
    doubled = steps * xp.uint32(2)
    return finalise(xp, doubled), finalise(xp, doubled + xp.uint32(1))


def words(xp: Any, stream: Any, counter: Any) -> Any:
    """Random 32-bit words of streams and hashed counters (broadcast against each other)."""
    return finalise(xp, stream ^ counter)


def below(xp: Any, word: Any, limit: Any) -> Any:
    """Uniform integers in 0..limit-1 by multiply-high: no modulo bias (the unevenness is limit / 2^32)."""
    return ((word.astype(xp.uint64) * xp.asarray(limit).astype(xp.uint64)) >> xp.uint64(32)).astype(xp.uint32)


def restart_threshold(block: float) -> int:
    """A 32-bit word u starts a new block when u <= threshold: probability 1 / block.

    Raises:
        ValueError: if ``block`` is below 1.
    """
    if not block >= 1:
        raise ValueError(f"mean block length must be at least 1 trade or period, got {block}")
    return max(int(2.0**32 / block) - 1, 0)


def seed_key(seed: int, content: bytes = b"") -> int:
    """32-bit key of a stream: of the seed and, where runs must differ from each other, of their bytes."""
    return zlib.crc32(content, zlib.crc32(int(seed).to_bytes(8, "little", signed=True)))
