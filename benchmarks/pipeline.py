"""Wall time, CPU and memory of each stage for a year of four symbols, and how much of it is orchestration.

Run: python benchmarks/pipeline.py [--sessions 252] [--symbols SPY QQQ IWM BTC]

The same work is done twice on fresh lakes: the stages called directly (`core`), and through Dagster's runs (`dagster`).
The difference is what orchestration costs: events, run storage, metadata, checks. Each mode is a process of its own, so
that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import yaml

from argus_core.calendar import load_calendar

ROOT = Path(__file__).resolve().parent.parent
END = date(2025, 3, 31)


def clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(mode: str, folder: Path) -> list[dict[str, object]]:
    """Do all phases once; one row per stage (`core`) or job (`dagster`)."""
    import dagster as dg

    from argus_dagster import loop
    from argus_dagster.assets import allocations, experiments, selection
    from argus_dagster.instance import use_instance
    from argus_dagster.workspace import Workspace

    workspace = Workspace.open(folder / "config" / "loop.yaml")
    use_instance(folder)
    plan = loop.plan_cycle(workspace, today=END, day=END)
    rows: list[dict[str, object]] = []

    def timed(name: str, work: object) -> None:
        wall, cpu = clock()
        work()  # type: ignore[operator]
        wall_end, cpu_end = clock()
        rows.append({"name": name, "wall": wall_end - wall, "cpu": cpu_end - cpu, "peak_mib": peak_mib()})

    before = workspace.calendar.last_sessions(plan.sessions[0], loop.REFERENCE_SESSIONS + 1)[:-1]
    wide_days = [*before, *plan.sessions]
    if mode == "core":
        for stage in loop.MARKET_STAGES:

            def market(stage: loop.Stage = stage) -> None:
                for symbol in plan.symbols:
                    stage.materialise(workspace, symbol, plan.sessions)

            timed(stage.table, market)
        for stage in loop.WIDE_STAGES:
            timed(stage.table, lambda stage=stage: stage.materialise(workspace, "", wide_days))
        for symbol in plan.symbols:
            timed(f"replay_pack + experiments {symbol}", lambda s=symbol: experiments.run_partition(workspace, s, END))

        def select() -> None:
            cycle = selection.open_cycle(workspace, END)
            evaluation = selection.judge(workspace, cycle)
            selection.store(workspace, cycle, evaluation)
            allocation = allocations.size(workspace, cycle, evaluation.candidates)
            allocations.store(workspace, END, allocation)
            allocations.write_report(workspace, cycle)

        timed("selection + report", select)
        return rows
    with dg.DagsterInstance.get() as instance:
        for symbol in plan.symbols:
            timed(f"market {symbol}", lambda s=symbol: loop.run_market(workspace, instance, s, plan.sessions))
        timed("market_wide", lambda: loop.run_wide(workspace, instance, wide_days))
        for symbol in plan.symbols:
            timed(f"research {symbol}", lambda s=symbol: loop.run_research(workspace, instance, s, [END]))
        timed("selection", lambda: loop.run_dates(workspace, instance, loop.JOBS["selection"], [END]))
    return rows


def write_project(folder: Path, sessions: int, symbols: list[str]) -> None:
    (folder / "config").mkdir(parents=True)
    for name in ("argus.yaml", "universe.yaml", "sweeps"):
        (folder / "config" / name).symlink_to(ROOT / "config" / name)
    document = yaml.safe_load((ROOT / "config" / "research_loop.yaml").read_text())
    start = load_calendar("XNYS").last_sessions(END, sessions)[0]
    document["pack"] |= {"symbols": symbols, "start_date": start.isoformat(), "end_date": END.isoformat()}
    (folder / "config" / "loop.yaml").write_text(yaml.safe_dump(document))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=252)
    parser.add_argument("--symbols", nargs="+", default=["SPY", "QQQ", "IWM", "BTC"])
    parser.add_argument("--mode", choices=["core", "dagster"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mode:
        print(json.dumps(run(arguments.mode, arguments.folder)))
        return
    totals = {}
    for mode in ("core", "dagster"):
        with tempfile.TemporaryDirectory(prefix="argus-pipeline-") as name:
            folder = Path(name)
            write_project(folder, arguments.sessions, arguments.symbols)
            command = [sys.executable, __file__, "--mode", mode, "--folder", str(folder)]
            environment = os.environ | {"DAGSTER_HOME": str(folder / "dagster_home")}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr[-3000:])
            rows = json.loads(done.stdout.splitlines()[-1])
        print(f"\n{mode}: {arguments.sessions} sessions of {', '.join(arguments.symbols)}")
        print(f"{'stage':36} {'wall s':>9} {'CPU s':>9} {'peak MiB':>9}")
        for row in rows:
            print(f"{row['name']:36} {row['wall']:9.1f} {row['cpu']:9.1f} {row['peak_mib']:9.0f}")
        totals[mode] = (sum(row["wall"] for row in rows), sum(row["cpu"] for row in rows))
        print(f"{'total':36} {totals[mode][0]:9.1f} {totals[mode][1]:9.1f}")
    wall = 1 - totals["core"][0] / totals["dagster"][0]
    cpu = 1 - totals["core"][1] / totals["dagster"][1]
    print(f"\norchestration: {wall:.0%} of the wall time, {cpu:.0%} of the CPU time")


if __name__ == "__main__":
    main()
