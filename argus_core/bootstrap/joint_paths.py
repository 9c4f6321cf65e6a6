"""Joint paths: all strategies of a cycle over one resampled calendar, and portfolios of them.

Every path draws **one** sequence of periods (stationary bootstrap, Politis & Romano 1994) for all columns, the very one
of resample number ``path`` of the joint test with the same seed, so that crashes stay common. Statistics are those of
compounded wealth: terminal wealth, deepest drawdown, longest time under water, ruin by first passage.

Layout: a scan over periods with the paths of a chunk side by side; nothing of size paths × periods is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from argus_core.accelerator import bucket, load_jax
from argus_core.bootstrap.block_length import optimal_block_length
from argus_core.bootstrap.counter_hash import below, counters, restart_threshold, seed_key, streams, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Paths side by side: their state (a few numbers per path and column) stays in cache.
_CHUNK = 128
#: Columns whose block length is estimated; more change the median by nothing that matters.
_BLOCK_SAMPLE = 100
#: Moments of a path at which fans are drawn.
FAN_POINTS = 60


@dataclass(frozen=True)
class JointPaths:
    """Statistics per path and column, shape (paths, k + m): the k strategies, then the m portfolios.

    ``terminal``: wealth at the end over the start. ``max_drawdown``: share of the running peak, start included.
    ``time_under_water``: longest run of periods below the peak. ``ruined``: wealth was at or below the ruin level at
    any time (first passage). ``fan``: wealth of the portfolios at `FAN_POINTS` moments, shape (paths, points, m), and
    ``fan_steps`` the number of periods passed at each.
    """

    terminal: NDArray[np.float32]
    max_drawdown: NDArray[np.float32]
    time_under_water: NDArray[np.int32]
    ruined: NDArray[np.bool_]
    fan: NDArray[np.float32]
    fan_steps: NDArray[np.int64]


def joint_block_length(performance: NDArray[np.float64]) -> float:
    """Mean block of the joint bootstrap: median over the columns that vary of the larger automatic length of the
    returns and of their absolute values (Politis & White, corrected), at least 1.

    Volatility clusters longer than returns do, and drawdown and crashes feel it.
    """
    live = np.flatnonzero(performance.std(axis=0) > 0) if len(performance) >= 8 else np.zeros(0, int)
    if not len(live):
        return 1.0
    chosen = live[np.unique(np.linspace(0, len(live) - 1, min(len(live), _BLOCK_SAMPLE)).round().astype(int))]
    lengths = [
        max(optimal_block_length(column).stationary, optimal_block_length(np.abs(column)).stationary)
        for column in performance[:, chosen].T
    ]
    return max(1.0, float(np.median(lengths)))


def joint_paths(
    returns: NDArray[np.float64],
    *,
    block_length: float,
    paths: int,
    seed: int,
    horizon: int | None = None,
    ruin_level: float = 0.5,
    weights: NDArray[np.float64] | None = None,
) -> JointPaths:
    """Resample the periods of all columns together.

    Args:
        returns: (n, k) net returns per period on one clock.
        block_length: mean block in periods, at least 1 (`joint_block_length`).
        horizon: periods per path; default: n.
        ruin_level: share of the starting wealth.
        weights: (m, k) portfolios, rebalanced every period; the rest of each is cash.

    Raises:
        ValueError: on a matrix that is empty or not finite, or weights of another width.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"returns must be a matrix of finite numbers, found shape {values.shape}; fill gaps with 0.")
    n, k = values.shape
    mix = np.zeros((0, k)) if weights is None else np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if mix.shape[1] != k:
        raise ValueError(f"weights have {mix.shape[1]} columns, the returns {k}.")
    length = n if horizon is None else horizon
    every = np.concatenate([values, values @ mix.T], axis=1).astype(np.float32)
    columns, rows, steps = bucket(every.shape[1], smallest=4), bucket(n), bucket(length)
    padded = np.zeros((rows, columns), np.float32)
    padded[:n, : every.shape[1]] = every
    marks = np.unique(np.linspace(0, length, min(FAN_POINTS, length + 1)).round().astype(np.int64))
    kernel = _kernel(steps, _CHUNK)
    threshold = np.uint32(restart_threshold(block_length))
    parts = []
    for first in range(0, paths, _CHUNK):
        found = kernel(padded, np.uint32(n), threshold, np.uint32(seed_key(seed)), np.uint32(first), length, ruin_level)
        parts.append([np.asarray(one) for one in found])
    width = every.shape[1]
    terminal, drawdown, water, ruined = (np.concatenate([part[i] for part in parts])[:paths, :width] for i in range(4))
    fan = np.zeros((paths, len(marks), len(mix)), np.float32)
    if len(mix):
        # Few columns, all moments: the paths of the portfolios themselves.
        from argus_core.bootstrap.resampled_means import index_paths

        index = index_paths(n, block_length=block_length, paths=paths, seed=seed, horizon=length)
        for m in range(len(mix)):
            grown = np.cumprod(np.maximum(1.0 + every[:, k + m][index], 0.0), axis=1)
            fan[:, :, m] = np.concatenate([np.ones((paths, 1)), grown], axis=1)[:, marks]
    return JointPaths(terminal, drawdown, water, ruined, fan, marks)


@dataclass(frozen=True)
class BestOfTrials:
    """What luck gives the best of N trials, and how flattering the selected mean is.

    ``null_maxima``: best t-value of each resample under the null, shape (B,). ``selection_bias``: how much the mean of
    the column that wins a resample exceeds that column's own mean, averaged, per period: the winner's curse.
    ``wins``: share of the resamples that each column wins, shape (k,).
    """

    null_maxima: NDArray[np.float64]
    selection_bias: float
    wins: NDArray[np.float64]

    def quantiles(self, levels: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> dict[str, float]:
        """Quantiles of the best t-value under luck, by level."""
        return {f"{level:g}": float(np.quantile(self.null_maxima, level)) for level in levels}


def best_of_trials(performance: NDArray[np.float64], *, block_length: float, resamples: int, seed: int) -> BestOfTrials:
    """Distribution of the best of all columns, jointly: no formula for an effective number of trials is needed.

    Args:
        performance: (n, k) per-period performance, net of costs; columns that never vary are left out of the race.
    """
    from argus_core.bootstrap.resampled_means import mean_batches, stationary_variance

    n, k = performance.shape
    omegas = stationary_variance(performance, block_length)
    means = performance.mean(axis=0)
    live = omegas > 1e-10 * np.abs(performance).max(axis=0, initial=0.0)
    if not live.any():
        return BestOfTrials(np.zeros(resamples), 0.0, np.zeros(k))
    columns = bucket(k, smallest=8)
    padded = np.zeros((bucket(n), columns))
    padded[:n, :k] = performance
    batches = mean_batches(padded, n, block_length=block_length, resamples=resamples, seed=seed)
    drawn = np.concatenate([np.asarray(batch)[:, :k] for _, batch in batches])[:resamples]
    scale = np.where(live, n**0.5 / np.where(live, omegas, 1.0), 0.0)
    null = np.where(live, (drawn - means) * scale, -np.inf)
    winner = np.where(live, drawn * scale, -np.inf).argmax(axis=1)
    rows = np.arange(len(drawn))
    return BestOfTrials(
        np.maximum(null.max(axis=1), 0.0),
        float((drawn[rows, winner] - means[winner]).mean()),
        np.bincount(winner, minlength=k) / len(drawn),
    )


@lru_cache(maxsize=16)
def _kernel(steps: int, chunk: int) -> Any:
    jax = load_jax()
    jnp, lax = jax.numpy, jax.lax

    def kernel(values: Any, n: Any, threshold: Any, key: Any, first: Any, length: Any, ruin_level: Any) -> Any:
        stream = streams(jnp, key, jnp.arange(chunk, dtype=jnp.uint32) + first)
        moments = jnp.arange(steps, dtype=jnp.uint32)
        to_restart, to_start = counters(jnp, moments)

        def advance(state: Any, inputs: Any) -> tuple[Any, None]:
            index, wealth, peak, drawdown, run, longest, ruined = state
            step, restart_counter, start_counter = inputs
            fresh = below(jnp, words(jnp, stream, start_counter), n)
            following = jnp.where(index + jnp.uint32(1) >= n, jnp.uint32(0), index + jnp.uint32(1))
            restarts = (words(jnp, stream, restart_counter) <= threshold) | (step == 0)
            index = jnp.where(restarts, fresh, following)
            trading = step < length
            gain = jnp.where(trading, values[index], jnp.float32(0))
            wealth = jnp.maximum(wealth * (1 + gain), 0)
            peak = jnp.maximum(peak, wealth)
            drawdown = jnp.maximum(drawdown, 1 - wealth / peak)
            run = jnp.where((wealth < peak) & trading, run + 1, 0)
            return (
                index,
                wealth,
                peak,
                drawdown,
                run,
                jnp.maximum(longest, run),
                ruined | (wealth <= ruin_level),
            ), None

        ones = jnp.ones((chunk, values.shape[1]), jnp.float32)
        none = jnp.zeros(ones.shape, jnp.int32)
        start = (jnp.zeros(chunk, jnp.uint32), ones, ones, 0 * ones, none, none, jnp.zeros(ones.shape, bool))
        (_, wealth, _, drawdown, _, longest, ruined), _ = lax.scan(advance, start, (moments, to_restart, to_start))
        return wealth, drawdown, longest, ruined

    return jax.jit(kernel)
