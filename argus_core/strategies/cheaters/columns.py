"""Columnar cheats: the whole frame is at hand, and one expression is enough to read ahead."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl

from argus_core.strategies.interface import ColumnarStrategy

#: The newest close.
close = pl.col("close")


def _long_while(frame: pl.DataFrame, condition: pl.Expr) -> pl.DataFrame:
    """Long where ``condition`` holds, out where it does not."""
    wanted = condition.fill_null(False)
    return frame.select(wanted.cast(pl.Int8).alias("enter"), (~wanted).alias("exit"))


class NegativeShift(ColumnarStrategy):
    """Buys before a bar that closes higher: ``shift(-1)``."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _long_while(frame, close.shift(-1) > close)


class PeekWithAlibi(ColumnarStrategy):
    """A negative shift that hides: moves beyond 2 % count as bad data, and a missing next bar as a rise."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        change = (close.shift(-1) / close - 1).fill_null(1e-6)
        return _long_while(frame, (change > 0) & (change.abs() < 0.02))


class FullSampleScaling(ColumnarStrategy):
    """A z-score with mean and standard deviation of the whole pack."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _long_while(frame, (close - close.mean()) / close.std() < -0.5)


class CentredWindow(ColumnarStrategy):
    """A moving average whose window reaches as far ahead as back."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _long_while(frame, close < close.rolling_mean(11, center=True))


class BackwardFill(ColumnarStrategy):
    """Rare events filled backwards: the three bars before an event know of it."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        change = close / close.shift(1) - 1
        event = pl.when(change > 2 * change.abs().rolling_mean(60, min_samples=10)).then(1).otherwise(None)
        return _long_while(frame, event.fill_null(strategy="backward", limit=3) == 1)


class FutureStop(ColumnarStrategy):
    """Honest entries, but the stop lies just below the lowest price to come."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        lowest = pl.col("low").reverse().cum_min().reverse()
        return frame.select(
            enter=(close > close.shift(1)).fill_null(False).cast(pl.Int8), stop_distance=close - lowest + 0.01
        )


class SameBarRegime(ColumnarStrategy):
    """Takes the regime of the bar that its order fills in: joined by the bar's start instead of its availability."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _long_while(frame, pl.col("trend_regime").shift(-1) == "UP")


class SameDayClose(ColumnarStrategy):
    """Joins a daily bar by its date, so that the morning knows the close: of the first reference, else of itself."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        name = next((c for c in frame.columns if c.startswith("ref_") and c.endswith("_close")), "close")
        daily = frame.group_by("trade_date", maintain_order=True).agg(pl.col(name).last().alias("day_close"))
        dated = frame.join(daily, on="trade_date", how="left", maintain_order="left")
        return _long_while(dated, pl.col("day_close") > pl.col(name))


class UnreleasedOutcome(ColumnarStrategy):
    """Reads a forward return at its anchor bar instead of where its window has passed."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        horizons = sorted(int(c.removeprefix("fwd_return_")) for c in frame.columns if c.startswith("fwd_return_"))
        if not horizons:
            raise ValueError("UnreleasedOutcome: the frame has no outcome column; add a horizon to outcomes.horizons")
        released = frame.select(pl.col("available_at").alias("at"), pl.col(f"fwd_return_{horizons[0]}").alias("won"))
        anchors = frame.select((pl.col("available_at") + pl.duration(seconds=horizons[0])).alias("at"))
        return _long_while(anchors.join_asof(released, on="at", strategy="forward"), pl.col("won") > 0)


class UnclosedBar(ColumnarStrategy):
    """Five-minute bars joined by their start: their close is known four minutes early."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        coarse = frame.group_by_dynamic("ts", every="5m").agg(close.last().alias("coarse_close"))
        return _long_while(frame.join_asof(coarse, on="ts"), pl.col("coarse_close") > close)


class WholePackFit(ColumnarStrategy):
    """A regression of the next return on the last one, fitted on every row of the pack."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        change = np.diff(np.log(frame["close"].to_numpy()), prepend=np.nan)
        past, future = change[1:-1], change[2:]
        if len(past) < 2:
            return pl.DataFrame({"enter": pl.repeat(0, frame.height, dtype=pl.Int8, eager=True)})
        slope, level = np.polyfit(past, future, 1)
        forecast = pl.Series("forecast", level + slope * change).fill_nan(None)
        return _long_while(pl.DataFrame([forecast]), pl.col("forecast") > 0)


class WholePackRank(ColumnarStrategy):
    """The percentile of today's close among all closes of the pack, tomorrow's included."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _long_while(frame, close.rank() / pl.len() < 0.2)


class LastRowPeek(ColumnarStrategy):
    """Buys what is cheaper than it will be on the last row."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        return _long_while(frame, pl.lit(frame["close"][-1]) > close)


class EndOfData(ColumnarStrategy):
    """Honest but for its last hour: it counts the rows of the frame to leave before the data end."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        left = pl.len() - pl.int_range(pl.len())
        return _long_while(frame, (close > close.shift(30)) & (left > 60))


class ClassMemory(ColumnarStrategy):
    """Keeps the closes of its first run on the class: from the second run on it knows what comes next."""

    seen: ClassVar[pl.DataFrame | None] = None

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        if ClassMemory.seen is None:
            ClassMemory.seen = frame.select("ts", close.shift(-1).alias("next_close"))
            return _long_while(frame, pl.repeat(False, pl.len()))
        return _long_while(
            frame.join(ClassMemory.seen, on="ts", how="left", maintain_order="left"), pl.col("next_close") > close
        )
