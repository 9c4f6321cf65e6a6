"""A made-up cycle: runs, returns and ledger with chosen daily drifts."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

DAY = date(2025, 3, 31)


def make_run(run_id: str, **changes):
    """A run row that no rule on its own metrics objects to."""
    row = {
        "run_id": run_id,
        "strategy": "Drifter",
        "symbol": "SPY",
        "date": DAY,
        "params": json.dumps({"n": run_id}),
        "status": "ok",
        "reason": "",
        "n_days": 250,
        "n_trades": 60,
        "total_return": 0.3,
        "annual_return": 0.3,
        "volatility": 0.1,
        "sharpe": 3.0,
        "sharpe_period": 3.0 / 252**0.5,
        "skew": 0.0,
        "kurtosis": 3.0,
        "max_drawdown": 0.04,
        "win_rate": 0.6,
        "profit_factor": 2.0,
        "costs": 500.0,
        "fill_rate": 1.0,
        "forced_pnl_share": 0.0,
        "days_per_year": 252,
        "mc_median_return": 0.2,
        "mc_p95_drawdown": 0.1,
        "mc_ruin_upper": 0.004,
        "mc_fraction_positive": 0.95,
        "dep_vol": 0.5,
        "dep_trend": 0.5,
        "dep_session": 1.0,
        "regime_balance": 0.8,
        "wf_sign_consistency": 1.0,
        "wf_oos_sharpe": 2.5,
        "wf_is_sharpe": 3.0,
        "cost_break_even": 4.0,
        "cost_pnl_150": 20_000.0,
        "plateau_ratio": 0.9,
        "plateau_neighbours": 4,
        "lookahead_ok": True,
        "lookahead_detail": "",
    }
    return row | changes


def make_cycle(drifts, *, days=250, seed=0, **changes):
    """(runs, returns, ledger): one run per drift (daily mean in units of 1 % volatility), metrics measured."""
    rng = np.random.default_rng(seed)
    dates = [DAY - timedelta(days=days - 1 - i) for i in range(days)]
    rows, series = [], []
    for i, drift in enumerate(drifts):
        run_id = f"run{i:03d}"
        values = rng.normal(drift * 0.01, 0.01, days)
        sharpe = values.mean() / values.std(ddof=1)
        rows.append(
            make_run(
                run_id,
                n_days=days,
                sharpe_period=sharpe,
                sharpe=sharpe * 252**0.5,
                annual_return=values.mean() * 252,
                total_return=values.sum(),
                **changes,
            )
        )
        series.append(pl.DataFrame({"run_id": run_id, "trade_date": dates, "daily_return": values}))
    runs = pl.DataFrame(rows, infer_schema_length=None)
    return runs, pl.concat(series), make_ledger(runs)


def make_ledger(runs: pl.DataFrame) -> pl.DataFrame:
    columns = ("run_id", "strategy", "symbol", "date", "params", "status", "sharpe_period")
    return runs.select(*columns, pl.lit("").alias("code_hash"), pl.lit("").alias("returns_hash"))


@pytest.fixture
def cycle():
    return make_cycle


@pytest.fixture
def run_row():
    return make_run


@pytest.fixture
def ledger_of():
    return make_ledger
