"""Buy once, hold to the end: the benchmark every other strategy is read against."""

from __future__ import annotations

from typing import Any

import polars as pl

from argus_core.strategies.interface import ColumnarStrategy


class BuyAndHold(ColumnarStrategy):
    """Long from the first bar after warm-up; the replay closes the position by force at the end. No parameters."""

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        # Asks on every row: while a position is held the replay ignores it.
        return pl.DataFrame({"enter": pl.repeat(1, frame.height, dtype=pl.Int8, eager=True)})
