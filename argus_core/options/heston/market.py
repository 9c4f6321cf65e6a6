"""What a simulation of positions starts from: the market, the measure, the positions."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Literal, NamedTuple

from argus_core.options.heston.parameters import HestonParameters

if TYPE_CHECKING:
    from argus_core.options.positions import Position


class Market(NamedTuple):
    """Spot, and per year with continuous compounding: interest rate and dividend yield."""

    spot: float
    rate: float = 0.0
    dividend_yield: float = 0.0

    @property
    def drift(self) -> float:
        """r - q."""
        return self.rate - self.dividend_yield

    def checked(self) -> Market:
        """Itself.

        Raises:
            ValueError: naming the field, its value and what is allowed.
        """
        if not (math.isfinite(self.spot) and self.spot > 0):
            raise ValueError(f"spot = {self.spot}: it must be finite and above 0.")
        for name in ("rate", "dividend_yield"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} = {getattr(self, name)}: it must be finite.")
        return self


class PhysicalMeasure(NamedTuple):
    """The law under which paths move, where that is not the pricing measure Q. Marks stay those of Q.

    ``drift`` is the expected return per year without dividends; ``parameters`` those of the physical variance.
    """

    drift: float
    parameters: HestonParameters

    @classmethod
    def of_premium(cls, priced: HestonParameters, drift: float, premium: float) -> PhysicalMeasure:
        """A variance premium lambda v: kappa_P = kappa + ``premium``, theta_P = kappa theta / kappa_P.

        A positive premium means that variance is expected to end lower than it is priced.
        """
        kappa = priced.kappa + premium
        if kappa <= 0:
            raise ValueError(f"premium = {premium}: kappa + premium = {kappa} must be above 0.")
        return cls(drift, priced._replace(kappa=kappa, theta=priced.kappa * priced.theta / kappa))


def path_law(priced: HestonParameters, physical: PhysicalMeasure | None) -> HestonParameters:
    """Parameters of the paths: the variance starts where it is under either measure."""
    return physical.parameters._replace(v0=priced.v0).checked() if physical else priced


def path_drift(market: Market, physical: PhysicalMeasure | None) -> float:
    """Drift of ln S before its convexity: r - q under Q, expected return less q under P."""
    return physical.drift - market.dividend_yield if physical else market.drift


class SimulatedLeg(NamedTuple):
    """``quantity`` is positive for a long option, per unit of the position; ``days`` are calendar days to expiry."""

    strike: float
    right: Literal["C", "P"]
    quantity: float
    days: int


class SimulatedPosition(NamedTuple):
    """Legs, what was received for one unit of them (negative: paid), and underlying held beside them."""

    legs: tuple[SimulatedLeg, ...]
    credit: float
    shares: float = 0.0

    @classmethod
    def of(cls, position: Position, as_of: date) -> SimulatedPosition:
        """``position`` seen from ``as_of``, per share of its multiplier; its costs lower the credit."""
        legs = tuple(
            SimulatedLeg(leg.strike, "C" if leg.right == "C" else "P", leg.quantity, (leg.expiry - as_of).days)
            for leg in position.legs
        )
        return cls(legs, -position.price - position.costs / position.multiplier, position.shares)

    @property
    def days(self) -> int:
        """Days to the first expiry."""
        return min(leg.days for leg in self.legs)

    def fault(self) -> str | None:
        """Why it cannot be simulated, or None."""
        if not self.legs:
            return "the position has no option"
        for leg in self.legs:
            if leg.right not in ("C", "P"):
                return f"right = {leg.right!r}: it must be 'C' or 'P'"
            if not (math.isfinite(leg.strike) and leg.strike > 0):
                return f"strike = {leg.strike}: it must be finite and above 0"
            if not (math.isfinite(leg.quantity) and leg.quantity != 0):
                return f"quantity = {leg.quantity}: it must be finite and not 0"
            if leg.days < 1:
                return f"days = {leg.days}: the expiry must be at least one day away"
        for name in ("credit", "shares"):
            if not math.isfinite(getattr(self, name)):
                return f"{name} = {getattr(self, name)}: it must be finite"
        return None


class SimulatedMean(NamedTuple):
    """A Monte Carlo mean and its standard error."""

    value: float
    standard_error: float


class SimulationProvenance(NamedTuple):
    """How a number was made."""

    scheme: str
    monitoring: str
    measure: str
    estimator: str
    steps: int
    paths: int
    seed: int
    parameter_hash: str
