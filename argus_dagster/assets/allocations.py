"""`allocations`: how much capital each candidate gets, and `cycle_report`: the date's story in one HTML file."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from argus_core.market.lake import hash_of
from argus_dagster.assets.option_report import option_days
from argus_dagster.assets.selection import Cycle, decided_at, is_newest, judge, kill_counts, open_cycle, read_cycle
from argus_dagster.materialisation import data_version
from argus_dagster.metadata import counts, preview
from argus_dagster.partitions import Partitions
from argus_dagster.workspace import Workspace

if TYPE_CHECKING:
    from argus_core.allocation import Allocation
    from argus_core.evaluation import Evaluation


def size(workspace: Workspace, cycle: Cycle, candidates: pl.DataFrame) -> "Allocation":
    """Size the candidates of a cycle."""
    from argus_core.allocation import allocate

    settings = workspace.project.loop.evaluation
    return allocate(
        candidates,
        read_cycle(workspace, cycle, "experiment_returns"),
        settings.allocation,
        equity=settings.equity,
        min_dsr=settings.min_dsr,
        min_composite_score=settings.min_composite_score,
        generated_at=decided_at(workspace, cycle.day),
    )


def store(workspace: Workspace, day: date, allocation: "Allocation") -> str:
    """Write the tables of a date and, where it is the newest, the JSON file of the config."""
    settings = workspace.project.loop.evaluation
    candidates = workspace.results.stamp("candidates", date=day)
    for table, frame in (("allocation_clamps", allocation.clamps), ("allocations", allocation.rows)):
        written = workspace.results.write(
            table,
            frame,
            keys={"date": day},
            config_hash=settings.allocation.config_hash,
            producer="allocations",
            inputs_hash=hash_of([candidates.data_hash if candidates else "-", settings.config_hash]),
        )
    if settings.allocations_output_path and is_newest(workspace, "allocations", day):
        workspace.write_json(settings.allocations_output_path, allocation.document)
    return written.data_hash


def report_path(workspace: Workspace, day: date) -> Path:
    return workspace.project.resolve(workspace.project.loop.evaluation.report_output_dir) / f"cycle_{day}.html"


def write_report(workspace: Workspace, cycle: Cycle) -> Path:
    """Write the HTML report of a cycle from its stored experiments."""
    from argus_core.reports import cycle_report

    evaluation: Evaluation = judge(workspace, cycle)
    day, project = cycle.day, workspace.project
    options, option_pages = option_days(workspace, day)
    return cycle_report(
        report_path(workspace, day),
        date=day,
        project_summary={
            "config": project.source.name,
            "config_hash": project.config_hash,
            "symbols": list(workspace.symbols),
            "providers": {s: project.bars_provider(s) for s in workspace.symbols},
            "window": [str(d) for d in (workspace.window(day)[0], day)],
            "convention": project.platform.execution.convention,
            "simulation": project.platform.providers.simulation.model_dump(mode="json"),
        },
        runs=read_cycle(workspace, cycle, "experiments"),
        returns=read_cycle(workspace, cycle, "experiment_returns"),
        trades=read_cycle(workspace, cycle, "experiment_trades"),
        evaluation=evaluation,
        allocation=size(workspace, cycle, evaluation.candidates),
        options=options,
        option_pages=option_pages,
    )


def build(partitions: Partitions) -> list[Any]:
    @dg.asset(
        name="allocations",
        group_name="capital",
        partitions_def=partitions.date,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=["candidates"],
        kinds={"polars"},
        code_version="1",
        description="Fractional Kelly with caps; every clamp is recorded. Empty when nothing deserves capital.",
    )
    def allocations(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        days = sorted(date.fromisoformat(key) for key in context.partition_keys)
        hashes = []
        for day in days:
            candidates = workspace.results.read("candidates", date=day)
            allocation = size(workspace, open_cycle(workspace, day), candidates)
            hashes.append(store(workspace, day, allocation))
            metadata: dict[str, Any] = {
                "dagster/row_count": allocation.rows.height,
                "gross_weight": float(allocation.rows["weight"].abs().sum()) if allocation.rows.height else 0.0,
                "clamps": allocation.clamps.height,
                "report": dg.MetadataValue.path(str(report_path(workspace, day))),
            }
            if allocation.rows.height:
                metadata["allocations"] = preview(allocation.rows, rows=20)
            context.add_asset_metadata(metadata, partition_key=day.isoformat())
        return dg.MaterializeResult(data_version=data_version(hashes))

    @dg.asset_check(
        name="caps",
        asset="allocations",
        description="No play above the per-play cap, no sum above the gross cap, no missing number.",
    )
    def caps(context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        limits = workspace.project.loop.evaluation.allocation
        largest = gross = 0.0
        missing = 0
        for key in context.op_execution_context.partition_keys:
            weights = workspace.results.read("allocations", date=key)["weight"]
            usable = weights.fill_nan(None).drop_nulls()
            missing += weights.len() - usable.len()
            if usable.len():
                largest = max(largest, float(usable.abs().to_numpy().max()))
                gross = max(gross, float(usable.abs().sum()))
        return dg.AssetCheckResult(
            passed=not missing and largest <= limits.per_play_cap + 1e-9 and gross <= limits.gross_cap + 1e-9,
            metadata={
                "largest_weight": largest,
                "per_play_cap": limits.per_play_cap,
                "missing_weights": missing,
                "gross_weight": gross,
                "gross_cap": limits.gross_cap,
            },
            description=f"largest {largest:.4f} of {limits.per_play_cap}, gross {gross:.4f} of {limits.gross_cap}",
        )

    @dg.asset(
        name="cycle_report",
        group_name="monitoring",
        partitions_def=partitions.date,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[
            "rankings",
            "killed",
            "allocations",
            dg.AssetDep("option_report", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("date")),
        ],
        kinds={"html"},
        code_version="1",
        description="Ranking with reasons in words, equity, Monte Carlo fan, costs, regimes, options: one HTML file.",
    )
    def cycle_report_asset(
        context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.MaterializeResult:
        # In a range only the newest date is told: the others can be materialised one by one.
        day = max(date.fromisoformat(key) for key in context.partition_keys)
        path = write_report(workspace, open_cycle(workspace, day))
        killed = workspace.results.read("killed", date=day)
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.path(str(path)),
                "kill_reasons": counts(kill_counts(killed)),
            }
        )

    return [allocations, caps, cycle_report_asset]
