"""Early-exercise premium of American options, for thousands of contracts at once.

The exercise boundary is found by fixed-point iteration on Chebyshev nodes and the premium by its integral:
L. Andersen, M. Lake, D. Offengenden, "High performance American option pricing", Journal of Computational Finance
20(1), 2016: fixed point B' (eq. 33-35), interpolation of ln(B/X)^2 in the square root of time (sec. 4.3), premium
(eq. 12). Calls are puts with strike and spot, and rate and yield, exchanged (McDonald and Schroder 1998).

The dividend is a continuous yield. Before a discrete dividend a call may be worth exercising although the yield says
never, and the premium of puts is a little higher just after it; `docs/option-chains.md` says by how much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_NODES, _INNER, _OUTER, _ITERATIONS = 6, 8, 20, 5
_CHUNK = 2048
_SQRT_2PI = float(np.sqrt(2.0 * np.pi))


def early_exercise_premium(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    call: ArrayLike,
    rate: ArrayLike,
    dividend: ArrayLike,
) -> Floats:
    """American less European price, dollars, shape of the broadcast arguments.

    Args:
        spot, strike: dollars.
        years: calendar time to expiry (ACT/365).
        vol: annualised volatility as a fraction.
        call: True for calls, False for puts.
        rate, dividend: continuously compounded interest and yield (dividends and borrow).

    Returns:
        Premiums; 0 where early exercise never pays (call: dividend <= 0, put: rate <= 0) or no time is left. NaN where
        an argument is not finite, or a price or volatility not positive, and in the case of two boundaries (both
        negative, the dividend of a put below the rate), which the method does not cover.
        Where exercise at once is optimal: intrinsic value less the European price.
    """
    s, k, t, v, is_call, r, q = np.broadcast_arrays(
        *(np.asarray(a, float) for a in (spot, strike, years, vol)),
        np.asarray(call, bool),
        *(np.asarray(a, float) for a in (rate, dividend)),
    )
    shape = s.shape
    s, k, t, v, r, q = (a.ravel() for a in (s, k, t, v, r, q))
    turned = is_call.ravel()
    # A call is the put with spot and strike, rate and yield exchanged.
    s, k = np.where(turned, k, s), np.where(turned, s, k)
    r, q = np.where(turned, q, r), np.where(turned, r, q)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(s + k + t + v + r + q) & (s > 0) & (k > 0) & (v > 0)
        twofold = good & (r < 0) & (q < r)
        worth = good & (t > 0) & (r > 0)
    result = np.where(good & ~twofold, 0.0, np.nan)
    rows = np.flatnonzero(worth)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        result[part] = _premium(s[part], k[part], t[part], v[part], r[part], q[part])
    return result.reshape(shape)


def _premium(s: Floats, k: Floats, t: Floats, v: Floats, r: Floats, q: Floats) -> Floats:
    """Premium of puts with r > 0 and t > 0, shape (n,)."""
    from scipy.special import ndtr

    h, top = _boundary(t, v, r, q)
    # Price in units of the strike. Premium: integral over u, the time from now, of the exercise value's carry.
    y, weight = np.polynomial.legendre.leggauss(_OUTER)
    part = 0.5 * (1 + y)
    since = t[:, None] * part**2
    edge = top[:, None] * np.exp(-np.sqrt(np.maximum(_combined(h, _interpolation(np.sqrt(1 - part**2))), 0.0)))
    x = (s / k)[:, None]
    spread = v[:, None] * np.sqrt(since)
    middle = np.log(x / edge) + (r - q)[:, None] * since
    minus, plus = middle / spread - 0.5 * spread, middle / spread + 0.5 * spread
    gain = r[:, None] * np.exp(-r[:, None] * since) * ndtr(-minus) - q[:, None] * x * np.exp(
        -q[:, None] * since
    ) * ndtr(-plus)
    premium = np.sum(gain * (t[:, None] * (part * weight)), axis=1)
    now = top * np.exp(-np.sqrt(np.maximum(h[:, -1], 0.0)))
    total = v * np.sqrt(t)
    d1 = (np.log(s / k) + (r - q) * t) / total + 0.5 * total
    european = np.exp(-r * t) * ndtr(total - d1) - s / k * np.exp(-q * t) * ndtr(-d1)
    premium = np.where(s / k <= now, 1.0 - s / k - european, premium)
    return k * np.maximum(premium, 0.0)


def _boundary(t: Floats, v: Floats, r: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Exercise boundary of puts in units of the strike.

    Returns:
        ``h`` (n, nodes + 1): ln(B/X)^2 at times left T x_i^2, x_i ascending from 0 to 1, and ``X`` (n,), the boundary
        at expiry, min(1, r/q).
    """
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.where(q > r, r / q, 1.0)
    x = _nodes()[1:]
    tau = t[:, None] * x**2  # (n, nodes)
    y, weight = np.polynomial.legendre.leggauss(_INNER)
    # Substitution since = tau ((1 + y)/2)^2 takes the singularity 1/sqrt(since) away; the rest of tau is `left`.
    inner = 0.5 * (1 + y)
    since = tau[:, :, None] * inner**2
    left = tau[:, :, None] - since
    step = tau[:, :, None] * (inner * weight)
    matrix = _interpolation((x[:, None] * np.sqrt(1 - inner**2)).ravel())
    r3, q3, v3 = (a[:, None, None] for a in (r, q, v))
    r2, q2, v2, top2 = (a[:, None] for a in (r, q, v, top))
    spread = v3 * np.sqrt(since)
    grown_r, grown_q = np.exp(r3 * left) * step, np.exp(q3 * left) * step
    total = v2 * np.sqrt(tau)
    edge = _first_guess(tau, v2, r2, q2, top2)
    for _ in range(_ITERATIONS):
        h = np.concatenate([np.zeros((len(t), 1)), np.log(edge / top2) ** 2], axis=1)
        between = top2 * np.exp(-np.sqrt(np.maximum(_combined(h, matrix), 0.0)))
        ratio = edge[:, :, None] / between.reshape(spread.shape)
        middle = np.log(ratio) + (r3 - q3) * since
        minus, plus = middle / spread - 0.5 * spread, middle / spread + 0.5 * spread
        low = (np.log(edge) + (r2 - q2) * tau) / total - 0.5 * total
        high = low + total
        above = _density(low) / total + r2 * np.sum(grown_r * _density(minus) / spread, axis=2)
        below = (
            _density(high) / total + ndtr(high) + q2 * np.sum(grown_q * (ndtr(plus) + _density(plus) / spread), axis=2)
        )
        edge = np.clip(np.exp(-(r2 - q2) * tau) * above / below, 1e-12, top2)
    return np.concatenate([np.zeros((len(t), 1)), np.log(edge / top2) ** 2], axis=1), top


def _first_guess(tau: Floats, v: Floats, r: Floats, q: Floats, top: Floats) -> Floats:
    """Between the boundary at expiry and the perpetual one (Bjerksund and Stensland 1993, eq. 10, for puts)."""
    variance = v * v
    drift = r - q - 0.5 * variance
    beta = (-drift - np.sqrt(drift * drift + 2 * r * variance)) / variance  # negative root
    far = beta / (beta - 1)
    speed = (-(r - q) * tau + 2 * v * np.sqrt(tau)) * top / np.maximum(top - far, 1e-12)
    return np.clip(far + (top - far) * np.exp(-np.maximum(speed, 0.0)), 1e-6, top)


def _combined(values: Floats, matrix: Floats) -> Floats:
    """values @ matrix, summed in a fixed order: a row's bits do not depend on its neighbours, as they do in BLAS."""
    total = values[:, :1] * matrix[0]
    for column in range(1, len(matrix)):
        total += values[:, column, None] * matrix[column]
    return total


def _density(x: Floats) -> Floats:
    return np.exp(-0.5 * x * x) / _SQRT_2PI


def _nodes() -> Floats:
    """Square roots of the time left in units of that of T: Chebyshev points of [0, 1], ascending."""
    return 0.5 * (1 - np.cos(np.pi * np.arange(_NODES + 1) / _NODES))


def _interpolation(at: Floats) -> Floats:
    """Matrix (nodes + 1, points) that interpolates values at `_nodes` to ``at`` (barycentric, second kind)."""
    nodes = _nodes()
    signs = (-1.0) ** np.arange(_NODES + 1)
    signs[[0, -1]] *= 0.5
    gap = at[None, :] - nodes[:, None]
    hit = gap == 0
    terms = signs[:, None] / np.where(hit, 1.0, gap)
    matrix = terms / terms.sum(axis=0)
    return np.where(hit.any(axis=0), hit.astype(float), matrix)
