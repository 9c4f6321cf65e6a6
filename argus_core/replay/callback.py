"""Replay of callback strategies: shares of several symbols and option structures, bar by bar in plain Python.

For shares it is the independent twin of the lane kernel: same fills, same trades (tests/replay/test_parity.py). Rules
of share fills: `execution` and `share_desk`; of option fills: `option_fills`; docs/options-replay.md has both in words.

Order of events at row j: expiries of earlier dates; snapshots received by the bar's start; share orders and time
stops at the open; resting orders, stops and targets inside the bar; snapshots received by the decision time; expiry at
the session's close; the decision. An order meets the first snapshot received at or after its decision plus latency,
which may be the one that the decision itself saw when both carry the same time.

With references every bar is replayed as a whole, its open included, at the moment it is published, so that what a
strategy sees rests on published bars alone. Of bars published together all opens come before all that follows, and the
decision comes last. A reference that is neither read nor traded changes nothing. Options belong to the primary symbol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isnan
from typing import Any

import numpy as np
import polars as pl

from argus_core.options.tape import OptionTape
from argus_core.replay.accounting import Book, Position
from argus_core.replay.frame_checks import checked_cash
from argus_core.replay.option_desk import OptionDesk, Order
from argus_core.replay.orders import WaitingOrders, check_market, check_shares
from argus_core.replay.records import Recorder
from argus_core.replay.reference import Reference
from argus_core.replay.results import NO_POSITION, ReplayResult
from argus_core.replay.share_desk import ShareDesk
from argus_core.replay.timeline import merged
from argus_core.replay.view import barrier_view
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import (
    INTENT_COLUMNS,
    BarView,
    CallbackStrategy,
    ColumnarStrategy,
    Intent,
    OpenPosition,
)


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
        Exception: whatever the strategy raises, with a note that tells the strategy, the symbol and the bar.
    """
    tape = OptionTape(options) if isinstance(options, pl.DataFrame) else options
    own = strategy.columns(frame, strategy.params)
    if own is not None:
        frame = frame.with_columns(own)
    others = dict(references or {})
    if symbol in others:
        raise ValueError(f"references: {symbol} is the primary symbol. Leave it out of the references.")
    cash = checked_cash(starting_cash)
    return _Engine(strategy, {symbol: Reference(frame, instrument), **others}, execution, cash, tape).run()


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
        self.symbol = next(iter(frames))
        self.latency_us = round(execution.latency_seconds * 1e6)
        self.book = Book(starting_cash)
        self.recorder = Recorder(frames, starting_cash)
        self.orders = WaitingOrders()
        self.desks = {
            name: ShareDesk(name, one.frame, one.instrument, execution, self.book, self.orders, self.recorder)
            for name, one in symbols.items()
        }
        self.desk = desk = self.desks[self.symbol]
        basis = desk.market.basis
        self.at_close, self.immediate = basis == "close", basis == "decision"
        self.options = None
        if tape is not None:
            self.options = OptionDesk(self.book, self.recorder, _option_rows(desk), execution, tape, desk.instrument)
        self.warmup: list[bool] = desk.market.warmup.tolist()
        self.ends_day: list[bool] = np.isin(np.arange(len(self.warmup)), desk.market.day_rows).tolist()
        self.decisions: list[tuple[int, Intent]] = []
        self.held = 0
        self._seen: tuple[int, tuple[OpenPosition, ...]] = (-1, ())
        self.view, self.move = barrier_view(
            frames,
            newest=lambda name: self.desks[name].row,
            book=self.book,
            positions=self._positions,
            pending=self.orders.open.__len__ if tape is None else self._pending,
            orders=lambda: self.orders.seen,
            snapshot=lambda: None if self.options is None else self.options.newest,
        )

    def run(self) -> ReplayResult:
        try:
            if len(self.desks) == 1:
                self._run_alone()
            else:
                self._run_merged()
        except Exception as error:
            row, now = self.desk.row, datetime.fromtimestamp(self.view.now_us / 1e6, UTC)
            error.add_note(f"{type(self.strategy).__name__} on {self.symbol} at row {row}, {now:%Y-%m-%d %H:%M:%S} UTC")
            raise
        return self.recorder.result(
            self.book.cash,
            exposure_bars=self.held,
            bars=len(self.warmup) - sum(self.warmup),
            decisions=tuple(self.decisions),
        )

    # --- clocks ----------------------------------------------------------------------------------------------------

    def _run_alone(self) -> None:
        """Bars of the one symbol; where nothing waits or is held, a bar costs two comparisons and the decision."""
        desk, positions, orders, alone = self.desk, self.book.positions, self.orders.open, (self.symbol,)
        resting, optioned, last = desk.resting, self.options is not None, len(self.warmup) - 1
        on_bar, view, move = self.strategy.on_bar, self.view, self.move
        bars = zip(desk.ts, desk.low, desk.high, desk.available, self.warmup, self.ends_day, strict=True)
        for j, (start, low, high, now, warm, ends_day) in enumerate(bars):
            if optioned:
                self._options_before(j)
            if positions or orders:
                if desk.waiting or resting.count or start >= desk.due_us:
                    desk.at_open(j)
                if low <= desk.low_trigger or high >= desk.high_trigger or desk.moving or resting.count:
                    desk.inside(j)
                desk.row = j
                if desk.waiting and self.at_close:
                    desk.at_close(j)
            else:
                desk.row = j
            if optioned:
                self._options_after(j, now)
            if j == last:
                self._liquidate()
            elif not warm:
                move(j, now, alone)
                intents = on_bar(view)
                if intents or type(intents) is not tuple:
                    self._take(intents, now)
            if positions and not warm:
                self.held += 1
            if ends_day:
                self.recorder.day(j, self.book.equity)

    def _run_merged(self) -> None:
        """Bars of all symbols in order of publication: each is replayed as a whole at the moment it becomes known.

        Of bars that are published together all opens come before all closes, and the decision comes last.
        """
        positions, orders, primary, symbol = self.book.positions, self.orders.open, self.desk, self.symbol
        last, optioned, hears_all = len(self.warmup) - 1, self.options is not None, self.strategy.clock == "all"
        times, batches = merged(list(self.desks.values()))
        for now, (fresh, batch) in zip(times, batches, strict=True):
            mine = symbol in fresh
            if mine and optioned:
                self._options_before(primary.row + 1)
            if positions or orders:
                self._replay_batch(batch)
            else:
                for desk in batch:
                    desk.row += 1
            if mine:
                self._primary_over(primary.row, now, fresh)
                if primary.row == last:
                    return
            elif hears_all and primary.row >= 0 and not self.warmup[primary.row]:
                if optioned:
                    self._options_after(primary.row, now)
                self._decide(primary.row, now, fresh)

    def _replay_batch(self, batch: Sequence[ShareDesk]) -> None:
        """The next bar of every desk of ``batch``."""
        for desk in batch:
            j = desk.row + 1
            if desk.waiting or desk.resting.count or desk.ts[j] >= desk.due_us:
                desk.at_open(j)
        for desk in batch:
            j = desk.row + 1
            touched = desk.low[j] <= desk.low_trigger or desk.high[j] >= desk.high_trigger
            if touched or desk.moving or desk.resting.count:
                desk.inside(j)
        for desk in batch:
            desk.row += 1
            if self.at_close and desk.waiting:
                desk.at_close(desk.row)

    def _primary_over(self, j: int, now: int, fresh: tuple[str, ...]) -> None:
        """What follows the primary symbol's row j: options, the decision or the end, the day's equity."""
        warm = self.warmup[j]
        if self.options is not None:
            self._options_after(j, now)
        if j == len(self.warmup) - 1:
            self._liquidate()
        elif not warm:
            self._decide(j, now, fresh)
        if self.book.positions and not warm:
            self.held += 1
        if self.ends_day[j]:
            self.recorder.day(j, self.book.equity)

    def _options_before(self, j: int) -> None:
        assert self.options is not None
        self.options.settle_earlier(j)
        self.options.receive(self.desk.ts[j], j)

    def _options_after(self, j: int, now: int) -> None:
        assert self.options is not None
        self.options.receive(now, j)
        self.options.settle_at_close(j)

    def _liquidate(self) -> None:
        for position in [p for p in self.book.positions.values() if p.legs]:
            assert self.options is not None
            self.options.force(position, len(self.warmup) - 1)
        for desk in self.desks.values():
            desk.liquidate()

    # --- decisions -------------------------------------------------------------------------------------------------

    def _decide(self, j: int, now: int, fresh: tuple[str, ...]) -> None:
        self.move(j, now, fresh)
        intents = self.strategy.on_bar(self.view)
        if intents or type(intents) is not tuple:
            self._take(intents, now)

    def _take(self, intents: Any, now: int) -> None:
        """Accept what ``on_bar`` returned, and fill it where orders fill at once."""
        if intents is None:
            return
        if isinstance(intents, Intent | str | bytes | Mapping) or not isinstance(intents, Iterable):
            raise ValueError(f"on_bar returned {intents!r}; return a sequence of Intent, () for none.")
        j = self.desk.row
        for intent in intents:
            if not isinstance(intent, Intent):
                raise ValueError(f"on_bar returned {intent!r} among its intents; return a sequence of Intent.")
            self.decisions.append((now, intent))
            self._accept(intent, j, now)
        if self.immediate:
            for desk in self.desks.values():
                if desk.waiting:
                    desk.fill_immediately(now)
        if self.options is not None:
            self.options.fill_immediately(j)

    def _accept(self, intent: Intent, j: int, now: int) -> None:
        if intent.action == "open":
            desk = self._desk_of(intent)
            if not intent.legs:
                check_shares(intent)
                self._queue(desk, intent, now)
            elif self.options is None:
                raise ValueError(f"intent {intent.tag!r}: legs {intent.legs}, but this replay has no option quotes.")
            elif desk is not self.desk:
                raise ValueError(
                    f"intent {intent.tag!r}: symbol is {intent.symbol!r}, but options are those of {self.symbol}; "
                    "leave symbol out."
                )
            else:
                self.options.accept(Order(intent, j, now + self.latency_us))
        elif intent.action == "close":
            self._close(intent, j, now)
        elif intent.action == "cancel":
            order = self.orders.named(intent)
            if order is not None:
                self.desks[order.symbol].cancel(order)
        else:
            raise ValueError(f"intent {intent.tag!r}: action is {intent.action!r}; use open, close or cancel.")

    def _close(self, intent: Intent, j: int, now: int) -> None:
        position = self.book.positions.get(intent.position_id or "")
        if position is None:
            # A close that names nothing fills nothing and costs nothing.
            self.recorder.reject(NO_POSITION)
            return
        check_market(intent)
        if position.legs:
            assert self.options is not None
            waits = (o.intent for o in self.options.orders)
            if not any(o.action == "close" and o.position_id == intent.position_id for o in waits):
                self.options.orders.append(Order(intent, j, now + self.latency_us))
        else:
            desk = self.desks[position.symbol]
            if not desk.closes(position.position_id):
                self._queue(desk, intent, now)

    def _queue(self, desk: ShareDesk, intent: Intent, now: int) -> None:
        desk.accept(self.orders.take(intent, desk.symbol, desk.row, now, self.latency_us))

    def _desk_of(self, intent: Intent) -> ShareDesk:
        desk = self.desk if intent.symbol is None else self.desks.get(intent.symbol)
        if desk is None:
            raise ValueError(
                f"intent {intent.tag!r}: symbol is {intent.symbol!r}; this replay has {', '.join(self.desks)}. "
                "Name others under pack.references."
            )
        if desk.row < 0:
            raise ValueError(
                f"intent {intent.tag!r}: symbol is {intent.symbol!r}, which has no bar yet; wait until view.value "
                "gives one."
            )
        return desk

    # --- what the strategy sees ------------------------------------------------------------------------------------

    def _pending(self) -> int:
        assert self.options is not None
        return len(self.orders.open) + len(self.options.orders)

    def _positions(self) -> tuple[OpenPosition, ...]:
        version, seen = self._seen
        if version != self.book.version:
            seen = tuple(_seen(p, p.symbol or self.symbol) for p in self.book.positions.values())
            self._seen = self.book.version, seen
        return seen


def _option_rows(desk: ShareDesk) -> dict[str, list[Any]]:
    """The columns that the option desk reads, as Python lists (times in microseconds)."""
    frame, market = desk.market.frame, desk.market
    to_close = frame["seconds_to_close"].to_list() if "seconds_to_close" in frame.columns else [None] * frame.height
    return {
        "ts": desk.ts,
        "end": market.end.tolist(),
        "available_at": desk.available,
        "close": market.close.tolist(),
        "trade_date": frame["trade_date"].to_list(),
        "seconds_to_close": to_close,
        "split_rows": [] if market.splits is None else np.flatnonzero(np.diff(market.splits[1], prepend=0)).tolist(),
    }


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
