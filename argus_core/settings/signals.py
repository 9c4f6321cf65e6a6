"""Settings of signals: what is stored, and who receives which."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from argus_core.settings.document import Settings

RegimeScope = Literal["vol", "trend", "liquidity", "risk", "session"]


class SignalRoute(Settings):
    """One receiver of signals. What is left out does not filter.

    Exits pass wherever strategy and symbol do: whoever was told of an entry must hear of its end.
    """

    name: str = Field(min_length=1, pattern=r"^[^,\s]+$", description="written into the column `routes`")
    strategies: tuple[str, ...] | None = Field(None, description="strategy ids")
    symbols: tuple[str, ...] | None = None
    directions: tuple[Literal[-1, 0, 1], ...] | None = Field(None, description="1 long, -1 short, 0 neutral")
    min_confidence: float = Field(0.0, ge=0, le=1)
    regimes: dict[RegimeScope, tuple[str, ...]] = Field(
        default_factory=dict, description="labels allowed per scope; an unknown regime does not pass"
    )
    top: int | None = Field(None, ge=1, description="entries per decision time, best rank first")


class SignalSettings(Settings):
    """The `signals` section of a loop file."""

    routes: tuple[SignalRoute, ...] = ()
    default_confidence: float = Field(0.5, ge=0, le=1, description="of an entry whose strategy gives none; exits: 1")
    sessions: int | None = Field(None, ge=1, description="last sessions of the pack that are stored; null: all")

    @field_validator("routes")
    @classmethod
    def _names_differ(cls, routes: tuple[SignalRoute, ...]) -> tuple[SignalRoute, ...]:
        names = [route.name for route in routes]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"route name(s) given twice: {', '.join(double)}")
        return routes
