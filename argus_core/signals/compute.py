"""The signals of one pack: every strategy of the loop with its base parameters, ranked and routed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.experiments.plan import TrialGroup, plan_trials
from argus_core.experiments.replays import Market, market_of, replay_callback_once
from argus_core.packs import Pack
from argus_core.replay.perturbation import continue_frame
from argus_core.settings import Project
from argus_core.signals.ranking import rank_signals
from argus_core.signals.routing import route_signals
from argus_core.signals.rows import SIGNAL_SCHEMA, Origin, signals_from_decisions, signals_from_intents
from argus_core.strategies.interface import CallbackStrategy, ColumnarStrategy


@dataclass(frozen=True)
class SignalSet:
    """Signals of a pack (columns of `SIGNAL_SCHEMA`, then ``rank`` and ``routes``), and strategies that failed."""

    signals: pl.DataFrame
    #: strategy id -> what it raised
    failed: Mapping[str, str]


def pack_signals(pack: Pack, project: Project, *, calendar: TradingCalendar, market: Market | None = None) -> SignalSet:
    """Signals of every strategy of ``project.loop`` that applies to the pack's symbol, with its base parameters.

    Sweeps are research: their lanes give no signals. Equal base parameters of two specs give one.

    Args:
        market: what strategies see and trade on the pack, where it is at hand.
    """
    settings = project.loop.signals
    known = market or market_of(pack, project, calendar)
    parts = [pl.DataFrame(schema=dict(SIGNAL_SCHEMA))]
    failed: dict[str, str] = {}
    for group in plan_trials(project, pack.symbol, pack.pack_hash):
        for params in group.proof_params:
            origin = Origin(
                group.strategy, params, pack.symbol, group.code_hash, pack.pack_hash, settings.default_confidence
            )
            try:
                parts.append(_signals(group, params, known, origin))
            except Exception as error:  # whatever a user's strategy raises must not silence the others
                failed[group.strategy.strategy_id] = f"{type(error).__name__}: {error}"
    signals = pl.concat(parts)
    if settings.sessions is not None:
        days = pack.manifest.sessions[-settings.sessions :]
        signals = signals.filter(pl.col("trade_date") >= days[0])
    return SignalSet(route_signals(rank_signals(signals), settings.routes), failed)


@lru_cache(maxsize=1)
def signals_code_hash() -> str:
    """16 hex digits over the sources of this package: changed code means new signals."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _signals(group: TrialGroup, params: Any, market: Market, origin: Origin) -> pl.DataFrame:
    frame = market.frame
    if issubclass(group.strategy, ColumnarStrategy):
        return signals_from_intents(group.strategy().intents(frame, params), frame, origin)
    assert issubclass(group.strategy, CallbackStrategy)
    # The last row of a replay decides nothing, but the newest bar is what signals are for: one more row follows it.
    longer = market.seeing(continue_frame(frame, seed=0, rows=1), market.options)
    return signals_from_decisions(replay_callback_once(group.strategy, params, longer).decisions, frame, origin)
