"""Tests that may be looked at every day: e-processes, e-detectors, confidence sequences.

A fixed-n test looked at daily over a year alarms falsely in a quarter of all healthy cases. These do not: by Ville's
inequality an e-process exceeds 1/α with probability at most α, whenever one looks.

Sources: Waudby-Smith & Ramdas, JRSSB 86, 2024 (betting); Shin, Ramdas & Rinaldo 2024 (e-detectors); Robbins 1970 and
Howard et al., Annals of Statistics 49, 2021 (normal mixture).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def betting_wealth(outcomes: np.ndarray, mean: float, bet: float) -> np.ndarray:
    """Wealth of betting that the mean is not ``mean``: Π (1 + λ (x_t − m)), along the last axis.

    Under a mean of ``mean`` it is a fair game. λ < 0 bets that the outcomes are worse.

    Args:
        outcomes: bounded, shape (..., t).

    Raises:
        ValueError: if a bet could lose more than everything on the outcomes given.
    """
    factors = 1.0 + bet * (np.asarray(outcomes, dtype=np.float64) - mean)
    if (factors < 0).any():
        raise ValueError(f"bet {bet}: an outcome would lose more than the wealth; bound outcomes or bet less.")
    return np.cumprod(factors, axis=-1)


def shiryaev_roberts(outcomes: np.ndarray, mean: float, bet: float) -> np.ndarray:
    """e-SR detector M_t = L_t (1 + M_{t−1}), along the last axis. Alarm at 1/α: average run length at least 1/α."""
    return _detector(outcomes, mean, bet, lambda before: 1.0 + before)


def cusum(outcomes: np.ndarray, mean: float, bet: float) -> np.ndarray:
    """e-CUSUM detector M_t = L_t max(1, M_{t−1}), along the last axis. Alarm at 1/α."""
    return _detector(outcomes, mean, bet, lambda before: np.maximum(1.0, before))


def mixture_radius(t: np.ndarray | float, *, sigma: float = 1.0, rho2: float = 0.1, alpha: float = 0.05) -> np.ndarray:
    """Half width of the normal-mixture confidence sequence for a mean after ``t`` observations.

    σ sqrt(2 (t ρ² + 1)/(t² ρ²) ln(sqrt(t ρ² + 1)/α)): the true mean lies inside at all times at once with 1 − α.
    """
    n = np.asarray(t, dtype=np.float64)
    grown = n * rho2 + 1
    return sigma * np.sqrt(2 * grown / (n * n * rho2) * np.log(np.sqrt(grown) / alpha))


def _detector(outcomes: np.ndarray, mean: float, bet: float, restart: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    values = np.asarray(outcomes, dtype=np.float64)
    factors = 1.0 + bet * (values - mean)
    if (factors < 0).any():
        raise ValueError(f"bet {bet}: an outcome would lose more than the wealth; bound outcomes or bet less.")
    found = np.empty_like(values)
    state = np.zeros(values.shape[:-1])
    for t in range(values.shape[-1]):
        state = factors[..., t] * restart(state)
        found[..., t] = state
    return found
