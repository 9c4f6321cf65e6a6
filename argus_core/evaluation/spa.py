"""Joint bootstrap test over every trial of a cycle: Hansen's SPA, White's Reality Check, StepM for which ones pass.

Resampling counts times performance: one resample of the stationary bootstrap is a vector of counts over periods, so the
resampled means of all strategies are one matrix product and their dependence is kept for free. Random numbers come from
a counter-based integer hash: equal on CPU and GPU, for any chunking, for any padding.

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

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Ties between a resampled and the observed statistic count as "at least as large" within this relative tolerance.
TIE_TOLERANCE = 1e-9
_CHUNK_BYTES = 256 * 1024 * 1024


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


def stationary_variance(performance: NDArray[np.float64], block_length: float) -> NDArray[np.float64]:
    """Exact stationary-bootstrap standard deviation ω of sqrt(n) times each column's mean, shape (k,).

    ω² = g₀ + 2 Σ κᵢ gᵢ with κᵢ = ((n−i)/n)(1−p)ⁱ + (i/n)(1−p)ⁿ⁻ⁱ and p = 1/block_length; autocovariances by FFT.
    """
    n = len(performance)
    centred = performance - performance.mean(axis=0)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, size, axis=0)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2, size, axis=0)[:n] / n
    weights = 2.0 * _kernel_weights(np, n, n, 1.0 / block_length)
    weights[0] = 1.0
    return np.sqrt(np.maximum(weights @ covariances, 0.0))


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
        ValueError: if the matrix is not two-dimensional, holds values that are not finite, or has under two rows.
    """
    values = np.ascontiguousarray(performance, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"performance must be a matrix of at least 2 periods, found shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("performance holds values that are not finite; fill missing days with 0 first.")
    if block_length < 1:
        raise ValueError(f"block_length must be at least 1 period, found {block_length}.")
    n, k = values.shape
    if k == 0:
        empty = np.zeros(0)
        return SpaResult(0.0, 1.0, 1.0, 1.0, 1.0, empty, empty, empty, math.inf, block_length, resamples, n)

    rows, columns = bucket(n), bucket(k, smallest=8)
    padded = np.zeros((rows, columns))
    padded[:n, :k] = values
    means, omegas = _prepare(padded, n, block_length)
    t_values = np.where(omegas > 0, math.sqrt(n) * means / np.where(omegas > 0, omegas, 1.0), 0.0)
    chunk = max(64, min(resamples, _CHUNK_BYTES // (8 * (rows + 4 * columns))))
    order = np.argsort(-t_values, kind="stable")
    maxima, at_least = [], np.zeros(columns, dtype=np.int64)
    for start in range(0, resamples, chunk):
        kernel = _resample_kernel(rows, columns, chunk)
        best, reached = kernel(padded, means, omegas, t_values, order, n, 1.0 / block_length, seed, start, resamples)
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


def resample_counts(n: int, *, block_length: float, resamples: int, seed: int) -> NDArray[np.int64]:
    """Slow plain twin of the kernel's resampling: (resamples, n) counts of each period in each bootstrap path."""
    counts = np.zeros((resamples, n), dtype=np.int64)
    limit = _restart_limit(1.0 / block_length)
    for path in range(resamples):
        index = 0
        for step in range(n):
            restart = int(_hash(np, np.uint32(seed & 0xFFFFFFFF), np.uint32(path), np.uint32(2 * step)))
            if step == 0 or restart < limit:
                word = int(_hash(np, np.uint32(seed & 0xFFFFFFFF), np.uint32(path), np.uint32(2 * step + 1)))
                index = (word * n) >> 32
            else:
                index = (index + 1) % n
            counts[path, index] += 1
    return counts


def statistics_of_means(
    resampled: NDArray[np.float64], means: NDArray[np.float64], omegas: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Lower, consistent, upper and Reality Check maxima of resampled means (B, k); shape (B, 4). Plain NumPy."""
    return np.asarray(_four_maxima(np, resampled, means, omegas, n)[0])


def _p_value(drawn: NDArray[np.float64], observed: float) -> float:
    tolerance = TIE_TOLERANCE * max(1.0, abs(observed))
    return float((1 + np.count_nonzero(drawn >= observed - tolerance)) / (1 + len(drawn)))


def _best_mean(means: NDArray[np.float64], omegas: NDArray[np.float64]) -> float:
    live = means[omegas > 0]
    return float(live.max()) if len(live) else 0.0


def _restart_limit(probability: float) -> int:
    return min(2**32, round(probability * 2**32))


def _hash(xp: Any, seed: Any, path: Any, step: Any) -> Any:
    """Counter-based 32-bit hash of (seed, path, step): two rounds of the murmur3 finaliser over mixed counters."""
    with np.errstate(over="ignore"):
        x = seed * xp.uint32(0x9E3779B9) + path * xp.uint32(0x85EBCA6B) + xp.uint32(0x27D4EB2F)
        x = _finalise(xp, x)
        return _finalise(xp, x ^ (step * xp.uint32(0xC2B2AE35) + xp.uint32(0x165667B1)))


def _finalise(xp: Any, x: Any) -> Any:
    x = (x ^ (x >> xp.uint32(16))) * xp.uint32(0x85EBCA6B)
    x = (x ^ (x >> xp.uint32(13))) * xp.uint32(0xC2B2AE35)
    return x ^ (x >> xp.uint32(16))


def _kernel_weights(xp: Any, size: int, n: Any, p: Any) -> Any:
    """κ of lags 0..size−1; zero from lag n on."""
    lag = xp.arange(size, dtype=xp.float64)
    stay = 1.0 - p
    # 0 ** 0 is 1 here as the formula needs at lag 0; lag n itself never occurs.
    weights = (n - lag) / n * stay**lag + lag / n * stay ** xp.maximum(n - lag, 0.0)
    return xp.where(lag < n, weights, 0.0)


def _four_maxima(xp: Any, resampled: Any, means: Any, omegas: Any, n: Any) -> tuple[Any, Any]:
    """((B, 4) maxima, (B, k) consistently recentred studentised statistics)."""
    root = n**0.5
    live = omegas > 0
    inverse = xp.where(live, 1.0 / xp.where(live, omegas, 1.0), 0.0)
    cut = -math.sqrt(2.0) * (xp.log(xp.log(xp.maximum(n * 1.0, 3.0)))) ** 0.5
    lower = xp.maximum(means, 0.0)
    consistent = xp.where(root * means * inverse >= cut, means, 0.0)
    z_lower = root * (resampled - lower) * inverse
    z_consistent = root * (resampled - consistent) * inverse
    z_upper = root * (resampled - means) * inverse
    # An undefined (constant) column is a trial with t = 0: it can neither raise nor lower a maximum.
    raw = xp.where(live, root * (resampled - means), -xp.inf)
    raw_best = raw.max(axis=1)
    best = xp.stack(
        [
            xp.maximum(z_lower.max(axis=1), 0.0),
            xp.maximum(z_consistent.max(axis=1), 0.0),
            xp.maximum(z_upper.max(axis=1), 0.0),
            xp.where(xp.isfinite(raw_best), raw_best, 0.0),
        ],
        axis=1,
    )
    return best, z_consistent


def _prepare(padded: NDArray[np.float64], n: int, block_length: float) -> tuple[Any, Any]:
    kernel = _moment_kernel(*padded.shape)
    means, omegas = kernel(padded, n, 1.0 / block_length)
    means, omegas = np.asarray(means), np.asarray(omegas)
    # Rounding leaves a constant column with a variance of about 1e-34; relative to its size that is zero.
    scale = np.abs(padded[:n]).max(axis=0)
    return means, np.where(omegas > 1e-10 * scale, omegas, 0.0)


@lru_cache(maxsize=32)
def _moment_kernel(rows: int, columns: int) -> Any:
    jax = load_jax()
    jnp = jax.numpy
    size = 1 << (2 * rows - 1).bit_length()

    def kernel(padded: Any, n: Any, p: Any) -> Any:
        inside = jnp.arange(rows) < n
        means = padded.sum(axis=0) / n
        centred = jnp.where(inside[:, None], padded - means, 0.0).T
        spectrum = jnp.fft.rfft(centred, size, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        covariances = jnp.fft.irfft(power, size, axis=1)[:, :rows] / n
        weights = 2.0 * _kernel_weights(jnp, rows, n, p)
        weights = weights.at[0].set(1.0)
        return means, jnp.sqrt(jnp.maximum(covariances @ weights, 0.0))

    return jax.jit(kernel)


@lru_cache(maxsize=32)
def _resample_kernel(rows: int, columns: int, chunk: int) -> Any:
    jax = load_jax()
    jnp = jax.numpy

    def kernel(
        padded: Any, means: Any, omegas: Any, t: Any, order: Any, n: Any, p: Any, seed: Any, start: Any, total: Any
    ) -> Any:
        seed = jnp.asarray(seed).astype(jnp.uint32)
        path = (start + jnp.arange(chunk)).astype(jnp.uint32)[:, None]
        step = jnp.arange(rows)
        counter = (2 * step).astype(jnp.uint32)[None, :]
        limit = jnp.round(p * 2.0**32)
        restart = (_hash(jnp, seed, path, counter) < limit) | (step == 0)[None, :]
        word = _hash(jnp, seed, path, counter + jnp.uint32(1)).astype(jnp.int64)
        first = (word * n) >> 32
        # The newest restart at or before each step, without a scan: a running maximum of restart positions.
        position = jax.lax.cummax(jnp.where(restart, step[None, :], 0), axis=1)
        index = (jnp.take_along_axis(first, position, axis=1) + step[None, :] - position) % n
        index = jnp.where(step[None, :] < n, index, rows)
        lane = jnp.arange(chunk)[:, None]
        counts = jnp.zeros((chunk, rows)).at[lane, index].add(1.0, mode="drop")
        resampled = counts @ padded / n
        best, z = _four_maxima(jnp, resampled, means, omegas, n)
        # Step-down maxima: for the j-th best strategy, the maximum over itself and all worse ones.
        step_down = jnp.maximum(jax.lax.cummax(z[:, order], axis=1, reverse=True), 0.0)
        ranked = t[order]
        tolerance = TIE_TOLERANCE * jnp.maximum(1.0, jnp.abs(ranked))
        counted = (path[:, :1] < total) & (step_down >= ranked - tolerance)
        return best, counted.sum(axis=0)

    return jax.jit(kernel)
