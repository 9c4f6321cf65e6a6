"""Ruin and drawdown of diffusions in closed form: what resampled paths are checked against, and what to expect at all.

Brownian motion with drift ``mu`` and volatility ``sigma`` per unit of time, wealth additive. Sources: Cox & Miller 1965
(first passage); Broadie, Glasserman & Kou, Mathematical Finance 7, 1997 (discrete monitoring); Magdon-Ismail, Atiya,
Pratap & Abu-Mostafa, Journal of Applied Probability 41, 2004 (drawdown); Bailey & López de Prado 2015 (triple penance).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

_NORMAL = NormalDist()
#: -ζ(1/2) / sqrt(2 π): a barrier looked at in steps acts as one that lies so many step deviations further out.
MONITORING_SHIFT = 0.5825971579390107


def ruin_probability(distance: float, mu: float, sigma: float, horizon: float = math.inf) -> float:
    """Probability that the path falls by ``distance`` below its start within ``horizon``.

    Φ((−x − μT)/(σ√T)) + exp(−2μx/σ²) Φ((−x + μT)/(σ√T)); exp(−2μx/σ²) for ever (1 where μ <= 0).
    """
    if math.isinf(horizon):
        return math.exp(-2 * mu * distance / sigma**2) if mu > 0 else 1.0
    from scipy.special import log_ndtr

    spread = sigma * math.sqrt(horizon)
    down = _NORMAL.cdf((-distance - mu * horizon) / spread)
    # In logarithms: a huge factor meets a tiny probability.
    reflected = -2 * mu * distance / sigma**2 + float(log_ndtr((-distance + mu * horizon) / spread))
    return min(1.0, down + math.exp(reflected))


def monitored_ruin_probability(distance: float, mu: float, sigma: float, horizon: float, step: float) -> float:
    """`ruin_probability` where wealth is looked at every ``step`` of time only."""
    return ruin_probability(distance + MONITORING_SHIFT * sigma * math.sqrt(step), mu, sigma, horizon)


def gamblers_ruin(probability: float, start: int, goal: int) -> float:
    """Probability to lose ``start`` coins before owning ``goal``, one coin a game won with ``probability``."""
    if probability == 0.5:
        return 1 - start / goal
    ratio = (1 - probability) / probability
    return (ratio**start - ratio**goal) / (1 - ratio**goal)


def driftless_drawdown_tail(drawdown: float, sigma: float = 1.0, horizon: float = 1.0) -> float:
    """P(maximum drawdown > ``drawdown``) of Brownian motion without drift.

    1 − (4/π) Σ (−1)^j/(2j+1) exp(−(2j+1)² π² σ²T / (8 h²)).
    """
    if drawdown <= 0:
        return 1.0
    scale = math.pi**2 * sigma**2 * horizon / (8 * drawdown**2)
    # The alternating series needs terms until the exponent dies.
    count = max(50, math.ceil(math.sqrt(40 / scale)))
    total = math.fsum((-1) ** j / (2 * j + 1) * math.exp(-((2 * j + 1) ** 2) * scale) for j in range(count))
    return min(1.0, max(0.0, 1 - 4 / math.pi * total))


def driftless_drawdown_mean(sigma: float = 1.0, horizon: float = 1.0) -> float:
    """sqrt(π/2) σ sqrt(T)."""
    return math.sqrt(math.pi / 2 * horizon) * sigma


def driftless_drawdown_quantile(probability: float, sigma: float = 1.0, horizon: float = 1.0) -> float:
    """Drawdown that is not exceeded with ``probability``."""
    from scipy.optimize import brentq

    scale = sigma * math.sqrt(horizon)
    return scale * float(brentq(lambda h: driftless_drawdown_tail(h) - (1 - probability), 0.05, 20.0, xtol=1e-12))


def drawdown_tail(drawdown: float, mu: float, sigma: float = 1.0, horizon: float = 1.0, *, cells: int = 400) -> float:
    """P(maximum drawdown > ``drawdown``) with drift.

    The drawdown itself is a diffusion with drift −μ, reflected at 0 and absorbed at ``drawdown``; its survival is the
    backward equation u_t = σ²/2 u_xx − μ u_x with u_x(0) = 0, u(h) = 0, here in ``cells`` cells of second order in
    space and exactly in time (matrix exponential). The error is of order 1/cells².
    """
    if drawdown <= 0:
        return 1.0
    from scipy.linalg import eigh_tridiagonal

    # Cells symmetrised by the speed measure, so that the spectrum is real and the exponential is stable.
    width = drawdown / cells
    x = (np.arange(cells) + 0.5) * width
    edge = np.arange(cells + 1) * width
    density = np.exp(-2 * mu * x / sigma**2)
    flow = sigma**2 / 2 * np.exp(-2 * mu * edge / sigma**2)
    inner = flow[1:-1] / width**2
    outer = 2 * flow[-1] / width**2
    diagonal = np.zeros(cells)
    diagonal[:-1] -= inner
    diagonal[1:] -= inner
    diagonal[-1] -= outer
    root = np.sqrt(density)
    values, vectors = eigh_tridiagonal(diagonal / density, inner / (root[:-1] * root[1:]))
    # u(x, T) = D^-1/2 V exp(ΛT) V' D^1/2 1; the start lies at x = 0, half a cell left of the first centre.
    survival = (vectors * np.exp(values * horizon)) @ (vectors.T @ root) / root
    at_zero = survival[0] + (survival[0] - survival[1]) / 8  # u_x(0) = 0: parabola through the first two centres
    return float(min(1.0, max(0.0, 1 - at_zero)))


def drawdown_mean(mu: float, sigma: float = 1.0, horizon: float = 1.0, *, cells: int = 400) -> float:
    """Expected maximum drawdown with drift: the integral of `drawdown_tail`."""
    from scipy.integrate import quad

    top = 12 * sigma * math.sqrt(horizon) + max(-mu, 0.0) * horizon
    return float(
        quad(lambda h: drawdown_tail(h, mu, sigma, horizon, cells=cells), 1e-9, top, limit=200, epsabs=1e-6)[0]
    )


class TriplePenance(NamedTuple):
    """Largest quantile loss, when it is reached, and the longest quantile time under water."""

    loss: float
    time_of_loss: float
    time_under_water: float


def triple_penance(mu: float, sigma: float, confidence: float = 0.95) -> TriplePenance:
    """What a healthy strategy loses with ``confidence`` and how long it stays down; independent normal PnL, mu > 0.

    z² σ² / (4μ) at (zσ / 2μ)², under water until (zσ / μ)², four times as long. A limit on drawdown that is tighter
    than this kills healthy strategies, and stopping one costs its mean (Kaminski & Lo 2014).
    """
    if mu <= 0:
        raise ValueError(f"triple penance needs a positive mean, got {mu}: without one nothing recovers.")
    z = _NORMAL.inv_cdf(confidence)
    return TriplePenance(z * z * sigma * sigma / (4 * mu), (z * sigma / (2 * mu)) ** 2, (z * sigma / mu) ** 2)
