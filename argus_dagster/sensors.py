"""What keeps Argus going: a daily schedule, a sensor on fresh bars, one that joins the jobs, and notifications."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from argus_core.market.lake import hash_of
from argus_dagster.assets.bars import BARS, BARS_RAW
from argus_dagster.assets.experiments import experiments_current, experiments_hash
from argus_dagster.assets.option_snapshots import OPTION_SNAPSHOTS
from argus_dagster.assets.option_tables import OPTION_STAGES
from argus_dagster.assets.outcomes import OUTCOMES
from argus_dagster.assets.regimes import MARKET_RISK, REFERENCE_BARS, REGIMES, RISK_FLOW
from argus_dagster.assets.selection import open_cycle
from argus_dagster.notifications import notify
from argus_dagster.partitions import date_symbol_key, split_key
from argus_dagster.workspace import Workspace

#: Half past one UTC: the day's partition exists from midnight UTC on, the last New York session is over.
DAILY_CRON = "30 1 * * 2-6"

#: Sessions that the sensors look back at for corrected or late data.
LOOK_BACK = 5


def newest_session(workspace: Workspace, now: datetime) -> date:
    """The newest session whose partition exists: the last one before ``now``'s UTC date."""
    return workspace.calendar.last_sessions(now.date() - timedelta(days=1), 1)[-1]


def fingerprints(workspace: Workspace, days: Sequence[date]) -> dict[str, str]:
    """Fingerprint of the source's data by date x symbol key, where the source has data."""
    found = {}
    for day in days:
        for symbol in workspace.bar_symbols:
            one = BARS_RAW.inputs_hash(workspace, symbol, day)
            if one:
                chain = OPTION_SNAPSHOTS.inputs_hash(workspace, symbol, day)
                found[date_symbol_key(day, symbol)] = f"{one[:16]}{(chain or '')[:8]}"
    return found


def fresh_requests(
    workspace: Workspace, known: Mapping[str, str], days: Sequence[date]
) -> tuple[list[dg.RunRequest], dict[str, str]]:
    """Runs of job `market` for data that are new or changed since ``known``, and the new cursor."""
    workspace.forget_landed()
    now = fingerprints(workspace, days)
    requests = [
        _market_request(workspace, key, mark, "fresh bars") for key, mark in now.items() if known.get(key) != mark
    ]
    asked = {request.partition_key for request in requests}
    requests += [
        _market_request(workspace, key, mark, "labels are due")
        for key, mark in due_labels(workspace, days).items()
        if key not in asked
    ]
    return requests, now


def _market_request(workspace: Workspace, key: str, mark: str, why: str) -> dg.RunRequest:
    """A run of job `market` on one partition; of a symbol that is a reference only it makes the bars alone."""
    only = split_key(key)[1] not in workspace.symbols
    return dg.RunRequest(
        partition_key=key,
        run_key=f"market:{key}:{mark}",
        tags={"argus/why": why},
        asset_selection=[dg.AssetKey(stage.table) for stage in (BARS_RAW, BARS)] if only else None,
    )


def due_labels(workspace: Workspace, days: Sequence[date]) -> dict[str, str]:
    """Date x symbol keys whose bars or labels rest on inputs that have changed since, with a hash of the new inputs.

    Outcomes of a session become final when the next sessions arrive; a corrected session changes its neighbours.
    """
    found = {}
    for day in days:
        for symbol in workspace.bar_symbols:
            stages = (BARS, OUTCOMES, REGIMES) if symbol in workspace.symbols else (BARS,)
            due = [stage for stage in stages if stage.due(workspace, symbol, [day])]
            if due:
                marks = [stage.inputs_hash(workspace, symbol, day) or "-" for stage in due]
                found[date_symbol_key(day, symbol)] = hash_of(marks)
    return found


def due_phases(workspace: Workspace, day: date) -> Iterator[tuple[str, list[str], str]]:
    """Jobs that a session needs next, in order: (job, partition keys, hash of the inputs they would rest on).

    A phase is due when the one before it is complete and its own result rests on other inputs, so a sensor may ask at
    any time and a rerun that changes nothing asks for nothing.
    """
    pack = workspace.project.loop.pack
    if pack.last_n_days is None and pack.end_date is not None and day > pack.end_date:
        return
    ready = [s for s in workspace.symbols if _labelled(workspace, s, day) and not _awaited(workspace, s, day)]
    if not ready:
        return
    stages = (REFERENCE_BARS, RISK_FLOW, MARKET_RISK)
    if any(stage.due(workspace, "", [day]) for stage in stages):
        wide = [stage.inputs_hash(workspace, "", day) or "-" for stage in stages]
        yield "market_wide", [day.isoformat()], hash_of(wide)
        return
    for symbol in ready:
        due = [stage for stage in OPTION_STAGES if stage.due(workspace, symbol, [day])]
        if due:
            marks = [stage.inputs_hash(workspace, symbol, day) or "-" for stage in due]
            yield "options", [date_symbol_key(day, symbol)], hash_of(marks)
    waiting = [s for s in ready if not experiments_current(workspace, s, day)]
    if waiting:
        mark = hash_of([experiments_hash(workspace, s, day) for s in waiting])
        yield "research", [date_symbol_key(day, s) for s in waiting], mark
        return
    stamp = workspace.results.stamp("candidates", date=day)
    inputs = open_cycle(workspace, day).inputs
    if stamp is None or stamp.inputs_hash != inputs:
        yield "selection", [day.isoformat()], inputs


def _labelled(workspace: Workspace, symbol: str, day: date) -> bool:
    return all(workspace.stamp(table, symbol, day) is not None for table in ("regimes", "outcomes"))


def _awaited(workspace: Workspace, symbol: str, day: date) -> bool:
    """Whether bars of a reference of ``symbol`` are there to be published first."""
    names = workspace.project.references(symbol)
    return any(stage.due(workspace, name, [day]) for name in names for stage in (BARS_RAW, BARS))


def build_sensors(workspace: Workspace, jobs: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """The schedule and the sensors of a workspace."""
    settings = workspace.project.loop.notify

    @dg.schedule(name="daily_market", job=jobs["market"], cron_schedule=DAILY_CRON, execution_timezone="UTC")
    def daily_market(context: dg.ScheduleEvaluationContext) -> Any:
        """After the close of each session: one run of job `market` per symbol."""
        day = newest_session(workspace, context.scheduled_execution_time.astimezone(UTC))
        requests, _ = fresh_requests(workspace, {}, [day])
        return requests or dg.SkipReason(f"no source has bars of {day} yet")

    @dg.sensor(name="fresh_bars", job=jobs["market"], minimum_interval_seconds=300)
    def fresh_bars(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """New or corrected data of the last sessions: one run of job `market` per date and symbol."""
        day = newest_session(workspace, datetime.now(UTC))
        known = json.loads(context.cursor) if context.cursor else {}
        requests, cursor = fresh_requests(workspace, known, workspace.calendar.last_sessions(day, LOOK_BACK))
        if not requests:
            return dg.SensorResult(skip_reason=f"no fresh bars up to {day}", cursor=json.dumps(cursor, sort_keys=True))
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor, sort_keys=True))

    @dg.sensor(
        name="next_phase",
        jobs=[jobs["market_wide"], jobs["options"], jobs["research"], jobs["selection"]],
        minimum_interval_seconds=60,
    )
    def next_phase(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """When a job is complete, the next one of its session: market -> market_wide -> research -> selection."""
        day = newest_session(workspace, datetime.now(UTC))
        requests = [
            dg.RunRequest(job_name=job, partition_key=key, run_key=f"{job}:{key}:{mark}")
            for session in workspace.calendar.last_sessions(day, LOOK_BACK)
            for job, keys, mark in due_phases(workspace, session)
            for key in keys
        ]
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "every session is complete")

    @dg.run_failure_sensor(name="run_failed")
    def run_failed(context: dg.RunFailureSensorContext) -> None:
        """Tell the channels of `notify` which run failed and why."""
        notify(settings, "run failed", {"job": context.dagster_run.job_name, "error": context.failure_event.message})

    @dg.run_status_sensor(
        name="cycle_complete", run_status=dg.DagsterRunStatus.SUCCESS, monitored_jobs=[jobs["selection"]]
    )
    def cycle_complete(context: dg.RunStatusSensorContext) -> None:
        """Tell the channels of `notify` what a finished cycle decided."""
        notify(settings, "cycle complete", cycle_details(workspace, context.dagster_run.tags.get("dagster/partition")))

    return [daily_market], [fresh_bars, next_phase, run_failed, cycle_complete]


def cycle_details(workspace: Workspace, day: str | None) -> dict[str, Any]:
    """What a cycle's message says."""
    if day is None:
        return {"date": None}
    rankings = workspace.results.read("rankings", date=day)
    candidates = workspace.results.read("candidates", date=day)
    return {"date": day, "runs": rankings.height, "candidates": candidates.height}
