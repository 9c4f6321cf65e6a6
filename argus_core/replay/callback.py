"""Replay of callback strategies: shares of several symbols and option structures, bar by bar in plain Python.

For shares it is the independent twin of the lane kernel: same fills, same trades (tests/replay/test_parity.py). Rules
of share fills: `execution` and `share_desk`; of option fills: `option_fills`; docs/options-replay.md has both in words.

Order of events at row j: expiries of earlier dates; snapshots received by the bar's start; share orders and time
stops at the open; resting orders, stops and targets inside the bar; snapshots received by the decision time; expiry at
the session's close; the decision. An order meets the first snapshot received at or after its decision plus latency,
which may be the one that the decision itself saw when both carry the same time.

With references the bars of all symbols are merged by time; at one moment bars end before decisions are taken before
bars begin. Options belong to the primary symbol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
import polars as pl

from argus_core.options.tape import OptionTape
from argus_core.replay.accounting import Book, Position
from argus_core.replay.option_desk import OptionDesk, Order
from argus_core.replay.orders import ShareOrder
from argus_core.replay.records import Recorder
from argus_core.replay.reference import Reference
from argus_core.replay.results import NO_POSITION, ReplayResult
from argus_core.replay.share_desk import ShareDesk, check_shares
from argus_core.replay.view import FrameView
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import (
    INTENT_COLUMNS,
    BarView,
    CallbackStrategy,
    ColumnarStrategy,
    Intent,
    OpenOrder,
    OpenPosition,
)

_BAR_ENDS, _DECISION, _BAR_BEGINS = 0, 1, 2


def replay_callback(
    strategy: CallbackStrategy,
    frame: pl.DataFrame,
    instrument: Instrument,
    execution: ExecutionSettings,
    *,
    starting_cash: float,
    symbol: str,
    options: pl.DataFrame | OptionTape | None = None,
    references: Mapping[str, Reference] | None = None,
) -> ReplayResult:
    """Replay ``strategy`` over one symbol's decision frame, and those of its references.

    Args:
        strategy: a fresh instance; its state belongs to this run.
        frame: decision frame, one row per bar, ascending ``ts`` (docs/packs.md lists its columns).
        instrument: lot, tick, multiplier, asset class.
        execution: fill convention.
        starting_cash: dollars at the start.
        symbol: the primary symbol. Its trade dates make the daily equity, its bars decide warm-up and exposure.
        options: option quotes (`OptionQuotes`), or an `OptionTape` built once and shared by many runs.
        references: other symbols that the strategy may read and trade, each at its own bars and last price.

    Returns:
        The result; ``decisions`` holds (microseconds, intent) of everything the strategy asked for, in order.

    Raises:
        ValueError: if a frame cannot be replayed, a quote comes from the future, or an intent makes no sense.
    """
    tape = OptionTape(options) if isinstance(options, pl.DataFrame) else options
    others = dict(references or {})
    if symbol in others:
        raise ValueError(f"references: {symbol} is the primary symbol. Leave it out of the references.")
    return _Engine(strategy, {symbol: Reference(frame, instrument), **others}, execution, starting_cash, tape).run()


class _Engine:
    """State of one run."""

    def __init__(
        self,
        strategy: CallbackStrategy,
        symbols: Mapping[str, Reference],
        execution: ExecutionSettings,
        starting_cash: float,
        tape: OptionTape | None,
    ) -> None:
        self.strategy, self.execution = strategy, execution
        frames = {name: one.frame for name, one in symbols.items()}
        primary = next(iter(frames.values()))
        self.symbol = next(iter(frames))
        self.immediate = execution.price_basis == "signal_close"
        self.at_close = execution.price_basis == "next_close"
        self.latency_us = round(execution.latency_seconds * 1e6)
        self.book = Book(starting_cash)
        self.recorder = Recorder(frames, starting_cash)
        self.desks = {
            name: ShareDesk(name, one.frame, one.instrument, execution, self.book, self.recorder)
            for name, one in symbols.items()
        }
        self.desk = self.desks[self.symbol]
        self.last = primary.height - 1
        self.dates = primary["trade_date"].to_list()
        self.warmup: list[bool] = self.desk.market.warmup.tolist()
        rows = self.desk.rows | {
            "trade_date": self.dates,
            "seconds_to_close": primary["seconds_to_close"].to_list()
            if "seconds_to_close" in primary.columns
            else [None] * primary.height,
        }
        self.options = (
            None if tape is None else OptionDesk(self.book, self.recorder, rows, execution, tape, self.desk.instrument)
        )
        self.orders: dict[str, ShareOrder] = {}
        self.decisions: list[tuple[int, Intent]] = []
        self.held = 0
        self.seen: tuple[int, tuple[OpenPosition, ...]] = (-1, ())
        self.view = FrameView(
            frames,
            lambda name: self.desks[name].known,
            book=self.book,
            pending=self._pending,
            positions=self._positions,
            orders=self._waiting,
            snapshot=lambda: None if self.options is None else self.options.newest,
        )

    def run(self) -> ReplayResult:
        if len(self.desks) == 1:
            self._run_alone()
        else:
            self._run_merged()
        return self.recorder.result(
            self.book.cash,
            exposure_bars=self.held,
            bars=len(self.warmup) - sum(self.warmup),
            decisions=tuple(self.decisions),
        )

    # --- clocks ----------------------------------------------------------------------------------------------------

    def _run_alone(self) -> None:
        """Bars of the one symbol; where nothing is asked or held, a bar costs a few comparisons and the decision."""
        desk, ends = self.desk, self._bar_ends
        starts, lows, highs = desk.rows["ts"], desk.rows["low"], desk.rows["high"]
        resting, optioned = desk.resting, self.options is not None
        for j in range(self.last + 1):
            if optioned:
                self._options_before(j)
            if desk.waiting or resting.count or starts[j] >= desk.due_us:
                desk.at_open(j)
            if resting.count or desk.moving or lows[j] <= desk.low_trigger or highs[j] >= desk.high_trigger:
                desk.inside(j)
            desk.row = desk.known = j
            ends(j)

    def _run_merged(self) -> None:
        """Bars of all symbols, merged by time."""
        desks, hears_all = list(self.desks.values()), self.strategy.clock == "all"
        times, kinds, owners, rows = _timeline([desk.rows for desk in desks])
        fresh: list[str] = []
        for position, (now, kind, owner, j) in enumerate(zip(times, kinds, owners, rows, strict=True)):
            desk = desks[owner]
            if kind == _BAR_BEGINS:
                if owner == 0 and self.options is not None:
                    self._options_before(j)
                if desk.waiting or desk.resting.count or now >= desk.due_us:
                    desk.at_open(j)
            elif kind == _BAR_ENDS:
                desk.inside(j)
                if self.at_close and desk.waiting and owner:
                    desk.at_close(j)
            else:
                desk.known = j
                fresh.append(desk.symbol)
                following = position + 1
                if following < len(times) and times[following] == now and kinds[following] == _DECISION:
                    continue
                self.view.fresh, fresh = tuple(fresh), []
                if self.symbol in self.view.fresh:
                    self._bar_ends(self.desk.known)
                elif hears_all and 0 <= self.desk.known < self.last and not self.warmup[self.desk.known]:
                    self._decide(self.desk.known, now)

    def _options_before(self, j: int) -> None:
        assert self.options is not None
        self.options.settle_earlier(j)
        self.options.receive(self.desk.rows["ts"][j], j)

    def _bar_ends(self, j: int) -> None:
        """Everything of the primary symbol's row j after its bar: fills at its close, options, decision, day's end."""
        desk, book = self.desk, self.book
        if self.at_close and desk.waiting:
            desk.at_close(j)
        now = desk.rows["available_at"][j]
        if self.options is not None:
            self.options.receive(now, j)
            self.options.settle_at_close(j)
        warm = self.warmup[j]
        if j == self.last:
            self._liquidate()
        elif not warm:
            self._decide(j, now)
        if warm:
            return
        if book.positions:
            self.held += 1
        if j == self.last or self.dates[j + 1] != self.dates[j]:
            self.recorder.day(self.dates[j], book.equity)

    def _liquidate(self) -> None:
        for position in [p for p in self.book.positions.values() if p.legs]:
            assert self.options is not None
            self.options.force(position, self.last)
        for desk in self.desks.values():
            desk.liquidate()

    # --- decisions -------------------------------------------------------------------------------------------------

    def _decide(self, j: int, now: int) -> None:
        view = self.view
        view.index, view.now_us = j, now
        intents = self.strategy.on_bar(view)
        if not intents:
            return
        for intent in intents:
            if not isinstance(intent, Intent):
                raise ValueError(
                    f"on_bar returned {type(intent).__name__} {intent!r}; return a sequence of Intent, or nothing."
                )
            self.decisions.append((now, intent))
            self._accept(intent, j, now)
        if self.immediate:
            for desk in self.desks.values():
                if desk.waiting:
                    desk.fill_immediately()
        if self.options is not None:
            self.options.fill_immediately(j)

    def _accept(self, intent: Intent, j: int, now: int) -> None:
        if intent.action == "cancel":
            self._cancel(intent)
        elif intent.action == "close":
            self._close(intent, j, now)
        elif intent.action != "open":
            raise ValueError(f"intent {intent.tag!r}: action is {intent.action!r}; use open, close or cancel.")
        elif intent.legs:
            if self.options is None:
                raise ValueError(f"intent {intent.tag!r}: legs {intent.legs}, but the replay has no option quotes.")
            self.options.accept(Order(intent, j, now + self.latency_us))
        else:
            check_shares(intent)
            self._queue(self._desk_of(intent), intent, now)

    def _close(self, intent: Intent, j: int, now: int) -> None:
        position = self.book.positions.get(intent.position_id or "")
        if position is None:
            # A close that names nothing fills nothing and costs nothing.
            self.recorder.reject(NO_POSITION)
        elif position.legs:
            assert self.options is not None
            waits = (o.intent for o in self.options.orders)
            if not any(o.action == "close" and o.position_id == intent.position_id for o in waits):
                self.options.orders.append(Order(intent, j, now + self.latency_us))
        else:
            if intent.order != "market":
                raise ValueError(
                    f"intent {intent.tag!r}: a close is a market order, not {intent.order!r}. Give the entry a "
                    "target_distance or stop_distance."
                )
            desk = self.desks[position.symbol]
            if not desk.closes(position.position_id):
                self._queue(desk, intent, now)

    def _queue(self, desk: ShareDesk, intent: Intent, now: int) -> None:
        number = len(self.orders) + 1
        lives = intent.expires_seconds
        order = ShareOrder(
            order_id=f"O{number:06d}",
            number=number,
            symbol=desk.symbol,
            intent=intent,
            row=desk.known,
            decided_us=now,
            eligible_us=now + self.latency_us,
            expires_us=float("inf") if lives is None else now + lives * 1e6,
        )
        self.orders[order.order_id] = order
        desk.accept(order)

    def _cancel(self, intent: Intent) -> None:
        order = self.orders.get(intent.order_id or "")
        if order is None:
            raise ValueError(f"intent {intent.tag!r}: order_id {intent.order_id!r} was never given; see view.orders.")
        # An order that is done already needs no cancelling.
        if order.alive:
            self.desks[order.symbol].cancel(order)

    def _desk_of(self, intent: Intent) -> ShareDesk:
        desk = self.desks.get(intent.symbol or self.symbol)
        if desk is None:
            raise ValueError(
                f"intent {intent.tag!r}: symbol {intent.symbol!r} is not in this replay, which has "
                f"{', '.join(self.desks)}. Name it under pack.references."
            )
        return desk

    # --- what the strategy sees ------------------------------------------------------------------------------------

    def _pending(self) -> int:
        return self.book.pending + (0 if self.options is None else len(self.options.orders))

    def _positions(self) -> tuple[OpenPosition, ...]:
        version, seen = self.seen
        if version != self.book.version:
            seen = tuple(_seen(p, p.symbol or self.symbol) for p in self.book.positions.values())
            self.seen = self.book.version, seen
        return seen

    def _waiting(self) -> tuple[OpenOrder, ...]:
        return tuple(OpenOrder(o.order_id, o.symbol, o.decided_us, o.intent) for o in self.orders.values() if o.alive)


def _timeline(symbols: Sequence[Mapping[str, list[Any]]]) -> tuple[list[int], ...]:
    """Steps of several symbols in order of time: time, kind, number of the symbol, row."""
    times, kinds, owners, rows = [], [], [], []
    for owner, columns in enumerate(symbols):
        height = len(columns["ts"])
        for kind, name in ((_BAR_ENDS, "end"), (_DECISION, "available_at"), (_BAR_BEGINS, "ts")):
            times.append(np.asarray(columns[name], np.int64))
            kinds.append(np.full(height, kind))
            owners.append(np.full(height, owner))
            rows.append(np.arange(height))
    joined = [np.concatenate(parts) for parts in (times, kinds, owners, rows)]
    order = np.lexsort((joined[3], joined[2], joined[1], joined[0]))
    time, kind, owner, row = (values[order].tolist() for values in joined)
    return time, kind, owner, row


class ColumnarAdapter(CallbackStrategy):
    """Runs a columnar strategy through the callback engine: the parity test's other half.

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
        # One decision at a time: while an order waits, nothing is asked.
        if view.pending:
            return ()
        held = view.positions
        if held and (self._columns["exit"][row] or enter == -held[0].side):
            return [Intent("close", position_id=position.position_id) for position in held]
        most = self._given("max_entries", row) or 1
        if not enter or len(held) >= most:
            return ()
        names = [n for n in INTENT_COLUMNS if n not in ("enter", "exit", "max_entries")]
        return [Intent("open", side=enter, **{name: self._given(name, row) for name in names})]

    def _given(self, name: str, row: int) -> Any:
        value = self._columns[name][row]
        return None if isinstance(value, float) and isnan(value) else value


def _seen(p: Position, symbol: str) -> OpenPosition:
    return OpenPosition(
        p.position_id, p.side, p.quantity, p.entry_us, p.entry_price, p.legs, lambda: p.price_now, p.tag, symbol
    )
