"""What a callback strategy sees at a bar end: columns up to the newest bars, its book and orders, the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.tape import OptionSnapshot
from argus_core.replay.accounting import Book
from argus_core.strategies.interface import BarView, OpenOrder, OpenPosition


def barrier_view(
    frames: Mapping[str, pl.DataFrame],
    *,
    newest: Callable[[str], int],
    book: Book,
    positions: Callable[[], Sequence[OpenPosition]],
    pending: Callable[[], int],
    orders: Callable[[], Sequence[OpenOrder]],
    snapshot: Callable[[], OptionSnapshot | None],
) -> tuple[BarView, Callable[[int, int, tuple[str, ...]], None]]:
    """The view of one run, and the function by which the engine moves it on.

    The view has no attributes of its own: the data live in the closures of its methods, and all that it hands out are
    single values, copies and frozen rows. A strategy gets at a later row only by taking the interpreter apart
    (``__closure__``, stack frames), which the lookahead proof is there to catch.

    Args:
        frames: decision frame of every symbol, the primary one first.
        newest: row of a symbol's newest published bar, -1 before the first.

    Returns:
        The view, and ``move(index, now_us, fresh)``.
    """
    symbols = tuple(frames)
    primary = symbols[0]
    row, now, new = 0, 0, symbols[:1]
    own: dict[str, list[Any]] = {}
    others: dict[tuple[str, str], list[Any]] = {}
    arrays: dict[tuple[str, str], NDArray[Any]] = {}

    def series(name: str, symbol: str) -> pl.Series:
        if symbol not in frames:
            raise KeyError(f"the replay has no symbol {symbol!r}. Symbols: {', '.join(symbols)}.")
        frame = frames[symbol]
        if name not in frame.columns:
            raise KeyError(f"decision frame has no column {name!r}. Columns: {', '.join(frame.columns)}.")
        return frame[name]

    class FrameView:
        __slots__ = ()

        @property
        def now_us(self) -> int:
            return now

        @property
        def index(self) -> int:
            return row

        @property
        def symbols(self) -> tuple[str, ...]:
            return symbols

        @property
        def fresh(self) -> tuple[str, ...]:
            return new

        @property
        def equity(self) -> float:
            return book.equity

        @property
        def cash(self) -> float:
            return book.cash

        @property
        def positions(self) -> Sequence[OpenPosition]:
            return positions()

        @property
        def pending(self) -> int:
            return pending()

        @property
        def orders(self) -> Sequence[OpenOrder]:
            return orders()

        def value(self, column: str, symbol: str | None = None) -> Any:
            if symbol is None or symbol == primary:
                values = own.get(column)
                if values is None:
                    values = own[column] = series(column, primary).to_list()
                return values[row]
            values = others.get((column, symbol))
            if values is None:
                values = others[column, symbol] = series(column, symbol).to_list()
            at = newest(symbol)
            return values[at] if at >= 0 else None

        def history(self, column: str, count: int, symbol: str | None = None) -> NDArray[Any]:
            key = (column, symbol or primary)
            values = arrays.get(key)
            if values is None:
                values = arrays[key] = series(*key).to_numpy()
            stop = 1 + (row if key[1] == primary else newest(key[1]))
            # A copy: a plain slice would still reach later rows through its base array, and could be written to.
            taken = np.array(values[max(stop - count, 0) : stop])
            taken.flags.writeable = False
            return taken

        def snapshot(self) -> OptionSnapshot | None:
            return snapshot()

        def chain(self) -> pl.DataFrame | None:
            found = snapshot()
            # A frame of its own: columns of a shared one could be replaced in place.
            return None if found is None else found.frame.clone()

    def move(index: int, now_us: int, fresh: tuple[str, ...]) -> None:
        nonlocal row, now, new
        row, now, new = index, now_us, fresh

    return FrameView(), move
