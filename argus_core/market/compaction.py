"""Compaction: closed months of a daily table as one file each, in a table of their own.

The lake reads partitions by their explicit path and DuckDB reads every file of a table, so a month's file cannot lie
beside its days without being read twice. `<table>_monthly` is therefore a derived table for SQL and scans: the same
rows, a twentieth of the files. Days stay the truth; a month whose days changed is written anew.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from argus_core.market.lake import Lake, LakeError, hash_of


@dataclass(frozen=True)
class Compaction:
    """Result of compacting one table: months written and months that had not changed."""

    table: str
    written: int
    unchanged: int


def compact_table(lake: Lake, table: str, *, before: date) -> Compaction:
    """Merge the daily partitions of every month that ended before ``before`` into ``<table>_monthly``.

    Keys are those of ``table`` with ``month`` (`YYYY-MM`) in the place of ``date``; rows keep the order of their days.
    The inputs hash covers the data hashes of the days, so an unchanged month is recognised without reading its rows.

    Args:
        lake: the lake.
        table: a table whose last key is `date`.
        before: a month is closed when its last day lies before this date.

    Raises:
        LakeError: if ``table`` is not partitioned by date.
    """
    months: dict[tuple[tuple[str, str], ...], list[dict[str, str]]] = defaultdict(list)
    for keys in lake.partitions(table):
        if list(keys)[-1:] != ["date"]:
            raise LakeError(f"{table}: its last key is {list(keys)[-1]!r}, not date; only daily tables are compacted.")
        if keys["date"][:7] < f"{before:%Y-%m}":
            group = tuple((name, value) for name, value in keys.items() if name != "date")
            months[*group, ("month", keys["date"][:7])].append(keys)
    written = unchanged = 0
    for group, days in sorted(months.items()):
        days.sort(key=lambda keys: keys["date"])
        stamps = [lake.stamp(table, **keys) for keys in days]
        inputs = hash_of([f"{d['date']}:{s.data_hash if s else ''}" for d, s in zip(days, stamps, strict=True)])
        known = lake.stamp(f"{table}_monthly", **dict(group))
        if known is not None and known.inputs_hash == inputs:
            unchanged += 1
            continue
        frame = lake.read_many(table, days)
        lake.write(
            f"{table}_monthly",
            frame,
            keys=dict(group),
            config_hash=stamps[-1].config_hash if stamps[-1] else "",
            producer="compaction",
            inputs_hash=inputs,
        )
        written += 1
    return Compaction(table, written, unchanged)
