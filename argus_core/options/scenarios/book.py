"""A book of option positions as arrays of legs, with the market that prices them today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from argus_core.options.positions import Position

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ExpiryMarket:
    """What prices the options of one expiry: calendar years left, forward, present value of one dollar."""

    years: float
    forward: float
    discount: float = 1.0


@dataclass(frozen=True)
class Book:
    """P positions of L legs altogether. Arrays (L,) unless told otherwise.

    Attributes:
        owner: number of the position that a leg belongs to.
        size: signed shares: quantity times multiplier.
        vol: implied volatility of each leg; NaN where a model or a smile prices it.
        shares: underlying held per position, (P,), in shares.
        floor, ceiling: least and largest worth of a position's options at expiry, (P,); infinite where unlimited or
            where it has several expiries.
        reasons: per position, why it cannot be priced; None where it can.
    """

    spot: float
    owner: NDArray[np.int64]
    strike: Floats
    call: NDArray[np.bool_]
    size: Floats
    years: Floats
    forward: Floats
    discount: Floats
    vol: Floats
    shares: Floats
    floor: Floats
    ceiling: Floats
    reasons: tuple[str | None, ...]

    @classmethod
    def of(
        cls,
        positions: Sequence[Position],
        spot: float,
        market: Mapping[date, ExpiryMarket],
        vols: Mapping[str, float] | None = None,
    ) -> Book:
        """From positions.

        Args:
            market: per expiry; a position with another expiry gets a reason.
            vols: implied volatility per contract; not needed where a smile or a model prices the book.

        Raises:
            ValueError: on a spot that is not above 0.
        """
        if not (np.isfinite(spot) and spot > 0):
            raise ValueError(f"spot = {spot}: it must be finite and above 0.")
        rows: list[tuple[float, ...]] = []
        floor, ceiling = np.full(len(positions), -np.inf), np.full(len(positions), np.inf)
        reasons: list[str | None] = []
        for i, position in enumerate(positions):
            reasons.append(_reason(position, market))
            if reasons[-1] is not None:
                continue
            for leg in position.legs:
                at = market[leg.expiry]
                vol = (vols or {}).get(leg.contract, np.nan)
                size = leg.quantity * position.multiplier
                rows.append((i, leg.strike, leg.right == "C", size, at.years, at.forward, at.discount, vol))
            if len(position.expiries) == 1 and not position.shares:
                paid = position.multiplier * position.price + position.costs
                floor[i], ceiling[i] = paid - position.max_loss, paid + position.max_profit
        table = np.array(rows, dtype=np.float64).reshape(-1, 8).T
        return cls(
            spot,
            table[0].astype(np.int64),
            table[1],
            table[2].astype(bool),
            *table[3:],
            shares=np.array([position.shares * position.multiplier for position in positions], dtype=np.float64),
            floor=floor,
            ceiling=ceiling,
            reasons=tuple(reasons),
        )

    def __len__(self) -> int:
        return len(self.reasons)

    def summed(self, legs: Floats) -> Floats:
        """Sum per position over the last axis: (..., L) to (..., P); NaN where a position has a reason."""
        out = np.zeros((*legs.shape[:-1], len(self)))
        for i in range(len(self.owner)):
            out[..., self.owner[i]] += legs[..., i]
        out[..., [reason is not None for reason in self.reasons]] = np.nan
        return out

    def any_of(self, legs: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether any leg of a position has the flag: (..., L) to (..., P)."""
        out = np.zeros((*legs.shape[:-1], len(self)), dtype=bool)
        for i in range(len(self.owner)):
            out[..., self.owner[i]] |= legs[..., i]
        return out


def _reason(position: Position, market: Mapping[date, ExpiryMarket]) -> str | None:
    for day in position.expiries:
        if day not in market:
            return f"no market for expiry {day.isoformat()}"
        at = market[day]
        if not (at.years > 0 and at.forward > 0 and at.discount > 0 and np.isfinite(at.forward)):
            return f"expiry {day.isoformat()}: years {at.years:g}, forward {at.forward:g}, discount {at.discount:g}"
    return None
