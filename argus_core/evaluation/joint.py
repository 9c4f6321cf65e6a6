"""The joint test of a cycle: aligned daily returns of every trial, block length, SPA, and PBO per grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from argus_core.evaluation.pbo import overfitting_probability, split_count
from argus_core.settings import SpaSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The strategy that is a benchmark by definition: ranked, never judged, never a candidate, no trial.
BENCHMARK_STRATEGY = "BuyAndHold"
#: Bins in which the best t-value under luck is told.
_NULL_BINS = 40


@dataclass(frozen=True)
class AlignedReturns:
    """Daily returns on the union of trade dates, (n, k); a day without a return of a run is a return of 0."""

    run_ids: tuple[str, ...]
    dates: tuple[Any, ...]
    values: NDArray[np.float64]


def align_returns(returns: pl.DataFrame, run_ids: Sequence[str]) -> AlignedReturns:
    """Matrix of daily returns of ``run_ids`` on every trade date in ``returns``; absent, null, NaN: 0.

    Args:
        returns: run_id, trade_date, daily_return of any runs; all of them contribute dates.
        run_ids: columns of the result, in this order; a run without any row is a column of zeros.
    """
    ids = tuple(run_ids)
    if returns.is_empty():
        return AlignedReturns(ids, (), np.zeros((0, len(ids))))
    dates = returns["trade_date"].unique().sort()
    column = pl.DataFrame({"run_id": list(ids), "column": np.arange(len(ids))}, schema_overrides={"run_id": pl.String})
    row = pl.DataFrame({"trade_date": dates, "row": np.arange(len(dates))})
    cells = returns.join(column, on="run_id").join(row, on="trade_date")
    values = np.zeros((len(dates), len(ids)))
    filled = cells["daily_return"].cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()
    values[cells["row"].to_numpy(), cells["column"].to_numpy()] = np.where(np.isfinite(filled), filled, 0.0)
    return AlignedReturns(ids, tuple(dates.to_list()), values)


def joint_test(
    trials: Sequence[Mapping[str, Any]],
    aligned: AlignedReturns,
    benchmark: Mapping[str, NDArray[np.float64]],
    settings: SpaSettings,
    *,
    alpha: float,
    n_trials: int,
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """SPA over all trials: (document of the test, run_id -> joint_p, t_value).

    Args:
        trials: run rows (run_id, symbol, ...) of every trial, in the order of ``aligned``'s columns.
        benchmark: symbol -> daily returns on ``aligned.dates``; used when ``settings.benchmark`` is buy_and_hold.
        alpha: level at which `survivors` is reported.
        n_trials: configurations in the ledger, for the document.
    """
    n, k = aligned.values.shape
    document: dict[str, Any] = {
        "method": "SPA (Hansen 2005), studentised, stationary bootstrap; which runs by StepM, consistent recentring",
        "benchmark": settings.benchmark,
        "alpha": alpha,
        "n_trials": n_trials,
        "n_tested": k,
        "n_observations": n,
        "seed": settings.seed,
        "resamples": settings.resamples,
    }
    if n < 2 or k == 0:
        reason = "there was no trial" if k == 0 else f"{n} day of returns cannot be tested"
        empty = dict.fromkeys(("p_lower", "p_consistent", "p_upper", "p_reality_check"), 1.0)
        document |= empty | {
            "statistic": 0.0,
            "critical_value": None,
            "block_length": None,
            "best_run_id": None,
            "survivors": [],
            "p_consistent_half_block": None,
            "p_consistent_double_block": None,
            "effective_trials": 0.0,
            "best_by_luck": {},
            "null_histogram": None,
            "selection_bias": 0.0,
            "detail": f"Not tested: {reason}.",
        }
        return document, {run_id: {"joint_p": 1.0, "t_value": 0.0} for run_id in aligned.run_ids}

    from argus_core.bootstrap.joint_paths import best_of_trials, joint_block_length
    from argus_core.evaluation.multiplicity import effective_trials
    from argus_core.evaluation.spa import spa_test

    performance = aligned.values.copy()
    if settings.benchmark == "buy_and_hold":
        for column, trial in enumerate(trials):
            performance[:, column] -= benchmark.get(str(trial["symbol"]), 0.0)
    length = max(1.0, float(settings.block_length or joint_block_length(performance)))
    run = {"resamples": settings.resamples, "seed": settings.seed, "alpha": alpha}
    result = spa_test(performance, block_length=length, **run)
    half = spa_test(performance, block_length=max(1.0, length / 2), **run)
    double = spa_test(performance, block_length=length * 2, **run)
    best = int(np.argmax(result.t_values))
    race = best_of_trials(performance, block_length=length, resamples=settings.resamples, seed=settings.seed)
    histogram, edges = np.histogram(race.null_maxima, _NULL_BINS)
    document |= {
        "effective_trials": effective_trials(performance),
        "best_by_luck": race.quantiles(),
        "null_histogram": {"edges": edges.round(6).tolist(), "counts": histogram.tolist()},
        "selection_bias": race.selection_bias,
        "statistic": result.statistic,
        "critical_value": result.critical_value,
        "p_lower": result.p_lower,
        "p_consistent": result.p_consistent,
        "p_upper": result.p_upper,
        "p_reality_check": result.p_reality_check,
        "block_length": length,
        "best_run_id": aligned.run_ids[best],
        "survivors": sorted(aligned.run_ids[i] for i in result.survivors(alpha)),
        "p_consistent_half_block": half.p_consistent,
        "p_consistent_double_block": double.p_consistent,
        "detail": "",
    }
    per_run = {
        run_id: {"joint_p": float(result.adjusted_p[i]), "t_value": float(result.t_values[i])}
        for i, run_id in enumerate(aligned.run_ids)
    }
    return document, per_run


def grid_overfitting(
    trials: Sequence[Mapping[str, Any]], aligned: AlignedReturns
) -> dict[tuple[str, str], dict[str, Any]]:
    """PBO of every grid (the parameter sets of one strategy on one symbol) with at least two distinct return series."""
    groups: dict[tuple[str, str], list[int]] = {}
    for column, trial in enumerate(trials):
        groups.setdefault((str(trial["strategy"]), str(trial["symbol"])), []).append(column)
    blocks = split_count(len(aligned.dates))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for key, columns in sorted(groups.items()):
        distinct = np.unique(aligned.values[:, columns], axis=1)
        distinct = distinct[:, np.abs(distinct).max(axis=0, initial=0.0) > 0]
        if not blocks or distinct.shape[1] < 2:
            continue
        result = overfitting_probability(distinct, blocks=blocks)
        found[key] = {
            "strategy": key[0],
            "symbol": key[1],
            "pbo": result.pbo,
            "slope": result.slope,
            "loss_probability": result.loss_probability,
            "blocks": blocks,
            "splits": result.n_splits,
            "configurations": result.n_strategies,
        }
    return found
