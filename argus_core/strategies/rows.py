"""Rows of a decision frame for columnar strategies: clocks, days, first rows; and the intent frame of entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from argus_core.calendar.trading import NEW_YORK
from argus_core.features import atr_wilder
from argus_core.strategies.indicators import FrameCache

DAY_US = 86_400_000_000


def numbers(frame: pl.DataFrame, name: str) -> np.ndarray:
    """A column as float64, (n,); null is NaN."""
    return frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()


def stamps(frame: pl.DataFrame, name: str) -> np.ndarray:
    """A time column in microseconds since the epoch, (n,) int64."""
    return frame[name].dt.timestamp("us").to_numpy()


def bar_seconds(frame: pl.DataFrame) -> np.ndarray:
    """Length of every bar, (n,) float64."""
    return (stamps(frame, "end") - stamps(frame, "ts")) / 1e6


def day_ordinals(frame: pl.DataFrame) -> np.ndarray:
    """Trade date as days since the epoch, (n,) int64, ascending."""
    return frame["trade_date"].to_physical().cast(pl.Int64).to_numpy()


def weekdays(days: np.ndarray) -> np.ndarray:
    """Day of the week of days since the epoch: 0 Monday to 6 Sunday."""
    # 1970-01-01 was a Thursday.
    return (days + 3) % 7


def new_york_clock(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """New York date (days since the epoch) and minutes after its midnight of every bar's start, each (n,) int64."""
    local = frame["ts"].dt.convert_time_zone(NEW_YORK.key)
    minute = local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute().cast(pl.Int64)
    return local.dt.date().to_physical().cast(pl.Int64).to_numpy(), minute.to_numpy()


def holdable(frame: pl.DataFrame, flat_seconds: float) -> np.ndarray:
    """Rows after which an intraday position may stand, (n,) bool: decisions of other rows close it.

    Regular session until ``flat_seconds`` before its close, and at least one bar before it: an order decided at the
    close would wait for the next morning. Every row of a 24/7 series.
    """
    to_close = numbers(frame, "seconds_to_close")
    with np.errstate(invalid="ignore"):
        inside = (frame["session"] == "RTH").to_numpy() & (to_close > np.maximum(flat_seconds, bar_seconds(frame)))
    return np.isnan(to_close) | inside


def average_range(frame: pl.DataFrame, window: int, cache: FrameCache) -> np.ndarray:
    """Wilder ATR of ``window`` bars in price units, (n,), NaN while warming up; computed once per frame."""

    def compute() -> np.ndarray:
        high, low, close = (frame[name].to_numpy() for name in ("high", "low", "close"))
        return atr_wilder(high, low, close, window)

    return cache.get(frame, ("atr", window), compute)


def earlier(values: np.ndarray, bars: int, default: Any) -> np.ndarray:
    """``values`` of ``bars`` rows before; ``default`` where there is none."""
    moved = np.full_like(values, default)
    if bars < len(values):
        moved[bars:] = values[: len(values) - bars]
    return moved


def group_starts(groups: np.ndarray) -> np.ndarray:
    """First row of every run of equal values."""
    if not len(groups):
        return np.empty(0, np.int64)
    return np.concatenate([[0], np.flatnonzero(np.diff(groups)) + 1])


def first_of_each(flags: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Rows at which ``flags`` is true for the first time in their run of equal ``groups``."""
    rows = np.flatnonzero(flags)
    return rows[group_starts(groups[rows])]


def intent_frame(
    height: int,
    rows: np.ndarray,
    side: np.ndarray | int,
    *,
    leave: np.ndarray | None = None,
    **values: np.ndarray | float | None,
) -> pl.DataFrame:
    """Intents that enter at ``rows`` and are empty elsewhere.

    Args:
        side: +1 or -1, one number or one per entry.
        leave: the column ``exit``, (height,) bool.
        values: further columns of the entries, one number or one per entry; None leaves the column out.
    """
    enter = np.zeros(height, np.int8)
    enter[rows] = side
    columns: dict[str, np.ndarray] = {"enter": enter}
    if leave is not None:
        columns["exit"] = leave
    for name, value in values.items():
        if value is not None:
            columns[name] = np.full(height, np.nan)
            columns[name][rows] = value
    return pl.DataFrame(columns)
