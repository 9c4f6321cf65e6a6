"""The option side of a callback replay: orders against received snapshots, marks, expiry, forced liquidation."""

from __future__ import annotations

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
from argus_core.replay.option_fills import (
    closing_legs,
    forced_value,
    refresh_marks,
    reject_reason,
    structure_mark,
    structure_quote,
)
from argus_core.replay.option_margin import intrinsic_value, is_naked, leg_value, worst_expiry_loss
from argus_core.replay.records import Recorder
from argus_core.replay.results import EXIT_REASONS, NO_BUYING_POWER, NO_QUOTE
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import Intent, Leg

#: A close so near to a strike leaves open who exercises.
PIN_SHARE = 0.001

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
        while self._next_us <= until_us:
            snapshot = self.newest = self._snapshots[self._next]
            self._next += 1
            left = self._next < len(self._snapshots)
            self._next_us = self._snapshots[self._next].recv_us if left else float("inf")
            if self.orders:
                self._fill(snapshot, row)
            if self._first_expiry is not None:
                # The newest row known at the moment of receipt.
                self._mark(snapshot, row if self._rows["available_at"][row] <= snapshot.recv_us else max(row - 1, 0))

    def fill_immediately(self, row: int) -> None:
        """Fill new orders at the newest snapshot where it was received at their very decision time."""
        if self.orders and self.newest is not None:
            self._fill(self.newest, row)

    def settle_earlier(self, row: int) -> None:
        """Settle what expired on a trade date before row ``row``'s, at the last close up to then."""
        today = self._rows["trade_date"][row]
        if self._first_expiry is not None:
            if row and today != self._rows["trade_date"][row - 1]:
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
        close, now = self._rows["close"][row], self._rows["end"][row]
        value, spread_cost = forced_value(position.legs, position.leg_marks, close, now, self._execution)
        self._close(position, value, spread_cost, "forced", now, row)

    # --- inside ----------------------------------------------------------------------------------------------------

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
        reason = reject_reason(legs, intent.quantity or 0.0, snapshot, execution)
        if reason is not None:
            return reason
        quote = structure_quote(legs, snapshot, execution)
        fee = self._fee(quote.contracts, 1.0)
        worst = worst_expiry_loss(legs)
        equity = book.equity
        if intent.quantity is None:
            at_risk = max((worst + quote.price) * CONTRACT_SHARES + fee, 1.0)
            quantity = float(int(max((intent.size or 0.0) * equity, 0.0) / at_risk + 1e-9))
            reason = reject_reason(legs, quantity, snapshot, execution)
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
            legs=legs,
            opened_legs=legs,
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
        legs = closing_legs(position.legs)
        reason = reject_reason(legs, position.quantity, snapshot, self._execution)
        if reason is not None:
            return reason
        quote = structure_quote(legs, snapshot, self._execution)
        paid = quote.price * CONTRACT_SHARES * position.quantity + self._fee(quote.contracts, position.quantity)
        if paid > max(self._book.available(self._execution.leverage) + position.reserve, 0.0) + 1e-9:
            return NO_BUYING_POWER
        tag = intent.tag if intent.tag in _TAGGED_EXITS else "signal"
        self._close(position, -quote.price, quote.spread_cost, tag, snapshot.recv_us, known)
        return None

    def _close(self, position: Position, value: float, spread_cost: float, reason: str, when: int, row: int) -> None:
        """Close at the net ``value`` per share of one structure; commission unless it expires."""
        contracts = sum(abs(leg.quantity) for leg in position.legs)
        fee = 0.0 if reason == "expiry" else self._fee(contracts, position.quantity)
        self._book.close(position.position_id, position.side * value, fee)
        cost = spread_cost * CONTRACT_SHARES * position.quantity + fee
        # What legs that expired before brought belongs to the trade's exit.
        price = position.side * (value + position.settled)
        self._recorder.trade(position, price, fee, cost, reason, when, row)
        self.orders = [
            o for o in self.orders if o.intent.action == "open" or o.intent.position_id != position.position_id
        ]
        self._note_expiries()

    def _settle(self, position: Position, expired: list[Leg], row: int) -> None:
        """Settle ``expired`` legs at intrinsic value at row ``row``'s close; the trade ends with its last leg."""
        if not expired:
            return
        close, when = self._rows["close"][row], self._rows["end"][row]
        for leg in expired:
            if leg.quantity < 0 and self._instrument.american and leg_value(leg, close) > 0:
                position.flags.add("assignment")
            if abs(close - leg.strike) <= PIN_SHARE * leg.strike:
                position.flags.add("pin")
        value = intrinsic_value(expired, close)
        if len(expired) == len(position.legs):
            self._close(position, value, 0.0, "expiry", when, row)
            return
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

    def _mark(self, snapshot: OptionSnapshot, row: int) -> None:
        underlying = self._rows["close"][row]
        for position in self._held():
            refresh_marks(position.legs, position.leg_marks, snapshot, self._execution)
            position.mark = position.side * structure_mark(position.legs, position.leg_marks)
            worth = position.mark + position.side * position.settled
            position.low = min(position.low, worth)
            position.high = max(position.high, worth)
            if self._instrument.american:
                for leg, mark in zip(position.legs, position.leg_marks, strict=True):
                    intrinsic = leg_value(leg, underlying)
                    # Without time value its holder loses nothing by exercising.
                    if leg.quantity < 0 and intrinsic > 0 and mark.price - intrinsic <= 0:
                        position.flags.add("early_exercise")

    def _pay_dividends(self, row: int) -> None:
        """Row ``row`` begins an ex-date: a short call that its holder exercised for the dividend costs what he gains.

        He exercises where the dividend exceeds the time value that he gives up; the difference is charged.
        """
        dividend = self._instrument.dividends.get(self._rows["trade_date"][row], 0.0)
        if dividend <= 0 or not self._instrument.american:
            return
        close = self._rows["close"][row - 1]
        for position in self._held():
            for leg, mark in zip(position.legs, position.leg_marks, strict=True):
                intrinsic = leg_value(leg, close)
                gain = dividend - max(mark.price - intrinsic, 0.0)
                if leg.quantity < 0 and leg.right == "C" and intrinsic > 0 and gain > 0:
                    owed = gain * -leg.quantity * position.quantity * CONTRACT_SHARES
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

    def _fee(self, contracts: int, structures: float) -> float:
        return self._execution.commission_per_contract * contracts * structures * self._execution.cost_multiplier
