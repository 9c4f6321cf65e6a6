"""Walk-forward: the parameter set is chosen on the past and judged on what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from argus_core.validation.splits import walk_forward_splits


@dataclass(frozen=True)
class Fold:
    """One fold: day ranges (half-open row numbers), the lane chosen on train, and its annualised Sharpe ratios."""

    train: tuple[int, int]
    test: tuple[int, int]
    chosen: int | None
    train_sharpe: float | None
    test_sharpe: float | None


@dataclass(frozen=True)
class WalkForward:
    """Folds of the chosen lane, its stitched out-of-sample result, and the same judgement of every single lane.

    Sharpe ratios are annualised and None where undefined. ``decay`` is the share of the in-sample Sharpe that is
    lost out of sample, in [0, 1]: 0 nothing lost, 1 all lost, or never there (both not positive).
    ``sign_consistency`` is the share of test folds with a positive mean among the folds with any return.
    """

    folds: tuple[Fold, ...]
    oos_sharpe: float | None
    is_sharpe: float | None
    decay: float | None
    sign_consistency: float | None
    lane_oos_sharpe: tuple[float | None, ...]
    lane_is_sharpe: tuple[float | None, ...]
    lane_decay: tuple[float | None, ...]
    lane_sign_consistency: tuple[float | None, ...]


def walk_forward(
    returns: np.ndarray,
    *,
    folds: int = 4,
    mode: Literal["anchored", "rolling"] = "anchored",
    train_blocks: int = 1,
    embargo_days: int = 1,
    days_per_year: int = 252,
) -> WalkForward | None:
    """Walk-forward over a matrix of daily returns.

    The days are cut into ``train_blocks`` + ``folds`` blocks of (nearly) equal length; the last ``folds`` test, one
    after another (`walk_forward_splits`). Each trains on all days before it (``anchored``) or on the ``train_blocks``
    blocks before it (``rolling``: the past is forgotten, for markets that change), less the ``embargo_days`` just
    before it; the lane with the best Sharpe there (the first of equals) is judged on the block. A daily return is
    marked to market, so its label interval is its own day: nothing has to be purged beyond the embargo. Fewer folds
    (at least two) are made where blocks would be too short.

    Args:
        returns: daily net returns, shape (lanes, days).

    Returns:
        None where fewer than two folds of at least two test and two train days fit.
    """
    matrix = np.asarray(returns, dtype=np.float64)
    lanes, days = matrix.shape
    while folds >= 2 and not _fits(days // (folds + train_blocks), train_blocks, embargo_days):
        folds -= 1
    if folds < 2 or lanes == 0:
        return None
    labels = np.arange(days)
    splits = walk_forward_splits(
        labels, labels, folds=folds, mode=mode, train_blocks=train_blocks, embargo=embargo_days
    )
    spans = [(_span(split.train), _span(split.test)) for split in splits]
    train = np.array([_sharpe(matrix[:, a:b], days_per_year) for (a, b), _ in spans])
    test = np.array([_sharpe(matrix[:, a:b], days_per_year) for _, (a, b) in spans])
    means = np.array([matrix[:, a:b].mean(axis=1) for _, (a, b) in spans])
    active = np.array([(matrix[:, a:b] != 0).any(axis=1) for _, (a, b) in spans])

    chosen = [int(np.nanargmax(row)) if np.isfinite(row).any() else None for row in train]
    picked = [
        Fold(*spans[k], lane, None if lane is None else _defined(train[k, lane]), _defined(test[k, lane or 0]))
        if lane is not None
        else Fold(*spans[k], None, None, None)
        for k, lane in enumerate(chosen)
    ]
    # Without a choice the capital stays in cash.
    stitched = np.concatenate(
        [
            np.zeros(b - a) if lane is None else matrix[lane, a:b]
            for lane, (_, (a, b)) in zip(chosen, spans, strict=True)
        ]
    )
    oos = _defined(_sharpe(stitched[None, :], days_per_year)[0])
    inside = _mean([fold.train_sharpe for fold in picked])
    signs = [means[k, lane] > 0 for k, lane in enumerate(chosen) if lane is not None and active[k, lane]]

    out = matrix[:, spans[0][1][0] :]
    lane_oos = [_defined(value) for value in _sharpe(out, days_per_year)]
    lane_is = [_mean([_defined(value) for value in train[:, lane]]) for lane in range(lanes)]
    lane_signs = [
        float((means[active[:, lane], lane] > 0).mean()) if active[:, lane].any() else None for lane in range(lanes)
    ]
    return WalkForward(
        folds=tuple(picked),
        oos_sharpe=oos,
        is_sharpe=inside,
        decay=sharpe_decay(inside, oos),
        sign_consistency=float(np.mean(signs)) if signs else None,
        lane_oos_sharpe=tuple(lane_oos),
        lane_is_sharpe=tuple(lane_is),
        lane_decay=tuple(sharpe_decay(a, b) for a, b in zip(lane_is, lane_oos, strict=True)),
        lane_sign_consistency=tuple(lane_signs),
    )


def _fits(block: int, train_blocks: int, embargo_days: int) -> bool:
    """Whether a test of ``block`` days and its shortest train have two days each."""
    return block >= 2 and train_blocks * block >= embargo_days + 2


def _span(rows: np.ndarray) -> tuple[int, int]:
    """Half-open range of consecutive rows."""
    return int(rows[0]), int(rows[-1]) + 1


def sharpe_decay(inside: float | None, outside: float | None) -> float | None:
    """Share of an in-sample Sharpe lost out of sample, in [0, 1]; where it was not positive: 0 if it is now, else 1."""
    if inside is None or outside is None:
        return None
    if inside <= 0:
        return 0.0 if outside > 0 else 1.0
    return float(min(max(1.0 - outside / inside, 0.0), 1.0))


def _sharpe(matrix: np.ndarray, days_per_year: int) -> np.ndarray:
    """Annualised Sharpe ratio of every row (sample standard deviation), NaN where the row does not vary."""
    mean, spread = matrix.mean(axis=1), matrix.std(axis=1, ddof=1)
    varies = spread > 1e-12
    return np.where(varies, mean / np.where(varies, spread, 1.0) * np.sqrt(days_per_year), np.nan)


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
