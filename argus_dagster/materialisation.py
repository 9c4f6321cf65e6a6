"""Run stages inside assets: every partition of the run, one result with metadata per partition."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from argus_core.market.lake import hash_of
from argus_dagster.metadata import column_schema, preview
from argus_dagster.partitions import date_symbol_key, days_by_symbol
from argus_dagster.stage import PartitionResult, Stage
from argus_dagster.workspace import Workspace

#: Reading a provider can fail for a while; everything after it is pure and is not retried.
IO_RETRIES = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL)

#: Adds metadata to one computed partition from its frame.
Describe = Callable[[Workspace, str, date, pl.DataFrame], Mapping[str, Any]]


def stage_asset(
    stage: Stage,
    partitions_def: dg.PartitionsDefinition,
    *,
    group: str,
    deps: Sequence[str | dg.AssetDep],
    description: str,
    kind: str = "polars",
    reads_provider: bool = False,
    describe: Describe | None = None,
) -> dg.AssetsDefinition:
    """The asset of one stage: named like its table, materialised on every partition of a run.

    Args:
        stage: what is computed.
        partitions_def: date x symbol, or date.
        group: asset group.
        deps: upstream assets.
        description: shown in the UI.
        kind: badge of the asset.
        reads_provider: it reads from outside, so it is retried and limited by the pool `provider_io`.
        describe: more metadata of a computed partition.
    """
    across_symbols = not isinstance(partitions_def, dg.MultiPartitionsDefinition)

    @dg.asset(
        name=stage.table,
        group_name=group,
        partitions_def=partitions_def,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=deps,
        kinds={kind},
        retry_policy=IO_RETRIES if reads_provider else None,
        pool="provider_io" if reads_provider else None,
        code_version="1",
        description=description,
    )
    def materialise(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        workspace.forget_landed()
        if across_symbols:
            return materialise_dates(context, workspace, stage, describe)
        return materialise_series(context, workspace, stage, describe)

    return materialise


def materialise_series(
    context: dg.AssetExecutionContext, workspace: Workspace, stage: Stage, describe: Describe | None = None
) -> dg.MaterializeResult:
    """Materialise a date x symbol stage on every partition of the run."""
    hashes: list[str] = []
    keys = own_keys(context)
    for symbol, days in days_by_symbol(context.partition_keys).items():
        results = stage.materialise(workspace, symbol, days)
        for day, result in results.items():
            metadata = _metadata(workspace, stage, symbol, day, result, describe)
            context.add_asset_metadata(metadata, partition_key=keys[date_symbol_key(day, symbol)])
            hashes.append(result.data_hash or result.status)
        _log(context, stage, symbol, results)
    return dg.MaterializeResult(data_version=data_version(hashes))


def materialise_dates(
    context: dg.AssetExecutionContext, workspace: Workspace, stage: Stage, describe: Describe | None = None
) -> dg.MaterializeResult:
    """Materialise a date stage on every partition of the run."""
    days = sorted(date.fromisoformat(key) for key in context.partition_keys)
    results = stage.materialise(workspace, "", days)
    for day, result in results.items():
        context.add_asset_metadata(
            _metadata(workspace, stage, "", day, result, describe), partition_key=day.isoformat()
        )
    _log(context, stage, "", results)
    hashes = [result.data_hash or result.status for result in results.values()]
    return dg.MaterializeResult(data_version=data_version(hashes))


def _metadata(
    workspace: Workspace, stage: Stage, symbol: str, day: date, result: PartitionResult, describe: Describe | None
) -> dict[str, Any]:
    found: dict[str, Any] = {"dagster/row_count": result.rows, "status": result.status}
    if result.status == "no_input":
        return found
    found["data_hash"] = result.data_hash
    if result.rows and result.status == "computed":
        frame = stage.read(workspace, symbol, [day])
        found["dagster/column_schema"] = column_schema(frame)
        found["preview"] = preview(frame)
        if describe:
            found |= describe(workspace, symbol, day, frame)
    return found


def own_keys(context: dg.AssetExecutionContext) -> dict[str, str]:
    """The run's own key object by its text: Dagster looks multi-partition metadata up by the object."""
    return {str(key): key for key in context.partition_keys}


def _log(context: dg.AssetExecutionContext, stage: Stage, symbol: str, results: Mapping[date, PartitionResult]) -> None:
    tally = {
        status: sum(r.status == status for r in results.values()) for status in ("computed", "unchanged", "no_input")
    }
    context.log.info(f"{stage.table} {symbol}: {tally}")


def data_version(hashes: Sequence[str]) -> dg.DataVersion:
    """Content version of a step: Dagster takes one, so on a range it covers the content of the whole range."""
    return dg.DataVersion(hashes[0] if len(hashes) == 1 else hash_of(hashes))
