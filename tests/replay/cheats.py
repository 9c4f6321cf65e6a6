"""Honest strategies that a careless proof would convict, and leaks that are no research: they live in tests only.

The cheats that users can run are in `argus_core.strategies.cheaters`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from argus_core.strategies.interface import CallbackStrategy, ColumnarStrategy, Intent, Params

price = pl.col("close")


def _enter(frame: pl.DataFrame, condition: pl.Expr) -> pl.DataFrame:
    return frame.select(condition.fill_null(False).cast(pl.Int8).alias("enter"))


class Honest(ColumnarStrategy):
    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        rising = price > price.rolling_mean(10)
        return frame.select(
            enter=rising.fill_null(False).cast(pl.Int8), exit=~rising, stop_distance=(price - price.shift(3)).abs()
        )


class OwnFit(ColumnarStrategy):
    """Fits, scales and ranks, but on rows before its own only; it keeps what the lanes of a sweep share."""

    def __init__(self) -> None:
        self._cache: dict[int, pl.Series] = {}

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        key = hash((frame.height, frame["close"].sum()))
        if key not in self._cache:
            past = (price - price.rolling_mean(30)) / price.rolling_std(30)
            self._cache = {key: frame.select(past.fill_nan(None).alias("z"))["z"]}
        return _enter(frame.with_columns(self._cache[key]), pl.col("z") < -1)


class Patient(CallbackStrategy):
    """Delayed entries, own state, own fills and equity: what freqtrade's analysis reports although it is honest."""

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self.waiting, self.losses, self.paid = 0, 0, 0.0

    def on_bar(self, view):
        closes = view.history("close", 20)
        if view.positions:
            position = view.positions[0]
            self.paid = position.entry_price
            if view.equity < 99_990 or closes[-1] > position.entry_price * 1.001:
                self.losses += closes[-1] < position.entry_price
                return (Intent("close", position_id=position.position_id, tag=f"loss {self.losses}"),)
            return ()
        self.waiting = self.waiting + 1 if closes[-1] < closes.mean() else 0
        if self.waiting == 4 and not view.pending:
            risk = max(abs(closes[-1] - self.paid) / closes[-1], 0.001) if self.paid else 0.01
            return (Intent("open", size=min(0.1 / risk, 0.9), stop_distance=float(np.ptp(closes)) + 0.01),)
        return ()


class ModuleState(ColumnarStrategy):
    """Counts its runs in the module: no two runs are alike."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        _SEEN.append(1.0)
        return _enter(frame, price > 100 + len(_SEEN) % 2)


_SEEN: list[float] = []


class InstanceState(ColumnarStrategy):
    def __init__(self) -> None:
        self.last = 0.0

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        before, self.last = self.last, float(frame["close"][0])
        return _enter(frame, price > 100 + (before > 0))


class Dice(ColumnarStrategy):
    """Draws without a seed."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return pl.DataFrame({"enter": np.random.default_rng().integers(0, 2, frame.height).astype(np.int8)})


class WallClock(CallbackStrategy):
    """Decides by the clock on the wall."""

    def on_bar(self, view):
        return (Intent("open", size=0.1 + time.perf_counter_ns() % 997 / 1e4),) if view.index % 50 == 0 else ()


class FolderParams(Params):
    folder: str = Field("nowhere", description="folder with bars.parquet")


class FileColumns(ColumnarStrategy):
    """Reads the next close out of a file."""

    Params = FolderParams

    def intents(self, frame: pl.DataFrame, params: FolderParams) -> pl.DataFrame:
        try:
            known = pl.scan_parquet(str(Path(params.folder) / "bars.parquet")).collect()
        except OSError:
            return _enter(frame, price > price.shift(1))
        return _enter(frame.with_columns(known["close"].shift(-1).alias("after")), pl.col("after") > price)


class OpenedFile(FileColumns):
    """Opens a file by Python's own means."""

    def intents(self, frame: pl.DataFrame, params: FolderParams) -> pl.DataFrame:
        with suppress(OSError):
            (Path(params.folder) / "notes.txt").read_text()
        return _enter(frame, price > price.shift(1))
