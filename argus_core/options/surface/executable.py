"""Static arbitrage that can be traded: buy at the ask, sell at the bid, pay fees, and never lose.

All strikes of an expiry are searched, not neighbours only, in O(n log n): what can be bought at the asks of any
strikes bounds the price of a strike by the lower convex hull of the points (strike, ask). A bid above the hull is a
trade, and the hull's two corners are its other legs; one running minimum each finds the best vertical spreads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: An edge below this share of the forward is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Trade:
    """One static arbitrage.

    Attributes:
        kind: vertical, butterfly, calendar or parity.
        expiry: the (later) expiry; of a calendar that of what is sold.
        legs: (contract, quantity) with positive quantities bought; quantities are shares of the one contract sold.
        rows: rows of the legs in the frame given.
        edge: dollars per share that remain after crossing the spread, before fees.
        net_edge: dollars per ``multiplier`` shares after fees on every leg.
        why: why it cannot lose, in words.
    """

    kind: str
    expiry: date
    legs: tuple[tuple[str, float], ...]
    rows: tuple[int, ...]
    edge: float
    net_edge: float
    why: str


def executable_arbitrage(
    vols: pl.DataFrame,
    *,
    american: bool,
    fee: float = 0.0,
    multiplier: float = 100.0,
    forward_se: dict[object, float] | None = None,
    spot: float | None = None,
    rate_error: float = 0.0,
) -> list[Trade]:
    """Every contract whose bid can be hedged by asks for less, with its best hedge; and parity breaks.

    A pair of quotes may appear in more than one kind: parity and butterfly see the same wrong quote from two sides.

    Args:
        vols: `ImpliedVols` of one snapshot, any order. Used and unused rows alike: prices need no volatility. A side
            is quoted where its price is above zero.
        american: bounds of American exercise instead of European ones.
        fee: dollars per contract traded.
        multiplier: shares per contract.
        forward_se: standard error of the forward by ``expiry_ts``; American parity and European calendars need an edge
            beyond three of them.
        spot: price of the underlying; the upper bound of American parity is not tested without it.
        rate_error: what a discount rate may be wrong by, as a fraction; bounds that hold a discounted distance of
            strikes are that much wider.

    Returns:
        Trades with a net edge above zero, by expiry, then kind, then contracts.
    """
    rows = (
        vols.with_row_index("row")
        .with_columns(pl.col("bid", "ask").fill_nan(None))
        .with_columns(
            bid=pl.when(pl.col("bid") > 0).then(pl.col("bid")).otherwise(float("nan")),
            ask=pl.when(pl.col("ask") > 0).then(pl.col("ask")).otherwise(float("nan")),
            forward=pl.col("forward").fill_null(float("nan")),
        )
        .filter(pl.col("t_cal") > 0, pl.col("strike") > 0)
        .sort("t_cal", "expiry_ts", "right", "strike", "contract")
    )
    chains = [_Chain.of(part) for part in rows.partition_by("expiry_ts", "right", maintain_order=True)]
    errors = forward_se or {}
    found: list[Trade] = []
    for chain in chains:
        found += chain.verticals_and_butterflies(american, rate_error)
    for right in ("C", "P"):
        found += _calendars([chain for chain in chains if chain.right == right], american, errors)
    for call, put in _pairs(chains):
        found += _american_parity(call, put, spot, errors, rate_error) if american else _boxes(call, put, rate_error)
    paid = [
        replace(trade, net_edge=trade.edge * multiplier - fee * sum(abs(quantity) for _, quantity in trade.legs))
        for trade in found
    ]
    good = [trade for trade in paid if trade.net_edge > 0]
    return sorted(good, key=lambda trade: (trade.expiry, trade.kind, [contract for contract, _ in trade.legs]))


@dataclass(frozen=True)
class _Chain:
    """Contracts of one expiry and right, ascending in strike."""

    expiry: date
    expiry_ts: object
    right: str
    years: float
    forward: float
    discount: float
    strike: Floats
    bid: Floats
    ask: Floats
    contract: list[str]
    row: list[int]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> _Chain:
        head = rows.row(0, named=True)
        return cls(
            head["expiry"],
            head["expiry_ts"],
            head["right"],
            float(head["t_cal"]),
            float(head["forward"]),
            float(head["discount"]),
            rows["strike"].to_numpy().astype(float),
            rows["bid"].to_numpy().astype(float),
            rows["ask"].to_numpy().astype(float),
            rows["contract"].to_list(),
            rows["row"].to_list(),
        )

    @property
    def smallest(self) -> float:
        return _ROUNDING * (self.forward if np.isfinite(self.forward) else float(self.strike.max()))

    def trade(self, kind: str, legs: Sequence[tuple[int, float]], edge: float, why: str) -> Trade:
        return Trade(
            kind,
            self.expiry,
            tuple((self.contract[i], quantity) for i, quantity in legs),
            tuple(self.row[i] for i, _ in legs),
            edge,
            0.0,
            why,
        )

    def verticals_and_butterflies(self, american: bool, rate_error: float) -> Iterator[Trade]:
        """Per contract with a bid, the best hedge by one strike and the best by two."""
        # A put chain in -strike falls with slope 0 .. -discount like a call chain in strike.
        flip = 1.0 if self.right == "C" else -1.0
        order = np.arange(len(self.strike))[:: int(flip)]
        x, bid, ask = flip * self.strike[order], self.bid[order], self.ask[order]
        steepest = 1.0 if american else min(self.discount * (1.0 + rate_error * self.years), 1.0)
        asked = np.flatnonzero(np.isfinite(ask))
        if not len(asked):
            return
        points = x[asked], ask[asked]
        # Deeper in the money is worth at least as much: buy any contract at or left of x.
        falls = np.minimum.accumulate(points[1])
        deeper = _first_argmin(points[1])
        left = np.searchsorted(points[0], x, side="left") - 1
        # Further out of the money costs at most the distance less: buy at or right of x and keep discount * distance.
        rise = points[1] + steepest * points[0]
        rising = np.minimum.accumulate(rise[::-1])[::-1]
        further = len(rise) - 1 - _first_argmin(rise[::-1])[::-1]
        right = np.searchsorted(points[0], x, side="right")
        hull = _lower_hull(*points)
        for i in np.flatnonzero(np.isfinite(bid)):
            options: list[tuple[float, list[tuple[int, float]], str]] = []
            if left[i] >= 0:
                edge = bid[i] - falls[left[i]]
                options.append((edge, [(asked[deeper[left[i]]], 1.0)], "it is worth at least 0 at expiry"))
            if right[i] < len(asked):
                edge = bid[i] + steepest * x[i] - rising[right[i]]
                legs = [(asked[further[right[i]]], 1.0)]
                options.append((edge, legs, "it can cost at most the distance of the strikes"))
            if options:
                edge, legs, words = max(options, key=lambda option: option[0])
                if edge > self.smallest:
                    yield self.trade("vertical", _sold(order, int(i), legs), float(edge), words)
            edge, wings = _above_hull(x[i], bid[i], points[0], points[1], hull, skip=_position(asked, i))
            if edge > self.smallest:
                legs = [(asked[j], share) for j, share in wings]
                words = "the wings are worth at least as much as the body at any price"
                yield self.trade("butterfly", _sold(order, int(i), legs), edge, words)


def _sold(order: NDArray[np.intp], sold: int, bought: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Legs as positions of the chain, what is sold first."""
    return [(int(order[sold]), -1.0), *((int(order[i]), float(share)) for i, share in bought)]


def _first_argmin(values: Floats) -> NDArray[np.intp]:
    """Position of the running minimum."""
    running = np.minimum.accumulate(values)
    new = np.concatenate([[True], running[1:] < running[:-1]])
    return np.maximum.accumulate(np.where(new, np.arange(len(values)), 0))


def _position(sorted_positions: NDArray[np.intp], wanted: int) -> int:
    """Index of ``wanted`` among them, -1 where it is not there."""
    at = int(np.searchsorted(sorted_positions, wanted))
    return at if at < len(sorted_positions) and sorted_positions[at] == wanted else -1


def _lower_hull(x: Floats, y: Floats) -> list[int]:
    """Positions of the corners of the lower convex hull; x ascending, of equal x the lowest y counts."""
    hull: list[int] = []
    for i in range(len(x)):
        if hull and x[hull[-1]] == x[i]:
            if y[hull[-1]] <= y[i]:
                continue
            hull.pop()
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) >= (y[i] - y[a]) * (x[b] - x[a]):
                hull.pop()
            else:
                break
        hull.append(i)
    return hull


def _above_hull(
    at: float, bid: float, x: Floats, y: Floats, hull: list[int], skip: int = -1
) -> tuple[float, list[tuple[int, float]]]:
    """How far ``bid`` lies above the hull at ``at``, and the corners with their shares.

    Where the contract's own ask (position ``skip``) is a corner, its bid lies above the hull only if it is crossed: the
    quote is the neighbours' chord away then.
    """
    corners = x[hull]
    i = int(np.searchsorted(corners, at, side="left"))
    if skip >= 0 and i < len(hull) and hull[i] == skip:
        if i == 0 or i == len(hull) - 1:
            return -np.inf, []
        a, b = hull[i - 1], hull[i + 1]
    elif i < len(hull) and corners[i] == at:
        return bid - y[hull[i]], [(hull[i], 1.0)]
    elif i == 0 or i == len(hull):
        return -np.inf, []
    else:
        a, b = hull[i - 1], hull[i]
    share = (x[b] - at) / (x[b] - x[a])
    return float(bid - share * y[a] - (1.0 - share) * y[b]), [(a, float(share)), (b, float(1.0 - share))]


def _calendars(chains: list[_Chain], american: bool, errors: dict[object, float]) -> Iterator[Trade]:
    """Bids of an expiry above what later expiries can be bought for.

    American: the same strike, later, is worth at least as much; so are two strikes around it. European: at the same
    strike / forward, prices over discount * forward rise with time (deterministic rates and dividends). Later expiries
    are searched together: only the corners of their common hull can be the cheapest.
    """
    pooled: list[tuple[float, float, _Chain, int]] = []
    for chain in reversed(chains):
        unit = 1.0 if american else chain.discount * chain.forward
        scale = 1.0 if american else chain.forward
        if not (np.isfinite(unit) and unit > 0):
            continue
        if pooled:
            x, y = np.array([p[0] for p in pooled]), np.array([p[1] for p in pooled])
            hull = list(range(len(pooled)))
            bottom = int(np.argmin(y))
            for i in np.flatnonzero(np.isfinite(chain.bid)):
                at = chain.strike[i] / scale
                if (at - x[bottom]) * (1.0 if chain.right == "C" else -1.0) >= 0:
                    edge, wings = float(chain.bid[i] / unit - y[bottom]), [(bottom, 1.0)]
                else:
                    edge, wings = _above_hull(at, chain.bid[i] / unit, x, y, hull)
                if not edge > 0:
                    continue
                late = [pooled[j] for j, _ in wings]
                slack = 0.0 if american else 3.0 * _moneyness_error([chain, *(p[2] for p in late)], errors)
                if edge * unit > slack + chain.smallest:
                    legs = [(chain.contract[i], -1.0)]
                    rows = [chain.row[i]]
                    for (_, _, later, position), (_, share) in zip(late, wings, strict=True):
                        quantity = share if american else share * unit / (later.discount * later.forward)
                        legs.append((later.contract[position], float(quantity)))
                        rows.append(later.row[position])
                    why = "the later options are worth at least as much when the earlier one expires"
                    yield Trade("calendar", chain.expiry, tuple(legs), tuple(rows), float(edge * unit), 0.0, why)
        pooled += [
            (float(chain.strike[i] / scale), float(chain.ask[i] / unit), chain, int(i))
            for i in np.flatnonzero(np.isfinite(chain.ask))
        ]
        pooled.sort(key=lambda point: (point[0], point[1]))
        corners = _lower_hull(np.array([p[0] for p in pooled]), np.array([p[1] for p in pooled]))
        pooled = [pooled[i] for i in corners]


def _moneyness_error(chains: list[_Chain], errors: dict[object, float]) -> float:
    """Standard error of a price difference at equal moneyness from that of the forwards, delta at most 1."""
    squares = {chain.expiry_ts: (chain.discount * errors.get(chain.expiry_ts, 0.0)) ** 2 for chain in chains}
    return float(np.sqrt(sum(squares.values())))


def _pairs(chains: list[_Chain]) -> Iterator[tuple[_Chain, _Chain]]:
    """Calls and puts of one expiry."""
    for one, two in pairwise(chains):
        if one.expiry_ts == two.expiry_ts and (one.right, two.right) == ("C", "P"):
            yield one, two


def _boxes(call: _Chain, put: _Chain, rate_error: float) -> Iterator[Trade]:
    """European parity without a forward: C - P + discount K = discount F is the same number at every strike. What it
    costs at the ask at one strike must not lie below what it brings at the bid at another.

    The two extremes make the trade; the one further from the median of all is at fault and leaves before the next.
    """
    common, at_call, at_put = np.intersect1d(call.strike, put.strike, return_indices=True)
    cost = call.ask[at_call] - put.bid[at_put] + call.discount * common
    gain = call.bid[at_call] - put.ask[at_put] + call.discount * common
    known = np.isfinite(cost) & np.isfinite(gain)
    if not known.any():
        return
    middle = float(np.median(0.5 * (cost + gain)[known]))
    cost, gain = np.where(np.isfinite(cost), cost, np.inf), np.where(np.isfinite(gain), gain, -np.inf)
    why = "a synthetic forward bought at one strike and sold at another is worth a fixed amount at expiry"
    unsure = call.discount * rate_error * call.years * np.abs(common[:, None] - common[None, :])
    net = gain[:, None] - cost[None, :] - unsure  # sold, bought
    for _ in range(len(common)):
        sold, bought = (int(i) for i in np.unravel_index(int(np.argmax(net)), net.shape))
        if not net[sold, bought] > call.smallest:
            return
        contracts = (
            (call, at_call[bought], 1.0),
            (put, at_put[bought], -1.0),
            (call, at_call[sold], -1.0),
            (put, at_put[sold], 1.0),
        )
        yield _of_legs("parity", contracts, float(gain[sold] - cost[bought]), why)
        at_fault = sold if gain[sold] - middle > middle - cost[bought] else bought
        net[at_fault, :], net[:, at_fault] = -np.inf, -np.inf


def _american_parity(
    call: _Chain, put: _Chain, spot: float | None, errors: dict[object, float], rate_error: float
) -> Iterator[Trade]:
    """discount F - K <= C - P <= S - discount K: the discounted forward is the spot less dividends, so that a spot
    below it is an old one. A forward implied near the money with a wrong rate is off, at a far strike, by rate x time
    x distance."""
    if not np.isfinite(call.forward):
        return
    common, at_call, at_put = np.intersect1d(call.strike, put.strike, return_indices=True)
    unsure = call.discount * rate_error * call.years * np.abs(common - call.forward)
    slack = 3.0 * call.discount * errors.get(call.expiry_ts, 0.0) + call.smallest + unsure
    low = call.discount * call.forward - common - (call.ask[at_call] - put.bid[at_put])
    for i in np.flatnonzero(low > slack):
        legs = ((call, at_call[i], 1.0), (put, at_put[i], -1.0))
        yield _of_legs(
            "parity",
            legs,
            float(low[i]),
            "a call less its put is worth at least the spot less dividends less the strike",
        )
    if spot is None:
        return
    high = call.bid[at_call] - put.ask[at_put] - (max(spot, call.discount * call.forward) - call.discount * common)
    for i in np.flatnonzero(high > slack):
        legs = ((call, at_call[i], -1.0), (put, at_put[i], 1.0))
        yield _of_legs(
            "parity", legs, float(high[i]), "a call less its put is worth at most the spot less the discounted strike"
        )


def _of_legs(kind: str, parts: Sequence[tuple[_Chain, int, float]], edge: float, why: str) -> Trade:
    return Trade(
        kind,
        parts[0][0].expiry,
        tuple((chain.contract[i], quantity) for chain, i, quantity in parts),
        tuple(chain.row[i] for chain, i, _ in parts),
        edge,
        0.0,
        why,
    )
