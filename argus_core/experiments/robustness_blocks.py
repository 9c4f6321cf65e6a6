"""The robustness columns of run rows: how much of a result is luck, and what it rests on.

Everything here looks at finished replays of one strategy's sweep. One thing alone is replayed once more: the best
parameter set, from a later start (`WarmupSensitivity.restart_sessions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from argus_core.bootstrap.block_length import optimal_block_length
from argus_core.experiments.plan import Trial, TrialGroup
from argus_core.experiments.replayed import Replayed
from argus_core.experiments.replays import Market, replay_once
from argus_core.experiments.rows import as_json
from argus_core.replay.results import ReplayResult
from argus_core.robustness import cost_break_even, monte_carlo, plateau, walk_forward
from argus_core.robustness.cost import break_even_of_reruns
from argus_core.robustness.entry_significance import entry_significance
from argus_core.robustness.regime_stress import Masked, day_regimes, fold_labels, leave_one_out, regime_stress_of
from argus_core.robustness.risk_multiples import risk_multiples
from argus_core.robustness.selection_correction import (
    SelectionCorrection,
    corrected_trade_returns,
    selection_correction,
)
from argus_core.robustness.walk_forward import WalkForward
from argus_core.robustness.warmup import compare_restart, masked_starts
from argus_core.settings import ExperimentSettings
from argus_core.settings.nested import flattened
from argus_core.validation.combinatorial import combinatorial_paths

#: Joint resamples of the selection bias: its Monte Carlo error is then 1/30 of a Sharpe ratio's standard error.
SELECTION_DRAWS = 1000
#: Numbers of the uncorrected population that stand beside the corrected ones.
_RAW = {
    "mc_raw_median_return": "mc_median_return",
    "mc_raw_p95_drawdown": "mc_p95_drawdown",
    "mc_raw_ruin_upper": "mc_ruin_upper",
}


def robustness_blocks(
    group: TrialGroup,
    trials: Sequence[Trial],
    results: Sequence[ReplayResult],
    measured: Sequence[Mapping[str, Any]],
    market: Market,
    settings: ExperimentSettings,
) -> list[dict[str, Any]]:
    """Robustness columns of every run of one strategy's sweep that was replayed, in their order.

    Args:
        trials: the parameter set of each result.
        measured: `compute_metrics` of each result.
    """
    blocks: list[dict[str, Any]] = [{} for _ in results]
    if not results:
        return blocks
    params = [trial.params for trial in trials]
    matrix = np.array([one.daily["daily_return"].to_numpy() for one in results])
    days = results[0].daily["trade_date"].to_list()
    year = market.days_per_year
    # Parameters of wrapped strategies are axes of the sweep like any other.
    flat = [flattened(one) for one in params]
    sharpes = [one.get("sharpe") for one in measured]
    forward = walk_forward(matrix, **settings.walk_forward.model_dump(), days_per_year=year)
    parts = [
        _monte_carlo(results, matrix, year, settings) if settings.mc_bootstrap else [],
        _stress(results, matrix, days, forward, market) if settings.regime_stress else [],
        [{"plateau_ratio": one.ratio, "plateau_neighbours": one.neighbours} for one in plateau(flat, sharpes)],
        _forward(forward, params, days, settings) if forward is not None else [],
        _combinatorial(matrix, year, settings),
        _entries(results, market, settings),
        _warmup(group, trials, results, sharpes, matrix, market, settings),
    ]
    for part in parts:
        for block, one in zip(blocks, part, strict=bool(part)):
            block |= one
    return blocks


def cost_block(one: Replayed) -> dict[str, Any]:
    """Re-run fills at every multiplier, and the break-even multiplier: from the books, and from the re-runs."""
    table = {f"{multiplier:g}": asdict(point) for multiplier, point in one.costs.items()}
    block: dict[str, Any] = {"cost_sensitivity": as_json(table)}
    if one.base is not None:
        costs = float(one.base.trades["costs"].sum())
        block["cost_break_even"] = cost_break_even(float(one.base.trades["pnl"].sum()), costs)
    if found := break_even_of_reruns({multiplier: point.pnl for multiplier, point in one.costs.items()}):
        block |= {"cost_break_even_rerun": found.multiplier, "cost_break_even_how": found.how}
    if "1.5" in table:
        block |= {"cost_sharpe_150": table["1.5"]["sharpe"], "cost_pnl_150": table["1.5"]["pnl"]}
    return block


def selection_of(matrix: np.ndarray, seed: int) -> SelectionCorrection:
    """Luck of every run of a sweep given its rank, from the joint stationary bootstrap of its daily returns.

    Block: the median over the runs of the automatic length for their mean. The largest of many estimates would be the
    luckiest, and long blocks make the error, hence the correction, too small.
    """
    live = matrix[matrix.std(axis=1) > 1e-12]
    if len(live) < 2 or matrix.shape[1] < 2:
        # Nothing was selected from.
        return selection_correction(matrix, np.zeros((2, len(matrix)))) if matrix.shape[1] > 1 else _nothing(matrix)
    from argus_core.bootstrap.resampled_means import resample_means

    block = float(np.median([optimal_block_length(one).stationary for one in live]))
    draws = resample_means(matrix.T, block_length=block, resamples=SELECTION_DRAWS, seed=seed)
    return selection_correction(matrix, draws)


def _nothing(matrix: np.ndarray) -> SelectionCorrection:
    zeros = np.zeros(len(matrix))
    return SelectionCorrection(zeros, zeros, zeros.astype(np.int64), 0.0)


def _monte_carlo(
    results: Sequence[ReplayResult], matrix: np.ndarray, year: int, settings: ExperimentSettings
) -> list[dict[str, Any]]:
    """Monte Carlo of the corrected trades (the numbers that are gated), and of the trades as they were beside it."""
    units = [_unit(one.trades, settings) for one in results]
    trades = [returns for returns, _ in units]
    corrected, blocks = trades, [{} for _ in results]
    if settings.selection_correction:
        found = selection_of(matrix, settings.mc_seed)
        corrected = [
            corrected_trade_returns(values, float(shift), matrix.shape[1])
            for values, shift in zip(trades, found.mean_shift, strict=True)
        ]
        blocks = [
            {
                "selection_rank": int(found.rank[k]) or None,
                "selection_sharpe_shift": float(found.sharpe_shift[k]) * year**0.5,
                "selection_trade_shift": float(found.mean_shift[k]) * matrix.shape[1] / len(trades[k])
                if len(trades[k])
                else None,
                "selection_reliability": found.reliability,
            }
            for k in range(len(results))
        ]
    terms: dict[str, Any] = {
        "paths": settings.mc_paths,
        "max_paths": max(settings.mc_paths, settings.mc_max_paths),
        "limits": settings.mc_kill_thresholds,
        "seed": settings.mc_seed,
        "method": settings.mc_method,
        "block": settings.mc_block_size,
        "ruin_level": settings.mc_ruin_level,
    }
    gated = monte_carlo(corrected, **terms)
    shifted = [k for k, values in enumerate(trades) if corrected[k] is not values]
    raw = list(gated)
    for k, one in zip(shifted, monte_carlo([trades[k] for k in shifted], **terms), strict=True):
        raw[k] = one
    return [
        block | one | {name: other[key] for name, key in _RAW.items()} | unit
        for block, one, other, (_, unit) in zip(blocks, gated, raw, units, strict=True)
    ]


def _unit(trades: pl.DataFrame, settings: ExperimentSettings) -> tuple[np.ndarray, dict[str, Any]]:
    """What is resampled of a run's trades, as fractions of equity at entry, and the columns that say so."""
    if settings.mc_unit == "returns":
        return trades["trade_return"].to_numpy(), {"mc_unit": "returns"}
    found = risk_multiples(trades, settings.mc_risk_fraction)
    unit = {"mc_unit": "r_multiples", "mc_risk_fraction": found.fraction}
    return found.returns, unit | ({"mc_reason": found.reason} if found.reason else {})


def _stress(
    results: Sequence[ReplayResult],
    matrix: np.ndarray,
    days: Sequence[Any],
    forward: WalkForward | None,
    market: Market,
) -> list[dict[str, Any]]:
    """What is left without a regime and without a fold."""
    trades = regime_stress_of([one.trades for one in results], [one.offered for one in results])
    regimes = {name: leave_one_out(matrix, labels) for name, labels in day_regimes(market.frame, days).items()}
    folds = None
    if forward is not None:
        folds = leave_one_out(matrix, fold_labels(len(days), [fold.test for fold in forward.folds]))
    blocks = []
    for k, one in enumerate(trades):
        document = one | {"days": {name: _masked(found, k) for name, found in regimes.items()}}
        block = {"worst_mean_without_regime": one["worst_mean_return_without"], "hhi_regime": one["hhi"]}
        if folds is not None:
            document["folds"] = _masked(folds, k)
            block |= {"worst_mean_without_fold": float(folds.worst[k]), "hhi_fold": float(folds.hhi[k])}
        blocks.append(block | {"regime_stress": as_json(document)})
    return blocks


def _masked(found: Masked, run: int) -> dict[str, dict[str, Any]]:
    return {
        part: {
            "days": int(found.days[row]),
            "mean_daily": float(found.mean[row, run]),
            "mean_daily_without": float(found.mean_without[row, run]),
        }
        for row, part in enumerate(found.parts)
    }


def _forward(
    forward: WalkForward, params: Sequence[Mapping[str, Any]], days: Sequence[Any], settings: ExperimentSettings
) -> list[dict[str, Any]]:
    chosen = as_json(
        {
            "mode": settings.walk_forward.mode,
            "train_blocks": settings.walk_forward.train_blocks,
            "oos_sharpe": forward.oos_sharpe,
            "is_sharpe": forward.is_sharpe,
            "decay": forward.decay,
            "sign_consistency": forward.sign_consistency,
            "folds": [
                {
                    "train": [days[fold.train[0]], days[fold.train[1] - 1]],
                    "test": [days[fold.test[0]], days[fold.test[1] - 1]],
                    "chosen": None if fold.chosen is None else params[fold.chosen],
                    "train_sharpe": fold.train_sharpe,
                    "test_sharpe": fold.test_sharpe,
                }
                for fold in forward.folds
            ],
        }
    )
    return [
        {
            "wf_sign_consistency": forward.lane_sign_consistency[k],
            "wf_oos_sharpe": forward.lane_oos_sharpe[k],
            "wf_is_sharpe": forward.lane_is_sharpe[k],
            "wf_decay": forward.lane_decay[k],
            "walk_forward": chosen,
        }
        for k in range(len(params))
    ]


def _entries(results: Sequence[ReplayResult], market: Market, settings: ExperimentSettings) -> list[dict[str, Any]]:
    """Entry rules against random entries; runs with legs or other symbols have no one series to enter at random."""
    if not settings.entry_draws:
        return []
    bars = market.frame.filter(~pl.col("warmup")).select("ts", "open", "close", "minute_of_session")
    blocks: list[dict[str, Any]] = []
    for one in results:
        alone = one.trades.height and (one.trades["symbol"] == market.symbol).all() and not _has_legs(one.trades)
        found = (
            entry_significance(one.trades, bars, draws=settings.entry_draws, seed=settings.mc_seed) if alone else None
        )
        blocks.append({} if found is None else {"entry_p": found.p_value, "entry_excess_bp": found.excess_bp})
    return blocks


def _has_legs(trades: pl.DataFrame) -> bool:
    return not trades["legs"].fill_null("").is_in(["", "[]"]).all()


def _combinatorial(matrix: np.ndarray, year: int, settings: ExperimentSettings) -> list[dict[str, Any]]:
    """Out-of-sample paths of "take the best of the train days": one distribution for the whole sweep."""
    found = combinatorial_paths(
        matrix,
        groups=settings.cpcv.groups,
        test_groups=settings.cpcv.test_groups,
        embargo_days=settings.walk_forward.embargo_days,
        days_per_year=year,
    )
    if found is None:
        return []
    block = {
        "cpcv_sharpe_median": float(found.median),
        "cpcv_sharpe_p5": float(found.low),
        "cpcv_share_negative": float(found.share_negative),
    }
    return [block for _ in matrix]


def _warmup(
    group: TrialGroup,
    trials: Sequence[Trial],
    results: Sequence[ReplayResult],
    sharpes: Sequence[float | None],
    matrix: np.ndarray,
    market: Market,
    settings: ExperimentSettings,
) -> list[dict[str, Any]]:
    """Sharpe ratios with the first days masked, and of the best run with its first sessions cut off."""
    terms = settings.warmup_sensitivity
    found = masked_starts(matrix, shares=terms.masked_shares, days_per_year=market.days_per_year)
    documents: list[dict[str, Any]] = [
        {"masked": {f"{share:g}": float(found.sharpe[row, k]) for row, share in enumerate(found.shares)}}
        for k in range(len(results))
    ]
    blocks: list[dict[str, Any]] = [
        {"warmup_sensitivity": float(found.spread[k]), "warmup_z": float(found.z[k])} for k in range(len(results))
    ]
    known = [(sharpe, -k) for k, sharpe in enumerate(sharpes) if sharpe is not None]
    if known and terms.restart_sessions:
        best = -max(known)[1]
        restarts = {
            str(cut): _restart(group, trials[best], results[best], market, cut) for cut in terms.restart_sessions
        }
        documents[best]["restarted"] = restarts
        moved = [one["difference"] for one in restarts.values() if one.get("difference") is not None]
        blocks[best]["warmup_restart"] = max(moved, key=abs) if moved else None
    return [block | {"warmup": as_json(document)} for block, document in zip(blocks, documents, strict=True)]


def _restart(group: TrialGroup, trial: Trial, base: ReplayResult, market: Market, cut: int) -> dict[str, Any]:
    """The run beside one on a frame without its first ``cut`` trade dates; in words why there is none."""
    dates = market.frame["trade_date"].unique().sort().to_list()
    if len(dates) <= cut + 1:
        return {"reason": f"{len(dates)} sessions are too few to cut {cut}"}
    frame = market.frame.filter(pl.col("trade_date") >= dates[cut])
    start = frame["ts"].min()
    references = {name: one.frame.filter(pl.col("ts") >= start) for name, one in market.references.items()}
    try:
        again = replay_once(group.strategy, trial.model, market.seeing(frame, market.options, references))
    except Exception as error:  # a strategy that cannot run on less data says so here, not by stopping the cycle
        return {"reason": f"{type(error).__name__}: {error}"}
    compared = compare_restart(
        base.daily["trade_date"].to_list(),
        base.daily["daily_return"].to_numpy(),
        again.daily["trade_date"].to_list(),
        again.daily["daily_return"].to_numpy(),
        days_per_year=market.days_per_year,
    )
    return asdict(compared)
