"""Laws of the underlying at expiry, as the profit calculations read them: Heston's, or any other given as a function.

A law of one expiry is a `TerminalLaw`: the surface's (`argus_core.options.surface.SurfaceLaw`) is one as it stands. The
laws of a chain are `TerminalLaws`: one call for points of many expiries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from argus_core.options.heston.fourier import TOLERANCE, HestonTable, heston_table
from argus_core.options.heston.market import PhysicalMeasure
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.profit.estimates import Provenance

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class TerminalLaw(Protocol):
    """The law of the underlying at one time."""

    @property
    def forward(self) -> float:
        """Its mean."""

    @property
    def discount(self) -> float:
        """Present value of one dollar at that time."""

    def cdf(self, strike: ArrayLike) -> Floats:
        """P(S <= strike)."""

    def call_price(self, strike: ArrayLike) -> Floats:
        """Discounted price of European calls."""


class TerminalLaws(Protocol):
    """The laws of the E expiries of a chain."""

    @property
    def forwards(self) -> Floats:
        """Means, (E,)."""

    @property
    def error_bounds(self) -> Floats:
        """Absolute error of a probability, (E,); NaN where it is not known."""

    @property
    def reasons(self) -> Sequence[str | None]:
        """Why an expiry has no law; None where it has one."""

    def probability(self, expiry: Integers, strike: Floats) -> Floats:
        """P(S <= strike) of N points: expiry number (N,) and strike above 0 (N,)."""

    def distribution(self, expiry: Integers, strike: Floats) -> tuple[Floats, Floats]:
        """(P(S <= strike), E[S; S <= strike]) of N points."""


@dataclass(frozen=True)
class LawList:
    """`TerminalLaws` of laws given one by one; None where an expiry has none."""

    laws: Sequence[TerminalLaw | None]

    @property
    def forwards(self) -> Floats:
        return np.array([np.nan if law is None else law.forward for law in self.laws], dtype=np.float64)

    @property
    def error_bounds(self) -> Floats:
        return np.full(len(self.laws), np.nan)

    @property
    def reasons(self) -> Sequence[str | None]:
        return [
            "no law for this expiry" if law is None else _reason(1.0, law.forward, law.discount) for law in self.laws
        ]

    def probability(self, expiry: Integers, strike: Floats) -> Floats:
        below = np.full(strike.shape, np.nan)
        for number in np.unique(expiry):
            law, here = self.laws[number], expiry == number
            if law is not None:
                below[here] = law.cdf(strike[here])
        return below

    def distribution(self, expiry: Integers, strike: Floats) -> tuple[Floats, Floats]:
        below, part = np.full(strike.shape, np.nan), np.full(strike.shape, np.nan)
        for number in np.unique(expiry):
            law, here = self.laws[number], expiry == number
            if law is None:
                continue
            k = strike[here]
            below[here] = law.cdf(k)
            # Call = E[S; S > K] - K P(S > K).
            part[here] = law.forward - law.call_price(k) / law.discount - k * (1.0 - below[here])
        return below, part


@dataclass(frozen=True)
class HestonLaws:
    """Heston laws of E expiries; build them with `heston_laws`.

    Attributes:
        years: calendar time, (E,). forwards: means under ``provenance.measure``. discounts: present values of a dollar.
        reasons: why an expiry has no law.
    """

    parameters: HestonParameters
    years: Floats
    forwards: Floats
    discounts: Floats
    reasons: tuple[str | None, ...]
    provenance: Provenance
    tolerance: float = TOLERANCE

    @cached_property
    def _sound(self) -> Integers:
        return np.flatnonzero([reason is None for reason in self.reasons])

    @cached_property
    def table(self) -> HestonTable | None:
        """The sums of the expiries that have a law, in their order."""
        years = self.years[self._sound]
        return heston_table(self.parameters, years, tolerance=self.tolerance) if len(years) else None

    @property
    def error_bounds(self) -> Floats:
        bounds = np.full(len(self.years), np.nan)
        if self.table is not None:
            bounds[self._sound] = self.table.error_bound
        return bounds

    def law(self, expiry: int) -> HestonLaw:
        """The law of one expiry by its number."""
        return HestonLaw(self, expiry)

    def probability(self, expiry: Integers, strike: Floats) -> Floats:
        below = np.full(strike.shape, np.nan)
        if self.table is not None and strike.size:
            order, at, k = self._grid(expiry, strike)
            below[order] = self.table.cdf(k)[at]
        return below

    def distribution(self, expiry: Integers, strike: Floats) -> tuple[Floats, Floats]:
        below, part = np.full(strike.shape, np.nan), np.full(strike.shape, np.nan)
        if self.table is not None and strike.size:
            order, at, k = self._grid(expiry, strike)
            cdf, share = self.table.measures(k)
            below[order], part[order] = cdf[at], self.forwards[expiry[order]] * share[at]
        return below, part

    def _grid(self, expiry: Integers, strike: Floats) -> tuple[Integers, tuple[Integers, Integers], Floats]:
        """Points that have a law as rows of log strikes: (their numbers, their places, log strikes (E, K))."""
        row = np.full(len(self.years), -1)
        row[self._sound] = np.arange(len(self._sound))
        usable = np.flatnonzero((row[expiry] >= 0) & (strike > 0))
        order = usable[np.argsort(row[expiry[usable]], kind="stable")]
        rows = row[expiry[order]]
        counts = np.bincount(rows, minlength=len(self._sound))
        columns = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        k = np.zeros((len(self._sound), max(int(counts.max()), 1)))
        k[rows, columns] = np.log(strike[order] / self.forwards[expiry[order]])
        return order, (rows, columns), k


@dataclass(frozen=True)
class HestonLaw:
    """One expiry of `HestonLaws`, a `TerminalLaw`."""

    laws: HestonLaws
    expiry: int

    @property
    def years(self) -> float:
        return float(self.laws.years[self.expiry])

    @property
    def forward(self) -> float:
        return float(self.laws.forwards[self.expiry])

    @property
    def discount(self) -> float:
        return float(self.laws.discounts[self.expiry])

    def cdf(self, strike: ArrayLike) -> Floats:
        return self._at(strike)[0]

    def call_price(self, strike: ArrayLike) -> Floats:
        below, part = self._at(strike)
        k = np.asarray(strike, dtype=np.float64)
        return self.discount * np.where(k > 0, self.forward - part - k * (1.0 - below), self.forward - k)

    def _at(self, strike: ArrayLike) -> tuple[Floats, Floats]:
        k = np.asarray(strike, dtype=np.float64)
        flat = k.ravel()
        below, part = self.laws.distribution(np.full(flat.shape, self.expiry), np.where(flat > 0, flat, 1.0))
        return tuple(np.where(flat > 0, values, 0.0).reshape(k.shape) for values in (below, part))  # ty: ignore


def heston_laws(
    parameters: HestonParameters,
    years: ArrayLike,
    forwards: ArrayLike,
    *,
    discounts: ArrayLike = 1.0,
    chain_hash: str | None = None,
    physical: PhysicalMeasure | None = None,
    spot: float | None = None,
    tolerance: float = TOLERANCE,
) -> HestonLaws:
    """Laws of a chain's expiries. An expiry without positive time and forward gets a reason instead of a law.

    Args:
        parameters: as priced, i.e. risk-neutral.
        years: calendar time to each expiry, (E,).
        forwards: forward prices, (E,); these are the means of the risk-neutral laws.
        discounts: present value of one dollar at each expiry, (E,) or one number.
        chain_hash: goes into the provenance.
        physical: someone's view of the world: its drift and variance replace the priced ones, and the provenance says
            so. Needs ``spot``: the means become spot * exp(drift * years).

    Raises:
        ValueError: on parameters outside their range, or a physical measure without a spot.
    """
    t = np.atleast_1d(np.asarray(years, dtype=np.float64))
    means, present = (np.broadcast_to(np.asarray(x, dtype=np.float64), t.shape) for x in (forwards, discounts))
    provenance = Provenance("Q", "expiry", "Heston, Gil-Pelaez sums")
    if physical is not None:
        if spot is None or not (math.isfinite(spot) and spot > 0):
            raise ValueError(f"spot = {spot}: a physical measure needs the spot, above 0, from which its drift starts.")
        parameters = physical.parameters
        means = np.where(np.isfinite(means), spot * np.exp(physical.drift * t), np.nan)
        provenance = Provenance("P", "expiry", f"Heston, Gil-Pelaez sums, drift {physical.drift:g} per year")
    parameters = HestonParameters(*(float(value) for value in parameters)).checked()
    reasons = tuple(_reason(*one) for one in zip(t, means, present, strict=True))
    made = Provenance(provenance.measure, provenance.monitoring, provenance.scheme, parameters.digest, chain_hash)
    return HestonLaws(parameters, t, np.array(means), np.array(present), reasons, made, tolerance)


def _reason(years: float, forward: float, discount: float) -> str | None:
    if not (math.isfinite(years) and years > 0):
        return f"expired: {years:g} years to expiry"
    if not (math.isfinite(forward) and forward > 0):
        return f"no forward: {forward:g}"
    if not (math.isfinite(discount) and discount > 0):
        return f"no discount: {discount:g}"
    return None
