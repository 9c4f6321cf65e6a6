"""`option_report`: what the options of an underlying say on a date, in one HTML file; date x underlying."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from argus_dagster.assets.option_tables import option_settings, read_options
from argus_dagster.materialisation import own_keys
from argus_dagster.partitions import Partitions, date_symbol_key, days_by_symbol
from argus_dagster.workspace import Workspace

if TYPE_CHECKING:
    from argus_core.reports.option_day import OptionDay

#: Names of the page's tables and the lake's tables that hold them.
TABLES = {
    "forwards": "forwards",
    "implied_vols": "implied_vols",
    "slices": "iv_surface",
    "fits": "heston_params",
    "anomalies": "iv_anomalies",
    "pop": "pop",
}


def page_path(workspace: Workspace, symbol: str, day: date) -> Path:
    """Where the page lies: beside the cycle reports."""
    folder = workspace.project.resolve(workspace.project.loop.evaluation.report_output_dir)
    return folder / f"options_{symbol}_{day}.html"


def write_page(workspace: Workspace, symbol: str, day: date) -> Path:
    """Write the page of an underlying on a date from its stored tables; what is not stored, it says."""
    from argus_core.reports.options import option_report

    return option_report(
        page_path(workspace, symbol, day),
        underlying=symbol,
        date=day,
        **{name: read_options(workspace, table, symbol, [day]) for name, table in TABLES.items()},
        settings=option_settings(workspace).profit,
        commission=workspace.project.platform.execution.commission_per_contract,
        multiplier=workspace.instrument(symbol).contract_size,
    )


def option_days(workspace: Workspace, day: date) -> tuple[list["OptionDay"], list[str | None]]:
    """For the cycle report: the tables of every traded underlying with options, and the name of its page, if any."""
    from argus_core.reports.option_day import OptionDay

    days: list[OptionDay] = []
    pages: list[str | None] = []
    for symbol in workspace.symbols:
        if not workspace.instrument(symbol).options:
            continue
        tables = {name: read_options(workspace, table, symbol, [day]) for name, table in TABLES.items()}
        path = page_path(workspace, symbol, day)
        days.append(OptionDay.of(symbol, day, **tables))
        pages.append(path.name if path.exists() else None)
    return days, pages


def build(partitions: Partitions) -> list[Any]:
    @dg.asset(
        name="option_report",
        group_name="options",
        partitions_def=partitions.market,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=["forwards", "implied_vols", "iv_surface", "heston_params", "iv_anomalies", "pop"],
        kinds={"html"},
        code_version="1",
        description="Candidates with three opinions, anomalies, smiles, surface, Heston: one HTML file per underlying.",
    )
    def option_report_asset(
        context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.MaterializeResult:
        # As with `cycle_report`: in a range only the newest date of an underlying is told.
        keys = own_keys(context)
        written: list[str] = []
        for symbol, days in days_by_symbol(context.partition_keys).items():
            if not workspace.instrument(symbol).options:
                continue
            path = write_page(workspace, symbol, days[-1])
            written.append(str(path))
            context.add_asset_metadata(
                {"report": dg.MetadataValue.path(str(path))}, partition_key=keys[date_symbol_key(days[-1], symbol)]
            )
        return dg.MaterializeResult(metadata={"pages": len(written)})

    return [option_report_asset]
