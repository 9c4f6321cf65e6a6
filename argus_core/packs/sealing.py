"""Seal a pack: copy one symbol's window out of the lake into a folder that names its own content."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.lake import Lake, Stamp, content_hash, parquet_bytes
from argus_core.market.schemas import Bars
from argus_core.packs.pack import MANIFEST_NAME, Pack, PackError, PackManifest, ReferenceEntry, TableEntry, open_pack
from argus_core.settings import Project, canonical_hash

PRODUCER = "packs"
#: Sessions before the pack among which the market state that stands at its start is looked for.
STANDING_SESSIONS = 5
#: Column by which rows of a table are held back until they are public; none of them reaches past the pack's end.
_AVAILABLE = {
    "bars": "available_at",
    "outcomes": "window_end",
    "regimes": "available_at",
    "option_snapshots": "recv_ts",
    "risk_flow": "available_at",
    "market_risk": "available_at",
    "model_regimes": "available_at",
    "iv_features": "available_at",
    "reference_bars": "available_at",
}
_ORDER = {
    "bars": ("ts",),
    "outcomes": ("ts", "horizon_seconds"),
    "regimes": ("ts",),
    "option_snapshots": ("recv_ts", "ts", "contract"),
    "risk_flow": ("available_at",),
    "market_risk": ("available_at",),
    "model_regimes": ("ts",),
    "iv_features": ("recv_ts",),
    "reference_bars": ("ts", "symbol"),
}


def seal_pack(
    lake: Lake,
    project: Project,
    calendar: TradingCalendar,
    symbol: str,
    start: date,
    end: date,
    *,
    output_dir: str | Path,
    allow_missing: bool = True,
) -> Pack:
    """Seal the window of trade dates ``start``..``end`` (both included) of ``symbol``.

    The sessions before ``start`` that ``pack.warmup_days`` asks for come along with ``warmup = true``, and so does
    the one row of each slow table (risk_flow, market_risk, model_regimes, iv_features) that stands when the pack
    begins. Every table stops at the last bar's ``available_at``: outcomes whose window ends later are left out, so a
    pack never holds the future of its end. Nothing else is dropped. The bars of the symbol's references
    (`pack.references`) come along as stored under these trade dates: nights and weekends too where they trade then. The
    folder is ``<output_dir>/<symbol>_<start>_<end>``; an unchanged pack is left alone.

    Args:
        allow_missing: record sessions without published bars (and bars without labels) in the manifest; False
            makes them an error.

    Raises:
        PackError: if no session of the window has bars of the symbol or of one of its references, or, without
            ``allow_missing``, naming every missing date.
    """
    instrument = project.instrument(symbol)
    provider = project.bars_provider(symbol)
    window = calendar.sessions_between(start, end)
    if not window:
        raise PackError(f"{symbol}: calendar {calendar.name} has no session between {start} and {end}.")
    before = _warmup_sessions(calendar, window[0], project.loop.pack.warmup_days)
    series = {"provider": provider, "bar_seconds": instrument.bar_seconds, "symbol": symbol}
    days = [*before, *window]

    bars, missing = _published(lake, project, symbol, days, window)
    found = set(bars["trade_date"].unique().to_list())
    last_known = bars["available_at"].max()
    delay = _delay(project, symbol)
    tables = {"bars": bars}
    with_bars = [d for d in days if d in found]
    absent: dict[str, tuple[date, ...]] = {}
    for name in ("outcomes", "regimes"):
        tables[name] = _read(lake, name, with_bars, series, first=window[0])
        absent[name] = tuple(d for d in with_bars if not lake.exists(name, **series, date=d))
    options_provider = project.options_provider if instrument.options else None
    if options_provider:
        chain = {"provider": options_provider, "underlying": symbol}
        tables["option_snapshots"] = _read(lake, "option_snapshots", days, chain, first=window[0])
        absent["option_snapshots"] = tuple(d for d in with_bars if not lake.exists("option_snapshots", **chain, date=d))
    slow = {name: project.market_state_keys(name) for name in ("risk_flow", "market_risk")} | {"model_regimes": series}
    if options_provider:
        slow["iv_features"] = {"provider": options_provider, "underlying": symbol}
    for name, place in slow.items():
        standing = _standing(lake, name, place, calendar, days[0])
        later = _read(lake, name, days, place, first=window[0])
        tables[name] = pl.concat([f for f in (standing, later) if f.width] or [later])
        absent[name] = tuple(d for d in with_bars if not lake.exists(name, **place, date=d))
    carried, references = [], {}
    for name in project.references(symbol):
        frame, gone = _published(lake, project, name, days, window)
        carried.append(frame)
        references[name] = ReferenceEntry(
            provider=project.bars_provider(name),
            bar_seconds=project.instrument(name).bar_seconds,
            delay_seconds=_delay(project, name),
            missing_sessions=gone,
        )
    if carried:
        tables["reference_bars"] = pl.concat(carried)
    if not allow_missing:
        wrong = {name: absent[name] for name in ("outcomes", "regimes")}
        wrong |= {f"bars of {name}": entry.missing_sessions for name, entry in references.items()}
        _refuse_missing(symbol, missing, wrong)

    config_hash = pack_config_hash(project, symbol)
    files: dict[str, bytes] = {}
    entries: dict[str, TableEntry] = {}
    for name, frame in tables.items():
        kept = frame
        if not frame.is_empty():
            # Outcomes share the delay of the bars they rest on: what later data could still change stays out.
            lag = pl.duration(seconds=delay if name == "outcomes" else 0)
            known = pl.col(_AVAILABLE[name]) + lag <= last_known
            kept = frame.filter(known).sort(_ORDER[name], maintain_order=True)
        stamp = Stamp(config_hash, content_hash(kept), PRODUCER)
        files[name] = parquet_bytes(kept, stamp)
        entries[name] = TableEntry(rows=kept.height, sha256=hashlib.sha256(files[name]).hexdigest())
    manifest = PackManifest(
        symbol=symbol,
        start=start,
        end=end,
        sessions=tuple(d for d in window if d in found),
        warmup_sessions=tuple(d for d in before if d in found),
        missing_sessions=missing,
        missing_partitions={name: dates for name, dates in sorted(absent.items()) if dates},
        calendar=calendar.name,
        bar_seconds=instrument.bar_seconds,
        bars_provider=provider,
        options_provider=options_provider,
        delay_seconds=delay,
        references=references,
        config_hash=config_hash,
        tables=entries,
    )
    manifest = manifest.model_copy(update={"pack_hash": manifest.computed_hash()})
    folder = Path(output_dir) / f"{symbol}_{start}_{end}"
    if (same := _unchanged(folder, manifest)) is not None:
        return same
    _publish(folder, {f"{name}.parquet": content for name, content in files.items()}, manifest)
    return Pack(folder, manifest)


def pack_config_hash(project: Project, symbol: str) -> str:
    """Hash of the settings that can change a pack: providers, gates, labels, calendar, instrument and references.

    Strategies, execution and evaluation are left out: a pack does not depend on who replays it.
    """
    platform = project.platform.model_dump(mode="json", exclude={"lake", "execution"})
    return canonical_hash(
        {
            "platform": platform,
            "instrument": project.instrument(symbol).model_dump(mode="json"),
            "risk_basket": project.universe.risk_basket,
            "references": {s: project.instrument(s).model_dump(mode="json") for s in project.references(symbol)},
        }
    )


def _warmup_sessions(calendar: TradingCalendar, first: date, count: int) -> list[date]:
    if count == 0:
        return []
    return [d for d in calendar.last_sessions(first, count + 1) if d < first]


def _delay(project: Project, symbol: str) -> int:
    """Publication delay of the symbol's bars, seconds."""
    return project.platform.providers.delay_seconds.get(project.bars_provider(symbol), 0)


def _published(
    lake: Lake, project: Project, symbol: str, days: Sequence[date], window: Sequence[date]
) -> tuple[pl.DataFrame, tuple[date, ...]]:
    """Bars of ``symbol`` on the trade dates ``days``, and the dates of ``window`` that have none.

    Raises:
        PackError: if no date of the window has bars.
    """
    provider, bar_seconds = project.bars_provider(symbol), project.instrument(symbol).bar_seconds
    series = {"provider": provider, "bar_seconds": bar_seconds, "symbol": symbol}
    bars = _read(lake, "bars", days, series, first=window[0])
    bars = bars.filter(pl.col("trade_date").is_in(pl.Series(days).implode()))
    found = set(bars["trade_date"].unique().to_list())
    missing = tuple(d for d in window if d not in found)
    if len(missing) == len(window):
        raise PackError(
            f"{symbol}: no published bars of provider {provider} at {bar_seconds} s on any session from "
            f"{window[0]} to {window[-1]} in {lake.root}. Materialise `bars` for these dates first."
        )
    return bars, missing


def _read(lake: Lake, table: str, days: Sequence[date], keys: Mapping[str, str | int], *, first: date) -> pl.DataFrame:
    """All partitions of ``days`` with the column ``warmup`` (the partition lies before ``first``)."""
    frames = [
        lake.read(table, **keys, date=day).with_columns(pl.lit(day < first).alias("warmup"))
        for day in days
        if lake.exists(table, **keys, date=day)
    ]
    if frames:
        return pl.concat(frames, how="vertical").rechunk()
    return Bars.create_empty().with_columns(warmup=pl.lit(False)).clear() if table == "bars" else pl.DataFrame()


def _standing(
    lake: Lake, table: str, keys: Mapping[str, str | int], calendar: TradingCalendar, first: date
) -> pl.DataFrame:
    """The newest row of a slow table before session ``first``, marked as warm-up: the value that holds when it opens.

    These tables hold changes, or one row a session: without it the first day would be blind until its own first row.
    """
    before = [d for d in calendar.last_sessions(first, STANDING_SESSIONS + 1) if d < first]
    for day in reversed(before):
        if lake.exists(table, **keys, date=day) and not (frame := lake.read(table, **keys, date=day)).is_empty():
            return frame.sort("available_at").tail(1).with_columns(pl.lit(True).alias("warmup"))
    return pl.DataFrame()


def _refuse_missing(symbol: str, sessions: Sequence[date], labels: dict[str, tuple[date, ...]]) -> None:
    lines = {"bars": tuple(sessions), **labels}
    wrong = [f"{name}: {', '.join(map(str, dates))}" for name, dates in lines.items() if dates]
    if wrong:
        raise PackError(f"{symbol}: missing in the window: {'; '.join(wrong)}. Materialise them or allow_missing=True.")


def _unchanged(folder: Path, manifest: PackManifest) -> Pack | None:
    """The pack that lies in ``folder`` when it is whole and equal to ``manifest``."""
    if not folder.is_dir():
        return None
    try:
        known = open_pack(folder)
    except PackError:
        return None
    return known if known.pack_hash == manifest.pack_hash else None


def _publish(folder: Path, files: dict[str, bytes], manifest: PackManifest) -> None:
    """Put the pack at ``folder``: written beside it, synced, then renamed. A reader sees the old or the new one.

    Replacing an existing folder takes two renames; after a crash between them the pack is absent, never mixed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    fresh = folder.with_name(f".{folder.name}.{token}.new")
    stale = folder.with_name(f".{folder.name}.{token}.old")
    try:
        fresh.mkdir()
        for name, content in {**files, MANIFEST_NAME: manifest.as_bytes()}.items():
            with (fresh / name).open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
        _sync(fresh)
        if folder.exists():
            folder.rename(stale)
        fresh.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(stale, ignore_errors=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
