"""Implied volatility of the simulated chains.

Calibrated mode: IV30 with the measured term structure and smile. `null` mode: fair value. There, volatility is
independent of direction, so an option is worth the Black price averaged over the integrated variance until expiry
(Hull and White 1987), whose mean and variance follow from the simulator's own dynamics; selling at mid then
earns nothing.
"""

from __future__ import annotations

import math

import numpy as np

from argus_core.market.simulation.parameters import SYMBOLS, VARIANCE
from argus_core.market.simulation.random import inverse_gamma_mix, uniforms
from argus_core.market.simulation.state import MarketPath, Sessions, weekend_scale

#: Mid points of the measured buckets (days). The measured smile iv / atm = 1 + b1 z + b2 z^2 with z = ln(K/F) over the
#: at-the-money deviation is arbitrage in its wings: it grows too fast. These slices (SSVI in units of z, Gatheral &
#: Jacquier 2014) lie midway between those with the measured b1 and b2 as their regression over |z| < 2.5 and those that
#: fit the measured smile near the money (weights exp(-z^2 / 2)): b1, b2 and the 25-delta skew are within 15 % of the
#: measured ones. They hold the butterfly condition psi^2 (1 + |rho|) <= 4 and those between expiries.
SMILE_DAYS = np.array([1.0, 2.5, 5.5, 11.0, 22.0, 45.0, 90.0, 220.0])
SMILE_PSI = np.array([0.7505, 0.7691, 0.7911, 0.8454, 0.906, 1.0425, 1.0799, 1.0692])
SMILE_RHO = np.array([-0.304, -0.3891, -0.4273, -0.4376, -0.462, -0.5342, -0.5474, -0.5953])
TERM_SLOPE, TERM_FLOOR = 0.13, 0.75

_NODES = np.array([-2.856970013872806, -1.355626179974266, 0.0, 1.355626179974266, 2.856970013872806])
_WEIGHTS = np.array(
    [0.01125741132772069, 0.2220759220056126, 0.5333333333333333, 0.2220759220056126, 0.01125741132772069]
)


def atm_volatility(iv30: float, days: np.ndarray) -> np.ndarray:
    """At-the-money volatility per calendar days to expiry, from the 30-day level."""
    return iv30 * np.maximum(1.0 + TERM_SLOPE * np.log(np.maximum(days, 1e-3) / 30.0), TERM_FLOOR)


def smile_volatility(atm: np.ndarray, log_moneyness: np.ndarray, years: np.ndarray) -> np.ndarray:
    """Volatility of strikes at ``log_moneyness`` = ln(K / F); all arguments broadcast."""
    log_days = np.log(np.maximum(years * 365.0, 1.0))
    psi = np.interp(log_days, np.log(SMILE_DAYS), SMILE_PSI)
    rho = np.interp(log_days, np.log(SMILE_DAYS), SMILE_RHO)
    z = log_moneyness / (atm * np.sqrt(years))
    return atm * np.sqrt(0.5 * (1.0 + rho * psi * z + np.sqrt((psi * z + rho) ** 2 + 1.0 - rho**2)))


def black76(forward: float, strike: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undiscounted call price and call delta (Black 1976) for total standard deviation ``deviation`` = iv sqrt(T)."""
    from scipy.special import ndtr

    d1 = np.log(forward / strike) / deviation + 0.5 * deviation
    delta = ndtr(d1)
    return forward * delta - strike * ndtr(d1 - deviation), delta


class FairVariance:
    """Mean and spread of the variance from a moment to the close of each later session (SPY, null mode)."""

    def __init__(self, sessions: Sessions, market: MarketPath, horizon: int = 100) -> None:
        self._sessions, self._market = sessions, market
        v = VARIANCE
        k = np.arange(1, horizon + 1)
        self._decay_x, self._decay_f = v.iv_persistence**k, v.fast_persistence**k
        var_x = v.iv_shock**2 * (1 - v.iv_persistence ** (2 * k)) / (1 - v.iv_persistence**2)
        var_f = v.fast_shock**2 * (1 - v.fast_persistence ** (2 * k)) / (1 - v.fast_persistence**2)
        lag = np.abs(k[:, None] - k)
        early_x, early_f = np.minimum(var_x[:, None], var_x), np.minimum(var_f[:, None], var_f)
        covariance = v.loading**2 * v.iv_persistence**lag * early_x + v.fast_persistence**lag * early_f
        self._center = 0.5 * (v.loading**2 * var_x + var_f)
        self._relative = np.expm1(covariance)
        spy = SYMBOLS["SPY"]
        self._gap_ratio = spy.overnight_share / (1 - spy.overnight_share)
        self._break = weekend_scale(sessions.after_break, spy.weekend_ratio)
        draws = inverse_gamma_mix(uniforms(np.uint64(1), 0, 200_000).reshape(-1, 2), v.overnight_cap)
        self._mix_excess = float((draws**2).mean() - 1.0)
        spread = v.jump_size_spread * math.sqrt(3.0) / math.pi * 2.0
        second = v.jump_size**2 * math.pi * spread / math.sin(math.pi * spread)
        self._jump_share = v.jumps_per_day * second

    def until(self, row: int, elapsed: float, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the variance until the close of session ``row`` + 0..count-1, and its relative log spread.

        Args:
            row: today's session.
            elapsed: share of today's variance that has passed.
            count: sessions to cover, today included, at most ``horizon`` + 1.
        """
        v, m = VARIANCE, self._market
        ahead = slice(row + 1, row + count)
        k = count - 1
        level = v.level + v.loading * self._decay_x[:k] * (m.iv_before[row] - v.iv_mean)
        session = np.exp(level + self._decay_f[:k] * m.fast_after[row] + self._center[:k])
        length = self._sessions.minutes[ahead] / 390.0
        gap = session * self._gap_ratio * self._break[ahead]
        day = session * length * (1.0 + self._jump_share) + gap
        today = m.variance[row] * (1.0 + self._jump_share) * (1.0 - elapsed)
        mean = today + np.concatenate([[0.0], np.cumsum(day)])
        spread = np.zeros(count)
        outer = self._relative[:k, :k] * np.outer(day, day)
        np.fill_diagonal(outer, outer.diagonal() + gap**2 * self._mix_excess)
        total = np.cumsum(np.cumsum(outer, axis=0), axis=1).diagonal()
        spread[1:] = np.sqrt(np.log1p(total / mean[1:] ** 2))
        return mean, spread


def mixture_call(forward: float, strike: np.ndarray, variance: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Call price averaged over a lognormal variance with mean ``variance`` and log sd ``spread`` (Gauss-Hermite)."""
    price = np.zeros_like(strike)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        deviation = np.sqrt(variance * np.exp(spread * node - 0.5 * spread**2))
        price += weight * black76(forward, strike, deviation)[0]
    return price


def implied_deviation(forward: float, strike: np.ndarray, call: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Total standard deviation that gives ``call``, by bisection on the price, which rises in it."""
    low, high = 0.2 * start, 4.0 * start
    for _ in range(30):
        middle = 0.5 * (low + high)
        above = black76(forward, strike, middle)[0] > call
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return 0.5 * (low + high)
