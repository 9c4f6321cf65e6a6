"""Probability of profit of managed positions: profit target, stop, time exit, tested at every daily close.

The option value is never computed on a path. Before the simulation the boundaries x*(v) of each close are found on a
grid of Heston marks; a path looks its boundary up. All positions of one expiry share the paths.

Conventions: close d is d calendar days from now, d = 1 .. exit day. On a close the target is tested before the stop.
The mark is the Heston value with the same parameters, the current variance and the rate; at expiry it is the intrinsic
value. Profits are credit minus cost to close, not discounted, before fees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from argus_core.accelerator import bucket
from argus_core.options.heston import exit_values as ev
from argus_core.options.heston.estimates import Regressed, controls, made, regressed
from argus_core.options.heston.exit_boundaries import FAR, FINE, ExitBoundaries, exit_boundaries
from argus_core.options.heston.exits import Exits
from argus_core.options.heston.mark_table import MarkTable, highest_volatility, mark_table
from argus_core.options.heston.market import (
    Market,
    PhysicalMeasure,
    SimulatedMean,
    SimulatedPosition,
    SimulationProvenance,
    path_drift,
    path_law,
)
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import DAYS, TILE, Grid, Sampling, fold
from argus_core.settings.document import Settings

#: Positions simulated together; their states still fit a core's cache.
BATCH = 32
_NONE = SimulatedMean(math.nan, math.nan)


class Management(Settings):
    """When a position is closed."""

    target: float | None = Field(0.5, gt=0, description="profit as a share of the credit (debit) at which to take it")
    stop: float | None = Field(
        None,
        gt=0,
        description="mark as a multiple of the credit at which to stop; for a debit d: a loss of (stop - 1) d",
    )
    exit_day: int | None = Field(None, ge=1, description="calendar day of the time exit; none: at expiry")
    steps_per_day: int = Field(1, ge=1, le=24, description="QE-M steps per day")


class ManagedOutcome(NamedTuple):
    """``p_target`` is the managed probability of profit: target met before the stop and the exit day.

    ``p_time`` is neither; ``p_profit`` counts every exit with a profit; ``expected_profit`` is per unit in price
    points. ``target_by_day`` and ``stop_by_day`` (exit days,) are shares of all paths by close. ``fair_mark`` is the
    Heston value of closing now. ``explained`` is the share of the variance of ``p_target`` that the controls removed.
    ``reason`` says why there is no number.
    """

    p_target: SimulatedMean
    p_stop: SimulatedMean
    p_time: SimulatedMean
    p_profit: SimulatedMean
    expected_profit: SimulatedMean
    profit_deviation: float
    target_by_day: np.ndarray
    stop_by_day: np.ndarray
    fair_mark: float
    explained: float
    provenance: SimulationProvenance | None
    reason: str | None = None


def pop_managed(
    positions: Sequence[SimulatedPosition],
    parameters: HestonParameters,
    market: Market,
    management: Management | None = None,
    *,
    sampling: Sampling | None = None,
    physical: PhysicalMeasure | None = None,
) -> list[ManagedOutcome]:
    """Outcomes in the order of ``positions``; those with one expiry share their paths.

    Risk-neutral (Q) unless ``physical`` gives the law of the paths. A position that cannot be judged gets NaN and a
    reason.

    Raises:
        ValueError: if the parameters or the market are invalid, which concerns every position.
    """
    parameters.checked()
    market.checked()
    management, sampling = management or Management(), sampling or Sampling()
    outcomes: dict[int, ManagedOutcome] = {}
    by_days: dict[int, list[int]] = {}
    for index, position in enumerate(positions):
        reason = _fault(position, management)
        if reason:
            outcomes[index] = _without_number(reason)
        else:
            by_days.setdefault(position.days, []).append(index)
    law = path_law(parameters, physical)
    for days, members in sorted(by_days.items()):
        looks = min(management.exit_day or days, days)
        top = max(highest_volatility(p, looks / DAYS) for p in (parameters, law))
        table = mark_table(parameters, (days - np.arange(looks + 1)) / DAYS, top)
        for begin in range(0, len(members), BATCH):
            batch = members[begin : begin + BATCH]
            chosen = [positions[i] for i in batch]
            results = _one_expiry(chosen, table, parameters, market, management, sampling, physical)
            outcomes.update(zip(batch, results, strict=True))
    return [outcomes[index] for index in range(len(positions))]


def p50(
    positions: Sequence[SimulatedPosition],
    parameters: HestonParameters,
    market: Market,
    *,
    sampling: Sampling | None = None,
    physical: PhysicalMeasure | None = None,
) -> list[ManagedOutcome]:
    """`pop_managed` with a target of half the credit (debit), no stop, no time exit."""
    return pop_managed(positions, parameters, market, Management(), sampling=sampling, physical=physical)


def _fault(position: SimulatedPosition, management: Management) -> str | None:
    fault = position.fault()
    if fault:
        return fault
    if len({leg.days for leg in position.legs}) != 1:
        return "several expiries: use pop_calendar"
    if position.credit == 0:
        return "credit = 0: target and stop are shares of it"
    if management.stop is not None and management.target is not None and position.credit > 0:
        size = position.credit
        if size * (1 - management.target) >= size * management.stop:
            return f"target = {management.target} and stop = {management.stop} exclude each other"
    return None


def _without_number(reason: str) -> ManagedOutcome:
    empty = np.zeros(0)
    return ManagedOutcome(_NONE, _NONE, _NONE, _NONE, _NONE, math.nan, empty, empty, math.nan, math.nan, None, reason)


def _one_expiry(
    positions: list[SimulatedPosition],
    table: MarkTable,
    parameters: HestonParameters,
    market: Market,
    management: Management,
    sampling: Sampling,
    physical: PhysicalMeasure | None,
) -> list[ManagedOutcome]:
    law, looks = path_law(parameters, physical), len(table.years) - 1
    closes = MarkTable(table.years[1:], table.top, *(a[1:] for a in table[2:]))
    found = [exit_boundaries(p, market, closes, management.target, management.stop) for p in positions]

    dtype = np.float32 if sampling.precision == "single" else np.float64
    wanted = bucket(len(positions), smallest=1 if len(positions) == 1 else 8)
    padded = [*positions, *[positions[-1]] * (wanted - len(positions))]
    labels, edges = _stacked([*found, *[found[-1]] * (wanted - len(found))], dtype)
    legs = bucket(max(len(p.legs) for p in positions), smallest=2)
    start, fair = ev.today(ev.reading(padded, market, table, 1 / DAYS, np.float64, legs=legs), parameters.v0)
    reading = ev.reading(padded, market, table, 1 / DAYS, dtype, legs=legs)._replace(start=start)

    grid = Grid.of(law, looks / DAYS, looks, management.steps_per_day)
    tally = fold(
        law,
        grid,
        ev.VALUED_COUNT,
        drift=path_drift(market, physical),
        sampling=sampling,
        fixed=Exits(labels, dtype(FINE / float(table.top)), reading),
        rows=edges,
        pad_looks=True,
    )
    provenance = made(parameters, market, physical, sampling, grid, looks, "daily close", controls(physical))
    return [
        _outcome(i, market.spot, tally, float(fair[i]), sampling, provenance, looks=looks, controlled=physical is None)
        for i in range(len(positions))
    ]


def _stacked(found: list[ExitBoundaries], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Labels (positions, boundaries + 1) and edges (looks, positions, boundaries, cells), padded beyond every price."""
    most = max(len(b.labels) - 1 for b in found)
    most += most % 2  # few shapes to compile
    labels = np.stack([np.pad(b.labels, (0, most + 1 - len(b.labels)), mode="edge") for b in found])
    widths = [most - b.edges.shape[1] for b in found]
    edges = [np.pad(b.edges, ((0, 0), (0, w), (0, 0)), constant_values=FAR) for b, w in zip(found, widths, strict=True)]
    return labels.astype(np.int32), np.stack(edges, axis=1).astype(dtype)


def _outcome(
    i: int,
    spot: float,
    tally: ev.Tally,
    fair: float,
    sampling: Sampling,
    provenance: SimulationProvenance,
    *,
    looks: int,
    controlled: bool,
) -> ManagedOutcome:
    r: Regressed = regressed(tally.moments[:, i], ev.QUANTITIES, sampling, controlled=controlled)
    profit = r.estimate(ev.PROFIT)
    target, stop = r.estimate(ev.TARGETED), r.estimate(ev.STOPPED)
    paths = len(tally.moments) * TILE
    by_day = [counts[:, :looks, i].sum(axis=0, dtype=np.int64) / paths for counts in (tally.target, tally.stop)]
    return ManagedOutcome(
        p_target=target,
        p_stop=stop,
        p_time=r.estimate(ev.HELD),
        p_profit=r.estimate(ev.PROFITABLE),
        expected_profit=SimulatedMean(profit.value * spot, profit.standard_error * spot),
        profit_deviation=spot * math.sqrt(max(float(r.mean[ev.SQUARE]) - profit.value**2, 0.0)),
        target_by_day=by_day[0],
        stop_by_day=by_day[1],
        fair_mark=fair * spot,
        explained=float(r.explained[ev.TARGETED]),
        provenance=provenance,
    )
