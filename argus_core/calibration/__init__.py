"""Calibration: how often the whole loop promotes luck, and how often it finds an edge of a stated size."""

from argus_core.calibration.limits import limit_of_one, limit_of_sweep
from argus_core.calibration.markets import MarketSource, RealSessions, SessionTape, real_sessions
from argus_core.calibration.study import CALIBRATION_SCHEMA, calibrate, summarise

__all__ = [
    "CALIBRATION_SCHEMA",
    "MarketSource",
    "RealSessions",
    "SessionTape",
    "calibrate",
    "limit_of_one",
    "limit_of_sweep",
    "real_sessions",
    "summarise",
]
