"""Fisher transform (Ehlers 2002, "Using the Fisher Transform"), median-price window.

Two conventions exist. This is Ehlers' own and Tulip Indicators': extremes of the **median price** over the window, not
of highs and lows; the other gives very different numbers.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

NAN = math.nan


def fisher(high: np.ndarray, low: np.ndarray, length: int = 10) -> np.ndarray:
    """Fisher transform of the median price's place in its ``length``-bar range.

    Returns (n,), NaN for the first ``length - 1`` bars. A window without range counts as its middle.
    """
    out = np.full(len(high), NAN)
    count = len(high) - length + 1
    if count < 1:
        return out
    price = (high + low) / 2.0
    top, bottom = price[:count].copy(), price[:count].copy()
    for shift in range(1, length):
        np.maximum(top, price[shift : shift + count], out=top)
        np.minimum(bottom, price[shift : shift + count], out=bottom)
    state = _State()
    window = zip(price[length - 1 :].tolist(), top.tolist(), bottom.tolist(), strict=True)
    out[length - 1 :] = [state.step(value, highest, lowest) for value, highest, lowest in window]
    return out


class Fisher:
    """Incremental twin of `fisher`."""

    def __init__(self, length: int = 10) -> None:
        self._prices: deque[float] = deque(maxlen=length)
        self._length = length
        self._state = _State()

    def update(self, high: float, low: float) -> float:
        """Take the next bar; return the transform, NaN while warming up."""
        price = (high + low) / 2.0
        self._prices.append(price)
        if len(self._prices) < self._length:
            return NAN
        return self._state.step(price, max(self._prices), min(self._prices))


class _State:
    """The two smoothed quantities of the recursion."""

    __slots__ = ("_place", "_value")

    def __init__(self) -> None:
        self._place = 0.0
        self._value = 0.0

    def step(self, price: float, top: float, bottom: float) -> float:
        extent = top - bottom
        share = (price - bottom) / extent if extent > 0 else 0.5
        place = 0.33 * 2.0 * (share - 0.5) + 0.67 * self._place
        if place > 0.99:
            place = 0.999
        elif place < -0.99:
            place = -0.999
        self._place = place
        self._value = 0.5 * math.log((1.0 + place) / (1.0 - place)) + 0.5 * self._value
        return self._value
