"""The commands of `argus`. Heavy imports live inside the commands."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argus_dagster.cli import calibrate, lookahead, options, outcomes, replay, signals
from argus_dagster.cli.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    EXIT_WAITING,
    ConfigOption,
    JsonOption,
    SymbolOption,
    WorkersOption,
    console,
    fail,
    interruptible,
    open_at,
    open_workspace,
    parse_date,
    print_counts,
    print_document,
    print_table,
    progress_bar,
    required_date,
)

if TYPE_CHECKING:
    from argus_dagster.workspace import Workspace

#: Pause before the loop looks again for bars that are too old.
WAIT_SECONDS = 900.0

app = typer.Typer(
    name="argus",
    help="Strategy research that kills what only looks good: bars to allocations, deterministic and honest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(outcomes.app, name="outcomes")
app.add_typer(options.app, name="options")
app.command()(replay.replay)
app.command()(lookahead.lookahead)
app.command()(signals.signals)
app.command()(calibrate.calibrate)


def main() -> None:
    """Run the command line; known errors become one clear line and an exit code."""
    from argus_core.settings import SettingsError

    signal.signal(signal.SIGINT, _interrupted)
    try:
        app()
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    except RuntimeError as error:
        # A table, partition or pack that is not there: told by name, without a traceback.
        if type(error).__name__ not in ("LakeError", "PackError"):
            raise
        fail(str(error), EXIT_FAILED)


def _interrupted(number: int, frame: object) -> None:
    # Threads of a run are still at work: leave without waiting for them.
    print("argus: interrupted; run the same command again to go on from what is done", file=sys.stderr, flush=True)
    os._exit(EXIT_INTERRUPTED)


@app.command()
def loop(
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="run one cycle and stop")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the resolved plan, write nothing")] = False,
    workers: WorkersOption = 1,
    day: Annotated[str | None, typer.Option("--date", help="date of the cycle [end_date, else newest]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the research loop: bars to allocations. Without --once it goes on every `loop.interval_hours`."""
    from argus_dagster.loop import plan_cycle, require_recent, utc_now

    while True:
        started = time.monotonic()
        workspace = open_workspace(config)
        plan = plan_cycle(workspace, today=utc_now().date(), day=parse_date(day, "--date"))
        if dry_run:
            print_document(plan.as_document(workspace))
            return
        waiting = require_recent(workspace, utc_now())
        if waiting:
            console().print(f"[yellow]waiting[/]: {waiting}")
            if once:
                raise typer.Exit(EXIT_WAITING)
        else:
            ok = _cycle(workspace, plan, None, workers, as_json)
            if once:
                raise typer.Exit(0 if ok else EXIT_FAILED)
        interval = workspace.project.loop.loop.interval_hours * 3600
        # Bars that are late may come any minute; a cycle's pause is for cycles that ran.
        rest = (min(interval, WAIT_SECONDS) if waiting else interval) - (time.monotonic() - started)
        console().print(f"next cycle in {max(rest, 0) / 3600:.1f} h (Ctrl-C stops)")
        time.sleep(max(rest, 0))


@app.command()
def backfill(
    start: Annotated[str, typer.Option("--start", help="first cycle date, YYYY-MM-DD")],
    end: Annotated[str, typer.Option("--end", help="last cycle date, YYYY-MM-DD")],
    config: ConfigOption = None,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Run every daily partition of a range through the whole graph: one range run per symbol and job."""
    from dataclasses import replace

    from argus_dagster.loop import plan_cycle, utc_now

    workspace = open_workspace(config)
    days = workspace.sessions(required_date(start, "--start"), required_date(end, "--end"))
    if not days:
        fail(f"no session between {start} and {end}", EXIT_USAGE)
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

    workspace = open_workspace(config)
    if not path.is_dir():
        fail(f"{path}: no such folder", EXIT_USAGE)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console()) as bar:
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
    print_table(frame.select(shown), "Imported files", limit=200)
    print_counts(report.quarantined, "Quarantined rows by reason")
    console().print(f"{report.rows_read:,} rows read, {report.rows_landed:,} landed")


@app.command()
def simulate(
    start: Annotated[str, typer.Option("--start", help="first date")],
    end: Annotated[str, typer.Option("--end", help="last date")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder that receives the files")] = Path(
        "data/simulated"
    ),
    symbol: SymbolOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the simulated market as Parquet files: bars, chains and references, in the layout of `argus import`."""
    from argus_core.market.simulation import SimulatedMarket
    from argus_core.market.simulation.export import export_market

    workspace = open_workspace(config)
    days = workspace.sessions(required_date(start, "--start"), required_date(end, "--end"))
    if not days:
        fail(f"no session between {start} and {end}", EXIT_USAGE)
    platform = workspace.project.platform
    names = [symbol] if symbol else list(dict.fromkeys([*workspace.bar_symbols, *platform.risk_flow.symbols]))
    market = SimulatedMarket(platform.providers.simulation, workspace.calendar, workspace.project.universe.instruments)
    instruments = [workspace.instrument(name) for name in names]
    written = export_market(market, instruments, days, output, progress=console().print)
    if as_json:
        print_document({"folder": str(output), "sessions": len(days), "rows": written})
    else:
        print(f"{sum(written.values()):,} rows in {len(written)} files of {len(days)} session(s): {output}")


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

    workspace, when = open_at(config, day)
    found = {}
    for name in [symbol] if symbol else workspace.symbols:
        sealed = seal(workspace, name, when)
        found[name] = {
            "pack_hash": sealed.pack_hash,
            "folder": str(sealed.folder),
            "references": sorted(sealed.manifest.references),
        }
        if export:
            target = export if symbol else export.with_name(f"{export.stem}_{name}{export.suffix}")
            export_json(sealed, target)
            found[name]["json"] = str(target)
    print_document(found)


@app.command()
def experiment(
    config: ConfigOption = None,
    symbol: SymbolOption = None,
    day: Annotated[str | None, typer.Option("--date", help="last session of the window [the cycle's date]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the configured strategies and sweeps on the pack of a date (labels must be materialised)."""
    from argus_dagster.assets.experiments import SHOWN, run_partition

    workspace, when = open_at(config, day)
    found = []
    for name in [symbol] if symbol else workspace.symbols:
        runs = run_partition(workspace, name, when).runs
        found += runs.to_dicts()
        if not as_json:
            best = runs.sort("sharpe", descending=True, nulls_last=True).select(SHOWN).head(20)
            print_table(best, f"{name} {when}: {runs.height} runs")
    if as_json:
        print_document(found)


@app.command()
def evaluate(
    config: ConfigOption = None,
    day: Annotated[str | None, typer.Option("--date", help="date to judge [the cycle's date]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the experiments of a date: ranking, kill reasons, candidates, allocations, report."""
    from argus_dagster.assets import allocations, selection

    workspace, when = open_at(config, day)
    cycle = selection.open_cycle(workspace, when)
    evaluation = selection.judge(workspace, cycle)
    selection.store(workspace, cycle, evaluation)
    allocation = allocations.size(workspace, cycle, evaluation.candidates)
    allocations.store(workspace, when, allocation)
    path = allocations.write_report(workspace, cycle)
    if as_json:
        print(evaluation.rankings.write_json())
        return
    _print_cycle(workspace, when)
    console().print(f"report: {path}")


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='for instance "select symbol, count(*) from bars group by 1"')],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the lake in SQL (DuckDB, one view per table)."""
    import duckdb
    import polars as pl

    workspace = open_workspace(config)
    try:
        with workspace.lake.connect(workspace.results) as connection:
            frame = pl.DataFrame(connection.sql(query).to_arrow_table())
    except duckdb.Error as error:
        tables = ", ".join([*workspace.lake.tables(), *workspace.results.tables()]) or "none yet"
        fail(f"{error}\nTables: {tables}.", EXIT_USAGE)
    if as_json:
        print(frame.write_json())
    else:
        print_table(frame, None, limit=200)


@app.command()
def verify(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON is what it prints anyway", hidden=True)] = False,
    hashes: Annotated[
        bool, typer.Option("--hashes", help="print the SHA-256 of every artefact and one over all")
    ] = False,
) -> None:
    """Verify the lake and the packs: every file readable, every content equal to the hash in its footer."""
    from argus_dagster.verification import artefact_hashes, overall_hash, verify_workspace

    workspace = open_workspace(config)
    if hashes:
        found_hashes = artefact_hashes(workspace)
        print_document({"overall": overall_hash(found_hashes), "files": found_hashes})
        return
    found = verify_workspace(workspace)
    print_document(found.as_document())
    raise typer.Exit(EXIT_FAILED if found.problems else 0)


@app.command()
def compact(config: ConfigOption = None, table: Annotated[str, typer.Argument()] = "bars") -> None:
    """Merge closed months of a table into one file each, for quick SQL over many years."""
    from argus_core.market.compaction import compact_table
    from argus_dagster.loop import utc_now

    lake = open_workspace(config).lake
    if table not in lake.tables():
        fail(f"no table {table!r}. Tables: {', '.join(lake.tables()) or 'none yet'}.", EXIT_USAGE)
    done = compact_table(lake, table, before=utc_now().date())
    console().print(f"{table}_monthly: {done.written} months written, {done.unchanged} unchanged")


def _cycle(workspace: Workspace, plan: Any, days: list[date] | None, workers: int, as_json: bool) -> bool:
    from argus_dagster.assets.allocations import report_path
    from argus_dagster.loop import run_cycle
    from argus_dagster.notifications import notify
    from argus_dagster.sensors import cycle_details

    terminal = console()
    started = time.monotonic()

    def tell(text: str) -> None:
        terminal.print(f"[dim]{time.monotonic() - started:6.1f} s[/]  {text}")

    with progress_bar(terminal, workspace, len(plan.sessions)):
        result = interruptible(lambda: run_cycle(workspace, plan, days=days, workers=workers, progress=tell))
    for name, reason in result.failures.items():
        terminal.print(f"[red]failed[/] {name}: {reason}", soft_wrap=True)
    if result.ok:
        details = cycle_details(workspace, str(plan.day))
        if as_json:
            print_document({**details, "failures": result.failures})
        else:
            _print_cycle(workspace, plan.day)
            print(f"report: {report_path(workspace, plan.day)}")
            tell("done")
        notify(workspace.project.loop.notify, "cycle complete", details)
    else:
        notify(workspace.project.loop.notify, "cycle failed", result.failures)
    return result.ok and not result.failures


#: Columns of an allocation that people read first; `argus sql "select * from allocations"` shows all.
ALLOCATED = ("strategy_id", "strategy", "symbol", "instrument", "weight", "dollar_risk", "contracts", "score", "clamps")


def _print_cycle(workspace: Workspace, day: date) -> None:
    rankings = workspace.results.read("rankings", date=day)
    killed = workspace.results.read("killed", date=day)
    allocations = workspace.results.read("allocations", date=day)
    shown = ["rank", "strategy", "symbol", "params", "score", "sharpe", "n_trades", "dsr", "verdict"]
    print_table(
        rankings.select([name for name in shown if name in rankings.columns]).head(12),
        f"Ranking of {day} ({rankings.height} runs)",
    )
    if killed.height:
        print_counts(dict(killed.group_by("reason").len().rows()), "Why runs were killed")
    if allocations.height:
        print_table(allocations.select([name for name in ALLOCATED if name in allocations.columns]), "Allocations")
    else:
        print("Allocations: none. Nothing survived every gate, so nothing gets capital.")
