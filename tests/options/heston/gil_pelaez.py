"""P(S_T > K) by Gil-Pelaez with the textbook characteristic function: an oracle that shares nothing with Argus."""

from __future__ import annotations

import numpy as np

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def survival(parameters, years, log_strikes):
    """P(ln(S_T/F) > k) for every k."""
    top = 50.0
    while abs(_phi(np.array([top]), years, parameters)[0]) > 1e-13 and top < 1e6:
        top *= 1.3
    edges = np.concatenate([np.linspace(0, min(top, 40.0), 9), np.geomspace(min(top, 40.0), top, 60)[1:]])
    half = np.diff(edges) / 2
    u = (edges[:-1, None] + half[:, None] * (_NODES + 1)).ravel()
    w = (half[:, None] * _WEIGHTS).ravel()
    phi = _phi(u, years, parameters)
    k = np.asarray(log_strikes, dtype=float)
    return 0.5 + (np.real(np.exp(-1j * np.outer(k, u)) * phi / (1j * u)) @ w) / np.pi


def _phi(u, years, parameters):
    v0, kappa, theta, sigma, rho = parameters
    beta = kappa - 1j * rho * sigma * u
    d = np.sqrt(beta**2 + sigma**2 * (1j * u + u**2))
    g = (beta - d) / (beta + d)
    e = np.exp(-d * years)
    a = kappa * theta / sigma**2 * ((beta - d) * years - 2 * np.log((1 - g * e) / (1 - g)))
    return np.exp(a + v0 * (beta - d) / sigma**2 * (1 - e) / (1 - g * e))
