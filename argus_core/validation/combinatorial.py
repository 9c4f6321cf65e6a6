"""Combinatorial purged cross-validation of a parameter grid: not one out-of-sample result but a distribution.

In every split the lane with the best Sharpe on the train days is judged on the test groups; the groups of different
splits join into whole paths over all days, C(N-1, k-1) of them (López de Prado 2018, ch. 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from argus_core.validation.splits import combinatorial_splits, group_edges, path_count


@dataclass(frozen=True)
class CombinatorialResult:
    """Annualised Sharpe ratios of the out-of-sample paths, shape (paths,), and the lane chosen in every split.

    ``path_sharpes`` are 0 where a path never moved.
    """

    path_sharpes: np.ndarray
    chosen: tuple[int | None, ...]
    groups: int
    test_groups: int

    @property
    def median(self) -> float:
        return float(np.median(self.path_sharpes))

    @property
    def low(self) -> float:
        """5 % quantile of the paths."""
        return float(np.quantile(self.path_sharpes, 0.05))

    @property
    def share_negative(self) -> float:
        """Share of paths that do not earn anything."""
        return float(np.mean(self.path_sharpes <= 0))


def combinatorial_paths(
    returns: np.ndarray, *, groups: int = 10, test_groups: int = 2, embargo_days: int = 1, days_per_year: int = 252
) -> CombinatorialResult | None:
    """Out-of-sample paths of "take the best lane of the train days".

    A daily return is marked to market: its label interval is its own day, so purging leaves only the embargo after each
    test block. The warning of the Sharpe ratio of few days holds: with two test groups of ten, a year has 25 days each.

    Args:
        returns: daily net returns, shape (lanes, days).

    Returns:
        None where there is no lane, or days for fewer than two of every group.
    """
    matrix = np.asarray(returns, dtype=np.float64)
    lanes, days = matrix.shape
    if lanes == 0 or days < 2 * groups:
        return None
    labels = np.arange(days)
    splits = list(combinatorial_splits(labels, labels, groups=groups, test_groups=test_groups, embargo=embargo_days))
    # Train moments of every lane in every split are two matrix products.
    mask = np.zeros((len(splits), days))
    for row, split in enumerate(splits):
        mask[row, split.train] = 1.0
    count = mask.sum(axis=1, keepdims=True)
    mean = mask @ matrix.T / count
    variance = (mask @ (matrix**2).T - count * mean**2) / np.maximum(count - 1, 1)
    live = variance > 1e-18
    scores = np.where(live, mean / np.sqrt(np.where(live, variance, 1.0)), -np.inf)
    chosen = [int(np.argmax(row)) if np.isfinite(row).any() else None for row in scores]

    edges = group_edges(days, groups)
    paths = np.zeros((path_count(groups, test_groups), days))
    used = np.zeros(groups, np.int64)
    for split, lane in zip(splits, chosen, strict=True):
        for group in split.groups:
            span = slice(edges[group], edges[group + 1])
            if lane is not None:
                paths[used[group], span] = matrix[lane, span]
            used[group] += 1
    spread = paths.std(axis=1, ddof=1)
    moved = spread > 1e-12
    sharpes = np.where(moved, paths.mean(axis=1) / np.where(moved, spread, 1.0) * sqrt(days_per_year), 0.0)
    return CombinatorialResult(sharpes, tuple(chosen), groups, test_groups)
