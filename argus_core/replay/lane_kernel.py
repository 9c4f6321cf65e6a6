"""The JAX kernel of the lane replay: every lane walks from event to event. `lanes` prepares its inputs.

A lane looks at a bar only as long as nothing can happen there: an inner loop passes the bars that bear no signal it
could act on, no due order or time stop, and no price at a protective level; the bar at which it halts is then replayed
in full. Everything that depends on the bar alone (fill prices, participation caps, fill rows) is computed by the host
with the formulas of `execution`, so kernel and callback engine see the same floats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from argus_core.accelerator import load_jax
from argus_core.replay.execution import LOT_SLACK

# Bits of the signal byte of a row.
ENTER_LONG, ENTER_SHORT, LEAVE = 1, 2, 4

# Exit codes of a trade. The three stops differ in what set the level last; +STOP_AT_OPEN: gapped through at the open.
EXIT_SIGNAL, EXIT_STOP, EXIT_BREAK_EVEN, EXIT_TRAILING, EXIT_TARGET, EXIT_TIME, EXIT_FORCED = 1, 2, 3, 4, 5, 6, 7
AT_OPEN = 8

# Columns of the reject counter.
REJECT_GAP, REJECT_SIZE, REJECT_CASH = 0, 1, 2

#: Numbers of an entry, each one value per lane, or one per entry row of the lane.
VALUES = (
    "fixed",
    "dollars",
    "share",
    "per_equity",
    "stop",
    "target",
    "trail",
    "break_even",
    "hold_us",
    "max_entries",
)

_NONE, _EXIT = 0, 2
_FAR = 2**31 - 1


class Terms(NamedTuple):
    """Scalars of one replay, costs already scaled by the cost multiplier."""

    leverage: Any
    lot: Any
    multiplier: Any
    tick: Any
    spread_scale: Any
    slippage: Any
    commission_min: Any
    commission_per_share: Any
    commission_rate: Any


class Rows(NamedTuple):
    """The bars, (bars,) each; only the first ``count`` of them are replayed."""

    count: Any
    open: Any
    high: Any
    low: Any
    half_spread: Any
    buy: Any
    sell: Any
    buy_open: Any
    sell_open: Any
    mark_long: Any
    mark_short: Any
    offered_lots: Any
    ts: Any
    entry_ts: Any
    fill_row: Any
    dead: Any


class Lane(NamedTuple):
    """One lane: its signal byte per bar, the rows with an entry signal, and `VALUES`."""

    signal: Any
    entry_rows: Any
    values: tuple


class Trades(NamedTuple):
    """Trades in order of exit, (capacity,) each.

    ``position`` counts the entry rows of the lane, where any of `VALUES` varies. ``quantity`` is signed, ``level`` the
    price level that ended the trade (NaN: none), ``equity`` that at its entry.
    """

    number: Any
    entry_row: Any
    exit_row: Any
    code: Any
    position: Any
    quantity: Any
    level: Any
    equity: Any


class State(NamedTuple):
    """What a lane carries from event to event; lots are arrays (lots,)."""

    row: Any
    cash: Any
    side: Any
    alive: Any
    quantity: Any
    entry: Any
    equity: Any
    stop: Any
    target: Any
    trail: Any
    break_even: Any
    best: Any
    origin: Any
    due_row: Any
    entry_row: Any
    number: Any
    position: Any
    pending: Any
    pending_row: Any
    pending_value: Any
    pending_dead: Any
    entries: Any
    partials: Any
    rejects: Any
    closed: Any
    trades: Trades


class Form(NamedTuple):
    """What a compiled kernel is specialised on."""

    #: "open", "decision" (close of the deciding bar) or "close" (close of the bar after).
    basis: str
    crypto: bool
    lots: int
    capacity: int
    stop: bool
    target: bool
    trail: bool
    break_even: bool
    hold: bool
    #: for each of `VALUES`, whether it varies by entry row
    varies: tuple[bool, ...]
    #: lanes side by side (vector machines) instead of one after another
    side_by_side: bool


def initial_state(form: Form, lanes: int, cash: float) -> State:
    """State of ``lanes`` lanes before the first bar, host arrays."""
    import numpy as np

    def zeros(*shape: int, dtype: Any = np.float64) -> Any:
        return np.zeros((lanes, *shape), dtype)

    k, whole = form.lots, np.int32
    return State(
        row=zeros(dtype=whole),
        cash=np.full(lanes, float(cash)),
        side=zeros(),
        alive=zeros(k, dtype=bool),
        quantity=zeros(k),
        entry=zeros(k),
        equity=zeros(k),
        stop=zeros(k),
        target=zeros(k),
        trail=zeros(k),
        break_even=zeros(k),
        best=zeros(k),
        origin=zeros(k, dtype=whole),
        due_row=np.full((lanes, k), _FAR, whole),
        entry_row=zeros(k, dtype=whole),
        number=zeros(k, dtype=whole),
        position=zeros(k, dtype=whole),
        pending=zeros(dtype=whole),
        pending_row=zeros(dtype=whole),
        pending_value=zeros(dtype=whole),
        pending_dead=zeros(dtype=bool),
        entries=zeros(dtype=whole),
        partials=zeros(dtype=whole),
        rejects=zeros(3, dtype=whole),
        closed=zeros(dtype=whole),
        trades=Trades(
            *(zeros(form.capacity, dtype=whole) for _ in range(5)), *(zeros(form.capacity) for _ in range(3))
        ),
    )


def side_by_side() -> bool:
    """Whether the default device wants lanes side by side: every one but a CPU."""
    return load_jax().default_backend() != "cpu"


def on_device(arrays: Any) -> Any:
    """``arrays`` on the default device."""
    return load_jax().device_put(arrays)


@lru_cache(maxsize=64)
def lane_kernel(form: Form) -> Callable:
    """Compile-once kernel.

    Returns:
        ``kernel(state, terms, rows, lanes) -> state``: every lane advanced to its last bar, or until its trade buffer
        is full (``row < count``): take the trades out, set ``closed`` to 0 and call again.
    """
    jax = load_jax()
    jnp, lax = jax.numpy, jax.lax
    k = form.lots
    at_open = form.basis == "open"
    moves = form.trail or form.break_even
    guarded = form.stop or form.target or moves

    def commission(quantity: Any, price: Any, terms: Terms) -> Any:
        if form.crypto:
            return quantity * price * terms.multiplier * terms.commission_rate
        return jnp.maximum(terms.commission_min, quantity * terms.commission_per_share)

    def take(array: Any, *place: Any) -> Any:
        # Without the default's wrapping and clamping, which would cost more than the read.
        return array.at[place].get(mode="promise_in_bounds", wrap_negative_indices=False)

    def when(condition: Any, change: Callable, state: Any) -> Any:
        # A branch where lanes run one after another; side by side it would be computed anyway.
        return lax.cond(condition, change, lambda same: same, state)

    def one_lane(state: State, number: Any, lanes: Lane, terms: Terms, rows: Rows) -> State:
        count = rows.count

        def value(name: str, position: Any) -> Any:
            index = VALUES.index(name)
            column = lanes.values[index]
            return take(column, number, position) if form.varies[index] else take(column, number)

        def place_of(row: Any) -> Any:
            """Position of ``row`` among the lane's entry rows."""

            def halve(bounds: tuple) -> tuple:
                low, high = bounds
                middle = (low + high) // 2
                before = take(lanes.entry_rows, number, middle) < row
                return jnp.where(before, middle + 1, low), jnp.where(before, high, middle)

            bounds = (jnp.int32(0), jnp.int32(lanes.entry_rows.shape[1]))
            return lax.while_loop(lambda b: b[0] < b[1], halve, bounds)[0]

        def raised(s: State, high: Any, low: Any) -> tuple:
            """best, stop and origin after a bar that was held."""
            long = s.side > 0
            best = jnp.where(long, jnp.maximum(s.best, high), jnp.minimum(s.best, low))
            stop, origin = s.stop, s.origin
            if form.break_even:
                moved = s.side * (best - s.entry) >= s.break_even
                better = moved & jnp.where(long, s.entry > stop, s.entry < stop)
                stop, origin = jnp.where(better, s.entry, stop), jnp.where(better, 1, origin)
            if form.trail:
                level = best - s.side * s.trail
                better = jnp.where(long, level > stop, level < stop) | ((level == stop) & (origin == 1))
                stop, origin = jnp.where(better, level, stop), jnp.where(better, 2, origin)
            return best, stop, origin

        def pass_quiet(s: State) -> State:
            """The state at the first row from ``s.row`` on at which something can happen."""
            held = s.side != 0
            idle = s.pending == _NONE
            acts = jnp.where(
                held,
                jnp.where(s.side > 0, ENTER_SHORT | LEAVE, ENTER_LONG | LEAVE),
                ENTER_LONG | ENTER_SHORT,
            )
            if k > 1:
                room = held & ~jnp.all(s.alive)
                acts = jnp.where(room, ENTER_LONG | ENTER_SHORT | LEAVE, acts)
            mask = jnp.where(idle, acts, 0).astype(jnp.uint8)
            end = jnp.where(idle, count, jnp.minimum(s.pending_row, count))
            if form.hold:
                end = jnp.minimum(end, jnp.min(jnp.where(s.alive, s.due_row, _FAR)))

            def quiet(j: Any) -> Any:
                return (j < end) & ((take(lanes.signal, number, j) & mask) == 0)

            if not guarded:
                return s._replace(row=lax.while_loop(quiet, lambda j: j + 1, s.row))
            # Flat, prices do not matter; the loop below then starts at its end.
            flat_end = lax.while_loop(lambda j: ~held & quiet(j), lambda j: j + 1, s.row)
            s = s._replace(row=flat_end)
            long = s.side > 0
            beyond = s.side * terms.tick

            def triggers(stop: Any) -> tuple:
                stops = jnp.where(s.alive, stop, -s.side * jnp.inf)
                targets = jnp.where(s.alive, s.target + beyond, s.side * jnp.inf)
                low = jnp.where(long, jnp.max(stops), jnp.max(targets))
                high = jnp.where(long, jnp.min(targets), jnp.min(stops))
                return jnp.where(held, low, -jnp.inf), jnp.where(held, high, jnp.inf)

            if not moves:
                low, high = triggers(s.stop)
                row = lax.while_loop(
                    lambda j: quiet(j) & (take(rows.low, j) > low) & (take(rows.high, j) < high),
                    lambda j: j + 1,
                    s.row,
                )
                return s._replace(row=row)

            def goes_on(carry: tuple) -> Any:
                j, _, stop, _ = carry
                low, high = triggers(stop)
                return quiet(j) & (take(rows.low, j) > low) & (take(rows.high, j) < high)

            def passes(carry: tuple) -> tuple:
                j, best, stop, origin = carry
                held_on = s._replace(best=best, stop=stop, origin=origin)
                return (j + 1, *raised(held_on, take(rows.high, j), take(rows.low, j)))

            row, best, stop, origin = lax.while_loop(goes_on, passes, (s.row, s.best, s.stop, s.origin))
            return s._replace(row=row, best=best, stop=stop, origin=origin)

        def record(s: State, leaves: Any, code: Any, level: Any, price: Any) -> State:
            """Close the lots ``leaves``: cash and one trade each."""
            return when(jnp.any(leaves), lambda s: close_lots(s, leaves, code, level, price), s)

        def close_lots(s: State, leaves: Any, code: Any, level: Any, price: Any) -> State:
            gain = s.side * s.quantity * terms.multiplier * (price - s.entry) - commission(s.quantity, price, terms)
            place = s.closed + jnp.cumsum(leaves.astype(jnp.int32)) - 1
            # Lots that stay are written beyond the end, which drops them.
            place = jnp.where(leaves, place, form.capacity)
            new = Trades(
                s.number,
                s.entry_row,
                jnp.full(k, s.row),
                code.astype(jnp.int32),
                s.position,
                s.side * s.quantity,
                level,
                s.equity,
            )
            alive = s.alive & ~leaves
            if k == 1:

                def write(old: Any, new: Any) -> Any:
                    return old.at[s.closed].set(new[0], mode="promise_in_bounds", wrap_negative_indices=False)

            else:

                def write(old: Any, new: Any) -> Any:
                    return old.at[place].set(new, mode="drop")

            return s._replace(
                cash=s.cash + jnp.sum(jnp.where(leaves, gain, 0.0)),
                alive=alive,
                side=jnp.where(jnp.any(alive), s.side, 0.0),
                closed=s.closed + jnp.sum(leaves, dtype=jnp.int32),
                trades=Trades(*(write(old, x) for old, x in zip(s.trades, new, strict=True))),
            )

        def enter(s: State, asks: Any, direction: Any, position: Any, marks: Any) -> State:
            """Open a lot at this row where ``asks``; ``marks`` is the row of the marks that equity is taken from."""
            j = s.row
            price = jnp.where(direction > 0, take(rows.buy, j), take(rows.sell, j))
            unit = price * terms.multiplier
            mark = jnp.where(s.side > 0, take(rows.mark_long, marks), take(rows.mark_short, marks))
            scale = jnp.where(s.alive, s.quantity * terms.multiplier, 0.0)
            equity = s.cash + jnp.sum(s.side * scale * (mark - s.entry))
            budget = terms.leverage * equity - jnp.sum(jnp.abs(scale * mark))
            budget = jnp.maximum(budget, 0.0)
            wanted = (
                value("fixed", position)
                + (value("dollars", position) + value("share", position) * equity) / unit
                + value("per_equity", position) * equity
            )
            if form.crypto:
                long = budget / (unit * (1.0 + terms.commission_rate))
            else:
                long = jnp.minimum((budget - terms.commission_min) / unit, budget / (unit + terms.commission_per_share))
            affordable = jnp.where(direction > 0, long, budget / unit)
            offered = take(rows.offered_lots, j)
            asked = jnp.minimum(
                jnp.floor(wanted / terms.lot + LOT_SLACK), jnp.floor(affordable / terms.lot + LOT_SLACK)
            )
            lots = jnp.maximum(jnp.minimum(asked, offered), 0.0)
            fills = asks & (lots > 0)
            refused = asks & ~fills
            quantity = lots * terms.lot
            slot = jnp.arange(k) == jnp.argmin(s.alive)
            new = fills & slot
            changes: dict[str, Any] = {}
            if any(form.varies):
                changes["position"] = jnp.where(new, position, s.position)
            stop = price - direction * value("stop", position)
            changes["stop"] = jnp.where(new, stop, s.stop)
            changes["target"] = jnp.where(new, price + direction * value("target", position), s.target)
            if form.trail:
                changes["trail"] = jnp.where(new, value("trail", position), s.trail)
            if form.break_even:
                changes["break_even"] = jnp.where(new, value("break_even", position), s.break_even)
            if moves:
                changes["best"] = jnp.where(new, price, s.best)
                changes["origin"] = jnp.where(new, 0, s.origin)
            if form.hold:
                due = take(rows.entry_ts, j) + value("hold_us", position)
                row = jnp.searchsorted(rows.ts, due, side="left").astype(jnp.int32)
                changes["due_row"] = jnp.where(new, jnp.where(jnp.isfinite(due), row, _FAR), s.due_row)
            return s._replace(
                cash=s.cash - jnp.where(fills, commission(quantity, price, terms), 0.0),
                side=jnp.where(fills, direction, s.side),
                alive=s.alive | new,
                quantity=jnp.where(new, quantity, s.quantity),
                entry=jnp.where(new, price, s.entry),
                equity=jnp.where(new, equity, s.equity),
                entry_row=jnp.where(new, j, s.entry_row),
                number=jnp.where(new, s.entries, s.number),
                entries=s.entries + fills,
                partials=s.partials + (fills & (offered < asked)),
                rejects=s.rejects.at[jnp.where(offered < 1, REJECT_SIZE, REJECT_CASH)].add(refused),
                **changes,
            )

        def due_entry(s: State, fills_here: Any, marks: Any) -> State:
            """Fill the entry that waits for this row, or let it die in a data gap."""
            asks = fills_here & (jnp.abs(s.pending) == 1)
            return when(asks, lambda s: fill_entry(s, asks, marks), s)

        def fill_entry(s: State, asks: Any, marks: Any) -> State:
            dies = asks & s.pending_dead
            direction = s.pending.astype(jnp.float64)
            s = s._replace(rejects=s.rejects.at[REJECT_GAP].add(dies))
            return enter(s, asks & ~dies, direction, s.pending_value, marks)

        def replay_row(s: State) -> State:
            """Row ``s.row`` in full."""
            j = s.row
            nothing = jnp.full(k, jnp.nan)
            high, low, opened = take(rows.high, j), take(rows.low, j), take(rows.open, j)
            waits = s.pending != _NONE
            fills_here = waits & (s.pending_row == j)
            long = s.side > 0

            # 1. At the open: a waiting exit, time stops, then a waiting entry.
            by_signal = s.alive & (fills_here & (s.pending == _EXIT) if at_open else False)
            by_time = s.alive & ~by_signal & (s.due_row <= j) if form.hold else jnp.zeros(k, bool)
            leaves = by_signal | by_time
            buy, sell = (rows.buy, rows.sell) if at_open else (rows.buy_open, rows.sell_open)
            code = jnp.where(by_signal, EXIT_SIGNAL, EXIT_TIME)
            price = jnp.where(long, sell[j], buy[j])
            if at_open or form.hold:
                s = record(s, leaves, code, nothing, jnp.full(k, price))
            s = s._replace(pending=jnp.where(waits & ~jnp.any(s.alive) & (s.pending == _EXIT), _NONE, s.pending))
            if at_open:
                s = due_entry(s, fills_here, jnp.maximum(j - 1, 0))
                s = s._replace(pending=jnp.where(fills_here, _NONE, s.pending))

            # 2. Protective exits; a bar that touches stop and target is a stop.
            if guarded:
                long = s.side > 0
                gaps = s.alive & jnp.where(long, opened <= s.stop, opened >= s.stop)
                touched = s.alive & ~gaps & jnp.where(long, low <= s.stop, high >= s.stop)
                reach = s.target + s.side * terms.tick
                limit = s.alive & ~gaps & ~touched & jnp.where(long, high >= reach, low <= reach)
                cost = terms.spread_scale * take(rows.half_spread, j) + terms.slippage * s.stop
                gap_price = jnp.where(long, take(rows.sell_open, j), take(rows.buy_open, j))
                price = jnp.where(gaps, gap_price, jnp.where(touched, s.stop - s.side * cost, s.target))
                code = jnp.where(limit, EXIT_TARGET, EXIT_STOP + s.origin + jnp.where(gaps, AT_OPEN, 0))
                s = record(s, gaps | touched | limit, code, jnp.where(limit, s.target, s.stop), price)
                flat = ~jnp.any(s.alive)
                s = s._replace(pending=jnp.where(flat & (s.pending == _EXIT), _NONE, s.pending))
                if moves:
                    best, stop, origin = raised(s, high, low)
                    s = s._replace(best=best, stop=stop, origin=origin)

            # 3. Fills at the close of the bar after the decision.
            if form.basis == "close":
                long = s.side > 0
                leaves = s.alive & fills_here & (s.pending == _EXIT)
                price = jnp.where(long, take(rows.sell, j), take(rows.buy, j))
                s = record(s, leaves, jnp.full(k, EXIT_SIGNAL), nothing, jnp.full(k, price))
                s = due_entry(s, fills_here, j)
                s = s._replace(pending=jnp.where(fills_here, _NONE, s.pending))

            # 4. The decision of this row.
            signal = take(lanes.signal, number, j)
            direction = (signal & 1).astype(jnp.float64) - ((signal >> 1) & 1).astype(jnp.float64)
            held = s.side != 0
            free = s.pending == _NONE
            closes = free & held & (((signal & LEAVE) != 0) | ((direction != 0) & (direction == -s.side)))
            opens = free & ~held & (direction != 0)
            if any(form.varies):
                wants = free & (direction != 0)
                position = when(wants, lambda _: place_of(j), jnp.int32(0))
            else:
                position = jnp.int32(0)
            if k > 1:
                room = jnp.sum(s.alive) < value("max_entries", position)
                opens = opens | (free & held & ~closes & (direction == s.side) & room)
            if form.basis == "decision":
                price = jnp.where(s.side > 0, take(rows.sell, j), take(rows.buy, j))
                s = record(s, s.alive & closes, jnp.full(k, EXIT_SIGNAL), nothing, jnp.full(k, price))
                s = enter(s, opens, direction, position, j)
            else:
                asks = opens | closes
                s = s._replace(
                    pending=jnp.where(opens, direction.astype(jnp.int32), jnp.where(closes, _EXIT, s.pending)),
                    pending_row=jnp.where(asks, take(rows.fill_row, j), s.pending_row),
                    pending_dead=jnp.where(asks, take(rows.dead, j), s.pending_dead),
                    pending_value=jnp.where(opens, position, s.pending_value),
                )
            return s._replace(row=j + 1)

        def advance(s: State) -> State:
            s = pass_quiet(s)
            return when(s.row < count, replay_row, s)

        # A bar can end every lot once at its open or inside, and once at its close.
        spare = form.capacity - 3 * k
        state = lax.while_loop(lambda s: (s.row < count) & (s.closed <= spare), advance, state)

        def finish(s: State) -> State:
            forced = s._replace(row=count - 1)
            none = jnp.full(k, jnp.nan)
            return record(forced, s.alive, jnp.full(k, EXIT_FORCED), none, none)._replace(row=count, cash=s.cash)

        return when(state.row >= count, finish, state)

    def kernel(state: State, terms: Terms, rows: Rows, lanes: Lane) -> State:
        numbers = jnp.arange(lanes.signal.shape[0], dtype=jnp.int32)
        # The lanes' arrays are indexed by number, not sliced: a slice would be a copy per lane.
        if form.side_by_side:
            return jax.vmap(lambda s, number: one_lane(s, number, lanes, terms, rows))(state, numbers)
        return lax.map(lambda both: one_lane(*both, lanes, terms, rows), (state, numbers))

    return jax.jit(kernel, donate_argnums=(0,))
