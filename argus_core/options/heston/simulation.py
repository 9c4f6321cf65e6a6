"""Heston paths by QE-M, folded into statistics while they are made: no path is stored.

Paths come in tiles of `TILE`. A path's numbers depend on (seed, path, step) alone and every sum is taken tile by tile,
so the result has the same bits for any chunk and any number of threads. Counts are integers; other sums are float64.

Two sources of numbers: ``counter`` (Threefry, independent paths) and ``sobol`` (scrambled nets through a Brownian
bridge, one scramble per group of tiles; its standard errors come from the independent scrambles).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from argus_core.accelerator import bucket, load_jax
from argus_core.options.heston import qe_step, sobol, threefry
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.qe_step import StepConstants
from argus_core.settings.document import Settings

SCHEME = "QE-M"
#: Paths that are carried together: their state stays in the cache of one core.
TILE = 8192
#: Calendar days per year of every horizon.
DAYS = 365.0


class Sampling(Settings):
    """How many paths, from which numbers, in which precision. The chunk and the threads never change a result."""

    paths: int = Field(2**20, ge=1, description="rounded up to whole tiles, or to whole scrambles of a net")
    seed: int = Field(0, ge=0, lt=2**63)
    source: Literal["counter", "sobol"] = "counter"
    scrambles: int = Field(16, ge=16, description="independent scrambles of a net; the standard error needs 16")
    precision: Literal["single", "double"] = "single"
    chunk: int | None = Field(None, ge=1, description="tiles per call; default 8, on a GPU 128")
    threads: int | None = Field(None, ge=1, description="calls at a time on a CPU; default all cores")

    @property
    def tiles(self) -> int:
        """Tiles that are simulated."""
        tiles = -(-self.paths // TILE)
        if self.source == "counter":
            return tiles
        # A net is balanced in powers of two only.
        return self.scrambles * (1 << (-(-tiles // self.scrambles) - 1).bit_length())


class Grid(NamedTuple):
    """Time steps: ``monitors`` looks, ``stride`` steps between two of them, ``dt`` years per step."""

    monitors: int
    stride: int
    dt: float

    @classmethod
    def of(cls, parameters: HestonParameters, years: float, monitors: int, stride: int = 1) -> Grid:
        """``monitors`` equal intervals in ``years`` of ``stride`` steps; of more where QE-M needs shorter ones."""
        if monitors < 1 or not 0 < years < float("inf"):
            raise ValueError(f"years = {years}, monitors = {monitors}: both must be positive.")
        parameters.checked()
        dt = years / monitors / stride
        pieces = qe_step.substeps(parameters, dt)
        return cls(monitors, stride * pieces, dt / pieces)


class Proposal(NamedTuple):
    """The law of x at the next look given both variances, and the normal number that draws from it."""

    x: Any  # ln(S / S0) before the last step
    v: Any  # variance before the last step
    after: Any  # variance at the look
    mean: Any
    deviation: Any
    z: Any


class Statistic(NamedTuple):
    """What is folded over the paths. Functions, not closures: they key the cache of compiled kernels.

    start(fixed, tile paths, dtype) -> (state, leading shape of x).
    update(fixed, row, state, proposal) -> (x, state, emitted): ``row`` is the look's slice of the rows, ``emitted`` is
    stacked over the looks. finish(fixed, state, emitted, x, v) -> what is kept of a tile, as a rule sums over its
    paths.
    """

    start: Callable[..., Any]
    update: Callable[..., Any]
    finish: Callable[..., Any]


def _tile(statistic: Statistic, grid: Grid, source: str, dtype: Any, operands: Any, tile: Any) -> Any:
    """One tile: all looks of `TILE` paths."""
    jax = load_jax()
    jnp, lax = jax.numpy, jax.lax
    constants, v0, key, net, fixed, rows, looks = operands
    u = jnp.uint32
    steps = grid.monitors * grid.stride
    state, lead = statistic.start(fixed, TILE, dtype)
    x, v = jnp.zeros((*lead, TILE), dtype), jnp.full(TILE, v0, dtype)

    if source == "counter":
        path = tile * u(TILE) + lax.iota(jnp.uint32, TILE)

        def drawn(t: Any) -> Any:
            return threefry.words(jnp, key[0], key[1], path, t)

        # Words of the next step travel in the carry; computed where they are used, XLA would repeat them per consumer.
        numbers, sequence = drawn(u(0)), lax.iota(jnp.uint32, steps)

        def turn(v: Any, numbers: Any, t: Any) -> Any:
            uniform = threefry.tail(jnp, numbers[0], dtype)
            if dtype is np.float32:
                after, correction = qe_step.next_variance(jnp, constants, v, uniform)
            else:
                z = threefry.normal(jnp, uniform)
                after, correction = qe_step.next_variance_of_normal(jnp, constants, v, z, uniform.complement(jnp))
            return after, correction, threefry.normal(jnp, threefry.tail(jnp, numbers[1], dtype)), drawn(t + u(1))

    else:
        numbers, sequence = (), sobol.normals(jnp, net, tile, TILE, dtype)

        def turn(v: Any, numbers: Any, pair: Any) -> Any:
            above = jax.scipy.special.erfc(pair[1] * dtype(0.5**0.5)) / 2
            after, correction = qe_step.next_variance_of_normal(jnp, constants, v, pair[1], above)
            return after, correction, pair[0], ()

    def between(carry: Any, t: Any) -> Any:
        x, v, numbers = carry
        after, correction, z, numbers = turn(v, numbers, t)
        mean, deviation = qe_step.log_price_law(jnp, constants, x, v, after, correction)
        return (mean + deviation * z, after, numbers), None

    def look(carry: Any, inputs: Any) -> Any:
        x, v, numbers, state = carry
        times, row, number = inputs
        if grid.stride > 1:
            before = jax.tree.map(lambda a: a[:-1], times)
            (x, v, numbers), _ = lax.scan(between, (x, v, numbers), before)
        after, correction, z, numbers = turn(v, numbers, jax.tree.map(lambda a: a[-1], times))
        mean, deviation = qe_step.log_price_law(jnp, constants, x, v, after, correction)
        moved, counted, emitted = statistic.update(fixed, row, state, Proposal(x, v, after, mean, deviation, z))
        # Looks beyond the horizon are padding: nothing moves.
        live = number < looks
        new, old = (moved, after, counted), (carry[0], carry[1], state)
        x, v, state = jax.tree.map(lambda a, b: jnp.where(live, a, b), new, old)
        return (x, v, numbers, state), emitted

    times = jax.tree.map(lambda a: a.reshape(grid.monitors, grid.stride, *a.shape[1:]), sequence)
    order = lax.iota(jnp.int32, grid.monitors)
    (x, v, _, state), emitted = lax.scan(look, (x, v, numbers, state), (times, rows, order))
    return statistic.finish(fixed, state, emitted, x, v)


@lru_cache(maxsize=64)
def _kernel(statistic: Statistic, monitors: int, stride: int, source: str, precision: str, tiles: int) -> Any:
    jax = load_jax()
    dtype = np.float32 if precision == "single" else np.float64
    grid = Grid(monitors, stride, 0.0)

    def run(first: Any, operands: Any) -> Any:
        one = partial(_tile, statistic, grid, source, dtype, operands)
        tile = first + jax.lax.iota(jax.numpy.uint32, tiles)
        # A CPU works through the tiles in its cache; a GPU wants them all at once.
        return jax.lax.map(one, tile) if jax.default_backend() == "cpu" else jax.vmap(one)(tile)

    return jax.jit(run)


def fold(
    parameters: HestonParameters,
    grid: Grid,
    statistic: Statistic,
    *,
    drift: float,
    sampling: Sampling,
    fixed: Any = (),
    rows: Any = (),
    pad_looks: bool = False,
) -> Any:
    """Simulate and fold ``statistic`` over every path: what it keeps, arrays with a leading axis of tiles.

    ``drift`` is r - q per year. ``fixed`` and ``rows`` are trees of arrays for the statistic; ``rows`` have the looks
    as their first axis. A path is x = ln(S/S0) and the variance v per year. ``pad_looks`` compiles for a rounded number
    of looks, so that horizons share kernels; what is emitted has rows beyond the last look then.
    """
    parameters.checked()
    jax = load_jax()
    on_cpu = jax.default_backend() == "cpu"
    dtype = np.float32 if sampling.precision == "single" else np.float64
    constants = StepConstants._make(dtype(c) for c in StepConstants.of(parameters, grid.dt, drift))
    key = tuple(np.uint32(word) for word in threefry.key(sampling.seed))
    tiles = sampling.tiles
    looks = bucket(grid.monitors, smallest=8) if pad_looks else grid.monitors
    rows = jax.tree.map(lambda a: np.concatenate([a, np.repeat(a[-1:], looks - len(a), axis=0)]), rows)
    chunk = min(sampling.chunk or (8 if on_cpu else 128), tiles)
    per_scramble = tiles // sampling.scrambles
    if sampling.source == "sobol":
        # One call never mixes scrambles: both are powers of two or divide one.
        chunk = min(1 << (chunk.bit_length() - 1), per_scramble)
    firsts = range(0, tiles, chunk)

    def operands(first: int) -> Any:
        net: Any = ()
        if sampling.source == "sobol":
            steps = grid.monitors * grid.stride
            net = sobol.net(steps, sampling.seed, first // per_scramble, per_scramble * TILE, dtype)
            net = sobol.padded(net, looks * grid.stride)
        return constants, dtype(parameters.v0), key, net, fixed, rows, np.int32(grid.monitors)

    def call(first: int) -> Any:
        width = min(chunk, tiles - first)
        kernel = _kernel(statistic, looks, grid.stride, sampling.source, sampling.precision, width)
        start = first if sampling.source == "counter" else first % per_scramble
        return jax.tree.map(np.asarray, kernel(np.uint32(start), operands(first)))

    results = [call(0)]  # compiles
    threads = (sampling.threads or os.cpu_count() or 1) if on_cpu else 2
    with ThreadPoolExecutor(threads) as pool:
        results += list(pool.map(call, firsts[1:]))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


def _no_state(fixed: Any, paths: int, dtype: Any) -> Any:
    return (), ()


def _advance(fixed: Any, row: Any, state: Any, p: Proposal) -> Any:
    return p.mean + p.deviation * p.z, state, ()


def _ends(fixed: Any, state: Any, emitted: Any, x: Any, v: Any) -> Any:
    return x, v


TERMINAL = Statistic(_no_state, _advance, _ends)


class TerminalState(NamedTuple):
    """End points of paths: ``x`` = ln(S_T / S_0) and the variance ``v``, in the order of the paths."""

    x: np.ndarray
    v: np.ndarray


def simulate(
    parameters: HestonParameters,
    years: float,
    steps: int,
    *,
    drift: float = 0.0,
    sampling: Sampling | None = None,
) -> TerminalState:
    """End points of paths over ``years`` in ``steps`` equal QE-M steps (more where the scheme needs shorter ones).

    ``drift`` is r - q per year.
    """
    sampling = sampling or Sampling()
    grid = Grid.of(parameters, years, 1, steps)
    x, v = fold(parameters, grid, TERMINAL, drift=drift, sampling=sampling)
    return TerminalState(*(a.reshape(-1)[: sampling.paths] for a in (x, v)))
