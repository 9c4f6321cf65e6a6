"""Trend following: a fast over a slow exponential average, stops and targets in units of the average true range."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from argus_core.features import atr_wilder, ema
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params


class EmaCrossParams(Params):
    """Parameters of `EmaCrossAtr`; lengths in bars, distances in multiples of the ATR at the decision."""

    fast: int = Field(12, ge=1)
    slow: int = Field(48, ge=2)
    atr_window: int = Field(60, ge=1)
    stop_atr: float | None = Field(4.0, gt=0, description="null: no stop")
    target_atr: float | None = Field(None, gt=0, description="null: no target")
    allow_short: bool = False

    @model_validator(mode="after")
    def _fast_is_faster(self) -> EmaCrossParams:
        if self.fast >= self.slow:
            raise ValueError(f"fast {self.fast} must be smaller than slow {self.slow}")
        return self


class EmaCrossAtr(ColumnarStrategy):
    """Enters where the fast average of the close crosses the slow one, leaves when it is back on the other side.

    Long on a cross from below; with ``allow_short`` also short on a cross from above. A position that a stop or target
    ended is not opened again before the next cross. A reversal takes two bars: out on the first, in on the second, so
    an entry stays wanted for one bar after its cross; with a latency beyond one bar, reversals only close.
    """

    Params = EmaCrossParams

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: EmaCrossParams) -> pl.DataFrame:
        above, warm = self._side(frame, params.fast, params.slow)
        crosses_up = above & warm & ~_before(above, 1) & _before(warm, 1)
        crosses_down = ~above & warm & _before(above, 1) & _before(warm, 1)
        enter = crosses_up.astype(np.int8)
        if params.allow_short:
            late_up = _before(crosses_up, 1) & above
            late_down = _before(crosses_down, 1) & ~above
            enter = (crosses_up | late_up).astype(np.int8) - (crosses_down | late_down).astype(np.int8)
            # Either cross closes the other side; see the rule on opposite entries in docs/replay.md.
            leave = np.zeros(frame.height, bool)
        else:
            leave = warm & ~above
        columns: dict[str, np.ndarray] = {"enter": enter, "exit": leave}
        if params.stop_atr is not None or params.target_atr is not None:
            atr = self._atr(frame, params.atr_window)
            # Without a range there is no distance to keep: no entry before the ATR is warm.
            columns["enter"] = np.where(np.isnan(atr), 0, enter).astype(np.int8)
            if params.stop_atr is not None:
                columns["stop_distance"] = params.stop_atr * atr
            if params.target_atr is not None:
                columns["target_distance"] = params.target_atr * atr
        return pl.DataFrame(columns)

    def _side(self, frame: pl.DataFrame, fast: int, slow: int) -> tuple[np.ndarray, np.ndarray]:
        quick, slack = self._ema(frame, fast), self._ema(frame, slow)
        return quick > slack, ~np.isnan(slack)

    def _ema(self, frame: pl.DataFrame, length: int) -> np.ndarray:
        return self._cache.get(frame, ("ema", length), lambda: ema(frame["close"].to_numpy(), length))

    def _atr(self, frame: pl.DataFrame, length: int) -> np.ndarray:
        def compute() -> np.ndarray:
            high, low, close = (frame[name].to_numpy() for name in ("high", "low", "close"))
            return atr_wilder(high, low, close, length)

        return self._cache.get(frame, ("atr", length), compute)


def _before(flags: np.ndarray, bars: int) -> np.ndarray:
    """``flags`` of ``bars`` rows earlier; False where there is none."""
    moved = np.zeros_like(flags)
    moved[bars:] = flags[:-bars]
    return moved
