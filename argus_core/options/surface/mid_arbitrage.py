"""Count static arbitrage among the mids of a chain: what a fit has to remove. Most of it lies inside the spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.black import black_price

Floats = NDArray[np.float64]

#: Slopes of the call price over the strike (between -1 and 0) and shares of a variance: what rounding may leave.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class MidArbitrage:
    """Violations at the mid volatilities of the used quotes of one snapshot.

    Attributes:
        points: quotes that were tested.
        vertical: neighbours between which a call rises with its strike, or falls faster than the strike rises.
        butterfly: strikes at which the call price is not convex.
        calendar: quotes whose total variance lies below that of the expiry before at the same log-moneyness.
    """

    points: int
    vertical: int
    butterfly: int
    calendar: int

    @property
    def total(self) -> int:
        return self.vertical + self.butterfly + self.calendar


def mid_arbitrage(vols: pl.DataFrame) -> MidArbitrage:
    """Test neighbouring strikes and expiries.

    Args:
        vols: `ImpliedVols` of one snapshot, any order; rows with ``used`` false are ignored. Two quotes of one strike
            and expiry count as their mean.
    """
    rows = (
        vols.filter(pl.col("used"), pl.col("iv_mid").is_finite(), pl.col("t_cal") > 0)
        .filter(pl.col("log_moneyness").is_finite())
        .group_by("expiry_ts", "t_cal", "log_moneyness")
        .agg(pl.col("iv_mid").mean())
        .sort("t_cal", "expiry_ts", "log_moneyness")
    )
    vertical = butterfly = calendar = 0
    before: tuple[Floats, Floats] | None = None
    for part in rows.partition_by("expiry_ts", maintain_order=True):
        k, iv, years = (part[name].to_numpy() for name in ("log_moneyness", "iv_mid", "t_cal"))
        strike = np.exp(k)
        slope = np.diff(black_price(1.0, strike, years, iv, True, 1.0)) / np.diff(strike)
        vertical += int(((slope > _ROUNDING) | (slope < -1.0 - _ROUNDING)).sum())
        butterfly += int((np.diff(slope) < -_ROUNDING).sum())
        variance = iv * iv * years
        if before is not None:
            inside = (k >= before[0][0]) & (k <= before[0][-1])
            earlier = np.interp(k[inside], *before)
            calendar += int((variance[inside] < earlier * (1.0 - _ROUNDING)).sum())
        before = (k, variance)
    return MidArbitrage(rows.height, vertical, butterfly, calendar)
