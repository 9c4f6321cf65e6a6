"""`landed_files`: what `argus import` brought into the lake, as an asset that can also run the import."""

from typing import Any

import dagster as dg
import polars as pl

from argus_core.market.importing import ImportReport, import_folder
from argus_core.market.lake import content_hash
from argus_dagster.metadata import counts, preview
from argus_dagster.workspace import Workspace


class ImportConfig(dg.Config):
    """Run config of the asset: the folder to import. Empty: only report what is landed."""

    path: str = ""


def report_metadata(report: ImportReport) -> dict[str, Any]:
    frame = report.to_frame()
    return {
        "files": frame.height,
        "rows_read": report.rows_read,
        "rows_landed": report.rows_landed,
        "quarantined": counts(report.quarantined),
        "preview": preview(frame, rows=20),
    }


def build() -> list[Any]:
    @dg.asset(
        name="landed_files",
        group_name="market",
        kinds={"parquet", "csv"},
        pool="provider_io",
        code_version="1",
        description="Files brought in by `argus import PATH` (or by this asset's `path`), row by row accounted for.",
    )
    def landed_files(
        context: dg.AssetExecutionContext, config: ImportConfig, workspace: dg.ResourceParam[Workspace]
    ) -> dg.MaterializeResult:
        if config.path:
            report = import_folder(config.path, workspace.lake, workspace.project, workspace.calendar)
            return dg.MaterializeResult(
                metadata=report_metadata(report), data_version=dg.DataVersion(content_hash(report.to_frame()))
            )
        landed = pl.DataFrame(list(workspace.lake.partitions("landing_bars")))
        context.log.info("no `path` in the run config: nothing imported, reporting what is landed")
        return dg.MaterializeResult(
            metadata={"series_periods": landed.height}, data_version=dg.DataVersion(content_hash(landed))
        )

    return [landed_files]
