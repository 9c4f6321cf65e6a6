"""Calibration: how often the whole loop promotes luck, and how often it finds an edge of a stated size."""

from argus_core.calibration.gates import gate_costs
from argus_core.calibration.limits import limit_of_one, limit_of_sweep
from argus_core.calibration.markets import MarketSource, RealSessions, SessionTape, real_sessions
from argus_core.calibration.study import CALIBRATION_SCHEMA, calibrate
from argus_core.calibration.summary import summarise

__all__ = [
    "CALIBRATION_SCHEMA",
    "MarketSource",
    "RealSessions",
    "SessionTape",
    "calibrate",
    "gate_costs",
    "limit_of_one",
    "limit_of_sweep",
    "real_sessions",
    "summarise",
]
