"""`argus outcomes`: compute labels, and see how complete bars and labels are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from argus_dagster.cli.output import (
    EXIT_FAILED,
    ConfigOption,
    EndOption,
    JsonOption,
    StartOption,
    SymbolOption,
    console,
    fail,
    open_workspace,
    parse_date,
    print_frame,
)

if TYPE_CHECKING:
    import polars as pl

    from argus_dagster.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Labels: compute them and see how complete they are.")


@app.command()
def backfill(
    symbol: Annotated[str, typer.Option("--symbol", "-s")],
    start: StartOption = None,
    end: EndOption = None,
    config: ConfigOption = None,
) -> None:
    """Bring bars and labels of one symbol up to date, through the same graph."""
    _backfill(open_workspace(config), [symbol], start, end)


@app.command()
def backfill_all(start: StartOption = None, end: EndOption = None, config: ConfigOption = None) -> None:
    """Bring bars and labels of every symbol up to date."""
    workspace = open_workspace(config)
    _backfill(workspace, list(workspace.symbols), start, end)


@app.command(name="list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Which series have outcomes: rows and counts per status by horizon."""
    import polars as pl

    from argus_core.outcomes.inspect import outcome_inventory

    workspace = open_workspace(config)
    frames = [outcome_inventory(rows) for _, rows in _each(workspace, "outcomes", None, None, None)]
    print_frame(pl.concat(frames), as_json, "Outcomes")


@app.command()
def list_outcomes(
    symbol: Annotated[str, typer.Option("--symbol", "-s")],
    start: StartOption = None,
    end: EndOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The outcome rows of one symbol."""
    workspace = open_workspace(config)
    for name, rows in _each(workspace, "outcomes", symbol, start, end):
        print_frame(rows.head(limit), as_json, f"Outcomes of {name}")


@app.command()
def coverage(
    symbol: SymbolOption = None,
    start: StartOption = None,
    end: EndOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bars expected by the calendar and found, by symbol and trade date."""
    import polars as pl

    from argus_core.outcomes import inspect

    workspace = open_workspace(config)
    frames = [
        inspect.coverage(rows, workspace.instrument(name), workspace.calendar, _days(workspace, rows)).select(
            pl.lit(name).alias("symbol"), pl.all()
        )
        for name, rows in _each(workspace, "bars", symbol, start, end)
    ]
    print_frame(pl.concat(frames), as_json, "Coverage")


@app.command()
def health(
    stale_seconds: Annotated[float, typer.Option("--stale-seconds", help="lag beyond which a series is stale")] = 300,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """How far behind the calendar each series is, in market time."""
    import polars as pl

    from argus_core.outcomes import inspect
    from argus_dagster.loop import utc_now

    workspace = open_workspace(config)
    inventory = pl.concat([inspect.bar_inventory(rows) for _, rows in _each(workspace, "bars", None, None, None)])
    instruments = [workspace.instrument(name) for name in workspace.symbols]
    frame = inspect.health(inventory, instruments, workspace.calendar, utc_now(), stale_seconds=stale_seconds)
    print_frame(frame, as_json, "Health")


@app.command()
def gaps(
    symbol: SymbolOption = None,
    longer_than: Annotated[float, typer.Option("--longer-than", help="seconds")] = 300,
    limit: Annotated[int, typer.Option("--limit", min=1, help="per symbol")] = 10,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The longest runs of bars that the calendar offers and the lake lacks."""
    import polars as pl

    from argus_core.outcomes import inspect

    workspace = open_workspace(config)
    frames = [
        inspect.gaps(
            rows,
            workspace.instrument(name),
            workspace.calendar,
            _days(workspace, rows),
            longer_than_seconds=longer_than,
            top=limit,
        ).select(pl.lit(name).alias("symbol"), pl.all())
        for name, rows in _each(workspace, "bars", symbol, None, None)
    ]
    print_frame(pl.concat(frames), as_json, "Gaps")


@app.command()
def uptime(
    symbol: SymbolOption = None,
    start: StartOption = None,
    end: EndOption = None,
    threshold: Annotated[float, typer.Option("--threshold", help="seconds of a hole that counts as down")] = 120,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Share of the offered market time that is not inside a hole, by symbol."""
    import polars as pl

    from argus_core.outcomes import inspect

    workspace = open_workspace(config)
    rows = [
        {"symbol": name}
        | inspect.uptime(
            bars, workspace.instrument(name), workspace.calendar, _days(workspace, bars), threshold_seconds=threshold
        )
        for name, bars in _each(workspace, "bars", symbol, start, end)
    ]
    print_frame(pl.DataFrame(rows), as_json, "Uptime")


def _backfill(workspace: Workspace, symbols: list[str], start: str | None, end: str | None) -> None:
    import dagster as dg

    from argus_dagster.loop import plan_cycle, run_market, utc_now

    plan = plan_cycle(workspace, today=utc_now().date(), day=parse_date(end, "--end"))
    days = workspace.sessions(parse_date(start, "--start") or plan.sessions[0], plan.day)
    failed = False
    with dg.DagsterInstance.get() as instance:
        for name in symbols:
            failure = run_market(workspace, instance, name, days)
            failed |= failure is not None
            console().print(f"{name}: {failure or f'{len(days)} sessions up to date'}")
    raise typer.Exit(EXIT_FAILED if failed else 0)


def _days(workspace: Workspace, bars: pl.DataFrame) -> list[date]:
    """Sessions from the first to the last trade date of ``bars``."""
    dates = bars["trade_date"].unique().sort().to_list()
    return workspace.sessions(dates[0], dates[-1])


def _each(
    workspace: Workspace, table: str, symbol: str | None, start: str | None, end: str | None
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Rows of ``table`` by symbol, between two dates; ends with a clear message where there are none."""
    first, last = parse_date(start, "--start"), parse_date(end, "--end")
    found = False
    for name in [symbol] if symbol else workspace.symbols:
        wanted = {key: str(value) for key, value in workspace.series_keys(name, date.min).items() if key != "date"}
        keys = [
            key
            for key in workspace.lake.partitions(table)
            if wanted.items() <= key.items()
            and (first is None or key["date"] >= str(first))
            and (last is None or key["date"] <= str(last))
        ]
        if keys:
            found = True
            yield name, workspace.lake.read_many(table, keys)
    if not found:
        fail(f"no {table} in {workspace.lake.root} for this selection. Run `argus loop --once` first.", EXIT_FAILED)
