"""Volatility forecasts that never see the return they are for.

Sources: RiskMetrics 1996 (exponential weights); Moreira & Muir, Journal of Finance 72, 2017 and Harvey et al. 2018
(volatility targets).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def ewma_volatility(returns: Sequence[float] | np.ndarray, decay: float = 0.94) -> np.ndarray:
    """Forecast for every observation from the ones before it: σ²_t = λ σ²_{t−1} + (1 − λ) r²_{t−1}, σ²_2 = r²_1.

    Returns:
        Same length; the first is NaN, for nothing was known. Entry t does not change with returns from t on.
    """
    values = np.asarray(returns, dtype=np.float64)
    if not 0 < decay < 1:
        raise ValueError(f"decay {decay} must lie between 0 and 1.")
    found = np.full(len(values), np.nan)
    variance = np.nan
    for t in range(1, len(values)):
        square = values[t - 1] ** 2
        variance = square if t == 1 else decay * variance + (1 - decay) * square
        found[t] = np.sqrt(variance)
    return found


def volatility_target_weights(
    returns: Sequence[float] | np.ndarray, target: float, *, decay: float = 0.94, cap: float = 1.0
) -> np.ndarray:
    """target / forecast, at most ``cap``; 0 while nothing is known. ``target`` per period, like the returns."""
    forecast = ewma_volatility(returns, decay)
    with np.errstate(divide="ignore"):
        wanted = np.minimum(target / forecast, cap)
    return np.where(np.isfinite(forecast), wanted, 0.0)
