"""The share side of a callback replay: one symbol's bars, orders, lots, protective exits. Rules: `execution`.

A bar costs nothing while no order waits and no price comes to a trigger: the engine asks `busy`, `due_us`, `moving`,
``low_trigger`` and ``high_trigger`` and leaves the bar alone.
"""

from __future__ import annotations

from math import inf, isfinite, nan
from typing import Any

import polars as pl

from argus_core.replay.accounting import Book, Position
from argus_core.replay.execution import (
    Sizing,
    closing_mark,
    commission,
    entry_quantity,
    market_price,
    sizing,
    wanted_quantity,
)
from argus_core.replay.market_rows import MarketRows, market_rows
from argus_core.replay.orders import RestingOrders, ShareOrder, WaitingOrders
from argus_core.replay.records import Recorder
from argus_core.replay.results import DATA_GAP, EXIT_REASONS, EXPIRED, INSUFFICIENT_SIZE, NO_BUYING_POWER, SPLIT
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import Intent

_TAGGED_EXITS = frozenset(EXIT_REASONS) - {"forced", "expiry"}


class ShareDesk:
    """Trades one symbol for one run.

    Attributes:
        market: its bars as arrays.
        ts, low, high, available: columns that every bar is asked for, as lists.
        row: newest bar that was replayed, -1 before the first. Lots are marked there.
        waiting: market orders, in order of decision; ``resting``: limit and stop entries.
        due_us: earliest time stop; ``low_trigger``, ``high_trigger``: prices at which a protective exit may be due.
        moving: whether a lot's stop follows the price.
    """

    def __init__(
        self,
        symbol: str,
        frame: pl.DataFrame,
        instrument: Instrument,
        execution: ExecutionSettings,
        book: Book,
        orders: WaitingOrders,
        recorder: Recorder,
    ) -> None:
        self.symbol, self.instrument, self._execution = symbol, instrument, execution
        self._book, self._orders, self._recorder = book, orders, recorder
        self.market: MarketRows = market_rows(frame, instrument, execution)
        self.ts: list[int] = self.market.ts.tolist()
        self.low: list[float] = self.market.low.tolist()
        self.high: list[float] = self.market.high.tolist()
        self.available: list[int] = frame["available_at"].dt.timestamp("us").to_list()
        lost = frame["missing_before"].fill_null(0).cum_sum() if "missing_before" in frame.columns else None
        self._lost: Any = [0] * frame.height if lost is None else lost.to_numpy()
        self.row = -1
        self.waiting: list[ShareOrder] = []
        self.resting = RestingOrders(instrument.tick)
        self._lots: dict[str, Position] = {}
        self._closing: dict[str, ShareOrder] = {}
        self._changed = False
        #: Units (quantity * multiplier) held long and short at marks, and what was bought in a bar that is not over.
        self._units = {1: 0.0, -1: 0.0}
        self._new_units, self._new_value = {1: 0.0, -1: 0.0}, {1: 0.0, -1: 0.0}
        self._new_row: float = inf
        self._watch()
        book.hold(self)

    # --- steps of a bar --------------------------------------------------------------------------------------------

    def at_open(self, j: int) -> None:
        """Row j begins: waiting closes, time stops, then waiting entries fill at its open."""
        start = self.ts[j]
        if self.resting.count:
            for order in self.resting.expire(int(self.market.end[j])):
                self._orders.done(order)
                self._recorder.reject(EXPIRED)
            self.resting.activate(start)
        ready = self._ready(j) if self.waiting and self.market.basis == "open" else []
        for order in ready:
            if not order.opens:
                self._close(order, j, self._reference(j, -self._side(order)), start, j)
        if start >= self.due_us:
            for lot in [p for p in self._lots.values() if p.due_us is not None and start >= p.due_us]:
                at_open = self.market.basis != "open"
                reference = float(self.market.open[j]) if at_open else self._reference(j, -lot.side)
                self._exit_at_market(lot, j, reference, "time", start, j)
        for order in ready:
            if order.opens:
                self._open(order, j, start, j)
        if self._changed:
            self._watch()

    def inside(self, j: int) -> None:
        """Row j is over: resting orders and protective exits that it touched, then the stops that follow it."""
        low, high = self.low[j], self.high[j]
        if self.resting.count:
            for order in self.resting.triggered(low, high):
                self._open_resting(order, j)
            if self._changed:
                self._watch()
        if low <= self.low_trigger or high >= self.high_trigger:
            self._protect(j)
        if self.moving:
            self._move_stops(j, low, high)
        if self._changed:
            self._watch()

    def at_close(self, j: int) -> None:
        """Under ``next_close``: waiting orders fill at the close of row j."""
        self._fill_at_close(self._ready(j), j, int(self.market.end[j]))

    def fill_immediately(self, now_us: int) -> None:
        """Under ``signal_close``: orders fill at the newest close, the one that decided them."""
        ready, self.waiting = self.waiting, []
        self._fill_at_close(ready, self.row, now_us)

    def liquidate(self) -> None:
        """Close every lot at the newest close because the run ends."""
        j = self.row
        for lot in list(self._lots.values()):
            when = max(int(self.market.end[j]), lot.entry_us)
            self._exit_at_market(lot, j, float(self.market.close[j]), "forced", when, j + 1)

    # --- orders ----------------------------------------------------------------------------------------------------

    def accept(self, order: ShareOrder) -> None:
        """Queue an order."""
        if order.intent.order != "market":
            self.resting.add(order)
            return
        self.waiting.append(order)
        if not order.opens:
            self._closing[order.intent.position_id or ""] = order

    def closes(self, position_id: str) -> bool:
        """Whether a close of the position waits already."""
        return position_id in self._closing

    def cancel(self, order: ShareOrder) -> None:
        """Take an order out at the strategy's wish; the lists drop it when it comes up."""
        self._orders.done(order)
        if not order.opens:
            del self._closing[order.intent.position_id or ""]

    def _ready(self, j: int) -> list[ShareOrder]:
        """Take out the orders that may fill at row j."""
        start, ready, later = self.ts[j], [], []
        for order in self.waiting:
            if order.alive:
                (ready if order.row < j and order.eligible_us <= start else later).append(order)
        self.waiting = later
        return ready

    def _fill_at_close(self, ready: list[ShareOrder], j: int, when_us: int) -> None:
        """Fill at the close of row j, closes first. The lots then held count from the next row on."""
        for order in ready:
            if not order.opens:
                self._close(order, j, self._reference(j, -self._side(order)), when_us, j + 1)
        for order in ready:
            if order.opens:
                self._open(order, j, when_us, j + 1)
        if self._changed:
            self._watch()

    def _side(self, order: ShareOrder) -> int:
        lot = self._lots.get(order.intent.position_id or "")
        return 0 if lot is None else lot.side

    def _close(self, order: ShareOrder, j: int, reference: float, when_us: int, until: int) -> None:
        # Dead where the lot has gone in the meantime.
        if order.alive:
            tag = order.intent.tag
            reason = tag if tag in _TAGGED_EXITS else "signal"
            lot = self._lots[order.intent.position_id or ""]
            self._exit_at_market(lot, j, reference, reason, when_us, until)

    def _open(self, order: ShareOrder, j: int, when_us: int, full_row: int) -> None:
        """Fill a market entry at row j; across missing data it dies."""
        if not order.alive:
            return
        self._orders.done(order)
        lost = (self._lost[j] - self._lost[order.row]) * self.instrument.bar_seconds
        if self.market.basis != "decision" and lost > self._execution.max_gap_seconds:
            self._recorder.reject(DATA_GAP)
            return
        side = order.intent.side
        reference = self._reference(j, side)
        price = self._market_price(reference, side, j)
        known = j if self.market.basis == "decision" else max(j - 1, 0)
        self._enter(order.intent, j, price, reference, when_us, full_row, known)

    def _open_resting(self, order: ShareOrder, j: int) -> None:
        """Fill a limit or stop entry inside row j.

        A stop entry that the open gaps through fills there and holds the bar in full. Any other fills at an unknown
        moment: it is stamped with the bar's end, no target counts on this bar, but a stop that the bar reached does.
        """
        self._orders.done(order)
        intent, market = order.intent, self.market
        side, opened = intent.side, float(market.open[j])
        price = reference = float(intent.price or 0.0)
        when_us, full_row = int(market.end[j]), j + 1
        if intent.order == "stop":
            if side * (opened - reference) >= 0:
                reference, when_us, full_row = opened, self.ts[j], j
            price = self._market_price(reference, side, j)
        lot = self._enter(intent, j, price, reference, when_us, full_row, max(j - 1, 0))
        if lot is not None and lot.stop is not None and full_row > j:
            touched = self.low[j] <= lot.stop if side > 0 else self.high[j] >= lot.stop
            if touched:
                self._exit_at_market(lot, j, lot.stop, "stop", when_us, j)

    def _enter(
        self, intent: Intent, j: int, price: float, reference: float, when_us: int, full_row: int, known: int
    ) -> Position | None:
        """Open a lot, or reject it; ``known``: row whose regime labels were known."""
        book, execution, instrument = self._book, self._execution, self.instrument
        side, equity = intent.side, book.equity
        stop = min(_given(intent.stop_distance), _given(intent.trail_distance))
        wanted = float(wanted_quantity(self._sizing(intent, stop), equity, price * instrument.multiplier))
        quantity, partial = entry_quantity(
            wanted=wanted,
            budget=max(book.available(execution.leverage), 0.0),
            price=price,
            side=side,
            volume=float(self.market.volume[j]),
            instrument=instrument,
            execution=execution,
        )
        if quantity <= 0.0:
            too_small = self.market.offered_lots[j] < 1
            self._recorder.reject(INSUFFICIENT_SIZE if too_small else NO_BUYING_POWER)
            return None
        self._recorder.partials += partial
        self._recorder.fills += 1
        fee = float(commission(quantity, price, instrument, execution))
        target, hold = _given(intent.target_distance), _given(intent.max_hold_seconds)
        number = self._recorder.next_number()
        lot = Position(
            position_id=f"P{number:06d}",
            number=number,
            side=side,
            quantity=quantity,
            multiplier=instrument.multiplier,
            entry_us=when_us,
            entry_row=j,
            label_row=known,
            entry_price=price,
            mark=price,
            equity_at_entry=equity,
            fees=fee,
            costs=quantity * instrument.multiplier * abs(price - reference) + fee,
            risk=quantity * instrument.multiplier * stop if stop < inf else None,
            symbol=self.symbol,
            holder=self,
            stop=price - side * stop if stop < inf else None,
            target=price + side * target if target < inf else None,
            trail=_given(intent.trail_distance),
            break_even=_given(intent.break_even_distance),
            best=price,
            full_row=full_row,
            due_us=when_us + hold * 1e6 if hold < inf else None,
            tag=intent.tag,
        )
        book.open(lot)
        self._lots[lot.position_id] = lot
        self._count(lot, 1.0)
        self._changed = True
        return lot

    def _sizing(self, intent: Intent, stop: float) -> Sizing:
        if intent.quantity is not None:
            # The first of the ways, without the detour over all of them.
            return Sizing(fixed=intent.quantity)
        return sizing(
            quantity=nan,
            notional=_number(intent.notional),
            risk=_number(intent.risk),
            target_volatility=_number(intent.target_volatility),
            volatility=_number(intent.volatility),
            size=_number(intent.size),
            stop=stop,
            instrument=self.instrument,
            execution=self._execution,
        )

    # --- exits -----------------------------------------------------------------------------------------------------

    def _protect(self, j: int) -> None:
        """Stops, then targets, of the lots held through row j; a bar that touches both is a stop."""
        tick, opened, start, end = self.instrument.tick, float(self.market.open[j]), self.ts[j], int(self.market.end[j])
        high, low = self.high[j], self.low[j]
        for lot in list(self._lots.values()):
            if lot.full_row > j:
                continue
            long, stop, target = lot.side > 0, lot.stop, lot.target
            if stop is not None and (opened <= stop if long else opened >= stop):
                self._exit_at_market(lot, j, opened, lot.stop_reason, start, j)
            elif stop is not None and (low <= stop if long else high >= stop):
                self._exit_at_market(lot, j, stop, lot.stop_reason, end, j)
            elif target is not None and (high >= target + tick if long else low <= target - tick):
                self._exit(lot, j, target, 0.0, "target", end, j)

    def _move_stops(self, j: int, low: float, high: float) -> None:
        """Break-even and trailing stops after row j; they count from the next row on."""
        for lot in self._lots.values():
            if lot.full_row > j or (lot.trail == inf and lot.break_even == inf):
                continue
            side, before = lot.side, lot.stop
            best = lot.best = max(lot.best, high) if side > 0 else min(lot.best, low)
            stop = -side * inf if before is None else before
            if side * (best - lot.entry_price) >= lot.break_even and side * (lot.entry_price - stop) > 0:
                stop, lot.stop_reason = lot.entry_price, "break_even"
            if lot.trail < inf:
                level = best - side * lot.trail
                if side * (level - stop) > 0 or (level == stop and lot.stop_reason == "break_even"):
                    stop, lot.stop_reason = level, "trailing"
            if isfinite(stop) and stop != before:
                lot.stop, self._changed = stop, True

    def _watch(self) -> None:
        """Bring the triggers up to date with the lots held."""
        low, high, due, moving = -inf, inf, inf, False
        for lot in self._lots.values():
            below, above = (lot.stop, lot.target) if lot.side > 0 else (lot.target, lot.stop)
            # A target needs one tick more than a touch; a tick too early only costs a look.
            if below is not None and below > low:
                low = below
            if above is not None and above < high:
                high = above
            if lot.due_us is not None and lot.due_us < due:
                due = lot.due_us
            moving = moving or lot.trail < inf or lot.break_even < inf
        self.low_trigger, self.high_trigger, self.due_us, self.moving = low, high, due, moving
        self._changed = False

    def _exit_at_market(self, lot: Position, j: int, reference: float, reason: str, when_us: int, until: int) -> None:
        price = self._market_price(reference, -lot.side, j)
        self._exit(lot, j, price, abs(price - reference), reason, when_us, until)

    def _exit(
        self, lot: Position, j: int, price: float, given_up: float, reason: str, when_us: int, until: int
    ) -> None:
        """Close a lot at row j; rows before ``until`` were held in full."""
        fee = float(commission(lot.quantity, price, self.instrument, self._execution))
        self._book.close(lot.position_id, price, fee)
        del self._lots[lot.position_id]
        self._count(lot, -1.0)
        if until > lot.full_row:
            lot.low = float(self.market.low[lot.full_row : until].min())
            lot.high = float(self.market.high[lot.full_row : until].max())
        if self.market.splits is not None and self.market.crosses_split(lot.entry_row, j):
            lot.flags.add(SPLIT)
        cost = lot.quantity * lot.multiplier * given_up + fee
        self._recorder.trade(lot, price, fee, cost, reason, when_us, j)
        order = self._closing.pop(lot.position_id, None)
        if order is not None:
            self._orders.done(order)
        self._changed = True

    # --- worth -----------------------------------------------------------------------------------------------------

    def quote(self, lot: Position) -> float:
        """Price at which a lot would be closed at the newest close, on the adverse side."""
        return self._mark(lot.side)

    def worth(self) -> tuple[float, float]:
        """Market value of all lots and the sum of its absolute amounts, dollars."""
        if not self._lots:
            return 0.0, 0.0
        if self._new_row <= self.row:
            self._age()
        long = short = 0.0
        if self._units[1]:
            long = self._units[1] * self._mark(1)
        if self._units[-1]:
            short = self._units[-1] * self._mark(-1)
        long, short = long + self._new_value[1], short + self._new_value[-1]
        return long - short, abs(long) + abs(short)

    def _count(self, lot: Position, sign: float) -> None:
        """Add a lot to the sums, or take it out."""
        if self._new_row <= self.row:
            self._age()
        units = sign * lot.quantity * lot.multiplier
        if not self._lots:
            # Nothing held is nothing, not what rounding left.
            self._units, self._new_units, self._new_value = {1: 0.0, -1: 0.0}, {1: 0.0, -1: 0.0}, {1: 0.0, -1: 0.0}
        elif lot.entry_row > self.row:
            self._new_row = lot.entry_row
            self._new_units[lot.side] += units
            self._new_value[lot.side] += units * lot.entry_price
        else:
            self._units[lot.side] += units

    def _age(self) -> None:
        """The bar of the newest entries is over: from now on they stand at marks."""
        for side in (1, -1):
            self._units[side] += self._new_units[side]
            self._new_units[side] = self._new_value[side] = 0.0
        self._new_row = inf

    # --- prices ----------------------------------------------------------------------------------------------------

    def _mark(self, side: int) -> float:
        close, half_spread = float(self.market.close[self.row]), float(self.market.half_spread[self.row])
        return closing_mark(close, side, half_spread, self._execution)

    def _market_price(self, reference: float, direction: int, j: int) -> float:
        return market_price(reference, direction, float(self.market.half_spread[j]), self._execution)

    def _reference(self, j: int, direction: int) -> float:
        return float((self.market.buy_reference if direction > 0 else self.market.sell_reference)[j])


def _number(value: float | None) -> float:
    return nan if value is None else value


def _given(value: float | None) -> float:
    """The distance, or infinity where there is none."""
    return inf if value is None else value
