"""`argus calibrate`: how often the loop's gates promote luck, and how often they find an edge of a stated size."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from argus_dagster.cli.output import (
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    WorkersOption,
    console,
    fail,
    interruptible,
    open_workspace,
)


def calibrate(
    null_cycles: Annotated[int | None, typer.Option("--cycles", min=0, help="null markets [config]")] = None,
    planted_cycles: Annotated[
        int | None, typer.Option("--planted", min=0, help="markets per planted Sharpe [config]")
    ] = None,
    sharpes: Annotated[
        str | None, typer.Option("--sharpe", help="planted annual Sharpe ratios, 1,2,3 [config]")
    ] = None,
    sessions: Annotated[int | None, typer.Option("--sessions", min=60, help="length of a market [config]")] = None,
    sources: Annotated[
        str | None, typer.Option("--source", help="simulated, signs, blocks; with commas [config]")
    ] = None,
    real_bars: Annotated[
        str | None, typer.Option("--bars", help="Parquet file of bars that signs and blocks redraw [config]")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="first seed [config]")] = None,
    config: ConfigOption = None,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Run the whole loop on null and planted markets; finished markets are kept, so it can be interrupted."""
    from argus_core.settings import SettingsError
    from argus_core.settings.calibration import CalibrationSettings
    from argus_dagster.assets.calibration import study

    workspace = open_workspace(config)
    changes: dict[str, Any] = {
        "null_cycles": null_cycles,
        "planted_cycles": planted_cycles,
        "sessions": sessions,
        "real_bars": real_bars,
        "seed": seed,
        "sources": sources.split(",") if sources else None,
    }
    if sharpes is not None:
        try:
            changes["planted_sharpes"] = [float(part) for part in sharpes.split(",")]
        except ValueError:
            fail(f"--sharpe: {sharpes!r} is not a list of numbers. Write 1,2,3.", EXIT_USAGE)
    document = workspace.project.loop.calibration.model_dump(mode="json")
    document |= {name: value for name, value in changes.items() if value is not None}
    try:
        settings = CalibrationSettings.parse(document, source="argus calibrate")
        terminal = console()
        shown = (
            (lambda done, total: None)
            if as_json
            else (lambda done, total: terminal.print(f"{done} of {total} markets"))
        )
        _cycles, summary, report = interruptible(lambda: study(workspace, settings, workers=workers, progress=shown))
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    _print(summary)
    terminal.print(f"report {report}", soft_wrap=True)


def _print(summary: dict[str, Any]) -> None:
    from rich.table import Table

    from argus_core.reports.calibration import calibration_in_words
    from argus_core.reports.words import percent

    terminal = console()
    null = Table(title="null markets")
    for name in ("source", "cycles", "promote something", "rate", "95 % interval", "joint test alone"):
        null.add_column(name, justify="left" if name == "source" else "right")
    for row in summary["null"]:
        if row["cycles"]:
            interval = f"{percent(row['low'])} to {percent(row['high'])}"
            cells = (row["source"], row["cycles"], row["promoting"], percent(row["rate"]), interval)
            null.add_row(*map(str, cells), str(percent(row["joint_rate"])))
    terminal.print(null)
    if summary["power"]:
        power = Table(title=f"planted edges over {summary['years']:.2g} year(s)")
        for name in ("true Sharpe", "cycles", "found", "95 % interval", "joint alone", "ideal sweep", "ideal one"):
            power.add_column(name, justify="right")
        for row in summary["power"]:
            interval = f"{percent(row['low'], 0)} to {percent(row['high'], 0)}"
            ideal = percent(row["limit_sweep"], 0) or "-"
            cells = (row["sharpe"], row["cycles"], percent(row["power"], 0), interval, percent(row["joint"], 0), ideal)
            power.add_row(*map(str, cells), str(percent(row["limit_one"], 0)))
        terminal.print(power)
        costly = [row for row in summary["gates"] if row["sharpe"] and row["cost"] > 0]
        gates = Table(title="what single gates cost: found without the gate, less found with it")
        for name in ("true Sharpe", "gate", "lets through alone", "found without it", "cost"):
            gates.add_column(name, justify="left" if name == "gate" else "right")
        for row in costly:
            shares = (percent(row[name], 0) or "-" for name in ("alone", "without", "cost"))
            gates.add_row(str(row["sharpe"]), row["gate"], *shares)
        if costly:
            terminal.print(gates)
    headline, words = calibration_in_words(summary)
    terminal.print(f"[bold]{headline}.[/] {words}", soft_wrap=True)
