"""Joint bootstrap test: Argus beside arch and plain NumPy, on the same returns.

Rerun: `python benchmarks/spa.py` (needs the extra `test` for arch). CPU seconds of this process, best of several runs,
compilation apart; the ratio is CPU of the alternative over CPU of Argus. arch does not studentise: it does less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from argus_core.evaluation.spa import spa_test, stationary_variance

OBSERVATIONS, RESAMPLES, BLOCK = 1000, 1000, 10.0


def measure(function: Callable[[], float], repeats: int) -> tuple[float, float, float]:
    """(first call in wall seconds, best CPU seconds, best wall seconds) of ``function``."""
    start = time.perf_counter()
    function()
    first = time.perf_counter() - start
    cpu, wall = [], []
    for _ in range(repeats):
        before, started = time.process_time(), time.perf_counter()
        function()
        cpu.append(time.process_time() - before)
        wall.append(time.perf_counter() - started)
    return first, min(cpu), min(wall)


def argus(values: np.ndarray) -> float:
    return spa_test(values, block_length=BLOCK, resamples=RESAMPLES, seed=1).p_consistent


def plain(values: np.ndarray) -> float:
    """Studentised SPA in NumPy: one gather of all columns per resample."""
    n = len(values)
    generator = np.random.default_rng(1)
    means, omega = values.mean(axis=0), stationary_variance(values, BLOCK)
    t = np.sqrt(n) * means / omega
    recentre = np.where(t >= -np.sqrt(2 * np.log(np.log(n))), means, 0.0)
    best = np.empty(RESAMPLES)
    for path in range(RESAMPLES):
        restart = generator.random(n) < 1 / BLOCK
        restart[0] = True
        position = np.maximum.accumulate(np.where(restart, np.arange(n), 0))
        index = (generator.integers(0, n, n)[position] + np.arange(n) - position) % n
        best[path] = (np.sqrt(n) * (values[index].mean(axis=0) - recentre) / omega).max()
    return float((1 + (best >= t.max()).sum()) / (1 + RESAMPLES))


def arch(values: np.ndarray) -> float:
    from arch.bootstrap import SPA

    test = SPA(np.zeros(len(values)), -values, block_size=int(BLOCK), reps=RESAMPLES, seed=1)
    test.compute()
    return float(test.pvalues["consistent"])


def main() -> None:
    print(f"{OBSERVATIONS} observations, {RESAMPLES} resamples, mean block {BLOCK:g}")
    print(f"{'strategies':>10}  {'':<8} {'CPU s':>8} {'wall s':>8} {'first s':>8} {'CPU ratio':>10}  p")
    for strategies in (50, 500):
        values = np.random.default_rng(strategies).normal(0, 0.01, (OBSERVATIONS, strategies))
        reference = 0.0
        for name, function, repeats in (("argus", argus, 7), ("numpy", plain, 2), ("arch", arch, 3)):
            first, cpu, wall = measure(partial(function, values), repeats)
            reference = reference or cpu
            print(
                f"{strategies:>10}  {name:<8} {cpu:>8.3f} {wall:>8.3f} {first:>8.2f} {cpu / reference:>9.1f}x"
                f"  {function(values):.3f}"
            )


if __name__ == "__main__":
    main()
