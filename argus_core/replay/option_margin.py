"""What option structures owe at worst: intrinsic values, naked legs, the buying power that a structure holds back."""

from __future__ import annotations

from collections.abc import Sequence

from argus_core.strategies.interface import Leg


def leg_value(leg: Leg, underlying: float) -> float:
    """Dollars per share that one contract of the leg is worth at expiry, seen by its holder."""
    gain = underlying - leg.strike if leg.right == "C" else leg.strike - underlying
    return max(gain, 0.0)


def intrinsic_value(legs: Sequence[Leg], underlying: float) -> float:
    """Dollars per share that the legs of one structure are worth at expiry, signed as held."""
    return sum(leg.quantity * leg_value(leg, underlying) for leg in legs)


def is_naked(legs: Sequence[Leg]) -> bool:
    """Whether at some expiry more calls, or more puts, are sold than still bought: the strikes do not bound the loss.

    A long leg covers a short one that expires no later.
    """
    return any(
        sum(leg.quantity for leg in alive if leg.right == right) < 0 for alive in _alive_sets(legs) for right in "CP"
    )


def worst_expiry_loss(legs: Sequence[Leg]) -> float:
    """Largest dollars per share that one structure can owe at an expiry; 0 where it never owes anything.

    At each expiry the legs that live then count with their intrinsic value: what expires later is worth at least that
    to its holder (American exercise), so the bound holds for calendars and diagonals too. The payoff is linear
    between strikes, so its minimum lies at zero or at a strike; for naked calls, which owe without bound, the
    underlying at twice the highest strike is taken (margin accounts only).
    """
    return max((_worst_of(alive) for alive in _alive_sets(legs)), default=0.0)


def _alive_sets(legs: Sequence[Leg]) -> list[tuple[Leg, ...]]:
    """For each expiry, the legs that live until it at least."""
    return [tuple(leg for leg in legs if leg.expiry >= day) for day in sorted({leg.expiry for leg in legs})]


def _worst_of(legs: Sequence[Leg]) -> float:
    corners = [0.0, *(leg.strike for leg in legs)]
    if sum(leg.quantity for leg in legs if leg.right == "C") < 0:
        corners.append(2.0 * max(corners))
    return max(0.0, -min(intrinsic_value(legs, corner) for corner in corners))
