"""`option_snapshots`: option chains as received, gated; date x underlying."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from argus_core.market.gates import gate_option_quotes
from argus_core.market.lake import content_hash, hash_of
from argus_core.market.quarantine import write_quarantine
from argus_dagster.materialisation import stage_asset
from argus_dagster.partitions import Partitions
from argus_dagster.stage import Stage
from argus_dagster.workspace import Workspace

#: Verdicts of the option gates, one file per partition.
REPORTS = "option_gate_reports"


def snapshot_keys(workspace: Workspace, symbol: str, day: date) -> Mapping[str, str | int | date]:
    return {"provider": workspace.project.options_provider, "underlying": symbol, "date": day}


def _inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    if not workspace.instrument(symbol).options:
        return None
    source = workspace.source(workspace.project.options_provider)
    fingerprint = source.option_fingerprint(symbol, day)
    if not fingerprint:
        return None
    inputs = _gated_inputs(workspace, symbol, fingerprint)
    judged = workspace.lake.stamp(REPORTS, **snapshot_keys(workspace, symbol, day))
    if judged is not None and judged.inputs_hash == inputs and not _passed(workspace, symbol, day):
        return None
    return inputs


def _gated_inputs(workspace: Workspace, symbol: str, fingerprint: str) -> str:
    return hash_of([fingerprint, workspace.project.platform.gates.config_hash, workspace.series_hash(symbol)])


def _passed(workspace: Workspace, symbol: str, day: date) -> bool:
    report = workspace.lake.read(REPORTS, **snapshot_keys(workspace, symbol, day))
    return report.filter(pl.col("blocking") & ~pl.col("passed")).is_empty()


def _gated(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    provider = workspace.project.options_provider
    for day in days:
        raw = workspace.source(provider).option_quotes(symbol, day)
        if raw.is_empty():
            continue
        before = [snapshot_keys(workspace, symbol, d) for d in workspace.calendar.last_sessions(day, 3) if d < day]
        report = gate_option_quotes(
            raw,
            day,
            workspace.calendar,
            workspace.project.platform.gates,
            instrument=workspace.instrument(symbol),
            recent=workspace.lake.read_many("option_snapshots", before, schema=raw.schema),
        )
        fingerprint = workspace.source(provider).option_fingerprint(symbol, day)
        workspace.lake.write(
            REPORTS,
            report.checks_frame(),
            keys=snapshot_keys(workspace, symbol, day),
            config_hash=workspace.project.platform.gates.config_hash,
            producer="option_snapshots",
            inputs_hash=_gated_inputs(workspace, symbol, fingerprint),
        )
        write_quarantine(
            workspace.lake,
            report.quarantined,
            stage="options",
            provider=provider,
            symbol=symbol,
            day=day,
            config_hash=workspace.project.platform.gates.config_hash,
        )
        if report.passed:
            yield day, report.published


OPTION_SNAPSHOTS = Stage(
    table="option_snapshots",
    keys=snapshot_keys,
    config_hash=lambda workspace: workspace.project.platform.gates.config_hash,
    inputs_hash=_inputs,
    compute=_gated,
)


def _describe(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    return {
        "snapshots": frame["recv_ts"].n_unique(),
        "contracts": frame["contract"].n_unique(),
        "expiries": frame["expiry"].n_unique(),
        "content_hash": content_hash(frame),
    }


def build(partitions: Partitions) -> list[Any]:
    return [
        stage_asset(
            OPTION_SNAPSHOTS,
            partitions.market,
            group="market",
            deps=["landed_files"],
            kind="parquet",
            reads_provider=True,
            description="Option chains as received (gate on `recv_ts`); empty for instruments without `options: true`.",
            describe=_describe,
        )
    ]
