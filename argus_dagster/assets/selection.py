"""`rankings`, `killed`, `candidates`: which runs of a date live, over all symbols, and why the others do not."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from argus_core.market.lake import LakeError, hash_of
from argus_dagster.assets.experiments import TABLES, experiment_keys, experiments_current
from argus_dagster.materialisation import data_version
from argus_dagster.metadata import counts, plot, preview
from argus_dagster.partitions import Partitions
from argus_dagster.workspace import Workspace

if TYPE_CHECKING:
    from argus_core.evaluation import Evaluation

RESULTS = ("rankings", "killed", "candidates")

#: What a cycle hands on to later ones, whole up to its date: every trial ever tried, and the error budget spent.
MEMORY = ("trial_lineage", "error_budget")

SHOWN = ("rank", "strategy", "symbol", "score", "sharpe", "dsr", "verdict", "params")
BUDGET_SHOWN = ("date", "is_look", "look", "level", "p_consistent", "passed", "remaining", "why")


@dataclass(frozen=True)
class Cycle:
    """The experiments of a date that may be judged: found once, read by every step.

    ``inputs`` is the hash of those experiments and of the settings that judge them.
    """

    day: date
    symbols: tuple[str, ...]
    inputs: str


def open_cycle(workspace: Workspace, day: date) -> Cycle:
    """Find the symbols whose stored experiments of a date rest on data, settings and code as they are now.

    What an earlier config left behind must not be judged as if it were this one's. Experiments of another loop
    (`evaluation.input_dir`) are taken as they are.
    """
    settings = workspace.project.loop.evaluation
    symbols = tuple(s for s in workspace.symbols if settings.input_dir or experiments_current(workspace, s, day))
    stamps = [
        workspace.judged.stamp(table, **experiment_keys(symbol, day))
        for symbol in workspace.symbols
        for table in TABLES
    ]
    thresholds = settings.kill_thresholds_file
    overrides = workspace.project.resolve(thresholds).read_text() if thresholds else ""
    before = previous_day(workspace, day)
    memory = [workspace.results.stamp(table, date=before) for table in MEMORY] if before else []
    found = [s.data_hash if s else "-" for s in (*stamps, *memory)]
    return Cycle(day, symbols, hash_of([*found, settings.config_hash, overrides, ",".join(symbols)]))


def previous_day(workspace: Workspace, day: date) -> date | None:
    """The newest date before ``day`` that was judged."""
    earlier = [keys["date"] for keys in workspace.results.partitions("error_budget") if keys["date"] < day.isoformat()]
    return date.fromisoformat(max(earlier)) if earlier else None


def read_memory(workspace: Workspace, day: date) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """(lineage of earlier trials, error budget so far) of a cycle.

    Rows of the cycle's own date remember what was asked of it before, with fewer trials.
    """
    before = previous_day(workspace, day)
    lake = workspace.results
    trials = lake.read("trial_lineage", date=before) if before else None
    spent = [lake.read("error_budget", date=before)] if before else []
    if lake.exists("error_budget", date=day):
        spent.append(lake.read("error_budget", date=day).filter(pl.col("date") == day))
    return trials, pl.concat(spent) if spent else None


def read_cycle(workspace: Workspace, cycle: Cycle, table: str) -> pl.DataFrame:
    """One experiments table of a cycle over its symbols, in config order."""
    return workspace.judged.read_many(table, [experiment_keys(symbol, cycle.day) for symbol in cycle.symbols])


def judge(workspace: Workspace, cycle: Cycle) -> "Evaluation":
    """Evaluate all runs of a cycle."""
    from argus_core.evaluation import evaluate, read_thresholds

    project = workspace.project
    thresholds = project.loop.evaluation.kill_thresholds_file
    if cycle.inputs in workspace.evaluations:
        return workspace.evaluations[cycle.inputs]
    runs = read_cycle(workspace, cycle, "experiments")
    if runs.is_empty():
        raise LakeError(
            f"rankings {cycle.day}: no experiments that rest on the data, settings and code as they are. "
            "Materialise `experiments` of this date first (argus loop --once)."
        )
    earlier, budget = read_memory(workspace, cycle.day)
    workspace.evaluations.clear()
    workspace.evaluations[cycle.inputs] = evaluate(
        runs,
        read_cycle(workspace, cycle, "experiment_returns"),
        read_cycle(workspace, cycle, "trial_ledger"),
        project.loop.evaluation,
        project.loop.experiment,
        earlier_trials=earlier,
        retired=read_cycle(workspace, cycle, "retired_returns"),
        budget=budget,
        threshold_overrides=read_thresholds(project.resolve(thresholds)) if thresholds else None,
    )
    return workspace.evaluations[cycle.inputs]


def decided_at(workspace: Workspace, day: date) -> str:
    """The moment a date's documents speak for: the close of its session. No wall clock enters a result."""
    return workspace.calendar.session_bounds(day)[1].isoformat()


def store(workspace: Workspace, cycle: Cycle, evaluation: "Evaluation") -> dict[str, str]:
    """Write the tables and the JSON files of a cycle; return the data hash of each table."""
    from argus_core.evaluation import rankings_document, write_document, write_json

    day = cycle.day
    hashes = {}
    frames = {name: getattr(evaluation, name) for name in RESULTS}
    frames |= dict(zip(MEMORY, (evaluation.lineage, evaluation.budget), strict=True))
    for name, frame in frames.items():
        written = workspace.results.write(
            name,
            frame,
            keys={"date": day},
            config_hash=workspace.project.loop.evaluation.config_hash,
            producer=name,
            inputs_hash=cycle.inputs,
        )
        hashes[name] = written.data_hash
    project = workspace.project
    settings = project.loop.evaluation
    if not is_newest(workspace, "rankings", day):
        write_document(
            project.resolve(settings.rankings_output_dir) / f"strategy_rankings_{day}.json",
            rankings_document(evaluation, date=day, generated_at=decided_at(workspace, day)),
        )
        return hashes
    write_json(
        evaluation,
        rankings_dir=project.resolve(settings.rankings_output_dir),
        killed_path=project.resolve(settings.killed_output_path),
        candidates_path=project.resolve(settings.candidate_set_output_path),
        date=day,
        generated_at=decided_at(workspace, day),
    )
    return hashes


def is_newest(workspace: Workspace, table: str, day: date) -> bool:
    """Whether no later date of ``table`` is stored: only then may a date write the files that name no date."""
    return all(keys["date"] <= str(day) for keys in workspace.results.partitions(table))


def kill_counts(killed: pl.DataFrame) -> dict[str, int]:
    return dict(killed.group_by("reason").len().sort("reason").rows()) if killed.height else {}


def build(partitions: Partitions) -> list[Any]:
    upstream = dg.AssetDep("experiments", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("date"))
    describe = {
        "rankings": "Every run of the date in order of its composite score, with its verdict in words.",
        "killed": "One row per run and kill reason: value, threshold, and what would have to change.",
        "candidates": "The best surviving parameter set per strategy and symbol, with its alternatives.",
    }

    @dg.multi_asset(
        name="judge_runs",
        specs=[
            dg.AssetSpec(
                name,
                group_name="selection",
                deps=[upstream],
                partitions_def=partitions.date,
                kinds={"jax"},
                description=describe[name],
                code_version="1",
            )
            for name in RESULTS
        ],
        partitions_def=partitions.date,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="kernels",
    )
    def selection(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> Any:
        days = sorted(date.fromisoformat(key) for key in context.partition_keys)
        versions: dict[str, list[str]] = {name: [] for name in RESULTS}
        for day in days:
            cycle = open_cycle(workspace, day)
            evaluation = judge(workspace, cycle)
            stored = store(workspace, cycle, evaluation)
            for name in RESULTS:
                versions[name].append(stored[name])
                context.add_asset_metadata(
                    _metadata(evaluation, name), asset_key=dg.AssetKey(name), partition_key=day.isoformat()
                )
            context.log.info(f"{day}: {evaluation.rankings.height} runs, {evaluation.candidates.height} candidates")
        for name in RESULTS:
            yield dg.MaterializeResult(asset_key=name, data_version=data_version(versions[name]))

    return [selection]


def _metadata(evaluation: "Evaluation", name: str) -> dict[str, Any]:
    frame = getattr(evaluation, name)
    found: dict[str, Any] = {"dagster/row_count": frame.height}
    if name == "rankings":
        found["top"] = preview(frame, [c for c in SHOWN if c in frame.columns], rows=15)
        found["joint_test"] = dg.MetadataValue.json(evaluation.joint_test)
        found["error_budget_left"] = float(evaluation.budget["remaining"][-1])
        found["error_budget"] = preview(evaluation.budget.tail(10), BUDGET_SHOWN, rows=10)
        grown = evaluation.lineage.group_by("first_date").len().sort("first_date")["len"].cum_sum()
        found["trials_ever"] = evaluation.lineage.height
        if grown.len() > 1:
            found["ledger_growth"] = plot(grown.to_list(), label="trials ever tried")
    elif name == "killed":
        found["kill_reasons"] = counts(kill_counts(frame))
    elif frame.height:
        found["preview"] = preview(frame)
    return found
