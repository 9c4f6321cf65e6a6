"""Count static arbitrage on a grid of log-moneyness: butterflies, calendars, wings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from argus_core.options.surface.ssvi import Variance, essvi

Floats = NDArray[np.float64]

#: What rounding may leave of g (of order 1) and, relative to theta, of the variance between slices.
ROUNDING = 1e-10
_LEE = 2.0


@dataclass(frozen=True)
class GridArbitrage:
    """Violations of a surface on a grid.

    Attributes:
        points: grid points times slices that were tested.
        butterfly: points with g < 0: a negative density.
        calendar: points at which a slice lies below the one before it.
        wings: slopes, two per slice, at or beyond Lee's bound of 2.
        min_g: smallest g found.
        min_gap: smallest w(next) - w over the grid; inf with one slice.
    """

    points: int
    butterfly: int
    calendar: int
    wings: int
    min_g: float
    min_gap: float

    @property
    def total(self) -> int:
        return self.butterfly + self.calendar + self.wings


def durrleman(k: ArrayLike, variance: Variance) -> Floats:
    """g(k) = (1 - k w' / 2w)^2 - w'^2 / 4 (1/w + 1/4) + w''/2; the density of ln S is g times a positive factor.

    Source: Gatheral and Jacquier (2014), equation 2.1, after Durrleman (2005).
    """
    k = np.asarray(k, dtype=float)
    w, slope, curvature = variance
    return (1.0 - 0.5 * k * slope / w) ** 2 - 0.25 * slope**2 * (1.0 / w + 0.25) + 0.5 * curvature


def grid_arbitrage(slices: pl.DataFrame, *, points: int = 1000, deviations: float = 8.0) -> GridArbitrage:
    """Test fitted slices at ``points`` values of log-moneyness, the same for all slices.

    The grid is dense where slices are narrow: x = u |u|, u evenly spaced, out to ``deviations`` times the largest
    square root of theta, and at least to 2.

    Args:
        slices: rows of `SurfaceSlices` of one snapshot, any order.
    """
    if slices.is_empty():
        return GridArbitrage(0, 0, 0, 0, float("nan"), float("inf"))
    rows = slices.sort("t_cal")
    theta, psi, rho = (rows[name].to_numpy()[:, None] for name in ("theta", "psi", "rho"))
    return variance_arbitrage(_grid(theta, points, deviations), theta, psi, rho)


def variance_arbitrage(k: Floats, theta: Floats, psi: Floats, rho: Floats) -> GridArbitrage:
    """The same for parameters of shape (slices, 1), earliest first, at points ``k`` of shape (points,)."""
    variance = essvi(k[None, :], theta, psi, rho)
    g = durrleman(k[None, :], variance)
    gap = np.diff(variance.value, axis=0)
    allowed = ROUNDING * np.maximum(theta[1:], variance.value[1:])
    slopes = 0.5 * np.concatenate([psi * (1.0 + rho), psi * (1.0 - rho)])
    return GridArbitrage(
        points=g.size,
        butterfly=int((g < -ROUNDING).sum()),
        calendar=int((gap < -allowed).sum()),
        wings=int((slopes >= _LEE).sum()),
        min_g=float(g.min()),
        min_gap=float(gap.min()) if gap.size else float("inf"),
    )


def _grid(theta: Floats, points: int, deviations: float) -> Floats:
    reach = max(deviations * float(np.sqrt(theta.max())), 2.0)
    u = np.linspace(-1.0, 1.0, points)
    return reach * u * np.abs(u)
