"""What every command shares: options, the workspace, dates, tables, exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import date
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from argus_dagster.workspace import Workspace

Result = TypeVar("Result")

#: Exit codes: 0 done, 1 something failed, 2 wrong usage or settings, 3 nothing to do yet (data too old).
EXIT_FAILED, EXIT_USAGE, EXIT_WAITING, EXIT_INTERRUPTED = 1, 2, 3, 130

#: Columns of tables where output is not a terminal, so that they stay whole.
WIDTH = 160

ConfigOption = Annotated[str | None, typer.Option("--config", "-c", help="loop file [config/research_loop.yaml]")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for scripts")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", "-s", help="one symbol [all of the config]")]
StartOption = Annotated[str | None, typer.Option("--start", help="first date, YYYY-MM-DD")]
EndOption = Annotated[str | None, typer.Option("--end", help="last date, YYYY-MM-DD")]
WorkersOption = Annotated[int, typer.Option("--workers", "-w", min=1, help="processes; results are the same bytes")]


def open_workspace(config: str | None) -> Workspace:
    """Load the configuration and point Dagster at the project's instance."""
    from argus_dagster.instance import use_instance
    from argus_dagster.workspace import Workspace

    workspace = Workspace.open(config)
    use_instance(workspace.project.root)
    return workspace


def open_at(config: str | None, day: str | None) -> tuple[Workspace, date]:
    """The workspace, and the cycle's date that ``day`` (or the config) means."""
    from argus_dagster.loop import plan_cycle, utc_now

    workspace = open_workspace(config)
    return workspace, plan_cycle(workspace, today=utc_now().date(), day=parse_date(day, "--date")).day


def parse_date(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{option}: {text!r} is not a date. Write YYYY-MM-DD.", EXIT_USAGE)


def required_date(text: str, option: str) -> date:
    found = parse_date(text, option)
    assert found is not None
    return found


def fail(message: str, code: int) -> NoReturn:
    """End with one clear line on standard error."""
    print(f"argus: {message}", file=sys.stderr)
    raise SystemExit(code)


def interruptible(work: Callable[[], Result]) -> Result:
    """Run ``work`` so that Ctrl-C ends the command at once.

    In the main thread Dagster keeps the signal for the length of a run. Ending a run at any moment is safe: every write
    is atomic, and the next command goes on from what is done.
    """
    future: Future[Result] = Future()

    def body() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # handed to the caller, whatever it is
            future.set_exception(error)

    thread = Thread(target=body, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    return future.result()


@contextmanager
def progress_bar(terminal: Console, workspace: Workspace, sessions: int) -> Generator[None, None, None]:
    """A bar that follows the partitions of a cycle, table by table; nothing where output is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    if not terminal.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task("", total=sessions, visible=False)
        current = ""

        def follow(table: str, symbol: str, day: date) -> None:
            nonlocal current
            name = f"{table} {symbol}".strip()
            if name != current:
                current = name
                bar.reset(task, total=sessions, visible=True)
            bar.update(task, advance=1, description=f"{name} {day}")

        workspace.listeners.append(follow)
        try:
            yield
        finally:
            workspace.listeners.remove(follow)


def console() -> Console:
    """Where progress goes: standard error."""
    from rich.console import Console

    return Console(stderr=True, width=None if sys.stderr.isatty() else int(os.environ.get("COLUMNS", WIDTH)))


def print_document(document: Any) -> None:
    print(json.dumps(document, indent=2, default=str))


def print_frame(frame: pl.DataFrame, as_json: bool, title: str | None, *, limit: int = 100) -> None:
    """A table for people, or JSON rows for scripts."""
    if as_json:
        print(frame.write_json())
    else:
        print_table(frame, title, limit=limit)


def print_counts(values: dict[str, int], title: str) -> None:
    import polars as pl

    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    if ordered:
        print_table(pl.DataFrame(ordered, schema=["reason", "count"], orient="row"), title)


def print_table(frame: pl.DataFrame, title: str | None, *, limit: int = 40) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.head(limit).iter_rows():
        table.add_row(*(_text(value) for value in row))
    Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", WIDTH))).print(table)
    if frame.height > limit:
        print(f"... and {frame.height - limit} more rows")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
