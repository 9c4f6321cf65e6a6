"""What option structures owe at worst: intrinsic values, naked legs, the buying power that a structure holds back."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

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
    """Largest dollars per share that one structure can owe at its expiries; 0 where it never owes anything.

    One expiry: the least payoff over all underlyings, which lies at zero or at a strike. Several: at each expiry what
    settles then, plus the least that the rest is worth at that underlying (`_floor`): a long leg that lives longer
    covers a short one as it does in a calendar, while two spreads of different expiries can both lose. The reserve
    suffices before the first expiry and after each later one. Naked calls owe without bound; for them the underlying
    at twice the highest strike is taken (margin accounts only).
    """
    worst = 0.0
    rest: _Lines = [(0, 0.0)]
    for day in sorted({leg.expiry for leg in legs}, reverse=True):
        group = [leg for leg in legs if leg.expiry == day]
        strikes = [leg.strike for leg in legs if leg.expiry >= day]
        points = sorted({0.0, *strikes, *_kinks(rest)})
        slope = sum(leg.quantity for leg in group if leg.right == "C") + rest[-1][0]
        if slope < 0:
            points.append(2.0 * max(points))
        worth = [intrinsic_value(group, x) + _floor(rest, x) for x in points]
        worst = max(worst, -min(worth))
        rest = _minorants(points, worth, slope)
    return worst


#: Lines slope * underlying + offset by ascending slope.
_Lines = list[tuple[int, float]]


def _floor(lines: _Lines, underlying: float) -> float:
    """Least that legs with these lines are worth before their expiry.

    Hedged with a whole number of shares they can lose so much and no more, whatever the underlying does: no model.
    """
    return max(slope * underlying + offset for slope, offset in lines)


def _minorants(points: Sequence[float], worth: Sequence[float], last_slope: int) -> _Lines:
    """For every whole slope the highest line below the polygon through the points, which goes on with ``last_slope``.

    Steeper lines cut the polygon far out; lines falling faster than its first edge lie below the others at any
    underlying.
    """
    edges = [(b - a) / (y - x) for x, y, a, b in zip(points, points[1:], worth, worth[1:], strict=False)]
    first = min([last_slope, *(floor(edge + 1e-9) for edge in edges)])
    return [
        (slope, min(value - slope * x for x, value in zip(points, worth, strict=True)))
        for slope in range(first, last_slope + 1)
    ]


def _kinks(lines: _Lines) -> list[float]:
    """Underlyings above zero at which two lines cross."""
    crossings = [(c - d) / (b - a) for k, (a, c) in enumerate(lines) for b, d in lines[k + 1 :]]
    return [x for x in crossings if x > 0.0]


def _alive_sets(legs: Sequence[Leg]) -> list[tuple[Leg, ...]]:
    """For each expiry, the legs that live until it at least."""
    return [tuple(leg for leg in legs if leg.expiry >= day) for day in sorted({leg.expiry for leg in legs})]
