"""What a position is worth where its paths leave: reads the mark table once per path.

Stopped at any exit rule, a discounted option price is a martingale under Q. The stopped prices of the legs and of the
spot therefore have known means and serve as control variates of every statistic of the exit: the mark at the exit is
nearly a function of which boundary was met.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from argus_core.accelerator import load_jax
from argus_core.options.heston.exit_boundaries import HOLD, STOP, TARGET
from argus_core.options.heston.exits import Exits, start_count, update_count
from argus_core.options.heston.mark_table import MarkTable, hermite, with_padding
from argus_core.options.heston.market import Market, SimulatedPosition
from argus_core.options.heston.simulation import Statistic

#: Rows of the moments after a row of ones: indicators of target, stop, neither and profit, the profit, its square; the
#: controls follow.
TARGETED, STOPPED, HELD, PROFITABLE, PROFIT, SQUARE = range(6)
QUANTITIES = 6


class Reading(NamedTuple):
    """Operands of the finish, prices in units of the spot; legs are padded with quantity zero."""

    table: MarkTable  # row 0 is today, row d the close of look d
    strike: Any  # (positions, legs)
    call: Any  # (positions, legs), one for a call
    quantity: Any
    credit: Any  # (positions, 1)
    shares: Any  # (positions, 1)
    rate: Any
    drift: Any
    look: Any  # years between two looks
    start: Any  # (positions, legs + 1): the controls' values today, float64


def reading(
    positions: Sequence[SimulatedPosition], market: Market, table: MarkTable, look: float, dtype: Any, *, legs: int
) -> Reading:
    """Arrays in the paths' precision; ``legs`` is the padded number of legs. `today` fills in the start."""
    shape = (len(positions), legs)
    strike, call, quantity = np.ones(shape), np.zeros(shape), np.zeros(shape)
    for i, position in enumerate(positions):
        for j, leg in enumerate(position.legs):
            strike[i, j], call[i, j], quantity[i, j] = leg.strike / market.spot, leg.right == "C", leg.quantity
    credit, shares = np.array([[p.credit / market.spot] for p in positions]), np.array([[p.shares] for p in positions])
    arrays = (np.asarray(a, dtype) for a in (strike, call, quantity, credit, shares, market.rate, market.drift, look))
    return Reading(with_padding(table, dtype), *arrays, np.zeros((len(positions), legs + 1)))


def today(double: Reading, v0: float) -> tuple[np.ndarray, np.ndarray]:
    """(controls (positions, legs + 1), marks (positions,)) at x = 0 and v0 of a reading in double precision."""
    positions = double.strike.shape[0]
    looks, x = np.zeros((positions, 1), np.int32), np.zeros((positions, 1))
    puts, forward = put_prices(double, looks, x, np.full((positions, 1), v0))
    return (
        np.asarray(controls(double, puts, looks, x))[..., 0],
        np.asarray(cost_to_close(double, puts, looks, x, forward))[:, 0],
    )


def put_on(table: MarkTable, row: Any, log_strike: Any, log_forward: Any, v: Any) -> Any:
    """Undiscounted put in units of the spot at row ``row`` of the table; logs are relative to the spot."""
    jnp = load_jax().numpy
    variances, nodes = table.value.shape[-2:]
    at = jnp.clip(jnp.sqrt(v) / table.top, 0, 1) * (variances - 1)
    left = jnp.minimum(at.astype(jnp.int32), variances - 2)
    share = at - left
    low, width, value, slope = (a.reshape(-1) for a in (table.low, table.width, table.value, table.slope))
    moneyness = log_strike - log_forward
    sides = []
    for node in (left, left + 1):
        line = row * variances + node
        step = width[line] / (nodes - 1)
        place = (moneyness - low[line]) / step
        cell = jnp.clip(place.astype(jnp.int32), 0, nodes - 2)
        first = line * nodes + cell
        ends = value[first], value[first + 1], slope[first] * step, slope[first + 1] * step
        inside = hermite(*ends, jnp.clip(place - cell, 0, 1))
        sides.append(jnp.where(place <= 0, 0, jnp.where(place >= nodes - 1, jnp.expm1(moneyness), inside)))
    return (sides[0] * (1 - share) + sides[1] * share) * jnp.exp(log_forward)


def put_prices(r: Reading, looks: Any, x: Any, v: Any) -> tuple[Any, Any]:
    """(discounted puts per leg (positions, legs, paths), forwards (positions, paths)) in units of the spot.

    ``looks`` (positions, paths) are integers: rows of the table.
    """
    jnp = load_jax().numpy
    years = r.table.years[looks]
    log_forward = x + r.drift * years
    legs = range(r.strike.shape[1])
    puts = [put_on(r.table, looks, jnp.log(r.strike[:, j : j + 1]), log_forward, v) for j in legs]
    return jnp.stack(puts, axis=1) * jnp.exp(-r.rate * years)[:, None], jnp.exp(log_forward)


def cost_to_close(r: Reading, puts: Any, looks: Any, x: Any, forward: Any) -> Any:
    """Mark of each position, in units of the spot (positions, paths)."""
    jnp = load_jax().numpy
    discount = jnp.exp(-r.rate * r.table.years[looks])[:, None]
    legs = puts + r.call[..., None] * discount * (forward[:, None] - r.strike[..., None])
    return -jnp.sum(r.quantity[..., None] * legs, axis=1) - r.shares * jnp.exp(x)


def controls(r: Reading, puts: Any, looks: Any, x: Any) -> Any:
    """Discounted puts and discounted spot with its dividends, (positions, legs + 1, paths): martingales under Q."""
    jnp = load_jax().numpy
    gone = (r.look * looks)[:, None]
    spot = jnp.exp(x[:, None] - r.drift * gone)
    # A padded leg is no control: a position's numbers must not depend on its neighbours.
    held = (r.quantity != 0)[..., None]
    return jnp.concatenate([jnp.where(held, puts * jnp.exp(-r.rate * gone), 0), spot], axis=1)


class Tally(NamedTuple):
    """Sums over a tile. ``moments`` (positions, k, k): products of (1, quantities, controls), float64. ``target`` and
    ``stop`` (looks, positions): counts of exits."""

    moments: Any
    target: Any
    stop: Any


def _finish_count(fixed: Exits, state: Any, emitted: Any, x: Any, v: Any) -> Tally:
    jnp = load_jax().numpy
    r: Reading = fixed.reading
    # The state counts the looks that were: rows beyond them are padding.
    left, looks = state
    label = left % 4
    look = jnp.where(left == 0, looks - 1, left // 4)
    path = jnp.arange(left.shape[1], dtype=jnp.int32)
    x, v = (history[look, path] for history in emitted)
    puts, forward = put_prices(r, look + 1, x, v)
    profit = r.credit - cost_to_close(r, puts, look + 1, x, forward)
    indicators = [label == kind for kind in (TARGET, STOP, HOLD)]
    rows = [*indicators, profit > 0, profit, profit * profit]
    wide = jnp.stack([jnp.ones_like(profit), *(row.astype(profit.dtype) for row in rows)], axis=1).astype(jnp.float64)
    moved = controls(r, puts, look + 1, x).astype(jnp.float64) - r.start[..., None]
    columns = jnp.concatenate([wide, moved], axis=1)
    counts = [
        jnp.stack([jnp.sum(left == day * 4 + kind, axis=-1, dtype=jnp.int32) for day in range(emitted[0].shape[0])])
        for kind in (TARGET, STOP)
    ]
    return Tally(jnp.einsum("pkn,pln->pkl", columns, columns), *counts)


VALUED_COUNT = Statistic(start_count, update_count, _finish_count)
