"""Numbers and reasons in words, the same everywhere in a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: What a cell without a value shows.
DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"

REASON_WORDS: Mapping[str, str] = {
    "lookahead": "sees the future",
    "run_failed": "did not finish",
    "no_trades": "never traded",
    "min_trades": "too few trades",
    "open_position_pnl": "profit not realised",
    "robustness_penalty": "fragile parameters",
    "walk_forward_penalty": "fails on later data",
    "regime_dependency_penalty": "rests on one regime",
    "composite_score_min": "score too low",
    "mc_not_measured": "no Monte Carlo",
    "mc_median_return": "typical path loses",
    "mc_p95_drawdown": "drawdown too deep",
    "mc_ruin_prob": "ruin too likely",
    "mc_fraction_positive": "too few paths gain",
    "slippage_sensitivity": "costs eat the edge",
    "dsr_below_threshold": "not above luck (DSR)",
    "reality_check_failed": "fails the joint test",
    "error_budget": "no look is due",
    "pbo": "overfit grid",
    "leave_one_out": "needs one regime or period",
    "entry_not_significant": "entries no better than random",
}

CONSTRAINT_WORDS: Mapping[str, str] = {
    "vol_target_annual": "volatility target",
    "gross_cap": "gross cap",
    "per_play_cap": "cap per play",
    "cluster_cap": "cap shared by correlated plays",
    "whole_contracts": "whole contracts",
    "missing_data": "missing data",
    "no_edge": "no edge left",
}


def percent(value: float | None, digits: int = 1, *, signed: bool = False) -> str | None:
    if value is None:
        return None
    return f"{100 * value:{'+' if signed else ''}.{digits}f} %".replace("-", MINUS)


def decimal(value: float | None, digits: int = 2) -> str | None:
    return None if value is None else f"{value:,.{digits}f}".replace("-", MINUS)


def dollars(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{MINUS if value < 0 else ''}${abs(value):,.0f}"


def parameters(document: str | None) -> str:
    """JSON parameters as ``name value · name value``; a dash without any."""
    values: dict[str, Any] = json.loads(document or "{}")
    shown = [f"{name} {_plain(value)}" for name, value in values.items() if value is not None]
    return " · ".join(shown) or DASH


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
