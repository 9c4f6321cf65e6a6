"""Fills and marks of option structures: bid or ask of a received quote, all legs or none, never mid.

A structure is a tuple of legs of one or several expiries; its net price is dollars per share, positive when it is paid
for. Reject reasons are tested in the order of semantics §6, each over all legs: NO_QUOTE, ZERO_BID, CROSSED,
SPREAD_WIDE, STALE_QUOTE, INSUFFICIENT_SIZE, and NO_BUYING_POWER by the engine, which knows the book.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan

from argus_core.options.tape import LegQuote, OptionSnapshot
from argus_core.replay.accounting import LegMark
from argus_core.replay.option_margin import leg_value
from argus_core.replay.results import (
    CROSSED,
    INSUFFICIENT_SIZE,
    NO_QUOTE,
    SPREAD_WIDE,
    STALE_QUOTE,
    ZERO_BID,
)
from argus_core.settings import ExecutionSettings
from argus_core.strategies.interface import Leg


@dataclass(frozen=True, slots=True)
class StructureQuote:
    """What trading one structure costs at a snapshot.

    Attributes:
        price: net dollars per share, positive paid, negative received.
        spread_cost: dollars per share given up against the mids.
        prices: fill price per leg.
    """

    price: float
    spread_cost: float
    prices: tuple[float, ...]


def leg_price(quote: LegQuote, direction: int, cost_multiplier: float) -> float:
    """Fill price of one leg: the ask to buy (+1), the bid to sell (-1); the multiplier scales the half spread.

    mid +/- m * half spread, written so that m = 1 gives exactly the ask or the bid. Never below zero.
    """
    beyond = (cost_multiplier - 1.0) * 0.5 * (quote.ask - quote.bid)
    return quote.ask + beyond if direction > 0 else max(quote.bid - beyond, 0.0)


def reject_reason(
    legs: Sequence[Leg],
    structures: float,
    snapshot: OptionSnapshot,
    execution: ExecutionSettings,
    since_us: int = 0,
) -> str | None:
    """Why ``structures`` units of ``legs`` cannot trade at ``snapshot`` (positive quantities buy), or None.

    * NO_QUOTE: a leg is absent, its bid or ask unknown, or a side stood before ``since_us``.
    * ZERO_BID: a leg's bid (or ask) is zero: not a two-sided market, whichever side is needed.
    * CROSSED: bid above ask.
    * SPREAD_WIDE: (ask - bid)/mid beyond ``option_max_spread``.
    * STALE_QUOTE: the quote stood more than ``option_max_quote_age_seconds`` before the fill.
    * INSUFFICIENT_SIZE: fewer contracts on the side needed than asked for, or than ``option_min_size``; an unknown
      size passes.

    Raises:
        ValueError: if a quote stands after its receipt.
    """
    found = [snapshot.quote(leg.contract) for leg in legs]
    quotes = [q for q in found if q is not None and q.ts_us >= since_us and not isnan(q.bid) and not isnan(q.ask)]
    if len(quotes) < len(legs):
        return NO_QUOTE
    for leg, quote in zip(legs, quotes, strict=True):
        if quote.ts_us > snapshot.recv_us:
            raise ValueError(f"{leg.contract}: quote of {quote.ts_us} us received before it stood, {snapshot.recv_us}.")
    if any(q.bid <= 0.0 or q.ask <= 0.0 for q in quotes):
        return ZERO_BID
    if any(q.bid > q.ask for q in quotes):
        return CROSSED
    if any(q.ask - q.bid > execution.option_max_spread * 0.5 * (q.ask + q.bid) for q in quotes):
        return SPREAD_WIDE
    oldest = min(q.ts_us for q in quotes)
    if snapshot.recv_us - oldest > execution.option_max_quote_age_seconds * 1_000_000:
        return STALE_QUOTE
    for leg, quote in zip(legs, quotes, strict=True):
        size = quote.ask_size if leg.quantity > 0 else quote.bid_size
        if size < max(abs(leg.quantity) * structures, execution.option_min_size):
            return INSUFFICIENT_SIZE
    return None


def structure_quote(legs: Sequence[Leg], snapshot: OptionSnapshot, execution: ExecutionSettings) -> StructureQuote:
    """Price of one structure at ``snapshot``; call it only where `reject_reason` returned None.

    Raises:
        KeyError: if a leg has no quote.
    """
    price = spread_cost = 0.0
    prices = []
    for leg in legs:
        quote = snapshot.quote(leg.contract)
        if quote is None:
            raise KeyError(leg.contract)
        direction = 1 if leg.quantity > 0 else -1
        each = leg_price(quote, direction, execution.cost_multiplier)
        price += leg.quantity * each
        spread_cost += abs(leg.quantity) * abs(each - 0.5 * (quote.bid + quote.ask))
        prices.append(each)
    return StructureQuote(price, spread_cost, tuple(prices))


def closing_legs(legs: Sequence[Leg]) -> tuple[Leg, ...]:
    """The legs that undo ``legs``."""
    return tuple(Leg(leg.contract, leg.expiry, leg.strike, leg.right, -leg.quantity) for leg in legs)


def refresh_marks(
    legs: Sequence[Leg],
    marks: list[LegMark],
    snapshot: OptionSnapshot,
    execution: ExecutionSettings,
    since_us: int = 0,
) -> list[LegQuote | None]:
    """Bring the marks of held ``legs`` to ``snapshot``: bid for a long leg, ask for a short one.

    A leg without a quote since ``since_us``, with a crossed one, or without an ask keeps its last mark. A long leg
    without a bid is worth nothing.

    Returns:
        The quote of every leg that was marked anew, None for the others.
    """
    used: list[LegQuote | None] = [None] * len(legs)
    for position, leg in enumerate(legs):
        quote = snapshot.quote(leg.contract)
        if quote is None or quote.ts_us < since_us or isnan(quote.ask) or quote.ask <= 0.0:
            continue
        if isnan(quote.bid):
            quote = replace(quote, bid=0.0)
        if quote.bid > quote.ask:
            continue
        price = leg_price(quote, -1 if leg.quantity > 0 else 1, execution.cost_multiplier)
        marks[position] = LegMark(price, abs(price - 0.5 * (quote.bid + quote.ask)), quote.ts_us)
        used[position] = quote
    return used


def structure_mark(legs: Sequence[Leg], marks: Sequence[LegMark]) -> float:
    """Net dollars per share that closing one structure brings at the marks (negative: costs)."""
    return sum(leg.quantity * mark.price for leg, mark in zip(legs, marks, strict=True))


def marked_spread(legs: Sequence[Leg], marks: Sequence[LegMark]) -> float:
    """Dollars per share given up against the mids when a structure is closed at its marks."""
    return sum(abs(leg.quantity) * mark.half_spread for leg, mark in zip(legs, marks, strict=True))


def forced_prices(
    legs: Sequence[Leg], marks: Sequence[LegMark], underlying: float, now_us: int, execution: ExecutionSettings
) -> tuple[float, ...]:
    """Dollars per share of every leg when a structure is liquidated because it must be.

    Each leg at its newest closing quote; where that is older than ``option_max_quote_age_seconds``, at the worse of
    that quote and its intrinsic value.
    """
    oldest = now_us - execution.option_max_quote_age_seconds * 1_000_000
    return tuple(
        mark.price if mark.ts_us >= oldest else worse_price(leg, mark, underlying)
        for leg, mark in zip(legs, marks, strict=True)
    )


def worse_price(leg: Leg, mark: LegMark, underlying: float) -> float:
    """The worse of a leg's last closing quote and its intrinsic value, for the side that is held."""
    intrinsic = leg_value(leg, underlying)
    return min(mark.price, intrinsic) if leg.quantity > 0 else max(mark.price, intrinsic)
