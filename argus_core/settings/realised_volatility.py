"""Settings of realised volatility, its forecast and the variance risk premium."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from argus_core.settings.document import Settings


class RealisedVolatilitySettings(Settings):
    """Realised volatility per session, from daily or intraday bars, and the HAR forecast of it."""

    window: int = Field(21, ge=2, description="sessions of the rolling estimators")
    sessions_per_year: float = Field(252.0, gt=0, description="annualises")
    bar_minutes: int = Field(5, ge=1, description="interval of intraday returns")
    min_completeness: float = Field(
        0.8, gt=0, le=1, description="share of a session's intervals with a bar; below: no intraday variance"
    )
    max_gap_days: float = Field(7.0, gt=0, description="calendar days between sessions beyond which a window is stale")
    max_night: float = Field(
        0.35, gt=0, description="absolute log return from close to open beyond which a split is suspected"
    )
    har_horizon: int = Field(21, ge=1, description="sessions that the forecast covers")
    har_fit_sessions: int = Field(504, ge=30, description="newest rows of the regression")
    har_min_rows: int = Field(
        60, ge=8, description="fewest rows of the regression; with fewer the window's mean is used"
    )


class VariancePremiumSettings(Settings):
    """Implied less expected realised variance over the same window."""

    horizon_days: float = Field(30.0, gt=0, description="calendar days that both sides cover")
    implied: tuple[Literal["strip", "heston", "atm"], ...] = Field(
        ("strip", "heston", "atm"), description="sources of the implied side, first usable one wins"
    )
    min_quotes: int = Field(5, ge=3, description="fewest clean quotes of an expiry for a strip")
    min_reach: float = Field(
        1.0, gt=0, description="strikes must reach so many standard deviations to both sides for a strip"
    )
    max_atm_distance: float = Field(0.5, gt=0, description="furthest ATM strike from the forward, standard deviations")
    min_days: float = Field(3.0, gt=0, description="shorter expiries are not used")
    max_extrapolation: float = Field(
        1.5, ge=1, description="the horizon may lie outside the expiries by this factor of the nearest one's time"
    )
    max_realised_age_days: float = Field(5.0, gt=0, description="older realised volatility is stale")
