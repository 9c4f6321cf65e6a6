"""Metadata that makes the UI worth opening: counts, schemas, previews, small plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from argus_core.reports import fan_sparkline, sparkline

PREVIEW_ROWS = 5


def column_schema(frame: pl.DataFrame) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(name, str(dtype)) for name, dtype in frame.schema.items()])


def preview(frame: pl.DataFrame, columns: Sequence[str] | None = None, rows: int = PREVIEW_ROWS) -> dg.MetadataValue:
    """The first rows of ``frame`` as a table that the UI draws inline."""
    shown = frame.select(columns) if columns else frame
    records = [dg.TableRecord({k: _cell(v) for k, v in row.items()}) for row in shown.head(rows).iter_rows(named=True)]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, _kind(dtype)) for name, dtype in shown.schema.items()])
    return dg.MetadataValue.table(records=records, schema=schema)


def plot(values: Sequence[float], *, kind: str = "line", label: str = "") -> dg.MetadataValue:
    """A small plot that the UI shows inline (an SVG data URI under 1,000 characters)."""
    return dg.MetadataValue.md(sparkline(values, kind=kind, label=label))


def fan(trade_returns: Sequence[float], *, block: float) -> dg.MetadataValue:
    """Resampled equity of a run's trades: 5 %, 50 % and 95 % of the paths, as in the report's fan."""
    import numpy as np

    from argus_core.reports.figures import resampled_equity

    paths = resampled_equity(np.asarray(trade_returns, dtype=np.float64), block=block, paths=500, seed=0)
    bands = np.quantile(paths, (0.05, 0.5, 0.95), axis=0)
    return dg.MetadataValue.md(fan_sparkline(bands.tolist(), label="equity fan, 5 50 95 % of paths"))


def bands(paths: Sequence[Sequence[float]], *, label: str) -> dg.MetadataValue:
    """Several curves over one axis, the middle one strong: bid, mid and ask of a smile, for instance."""
    return dg.MetadataValue.md(fan_sparkline(paths, label=label))


def counts(values: Mapping[str, int]) -> dg.MetadataValue:
    """Counts by name, largest first, as a table."""
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    return dg.MetadataValue.table(
        records=[dg.TableRecord({"name": name, "count": count}) for name, count in ordered],
        schema=dg.TableSchema(columns=[dg.TableColumn("name", "string"), dg.TableColumn("count", "int")]),
    )


def _cell(value: Any) -> str | float | int | bool | None:
    if value is None or isinstance(value, bool | int | str):
        return value
    return round(value, 6) if isinstance(value, float) else str(value)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "int"
    if dtype.is_float():
        return "float"
    return "bool" if dtype == pl.Boolean else "string"
