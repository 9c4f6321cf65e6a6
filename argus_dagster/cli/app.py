"""The commands of `argus`. Heavy imports live inside the commands."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from argus_dagster.workspace import Workspace

#: Exit codes: 0 done, 1 something failed, 2 wrong usage or settings, 3 nothing to do yet (data too old).
EXIT_FAILED, EXIT_USAGE, EXIT_WAITING = 1, 2, 3

app = typer.Typer(
    name="argus",
    help="Strategy research that kills what only looks good: bars to allocations, deterministic and honest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
outcomes_app = typer.Typer(no_args_is_help=True, help="Labels: compute them and see how complete they are.")
app.add_typer(outcomes_app, name="outcomes")

ConfigOption = Annotated[str | None, typer.Option("--config", "-c", help="loop file [config/research_loop.yaml]")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for scripts")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", "-s", help="one symbol [all of the config]")]
StartOption = Annotated[str | None, typer.Option("--start", help="first date, YYYY-MM-DD")]
EndOption = Annotated[str | None, typer.Option("--end", help="last date, YYYY-MM-DD")]


def main() -> None:
    """Run the command line; known errors become one clear line and an exit code."""
    from argus_core.settings import SettingsError

    try:
        app(standalone_mode=True)
    except SettingsError as error:
        _fail(str(error), EXIT_USAGE)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to go on from what is done", 130)
    except Exception as error:
        if type(error).__name__ in ("LakeError", "PackError"):
            _fail(str(error), EXIT_FAILED)
        raise


@app.command()
def loop(
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="run one cycle and stop")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the resolved plan, write nothing")] = False,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="processes; results are the same bytes")] = 1,
    day: Annotated[str | None, typer.Option("--date", help="date of the cycle [end_date, else newest]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the research loop: bars to allocations. Without --once it goes on every `loop.interval_hours`."""
    from argus_dagster.loop import plan_cycle, require_recent, utc_now

    while True:
        started = time.monotonic()
        workspace = _workspace(config)
        plan = plan_cycle(workspace, today=utc_now().date(), day=_date(day, "--date"))
        if dry_run:
            _print_document(plan.as_document(workspace))
            return
        waiting = require_recent(workspace, utc_now())
        if waiting:
            _console().print(f"[yellow]waiting[/]: {waiting}")
            if once:
                raise typer.Exit(EXIT_WAITING)
        else:
            ok = _cycle(workspace, plan, None, workers, as_json)
            if once:
                raise typer.Exit(0 if ok else EXIT_FAILED)
        rest = workspace.project.loop.loop.interval_hours * 3600 - (time.monotonic() - started)
        _console().print(f"next cycle in {max(rest, 0) / 3600:.1f} h (Ctrl-C stops)")
        time.sleep(max(rest, 0))


@app.command()
def backfill(
    start: Annotated[str, typer.Option("--start", help="first cycle date, YYYY-MM-DD")],
    end: Annotated[str, typer.Option("--end", help="last cycle date, YYYY-MM-DD")],
    config: ConfigOption = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="processes")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Run every daily partition of a range through the whole graph: one range run per symbol and job."""
    from dataclasses import replace

    from argus_dagster.loop import plan_cycle, utc_now

    workspace = _workspace(config)
    days = workspace.sessions(_required_date(start, "--start"), _required_date(end, "--end"))
    if not days:
        _fail(f"no session between {start} and {end}", EXIT_USAGE)
    first = plan_cycle(workspace, today=utc_now().date(), day=days[0])
    last = plan_cycle(workspace, today=utc_now().date(), day=days[-1])
    plan = replace(last, sessions=sorted({*first.sessions, *last.sessions, *days}))
    raise typer.Exit(0 if _cycle(workspace, plan, days, workers, as_json) else EXIT_FAILED)


@app.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(help="folder of Parquet/CSV files, see docs/importing.md")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a folder of market data. Bad rows and files go to quarantine with a counted reason."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from argus_core.market.importing import import_folder
    from argus_dagster.runless import report_import

    workspace = _workspace(config)
    if not path.is_dir():
        _fail(f"{path}: no such folder", EXIT_USAGE)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console()) as bar:
        task = bar.add_task("importing", total=None)

        def advance(done: int, total: int, name: str) -> None:
            bar.update(task, description=f"importing {name}", completed=done, total=total)

        report = import_folder(path, workspace.lake, workspace.project, workspace.calendar, progress=advance)
    report_import(report)
    frame = report.to_frame()
    if as_json:
        print(frame.write_json())
        return
    shown = ["path", "kind", "symbols", "rows_read", "rows_landed", "rows_quarantined", "reasons", "warnings", "error"]
    _print_table(frame.select(shown), "Imported files", limit=200)
    _print_counts(report.quarantined, "Quarantined rows by reason")
    _console().print(f"{report.rows_read:,} rows read, {report.rows_landed:,} landed")


@app.command()
def simulate(
    start: Annotated[str, typer.Option("--start", help="first date")],
    end: Annotated[str, typer.Option("--end", help="last date")],
    config: ConfigOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write Parquet here, not to the lake")] = None,
    symbol: SymbolOption = None,
) -> None:
    """Produce the simulated market: bars, chains and references, into the lake or a folder."""
    from rich.progress import track

    from argus_dagster.stage import Stage

    workspace = _workspace(config)
    days = workspace.sessions(_required_date(start, "--start"), _required_date(end, "--end"))
    symbols = [symbol] if symbol else list(workspace.symbols)
    written = 0
    for name in symbols:
        source = workspace.source("sim")
        instrument = workspace.instrument(name)
        for day in track(days, description=name, console=_console()):
            frame = source.bars(instrument, day)
            if output:
                target = output / f"bars_{instrument.bar_seconds}s" / name / f"{day}.parquet"
                target.parent.mkdir(parents=True, exist_ok=True)
                frame.write_parquet(target)
            written += frame.height
        if not output:
            for stage in _market_stages():
                assert isinstance(stage, Stage)
                stage.materialise(workspace, name, days)
    _console().print(f"{written:,} bars of {len(symbols)} symbol(s) on {len(days)} session(s)")


@app.command()
def pack(
    config: ConfigOption = None,
    symbol: SymbolOption = None,
    day: Annotated[str | None, typer.Option("--date", help="last session of the window [the cycle's date]")] = None,
    export: Annotated[Path | None, typer.Option("--json-file", help="also write the pack as one JSON file")] = None,
    as_json: JsonOption = False,
) -> None:
    """Seal the replay pack of each symbol and print its hash."""
    from argus_core.packs import export_json
    from argus_dagster.assets.replay_pack import seal

    workspace, when = _at(config, day)
    found = {}
    for name in [symbol] if symbol else workspace.symbols:
        sealed = seal(workspace, name, when)
        found[name] = {"pack_hash": sealed.pack_hash, "folder": str(sealed.folder)}
        if export:
            target = export if symbol else export.with_name(f"{export.stem}_{name}{export.suffix}")
            export_json(sealed, target)
            found[name]["json"] = str(target)
    _print_document(found, as_json=as_json)


@app.command()
def experiment(
    config: ConfigOption = None,
    symbol: SymbolOption = None,
    day: Annotated[str | None, typer.Option("--date", help="last session of the window [the cycle's date]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the configured strategies and sweeps on the pack of a date (labels must be materialised)."""
    from argus_dagster.assets.experiments import SHOWN, run_partition

    workspace, when = _at(config, day)
    for name in [symbol] if symbol else workspace.symbols:
        runs = run_partition(workspace, name, when).runs
        if as_json:
            print(runs.write_json())
        else:
            best = runs.sort("sharpe", descending=True, nulls_last=True).select(SHOWN).head(20)
            _print_table(best, f"{name} {when}: {runs.height} runs")


@app.command()
def evaluate(
    config: ConfigOption = None,
    day: Annotated[str | None, typer.Option("--date", help="date to judge [the cycle's date]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the experiments of a date: ranking, kill reasons, candidates, allocations, report."""
    from argus_dagster.assets import allocations, selection

    workspace, when = _at(config, day)
    evaluation = selection.judge(workspace, when)
    selection.store(workspace, when, evaluation)
    allocation = allocations.size(workspace, when, evaluation.candidates)
    allocations.store(workspace, when, allocation, newest=True)
    path = allocations.write_report(workspace, when)
    if as_json:
        print(evaluation.rankings.write_json())
        return
    _print_cycle(workspace, when)
    _console().print(f"report: {path}")


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='for instance "select symbol, count(*) from bars group by 1"')],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the lake in SQL (DuckDB, one view per table)."""
    import duckdb

    workspace = _workspace(config)
    try:
        with workspace.lake.connect() as connection:
            frame = connection.execute(query).pl()
    except duckdb.Error as error:
        tables = ", ".join(workspace.lake.tables()) or "none yet"
        _fail(f"{error}\nTables: {tables}.", EXIT_USAGE)
    if as_json:
        print(frame.write_json())
    else:
        _print_table(frame, None, limit=200)


@app.command()
def verify(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Verify the lake and the packs: every file readable, every content equal to the hash in its footer."""
    from argus_dagster.verification import verify_workspace

    workspace = _workspace(config)
    found = verify_workspace(workspace)
    _print_document(found.as_document(), as_json=as_json)
    raise typer.Exit(EXIT_FAILED if found.problems else 0)


@app.command()
def compact(config: ConfigOption = None, table: Annotated[str, typer.Argument()] = "bars") -> None:
    """Merge closed months of a table into one file each, for quick SQL over many years."""
    from argus_core.market.compaction import compact_table

    workspace = _workspace(config)
    for path in compact_table(workspace.lake, table):
        _console().print(str(path))


@outcomes_app.command("backfill")
def outcomes_backfill(
    symbol: Annotated[str, typer.Option("--symbol", "-s")],
    start: StartOption = None,
    end: EndOption = None,
    config: ConfigOption = None,
) -> None:
    """Bring bars and labels of one symbol up to date, through the same graph."""
    _backfill_labels(config, [symbol], start, end)


@outcomes_app.command("backfill-all")
def outcomes_backfill_all(start: StartOption = None, end: EndOption = None, config: ConfigOption = None) -> None:
    """Bring bars and labels of every symbol up to date."""
    _backfill_labels(config, None, start, end)


@outcomes_app.command("list")
def outcomes_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Which series have outcomes: first and last bar, rows, versions."""
    from argus_core.outcomes import inspect

    _print_frame(inspect.inventory(_outcome_rows(_workspace(config), None, None, None)), as_json, "Outcomes")


@outcomes_app.command("list-outcomes")
def outcomes_rows(
    symbol: Annotated[str, typer.Option("--symbol", "-s")],
    start: StartOption = None,
    end: EndOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The outcome rows of one symbol."""
    frame = _outcome_rows(_workspace(config), symbol, start, end).head(limit)
    _print_frame(frame, as_json, f"Outcomes of {symbol}")


@outcomes_app.command("coverage")
def outcomes_coverage(
    symbol: SymbolOption = None,
    start: StartOption = None,
    end: EndOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Share of OK, GAP and INCOMPLETE rows by symbol and horizon."""
    from argus_core.outcomes import inspect

    _print_frame(inspect.coverage(_outcome_rows(_workspace(config), symbol, start, end)), as_json, "Coverage")


@outcomes_app.command("health")
def outcomes_health(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Age of the newest bar and newest final outcome of each symbol."""
    from argus_core.outcomes import inspect
    from argus_dagster.loop import utc_now

    workspace = _workspace(config)
    frame = inspect.health(_bar_rows(workspace, None), _outcome_rows(workspace, None, None, None), now=utc_now())
    _print_frame(frame, as_json, "Health")


@outcomes_app.command("gaps")
def outcomes_gaps(
    symbol: SymbolOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 10,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The longest runs of bars that the calendar offers and the lake lacks."""
    from argus_core.outcomes import inspect

    workspace = _workspace(config)
    names = [symbol] if symbol else list(workspace.symbols)
    bars = _bar_rows(workspace, symbol)
    instruments = {name: workspace.instrument(name) for name in names}
    _print_frame(inspect.gaps(bars, instruments, workspace.calendar).head(limit), as_json, "Gaps")


@outcomes_app.command("uptime")
def outcomes_uptime(symbol: SymbolOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Share of calendar-offered bars that exist, by symbol and session."""
    from argus_core.outcomes import inspect

    workspace = _workspace(config)
    names = [symbol] if symbol else list(workspace.symbols)
    instruments = {name: workspace.instrument(name) for name in names}
    _print_frame(inspect.uptime(_bar_rows(workspace, symbol), instruments, workspace.calendar), as_json, "Uptime")


def _workspace(config: str | None) -> Workspace:
    from argus_dagster.instance import use_instance
    from argus_dagster.workspace import Workspace

    workspace = Workspace.open(config)
    use_instance(workspace.project.root)
    return workspace


def _at(config: str | None, day: str | None) -> tuple[Workspace, date]:
    from argus_dagster.loop import plan_cycle, utc_now

    workspace = _workspace(config)
    return workspace, plan_cycle(workspace, today=utc_now().date(), day=_date(day, "--date")).day


def _cycle(workspace: Workspace, plan: Any, days: list[date] | None, workers: int, as_json: bool) -> bool:
    from argus_dagster.assets.allocations import report_path
    from argus_dagster.loop import run_cycle
    from argus_dagster.notifications import notify
    from argus_dagster.sensors import cycle_details

    console = _console()
    started = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:6.1f} s[/]  {text}")

    result = run_cycle(workspace, plan, days=days, workers=workers, progress=tell)
    for name, reason in result.failures.items():
        console.print(f"[red]failed[/] {name}: {reason}", soft_wrap=True)
    if result.ok:
        details = cycle_details(workspace, str(plan.day))
        if as_json:
            _print_document({**details, "failures": result.failures}, as_json=True)
        else:
            _print_cycle(workspace, plan.day)
            console.print(f"report: {report_path(workspace, plan.day)}", soft_wrap=True)
            tell("done")
        notify(workspace.project.loop.notify, "cycle complete", details)
    else:
        notify(workspace.project.loop.notify, "cycle failed", result.failures)
    return result.ok


def _print_cycle(workspace: Workspace, day: date) -> None:
    rankings = workspace.lake.read("rankings", date=day)
    killed = workspace.lake.read("killed", date=day)
    allocations = workspace.lake.read("allocations", date=day)
    shown = ["rank", "strategy", "symbol", "params", "score", "sharpe", "n_trades", "dsr", "verdict"]
    _print_table(
        rankings.select([name for name in shown if name in rankings.columns]).head(12),
        f"Ranking of {day} ({rankings.height} runs)",
    )
    if killed.height:
        _print_counts(dict(killed.group_by("reason").len().rows()), "Why runs were killed")
    if allocations.height:
        _print_table(allocations, "Allocations")
    else:
        _console().print("Allocations: none. Nothing survived every gate, so nothing gets capital.")


def _market_stages() -> list[Any]:
    from argus_dagster.assets.bars import BARS_RAW
    from argus_dagster.assets.option_snapshots import OPTION_SNAPSHOTS

    return [BARS_RAW, OPTION_SNAPSHOTS]


def _backfill_labels(config: str | None, symbols: list[str] | None, start: str | None, end: str | None) -> None:
    import dagster as dg

    from argus_dagster.loop import plan_cycle, run_market, utc_now

    workspace = _workspace(config)
    plan = plan_cycle(workspace, today=utc_now().date(), day=_date(end, "--end"))
    first = _date(start, "--start") or plan.sessions[0]
    days = workspace.sessions(first, plan.day)
    failed = False
    with dg.DagsterInstance.get() as instance:
        for name in symbols or workspace.symbols:
            failure = run_market(workspace, instance, name, days)
            failed |= failure is not None
            _console().print(f"{name}: {failure or f'{len(days)} sessions up to date'}")
    raise typer.Exit(EXIT_FAILED if failed else 0)


def _outcome_rows(workspace: Workspace, symbol: str | None, start: str | None, end: str | None) -> pl.DataFrame:
    return _rows(workspace, "outcomes", symbol, _date(start, "--start"), _date(end, "--end"))


def _bar_rows(workspace: Workspace, symbol: str | None) -> pl.DataFrame:
    return _rows(workspace, "bars", symbol, None, None)


def _rows(workspace: Workspace, table: str, symbol: str | None, start: date | None, end: date | None) -> pl.DataFrame:
    keys = [
        key
        for key in workspace.lake.partitions(table)
        if (symbol is None or key["symbol"] == symbol)
        and (start is None or key["date"] >= str(start))
        and (end is None or key["date"] <= str(end))
    ]
    if not keys:
        _fail(f"no {table} in {workspace.lake.root} for this selection. Run `argus loop --once` first.", EXIT_FAILED)
    return workspace.lake.read_many(table, keys)


def _date(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        _fail(f"{option}: {text!r} is not a date. Write YYYY-MM-DD.", EXIT_USAGE)


def _required_date(text: str, option: str) -> date:
    found = _date(text, option)
    assert found is not None
    return found


def _fail(message: str, code: int) -> Any:
    print(f"argus: {message}", file=sys.stderr)
    raise SystemExit(code)


def _console() -> Console:
    from rich.console import Console

    # Tables stay whole where output is not a terminal.
    return Console(stderr=True, width=None if sys.stderr.isatty() else int(os.environ.get("COLUMNS", "160")))


def _print_document(document: Any, *, as_json: bool = True) -> None:
    print(json.dumps(document, indent=2, default=str))


def _print_frame(frame: pl.DataFrame, as_json: bool, title: str) -> None:
    if as_json:
        print(frame.write_json())
    else:
        _print_table(frame, title, limit=100)


def _print_counts(values: dict[str, int], title: str) -> None:
    import polars as pl

    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    if ordered:
        _print_table(pl.DataFrame(ordered, schema=["reason", "count"], orient="row"), title)


def _print_table(frame: pl.DataFrame, title: str | None, *, limit: int = 40) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.head(limit).iter_rows():
        table.add_row(*(_text(value) for value in row))
    Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "160"))).print(table)
    if frame.height > limit:
        print(f"... and {frame.height - limit} more rows")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
