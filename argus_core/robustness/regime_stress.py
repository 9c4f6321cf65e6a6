"""Does a result rest on one regime? By masking trades, never by cutting bars (glued bars make false returns)."""

from __future__ import annotations

from typing import Any

import polars as pl

FACTORS = {"vol": "entry_vol_regime", "trend": "entry_trend_regime", "session": "entry_session"}


def regime_stress(trades: pl.DataFrame) -> dict[str, Any]:
    """PnL by regime at entry, and what is left when one regime is taken away.

    Args:
        trades: trades of one run (columns of `TRADE_SCHEMA`).

    Returns:
        ``factors``: factor -> label -> trades, pnl (dollars), mean_return (per trade), and pnl_without and
        mean_return_without (the same with the label's trades masked out; None where no trade is left).
        ``worst_mean_return_without``: smallest mean return over all labels taken away, None without trades or where
        every factor has a single label. ``survives``: the mean stays positive whichever regime is taken away.
        ``concentration``: Herfindahl index of |PnL| per factor (1: all in one regime).
    """
    factors: dict[str, dict[str, dict[str, Any]]] = {}
    concentration: dict[str, float | None] = {}
    count, pnl, total = trades.height, _sum(trades, "pnl"), _sum(trades, "trade_return")
    worst: list[float] = []
    for factor, column in FACTORS.items():
        groups = (
            trades.group_by(pl.col(column).fill_null("UNKNOWN").alias("label"))
            .agg(pl.len(), pl.col("pnl").sum(), pl.col("trade_return").sum())
            .sort("label")
        )
        factors[factor] = {}
        for label, trades_of, pnl_of, return_of in groups.iter_rows():
            left = count - trades_of
            without = (total - return_of) / left if left else None
            if without is not None:
                worst.append(without)
            factors[factor][label] = {
                "trades": trades_of,
                "pnl": pnl_of,
                "mean_return": return_of / trades_of,
                "pnl_without": pnl - pnl_of,
                "mean_return_without": without,
            }
        size = groups["pnl"].abs().sum()
        concentration[factor] = float(((groups["pnl"].abs() / size) ** 2).sum()) if size else None
    return {
        "factors": factors,
        "concentration": concentration,
        "worst_mean_return_without": min(worst) if worst else None,
        "survives": min(worst) > 0 if worst else None,
    }


def _sum(frame: pl.DataFrame, column: str) -> float:
    return float(frame[column].sum()) if frame.height else 0.0
