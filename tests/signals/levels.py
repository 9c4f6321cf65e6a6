"""Strategies that decide on a level of the close and an outcome."""

from __future__ import annotations

from typing import Any

import polars as pl
from pydantic import Field

from argus_core.strategies.interface import ColumnarStrategy, Params


class LevelParams(Params):
    horizon: int = Field(300, gt=0)


class Level(ColumnarStrategy):
    """Reads close and an outcome whose name is put together."""

    Params = LevelParams

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        known = pl.col(f"fwd_return_{params.horizon}") > 0
        return frame.select((known & (pl.col("close") > 100)).cast(pl.Int8).alias("enter"))


class Talker(Level):
    """Explains itself."""

    @staticmethod
    def explain(row, params):
        return f"closed at {row['close']:.2f}, horizon {params.horizon}"
