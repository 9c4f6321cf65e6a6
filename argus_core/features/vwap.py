"""Volume-weighted average price, restarted every session."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable

import numpy as np

NAN = math.nan


def session_vwap(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray, session: np.ndarray
) -> np.ndarray:
    """Running sum of typical price x volume over running volume, per run of equal ``session`` values.

    Args:
        high, low, close, volume: float arrays (n,); typical price = (high + low + close) / 3.
        session: array (n,) that changes where a session starts, for instance trade dates.

    Returns:
        Float array (n,), NaN until something has traded in the session.
    """
    out = np.full(len(close), NAN)
    if not len(close):
        return out
    money = (high + low + close) / 3.0 * volume
    starts = np.concatenate([[0], np.flatnonzero(session[1:] != session[:-1]) + 1, [len(close)]])
    for start, stop in itertools.pairwise(starts):
        shares = np.cumsum(volume[start:stop])
        with np.errstate(all="ignore"):
            out[start:stop] = np.where(shares > 0, np.cumsum(money[start:stop]) / shares, NAN)
    return out


class SessionVwap:
    """Incremental twin of `session_vwap`."""

    def __init__(self) -> None:
        self._session: Hashable = None
        self._money = 0.0
        self._shares = 0.0

    def update(self, high: float, low: float, close: float, volume: float, session: Hashable) -> float:
        """Take the next bar; return the session's average price, NaN until something has traded."""
        if session != self._session:
            self._session, self._money, self._shares = session, 0.0, 0.0
        self._money += (high + low + close) / 3.0 * volume
        self._shares += volume
        return self._money / self._shares if self._shares > 0 else NAN
