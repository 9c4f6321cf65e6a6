"""Heston option values on every close of a horizon and every state (x, v): one table for all strikes.

An undiscounted put over its forward depends on the log-moneyness ln(K/F), the variance and the time left alone. It is
tabulated by COS (Fang & Oosterlee, SIAM J. Sci. Comput. 31, 2008) in units of the standard deviation of ln S_T of each
(close, variance), so that sines and cosines are the same everywhere and the kink near expiry is resolved. Between
nodes: cubic Hermite in moneyness with the exact slope (the distribution function), linear in the volatility.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from argus_core.accelerator import bucket, load_jax
from argus_core.options.heston.characteristic import exponents
from argus_core.options.heston.parameters import HestonParameters

#: Half the range of ln S_T in standard deviations.
RANGE = 12.0
TERMS = 256
NODES = 256
VARIANCES = 64


class MarkTable(NamedTuple):
    """Undiscounted puts over the forward; leading axes (closes, variances).

    ``years`` (closes,) is the time left; ``top`` the square root of the last variance: node i of n stands for
    v = (top i / (n - 1))^2. Node j of the last axis stands for ln(K/F) = low + width j / (nodes - 1).
    ``value`` and ``slope`` (per ln K) have the shape (closes, variances, nodes).
    """

    years: Any
    top: Any
    low: Any
    width: Any
    value: Any
    slope: Any

    @property
    def variances(self) -> np.ndarray:
        """The variances of the nodes."""
        return (np.linspace(0.0, 1.0, self.low.shape[1]) * float(self.top)) ** 2


def highest_volatility(parameters: HestonParameters, years: float) -> float:
    """A volatility that paths do not exceed: six standard deviations of sqrt(v), whose noise is sigma / 2."""
    v0, kappa, theta, sigma, _ = parameters
    memory = -math.expm1(-kappa * years) / kappa
    return math.sqrt(max(v0, theta)) + 3.0 * sigma * math.sqrt(memory)


def law_of_log_price(parameters: HestonParameters, years: Any, v: Any) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and variance of ln(S_T/F_T) from state v; arguments broadcast."""
    _, kappa, theta, sigma, rho = parameters
    t = np.asarray(years, dtype=float)
    e, a = np.exp(-kappa * t), -np.expm1(-kappa * t) / kappa
    excess = np.asarray(v, dtype=float) - theta
    total = theta * t + excess * a
    covariance = rho * sigma / kappa * (theta * (t - a) + excess * (a - t * e))
    spread = (sigma / kappa) ** 2 * (theta * (t - 2 * a + a * (1 + e) / 2) + excess * (a - 2 * t * e + e * a))
    return -total / 2, total - covariance + spread / 4


@lru_cache(maxsize=1)
def _fourier() -> Any:
    jax = load_jax()
    jnp = jax.numpy

    def tabulate(years: Any, v: Any, low: Any, width: Any, kappa: Any, theta: Any, sigma: Any, rho: Any) -> Any:
        """(closes, variances) -> value and slope (closes, variances, NODES)."""
        order = jnp.arange(TERMS)
        node = jnp.linspace(0.0, 1.0, NODES)
        cosine, sine = (f(jnp.pi * order[:, None] * node) for f in (jnp.cos, jnp.sin))
        u = jnp.pi * order / width[..., None]
        a, b = exponents(u, years[:, None, None], kappa, theta, sigma, rho)
        # e^{-i u low} = (-1)^k e^{i u (low + width)} would not be simpler: low is not a multiple of the width.
        density = 2 / width[..., None] * jnp.real(jnp.exp(a + b * v[:, None] - 1j * u * low[..., None]))
        density = density.at[..., 0].multiply(0.5)
        square = 1 + u * u
        # P(K)/F = integral of (e^k - e^y) f(y) dy over y < k, term by term; the term of order 0 is linear in k.
        over = jnp.where(order > 0, density / jnp.where(order > 0, u, 1.0), 0.0)
        moneyness = low[..., None] + width[..., None] * node
        grown = jnp.exp(moneyness)
        distribution = over @ sine + density[..., :1] * width[..., None] * node
        first = (density / square) @ cosine + (density * u / square) @ sine
        held = jnp.exp(low) * jnp.sum(density / square, axis=-1)
        return grown * (distribution - first) + held[..., None], grown * distribution

    return jax.jit(tabulate)


def mark_table(parameters: HestonParameters, years: np.ndarray, top: float, *, variances: int = VARIANCES) -> MarkTable:
    """Table for the times left ``years`` (closes,) in years, zero at the expiry, and volatilities from 0 to ``top``.

    ``top`` is moved up a little so that v0 is a node: today's prices are then exact. Read-only: the last few are kept.
    """
    return _made_table(parameters, tuple(np.asarray(years, dtype=float).tolist()), float(top), variances)


@lru_cache(maxsize=8)
def _made_table(parameters: HestonParameters, times: tuple[float, ...], top: float, variances: int) -> MarkTable:
    parameters.checked()
    last, now = variances - 1, math.sqrt(parameters.v0)
    top = now * last / max(math.floor(now * last / max(top, now)), 1)
    _, kappa, theta, sigma, rho = parameters
    years = np.array(times)
    v = (np.linspace(0.0, 1.0, variances) * top) ** 2
    alive = np.maximum(years, 1e-6)
    mean, spread = law_of_log_price(parameters, alive[:, None], v)
    deviation = np.sqrt(np.maximum(spread, 1e-14))
    low, width = mean - RANGE * deviation, 2 * RANGE * deviation
    # As many rows for many horizons: few shapes to compile.
    more = bucket(len(years), smallest=8) - len(years)
    long = [np.concatenate([a, np.repeat(a[-1:], more, axis=0)]) for a in (alive, low, width)]
    tables = _fourier()(long[0], v, *long[1:], kappa, theta, sigma, rho)
    value, slope = (np.array(a)[: len(years)] for a in tables)
    over = years <= 0
    if over.any():
        # The kink lies inside a range of 3e-5; outside, `put_at` returns the intrinsic value.
        low[over], width[over] = -1e-7 * (NODES // 2), 1e-7 * (NODES - 1)
        moneyness = low[over][..., None] + width[over][..., None] * np.linspace(0.0, 1.0, NODES)
        value[over] = np.maximum(np.expm1(moneyness), 0.0)
        slope[over] = np.where(moneyness > 1e-12, np.exp(moneyness), 0.0)
    table = MarkTable(years, np.float64(top), low, width, np.maximum(value, 0.0), np.clip(slope, 0.0, None))
    for array in table:
        array.setflags(write=False)
    return table


def with_padding(table: MarkTable, dtype: Any) -> MarkTable:
    """The table in another precision, its last row repeated so that many horizons share compiled kernels."""
    more = bucket(len(table.years) - 1, smallest=8) + 1 - len(table.years)
    rows = [np.asarray(a, dtype) for a in table]
    return MarkTable(*(np.concatenate([a, np.repeat(a[-1:], more, axis=0)]) if a.ndim else a for a in rows))


def hermite(y0: Any, y1: Any, d0: Any, d1: Any, t: Any) -> Any:
    """Cubic on [0, 1] with end values y and end slopes d."""
    return y0 + t * (d0 + t * (3 * (y1 - y0) - 2 * d0 - d1 + t * (2 * (y0 - y1) + d0 + d1)))


def put_at(xp: Any, low: Any, width: Any, value: Any, slope: Any, moneyness: Any) -> Any:
    """Undiscounted put over the forward at ``moneyness`` = ln(K/F); rows of tables broadcast against its leading axes.

    Below the table the put is worthless, above it worth its intrinsic value.
    """
    nodes = value.shape[-1]
    step = width / (nodes - 1)
    at = (moneyness - low) / step
    left = xp.clip(xp.floor(at), 0, nodes - 2).astype(xp.int32)
    t = xp.clip(at - left, 0, 1)

    def pick(table: Any, index: Any) -> Any:
        return xp.take_along_axis(table, index, axis=-1)

    y0, y1 = pick(value, left), pick(value, left + 1)
    d0, d1 = pick(slope, left) * step, pick(slope, left + 1) * step
    inside = xp.where(at <= 0, 0.0, hermite(y0, y1, d0, d1, t))
    return xp.where(at >= nodes - 1, xp.expm1(moneyness), inside)
