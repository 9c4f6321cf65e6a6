"""How dear trading may become before a strategy earns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, NamedTuple


class BreakEven(NamedTuple):
    """Cost multiplier at which the re-run profit is zero, and whether it lies between two re-runs or beyond them."""

    multiplier: float
    how: Literal["interpolated", "extrapolated"]


def cost_break_even(net_pnl: float, costs: float) -> float | None:
    """Break-even cost multiplier m* = gross / costs, gross = net + costs, both at multiplier 1.

    120 gross with 50 of costs breaks even at 2.4. Below 1 the run already loses; None where nothing was paid.
    An extrapolation of costs alone: the re-run fills at 1.25 and 1.5 show how stops and sizes react
    (`break_even_of_reruns`).
    """
    return (net_pnl + costs) / costs if costs > 0 else None


def break_even_of_reruns(pnl: Mapping[float, float]) -> BreakEven | None:
    """Cost multiplier at which the profit of the re-run fills crosses zero.

    Between the first two neighbouring re-runs of which one earns and the next does not it is interpolated. Where every
    re-run earns, the line through the two dearest is followed up; where none does, the line through the two cheapest is
    followed down (a result below 0 says that the run loses before any cost).

    Args:
        pnl: cost multiplier -> profit of the re-run in dollars.

    Returns:
        None with fewer than two multipliers, or where the profit does not fall along the line that would be followed:
        the re-runs then know no break-even.
    """
    points = sorted(pnl.items())
    if len(points) < 2:
        return None
    for (low, earned), (high, left) in pairwise(points):
        if earned > 0 >= left:
            return BreakEven(low + (high - low) * earned / (earned - left), "interpolated")
    (low, first), (high, second) = points[-2:] if points[-1][1] > 0 else points[:2]
    slope = (second - first) / (high - low)
    if slope >= 0:
        return None
    return BreakEven(low - first / slope, "extrapolated")
