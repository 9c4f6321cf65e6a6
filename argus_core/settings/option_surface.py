"""Settings of the implied-volatility surface."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from argus_core.settings.document import Settings


class SurfaceSettings(Settings):
    """How a surface is fitted to the implied volatilities of one snapshot."""

    min_quotes: int = Field(5, ge=3, description="fewer usable quotes: the expiry is left out, with the reason")
    min_days: float = Field(0.05, ge=0, description="calendar days; an expiry nearer than that is left out")
    max_deviations: float = Field(
        3.0,
        gt=0,
        description="quotes further out, in units of at-the-money volatility times the root of time, are not fitted: "
        "three parameters cannot hold twenty deviations, and far quotes are as tight as near ones",
    )
    weight: Literal["se", "half_spread"] = Field(
        "se", description="what one unit of misfit is: the standard error of iv_mid, or half the spread in volatility"
    )
    loss: Literal["squares", "huber", "band"] = Field(
        "huber", description="band: misfit inside bid and ask costs a hundredth, from the nearer side on all"
    )
    huber: float = Field(3.0, gt=0, description="units of misfit from which a quote pulls linearly")
    vol_floor: float = Field(1e-4, gt=0, description="smallest unit of misfit, in volatility")
    max_iterations: int = Field(40, ge=1, description="of the fit of each expiry on its own")
    max_rounds: int = Field(12, ge=1, description="of the joint fit under the calendar conditions")
    diagnose_svi: bool = Field(True, description="fit a raw SVI slice beside each expiry")
    grid_points: int = Field(1000, ge=10, description="log-moneyness points on which arbitrage is counted")
    grid_deviations: float = Field(8.0, gt=0, description="the grid's half width in at-the-money deviations")
