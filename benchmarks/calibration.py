"""How often does a whole cycle promote something: on markets without any edge, and on markets with a planted one?

Run: python benchmarks/calibration.py [--seeds 20] [--sessions 252] [--drift-bp 25] [--processes 2] [--work DIR]

Each seed is one simulated SPY market run through the whole loop (bars, labels, pack, two swept strategies, joint test,
kill rules, candidates), once in null mode and once with an overnight drift planted. Prints a line per cycle and the
shares with Clopper-Pearson intervals. Finished cycles are kept in the work folder, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import yaml
from scipy.stats import beta

from argus_core.calendar import load_calendar

ROOT = Path(__file__).resolve().parent.parent
END = date(2025, 3, 31)


def write_project(folder: Path, market: str, seed: int, sessions: int, drift: float) -> Path:
    """A project folder for one market; the shipped sweeps, one symbol."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    for name in ("argus.yaml", "sweeps"):
        link = folder / "config" / name
        if not link.exists():
            link.symlink_to(ROOT / "config" / name)
    universe = yaml.safe_load((ROOT / "config" / "universe.yaml").read_text())
    # No strategy here trades options, and chains are most of a simulated day's work.
    universe["instruments"]["SPY"]["options"] = False
    (folder / "config" / "universe.yaml").write_text(yaml.safe_dump(universe))
    simulation = {"seed": seed, "mode": "null" if market == "null" else "calibrated"}
    if market == "planted":
        simulation["planted"] = {"overnight_drift_bp": drift}
    start = load_calendar("XNYS").last_sessions(END, sessions)[0]
    document = {
        "overrides": {"calendar": {"start_date": "2024-01-02"}, "providers": {"simulation": simulation}},
        "pack": {"symbols": ["SPY"], "start_date": start.isoformat(), "end_date": END.isoformat()},
        "strategies": [
            {"strategy_class": "BuyAndHold"},
            {"strategy_class": "OvernightSession", "sweep": "config/sweeps/overnight_session.yaml"},
            {"strategy_class": "EmaCrossAtr", "sweep": "config/sweeps/ema_cross_atr.yaml"},
        ],
    }
    path = folder / "config" / "loop.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def cycle(work: Path, market: str, seed: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Run one cycle (or read its stored result)."""
    folder = work / f"{market}_{seed}"
    result = folder / "data" / "rankings" / f"strategy_rankings_{END}.json"
    config = write_project(folder, market, seed, arguments.sessions, arguments.drift_bp)
    environment = os.environ | {"DAGSTER_HOME": str(folder / "dagster_home")}
    command = [sys.executable, "-m", "argus_dagster.cli", "loop", "--once", "--config", str(config)]
    if not result.is_file():
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
        if done.returncode:
            raise RuntimeError(f"{folder}: {done.stderr[-2000:]}")
    rankings = json.loads(result.read_text())
    trials = [row for row in rankings["rankings"] if row["role"] == "trial"]
    alive = [row for row in trials if not row["killed"]]
    best = max((row["sharpe"] for row in trials if row["sharpe"] is not None), default=None)
    return {
        "market": market,
        "seed": seed,
        "trials": len(trials),
        "promoted": len(alive),
        "strategies": sorted({row["strategy"] for row in alive}),
        "joint_p": rankings["joint_test"].get("p_consistent"),
        "best_sharpe": best,
    }


def interval(hits: int, total: int) -> tuple[float, float]:
    """95 % Clopper-Pearson interval."""
    low = beta.ppf(0.025, hits, total - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, total - hits) if hits < total else 1.0
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=252)
    parser.add_argument("--drift-bp", type=float, default=25.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, default=None)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="argus-calibration-"))
    jobs = [(market, seed) for seed in range(1, arguments.seeds + 1) for market in ("null", "planted")]
    results = []
    with ThreadPoolExecutor(arguments.processes) as pool:
        for found in pool.map(lambda job: cycle(work, *job, arguments), jobs):
            print(json.dumps(found), flush=True)
            results.append(found)
    for market in ("null", "planted"):
        mine = [found for found in results if found["market"] == market]
        hits = sum(bool(found["promoted"]) for found in mine)
        low, high = interval(hits, len(mine))
        print(f"{market}: {hits} of {len(mine)} cycles promoted something (95 % interval {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
