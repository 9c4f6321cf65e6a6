"""How many paths a Monte Carlo needs: until more of them would change no decision that reads it.

A decision compares a number with a threshold. It is settled when the confidence interval of the number's *exact* value,
that of infinitely many paths, lies on one side of the threshold. Intervals are exact and free of a distribution:

* a quantile: between two order statistics, by the binomial count of the paths below it (David & Nagaraja, Order
  Statistics, 2003, section 7.1);
* a share of the paths: Clopper & Pearson 1934.

Ruin is gated on an upper bound, which shrinks towards the share of ruined paths as paths are added; the exact value is
therefore the probability of ruin itself.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, inf, log2, sqrt

import numpy as np

from argus_core.bootstrap.trade_paths import PathStatistics
from argus_core.settings.loop import McKillThresholds

#: Chance that any decision called settled is not that of infinitely many paths, over all decisions and looks of a run.
ERROR = 0.01


def undecided(one: PathStatistics, limits: McKillThresholds, *, error: float = ERROR) -> tuple[str, ...]:
    """Names of the thresholds whose decision more paths could still change, in the order of the settings.

    Args:
        error: two-sided, of each interval.
    """
    gains = one.terminal - 1.0
    n = len(gains)
    # Per threshold: interval of the exact number, and whether it must be at least (True) or at most the threshold.
    found = {
        "median_return_min": (quantile_interval(gains, 0.5, error), True),
        "p95_drawdown_max": (quantile_interval(one.max_drawdown, 0.95, error), False),
        "ruin_prob_max": (share_interval(int(one.ruined.sum()), n, error), False),
        "fraction_positive_min": (share_interval(int((gains > 0).sum()), n, error), True),
    }
    unsettled = []
    for name, ((low, high), floor) in found.items():
        limit = getattr(limits, name)
        if limit is not None and not (low >= limit or high < limit if floor else high <= limit or low > limit):
            unsettled.append(name)
    return tuple(unsettled)


def error_per_interval(paths: int, max_paths: int) -> float:
    """`ERROR` shared out over the four decisions and the looks at paths, 2 paths, ... up to ``max_paths``."""
    looks = 1 + ceil(log2(max(1.0, max_paths / paths)))
    return ERROR / (4 * looks)


def quantile_interval(values: np.ndarray, level: float, error: float) -> tuple[float, float]:
    """Interval that holds the ``level`` quantile of the population with probability at least 1 − ``error``.

    Infinite on a side where the sample is too small to bound it.
    """
    below, above = _ranks(len(values), level, error)
    ordered = np.sort(values)
    return (
        float(ordered[below - 1]) if below >= 1 else -inf,
        float(ordered[above - 1]) if above <= len(values) else inf,
    )


def share_interval(count: int, n: int, error: float) -> tuple[float, float]:
    """Clopper-Pearson interval of a probability seen ``count`` times in ``n``."""
    from scipy.special import betaincinv

    low = float(betaincinv(count, n - count + 1, error / 2)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - error / 2)) if count < n else 1.0
    return low, high


@lru_cache(maxsize=128)
def _ranks(n: int, level: float, error: float) -> tuple[int, int]:
    """Ranks (from 1) of the order statistics around a quantile: 0 or n + 1 where there is none.

    With K ~ Bin(n, level) the number of values at or below the quantile: the lower rank l is the largest with
    P(K < l) <= error / 2, the upper rank u the smallest with P(K >= u) <= error / 2.
    """
    from scipy.special import bdtr

    reach = ceil(12 * sqrt(n * level * (1 - level))) + 12
    first = max(0, int(n * level) - reach)
    counts = np.arange(first, min(n, int(n * level) + reach) + 1)
    at_most = bdtr(counts.astype(np.float64), n, level)
    # P(K < l) = P(K <= l - 1).
    low = counts[at_most <= error / 2]
    high = counts[1.0 - at_most <= error / 2]
    return (int(low[-1]) + 1 if len(low) else 0, int(high[0]) + 1 if len(high) else n + 1)
