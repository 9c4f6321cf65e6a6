"""Does a result depend on where the window starts?

Two questions, two answers. Masking the first part of the decision days asks whether the profit is one lucky start: no
re-run, every lane of a sweep. Cutting the first sessions off and replaying asks whether the strategy's own state (its
indicators, its first position, its equity) carries the start through the whole window: a re-run, so only for the best
lane of a sweep. A sound strategy gives nearly the same returns on the days that both runs decide on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

_STILL = 1e-12


@dataclass(frozen=True)
class MaskedStarts:
    """Sharpe ratios with the first part of the days masked.

    Attributes:
        shares: share of the days masked, the first is 0.
        first_day: row of the first day counted, per share.
        sharpe: annualised Sharpe ratio, shape (shares, runs); NaN where the days left do not vary.
        spread: largest minus smallest of them per run, shape (runs,); NaN where fewer than two are defined.
        z: largest difference to the whole window in standard errors, shape (runs,); NaN where undefined.
    """

    shares: tuple[float, ...]
    first_day: tuple[int, ...]
    sharpe: np.ndarray
    spread: np.ndarray
    z: np.ndarray


def masked_starts(
    returns: np.ndarray, *, shares: Sequence[float] = (0.1, 0.2, 0.3), days_per_year: int = 252
) -> MaskedStarts:
    """Sharpe ratio of every run without the first 10, 20, 30 % of its decision days.

    The estimate on the days left and the one on all days share those days, so the variance of their difference is the
    difference of the variances (Hausman, Econometrica 46, 1978), with (1 + SR²/2)/n for each (Lo 2002): a spread is
    worth a look when ``z`` is above 2, whatever its size.

    Args:
        returns: daily net returns, shape (runs, days).
        shares: of the days to mask, each in (0, 1).

    Raises:
        ValueError: if a share lies outside (0, 1).
    """
    matrix = np.asarray(returns, dtype=np.float64)
    if wrong := [share for share in shares if not 0 < share < 1]:
        raise ValueError(f"shares: {wrong[0]} is not between 0 and 1; give the shares of the days to mask.")
    runs, days = matrix.shape
    tried = (0.0, *sorted(set(shares)))
    first = tuple(round(days * share) for share in tried)
    sharpe = np.array([_sharpe(matrix[:, row:]) for row in first])
    defined = np.isfinite(sharpe)
    highest = np.where(defined, sharpe, -np.inf).max(axis=0)
    lowest = np.where(defined, sharpe, np.inf).min(axis=0)
    enough = defined.sum(axis=0) > 1
    spread = np.where(enough, highest - np.where(enough, lowest, 0.0), np.nan)
    z = np.full(runs, np.nan)
    for row, one in zip(first[1:], sharpe[1:], strict=True):
        if not 0 < row < days:
            continue
        unit = 1.0 + sharpe[0] ** 2 / 2.0
        distance = np.abs(one - sharpe[0]) / np.sqrt(unit * (1.0 / (days - row) - 1.0 / days))
        z = np.fmax(z, distance)
    year = np.sqrt(days_per_year)
    return MaskedStarts(tried, first, sharpe * year, spread * year, z)


@dataclass(frozen=True)
class Restart:
    """A run from the start of the window beside one whose first sessions were cut off, on the days both decide on.

    Attributes:
        days: number of common days.
        sharpe, sharpe_restarted: annualised Sharpe ratios on them, None where they do not vary.
        difference: restarted minus original Sharpe, None where one is undefined.
        changed_days: share of the common days whose return differs by more than 1e-9.
        correlation: of the two daily return series, None where one does not vary.
    """

    days: int
    sharpe: float | None
    sharpe_restarted: float | None
    difference: float | None
    changed_days: float | None
    correlation: float | None


def compare_restart(
    days: Sequence[date],
    returns: np.ndarray,
    restarted_days: Sequence[date],
    restarted_returns: np.ndarray,
    *,
    days_per_year: int = 252,
) -> Restart:
    """Compare two runs of one strategy on the days that both have.

    Args:
        days, returns: trade dates and daily net returns of the original run.
        restarted_days, restarted_returns: the same of the run that started later.
    """
    later = dict(zip(restarted_days, np.asarray(restarted_returns, dtype=np.float64), strict=True))
    pairs = [
        (value, later[day])
        for day, value in zip(days, np.asarray(returns, dtype=np.float64), strict=True)
        if day in later
    ]
    if not pairs:
        return Restart(0, None, None, None, None, None)
    both = np.array(pairs).T
    ratios = _sharpe(both) * np.sqrt(days_per_year)
    one, other = (float(value) if np.isfinite(value) else None for value in ratios)
    return Restart(
        days=both.shape[1],
        sharpe=one,
        sharpe_restarted=other,
        difference=None if one is None or other is None else other - one,
        changed_days=float((np.abs(both[0] - both[1]) > 1e-9).mean()),
        correlation=None if one is None or other is None else float(np.corrcoef(both)[0, 1]),
    )


def _sharpe(matrix: np.ndarray) -> np.ndarray:
    """Per-period Sharpe ratio of every row, NaN where the row does not vary or is shorter than two days."""
    if matrix.shape[1] < 2:
        return np.full(len(matrix), np.nan)
    spread = matrix.std(axis=1, ddof=1)
    varies = spread > _STILL
    return np.where(varies, matrix.mean(axis=1) / np.where(varies, spread, 1.0), np.nan)
