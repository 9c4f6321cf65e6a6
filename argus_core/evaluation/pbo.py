"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

Bailey, Borwein, López de Prado & Zhu, Journal of Computational Finance 20(4), 2017. Every split of S even blocks into
two halves: the winner in sample is ranked out of sample; PBO is the share of splits where it falls into the worse half.

Warning: on pure noise PBO is about 0.50 with a standard deviation of 0.18 (50 strategies, 8 blocks): a PBO below 0.5 is
no evidence of anything. It is reported, and kills only where a threshold is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class OverfittingResult:
    """CSCV of one grid. ``logits`` has one entry per split, in the order of ``itertools.combinations``."""

    pbo: float
    logits: NDArray[np.float64]
    slope: float
    intercept: float
    loss_probability: float
    n_splits: int
    n_blocks: int
    n_strategies: int


def split_count(n_periods: int, *, largest: int = 16, block_periods: int = 5) -> int:
    """Largest even number of blocks up to ``largest`` with at least ``block_periods`` periods each; below 4: 0."""
    blocks = min(largest, n_periods // block_periods) // 2 * 2
    return blocks if blocks >= 4 else 0


def overfitting_probability(
    performance: NDArray[np.float64], *, blocks: int, metric: Literal["sharpe", "mean"] = "sharpe"
) -> OverfittingResult:
    """PBO of the columns of ``performance``.

    Block sums of r and r² give every split's Sharpe by one matrix product of the split matrix with the block sums.
    Rows that do not fill a whole block are left out at the start. logit = ln(w/(1−w)) with w = rank/(N+1); a tie
    counts for the winner, so pass distinct columns; PBO counts logits <= 0.

    Args:
        performance: (n, N) per-period returns of the configurations of one grid, same clock, not demeaned.
        blocks: even number S >= 2.
        metric: ``sharpe`` (mean over the n−1 standard deviation) or ``mean``.

    Raises:
        ValueError: on an odd or too large number of blocks, or fewer than two strategies.
    """
    n, strategies = performance.shape
    if blocks < 2 or blocks % 2 or blocks > n // 2:
        raise ValueError(f"blocks must be even, at least 2 and at most half of {n} periods, found {blocks}.")
    if strategies < 2:
        raise ValueError("overfitting needs at least two configurations to choose from.")
    size = n // blocks
    used = performance[n - size * blocks :].reshape(blocks, size, strategies)
    sums, squares = used.sum(axis=1), (used * used).sum(axis=1)
    chosen = _halves(blocks)
    half = size * blocks // 2
    inside = _metric(chosen @ sums, chosen @ squares, half, metric)
    # The other half of a split is a split, too: taking complements turns the order of ``itertools.combinations`` round.
    outside = inside[::-1]
    rows = np.arange(len(chosen))
    winner = np.argmax(inside, axis=1)
    of_winner = outside[rows, winner]
    # Block sums carry rounding: equal values must count as ties.
    tolerance = 1e-9 * np.maximum(1e-12, np.abs(outside).max(axis=1))
    rank = (outside <= (of_winner + tolerance)[:, None]).sum(axis=1)
    share = rank / (strategies + 1)
    logits = np.log(share / (1 - share))
    best = inside[rows, winner]
    spread = ((best - best.mean()) ** 2).sum()
    slope = float(((best - best.mean()) * (of_winner - of_winner.mean())).sum() / spread) if spread > 0 else 0.0
    return OverfittingResult(
        pbo=float((logits <= 1e-12).mean()),
        logits=logits,
        slope=slope,
        intercept=float(of_winner.mean() - slope * best.mean()),
        loss_probability=float((of_winner < 0).mean()),
        n_splits=len(chosen),
        n_blocks=blocks,
        n_strategies=strategies,
    )


@lru_cache(maxsize=4)
def _halves(blocks: int) -> NDArray[np.float64]:
    """1 where a split trains on a block: (splits, blocks), in the order of ``itertools.combinations``."""
    chosen = np.zeros((comb(blocks, blocks // 2), blocks))
    members = np.array(list(combinations(range(blocks), blocks // 2)))
    np.put_along_axis(chosen, members, 1.0, axis=1)
    return chosen


def _metric(sums: NDArray[np.float64], squares: NDArray[np.float64], count: int, metric: str) -> NDArray[np.float64]:
    mean = sums / count
    if metric == "mean":
        return mean
    variance = (squares - count * mean * mean) / (count - 1)
    live = variance > 1e-18
    return np.where(live, mean / np.sqrt(np.where(live, variance, 1.0)), 0.0)
