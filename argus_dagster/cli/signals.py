"""`argus signals`: what the strategies of the loop decide, newest first; printed, filtered, exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from argus_dagster.cli.output import EXIT_USAGE, ConfigOption, JsonOption, SymbolOption, console, fail, open_at
from argus_dagster.cli.output import print_frame as print_rows

if TYPE_CHECKING:
    import polars as pl


def signals(
    symbol: SymbolOption = None,
    day: Annotated[str | None, typer.Option("--date", help="last session of the pack [the cycle's date]")] = None,
    route: Annotated[str | None, typer.Option("--route", help="only what takes this route")] = None,
    sessions: Annotated[int | None, typer.Option("--sessions", min=1, help="only the last so many sessions")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="rows printed")] = 40,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="also write all of them: .parquet, .csv or .json")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Signals of the date's packs: computed where they are missing or old, ranked over all symbols."""
    import polars as pl

    from argus_core.signals import rank_signals, route_signals
    from argus_dagster.assets.signals import SHOWN, export, run_partition

    workspace, when = open_at(config, day)
    known = {one.name for one in workspace.project.loop.signals.routes}
    if route is not None and route not in known:
        fail(
            f"--route {route!r}: routes of {workspace.project.source}: {', '.join(sorted(known)) or 'none'}", EXIT_USAGE
        )
    parts: list[pl.DataFrame] = []
    for name in [symbol] if symbol else workspace.symbols:
        partition = run_partition(workspace, name, when)
        parts.append(partition.signals)
        for strategy, reason in partition.failed.items():
            console().print(f"[red]failed[/] {strategy} on {name}: {reason}", soft_wrap=True)
    # Over all symbols: a partition ranks and routes its own symbol only.
    found = route_signals(rank_signals(pl.concat(parts).drop("rank", "routes")), workspace.project.loop.signals.routes)
    if route is not None:
        found = found.filter(pl.col("routes").str.split(",").list.contains(route))
    if sessions is not None:
        found = found.filter(pl.col("trade_date") >= workspace.calendar.last_sessions(when, sessions)[0])
    if output is not None:
        try:
            export(found, output)
        except ValueError as error:
            fail(str(error), EXIT_USAGE)
    newest = found.sort("available_at", "rank", descending=[True, False])
    if as_json:
        print_rows(newest, True, None)
    else:
        readable = newest.select(SHOWN).with_columns(pl.col("available_at").dt.strftime("%Y-%m-%d %H:%M:%S"))
        print_rows(readable, False, f"{found.height} signals up to {when}", limit=limit)
