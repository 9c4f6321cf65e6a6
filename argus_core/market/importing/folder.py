"""Import a whole folder: every file is read, judged, landed and reported; a broken file never stops the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.importing.landing import Landed, land_bars, land_options
from argus_core.market.importing.layout import Place, place_of, rank_of
from argus_core.market.importing.reading import count_refused, parse_bars, parse_options, read_table
from argus_core.market.importing.report import FileReport, ImportReport
from argus_core.market.lake import Lake, LakeError
from argus_core.market.quarantine import TABLE as QUARANTINE
from argus_core.market.quarantine import write_quarantine
from argus_core.market.schemas import Quarantine, conform, empty
from argus_core.settings import Project

Progress = Callable[[int, int, str], None]

#: Quarantine partition of what belongs to no symbol: files that could not be read at all.
NO_SYMBOL = "_file"
_PROVIDER = "files"


def import_folder(
    path: str | Path,
    lake: Lake,
    project: Project,
    calendar: TradingCalendar,
    *,
    progress: Progress | None = None,
) -> ImportReport:
    """Land every Parquet and CSV file below ``path`` (layout: docs/importing.md).

    Idempotent: importing the same files again changes no partition. The order of imports does not matter either,
    since feeds and paths, not arrival, decide between rows with one key.

    Args:
        path: the folder.
        lake: receives `landing_bars`, `landing_options` and the import stage of `quarantine`.
        project: settings of the provider `files`, of the gates, and the universe.
        calendar: trade dates and session opens.
        progress: called with files done, files in all, and the path about to be read.

    Raises:
        LakeError: if ``path`` is no folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise LakeError(f"{root}: no such folder. Give a folder in the layout of docs/importing.md.")
    files = project.platform.providers.files
    report = ImportReport()
    refused: list[pl.DataFrame] = []
    found = sorted(p for p in root.rglob("*") if p.is_file() and not p.name.startswith("."))
    names = {p: p.relative_to(root).as_posix() for p in found}

    def preference(one: Path) -> tuple[int, str]:
        place = place_of(one.parent.name)
        seconds = place.bar_seconds if place else 0
        return rank_of(names[one], daily_feeds=files.daily_feeds, bar_seconds=seconds), names[one]

    for done, one in enumerate(sorted(found, key=preference)):
        if progress is not None:
            progress(done, len(found), names[one])
        result, rows = _import_file(one, names[one], lake, project, calendar)
        report.files.append(result)
        refused.extend(rows)
        report.partitions_written += result.partitions_written
        report.partitions_unchanged += result.partitions_unchanged
    report.files.sort(key=lambda f: f.path)
    _write_refused(lake, refused, set(names.values()), files.config_hash)
    if progress is not None:
        progress(len(found), len(found), "")
    return report


def _import_file(
    path: Path, name: str, lake: Lake, project: Project, calendar: TradingCalendar
) -> tuple[FileReport, list[pl.DataFrame]]:
    """Read and land one file; its report and its quarantine rows."""
    report = FileReport(name)
    place = place_of(path.parent.name)
    if path.suffix not in (".parquet", ".csv"):
        report.fail("UNKNOWN_TYPE", f"only .parquet and .csv are read, not {path.suffix or 'a file without suffix'}")
        return report, []
    if place is None:
        read_table(path, report)
        if report.ok:
            report.fail("UNKNOWN_FOLDER", f"folder {path.parent.name!r} is not in the layout of docs/importing.md")
        return report, [_whole_file(report)]
    frame = read_table(path, report)
    if frame is None:
        return report, [_whole_file(report)]
    return _land(frame, place, report, lake, project, calendar)


def _land(
    frame: pl.DataFrame, place: Place, report: FileReport, lake: Lake, project: Project, calendar: TradingCalendar
) -> tuple[FileReport, list[pl.DataFrame]]:
    files = project.platform.providers.files
    fixings = place.folder == "fx_1d" and {"pair", "rate"} <= set(frame.columns)
    report.kind = kind = "fixings" if fixings else place.kind
    options = kind in ("option_quotes", "option_eod")
    if options:
        parsed = parse_options(
            frame, kind, report, calendar=calendar, files=files, instruments=project.universe.instruments
        )
    else:
        parsed = parse_bars(frame, place, kind, report, calendar=calendar, files=files, gates=project.platform.gates)
    if parsed is None:
        return report, [_whole_file(report)]
    count_refused(parsed, report)
    symbol = "underlying" if options else "symbol"
    report.symbols = parsed.rows[symbol].unique().sort().to_list()
    landed = (land_options if options else land_bars)(lake, parsed.rows, report.path, files)
    report.rows_landed = landed.rows
    report.quarantined.update(landed.refused_of(report.path))
    report.partitions_written, report.partitions_unchanged = landed.written, landed.unchanged
    table = "landing_options" if options else "landing_bars"
    return report, [*_single_rows(parsed.refused, table, symbol), *_lost_rows(landed, table)]


def _single_rows(refused: pl.DataFrame, table: str, symbol: str) -> list[pl.DataFrame]:
    """One quarantine row per refused row."""
    if refused.is_empty():
        return []
    detail = (
        pl.format("volume scope {}, volume {}", "volume_scope", pl.col("volume").cast(pl.String).fill_null("null"))
        if table == "landing_bars"
        else pl.format(
            "{} strike {}",
            pl.col("contract").fill_null("null"),
            pl.col("strike").cast(pl.String).fill_null("null"),
        )
    )
    named = refused.with_columns(
        pl.lit(table).alias("table"),
        pl.lit(_PROVIDER).alias("provider"),
        pl.col(symbol).fill_null(NO_SYMBOL).alias("symbol"),
        detail.alias("detail"),
    )
    return [conform(named, Quarantine)]


def _lost_rows(landed: Landed, table: str) -> list[pl.DataFrame]:
    """One quarantine row per symbol, source and reason for rows that another file or feed supplies."""
    rows = [
        {
            "table": table,
            "provider": _PROVIDER,
            "symbol": symbol,
            "ts": None,
            "reason": reason,
            "detail": f"{part.height} rows from {part['ts'].min()} to {part['ts'].max()}",
            "source": source,
        }
        for symbol, source, reason, part in landed.lost
    ]
    return [pl.DataFrame(rows, schema=empty(Quarantine).schema)] if rows else []


def _whole_file(report: FileReport) -> pl.DataFrame:
    row = {
        "table": "landing_bars" if "option" not in report.path else "landing_options",
        "provider": _PROVIDER,
        "symbol": NO_SYMBOL,
        "ts": None,
        "reason": report.error,
        "detail": f"{report.rows_read} rows: {report.detail}",
        "source": report.path,
    }
    return pl.DataFrame([row], schema=empty(Quarantine).schema)


def _write_refused(lake: Lake, refused: list[pl.DataFrame], sources: set[str], config_hash: str) -> None:
    """Replace what earlier imports said about ``sources`` in the import stage of the quarantine."""
    new = pl.concat([empty(Quarantine), *refused])
    folder = lake.root / QUARANTINE / "stage=import" / f"provider={_PROVIDER}"
    known = {p.name.partition("=")[2] for p in folder.iterdir()} if folder.is_dir() else set()
    for symbol in sorted(known | set(new["symbol"].to_list())):
        keys = {"stage": "import", "provider": _PROVIDER, "symbol": symbol, "date": "all"}
        old = lake.read(QUARANTINE, **keys) if lake.exists(QUARANTINE, **keys) else empty(Quarantine)
        kept = old.filter(~pl.col("source").is_in(sorted(sources)))
        rows = pl.concat([kept, new.filter(pl.col("symbol") == symbol)])
        # A source that lost rows to this import is not in it: its old line about the same rows gives way.
        rows = rows.with_row_index("_n").unique(["symbol", "source", "reason", "ts", "detail"], keep="last").sort("_n")
        write_quarantine(
            lake,
            rows.drop("_n"),
            stage="import",
            provider=_PROVIDER,
            symbol=symbol,
            day="all",
            config_hash=config_hash,
        )
