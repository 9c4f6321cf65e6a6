"""Anomalies of a chain: residuals, static arbitrage, kinks of the term structure, moves against history."""

from argus_core.options.anomalies.engine import find_anomalies, residual_flags
from argus_core.options.anomalies.history import history_flags, surface_features
from argus_core.options.anomalies.model_gap import gap_drift, model_gap
from argus_core.options.anomalies.residuals import residuals
from argus_core.options.anomalies.stale import stale_contracts
from argus_core.options.anomalies.static import static_flags
from argus_core.options.anomalies.term import kink_flags

__all__ = [
    "find_anomalies",
    "gap_drift",
    "history_flags",
    "kink_flags",
    "model_gap",
    "residual_flags",
    "residuals",
    "stale_contracts",
    "static_flags",
    "surface_features",
]
