"""Log returns, rolling volatility and Bollinger bands.

Windows are summed oldest to newest in both forms (the batch form adds shifted arrays), so a value depends on its window
alone: not on where the series starts, and not on whether it came in a batch.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

NAN = math.nan


def log_returns(close: np.ndarray) -> np.ndarray:
    """ln(close / previous close), (n,); NaN for the first bar."""
    out = np.full(len(close), NAN)
    with np.errstate(all="ignore"):
        out[1:] = np.log(close[1:] / close[:-1])
    return out


class LogReturns:
    """Incremental twin of `log_returns`."""

    def __init__(self) -> None:
        self._close = NAN

    def update(self, close: float) -> float:
        """Take the next close; return the log return, NaN for the first."""
        ratio, self._close = close / self._close, close
        # np.log, as the batch form: math.log may differ in the last bit.
        return float(np.log(ratio))


def rolling_volatility(returns: np.ndarray, window: int) -> np.ndarray:
    """Sample standard deviation (n - 1) of the last ``window`` returns, per bar, two passes.

    Returns (n,), NaN where the window is not full or holds a NaN.
    """
    _, squares = _moments(returns, window)
    return np.sqrt(squares / (window - 1))


class RollingVolatility:
    """Incremental twin of `rolling_volatility`."""

    def __init__(self, window: int) -> None:
        self._values: deque[float] = deque(maxlen=window)
        self._window = window

    def update(self, value: float) -> float:
        """Take the next return; return the volatility, NaN while the window is not full."""
        self._values.append(value)
        if len(self._values) < self._window:
            return NAN
        return math.sqrt(_plain_moments(self._values)[1] / (self._window - 1))


def bollinger(close: np.ndarray, length: int = 20, width: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bollinger bands: (middle, upper, lower), each (n,): mean of ``length`` closes -/+ width population deviations."""
    mean, squares = _moments(close, length)
    reach = width * np.sqrt(squares / length)
    return mean, mean + reach, mean - reach


class Bollinger:
    """Incremental twin of `bollinger`."""

    def __init__(self, length: int = 20, width: float = 2.0) -> None:
        self._values: deque[float] = deque(maxlen=length)
        self._length = length
        self._width = width

    def update(self, close: float) -> tuple[float, float, float]:
        """Take the next close; return (middle, upper, lower), NaN while warming up."""
        self._values.append(close)
        if len(self._values) < self._length:
            return NAN, NAN, NAN
        mean, squares = _plain_moments(self._values)
        reach = self._width * math.sqrt(squares / self._length)
        return mean, mean + reach, mean - reach


def _moments(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sum of squared deviations of every full window, (n,) each, NaN before."""
    mean, squares = np.full(len(values), NAN), np.full(len(values), NAN)
    count = len(values) - window + 1
    if count < 1:
        return mean, squares
    total = np.zeros(count)
    for shift in range(window):
        total += values[shift : shift + count]
    centre = total / window
    spread = np.zeros(count)
    for shift in range(window):
        deviation = values[shift : shift + count] - centre
        spread += deviation * deviation
    mean[window - 1 :], squares[window - 1 :] = centre, spread
    return mean, squares


def _plain_moments(values: deque[float]) -> tuple[float, float]:
    total = 0.0
    for value in values:
        total += value
    centre = total / len(values)
    spread = 0.0
    for value in values:
        deviation = value - centre
        spread += deviation * deviation
    return centre, spread
