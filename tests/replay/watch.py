"""Callback runs from a function: what each bar shows goes to it, what it returns is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from argus_core.replay.callback import replay_callback
from argus_core.replay.reference import Reference
from argus_core.replay.results import ReplayResult
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import BarView, CallbackStrategy, Params

ETF = Instrument(symbol="SPY", asset_class="etf")
#: No costs but what a test adds, and as much volume as it likes.
FREE = ExecutionSettings(slippage_bps=0, commission_per_share=0, commission_min=0, participation=1)


class Watcher(CallbackStrategy):
    """Calls a function at every bar of the primary symbol."""

    def __init__(self, watch: Callable[[BarView], Any]) -> None:
        super().__init__(Params())
        self.watch = watch

    def on_bar(self, view):
        return self.watch(view) or ()


class WatcherOfAll(Watcher):
    """Calls a function at every bar of every symbol."""

    clock = "all"


def run(
    watch: Callable[[BarView], Any],
    frame: pl.DataFrame,
    *,
    execution: ExecutionSettings | None = None,
    others: dict[str, pl.DataFrame] | None = None,
    hears_all: bool = False,
    cash: float = 10_000.0,
    **arguments: Any,
) -> ReplayResult:
    """Replay SPY, and ``others`` as ETFs beside it, with the default costs."""
    references = {
        name: Reference(other, Instrument(symbol=name, asset_class="etf")) for name, other in (others or {}).items()
    }
    strategy = (WatcherOfAll if hears_all else Watcher)(watch)
    return replay_callback(
        strategy,
        frame,
        ETF,
        execution or ExecutionSettings(),
        starting_cash=cash,
        symbol="SPY",
        references=references,
        **arguments,
    )
