"""The page of a calibration: how often luck gets through, how often an edge does, and what is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from argus_core.calibration.limits import limit_of_one
from argus_core.market.lake import write_atomically
from argus_core.reports.figures import calibration_figure, p_value_figure, plotly_script
from argus_core.reports.page import Column, page, section, table, text, tiles
from argus_core.reports.words import DASH, decimal, percent, plural


def calibration_report(path: Path, cycles: pl.DataFrame, summary: Mapping[str, Any]) -> Path:
    """Write the report of a study to ``path``: one self-contained HTML file.

    Args:
        cycles: rows of `CALIBRATION_SCHEMA`; summary: of `summarise`.

    Raises:
        MissingPlotlyError: if plotly (extra ``report``) is not installed.
    """
    script = plotly_script()
    body = "".join([_header(cycles, summary), _power(summary), _gates(summary), _null(cycles, summary)])
    write_atomically(path, page("Argus · calibration", body, script).encode())
    return path


def calibration_in_words(summary: Mapping[str, Any]) -> tuple[str, str]:
    """(headline, explanation) of a study."""
    everything = summary["null"][-1]
    target = f"{percent(summary['alpha'], 0)}"
    if not everything["cycles"]:
        headline = "No null market was run"
    elif everything["low"] > summary["alpha"]:
        headline = "Luck gets through too often"
    elif everything["high"] <= summary["alpha"]:
        headline = "Luck is held back"
    else:
        headline = "Luck seems held back; more cycles would tell"
    parts = []
    if everything["cycles"]:
        parts.append(
            f"{everything['promoting']} of {plural(everything['cycles'], 'null cycle')} promoted anything: "
            f"{percent(everything['rate'])}, 95 % interval {percent(everything['low'])} to "
            f"{percent(everything['high'])}; {target} is tolerated."
        )
    span = "one year" if summary["years"] == 1 else f"{summary['years']:.2g} years"
    for row in summary["power"]:
        if row["sharpe"] == 2.0:
            parts.append(
                f"A true Sharpe of 2 over {span} is found in {percent(row['power'], 0)} of the "
                f"cycles; no test can do better than {percent(row['limit_one'], 0)} even for one known strategy."
            )
    return headline, " ".join(parts)


def _header(cycles: pl.DataFrame, summary: Mapping[str, Any]) -> str:
    headline, lead = calibration_in_words(summary)
    everything = summary["null"][-1]
    numbers = [
        (f"{cycles.height:,}", "cycles through the whole loop"),
        (percent(everything["rate"]) or DASH, f"null cycles that promote anything ({everything['cycles']:,})"),
        (f"{cycles['n_trials'].max() or 0}", "trials in the sweep"),
        (f"{cycles['sessions'].max() or 0}", "sessions per market"),
    ]
    return (
        f'<header><p class="brand">Argus · calibration</p><h1>{text(headline)}</h1>'
        f'<p class="lead">{text(lead)}</p>{tiles(numbers)}</header>'
    )


def _power(summary: Mapping[str, Any]) -> str:
    rows = summary["power"]
    if not rows:
        return ""
    columns = [Column("True annual Sharpe", "number"), Column("Cycles", "number"), Column("Found", "number")]
    columns += [Column(name, "number") for name in ("95 % interval", "Joint test alone", "Joint test and DSR")]
    columns += [Column(name, "number") for name in ("Ideal test of the sweep", "Ideal test of one strategy")]
    shown = [
        [
            decimal(row["sharpe"], 1),
            f"{row['cycles']:,}",
            percent(row["power"], 0),
            f"{percent(row['low'], 0)} to {percent(row['high'], 0)}",
            percent(row["joint"], 0),
            percent(row["joint_and_dsr"], 0),
            percent(row["limit_sweep"], 0),
            percent(row["limit_one"], 0),
        ]
        for row in rows
    ]
    top = max(row["sharpe"] for row in rows)
    grid = np.linspace(0.0, top, 60)
    limit = [limit_of_one(float(s), summary["years"], summary["alpha"]) for s in grid]
    say = (
        "An edge of a stated size, after costs, planted in null markets. The dotted lines are what the mathematics "
        "allow: the most powerful test of a single known strategy, and of the largest t-value of the same sweep."
    )
    longer = [
        [
            decimal(row["sharpe"], 1),
            *[f"{percent(one['sweep'], 0) or DASH} / {percent(one['one'], 0)}" for one in row["limit_by_years"]],
        ]
        for row in rows
    ]
    years = [Column("True annual Sharpe", "number")]
    for one in rows[0]["limit_by_years"]:
        span = "1 year" if one["years"] == 1 else f"{one['years']:g} years"
        years.append(Column(f"{span}, sweep / one", "number"))
    figure = calibration_figure("power", rows, grid.tolist(), limit)
    return section("Power", say, figure, table(columns, shown)) + section(
        "Limits of a longer history",
        "Power of the ideal tests, of this sweep and of one strategy.",
        table(years, longer),
    )


def _gates(summary: Mapping[str, Any]) -> str:
    rows = [row for row in summary["gates"] if row["sharpe"]]
    if not rows:
        return ""
    columns = [Column("True annual Sharpe", "number"), Column("Gate"), Column("Lets a run through alone", "number")]
    columns += [Column("Found without this gate", "number"), Column("Cost in power", "number")]
    shown = [
        [decimal(row["sharpe"], 1), row["gate"], *[percent(row[name], 0) for name in ("alone", "without", "cost")]]
        for row in rows
    ]
    say = "Costs do not add up: where two gates hold back the same run, neither costs anything alone."
    return section("What each gate costs", say, table(columns, shown))


def _null(cycles: pl.DataFrame, summary: Mapping[str, Any]) -> str:
    rows: Sequence[Mapping[str, Any]] = [row for row in summary["null"] if row["cycles"]]
    if not rows:
        return ""
    columns = [Column("Source"), Column("Cycles", "number"), Column("Promote something", "number")]
    columns += [Column("Rate", "number"), Column("95 % interval", "number"), Column("Joint test alone", "number")]
    shown = [
        [
            row["source"],
            f"{row['cycles']:,}",
            row["promoting"],
            percent(row["rate"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            percent(row["joint_rate"]),
        ]
        for row in rows
    ]
    p_values = cycles.filter(pl.col("true_sharpe") == 0)["joint_p"].to_list()
    say = (
        "Markets without an edge. Costs make every lane lose a little, so the joint p-values lie above the uniform "
        "distribution, and fewer cycles than the level promote anything."
    )
    return section("Null markets", say, p_value_figure("null", p_values), table(columns, shown))
