"""What replaying a trial at several cost levels gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from argus_core.replay.results import ReplayResult


@dataclass(frozen=True)
class CostPoint:
    """What a trial gave at one cost multiplier; ``sharpe`` is annualised, None without variance."""

    sharpe: float | None
    pnl: float
    trades: int


@dataclass(frozen=True)
class Replayed:
    """Result of one trial at its own costs and what it gave at each multiplier; without ``base`` it failed, and
    ``error`` says why."""

    base: ReplayResult | None = None
    costs: Mapping[float, CostPoint] = field(default_factory=dict)
    error: str = ""
