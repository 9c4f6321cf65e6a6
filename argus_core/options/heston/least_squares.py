"""Levenberg-Marquardt for the five Heston parameters.

Prices are Lewis' integral by Gauss-Legendre nodes that stay fixed during the fit: the payoff matrices are made once, an
iteration is one characteristic function with its derivatives times those matrices. The Black price at the market's
volatility is a control variate: the integrand of the difference has no pole near the real axis, so that 30 to 60 nodes
price an expiry to 1e-7 of volatility. Cosine series need 200 to 2,000 terms there, because a fat left tail wants a
range of 10 to 150 standard deviations.

Lewis, "A simple option formula for general jump-diffusion and other exponential Levy processes" (2001); damping after
Nielsen, in Madsen, Nielsen & Tingleff, "Methods for non-linear least squares problems" (2004), algorithm 3.16.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from argus_core.options.black import black_price
from argus_core.options.heston.gradient import exp, exponents_and_gradient, log_characteristic
from argus_core.options.heston.parameters import HestonParameters

Floats = NDArray[np.float64]

#: ln v0, ln kappa, ln theta, ln sigma, atanh rho stay within these.
LOWEST = np.array([np.log(1e-6), np.log(1e-3), np.log(1e-5), np.log(1e-2), np.arctanh(-0.9995)])
HIGHEST = np.array([np.log(25.0), np.log(100.0), np.log(25.0), np.log(50.0), np.arctanh(0.9995)])
#: No step is longer than this in any of them.
_LONGEST = 1.5
_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-12, 1e14
#: Mean squared residual, in half-spreads, below which a fit is exact for every purpose: 1e-7 of a half-spread.
_EXACT = 1e-14


class PriceGrid:
    """Put prices of several expiries, in units of the forward, as a function of the parameters.

    Args:
        years: (E,) time to expiry.
        vol: (E,) volatility of the control variate, that of the market at the money.
        cutoff: (E,) highest frequency.
        nodes: (E,) how many.
        k: per expiry, ln(strike / forward) of its contracts.
    """

    def __init__(self, years: Floats, vol: Floats, cutoff: Floats, nodes: NDArray[np.int64], k: list[Floats]) -> None:
        rules = [_legendre(int(count)) for count in nodes]
        u = [0.5 * top * (1 + x) for top, (x, _) in zip(cutoff, rules, strict=True)]
        self._ends = np.cumsum(nodes)[:-1]
        self._u = np.concatenate(u) - 0.5j
        self._years = np.repeat(years, nodes)
        self._payoffs, controls = [], []
        for i, (_, weight) in enumerate(rules):
            square = u[i] * u[i] + 0.25
            factor = np.multiply.outer(-np.exp(0.5 * k[i]) / np.pi, 0.5 * cutoff[i] * weight / square)
            turn = np.multiply.outer(k[i], u[i])
            # Re[e^{-iku} phi] = cos(ku) Re phi + sin(ku) Im phi
            payoff = np.stack([factor * np.cos(turn), factor * np.sin(turn)], axis=-1)
            control = payoff[..., 0] @ np.exp(-0.5 * square * vol[i] ** 2 * years[i])
            self._payoffs.append(payoff.reshape(len(k[i]), -1))
            controls.append(control)
        count = [len(part) for part in k]
        strike = np.exp(np.concatenate(k))
        black = black_price(1.0, strike, np.repeat(years, count), np.repeat(vol, count), False)
        self._constant = black - np.concatenate(controls)

    def values(self, z: Floats) -> Floats:
        """Prices alone, in order of expiry."""
        value = exp(log_characteristic(self._u, self._years, from_unbounded(z)))
        columns = np.split(np.stack([value.real, value.imag], axis=1), self._ends)
        parts = [payoff @ part.ravel() for payoff, part in zip(self._payoffs, columns, strict=True)]
        return np.concatenate(parts) + self._constant

    def puts(self, z: Floats) -> Floats:
        """Prices and their derivatives with respect to z, shape (contracts, 6), contracts in order of expiry."""
        p = from_unbounded(z)
        e = exponents_and_gradient(self._u, self._years, p.kappa, p.theta, p.sigma, p.rho)
        value = exp(e.a + p.v0 * e.b)
        slopes = np.empty((6, len(value)), dtype=np.complex128)
        slopes[0] = 1.0
        slopes[1] = p.v0 * e.b
        slopes[3] = e.a
        factors = np.array([[p.kappa], [p.sigma], [1 - p.rho**2]])
        slopes[[2, 4, 5]] = factors * (e.by_a + p.v0 * e.by_b)
        slopes *= value
        columns = np.stack([slopes.real.T, slopes.imag.T], axis=1)
        parts = np.split(columns.reshape(-1, 12), self._ends)
        priced = np.concatenate([m @ part.reshape(-1, 6) for m, part in zip(self._payoffs, parts, strict=True)])
        priced[:, 0] += self._constant
        return priced


@lru_cache(maxsize=128)
def _legendre(count: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss and Legendre on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


class Residuals(NamedTuple):
    """What is minimised: sum((price error / scale)^2) + sum(pull^2 (z - centre)^2).

    Attributes:
        bid, ask: between them a put price has no error; equal for the loss from the mid.
        scale: price error of size 1, units of the forward.
        centre, pull: (5,) in z.
    """

    bid: Floats
    ask: Floats
    scale: Floats
    centre: Floats
    pull: Floats

    def objective(self, put: Floats) -> float:
        """Sum of the squared residuals of prices."""
        residual = (put - np.clip(put, self.bid, self.ask)) / self.scale
        return float(residual @ residual)

    def at(self, priced: Floats) -> tuple[float, Floats, Floats]:
        """(objective of the contracts, J'J, J'r) from prices with derivatives, shape (contracts, 6)."""
        put = priced[:, 0]
        residual = (put - np.clip(put, self.bid, self.ask)) / self.scale
        outside = (put <= self.bid) | (put >= self.ask)
        slope = (outside / self.scale)[:, None] * priced[:, 1:]
        return float(residual @ residual), slope.T @ slope, slope.T @ residual


class Solution(NamedTuple):
    """What a fit found.

    ``objective`` and ``information`` (J'J, (5, 5) in z) are those of the contracts alone; ``penalised`` is what was
    minimised; ``put`` are the prices; ``settled`` tells whether the stopping rule was met.
    """

    z: Floats
    objective: float
    penalised: float
    information: Floats
    put: Floats
    iterations: int
    settled: bool


def to_unbounded(parameters: HestonParameters) -> Floats:
    """(ln v0, ln kappa, ln theta, ln sigma, atanh rho), inside the bounds."""
    rho = np.clip(parameters.rho, -0.9999, 0.9999)
    return np.clip(np.append(np.log(parameters[:4]), np.arctanh(rho)), LOWEST, HIGHEST)


def from_unbounded(z: Floats) -> HestonParameters:
    """Inverse of `to_unbounded`."""
    v0, kappa, theta, sigma = (float(value) for value in np.exp(z[:4]))
    return HestonParameters(v0, kappa, theta, sigma, float(np.tanh(z[4])))


def minimise(
    grid: PriceGrid,
    residuals: Residuals,
    start: Floats,
    *,
    max_iterations: int,
    step_tolerance: float,
    objective_tolerance: float,
) -> Solution:
    """Levenberg-Marquardt from ``start`` (5,), inside the bounds.

    It has settled when a step, taken or refused, is at most ``step_tolerance`` long in every coordinate **and** moves
    the objective by at most ``objective_tolerance`` of itself, or when the objective is round-off.
    """
    exact = _EXACT * len(residuals.scale)

    def evaluate(z: Floats) -> _Point:
        with np.errstate(all="ignore"):
            priced = grid.puts(z)
            objective, square, cross = residuals.at(priced)
        away = residuals.pull * (z - residuals.centre)
        penalised = objective + float(away @ away)
        if not np.isfinite(penalised) or not np.all(np.isfinite(square)):
            penalised = np.inf
        return _Point(z, penalised, objective, square, cross + residuals.pull * away, priced[:, 0])

    prior = np.diag(residuals.pull**2)
    now = evaluate(np.clip(start, LOWEST, HIGHEST))
    damping, growth, count = _DAMPING, 2.0, 0
    settled = now.penalised <= exact
    while not settled and count < max_iterations and damping < _MOST_DAMPING and np.isfinite(now.penalised):
        curved = now.square + prior
        diagonal = np.diag(curved)
        diagonal = np.maximum(diagonal, 1e-12 * diagonal.max() + 1e-300)
        step = _solve(curved + np.diag(damping * diagonal), -now.cross)
        step *= min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-300))
        new = evaluate(np.clip(now.z + step, LOWEST, HIGHEST))
        step = new.z - now.z
        count += 1
        fall = now.penalised - new.penalised
        short = float(np.abs(step).max()) <= step_tolerance
        settled = short and abs(fall) <= objective_tolerance * now.penalised
        if fall > 0:
            expected = -float(step @ (2.0 * now.cross + curved @ step))
            gain = min(fall / max(expected, 1e-300), 10.0)
            damping = max(damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), _LEAST_DAMPING)
            now, growth = new, 2.0
        else:
            damping, growth = damping * growth, growth * 2.0
        settled = settled or now.penalised <= exact
    return Solution(now.z, now.objective, now.penalised, now.square, now.put, count, bool(settled))


class _Point(NamedTuple):
    """Objective and its derivatives at z; the penalty is in ``penalised`` and ``cross`` only."""

    z: Floats
    penalised: float
    objective: float
    square: Floats
    cross: Floats
    put: Floats


def _solve(matrix: Floats, right: Floats) -> Floats:
    """Solve; a singular matrix gives the least-squares step."""
    try:
        found = np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(matrix, right, rcond=None)[0]
    return np.asarray(found, dtype=np.float64)
