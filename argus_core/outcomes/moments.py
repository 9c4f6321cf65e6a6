"""Standard deviations of many windows of one series, exact to the last bit whatever lies before the window.

Prefix sums of floats drift: the same window gives another last bit when the series starts elsewhere, and a label
computed for one partition would differ from the label of a range. Here values become integers (units of 2**-44) split
into two 22-bit limbs; sums of limbs and of their products are exact in 64-bit integers (also when prefix sums wrap
around), and centring happens in integers, so nothing cancels. Only the last combination is a float operation.
"""

from __future__ import annotations

import numpy as np

_UNIT_BITS = 44
_LIMB_BITS = 22
_HALF = np.int64(1 << (_LIMB_BITS - 1))


class ExactSums:
    """Prefix sums of a series (n,), for windows of at most 2**19 values with absolute values below 2**18.

    The quantisation error of a value is 2**-45 (3e-14). Values that are not finite count as 0 and are remembered:
    a window that holds one has no standard deviation.
    """

    def __init__(self, values: np.ndarray) -> None:
        finite = np.isfinite(values)
        units = np.rint(np.where(finite, values, 0.0) * float(1 << _UNIT_BITS)).astype(np.int64)
        high, low = _split(units)
        self._broken = _prefix((~finite).astype(np.int64))
        self._high, self._low = _prefix(high), _prefix(low)
        self._high_high, self._high_low, self._low_low = _prefix(high * high), _prefix(high * low), _prefix(low * low)

    def mean_and_std(self, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sample standard deviation (n - 1) of the windows ``[lo, hi)``, NaN where undefined."""
        count = hi - lo
        sums = [_between(one, lo, hi) for one in (self._high, self._low)]
        squares = [_between(one, lo, hi) for one in (self._high_high, self._high_low, self._low_low)]
        mean, std = combine(count, *sums, *squares)
        broken = _between(self._broken, lo, hi) > 0
        return np.where(broken, np.nan, mean), np.where(broken, np.nan, std)


def limbs(values: np.ndarray) -> tuple[np.ndarray, ...]:
    """The five integer columns whose sums `combine` needs: high, low, high*high, high*low, low*low.

    Values must be finite with absolute values below 2**18.
    """
    high, low = _split(np.rint(values * float(1 << _UNIT_BITS)).astype(np.int64))
    return high, low, high * high, high * low, low * low


def combine(
    count: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    high_high: np.ndarray,
    high_low: np.ndarray,
    low_low: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample standard deviation from the integer sums of `limbs`; NaN for too few values."""
    safe = np.maximum(count, 1)
    # In float64 the mean is good to 2**-53 relative: far below one unit for anything that is not huge, and an inexact
    # centre is harmless, because the exact shift is corrected below.
    mean = (high.astype(np.float64) * float(1 << _LIMB_BITS) + low.astype(np.float64)) / safe
    centre = np.rint(mean).astype(np.int64)
    c_high, c_low = _split(centre)
    a = high_high - 2 * c_high * high + count * c_high * c_high
    b = high_low - c_high * low - c_low * high + count * c_high * c_low
    c = low_low - 2 * c_low * low + count * c_low * c_low
    spread = (
        a.astype(np.float64) * 2.0 ** (2 * _LIMB_BITS)
        + b.astype(np.float64) * 2.0 ** (_LIMB_BITS + 1)
        + c.astype(np.float64)
    )
    shift = mean - centre
    spread = np.maximum(spread - count * shift * shift, 0.0)
    unit = 2.0**-_UNIT_BITS
    std = np.sqrt(spread / np.maximum(count - 1, 1)) * unit
    return np.where(count >= 1, mean * unit, np.nan), np.where(count >= 2, std, np.nan)


def _split(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    high = (units + _HALF) >> np.int64(_LIMB_BITS)
    return high, units - (high << np.int64(_LIMB_BITS))


def _prefix(values: np.ndarray) -> np.ndarray:
    total = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=total[1:])
    return total


def _between(prefix: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    return prefix[hi] - prefix[lo]
