"""Signals of a pack: every strategy of the loop with its base parameters, the newest bar included."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from argus_core.experiments.replays import market_of
from argus_core.market.sources import SimulatedSource
from argus_core.packs import Pack
from argus_core.packs.rehearsal import rehearsal_pack
from argus_core.settings import StrategySpec
from argus_core.settings.signals import SignalRoute, SignalSettings
from argus_core.signals import pack_signals, signals_code_hash

SOURCE = """
import polars as pl
from pydantic import Field
from argus_core.strategies.interface import CallbackStrategy, ColumnarStrategy, Intent, Params


class EveryParams(Params):
    every: int = Field(60, ge=2)


class Every(ColumnarStrategy):
    Params = EveryParams

    def intents(self, frame, params):
        due = pl.col("minute_of_session") % params.every == params.every - 1
        return frame.select(enter=due.cast(pl.Int8), confidence=pl.lit(0.8))


class Caller(CallbackStrategy):
    Params = EveryParams

    def on_bar(self, view):
        if view.value("minute_of_session") % self.params.every == self.params.every - 1:
            return (Intent("open", size=0.1, max_hold_seconds=60.0),)
        return ()


class Broken(ColumnarStrategy):
    def intents(self, frame, params):
        raise RuntimeError("no idea")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals")
    (folder / "mine.py").write_text(SOURCE)
    return folder


@pytest.fixture(scope="module")
def pack(project, calendar, root) -> Pack:
    qqq = project.instrument("QQQ")
    assert not qqq.options
    days = calendar.sessions_between(date(2025, 2, 3), date(2025, 2, 6))
    return rehearsal_pack(project, calendar, SimulatedSource(project, calendar), "QQQ", days, root / "packs")


@pytest.fixture
def loop_of(project, root):
    def build(*names: str, **settings):
        specs = tuple(StrategySpec(strategy_class=f"mine.py:{name}") for name in names)
        loop = project.loop.model_copy(update={"strategies": specs, "signals": SignalSettings(**settings)})
        return replace(project, root=root, loop=loop)

    return build


def test_both_interfaces_signal_the_same_moments_down_to_the_newest_bar(loop_of, pack, calendar):
    found = pack_signals(pack, loop_of("Every", "Caller"), calendar=calendar)
    assert not found.failed
    moments = {
        name: found.signals.filter(pl.col("strategy") == name)["available_at"].to_list() for name in ("Every", "Caller")
    }
    assert moments["Every"] == moments["Caller"]
    assert len(moments["Every"]) == 4 * 6
    assert found.signals["confidence"].unique().sort().to_list() == [0.5, 0.8]
    assert found.signals.filter(pl.col("strategy") == "Every")["rank"].unique().to_list() == [1]


def test_the_last_row_of_a_callback_decides(loop_of, pack, calendar):
    market = market_of(pack, loop_of("Caller"), calendar)
    cut = market.seeing(market.frame.head(60), None)
    found = pack_signals(pack, loop_of("Caller"), calendar=calendar, market=cut)
    assert found.signals["bar_end"].to_list() == [market.frame["end"][59]]


def test_a_strategy_that_raises_is_named_and_the_others_go_on(loop_of, pack, calendar):
    found = pack_signals(pack, loop_of("Broken", "Every"), calendar=calendar)
    assert found.failed == {"Broken": "RuntimeError: no idea"}
    assert found.signals.height == 24


def test_sessions_and_routes_come_from_the_settings(loop_of, pack, calendar):
    project = loop_of("Every", sessions=1, routes=(SignalRoute(name="desk", directions=(1,)),))
    found = pack_signals(pack, project, calendar=calendar).signals
    assert found["trade_date"].unique().to_list() == [date(2025, 2, 6)]
    assert found["routes"].unique().to_list() == ["desk"]


def test_ids_do_not_depend_on_the_window(loop_of, pack, calendar, project, tmp_path):
    one_day = rehearsal_pack(
        project, calendar, SimulatedSource(project, calendar), "QQQ", [date(2025, 2, 6)], tmp_path / "packs"
    )
    whole = pack_signals(pack, loop_of("Every"), calendar=calendar).signals
    short = pack_signals(one_day, loop_of("Every"), calendar=calendar).signals
    assert short["signal_id"].to_list() == whole.filter(pl.col("trade_date") == date(2025, 2, 6))["signal_id"].to_list()


def test_the_code_hash_covers_this_package():
    assert len(signals_code_hash()) == 16
