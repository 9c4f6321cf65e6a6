"""Trades in units of what they risked: R = profit and loss over the risk at entry (Tharp, Trade Your Way, 1998).

Returns carry the size that each trade happened to have; R-multiples leave it out, and a resampled path puts it back by
one rule: every trade risks the same share of the equity at its entry. A path then shows what the rule does with another
order and mix of the same trades, also for a strategy of fixed size or one whose lots were cut by its limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True)
class RiskMultiples:
    """R of every trade in the order given, and the share of equity that the sizing rule risks.

    ``reason`` says in words why there are none; then ``values`` is empty and ``fraction`` None.
    """

    values: np.ndarray
    fraction: float | None
    reason: str = ""

    @property
    def returns(self) -> np.ndarray:
        """Trade returns under the rule: fractions of equity at entry, shape (trades,)."""
        return self.values * (self.fraction or 0.0)


def risk_multiples(trades: pl.DataFrame, fraction: float | None = None) -> RiskMultiples:
    """R-multiples of a run's trades.

    Args:
        trades: needs pnl, risk and equity_at_entry (`argus_core.replay.results.TRADE_SCHEMA`), dollars.
        fraction: share of equity at risk per trade; None: the median of what the trades risked.

    Returns:
        None of them where any trade has no risk: leaving such trades out would leave the losers without a stop out.

    Raises:
        ValueError: if ``fraction`` is not positive.
    """
    if fraction is not None and not fraction > 0:
        raise ValueError(f"fraction is {fraction}; it is the share of equity at risk per trade, so more than 0.")
    if trades.is_empty():
        return RiskMultiples(np.empty(0), None, "no trades")
    risk = trades["risk"].fill_null(float("nan")).to_numpy()
    without = int(np.count_nonzero(~((risk > 0) & np.isfinite(risk))))
    if without:
        return RiskMultiples(
            np.empty(0),
            None,
            f"{without} of {len(risk)} trades have no R-multiple: no stop and no bounded loss at entry",
        )
    chosen = float(np.median(risk / trades["equity_at_entry"].to_numpy())) if fraction is None else fraction
    return RiskMultiples(trades["pnl"].to_numpy() / risk, chosen)
