"""A slow twin of the Heston analytics: Lewis integrals on the contour Im u = -1/2 by panels of Gauss-Legendre nodes.

No step of it is shared with the code under test: the characteristic function is formulation 2 of "The little Heston
trap" as printed, there is no periodic sum, no range and no share measure.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

_NODES, _SHARES = np.polynomial.legendre.leggauss(48)


def printed_characteristic(u, years, v0, kappa, theta, sigma, rho):
    beta = kappa - 1j * rho * sigma * u
    d = np.sqrt(beta**2 + sigma**2 * (1j * u + u**2))
    g = (beta - d) / (beta + d)
    e = np.exp(-d * years)
    a = kappa * theta / sigma**2 * ((beta - d) * years - 2 * np.log((1 - g * e) / (1 - g)))
    return np.exp(a + v0 * (beta - d) / sigma**2 * (1 - e) / (1 - g * e))


def _integral(parameters, years, k, kernel):
    """(1/pi) int_0^inf Re[exp(-iuk) phi(u - i/2) kernel(u)] du for every k."""
    top = 0.5
    while abs(printed_characteristic(top - 0.5j, years, *parameters)) > 1e-18:
        top *= 1.1
    widest = 20.0 / max(np.max(np.abs(k)), 1e-9)
    edges = np.concatenate([[0.0], np.geomspace(1e-6 * top, top, 80)])
    cuts = [np.linspace(a, b, 2 + int((b - a) / widest))[:-1] for a, b in pairwise(edges)]
    edges = np.append(np.concatenate(cuts), top)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    u = (middle[:, None] + half[:, None] * _NODES).ravel()
    weight = (half[:, None] * _SHARES).ravel()
    values = weight * printed_characteristic(u - 0.5j, years, *parameters) * kernel(u)
    return np.array([(np.exp(-1j * u * x) * values).real.sum() for x in k]) / np.pi


def lewis_call(parameters, years, k):
    """Undiscounted call / F at ln(K/F) = k."""
    k = np.asarray(k, dtype=float)
    return 1.0 - np.exp(0.5 * k) * _integral(parameters, years, k, lambda u: 1.0 / (u * u + 0.25))


def lewis_cdf(parameters, years, k):
    """P(ln(S_T/F) <= k)."""
    k = np.asarray(k, dtype=float)
    return 1.0 - np.exp(-0.5 * k) * _integral(parameters, years, k, lambda u: 1.0 / (0.5 + 1j * u))


def lewis_density(parameters, years, k):
    """Density of ln(S_T/F) at k."""
    k = np.asarray(k, dtype=float)
    return np.exp(-0.5 * k) * _integral(parameters, years, k, lambda u: 1.0)
