"""Replay of callback strategies: shares and option structures, bar by bar in plain Python.

For shares it is the independent twin of the lane kernel: same fills, same trades (tests/replay/test_parity.py). Rules
of share fills: `execution`; of option fills: `option_fills`; docs/options-replay.md has both in words.

Order of events at row j: expiries of earlier dates; snapshots received by the bar's start; share orders and time
stops at the open; stops and targets inside the bar; snapshots received by the decision time; marks; expiry at the
session's close; the decision. An order meets the first snapshot received at or after its decision plus latency,
which may be the one that the decision itself saw when both carry the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, isnan, nan
from typing import Any

import numpy as np
import polars as pl

from argus_core.options.tape import OptionTape
from argus_core.replay.accounting import Book, Position
from argus_core.replay.execution import (
    closing_mark,
    commission,
    entry_quantity,
    market_price,
    sizing,
    wanted_quantity,
)
from argus_core.replay.option_desk import OptionDesk, Order
from argus_core.replay.records import Recorder
from argus_core.replay.results import (
    DATA_GAP,
    EXIT_REASONS,
    INSUFFICIENT_SIZE,
    NO_BUYING_POWER,
    NO_POSITION,
    ReplayResult,
)
from argus_core.replay.view import FrameView
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import (
    INTENT_COLUMNS,
    BarView,
    CallbackStrategy,
    ColumnarStrategy,
    Intent,
    OpenPosition,
)

_NUMBERS = ("open", "high", "low", "close", "volume", "half_spread")
_TIMES = ("ts", "end", "available_at")
_TAGGED_EXITS = frozenset(EXIT_REASONS) - {"forced", "expiry"}


def replay_callback(
    strategy: CallbackStrategy,
    frame: pl.DataFrame,
    instrument: Instrument,
    execution: ExecutionSettings,
    *,
    starting_cash: float,
    symbol: str,
    options: pl.DataFrame | OptionTape | None = None,
) -> ReplayResult:
    """Replay ``strategy`` over one symbol's decision frame.

    Args:
        strategy: a fresh instance; its state belongs to this run.
        frame: decision frame, one row per bar, ascending ``ts`` (docs/packs.md lists its columns).
        instrument: lot, tick, multiplier, asset class.
        execution: fill convention.
        starting_cash: dollars at the start.
        symbol: name written into the trades.
        options: option quotes (`OptionQuotes`), or an `OptionTape` built once and shared by many runs.

    Returns:
        The result; ``decisions`` holds (microseconds, intent) of everything the strategy asked for, in order.

    Raises:
        ValueError: if the frame cannot be replayed, a quote comes from the future, or an intent makes no sense.
    """
    tape = OptionTape(options) if isinstance(options, pl.DataFrame) else options
    return _Engine(strategy, frame, instrument, execution, starting_cash, symbol, tape).run()


class _Engine:
    """State of one run."""

    def __init__(
        self,
        strategy: CallbackStrategy,
        frame: pl.DataFrame,
        instrument: Instrument,
        execution: ExecutionSettings,
        starting_cash: float,
        symbol: str,
        tape: OptionTape | None,
    ) -> None:
        self.strategy, self.instrument, self.execution, self.symbol = strategy, instrument, execution, symbol
        self.rows = _plain_rows(frame)
        self.last = frame.height - 1
        self.immediate = execution.price_basis == "signal_close"
        self.latency_us = round(execution.latency_seconds * 1e6)
        self.book = Book(starting_cash)
        self.recorder = Recorder(frame, symbol, starting_cash)
        self.desk = OptionDesk(self.book, self.recorder, self.rows, execution, tape)
        self.view = FrameView(frame)
        self.orders: list[Order] = []
        self.decisions: list[tuple[int, Intent]] = []

    def run(self) -> ReplayResult:
        rows, book, desk, view = self.rows, self.book, self.desk, self.view
        ts, available, dates, warmup = rows["ts"], rows["available_at"], rows["trade_date"], rows["warmup"]
        held = 0
        for j in range(self.last + 1):
            if book.positions or self.orders or desk.orders:
                desk.settle_earlier(j)
                desk.receive(ts[j], j)
                self._trade_at_open(j)
                self._protect(j)
                desk.receive(available[j], j)
                self._mark(j)
                desk.settle_at_close(j)
            else:
                desk.receive(available[j], j)
            if j == self.last:
                self._liquidate()
            elif not warmup[j]:
                view.index, view.now_us = j, available[j]
                self._decide(j)
            if book.positions:
                held += not warmup[j]
            if not warmup[j] and (j == self.last or dates[j + 1] != dates[j]):
                self.recorder.day(dates[j], book.equity)
        return self.recorder.result(
            book.cash, exposure_bars=held, bars=len(warmup) - sum(warmup), decisions=tuple(self.decisions)
        )

    # --- decisions -------------------------------------------------------------------------------------------------

    def _decide(self, j: int) -> None:
        view, book, desk = self.view, self.book, self.desk
        view.equity, view.cash, view.pending = book.equity, book.cash, len(self.orders) + len(desk.orders)
        view.positions = tuple(_seen(p, self.symbol) for p in book.positions.values()) if book.positions else ()
        view._snapshot = desk.newest
        intents = self.strategy.on_bar(view)
        if not intents:
            return
        now = self.rows["available_at"][j]
        for intent in intents:
            self.decisions.append((now, intent))
            self._accept(intent, j, now)
        if self.immediate:
            self._fill_shares(j, self.orders, DATA_GAP)
        desk.fill_immediately(j)

    def _accept(self, intent: Intent, j: int, now: int) -> None:
        order = Order(intent, j, now + self.latency_us)
        if intent.action == "open":
            if intent.legs:
                self.desk.accept(order)
            else:
                _check_shares(intent)
                self.orders.append(order)
            return
        position = self.book.positions.get(intent.position_id or "")
        if position is None:
            # A close that names nothing fills nothing and costs nothing.
            self.recorder.reject(NO_POSITION)
            return
        queue = self.desk.orders if position.legs else self.orders
        if not any(o.intent.action == "close" and o.intent.position_id == intent.position_id for o in queue):
            queue.append(order)

    # --- shares ----------------------------------------------------------------------------------------------------

    def _trade_at_open(self, j: int) -> None:
        if self.orders and not self.immediate:
            start = self.rows["ts"][j]
            ready = [o for o in self.orders if o.row < j and o.eligible_us <= start]
            self._fill_shares(j, [o for o in ready if o.intent.action == "close"], None)
            self._time_stops(j)
            self._fill_shares(j, [o for o in ready if o.intent.action == "open"], DATA_GAP)
        else:
            self._time_stops(j)

    def _time_stops(self, j: int) -> None:
        start = self.rows["ts"][j]
        for position in [p for p in self.book.positions.values() if p.due_us is not None and start >= p.due_us]:
            reference = self.rows["open"][j] if self.immediate else self._reference(j, -position.side)
            self._exit_at_market(position, j, reference, "time", start)

    def _fill_shares(self, j: int, ready: list[Order], gap_reason: str | None) -> None:
        """Fill ``ready`` orders at row j, closes before opens; an open across missing data dies."""
        for order in sorted(ready, key=lambda o: o.intent.action == "open"):
            if order in self.orders:
                self.orders.remove(order)
            else:
                continue
            if order.intent.action == "close":
                position = self.book.positions[order.intent.position_id or ""]
                tag = order.intent.tag
                when = self.rows["available_at" if self.immediate else "ts"][j]
                reason = tag if tag in _TAGGED_EXITS else "signal"
                self._exit_at_market(position, j, self._reference(j, -position.side), reason, when)
                continue
            lost = (self.rows["lost"][j] - self.rows["lost"][order.row]) * self.instrument.bar_seconds
            if gap_reason and lost > self.execution.max_gap_seconds:
                self.recorder.reject(gap_reason)
            else:
                self._enter(order.intent, j)

    def _enter(self, intent: Intent, j: int) -> None:
        rows, book, leverage = self.rows, self.book, self.execution.leverage
        side = intent.side
        reference = self._reference(j, side)
        price = float(market_price(reference, side, rows["half_spread"][j], self.execution))
        equity = book.equity
        unit = price * self.instrument.multiplier
        how = sizing(
            quantity=_number(intent.quantity),
            notional=_number(intent.notional),
            risk=_number(intent.risk),
            target_volatility=_number(intent.target_volatility),
            volatility=_number(intent.volatility),
            size=_number(intent.size),
            stop=min(_number(intent.stop_distance, inf), _number(intent.trail_distance, inf)),
            instrument=self.instrument,
            execution=self.execution,
        )
        quantity, partial = entry_quantity(
            wanted=float(wanted_quantity(how, equity, unit)),
            budget=max(book.available(leverage), 0.0),
            price=price,
            side=side,
            volume=rows["volume"][j],
            instrument=self.instrument,
            execution=self.execution,
        )
        if quantity <= 0.0:
            offered = self.execution.participation * rows["volume"][j]
            too_small = np.floor(offered / self.instrument.lot + 1e-9) < 1
            self.recorder.reject(INSUFFICIENT_SIZE if too_small else NO_BUYING_POWER)
            return
        self.recorder.partials += partial
        fee = float(commission(quantity, price, self.instrument, self.execution))
        entry_us = rows["available_at" if self.immediate else "ts"][j]
        stop, target = _given(intent.stop_distance), _given(intent.target_distance)
        hold = _given(intent.max_hold_seconds)
        number = self.recorder.next_number()
        position = Position(
            position_id=f"P{number:06d}",
            number=number,
            side=side,
            quantity=quantity,
            multiplier=self.instrument.multiplier,
            entry_us=entry_us,
            entry_row=j,
            label_row=j if self.immediate else j - 1,
            entry_price=price,
            mark=float(closing_mark(rows["close"][j], side, rows["half_spread"][j], self.execution)),
            equity_at_entry=equity,
            fees=fee,
            costs=quantity * self.instrument.multiplier * abs(price - reference) + fee,
            stop=None if stop is None else price - side * stop,
            target=None if target is None else price + side * target,
            due_us=None if hold is None else entry_us + hold * 1e6,
            tag=intent.tag,
        )
        book.open(position)
        self.recorder.fills += 1

    def _protect(self, j: int) -> None:
        """Stops, then targets, of bar j, the entry bar included; a bar that touches both is a stop."""
        rows = self.rows
        opened, high, low = rows["open"][j], rows["high"][j], rows["low"][j]
        for position in [p for p in self.book.positions.values() if not p.legs]:
            long, stop, target = position.side > 0, position.stop, position.target
            if stop is not None and (opened <= stop if long else opened >= stop):
                self._exit_at_market(position, j, opened, "stop", rows["ts"][j])
            elif stop is not None and (low <= stop if long else high >= stop):
                self._exit_at_market(position, j, stop, "stop", rows["end"][j])
            elif target is not None and (
                high >= target + self.instrument.tick if long else low <= target - self.instrument.tick
            ):
                self._exit(position, j, target, 0.0, "target", rows["end"][j])

    def _exit_at_market(self, position: Position, j: int, reference: float, reason: str, when: int) -> None:
        price = float(market_price(reference, -position.side, self.rows["half_spread"][j], self.execution))
        self._exit(position, j, price, abs(price - reference), reason, when)

    def _exit(self, position: Position, j: int, price: float, given_up: float, reason: str, when: int) -> None:
        fee = float(commission(position.quantity, price, self.instrument, self.execution))
        self.book.close(position.position_id, price, fee)
        cost = position.quantity * position.multiplier * given_up + fee
        self.recorder.trade(position, price, fee, cost, reason, when, j)
        self.orders = [o for o in self.orders if o.intent.position_id != position.position_id or _opens(o)]

    def _mark(self, j: int) -> None:
        rows = self.rows
        for position in self.book.positions.values():
            if not position.legs:
                position.mark = float(
                    closing_mark(rows["close"][j], position.side, rows["half_spread"][j], self.execution)
                )
                position.low = min(position.low, rows["low"][j])
                position.high = max(position.high, rows["high"][j])

    def _liquidate(self) -> None:
        j = self.last
        for position in list(self.book.positions.values()):
            if position.legs:
                self.desk.force(position, j)
            else:
                self._exit_at_market(position, j, self.rows["close"][j], "forced", self.rows["end"][j])

    def _reference(self, j: int, direction: int) -> float:
        if self.immediate:
            return self.rows["close"][j]
        if self.execution.price_basis == "next_worst":
            return self.rows["high" if direction > 0 else "low"][j]
        return self.rows["open"][j]


class ColumnarAdapter(CallbackStrategy):
    """Runs a columnar strategy through the callback engine, one position at a time: the parity test's other half.

    Args:
        strategy: the columnar strategy.
        params: its parameters.
        frame: the decision frame that will be replayed.
    """

    def __init__(self, strategy: ColumnarStrategy, params: Any, frame: pl.DataFrame) -> None:
        super().__init__(params)
        intents = strategy.intents(frame, params)
        self._columns: dict[str, list[Any]] = {
            name: intents[name].cast(dtype).to_list() if name in intents.columns else [None] * frame.height
            for name, dtype in INTENT_COLUMNS.items()
        }

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        row = view.index
        enter = self._columns["enter"][row] or 0
        if view.pending:
            return ()
        if view.positions:
            held = view.positions[0]
            if self._columns["exit"][row] or enter == -held.side:
                return (Intent("close", position_id=held.position_id),)
            return ()
        if not enter:
            return ()
        values = {name: _given(self._columns[name][row]) for name in INTENT_COLUMNS if name not in ("enter", "exit")}
        return (
            Intent(
                "open",
                side=enter,
                size=values["size"],
                quantity=values["quantity"],
                stop_distance=values["stop_distance"],
                target_distance=values["target_distance"],
                max_hold_seconds=values["max_hold_seconds"],
            ),
        )


def _plain_rows(frame: pl.DataFrame) -> dict[str, list[Any]]:
    """The columns that the engine reads, as Python lists (times in microseconds).

    Raises:
        ValueError: if a column is missing, times do not ascend, or a price is not a finite number.
    """
    needed = (*_TIMES, *_NUMBERS, "trade_date")
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise ValueError(f"decision frame: no column {', '.join(missing)}. Found: {', '.join(frame.columns)}.")
    rows: dict[str, list[Any]] = {}
    for name in _NUMBERS:
        values = frame[name].cast(pl.Float64)
        if not values.is_finite().fill_null(False).all():
            raise ValueError(
                f"decision frame: {name} holds a null or a number that is not finite. Gate the bars first."
            )
        rows[name] = values.to_list()
    for name in _TIMES:
        rows[name] = frame[name].dt.timestamp("us").to_list()
    if not frame["ts"].is_sorted() or frame["ts"].is_duplicated().any():
        raise ValueError("decision frame: ts must ascend without duplicates. Sort it and drop duplicate bars.")
    rows["trade_date"] = frame["trade_date"].to_list()
    rows["warmup"] = _optional(frame, "warmup", pl.Boolean, False).to_list()
    rows["lost"] = _optional(frame, "missing_before", pl.Int64, 0).cum_sum().to_list()
    to_close = frame["seconds_to_close"] if "seconds_to_close" in frame.columns else pl.Series([None] * frame.height)
    rows["seconds_to_close"] = to_close.to_list()
    return rows


def _optional(frame: pl.DataFrame, name: str, dtype: Any, default: Any) -> pl.Series:
    if name not in frame.columns:
        return pl.repeat(default, frame.height, dtype=dtype, eager=True)
    return frame[name].cast(dtype).fill_null(default)


def _seen(p: Position, symbol: str) -> OpenPosition:
    return OpenPosition(p.position_id, p.side, p.quantity, p.entry_us, p.entry_price, p.legs, p.mark, p.tag, symbol)


def _opens(order: Order) -> bool:
    return order.intent.action == "open"


def _given(value: float | None) -> float | None:
    """The number, or None where it is null, NaN or infinite."""
    return value if value is not None and isfinite(value) else None


def _number(value: float | None, default: float = nan) -> float:
    return default if value is None or isnan(value) else value


def _check_shares(intent: Intent) -> None:
    for name in ("size", "quantity", "stop_distance", "target_distance", "max_hold_seconds"):
        value = getattr(intent, name)
        if value is not None and value < 0:
            raise ValueError(f"intent {intent.tag!r}: {name} is {value}; it must not be negative.")
    if intent.side not in (1, -1):
        raise ValueError(f"intent {intent.tag!r}: side is {intent.side}; use +1 (long) or -1 (short).")
