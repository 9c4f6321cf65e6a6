"""Settings of the tail scenarios of option books."""

from __future__ import annotations

from pydantic import Field

from argus_core.settings.document import Settings


class OptionScenarioSettings(Settings):
    """The grid of shocks and the limits of its flags."""

    spot_moves: tuple[float, ...] = Field(
        (-0.3, -0.2, -0.15, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.2), description="returns of the spot"
    )
    vol_shifts: tuple[float, ...] = Field(
        (-0.05, 0.0, 0.1, 0.2), description="parallel, in volatility: .1 is ten points"
    )
    skew_steepenings: tuple[float, ...] = Field(
        (0.0,), description="added to d iv / d ln(K/F) at 30 days, negative: puts dearer; wings scale with 1/sqrt(time)"
    )
    term_exponents: tuple[float, ...] = Field(
        (0.0,), description="a volatility shift is scaled by (30 days / time)^exponent; .5 inverts the term structure"
    )
    days: tuple[float, ...] = Field((0.0, 1.0, 5.0), description="calendar days that pass")
    gaps: tuple[float, ...] = Field((), description="jumps of the spot on top of every scenario")
    replays: bool = Field(True, description="add the shocks of 2018-02, 2020-03, 2024-08 and 2025-04")
    min_vol: float = Field(0.02, gt=0, description="no shock takes a volatility below this")
    largest_term_scale: float = Field(3.0, ge=1, description="limit of that scaling for short times")
    pin_band: float = Field(0.005, ge=0, description="a short leg within this share of its strike may be pinned")
    pin_days: float = Field(1.0, ge=0, description="where at most so many days are left")
    assignment_time_value: float = Field(
        5e-4, ge=0, description="a short leg in the money with less time value (of the spot) may be assigned"
    )
