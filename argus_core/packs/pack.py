"""A sealed pack on disk: its manifest, its tables, its verification, its export."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from argus_core.market.lake import write_atomically

PACK_SCHEMA_VERSION: Literal["2"] = "2"
MANIFEST_NAME = "pack.json"
#: Tables of a pack, in the order in which they are hashed.
TABLES = (
    "bars",
    "outcomes",
    "regimes",
    "option_snapshots",
    "risk_flow",
    "market_risk",
    "model_regimes",
    "iv_features",
    "reference_bars",
)


class PackError(RuntimeError):
    """A pack cannot be sealed or opened. The message names the folder or the dates and the fix."""


class TableEntry(BaseModel):
    """One table of a pack: rows, and the SHA-256 of the file's bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    sha256: str


class ReferenceEntry(BaseModel):
    """Where the bars of one reference symbol come from, and the sessions of the window that lack them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    bar_seconds: int
    #: publication delay of its bars
    delay_seconds: int
    missing_sessions: tuple[date, ...]


class PackManifest(BaseModel):
    """Content of ``pack.json``. ``pack_hash`` covers every other field; no path and no clock are among them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal["2"] = PACK_SCHEMA_VERSION
    symbol: str
    start: date
    end: date
    sessions: tuple[date, ...]
    warmup_sessions: tuple[date, ...]
    missing_sessions: tuple[date, ...]
    #: table -> sessions with bars for which the lake held no partition of that table
    missing_partitions: dict[str, tuple[date, ...]]
    calendar: str
    bar_seconds: int
    bars_provider: str
    options_provider: str | None
    #: publication delay of the bars, which their outcomes share
    delay_seconds: int
    #: symbols whose bars the table reference_bars holds
    references: dict[str, ReferenceEntry]
    config_hash: str
    tables: dict[str, TableEntry]
    pack_hash: str = ""

    def computed_hash(self) -> str:
        """SHA-256 (32 hex digits) over every field but ``pack_hash``, as canonical JSON."""
        document = self.model_dump(mode="json", exclude={"pack_hash"})
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def as_bytes(self) -> bytes:
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=2) + "\n").encode()


@dataclass(frozen=True)
class Pack:
    """A sealed pack: ``folder`` holds ``pack.json`` and one Parquet file per table."""

    folder: Path
    manifest: PackManifest
    _read: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def pack_hash(self) -> str:
        return self.manifest.pack_hash

    @property
    def symbol(self) -> str:
        return self.manifest.symbol

    @property
    def last_date(self) -> date:
        """Last session of the window that has bars."""
        return self.manifest.sessions[-1]

    def table(self, name: str) -> pl.DataFrame:
        """One table, read once per pack; an empty frame where the pack holds none.

        Raises:
            KeyError: if ``name`` is not a table of packs.
        """
        if name not in TABLES:
            raise KeyError(f"{name!r} is not a table of a pack; tables: {', '.join(TABLES)}")
        if name not in self._read:
            path = self.folder / f"{name}.parquet"
            self._read[name] = pl.read_parquet(path) if name in self.manifest.tables else pl.DataFrame()
        return self._read[name]


def open_pack(folder: str | Path) -> Pack:
    """Open a pack and verify it: manifest hash, and hash and row count of every table.

    Raises:
        PackError: if the folder is no pack or a hash differs.
    """
    place = Path(folder)
    path = place / MANIFEST_NAME
    if not path.is_file():
        raise PackError(f"{place}: no {MANIFEST_NAME} here. Give the folder of a sealed pack, or seal one first.")
    try:
        manifest = PackManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise PackError(f"{path}: not a manifest of schema {PACK_SCHEMA_VERSION}: {error}. Seal it again.") from None
    if manifest.computed_hash() != manifest.pack_hash:
        raise PackError(
            f"{path}: pack_hash is {manifest.pack_hash} but the manifest hashes to {manifest.computed_hash()}. "
            "The file was edited; seal the pack again."
        )
    pack = Pack(place, manifest)
    for name, entry in manifest.tables.items():
        file = place / f"{name}.parquet"
        if not file.is_file():
            raise PackError(f"{file}: missing, but the manifest lists {entry.rows} rows. Seal the pack again.")
        content = file.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != entry.sha256:
            raise PackError(f"{file}: SHA-256 is {found}, the manifest says {entry.sha256}. Seal the pack again.")
        pack._read[name] = pl.read_parquet(io.BytesIO(content))
    return pack


def export_json(pack: Pack, path: str | Path) -> Path:
    """Write the whole pack as one JSON document for other tools: ``{"manifest": ..., "<table>": [row, ...]}``.

    Timestamps are ISO 8601 in UTC, dates ISO 8601, missing values null.
    """
    parts = [f'"manifest": {json.dumps(pack.manifest.model_dump(mode="json"), sort_keys=True)}']
    for name in pack.manifest.tables:
        frame = pack.table(name)
        stamps = [c for c, t in frame.schema.items() if isinstance(t, pl.Datetime)]
        text = frame.with_columns(pl.col(stamps).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
        parts.append(f'"{name}": {text.write_json()}')
    target = Path(path)
    write_atomically(target, ("{" + ",\n".join(parts) + "}\n").encode())
    return target
