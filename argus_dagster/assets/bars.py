"""`bars_raw` -> blocking audit -> `bars`: write, audit, publish."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from argus_core.market.gates import GateReport, gate_bars
from argus_core.market.lake import LakeError, hash_of
from argus_core.market.quarantine import write_quarantine
from argus_core.market.schemas import Bars, empty
from argus_dagster.materialisation import stage_asset
from argus_dagster.metadata import plot
from argus_dagster.partitions import Partitions, days_by_symbol
from argus_dagster.stage import Stage, by_symbol, stamps_hash
from argus_dagster.workspace import Workspace

#: Published sessions before a day that its gates compare with (volume scope, duplicates).
RECENT_SESSIONS = 20


def _raw_inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    source = workspace.source(workspace.project.bars_provider(symbol))
    fingerprint = source.fingerprint(workspace.instrument(symbol), day)
    return hash_of([fingerprint, workspace.series_hash(symbol)]) if fingerprint else None


def _raw_bars(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    source = workspace.source(workspace.project.bars_provider(symbol))
    for day in days:
        frame = source.bars(workspace.instrument(symbol), day)
        if frame.height:
            yield day, frame


BARS_RAW = Stage(
    table="bars_raw",
    keys=by_symbol,
    config_hash=lambda workspace: workspace.project.platform.providers.config_hash,
    inputs_hash=_raw_inputs,
    compute=_raw_bars,
)


def audit(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, GateReport]]:
    """Gate the raw bars of ``days``, each against the sessions that passed before it."""
    instrument = workspace.instrument(symbol)
    platform = workspace.project.platform
    provider = workspace.project.bars_provider(symbol)
    before = workspace.calendar.last_sessions(days[0], RECENT_SESSIONS + 1)
    recent = [workspace.read_series("bars", symbol, [day]) for day in before if day < days[0]]
    recent = [frame for frame in recent if frame.height]
    for day in days:
        try:
            raw = workspace.lake.read("bars_raw", **workspace.series_keys(symbol, day))
        except LakeError:
            continue
        report = gate_bars(
            raw,
            instrument,
            day,
            workspace.calendar,
            platform.gates,
            delay_seconds=platform.providers.delay_seconds.get(provider, 0),
            recent=pl.concat(recent[-RECENT_SESSIONS:]) if recent else empty(Bars),
        )
        if report.passed:
            recent.append(report.published)
        yield day, report


def _bars_inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    raw = workspace.stamp("bars_raw", symbol, day)
    if raw is None:
        return None
    inputs = _gated_inputs(workspace, symbol, day, raw.data_hash)
    judged = workspace.stamp("gate_reports", symbol, day)
    if judged is not None and judged.inputs_hash == inputs and refusals(workspace, symbol, day):
        return None
    return inputs


def _gated_inputs(workspace: Workspace, symbol: str, day: date, raw_hash: str) -> str:
    """Hash over a session's raw bars, those of the sessions it is compared with, and the settings that judge it."""
    before = workspace.calendar.last_sessions(day, RECENT_SESSIONS + 1)[:-1]
    keys = [by_symbol(workspace, symbol, d) for d in before]
    return stamps_hash(workspace, "bars_raw", keys, raw_hash, _gates_hash(workspace), workspace.series_hash(symbol))


def _gates_hash(workspace: Workspace) -> str:
    platform = workspace.project.platform
    return hash_of([platform.gates.config_hash, str(sorted(platform.providers.delay_seconds.items()))])


def refusals(workspace: Workspace, symbol: str, day: date) -> list[str]:
    """Names of the blocking checks that this session failed at its last audit."""
    found = workspace.read_series("gate_reports", symbol, [day])
    if found.is_empty():
        return []
    return found.filter(pl.col("blocking") & ~pl.col("passed"))["name"].to_list()


def _publish(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    provider = workspace.project.bars_provider(symbol)
    for day, report in audit(workspace, symbol, days):
        raw = workspace.stamp("bars_raw", symbol, day)
        workspace.lake.write(
            "gate_reports",
            report.checks_frame(),
            keys=workspace.series_keys(symbol, day),
            config_hash=_gates_hash(workspace),
            producer="bars",
            inputs_hash=_gated_inputs(workspace, symbol, day, raw.data_hash if raw else "-"),
        )
        write_quarantine(
            workspace.lake,
            report.quarantined,
            stage="bars",
            provider=provider,
            symbol=symbol,
            day=day,
            config_hash=_gates_hash(workspace),
        )
        if report.passed:
            yield day, report.published


BARS = Stage(table="bars", keys=by_symbol, config_hash=_gates_hash, inputs_hash=_bars_inputs, compute=_publish)


def _describe_raw(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    return {"provider": workspace.project.bars_provider(symbol), "close": plot(frame["close"].drop_nulls().to_list())}


def _describe_bars(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    return {
        "close": plot(frame["close"].to_list()),
        "volume": plot(frame["volume"].to_list(), kind="bar"),
        "sessions": ", ".join(f"{row[0]} {row[1]}" for row in frame.group_by("session").len().sort("session").rows()),
    }


def build(partitions: Partitions) -> list[Any]:
    """The assets `bars_raw` and `bars` and the audit between them."""

    @dg.asset_check(
        name="bars_audit",
        asset="bars_raw",
        blocking=True,
        description="The QA gates. A session that fails one is not published; in a range the other sessions go on.",
    )
    def bars_audit(
        context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.AssetCheckResult:
        return _audit_result(workspace, context.op_execution_context.partition_keys)

    bars_raw = stage_asset(
        BARS_RAW,
        partitions.market,
        group="market",
        deps=["landed_files"],
        kind="parquet",
        reads_provider=True,
        description="One trade date of one symbol as its primary provider gave it. Nothing is repaired.",
        describe=_describe_raw,
    )
    bars = stage_asset(
        BARS,
        partitions.market,
        group="market",
        deps=["bars_raw"],
        kind="parquet",
        description="Gated bars with trade date, session and `available_at`. Refused rows lie in `quarantine`.",
        describe=_describe_bars,
    )
    return [bars_raw, bars_audit, bars]


def _audit_result(workspace: Workspace, keys: Sequence[str]) -> dg.AssetCheckResult:
    judged, refused, quarantined = 0, {}, 0
    for symbol, days in days_by_symbol(keys).items():
        for day, report in audit(workspace, symbol, days):
            judged += 1
            quarantined += report.quarantined.height
            if not report.passed:
                failed = [check for check in report.checks if check.blocking and not check.passed]
                refused[f"{day}|{symbol}"] = "; ".join(f"{check.name}: {check.detail}" for check in failed)
    all_refused = bool(refused) and len(refused) == judged
    return dg.AssetCheckResult(
        passed=not refused,
        # One bad session must not block the rest of a range; `bars` publishes only sessions that pass.
        severity=dg.AssetCheckSeverity.ERROR if all_refused else dg.AssetCheckSeverity.WARN,
        metadata={
            "sessions": judged,
            "refused": len(refused),
            "quarantined_rows": quarantined,
            "reasons": dg.MetadataValue.json(refused),
        },
        description=f"{len(refused)} of {judged} sessions refused" if refused else f"{judged} sessions pass every gate",
    )
