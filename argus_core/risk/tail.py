"""Value at risk and expected shortfall; losses are positive numbers.

Sources: Rockafellar & Uryasev, Journal of Banking & Finance 26, 2002 (discrete samples: the quantile's own mass counts
with the part that lies in the tail); Kupiec 1995 (proportion of failures).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()


def value_at_risk(losses: Sequence[float] | np.ndarray, level: float) -> float:
    """Smallest loss that at least a share ``level`` of the sample does not exceed: order statistic ceil(n a)."""
    ordered = _sorted(losses, level)
    return float(ordered[math.ceil(len(ordered) * level - 1e-9) - 1])


def expected_shortfall(losses: Sequence[float] | np.ndarray, level: float) -> float:
    """Mean of the worst share 1 − ``level``: [Σ_{i>k} L_(i)/n + (k/n − a) VaR] / (1 − a), k = ceil(n a).

    The mean of all losses at or above the VaR is another number where the quantile has mass.
    """
    ordered = _sorted(losses, level)
    n = len(ordered)
    k = math.ceil(n * level - 1e-9)
    return float((ordered[k:].sum() / n + (k / n - level) * ordered[k - 1]) / (1 - level))


def normal_expected_shortfall(level: float, *, mean: float = 0.0, sigma: float = 1.0) -> float:
    """φ(z) / (1 − a) of a normal loss."""
    return mean + sigma * _NORMAL.pdf(_NORMAL.inv_cdf(level)) / (1 - level)


def student_expected_shortfall(level: float, degrees: float, *, mean: float = 0.0, scale: float = 1.0) -> float:
    """Of a Student-t loss with ``degrees`` > 1 of freedom: f(q)/(1 − a) (ν + q²)/(ν − 1) times the scale."""
    if degrees <= 1:
        raise ValueError(f"a t distribution with {degrees} degrees of freedom has no mean; give more than 1.")
    from scipy.stats import t

    q = t.ppf(level, degrees)
    return float(mean + scale * t.pdf(q, degrees) / (1 - level) * (degrees + q * q) / (degrees - 1))


def kupiec_ratio(exceptions: int, days: int, probability: float) -> float:
    """Likelihood ratio of ``exceptions`` in ``days`` at an exception rate of ``probability``; χ² with one degree."""

    def log_likelihood(p: float) -> float:
        terms = ((exceptions, p), (days - exceptions, 1 - p))
        return sum(count * math.log(share) for count, share in terms if count)

    return 2 * (log_likelihood(exceptions / days) - log_likelihood(probability))


def kupiec_region(days: int, probability: float, confidence: float = 0.95) -> tuple[int, int]:
    """(low, high): a model is not rejected where low < exceptions < high."""
    from scipy.stats import chi2

    critical = float(chi2.ppf(confidence, 1))
    inside = [x for x in range(days + 1) if kupiec_ratio(x, days, probability) < critical]
    return inside[0] - 1, inside[-1] + 1


def _sorted(losses: Sequence[float] | np.ndarray, level: float) -> np.ndarray:
    values = np.sort(np.asarray(losses, dtype=np.float64))
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("losses: give at least one, all finite.")
    if not 0 < level < 1:
        raise ValueError(f"level {level} must lie between 0 and 1, like 0.95.")
    return values
