"""Choose option structures from a snapshot: by days to expiry, delta, width and liquidity, priced at bid and ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from argus_core.options.chains import ExpirySlice, expiries, expiry_slice
from argus_core.options.structures import Liquidity, calendar_rows, nearest_delta, straddle_rows, wings
from argus_core.options.tape import OptionSnapshot
from argus_core.strategies.interface import Leg


@dataclass(frozen=True)
class Structure:
    """Legs of one option order. Money in dollars per share.

    Attributes:
        price: what one structure costs at ask for what is bought and bid for what is sold; negative: a credit.
        days: calendar days to the first expiry.
        width: largest distance of two strikes of one right and expiry; 0 where there is none.
        deltas: signed delta per leg, per contract bought.
    """

    legs: tuple[Leg, ...]
    price: float
    days: int
    width: float
    deltas: tuple[float, ...]

    @property
    def credit(self) -> float:
        """What selling it brings; 0 where it is paid for."""
        return max(-self.price, 0.0)

    @property
    def delta(self) -> float:
        """Net delta per structure, in shares per share of multiplier."""
        return sum(leg.quantity * delta for leg, delta in zip(self.legs, self.deltas, strict=True))


def select_vertical(
    snapshot: OptionSnapshot,
    *,
    right: Literal["C", "P"],
    short_delta: float,
    target_days: int,
    min_days: int,
    max_days: int,
    width: float,
    liquidity: Liquidity,
    rate: float = 0.0,
) -> Structure | None:
    """The credit spread out of the money that is nearest to the wishes, or None where the chain offers none.

    The expiry nearest to ``target_days`` inside [min_days, max_days] that offers one (ties: the earlier); its contract
    out of the money whose delta is nearest to ``short_delta`` is sold; the one nearest to ``width`` dollars further out
    is bought, not within half or beyond one and a half times that.

    Args:
        right: "P" sells puts below the forward, "C" calls above it.
        short_delta: absolute delta of the short leg, for instance .25.
        width: distance of the strikes in dollars.
    """
    for _, days, part in _in_window(snapshot, target_days, min_days, max_days, rate):
        rows = _wing(part, right, short_delta, width, liquidity)
        if rows is not None:
            return _structure([(part, rows[0], -1), (part, rows[1], 1)], days)
    return None


def select_iron_condor(
    snapshot: OptionSnapshot,
    *,
    short_delta: float,
    target_days: int,
    min_days: int,
    max_days: int,
    width: float,
    liquidity: Liquidity,
    rate: float = 0.0,
) -> Structure | None:
    """A short put spread and a short call spread of one expiry, each chosen as `select_vertical` does, or None."""
    for _, days, part in _in_window(snapshot, target_days, min_days, max_days, rate):
        puts = _wing(part, "P", short_delta, width, liquidity)
        calls = _wing(part, "C", short_delta, width, liquidity)
        if puts is not None and calls is not None:
            return _structure(
                [(part, puts[0], -1), (part, puts[1], 1), (part, calls[0], -1), (part, calls[1], 1)], days
            )
    return None


def select_strangle(
    snapshot: OptionSnapshot,
    *,
    delta: float | None,
    target_days: int,
    min_days: int,
    max_days: int,
    liquidity: Liquidity,
    rate: float = 0.0,
) -> Structure | None:
    """A bought put and call of one expiry out of the money with deltas nearest to ``delta``; None: a straddle.

    A straddle takes the strike nearest to the forward at which both rights may be traded.
    """
    for _, days, part in _in_window(snapshot, target_days, min_days, max_days, rate):
        good = liquidity.allows(part)
        if delta is None:
            puts, calls = straddle_rows(part, good, 1)
            if not len(puts):
                continue
            rows = [int(puts[0]), int(calls[0])]
        else:
            found = [nearest_delta(part, right, delta, good) for right in ("P", "C")]
            if None in found:
                continue
            rows = [row for row in found if row is not None]
        return _structure([(part, row, 1) for row in rows], days)
    return None


def select_straddle(
    snapshot: OptionSnapshot,
    *,
    target_days: int,
    min_days: int,
    max_days: int,
    liquidity: Liquidity,
    rate: float = 0.0,
) -> Structure | None:
    """A bought put and call at the strike nearest to the forward, or None."""
    return select_strangle(
        snapshot,
        delta=None,
        target_days=target_days,
        min_days=min_days,
        max_days=max_days,
        liquidity=liquidity,
        rate=rate,
    )


def select_calendar(
    snapshot: OptionSnapshot,
    *,
    right: Literal["C", "P"],
    near_days: int,
    far_days: int,
    tolerance_days: int,
    liquidity: Liquidity,
    rate: float = 0.0,
) -> Structure | None:
    """Sells the near and buys the far expiry of one strike, the one nearest to the near forward, or None.

    Each expiry lies within ``tolerance_days`` of its wish, and the far one after the near one.
    """
    near_listed = _in_window(snapshot, near_days, near_days - tolerance_days, near_days + tolerance_days, rate)
    for near_expiry, days, near in near_listed:
        for far_expiry, _, far in _in_window(
            snapshot, far_days, far_days - tolerance_days, far_days + tolerance_days, rate
        ):
            if far_expiry <= near_expiry:
                continue
            here, there = calendar_rows(near, far, right, (liquidity.allows(near), liquidity.allows(far)), 1)
            if len(here):
                return _structure([(near, int(here[0]), -1), (far, int(there[0]), 1)], days)
    return None


def _in_window(
    snapshot: OptionSnapshot, target: int, least: int, most: int, rate: float
) -> Iterator[tuple[date, int, ExpirySlice]]:
    """Expiries inside the window, nearest to the target first, then the earlier."""
    listed = [item for item in expiries(snapshot) if least <= item[1] <= most]
    for day, left in sorted(listed, key=lambda item: (abs(item[1] - target), item[1])):
        yield day, left, expiry_slice(snapshot, day, rate=rate)


def _wing(
    part: ExpirySlice, right: str, short_delta: float, width: float, liquidity: Liquidity
) -> tuple[int, int] | None:
    """Rows of the short leg and of the long one further out."""
    good = liquidity.allows(part)
    short = nearest_delta(part, right, short_delta, good)
    if short is None:
        return None
    long = int(wings(part, right, np.array([short]), width, 0.5, good)[0])
    return (short, long) if long >= 0 else None


def _structure(chosen: list[tuple[ExpirySlice, int, int]], days: int) -> Structure:
    """The structure of (expiry, row, quantity) each."""
    legs = tuple(
        Leg(part.contract[row], part.expiry, float(part.strike[row]), "C" if part.call[row] else "P", quantity)
        for part, row, quantity in chosen
    )
    price = sum(quantity * float((part.ask if quantity > 0 else part.bid)[row]) for part, row, quantity in chosen)
    groups: dict[tuple[date, str], list[float]] = {}
    for leg in legs:
        groups.setdefault((leg.expiry, leg.right), []).append(leg.strike)
    return Structure(
        legs=legs,
        price=price,
        days=days,
        width=max(max(strikes) - min(strikes) for strikes in groups.values()),
        deltas=tuple(float(part.delta[row]) for part, row, _ in chosen),
    )
