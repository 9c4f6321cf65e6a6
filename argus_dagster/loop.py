"""The research loop: plan a cycle, run its phases in one Dagster instance, tell what came out.

The phases are the jobs of the graph: `market` (a range run per symbol), `market_wide` (a range run), `research` (per
symbol, the cycle's date) and `selection`. What is up to date is not run again, so a cycle that was killed goes on from
what is done.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from multiprocessing import get_context
from threading import Thread
from typing import Any

import dagster as dg

from argus_core.settings import SettingsError
from argus_core.settings.iv_features import REALISED_SESSIONS
from argus_dagster.assets.bars import BARS, BARS_RAW
from argus_dagster.assets.model_regimes import MODEL_REGIMES
from argus_dagster.assets.option_tables import CHAIN_STAGES, OPTION_STAGES
from argus_dagster.assets.outcomes import OUTCOMES
from argus_dagster.assets.regimes import MARKET_RISK, REFERENCE_BARS, REFERENCE_SESSIONS, REGIMES, RISK_FLOW
from argus_dagster.graph import JOBS, build_assets, partitions_of
from argus_dagster.partitions import date_symbol_key
from argus_dagster.stage import Stage
from argus_dagster.workspace import Workspace, contiguous

MARKET_STAGES: tuple[Stage, ...] = (BARS_RAW, BARS, *CHAIN_STAGES, OUTCOMES, REGIMES, MODEL_REGIMES)
WIDE_STAGES: tuple[Stage, ...] = (REFERENCE_BARS, RISK_FLOW, MARKET_RISK)

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PROCESS_TAG = "argus/process"

#: Passes over the market stages after which labels must be settled (bars change, then labels of neighbours).
MAX_PASSES = 3

#: What Dagster prints on the console; everything is in the instance's event log.
LOG_LEVEL = "CRITICAL"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class CyclePlan:
    """What a cycle will do: its date, the sessions of its window, and the sessions that are prepared for it."""

    day: date
    window: list[date]
    sessions: list[date]
    symbols: tuple[str, ...]
    #: Number of parameter sets of each entry under `strategies`, in config order.
    parameter_sets: tuple[int, ...]

    def as_document(self, workspace: Workspace) -> dict[str, Any]:
        project = workspace.project
        return {
            "date": str(self.day),
            "window": [str(self.window[0]), str(self.window[-1])],
            "sessions_in_window": len(self.window),
            "sessions_prepared": len(self.sessions),
            "symbols": {s: project.bars_provider(s) for s in self.symbols},
            "references": {
                s: {name: project.bars_provider(name) for name in project.references(s)}
                for s in self.symbols
                if project.references(s)
            },
            "lake": project.lake_root,
            "strategies": [
                {
                    "strategy_class": s.strategy_class,
                    "sweep": s.sweep,
                    "parameter_sets": sets,
                    "symbols": list(s.symbols or self.symbols),
                }
                for s, sets in zip(project.loop.strategies, self.parameter_sets, strict=True)
            ],
            "convention": project.platform.execution.convention,
            "outputs": {
                "packs": str(project.resolve(project.loop.pack.packs_output_dir)),
                "experiments": str(project.resolve(project.loop.experiment.output_dir)),
                "rankings": str(project.resolve(project.loop.evaluation.rankings_output_dir)),
                "allocations": str(project.resolve(project.loop.evaluation.allocations_output_path))
                if project.loop.evaluation.allocations_output_path
                else None,
            },
            "config_hash": project.config_hash,
        }


@dataclass
class CycleResult:
    """What a cycle did: the runs that failed, by name, and the symbols that took part."""

    plan: CyclePlan
    failures: dict[str, str] = field(default_factory=dict)
    completed: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is something to show; `failures` may still name symbols that did not take part."""
        return bool(self.completed) and "selection" not in self.failures


def plan_cycle(workspace: Workspace, *, today: date, day: date | None = None) -> CyclePlan:
    """Resolve the cycle's date and windows.

    Args:
        workspace: the project.
        today: the current UTC date; the newest session before it ends a window that has no `end_date`.
        day: the cycle's date; default: `end_date` of the config, or the newest session with `last_n_days`.

    Raises:
        SettingsError: if no session lies in the window.
    """
    pack = workspace.project.loop.pack
    # `last_n_days` counts back from today whatever the dates say (semantics §10).
    fixed_end = pack.end_date if pack.last_n_days is None else None
    wanted = day or fixed_end or today - timedelta(days=1)
    sessions = workspace.calendar.last_sessions(wanted, 1)
    window = workspace.window(sessions[-1]) if sessions else []
    if not window:
        raise SettingsError(
            f"{workspace.project.source}: pack: no session up to {wanted} from "
            f"calendar.start_date {workspace.project.platform.calendar.start_date} on. Move one of the dates."
        )
    return CyclePlan(window[-1], window, _prepared(workspace, window), workspace.symbols, parameter_sets(workspace))


def parameter_sets(workspace: Workspace) -> tuple[int, ...]:
    """Load every strategy and sweep of the config and count its parameter sets.

    Raises:
        SettingsError: if a class or sweep cannot be loaded, or names a parameter that the strategy does not have.
    """
    from argus_core.experiments import load_sweep
    from argus_core.strategies.registry import load_strategy

    project = workspace.project
    counts = []
    for spec in project.loop.strategies:
        strategy = load_strategy(spec.strategy_class, root=project.root, params=spec.params)
        sets = load_sweep(project.resolve(spec.sweep), spec.params) if spec.sweep else [dict(spec.params)]
        known = set(strategy.Params.model_fields)
        for where, names in ((str(project.source), set(spec.params)), (spec.sweep, {n for s in sets for n in s})):
            unknown = sorted(names - known)
            if unknown:
                raise SettingsError(
                    f"{where}: {spec.strategy_class} has no parameter {', '.join(map(repr, unknown))}. "
                    f"Parameters: {', '.join(sorted(known)) or 'none'}."
                )
        counts.append(len(sets))
    return tuple(counts)


def _prepared(workspace: Workspace, window: Sequence[date]) -> list[date]:
    """The window, its declared warm-up, and the history that its first regimes rest on."""
    from argus_core.regimes import history_sessions

    settings = workspace.project.platform
    back = max(history_sessions(settings.regimes, workspace.instrument(s)) for s in workspace.symbols)
    if any(workspace.instrument(s).options for s in workspace.symbols):
        back = max(back, REALISED_SESSIONS)
    back += workspace.project.loop.pack.warmup_days
    known = workspace.calendar.last_sessions(window[0], back + 1)
    return [d for d in known if settings.calendar.start_date <= d < window[0]] + list(window)


def run_cycle(
    workspace: Workspace,
    plan: CyclePlan,
    *,
    days: Sequence[date] | None = None,
    workers: int = 1,
    progress: Progress = lambda text: None,
) -> CycleResult:
    """Run all phases for the plan's date, or for every date in ``days`` (a year of daily partitions).

    A symbol whose run fails is reported and the others go on. ``workers`` > 1 spreads symbols over processes; the
    results are the same bytes.
    """
    result = CycleResult(plan)
    cycle_days = list(days or [plan.day])
    with dg.DagsterInstance.get() as instance:
        close_orphans(instance)
        if workspace.project.loop.outcomes.ensure_before_pack:
            _prepare(workspace, instance, plan, workers, progress, result)
        underlyings = [symbol for symbol in plan.symbols if workspace.instrument(symbol).options]
        if underlyings:
            progress(f"options: {', '.join(underlyings)} on {len(cycle_days)} date(s)")
            for symbol in underlyings:
                failure = run_options(workspace, instance, symbol, cycle_days)
                failure = failure or report_options(workspace, instance, symbol, max(cycle_days))
                if failure:
                    result.failures[f"options {symbol}"] = failure
        progress(f"research: {len(workspace.project.loop.strategies)} strategies on {len(cycle_days)} date(s)")
        tasks = [(workspace, symbol, plan.sessions, cycle_days) for symbol in plan.symbols]
        usable = [task for task in tasks if not _failed_bars(workspace, task[1], result)]
        _collect(result, _spread(_research_task, usable, workers, progress))
        progress("selection: joint test, kill rules, candidates, allocations, report")
        failure = run_dates(workspace, instance, JOBS["selection"], cycle_days)
        if failure:
            result.failures["selection"] = failure
    return result


def _prepare(
    workspace: Workspace,
    instance: dg.DagsterInstance,
    plan: CyclePlan,
    workers: int,
    progress: Progress,
    result: CycleResult,
) -> None:
    """Bring bars, labels and market state up to date (`outcomes.ensure_before_pack`)."""
    symbols = workspace.bar_symbols
    progress(f"market: {len(plan.sessions)} sessions of {', '.join(symbols)}")
    tasks = [(workspace, symbol, plan.sessions, []) for symbol in symbols]
    _collect(result, _spread(_market_task, tasks, workers, progress))
    progress("market_wide: reference bars, risk flow, market risk")
    before = workspace.calendar.last_sessions(plan.sessions[0], REFERENCE_SESSIONS + 1)
    wide_days = [d for d in before if d >= workspace.project.platform.calendar.start_date and d < plan.sessions[0]]
    failure = run_wide(workspace, instance, [*wide_days, *plan.sessions])
    if failure:
        result.failures["market_wide"] = failure


def market_stages(workspace: Workspace, symbol: str) -> tuple[Stage, ...]:
    """What is prepared of a symbol: everything where it is traded, bars alone where it is a reference only."""
    return MARKET_STAGES if symbol in workspace.symbols else (BARS_RAW, BARS)


def _failed_bars(workspace: Workspace, symbol: str, result: CycleResult) -> bool:
    """Whether the bars of the symbol or of one of its references failed: its pack cannot be sealed."""
    names = (symbol, *workspace.project.references(symbol))
    return any(f"market {name}" in result.failures for name in names)


def run_market(workspace: Workspace, instance: dg.DagsterInstance, symbol: str, days: Sequence[date]) -> str | None:
    """Bring the market and label partitions of a symbol up to date; return what failed, or None."""
    stages = market_stages(workspace, symbol)
    if not workspace.instrument(symbol).options:
        stages = tuple(stage for stage in stages if stage not in CHAIN_STAGES)
    return _settle(workspace, instance, stages, symbol, days)


def run_options(workspace: Workspace, instance: dg.DagsterInstance, symbol: str, days: Sequence[date]) -> str | None:
    """Bring what is made of the chains of ``days`` up to date; return what failed, or None."""
    return _settle(workspace, instance, OPTION_STAGES, symbol, days)


def report_options(workspace: Workspace, instance: dg.DagsterInstance, symbol: str, day: date) -> str | None:
    """Write the page of an underlying on ``day``; return what failed, or None."""
    key = date_symbol_key(day, symbol)
    return _run(workspace, instance, ["option_report"], key, key)


def _settle(
    workspace: Workspace, instance: dg.DagsterInstance, stages: Sequence[Stage], symbol: str, days: Sequence[date]
) -> str | None:
    """Materialise what is due of ``stages`` until nothing is; return what failed, or None."""
    members = [stage.table for stage in stages]
    for _ in range(MAX_PASSES):
        due = sorted({d for stage in stages for d in stage.due(workspace, symbol, days)})
        if not due:
            return None
        for first, last in contiguous(due, workspace.calendar):
            failure = _run(workspace, instance, members, date_symbol_key(first, symbol), date_symbol_key(last, symbol))
            if failure:
                return failure
    return _unsettled(symbol, [d for stage in stages for d in stage.due(workspace, symbol, days)])


def run_wide(workspace: Workspace, instance: dg.DagsterInstance, days: Sequence[date]) -> str | None:
    """Bring the partitions across symbols up to date; return what failed, or None."""
    for _ in range(MAX_PASSES):
        due = sorted({d for stage in WIDE_STAGES for d in stage.due(workspace, "", days)})
        if not due:
            return None
        failure = run_dates(workspace, instance, JOBS["market_wide"], due)
        if failure:
            return failure
    return _unsettled("market_wide", [d for stage in WIDE_STAGES for d in stage.due(workspace, "", days)])


def _unsettled(name: str, due: Sequence[date]) -> str | None:
    """What to say of partitions that are still due after every pass; None where there are none."""
    if not due:
        return None
    return f"{name}: {len(set(due))} session(s) still due after {MAX_PASSES} passes, first {min(due)}; run again"


def run_dates(
    workspace: Workspace, instance: dg.DagsterInstance, members: Sequence[str], days: Sequence[date]
) -> str | None:
    for first, last in contiguous(sorted(days), workspace.calendar):
        failure = _run(workspace, instance, members, first.isoformat(), last.isoformat())
        if failure:
            return failure
    return None


def run_research(workspace: Workspace, instance: dg.DagsterInstance, symbol: str, days: Sequence[date]) -> str | None:
    """Seal packs and run experiments of a symbol on the given dates; return what failed, or None."""
    for first, last in contiguous(sorted(days), workspace.calendar):
        failure = _run(
            workspace, instance, JOBS["research"], date_symbol_key(first, symbol), date_symbol_key(last, symbol)
        )
        if failure:
            return failure
    return None


def close_orphans(instance: dg.DagsterInstance) -> int:
    """Mark runs of killed loops as failed: their process is gone and will never say so."""
    open_states = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
    closed = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=open_states)):
        host, _, owner = run.tags.get(PROCESS_TAG, "").rpartition("/")
        if owner and host == platform.node() and not _alive(int(owner)):
            instance.report_run_failed(run, f"its process {owner} is gone")
            closed += 1
    return closed


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def require_recent(workspace: Workspace, now: datetime) -> str | None:
    """Why a cycle must wait: bars are older than `loop.require_recent_bars_hours`; None: they are recent enough."""
    limit = workspace.project.loop.loop.require_recent_bars_hours
    if limit is None:
        return None
    ages = {}
    for symbol in workspace.bar_symbols:
        source = workspace.source(workspace.project.bars_provider(symbol))
        newest = source.newest_date(workspace.instrument(symbol))
        if newest is None:
            return f"{symbol}: no bars at all; loop.require_recent_bars_hours is {limit:g}"
        close = workspace.calendar.session_bounds(workspace.calendar.last_sessions(newest, 1)[-1])[1]
        ages[symbol] = (now - close).total_seconds() / 3600
    worst = max(ages, key=lambda symbol: ages[symbol])
    if ages[worst] > limit:
        return f"{worst}: newest bars are {ages[worst]:.1f} h old; loop.require_recent_bars_hours allows {limit:g}"
    return None


def _run(
    workspace: Workspace, instance: dg.DagsterInstance, members: Sequence[str], first: str, last: str
) -> str | None:
    """One in-process run over a partition range; return the error in words, or None."""
    single = first == last
    tags = {PROCESS_TAG: f"{platform.node()}/{os.getpid()}", "argus/config": workspace.project.source.name}
    outcome = dg.materialize(
        _assets(workspace),
        selection=dg.AssetSelection.assets(*members),
        instance=instance,
        partition_key=first if single else None,
        tags=tags if single else {**tags, RANGE_START: first, RANGE_END: last},
        resources={"workspace": workspace},
        run_config={"loggers": {"console": {"config": {"log_level": LOG_LEVEL}}}},
        raise_on_error=False,
    )
    if outcome.success:
        return None
    reasons = [
        (event.step_failure_data.error.cause or event.step_failure_data.error).message.strip()
        for event in outcome.all_events
        if event.is_step_failure and event.step_failure_data.error
    ]
    checks = [e.description for e in outcome.get_asset_check_evaluations() if not e.passed and e.blocking]
    return "; ".join([*reasons, *(text or "" for text in checks)]) or "the run failed; see the Dagster UI"


@lru_cache(maxsize=2)
def _assets(workspace: Workspace) -> list[Any]:
    return build_assets(workspace, partitions_of(workspace))


Task = tuple[Workspace, str, Sequence[date], Sequence[date]]


def _market_task(task: Task) -> tuple[str, str | None]:
    workspace, symbol, sessions, _ = task
    with dg.DagsterInstance.get() as instance:
        return f"market {symbol}", run_market(workspace, instance, symbol, sessions)


def _research_task(task: Task) -> tuple[str, str | None]:
    workspace, symbol, _, cycle_days = task
    with dg.DagsterInstance.get() as instance:
        return f"research {symbol}", run_research(workspace, instance, symbol, cycle_days)


def _spread(
    work: Callable[[Task], tuple[str, str | None]], tasks: Sequence[Task], workers: int, progress: Progress
) -> Iterator[tuple[str, str | None]]:
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            progress(f"  {task[1]}")
            yield work(task)
        return
    # Spawned, because a forked JAX or Polars deadlocks.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent, initargs=(os.getpid(),)) as pool:
        for done in pool.map(work, tasks):
            progress(f"  {done[0]}")
            yield done


def _end_with_parent(parent: int) -> None:
    """End this worker when the loop is gone: a killed loop must not leave workers behind."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _collect(result: CycleResult, outcomes: Iterator[tuple[str, str | None]]) -> None:
    for name, failure in outcomes:
        if failure:
            result.failures[name] = failure
        else:
            result.completed.append(name)


def utc_now() -> datetime:
    """The clock, read at the edge only."""
    return datetime.now(UTC)
