"""Eight o'clock candle: the range formed from 08:00 New York time on, traded where it breaks or where a break fails."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from argus_core.strategies import rows as on
from argus_core.strategies.family import Family
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params

_EIGHT = 8 * 60
#: Least share of the candle's bars that must be there: minutes without a trade are usual before the open.
_LEAST_BARS = 0.5


class EightAmCandleParams(Params):
    """Parameters of `EightAmCandle`. Hours are New York time with a decimal fraction: 15.5 is 15:30."""

    minutes: int = Field(60, ge=5, le=240, description="length of the candle from 08:00 on, minutes")
    mode: Literal["break", "failure"] = Field(
        "break", description="break: with the first close beyond; failure: against it, once price closes back inside"
    )
    failure_minutes: float = Field(30.0, ge=1, le=240, description="a break that lasted longer has not failed")
    side: Literal["both", "long", "short"] = Field("both", description="entries that are taken")
    entry_until: float = Field(12.0, ge=8.25, le=23, description="hour up to which entries are decided")
    exit_at: float = Field(15.75, ge=8.5, le=23.75, description="hour at which the position is closed")
    stop_range: float = Field(1.0, ge=0.1, le=10, description="stop distance in ranges of the candle")
    target_range: float | None = Field(2.0, ge=0.1, le=20, description="target distance in ranges; null: none")
    risk_per_trade: float | None = Field(
        0.005, gt=0, le=0.05, description="share of equity lost at the stop; null: the whole equity is invested"
    )

    @model_validator(mode="after")
    def _ordered(self) -> EightAmCandleParams:
        if not 8 + self.minutes / 60 < self.entry_until < self.exit_at:
            raise ValueError(
                f"the candle's end ({8 + self.minutes / 60:g}), entry_until {self.entry_until} and exit_at "
                f"{self.exit_at} must ascend in this order"
            )
        return self


class EightAmCandle(ColumnarStrategy):
    """At most one entry per weekday, decided after the candle by the first close that qualifies.

    Session instruments trade in the regular session only, so breaks before 09:30 count when price is still beyond at
    the first bar's end. 08:00 is New York's clock, summer and winter. Days on which half of the candle's bars or more
    are missing are left out.
    """

    Params = EightAmCandleParams
    family: ClassVar[Family] = Family(
        name="eight_am_candle",
        asset_classes=("equity", "etf", "crypto"),
        max_bar_seconds=3_600,
        max_swept_parameters=6,
        # Crypto has 261 weekdays a year, more than the exchange calendar has trade dates.
        max_trades_per_day=1.2,
        max_annual_turnover=700,
    )

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: EightAmCandleParams) -> pl.DataFrame:
        get = self._cache.get
        if get(frame, "regular", lambda: _regular_only(frame)):
            raise ValueError(
                "EightAmCandle: the series has regular hours only, so there is no candle at 08:00 New York time. Use "
                "an instrument with `hours: extended` or `always` in the universe file."
            )
        day, start = get(frame, "clock", lambda: on.new_york_clock(frame))
        until = start + get(frame, "seconds", lambda: on.bar_seconds(frame)) / 60
        top, bottom = get(frame, ("candle", params.minutes), lambda: _candle(frame, params.minutes))
        stand = get(frame, "stand", lambda: on.holdable(frame, 0.0)) & (until < 60 * params.exit_at)
        close = frame["close"].to_numpy()
        window = stand & (until <= 60 * params.entry_until) & (top > bottom)
        # NaN, no candle, compares false.
        beyond = np.where(window, (close > top).astype(np.int8) - (close < bottom).astype(np.int8), 0)
        if params.mode == "break":
            side = beyond
        else:
            side = _failures(beyond, day, on.stamps(frame, "end"), 60e6 * params.failure_minutes)
            side = np.where(window & (bottom <= close) & (close <= top), side, 0)
        # The first signal of the day is the day's trade, whichever sides are taken.
        at = on.first_of_each(side != 0, day)
        if params.side != "both":
            at = at[side[at] == (1 if params.side == "long" else -1)]
        extent = top[at] - bottom[at]
        outside = np.maximum(close[at] - top[at], bottom[at] - close[at])
        inside = np.minimum(close[at] - bottom[at], top[at] - close[at])
        depth = outside if params.mode == "break" else inside
        return on.intent_frame(
            frame.height,
            at,
            side[at],
            leave=~stand,
            stop_distance=params.stop_range * extent,
            target_distance=None if params.target_range is None else params.target_range * extent,
            max_hold_seconds=60.0 * (60 * params.exit_at - until[at]),
            risk=params.risk_per_trade,
            # How far price has gone beyond the edge, or back inside it, against the candle's range.
            confidence=depth / (depth + extent),
        )


def _regular_only(frame: pl.DataFrame) -> bool:
    return frame.height > 0 and bool((frame["session"] == "RTH").all())


def _candle(frame: pl.DataFrame, minutes: int) -> tuple[np.ndarray, np.ndarray]:
    """High and low of the day's candle, each (n,); NaN up to its end, on weekends and where bars are missing."""
    top, bottom = np.full(frame.height, np.nan), np.full(frame.height, np.nan)
    day, start = on.new_york_clock(frame)
    length = on.bar_seconds(frame) / 60
    ended = start + length >= _EIGHT + minutes
    rows = np.flatnonzero((start >= _EIGHT) & (start + length <= _EIGHT + minutes) & (on.weekdays(day) < 5))
    if not len(rows):
        return top, bottom
    starts = on.group_starts(day[rows])
    highs = np.maximum.reduceat(frame["high"].to_numpy()[rows], starts)
    lows = np.minimum.reduceat(frame["low"].to_numpy()[rows], starts)
    covered = np.add.reduceat(length[rows], starts)
    dates = day[rows[starts]]
    place = np.minimum(np.searchsorted(dates, day), len(dates) - 1)
    known = ended & (dates[place] == day) & (covered[place] > _LEAST_BARS * minutes)
    top[known], bottom[known] = highs[place[known]], lows[place[known]]
    return top, bottom


def _failures(beyond: np.ndarray, day: np.ndarray, end: np.ndarray, longest_us: float) -> np.ndarray:
    """Against the side of a break that the row before was still in, within ``longest_us`` of its start; else 0."""
    rows = np.arange(len(beyond))
    changes = np.ones(len(beyond), bool)
    changes[1:] = (np.diff(beyond) != 0) | (np.diff(day) != 0)
    began = np.maximum.accumulate(np.where(changes, rows, 0))
    before, began_before = on.earlier(beyond, 1, 0), on.earlier(began, 1, 0)
    in_time = (end - end[began_before] <= longest_us) & (on.earlier(day, 1, -1) == day)
    return np.where(in_time, -before, 0)
