"""Settings of the features that packs carry of an option chain."""

from __future__ import annotations

from pydantic import Field, model_validator

from argus_core.settings.document import Settings
from argus_core.settings.realised_volatility import RealisedVolatilitySettings, VariancePremiumSettings

#: Sessions before the first one that the realised side of the premium asks for at least: a month and the close before.
REALISED_SESSIONS = 23


class IvFeatureSettings(Settings):
    """Under ``options.features``: the variance premium and the realised volatility it is measured against."""

    realised: RealisedVolatilitySettings = RealisedVolatilitySettings()
    # Heston fits are made for a cycle's own date alone, so they are no source here.
    premium: VariancePremiumSettings = VariancePremiumSettings(implied=("strip", "atm"))
    history_sessions: int = Field(
        300,
        ge=REALISED_SESSIONS + 1,
        description="sessions of bars that the forecast of a date rests on, its own among them",
    )

    @model_validator(mode="after")
    def _named(self) -> IvFeatureSettings:
        if self.premium.horizon_days != 30.0:
            raise ValueError(
                f"premium.horizon_days is {self.premium.horizon_days:g}: the columns variance_premium_30, "
                "vol_premium_30 and expected_vol_30 are named after 30 days. Leave it at 30."
            )
        if "heston" in self.premium.implied:
            raise ValueError("premium.implied: heston is no source of the features; choose strip, atm or both.")
        return self
