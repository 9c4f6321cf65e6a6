"""What a callback strategy sees at a bar end: columns up to the newest bars, its book and orders, the chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.tape import OptionSnapshot
from argus_core.strategies.interface import OpenOrder, OpenPosition


class FrameView:
    """The barrier view (`BarView`). One object per run; the engine moves it from bar to bar.

    Rows after the newest bar are behind functions, not attributes: nothing that a strategy is handed leads to them.

    Attributes:
        now_us: decision time, microseconds since the epoch.
        index: row of the primary symbol's decision frame.
        symbols: the primary symbol, then the references.
        fresh: symbols whose bar became available now.
    """

    __slots__ = (
        "_book",
        "_orders",
        "_pending",
        "_positions",
        "_read",
        "_slice",
        "_snapshot",
        "fresh",
        "index",
        "now_us",
        "symbols",
    )

    def __init__(
        self,
        frames: dict[str, pl.DataFrame],
        newest: Callable[[str], int],
        *,
        book: Any,
        pending: Callable[[], int],
        positions: Callable[[], Sequence[OpenPosition]],
        orders: Callable[[], Sequence[OpenOrder]],
        snapshot: Callable[[], OptionSnapshot | None],
    ) -> None:
        self.symbols = tuple(frames)
        self.now_us = 0
        self.index = 0
        self.fresh: tuple[str, ...] = self.symbols[:1]
        self._book, self._positions, self._orders = book, positions, orders
        self._pending, self._snapshot = pending, snapshot
        primary = self.symbols[0]
        lists: dict[tuple[str, str], list[Any]] = {}
        arrays: dict[tuple[str, str], NDArray[Any]] = {}

        def column(name: str, symbol: str) -> pl.Series:
            if symbol not in frames:
                raise KeyError(f"the replay has no symbol {symbol!r}. Symbols: {', '.join(frames)}.")
            frame = frames[symbol]
            if name not in frame.columns:
                raise KeyError(f"decision frame has no column {name!r}. Columns: {', '.join(frame.columns)}.")
            return frame[name]

        def read(name: str, symbol: str | None, index: int) -> Any:
            key = (name, symbol or primary)
            values = lists.get(key)
            if values is None:
                values = lists[key] = column(*key).to_list()
            row = index if key[1] == primary else newest(key[1])
            return values[row] if row >= 0 else None

        def part(name: str, symbol: str | None, index: int, count: int) -> NDArray[Any]:
            key = (name, symbol or primary)
            values = arrays.get(key)
            if values is None:
                values = arrays[key] = column(*key).to_numpy()
            stop = 1 + (index if key[1] == primary else newest(key[1]))
            # A copy: a plain slice would still reach later rows through its base array, and could be written to.
            taken = np.array(values[max(stop - count, 0) : stop])
            taken.flags.writeable = False
            return taken

        self._read, self._slice = read, part

    @property
    def equity(self) -> float:
        """Dollars: cash and every position at what closing it brings now."""
        return self._book.equity

    @property
    def cash(self) -> float:
        return self._book.cash

    @property
    def positions(self) -> Sequence[OpenPosition]:
        """Open positions, oldest first."""
        return self._positions() if self._book.positions else ()

    @property
    def orders(self) -> Sequence[OpenOrder]:
        """Orders of shares that wait for their fill, oldest first."""
        return self._orders()

    @property
    def pending(self) -> int:
        """Orders that wait for their fill, options included."""
        return self._pending()

    def value(self, column: str, symbol: str | None = None) -> Any:
        """Value of ``column`` at the symbol's newest bar; None where null, or before its first bar.

        Raises:
            KeyError: if the decision frame has no such column, or the replay no such symbol.
        """
        return self._read(column, symbol, self.index)

    def history(self, column: str, count: int, symbol: str | None = None) -> NDArray[Any]:
        """The last ``count`` values of ``column``, oldest first, the newest included; fewer at the start. Read-only."""
        return self._slice(column, symbol, self.index, count)

    def snapshot(self) -> OptionSnapshot | None:
        """The newest option snapshot received by now, or None."""
        return self._snapshot()

    def chain(self) -> pl.DataFrame | None:
        """Rows of the newest option snapshot received by now (columns of `OptionQuotes`), or None."""
        snapshot = self._snapshot()
        return None if snapshot is None else snapshot.frame
