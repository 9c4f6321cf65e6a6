"""Run stages inside assets: every partition of the run, one result with metadata per partition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from argus_core.market.lake import hash_of
from argus_dagster.metadata import column_schema, preview
from argus_dagster.partitions import date_symbol_key, days_by_symbol
from argus_dagster.stage import PartitionResult, Stage
from argus_dagster.workspace import Workspace

#: Adds metadata to one computed partition from its frame.
Describe = Callable[[Workspace, str, date, pl.DataFrame], Mapping[str, Any]]


def materialise_series(
    context: dg.AssetExecutionContext, workspace: Workspace, stage: Stage, describe: Describe | None = None
) -> dg.MaterializeResult:
    """Materialise a date x symbol stage on every partition of the run."""
    workspace.forget_landed()
    hashes: list[str] = []
    for symbol, days in days_by_symbol(context.partition_keys).items():
        results = stage.materialise(workspace, symbol, days)
        for day, result in results.items():
            key = date_symbol_key(day, symbol)
            context.add_asset_metadata(
                _metadata(workspace, stage, symbol, day, result, describe), partition_key=_matching(context, key)
            )
            hashes.append(result.data_hash or result.status)
        _log(context, stage, symbol, results)
    return _result(hashes)


def materialise_dates(
    context: dg.AssetExecutionContext, workspace: Workspace, stage: Stage, describe: Describe | None = None
) -> dg.MaterializeResult:
    """Materialise a date stage on every partition of the run."""
    workspace.forget_landed()
    days = sorted(date.fromisoformat(key) for key in context.partition_keys)
    results = stage.materialise(workspace, "", days)
    for day, result in results.items():
        context.add_asset_metadata(
            _metadata(workspace, stage, "", day, result, describe), partition_key=day.isoformat()
        )
    _log(context, stage, "", results)
    return _result([result.data_hash or result.status for result in results.values()])


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


def _matching(context: dg.AssetExecutionContext, key: str) -> str:
    """The run's own key object for ``key``: Dagster looks multi-partition metadata up by it."""
    return next(own for own in context.partition_keys if str(own) == key)


def _log(context: dg.AssetExecutionContext, stage: Stage, symbol: str, results: Mapping[date, PartitionResult]) -> None:
    tally = {
        status: sum(r.status == status for r in results.values()) for status in ("computed", "unchanged", "no_input")
    }
    context.log.info(f"{stage.table} {symbol}: {tally}")


def _result(hashes: list[str]) -> dg.MaterializeResult:
    # Dagster takes one data version per step; on a range it covers the content of the whole range.
    version = hashes[0] if len(hashes) == 1 else hash_of(hashes)
    return dg.MaterializeResult(data_version=dg.DataVersion(version))
