"""A made-up cycle with runs, trades and verdicts, dead or alive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.allocation import Allocation, allocate
from argus_core.evaluation import Evaluation, evaluate
from argus_core.settings import AllocationSettings, EvaluationSettings, ExperimentSettings

DAY = date(2025, 3, 31)


@dataclass
class Cycle:
    """Everything that `cycle_report` takes."""

    runs: pl.DataFrame
    returns: pl.DataFrame
    trades: pl.DataFrame
    evaluation: Evaluation
    allocation: Allocation

    def arguments(self) -> dict:
        return {
            "date": DAY,
            "project_summary": {"config": "research_loop.yaml", "symbols": ["SPY", "QQQ"], "simulation": {"seed": 7}},
            "runs": self.runs,
            "returns": self.returns,
            "trades": self.trades,
            "evaluation": self.evaluation,
            "allocation": self.allocation,
        }


def make_cycle(*, sets=8, days=120, planted=0.0, seed=0):
    """Two strategies on two symbols with ``sets`` parameter sets each, and buy-and-hold; ``planted``: drift of one."""
    rng = np.random.default_rng(seed)
    dates = [DAY - timedelta(days=days - 1 - i) for i in range(days)]
    rows, returns, trades = [], [], []
    plans = [(s, y, n) for s in ("EmaCrossAtr", "OvernightSession") for y in ("QQQ", "SPY") for n in range(sets)]
    plans += [("BuyAndHold", "QQQ", 0), ("BuyAndHold", "SPY", 0)]
    market = {symbol: rng.normal(0.0004, 0.01, days) for symbol in ("QQQ", "SPY")}
    for i, (strategy, symbol, n) in enumerate(plans):
        drift = planted if (strategy, symbol, n) == ("EmaCrossAtr", "SPY", 3) else -0.0002
        values = market[symbol] if strategy == "BuyAndHold" else rng.normal(drift, 0.006, days)
        idle = strategy == "OvernightSession" and n == sets - 1
        if idle:
            values = np.zeros(days)
        rows.append(_run(f"run{i:03d}", strategy, symbol, n, values, idle))
        returns.append(pl.DataFrame({"run_id": f"run{i:03d}", "trade_date": dates, "daily_return": values}))
        if not idle:
            trades.append(_trades(f"run{i:03d}", values, dates, rng))
    runs = pl.DataFrame(rows, infer_schema_length=None)
    settings = EvaluationSettings.parse({"spa": {"resamples": 200}}, source="test")
    columns = ("run_id", "strategy", "symbol", "date", "params", "code_hash", "status", "sharpe_period")
    ledger = runs.select(*columns, pl.lit("").alias("returns_hash"))
    daily = pl.concat(returns)
    verdict = evaluate(runs, daily, ledger, settings, ExperimentSettings())
    sized = allocate(verdict.candidates, daily, AllocationSettings(), equity=100_000.0)
    return Cycle(runs, daily, pl.concat(trades), verdict, sized)


def _run(run_id, strategy, symbol, n, values, idle):
    spread = values.std(ddof=1)
    sharpe = None if idle else values.mean() / spread
    equity = np.cumprod(1 + values)
    profit = 1e5 * (equity[-1] - 1)
    costs = {k: {"sharpe": 1.0, "pnl": profit - 900 * (float(k) - 1), "trades": 40} for k in ("1", "1.25", "1.5")}
    split = {"LOW": profit * 0.3, "NORMAL": profit * 0.5, "HIGH": profit * 0.2}
    shares = {"UP": profit * 0.5, "DOWN": profit * 0.1, "RANGE": profit * 0.4}
    stress = {
        "factors": {
            "vol": {k: {"pnl": v} for k, v in split.items()},
            "trend": {k: {"pnl": v} for k, v in shares.items()},
        }
    }
    return {
        "run_id": run_id,
        "strategy": strategy,
        "symbol": symbol,
        "date": DAY,
        "params": json.dumps({"fast": 5 + n, "slow": 20 + 2 * n, "stop_atr": 1.5} if strategy != "BuyAndHold" else {}),
        "pack_hash": f"pack-{symbol}",
        "code_hash": f"code-{strategy}",
        "config_hash": "c0ffee0123456789",
        "convention": "next_open, half spread, 0.5 bps slippage",
        "status": "ok",
        "reason": "",
        "n_days": len(values),
        "n_trades": 0 if idle else 40,
        "total_return": float(equity[-1] - 1),
        "annual_return": None if idle else float(values.mean() * 252),
        "volatility": float(spread * 252**0.5),
        "sharpe": None if sharpe is None else float(sharpe * 252**0.5),
        "sharpe_period": sharpe,
        "skew": 0.0,
        "kurtosis": 3.0,
        "max_drawdown": float(1 - (equity / np.maximum.accumulate(np.maximum(equity, 1))).min()),
        "costs": 1800.0,
        "fill_rate": 1.0,
        "forced_pnl_share": 0.0,
        "days_per_year": 252,
        "mc_median_return": profit / 1e5,
        "mc_p95_drawdown": 0.09,
        "mc_ruin_upper": 0.003,
        "mc_fraction_positive": 0.9 if profit > 0 else 0.3,
        "mc_block_length": 2.0,
        "dep_vol": 0.5,
        "dep_trend": 0.5,
        "dep_session": 1.0,
        "regime_balance": 0.8,
        "wf_sign_consistency": 1.0 if profit > 0 else 0.25,
        "wf_oos_sharpe": None if sharpe is None else float(sharpe * 14),
        "wf_is_sharpe": None if sharpe is None else float(sharpe * 16),
        "cost_break_even": 1 + profit / 1800,
        "cost_pnl_150": profit - 450,
        "cost_sensitivity": json.dumps(costs),
        "regime_stress": json.dumps(stress),
        "plateau_ratio": 0.9,
        "plateau_neighbours": 4,
        "lookahead_ok": True,
        "lookahead_detail": "",
    }


def _trades(run_id, values, dates, rng):
    count = 40
    chunks = np.array_split(values, count)
    start = datetime(2024, 12, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "run_id": run_id,
            "trade_id": [f"t{i:03d}" for i in range(count)],
            "exit_ts": [start + timedelta(days=3 * i) for i in range(count)],
            "trade_return": [float(np.prod(1 + c) - 1) for c in chunks],
            "pnl": [float(1e5 * c.sum()) for c in chunks],
        }
    )


@pytest.fixture(scope="session")
def dead_cycle():
    return make_cycle()


@pytest.fixture(scope="session")
def live_cycle():
    return make_cycle(planted=0.006)


@pytest.fixture
def cycle_of():
    return make_cycle
