"""Relative strength index and average true range (Wilder 1978, "New Concepts in Technical Trading Systems")."""

from __future__ import annotations

import math

import numpy as np

NAN = math.nan


def rsi_wilder(close: np.ndarray, length: int = 14) -> np.ndarray:
    """RSI in 0..100: Wilder averages of gains and losses, seeded by their mean over the first ``length`` changes.

    Without any loss it is 100, without any move 50. Returns (n,), NaN for the first ``length`` bars.
    """
    out = np.full(len(close), NAN)
    if len(close) <= length:
        return out
    change = np.diff(close)
    up = _wilder(np.maximum(change, 0.0).tolist(), length)
    down = _wilder(np.maximum(-change, 0.0).tolist(), length)
    with np.errstate(all="ignore"):
        strength = 100.0 - 100.0 / (1.0 + up / down)
    out[length:] = np.where(down == 0.0, np.where(up == 0.0, 50.0, 100.0), strength)
    return out


class RsiWilder:
    """Incremental twin of `rsi_wilder`."""

    def __init__(self, length: int = 14) -> None:
        self._up, self._down = _Wilder(length), _Wilder(length)
        self._close = NAN

    def update(self, close: float) -> float:
        """Take the next close; return the RSI, NaN while warming up."""
        change, self._close = close - self._close, close
        if math.isnan(change):
            return NAN
        up, down = self._up.update(max(change, 0.0)), self._down.update(max(-change, 0.0))
        if math.isnan(up):
            return NAN
        if down == 0.0:
            return 50.0 if up == 0.0 else 100.0
        return 100.0 - 100.0 / (1.0 + up / down)


def true_range(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Largest of high - low and the distances of both from the previous close; the first bar has high - low."""
    ranges = high - low
    if len(close) > 1:
        before = close[:-1]
        gaps = np.maximum(np.abs(high[1:] - before), np.abs(low[1:] - before))
        ranges[1:] = np.maximum(ranges[1:], gaps)
    return ranges


def atr_wilder(high: np.ndarray, low: np.ndarray, close: np.ndarray, length: int = 14) -> np.ndarray:
    """Average true range in price units, seeded by the mean of the first ``length`` true ranges.

    Returns (n,), NaN for the first ``length - 1`` bars.
    """
    out = np.full(len(close), NAN)
    if len(close) >= length:
        out[length - 1 :] = _wilder(true_range(high, low, close).tolist(), length)
    return out


class AtrWilder:
    """Incremental twin of `atr_wilder`."""

    def __init__(self, length: int = 14) -> None:
        self._mean = _Wilder(length)
        self._close = NAN

    def update(self, high: float, low: float, close: float) -> float:
        """Take the next bar; return the average true range, NaN while warming up."""
        extent = high - low
        if not math.isnan(self._close):
            extent = max(extent, abs(high - self._close), abs(low - self._close))
        self._close = close
        return self._mean.update(extent)


def _wilder(values: list[float], length: int) -> np.ndarray:
    """Wilder averages from the ``length``-th value on: array (n - length + 1,)."""
    level = 0.0
    for value in values[:length]:
        level += value
    level /= length
    rest = length - 1
    return np.array([level, *[level := (level * rest + value) / length for value in values[length:]]])


class _Wilder:
    def __init__(self, length: int) -> None:
        self._length = length
        self._seen = 0
        self._level = 0.0

    def update(self, value: float) -> float:
        self._seen += 1
        if self._seen > self._length:
            self._level = (self._level * (self._length - 1) + value) / self._length
            return self._level
        self._level += value
        if self._seen < self._length:
            return NAN
        self._level /= self._length
        return self._level
