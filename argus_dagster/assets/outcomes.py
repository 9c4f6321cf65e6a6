"""`outcomes`: what happened after every bar, per horizon. INCOMPLETE until the next sessions exist."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from argus_core.calendar import to_us
from argus_core.outcomes import compute_outcomes, sessions_ahead
from argus_dagster.materialisation import stage_asset
from argus_dagster.metadata import counts, plot
from argus_dagster.partitions import Partitions
from argus_dagster.stage import Stage, by_symbol, by_trade_date, stamps_hash
from argus_dagster.workspace import Workspace


def _reach(workspace: Workspace, symbol: str, day: date) -> list[date]:
    """The session and those after it that its windows can touch."""
    ahead = sessions_ahead(workspace.project.platform.outcomes, workspace.instrument(symbol))
    return [workspace.calendar.next_session(day, offset) for offset in range(ahead + 1)]


def _inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
    if workspace.stamp("bars", symbol, day) is None:
        return None
    reach = _reach(workspace, symbol, day)
    # Later sessions matter only through the watermark: whether the windows of this day are over. The lake is listed
    # only where the last of them has no bars, which is near the end of the series.
    newest = reach[-1] if workspace.stamp("bars", symbol, reach[-1]) else workspace.published_days(symbol)[-1]
    over = "over" if newest >= reach[-1] else str(newest)
    keys = [by_symbol(workspace, symbol, d) for d in reach]
    return stamps_hash(
        workspace, "bars", keys, workspace.project.platform.outcomes.config_hash, over, workspace.series_hash(symbol)
    )


def _outcomes(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    reach = workspace.sessions(days[0], _reach(workspace, symbol, days[-1])[-1])
    bars = workspace.read_series("bars", symbol, reach)
    if bars.is_empty():
        return
    watermark = int(bars["end"].dt.timestamp("us").to_numpy().max())
    newest = workspace.published_days(symbol)[-1]
    if newest > reach[-1]:
        watermark = max(watermark, to_us(workspace.calendar.session_bounds(reach[-1])[1]))
    frame = compute_outcomes(
        bars,
        workspace.instrument(symbol),
        workspace.calendar,
        workspace.project.platform.outcomes,
        anchors=(days[0], days[-1]),
        watermark_us=watermark,
    )
    yield from by_trade_date(frame, bars, days)


OUTCOMES = Stage(
    table="outcomes",
    keys=by_symbol,
    config_hash=lambda workspace: workspace.project.platform.outcomes.config_hash,
    inputs_hash=_inputs,
    compute=_outcomes,
)


def _describe(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    horizon = frame["horizon_seconds"].min()
    returns = frame.filter((pl.col("horizon_seconds") == horizon) & (pl.col("status") == "OK"))["fwd_return"]
    found: dict[str, Any] = {"status_counts": counts(dict(frame.group_by("status").len().rows()))}
    if returns.len() > 1:
        found["fwd_return"] = plot(returns.drop_nulls().to_list(), kind="histogram", label=f"{horizon} s")
    return found


def build(partitions: Partitions) -> list[Any]:
    return [
        stage_asset(
            OUTCOMES,
            partitions.market,
            group="labels",
            deps=["bars"],
            description="Forward outcomes of every bar at every horizon; upgraded from INCOMPLETE when data arrive.",
            describe=_describe,
        )
    ]
