"""The basis of a crypto ETF: its price against the coin that it holds, which trades on while the exchange is closed."""

from __future__ import annotations

from pydantic import Field

from argus_core.strategies.family import Family
from argus_core.strategies.spread import SpreadParams, SpreadStrategy


class CryptoEtfBasisParams(SpreadParams):
    """Parameters of `CryptoEtfBasis`; those of `SpreadParams` with defaults for daily bars."""

    window: int = Field(20, ge=5, description="past bars from which the basis' mean and deviation are taken")
    max_hold_bars: int = Field(5, ge=1, description="bars after which it is closed")
    max_age_seconds: int = Field(900, gt=0, description="age of the coin's bar beyond which nothing is decided")


class CryptoEtfBasis(SpreadStrategy):
    """One dollar of the ETF holds one dollar of the coin: the hedge ratio is one, and the basis should return.

    Each bar of the ETF is compared with the coin's newest minute at that moment, so nights and weekends of the coin are
    in the comparison. Hedged, both legs are traded; unhedged, the ETF alone follows the coin.

    Warning: fees and premium drift slowly and are taken for a basis by a long window; short coins need a broker that
    lends them, and the ETF's open after a weekend already has most of the coin's move in it.
    """

    family = Family(
        name="basis",
        asset_classes=("etf",),
        min_references=1,
        max_swept_parameters=4,
        max_trades_per_day=20,
        max_annual_turnover=2_000,
    )
    Params = CryptoEtfBasisParams
    hedge_ratio = 1.0
