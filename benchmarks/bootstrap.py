"""Bootstrap of trade paths: Argus' kernel beside NumPy and arch.

Rerun: python benchmarks/bootstrap.py   (needs the extra `test` for arch)
Prints milliseconds (best of 3, after one warm-up that compiles) and the ratio to Argus. All compute total return and
maximum drawdown of resampled paths of as many trades as the run has; arch resamples only (its statistic is a callback).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from argus_core.robustness import optimal_block_length, resample_paths

CASES = [(1, 1_000, 10_000), (50, 200, 1_000), (130, 400, 1_000)]  # runs, trades, paths
BLOCK = 8.0


def best(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest of three runs after one warm-up."""
    work()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def with_numpy(runs: list[np.ndarray], paths: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The vectorised NumPy that one would write: index matrix, cumulative product, running maximum."""
    rng = np.random.default_rng(0)
    out = []
    for values in runs:
        n = len(values)
        start = rng.integers(0, n, (paths, n))
        restart = rng.random((paths, n)) < 1 / BLOCK
        restart[:, 0] = True
        last = np.maximum.accumulate(np.where(restart, np.arange(n), 0), axis=1)
        index = (np.take_along_axis(start, last, axis=1) + np.arange(n) - last) % n
        equity = np.cumprod(1 + values[index], axis=1)
        peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
        out.append((equity[:, -1], (1 - equity / peak).max(axis=1)))
    return out


def with_arch(runs: list[np.ndarray], paths: int) -> list[np.ndarray]:
    """arch's stationary bootstrap with the same statistics as its callback."""
    from arch.bootstrap import StationaryBootstrap

    def statistics(values: np.ndarray) -> np.ndarray:
        equity = np.cumprod(1 + values)
        peak = np.maximum(np.maximum.accumulate(equity), 1.0)
        return np.array([equity[-1], (1 - equity / peak).max()])

    return [StationaryBootstrap(BLOCK, values, seed=0).apply(statistics, paths) for values in runs]


def main() -> None:
    rng = np.random.default_rng(1)
    print(f"{'runs x trades x paths':>24} {'argus ms':>10} {'numpy ms':>10} {'ratio':>7} {'arch ms':>10} {'ratio':>7}")
    for count, trades, paths in CASES:
        runs = [rng.normal(0.0005, 0.01, trades) for _ in range(count)]
        ours = best(lambda runs=runs, paths=paths: resample_paths(runs, [BLOCK] * len(runs), paths=paths, seed=1))
        plain = best(lambda runs=runs, paths=paths: with_numpy(runs, paths))
        few = runs[: max(1, count // 25)]  # arch is slow: time a share of the runs and scale
        other = best(lambda few=few, paths=paths: with_arch(few, paths)) * count / len(few)
        shape = f"{count} x {trades} x {paths}"
        print(f"{shape:>24} {ours:>10.1f} {plain:>10.1f} {plain / ours:>7.1f} {other:>10.0f} {other / ours:>7.0f}")
    series = rng.normal(size=5_000)
    from arch.bootstrap import optimal_block_length as arch_length

    ours, other = best(lambda: optimal_block_length(series)), best(lambda: arch_length(series))
    print(f"{'block length, n = 5000':>24} {ours:>10.2f} {'':>10} {'':>7} {other:>10.2f} {other / ours:>7.1f}")


if __name__ == "__main__":
    main()
