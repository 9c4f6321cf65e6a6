"""What a callback strategy sees at a bar end: columns of the decision frame up to that bar, its book, the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.tape import OptionSnapshot
from argus_core.strategies.interface import OpenPosition


class FrameView:
    """The barrier view (`BarView`). One object per run; the engine moves it from bar to bar.

    Attributes:
        now_us: decision time, microseconds since the epoch.
        index: row of the decision frame.
        equity, cash: dollars at this bar's close.
        positions: open positions, oldest first.
        pending: orders that wait for their fill.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame
        self._lists: dict[str, list[Any]] = {}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._snapshot: OptionSnapshot | None = None
        self.now_us = 0
        self.index = 0
        self.equity = 0.0
        self.cash = 0.0
        self.positions: Sequence[OpenPosition] = ()
        self.pending = 0

    def value(self, column: str) -> Any:
        """Value of ``column`` at this bar; None where null.

        Raises:
            KeyError: if the decision frame has no such column; the message lists those it has.
        """
        values = self._lists.get(column)
        if values is None:
            values = self._lists[column] = self._column(column).to_list()
        return values[self.index]

    def history(self, column: str, count: int) -> NDArray[Any]:
        """The last ``count`` values of ``column``, oldest first, this bar included; fewer at the start. Read-only."""
        values = self._arrays.get(column)
        if values is None:
            # A copy, because a strategy that could write into the frame could also change another run's data.
            values = np.array(self._column(column).to_numpy())
            values.flags.writeable = False
            self._arrays[column] = values
        stop = self.index + 1
        # A plain slice would still reach later rows through its base array.
        part = values[max(stop - count, 0) : stop].copy()
        part.flags.writeable = False
        return part

    def snapshot(self) -> OptionSnapshot | None:
        """The newest option snapshot received by now, or None."""
        return self._snapshot

    def chain(self) -> pl.DataFrame | None:
        """Rows of the newest option snapshot received by now (columns of `OptionQuotes`), or None."""
        return None if self._snapshot is None else self._snapshot.frame

    def _column(self, name: str) -> pl.Series:
        if name not in self._frame.columns:
            raise KeyError(f"decision frame has no column {name!r}. Columns: {', '.join(self._frame.columns)}.")
        return self._frame[name]
