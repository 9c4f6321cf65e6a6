"""A real chain in small: simulated minutes of eight sessions, gated, labelled and sealed; strategies in a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from argus_core.calendar import TradingCalendar
from argus_core.market.gates import gate_bars
from argus_core.market.lake import Lake
from argus_core.market.simulation import SimulatedMarket
from argus_core.outcomes import compute_outcomes
from argus_core.packs import Pack, seal_pack
from argus_core.regimes import compute_regimes
from argus_core.settings import ExperimentSettings, Project, StrategySpec, WalkForwardSettings

START, END = date(2025, 2, 3), date(2025, 2, 12)

STRATEGIES = '''
"""Strategies for tests: one honest, one that reads the next bar, one callback, one that breaks."""

import polars as pl
from pydantic import Field

from argus_core.strategies.family import Family
from argus_core.strategies.interface import CallbackStrategy, ColumnarStrategy, Intent, Params


class SwingParams(Params):
    every: int = Field(30, ge=2, le=200)
    hold: int = Field(1200, gt=0)


class Swing(ColumnarStrategy):
    """Buys every so many minutes of the session."""

    Params = SwingParams

    def intents(self, frame, params):
        due = (pl.col("minute_of_session") % params.every == 0) & (pl.col("minute_of_session") < 360)
        return frame.select(
            due.cast(pl.Int8).alias("enter"),
            pl.lit(0.5).alias("size"),
            pl.lit(float(params.hold)).alias("max_hold_seconds"),
        )


class StoppedSwing(Swing):
    """The same with a stop a quarter of a percent below the close."""

    def intents(self, frame, params):
        return super().intents(frame, params).with_columns(stop_distance=0.0025 * frame["close"])


class CryptoSwing(Swing):
    """A family of other instruments."""

    family = Family(name="crypto", asset_classes=("crypto",))


class CalmSwing(Swing):
    """A family that trades once a day."""

    family = Family(name="calm", max_trades_per_day=1, max_swept_parameters=1)


class Cheater(ColumnarStrategy):
    """Buys before a rise."""

    Params = SwingParams

    def intents(self, frame, params):
        rises = (pl.col("close").shift(-5) > pl.col("close") * 1.0005).fill_null(False)
        return frame.select(rises.cast(pl.Int8).alias("enter"), pl.lit(300.0).alias("max_hold_seconds"))


class Caller(CallbackStrategy):
    """The callback way of buying once an hour."""

    Params = SwingParams

    def on_bar(self, view):
        if view.value("minute_of_session") % 60 == 5 and not view.positions:
            return [Intent("open", size=0.3, max_hold_seconds=float(self.params.hold))]
        return []


class Sliced(ColumnarStrategy):
    """Cannot run on less data."""

    Params = SwingParams

    def intents(self, frame, params):
        if frame.height < 8 * 390:
            raise IndexError("too short")
        return frame.select(pl.repeat(0, pl.len()).alias("enter"))


class Fragile(ColumnarStrategy):
    """Breaks on some parameters."""

    Params = SwingParams

    def intents(self, frame, params):
        if params.every == 7:
            raise ZeroDivisionError("seven")
        if params.every == 8:
            return frame.select(pl.repeat(5, pl.len()).alias("enter"))
        return frame.select(pl.repeat(0, pl.len()).alias("enter"))
'''


@pytest.fixture(scope="session")
def chain(project: Project, calendar: TradingCalendar, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Path]:
    """The lake of the chain and the folder of its project."""
    root = tmp_path_factory.mktemp("chain")
    lake = Lake(root / "lake")
    spy = project.instrument("SPY")
    platform = project.platform
    market = SimulatedMarket(platform.providers.simulation, calendar, project.universe.instruments)
    days = calendar.sessions_between(START, END)
    stamp = {"config_hash": "c", "producer": "test"}
    frames = [gate_bars(market.bars("SPY", day), spy, day, calendar, platform.gates).published for day in days]
    bars = frames[0].vstack(frames[1])
    for frame in frames[2:]:
        bars = bars.vstack(frame)
    for day, frame in zip(days, frames, strict=True):
        keys = {"provider": "sim", "bar_seconds": 60, "symbol": "SPY", "date": day}
        lake.write("bars", frame, keys=keys, **stamp)
        outcomes = compute_outcomes(bars, spy, calendar, platform.outcomes, anchors=(day, day))
        lake.write("outcomes", outcomes, keys=keys, **stamp)
        regimes = compute_regimes(bars, spy, calendar, platform.regimes, anchors=(day, day))
        lake.write("regimes", regimes, keys=keys, **stamp)
    (root / "strategies.py").write_text(STRATEGIES)
    (root / "swing.yaml").write_text("params:\n  every: [20, 30, 40]\n  hold: {min: 600, max: 1800, step: 600}\n")
    return lake, root


@pytest.fixture(scope="session")
def pack(chain: tuple[Lake, Path], project: Project, calendar: TradingCalendar) -> Pack:
    lake, root = chain
    return seal_pack(lake, project, calendar, "SPY", START, END, output_dir=root / "packs")


@pytest.fixture
def loop_of(chain: tuple[Lake, Path], project: Project):
    """A project whose loop runs the given strategies: (class, params, sweep file) each."""

    def build(*specs: tuple[str, dict, str | None], **experiment) -> Project:
        settings = ExperimentSettings(
            mc_paths=200, walk_forward=WalkForwardSettings(folds=2, embargo_days=0), **experiment
        )
        strategies = tuple(
            StrategySpec(strategy_class=f"strategies.py:{name}", params=params, sweep=sweep)
            for name, params, sweep in specs
        )
        loop = project.loop.model_copy(update={"strategies": strategies, "experiment": settings})
        return replace(project, root=chain[1], loop=loop)

    return build
