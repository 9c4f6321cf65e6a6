"""Metrics of one replay, from daily equity returns and closed trades. Undefined numbers are None, never NaN."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import polars as pl

from argus_core.replay.results import UNKNOWN, ReplayResult

#: Worst share of the days that the expected shortfall averages.
SHORTFALL_SHARE = 0.05

#: Returns whose standard deviation is below this do not vary: their Sharpe ratio is undefined, not huge.
_STILL = 1e-12

#: Factor -> column of the trades that holds the label at entry.
FACTORS = {"vol": "entry_vol_regime", "trend": "entry_trend_regime", "session": "entry_session"}


def compute_metrics(result: ReplayResult, *, days_per_year: int) -> dict[str, Any]:
    """Metric columns of a run row, from ``n_days`` to ``forced_pnl_share``.

    Args:
        days_per_year: trading days of the instrument's calendar: 252, or 365 for 24/7 instruments.

    From daily returns r_1..r_n (equity at the last bar of each trade date; the start counts as a peak):

    * total_return: prod(1 + r) - 1; annual_return: (1 + total)^(days_per_year / n) - 1.
    * sharpe_period: mean / sample standard deviation (n - 1), daily, no risk-free rate (Sharpe 1994); sharpe: times
      sqrt(days_per_year), which assumes no autocorrelation (Lo 2002). None below two days or without variance.
    * sortino: mean / sqrt(mean(min(r, 0)^2)), annualised; all days count in the denominator (Sortino & Price 1994).
    * max_drawdown: largest fall from the running peak as a share of it, 0..1; calmar: annual_return / max_drawdown
      (Young 1991, on the compound annual return); time_under_water_days: longest run of days below the peak.
    * expected_shortfall: minus the mean of the worst 5 % of days (at least one), a positive number is a loss.
    * skew, kurtosis: m3 / m2^1.5 and m4 / m2^2 with central moments over n; a Gaussian has kurtosis 3.
    * autocorr_1: first-order autocorrelation, the lagged products of the centred returns over their sum of squares.

    From trades (net of all costs): win_rate (pnl > 0), profit_factor (gains / losses, None without a loss), expectancy
    (mean pnl, dollars), avg_holding_seconds, costs (dollars), and forced_pnl_share: the part of all winning PnL that
    comes from positions closed by force at the end of the window (0 without a winner).
    """
    returns = result.daily["daily_return"].to_numpy()
    return {
        "n_days": len(returns),
        "n_trades": result.trades.height,
        **_return_metrics(returns, days_per_year),
        **_trade_metrics(result.trades),
        "fills": result.fills,
        "rejects": result.reject_count,
        "rejects_by_reason": json.dumps(dict(result.rejects), sort_keys=True),
        "fill_rate": result.fill_rate,
        "exposure": result.exposure,
        "turnover": result.turnover,
        "forced_pnl_share": _forced_share(result.trades),
    }


def max_drawdown(returns: np.ndarray) -> float:
    """Largest fall of compounded ``returns`` from their running peak, the start included, as a share of the peak."""
    return float(_drawdowns(returns).max(initial=0.0))


def _drawdowns(returns: np.ndarray) -> np.ndarray:
    equity = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return 1.0 - equity / np.maximum.accumulate(equity)


def _return_metrics(returns: np.ndarray, days_per_year: int) -> dict[str, float | int | None]:
    n = len(returns)
    growth = float(np.prod(1.0 + returns))
    annual = _finite(_power(growth, days_per_year / n) - 1.0) if n else None
    deviation = float(np.std(returns, ddof=1)) if n > 1 else None
    varies = deviation is not None and deviation > _STILL
    mean = float(np.mean(returns)) if n else None
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))) if n else 0.0
    drawdown = max_drawdown(returns)
    year = math.sqrt(days_per_year)
    period = mean / deviation if varies and mean is not None and deviation else None
    skew = kurtosis = autocorrelation = None
    if varies:
        centred = returns - returns.mean()
        second = np.mean(centred**2)
        skew = float(np.mean(centred**3) / second**1.5)
        kurtosis = float(np.mean(centred**4) / second**2)
        autocorrelation = float(centred[1:] @ centred[:-1] / (centred @ centred))
    worst = np.sort(returns)[: max(1, math.ceil(SHORTFALL_SHARE * n - 1e-9))]
    return {
        "total_return": growth - 1.0,
        "annual_return": annual,
        "volatility": deviation * year if deviation is not None else None,
        "sharpe": period * year if period is not None else None,
        "sharpe_period": period,
        "sortino": mean / downside * year if mean is not None and downside > _STILL else None,
        "calmar": annual / drawdown if annual is not None and drawdown > _STILL else None,
        "max_drawdown": drawdown,
        "time_under_water_days": _longest_run(_drawdowns(returns)[1:] > _STILL),
        "expected_shortfall": -float(worst.mean()) if n else None,
        "skew": skew,
        "kurtosis": kurtosis,
        "autocorr_1": autocorrelation,
    }


def _trade_metrics(trades: pl.DataFrame) -> dict[str, float | None]:
    pnl = trades["pnl"].to_numpy()
    if not len(pnl):
        return {
            "win_rate": None,
            "profit_factor": None,
            "expectancy": None,
            "avg_holding_seconds": None,
            "costs": 0.0,
        }
    losses = float(-pnl[pnl < 0].sum())
    return {
        "win_rate": float((pnl > 0).mean()),
        "profit_factor": float(pnl[pnl > 0].sum()) / losses if losses > 0 else None,
        "expectancy": float(pnl.mean()),
        "avg_holding_seconds": float(trades["holding_seconds"].to_numpy().mean()),
        "costs": float(trades["costs"].to_numpy().sum()),
    }


def _forced_share(trades: pl.DataFrame) -> float:
    pnl = np.maximum(trades["pnl"].to_numpy(), 0.0)
    forced = (trades["exit_reason"] == "forced").to_numpy()
    gains = float(pnl.sum())
    return float(pnl[forced].sum()) / gains if gains > 0 else 0.0


def regime_breakdown(
    result: ReplayResult,
) -> tuple[dict[str, dict[str, dict[str, float | int]]], float | None, float | None, float | None, float | None]:
    """Split the PnL of the closed trades by the labels known at their entry. Bars are never cut.

    Returns:
        ``(breakdown, dep_vol, dep_trend, dep_session, balance)``. breakdown: factor -> label -> trades, pnl,
        win_rate. dep_*: largest |PnL| of a label over the sum of |PnL| of all labels of that factor, so 1.0 when
        all PnL comes from one of them, whatever the other factors say. None where nothing was earned or lost,
        or where the market offered a single label (`ReplayResult.offered`): then it says nothing about the strategy.
        balance: over the factors with a dependency, mean share of their traded labels with a profit; None without any.
    """
    breakdown: dict[str, dict[str, dict[str, float | int]]] = {}
    dependency: dict[str, float | None] = {}
    balances: list[float] = []
    for factor, column in FACTORS.items():
        grouped = (
            result.trades.group_by(pl.col(column).fill_null(UNKNOWN).alias("label"))
            .agg(trades=pl.len(), pnl=pl.col("pnl").sum(), win_rate=(pl.col("pnl") > 0).mean())
            .sort("label")
        )
        breakdown[factor] = {
            row["label"]: {"trades": row["trades"], "pnl": row["pnl"], "win_rate": row["win_rate"]}
            for row in grouped.iter_rows(named=True)
        }
        sizes = np.abs(grouped["pnl"].to_numpy())
        only_one = factor in result.offered and len(result.offered[factor]) < 2
        total = float(sizes.sum())
        if only_one or total <= 0:
            dependency[factor] = None
            continue
        dependency[factor] = float(sizes.max()) / total
        balances.append(float((grouped["pnl"].to_numpy() > 0).mean()))
    balance = float(np.mean(balances)) if balances else None
    return breakdown, dependency["vol"], dependency["trend"], dependency["session"], balance


def _power(base: float, exponent: float) -> float:
    # A loss of everything stays a loss of everything.
    if base <= 0:
        return 0.0
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _longest_run(flags: np.ndarray) -> int:
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(lengths.max(initial=0))
