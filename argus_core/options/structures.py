"""Which contracts of a chain fit together: the one place behind the pickers of the replay and the candidate list.

Everything works on rows of an `ExpirySlice`, as arrays: liquidity with its reason, wings, pairs, common strikes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from argus_core.options.chains import ExpirySlice

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: Why a contract is left out, in the order in which it is tested; code 0: it is not.
LIQUIDITY_REASONS = ("", "NOT_TWO_SIDED", "SPREAD_WIDE", "OPEN_INTEREST_LOW", "SIZE_LOW", "QUOTE_OLD")


@dataclass(frozen=True)
class Liquidity:
    """What a contract must offer to be chosen: a two-sided quote within these limits.

    Attributes:
        max_spread: largest (ask - bid)/mid.
        min_open_interest: fewest open contracts; unknown passes.
        min_size: fewest contracts on either side; unknown passes.
        max_age_seconds: oldest quote against the receipt; unknown passes.
    """

    max_spread: float = 0.25
    min_open_interest: float = 0.0
    min_size: float = 0.0
    max_age_seconds: float = float("inf")

    def reasons(self, part: ExpirySlice) -> NDArray[np.int8]:
        """Per contract of ``part`` a code of `LIQUIDITY_REASONS`."""
        with np.errstate(invalid="ignore", divide="ignore"):
            tests = (
                ~part.two_sided,
                ~((part.ask - part.bid) / (0.5 * (part.ask + part.bid)) <= self.max_spread),
                part.open_interest < self.min_open_interest,
                np.fmin(part.bid_size, part.ask_size) < self.min_size,
                part.age > self.max_age_seconds,
            )
        return np.select(tests, range(1, len(LIQUIDITY_REASONS)), default=0).astype(np.int8)

    def allows(self, part: ExpirySlice) -> Flags:
        """One flag per contract of ``part``."""
        return self.reasons(part) == 0


def outside(part: ExpirySlice, right: str) -> Flags:
    """Contracts of one right out of the money: puts below the forward, calls above it."""
    with np.errstate(invalid="ignore"):
        beyond = part.strike > part.forward if right == "C" else part.strike < part.forward
    return beyond & (part.call == (right == "C"))


def nearest_delta(part: ExpirySlice, right: str, delta: float, good: Flags) -> int | None:
    """Row of the contract out of the money whose absolute delta is nearest to ``delta``."""
    rows = np.flatnonzero(good & outside(part, right) & np.isfinite(part.delta))
    return int(rows[np.argmin(np.abs(np.abs(part.delta[rows]) - delta))]) if len(rows) else None


def wings(part: ExpirySlice, right: str, inner: Rows, width: float, tolerance: float, good: Flags) -> Rows:
    """For every row of ``inner`` the contract nearest to ``width`` dollars further out; -1 where none is near enough.

    Args:
        tolerance: the distance may miss the width by this share of it.
    """
    listed = np.flatnonzero(good & outside(part, right))
    result = np.full(len(inner), -1, np.int64)
    if not len(listed) or not len(inner):
        return result
    out = 1.0 if right == "C" else -1.0
    strikes = part.strike[listed]
    target = part.strike[inner] + out * width
    right_of = np.clip(np.searchsorted(strikes, target), 0, len(listed) - 1)
    left_of = np.maximum(right_of - 1, 0)
    reaches = [out * (strikes[at] - part.strike[inner]) for at in (left_of, right_of)]
    nearer = np.abs(reaches[0] - width) <= np.abs(reaches[1] - width)
    at, reach = np.where(nearer, left_of, right_of), np.where(nearer, *reaches)
    fits = (reach >= (1 - tolerance) * width) & (reach <= (1 + tolerance) * width) & (reach > 0)
    return np.where(fits, listed[at], -1)


def matched_deltas(part: ExpirySlice, rows: Rows, others: Rows) -> tuple[Rows, Floats]:
    """For every row the position in ``others`` with the nearest absolute delta, and how far apart they are."""
    order = np.argsort(np.abs(part.delta[others]), kind="stable")
    sizes, wanted = np.abs(part.delta[others])[order], np.abs(part.delta[rows])
    right_of = np.clip(np.searchsorted(sizes, wanted), 0, len(sizes) - 1)
    left_of = np.maximum(right_of - 1, 0)
    at = np.where(np.abs(sizes[left_of] - wanted) <= np.abs(sizes[right_of] - wanted), left_of, right_of)
    return order[at], np.abs(sizes[at] - wanted)


def straddle_rows(part: ExpirySlice, good: Flags, count: int) -> tuple[Rows, Rows]:
    """Rows of the put and of the call at the ``count`` strikes nearest to the forward at which both are good."""
    nothing = np.empty(0, np.int64)
    if not np.isfinite(part.forward):
        return nothing, nothing
    strikes, puts, calls = _common(part, good & ~part.call, part, good & part.call)
    chosen = np.argsort(np.abs(strikes - part.forward), kind="stable")[:count]
    return puts[chosen], calls[chosen]


def calendar_rows(
    near: ExpirySlice, far: ExpirySlice, right: str, good: tuple[Flags, Flags], count: int
) -> tuple[Rows, Rows]:
    """Rows in ``near`` and in ``far`` of the ``count`` common strikes nearest to the near forward."""
    nothing = np.empty(0, np.int64)
    if not np.isfinite(near.forward):
        return nothing, nothing
    flags = [allowed & (part.call == (right == "C")) for allowed, part in zip(good, (near, far), strict=True)]
    strikes, here, there = _common(near, flags[0], far, flags[1])
    chosen = np.argsort(np.abs(strikes - near.forward), kind="stable")[:count]
    return here[chosen], there[chosen]


def _common(one: ExpirySlice, first: Flags, other: ExpirySlice, second: Flags) -> tuple[Floats, Rows, Rows]:
    """Strikes that both have, ascending, with the first row of each."""
    rows = [np.flatnonzero(flags) for flags in (first, second)]
    strikes, here, there = np.intersect1d(one.strike[rows[0]], other.strike[rows[1]], return_indices=True)
    return strikes, rows[0][here], rows[1][there]
