"""Covariance of plays by linear shrinkage, and clusters of plays that move together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ledoit_wolf(returns: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Shrunk covariance (p, p) and shrinkage intensity of (n, p) returns, target m·I.

    Ledoit & Wolf, Journal of Multivariate Analysis 88, 2004: m = tr(S)/p, d² = |S − mI|²/p,
    b² = min(d², Σ|x xᵀ − S|²/(n²p)), intensity b²/d². Everything divides by n. The result is positive semi-definite.

    Raises:
        ValueError: with fewer than two rows or values that are not finite.
    """
    x = np.asarray(returns, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(f"covariance needs a matrix of at least 2 rows of finite numbers, found shape {x.shape}.")
    n, p = x.shape
    centred = x - x.mean(axis=0)
    sample = centred.T @ centred / n
    mean = np.trace(sample) / p
    target = mean * np.eye(p)
    distance = ((sample - target) ** 2).sum() / p
    # Σ|x xᵀ − S|² = Σ|x|⁴ − n|S|², without p × p matrices per row.
    noise = ((centred**2).sum(axis=1) ** 2).sum() - n * (sample**2).sum()
    noise = min(distance, max(noise, 0.0) / (n * n * p))
    intensity = noise / distance if distance > 0 else 0.0
    return (1 - intensity) * sample + intensity * target, float(intensity)


def correlation(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation matrix of ``covariance``; a variable that does not vary correlates with nothing."""
    scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    result = covariance * inverse[:, None] * inverse[None, :]
    np.fill_diagonal(result, 1.0)
    return np.clip(result, -1.0, 1.0)


def clusters(correlations: NDArray[np.float64], threshold: float) -> list[int]:
    """Cluster of every play: the smallest index among those linked to it by correlations of at least ``threshold``."""
    parent = list(range(len(correlations)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i in range(len(parent)):
        for j in range(i):
            if correlations[i, j] >= threshold:
                low, high = sorted((root(i), root(j)))
                parent[high] = low
    return [root(i) for i in range(len(parent))]
