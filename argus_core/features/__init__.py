"""Indicators: every one as a batch function over NumPy arrays and as an incremental class, equal to the last bit.

Warm-up is NaN, never zero. A value at index k uses inputs up to k only.
"""

from argus_core.features.averages import Ema, Macd, ema, macd
from argus_core.features.fisher import Fisher, fisher
from argus_core.features.volatility import (
    Bollinger,
    LogReturns,
    RollingVolatility,
    bollinger,
    log_returns,
    rolling_volatility,
)
from argus_core.features.vwap import SessionVwap, session_vwap
from argus_core.features.wilder import AtrWilder, RsiWilder, atr_wilder, rsi_wilder

__all__ = [
    "AtrWilder",
    "Bollinger",
    "Ema",
    "Fisher",
    "LogReturns",
    "Macd",
    "RollingVolatility",
    "RsiWilder",
    "SessionVwap",
    "atr_wilder",
    "bollinger",
    "ema",
    "fisher",
    "log_returns",
    "macd",
    "rolling_volatility",
    "rsi_wilder",
    "session_vwap",
]
