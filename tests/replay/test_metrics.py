"""Metrics against second formulas (SciPy, loops) and hand-made cases."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from argus_core.replay.metrics import compute_metrics, max_drawdown, regime_breakdown
from argus_core.replay.results import TRADE_SCHEMA, ReplayResult, empty_trades

#: The metric columns of a run row, from n_days to forced_pnl_share.
COLUMNS = [
    *("n_days", "n_trades", "total_return", "annual_return", "volatility", "sharpe", "sharpe_period", "sortino"),
    *("calmar", "max_drawdown", "time_under_water_days", "expected_shortfall", "skew", "kurtosis", "autocorr_1"),
    "win_rate",
    *("profit_factor", "expectancy", "avg_holding_seconds", "costs", "fills", "rejects", "rejects_by_reason"),
    *("fill_rate", "exposure", "turnover", "forced_pnl_share"),
]


def trades_of(rows: list[dict]) -> pl.DataFrame:
    blank = dict.fromkeys(TRADE_SCHEMA)
    defaults = {"pnl": 0.0, "costs": 1.0, "holding_seconds": 60.0, "exit_reason": "signal"}
    return pl.DataFrame([{**blank, **defaults, **row} for row in rows], schema=dict(TRADE_SCHEMA))


def result_of(returns, trades: list[dict] | None = None, rejects: dict | None = None, offered=None) -> ReplayResult:
    returns = np.asarray(returns, float)
    days = [date(2025, 1, 1) + timedelta(days=k) for k in range(len(returns))]
    equity = 1000.0 * np.cumprod(1 + returns)
    daily = pl.DataFrame({"trade_date": days, "equity": equity, "daily_return": returns})
    frame = trades_of(trades) if trades else empty_trades()
    final = float(equity[-1]) if len(equity) else 1000.0
    return ReplayResult(frame, daily, 2 * frame.height, rejects or {}, 0, 1000.0, final, 0.5, 2.0, (), offered or {})


def test_exactly_the_metric_columns_of_a_run_row_are_returned():
    assert list(compute_metrics(result_of([0.01, -0.02]), days_per_year=252)) == COLUMNS


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 300), year=st.sampled_from([252, 365]))
def test_return_metrics_agree_with_second_formulas(seed, n, year):
    r = np.random.default_rng(seed).standard_t(4, n) * 0.01
    got = compute_metrics(result_of(r), days_per_year=year)
    growth = math.exp(sum(math.log1p(x) for x in r))
    mean = sum(r) / n
    variance = sum((x - mean) ** 2 for x in r) / (n - 1)
    assert got["total_return"] == pytest.approx(growth - 1)
    assert got["annual_return"] == pytest.approx(math.exp(math.log(growth) * year / n) - 1)
    assert got["volatility"] == pytest.approx(math.sqrt(variance * year))
    assert got["sharpe_period"] == pytest.approx(mean / math.sqrt(variance))
    assert got["sharpe"] == pytest.approx(mean / math.sqrt(variance) * math.sqrt(year))
    downside = math.sqrt(sum(min(x, 0) ** 2 for x in r) / n)
    assert got["sortino"] == (pytest.approx(mean / downside * math.sqrt(year)) if downside else None)
    peak = equity = 1.0
    deepest, under, longest = 0.0, 0, 0
    for x in r:
        equity *= 1 + x
        peak = max(peak, equity)
        deepest = max(deepest, 1 - equity / peak)
        under = under + 1 if equity < peak else 0
        longest = max(longest, under)
    assert got["max_drawdown"] == pytest.approx(deepest)
    assert got["time_under_water_days"] == longest
    assert got["skew"] == pytest.approx(stats.skew(r), abs=1e-9)
    assert got["kurtosis"] == pytest.approx(stats.kurtosis(r, fisher=False))
    tail = sorted(r)[: math.ceil(round(0.05 * n, 9))]
    assert got["expected_shortfall"] == pytest.approx(-sum(tail) / len(tail))
    if deepest:
        assert got["calmar"] == pytest.approx(got["annual_return"] / deepest)


def test_ratios_without_variance_are_null():
    """The predecessor reported 0 or infinity; a constant series has no Sharpe ratio."""
    for returns in ([0.0] * 10, [0.001] * 10, [0.01], []):
        got = compute_metrics(result_of(returns), days_per_year=252)
        assert got["sharpe"] is got["sharpe_period"] is got["skew"] is got["kurtosis"] is None
        assert got["sortino"] is got["calmar"] is None


def test_the_sharpe_ratio_is_annualised_by_days_not_bars():
    """Predecessor A7: the same returns gave another Sharpe ratio for another bar length."""
    r = np.random.default_rng(1).normal(0.001, 0.01, 100)
    us, crypto = (compute_metrics(result_of(r), days_per_year=d)["sharpe"] for d in (252, 365))
    assert crypto / us == pytest.approx(math.sqrt(365 / 252))


def test_drawdown_counts_the_starting_capital_as_a_peak():
    assert max_drawdown(np.array([-0.1, 0.05])) == pytest.approx(0.1)


def test_a_total_loss_is_a_total_loss_per_year():
    got = compute_metrics(result_of([0.1, -1.0]), days_per_year=252)
    assert (got["annual_return"], got["max_drawdown"]) == (-1.0, 1.0)


def test_an_annual_return_beyond_floats_is_null():
    assert compute_metrics(result_of([1e3]), days_per_year=365)["annual_return"] is None


def test_trade_metrics_of_a_hand_made_list():
    trades = [
        {"pnl": 30.0, "holding_seconds": 60.0},
        {"pnl": -10.0, "holding_seconds": 120.0},
        {"pnl": 0.0, "holding_seconds": 180.0},
        {"pnl": 10.0, "holding_seconds": 240.0, "exit_reason": "forced"},
    ]
    got = compute_metrics(result_of([0.01, 0.02], trades, {"DATA_GAP": 2}), days_per_year=252)
    assert (got["win_rate"], got["profit_factor"], got["expectancy"]) == (0.5, 4.0, 7.5)
    assert (got["avg_holding_seconds"], got["costs"], got["n_trades"]) == (150.0, 4.0, 4)
    assert (got["fills"], got["rejects"], got["fill_rate"]) == (8, 2, 0.8)
    assert json.loads(got["rejects_by_reason"]) == {"DATA_GAP": 2}
    assert got["forced_pnl_share"] == 0.25


def test_trade_metrics_without_trades_or_losses_are_null():
    none = compute_metrics(result_of([0.0, 0.0]), days_per_year=252)
    assert none["win_rate"] is none["profit_factor"] is none["expectancy"] is None
    assert (none["forced_pnl_share"], none["fill_rate"]) == (0.0, 1.0)
    assert compute_metrics(result_of([0.0], [{"pnl": 1.0}]), days_per_year=252)["profit_factor"] is None


def labelled(pnl: float, vol: str, trend: str, session: str = "RTH") -> dict:
    return {"pnl": pnl, "entry_vol_regime": vol, "entry_trend_regime": trend, "entry_session": session}


def test_pnl_from_one_regime_is_full_dependency_whatever_other_factors_say():
    """Predecessor B5: a second factor that splits the same PnL drove the penalty to zero."""
    trades = [labelled(5.0, "HIGH", "UP"), labelled(5.0, "HIGH", "DOWN"), labelled(0.0, "LOW", "UP")]
    _, vol, trend, session, _ = regime_breakdown(result_of([0.01], trades))
    assert (vol, trend, session) == (1.0, 0.5, 1.0)


def test_a_factor_with_one_label_in_the_whole_market_says_nothing():
    trades = [labelled(5.0, "HIGH", "UP")]
    offered = {"vol": ("HIGH", "LOW"), "trend": ("UP",), "session": ("RTH",)}
    _, vol, trend, session, balance = regime_breakdown(result_of([0.01], trades, offered=offered))
    assert (vol, trend, session, balance) == (1.0, None, None, 1.0)


def test_losses_count_by_their_size():
    trades = [labelled(-30.0, "HIGH", "UP"), labelled(10.0, "LOW", "UP")]
    breakdown, vol, _, _, balance = regime_breakdown(result_of([0.01], trades))
    assert vol == 0.75
    assert breakdown["vol"]["HIGH"] == {"trades": 1, "pnl": -30.0, "win_rate": 0.0}
    # vol: one of two labels earns; trend: the one label loses; session: likewise.
    assert balance == pytest.approx((0.5 + 0 + 0) / 3)


def test_every_trade_is_in_exactly_one_label_of_each_factor():
    rng = np.random.default_rng(0)
    trades = [labelled(float(p), rng.choice(["LOW", "HIGH"]), rng.choice(["UP", "DOWN"])) for p in rng.normal(size=50)]
    breakdown, *_ = regime_breakdown(result_of([0.01], trades))
    for labels in breakdown.values():
        assert sum(v["trades"] for v in labels.values()) == 50
        assert sum(v["pnl"] for v in labels.values()) == pytest.approx(sum(t["pnl"] for t in trades))


def test_no_trades_have_no_dependency():
    breakdown, *numbers = regime_breakdown(result_of([0.0]))
    assert breakdown == {"vol": {}, "trend": {}, "session": {}}
    assert numbers == [None] * 4


def test_autocorr_1_is_the_first_sample_autocorrelation():
    from statsmodels.tsa.stattools import acf

    from argus_core.replay.metrics import _return_metrics

    returns = np.random.default_rng(0).normal(size=300).cumsum() * 1e-3
    assert _return_metrics(returns, 252)["autocorr_1"] == pytest.approx(acf(returns, nlags=1)[1])
    assert _return_metrics(np.array([0.01, -0.01] * 50), 252)["autocorr_1"] == pytest.approx(-0.99)
    assert _return_metrics(np.zeros(5), 252)["autocorr_1"] is None
