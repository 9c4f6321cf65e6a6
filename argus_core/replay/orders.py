"""Orders of shares that wait for their fill: what makes sense, who waits, and limits and stops in heaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf, isfinite, isnan
from numbers import Real

from argus_core.strategies.interface import Intent, OpenOrder

_SIZES = ("size", "quantity", "notional", "risk", "target_volatility")
_DISTANCES = ("stop_distance", "target_distance", "trail_distance", "break_even_distance")
_DURATIONS = ("max_hold_seconds", "expires_seconds")


@dataclass(slots=True, eq=False)
class ShareOrder:
    """An accepted order.

    Attributes:
        number: order of acceptance, from 1.
        row: row of its symbol that was the newest at the decision; a fill needs a later one.
        eligible_us: decision time plus latency; ``expires_us``: end of its life.
        alive: whether it still waits.
    """

    order_id: str
    number: int
    symbol: str
    intent: Intent
    row: int
    decided_us: int
    eligible_us: int
    expires_us: float = inf
    alive: bool = field(default=True, repr=False)

    @property
    def opens(self) -> bool:
        return self.intent.action == "open"


class WaitingOrders:
    """Every order of a run that waits, whatever its symbol, and the names it goes by ("O000001")."""

    def __init__(self) -> None:
        #: Name -> order, oldest first.
        self.open: dict[str, ShareOrder] = {}
        self._given = 0
        self._seen: tuple[OpenOrder, ...] | None = ()

    def take(self, intent: Intent, symbol: str, row: int, now_us: int, latency_us: int) -> ShareOrder:
        """Accept an intent as an order."""
        self._given += 1
        life = inf if intent.expires_seconds is None else intent.expires_seconds * 1e6
        order = ShareOrder(
            order_id=f"O{self._given:06d}",
            number=self._given,
            symbol=symbol,
            intent=intent,
            row=row,
            decided_us=now_us,
            eligible_us=now_us + latency_us,
            expires_us=now_us + life,
        )
        self.open[order.order_id] = order
        self._seen = None
        return order

    def done(self, order: ShareOrder) -> None:
        """Strike out an order that filled, died or was cancelled."""
        order.alive = False
        del self.open[order.order_id]
        self._seen = None

    def named(self, intent: Intent) -> ShareOrder | None:
        """The order that a cancel intent names; None where it is done already.

        Raises:
            ValueError: if no order ever had that name.
        """
        name = intent.order_id or ""
        order = self.open.get(name)
        if order is None and not (name[:1] == "O" and name[1:].isdecimal() and 1 <= int(name[1:]) <= self._given):
            raise ValueError(
                f"intent {intent.tag!r}: order_id {intent.order_id!r} names no order of this run; take it from "
                "view.orders."
            )
        return order

    @property
    def seen(self) -> tuple[OpenOrder, ...]:
        """The orders as their strategy sees them, oldest first."""
        if self._seen is None:
            self._seen = tuple(OpenOrder(o.order_id, o.symbol, o.decided_us, o.intent) for o in self.open.values())
        return self._seen


class RestingOrders:
    """Limit and stop entries of one symbol. A bar costs O(1) while it triggers nothing, O(log n) per order otherwise.

    A limit buys once the low is one tick below its price, sells once the high is one tick above. A stop buys once the
    high reaches its price, sells once the low does. Stops come before limits: the worse of what the bar may have done.
    """

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._later: list[tuple[int, int, ShareOrder]] = []
        self._expiries: list[tuple[float, int, ShareOrder]] = []
        #: (kind, side) -> heap of (level turned so that the first to trigger is the smallest, number, order)
        self._heaps: dict[tuple[str, int], list[tuple[float, int, ShareOrder]]] = {
            (kind, side): [] for kind in ("stop", "limit") for side in (1, -1)
        }
        #: Orders in it; a cancelled one counts until its place in the heaps comes up.
        self.count = 0

    def add(self, order: ShareOrder) -> None:
        """Take an order in; it waits for the first bar that begins at or after it is eligible."""
        heappush(self._later, (order.eligible_us, order.number, order))
        if order.expires_us < inf:
            heappush(self._expiries, (order.expires_us, order.number, order))
        self.count += 1

    def expire(self, bar_end_us: int) -> Iterator[ShareOrder]:
        """Orders whose life ends before a bar does: the bar cannot tell whether it met them alive."""
        while self._expiries and self._expiries[0][0] < bar_end_us:
            order = heappop(self._expiries)[2]
            if order.alive:
                yield order

    def activate(self, bar_start_us: int) -> None:
        """Let orders in that are eligible for a bar that begins now."""
        while self._later and self._later[0][0] <= bar_start_us:
            order = heappop(self._later)[2]
            if not order.alive:
                self.count -= 1
                continue
            intent, side = order.intent, order.intent.side
            level = float(intent.price or 0.0)
            if intent.order == "limit":
                level -= side * self._tick
            # The first to trigger comes up first: the highest level of those that a falling price meets.
            falling = (intent.order == "limit") == (side > 0)
            heappush(self._heaps[intent.order, side], (-level if falling else level, order.number, order))

    def triggered(self, low: float, high: float) -> Iterator[ShareOrder]:
        """Take out the orders that a bar triggers: stops, then limits, nearest first."""
        for (kind, side), heap in self._heaps.items():
            reach = -low if (kind == "limit") == (side > 0) else high
            while heap and (heap[0][0] <= reach or not heap[0][2].alive):
                order = heappop(heap)[2]
                self.count -= 1
                if order.alive:
                    yield order


def check_shares(intent: Intent) -> None:
    """Refuse an entry in shares that makes no sense.

    Raises:
        ValueError: naming the tag, the key, the value and what to give instead.
    """
    where = f"intent {intent.tag!r}"
    if intent.side not in (1, -1):
        raise ValueError(f"{where}: side is {intent.side!r}; use +1 (long) or -1 (short).")
    for name in (*_SIZES, "volatility", *_DISTANCES, *_DURATIONS, "price"):
        value = getattr(intent, name)
        if value is None:
            continue
        if not isinstance(value, Real) or isinstance(value, bool):
            raise ValueError(f"{where}: {name} is {value!r}; give a number, or leave it out.")
        if name == "volatility":
            continue  # unknown or not positive: nothing is bought
        if isnan(value) or (name in _SIZES and not isfinite(value)):
            raise ValueError(f"{where}: {name} is {value}; give a finite number, or leave it out.")
        if value < 0:
            raise ValueError(f"{where}: {name} is {value}; it must not be negative.")
    if intent.quantity is None and intent.notional is None and intent.risk is not None:
        stop = min((x for x in (intent.stop_distance, intent.trail_distance) if x is not None), default=inf)
        if not 0 < stop < inf:
            raise ValueError(
                f"{where}: risk is {intent.risk} but stop_distance is {intent.stop_distance} and trail_distance "
                f"{intent.trail_distance}; risk is the loss at the stop, so give one of them."
            )
    _check_kind(intent, where)


def check_market(intent: Intent) -> None:
    """Refuse a close that is anything but a market order.

    Raises:
        ValueError: naming the tag, the key and what to give instead.
    """
    if intent.order != "market" or intent.price is not None:
        raise ValueError(
            f"intent {intent.tag!r}: a close is a market order, got order {intent.order!r} at price {intent.price}. "
            "Give the entry a target_distance or a stop_distance instead."
        )


def _check_kind(intent: Intent, where: str) -> None:
    if intent.order not in ("market", "limit", "stop"):
        raise ValueError(f"{where}: order is {intent.order!r}; use market, limit or stop.")
    if intent.order == "market":
        if intent.price is not None:
            raise ValueError(f"{where}: price is {intent.price}, but order is market; use limit or stop, or no price.")
        if intent.expires_seconds is not None:
            raise ValueError(
                f"{where}: expires_seconds is {intent.expires_seconds}, but order is market, which does not rest; use "
                "limit or stop, or leave it out."
            )
    elif intent.price is None or not 0 < intent.price < inf:
        raise ValueError(f"{where}: price is {intent.price}; a {intent.order} order needs a positive price.")
