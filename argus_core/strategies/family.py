"""What strategies of one family may do: instruments, frequency, parameters, turnover."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from argus_core.settings.universe import AssetClass


class Family(BaseModel):
    """Constraints of a strategy family. None: not constrained. A class names its own as ``family``.

    A symbol that does not fit is left out of the plan with its reason; a sweep over too many parameters is a settings
    error; a run that trades more than its family may is rejected.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "free"
    asset_classes: tuple[AssetClass, ...] | None = None
    min_bar_seconds: int | None = Field(None, gt=0)
    max_bar_seconds: int | None = Field(None, gt=0)
    needs_options: bool = False
    #: reference symbols that the strategy reads or trades, at least
    min_references: int = Field(0, ge=0)
    #: parameters that one sweep may vary
    max_swept_parameters: int | None = Field(None, ge=1)
    #: trades per trade date, mean over the run
    max_trades_per_day: float | None = Field(None, gt=0)
    #: traded notional per year over mean equity
    max_annual_turnover: float | None = Field(None, gt=0)
