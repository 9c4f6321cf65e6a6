"""`calibration`: how often the whole loop promotes luck, and how often it finds an edge of a stated size."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from argus_dagster.metadata import plot, preview
from argus_dagster.workspace import Workspace

if TYPE_CHECKING:
    from argus_core.settings.calibration import CalibrationSettings

SHOWN_NULL = ("source", "cycles", "promoting", "rate", "low", "high", "joint_rate")
SHOWN_GATES = ("sharpe", "gate", "alone", "without", "power", "cost")
SHOWN_POWER = ("sharpe", "cycles", "power", "low", "high", "joint", "joint_and_dsr", "limit_sweep", "limit_one")


def study(
    workspace: Workspace,
    settings: "CalibrationSettings",
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[pl.DataFrame, dict[str, Any], Path | None]:
    """Run a study and keep it: (cycles, summary, path of the report or None without plotly)."""
    from argus_core.calibration import calibrate, summarise
    from argus_core.reports.calibration import calibration_report
    from argus_core.reports.figures import MissingPlotlyError

    cycles = calibrate(workspace.project, settings, workers=workers, progress=progress)
    summary = summarise(cycles)
    workspace.results.write("calibration", cycles, keys={}, config_hash=settings.config_hash, producer="calibration")
    path = workspace.project.resolve(settings.output_dir) / "calibration.html"
    try:
        return cycles, summary, calibration_report(path, cycles, summary)
    except MissingPlotlyError:
        return cycles, summary, None


def build() -> list[Any]:
    @dg.asset(
        name="calibration",
        group_name="monitoring",
        kinds={"jax"},
        pool="kernels",
        code_version="1",
        description="The loop on null and planted markets: false promotion rate and power, beside what is possible.",
    )
    def calibration(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        settings = workspace.project.loop.calibration
        cycles, summary, report = study(
            workspace, settings, progress=lambda done, total: context.log.info(f"{done} of {total} markets")
        )
        metadata: dict[str, Any] = {
            "dagster/row_count": cycles.height,
            "null_markets": preview(pl.DataFrame(summary["null"]), SHOWN_NULL, rows=10),
            "null_joint_p": plot(
                cycles.filter(pl.col("true_sharpe") == 0)["joint_p"].to_list(), kind="histogram", label="null joint p"
            ),
        }
        if summary["power"]:
            metadata["power"] = preview(pl.DataFrame(summary["power"]), SHOWN_POWER, rows=20)
            metadata["power_curve"] = plot(
                [row["power"] for row in summary["power"]], kind="bar", label="power by Sharpe"
            )
        if summary["gates"]:
            metadata["gate_costs"] = preview(pl.DataFrame(summary["gates"]), SHOWN_GATES, rows=60)
        if report is not None:
            metadata["report"] = dg.MetadataValue.path(str(report))
        return dg.MaterializeResult(metadata=metadata)

    @dg.asset_check(
        name="false_promotions",
        asset="calibration",
        description="The 95 % interval of the false promotion rate of null markets does not lie above 5 %.",
    )
    def false_promotions(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        from argus_core.calibration import summarise

        everything = summarise(workspace.results.read("calibration"))["null"][-1]
        return dg.AssetCheckResult(
            passed=everything["low"] <= 0.05,
            metadata={name: everything[name] for name in ("cycles", "promoting", "low", "high")},
            description=f"{everything['promoting']} of {everything['cycles']} null cycles promoted anything",
        )

    return [calibration, false_promotions]
