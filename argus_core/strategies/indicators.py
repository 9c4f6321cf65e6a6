"""Indicator columns shared by the parameter sets of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import polars as pl


class FrameCache:
    """Remembers what was computed from one frame, until another frame comes.

    Keeps a reference to the frame and compares by identity, so a value can never meet a frame it was not made from,
    as long as nobody changes a frame in place (Polars expressions never do).

    >>> frame = pl.DataFrame({"close": [1.0, 2.0]})
    >>> cache = FrameCache()
    >>> cache.get(frame, "sum", lambda: frame["close"].sum())
    3.0
    """

    def __init__(self) -> None:
        self._frame: pl.DataFrame | None = None
        self._values: dict[Hashable, Any] = {}

    def get(self, frame: pl.DataFrame, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The value of ``key`` for ``frame``, computed on first use."""
        if frame is not self._frame:
            self._frame, self._values = frame, {}
        if key not in self._values:
            self._values[key] = compute()
        return self._values[key]
