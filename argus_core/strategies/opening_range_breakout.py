"""Opening range breakout: the first minutes of the regular session as a range, traded in the direction it breaks."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from argus_core.strategies import rows as on
from argus_core.strategies.family import Family
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params


class OpeningRangeParams(Params):
    """Parameters of `OpeningRangeBreakout`. R is the distance of the stop."""

    opening_minutes: int = Field(5, ge=1, le=120, description="length of the opening candle, minutes")
    side: Literal["both", "long", "short"] = Field("both", description="breaks that are traded")
    stop: Literal["range", "atr"] = Field("range", description="range: other side of the candle; atr: stop_atr ATRs")
    stop_atr: float = Field(2.0, ge=0.25, le=20, description="distance of the stop in ATRs where stop is atr")
    atr_window: int = Field(30, ge=2, le=2_000, description="bars of the ATR")
    target_r: float | None = Field(2.0, ge=0.25, le=20, description="target in R; null: none")
    trail_r: float | None = Field(None, ge=0.25, le=20, description="trailing stop in R; null: none")
    entry_minutes: int = Field(120, ge=2, le=390, description="breaks count until so many minutes after the open")
    flat_minutes: int = Field(5, ge=1, le=120, description="flat so many minutes before the close")
    risk_per_trade: float | None = Field(
        0.005, gt=0, le=0.05, description="share of equity lost at the stop; null: the whole equity is invested"
    )


class OpeningRangeBreakout(ColumnarStrategy):
    """Long at the first close above the opening candle, short at the first below it: once per side and day.

    A candle counts when no bar of it is missing. While a position is held the break of the other side closes it and
    does not reverse.
    """

    Params = OpeningRangeParams
    family: ClassVar[Family] = Family(
        name="opening_range",
        asset_classes=("equity", "etf"),
        max_bar_seconds=1_800,
        max_swept_parameters=5,
        max_trades_per_day=2,
        max_annual_turnover=1_100,
    )

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: OpeningRangeParams) -> pl.DataFrame:
        get = self._cache.get
        stand = get(frame, ("stand", params.flat_minutes), lambda: on.holdable(frame, 60.0 * params.flat_minutes))
        day = get(frame, "day", lambda: on.day_ordinals(frame))
        top, bottom = get(frame, ("range", params.opening_minutes), lambda: _opening_range(frame, params))
        late = get(frame, "late", lambda: _minute_of_end(frame))
        close = frame["close"].to_numpy()
        # NaN, no candle, compares false.
        asks = stand & (late <= params.entry_minutes)
        at, side = _signed(
            on.first_of_each(asks & (close > top), day) if params.side != "short" else None,
            on.first_of_each(asks & (close < bottom), day) if params.side != "long" else None,
        )
        beyond = np.where(side > 0, close[at] - top[at], bottom[at] - close[at])
        extent = top[at] - bottom[at]
        if params.stop == "range":
            stop = beyond + extent
        else:
            stop = params.stop_atr * on.average_range(frame, params.atr_window, self._cache)[at]
        # NaN: the ATR is not known yet.
        usable = stop > 0
        at, side, stop, beyond, extent = at[usable], side[usable], stop[usable], beyond[usable], extent[usable]
        return on.intent_frame(
            frame.height,
            at,
            side,
            leave=~stand,
            stop_distance=stop,
            target_distance=None if params.target_r is None else params.target_r * stop,
            trail_distance=None if params.trail_r is None else params.trail_r * stop,
            # Where the day's last bars are missing, out at the next open.
            max_hold_seconds=on.numbers(frame, "seconds_to_close")[at],
            risk=params.risk_per_trade,
            # A close far beyond the candle is a clearer break than one at its edge.
            confidence=beyond / (beyond + extent),
        )


def _signed(up: np.ndarray | None, down: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both sides, ascending, and their sides."""
    ups = np.empty(0, np.int64) if up is None else up
    downs = np.empty(0, np.int64) if down is None else down
    at = np.concatenate([ups, downs])
    side = np.concatenate([np.ones(len(ups)), -np.ones(len(downs))])
    order = np.argsort(at)
    return at[order], side[order]


def _minute_of_end(frame: pl.DataFrame) -> np.ndarray:
    """Minutes from the regular open to the end of every bar, (n,)."""
    return on.numbers(frame, "minute_of_session") + on.bar_seconds(frame) / 60


def _opening_range(frame: pl.DataFrame, params: OpeningRangeParams) -> tuple[np.ndarray, np.ndarray]:
    """High and low of the day's opening candle, each (n,); NaN up to its end and on days that lack a bar of it."""
    top, bottom = np.full(frame.height, np.nan), np.full(frame.height, np.nan)
    seconds = on.bar_seconds(frame)
    bars = int(60 * params.opening_minutes // seconds[0]) if frame.height else 0
    if frame.height and not bars:
        raise ValueError(
            f"OpeningRangeBreakout: opening_minutes {params.opening_minutes} is shorter than a bar of "
            f"{seconds[0]:.0f} s. Choose at least {seconds[0] / 60:.0f}, or shorter bars."
        )
    regular = (frame["session"] == "RTH").to_numpy()
    late = _minute_of_end(frame)
    rows = np.flatnonzero(regular & (late > 0) & (late <= params.opening_minutes))
    if not len(rows):
        return top, bottom
    day = on.day_ordinals(frame)
    starts = on.group_starts(day[rows])
    highs = np.maximum.reduceat(frame["high"].to_numpy()[rows], starts)
    lows = np.minimum.reduceat(frame["low"].to_numpy()[rows], starts)
    complete = np.diff(np.append(starts, len(rows))) == bars
    dates = day[rows[starts]]
    place = np.minimum(np.searchsorted(dates, day), len(dates) - 1)
    known = regular & (late > params.opening_minutes) & (dates[place] == day) & complete[place]
    top[known], bottom[known] = highs[place[known]], lows[place[known]]
    return top, bottom
