"""Probability that the underlying touches a level before a horizon.

``daily``: one of the closes 1 .. horizon lies at or beyond the level. ``continuous``: the path does at any time;
between steps by the Brownian bridge with the step's full variance, which the correlation of price and variance makes
slightly wrong, so that a day has several steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from argus_core.accelerator import bucket, load_jax
from argus_core.options.heston.estimates import made, tile_error
from argus_core.options.heston.exit_boundaries import FINE, HOLD, STOP
from argus_core.options.heston.exits import SURVIVAL, Exits
from argus_core.options.heston.market import (
    Market,
    PhysicalMeasure,
    SimulatedMean,
    SimulationProvenance,
    path_drift,
    path_law,
)
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import DAYS, TILE, Grid, Proposal, Sampling, Statistic, fold

#: Steps per day: daily closes need one; the bridge's error is below 5e-4 from eight.
STEPS_PER_DAY = {"daily": 1, "continuous": 8}


class Touch(NamedTuple):
    """``probability`` of touching ``level``; NaN with a ``reason`` where there is none."""

    level: float
    probability: SimulatedMean
    provenance: SimulationProvenance | None
    reason: str | None = None


class Barriers(NamedTuple):
    """Levels as ln(level/spot), (levels, 1), and years per step."""

    log_level: Any
    dt: Any


def _start(fixed: Barriers, paths: int, dtype: Any) -> Any:
    return load_jax().numpy.ones((fixed.log_level.shape[0], paths), dtype), ()


def _update(fixed: Barriers, row: Any, weight: Any, p: Proposal) -> Any:
    jnp = load_jax().numpy
    x = p.mean + p.deviation * p.z
    before, after = p.x - fixed.log_level, x - fixed.log_level
    variance = jnp.maximum(fixed.dt / 2 * (p.v + p.after), 1e-12)
    same_side = before * after
    return x, jnp.where(same_side > 0, weight * -jnp.expm1(-2 * same_side / variance), 0), ()


def _finish(fixed: Barriers, weight: Any, emitted: Any, x: Any, v: Any) -> Any:
    return load_jax().numpy.sum((1 - weight).astype("float64"), axis=-1)


BRIDGE = Statistic(_start, _update, _finish)


def p_touch(
    levels: Sequence[float],
    days: int,
    parameters: HestonParameters,
    market: Market,
    *,
    monitoring: Literal["daily", "continuous"],
    steps_per_day: int | None = None,
    sampling: Sampling | None = None,
    physical: PhysicalMeasure | None = None,
) -> list[Touch]:
    """Probability of touching each of ``levels`` (prices) within ``days`` calendar days, in their order.

    A level below the spot is touched from above and one above from below; a level at the spot is touched. Risk-neutral
    (Q) unless ``physical`` gives the law of the paths. Default sampling: 2^18 paths of scrambled Sobol nets for daily
    closes; 2^20 independent paths for continuous monitoring, where the many steps make the bridge of a net dear.

    Raises:
        ValueError: if ``days`` or ``monitoring``, the parameters or the market are invalid.
    """
    parameters.checked()
    market.checked()
    if monitoring not in STEPS_PER_DAY:
        raise ValueError(f"monitoring = {monitoring!r}: it must be 'daily' or 'continuous'.")
    if days < 1:
        raise ValueError(f"days = {days}: the horizon must be at least one day.")
    daily = monitoring == "daily"
    sampling = sampling or (Sampling(paths=2**18, source="sobol") if daily else Sampling())
    law = path_law(parameters, physical)
    steps = steps_per_day or STEPS_PER_DAY[monitoring]
    grid = Grid.of(law, days / DAYS, days, steps) if daily else Grid.of(law, days / DAYS, days * steps)
    good = [i for i, level in enumerate(levels) if math.isfinite(level) and level > 0 and level != market.spot]
    dtype = np.float32 if sampling.precision == "single" else np.float64
    mean = error = np.zeros(0)
    if good:
        wanted = bucket(len(good), smallest=1)
        padded = [levels[i] for i in good] + [levels[good[-1]]] * (wanted - len(good))
        log_levels = np.log(np.array(padded) / market.spot)
        sums = _sums(log_levels, law, grid, sampling, path_drift(market, physical), dtype, daily=daily)
        mean, error = sums.mean(axis=0) / TILE, tile_error(sums / TILE, sampling)
    seen, how = ("daily close", "one-step survival") if daily else ("continuous", "Brownian bridge")
    provenance = made(parameters, market, physical, sampling, grid, days, seen, how)
    found = {
        i: Touch(levels[i], SimulatedMean(float(m), float(e)), provenance)
        for i, m, e in zip(good, mean, error, strict=False)
    }
    return [found.get(i) or _without_path(level, market, provenance) for i, level in enumerate(levels)]


def _without_path(level: float, market: Market, provenance: SimulationProvenance) -> Touch:
    if level == market.spot:
        return Touch(level, SimulatedMean(1.0, 0.0), provenance)
    return Touch(level, SimulatedMean(math.nan, math.nan), None, f"level = {level}: it must be finite and above 0")


def _sums(
    log_levels: np.ndarray,
    law: HestonParameters,
    grid: Grid,
    sampling: Sampling,
    drift: float,
    dtype: Any,
    *,
    daily: bool,
) -> np.ndarray:
    """Sums of the probabilities of touch over each tile, (tiles, levels)."""
    if not daily:
        fixed = Barriers(log_levels[:, None].astype(dtype), dtype(grid.dt))
        return fold(law, grid, BRIDGE, drift=drift, sampling=sampling, fixed=fixed)
    # A barrier is an exit boundary that does not depend on the variance.
    shape = (grid.monitors, len(log_levels), 1, FINE)
    edges = np.ascontiguousarray(np.broadcast_to(log_levels.astype(dtype)[:, None, None], shape))
    labels = np.where(log_levels[:, None] < 0, [[STOP, HOLD]], [[HOLD, STOP]]).astype(np.int32)
    fixed = Exits(labels, dtype(1.0))
    _, stopped = fold(law, grid, SURVIVAL, drift=drift, sampling=sampling, fixed=fixed, rows=edges)
    return stopped.sum(axis=1)
