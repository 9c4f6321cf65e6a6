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
    intrinsic_value,
    is_naked,
    worst_expiry_loss,
)
from argus_core.replay.option_fills import (
    closing_legs,
    forced_value,
    refresh_marks,
    reject_reason,
    structure_mark,
    structure_quote,
)
from argus_core.replay.records import Recorder
from argus_core.replay.results import EXIT_REASONS, NO_BUYING_POWER, NO_QUOTE
from argus_core.settings import ExecutionSettings
from argus_core.strategies.interface import Intent

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
    ) -> None:
        self._book, self._recorder, self._rows, self._execution = book, recorder, rows, execution
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
        if len({leg.expiry for leg in intent.legs}) > 1 or len({leg.contract for leg in intent.legs}) < len(
            intent.legs
        ):
            raise ValueError(
                f"intent {intent.tag!r}: legs must be different contracts of one expiry, got {intent.legs}."
            )
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
                self._mark(snapshot)

    def fill_immediately(self, row: int) -> None:
        """Fill new orders at the newest snapshot where it was received at their very decision time."""
        if self.orders and self.newest is not None:
            self._fill(self.newest, row)

    def settle_earlier(self, row: int) -> None:
        """Settle what expired on a trade date before row ``row``'s, at the last close up to then."""
        if self._first_expiry is not None and self._first_expiry < self._rows["trade_date"][row]:
            self._settle([p for p in self._held() if p.expiry < self._rows["trade_date"][row]], row - 1)

    def settle_at_close(self, row: int) -> None:
        """Settle what expires today once the regular session has closed."""
        if self._first_expiry is not None and self._closed(self._first_expiry, row):
            self._settle([p for p in self._held() if self._closed(p.expiry, row)], row)

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
        expiry = legs[0].expiry
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
        price = position.side * value
        self._book.close(position.position_id, price, fee)
        cost = spread_cost * CONTRACT_SHARES * position.quantity + fee
        self._recorder.trade(position, price, fee, cost, reason, when, row)
        self.orders = [
            o for o in self.orders if o.intent.action == "open" or o.intent.position_id != position.position_id
        ]
        self._note_expiries()

    def _settle(self, positions: list[Position], row: int) -> None:
        close, when = self._rows["close"][row], self._rows["end"][row]
        for position in positions:
            self._close(position, intrinsic_value(position.legs, close), 0.0, "expiry", when, row)

    def _mark(self, snapshot: OptionSnapshot) -> None:
        for position in self._held():
            refresh_marks(position.legs, position.leg_marks, snapshot, self._execution)
            position.mark = position.side * structure_mark(position.legs, position.leg_marks)
            position.low = min(position.low, position.mark)
            position.high = max(position.high, position.mark)

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
