"""Probability of profit of positions with several expiries (calendars, diagonals) at the first expiry.

The legs that expire are worth their intrinsic value; the others their Heston value at the simulated price and variance.
Discounted prices of the legs and of the spot are martingales under Q and serve as control variates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from argus_core.accelerator import bucket, load_jax
from argus_core.options.heston.estimates import controls, made, regressed
from argus_core.options.heston.exit_values import put_on
from argus_core.options.heston.mark_table import MarkTable, highest_volatility, mark_table, with_padding
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
from argus_core.options.heston.simulation import DAYS, Grid, Proposal, Sampling, Statistic, fold

_PROFITABLE, _PROFIT, _SQUARE = range(3)
_QUANTITIES = 3
_NONE = SimulatedMean(math.nan, math.nan)


class CalendarOutcome(NamedTuple):
    """At the close of the first expiry, all legs closed: profit in price points per unit, not discounted, before fees.

    ``fair_mark`` is the Heston cost to close now; ``reason`` says why there is no number.
    """

    pop: SimulatedMean
    expected_profit: SimulatedMean
    profit_deviation: float
    fair_mark: float
    days: int
    provenance: SimulationProvenance | None
    reason: str | None = None


class _Legs(NamedTuple):
    """Prices in units of the spot; arrays (positions, legs) unless said otherwise. ``row`` is the leg's table row."""

    table: MarkTable
    row: Any
    strike: Any
    call: Any
    quantity: Any
    credit: Any  # (positions, 1)
    shares: Any  # (positions, 1)
    rate: Any
    drift: Any
    elapsed: Any  # years from today
    start: Any  # (positions, legs + 1), float64


def _prices(legs: _Legs, x: Any, v: Any) -> tuple[Any, Any]:
    """(controls (positions, legs + 1, paths), cost to close (positions, paths)) at x and v (positions, paths)."""
    jnp = load_jax().numpy
    puts, cost = [], -legs.shares * jnp.exp(x)
    for j in range(legs.strike.shape[1]):
        row, strike = legs.row[:, j : j + 1], legs.strike[:, j : j + 1]
        years = legs.table.years[row]
        log_forward = x + legs.drift * years
        discount = jnp.exp(-legs.rate * years)
        put = discount * put_on(legs.table, row, jnp.log(strike), log_forward, v)
        value = put + legs.call[:, j : j + 1] * discount * (jnp.exp(log_forward) - strike)
        cost = cost - legs.quantity[:, j : j + 1] * value
        puts.append(put * jnp.exp(-legs.rate * legs.elapsed))
    spot = jnp.broadcast_to(jnp.exp(x - legs.drift * legs.elapsed), cost.shape)
    return jnp.stack([*puts, spot], axis=1), cost


def _start(fixed: _Legs, paths: int, dtype: Any) -> Any:
    return (), ()


def _update(fixed: _Legs, row: Any, state: Any, p: Proposal) -> Any:
    return p.mean + p.deviation * p.z, state, ()


def _finish(fixed: _Legs, state: Any, emitted: Any, x: Any, v: Any) -> Any:
    jnp = load_jax().numpy
    martingales, cost = _prices(fixed, x[None], v[None])
    profit = fixed.credit - cost
    rows = [jnp.ones_like(profit), (profit > 0).astype(profit.dtype), profit, profit * profit]
    wide = jnp.stack(rows, axis=1).astype(jnp.float64)
    columns = jnp.concatenate([wide, martingales.astype(jnp.float64) - fixed.start[..., None]], axis=1)
    return jnp.einsum("pkn,pln->pkl", columns, columns)


FIRST_EXPIRY = Statistic(_start, _update, _finish)


def pop_calendar(
    positions: Sequence[SimulatedPosition],
    parameters: HestonParameters,
    market: Market,
    *,
    steps_per_day: int = 1,
    sampling: Sampling | None = None,
    physical: PhysicalMeasure | None = None,
) -> list[CalendarOutcome]:
    """Outcomes at the first expiry in the order of ``positions``; those with the same first expiry share their paths.

    Risk-neutral (Q) unless ``physical`` gives the law of the paths. A position that cannot be judged gets NaN and a
    reason.

    Raises:
        ValueError: if the parameters or the market are invalid, which concerns every position.
    """
    parameters.checked()
    market.checked()
    sampling = sampling or Sampling()
    outcomes: dict[int, CalendarOutcome] = {}
    by_days: dict[int, list[int]] = {}
    for index, position in enumerate(positions):
        fault = position.fault()
        if fault:
            outcomes[index] = CalendarOutcome(_NONE, _NONE, math.nan, math.nan, 0, None, fault)
        else:
            by_days.setdefault(position.days, []).append(index)
    for days, members in sorted(by_days.items()):
        chosen = [positions[i] for i in members]
        results = _at_first_expiry(chosen, days, parameters, market, steps_per_day, sampling, physical)
        outcomes.update(zip(members, results, strict=True))
    return [outcomes[index] for index in range(len(positions))]


def _legs(
    positions: list[SimulatedPosition], market: Market, table: MarkTable, lived: int, dtype: Any, count: int
) -> _Legs:
    """The legs ``lived`` days from today, padded to ``count`` with quantity zero."""
    shape = (len(positions), count)
    row = np.zeros(shape, np.int32)
    strike, call, quantity = np.ones(shape), np.zeros(shape), np.zeros(shape)
    for i, position in enumerate(positions):
        for j, leg in enumerate(position.legs):
            row[i, j] = np.argmin(np.abs(table.years - (leg.days - lived) / DAYS))
            strike[i, j], call[i, j], quantity[i, j] = leg.strike / market.spot, leg.right == "C", leg.quantity
    credit, shares = [[p.credit / market.spot] for p in positions], [[p.shares] for p in positions]
    numbers = (strike, call, quantity, credit, shares, market.rate, market.drift, lived / DAYS)
    return _Legs(
        with_padding(table, dtype), row, *(np.asarray(a, dtype) for a in numbers), np.zeros((len(positions), count + 1))
    )


def _at_first_expiry(
    positions: list[SimulatedPosition],
    days: int,
    parameters: HestonParameters,
    market: Market,
    steps_per_day: int,
    sampling: Sampling,
    physical: PhysicalMeasure | None,
) -> list[CalendarOutcome]:
    law = path_law(parameters, physical)
    top = max(highest_volatility(p, days / DAYS) for p in (parameters, law))
    left = {leg.days - lived for p in positions for leg in p.legs for lived in (0, days)} | {0}
    table = mark_table(parameters, np.array(sorted(left)) / DAYS, top)
    wanted = bucket(len(positions), smallest=1 if len(positions) == 1 else 8)
    padded = [*positions, *[positions[-1]] * (wanted - len(positions))]
    count = bucket(max(len(p.legs) for p in positions), smallest=2)
    zero = np.zeros((wanted, 1))
    start, fair = _prices(_legs(padded, market, table, 0, np.float64, count), zero, zero + parameters.v0)
    dtype = np.float32 if sampling.precision == "single" else np.float64
    fixed = _legs(padded, market, table, days, dtype, count)._replace(start=np.asarray(start)[..., 0])
    grid = Grid.of(law, days / DAYS, days, steps_per_day)
    moments = fold(
        law, grid, FIRST_EXPIRY, drift=path_drift(market, physical), sampling=sampling, fixed=fixed, pad_looks=True
    )
    provenance = made(parameters, market, physical, sampling, grid, days, "first expiry", controls(physical))
    outcomes = []
    for i in range(len(positions)):
        r = regressed(moments[:, i], _QUANTITIES, sampling, controlled=physical is None)
        profit = r.estimate(_PROFIT)
        spread = math.sqrt(max(float(r.mean[_SQUARE]) - profit.value**2, 0.0))
        outcomes.append(
            CalendarOutcome(
                r.estimate(_PROFITABLE),
                SimulatedMean(profit.value * market.spot, profit.standard_error * market.spot),
                spread * market.spot,
                float(fair[i, 0]) * market.spot,
                days,
                provenance,
            )
        )
    return outcomes
