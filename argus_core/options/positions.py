"""Option positions and their profit at expiry: a piecewise linear function of the underlying.

`Position` is one position of any number of legs, shares beside them allowed. `ExpiryProfit` holds the profit lines of
many positions as arrays, so that a page of spreads is one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

from argus_core.options.selection import Structure
from argus_core.strategies.interface import Leg

Floats = NDArray[np.float64]

#: A profit this small against strike times contracts is rounding, hence zero.
_ZERO = 1e-13


@dataclass(frozen=True)
class Position:
    """Legs held together, with what they cost.

    Attributes:
        legs: options; the quantity is signed, in contracts.
        price: dollars per share of multiplier that one unit cost; negative: a credit. Shares count too.
        multiplier: shares per contract.
        costs: dollars of commissions and fees of the whole position, paid whatever happens.
        shares: underlying held beside the options, in units of the multiplier: 1 makes a short call a covered one.
    """

    legs: tuple[Leg, ...]
    price: float
    multiplier: float = 100.0
    costs: float = 0.0
    shares: float = 0.0

    def __post_init__(self) -> None:
        if not self.legs and not self.shares:
            raise ValueError("legs = (): a position needs at least one leg or shares.")
        for name, value in (("price", self.price), ("costs", self.costs), ("shares", self.shares)):
            if not math.isfinite(value):
                raise ValueError(f"{name} = {value}: it must be finite.")
        if not (math.isfinite(self.multiplier) and self.multiplier > 0):
            raise ValueError(f"multiplier = {self.multiplier}: give shares per contract, like 100.")
        for leg in self.legs:
            if leg.right not in ("C", "P"):
                raise ValueError(f"right = {leg.right!r} of leg {leg.contract!r}: it must be 'C' or 'P'.")
            if not (math.isfinite(leg.strike) and leg.strike > 0):
                raise ValueError(f"strike = {leg.strike} of leg {leg.contract!r}: it must be finite and above 0.")

    @classmethod
    def of(cls, structure: Structure, *, multiplier: float = 100.0, costs: float = 0.0) -> Position:
        """The position that one ``structure`` becomes at its price."""
        return cls(structure.legs, structure.price, multiplier, costs)

    @property
    def expiries(self) -> tuple[date, ...]:
        """Distinct expiries, earliest first."""
        return tuple(sorted({leg.expiry for leg in self.legs}))

    def profit(self, underlying: ArrayLike) -> Floats:
        """Dollars of profit when all legs expire at ``underlying``; of its shape."""
        s = np.asarray(underlying, dtype=np.float64)
        worth = self.shares * s
        for leg in self.legs:
            worth = worth + leg.quantity * np.maximum(s - leg.strike if leg.right == "C" else leg.strike - s, 0.0)
        return self.multiplier * (worth - self.price) - self.costs

    @property
    def lines(self) -> ExpiryProfit:
        """The profit at expiry as lines.

        Raises:
            ValueError: with more than one expiry; its profit depends on the volatility then left, not on the
                underlying alone.
        """
        return profit_lines([self])

    @property
    def max_profit(self) -> float:
        """Dollars; inf where the profit is unlimited."""
        return float(self.lines.max_profit[0])

    @property
    def max_loss(self) -> float:
        """Dollars, positive; inf where the loss is unlimited, negative where even the worst end gains."""
        return float(self.lines.max_loss[0])

    @property
    def profit_intervals(self) -> tuple[tuple[float, float], ...]:
        """Open intervals of the underlying at expiry with a profit above zero; the last may end at inf."""
        return self.lines.intervals(0)

    @property
    def breakevens(self) -> tuple[float, ...]:
        """Where an interval of profit begins or ends, ascending; 0 and inf are none."""
        return tuple(sorted({end for ends in self.profit_intervals for end in ends if 0 < end < math.inf}))


@dataclass(frozen=True)
class ExpiryProfit:
    """Profit at expiry of P positions as lines between M knots.

    Attributes:
        knots: ascending prices of the underlying, (P, M); the first is 0, then the strikes (repeated where a position
            has fewer).
        values: dollars of profit at the knots, (P, M).
        last_slope: dollars per dollar of the underlying beyond the last knot, (P,).
    """

    knots: Floats
    values: Floats
    last_slope: Floats

    def __len__(self) -> int:
        return len(self.knots)

    def rows(self, which: NDArray[np.int64]) -> ExpiryProfit:
        """The positions ``which``."""
        return ExpiryProfit(self.knots[which], self.values[which], self.last_slope[which])

    @property
    def slopes(self) -> Floats:
        """Slope of every piece, (P, M): piece i lies between knots i and i + 1, the last has no end."""
        width = np.diff(self.knots, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = np.where(width > 0, np.diff(self.values, axis=1) / width, 0.0)
        return np.concatenate([inner, self.last_slope[:, None]], axis=1)

    @property
    def max_profit(self) -> Floats:
        """Dollars, inf where unlimited; (P,)."""
        return np.where(self.last_slope > 0, np.inf, self.values.max(axis=1))

    @property
    def max_loss(self) -> Floats:
        """Dollars, positive for a loss, inf where unlimited; (P,)."""
        return np.where(self.last_slope < 0, np.inf, -self.values.min(axis=1))

    def at(self, underlying: ArrayLike) -> Floats:
        """Dollars of profit where the underlying ends at ``underlying`` ((P,) or one number, 0 or more), (P,)."""
        s = np.broadcast_to(np.asarray(underlying, dtype=np.float64), (len(self),))
        piece = np.maximum((self.knots <= s[:, None]).sum(axis=1) - 1, 0)
        row = np.arange(len(self))
        return self.values[row, piece] + self.slopes[row, piece] * (s - self.knots[row, piece])

    def crossings(self, level: ArrayLike) -> Floats:
        """Where each piece crosses ``level`` ((P,) or one number), (P, M); NaN where it does not."""
        gap = np.broadcast_to(np.asarray(level, dtype=np.float64), (len(self),))[:, None] - self.values
        slopes = self.slopes
        with np.errstate(divide="ignore", invalid="ignore"):
            at = self.knots + gap / slopes
        ahead = np.concatenate([gap[:, 1:], -self.last_slope[:, None]], axis=1)  # of the last piece, its sign far out
        crossed = (gap * ahead < 0) & (slopes != 0)
        return np.where(crossed, at, np.nan)

    def intervals(self, row: int) -> tuple[tuple[float, float], ...]:
        """Open intervals with a profit above zero of one position, those that touch at a zero kept apart."""
        knots, values, slopes = self.knots[row], self.values[row], self.slopes[row]
        found: list[tuple[float, float]] = []
        roots = self.crossings(0.0)[row]
        for i, (start, value) in enumerate(zip(knots, values, strict=True)):
            last = i + 1 == len(knots)
            end = math.inf if last else float(knots[i + 1])
            if end <= start:
                continue
            ahead = value + slopes[i] if last else values[i + 1]
            low, high = float(start), end
            if not math.isnan(roots[i]):
                low, high = (float(roots[i]), end) if value < 0 else (low, float(roots[i]))
            elif max(value, ahead) <= 0:
                continue
            if found and found[-1][1] == low and value > 0:
                low = found.pop()[0]
            found.append((low, high))
        return tuple(found)


def profit_lines(positions: Sequence[Position]) -> ExpiryProfit:
    """Profit lines of ``positions``, each of one expiry (or of shares alone).

    Raises:
        ValueError: naming the position that has several expiries.
    """
    for i, position in enumerate(positions):
        if len(position.expiries) > 1:
            dates = ", ".join(day.isoformat() for day in position.expiries)
            raise ValueError(
                f"position {i} expires on {dates}: its profit at the first of them depends on the volatility then "
                "left; value it by simulation, or give the legs of one expiry."
            )
    most = max((len(position.legs) for position in positions), default=0)
    strikes = np.full((len(positions), most), np.nan)
    calls, quantities = np.zeros(strikes.shape, dtype=bool), np.zeros(strikes.shape)
    for i, position in enumerate(positions):
        for j, leg in enumerate(position.legs):
            strikes[i, j], calls[i, j], quantities[i, j] = leg.strike, leg.right == "C", leg.quantity
    return profit_lines_of(
        strikes,
        calls,
        quantities,
        [position.price for position in positions],
        multiplier=[position.multiplier for position in positions],
        costs=[position.costs for position in positions],
        shares=[position.shares for position in positions],
    )


def profit_lines_of(
    strikes: ArrayLike,
    calls: ArrayLike,
    quantities: ArrayLike,
    prices: ArrayLike,
    *,
    multiplier: ArrayLike = 100.0,
    costs: ArrayLike = 0.0,
    shares: ArrayLike = 0.0,
) -> ExpiryProfit:
    """Profit lines of P positions of up to L legs from arrays.

    Args:
        strikes: (P, L); NaN where a position has fewer legs.
        calls: True for calls, False for puts; (P, L).
        quantities: signed contracts, (P, L).
        prices: dollars per share that one unit cost, (P,); negative: a credit.
        multiplier, costs, shares: as in `Position`, (P,) or one number.
    """
    k = np.asarray(strikes, dtype=np.float64)
    call = np.broadcast_to(np.asarray(calls, dtype=bool), k.shape)
    present = ~np.isnan(k)
    quantity = np.where(present, np.broadcast_to(np.asarray(quantities, dtype=np.float64), k.shape), 0.0)
    each = (prices, multiplier, costs, shares)
    price, size, fees, held = (np.broadcast_to(np.asarray(value, dtype=np.float64), k.shape[:1]) for value in each)
    filled = np.where(present, k, 0.0)
    knots = np.sort(np.concatenate([np.zeros((len(k), 1)), filled], axis=1), axis=1)
    # Knots of missing legs stand at 0 with it: one of them is the start, the others have no width.
    worth = held[:, None] * knots
    for j in range(k.shape[1]):
        gap = np.where(call[:, j], 1.0, -1.0)[:, None] * (knots - filled[:, j, None])
        worth = worth + quantity[:, j, None] * np.maximum(gap, 0.0)
    values = size[:, None] * (worth - price[:, None]) - fees[:, None]
    scale = size * (1.0 + np.abs(quantity).sum(axis=1) + np.abs(held)) * (1.0 + filled.max(axis=1, initial=0.0))
    values = np.where(np.abs(values) <= _ZERO * scale[:, None], 0.0, values)
    slope = size * (held + np.where(call, quantity, 0.0).sum(axis=1))
    return ExpiryProfit(knots, values, slope)
