"""The share side of a callback replay: one symbol's bars, orders, lots, protective exits. Rules: `execution`."""

from __future__ import annotations

from math import inf, isfinite, isnan, nan
from typing import Any

import polars as pl

from argus_core.replay.accounting import Book, Position
from argus_core.replay.execution import (
    closing_mark,
    commission,
    entry_quantity,
    market_price,
    sizing,
    wanted_quantity,
)
from argus_core.replay.market_rows import MarketRows, market_rows
from argus_core.replay.orders import RestingOrders, ShareOrder
from argus_core.replay.records import Recorder
from argus_core.replay.results import DATA_GAP, EXIT_REASONS, EXPIRED, INSUFFICIENT_SIZE, NO_BUYING_POWER
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import Intent

_TAGGED_EXITS = frozenset(EXIT_REASONS) - {"forced", "expiry"}


class ShareDesk:
    """Trades one symbol for one run.

    Attributes:
        market: its bars as arrays; ``rows``: the columns that every step reads, as lists.
        row: newest bar that has ended, -1 before the first; ``known``: newest that was published.
        waiting: market orders and closes, in order of decision.
        resting: limit and stop entries.
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
        recorder: Recorder,
    ) -> None:
        self.symbol, self.instrument, self._execution = symbol, instrument, execution
        self._book, self._recorder = book, recorder
        self.market: MarketRows = market_rows(frame, instrument, execution)
        m = self.market
        self.rows: dict[str, list[Any]] = {
            name: getattr(m, name).tolist()
            for name in ("ts", "end", "open", "high", "low", "close", "half_spread", "volume")
        }
        self.rows["available_at"] = frame["available_at"].dt.timestamp("us").to_list()
        lost = frame["missing_before"].fill_null(0).cum_sum() if "missing_before" in frame.columns else None
        self._lost: list[int] = [0] * frame.height if lost is None else lost.to_list()
        self.row = self.known = -1
        self.waiting: list[ShareOrder] = []
        self.resting = RestingOrders(instrument.tick)
        self.due_us, self.low_trigger, self.high_trigger, self.moving = inf, -inf, inf, False
        self._lots: dict[str, Position] = {}

    # --- steps of a bar --------------------------------------------------------------------------------------------

    def at_open(self, j: int) -> None:
        """Row j begins: waiting closes, time stops, then waiting entries fill at its open."""
        start = self.rows["ts"][j]
        if self.resting.count:
            for order in self.resting.expire(start):
                self._drop(order, EXPIRED)
            self.resting.activate(start)
        ready = []
        if self.waiting and self.market.basis == "open":
            ready = [o for o in self.waiting if o.row < j and o.eligible_us <= start]
            self._fill([o for o in ready if o.intent.action == "close"], j)
        if start >= self.due_us:
            for lot in [p for p in self._lots.values() if p.due_us is not None and start >= p.due_us]:
                opened = self.rows["open"][j] if self.market.basis != "open" else self._reference(j, -lot.side)
                self._exit_at_market(lot, j, opened, "time", start)
        if ready:
            self._fill([o for o in ready if o.intent.action == "open"], j)

    def inside(self, j: int) -> None:
        """Row j has ended: resting orders and protective exits that it touched, then the stops that follow it."""
        rows = self.rows
        low, high = rows["low"][j], rows["high"][j]
        if self.resting.count:
            for order in list(self.resting.triggered(low, high)):
                self._enter_resting(order, j)
        if low <= self.low_trigger or high >= self.high_trigger:
            self._protect(j)
        if self.moving:
            self._move_stops(j, low, high)
        self.row = j

    def at_close(self, j: int) -> None:
        """Under ``next_close``: waiting orders fill at the close of row j."""
        start = self.rows["ts"][j]
        ready = [o for o in self.waiting if o.row < j and o.eligible_us <= start]
        self._fill(sorted(ready, key=_opens), j)

    def fill_immediately(self) -> None:
        """Under ``signal_close``: orders fill at the close that decided them, the newest."""
        self._fill(sorted(self.waiting, key=_opens), self.row)

    def liquidate(self) -> None:
        """Close every lot at the newest close because the run ends."""
        j = self.row
        for lot in list(self._lots.values()):
            self._exit_at_market(lot, j, self.rows["close"][j], "forced", self.rows["end"][j], through=True)

    # --- orders ----------------------------------------------------------------------------------------------------

    def accept(self, order: ShareOrder) -> None:
        """Queue an order."""
        if order.intent.order == "market":
            self.waiting.append(order)
        else:
            self.resting.add(order)
        self._book.pending += 1

    def closes(self, position_id: str) -> bool:
        """Whether a close of the position waits already."""
        return any(o.intent.action == "close" and o.intent.position_id == position_id for o in self.waiting)

    def cancel(self, order: ShareOrder) -> None:
        """Take an order out at the strategy's wish."""
        if order.intent.order == "market":
            self.waiting = [o for o in self.waiting if o is not order]
            order.alive = False
        else:
            self.resting.cancel(order)
        self._book.pending -= 1

    def _drop(self, order: ShareOrder, reason: str) -> None:
        order.alive = False
        self._book.pending -= 1
        self._recorder.reject(reason)

    def _fill(self, ready: list[ShareOrder], j: int) -> None:
        """Fill waiting orders at row j; an entry across missing data dies."""
        for order in ready:
            if not order.alive:
                continue
            order.alive = False
            self.waiting.remove(order)
            self._book.pending -= 1
            intent = order.intent
            if intent.action == "close":
                lot = self._lots[intent.position_id or ""]
                reason = intent.tag if intent.tag in _TAGGED_EXITS else "signal"
                when, through = int(self.market.entry_ts[j]), self.market.basis != "open"
                self._exit_at_market(lot, j, self._reference(j, -lot.side), reason, when, through=through)
                continue
            lost = (self._lost[j] - self._lost[order.row]) * self.instrument.bar_seconds
            if self.market.basis != "decision" and lost > self._execution.max_gap_seconds:
                self._recorder.reject(DATA_GAP)
            else:
                reference = self._reference(j, intent.side)
                price = float(market_price(reference, intent.side, self.rows["half_spread"][j], self._execution))
                at_open = self.market.basis == "open"
                self._enter(intent, j, price, reference, int(self.market.entry_ts[j]), j if at_open else j + 1)

    def _enter_resting(self, order: ShareOrder, j: int) -> None:
        """Fill a limit or stop entry inside row j. A stop that the bar also reached ends the lot on the same bar."""
        self._book.pending -= 1
        intent, rows = order.intent, self.rows
        price = reference = float(intent.price or 0.0)
        if intent.order == "stop":
            opened = rows["open"][j]
            reference = max(opened, reference) if intent.side > 0 else min(opened, reference)
            price = float(market_price(reference, intent.side, rows["half_spread"][j], self._execution))
        lot = self._enter(intent, j, price, reference, rows["end"][j], j + 1)
        if lot is not None and lot.stop is not None:
            long = lot.side > 0
            if rows["low"][j] <= lot.stop if long else rows["high"][j] >= lot.stop:
                self._exit_at_market(lot, j, lot.stop, "stop", rows["end"][j])

    def _enter(
        self, intent: Intent, j: int, price: float, reference: float, when_us: int, full_row: int
    ) -> Position | None:
        rows, book, execution, instrument = self.rows, self._book, self._execution, self.instrument
        side, equity = intent.side, book.equity
        stop, trail = _given(intent.stop_distance), _given(intent.trail_distance)
        initial = min(stop, trail)
        how = sizing(
            quantity=_number(intent.quantity),
            notional=_number(intent.notional),
            risk=_number(intent.risk),
            target_volatility=_number(intent.target_volatility),
            volatility=_number(intent.volatility),
            size=_number(intent.size),
            stop=initial,
            instrument=instrument,
            execution=execution,
        )
        quantity, partial = entry_quantity(
            wanted=float(wanted_quantity(how, equity, price * instrument.multiplier)),
            budget=max(book.available(execution.leverage), 0.0),
            price=price,
            side=side,
            volume=rows["volume"][j],
            instrument=instrument,
            execution=execution,
        )
        if quantity <= 0.0:
            too_small = self.market.offered_lots[j] < 1
            self._recorder.reject(INSUFFICIENT_SIZE if too_small else NO_BUYING_POWER)
            return None
        self._recorder.partials += partial
        fee = float(commission(quantity, price, instrument, execution))
        target, hold = _given(intent.target_distance), _given(intent.max_hold_seconds)
        break_even = _given(intent.break_even_distance)
        number = self._recorder.next_number()
        lot = Position(
            position_id=f"P{number:06d}",
            number=number,
            side=side,
            quantity=quantity,
            multiplier=instrument.multiplier,
            entry_us=when_us,
            entry_row=j,
            label_row=j if self.market.basis == "decision" else max(j - 1, 0),
            entry_price=price,
            mark=price,
            equity_at_entry=equity,
            fees=fee,
            costs=quantity * instrument.multiplier * abs(price - reference) + fee,
            symbol=self.symbol,
            quoted=self._quote,
            stop=price - side * initial if isfinite(initial) else None,
            target=price + side * target if isfinite(target) else None,
            trail=trail if isfinite(trail) else None,
            break_even=break_even if isfinite(break_even) else None,
            best=price,
            full_row=full_row,
            due_us=when_us + hold * 1e6 if isfinite(hold) else None,
            tag=intent.tag,
        )
        book.open(lot)
        self._lots[lot.position_id] = lot
        self._recorder.fills += 1
        self._watch()
        return lot

    # --- exits -----------------------------------------------------------------------------------------------------

    def _protect(self, j: int) -> None:
        """Stops, then targets, of the lots held through row j; a bar that touches both is a stop."""
        rows, tick = self.rows, self.instrument.tick
        opened, high, low = rows["open"][j], rows["high"][j], rows["low"][j]
        for lot in list(self._lots.values()):
            if lot.full_row > j:
                continue
            long, stop, target = lot.side > 0, lot.stop, lot.target
            if stop is not None and (opened <= stop if long else opened >= stop):
                self._exit_at_market(lot, j, opened, lot.stop_reason, rows["ts"][j])
            elif stop is not None and (low <= stop if long else high >= stop):
                self._exit_at_market(lot, j, stop, lot.stop_reason, rows["end"][j])
            elif target is not None and (high >= target + tick if long else low <= target - tick):
                self._exit(lot, j, target, 0.0, "target", rows["end"][j])

    def _move_stops(self, j: int, low: float, high: float) -> None:
        """Break-even and trailing stops after row j; they count from the next row on."""
        for lot in self._lots.values():
            if (lot.trail is None and lot.break_even is None) or lot.full_row > j:
                continue
            side = lot.side
            lot.best = max(lot.best, high) if side > 0 else min(lot.best, low)
            stop = -side * inf if lot.stop is None else lot.stop
            moved = lot.break_even is not None and side * (lot.best - lot.entry_price) >= lot.break_even
            if moved and side * (lot.entry_price - stop) > 0:
                stop, lot.stop_reason = lot.entry_price, "break_even"
            if lot.trail is not None:
                level = lot.best - side * lot.trail
                if side * (level - stop) > 0 or (level == stop and lot.stop_reason == "break_even"):
                    stop, lot.stop_reason = level, "trailing"
            lot.stop = stop if isfinite(stop) else None
        self._watch()

    def _watch(self) -> None:
        """Bring the triggers up to date with the lots held."""
        low, high, due, moving = -inf, inf, inf, False
        for lot in self._lots.values():
            below, above = (lot.stop, lot.target) if lot.side > 0 else (lot.target, lot.stop)
            # A target needs one tick more than a touch; a tick too early only costs a look.
            if below is not None:
                low = max(low, below)
            if above is not None:
                high = min(high, above)
            if lot.due_us is not None:
                due = min(due, lot.due_us)
            moving = moving or lot.trail is not None or lot.break_even is not None
        self.low_trigger, self.high_trigger, self.due_us, self.moving = low, high, due, moving

    def _exit_at_market(
        self, lot: Position, j: int, reference: float, reason: str, when: int, *, through: bool = False
    ) -> None:
        price = float(market_price(reference, -lot.side, self.rows["half_spread"][j], self._execution))
        self._exit(lot, j, price, abs(price - reference), reason, when, through=through)

    def _exit(
        self, lot: Position, j: int, price: float, given_up: float, reason: str, when: int, *, through: bool = False
    ) -> None:
        """Close a lot at row j; ``through``: it was held through the whole row."""
        fee = float(commission(lot.quantity, price, self.instrument, self._execution))
        self._book.close(lot.position_id, price, fee)
        del self._lots[lot.position_id]
        last = j + 1 if through else j
        if last > lot.full_row:
            lot.low = float(self.market.low[lot.full_row : last].min())
            lot.high = float(self.market.high[lot.full_row : last].max())
        cost = lot.quantity * lot.multiplier * given_up + fee
        self._recorder.trade(lot, price, fee, cost, reason, when, j)
        for order in [o for o in self.waiting if o.intent.position_id == lot.position_id and not _opens(o)]:
            order.alive = False
            self.waiting.remove(order)
            self._book.pending -= 1
        self._watch()

    def _quote(self, lot: Position) -> float:
        """Mark of a lot: its entry price until a bar that it was held at has ended."""
        j = self.row
        if j < lot.entry_row:
            return lot.entry_price
        return closing_mark(self.rows["close"][j], lot.side, self.rows["half_spread"][j], self._execution)

    def _reference(self, j: int, direction: int) -> float:
        return float((self.market.buy_reference if direction > 0 else self.market.sell_reference)[j])


def check_shares(intent: Intent) -> None:
    """Refuse an intent for shares that makes no sense.

    Raises:
        ValueError: naming the tag, the key, the value and what is allowed.
    """
    where = f"intent {intent.tag!r}"
    if intent.side not in (1, -1):
        raise ValueError(f"{where}: side is {intent.side}; use +1 (long) or -1 (short).")
    for name in _AMOUNTS:
        value = getattr(intent, name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{where}: {name} is {value!r}; it must be a number.")
        if value < 0:
            raise ValueError(f"{where}: {name} is {value}; it must not be negative.")
    for name in _SIZES:
        value = getattr(intent, name)
        if value is not None and not isfinite(value):
            raise ValueError(f"{where}: {name} is {value}; leave it out, or give a finite number.")
    if intent.order not in ("market", "limit", "stop"):
        raise ValueError(f"{where}: order is {intent.order!r}; use market, limit or stop.")
    if (intent.order == "market") != (intent.price is None):
        raise ValueError(f"{where}: a {intent.order} order with price {intent.price}; limit and stop need one.")
    if intent.price is not None and not (isfinite(intent.price) and intent.price > 0):
        raise ValueError(f"{where}: price is {intent.price}; it must be a positive number.")
    if intent.expires_seconds is not None and intent.order == "market":
        raise ValueError(f"{where}: expires_seconds is for limit and stop orders; a market order does not rest.")


_SIZES = ("size", "quantity", "notional", "risk", "target_volatility")
_AMOUNTS = (
    *_SIZES,
    "stop_distance",
    "target_distance",
    "trail_distance",
    "break_even_distance",
    "max_hold_seconds",
    "expires_seconds",
)


def _opens(order: ShareOrder) -> bool:
    return order.intent.action == "open"


def _number(value: float | None) -> float:
    return nan if value is None else value


def _given(value: float | None) -> float:
    """The distance, or infinity where it is null or NaN."""
    return inf if value is None or isnan(value) else value
