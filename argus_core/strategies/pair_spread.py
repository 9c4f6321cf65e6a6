"""A pair, or a symbol against a basket: trade the residual of a rolling regression of log prices."""

from __future__ import annotations

from argus_core.strategies.family import Family
from argus_core.strategies.spread import SpreadParams, SpreadStrategy


class PairSpread(SpreadStrategy):
    """Dollar amounts follow the regression's slope, so that what moves both symbols cancels.

    Warning: two price paths that merely trended together are regressed as well as two that belong together; the
    residual then has nothing to return to, and the stop is what ends the trade.
    """

    family = Family(
        name="pairs",
        asset_classes=("equity", "etf", "crypto"),
        min_references=1,
        max_swept_parameters=4,
        max_trades_per_day=40,
        max_annual_turnover=5_000,
    )
    Params = SpreadParams
