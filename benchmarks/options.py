"""Options beside QuantLib and vollib: one table of the goals G1 to G12.

Rerun: `python benchmarks/options.py [side ...]` (needs the extra `test` for the peers); `--markdown` prints the table
of docs/benchmarks.md. Every side of `benchmarks/option_sides` has ``rows()``, a list of mappings:

* ``goal``: G1 .. G12, ``name``: what is measured; or ``name`` begins with G1 .. G12 and ``goal`` is the target;
* ``ours``, ``peer``: as text with unit, peer with its name and version; ``peer`` may be missing;
* ``ratio``: peer over ours, in CPU seconds or as said in ``name``; may be missing;
* ``target``: the goal in words; ``reached``: whether ours meets it, None where it was not measured;
* ``compile``: seconds that the first call took longer, where something is compiled; not part of ``ours``.

A side that is missing or fails is told and skipped. Times are CPU seconds, best of several, unless they say wall.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import re
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIDES = ("analytic", "implied_vol", "monte_carlo", "surface", "calibration")
COLUMNS = ("goal", "name", "ours", "peer", "ratio", "target", "reached", "compile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sides", nargs="*", choices=[*SIDES, []], help="default: all")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    arguments = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    found: list[dict[str, Any]] = []
    for side in arguments.sides or SIDES:
        started = time.perf_counter()
        found += _rows_of(side)
        print(f"{side}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    found.sort(key=lambda row: (_number(row["goal"]), row["goal"]))
    _print(found, markdown=arguments.markdown)
    absent = sorted({f"G{i}" for i in range(1, 13)} - {str(row["goal"]) for row in found}, key=_number)
    if absent:
        print(f"\nNot measured in this run: {', '.join(absent)}.")


def _rows_of(side: str) -> list[dict[str, Any]]:
    """Rows of one side; what went wrong, as one row, where it cannot run."""
    if not (ROOT / "benchmarks" / "option_sides" / f"{side}.py").is_file():
        return [_complete({"goal": "-", "name": f"{side}: missing (no benchmarks/option_sides/{side}.py)"})]
    try:
        return [_complete(row) for row in importlib.import_module(f"option_sides.{side}").rows()]
    except Exception as error:  # one side must not take the others with it
        traceback.print_exc()
        return [_complete({"goal": "-", "name": f"{side}: failed: {type(error).__name__}: {error}"})]


def _complete(row: Any) -> dict[str, Any]:
    given = dataclasses.asdict(row) if dataclasses.is_dataclass(row) and not isinstance(row, type) else dict(row)
    if not isinstance(given, Mapping) or not {"goal", "name"} <= set(given):
        raise ValueError(f"benchmark row {given!r}: it needs the keys goal and name; known keys: {', '.join(COLUMNS)}.")
    begun = re.match(r"(G\d+)\s+(.*)", str(given["name"]))
    if begun and not re.match(r"G\d+$", str(given["goal"])):
        given = {**given, "goal": begun[1], "name": begun[2], "target": given["goal"]}
    return {column: given.get(column) for column in COLUMNS}


def _number(goal: Any) -> int:
    return int(str(goal)[1:]) if re.match(r"G\d+$", str(goal)) else 99


def _text(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column == "reached":
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.1f}x" if column == "ratio" else f"{value:.2f} s" if column == "compile" else f"{value:.4g}"
    return str(value)


def _print(rows: list[dict[str, Any]], *, markdown: bool) -> None:
    table = [list(COLUMNS)] + [[_text(column, row[column]) for column in COLUMNS] for row in rows]
    if markdown:
        for number, line in enumerate(table):
            print("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |")
            if not number:
                print("|" + "---|" * len(COLUMNS))
        return
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
