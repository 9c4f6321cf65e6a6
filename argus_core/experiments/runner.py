"""Run every strategy of a loop on one pack: replay, metrics, robustness, lookahead proof, ledger, manifests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.experiments.journal import ReplayJournal
from argus_core.experiments.ledger import ledger_of
from argus_core.experiments.manifests import manifests_of
from argus_core.experiments.plan import Trial, TrialGroup, left_out, plan_trials
from argus_core.experiments.proof import prove_group
from argus_core.experiments.replayed import Replayed
from argus_core.experiments.replays import Market, market_of, replay_group
from argus_core.experiments.robustness_blocks import cost_block, robustness_blocks
from argus_core.experiments.rows import RETURN_SCHEMA, RUN_TRADE_SCHEMA, as_json, run_frame
from argus_core.packs import Pack
from argus_core.replay.metrics import compute_metrics, regime_breakdown
from argus_core.replay.results import ReplayResult
from argus_core.settings import Project

OK, REJECTED, FAILED = "ok", "rejected", "infrastructure_failed"


@dataclass(frozen=True)
class ExperimentSet:
    """All runs of one pack. Frames: docs/experiments.md. ``timings`` (seconds per strategy) never reach the lake."""

    runs: pl.DataFrame
    trades: pl.DataFrame
    returns: pl.DataFrame
    ledger: pl.DataFrame
    manifests: list[dict[str, Any]]
    reused: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
    #: strategies that the symbol does not fit -> reason
    skipped: Mapping[str, str] = field(default_factory=dict)


def run_experiments(
    pack: Pack,
    project: Project,
    *,
    calendar: TradingCalendar,
    stored: ExperimentSet | None = None,
    progress: Callable[[str], None] | None = None,
    clock: Callable[[], float] | None = None,
    journal: ReplayJournal | None = None,
) -> ExperimentSet:
    """Run every strategy and sweep of ``project.loop`` that applies to the pack's symbol.

    A strategy whose runs are all in ``stored``, no more and no fewer, is taken from there: a run's plateau and
    walk-forward rest on the whole sweep, so a changed sweep is computed anew. A parameter set that fails gets a row
    with status ``infrastructure_failed``; the others go on.

    Args:
        progress: called with one line per strategy.
        clock: a monotonic clock in seconds, for ``timings``; without it there are none.
        journal: keeps finished chunks of long sweeps, so that a run that was killed goes on where it was.

    Raises:
        SettingsError: if a strategy cannot be loaded or a sweep file cannot be read.
    """
    groups = plan_trials(project, pack.symbol, pack.pack_hash)
    skipped = left_out(project, pack.symbol)
    for name, reason in skipped.items():
        _say(progress, f"{pack.symbol} {name}: left out, {reason}")
    known = stored.runs.select("run_id", "strategy") if stored is not None else None
    parts: list[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]] = []
    market: Market | None = None
    timings: dict[str, float] = {}
    reused = 0
    for group in groups:
        name = group.strategy.strategy_id
        if known is not None and stored is not None:
            ids = known.filter(pl.col("strategy") == name)["run_id"].to_list()
            if set(ids) == group.run_ids:
                mine = pl.col("run_id").is_in(pl.Series(sorted(ids)).implode())
                parts.append((stored.runs.filter(mine), stored.trades.filter(mine), stored.returns.filter(mine)))
                reused += len(ids)
                _say(progress, f"{pack.symbol} {name}: {len(ids)} runs reused")
                continue
        if market is None:
            market = market_of(pack, project, calendar)
        before = clock() if clock else 0.0
        parts.append(_run_group(group, market, pack, project, journal))
        if clock:
            timings[name] = clock() - before
        _say(progress, f"{pack.symbol} {name}: {len(group.trials)} runs")
    runs, trades, returns = (
        pl.concat([run_frame([]), *[p[0] for p in parts]]).sort("strategy", "run_id"),
        pl.concat([pl.DataFrame(schema=dict(RUN_TRADE_SCHEMA)), *[p[1] for p in parts]]),
        pl.concat([pl.DataFrame(schema=dict(RETURN_SCHEMA)), *[p[2] for p in parts]]),
    )
    trades = trades.sort("run_id", "exit_ts", "entry_ts", "trade_id", maintain_order=True)
    returns = returns.sort("run_id", "trade_date", maintain_order=True)
    return ExperimentSet(runs, trades, returns, ledger_of(runs, returns), manifests_of(runs), reused, timings, skipped)


def _run_group(
    group: TrialGroup, market: Market, pack: Pack, project: Project, journal: ReplayJournal | None
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Rows, trades and daily returns of one strategy's trials."""
    settings = project.loop.experiment
    multipliers = tuple(dict.fromkeys((1.0, *settings.cost_multipliers)))
    replayed = replay_group(group, market, multipliers, journal)
    done = [i for i, one in enumerate(replayed) if one.base is not None]
    ran = [group.trials[i] for i in done]
    results = [one.base for one in replayed if one.base is not None]
    measured = [compute_metrics(one, days_per_year=market.days_per_year) for one in results]
    proof = prove_group(group, market, ran, settings.lookahead_cuts, settings.mc_seed)
    blocks = robustness_blocks(group, ran, results, measured, market, settings)

    rows: list[dict[str, Any]] = []
    trades: list[pl.DataFrame] = []
    returns: list[pl.DataFrame] = []
    position = {i: k for k, i in enumerate(done)}
    for i, (trial, one) in enumerate(zip(group.trials, replayed, strict=True)):
        row = _identity(group, trial, one, pack, project, market.days_per_year)
        if one.base is not None:
            k = position[i]
            row |= _measures(one.base, measured[k])
            row |= blocks[k] | cost_block(one)
            mark = pl.lit(trial.run_id).alias("run_id")
            trades.append(one.base.trades.select(mark, *[c for c in RUN_TRADE_SCHEMA if c != "run_id"]))
            returns.append(one.base.daily.select(mark, "trade_date", "daily_return"))
            if proof is not None:
                row |= {"lookahead_ok": proof.ok, "lookahead_detail": proof.detail}
        rows.append(row)
    return (
        run_frame(rows),
        pl.concat([pl.DataFrame(schema=dict(RUN_TRADE_SCHEMA)), *trades]),
        pl.concat([pl.DataFrame(schema=dict(RETURN_SCHEMA)), *returns]),
    )


def _identity(
    group: TrialGroup, trial: Trial, one: Replayed, pack: Pack, project: Project, days_per_year: int
) -> dict[str, Any]:
    fault = "" if one.base is None else ruined(one.base) or _breach(group, one.base, days_per_year)
    return {
        "run_id": trial.run_id,
        "strategy": group.strategy.strategy_id,
        "symbol": pack.symbol,
        "date": pack.last_date,
        "params": as_json(trial.params),
        "pack_hash": pack.pack_hash,
        "code_hash": group.code_hash,
        "config_hash": project.config_hash,
        "convention": project.platform.execution.convention,
        "status": FAILED if one.base is None else REJECTED if fault else OK,
        "reason": one.error or fault,
        "starting_cash": project.loop.experiment.starting_cash,
        "days_per_year": days_per_year,
    }


def _breach(group: TrialGroup, result: ReplayResult, days_per_year: int) -> str:
    return group.strategy.family.breach(
        trades=result.trades.height, days=result.daily.height, turnover=result.turnover, days_per_year=days_per_year
    )


def ruined(result: ReplayResult) -> str:
    """Why a replay cannot count: the account was worth nothing at a day's end; "" where it never was.

    Only shorts and leverage can do it. A broker would have closed the account, so what the replay did afterwards is no
    result.
    """
    lost = result.daily.filter(pl.col("equity") <= 0)
    if lost.is_empty():
        return ""
    day, equity = lost.row(0)[:2]
    return f"the account was worth {equity:,.0f} dollars at the end of {day}: the position lost more than the equity"


def _measures(result: ReplayResult, metrics: Mapping[str, Any]) -> dict[str, Any]:
    breakdown, vol, trend, session, balance = regime_breakdown(result)
    return {
        **{name: value for name, value in metrics.items() if name != "days_per_year"},
        "rejects_by_reason": as_json(result.rejects),
        "dep_vol": vol,
        "dep_trend": trend,
        "dep_session": session,
        "regime_balance": balance,
        "regime_breakdown": as_json(breakdown),
        "final_equity": result.final_equity,
        "starting_cash": result.starting_cash,
    }


def _say(progress: Callable[[str], None] | None, line: str) -> None:
    if progress is not None:
        progress(line)
