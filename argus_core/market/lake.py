"""The lake: Parquet files under hive-style folders, written atomically; DuckDB asks across them.

Layout: ``<root>/<table>/<key>=<value>/.../part.parquet``. One writer per file, so any number of processes may write
different partitions at once. Every file's footer carries schema version, config hash, data hash and producer.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from upath import UPath

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = "1"
ENGINE_VERSION = "argus-0.1.0"
_FOOTER_PREFIX = "argus."

KeyValue = str | int | date


class LakeError(RuntimeError):
    """A file of the lake is missing or cannot be read. The message names the path and the fix."""


@dataclass(frozen=True)
class Stamp:
    """What the footer of a lake file says about its content."""

    config_hash: str
    data_hash: str
    producer: str
    schema_version: str = SCHEMA_VERSION
    inputs_hash: str = ""

    def as_footer(self) -> dict[str, str]:
        return {f"{_FOOTER_PREFIX}{name}": value for name, value in self.__dict__.items()}


@dataclass(frozen=True)
class Written:
    """Result of one write: where, how many rows, and the hash of their content."""

    path: str
    rows: int
    data_hash: str
    changed: bool


def content_hash(frame: pl.DataFrame) -> str:
    """SHA-256 (32 hex digits) over names, types and values of ``frame``; chunks and file format do not matter."""
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name].rechunk()
        digest.update(f"{name}:{column.dtype}:{len(column)};".encode())
        nulls = column.is_null()
        if nulls.any():
            digest.update(np.packbits(nulls.to_numpy()).tobytes())
        if column.dtype.is_numeric() or column.dtype.is_temporal() or column.dtype == pl.Boolean:
            physical = column.to_physical()
            filled = physical.fill_null(False) if physical.dtype == pl.Boolean else physical.fill_null(0)
            digest.update(np.ascontiguousarray(filled.to_numpy()).tobytes())
        elif column.dtype == pl.String:
            digest.update("\x1f".join(column.fill_null("").to_list()).encode())
        else:
            digest.update(repr(column.to_list()).encode())
    return digest.hexdigest()[:32]


def write_atomically(path: Path | UPath, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either the old or the new bytes, also after a crash."""
    if isinstance(path, UPath) and path.protocol not in ("", "file", "local"):
        path.write_bytes(content)  # an object store replaces whole objects
        return
    target = Path(str(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def parquet_bytes(frame: pl.DataFrame, stamp: Stamp) -> bytes:
    """``frame`` as Parquet (zstd, statistics) with ``stamp`` in the footer. Same input, same bytes."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer, compression="zstd", statistics=True, metadata=stamp.as_footer())
    return buffer.getvalue()


class Lake:
    """Reads and writes tables under one root (a path, or an fsspec URL)."""

    def __init__(self, root: str | Path) -> None:
        self.root = UPath(root)

    def path(self, table: str, **keys: KeyValue) -> UPath:
        """File of one partition; the order of ``keys`` is the order of the folders."""
        return self.root.joinpath(table, *(f"{name}={value}" for name, value in keys.items()), "part.parquet")

    def write(
        self,
        table: str,
        frame: pl.DataFrame,
        *,
        keys: Mapping[str, KeyValue],
        config_hash: str,
        producer: str,
        inputs_hash: str = "",
    ) -> Written:
        """Write one partition atomically; an unchanged partition is left as it is."""
        data_hash = content_hash(frame)
        stamp = Stamp(config_hash, data_hash, f"{producer}@{ENGINE_VERSION}", inputs_hash=inputs_hash)
        path = self.path(table, **keys)
        if self._read_stamp(path) == stamp:
            return Written(str(path), frame.height, data_hash, changed=False)
        write_atomically(path, parquet_bytes(frame, stamp))
        return Written(str(path), frame.height, data_hash, changed=True)

    def stamp(self, table: str, **keys: KeyValue) -> Stamp | None:
        """Footer of one partition, or None where it does not exist."""
        return self._read_stamp(self.path(table, **keys))

    def rows(self, table: str, **keys: KeyValue) -> int:
        """Number of rows of one partition; 0 where it does not exist."""
        path = self.path(table, **keys)
        return pl.scan_parquet(str(path)).select(pl.len()).collect().item() if path.is_file() else 0

    def exists(self, table: str, **keys: KeyValue) -> bool:
        return self.path(table, **keys).is_file()

    def read(self, table: str, **keys: KeyValue) -> pl.DataFrame:
        """Read one partition.

        Raises:
            LakeError: if it does not exist.
        """
        path = self.path(table, **keys)
        if not path.is_file():
            where = ", ".join(f"{name}={value}" for name, value in keys.items())
            raise LakeError(f"{table} ({where}): no file at {path}. Materialise this partition first.")
        return pl.read_parquet(io.BytesIO(path.read_bytes()))

    def read_many(
        self, table: str, keys: Iterable[Mapping[str, KeyValue]], *, schema: pl.Schema | None = None
    ) -> pl.DataFrame:
        """Read several partitions, in the given order, into one frame; missing ones are left out.

        Returns an empty frame of ``schema`` (or without columns) where none exists.
        """
        frames = [
            pl.read_parquet(io.BytesIO(path.read_bytes()))
            for path in (self.path(table, **dict(one)) for one in keys)
            if path.is_file()
        ]
        if not frames:
            return pl.DataFrame(schema=schema)
        return pl.concat(frames, how="diagonal").rechunk()

    def partitions(self, table: str) -> Iterator[dict[str, str]]:
        """Keys of every partition of ``table``, sorted by path."""
        base = self.root / table
        if not base.exists():
            return
        for path in sorted(base.glob("**/part.parquet"), key=str):
            inside = str(path)[len(str(base)) :].strip("/").split("/")[:-1]
            yield dict(part.split("=", 1) for part in inside)

    def delete(self, table: str, **keys: KeyValue) -> None:
        self.path(table, **keys).unlink(missing_ok=True)

    def tables(self) -> list[str]:
        if not self.root.exists():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and re.fullmatch(r"[a-z][a-z0-9_]*", p.name))

    def connect(self, *others: Lake) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB connection with one view per table of this lake and of ``others``."""
        import duckdb

        connection = duckdb.connect(":memory:")
        connection.execute("SET TimeZone='UTC'")
        for lake, table in ((one, table) for one in (self, *others) for table in one.tables()):
            glob = f"{lake.root}/{table}/**/part.parquet"
            if next(iter(lake.partitions(table)), None) is None:
                continue
            connection.execute(
                f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet("
                f"'{glob}', hive_partitioning=true, union_by_name=true)"
            )
        return connection

    def _read_stamp(self, path: UPath) -> Stamp | None:
        if not path.is_file():
            return None
        local = path.protocol in ("", "file", "local")
        footer = pl.read_parquet_metadata(str(path) if local else io.BytesIO(path.read_bytes()))
        found = {k.removeprefix(_FOOTER_PREFIX): v for k, v in footer.items() if k.startswith(_FOOTER_PREFIX)}
        return Stamp(**found) if "data_hash" in found else None


def hash_of(parts: Sequence[str]) -> str:
    """32 hex digits over several hashes, order kept: the inputs hash of a derived partition."""
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
