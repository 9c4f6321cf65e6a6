"""Selection statistics: Argus beside NumPy and arch, in one run.

Rerun: python benchmarks/selection.py           (needs the extra `test` for arch; about two minutes)
       python benchmarks/selection.py --gpu     (Argus alone at these sizes and at 100 times the resamples or paths)

CPU seconds are those of the whole process, all threads, best of several; they and not wall seconds are compared with
the limits of the issue, because machines are shared. "x" is the CPU of the alternative over that of Argus. What would
take minutes is timed in part and scaled up ("scaled"): resamples and paths linearly; arch's loop over all lags of the
HAC variance, which is quadratic in the observations, from `_LAG_SAMPLE` of them. arch does less: its SPA does not
studentise, and its paths are a callback per path.

"compile" is the first call of a fresh process less the best call, with an empty and with a filled compile cache; JAX
and SciPy are imported before; best of two processes. "same bucket" counts compilations over further sizes of the same
shape bucket: strategies come and go, days are added, and nothing is compiled. "other bucket" shows that the counter
counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from argus_core.accelerator import load_jax
from argus_core.bootstrap.block_length import optimal_block_length
from argus_core.bootstrap.joint_paths import joint_paths
from argus_core.bootstrap.trade_paths import resample_paths
from argus_core.evaluation.pbo import overfitting_probability
from argus_core.evaluation.spa import spa_test

ROOT = Path(__file__).resolve().parent.parent
BLOCK, MINUTE_BLOCK = 10.0, 60.0
MINUTES = 98_280
#: Observations at which arch's HAC loop is timed; the factor to n observations is (n / sample) squared.
_LAG_SAMPLE = 4_000
COMPILE_COLD, COMPILE_CACHED = 2.0, 0.3

Work = Callable[[], object]


@dataclass(frozen=True)
class Rival:
    """What a user would pick: ``work`` is ``1 / times`` of the job."""

    name: str
    work: Work
    times: float = 1.0


@dataclass(frozen=True)
class Case:
    """One row of the table. ``limit``: CPU seconds of the issue, None where it names none.

    ``again``: the job at other sizes of the same shape bucket; ``beyond``: at a size of another one, which compiles.
    ``brief``: the first batch of the job, so that a first call is mostly compilation; None: the job is brief.
    ``hundredfold``: with 100 times the resamples or paths.
    """

    key: str
    title: str
    work: Work
    limit: float | None = None
    rivals: tuple[Rival, ...] = ()
    again: tuple[Work, ...] = ()
    beyond: Work | None = None
    brief: Work | None = None
    hundredfold: Work | None = None
    repeats: int = 5


def noise(rows: int, columns: int, scale: float = 0.01) -> np.ndarray:
    return np.random.default_rng(rows + columns).normal(0, scale, (rows, columns))


def spa(values: np.ndarray, block: float = BLOCK, resamples: int = 1000) -> object:
    return spa_test(values, block_length=block, resamples=resamples, seed=1)


def numpy_indices(generator: np.random.Generator, paths: int, n: int, block: float) -> np.ndarray:
    """(paths, n) indices of the stationary bootstrap, vectorised: the running maximum of the restarts."""
    restart = generator.random((paths, n)) < 1 / block
    restart[:, 0] = True
    position = np.maximum.accumulate(np.where(restart, np.arange(n), 0), axis=1)
    start = generator.integers(0, n, (paths, n))
    return (np.take_along_axis(start, position, axis=1) + np.arange(n) - position) % n


def numpy_omega(values: np.ndarray, block: float) -> np.ndarray:
    """Stationary-bootstrap standard deviation of sqrt(n) times the mean; autocovariances by padded FFT."""
    n = len(values)
    spectrum = np.fft.rfft(values - values.mean(axis=0), 2 * n, axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:n] / n
    lag, stay = np.arange(n), 1 - 1 / block
    kappa = (n - lag) / n * stay**lag + lag / n * stay ** (n - lag)
    kappa[0] = 0.5
    return np.sqrt(2 * kappa @ covariance)


def numpy_spa(values: np.ndarray, block: float, resamples: int, omega: np.ndarray | None = None) -> float:
    """Studentised consistent SPA p-value: one gather of all columns per resample."""
    n, generator = len(values), np.random.default_rng(1)
    means = values.mean(axis=0)
    scale = np.sqrt(n) / (numpy_omega(values, block) if omega is None else omega)
    centre = np.where(scale * means >= -np.sqrt(2 * np.log(np.log(n))), means, 0.0)
    best = np.empty(resamples)
    for path in range(resamples):
        index = numpy_indices(generator, 1, n, block)[0]
        best[path] = ((values[index].mean(axis=0) - centre) * scale).max()
    return float((1 + (best >= (means * scale).max()).sum()) / (1 + resamples))


def numpy_paths(returns: np.ndarray, paths: int, ruin: float, chunk: int = 500) -> list[np.ndarray]:
    """Terminal wealth, drawdown and ruin of (n,) or (n, k) returns, chunks of paths materialised."""
    generator, out = np.random.default_rng(1), []
    for first in range(0, paths, chunk):
        index = numpy_indices(generator, min(chunk, paths - first), len(returns), BLOCK)
        equity = np.cumprod(1 + returns[index], axis=1)
        peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
        out.append(np.stack([equity[:, -1], (1 - equity / peak).max(axis=1), equity.min(axis=1) <= ruin]))
    return out


def numpy_pbo(values: np.ndarray, splits: int) -> float:
    """CSCV split by split: the Sharpe ratio of both halves of the rows."""
    blocks = np.array_split(np.arange(len(values)), 16)
    below = []
    for number, members in enumerate(combinations(range(16), 8)):
        if number == splits:
            break
        inside = np.concatenate([blocks[b] for b in members])
        outside = np.setdiff1d(np.arange(len(values)), inside)
        first, second = (values[rows].mean(axis=0) / values[rows].std(axis=0, ddof=1) for rows in (inside, outside))
        below.append((second <= second[first.argmax()]).sum() / (values.shape[1] + 1) <= 0.5)
    return float(np.mean(below))


def arch_spa(values: np.ndarray, block: float, resamples: int) -> object:
    from arch.bootstrap import SPA

    test = SPA(np.zeros(len(values)), -values, block_size=int(block), reps=resamples, seed=1)
    test.compute()
    return test.pvalues


def arch_means(values: np.ndarray, block: float, resamples: int) -> np.ndarray:
    from arch.bootstrap import StationaryBootstrap

    return StationaryBootstrap(block, values, seed=1).apply(lambda x: x.mean(axis=0), resamples)


def arch_paths(returns: np.ndarray, paths: int) -> np.ndarray:
    from arch.bootstrap import StationaryBootstrap

    def statistics(values: np.ndarray) -> np.ndarray:
        equity = np.cumprod(1 + values, axis=0)
        peak = np.maximum(np.maximum.accumulate(equity, axis=0), 1.0)
        return np.concatenate([np.ravel(equity[-1]), np.ravel((1 - equity / peak).max(axis=0))])

    return StationaryBootstrap(BLOCK, returns, seed=1).apply(statistics, paths)


def arch_block(series: np.ndarray) -> object:
    from arch.bootstrap import optimal_block_length as other

    return other(series)


def cases() -> list[Case]:
    many, few = noise(1000, 500), noise(1000, 50)
    minutes = noise(MINUTES, 50, 0.001)
    trades = 0.0008 + noise(1000, 1)[:, 0]
    days = noise(1260, 50)
    grid = noise(512, 100)
    series = noise(5000, 1)[:, 0]
    paths = partial(resample_paths, blocks=[BLOCK], seed=1, ruin_level=0.8)
    joint = partial(joint_paths, block_length=BLOCK, seed=1, ruin_level=0.8)
    lags = (MINUTES / _LAG_SAMPLE) ** 2
    return [
        Case(
            "spa50",
            "SPA 50 strategies x 1,000 x 1,000",
            partial(spa, few),
            rivals=(
                Rival("NumPy gather", partial(numpy_spa, few, BLOCK, 1000)),
                Rival("arch", partial(arch_spa, few, BLOCK, 1000)),
            ),
        ),
        Case(
            "spa",
            "SPA 500 strategies x 1,000 x 1,000",
            partial(spa, many),
            limit=0.1,
            rivals=(
                Rival("NumPy gather, scaled", partial(numpy_spa, many, BLOCK, 250), 4),
                Rival("arch", partial(arch_spa, many, BLOCK, 1000)),
            ),
            again=tuple(partial(spa, noise(n, k)) for n, k in ((1000, 385), (1000, 512), (800, 450), (1024, 499))),
            beyond=partial(spa, noise(1000, 600)),
            hundredfold=partial(spa, many, BLOCK, 100_000),
            repeats=9,
        ),
        Case(
            "minutes",
            "a year of minutes x 50 x 1,000, HAC",
            partial(spa, minutes, MINUTE_BLOCK),
            limit=2.0,
            rivals=(
                Rival("NumPy gather, scaled", partial(numpy_spa, minutes, MINUTE_BLOCK, 5, np.ones(50)), 200),
                Rival("NumPy HAC by FFT alone", partial(numpy_omega, minutes, MINUTE_BLOCK)),
                Rival("arch resampling, scaled", partial(arch_means, minutes, MINUTE_BLOCK, 10), 100),
                Rival("arch HAC, scaled", partial(arch_spa, minutes[:_LAG_SAMPLE], MINUTE_BLOCK, 1), lags),
            ),
            again=tuple(
                partial(spa, minutes[:n, :k], MINUTE_BLOCK) for n, k in ((MINUTES, 49), (70_000, 64), (98_000, 50))
            ),
            beyond=partial(spa, minutes[:, :30], MINUTE_BLOCK),
            brief=partial(spa, minutes, MINUTE_BLOCK, 42),
            hundredfold=partial(spa, minutes, MINUTE_BLOCK, 100_000),
            repeats=3,
        ),
        Case(
            "paths",
            "10,000 paths x 1,000 trades, drawdown, ruin",
            partial(paths, [trades], paths=10_000),
            limit=0.06,
            rivals=(
                Rival("NumPy, chunks", partial(numpy_paths, trades, 10_000, 0.8)),
                Rival("arch, scaled", partial(arch_paths, trades, 500), 20),
            ),
            again=tuple(partial(paths, [trades[:n]], paths=10_000) for n in (770, 900, 999)),
            beyond=partial(paths, [trades[:700]], paths=10_000),
            hundredfold=partial(paths, [trades], paths=1_000_000),
            repeats=9,
        ),
        Case(
            "joint",
            "joint 10,000 paths x 1,260 days x 50",
            partial(joint, days, paths=10_000),
            limit=2.0,
            rivals=(
                Rival("NumPy, scaled", partial(numpy_paths, days, 200, 0.8, 50), 50),
                Rival("arch, scaled", partial(arch_paths, days, 50), 200),
            ),
            again=tuple(partial(joint, noise(n, k), paths=128) for n, k in ((1260, 49), (1260, 64), (1100, 51))),
            beyond=partial(joint, noise(1000, 50), paths=128),
            brief=partial(joint, days, paths=128),
            hundredfold=partial(joint, days, paths=1_000_000),
            repeats=3,
        ),
        Case(
            "cscv",
            "PBO by CSCV, 16 blocks, 512 days x 100",
            partial(overfitting_probability, grid, blocks=16),
            rivals=(Rival("NumPy per split, scaled", partial(numpy_pbo, grid, 200), 12_870 / 200),),
        ),
        Case(
            "block",
            "automatic block length, 5,000",
            partial(optimal_block_length, series),
            rivals=(Rival("arch", partial(arch_block, series)),),
        ),
    ]


def best(work: Work, repeats: int) -> tuple[float, float]:
    """(best CPU seconds, best wall seconds) after one call that warms up."""
    work()
    cpu, wall = [], []
    for _ in range(repeats):
        before, started = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - before)
        wall.append(time.perf_counter() - started)
    return min(cpu), min(wall)


def first_call(case: Case) -> None:
    """Child process: prints how much longer the first call takes than the best of the next, in CPU and wall seconds."""
    import scipy.sparse  # noqa: F401

    load_jax().numpy.zeros(1).block_until_ready()
    work = case.brief or case.work
    before, started = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - before, time.perf_counter() - started
    steady_cpu, steady_wall = best(work, 3)
    print(json.dumps([cpu - steady_cpu, wall - steady_wall]))


def compile_seconds(case: Case, cache: str) -> float:
    """CPU seconds that a fresh process needs before the kernel runs, with ``cache`` as its compile cache."""
    found = subprocess.run(
        [sys.executable, __file__, "--first", case.key],
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return max(0.0, json.loads(found.stdout.splitlines()[-1])[0])


def compilations(works: tuple[Work, ...]) -> int:
    """Number of programs that XLA compiles while ``works`` run (loading one from the cache counts, too)."""
    jax = load_jax()
    seen: list[str] = []

    def listen(event: str, _seconds: float, **_: object) -> None:
        if event.endswith("backend_compile_duration"):
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    for work in works:
        work()
    jax.monitoring.unregister_event_duration_listener(listen)
    return len(seen)


def verdict(value: float, limit: float | None) -> str:
    if limit is None:
        return ""
    return f"{limit:g} {'reached' if value <= limit else 'NOT REACHED'}"


def compare() -> None:
    print(f"| {'work':<44} | {'CPU s':>8} | {'wall s':>8} | {'x':>6} | {'limit, CPU s':<18} |")
    print(f"|{'-' * 46}|{'-' * 10}|{'-' * 10}|{'-' * 8}|{'-' * 20}|")
    for case in cases():
        cpu, wall = best(case.work, case.repeats)
        print(f"| {case.title:<44} | {cpu:>8.4f} | {wall:>8.4f} | {'':>6} | {verdict(cpu, case.limit):<18} |")
        for rival in case.rivals:
            took, passed = (rival.times * seconds for seconds in best(rival.work, 2))
            print(f"| {'- ' + rival.name:<44} | {took:>8.3f} | {passed:>8.3f} | {took / cpu:>6.1f} | {'':<18} |")
        sys.stdout.flush()
    print()
    print(
        f"| {'compile, CPU s of a fresh process':<44} | {'cold':>18} | {'from cache':>18}"
        " | same bucket | other bucket |"
    )
    print(f"|{'-' * 46}|{'-' * 20}|{'-' * 20}|{'-' * 13}|{'-' * 14}|")
    for case in cases():
        if case.beyond is None:
            continue
        cold, cached = [], []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as cache:
                cold.append(compile_seconds(case, cache))
                cached.append(compile_seconds(case, cache))
        told = [f"{min(v):.2f}, {verdict(min(v), m)}" for v, m in ((cold, COMPILE_COLD), (cached, COMPILE_CACHED))]
        case.work()
        same, other = compilations(case.again), compilations((case.beyond,))
        print(f"| {case.title:<44} | {told[0]:>18} | {told[1]:>18} | {same:>11} | {other:>12} |")
        sys.stdout.flush()


def on_accelerator() -> None:
    """Argus alone on the default device of JAX, at the sizes of the issue and with 100 times the resamples or paths."""
    print(f"device: {load_jax().devices()[0].device_kind}")
    print(f"| {'work':<44} | {'CPU s':>8} | {'wall s':>8} | {'x100 wall s':>12} |")
    print(f"|{'-' * 46}|{'-' * 10}|{'-' * 10}|{'-' * 14}|")
    for case in (one for one in cases() if one.hundredfold is not None):
        cpu, wall = best(case.work, case.repeats)
        started = time.perf_counter()
        case.hundredfold()
        print(f"| {case.title:<44} | {cpu:>8.4f} | {wall:>8.4f} | {time.perf_counter() - started:>12.3f} |")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", help=argparse.SUPPRESS)
    parser.add_argument("--gpu", action="store_true", help="Argus alone, on the device that JAX finds")
    asked = parser.parse_args()
    if asked.first:
        first_call(next(case for case in cases() if case.key == asked.first))
    elif asked.gpu:
        on_accelerator()
    else:
        compare()


if __name__ == "__main__":
    main()
