"""What an import did, file by file: nothing is dropped without being counted here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

#: Reason codes of the importer. R: rows are not landed. F: the whole file is not read. W: warning, rows are landed.
IMPORT_REASONS: dict[str, str] = {
    "AMBIGUOUS_TIME": "R: local time that exists twice or never (clock change)",
    "BAD_TIMESTAMP": "R/F: timestamp absent or not readable",
    "BAD_VALUE": "R: a number that cannot be read",
    "DUPLICATE": "R: the same key twice in a file, or already supplied by a file that comes first",
    "FOREIGN_SCOPE": "R: volume scope that the settings do not accept for a series (an IEX day)",
    "MISSING_COLUMN": "F: a required column is absent",
    "MISSING_KEY": "R: symbol, contract, expiry, strike or right absent",
    "NOT_A_SESSION": "R: trade date that the calendar does not have",
    "OTHER_FEED": "R: the daily series already comes from a feed that the settings prefer",
    "REPAIRED": "W: rows that the vendor says it repaired",
    "SUSPECT_TIME_ZONE": "F: regular hours would fit far better some hours earlier or later",
    "UNADJUSTED_SPLIT": "W: an open near n or 1/n times the close before",
    "UNKNOWN_COLUMN": "W: columns that are not used",
    "UNKNOWN_FOLDER": "F: folder that the layout does not know",
    "UNKNOWN_TYPE": "F: neither Parquet nor CSV",
    "UNREADABLE": "F: the file cannot be opened",
}


@dataclass
class FileReport:
    """One file: what was read, what became of it. ``rows_read = rows_landed + sum(quarantined)``."""

    path: str
    kind: str = ""
    rows_read: int = 0
    rows_landed: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    error: str | None = None
    detail: str = ""
    notes: list[str] = field(default_factory=list)
    first_ts: datetime | None = None
    last_ts: datetime | None = None
    symbols: list[str] = field(default_factory=list)
    partitions_written: int = 0
    partitions_unchanged: int = 0

    @property
    def ok(self) -> bool:
        return self.error is None

    def fail(self, reason: str, detail: str) -> None:
        """Mark the whole file as not imported; what it holds counts as refused for ``reason``."""
        self.error, self.detail = reason, detail
        if self.rows_read:
            self.quarantined = Counter({reason: self.rows_read})
            self.rows_landed = 0


@dataclass
class ImportReport:
    """All files of one import, in path order, and how many partitions of the lake it changed."""

    files: list[FileReport] = field(default_factory=list)
    partitions_written: int = 0
    partitions_unchanged: int = 0

    @property
    def rows_read(self) -> int:
        return sum(f.rows_read for f in self.files)

    @property
    def rows_landed(self) -> int:
        return sum(f.rows_landed for f in self.files)

    @property
    def quarantined(self) -> dict[str, int]:
        """Refused rows per reason over all files, sorted by reason."""
        total: Counter[str] = Counter()
        for one in self.files:
            total.update(one.quarantined)
        return dict(sorted(total.items()))

    @property
    def errors(self) -> list[FileReport]:
        """Files that could not be imported at all (unknown text files beside the data are not errors)."""
        return [f for f in self.files if f.error is not None and f.error != "UNKNOWN_TYPE"]

    def file(self, path: str) -> FileReport:
        """The report of the file at ``path`` (relative to the imported folder).

        Raises:
            KeyError: if the import saw no such file.
        """
        for one in self.files:
            if one.path == path:
                return one
        raise KeyError(f"no file {path!r} in this import; seen: {', '.join(f.path for f in self.files)}")

    def to_frame(self) -> pl.DataFrame:
        """One row per file: path, kind, symbols, rows_read, rows_landed, rows_quarantined, reasons, warnings, error,
        detail, notes, first_ts, last_ts. Reasons and warnings read `CODE count, ...`."""

        def counted(counts: Counter[str]) -> str:
            return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))

        rows = [
            {
                "path": f.path,
                "kind": f.kind,
                "symbols": ", ".join(f.symbols),
                "rows_read": f.rows_read,
                "rows_landed": f.rows_landed,
                "rows_quarantined": sum(f.quarantined.values()),
                "reasons": counted(f.quarantined),
                "warnings": counted(f.warnings),
                "error": f.error,
                "detail": f.detail,
                "notes": "; ".join(f.notes),
                "first_ts": f.first_ts,
                "last_ts": f.last_ts,
            }
            for f in self.files
        ]
        text = ("path", "kind", "symbols", "reasons", "warnings", "error", "detail", "notes")
        schema = {
            name: pl.String if name in text else pl.Int64
            for name in (
                "path",
                "kind",
                "symbols",
                "rows_read",
                "rows_landed",
                "rows_quarantined",
                "reasons",
                "warnings",
                "error",
                "detail",
                "notes",
            )
        } | {"first_ts": pl.Datetime("us", "UTC"), "last_ts": pl.Datetime("us", "UTC")}
        return pl.DataFrame(rows, schema=schema)
