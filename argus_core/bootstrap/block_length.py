"""Automatic block length of the bootstrap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class BlockLength(NamedTuple):
    """Mean block of the stationary bootstrap, and block of the circular one; observations, at least 1."""

    stationary: float
    circular: float


def optimal_block_length(values: np.ndarray) -> BlockLength:
    """Block length that minimises the mean squared error of the bootstrap variance of the mean.

    Politis & White 2004 (Econometric Reviews 23, 53-70) with the correction of Patton, Politis & White 2009
    (28, 372-375). The lag m is the first after which max(5, log10 n) autocorrelations in a row lie inside the
    band 2 sqrt(log10(n) / n), at least 1; the flat-top window reaches to 2m. Capped at ceil(min(3 sqrt n, n / 3)).

    Warning:
        The answer is about the **mean** of ``values``. Volatility clusters longer than returns do, and drawdown
        feels it: `monte_carlo` takes the larger answer of the returns and of their absolute values.

    Args:
        values: one series in time order, shape (n,).

    Returns:
        (1, 1) for fewer than eight values or a constant series.
    """
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    if n < 8 or np.ptp(x) == 0:
        return BlockLength(1.0, 1.0)
    centred = x - x.mean()
    run = max(5, int(np.log10(n)))
    reach = min(int(np.ceil(np.sqrt(n))) + run, n - 2)
    products = _lagged_products(centred, reach)
    # The band tests sample correlations of the overlapping parts, without their end points.
    squares = np.concatenate([[0.0], np.cumsum(centred**2)])
    lags = np.arange(reach + 1)
    tail = squares[n] - squares[np.minimum(lags + 1, n)]
    head = squares[n - lags - 1]
    scale = np.sqrt(tail * head)
    correlation = np.abs(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0))
    inside = correlation < 2.0 * np.sqrt(np.log10(n) / n)
    first = next((i for i in range(reach - run + 1) if inside[i : i + run].all()), None)
    bandwidth = reach if first is None else min(2 * max(first, 1), reach)

    k = np.arange(1, bandwidth + 1)
    weight = np.minimum(1.0, 2.0 * (1.0 - k / bandwidth))
    covariance = products / n
    slope = 2.0 * np.sum(weight * k * covariance[1 : bandwidth + 1])
    long_run = covariance[0] + 2.0 * np.sum(weight * covariance[1 : bandwidth + 1])
    limit = np.ceil(min(3.0 * np.sqrt(n), n / 3.0))
    if long_run <= 0:
        return BlockLength(float(limit), float(limit))
    stationary = float(np.cbrt(slope**2 / long_run**2) * np.cbrt(n))
    circular = float(np.cbrt(1.5) * stationary)
    return BlockLength(float(max(1.0, min(stationary, limit))), float(max(1.0, min(circular, limit))))


def _lagged_products(centred: np.ndarray, reach: int) -> np.ndarray:
    """Sums of x_t x_{t+k} for k = 0..reach."""
    n = len(centred)
    return np.array([centred[k:] @ centred[: n - k] for k in range(reach + 1)])
