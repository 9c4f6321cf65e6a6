"""Limits as ceilings: every limit lowers the largest weights until it holds, and no limit sees what another one did.

A common scale factor is not monotone: where one play is capped, the factor of the others rises. A ceiling computed from
the proposals alone is: a tighter limit gives a lower ceiling, and the weight of every play, the minimum over its
ceilings, can only fall. Applying the limits twice changes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BISECTIONS = 200
_SLACK = 1e-12


def sum_ceiling(proposals: NDArray[np.float64], limit: float) -> float:
    """The highest ceiling c with Σ min(proposal, c) <= ``limit``; infinite where the proposals already satisfy it.

    Proposals are not negative. Exact: between two sorted proposals the sum is linear in c.
    """
    if proposals.sum() <= limit * (1 + _SLACK):
        return np.inf
    ordered = np.sort(proposals)
    below = np.concatenate([[0.0], np.cumsum(ordered)])[:-1]
    ceilings = (limit - below) / np.arange(len(ordered), 0, -1)
    # The first proposal that is higher than the ceiling which would result from keeping all smaller ones whole.
    return float(max(0.0, ceilings[int(np.argmax(ordered >= ceilings))]))


def volatility_ceiling(proposals: NDArray[np.float64], covariance: NDArray[np.float64], limit: float) -> float:
    """The highest risk ceiling r such that weights min(proposal, r/σ) have a volatility of at most ``limit``.

    Infinite where the proposals already do. ``covariance`` must have no negative entries: then volatility rises with
    every weight and the ceiling is unique (a negative estimate gets no credit for diversification).
    """
    sigma = np.sqrt(np.diag(covariance))

    def volatility(ceiling: float) -> float:
        weights = proposals if np.isinf(ceiling) else np.minimum(proposals, ceiling / sigma)
        return float(np.sqrt(max(0.0, weights @ covariance @ weights)))

    if volatility(np.inf) <= limit * (1 + _SLACK):
        return np.inf
    low, high = 0.0, float((proposals * sigma).max())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if volatility(middle) <= limit else (low, middle)
    return low
