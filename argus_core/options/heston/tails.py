"""Where the law of X = ln(S_T/F) ends, and where its characteristic function does: what a Fourier sum may leave out.

Tails: Chernoff's bound P(X > y) <= exp(-s y) E[exp(sX)] for every s whose moment exists. A moment of Heston exists
until its explosion time (Andersen & Piterbarg, "Moment explosions in stochastic volatility models", Finance and
Stochastics 11, 2007, proposition 3.1). Frequencies: |phi(u)| decays like exp(-u C), C = sqrt(1 - rho^2) (v0 +
kappa theta T) / sigma.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from argus_core.options.heston.parameters import HestonParameters

Floats = NDArray[np.float64]

#: Exponents s of the moments that are tried, in units of 1 / standard deviation of X: 1 + g to the right and -g to the
#: left. A ratio of 1.09 costs at most 9 % of range where the best exponent lies at the edge of explosion.
_GAPS = np.geomspace(0.01, 60.0, 101)
#: Frequencies at which the decay of |phi| is looked up, in the same units.
_FREQUENCIES = np.geomspace(1.0, 4e4, 184)


class Extent(NamedTuple):
    """What a sum over each of E expiries has to cover.

    ``low``, ``high`` (E,): P(X < low) <= tolerance and, under the share measure, P(X > high) <= tolerance; the other
    measure has less mass there. ``cutoff`` (E,): frequency beyond which the integral of |phi(u)|/(pi u) is at most the
    tolerance, under both measures; ``beyond`` (E, G) bounds that integral from each of ``frequencies`` (E, G).
    """

    low: Floats
    high: Floats
    cutoff: Floats
    frequencies: Floats
    beyond: Floats

    def left_out(self, cutoff: Floats) -> Floats:
        """Bound of what a sum that stops at ``cutoff`` leaves out of a probability; (E,)."""
        place = (self.frequencies <= cutoff[:, None]).sum(axis=1) - 1
        return self.beyond[np.arange(len(cutoff)), np.maximum(place, 0)]


def log_variance(parameters: HestonParameters, years: Any) -> Floats:
    """Exact variance of X. With I the integrated variance: E[I] - Cov(I, rho part) + Var(I)/4 (options.md 1.4)."""
    v0, k, theta, sigma, rho = parameters
    t = np.asarray(years, dtype=float)
    e = np.exp(-k * t)
    a = -np.expm1(-k * t) / k
    mean = theta * t + (v0 - theta) * a
    covariance = rho * sigma / k * (theta * (t - a) + (v0 - theta) * (a - t * e))
    half = -np.expm1(-2 * k * t) / (2 * k)
    spread = sigma**2 / k**2 * (theta * (t - 2 * a + half) + (v0 - theta) * (a - 2 * t * e + e * a))
    return mean - covariance + 0.25 * spread


def explosion_time(parameters: HestonParameters, s: Any) -> Floats:
    """Years after which E[(S_T/F)^s] is infinite; inf where it never is."""
    _, kappa, _, sigma, rho = parameters
    s = np.asarray(s, dtype=float)
    chi = rho * sigma * s - kappa
    square = chi * chi - sigma * sigma * (s * s - s)
    gamma = np.sqrt(np.abs(square))
    with np.errstate(divide="ignore", invalid="ignore"):
        real = np.where(chi > gamma, np.log((chi + gamma) / (chi - gamma)) / gamma, np.inf)
        turning = 2.0 / gamma * (np.pi * (chi < 0) + np.arctan(gamma / chi))
    return np.where((s >= 0) & (s <= 1), np.inf, np.where(square >= 0, real, turning))


@lru_cache(maxsize=1)
def _probe() -> Any:
    """Compiled: (u (E, P) complex, years (E,), parameters (5,)) -> ln|phi(u)|."""
    from argus_core.accelerator import load_jax
    from argus_core.options.heston.characteristic import exponents

    jax = load_jax()
    jnp = jax.numpy

    @jax.jit
    def probe(u: Any, years: Any, p: Any) -> Any:
        a, b = exponents(u, years[:, None], p[1], p[2], p[3], p[4])
        return jnp.real(a + b * p[0])

    return probe


def extent(parameters: HestonParameters, years: Floats, tolerance: float) -> Extent:
    """Range and cutoff per expiry; ``years`` of shape (E,)."""
    count = len(years)
    padded = np.full(max(4, 1 << (count - 1).bit_length()), years[-1])
    padded[:count] = years
    # The exact variance loses its digits where kappa * years is tiny; the unit only has to be of the right size.
    integrated = padded * np.array([parameters.expected_variance(float(t)) for t in padded])
    unit = 1.0 / np.sqrt(np.maximum(log_variance(parameters, padded), 0.1 * integrated))[:, None]
    gaps, frequencies = _GAPS * unit, _FREQUENCIES * unit
    points = np.concatenate([1j * gaps, -1j * (1 + gaps), frequencies, frequencies - 1j], axis=1)
    table = np.asarray(_probe()(points, padded, np.array(parameters)))[:count]
    gaps, frequencies = gaps[:count], frequencies[:count]
    n = gaps.shape[1]
    goal = np.log(tolerance)
    ends = []
    for s, moments in ((-gaps, table[:, :n]), (1 + gaps, table[:, n : 2 * n])):
        exists = explosion_time(parameters, s) > years[:, None]
        reach = np.where(exists & np.isfinite(moments), (moments - goal) / gaps, np.inf)
        ends.append(reach.min(axis=1))
    # |phi| falls with u: its value at the left end of a cell bounds the cell.
    decay = np.exp(np.maximum(table[:, 2 * n :].reshape(count, 2, -1), -700.0)).max(axis=1)
    cells = decay * np.log(_FREQUENCIES[1] / _FREQUENCIES[0]) / np.pi
    beyond = np.cumsum(cells[:, ::-1], axis=1)[:, ::-1]
    last = np.minimum((beyond > tolerance).sum(axis=1), len(_FREQUENCIES) - 1)
    return Extent(-ends[0], ends[1], frequencies[np.arange(count), last], frequencies, beyond)
