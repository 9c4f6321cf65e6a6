"""The fitted surface as a function: total variance, volatility, prices and the law of the underlying at any time.

Between two expiries theta, psi and rho psi are linear in calendar time: the wings psi (1 +- rho) keep growing, phi
keeps falling (a ratio of two lines is monotone), and psi max(p+, p-) is convex in time where 4 theta is linear, so that
no butterfly and no calendar arbitrage appears between two slices that have none. Before the first expiry all three
shrink in proportion to time: total variance runs to 0 with phi unchanged. After the last theta grows in proportion to
time and the wings with its square root, up to their bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from argus_core.options.surface.arbitrage import durrleman
from argus_core.options.surface.ssvi import LARGEST_WING, Variance, essvi

Floats = NDArray[np.float64]

_COLUMNS = ("t_cal", "forward", "discount", "theta", "psi", "rho")


@dataclass(frozen=True)
class Surface:
    """A fitted surface. Arrays have shape (slices,), ascending in ``years``."""

    years: Floats
    forward: Floats
    discount: Floats
    theta: Floats
    psi: Floats
    rho: Floats

    @classmethod
    def of(cls, slices: pl.DataFrame) -> Surface:
        """From `SurfaceSlices` of one snapshot, any order.

        Raises:
            ValueError: if there is no slice.
        """
        if slices.is_empty():
            raise ValueError("a surface needs at least one slice, found none: see SurfaceFit.left_out for the reasons")
        rows = slices.sort("t_cal")
        return cls(*(rows[name].cast(pl.Float64).to_numpy() for name in _COLUMNS))

    def parameters(self, years: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """(theta, psi, rho) at calendar times > 0, each of their shape."""
        t = np.asarray(years, dtype=float)
        tilt = self.rho * self.psi
        theta, psi, tilt_at = (np.interp(t, self.years, values) for values in (self.theta, self.psi, tilt))
        before = np.minimum(t / self.years[0], 1.0)
        after = np.maximum(t / self.years[-1], 1.0)
        wing = max(self.psi[-1] * (1.0 + abs(self.rho[-1])), 1e-300)
        stretch = before * np.minimum(np.sqrt(after), np.maximum(LARGEST_WING / wing, 1.0))
        psi, tilt_at = psi * stretch, tilt_at * stretch
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = np.where(psi > 0, tilt_at / psi, 0.0)
        return theta * before * after, psi, rho

    def forward_at(self, years: ArrayLike) -> Floats:
        """Forward: its logarithm is linear between expiries, the carry is constant outside them."""
        return np.exp(self._line(years, np.log(self.forward)))

    def discount_at(self, years: ArrayLike) -> Floats:
        """Discount factor, by constant forward rates between expiries; at time 0 it is 1."""
        t = np.asarray(years, dtype=float)
        knots = np.concatenate([[0.0], self.years])
        logs = np.concatenate([[0.0], np.log(self.discount)])
        last = logs[-1] / knots[-1]
        return np.exp(np.where(t <= knots[-1], np.interp(t, knots, logs), last * t))

    def total_variance(self, k: ArrayLike, years: ArrayLike) -> Variance:
        """w(k, t) = iv^2 t with its derivatives in k = ln(strike / forward at t); arguments broadcast."""
        k, t = np.broadcast_arrays(np.asarray(k, dtype=float), np.asarray(years, dtype=float))
        return essvi(k, *self.parameters(t))

    def iv(self, k: ArrayLike, years: ArrayLike) -> Floats:
        """Implied volatility, annualised over the calendar clock."""
        return np.sqrt(self.total_variance(k, years).value / np.asarray(years, dtype=float))

    def call_price(self, strike: ArrayLike, years: ArrayLike) -> Floats:
        """Price of European calls, discounted."""
        strike, t = np.broadcast_arrays(np.asarray(strike, dtype=float), np.asarray(years, dtype=float))
        forward = self.forward_at(t)
        variance = self.total_variance(np.log(strike / forward), t)
        return self.discount_at(t) * forward * _call(np.log(strike / forward), variance.value)

    def law(self, years: float) -> SurfaceLaw:
        """The law of the underlying at ``years``, under the forward measure of that time.

        Raises:
            ValueError: if ``years`` is not positive.
        """
        if not years > 0:
            raise ValueError(f"years must be positive, found {years!r}")
        theta, psi, rho = (float(value) for value in self.parameters(years))
        return SurfaceLaw(float(years), float(self.forward_at(years)), float(self.discount_at(years)), theta, psi, rho)

    def _line(self, years: ArrayLike, logs: Floats) -> Floats:
        """Linear between knots and on the nearest segment's slope outside; constant with one knot."""
        t = np.asarray(years, dtype=float)
        if len(self.years) == 1:
            return np.full(t.shape, logs[0])
        at = np.clip(np.searchsorted(self.years, t) - 1, 0, len(self.years) - 2)
        share = (t - self.years[at]) / (self.years[at + 1] - self.years[at])
        return logs[at] + share * (logs[at + 1] - logs[at])


@dataclass(frozen=True)
class SurfaceLaw:
    """Law of the underlying at one time, read off the surface (Breeden and Litzenberger 1978): a second opinion on
    the probabilities of a model. Risk-neutral; no simulation, no model but the smile."""

    years: float
    forward: float
    discount: float
    theta: float
    psi: float
    rho: float

    def cdf(self, strike: ArrayLike) -> Floats:
        """P(S <= strike) = 1 + dC/dK / discount, in closed form; 0 at strikes of 0 and below."""
        from scipy.special import ndtr

        strike = np.asarray(strike, dtype=float)
        k, variance = self._variance(strike)
        total = np.sqrt(variance.value)
        d2 = -k / total - 0.5 * total
        value = ndtr(-d2) + np.exp(-0.5 * d2 * d2) / np.sqrt(2.0 * np.pi) * variance.slope / (2.0 * total)
        return np.where(strike > 0, np.clip(value, 0.0, 1.0), 0.0)

    def density(self, strike: ArrayLike) -> Floats:
        """Density of S per unit of price: g(k) n(d2) / (K sqrt(w))."""
        strike = np.asarray(strike, dtype=float)
        k, variance = self._variance(strike)
        total = np.sqrt(variance.value)
        d2 = -k / total - 0.5 * total
        normal = np.exp(-0.5 * d2 * d2) / np.sqrt(2.0 * np.pi)
        return np.where(strike > 0, durrleman(k, variance) * normal / (np.maximum(strike, 1e-300) * total), 0.0)

    def call_price(self, strike: ArrayLike) -> Floats:
        """Price of European calls, discounted; the discounted forward less the strike at strikes of 0 and below."""
        strike = np.asarray(strike, dtype=float)
        k, variance = self._variance(strike)
        inside = self.forward * _call(k, variance.value)
        return self.discount * np.where(strike > 0, inside, self.forward - strike)

    def put_price(self, strike: ArrayLike) -> Floats:
        """Price of European puts, discounted, without the cancellation of parity."""
        strike = np.asarray(strike, dtype=float)
        k, variance = self._variance(strike)
        inside = self.forward * _call(k, variance.value, sign=-1.0)
        return self.discount * np.where(strike > 0, inside, 0.0)

    def _variance(self, strike: Floats) -> tuple[Floats, Variance]:
        k = np.log(np.where(strike > 0, strike, self.forward) / self.forward)
        return k, essvi(k, self.theta, self.psi, self.rho)


def _call(k: Floats, w: Floats, sign: float = 1.0) -> Floats:
    """Undiscounted Black call (sign 1) or put (-1) in units of the forward."""
    from scipy.special import ndtr

    total = np.sqrt(w)
    d1 = -k / total + 0.5 * total
    return sign * (ndtr(sign * d1) - np.exp(k) * ndtr(sign * (d1 - total)))
