"""The JAX kernel of the lane replay: one scan over bars, lanes side by side. `lanes` prepares its inputs.

Everything that depends on the bar alone (fill prices, participation caps, fill rows) is computed by the host with the
formulas of `execution`, so kernel and callback engine see the same floats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from argus_core.accelerator import load_jax
from argus_core.replay.execution import LOT_SLACK

#: Columns of the row matrix, one float64 row per bar. Padding rows hold NaN prices, row -1 and decide 0.
ROW_COLUMNS = (
    "row",
    "decide",
    "open",
    "high",
    "low",
    "buy",
    "sell",
    "buy_open",
    "sell_open",
    "half_spread",
    "offered_lots",
    "ts",
    "entry_ts",
    "fill_row",
    "dead",
)

# The event byte of one bar of one lane: exit code in bits 0-2, entry 8, partial 16, reject code in bits 5-6.
EXIT_SIGNAL, EXIT_STOP, EXIT_STOP_OPEN, EXIT_TARGET, EXIT_TIME = 1, 2, 3, 4, 5
EXIT_MASK = 7
ENTRY = 8
PARTIAL = 16
REJECT_SHIFT = 5
REJECT_GAP, REJECT_SIZE, REJECT_CASH = 1, 2, 3

#: Float columns of an intent: as many arrays, each (lanes,) or (lanes, bars).
VALUE_COLUMNS = ("size", "quantity", "stop_distance", "target_distance", "max_hold_us")


class Terms(NamedTuple):
    """Scalars of one replay, costs already scaled by the cost multiplier."""

    leverage: float
    lot: float
    multiplier: float
    tick: float
    spread_scale: float
    slippage: float
    commission_min: float
    commission_per_share: float
    commission_rate: float


class State(NamedTuple):
    """What a lane carries from bar to bar, each (lanes,) float64. ``pending``: 0 none, +1/-1 entry, 2 exit."""

    cash: Any
    side: Any
    quantity: Any
    entry: Any
    stop: Any
    target: Any
    due: Any
    pending: Any
    pending_row: Any
    pending_dead: Any
    wanted_size: Any
    wanted_quantity: Any
    wanted_stop: Any
    wanted_target: Any
    wanted_hold: Any


@lru_cache(maxsize=32)
def lane_kernel(*, signal_close: bool, crypto: bool, per_bar: tuple[bool, ...]) -> Callable:
    """Compile-once scan for one fill convention.

    Args:
        signal_close: fill at the close of the deciding bar.
        crypto: commission by notional.
        per_bar: for each of `VALUE_COLUMNS`, whether it varies by bar (lanes, bars) or is one value per lane.

    Returns:
        ``kernel(state, terms, rows, enter, leave, values) -> (state, event, quantity, level)`` with rows
        (bars, len(ROW_COLUMNS)), enter (lanes, bars) int8, leave (lanes, bars) bool, values each (lanes,) or
        (lanes, bars); outputs (bars, lanes): the event byte, the signed quantity of an entry, the stop or target
        level that ended a position.
    """
    jax = load_jax()
    jnp = jax.numpy

    def commission(quantity: Any, price: Any, terms: Terms) -> Any:
        if crypto:
            return quantity * price * terms.multiplier * terms.commission_rate
        return jnp.maximum(terms.commission_min, quantity * terms.commission_per_share)

    def lots(side: Any, price: Any, cash: Any, size: Any, quantity: Any, offered: Any, terms: Terms) -> Any:
        budget = cash * terms.leverage
        unit = price * terms.multiplier
        wanted = jnp.where(jnp.isnan(quantity), size * budget / unit, quantity)
        if crypto:
            long = budget / (unit * (1.0 + terms.commission_rate))
        else:
            long = jnp.minimum((budget - terms.commission_min) / unit, budget / (unit + terms.commission_per_share))
        affordable = jnp.where(side > 0, long, budget / unit)
        asked = jnp.minimum(jnp.floor(wanted / terms.lot + LOT_SLACK), jnp.floor(affordable / terms.lot))
        filled = jnp.maximum(jnp.minimum(asked, offered), 0.0)
        return filled, offered < asked

    def kernel(state: State, terms: Terms, rows: Any, enter: Any, leave: Any, values: tuple) -> tuple:
        fixed = {n: v for n, v, varies in zip(VALUE_COLUMNS, values, per_bar, strict=True) if not varies}
        moving = {n: v.T for n, v, varies in zip(VALUE_COLUMNS, values, per_bar, strict=True) if varies}

        def step(s: State, xs: tuple) -> tuple:
            row, enter_now, leave_now, moving_now = xs
            bar = dict(zip(ROW_COLUMNS, row, strict=True))
            value = fixed | moving_now

            def wanted(name: str, carried: Any) -> Any:
                # A value that never changes needs no carrying from decision to fill.
                return carried if name in moving and not signal_close else value[name]

            # 1. At the open: pending exit or time stop, then pending entry.
            held = s.side != 0
            ready = s.pending_row <= bar["row"]
            by_signal = held & (s.pending == 2) & ready
            by_time = held & ~by_signal & (bar["ts"] >= s.due)
            at_open = by_signal | by_time
            buy, sell = ("buy_open", "sell_open") if signal_close else ("buy", "sell")
            open_price = jnp.where(s.side > 0, bar[sell], bar[buy])

            def enter_position(side: Any, asks: Any, state: State) -> tuple:
                price = jnp.where(side > 0, bar["buy"], bar["sell"])
                size = wanted("size", s.wanted_size)
                quantity = wanted("quantity", s.wanted_quantity)
                count, partial = lots(side, price, state.cash, size, quantity, bar["offered_lots"], terms)
                fills = asks & (count > 0)
                refused = jnp.where(bar["offered_lots"] < 1, REJECT_SIZE, REJECT_CASH)
                quantity = count * terms.lot
                stop = wanted("stop_distance", s.wanted_stop)
                target = wanted("target_distance", s.wanted_target)
                hold = wanted("max_hold_us", s.wanted_hold)
                opened = state._replace(
                    cash=state.cash - jnp.where(fills, commission(quantity, price, terms), 0.0),
                    side=jnp.where(fills, side, state.side),
                    quantity=jnp.where(fills, quantity, state.quantity),
                    entry=jnp.where(fills, price, state.entry),
                    stop=jnp.where(fills, price - side * stop, state.stop),
                    target=jnp.where(fills, price + side * target, state.target),
                    due=jnp.where(fills, bar["entry_ts"] + hold, state.due),
                )
                event = jnp.where(fills, ENTRY + jnp.where(partial, PARTIAL, 0), 0)
                event = event + jnp.where(asks & ~fills, refused << REJECT_SHIFT, 0)
                return opened, event, jnp.where(fills, side * quantity, 0.0)

            def leave_position(leaves: Any, price: Any, state: State) -> State:
                gain = state.side * state.quantity * terms.multiplier * (price - state.entry)
                gain = gain - commission(state.quantity, price, terms)
                return state._replace(
                    cash=state.cash + jnp.where(leaves, gain, 0.0), side=jnp.where(leaves, 0.0, state.side)
                )

            now = leave_position(at_open, open_price, s)
            exits = jnp.where(by_signal, EXIT_SIGNAL, 0) + jnp.where(by_time, EXIT_TIME, 0)
            event = jnp.zeros_like(exits)
            bought = jnp.zeros_like(s.cash)
            pending = jnp.where(at_open, 0.0, s.pending)
            if not signal_close:
                due_entry = (jnp.abs(s.pending) == 1) & ready
                dead = due_entry & (s.pending_dead != 0)
                now, event, bought = enter_position(s.pending, due_entry & ~dead, now)
                event = event + jnp.where(dead, REJECT_GAP << REJECT_SHIFT, 0)
                pending = jnp.where(due_entry, 0.0, pending)

            # 2. Protective exits; a bar that touches stop and target is a stop.
            long, short = now.side > 0, now.side < 0
            gaps = (long & (bar["open"] <= now.stop)) | (short & (bar["open"] >= now.stop))
            touched = (long & (bar["low"] <= now.stop)) | (short & (bar["high"] >= now.stop))
            stopped = touched & ~gaps
            through = (long & (bar["high"] >= now.target + terms.tick)) | (
                short & (bar["low"] <= now.target - terms.tick)
            )
            limit = through & ~touched & ~gaps
            cost = terms.spread_scale * bar["half_spread"] + terms.slippage * now.stop
            gap_price = jnp.where(long, bar["sell_open"], bar["buy_open"])
            price = jnp.where(gaps, gap_price, jnp.where(stopped, now.stop - now.side * cost, now.target))
            protected = gaps | stopped | limit
            level = jnp.where(stopped, now.stop, now.target)
            now = leave_position(protected, price, now)
            exits = exits + (
                jnp.where(gaps, EXIT_STOP_OPEN, 0) + jnp.where(stopped, EXIT_STOP, 0) + jnp.where(limit, EXIT_TARGET, 0)
            )
            pending = jnp.where(protected, 0.0, pending)

            # 3. Marking is left to the host. 4. The decision of this row.
            deciding = bar["decide"] != 0
            direction = enter_now.astype(jnp.float64)
            opens = deciding & (now.side == 0) & (pending == 0) & (direction != 0)
            closes = deciding & (now.side != 0) & (pending == 0) & (leave_now | (direction == -now.side))
            if signal_close:
                exits = exits + jnp.where(closes, EXIT_SIGNAL, 0)
                now = leave_position(closes, jnp.where(now.side > 0, bar["sell"], bar["buy"]), now)
                now, event, bought = enter_position(direction, opens, now)
            else:
                asks = opens | closes
                pending = jnp.where(opens, direction, jnp.where(closes, 2.0, pending))
                carried = {
                    "wanted_size": "size",
                    "wanted_quantity": "quantity",
                    "wanted_stop": "stop_distance",
                    "wanted_target": "target_distance",
                    "wanted_hold": "max_hold_us",
                }
                kept = {
                    field: jnp.where(opens, value[name], getattr(now, field))
                    for field, name in carried.items()
                    if name in moving
                }
                now = now._replace(
                    pending_row=jnp.where(asks, bar["fill_row"], now.pending_row),
                    pending_dead=jnp.where(asks, bar["dead"], now.pending_dead),
                    **kept,
                )
            now = now._replace(pending=pending)
            return now, ((event + exits).astype(jnp.uint8), bought, level)

        state, (event, quantity, level) = jax.lax.scan(step, state, (rows, enter.T, leave.T, moving))
        return state, event, quantity, level

    return jax.jit(kernel, donate_argnums=(0,))
