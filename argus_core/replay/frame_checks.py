"""What a decision frame must be before either engine replays it, and the splits that nobody adjusted it for."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
import polars as pl

from argus_core.market.session_checks import split_distance
from argus_core.settings import GateSettings, Instrument

_REQUIRED = ("ts", "end", "available_at", "trade_date", "open", "high", "low", "close", "volume", "half_spread")
_PRICES = ("open", "high", "low", "close")
_DAY = 86_400
_GATE = "Gate the bars before replay."


def checked_numbers(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Prices, volume and half spread as float64, one entry per bar.

    Raises:
        ValueError: naming column, row, value and what to do, if a column is missing, a time null or out of order, a
            price not positive and finite, a range that does not hold open and close, a volume or spread negative, or
            a bar available before its end.
    """
    missing = [name for name in _REQUIRED if name not in frame.columns]
    if missing:
        raise ValueError(f"decision frame: no column {', '.join(missing)}. Found: {', '.join(frame.columns)}.")
    for name in ("ts", "end", "available_at", "trade_date"):
        _refuse(frame, name, frame[name].is_null().to_numpy(), "is null", "Drop the row, or give it its time.")
    ts, end, available = (frame[name].dt.timestamp("us").to_numpy() for name in ("ts", "end", "available_at"))
    if (np.diff(ts) <= 0).any():
        raise ValueError("decision frame: ts must ascend without duplicates. Sort it and drop duplicate bars.")
    _refuse(frame, "available_at", available < end, "is before the bar's end", "A bar is not known before it is over.")
    numbers = {name: frame[name].cast(pl.Float64).to_numpy() for name in (*_PRICES, "volume", "half_spread")}
    for name, values in numbers.items():
        _refuse(frame, name, ~np.isfinite(values), "holds a null or a number that is not finite", _GATE)
        if name in _PRICES:
            _refuse(frame, name, values <= 0, "is not positive", _GATE)
        else:
            _refuse(frame, name, values < 0, "is negative", _GATE)
    lower, upper = np.minimum(numbers["open"], numbers["close"]), np.maximum(numbers["open"], numbers["close"])
    _refuse(frame, "low", numbers["low"] > lower, "is above open or close", _GATE)
    _refuse(frame, "high", numbers["high"] < upper, "is below open or close", _GATE)
    return numbers


def _refuse(frame: pl.DataFrame, name: str, wrong: np.ndarray, what: str, advice: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"decision frame: {name} {what} at row {row}: {frame[name][row]}. {advice}")


def checked_cash(starting_cash: Any) -> float:
    """Dollars at the start.

    Raises:
        ValueError: if it is no finite number, or negative.
    """
    if not isfinite(starting_cash) or starting_cash < 0:
        raise ValueError(f"starting_cash is {starting_cash}; give a finite number of dollars, 0 or more.")
    return float(starting_cash)


def split_counts(frame: pl.DataFrame, instrument: Instrument) -> tuple[np.ndarray, np.ndarray] | None:
    """Moves that look like an unadjusted split, counted up to the open and up to the close of every row.

    Judged as the gate `split` judges them, with its defaults, where a trade date begins: the open against the close
    before, and for bars shorter than a day the close, too (the first print of a split's day can be at the old price).

    Returns:
        None where there is none, nearly always.
    """
    settings = GateSettings()
    dates = frame["trade_date"]
    first = np.flatnonzero((dates != dates.shift(1)).fill_null(value=False).to_numpy())
    if not len(first):
        return None
    before = frame["close"].gather(first - 1).to_numpy()
    moved_by_open = _like_a_split(frame["open"].gather(first).to_numpy() / before, settings)
    moved_inside = np.zeros(len(first), bool)
    if instrument.bar_seconds < _DAY:
        moved_inside = _like_a_split(frame["close"].gather(first).to_numpy() / before, settings) & ~moved_by_open
    if not (moved_by_open.any() or moved_inside.any()):
        return None
    at_open, at_close = np.zeros(frame.height, int), np.zeros(frame.height, int)
    at_open[first[moved_by_open]] = 1
    at_close[first[moved_by_open | moved_inside]] = 1
    by_close = np.cumsum(at_close)
    return by_close - at_close + at_open, by_close


def _like_a_split(ratio: np.ndarray, settings: GateSettings) -> np.ndarray:
    # Far from every ratio, as all but one in a million are, a look at the size is enough.
    least = min(max(r, 1 / r) for r in settings.split_ratios) * (1 - settings.split_tolerance)
    found = np.maximum(ratio, 1 / ratio) >= least
    for k in np.flatnonzero(found):
        found[k] = split_distance(float(ratio[k]), settings.split_ratios)[1] <= settings.split_tolerance
    return found
