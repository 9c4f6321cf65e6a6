"""Resampled equity paths: one JAX kernel over runs and paths, random numbers from a counter-based integer hash.

Layout: scan over trades, paths vectorised, runs by ``vmap``. Every random number is a function of
(seed, run key, path, step) alone, so that results are the same on CPU and GPU and for any chunking or order of runs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from argus_core.accelerator import bucket, load_jax

Method = Literal["stationary", "iid", "permutation"]

#: Runs per kernel call: enough to keep the cores busy, few enough for the path state to stay in cache.
_CHUNK = 8
_GOLDEN = 0x9E3779B9


class PathStatistics(NamedTuple):
    """Statistics of every path, shape (paths,).

    ``terminal``: final equity over the starting equity. ``max_drawdown``: share of the running peak, start included.
    ``ruined``: equity was at or below the ruin level at any time.
    """

    terminal: np.ndarray
    max_drawdown: np.ndarray
    ruined: np.ndarray


def resample_paths(
    returns: Sequence[np.ndarray],
    blocks: Sequence[float],
    *,
    paths: int,
    seed: int,
    method: Method = "stationary",
    ruin_level: float = 0.5,
    compound: bool = True,
    stop_at_ruin: bool = True,
) -> list[PathStatistics]:
    """Resample every run's trades into ``paths`` equity paths of the same number of trades.

    Stationary bootstrap of Politis & Romano 1994: the first index is uniform; then, with probability 1 / block, a
    fresh uniform index, else the next one, wrapping around. ``iid`` is a block of 1; ``permutation`` reorders.

    Args:
        returns: per run, trade returns as fractions of equity at entry (``compound``) or of the starting equity
            (not ``compound``, for strategies of fixed size), in time order; shape (n_trades,), at least one trade.
        blocks: per run, mean block length in trades, at least 1.
        ruin_level: share of the starting equity.
        stop_at_ruin: a ruined path stops trading; without it the path goes on and may recover.
    """
    if not returns:
        return []
    keys = [run_key(seed, values) for values in returns]
    groups: dict[int, list[int]] = {}
    for position, values in enumerate(returns):
        if len(values) == 0:
            raise ValueError(f"run {position} has no trades: there is nothing to resample")
        groups.setdefault(bucket(len(values)), []).append(position)
    results: dict[int, PathStatistics] = {}
    for width, members in sorted(groups.items()):
        for first in range(0, len(members), _CHUNK):
            chunk = members[first : first + _CHUNK]
            lanes = bucket(len(chunk), smallest=2)
            padded = np.zeros((lanes, width))
            count = np.ones(lanes, np.uint32)
            restart = np.full(lanes, 0xFFFFFFFF, np.uint32)
            key = np.zeros(lanes, np.uint32)
            for lane, position in enumerate(chunk):
                values = returns[position]
                padded[lane, : len(values)] = values
                count[lane] = len(values)
                restart[lane] = _restart_threshold(1.0 if method == "iid" else blocks[position])
                key[lane] = keys[position]
            kernel = _kernel(paths, method == "permutation", compound, stop_at_ruin)
            terminal, drawdown, ruined = (np.asarray(a) for a in kernel(padded, count, restart, key, ruin_level))
            for lane, position in enumerate(chunk):
                results[position] = PathStatistics(terminal[lane], drawdown[lane], ruined[lane])
    return [results[position] for position in range(len(returns))]


def run_key(seed: int, values: np.ndarray) -> int:
    """Key of a run's random stream: 32 bits from the seed and the returns, so that position does not matter."""
    content = np.ascontiguousarray(values, dtype="<f8").tobytes()
    return zlib.crc32(content, zlib.crc32(int(seed).to_bytes(8, "little", signed=True)))


def _restart_threshold(block: float) -> int:
    """A 32-bit number u restarts the block when u <= threshold: probability 1 / block."""
    if block < 1:
        raise ValueError(f"mean block length must be at least 1 trade, got {block}")
    return max(int(2.0**32 / block) - 1, 0)


@lru_cache(maxsize=32)
def _kernel(paths: int, permute: bool, compound: bool, stop_at_ruin: bool) -> Callable[..., Any]:
    jax = load_jax()
    jnp, lax = jax.numpy, jax.lax
    u32, u64 = jnp.uint32, jnp.uint64

    def mix(h: Any) -> Any:
        """Finaliser of MurmurHash3 (Appleby, public domain algorithm): every input bit reaches every output bit."""
        h = (h ^ (h >> u32(16))) * u32(0x85EBCA6B)
        h = (h ^ (h >> u32(13))) * u32(0xC2B2AE35)
        return h ^ (h >> u32(16))

    def one_run(values: Any, count: Any, restart: Any, key: Any, ruin_level: Any) -> tuple[Any, Any, Any]:
        stream = mix(mix(jnp.arange(paths, dtype=u32) * u32(_GOLDEN) + key))
        width = values.shape[0]
        steps = jnp.arange(width, dtype=u32)
        if permute:
            # Sorting hashed keys gives a uniform permutation; the padding sorts behind the trades.
            ranks = mix(stream[:, None] ^ mix(steps * u32(2) + u32(1))[None, :]).astype(u64)
            ranks = jnp.where(steps[None, :] < count, ranks, u64(2**32))
            order = jnp.argsort(ranks, axis=1, stable=True).T.astype(u32)

        def advance(state: Any, inputs: Any) -> tuple[Any, None]:
            index, equity, peak, drawdown, ruined = state
            step = inputs[0]
            if permute:
                index = inputs[1]
            else:
                # The step's part of the counter is hashed once for all paths.
                restarts = mix(stream ^ mix(step * u32(2))) <= restart
                draw = mix(stream ^ mix(step * u32(2) + u32(1)))
                # Multiply-high: no modulo bias.
                fresh = ((draw.astype(u64) * count.astype(u64)) >> u64(32)).astype(u32)
                following = jnp.where(index + u32(1) >= count, u32(0), index + u32(1))
                index = jnp.where((step == 0) | restarts, fresh, following)
            gain = values[index]
            moved = equity * (1.0 + gain) if compound else equity + gain
            moved = jnp.maximum(moved, 0.0)
            trading = step < count
            if stop_at_ruin:
                trading = trading & ~ruined
            equity = jnp.where(trading, moved, equity)
            peak = jnp.maximum(peak, equity)
            drawdown = jnp.maximum(drawdown, 1.0 - equity / peak)
            return (index, equity, peak, drawdown, ruined | (equity <= ruin_level)), None

        ones = jnp.ones(paths)
        start = (jnp.zeros(paths, u32), ones, ones, jnp.zeros(paths), jnp.zeros(paths, bool))
        inputs = (steps, order) if permute else (steps,)
        (_, equity, _, drawdown, ruined), _ = lax.scan(advance, start, inputs)
        return equity, drawdown, ruined

    if permute:
        # The orders are a matrix per run; one run at a time keeps memory small.
        def all_runs(values: Any, count: Any, restart: Any, key: Any, ruin_level: Any) -> Any:
            return lax.map(lambda run: one_run(*run, ruin_level), (values, count, restart, key))

        return jax.jit(all_runs)
    return jax.jit(jax.vmap(one_run, in_axes=(0, 0, 0, 0, None)))
