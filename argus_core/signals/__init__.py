"""Signals: what strategies decide, as rows with deterministic ids, ranked and routed."""

from argus_core.signals.compute import SignalSet, pack_signals, signals_code_hash
from argus_core.signals.ranking import rank_signals
from argus_core.signals.routing import route_signals
from argus_core.signals.rows import (
    SIGNAL_SCHEMA,
    Origin,
    signal_id,
    signals_from_decisions,
    signals_from_intents,
    structure_direction,
)

__all__ = [
    "SIGNAL_SCHEMA",
    "Origin",
    "SignalSet",
    "pack_signals",
    "rank_signals",
    "route_signals",
    "signal_id",
    "signals_code_hash",
    "signals_from_decisions",
    "signals_from_intents",
    "structure_direction",
]
