"""The quarantine: every refused row, kept in the lake with its reason, and counts over it."""

from __future__ import annotations

from datetime import date

import polars as pl

from argus_core.market.lake import Lake, Written
from argus_core.market.schemas import Quarantine, column_types, conform, empty

TABLE = "quarantine"
STAGES = ("import", "bars", "options")


def write_quarantine(
    lake: Lake, rows: pl.DataFrame, *, stage: str, provider: str, symbol: str, day: date | str, config_hash: str
) -> Written | None:
    """Replace the quarantine of one partition with ``rows``; without rows an earlier file is removed.

    Rewriting a partition replaces what its last run refused, so a rerun after a repair leaves nothing behind.

    Args:
        lake: where to write.
        rows: Quarantine rows in any order.
        stage: `import`, `bars` or `options`.
        provider: of the rows.
        symbol: symbol or underlying.
        day: the trade date; `all` for imports, whose files span many dates.
        config_hash: of the settings that judged the rows.

    Returns:
        what was written, or None where there was nothing to write.
    """
    if stage not in STAGES:
        raise ValueError(f"stage {stage!r} is unknown; use one of {', '.join(STAGES)}")
    keys = {"stage": stage, "provider": provider, "symbol": symbol, "date": day}
    if rows.is_empty():
        lake.delete(TABLE, **keys)
        return None
    ordered = conform(rows, Quarantine)
    ordered = ordered.sort("table", "symbol", "source", "ts", "reason", "detail")
    return lake.write(TABLE, ordered, keys=keys, config_hash=config_hash, producer=f"quarantine.{stage}")


def read_quarantine(
    lake: Lake,
    *,
    stage: str | None = None,
    provider: str | None = None,
    symbol: str | None = None,
    day: date | str | None = None,
) -> pl.DataFrame:
    """Quarantine rows of every partition that the given keys select, with the keys ``stage`` and ``date`` in front."""
    wanted = {"stage": stage, "provider": provider, "symbol": symbol, "date": None if day is None else str(day)}
    frames = [
        lake.read(TABLE, **keys).with_columns(pl.lit(keys["stage"]).alias("stage"), pl.lit(keys["date"]).alias("date"))
        for keys in lake.partitions(TABLE)
        if all(value is None or keys[name] == value for name, value in wanted.items())
    ]
    order = ["stage", "date", *column_types(Quarantine)]
    if not frames:
        return (
            empty(Quarantine)
            .with_columns(pl.lit(None, pl.String).alias("stage"), pl.lit(None, pl.String).alias("date"))
            .select(order)
        )
    return pl.concat(frames).select(order)


def count_quarantine(
    lake: Lake,
    *,
    stage: str | None = None,
    provider: str | None = None,
    symbol: str | None = None,
    day: date | str | None = None,
) -> pl.DataFrame:
    """Rows per stage, provider, symbol and reason: columns stage, provider, symbol, reason, rows; most rows first.

    The keys select partitions as in `read_quarantine`.
    """
    rows = read_quarantine(lake, stage=stage, provider=provider, symbol=symbol, day=day)
    by = ["stage", "provider", "symbol", "reason"]
    return rows.group_by(by).agg(pl.len().alias("rows")).sort("rows", *by, descending=[True] + [False] * len(by))
