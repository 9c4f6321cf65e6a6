"""Means of jointly resampled columns: one index path for all columns of a resample, so their dependence is kept.

One resample of the stationary bootstrap is a vector of counts over periods; the resampled means of all columns are the
counts times the values. Two routes give the same numbers from the same index paths:

* **counts**: count matrix times values, one JAX kernel. Cost: resamples x periods x columns multiply-adds.
* **block edges**: a block of consecutive periods sums to a difference of two prefix sums, so only the edges of blocks
  count: resamples x blocks x columns. Used for long inputs on the CPU, where blocks are far fewer than periods.

Sources: Politis & Romano, JASA 89, 1994 (the bootstrap and its exact variance, Lemma 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from argus_core.accelerator import bucket, load_jax
from argus_core.bootstrap.counter_hash import below, counters, restart_threshold, seed_key, streams, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

Route = Literal["counts", "block_edges"]

#: Periods from which the block edges are cheaper than the counts, if blocks are long enough.
LONG_INPUT = 20_000
#: Mean block below which the counts stay cheaper: two edges per block cost more than the block's periods.
_SHORT_BLOCK = 12.0
_CHUNK_BYTES = 128 * 1024 * 1024


def stationary_variance(performance: NDArray[np.float64], block_length: float) -> NDArray[np.float64]:
    """Exact stationary-bootstrap standard deviation ω of sqrt(n) times each column's mean, shape (k,).

    ω² = g₀ + 2 Σ κᵢ gᵢ with κᵢ = ((n−i)/n)(1−p)ⁱ + (i/n)(1−p)ⁿ⁻ⁱ and p = 1/block_length. Because κᵢ = wᵢ + wₙ₋ᵢ with
    wᵢ = ((n−i)/n)(1−p)ⁱ, the sum is one over *circular* autocovariances, and by Parseval a weighted sum of the squared
    Fourier coefficients: one real transform of length n per column, without padding and without going back.
    """
    values = np.ascontiguousarray(np.asarray(performance, dtype=np.float64).T)
    n = values.shape[1]
    lag = np.arange(n, dtype=np.float64)
    stay = 1.0 - 1.0 / block_length
    # 0 ** 0 is 1 here as the formula needs at lag 0.
    weight = (n - lag) / n * stay**lag
    symmetric = weight.copy()
    symmetric[1:] += weight[:0:-1]
    transfer = np.fft.rfft(symmetric).real
    # Every frequency but 0 and the middle one stands for two.
    transfer[1 : (n + 1) // 2] *= 2.0
    # The mean is taken off, so frequency 0 holds rounding only.
    transfer[0] = 0.0
    # Real and imaginary parts side by side, in memory that all columns share: fresh pages cost more than the sums, and
    # so does waking the threads of BLAS for a product of two vectors.
    weights = np.repeat(transfer, 2)
    centred, spectrum = np.empty(n), np.empty(len(transfer), dtype=np.complex128)
    parts = spectrum.view(np.float64)
    squares = np.empty(len(values))
    for column, series in enumerate(values):
        np.subtract(series, series.mean(), out=centred)
        np.fft.rfft(centred, out=spectrum)
        np.multiply(parts, parts, out=parts)
        np.multiply(parts, weights, out=parts)
        squares[column] = parts.sum()
    return np.sqrt(np.maximum(squares, 0.0)) / n


def index_paths(
    n: int, *, block_length: float, paths: int, seed: int, horizon: int | None = None, first_path: int = 0
) -> NDArray[np.int64]:
    """Slow plain twin of the kernels' resampling: (paths, horizon) indices of the stationary bootstrap.

    The first index is uniform; then with probability 1 / block_length a fresh uniform one, else the next, wrapping.
    """
    stream = streams(np, np.uint32(seed_key(seed)), np.arange(paths, dtype=np.uint32) + np.uint32(first_path))
    length = n if horizon is None else horizon
    to_restart, to_start = counters(np, np.arange(length, dtype=np.uint32))
    index = np.zeros((paths, length), dtype=np.int64)
    for step in range(length):
        fresh = below(np, words(np, stream, to_start[step : step + 1]), np.uint32(n))
        if step == 0:
            index[:, step] = fresh
            continue
        restart = words(np, stream, to_restart[step : step + 1]) <= np.uint32(restart_threshold(block_length))
        index[:, step] = np.where(restart, fresh, (index[:, step - 1] + 1) % n)
    return index


def resample_counts(n: int, *, block_length: float, resamples: int, seed: int) -> NDArray[np.int64]:
    """Slow plain twin of the counts kernel: (resamples, n) counts of each period in each bootstrap path."""
    index = index_paths(n, block_length=block_length, paths=resamples, seed=seed)
    counts = np.zeros((resamples, n), dtype=np.int64)
    np.add.at(counts, (np.arange(resamples)[:, None], index), 1)
    return counts


def resample_means(
    performance: NDArray[np.float64], *, block_length: float, resamples: int, seed: int, route: Route | None = None
) -> NDArray[np.float64]:
    """Means of jointly resampled columns, shape (resamples, k).

    Args:
        performance: (n, k), one row per period on a shared clock.
        block_length: mean block in periods, at least 1.
        seed: path b of a seed is the same for any number of columns, of resamples, and in `joint_paths` and `spa_test`.
        route: see the module; None chooses the cheaper one. Both give the same numbers up to rounding.

    Raises:
        ValueError: if the matrix is not two-dimensional, not finite, or ``block_length`` is below 1.
    """
    values = check_performance(performance)
    n, k = values.shape
    padded = np.zeros((bucket(n), bucket(k, smallest=8)))
    padded[:n, :k] = values
    batches = mean_batches(padded, n, block_length=block_length, resamples=resamples, seed=seed, route=route)
    return np.concatenate([np.asarray(means)[:, :k] for _, means in batches])[:resamples]


def check_performance(performance: NDArray[np.float64], *, least: int = 1) -> NDArray[np.float64]:
    """``performance`` as contiguous float64.

    Raises:
        ValueError: if it is not a finite matrix of at least ``least`` rows.
    """
    values = np.ascontiguousarray(performance, dtype=np.float64)
    if values.ndim != 2 or len(values) < least:
        raise ValueError(f"performance must be a matrix of at least {least} periods, found shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("performance holds values that are not finite; fill missing days with 0 first.")
    return values


def mean_batches(
    padded: NDArray[np.float64],
    n: int,
    *,
    block_length: float,
    resamples: int,
    seed: int,
    route: Route | None = None,
) -> Iterator[tuple[int, Any]]:
    """Batches (number of the first resample, means (batch, columns)); the last one may hold more than was asked for.

    Args:
        padded: (rows >= n, columns), rows from n on zero. Few distinct shapes mean few compilations.
    """
    rows, columns = padded.shape
    threshold, key = np.uint32(restart_threshold(block_length)), np.uint32(seed_key(seed))
    if route is None:
        edges = n >= LONG_INPUT and block_length >= _SHORT_BLOCK and load_jax().default_backend() == "cpu"
        route = "block_edges" if edges else "counts"
    if route == "block_edges":
        yield from _edge_batches(padded, n, threshold, key, resamples)
        return
    chunk = max(64, min(resamples, _CHUNK_BYTES // (8 * (rows + 4 * columns))))
    kernel = _counts_kernel(rows, columns, chunk)
    for start in range(0, resamples, chunk):
        yield start, kernel(padded, np.uint32(n), threshold, key, np.uint32(start))


@lru_cache(maxsize=32)
def _counts_kernel(rows: int, columns: int, chunk: int) -> Any:
    jax = load_jax()
    jnp = jax.numpy

    def kernel(padded: Any, n: Any, threshold: Any, key: Any, start: Any) -> Any:
        stream = streams(jnp, key, start + jnp.arange(chunk, dtype=jnp.uint32))[:, None]
        step = jnp.arange(rows, dtype=jnp.uint32)
        to_restart, to_start = counters(jnp, step)
        restart = (words(jnp, stream, to_restart[None, :]) <= threshold) | (step == 0)[None, :]
        first = below(jnp, words(jnp, stream, to_start[None, :]), n)
        # The newest restart at or before each step, without a scan: a running maximum of restart positions.
        position = jax.lax.cummax(jnp.where(restart, step[None, :].astype(jnp.int32), 0), axis=1)
        index = jnp.take_along_axis(first, position, axis=1) + step[None, :] - position.astype(jnp.uint32)
        # A path is n steps long: it wraps at most once.
        index = jnp.where(index >= n, index - n, index)
        index = jnp.where(step[None, :] < n, index, jnp.uint32(rows))
        lane = jnp.arange(chunk)[:, None]
        counts = jnp.zeros((chunk, rows)).at[lane, index].add(1.0, mode="drop")
        return counts @ padded / n

    return jax.jit(kernel)


def _edge_batches(
    padded: NDArray[np.float64], n: int, threshold: np.uint32, key: np.uint32, resamples: int
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The block edges route. A block [s, e) sums to P[e] − P[s], P the prefix sums of the centred columns.

    The sum over all blocks is a sparse matrix of edges (+1 at the end, −1 at the start) times P; a block that wraps
    around adds the whole sum P[n], which is zero after centring. Centring also keeps the prefix sums small.
    """
    from scipy.sparse import csr_matrix

    rows, columns = padded.shape
    # Columns that pad the shape for the kernels are zero and need no sums here.
    used = int(np.flatnonzero(padded.any(axis=0)).max(initial=-1)) + 1
    means = padded[:n, :used].mean(axis=0)
    prefix = np.zeros((n, used))
    np.subtract(padded[: n - 1, :used], means, out=prefix[1:])
    np.cumsum(prefix, axis=0, out=prefix)
    _, to_start = counters(np, np.arange(n, dtype=np.uint32))
    chunk = max(1, min(resamples, 4 * 1024 * 1024 // rows))
    kernel = _restart_kernel(rows, chunk)
    for start in range(0, resamples, chunk):
        restarts = np.asarray(kernel(np.uint32(n), threshold, key, np.uint32(start))).reshape(-1)
        flat = np.flatnonzero(restarts)
        path, step = np.divmod(flat, rows)
        stream = streams(np, key, np.uint32(start) + np.arange(chunk, dtype=np.uint32))
        begin = below(np, words(np, stream[path], to_start[step]), np.uint32(n)).astype(np.int64)
        # Each block lasts until the next restart of its path or until the path's n steps are over.
        last = np.append(path[1:] != path[:-1], True)
        length = np.where(last, n, np.append(step[1:], 0)) - step
        end = begin + length
        end[end >= n] -= n
        columns_of = np.stack([end, begin], axis=1).reshape(-1)
        signs = np.tile([1.0, -1.0], len(begin))
        pointers = 2 * np.searchsorted(path, np.arange(chunk + 1))
        edges = csr_matrix((signs, columns_of, pointers), shape=(chunk, n))
        resampled = np.zeros((chunk, columns))
        resampled[:, :used] = edges @ prefix / n + means
        yield start, resampled


@lru_cache(maxsize=32)
def _restart_kernel(rows: int, chunk: int) -> Any:
    jax = load_jax()
    jnp = jax.numpy

    def kernel(n: Any, threshold: Any, key: Any, start: Any) -> Any:
        """Whether each step of each path starts a block: (chunk, rows) of bool."""
        stream = streams(jnp, key, start + jnp.arange(chunk, dtype=jnp.uint32))[:, None]
        step = jnp.arange(rows, dtype=jnp.uint32)
        to_restart, _ = counters(jnp, step)
        restart = (words(jnp, stream, to_restart[None, :]) <= threshold) | (step == 0)[None, :]
        return restart & (step < n)[None, :]

    return jax.jit(kernel)
