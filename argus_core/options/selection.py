"""Choose option structures from a snapshot: by days to expiry, delta, width and liquidity, priced at bid and ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from argus_core.options.chains import ExpirySlice, expiries, expiry_slice
from argus_core.options.tape import OptionSnapshot
from argus_core.strategies.interface import Leg


@dataclass(frozen=True)
class Liquidity:
    """What a contract must offer to be chosen: a two-sided quote within these limits.

    Attributes:
        max_spread: largest (ask - bid)/mid.
        min_open_interest: fewest open contracts; unknown passes.
        min_size: fewest contracts on either side; unknown passes.
    """

    max_spread: float = 0.25
    min_open_interest: float = 0.0
    min_size: float = 0.0

    def allows(self, part: ExpirySlice) -> NDArray[np.bool_]:
        """One flag per contract of ``part``."""
        with np.errstate(invalid="ignore", divide="ignore"):
            tight = (part.ask - part.bid) / (0.5 * (part.ask + part.bid)) <= self.max_spread
            thin = (part.open_interest < self.min_open_interest) | (
                np.fmin(part.bid_size, part.ask_size) < self.min_size
            )
        return part.two_sided & tight & ~thin


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
            both = np.intersect1d(part.strike[good & part.call], part.strike[good & ~part.call])
            if not len(both) or not np.isfinite(part.forward):
                continue
            strike = both[np.argmin(np.abs(both - part.forward))]
            rows = [
                int(np.flatnonzero(good & (part.strike == strike) & (part.call == call))[0]) for call in (False, True)
            ]
        else:
            found = [_nearest_delta(part, right, delta, good) for right in ("P", "C")]
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
            if far_expiry <= near_expiry or not np.isfinite(near.forward):
                continue
            rights = [part.call == (right == "C") for part in (near, far)]
            good = [liquidity.allows(part) & chosen for part, chosen in zip((near, far), rights, strict=True)]
            both = np.intersect1d(near.strike[good[0]], far.strike[good[1]])
            if not len(both):
                continue
            strike = both[np.argmin(np.abs(both - near.forward))]
            rows = [
                int(np.flatnonzero(flags & (part.strike == strike))[0])
                for part, flags in zip((near, far), good, strict=True)
            ]
            return _structure([(near, rows[0], -1), (far, rows[1], 1)], days)
    return None


def _in_window(
    snapshot: OptionSnapshot, target: int, least: int, most: int, rate: float
) -> Iterator[tuple[date, int, ExpirySlice]]:
    """Expiries inside the window, nearest to the target first, then the earlier."""
    listed = [item for item in expiries(snapshot) if least <= item[1] <= most]
    for day, left in sorted(listed, key=lambda item: (abs(item[1] - target), item[1])):
        yield day, left, expiry_slice(snapshot, day, rate=rate)


def _nearest_delta(part: ExpirySlice, right: str, delta: float, good: NDArray[np.bool_]) -> int | None:
    """Row of the contract out of the money whose absolute delta is nearest to ``delta``."""
    with np.errstate(invalid="ignore"):
        outside = part.strike < part.forward if right == "P" else part.strike > part.forward
    rows = np.flatnonzero(good & (part.call == (right == "C")) & outside & np.isfinite(part.delta))
    return int(rows[np.argmin(np.abs(np.abs(part.delta[rows]) - delta))]) if len(rows) else None


def _wing(
    part: ExpirySlice, right: str, short_delta: float, width: float, liquidity: Liquidity
) -> tuple[int, int] | None:
    """Rows of the short leg and of the long one further out."""
    good = liquidity.allows(part)
    short = _nearest_delta(part, right, short_delta, good)
    if short is None:
        return None
    out = -1 if right == "P" else 1
    with np.errstate(invalid="ignore"):
        beyond = out * (part.strike - part.strike[short])
        outside = part.strike < part.forward if right == "P" else part.strike > part.forward
    near_enough = (beyond >= 0.5 * width) & (beyond <= 1.5 * width)
    longs = np.flatnonzero(good & (part.call == (right == "C")) & outside & near_enough)
    return (short, int(longs[np.argmin(np.abs(beyond[longs] - width))])) if len(longs) else None


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
