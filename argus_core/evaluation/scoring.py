"""Composite score of a run: fixed maps of its own metrics to [0, 1], weighted. It never depends on other runs.

| component | 0 | 1 | unknown |
|---|---|---|---|
| total_return | annualised return <= 0 | >= 50 % | 0 |
| sharpe | annualised, <= 0 | >= 3 | 0 |
| drawdown (penalty) | <= 5 % | >= 50 % | 0 |
| rejects (penalty) | fill rate >= 0.8 | 0 | 0 |
| fragility (penalty) | neighbours keep the whole score | none of it | 0.5 without neighbours |
| regime_dependency (penalty) | largest share of PnL of any factor <= 60 % | 100 % | 0 |
| regime_balance | as measured | as measured | 0 |
| walk_forward (penalty) | consistent and no decay | worse of sign consistency and decay | 0.5 |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from argus_core.settings import CompositeWeights

#: Order of the components in documents and figures.
COMPONENTS = (
    "total_return",
    "sharpe",
    "drawdown",
    "rejects",
    "fragility",
    "regime_dependency",
    "regime_balance",
    "walk_forward",
)
_UNKNOWN = 0.5


def number(run: Mapping[str, Any], key: str) -> float | None:
    """The metric as a finite float; None where it is missing, null, NaN or infinite."""
    value = run.get(key)
    if value is None or isinstance(value, str):
        return None
    value = float(value)
    return value if math.isfinite(value) else None


def score_components(run: Mapping[str, Any]) -> dict[str, float]:
    """Components of one run row, each in [0, 1] (see the module's table)."""
    return {
        "total_return": _ramp(number(run, "annual_return"), 0.0, 0.5),
        "sharpe": _ramp(number(run, "sharpe"), 0.0, 3.0),
        "drawdown": _ramp(_absolute(number(run, "max_drawdown")), 0.05, 0.5),
        "rejects": 1.0 - _ramp(_or(number(run, "fill_rate"), 1.0), 0.0, 0.8),
        "fragility": _fragility(run),
        "regime_dependency": _ramp(regime_share(run)[1], 0.6, 1.0),
        "regime_balance": _ramp(number(run, "regime_balance"), 0.0, 1.0),
        "walk_forward": _walk_forward(run),
    }


def composite_score(components: Mapping[str, float], weights: CompositeWeights) -> float:
    """Weighted sum of the components, rounded to ten decimals. Penalties carry negative weights."""
    return round(math.fsum(getattr(weights, name) * components[name] for name in COMPONENTS), 10)


def regime_share(run: Mapping[str, Any]) -> tuple[str, float | None]:
    """The factor (vol, trend, session) on one label of which most of the PnL rests, and that share.

    A strategy whose PnL falls in a single session trades in that session by design: its hours are no dependency, and
    the session factor is left out. All PnL from one volatility or trend regime is a dependency, whatever else is told.
    """
    shares = {}
    for factor in ("vol", "trend", "session"):
        share = number(run, f"dep_{factor}")
        if share is not None and not (factor == "session" and share >= 1.0 - 1e-9):
            shares[factor] = share
    if not shares:
        return "vol", None
    factor = max(shares, key=lambda name: shares[name])
    return factor, shares[factor]


def walk_forward_decay(run: Mapping[str, Any]) -> float | None:
    """Share of the in-sample Sharpe that is lost out of sample; 1 where nothing is left; None where not measured."""
    outside, inside = number(run, "wf_oos_sharpe"), number(run, "wf_is_sharpe")
    if outside is None:
        return None
    if outside <= 0:
        return 1.0
    return 1.0 - outside / inside if inside is not None and inside > 0 else 0.0


def _walk_forward(run: Mapping[str, Any]) -> float:
    consistency, decay = number(run, "wf_sign_consistency"), walk_forward_decay(run)
    if consistency is None and decay is None:
        return _UNKNOWN
    unstable = 1.0 - _ramp(_or(consistency, 0.8), 0.4, 0.8)
    # A consistent loser is not stable: a Sharpe of zero or less out of sample is full decay.
    return max(unstable, _ramp(decay, 0.3, 1.0))


def _fragility(run: Mapping[str, Any]) -> float:
    neighbours, ratio = number(run, "plateau_neighbours"), number(run, "plateau_ratio")
    if not neighbours:
        return _UNKNOWN
    return 1.0 - _ramp(_or(ratio, 0.0), 0.0, 1.0)


def _ramp(value: float | None, zero: float, one: float) -> float:
    """0 at ``zero`` and below, 1 at ``one`` and above, linear between; 0 for None."""
    return 0.0 if value is None else min(1.0, max(0.0, (value - zero) / (one - zero)))


def _absolute(value: float | None) -> float | None:
    return None if value is None else abs(value)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
