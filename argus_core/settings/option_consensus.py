"""Settings of the consensus of implied volatilities from several providers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from argus_core.settings.document import Settings

Policy = Literal["prefer_dxlink", "winner_based", "blended"]


class SourceSettings(Settings):
    """What is particular about one source. Null takes the value of all sources."""

    trust: float = Field(1.0, gt=0, description="factor of its weight in blends")
    floor: float | None = Field(None, gt=0, description="standard error that it never goes below")
    max_age_seconds: float | None = Field(None, gt=0)
    unit: Literal["auto", "fraction", "percent"] = Field("auto", description="of its own volatilities")
    day_count: float = Field(365.0, gt=0, description="calendar days of the year in its own volatilities")


class ConsensusSettings(Settings):
    """IV consensus: freshness, policy, errors, limits (docs/iv-consensus.md)."""

    policy: Policy = Field("prefer_dxlink", description="how one volatility is made of several")
    preferred: tuple[str, ...] = Field(("dxlink",), description="sources that prefer_dxlink takes first, in order")
    max_age_seconds: float = Field(15.0, gt=0, description="since receipt; older observations do not count")
    max_quote_age_seconds: float = Field(900.0, gt=0, description="since the quote stood")
    sources: dict[str, SourceSettings] = Field(default_factory=dict)

    floor: float = Field(0.001, gt=0, description="smallest standard error of any observation")
    unknown_se: float = Field(0.02, gt=0, description="standard error where there is no spread to tell it")
    provider_se: float = Field(0.01, ge=0, description="added for a provider's own volatility: its conventions differ")
    vol_of_vol: float = Field(1.0, ge=0, description="annualised; how fast an observation loses certainty with its age")

    weights: Literal["inverse_variance", "age_decayed"] = Field("inverse_variance", description="of blended")
    decay_seconds: float = Field(7.5, gt=0, description="age at which a blended weight has halved")
    huber: float = Field(1.5, gt=0, description="standard errors beyond which an observation pulls no harder")
    confidence: float = Field(1.0, gt=0, description="standard errors of a winner's interval")

    warn_score: float = Field(2.0, gt=0, description="difference over its standard error that is a warning")
    bad_score: float = Field(4.0, gt=0, description="and that is a dispute")
    rollup_size: int = Field(5000, ge=1, description="newest discrepancies that a rollup keeps per pair of sources")

    min_unit_quotes: int = Field(5, ge=3, description="contracts of a chain that tell percent from fraction")
    max_iv: float = Field(10.0, gt=0, description="larger volatilities are refused")
    max_atm_distance: float = Field(0.5, gt=0, description="furthest ATM strike from the forward, standard deviations")

    @model_validator(mode="after")
    def _ordered(self) -> ConsensusSettings:
        if self.warn_score > self.bad_score:
            raise ValueError(f"warn_score {self.warn_score} must not exceed bad_score {self.bad_score}")
        return self

    def source(self, name: str) -> SourceSettings:
        """Settings of one source; defaults where it is not named."""
        return self.sources.get(name, SourceSettings())
