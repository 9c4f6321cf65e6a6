"""Both replay engines beside vectorbt, backtesting.py and NautilusTrader, in one run on the same bars.

Rerun: python benchmarks/replay.py [--full] [--device gpu] [--json results.json] [--peers FOLDER]

Every contestant is a process of its own (`replay_sides/`), the peers in virtual environments that are made in FOLDER
the first time (outside the project; a peer that cannot be installed is left out with a line that says why). Fills and
final equity of every contestant are compared with a plain loop before anything is timed. Figures are CPU seconds of the
measured process, best of several rounds in which the contestants take turns, so that other load on the machine meets
them alike. Without --full: fewer rounds and smaller sweeps, a few minutes.

Bars: bench/ema_cross_bars.parquet of ARGUS_SHARED_DATA where present, else a random walk of equal shape. Rule: 100
shares while EMA(20) of the close is above EMA(100), from row 1,000 on. "costs": a cent of half spread, slippage and
commissions at their defaults; sweeps with costs enter at crosses and carry a stop. The peers trade free of costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from replay_sides.contestants import Failed, Side, argus_side, contestants

ROOT = Path(__file__).resolve().parent.parent
FAST, SLOW, SHARES, FIRST, CASH = 20, 100, 100.0, 1_000, 1_000_000.0
BASES = ("signal_close", "next_open", "next_close")
#: What the stored bars are known to give, agreed by ten engines: fills, and final equity by price basis.
KNOWN_FILLS, KNOWN_EQUITY = 1_340, {"signal_close": 990_929.0, "next_open": 990_092.0, "next_close": 988_775.0}
KNOWN_SWEEP_FILLS = 575_046
FULL_SWEEP = [(fast, slow) for slow in range(110, 610, 10) for fast in range(5, 105, 5)]


# --- bars and truth ---------------------------------------------------------------------------------------------------


def stored_bars() -> tuple[dict[str, np.ndarray], bool]:
    """The bars, and whether they are the stored ones."""
    path = Path(os.environ.get("ARGUS_SHARED_DATA", ROOT.parent / "shared" / "data")) / "bench/ema_cross_bars.parquet"
    if not path.exists():
        return generated_bars(), False
    table = pl.read_parquet(path)
    numbers = {name: table[name].cast(pl.Float64).to_numpy() for name in ("open", "high", "low", "close", "volume")}
    return {"ts_us": table["ts_ns"].to_numpy() // 1_000, **numbers}, True


def generated_bars(days: int = 252, per_day: int = 390) -> dict[str, np.ndarray]:
    """A random walk in cents, seed 7, as long as the stored bars."""
    height = days * per_day
    rng = np.random.default_rng(7)
    steps = rng.normal(0, 0.15 / np.sqrt(252 * 390), (height, 4))
    path = np.round(500 * np.exp(np.cumsum(steps).reshape(height, 4)), 2)
    minute = np.arange(height)
    ts = 1_738_593_000_000_000 + (minute // per_day) * 86_400_000_000 + (minute % per_day) * 60_000_000
    return {
        "ts_us": ts,
        "open": path[:, 0],
        "high": path.max(1),
        "low": path.min(1),
        "close": path[:, 3],
        "volume": np.floor(rng.uniform(1e4, 1e5, height)),
    }


def plain_loop(bars: Mapping[str, np.ndarray], basis: str) -> tuple[int, float]:
    """Fills and final equity of the rule, by a loop that anyone can check."""
    opens, closes = bars["open"].tolist(), bars["close"].tolist()
    fast = slow = closes[0]
    cash, held, fills, wanted = CASH, 0.0, 0, None
    for row, close in enumerate(closes):
        if wanted is not None and basis != "signal_close" and wanted != (held > 0):
            cash, held = _filled(cash, held, opens[row] if basis == "next_open" else close)
            fills += 1
        fast += (close - fast) * 2 / (FAST + 1)
        slow += (close - slow) * 2 / (SLOW + 1)
        wanted = fast > slow if row >= FIRST and row < len(closes) - 1 else None
        if wanted is not None and basis == "signal_close" and wanted != (held > 0):
            cash, held = _filled(cash, held, close)
            fills += 1
    # What is held at the end is closed at the last close.
    return fills + (held > 0), cash + held * closes[-1]


def _filled(cash: float, held: float, price: float) -> tuple[float, float]:
    return (cash + held * price, 0.0) if held else (cash - SHARES * price, SHARES)


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass
class Entry:
    """One line of the table."""

    label: str
    side: Side
    task: str
    arguments: dict[str, Any]
    #: Units of work of one run, for the rate.
    units: float
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        return min(run["cpu"] for run in self.runs)

    @property
    def first(self) -> float:
        """CPU seconds of the very first call: what it compiles is in there."""
        return self.runs[0]["cpu"]


class Report:
    """What was measured, printed and kept for the file."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def measure(self, title: str, unit: str, entries: Sequence[Entry], rounds: int) -> None:
        """Let the entries take turns for ``rounds`` rounds after one that warms them up; print them. The first entry is
        what the others are compared with. An entry whose contestant fails is left out."""
        alive = []
        for entry in entries:
            try:
                entry.runs.append(entry.side.ask(entry.task, **entry.arguments))
                alive.append(entry)
            except Failed as error:
                print(f"left out: {error}")
        for _ in range(rounds):
            for entry in alive:
                entry.runs.append(entry.side.ask(entry.task, **entry.arguments))
        print(f"\n{title}\n{'':<58} {'CPU s':>9} {unit + '/CPU s':>20} {'Argus is':>9} {'first call':>11}")
        for entry in alive:
            rate, ratio = entry.units / entry.cpu, entry.cpu / alive[0].cpu
            shown = "" if entry is alive[0] or entry.side is alive[0].side else f"{ratio:.1f}x"
            print(f"{entry.label:<58} {entry.cpu:>9.4f} {rate:>20,.0f} {shown:>9} {entry.first:>11.3f}", flush=True)
            self.add(title, entry.label, cpu_s=entry.cpu, rate=rate, unit=unit, ratio=ratio, first_call_s=entry.first)

    def add(self, title: str, label: str, **values: Any) -> None:
        self.rows.append({"work": title, "label": label, **values})


def check(bars: Mapping[str, np.ndarray], sides: Mapping[str, Side], stored: bool) -> None:
    """Same fills first: every contestant against the plain loop, Argus in all conventions and both interfaces."""
    truth = {basis: plain_loop(bars, basis) for basis in BASES}
    if stored:
        for basis, (fills, equity) in truth.items():
            agree(f"plain loop, {basis}", (fills, equity), (KNOWN_FILLS, KNOWN_EQUITY[basis]))
    argus = sides["argus"]
    for basis in BASES:
        for task, extra in (("callback", {}), ("lane", {"whole": False})):
            found = argus.ask(task, costs=False, basis=basis, **extra)
            agree(f"Argus {task}, {basis}", (found["fills"], found["equity"]), truth[basis])
    for name, basis, task, extra in (
        ("backtesting", "next_open", "callback", {}),
        ("nautilus", "signal_close", "callback", {}),
        ("vectorbt-rust", "next_open", "lane", {"lean": True, "whole": False}),
        ("vectorbt-numba", "next_open", "lane", {"lean": True, "whole": False}),
    ):
        if name in sides:
            found = sides[name].ask(task, **extra)
            agree(sides[name].label, (found["fills"], found["equity"]), truth[basis])
    told = ", ".join(f"{basis} {equity:,.0f}" for basis, (_, equity) in truth.items())
    names = ", ".join(side.label for side in sides.values())
    print(f"checked: {truth['next_open'][0]:,} fills; final equity {told}\nequal to a plain loop: {names}")


def agree(who: str, found: tuple[int, float], expected: tuple[int, float]) -> None:
    if found[0] != expected[0] or abs(found[1] - expected[1]) > 0.01:
        raise SystemExit(
            f"{who}: {found[0]:,} fills and {found[1]:,.2f}, expected {expected[0]:,} and {expected[1]:,.2f}."
        )


def check_sweep(sides: Mapping[str, Side], pairs: Sequence[tuple[int, int]], stored: bool) -> None:
    """Fills and final equity of every combination, Argus without costs against vectorbt."""
    found = sides["argus"].ask("sweep", costs=False, pairs=pairs)
    fills = sum(found["fills"])
    if stored and len(pairs) == len(FULL_SWEEP) and fills != KNOWN_SWEEP_FILLS:
        raise SystemExit(f"sweep: {fills:,} fills, expected {KNOWN_SWEEP_FILLS:,}.")
    for name in ("vectorbt-rust", "vectorbt-numba"):
        if name in sides:
            other = sides[name].ask("sweep", lean=True, pairs=pairs)
            for k, pair in enumerate(pairs):
                expected = (other["fills"][k], other["equity"][k])
                agree(f"sweep {pair} against {name}", (found["fills"][k], found["equity"][k]), expected)
            print(f"checked: {fills:,} fills of {len(pairs):,} combinations equal one by one to {sides[name].label}")
            return


# --- sections ---------------------------------------------------------------------------------------------------------


def callbacks(report: Report, sides: Mapping[str, Side], height: int, rounds: int) -> None:
    entries = [
        Entry("Argus callback, costs, full accounting", sides["argus"], "callback", {"costs": True}, height),
        Entry("Argus callback, no costs", sides["argus"], "callback", {"costs": False}, height),
        Entry("Argus callback, 10,000 limit orders resting", sides["argus"], "resting", {"orders": 10_000}, height),
    ]
    for name, label in (("backtesting", "run(), no costs"), ("nautilus", "BacktestEngine, no costs")):
        if name in sides:
            entries.append(Entry(f"{sides[name].label} {label}", sides[name], "callback", {}, height))
    report.measure("Callback replay, one strategy", "bars", entries, rounds)


def one_lane(report: Report, sides: Mapping[str, Side], height: int, rounds: int) -> None:
    for title, whole in (("One lane, signals given", False), ("One lane, from prices: averages, signals", True)):
        what = "market prepared" if not whole else "market preparation in"
        entries = [
            Entry(f"Argus, {kind}, {what}", sides["argus"], "lane", {"costs": costs, "whole": whole}, height)
            for kind, costs in (("costs", True), ("no costs", False))
        ]
        for name in ("vectorbt-rust", "vectorbt-numba"):
            for lean, made in ((True, "orders and total return"), (False, "trades and daily equity too")):
                if name in sides:
                    label = f"{sides[name].label}, {made}"
                    entries.append(Entry(label, sides[name], "lane", {"lean": lean, "whole": whole}, height))
        report.measure(f"{title}; trades and daily returns out", "bars", entries, rounds)


def sweeps(report: Report, sides: Mapping[str, Side], pairs: list, rounds: int, *, cache: Path, bars: Path) -> None:
    argus, count = sides["argus"], len(pairs)
    entries = [
        Entry("Argus, costs and stops", argus, "sweep", {"costs": True, "pairs": pairs}, count),
        Entry("Argus, no costs, no stops", argus, "sweep", {"costs": False, "pairs": pairs}, count),
    ]
    for name in ("vectorbt-rust", "vectorbt-numba"):
        for lean, made in ((True, "orders and total return"), (False, "trades and daily equity too")):
            if name in sides and (lean or name == "vectorbt-rust"):
                label = f"{sides[name].label}, no costs, {made}"
                entries.append(Entry(label, sides[name], "sweep", {"lean": lean, "pairs": pairs}, count))
    title = f"Sweep of {count:,} combinations, from prices; trade lists and daily returns out"
    report.measure(title, "combinations", entries, rounds)
    again = argus_side(bars, cache)
    warm = again.ask("sweep", costs=True, pairs=pairs)["cpu"]
    again.close()
    compiling = entries[0].first - entries[0].cpu
    print(f"compile time of the sweep: about {compiling:.1f} CPU s once; a new process with the compile cache filled")
    print(f"needs {warm:.2f} CPU s for its first sweep, {entries[0].cpu:.2f} s for the next")
    report.add(title, "compile", compile_cpu_s=compiling, first_call_with_cache_cpu_s=warm)


def large_sweep(report: Report, bars: Path, cache: Path, fasts: int, slows: int, base: Mapping[str, Any]) -> None:
    side = argus_side(bars, cache)
    found = side.ask("stream", fasts=fasts, slows=slows, first_slow=110)
    side.close()
    count = fasts * slows
    print(f"\nSweep of {count:,} combinations, {base['bars']:,} bars, costs and stops, streamed, daily returns kept")
    print(f"CPU s {found['cpu']:.1f} ({count / found['cpu']:,.0f} combinations/CPU s), wall s {found['wall']:.1f}")
    print(f"trades made {found['trades']:,}; resident memory: {found['data']:,.0f} MiB with the data loaded,")
    print(
        f"{found['above_data']:,.0f} MiB more at the peak (returns of all runs: {found['kept']:,.0f} MiB)", flush=True
    )
    keys = ("cpu", "wall", "trades", "above_data", "data", "kept")
    report.add("large sweep", f"{count} combinations", **{key: found[key] for key in keys})


def scaling(report: Report, sides: Mapping[str, Side], height: int, *, full: bool) -> None:
    """Is the cost linear? Least-squares slope of log time over log work."""
    argus = sides["argus"]
    square = [(fast, slow) for slow in range(110, 190, 10) for fast in range(5, 45, 5)]
    many = [(fast, slow) for slow in range(110, 1110, 10) for fast in range(5, 105, 10)]
    bar_steps, lane_steps = ((1, 10, 100), (10, 100, 1_000)) if full else ((1, 4, 10), (10, 50, 100))
    for title, steps, tasks in (
        (f"bars, x{height:,}, 64 lanes", bar_steps, [{"pairs": square, "copies": n} for n in bar_steps]),
        (f"lanes, {height:,} bars", lane_steps, [{"pairs": many[:n]} for n in lane_steps]),
    ):
        times = []
        for step, task in zip(steps, tasks, strict=True):
            argus.ask("sweep", costs=True, **task)
            repeats = 1 if step >= 100 and task.get("copies") else 3
            times.append(min(argus.ask("sweep", costs=True, **task)["cpu"] for _ in range(repeats)))
        slope = float(np.polyfit(np.log(steps), np.log(times), 1)[0])
        told = ", ".join(f"{step:,}: {seconds:.3f}" for step, seconds in zip(steps, times, strict=True))
        print(f"\nCost by {title}: CPU s at {told}; slope of log time over log work {slope:.2f}", flush=True)
        report.add(f"cost by {title}", "slope", steps=list(steps), cpu_s=times, slope=slope)


def on_gpu(report: Report, bars: Path, cache: Path, fasts: int, slows: int) -> None:
    """The large sweep on the GPU and on the CPU of this machine: wall seconds, equal trades."""
    try:
        gpu = argus_side(bars, cache, "cuda")
        gpu.ask("stream", fasts=10, slows=10, first_slow=110)
    except Failed as error:
        print(f"\nGPU skipped: JAX finds no CUDA device here ({error})")
        return
    cpu = argus_side(bars, cache)
    cpu.ask("stream", fasts=10, slows=10, first_slow=110)
    work = {"fasts": fasts, "slows": slows, "first_slow": 110}
    ours, theirs = gpu.ask("stream", **work), cpu.ask("stream", **work)
    gpu.close()
    cpu.close()
    same = ours["trades_hash"] == theirs["trades_hash"]
    apart = float(np.max(np.abs(np.array(ours["equity"]) / np.array(theirs["equity"]) - 1)))
    print(
        f"\nGPU, {fasts * slows:,} lanes: wall s {ours['wall']:.1f}, CPU of the same machine {theirs['wall']:.1f}, ",
        end="",
    )
    print(f"ratio {theirs['wall'] / ours['wall']:.1f}x; trades {'identical' if same else 'DIFFER'}, ", end="")
    print(f"final equity within {apart:.1e}")
    report.add("gpu", f"{fasts * slows} lanes", wall_s=ours["wall"], cpu_wall_s=theirs["wall"], same=same, apart=apart)
    if not same or apart > 1e-9:
        raise SystemExit("GPU and CPU disagree.")


def machine() -> dict[str, Any]:
    """What it was measured on, load averages included."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0].split(":")[1].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def main() -> None:
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "argus" / "peers"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="whole sweeps, more rounds, 100,000 combinations")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: the large sweep there as well")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--peers", type=Path, default=default, help="folder of the peers' environments (%(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="Argus alone")
    arguments = parser.parse_args()
    full = arguments.full
    rounds, pairs = (6, FULL_SWEEP) if full else (3, FULL_SWEEP[::9])
    fasts, slows = (100, 1_000) if full else (100, 20)
    bars, stored = stored_bars()
    height = len(bars["close"])
    report, before = Report(), machine()
    print(f"{before['cpu']}, {before['cores']} cores, Python {before['python']}, load {before['load']}")
    print(f"{height:,} bars, {'stored' if stored else 'generated: ema_cross_bars.parquet was not found'}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        file, cache = Path(temporary) / "bars.npz", Path(temporary) / "compiled"
        np.savez(file, **bars)
        with contestants(None if arguments.no_peers else arguments.peers, file, cache) as sides:
            check(bars, sides, stored)
            callbacks(report, sides, height, rounds)
            one_lane(report, sides, height, 3 * rounds)
            sweeps(report, sides, pairs, 2 if full else 1, cache=cache, bars=file)
            check_sweep(sides, pairs, stored)
            scaling(report, sides, height, full=full)
        large_sweep(report, file, cache, fasts, slows, {"bars": height})
        if arguments.device == "gpu":
            on_gpu(report, file, cache, fasts, slows)
    after = machine()
    print(f"\nload at the end {after['load']}")
    if arguments.json:
        told = {
            "machine": before | {"load_after": after["load"]},
            "bars": height,
            "stored": stored,
            "rows": report.rows,
        }
        arguments.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
