"""Cash, positions and buying power of a callback replay.

Equity is cash plus market value. Every position carries one oriented price: what one unit is worth when it is closed,
seen from its own side (a credit spread sold at 1.20 has side -1 and price 1.20). Then for shares and options alike

    market value = side * quantity * multiplier * mark        PnL = side * quantity * multiplier * (exit - entry)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from argus_core.strategies.interface import Leg

#: Shares that one option contract delivers.
CONTRACT_SHARES = 100.0


@dataclass(slots=True)
class LegMark:
    """Newest usable closing quote of one leg: dollars per share, costs scaled by the cost multiplier."""

    price: float
    half_spread: float
    ts_us: int


class Holder(Protocol):
    """Who holds the lots of one symbol, and can tell what they are worth without asking each."""

    def quote(self, lot: Position) -> float:
        """Price at which a lot would be closed now, on the adverse side."""

    def worth(self) -> tuple[float, float]:
        """Market value of all lots, and the sum of its absolute amounts, dollars."""


@dataclass(slots=True)
class Position:
    """One open position: a lot of shares, or option structures. Prices are oriented dollars per share, money dollars.

    Attributes:
        mark: price at which it would be closed now, on the adverse side (options; lots of shares ask their ``holder``).
        holder: for lots of shares, the desk that holds them.
        reserve: dollars of buying power that its worst case at expiry holds back (options), credit not deducted.
        fees: commission paid so far; ``costs``: spread, slippage and commission so far.
        risk: dollars lost at the initial stop, or at worst at expiry (`TRADE_SCHEMA`); None: no bound is known.
        stop, target, trail, break_even: price levels and distances; ``best``: most favourable price since the entry;
            ``stop_reason``: what set the stop last.
        full_row: first row that it is held through in full.
        low, high: lowest and highest price seen while held in full.
    """

    position_id: str
    number: int
    side: int
    quantity: float
    multiplier: float
    entry_us: int
    entry_row: int
    label_row: int
    entry_price: float
    mark: float
    equity_at_entry: float
    fees: float
    costs: float
    risk: float | None = None
    symbol: str = ""
    holder: Holder | None = None
    legs: tuple[Leg, ...] = ()
    expiry: date | None = None
    reserve: float = 0.0
    stop: float | None = None
    target: float | None = None
    trail: float = float("inf")
    break_even: float = float("inf")
    best: float = 0.0
    stop_reason: str = "stop"
    full_row: int = 0
    due_us: float | None = None
    tag: str = ""
    low: float = float("inf")
    high: float = float("-inf")
    leg_marks: list[LegMark] = field(default_factory=list)
    #: all legs that the position was opened with, their fill prices, and what those got that are gone, by contract;
    #: ``legs`` are those that live
    opened_legs: tuple[Leg, ...] = ()
    leg_entries: tuple[float, ...] = ()
    leg_exits: dict[str, float] = field(default_factory=dict)
    #: dollars per share that expired legs brought, signed as held
    settled: float = 0.0
    flags: set[str] = field(default_factory=set)

    @property
    def price_now(self) -> float:
        """What one unit is worth when it is closed now."""
        return self.mark if self.holder is None else self.holder.quote(self)

    @property
    def market_value(self) -> float:
        """Dollars that closing now would bring (negative: cost), before commission."""
        return self.side * self.quantity * self.multiplier * self.price_now

    def pnl(self, exit_price: float, exit_fee: float) -> float:
        """Dollars net of both commissions when closed at ``exit_price``."""
        return self.side * self.quantity * self.multiplier * (exit_price - self.entry_price) - self.fees - exit_fee


class Book:
    """Cash and open positions. Equity and buying power cost the same however many lots the holders hold.

    Identities, tested at every step: equity = cash + sum of market values; a fill changes equity by its costs only
    (marks apart); when flat, equity - starting cash = sum of PnL.
    """

    def __init__(self, starting_cash: float) -> None:
        self.cash = float(starting_cash)
        self.positions: dict[str, Position] = {}
        #: Counts every change of the open positions.
        self.version = 0
        #: Positions without a holder: structures of options.
        self._single: dict[str, Position] = {}
        self._holders: list[Holder] = []

    def hold(self, holder: Holder) -> None:
        """Count what ``holder`` holds."""
        self._holders.append(holder)

    @property
    def equity(self) -> float:
        """Cash plus the market value of every position."""
        if not self.positions:
            return self.cash
        total = self.cash + sum(position.market_value for position in self._single.values())
        for holder in self._holders:
            total += holder.worth()[0]
        return total

    def available(self, leverage: float) -> float:
        """Dollars that new positions may still use.

        ``leverage`` times what cash and shares are worth, less the notional of the shares held and less the worst
        case of every option structure. Flat: cash * leverage. Long shares only, leverage 1: cash.
        """
        worth, used = self.cash, 0.0
        for position in self._single.values():
            if position.legs:
                used += position.reserve
            else:
                worth += position.market_value
                used += abs(position.market_value)
        if self.positions:
            for holder in self._holders:
                value, notional = holder.worth()
                worth += value
                used += notional
        return leverage * worth - used

    def open(self, position: Position) -> None:
        """Take ``position`` in: pay its price (receive it when short) and its commission."""
        self.cash -= position.side * position.quantity * position.multiplier * position.entry_price + position.fees
        self.positions[position.position_id] = position
        if position.holder is None:
            self._single[position.position_id] = position
        self.version += 1

    def close(self, position_id: str, price: float, fee: float) -> Position:
        """Close the named position at the oriented ``price``; returns it.

        Raises:
            KeyError: if no such position is open: nothing closes without naming what it closes.
        """
        position = self.positions.pop(position_id)
        self._single.pop(position_id, None)
        self.version += 1
        self.cash += position.side * position.quantity * position.multiplier * price - fee
        return position
