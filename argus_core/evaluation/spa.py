"""Joint bootstrap test over every trial of a cycle: Hansen's SPA, White's Reality Check, StepM for which ones pass.

The resampled means come from `argus_core.bootstrap`: one index path for all strategies of a resample, so that their
dependence is kept for free; the same on CPU and GPU, for any chunking, for any padding.

Sources: Hansen, JBES 23, 2005 (SPA; T, the three recentrings); White, Econometrica 68, 2000 (Reality Check); Romano &
Wolf, Econometrica 73, 2005 (StepM), with Hansen's consistent recentring (Hsu, Hsu & Kuan 2010); Politis & Romano, JASA
89, 1994 (stationary bootstrap and its exact variance, Lemma 1).

Note: a column whose values never vary has no variance to studentise with; it stays in the trial set as t = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from argus_core.accelerator import bucket, load_jax
from argus_core.bootstrap.resampled_means import check_performance, mean_batches, stationary_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Ties between a resampled and the observed statistic count as "at least as large" within this relative tolerance.
TIE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class SpaResult:
    """Outcome of the joint test. Arrays have one entry per strategy, in the order of the columns given."""

    statistic: float
    p_lower: float
    p_consistent: float
    p_upper: float
    p_reality_check: float
    t_values: NDArray[np.float64]
    omegas: NDArray[np.float64]
    adjusted_p: NDArray[np.float64]
    critical_value: float
    block_length: float
    resamples: int
    n_observations: int

    def survivors(self, alpha: float) -> list[int]:
        """Columns that beat the benchmark with familywise error at most ``alpha`` (StepM)."""
        return [int(i) for i in np.flatnonzero(self.adjusted_p < alpha)]


def spa_test(
    performance: NDArray[np.float64],
    *,
    block_length: float,
    resamples: int,
    seed: int,
    alpha: float = 0.05,
) -> SpaResult:
    """Test whether any column's mean exceeds zero, over all columns at once, and find which ones do.

    Args:
        performance: (n, k) per-period performance above the benchmark, net of costs. One row per period, shared clock;
            every configuration that was tried is a column, failed and zero-trade ones as zeros.
        block_length: mean block of the stationary bootstrap in periods (at least 1).
        resamples: number of bootstrap paths B; p-values are (1 + #{T* >= T}) / (1 + B).
        seed: of the counter-based generator; the same seed gives the same paths for any number of columns.
        alpha: level of `SpaResult.critical_value`.

    Raises:
        ValueError: if the matrix is not two-dimensional, holds values that are not finite, has under two rows, or
            ``block_length`` is below 1.
    """
    values = check_performance(performance, least=2)
    if block_length < 1:
        raise ValueError(f"block_length must be at least 1 period, found {block_length}.")
    n, k = values.shape
    if k == 0:
        empty = np.zeros(0)
        return SpaResult(0.0, 1.0, 1.0, 1.0, 1.0, empty, empty, empty, math.inf, block_length, resamples, n)

    columns = bucket(k, smallest=8)
    padded = np.zeros((bucket(n), columns))
    padded[:n, :k] = values
    means, omegas, t_values = (np.pad(one, (0, columns - k)) for one in studentise(values, block_length))
    order = np.argsort(-t_values, kind="stable")
    kernel = _statistics_kernel()
    maxima, at_least = [], np.zeros(columns, dtype=np.int64)
    for start, resampled in mean_batches(padded, n, block_length=block_length, resamples=resamples, seed=seed):
        best, reached = kernel(resampled, means, omegas, t_values, order, n, start, resamples)
        maxima.append(np.asarray(best))
        at_least += np.asarray(reached)
    drawn = np.concatenate(maxima)[:resamples]

    statistic = max(0.0, float(t_values[:k].max(initial=0.0)))
    p_values = [_p_value(drawn[:, j], statistic) for j in range(3)]
    adjusted = np.empty(columns)
    # Step-down: the p-value of a strategy is never below that of a better one (Romano & Wolf 2016, adjusted form).
    adjusted[order] = np.maximum.accumulate((1.0 + at_least) / (1.0 + resamples))
    adjusted = np.where(t_values > 0, adjusted, 1.0)
    quantile = float(np.quantile(drawn[:, 1], 1 - alpha, method="higher"))
    return SpaResult(
        statistic=statistic,
        p_lower=p_values[0],
        p_consistent=p_values[1],
        p_upper=p_values[2],
        p_reality_check=_p_value(drawn[:, 3], math.sqrt(n) * _best_mean(means, omegas)),
        t_values=t_values[:k],
        omegas=omegas[:k],
        adjusted_p=adjusted[:k],
        critical_value=quantile,
        block_length=float(block_length),
        resamples=resamples,
        n_observations=n,
    )


def studentise(
    performance: NDArray[np.float64], block_length: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(means, ω, t-values sqrt(n) mean / ω) of the columns, each (k,); ω and t are 0 for a column that never varies."""
    means, omegas = performance.mean(axis=0), stationary_variance(performance, block_length)
    # Rounding leaves a constant column with a variance of about 1e-34; relative to its size that is zero.
    omegas = np.where(omegas > 1e-10 * np.abs(performance).max(axis=0), omegas, 0.0)
    root = math.sqrt(len(performance))
    return means, omegas, np.where(omegas > 0, root * means / np.where(omegas > 0, omegas, 1.0), 0.0)


def statistics_of_means(
    resampled: NDArray[np.float64], means: NDArray[np.float64], omegas: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Slow plain twin of the kernel: lower, consistent, upper and Reality Check maxima of resampled means (B, k).

    An undefined (constant) column is a trial with t = 0: it can neither raise nor lower a maximum. Shape (B, 4).
    """
    lower, consistent, inverse, live = _recentring(np, means, omegas, n)
    root = math.sqrt(n)
    studentised = [(root * (resampled - centre) * inverse).max(axis=1) for centre in (lower, consistent, means)]
    raw = np.where(live, root * (resampled - means), -np.inf).max(axis=1)
    return np.stack([*(np.maximum(z, 0.0) for z in studentised), np.where(np.isfinite(raw), raw, 0.0)], axis=1)


def _p_value(drawn: NDArray[np.float64], observed: float) -> float:
    tolerance = TIE_TOLERANCE * max(1.0, abs(observed))
    return float((1 + np.count_nonzero(drawn >= observed - tolerance)) / (1 + len(drawn)))


def _best_mean(means: NDArray[np.float64], omegas: NDArray[np.float64]) -> float:
    live = means[omegas > 0]
    return float(live.max()) if len(live) else 0.0


def _recentring(xp: Any, means: Any, omegas: Any, n: Any) -> tuple[Any, Any, Any, Any]:
    """Per column: what is taken off the resampled means (lower, consistent), 1 / ω (0 if constant), ω > 0."""
    live = omegas > 0
    inverse = xp.where(live, 1.0 / xp.where(live, omegas, 1.0), 0.0)
    cut = -math.sqrt(2.0) * (xp.log(xp.log(xp.maximum(n * 1.0, 3.0)))) ** 0.5
    consistent = xp.where(n**0.5 * means * inverse >= cut, means, 0.0)
    return xp.maximum(means, 0.0), consistent, inverse, live


@lru_cache(maxsize=1)
def _statistics_kernel() -> Any:
    jax = load_jax()
    jnp = jax.numpy

    def kernel(
        resampled: Any, means: Any, omegas: Any, t: Any, order: Any, n: Any, start: Any, total: Any
    ) -> tuple[Any, Any]:
        """((batch, 4) maxima, (columns,) resamples whose step-down maximum reaches the t of the j-th best column)."""
        inside = (start + jnp.arange(resampled.shape[0])) < total
        root = jnp.sqrt(n * 1.0)
        lower, consistent, inverse, live = (a[order] for a in _recentring(jnp, means, omegas, n))
        ranked = t[order]
        cut = ranked - TIE_TOLERANCE * jnp.maximum(1.0, jnp.abs(ranked))

        def worse_to_better(best: Any, column: Any) -> tuple[Any, Any]:
            """One pass over the columns: four running maxima, the consistent one is the step-down maximum."""
            drawn, mean, low, cons, scale, alive, limit = column
            raw = root * (drawn - mean)
            found = (
                jnp.maximum(best[0], root * (drawn - low) * scale),
                jnp.maximum(best[1], root * (drawn - cons) * scale),
                jnp.maximum(best[2], raw * scale),
                jnp.maximum(best[3], jnp.where(alive, raw, -jnp.inf)),
            )
            return found, jnp.sum(inside & (found[1] >= limit))

        zero = jnp.zeros(resampled.shape[0])
        columns = (resampled.T[order], means[order], lower, consistent, inverse, live, cut)
        best, reached = jax.lax.scan(worse_to_better, (zero, zero, zero, zero - jnp.inf), columns, reverse=True)
        raw_best = jnp.where(jnp.isfinite(best[3]), best[3], 0.0)
        return jnp.stack([*best[:3], raw_best], axis=1), reached

    return jax.jit(kernel)
