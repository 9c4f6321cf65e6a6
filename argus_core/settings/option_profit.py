"""Settings of the page of candidate positions with their probabilities of profit."""

from __future__ import annotations

from pydantic import Field, model_validator

from argus_core.settings.document import Settings


class PhysicalSettings(Settings):
    """Someone's view of the real world beside the priced one. Every number made with it says so."""

    drift: float = Field(description="expected return of the underlying per year, dividends apart")
    variance_premium: float = Field(
        0.0, description="lambda: kappa_P = kappa + lambda; positive: variance ends lower than it is priced"
    )


class ProfitSettings(Settings):
    """Which positions are shown, how they are managed, and how precisely that is simulated."""

    per_structure: int = Field(5, ge=1, description="best candidates per structure and side on the page")
    managed_per_structure: int = Field(
        1, ge=0, description="best candidates per structure and side whose managed life is simulated (0.3 CPU s each)"
    )
    alpha: float = Field(0.95, gt=0, lt=1, description="level of CVaR")
    target: float = Field(0.5, gt=0, description="profit taken, as a share of the credit or debit")
    stop: float | None = Field(2.0, gt=0, description="mark as a multiple of the credit at which to stop; null: none")
    exit_days_before: int = Field(0, ge=0, description="closed so many calendar days before expiry; 0: held to it")
    paths: int = Field(2**15, ge=2**12, description="of every simulation; discounted prices serve as controls")
    seed: int = Field(0, ge=0)
    physical: PhysicalSettings | None = None

    @model_validator(mode="after")
    def _target_before_stop(self) -> ProfitSettings:
        if self.stop is not None and self.stop <= 1 - self.target:
            raise ValueError(f"stop {self.stop} lies below the mark at the target, {1 - self.target:g} of the credit")
        return self
