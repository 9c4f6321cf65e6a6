"""Risk budgeting: weights whose shares of the risk are given.

Maillard, Roncalli & Teiletche, Journal of Portfolio Management 36(4), 2010; Spinu 2013: minimise x'Σx/2 − Σ b_i ln x_i,
which is convex, then w = x / Σx.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def risk_budget_weights(covariance: NDArray[np.float64], budgets: Sequence[float] | None = None) -> NDArray[np.float64]:
    """Long-only weights (sum 1) with risk contributions w_i (Σw)_i / w'Σw = budget_i; equal ones by default.

    Damped Newton on Spinu's form: it converges from any start.

    Raises:
        ValueError: if the matrix is not positive definite, or a budget is not positive.
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    n = len(matrix)
    share = np.full(n, 1 / n) if budgets is None else np.asarray(budgets, dtype=np.float64)
    if len(share) != n or (share <= 0).any():
        raise ValueError(f"budgets must be {n} positive numbers, found {share.tolist()}.")
    share = share / share.sum()
    smallest = float(np.linalg.eigvalsh(matrix).min())
    if smallest <= 0:
        raise ValueError(
            f"covariance: smallest eigenvalue {smallest:.3g}; risk budgets need a positive definite matrix. "
            "Shrink it first (ledoit_wolf)."
        )
    scale = np.sqrt(np.diag(matrix))
    correlations = matrix / np.outer(scale, scale)
    x = np.sqrt(share)
    for _ in range(200):
        gradient = correlations @ x - share / x
        if np.abs(gradient * x).max() < 1e-14:
            break
        step = np.linalg.solve(correlations + np.diag(share / x**2), gradient)
        damping = 1.0
        while (x - damping * step <= 0).any() or _objective(correlations, share, x - damping * step) > _objective(
            correlations, share, x
        ):
            damping /= 2
            if damping < 1e-12:
                break
        x = x - damping * step
    weights = x / scale
    return weights / weights.sum()


def risk_contributions(covariance: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the variance, summing to 1."""
    moved = weights * (covariance @ weights)
    return moved / moved.sum()


def _objective(correlations: NDArray[np.float64], share: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    return float(x @ correlations @ x / 2 - share @ np.log(x))
