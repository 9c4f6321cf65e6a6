"""`model_regimes`: change points, hidden states, votes of all methods, and features, one row per session."""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from argus_core.market.lake import hash_of
from argus_core.regimes.model_regimes import compute_model_regimes, first_history_date
from argus_dagster.materialisation import stage_asset
from argus_dagster.metadata import counts, plot
from argus_dagster.partitions import Partitions, days_by_symbol
from argus_dagster.stage import Stage, by_symbol
from argus_dagster.workspace import Workspace

#: Sessions in the plots.
_SHOWN = 120

#: (path, inode, time of change, size) -> data hash. A row rests on a year of partitions, most of which stand still, and
#: a file is only ever replaced whole: what has the same inode, time and size has the same footer.
_KNOWN: dict[tuple[str, int, int, int], str] = {}


def _history(workspace: Workspace, first: date, last: date) -> list[date]:
    """Sessions whose bars matter for rows of ``first``..``last``."""
    return workspace.sessions(first_history_date(first, workspace.project.platform.model_regimes), last)


def data_hash(workspace: Workspace, table: str, symbol: str, day: date) -> str:
    """Data hash of a partition of a series, "-" where there is none; a footer is read once while its file stands."""
    path = workspace.lake.path(table, **by_symbol(workspace, symbol, day))
    if path.protocol not in ("", "file", "local"):
        stamp = workspace.stamp(table, symbol, day)
        return stamp.data_hash if stamp else "-"
    try:
        found = os.stat(str(path))
    except FileNotFoundError:
        return "-"
    key = (str(path), found.st_ino, found.st_mtime_ns, found.st_size)
    if key not in _KNOWN:
        stamp = workspace.stamp(table, symbol, day)
        _KNOWN[key] = stamp.data_hash if stamp else "-"
    return _KNOWN[key]


def _inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    if workspace.stamp("bars", symbol, day) is None:
        return None
    bars = [data_hash(workspace, "bars", symbol, d) for d in _history(workspace, day, day)]
    rules = data_hash(workspace, "regimes", symbol, day)
    settings = workspace.project.platform.model_regimes.config_hash
    return hash_of([*bars, rules, settings, workspace.series_hash(symbol)])


def _rows(workspace: Workspace, symbol: str, days: Sequence[date]) -> pl.DataFrame:
    """Rows of ``days`` from the lake's bars up to the last of them."""
    bars = workspace.read_series("bars", symbol, _history(workspace, days[0], days[-1]))
    if bars.is_empty():
        return bars
    return compute_model_regimes(
        bars,
        workspace.calendar,
        workspace.project.platform.model_regimes,
        regimes=workspace.read_series("regimes", symbol, days),
        anchors=(days[0], days[-1]),
    )


def _compute(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    rows = _rows(workspace, symbol, days)
    for day in days:
        if rows.height and (mine := rows.filter(pl.col("trade_date") == day)).height:
            yield day, mine


MODEL_REGIMES = Stage(
    table="model_regimes",
    keys=by_symbol,
    config_hash=lambda workspace: workspace.project.platform.model_regimes.config_hash,
    inputs_hash=_inputs,
    compute=_compute,
)


def _describe(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    shown = workspace.calendar.last_sessions(day, _SHOWN)
    recent = MODEL_REGIMES.read(workspace, symbol, shown)
    found: dict[str, Any] = {"model_vote": counts(dict(recent.group_by("model_vote").len().rows()))}
    for name in ("model_run_length", "model_high_vol_prob", "model_confidence", "hawkes_intensity"):
        values = recent[name].drop_nulls().to_list()
        if len(values) > 1:
            found[name] = plot(values, label=name)
    return found


def faults(workspace: Workspace, symbol: str, days: Sequence[date]) -> dict[str, int]:
    """How many rows of the stored partitions break each rule of the asset check."""
    rows = MODEL_REGIMES.read(workspace, symbol, days)
    if rows.is_empty():
        return {}
    hazard = workspace.project.platform.model_regimes.change_hazard
    shares = (
        "model_cp_prob",
        "model_drift_cp_prob",
        "model_high_vol_prob",
        "model_high_vol_next",
        "model_confidence",
        "hawkes_branching",
    )
    outside = pl.any_horizontal([~pl.col(name).is_between(0, 1) for name in shares])
    first = rows["trade_date"][0]
    alone = _rows(workspace, symbol, [first])
    return {
        "probability outside 0..1": rows.filter(outside.fill_null(value=False)).height,
        # P(run length <= k) holds P(run length = 0), which is the hazard at every step.
        "change probability below the hazard": rows.filter(pl.col("model_cp_prob") < hazard - 1e-9).height,
        "verdict of a single method": rows.filter(
            pl.col("model_vote").is_in(["TURBULENT", "CALM", "NEITHER"])
            & (pl.sum_horizontal([pl.col(n).is_not_null() for n in ("vote_rules", "vote_change", "vote_states")]) < 2)
        ).height,
        "known before its bar": rows.filter(pl.col("available_at") <= pl.col("ts")).height,
        # The first row anew from data that end with it, while the stored one was computed with all that was there.
        "changes when the future is cut": int(not alone.equals(rows.filter(pl.col("trade_date") == first))),
    }


def build(partitions: Partitions) -> list[Any]:
    """The asset `model_regimes` and its check."""
    asset = stage_asset(
        MODEL_REGIMES,
        partitions.market,
        group="labels",
        deps=[dg.AssetDep("bars"), dg.AssetDep("regimes")],
        description="Change points, hidden states (filtered), votes and features per session, known with its last bar.",
        describe=_describe,
    )

    @dg.asset_check(
        name="sound_probabilities",
        asset="model_regimes",
        description="Probabilities lie in 0..1, no method decides alone, the past stays the same without the future.",
    )
    def sound_probabilities(
        context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.AssetCheckResult:
        broken: dict[str, int] = {}
        for symbol, days in days_by_symbol(context.op_execution_context.partition_keys).items():
            for name, count in faults(workspace, symbol, days).items():
                broken[name] = broken.get(name, 0) + count
        return dg.AssetCheckResult(
            passed=not any(broken.values()),
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"broken_rules": dg.MetadataValue.json(broken)},
            description=", ".join(f"{name}: {count}" for name, count in broken.items() if count) or "all rules hold",
        )

    return [asset, sound_probabilities]
