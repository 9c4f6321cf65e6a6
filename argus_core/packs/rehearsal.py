"""A sealed pack straight from a source, through the real gates and labels, without a lake that lasts.

For proofs, golden runs and first tries: nothing has to be materialised before. The partitions of a lake come from the
same functions, so a pack of the same sessions holds the same rows (but for labels that need more history).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.gates import gate_bars, gate_option_quotes, gate_references
from argus_core.market.lake import KeyValue, Lake, Written
from argus_core.outcomes import compute_outcomes
from argus_core.packs.pack import Pack, PackError
from argus_core.packs.sealing import seal_pack
from argus_core.regimes import compute_regimes, global_risk_flow, market_risk
from argus_core.settings import Instrument, Project
from argus_core.settings.iv_features import REALISED_SESSIONS

_STAMP = {"config_hash": "rehearsal", "producer": "rehearsal"}
#: Sessions of reference bars from which the last close-to-close returns are taken.
_REFERENCE_SESSIONS = 5


class RawSource(Protocol):
    """What a rehearsal reads: the part of `argus_core.market.sources.BarSource` that holds rows."""

    def bars(self, instrument: Instrument, day: date) -> pl.DataFrame:
        """RawBars of one trade date; empty where there are none."""
        ...

    def references(self, symbols: Sequence[str], day: date) -> pl.DataFrame:
        """Daily RawBars of ``symbols`` on one trade date."""
        ...

    def option_quotes(self, underlying: str, day: date) -> pl.DataFrame:
        """OptionQuotes of one trade date."""
        ...


def rehearsal_pack(
    project: Project,
    calendar: TradingCalendar,
    source: RawSource,
    symbol: str,
    sessions: Sequence[date],
    folder: str | Path,
) -> Pack:
    """Gate, label and seal ``sessions`` of ``symbol``, its pack references, its option chain and the market state.

    Args:
        project: instruments, gates, label settings, pack.references.
        source: where raw bars, option quotes and daily references come from.
        sessions: trade dates, ascending; regimes are warm as far as these sessions allow.
        folder: receives the pack.

    Raises:
        PackError: if there is no session, or none has bars.
    """
    if not sessions:
        raise PackError(f"{symbol}: no session in the window. Give dates on which the calendar {calendar.name} trades.")
    lake = MemoryLake()
    bars = gated_bars(project, calendar, source, symbol, sessions)
    regimes = _labels(project, calendar, lake, symbol, _stored(project, lake, symbol, bars))
    for name in project.loop.pack.references.get(symbol, ()):
        _stored(project, lake, name, gated_bars(project, calendar, source, name, sessions))
    _options(project, calendar, source, lake, symbol, bars, sessions)
    _market_state(project, calendar, source, lake, symbol, regimes, sessions)
    return seal_pack(lake, project, calendar, symbol, sessions[0], sessions[-1], output_dir=folder)


def pack_of_bars(
    project: Project, calendar: TradingCalendar, symbol: str, bars: pl.DataFrame, folder: str | Path
) -> Pack:
    """Label and seal published bars of ``symbol`` that carry nothing else: no chain, no references, no market state.

    Raises:
        PackError: if ``bars`` is empty.
    """
    if bars.is_empty():
        raise PackError(f"{symbol}: no bars to seal.")
    lake = MemoryLake()
    _labels(project, calendar, lake, symbol, _stored(project, lake, symbol, bars))
    days = bars["trade_date"].unique().sort()
    return seal_pack(lake, project, calendar, symbol, days[0], days[-1], output_dir=folder)


def gated_bars(
    project: Project, calendar: TradingCalendar, source: RawSource, symbol: str, sessions: Sequence[date]
) -> pl.DataFrame:
    """Published bars of one symbol over ``sessions``; without columns where there are none."""
    instrument, platform = project.instrument(symbol), project.platform
    delay = platform.providers.delay_seconds.get(project.bars_provider(symbol), 0)
    published = []
    for day in sessions:
        report = gate_bars(source.bars(instrument, day), instrument, day, calendar, platform.gates, delay_seconds=delay)
        if report.passed and report.published.height:
            published.append(report.published)
    return pl.concat(published) if published else pl.DataFrame()


class MemoryLake(Lake):
    """A lake that forgets: partitions are frames in memory, nothing is hashed or synced."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self._frames: dict[tuple[str, str], pl.DataFrame] = {}

    def write(self, table: str, frame: pl.DataFrame, *, keys: Mapping[str, KeyValue], **stamp: str) -> Written:
        """Keep one partition."""
        self._frames[table, _place(keys)] = frame
        return Written("memory:", frame.height, "", changed=True)

    def exists(self, table: str, **keys: KeyValue) -> bool:
        return (table, _place(keys)) in self._frames

    def read(self, table: str, **keys: KeyValue) -> pl.DataFrame:
        return self._frames[table, _place(keys)]


def _place(keys: Mapping[str, KeyValue]) -> str:
    return "/".join(f"{name}={keys[name]}" for name in sorted(keys))


def _stored(project: Project, lake: Lake, symbol: str, bars: pl.DataFrame) -> pl.DataFrame:
    """Write published bars by trade date; return them."""
    for (day,), mine in bars.group_by("trade_date", maintain_order=True) if bars.height else ():
        lake.write("bars", mine, keys=_keys(project, symbol, day), **_STAMP)
    return bars


def _labels(project: Project, calendar: TradingCalendar, lake: Lake, symbol: str, bars: pl.DataFrame) -> pl.DataFrame:
    """Write outcomes and regimes of one symbol's bars; return the regimes with their trade dates."""
    if bars.is_empty():
        return bars
    instrument, platform = project.instrument(symbol), project.platform
    dates = bars.select("ts", "trade_date")
    tables = {
        "outcomes": compute_outcomes(bars, instrument, calendar, platform.outcomes),
        "regimes": compute_regimes(bars, instrument, calendar, platform.regimes),
    }
    dated = {name: frame.join(dates, on="ts", how="left", maintain_order="left") for name, frame in tables.items()}
    for day in dates["trade_date"].unique().sort():
        for name, frame in dated.items():
            mine = frame.filter(pl.col("trade_date") == day).drop("trade_date")
            lake.write(name, mine, keys=_keys(project, symbol, day), **_STAMP)
    return dated["regimes"]


def _keys(project: Project, symbol: str, day: date) -> dict[str, str | int | date]:
    return {
        "provider": project.bars_provider(symbol),
        "bar_seconds": project.instrument(symbol).bar_seconds,
        "symbol": symbol,
        "date": day,
    }


def _options(
    project: Project,
    calendar: TradingCalendar,
    source: RawSource,
    lake: Lake,
    symbol: str,
    bars: pl.DataFrame,
    sessions: Sequence[date],
) -> None:
    """Write the gated chain, and what it says about volatility with the realised side from ``bars`` and before."""
    instrument = project.instrument(symbol)
    if not instrument.options:
        return
    # Chains need JAX: imported where there is one.
    from argus_core.options.iv_features import iv_features_of_chain

    before = [d for d in calendar.last_sessions(sessions[0], REALISED_SESSIONS + 1) if d < sessions[0]]
    earlier = gated_bars(project, calendar, source, symbol, before)
    history = [frame for frame in (earlier, bars) if frame.width]
    known = pl.concat(history) if history else pl.DataFrame()
    for day in sessions:
        raw = source.option_quotes(symbol, day)
        if raw.is_empty():
            continue
        report = gate_option_quotes(raw, day, calendar, project.platform.gates, instrument=instrument)
        if report.passed:
            keys = {"provider": project.options_provider, "underlying": symbol, "date": day}
            lake.write("option_snapshots", report.published, keys=keys, **_STAMP)
            found = iv_features_of_chain(
                report.published,
                known,
                instrument,
                calendar,
                project.platform.options,
                day,
                carry_seconds=project.platform.execution.option_quote_carry_seconds,
            )
            lake.write("iv_features", found, keys=keys, **_STAMP)


def _market_state(
    project: Project,
    calendar: TradingCalendar,
    source: RawSource,
    lake: Lake,
    symbol: str,
    regimes: pl.DataFrame,
    sessions: Sequence[date],
) -> None:
    """Write risk flow, and market risk as far as the symbol itself votes."""
    platform = project.platform
    known = calendar.last_sessions(sessions[0], _REFERENCE_SESSIONS + 1)[:-1] + list(sessions)
    raw = {day: source.references(platform.risk_flow.symbols, day) for day in known}
    gated: list[pl.DataFrame] = []
    votes = {s: project.universe.risk_basket[s] for s in project.risk_members if s == symbol}
    for day in known:
        if not raw[day].is_empty():
            published, _ = gate_references(
                raw[day],
                day,
                calendar,
                project.universe.instruments,
                platform.gates,
                delay_seconds=platform.providers.delay_seconds,
            )
            gated.append(published)
        if day < sessions[0]:
            continue
        if gated:
            flow = global_risk_flow(pl.concat(gated[-_REFERENCE_SESSIONS - 1 :]), platform.risk_flow, day)
            lake.write("risk_flow", flow, keys={**project.market_state_keys("risk_flow"), "date": day}, **_STAMP)
        members = {s: regimes.filter(pl.col("trade_date") == day).drop("trade_date") for s in votes if regimes.height}
        risk = market_risk({s: frame for s, frame in members.items() if frame.height}, votes, platform.regimes)
        lake.write("market_risk", risk, keys={**project.market_state_keys("market_risk"), "date": day}, **_STAMP)
