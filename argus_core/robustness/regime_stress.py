"""Does a result rest on one regime or one stretch of time? By masking profit, never by cutting bars.

Bars glued together where a regime was cut out make returns that nobody could have earned (statistics §1.14b). Masking
leaves every bar and every position as it was and only stops counting part of the profit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

FACTORS = {"vol": "entry_vol_regime", "trend": "entry_trend_regime", "session": "entry_session"}
_UNKNOWN = "UNKNOWN"


def regime_stress(trades: pl.DataFrame, offered: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """PnL by regime at entry, and what is left when one regime is taken away; see `regime_stress_of`."""
    return regime_stress_of([trades], [offered or {}])[0]


def regime_stress_of(
    runs: Sequence[pl.DataFrame], offered: Sequence[Mapping[str, Sequence[str]]] | None = None
) -> list[dict[str, Any]]:
    """PnL by regime at entry of every run, and what is left when one regime is taken away.

    Args:
        runs: trades of each run (columns of `TRADE_SCHEMA`).
        offered: per run, factor -> labels that the market had at all (`ReplayResult.offered`). A factor with a single
            one says nothing about the strategy and does not enter ``hhi``. Factors not named count as offered.

    Returns:
        Per run:
        ``factors``: factor -> label -> trades, pnl (dollars), mean_return (per trade), and pnl_without and
        mean_return_without (the same with the label's trades masked out; None where no trade is left).
        ``worst_mean_return_without``: smallest mean return over all labels taken away, None without trades or where
        every factor has a single label. ``survives``: the mean stays positive whichever regime is taken away.
        ``concentration``: Herfindahl index of |PnL| per factor (1: all in one regime).
        ``hhi``: the largest of them over the factors that the market varied, None without one.
    """
    terms = offered if offered is not None else [{}] * len(runs)
    columns = [*FACTORS.values(), "pnl", "trade_return"]
    together = pl.concat([one.select(pl.lit(k, pl.Int64).alias("run"), *columns) for k, one in enumerate(runs)])
    grouped = {
        factor: together.group_by("run", pl.col(column).cast(pl.String).fill_null(_UNKNOWN).alias("label"))
        .agg(pl.len(), pl.col("pnl").sum(), pl.col("trade_return").sum())
        .sort("run", "label")
        .partition_by("run", as_dict=True, include_key=False)
        for factor, column in FACTORS.items()
    }
    return [_stress({factor: parts.get((k,)) for factor, parts in grouped.items()}, terms[k]) for k in range(len(runs))]


def _stress(groups: Mapping[str, pl.DataFrame | None], offered: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    factors: dict[str, dict[str, dict[str, Any]]] = {}
    concentration: dict[str, float | None] = {}
    worst: list[float] = []
    for factor, found in groups.items():
        rows = found.rows() if found is not None else []
        count = sum(row[1] for row in rows)
        pnl, total = (float(sum(row[i] for row in rows)) for i in (2, 3))
        factors[factor] = {}
        for label, trades_of, pnl_of, return_of in rows:
            left = count - trades_of
            without = (total - return_of) / left if left else None
            if without is not None:
                worst.append(without)
            factors[factor][label] = {
                "trades": trades_of,
                "pnl": pnl_of,
                "mean_return": return_of / trades_of,
                "pnl_without": pnl - pnl_of,
                "mean_return_without": without,
            }
        concentration[factor] = herfindahl([row[2] for row in rows])
    varied = [
        value
        for factor, value in concentration.items()
        if value is not None and not (factor in offered and len(offered[factor]) < 2)
    ]
    return {
        "factors": factors,
        "concentration": concentration,
        "hhi": max(varied) if varied else None,
        "worst_mean_return_without": min(worst) if worst else None,
        "survives": min(worst) > 0 if worst else None,
    }


def herfindahl(profits: Sequence[float] | np.ndarray) -> float | None:
    """Herfindahl index of |profit|: sum of squared shares, 1/k (even over k) to 1 (all in one); None if all are 0."""
    sizes = np.abs(np.asarray(profits, dtype=np.float64))
    total = float(sizes.sum())
    return float(((sizes / total) ** 2).sum()) if total > 0 else None


@dataclass(frozen=True)
class Masked:
    """What is left of every run when one part of its days is taken away.

    Attributes:
        parts: names of the parts.
        days: number of days of each part, shape (parts,).
        mean: mean daily return inside each part, shape (parts, runs); NaN for a part without days.
        mean_without: mean daily return of the other days, shape (parts, runs); NaN where none is left.
        hhi: Herfindahl index of |sum of daily returns| over the parts, shape (runs,); NaN where nothing was earned or
            lost.
        worst: smallest ``mean_without``, shape (runs,); NaN with fewer than two parts that have days.
    """

    parts: tuple[str, ...]
    days: np.ndarray
    mean: np.ndarray
    mean_without: np.ndarray
    hhi: np.ndarray
    worst: np.ndarray


def leave_one_out(returns: np.ndarray, labels: Sequence[str]) -> Masked:
    """Mask the daily returns of one part of the days at a time: a walk-forward fold, or a regime of the day.

    Args:
        returns: daily net returns, shape (runs, days).
        labels: the part of every day, length days.

    Raises:
        ValueError: if there is not exactly one label per day.
    """
    matrix = np.asarray(returns, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != len(labels):
        raise ValueError(f"labels: {len(labels)} for returns of shape {matrix.shape}; give one label per day.")
    parts = tuple(dict.fromkeys(labels))
    member = np.array([[label == part for label in labels] for part in parts], dtype=np.float64)
    member = member.reshape(len(parts), len(labels))
    days = member.sum(axis=1)
    sums = member @ matrix.T
    left = len(labels) - days
    empty = np.full(sums.shape, np.nan)
    mean = np.divide(sums, days[:, None], out=empty.copy(), where=days[:, None] > 0)
    # The other parts are summed, not subtracted from the total: what is left must not carry rounding of what is gone.
    rest = (1.0 - member) @ matrix.T
    without = np.divide(rest, left[:, None], out=empty, where=left[:, None] > 0)
    known = without[left > 0]
    worst = known.min(axis=0) if len(known) else np.full(len(matrix), np.nan)
    sizes = np.abs(sums)
    total = sizes.sum(axis=0)
    shares = np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)
    hhi = np.where(total > 0, (shares**2).sum(axis=0), np.nan)
    return Masked(parts, days.astype(np.int64), mean, without, hhi, worst)


def fold_labels(days: int, tests: Sequence[tuple[int, int]]) -> list[str]:
    """Label every day with its walk-forward test block; the days before the first one are a part of their own.

    Args:
        days: number of days.
        tests: half-open row ranges of the test blocks, ascending and disjoint.

    Returns:
        "start" for the days before the first block, "fold 1" .. "fold k", and "rest" for days in no block after it.
    """
    labels = ["rest"] * days
    for row in range(tests[0][0] if tests else 0):
        labels[row] = "start"
    for number, (first, last) in enumerate(tests, start=1):
        labels[first:last] = [f"fold {number}"] * (last - first)
    return labels


def day_regimes(frame: pl.DataFrame, days: Sequence[date]) -> dict[str, list[str]]:
    """Regime of every day: the label that most of its bars carry (the first in the alphabet of equals).

    A description of the day after the fact, for masking; no decision may read it.

    Args:
        frame: decision frame with ``trade_date`` and, where known, ``vol_regime`` and ``trend_regime``.
        days: the days asked for; one without bars is "UNKNOWN".

    Returns:
        factor (vol, trend) -> one label per day; factors whose column the frame lacks, or that have a single label on
        these days, are left out.
    """
    found: dict[str, list[str]] = {}
    for factor, column in (("vol", "vol_regime"), ("trend", "trend_regime")):
        if column not in frame.columns or "trade_date" not in frame.columns:
            continue
        counted = (
            frame.group_by("trade_date", pl.col(column).cast(pl.String).fill_null(_UNKNOWN).alias("label"))
            .agg(pl.len())
            .sort("trade_date", "len", "label", descending=[False, True, False])
            .unique("trade_date", keep="first", maintain_order=True)
        )
        label_of = dict(counted.select("trade_date", "label").iter_rows())
        labels = [label_of.get(day, _UNKNOWN) for day in days]
        if len(set(labels)) > 1:
            found[factor] = labels
    return found
