"""Friday revisit: Friday's high or low, whichever is nearer, is expected to be traded again on Monday."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from argus_core.strategies import rows as on
from argus_core.strategies.family import Family
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params

_FRIDAY = 4
#: Most days between Friday and the session that follows it: a holiday on Monday and one more.
_LONGEST_BREAK = 5


class FridayRevisitParams(Params):
    """Parameters of `FridayRevisit`. Distances are shares of the price."""

    min_distance: float = Field(0.0005, ge=0, le=0.1, description="least distance of the level")
    max_distance: float = Field(0.01, gt=0, le=0.2, description="largest distance of the level")
    stop_ratio: float = Field(1.0, ge=0.1, le=10, description="stop distance over the distance of the level")
    entry_delay_minutes: int = Field(5, ge=0, le=1_380, description="first decision so many minutes after the open")
    entry_window_minutes: int = Field(60, ge=1, le=1_440, description="minutes after the delay in which to enter")
    flat_minutes: int = Field(5, ge=1, le=120, description="session instruments: flat so many minutes before the close")
    risk_per_trade: float | None = Field(
        0.005, gt=0, le=0.05, description="share of equity lost at the stop; null: the whole equity is invested"
    )

    @model_validator(mode="after")
    def _ordered(self) -> FridayRevisitParams:
        if self.min_distance >= self.max_distance:
            raise ValueError(f"min_distance {self.min_distance} must be below max_distance {self.max_distance}")
        return self


class _Mondays(NamedTuple):
    """Per row, (n,) each; NaN or False off the days that follow a Friday.

    ``high``, ``low``: Friday's; ``high_met``, ``low_met``: already traded on the day so far; ``minute``: from the day's
    start to the bar's end; ``rest``: seconds from the decision to the day's end; ``day``: number of the day.
    """

    high: np.ndarray
    low: np.ndarray
    high_met: np.ndarray
    low_met: np.ndarray
    minute: np.ndarray
    rest: np.ndarray
    day: np.ndarray


class FridayRevisit(ColumnarStrategy):
    """One entry on the first session after a Friday, towards the nearer level, which is the target; out by the close.

    Entered at the first row of the entry window at which the nearer level is not yet traded that day and within bounds.
    A level that Monday's open has jumped over is approached from the other side. Session instruments: regular
    sessions; a Monday holiday moves the trade to Tuesday. 24/7 series: Friday and Monday of the UTC calendar.
    """

    Params = FridayRevisitParams
    family: ClassVar[Family] = Family(
        name="friday_revisit",
        asset_classes=("equity", "etf", "crypto"),
        max_bar_seconds=3_600,
        max_swept_parameters=4,
        max_trades_per_day=1,
        max_annual_turnover=250,
    )

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: FridayRevisitParams) -> pl.DataFrame:
        days = self._cache.get(frame, "mondays", lambda: _mondays(frame))
        flat = params.flat_minutes
        stand = self._cache.get(frame, ("stand", flat), lambda: on.holdable(frame, 60.0 * flat))
        close = frame["close"].to_numpy()
        # NaN, no Friday before, compares false.
        up, down = np.abs(days.high - close), np.abs(days.low - close)
        nearer_high = up <= down
        level = np.where(nearer_high, days.high, days.low)
        met = np.where(nearer_high, days.high_met, days.low_met)
        distance = np.abs(level - close)
        share = distance / close
        late = days.minute - params.entry_delay_minutes
        ready = stand & ~met & (late >= 0) & (late <= params.entry_window_minutes) & (distance > 0)
        ready &= (share >= params.min_distance) & (share <= params.max_distance)
        at = on.first_of_each(ready, days.day)
        return on.intent_frame(
            frame.height,
            at,
            np.sign(level - close)[at],
            leave=~stand,
            stop_distance=params.stop_ratio * distance[at],
            target_distance=distance[at],
            max_hold_seconds=days.rest[at],
            risk=params.risk_per_trade,
            # The nearer the level within the bounds, the likelier the visit.
            confidence=1.0 - share[at] / params.max_distance,
        )


def _mondays(frame: pl.DataFrame) -> _Mondays:
    height = frame.height
    high, low = frame["high"].to_numpy(), frame["low"].to_numpy()
    to_close = on.numbers(frame, "seconds_to_close")
    always = np.isnan(to_close)
    day = np.where(always, on.stamps(frame, "ts") // on.DAY_US, on.day_ordinals(frame))
    rows = np.flatnonzero(always | (frame["session"] == "RTH").to_numpy())
    minute = on.numbers(frame, "minute_of_session") + on.bar_seconds(frame) / 60
    midnight = (day + 1) * on.DAY_US
    rest = np.where(always, (midnight - on.stamps(frame, "available_at")) / 1e6, to_close)
    blank = np.full(height, np.nan)
    found = _Mondays(blank, blank.copy(), np.zeros(height, bool), np.zeros(height, bool), minute, rest, day)
    if not len(rows):
        return found
    starts = on.group_starts(day[rows])
    dates = day[rows[starts]]
    highs, lows = np.maximum.reduceat(high[rows], starts), np.minimum.reduceat(low[rows], starts)
    # Friday: the day before in the table, or three days back where the weekend trades.
    friday = dates - (dates + 3 - _FRIDAY) % 7
    place = np.searchsorted(dates, friday)
    place = np.minimum(place, len(dates) - 1)
    next_one = (dates[place] == friday) & (dates > friday) & (dates - friday <= _LONGEST_BREAK)
    around_the_clock = always[rows[starts]]
    next_one &= np.where(around_the_clock, dates - friday == 3, np.arange(len(dates)) - place == 1)
    number = np.repeat(np.arange(len(dates)), np.diff(np.append(starts, len(rows))))
    chosen = next_one[number]
    here = rows[chosen]
    top, bottom = highs[place[number[chosen]]], lows[place[number[chosen]]]
    found.high[here], found.low[here] = top, bottom
    for met, level in ((found.high_met, top), (found.low_met, bottom)):
        met[here] = _so_far((low[here] <= level) & (level <= high[here]), day[here])
    return found


def _so_far(flags: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Whether a flag was set in the row's run of equal groups up to the row, (n,)."""
    count = np.cumsum(flags)
    starts = on.group_starts(groups)
    before = (count - flags)[starts]
    return count > np.repeat(before, np.diff(np.append(starts, len(groups))))
