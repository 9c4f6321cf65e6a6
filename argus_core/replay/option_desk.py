"""The option side of a callback replay: orders against received snapshots, marks, expiry, forced liquidation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from argus_core.options.tape import OptionSnapshot, OptionTape
from argus_core.replay.accounting import (
    CONTRACT_SHARES,
    Book,
    LegMark,
    Position,
)
from argus_core.replay.option_events import (
    SplitWatch,
    dividend_between,
    dividend_owed,
    loses_time_value,
    settlement_flags,
)
from argus_core.replay.option_fills import (
    closing_legs,
    forced_prices,
    marked_spread,
    refresh_marks,
    reject_reason,
    structure_mark,
    structure_quote,
    worse_price,
)
from argus_core.replay.option_margin import is_naked, leg_value, worst_expiry_loss
from argus_core.replay.records import Recorder
from argus_core.replay.results import EXIT_REASONS, NO_BUYING_POWER, NO_QUOTE, SPLIT
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import Intent, Leg

_TAGGED_EXITS = frozenset(EXIT_REASONS) - {"forced", "expiry"}


@dataclass(slots=True, eq=False)
class Order:
    """An intent on its way: decided at ``row``, to be filled at or after ``eligible_us``."""

    intent: Intent
    row: int
    eligible_us: int


class OptionDesk:
    """Trades option structures for one run.

    Attributes:
        newest: the newest snapshot received, or None.
        orders: orders that wait for a snapshot, in order of decision.
    """

    def __init__(
        self,
        book: Book,
        recorder: Recorder,
        rows: dict[str, list[Any]],
        execution: ExecutionSettings,
        tape: OptionTape | None,
        instrument: Instrument,
    ) -> None:
        self._book, self._recorder, self._rows, self._execution = book, recorder, rows, execution
        self._instrument = instrument
        self._dividends = instrument.dividends if instrument.american else {}
        self._split, self._split_rows = SplitWatch(), set(rows["split_rows"])
        self._snapshots = tape.snapshots if tape is not None else ()
        self._next = 0
        self._next_us: float = self._snapshots[0].recv_us if self._snapshots else float("inf")
        self._first_expiry: date | None = None
        self.newest: OptionSnapshot | None = None
        self.orders: list[Order] = []

    def accept(self, order: Order) -> None:
        """Queue an opening order.

        Raises:
            ValueError: if its legs do not make one structure, or it asks for what structures do not have.
        """
        intent = order.intent
        if len({leg.contract for leg in intent.legs}) < len(intent.legs):
            raise ValueError(f"intent {intent.tag!r}: every leg must be another contract, got {intent.legs}.")
        if any(leg.quantity == 0 for leg in intent.legs):
            raise ValueError(f"intent {intent.tag!r}: a leg's quantity is zero; positive buys, negative sells.")
        if intent.stop_distance or intent.target_distance or intent.max_hold_seconds:
            raise ValueError(
                f"intent {intent.tag!r}: option structures have no stop, target or time stop of their own. Return a "
                "close intent that names the position, tagged stop_loss, profit_target or time."
            )
        if (intent.quantity is None) == (intent.size is None):
            raise ValueError(
                f"intent {intent.tag!r}: give either quantity (structures) or size (share of equity at risk)."
            )
        self.orders.append(order)

    def receive(self, until_us: int, row: int) -> None:
        """Take in every snapshot received by ``until_us`` while row ``row`` is played: fills first, then marks."""
        if row in self._split_rows:
            self._split_rows.discard(row)
            begins = self._rows["ts"][row]
            self._receive(begins - 1, row)
            held = [position.position_id for position in self._held()]
            close, today = self._rows["close"][row - 1], self._rows["trade_date"][row]
            self._split.begin(begins, close, today, self.newest, held)
        self._receive(until_us, row)

    def fill_immediately(self, row: int) -> None:
        """Fill new orders at the newest snapshot where it was received at their very decision time."""
        if self.orders and self.newest is not None:
            self._fill(self.newest, row)

    def settle_earlier(self, row: int) -> None:
        """Settle what expired on a trade date before row ``row``'s, at the last close up to then."""
        today = self._rows["trade_date"][row]
        if self._first_expiry is not None:
            if self._dividends and row and today != self._rows["trade_date"][row - 1]:
                self._pay_dividends(row)
            if self._first_expiry < today:
                for position in self._held():
                    self._settle(position, [leg for leg in position.legs if leg.expiry < today], row - 1)

    def settle_at_close(self, row: int) -> None:
        """Settle what expires today once the regular session has closed."""
        if self._first_expiry is not None and self._closed(self._first_expiry, row):
            for position in self._held():
                self._settle(position, [leg for leg in position.legs if self._closed(leg.expiry, row)], row)

    def force(self, position: Position, row: int) -> None:
        """Liquidate on the adverse side because the window ends."""
        if position.position_id in self._split.doubted:
            self._close_as_before(position, self._rows["end"][row], row)
            return
        close, now = self._rows["close"][row], self._rows["end"][row]
        prices = forced_prices(position.legs, position.leg_marks, close, now, self._execution)
        self._close(position, prices, marked_spread(position.legs, position.leg_marks), "forced", now, row)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _receive(self, until_us: int, row: int) -> None:
        while self._next_us <= until_us:
            snapshot = self.newest = self._snapshots[self._next]
            self._next += 1
            left = self._next < len(self._snapshots)
            self._next_us = self._snapshots[self._next].recv_us if left else float("inf")
            # The newest row known at the moment of receipt.
            known = row if self._rows["available_at"][row] <= snapshot.recv_us else max(row - 1, 0)
            if self._split.doubted:
                self._judge_split(snapshot, known)
            if self.orders:
                self._fill(snapshot, row)
            if self._first_expiry is not None:
                self._mark(snapshot, known)

    def _fill(self, snapshot: OptionSnapshot, row: int) -> None:
        ready = [o for o in self.orders if o.eligible_us <= snapshot.recv_us]
        if not ready:
            return
        self.orders = [o for o in self.orders if o.eligible_us > snapshot.recv_us]
        # The newest row known at the moment of receipt.
        known = row if self._rows["available_at"][row] <= snapshot.recv_us else max(row - 1, 0)
        for order in sorted(ready, key=lambda o: o.intent.action == "open"):
            if order.intent.action == "open":
                reason = self._open(order.intent, snapshot, row, known)
            else:
                reason = self._leave(order.intent, snapshot, known)
            if reason is not None:
                self._recorder.reject(reason)

    def _open(self, intent: Intent, snapshot: OptionSnapshot, row: int, known: int) -> str | None:
        legs, execution, book = intent.legs, self._execution, self._book
        expiry = min(leg.expiry for leg in legs)
        if expiry < self._rows["trade_date"][row] or (known == row and self._closed(expiry, row)):
            return NO_QUOTE
        since = self._split.since_us
        reason = reject_reason(legs, intent.quantity or 0.0, snapshot, execution, since)
        if reason is not None:
            return reason
        quote = structure_quote(legs, snapshot, execution)
        fee = self._fee(legs, 1.0)
        worst = worst_expiry_loss(legs)
        equity = book.equity
        if intent.quantity is None:
            at_risk = max((worst + quote.price) * CONTRACT_SHARES + fee, 1.0)
            quantity = float(int(max((intent.size or 0.0) * equity, 0.0) / at_risk + 1e-9))
            reason = reject_reason(legs, quantity, snapshot, execution, since)
            if reason is not None:
                return reason
        else:
            quantity = float(int(intent.quantity + 1e-9))
        reserve = worst * CONTRACT_SHARES * quantity
        required = quote.price * CONTRACT_SHARES * quantity + fee * quantity + reserve
        if quantity < 1 or (is_naked(legs) and execution.leverage <= 1.0):
            return NO_BUYING_POWER
        if required > book.available(execution.leverage) + 1e-9:
            return NO_BUYING_POWER
        side = -1 if quote.price < 0 else 1
        marks = [LegMark(0.0, 0.0, snapshot.recv_us) for _ in legs]
        refresh_marks(legs, marks, snapshot, execution)
        number = self._recorder.next_number()
        position = Position(
            position_id=f"P{number:06d}",
            number=number,
            side=side,
            quantity=quantity,
            multiplier=CONTRACT_SHARES,
            entry_us=snapshot.recv_us,
            entry_row=known,
            label_row=known,
            entry_price=abs(quote.price),
            mark=side * structure_mark(legs, marks),
            equity_at_entry=equity,
            fees=fee * quantity,
            costs=quote.spread_cost * CONTRACT_SHARES * quantity + fee * quantity,
            risk=None if is_naked(legs) else ((worst + quote.price) * CONTRACT_SHARES + fee) * quantity,
            legs=legs,
            opened_legs=legs,
            leg_entries=quote.prices,
            expiry=expiry,
            reserve=reserve,
            tag=intent.tag,
            leg_marks=marks,
        )
        book.open(position)
        self._recorder.fills += 1
        self._note_expiries()
        return None

    def _leave(self, intent: Intent, snapshot: OptionSnapshot, known: int) -> str | None:
        position = self._book.positions.get(intent.position_id or "")
        if position is None:
            return None
        if position.position_id in self._split.doubted:
            return NO_QUOTE
        legs = closing_legs(position.legs)
        reason = reject_reason(legs, position.quantity, snapshot, self._execution, self._split.since_us)
        if reason is not None:
            return reason
        quote = structure_quote(legs, snapshot, self._execution)
        paid = quote.price * CONTRACT_SHARES * position.quantity + self._fee(legs, position.quantity)
        if paid > max(self._book.available(self._execution.leverage) + position.reserve, 0.0) + 1e-9:
            return NO_BUYING_POWER
        tag = intent.tag if intent.tag in _TAGGED_EXITS else "signal"
        self._close(position, quote.prices, quote.spread_cost, tag, snapshot.recv_us, known)
        return None

    def _close(
        self, position: Position, prices: Sequence[float], spread_cost: float, reason: str, when: int, row: int
    ) -> None:
        """Close at ``prices`` (dollars per share of each leg); commission unless it expires."""
        fee = 0.0 if reason == "expiry" else self._fee(position.legs, position.quantity)
        value = _leave_legs(position, position.legs, prices)
        self._book.close(position.position_id, position.side * value, fee)
        cost = spread_cost * CONTRACT_SHARES * position.quantity + fee
        # What legs that expired before brought belongs to the trade's exit.
        price = position.side * (value + position.settled)
        self._recorder.trade(position, price, fee, cost, reason, when, row)
        self.orders = [
            o for o in self.orders if o.intent.action == "open" or o.intent.position_id != position.position_id
        ]
        self._split.doubted.discard(position.position_id)
        self._note_expiries()

    def _settle(self, position: Position, expired: list[Leg], row: int) -> None:
        """Settle ``expired`` legs at intrinsic value at row ``row``'s close; the trade ends with its last leg."""
        if not expired:
            return
        close, when = self._rows["close"][row], self._rows["end"][row]
        if position.position_id in self._split.doubted:
            self._close_as_before(position, when, row)
            return
        if self._instrument.delivers:
            position.flags |= settlement_flags(expired, close)
        prices = [leg_value(leg, close) for leg in expired]
        if len(expired) == len(position.legs):
            self._close(position, prices, 0.0, "expiry", when, row)
            return
        value = _leave_legs(position, expired, prices)
        self._book.cash += position.quantity * CONTRACT_SHARES * value
        position.settled += value
        alive = [k for k, leg in enumerate(position.legs) if leg not in expired]
        position.leg_marks = [position.leg_marks[k] for k in alive]
        position.legs = tuple(position.legs[k] for k in alive)
        position.expiry = min(leg.expiry for leg in position.legs)
        position.reserve = worst_expiry_loss(position.legs) * CONTRACT_SHARES * position.quantity
        position.mark = position.side * structure_mark(position.legs, position.leg_marks)
        self._book.version += 1
        self._note_expiries()
        if self._book.cash < 0.0 and self._execution.leverage <= 1.0:
            self._sell_cover(position, close, when, row)

    def _sell_cover(self, position: Position, close: float, when: int, row: int) -> None:
        """Give up what lives on, because the account cannot pay for what expired without lending.

        Long legs that may be exercised bring their intrinsic value at least.
        """
        prices = [
            max(price, leg_value(leg, close)) if leg.quantity > 0 and self._instrument.american else price
            for leg, price in zip(
                position.legs,
                forced_prices(position.legs, position.leg_marks, close, when, self._execution),
                strict=True,
            )
        ]
        self._close(position, prices, marked_spread(position.legs, position.leg_marks), "forced", when, row)

    def _judge_split(self, snapshot: OptionSnapshot, row: int) -> None:
        struck_anew = self._split.struck_anew(snapshot)
        if struck_anew:
            for position in self._held():
                if position.position_id in self._split.doubted:
                    self._close_as_before(position, snapshot.recv_us, row)
        elif struck_anew is not None:
            self._split.doubted.clear()

    def _close_as_before(self, position: Position, when: int, row: int) -> None:
        """Close what a split ended: each leg at the worse of its last quote and intrinsic value before the split."""
        legs, marks = position.legs, position.leg_marks
        prices = [worse_price(leg, mark, self._split.close) for leg, mark in zip(legs, marks, strict=True)]
        position.flags.add(SPLIT)
        self._close(position, prices, marked_spread(legs, marks), "forced", when, row)

    def _mark(self, snapshot: OptionSnapshot, row: int) -> None:
        underlying, american = self._rows["close"][row], self._instrument.american
        for position in self._held():
            if position.position_id in self._split.doubted:
                continue
            quotes = refresh_marks(position.legs, position.leg_marks, snapshot, self._execution, self._split.since_us)
            position.mark = position.side * structure_mark(position.legs, position.leg_marks)
            worth = position.mark + position.side * position.settled
            position.low = min(position.low, worth)
            position.high = max(position.high, worth)
            if american:
                for leg, quote in zip(position.legs, quotes, strict=True):
                    if quote is not None and loses_time_value(leg, quote, underlying):
                        position.flags.add("early_exercise")

    def _pay_dividends(self, row: int) -> None:
        """Row ``row`` begins a trade date: charge what dividends since the last one make short calls cost."""
        dates = self._rows["trade_date"]
        dividend = dividend_between(self._dividends, dates[row - 1], dates[row])
        if dividend <= 0:
            return
        for position in self._held():
            each = dividend_owed(position.legs, position.leg_marks, self._rows["close"][row - 1], dividend)
            if each > 0:
                owed = each * position.quantity * CONTRACT_SHARES
                self._book.cash -= owed
                position.fees += owed
                position.costs += owed
                position.flags |= {"dividend", "early_exercise"}

    def _held(self) -> list[Any]:
        return [p for p in self._book.positions.values() if p.expiry is not None]

    def _note_expiries(self) -> None:
        self._first_expiry = min((p.expiry for p in self._held()), default=None)

    def _closed(self, expiry: date, row: int) -> bool:
        """Whether row ``row`` is on the expiry's date and ends the regular session (24/7: the trade date)."""
        dates = self._rows["trade_date"]
        if dates[row] != expiry:
            return False
        left = self._rows["seconds_to_close"][row]
        if left is not None:
            return left <= 0
        return row + 1 == len(dates) or dates[row + 1] > expiry

    def _fee(self, legs: Sequence[Leg], structures: float) -> float:
        contracts = sum(abs(leg.quantity) for leg in legs)
        return self._execution.commission_per_contract * contracts * structures * self._execution.cost_multiplier


def _leave_legs(position: Position, legs: Sequence[Leg], prices: Sequence[float]) -> float:
    """Note at which dollars per share ``legs`` left the position; their net value, signed as held."""
    position.leg_exits |= {leg.contract: price for leg, price in zip(legs, prices, strict=True)}
    return sum(leg.quantity * price for leg, price in zip(legs, prices, strict=True))
