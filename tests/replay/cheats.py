"""Strategies that look ahead, each in another way, and honest ones."""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl

from argus_core.strategies.interface import ColumnarStrategy

price = pl.col("close")


def _enter(frame: pl.DataFrame, condition: pl.Expr) -> pl.DataFrame:
    return frame.select(condition.fill_null(False).cast(pl.Int8).alias("enter"))


class Honest(ColumnarStrategy):
    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        rising = price > price.rolling_mean(10)
        return frame.select(
            enter=rising.fill_null(False).cast(pl.Int8), exit=~rising, stop_distance=(price - price.shift(3)).abs()
        )


class NegativeShift(ColumnarStrategy):
    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _enter(frame, price.shift(-1) > price)


class FullSampleScaling(ColumnarStrategy):
    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _enter(frame, (price - price.mean()) / price.std() > 0.5)


class CentredWindow(ColumnarStrategy):
    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _enter(frame, price < price.rolling_mean(11, center=True))


class FutureStop(ColumnarStrategy):
    """Honest entries, but the stop lies just below the lowest price to come."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        lowest = pl.col("low").reverse().cum_min().reverse()
        return frame.select(
            enter=(price > price.shift(1)).fill_null(False).cast(pl.Int8), stop_distance=price - lowest + 0.01
        )


class BackwardFill(ColumnarStrategy):
    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        rare = pl.when(price > price.shift(1) + 0.2).then(1).otherwise(None)
        return _enter(frame, rare.fill_null(strategy="backward", limit=3) == 1)


class GlobalState(ColumnarStrategy):
    """Learns its threshold from the first frame it ever sees, and keeps it on the class."""

    threshold: ClassVar[float | None] = None

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        if GlobalState.threshold is None:
            GlobalState.threshold = float(frame["close"].head(50).mean())
        return _enter(frame, price > GlobalState.threshold)


_SEEN: list[float] = []


class ModuleState(ColumnarStrategy):
    """Counts its runs in the module: no two runs are alike."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        _SEEN.append(1.0)
        return _enter(frame, price > 100 + len(_SEEN) % 2)


class InstanceState(ColumnarStrategy):
    def __init__(self) -> None:
        self.last = 0.0

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        before, self.last = self.last, float(frame["close"][0])
        return _enter(frame, price > 100 + (before > 0))
