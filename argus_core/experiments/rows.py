"""The tables that experiments write: one row per run, its trades, its daily returns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from argus_core.replay.results import TRADE_SCHEMA

#: Columns of the table ``experiments``; docs/experiments.md says what each means. Undefined numbers are null.
RUN_SCHEMA: Mapping[str, pl.DataType] = {
    **dict.fromkeys(("run_id", "strategy", "symbol"), pl.String()),
    "date": pl.Date(),
    **dict.fromkeys(("params", "pack_hash", "code_hash", "config_hash", "convention", "status", "reason"), pl.String()),
    **dict.fromkeys(("n_days", "n_trades"), pl.Int64()),
    **dict.fromkeys(
        (
            "total_return",
            "annual_return",
            "volatility",
            "sharpe",
            "sharpe_period",
            "sortino",
            "calmar",
            "max_drawdown",
        ),
        pl.Float64(),
    ),
    "time_under_water_days": pl.Int64(),
    **dict.fromkeys(
        (
            "expected_shortfall",
            "skew",
            "kurtosis",
            "autocorr_1",
            "win_rate",
            "profit_factor",
            "expectancy",
            "avg_holding_seconds",
            "costs",
        ),
        pl.Float64(),
    ),
    **dict.fromkeys(("fills", "rejects"), pl.Int64()),
    "rejects_by_reason": pl.String(),
    **dict.fromkeys(
        ("fill_rate", "exposure", "turnover", "forced_pnl_share", "final_equity", "starting_cash"), pl.Float64()
    ),
    "days_per_year": pl.Int64(),
    **dict.fromkeys(
        (
            "mc_median_return",
            "mc_p5_return",
            "mc_p95_drawdown",
            "mc_ruin_prob",
            "mc_ruin_upper",
            "mc_fraction_positive",
            "mc_block_length",
            "mc_risk_fraction",
            "mc_raw_median_return",
            "mc_raw_p95_drawdown",
            "mc_raw_ruin_upper",
            "selection_sharpe_shift",
            "selection_trade_shift",
            "selection_reliability",
            "dep_vol",
            "dep_trend",
            "dep_session",
            "regime_balance",
            "worst_mean_without_regime",
            "worst_mean_without_fold",
            "hhi_regime",
            "hhi_fold",
        ),
        pl.Float64(),
    ),
    "mc_unit": pl.String(),
    "mc_paths_used": pl.Int64(),
    "mc_decided": pl.Boolean(),
    "mc_reason": pl.String(),
    "selection_rank": pl.Int64(),
    "regime_breakdown": pl.String(),
    **dict.fromkeys(
        (
            "wf_sign_consistency",
            "wf_oos_sharpe",
            "wf_is_sharpe",
            "wf_decay",
            "entry_p",
            "entry_excess_bp",
            "cpcv_sharpe_median",
            "cpcv_sharpe_p5",
            "cpcv_share_negative",
            "warmup_sensitivity",
            "warmup_z",
            "warmup_restart",
            "cost_break_even",
            "cost_break_even_rerun",
            "cost_sharpe_150",
            "cost_pnl_150",
        ),
        pl.Float64(),
    ),
    "cost_break_even_how": pl.String(),
    "cost_sensitivity": pl.String(),
    "plateau_ratio": pl.Float64(),
    "plateau_neighbours": pl.Int32(),
    "lookahead_ok": pl.Boolean(),
    "lookahead_detail": pl.String(),
    # JSON blocks beyond the flat columns: what is left without a regime or a fold, the walk-forward of the whole sweep,
    # and the Sharpe ratios of later starts.
    "regime_stress": pl.String(),
    "walk_forward": pl.String(),
    "warmup": pl.String(),
}

RETURN_SCHEMA: Mapping[str, pl.DataType] = {
    "run_id": pl.String(),
    "trade_date": pl.Date(),
    "daily_return": pl.Float64(),
}

RUN_TRADE_SCHEMA: Mapping[str, pl.DataType] = {"run_id": pl.String(), **TRADE_SCHEMA}


def run_frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as the table ``experiments``; missing and not finite numbers become null."""
    columns: dict[str, list[Any]] = {name: [] for name in RUN_SCHEMA}
    for row in rows:
        if unknown := sorted(set(row) - set(RUN_SCHEMA)):
            raise ValueError(f"run row has unknown column(s) {unknown}; known: {', '.join(RUN_SCHEMA)}")
        for name, values in columns.items():
            values.append(finite(row.get(name)))
    return pl.DataFrame(columns, schema=dict(RUN_SCHEMA), strict=False)


def finite(value: Any) -> Any:
    """``value``, or None where it is a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(document: Any) -> str:
    """Sorted, compact JSON without NaN."""
    return json.dumps(_clean(document), sort_keys=True, separators=(",", ":"), default=str, allow_nan=False)


def _clean(document: Any) -> Any:
    if isinstance(document, Mapping):
        return {str(key): _clean(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_clean(value) for value in document]
    return finite(document)
