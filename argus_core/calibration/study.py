"""Run the whole loop on many null and planted markets and count what it promotes.

A cycle is: market → gates → outcomes and regimes → sealed pack → replay of the sweep with costs, lookahead proof, Monte
Carlo, walk-forward, cost re-runs → joint test, deflation and every kill rule. The functions are those of the assets, in
one process, without a lake. Every number follows from the source and the seed: the order and the number of workers do
not matter, and finished markets are kept, so that an interrupted study goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

import argus_core
from argus_core.calendar import load_calendar
from argus_core.calibration.gates import JOINT, reason_sets
from argus_core.calibration.markets import (
    MarketSource,
    RealSessions,
    SessionTape,
    real_sessions,
    tape_of,
    with_night_drift,
)
from argus_core.evaluation import BENCHMARK_STRATEGY, Evaluation, evaluate
from argus_core.experiments import ExperimentSet, run_experiments
from argus_core.market.lake import write_atomically
from argus_core.market.sources import SimulatedSource
from argus_core.packs.rehearsal import gated_bars, pack_of_bars
from argus_core.settings import Project, SettingsError, StrategySpec, UniverseSettings, canonical_hash
from argus_core.settings.calibration import CalibrationSettings

#: One row per cycle. ``true_sharpe``: planted, annual, after costs, of the best lane (0: null market).
#: ``promoted``: runs that survive every gate; ``passes_joint``, ``passes_joint_and_dsr``: runs that these alone would
#: let pass. ``reason_sets``: JSON, the kill reasons that runs share -> how many runs (`calibration.gates`).
#: ``lane_t``: t-value of every trial, in the order of their parameters.
CALIBRATION_SCHEMA: Mapping[str, Any] = {
    "source": pl.String,
    "seed": pl.Int64,
    "true_sharpe": pl.Float64,
    "sessions": pl.Int32,
    "n_trials": pl.Int32,
    "night_drift_bp": pl.Float64,
    "promoted": pl.Int32,
    "passes_joint": pl.Int32,
    "passes_joint_and_dsr": pl.Int32,
    "joint_p": pl.Float64,
    "best_sharpe": pl.Float64,
    "best_dsr": pl.Float64,
    "best_reasons": pl.String,
    "reason_sets": pl.String,
    "lane_t": pl.List(pl.Float64),
}
_SWEEP = Path(__file__).with_name("sweep.yaml")
_PRICE = 500.0


@dataclass(frozen=True)
class Task:
    """One market: its source and seed, and the Sharpe ratios to plant in it (0 first: the market as it is)."""

    source: MarketSource
    seed: int
    sharpes: tuple[float, ...]


def calibrate(
    project: Project,
    settings: CalibrationSettings,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """Run (or read) every cycle of the study: `CALIBRATION_SCHEMA`, sorted by source, Sharpe and seed.

    Args:
        project: its gates, execution, experiment and evaluation settings are what is calibrated.
        workers: processes; the result is the same for any number.
        progress: called with finished and all markets.

    Raises:
        SettingsError: if a source needs real bars and none are named, or they are too short.
    """
    folder = project.resolve(settings.output_dir) / "cycles"
    tasks = tasks_of(settings)
    sessions = real_of(project, settings) if any(task.source != "simulated" for task in tasks) else None
    loop = calibration_project(project, settings)
    # A machine's path is no part of what a cycle rests on.
    lane = StrategySpec(strategy_class=settings.strategy_class)
    plain = replace(loop, loop=loop.loop.model_copy(update={"strategies": (lane,)}))
    sweep = loop.resolve(loop.loop.strategies[1].sweep or "").read_text()
    drawn = "" if sessions is None else canonical_hash({"bars": np.round(sessions.offsets, 12).tobytes().hex()})
    stamp = canonical_hash(
        {"loop": plain.config_hash, "sweep": sweep, "settings": settings.identity(), "code": _code_hash()}
    )
    rows: list[dict[str, Any]] = []
    todo: list[tuple[Task, Path]] = []
    for task in tasks:
        path = folder / f"{task.source}_{task.seed}_{stamp[:8]}{drawn[:8] if task.source != 'simulated' else ''}.json"
        known = json.loads(path.read_text()) if path.is_file() else []
        if {row["true_sharpe"] for row in known} >= set(task.sharpes):
            rows += [row for row in known if row["true_sharpe"] in task.sharpes]
        else:
            todo.append((task, path))
    progress(len(tasks) - len(todo), len(tasks))
    for number, (path, found) in enumerate(_finished(loop, settings, sessions, todo, workers), start=1):
        write_atomically(path, (json.dumps(found, sort_keys=True) + "\n").encode())
        rows += found
        progress(len(tasks) - len(todo) + number, len(tasks))
    return pl.DataFrame(rows, schema=dict(CALIBRATION_SCHEMA)).sort("source", "true_sharpe", "seed")


def tasks_of(settings: CalibrationSettings) -> list[Task]:
    """Markets of a study: every source gets its share of the null and planted cycles; planted ones are null too."""
    tasks = []
    for number, source in enumerate(settings.sources):
        null, planted = (
            _share(n, number, len(settings.sources)) for n in (settings.null_cycles, settings.planted_cycles)
        )
        for k in range(max(null, planted)):
            sharpes = (0.0, *sorted(set(settings.planted_sharpes) - {0.0})) if k < planted else (0.0,)
            tasks.append(Task(source, settings.seed + k, sharpes))
    return tasks


def calibration_project(project: Project, settings: CalibrationSettings) -> Project:
    """``project`` with one symbol on coarse bars and the study's sweep; gates, fills and thresholds as they are."""
    known = project.universe.instruments.get(settings.symbol)
    terms = known.model_dump(exclude_unset=True) if known else {"asset_class": "etf", "spread_bps": 0.25}
    terms |= {"bar_seconds": settings.bar_seconds, "options": False}
    terms = {name: value for name, value in terms.items() if name not in ("symbol", "bars_provider")}
    sweep = str(project.resolve(settings.sweep) if settings.sweep else _SWEEP)
    days = load_calendar(project.platform.calendar.name).last_sessions(settings.end_date, settings.sessions)
    pack = project.loop.pack.model_copy(
        update={
            "mode": "single",
            "symbols": (settings.symbol,),
            "start_date": days[0],
            "end_date": days[-1],
            "last_n_days": None,
            "bars_provider": "sim",
            "references": {},
            "warmup_days": 0,
        }
    )
    strategies = (
        StrategySpec(strategy_class=BENCHMARK_STRATEGY),
        StrategySpec(strategy_class=settings.strategy_class, sweep=sweep),
    )
    evaluation = project.loop.evaluation.model_copy(update={"kill_thresholds_file": None})
    thresholds = project.loop.evaluation.kill_thresholds_file
    if thresholds:
        from argus_core.evaluation import read_thresholds

        merged = project.loop.evaluation.kill_thresholds.model_copy(update=read_thresholds(project.resolve(thresholds)))
        evaluation = evaluation.model_copy(update={"kill_thresholds": merged})
    loop = project.loop.model_copy(update={"pack": pack, "strategies": strategies, "evaluation": evaluation})
    universe = UniverseSettings.parse({"instruments": {settings.symbol: terms}}, source="calibration")
    return replace(project, loop=loop, universe=universe)


def real_of(project: Project, settings: CalibrationSettings) -> RealSessions:
    """Whole sessions of the study's real bars.

    Raises:
        SettingsError: naming the key and the fix.
    """
    if not settings.real_bars:
        raise SettingsError(
            "calibration.real_bars: the sources signs and blocks redraw real bars, and none are named. Name a Parquet "
            "file with ts, open, high, low, close, volume, or leave these sources out."
        )
    path = project.resolve(settings.real_bars)
    if not path.is_file():
        raise SettingsError(f"calibration.real_bars: no file at {path}.")
    loop = calibration_project(project, settings)
    try:
        return real_sessions(
            pl.read_parquet(path), load_calendar(project.platform.calendar.name), loop.instrument(settings.symbol)
        )
    except ValueError as error:
        raise SettingsError(f"calibration.real_bars {path}: {error}") from None


def run_market(
    project: Project, settings: CalibrationSettings, task: Task, sessions: RealSessions | None
) -> list[dict[str, Any]]:
    """The cycles of one market: as it is, then with every Sharpe of the task planted."""
    calendar = load_calendar(project.platform.calendar.name)
    days = calendar.last_sessions(settings.end_date, settings.sessions)
    symbol = settings.symbol
    if task.source == "simulated":
        simulation = project.platform.providers.simulation.model_copy(
            update={"seed": task.seed, "mode": "null", "planted": type(project.platform.providers.simulation)().planted}
        )
        providers = project.platform.providers.model_copy(update={"simulation": simulation})
        market = replace(project, platform=project.platform.model_copy(update={"providers": providers}))
        source: Any = _BarsAlone(SimulatedSource(market, calendar))
    else:
        assert sessions is not None
        redrawn = sessions.redrawn(task.source, len(days), task.seed)
        source = tape_of(redrawn, calendar, project.instrument(symbol), list(days), _PRICE)
    bars = gated_bars(project, calendar, source, symbol, days)
    rows, base = [], None
    for sharpe in (0.0, *[s for s in task.sharpes if s]):
        drift = 0.0 if base is None else night_drift(base, sharpe)
        with TemporaryDirectory() as folder:
            pack = pack_of_bars(project, calendar, symbol, with_night_drift(bars, drift) if drift else bars, folder)
            found = run_experiments(pack, project, calendar=calendar)
        if base is None:
            base = found
        if sharpe in task.sharpes:
            evaluation = evaluate(
                found.runs, found.returns, found.ledger, project.loop.evaluation, project.loop.experiment
            )
            rows.append(_row(task, sharpe, drift, evaluation, settings.sessions))
    return rows


def night_drift(null: ExperimentSet, sharpe: float) -> float:
    """Drift per night at which the best lane has an expected annual Sharpe of ``sharpe`` after costs.

    Volatility and costs of every lane are those it had in the null market; each of its trades is exposed to one night.
    The drift is the smallest at which a lane gets there, so no lane has more than ``sharpe``.

    Raises:
        SettingsError: if no lane trades.
    """
    lanes = null.runs.filter((pl.col("strategy") != BENCHMARK_STRATEGY) & (pl.col("status") == "ok"))
    needed = [
        (sharpe * lane["volatility"] / lane["days_per_year"] + lane["costs"] / lane["starting_cash"] / lane["n_days"])
        / (lane["n_trades"] / lane["n_days"])
        for lane in lanes.filter(pl.col("n_trades") > 0).iter_rows(named=True)
    ]
    if not needed:
        raise SettingsError("calibration.strategy_class: no lane of the sweep trades, so no edge can be planted in it.")
    return min(needed)


class _BarsAlone:
    """The simulated market without references and chains."""

    def __init__(self, source: SimulatedSource) -> None:
        self._source, self._none = source, SessionTape({})

    def bars(self, instrument: Any, day: Any) -> pl.DataFrame:
        return self._source.bars(instrument, day)

    def references(self, symbols: Any, day: Any) -> pl.DataFrame:
        return self._none.references(symbols, day)

    def option_quotes(self, underlying: str, day: Any) -> pl.DataFrame:
        return self._none.option_quotes(underlying, day)


def _finished(
    project: Project,
    settings: CalibrationSettings,
    sessions: RealSessions | None,
    todo: Sequence[tuple[Task, Path]],
    workers: int,
) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    if workers <= 1 or len(todo) < 2:
        for task, path in todo:
            yield path, run_market(project, settings, task, sessions)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [(path, pool.submit(run_market, project, settings, task, sessions)) for task, path in todo]
        for path, future in futures:
            yield path, future.result()


def _row(task: Task, sharpe: float, drift: float, evaluation: Evaluation, sessions: int) -> dict[str, Any]:
    trials = evaluation.rankings.filter(pl.col("role") == "trial").sort("run_id")
    reasons = {row["run_id"]: {one["reason"] for one in json.loads(row["reasons"])} for row in trials.to_dicts()}
    tested = trials.sort("t_value", "run_id", descending=[True, False], nulls_last=True)
    best = tested.row(0, named=True)
    joint, dsr = JOINT, {"dsr_below_threshold"}
    return {
        "source": task.source,
        "seed": task.seed,
        "true_sharpe": sharpe,
        "sessions": sessions,
        "n_trials": trials.height,
        "night_drift_bp": drift * 1e4,
        "promoted": sum(not found for found in reasons.values()),
        "passes_joint": sum(not found & joint for found in reasons.values()),
        "passes_joint_and_dsr": sum(not found & (joint | dsr) for found in reasons.values()),
        "joint_p": float(evaluation.joint_test["p_consistent"]),
        "best_sharpe": best["sharpe"],
        "best_dsr": best["dsr"],
        "best_reasons": ",".join(sorted(reasons[best["run_id"]])),
        "reason_sets": reason_sets(reasons.values()),
        "lane_t": [float(t or 0.0) for t in trials.sort("params")["t_value"].to_list()],
    }


def _code_hash() -> str:
    """Hash over every source of the library: a study does not go on with other code."""
    root = Path(argus_core.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _share(total: int, number: int, parts: int) -> int:
    return total // parts + (number < total % parts)
