"""Judge all runs of a date: scores, kill reasons, the joint test, rankings and candidates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from argus_core.evaluation.error_budget import ERROR_BUDGET_SCHEMA, Look, close_look, earlier_rows, open_look
from argus_core.evaluation.inference import TrialSet, deflation, evidence
from argus_core.evaluation.joint import (
    BENCHMARK_STRATEGY,
    AlignedReturns,
    align_returns,
    grid_overfitting,
    joint_test,
)
from argus_core.evaluation.kill import KillReason, kill_reasons, read_thresholds, resolve_thresholds
from argus_core.evaluation.scoring import composite_score, number, score_components
from argus_core.experiments.ledger import lineage, with_trial_ids
from argus_core.settings import EvaluationSettings, ExperimentSettings

#: Metrics carried from the run row into rankings and candidates.
CARRIED = (
    "n_days",
    "n_trades",
    "total_return",
    "annual_return",
    "volatility",
    "sharpe",
    "sharpe_period",
    "skew",
    "kurtosis",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "costs",
    "fill_rate",
    "cost_break_even",
    "wf_oos_sharpe",
    "mc_median_return",
    "mc_p95_drawdown",
    "mc_ruin_upper",
    "days_per_year",
)
_COUNTS = ("n_days", "n_trades", "days_per_year")
RANKING_SCHEMA: Mapping[str, Any] = {
    "rank": pl.Int32,
    "run_id": pl.String,
    "trial_id": pl.String,
    "role": pl.String,
    "strategy": pl.String,
    "symbol": pl.String,
    "date": pl.Date,
    "params": pl.String,
    "status": pl.String,
    "score": pl.Float64,
    "components": pl.String,
    "dsr": pl.Float64,
    "dsr_classic": pl.Float64,
    "psr": pl.Float64,
    "expected_max_sharpe": pl.Float64,
    "n_trials": pl.Int32,
    "min_track_record_days": pl.Float64,
    "joint_p": pl.Float64,
    "t_value": pl.Float64,
    "critical_t": pl.Float64,
    "joint_level": pl.Float64,
    "evidence": pl.String,
    "min_detectable_sharpe": pl.Float64,
    "sharpe_low": pl.Float64,
    "sharpe_high": pl.Float64,
    "haircut_sharpe": pl.Float64,
    "pbo": pl.Float64,
    "killed": pl.Boolean,
    "n_kill_reasons": pl.Int32,
    "reasons": pl.String,
    "verdict": pl.String,
    "benchmark_return": pl.Float64,
    "benchmark_sharpe": pl.Float64,
    **{name: pl.Int32 if name in _COUNTS else pl.Float64 for name in CARRIED},
}
KILLED_SCHEMA: Mapping[str, Any] = {
    "run_id": pl.String,
    "strategy": pl.String,
    "symbol": pl.String,
    "date": pl.Date,
    "params": pl.String,
    "reason": pl.String,
    "value": pl.Float64,
    "threshold": pl.Float64,
    "explanation": pl.String,
    "remedy": pl.String,
}
CANDIDATE_SCHEMA: Mapping[str, Any] = {**RANKING_SCHEMA, "alternatives": pl.String}


@dataclass(frozen=True)
class Evaluation:
    """Verdict on all runs of a date. The frames carry no wall clock.

    ``rankings``: one row per run, by score, ties by run_id. ``killed``: one row per run and reason. ``candidates``: the
    best surviving run per strategy and symbol; ``alternatives`` lists the other survivors as JSON. ``joint_test``: the
    joint bootstrap test, thresholds and PBO per grid. ``lineage``: every trial ever tried (`LINEAGE_SCHEMA`).
    ``budget``: the error budget's rows up to this cycle's, which is the last (`ERROR_BUDGET_SCHEMA`).
    """

    rankings: pl.DataFrame
    killed: pl.DataFrame
    candidates: pl.DataFrame
    joint_test: dict[str, Any]
    lineage: pl.DataFrame
    budget: pl.DataFrame


def evaluate(
    runs: pl.DataFrame,
    returns: pl.DataFrame,
    ledger: pl.DataFrame,
    settings: EvaluationSettings,
    experiment: ExperimentSettings,
    *,
    earlier_trials: pl.DataFrame | None = None,
    retired: pl.DataFrame | None = None,
    budget: pl.DataFrame | None = None,
    benchmark: pl.DataFrame | None = None,
    threshold_overrides: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score, test and judge every run.

    Every run but those of `BuyAndHold` is a trial of the joint test, failed and zero-trade runs as series of zeros, and
    so is every retired trial. A run survives when no kill reason applies; the joint test kills every run that StepM
    does not mark at the level that the error budget allows this cycle (`argus_core.evaluation.error_budget`). The
    deflated Sharpe counts every trial of the ledger, of all cycles up to this one; the gate reads its null-variance
    form (``dsr``), the classic one is reported beside it (``dsr_classic``).

    Args:
        runs: run rows of one date (any symbols); undefined metrics null or NaN.
        returns: run_id, trade_date, daily_return; missing days of a run count as 0.
        ledger: trial ledger of this date, and of any earlier one; rows of later dates are ignored.
        earlier_trials: lineage of the trials before the dates in ``ledger`` (`LINEAGE_SCHEMA`).
        retired: returns of trials that were tried on the same packs and are no longer among ``runs``
            (`RETIRED_SCHEMA`).
        budget: rows of the error budget so far, of any date; those of later cycles are ignored.
        benchmark: symbol, trade_date, daily_return of buy-and-hold; default: the `BuyAndHold` runs among ``runs``.
        threshold_overrides: kill thresholds laid over the config key by key, null switches off; default: the file
            ``settings.kill_thresholds_file`` (relative to the working directory) where one is named.

    Raises:
        SettingsError: on a wrong threshold file.
    """
    if threshold_overrides is None and settings.kill_thresholds_file:
        threshold_overrides = read_thresholds(Path(settings.kill_thresholds_file))
    thresholds = resolve_thresholds(settings, experiment, overrides=threshold_overrides)
    rows = sorted(with_trial_ids(runs).to_dicts(), key=lambda row: str(row["run_id"])) if not runs.is_empty() else []
    trials = [row for row in rows if row["strategy"] != BENCHMARK_STRATEGY]
    day = max((row["date"] for row in rows if row.get("date") is not None), default=None)
    known = lineage(ledger if ledger.is_empty() else with_trial_ids(ledger), day, earlier_trials)
    trial_set = TrialSet.of(trials, known)

    idle, idle_returns = _retired_trials(retired, known)
    aligned = align_returns(
        pl.concat([returns, idle_returns]) if idle else returns, [str(row["run_id"]) for row in (*trials, *idle)]
    )
    alpha = thresholds.reality_check_alpha or 0.05
    look, history = _look(budget, settings, alpha, day, aligned, trial_set)
    document, per_run = joint_test(
        [*trials, *idle],
        aligned,
        _benchmark_returns(rows, returns, benchmark, aligned.dates),
        settings.spa,
        alpha=look.level,
        n_trials=trial_set.n_trials,
    )
    searched = known.filter(pl.col("strategy") != BENCHMARK_STRATEGY)
    new = int((searched["first_date"] == day).sum()) if day is not None and known.height else trial_set.n_trials
    names = {str(row["run_id"]): str(row["trial_id"]) for row in (*trials, *idle)}
    row_of_budget = close_look(
        look,
        settings.online_fdr,
        day=day,
        dates=aligned.dates,
        lineage_trials=trial_set.n_trials,
        cycle_trials=len(trials),
        new_trials=new,
        p_consistent=document["p_consistent"],
        promoted=sorted({names[run_id] for run_id, one in per_run.items() if one["joint_p"] < look.level}),
    )
    grids = grid_overfitting(trials, aligned)
    bench = {row["symbol"]: row for row in rows if row["strategy"] == BENCHMARK_STRATEGY}
    document |= {
        "n_retired": len(idle),
        "expected_max_sharpe": trial_set.luck,
        "trial_variance": trial_set.variance,
        "pbo": list(grids.values()),
        "error_budget": row_of_budget.with_columns(pl.col("date", "last_day").cast(pl.String)).row(0, named=True)
        | {"q": settings.online_fdr.q, "days_to_next": look.days_to_next},
        "thresholds": thresholds.model_dump(),
        "deploy_gates": settings.deploy_gates,
    }

    judged: list[dict[str, Any]] = []
    reasons: dict[str, list[KillReason]] = {}
    dsr_level = thresholds.dsr_min if thresholds.dsr_min and 0 < thresholds.dsr_min < 1 else 0.95
    for row in rows:
        is_trial = row["strategy"] != BENCHMARK_STRATEGY
        extended = row | per_run.get(str(row["run_id"]), {"joint_p": None, "t_value": None})
        extended |= deflation(row, trial_set, dsr_level)
        extended |= evidence(
            row, trial_set, critical_t=document["critical_value"], useful_sharpe=settings.useful_sharpe
        )
        extended |= {"critical_t": document["critical_value"], "joint_level": look.level, "look": look}
        grid = grids.get((str(row["strategy"]), str(row["symbol"])))
        extended["pbo"] = grid["pbo"] if grid else None
        same = bench.get(row["symbol"], {})
        extended["benchmark_return"] = number(same, "total_return")
        extended["benchmark_sharpe"] = number(same, "sharpe")
        components = score_components(row)
        score = composite_score(components, settings.weights) if row.get("status") == "ok" else None
        found = (
            kill_reasons(extended, components, score, thresholds, deploy_gates=settings.deploy_gates)
            if is_trial
            else []
        )
        reasons[str(row["run_id"])] = found
        judged.append(_judged(extended, components, score, found, is_trial))
    judged.sort(key=lambda row: (row["score"] is None, -(row["score"] or 0.0), row["run_id"]))
    for rank, row in enumerate(judged, start=1):
        row["rank"] = rank
    survivors = [row for row in judged if row["role"] == "trial" and not row["killed"]]
    document["n_survivors"] = len(survivors)
    return Evaluation(
        rankings=pl.DataFrame(judged, schema=RANKING_SCHEMA, strict=False),
        killed=_killed(judged, reasons),
        candidates=_candidates(survivors),
        joint_test=document,
        lineage=known,
        budget=pl.concat([history, row_of_budget]),
    )


def _retired_trials(retired: pl.DataFrame | None, known: pl.DataFrame) -> tuple[list[dict[str, Any]], pl.DataFrame]:
    """(run_id, trial_id, strategy, symbol of retired trials; their returns by run_id), benchmarks left out."""
    if retired is None or retired.is_empty() or known.is_empty():
        return [], pl.DataFrame()
    names = known.filter(pl.col("trial_id").is_in(retired["trial_id"].unique().sort().implode())).filter(
        pl.col("strategy") != BENCHMARK_STRATEGY
    )
    run_id = (pl.lit("retired-") + pl.col("trial_id")).alias("run_id")
    rows = names.select(run_id, "trial_id", "strategy", "symbol").sort("run_id").to_dicts()
    mine = retired.join(names.select("trial_id"), on="trial_id", how="semi")
    return rows, mine.select(run_id, "trade_date", "daily_return")


def _look(
    budget: pl.DataFrame | None,
    settings: EvaluationSettings,
    alpha: float,
    day: Any,
    aligned: AlignedReturns,
    trial_set: TrialSet,
) -> tuple[Look, pl.DataFrame]:
    """(what the error budget allows, its earlier rows)."""
    empty = pl.DataFrame(schema=dict(ERROR_BUDGET_SCHEMA))
    history = earlier_rows(empty if budget is None else budget, day, trial_set.n_trials)
    look = open_look(history, settings.online_fdr, alpha=alpha, dates=aligned.dates, lineage_trials=trial_set.n_trials)
    return look, history


def _benchmark_returns(
    rows: Sequence[Mapping[str, Any]], returns: pl.DataFrame, benchmark: pl.DataFrame | None, dates: Sequence[Any]
) -> dict[str, Any]:
    """symbol -> buy-and-hold daily returns on ``dates``."""
    if benchmark is None:
        known = {str(r["run_id"]): str(r["symbol"]) for r in rows if r["strategy"] == BENCHMARK_STRATEGY}
        aligned = align_returns(returns, sorted(known))
        return {known[run_id]: aligned.values[:, i] for i, run_id in enumerate(aligned.run_ids) if len(aligned.dates)}
    renamed = benchmark.rename({"symbol": "run_id"}).select("run_id", "trade_date", "daily_return")
    symbols = renamed["run_id"].unique().sort().to_list()
    on_dates = renamed.filter(pl.col("trade_date").is_in(list(dates)))
    padding = pl.DataFrame({"run_id": [""] * len(dates), "trade_date": list(dates), "daily_return": [0.0] * len(dates)})
    aligned = align_returns(pl.concat([on_dates, padding.cast(dict(on_dates.schema))]), symbols) if dates else None
    return {} if aligned is None else {symbol: aligned.values[:, i] for i, symbol in enumerate(symbols)}


def _judged(
    row: Mapping[str, Any],
    components: Mapping[str, float],
    score: float | None,
    found: Sequence[KillReason],
    is_trial: bool,
) -> dict[str, Any]:
    if not is_trial:
        verdict = "Benchmark: shown for comparison, neither judged nor promoted."
    elif found:
        more = f" ({len(found) - 1} more reason{'s' if len(found) > 2 else ''})" if len(found) > 1 else ""
        verdict = f"Killed: {found[0].explanation}{more}{_evidence_words(row)}"
    else:
        verdict = f"Survives every gate and may receive capital.{_proven_words(row)}"
    judged = {name: row.get(name) for name in RANKING_SCHEMA if name in row}
    for name, kind in RANKING_SCHEMA.items():
        if kind in (pl.Float64, pl.Int32):
            value = number(row, name)
            judged[name] = int(value) if value is not None and kind is pl.Int32 else value
    return judged | {
        "role": "trial" if is_trial else "benchmark",
        "score": score,
        "components": json.dumps({k: round(v, 6) for k, v in components.items()}) if score is not None else "{}",
        "evidence": (str(row["evidence"]) if found else "proven") if is_trial else "",
        "killed": bool(found),
        "n_kill_reasons": len(found),
        "reasons": json.dumps([reason.as_dict() for reason in found]),
        "verdict": verdict,
    }


def _proven_words(row: Mapping[str, Any]) -> str:
    """How sure a surviving run is, and how large an edge had to be to be seen."""
    low, least = number(row, "sharpe_low"), number(row, "min_detectable_sharpe")
    if low is None or least is None:
        return ""
    return f" Its true annual Sharpe is above {low:.1f} (95 %); this search finds one of {least:.1f} with 80 % power."


def _evidence_words(row: Mapping[str, Any]) -> str:
    """Dead, or only not proven: what the history of a killed run can say about its true Sharpe."""
    low, high, least = (number(row, name) for name in ("sharpe_low", "sharpe_high", "min_detectable_sharpe"))
    if least is None:
        return ""
    days = int(number(row, "n_days") or 0)
    if low is None or high is None:
        return (
            f" Not proven is not dead: so few trades in {days} days say nothing about its true Sharpe, and this search "
            f"finds an annual one of {least:.1f} with 80 % power."
        )
    if row["evidence"] == "dead":
        return f" Dead: after {days} days even the upper bound of its annual Sharpe is {high:.1f}."
    return (
        f" Not proven is not dead: after {days} days its true annual Sharpe, taken alone, may lie between {low:.1f} "
        f"and {high:.1f}, and this search finds one of {least:.1f} with 80 % power."
    )


def _killed(judged: Sequence[Mapping[str, Any]], reasons: Mapping[str, Sequence[KillReason]]) -> pl.DataFrame:
    identity = ("run_id", "strategy", "symbol", "date", "params")
    rows = [
        {name: row.get(name) for name in identity} | reason.as_dict()
        for row in judged
        for reason in reasons[str(row["run_id"])]
    ]
    return pl.DataFrame(rows, schema=KILLED_SCHEMA, strict=False)


def _candidates(survivors: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The best survivor per strategy and symbol, in ranking order; the others become its alternatives."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in survivors:
        groups.setdefault((row["strategy"], row["symbol"]), []).append(row)
    rows = []
    for best, *others in groups.values():
        listed = [
            {"run_id": r["run_id"], "score": r["score"], "params": json.loads(r["params"] or "{}")} for r in others
        ]
        rows.append(dict(best) | {"alternatives": json.dumps(listed)})
    return pl.DataFrame(rows, schema=CANDIDATE_SCHEMA, strict=False)
