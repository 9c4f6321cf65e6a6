"""What no test can beat: the power curves that the mathematics allow.

One known strategy: the one-sided test of level α over T years at a true annual Sharpe S has t ~ N(S sqrt(T), 1), so its
power is Φ(S sqrt(T) - z_{1-α}) and no test of that level does better (Neyman & Pearson). A sweep pays for not knowing
which of its lanes is the one: the test of the largest t-value has the critical value of that maximum.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()


def limit_of_one(sharpe: float, years: float, alpha: float = 0.05) -> float:
    """Power of the best test of a single, known strategy: Φ(S sqrt(T) - z_{1-α}).

    At S = 2 over one year it is 64 %: 80 % power cannot be had, whatever the method. S = 2.49 is needed.
    """
    return _NORMAL.cdf(sharpe * math.sqrt(years) - _NORMAL.inv_cdf(1 - alpha))


def limit_of_sweep(
    shifts: np.ndarray, correlation: np.ndarray, alpha: float = 0.05, *, draws: int = 20_000, seed: int = 0
) -> float:
    """Power of the test of the largest t-value of k lanes whose null distribution is known exactly.

    Args:
        shifts: expected t-value of every lane under the alternative, shape (k,).
        correlation: of the lanes' t-values, shape (k, k); the nearest factor is used where it is not quite positive.
        draws: Monte Carlo size; the standard error is at most 0.35 %.
    """
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    noise = np.random.Generator(np.random.Philox(seed)).standard_normal((draws, len(shifts))) @ factor.T
    critical = np.quantile(noise.max(axis=1), 1 - alpha)
    return float(((noise + shifts).max(axis=1) > critical).mean())
