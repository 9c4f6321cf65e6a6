"""Orders of shares that wait for their fill: market orders in order of arrival, limits and stops in heaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

from argus_core.strategies.interface import Intent


@dataclass(slots=True)
class ShareOrder:
    """An accepted order.

    Attributes:
        row: row of its symbol that was the newest at the decision; a fill needs a later one.
        eligible_us: decision time plus latency.
        expires_us: time from which it is dead.
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


class RestingOrders:
    """Limit and stop entries of one symbol. A bar costs O(1) while it triggers nothing, O(log n) per order otherwise.

    A limit buys once the low is one tick below its price, sells once the high is one tick above. A stop buys once the
    high reaches its price, sells once the low does. Stops fill before limits: the worse of what the bar may have done.
    """

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._later: list[tuple[int, int, ShareOrder]] = []
        self._expiries: list[tuple[float, int, ShareOrder]] = []
        #: (kind, side) -> heap of (price turned so that the first to trigger is the smallest, number, order)
        self._heaps: dict[tuple[str, int], list[tuple[float, int, ShareOrder]]] = {
            (kind, side): [] for kind in ("stop", "limit") for side in (1, -1)
        }
        self.count = 0

    def add(self, order: ShareOrder) -> None:
        heappush(self._later, (order.eligible_us, order.number, order))
        if order.expires_us < inf:
            heappush(self._expiries, (order.expires_us, order.number, order))
        self.count += 1

    def cancel(self, order: ShareOrder) -> None:
        """Take an order out; its heap entry goes when it comes up."""
        if order.alive:
            order.alive = False
            self.count -= 1

    def expire(self, now_us: int) -> Iterator[ShareOrder]:
        """Take out what is dead at ``now_us``."""
        while self._expiries and self._expiries[0][0] <= now_us:
            order = heappop(self._expiries)[2]
            if order.alive:
                self.cancel(order)
                yield order

    def activate(self, bar_start_us: int) -> None:
        """Let orders in that are eligible for a bar that starts now."""
        while self._later and self._later[0][0] <= bar_start_us:
            order = heappop(self._later)[2]
            if order.alive:
                intent = order.intent
                price = intent.price or 0.0
                # The first to trigger: highest buy limit and sell stop, lowest sell limit and buy stop.
                turned = -price if (intent.order == "limit") == (intent.side > 0) else price
                heappush(self._heaps[intent.order, intent.side], (turned, order.number, order))

    def triggered(self, low: float, high: float) -> Iterator[ShareOrder]:
        """Take out the orders that a bar triggers: stops, then limits, each nearest first."""
        tick = self._tick
        reach = {("stop", 1): high, ("stop", -1): -low, ("limit", 1): -(low + tick), ("limit", -1): high - tick}
        for key, heap in self._heaps.items():
            while heap and (heap[0][0] <= reach[key] or not heap[0][2].alive):
                order = heappop(heap)[2]
                if order.alive:
                    self.cancel(order)
                    yield order
