"""Settings of the Heston calibration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from argus_core.settings.document import Settings


class HestonCalibrationSettings(Settings):
    """Which contracts are fitted, how they are weighed, and when the fit has converged."""

    min_days: float = Field(5.0, ge=0, description="calendar days; shorter expiries are left out: Heston has no jumps")
    max_deviations: float = Field(
        5.0, gt=0, le=8, description="|ln(K/F)| at most so many at-the-money standard deviations to the expiry"
    )
    min_contracts: int = Field(10, ge=6, description="fewer usable contracts give no fit")
    min_expiries: int = Field(2, ge=2, description="fewer expiries give no fit: kappa and theta would be unknown")
    loss: Literal["mid", "band"] = Field("mid", description="band: no loss inside bid and ask")
    weights: Literal["half_spread", "equal"] = Field(
        "half_spread", description="residuals in half-spreads of volatility, or in volatility"
    )
    min_half_spread_vol: float = Field(5e-4, gt=0, description="half-spreads are at least this, in volatility")
    vega_floor: float = Field(0.02, gt=0, lt=1, description="least vega, as a share of the expiry's at the money")
    previous_strength: float = Field(
        1.0, ge=0, description="penalty, in squared half-spreads, of one previous_sd away from the fit before; 0: none"
    )
    previous_sd: tuple[float, float, float, float, float] = Field(
        (0.3, 0.3, 0.2, 0.2, 0.2), description="usual change of ln v0, ln kappa, ln theta, ln sigma, atanh rho"
    )
    starts: int = Field(1, ge=1, le=1000, description="starts searched; those after the first are drawn with seed")
    seed: int = Field(0, ge=0)
    max_iterations: int = Field(100, ge=1)
    step_tolerance: float = Field(1e-6, gt=0, description="largest last step in the logarithmic parameters")
    objective_tolerance: float = Field(1e-8, gt=0, description="largest last relative change of the objective")
    price_tolerance: float = Field(
        1e-6, gt=0, description="largest error of the prices fitted, in volatility; above it a fit has not converged"
    )
