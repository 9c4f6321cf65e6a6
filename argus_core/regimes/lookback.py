"""How far back each rule looks, in sessions, and what that means for the rows of one series.

Every quantity of a row depends on bars of a fixed number of sessions before the row's own, counted by the calendar.
So a partition computed alone, with `Lookback.history` sessions before it, gives exactly the rows of a range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.settings import Instrument, RegimeSettings

_DAY = 86_400
_SESSION_SECONDS = {"rth": 6.5 * 3600, "extended": 16 * 3600, "always": float(_DAY)}
#: The averages restart this many slow lengths before a session: what lies before weighs e**-4 of the seed.
_SLOW_LENGTHS = 2


@dataclass(frozen=True)
class Lookback:
    """Sessions before a row's own that each rule may use."""

    volatility: int
    volatility_history: int
    trend: int
    liquidity: int
    liquidity_bars: int

    @classmethod
    def of(cls, settings: RegimeSettings, instrument: Instrument) -> Lookback:
        daily = instrument.bar_seconds >= _DAY
        per_session = 1.0 if daily else max(_SESSION_SECONDS[instrument.hours] / instrument.bar_seconds, 1.0)
        ranked = min(settings.liquidity_window, settings.daily_history) if daily else settings.liquidity_window
        return cls(
            volatility=math.ceil((settings.vol_window + 1) / per_session),
            volatility_history=settings.daily_history if daily else settings.vol_history_sessions,
            trend=math.ceil(_SLOW_LENGTHS * max(settings.ema_slow, settings.ema_fast) / per_session),
            liquidity=math.ceil(ranked / per_session),
            liquidity_bars=ranked,
        )

    @property
    def history(self) -> int:
        """Sessions of bars needed before the first anchor session."""
        return max(self.volatility + self.volatility_history, self.trend, self.liquidity)


def session_numbers(bars: pl.DataFrame, calendar: TradingCalendar) -> np.ndarray:
    """Position of every row's trade date in the calendar, int64 (n,), ascending.

    Raises:
        ValueError: if a trade date is no session of the calendar, or dates are not sorted.
    """
    known = calendar.sessions["date"].to_physical().to_numpy()
    mine = bars["trade_date"].to_physical().to_numpy()
    numbers = np.minimum(np.searchsorted(known, mine), len(known) - 1)
    strange = np.flatnonzero(known[numbers] != mine)
    if len(strange):
        raise ValueError(
            f"bars: trade date {bars['trade_date'][int(strange[0])]} is no session of calendar {calendar.name}. "
            "Use the calendar that assigned the trade dates."
        )
    if np.any(np.diff(numbers) < 0):
        raise ValueError("bars: trade dates go backwards. Sort bars by ts.")
    return numbers.astype(np.int64)


def first_rows(sessions: np.ndarray, back: int) -> np.ndarray:
    """First row that each row may use: the first of the session ``back`` sessions before its own."""
    return np.searchsorted(sessions, sessions - back, side="left")
