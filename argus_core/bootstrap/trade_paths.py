"""Resampled equity paths of trades: one JAX kernel over runs and paths.

Layout: scan over trades, paths vectorised, runs by ``vmap``. Every random number is a function of
(seed, run key, path, step) alone (`counter_hash`), so that results are the same on CPU and GPU, for any chunking or
order of runs, and the first 1,000 of 4,000 paths are those of a run with 1,000.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from argus_core.accelerator import bucket, load_jax
from argus_core.bootstrap.counter_hash import below, counters, restart_threshold, seed_key, streams, words

Method = Literal["stationary", "iid", "permutation"]

#: Runs per kernel call: enough to keep the cores busy, few enough for the path state to stay in cache.
_CHUNK = 8


class PathStatistics(NamedTuple):
    """Statistics of every path, shape (paths,).

    ``terminal``: final equity over the starting equity. ``max_drawdown``: share of the running peak, start included.
    ``ruined``: equity was at or below the ruin level at any time. ``under_water``: longest run of trades in a row that
    ended below the running peak, in trades; a ruined path stays under water to its end.
    """

    terminal: np.ndarray
    max_drawdown: np.ndarray
    ruined: np.ndarray
    under_water: np.ndarray


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
    first_path: int = 0,
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
        first_path: number of the first path: paths 0..999 and then 1000..1999 are the paths 0..1999.

    Raises:
        ValueError: if a run has no trades or a block is below 1.
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
                restart[lane] = restart_threshold(1.0 if method == "iid" else blocks[position])
                key[lane] = keys[position]
            kernel = _kernel(paths, method == "permutation", compound, stop_at_ruin)
            arrays = [np.asarray(a) for a in kernel(padded, count, restart, key, ruin_level, np.uint32(first_path))]
            for lane, position in enumerate(chunk):
                results[position] = PathStatistics(*(a[lane] for a in arrays))
    return [results[position] for position in range(len(returns))]


def run_key(seed: int, values: np.ndarray) -> int:
    """Key of a run's random stream: 32 bits from the seed and the returns, so that position does not matter."""
    return seed_key(seed, np.ascontiguousarray(values, dtype="<f8").tobytes())


@lru_cache(maxsize=32)
def _kernel(paths: int, permute: bool, compound: bool, stop_at_ruin: bool) -> Callable[..., Any]:
    jax = load_jax()
    jnp, lax = jax.numpy, jax.lax
    u32, u64 = jnp.uint32, jnp.uint64

    def one_run(values: Any, count: Any, restart: Any, key: Any, ruin_level: Any, first: Any) -> tuple[Any, ...]:
        stream = streams(jnp, key, jnp.arange(paths, dtype=u32) + first)
        width = values.shape[0]
        steps = jnp.arange(width, dtype=u32)
        # The step's part of the random numbers is hashed once for all paths.
        to_restart, to_start = counters(jnp, steps)
        if permute:
            # Sorting hashed keys gives a uniform permutation; the padding sorts behind the trades.
            ranks = words(jnp, stream[:, None], to_start[None, :]).astype(u64)
            ranks = jnp.where(steps[None, :] < count, ranks, u64(2**32))
            order = jnp.argsort(ranks, axis=1, stable=True).T.astype(u32)

        def advance(state: Any, inputs: Any) -> tuple[Any, None]:
            index, equity, peak, drawdown, ruined, current, longest = state
            step = inputs[0]
            if permute:
                index = inputs[1]
            else:
                restarts = words(jnp, stream, inputs[1]) <= restart
                fresh = below(jnp, words(jnp, stream, inputs[2]), count)
                following = jnp.where(index + u32(1) >= count, u32(0), index + u32(1))
                index = jnp.where((step == 0) | restarts, fresh, following)
            gain = values[index]
            moved = equity * (1.0 + gain) if compound else equity + gain
            moved = jnp.maximum(moved, 0.0)
            inside = step < count
            trading = inside & ~ruined if stop_at_ruin else inside
            equity = jnp.where(trading, moved, equity)
            peak = jnp.maximum(peak, equity)
            drawdown = jnp.maximum(drawdown, 1.0 - equity / peak)
            current = jnp.where(inside & (equity < peak), current + 1, 0)
            longest = jnp.maximum(longest, current)
            return (index, equity, peak, drawdown, ruined | (equity <= ruin_level), current, longest), None

        ones, none = jnp.ones(paths), jnp.zeros(paths, jnp.int32)
        start = (jnp.zeros(paths, u32), ones, ones, jnp.zeros(paths), jnp.zeros(paths, bool), none, none)
        inputs = (steps, order) if permute else (steps, to_restart, to_start)
        (_, equity, _, drawdown, ruined, _, longest), _ = lax.scan(advance, start, inputs)
        return equity, drawdown, ruined, longest

    if permute:
        # The orders are a matrix per run; one run at a time keeps memory small.
        def all_runs(values: Any, count: Any, restart: Any, key: Any, ruin_level: Any, first: Any) -> Any:
            return lax.map(lambda run: one_run(*run, ruin_level, first), (values, count, restart, key))

        return jax.jit(all_runs)
    return jax.jit(jax.vmap(one_run, in_axes=(0, 0, 0, 0, None, None)))
