"""`regimes` per symbol, and what holds for the whole market: `reference_bars`, `risk_flow`, `market_risk`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from argus_core.market.gates import gate_references
from argus_core.market.lake import hash_of
from argus_core.market.quarantine import write_quarantine
from argus_core.regimes import compute_regimes, global_risk_flow, history_sessions, market_risk
from argus_dagster.materialisation import stage_asset
from argus_dagster.metadata import counts
from argus_dagster.partitions import Partitions
from argus_dagster.stage import Stage, across_symbols, by_symbol, by_trade_date, stamps_hash
from argus_dagster.workspace import Workspace

#: Earlier sessions that the gate of reference bars compares with.
GATE_SESSIONS = 20

#: Sessions of reference bars before a date from which its last close-to-close returns are taken.
REFERENCE_SESSIONS = 10


def _history(workspace: Workspace, symbol: str, day: date) -> list[date]:
    count = history_sessions(workspace.project.platform.regimes, workspace.instrument(symbol))
    return workspace.calendar.last_sessions(day, count + 1)


def _regime_inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    if workspace.stamp("bars", symbol, day) is None:
        return None
    keys = [by_symbol(workspace, symbol, d) for d in _history(workspace, symbol, day)]
    settings = workspace.project.platform.regimes.config_hash
    return stamps_hash(workspace, "bars", keys, settings, workspace.series_hash(symbol))


def _regimes(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    known = workspace.sessions(_history(workspace, symbol, days[0])[0], days[-1])
    bars = workspace.read_series("bars", symbol, known)
    if bars.is_empty():
        return
    frame = compute_regimes(
        bars,
        workspace.instrument(symbol),
        workspace.calendar,
        workspace.project.platform.regimes,
        anchors=(days[0], days[-1]),
    )
    yield from by_trade_date(frame, bars, days)


REGIMES = Stage(
    table="regimes",
    keys=by_symbol,
    config_hash=lambda workspace: workspace.project.platform.regimes.config_hash,
    inputs_hash=_regime_inputs,
    compute=_regimes,
)


def _reference_keys(workspace: Workspace, symbol: str, day: date) -> Mapping[str, str | int | date]:
    return {"provider": workspace.project.platform.providers.bars_primary, "date": day}


def _reference_inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    platform = workspace.project.platform
    source = workspace.source(platform.providers.bars_primary)
    fingerprint = source.reference_fingerprint(platform.risk_flow.symbols, day)
    if not fingerprint:
        return None
    before = workspace.calendar.last_sessions(day, GATE_SESSIONS + 1)[:-1]
    return hash_of(
        [
            fingerprint,
            *(source.reference_fingerprint(platform.risk_flow.symbols, d) for d in before),
            platform.gates.config_hash,
            platform.risk_flow.config_hash,
            str(sorted(platform.providers.delay_seconds.items())),
            *(
                workspace.series_hash(s)
                for s in platform.risk_flow.symbols
                if s in workspace.project.universe.instruments
            ),
        ]
    )


def _references(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    platform = workspace.project.platform
    provider = platform.providers.bars_primary
    source = workspace.source(provider)
    known = workspace.calendar.last_sessions(days[-1], len(days) + GATE_SESSIONS)
    raw_by_day = {d: source.references(platform.risk_flow.symbols, d) for d in known}
    for day in days:
        raw = raw_by_day[day]
        if raw.is_empty():
            continue
        recent = [raw_by_day[d] for d in workspace.calendar.last_sessions(day, GATE_SESSIONS + 1)[:-1]]
        published, quarantined = gate_references(
            raw,
            day,
            workspace.calendar,
            workspace.project.universe.instruments,
            platform.gates,
            delay_seconds=platform.providers.delay_seconds,
            recent=pl.concat(recent) if recent else None,
        )
        write_quarantine(
            workspace.lake,
            quarantined,
            stage="bars",
            provider=provider,
            symbol="references",
            day=day,
            config_hash=platform.gates.config_hash,
        )
        yield day, published


REFERENCE_BARS = Stage(
    table="reference_bars",
    keys=_reference_keys,
    config_hash=lambda workspace: workspace.project.platform.gates.config_hash,
    inputs_hash=_reference_inputs,
    compute=_references,
)


def _reference_window(workspace: Workspace, day: date) -> list[date]:
    return workspace.calendar.last_sessions(day, REFERENCE_SESSIONS + 1)


def _flow_inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    keys = [_reference_keys(workspace, "", d) for d in _reference_window(workspace, day)]
    if not workspace.lake.exists("reference_bars", **keys[-1]):
        return None
    return stamps_hash(workspace, "reference_bars", keys, workspace.project.platform.risk_flow.config_hash)


def _risk_flow(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    known = workspace.sessions(_reference_window(workspace, days[0])[0], days[-1])
    frames = {d: workspace.lake.read_many("reference_bars", [_reference_keys(workspace, "", d)]) for d in known}
    for day in days:
        window = [frames[d] for d in _reference_window(workspace, day) if d in frames and frames[d].height]
        yield day, global_risk_flow(pl.concat(window), workspace.project.platform.risk_flow, day)


RISK_FLOW = Stage(
    table="risk_flow",
    keys=across_symbols("risk_flow"),
    config_hash=lambda workspace: workspace.project.platform.risk_flow.config_hash,
    inputs_hash=_flow_inputs,
    compute=_risk_flow,
)


def _basket(workspace: Workspace) -> dict[str, str]:
    """The votes of the basket members that this loop trades."""
    return {member: workspace.project.universe.risk_basket[member] for member in workspace.project.risk_members}


def _risk_inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    found = [workspace.stamp("regimes", member, day) for member in _basket(workspace)]
    if not any(found):
        return None
    votes = str(sorted(_basket(workspace).items()))
    settings = workspace.project.platform.regimes.config_hash
    return hash_of([*(s.data_hash if s else "-" for s in found), votes, settings])


def _market_risk(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    for day in days:
        members = {member: workspace.read_series("regimes", member, [day]) for member in _basket(workspace)}
        present = {member: frame for member, frame in members.items() if frame.height}
        yield day, market_risk(present, _basket(workspace), workspace.project.platform.regimes)


MARKET_RISK = Stage(
    table="market_risk",
    keys=across_symbols("market_risk"),
    config_hash=lambda workspace: workspace.project.platform.regimes.config_hash,
    inputs_hash=_risk_inputs,
    compute=_market_risk,
)


def _describe_regimes(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    return {
        name: counts(dict(frame.group_by(name).len().rows()))
        for name in ("vol_regime", "trend_regime", "liquidity_regime")
    }


def _describe_flow(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    values = frame["global_risk_flow"].drop_nulls()
    return {"global_risk_flow": float(values[-1])} if values.len() else {}


def build(partitions: Partitions) -> list[Any]:
    """The assets `regimes`, `reference_bars`, `risk_flow` and `market_risk`."""
    return [
        stage_asset(
            REGIMES,
            partitions.market,
            group="labels",
            deps=["bars"],
            description="Rule regimes of every bar (volatility, trend, liquidity, session), known at the bar's end.",
            describe=_describe_regimes,
        ),
        stage_asset(
            REFERENCE_BARS,
            partitions.date,
            group="market",
            deps=["landed_files"],
            kind="parquet",
            reads_provider=True,
            description="Daily bars of the risk-flow baskets, across symbols, with the moment each was published.",
        ),
        stage_asset(
            RISK_FLOW,
            partitions.date,
            group="labels",
            deps=[_window_dep("reference_bars", REFERENCE_SESSIONS)],
            description="Global risk flow: Asian, European and yen returns whose bars had ended and were published.",
            describe=_describe_flow,
        ),
        stage_asset(
            MARKET_RISK,
            partitions.date,
            group="labels",
            deps=[dg.AssetDep("regimes", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("date"))],
            description="Risk on, off or neutral: the votes of the basket's trend and volatility regimes.",
        ),
    ]


def _window_dep(name: str, sessions_back: int) -> dg.AssetDep:
    """A dependency on a date asset and the sessions before it."""
    return dg.AssetDep(name, partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-sessions_back))
