"""Judge all runs of a date: scores, kill reasons, the joint test, rankings and candidates."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from argus_core.evaluation.joint import BENCHMARK_STRATEGY, align_returns, grid_overfitting, joint_test
from argus_core.evaluation.kill import KillReason, kill_reasons, read_thresholds, resolve_thresholds
from argus_core.evaluation.scoring import composite_score, number, score_components
from argus_core.evaluation.sharpe import (
    deflated_sharpe,
    deflated_sharpe_of_maximum,
    deflated_threshold,
    luck_variance,
    probabilistic_sharpe,
    track_record_of_maximum,
)
from argus_core.market.lake import write_atomically
from argus_core.settings import EvaluationSettings, ExperimentSettings, KillThresholds

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
    joint bootstrap test, thresholds and PBO per grid.
    """

    rankings: pl.DataFrame
    killed: pl.DataFrame
    candidates: pl.DataFrame
    joint_test: dict[str, Any]


def evaluate(
    runs: pl.DataFrame,
    returns: pl.DataFrame,
    ledger: pl.DataFrame,
    settings: EvaluationSettings,
    experiment: ExperimentSettings,
    *,
    benchmark: pl.DataFrame | None = None,
    threshold_overrides: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score, test and judge every run.

    Every run but those of `BuyAndHold` is a trial of the joint test, failed and zero-trade runs as series of zeros. A
    run survives when no kill reason applies; the joint test kills every run that StepM does not mark. The deflated
    Sharpe counts the trials of the ledger on the date of the runs (and any run missing there); the gate reads its
    null-variance form (``dsr``), the classic one is reported beside it (``dsr_classic``).

    Args:
        runs: run rows of one date (any symbols); undefined metrics null or NaN.
        returns: run_id, trade_date, daily_return; missing days of a run count as 0.
        ledger: trial ledger; rows of other dates are ignored.
        benchmark: symbol, trade_date, daily_return of buy-and-hold; default: the `BuyAndHold` runs among ``runs``.
        threshold_overrides: kill thresholds laid over the config key by key, null switches off; default: the file
            ``settings.kill_thresholds_file`` (relative to the working directory) where one is named.

    Raises:
        SettingsError: on a wrong threshold file.
    """
    if threshold_overrides is None and settings.kill_thresholds_file:
        threshold_overrides = read_thresholds(Path(settings.kill_thresholds_file))
    thresholds = resolve_thresholds(settings, experiment, overrides=threshold_overrides)
    rows = sorted(runs.to_dicts(), key=lambda row: str(row["run_id"])) if not runs.is_empty() else []
    trials = [row for row in rows if row["strategy"] != BENCHMARK_STRATEGY]
    sharpes = _trial_sharpes(trials, ledger)
    n_trials = max(1, len(sharpes))
    lengths = [int(number(row, "n_days") or 0) for row in trials if row.get("status") == "ok"]
    variance = luck_variance(list(sharpes.values()), min(lengths, default=0))

    aligned = align_returns(returns, [str(row["run_id"]) for row in trials])
    document, per_run = joint_test(
        trials,
        aligned,
        _benchmark_returns(rows, returns, benchmark, aligned.dates),
        settings.spa,
        alpha=thresholds.reality_check_alpha or 0.05,
        n_trials=n_trials,
    )
    grids = grid_overfitting(trials, aligned)
    bench = {row["symbol"]: row for row in rows if row["strategy"] == BENCHMARK_STRATEGY}
    luck = deflated_threshold(n_trials, variance)
    document |= {"expected_max_sharpe": luck, "trial_variance": variance, "pbo": list(grids.values())}
    document["thresholds"] = thresholds.model_dump()
    document["deploy_gates"] = settings.deploy_gates

    judged: list[dict[str, Any]] = []
    reasons: dict[str, list[KillReason]] = {}
    for row in rows:
        is_trial = row["strategy"] != BENCHMARK_STRATEGY
        extended = row | per_run.get(str(row["run_id"]), {"joint_p": None, "t_value": None})
        extended |= _deflation(row, n_trials, variance, thresholds) | {"critical_t": document["critical_value"]}
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
    )


def write_json(
    evaluation: Evaluation,
    *,
    rankings_dir: Path,
    killed_path: Path,
    candidates_path: Path,
    date: Any,
    generated_at: str,
) -> list[Path]:
    """Write ``strategy_rankings_<date>.json``, the killed and the candidates file; returns their paths.

    Args:
        date: of the cycle, ``YYYY-MM-DD`` or a date.
        generated_at: ISO time of writing, given by the caller: nothing here reads a clock.
    """
    head = {"generated_at": generated_at, "date": str(date)}
    killed = [_readable(row) for row in evaluation.killed.iter_rows(named=True)]
    candidates = [_readable(row) for row in evaluation.candidates.iter_rows(named=True)]
    documents = {
        rankings_dir / f"strategy_rankings_{date}.json": rankings_document(
            evaluation, date=date, generated_at=generated_at
        ),
        killed_path: head | {"killed": killed},
        candidates_path: head | {"candidates": candidates},
    }
    for path, document in documents.items():
        write_document(path, document)
    return list(documents)


def rankings_document(evaluation: Evaluation, *, date: Any, generated_at: str) -> dict[str, Any]:
    """Content of ``strategy_rankings_<date>.json``: every run in order, and the joint test."""
    rankings = [_readable(row) for row in evaluation.rankings.iter_rows(named=True)]
    return {
        "generated_at": generated_at,
        "date": str(date),
        "experiment_count": len(rankings),
        "joint_test": evaluation.joint_test,
        "rankings": rankings,
    }


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write ``document`` as indented JSON, whole or not at all."""
    text = json.dumps(document, indent=2, default=str, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def _trial_sharpes(trials: Sequence[Mapping[str, Any]], ledger: pl.DataFrame) -> dict[str, float | None]:
    """run_id -> per-period Sharpe of every trial in the ledger of the runs' dates, and of every run itself."""
    found: dict[str, float | None] = {}
    if not ledger.is_empty():
        rows = ledger.filter(pl.col("strategy") != BENCHMARK_STRATEGY)
        dates = {row["date"] for row in trials if row.get("date") is not None}
        if dates:
            rows = rows.filter(pl.col("date").is_in(sorted(dates)))
        for row in rows.sort("run_id").iter_rows(named=True):
            found[str(row["run_id"])] = number(row, "sharpe_period")
    for row in trials:
        found[str(row["run_id"])] = number(row, "sharpe_period")
    return found


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


def _deflation(
    row: Mapping[str, Any], n_trials: int, variance: float, thresholds: KillThresholds
) -> dict[str, float | int | None]:
    sharpe, days = number(row, "sharpe_period"), int(number(row, "n_days") or 0)
    luck = deflated_threshold(n_trials, variance)
    empty: dict[str, float | int | None] = {"n_trials": n_trials, "expected_max_sharpe": luck}
    if sharpe is None:
        return empty | {"dsr": None, "dsr_classic": None, "psr": None, "min_track_record_days": None}
    skew, kurtosis = number(row, "skew") or 0.0, number(row, "kurtosis")
    moments = {"skew": skew, "kurtosis": 3.0 if kurtosis is None else kurtosis}
    level = thresholds.dsr_min if thresholds.dsr_min and 0 < thresholds.dsr_min < 1 else 0.95
    needed = track_record_of_maximum(sharpe, days, n_trials=n_trials, variance=variance, level=level, **moments)
    return empty | {
        "dsr": deflated_sharpe_of_maximum(sharpe, days, n_trials=n_trials, variance=variance, **moments),
        "dsr_classic": deflated_sharpe(sharpe, days, n_trials=n_trials, variance=variance, **moments),
        "psr": probabilistic_sharpe(sharpe, days, **moments),
        "min_track_record_days": needed if math.isfinite(needed) else None,
    }


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
        verdict = f"Killed: {found[0].explanation}{more}"
    else:
        verdict = "Survives every gate and may receive capital."
    judged = {name: row.get(name) for name in RANKING_SCHEMA if name in row}
    for name, kind in RANKING_SCHEMA.items():
        if kind in (pl.Float64, pl.Int32):
            value = number(row, name)
            judged[name] = int(value) if value is not None and kind is pl.Int32 else value
    return judged | {
        "role": "trial" if is_trial else "benchmark",
        "score": score,
        "components": json.dumps({k: round(v, 6) for k, v in components.items()}) if score is not None else "{}",
        "killed": bool(found),
        "n_kill_reasons": len(found),
        "reasons": json.dumps([reason.as_dict() for reason in found]),
        "verdict": verdict,
    }


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


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A frame row for a JSON file: nested documents parsed, dates as text."""
    nested = ("params", "components", "reasons", "alternatives")
    return {
        key: json.loads(value) if key in nested and value else (None if value is None else _plain(value))
        for key, value in row.items()
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value)
