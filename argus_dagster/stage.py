"""A stage: one lake table, computed partition by partition, skipped where its inputs have not changed.

An asset materialises its stage; the loop asks the same stage which partitions are due. So "is this up to date" has one
answer, and it lives in the footers of the lake's files: a partition is up to date when the hash of its inputs (config
and data hashes of everything it was computed from) equals the one in its footer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from argus_core.market.lake import hash_of
from argus_dagster.workspace import Workspace, contiguous

#: Hash of a partition's inputs; None where inputs are missing, so that the partition cannot be computed.
InputsHash = Callable[[Workspace, str, date], str | None]

#: Frames of the given sessions of one symbol; sessions without input are left out. ``symbol`` is "" in date stages.
Compute = Callable[[Workspace, str, Sequence[date]], Iterator[tuple[date, pl.DataFrame]]]

#: Lake keys of one partition.
Keys = Callable[[Workspace, str, date], Mapping[str, str | int | date]]


@dataclass(frozen=True)
class PartitionResult:
    """What happened to one partition."""

    status: Literal["computed", "unchanged", "no_input"]
    rows: int = 0
    data_hash: str = ""


@dataclass(frozen=True)
class Stage:
    """One table: where a partition lies, what its inputs are, how it is computed."""

    table: str
    keys: Keys
    config_hash: Callable[[Workspace], str]
    inputs_hash: InputsHash
    compute: Compute

    def due(self, workspace: Workspace, symbol: str, days: Sequence[date]) -> list[date]:
        """The days whose partition can be computed and is missing or rests on other inputs."""
        return [day for day in days if self._status(workspace, symbol, day)[0] == "due"]

    def materialise(self, workspace: Workspace, symbol: str, days: Sequence[date]) -> dict[date, PartitionResult]:
        """Compute what is due among ``days`` and write it; return the state of every day, in order."""
        results: dict[date, PartitionResult] = {}
        hashes: dict[date, str] = {}
        for day in days:
            status, inputs = self._status(workspace, symbol, day)
            if status == "due" and inputs is not None:
                hashes[day] = inputs
            elif status == "no_input":
                results[day] = PartitionResult("no_input")
            else:
                results[day] = self._stored(workspace, symbol, day)
        for first, last in contiguous(list(hashes), workspace.calendar):
            run = [day for day in hashes if first <= day <= last]
            for day, frame in self.compute(workspace, symbol, run):
                written = workspace.lake.write(
                    self.table,
                    frame,
                    keys=self.keys(workspace, symbol, day),
                    config_hash=self.config_hash(workspace),
                    producer=self.table,
                    inputs_hash=hashes[day],
                )
                results[day] = PartitionResult("computed", written.rows, written.data_hash)
                workspace.tell(self.table, symbol, day)
        return {day: results.get(day, PartitionResult("no_input")) for day in days}

    def read(self, workspace: Workspace, symbol: str, days: Sequence[date]) -> pl.DataFrame:
        return workspace.lake.read_many(self.table, [self.keys(workspace, symbol, day) for day in days])

    def _status(self, workspace: Workspace, symbol: str, day: date) -> tuple[str, str | None]:
        inputs = self.inputs_hash(workspace, symbol, day)
        if inputs is None:
            return "no_input", None
        stamp = workspace.lake.stamp(self.table, **self.keys(workspace, symbol, day))
        current = stamp is not None and stamp.inputs_hash == inputs
        return ("unchanged" if current else "due"), inputs

    def _stored(self, workspace: Workspace, symbol: str, day: date) -> PartitionResult:
        keys = self.keys(workspace, symbol, day)
        stamp = workspace.lake.stamp(self.table, **keys)
        if stamp is None:
            return PartitionResult("no_input")
        return PartitionResult("unchanged", workspace.lake.rows(self.table, **keys), stamp.data_hash)


def stamps_hash(workspace: Workspace, table: str, keys: Sequence[Mapping[str, str | int | date]], *more: str) -> str:
    """Hash over the data hashes of several partitions of ``table`` (missing ones included) and ``more``."""
    found = [workspace.lake.stamp(table, **dict(one)) for one in keys]
    return hash_of([*(stamp.data_hash if stamp else "-" for stamp in found), *more])


def by_symbol(workspace: Workspace, symbol: str, day: date) -> Mapping[str, str | int | date]:
    """Keys of a series table: provider, bar_seconds, symbol, date."""
    return workspace.series_keys(symbol, day)


def across_symbols(table: str) -> Keys:
    """Keys of a table across symbols: what it rests on, and the date."""

    def keys(workspace: Workspace, symbol: str, day: date) -> Mapping[str, str | int | date]:
        return {**workspace.project.market_state_keys(table), "date": day}

    return keys


def by_trade_date(rows: pl.DataFrame, bars: pl.DataFrame, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    """Split rows that are keyed by a bar's ``ts`` into the trade dates ``days`` of those bars."""
    dated = rows.join(bars.select("ts", "trade_date"), on="ts", how="left", maintain_order="left")
    for day in days:
        mine = dated.filter(pl.col("trade_date") == day).drop("trade_date")
        if mine.height:
            yield day, mine
