"""Counter-based random numbers: the value at (seed, symbol, stream, day, slot) needs no other value.

A key is the sha256 of (seed, symbol, stream); slot k of day d is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at
counter ``d * 2**24 + k``. So a day can be produced alone, in any order, and a longer horizon changes nothing before it.
"""

from __future__ import annotations

import hashlib

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SLOTS_PER_DAY = 1 << 24


def stream_key(seed: int, symbol: str, stream: str) -> np.uint64:
    """The 64-bit key of one stream of one symbol."""
    digest = hashlib.sha256(f"argus-simulation|{seed}|{symbol}|{stream}".encode()).digest()
    return np.frombuffer(digest[:8], "<u8")[0]


def uniforms(key: np.uint64, days: np.ndarray | int, count: int) -> np.ndarray:
    """Uniform numbers in the open interval (0, 1), shape (len(days), count), or (count,) for one day.

    Args:
        key: from `stream_key`.
        days: proleptic Gregorian ordinals (`date.toordinal`).
        count: numbers per day, below 2**24.
    """
    slots = np.arange(count, dtype=np.uint64)
    first = np.asarray(days, np.uint64) * np.uint64(_SLOTS_PER_DAY)
    with np.errstate(over="ignore"):
        state = key + (first[..., None] + slots + np.uint64(1)) * _GAMMA
        state = (state ^ (state >> np.uint64(30))) * _MIX_1
        state = (state ^ (state >> np.uint64(27))) * _MIX_2
    state ^= state >> np.uint64(31)
    # 53 bits, shifted by half a step: never 0 nor 1, so logarithms are finite.
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(key: np.uint64, days: np.ndarray | int, count: int) -> np.ndarray:
    """Standard normal numbers (Box and Muller 1958), shape as in `uniforms`."""
    half = (count + 1) // 2
    u = uniforms(key, days, 2 * half)
    radius = np.sqrt(-2.0 * np.log(u[..., :half]))
    angle = 2.0 * np.pi * u[..., half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)[..., :count]


def inverse_gamma_mix(u: np.ndarray, cap: float) -> np.ndarray:
    """Variance multipliers with mean 1 whose normal mixture is a Student t, cut at ``cap``.

    ``u`` has shape (..., k); the result is the mixing variable of a t with 2k degrees of freedom (chi-square with 2k
    degrees as a sum of k exponentials). The cut keeps the mean of exp(return) finite; the mean is restored by a
    deterministic quadrature, so that variances stay what they were meant to be.
    """
    k = u.shape[-1]
    total = -np.log(u).sum(axis=-1)
    return np.minimum((k - 1) / total, cap) / _capped_mean(k, cap)


def _capped_mean(k: int, cap: float) -> float:
    """Mean of min((k - 1) / G, cap) for G gamma distributed with shape k.

    E[(k-1)/G; G > x] = Q(k-1, x) and P(G <= x) = 1 - Q(k, x), with Q(n, x) = exp(-x) sum_{j<n} x^j / j!.
    """
    x = (k - 1) / cap

    def upper(n: int) -> float:
        term, total = 1.0, 0.0
        for j in range(n):
            total += term
            term *= x / (j + 1)
        return float(np.exp(-x) * total)

    return upper(k - 1) + cap * (1.0 - upper(k))
