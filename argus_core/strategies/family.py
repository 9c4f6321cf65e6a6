"""What strategies of one family may do: instruments, frequency, parameters, turnover."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from argus_core.settings.universe import AssetClass, Instrument


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

    def misfit(self, instrument: Instrument, references: Sequence[str]) -> str:
        """Why the family may not trade ``instrument`` with these reference symbols; "" where it may."""
        bar_seconds, asset_class = instrument.bar_seconds, instrument.asset_class
        if self.asset_classes is not None and asset_class not in self.asset_classes:
            return f"asset class {asset_class}; the family {self.name} trades {', '.join(self.asset_classes)}"
        if self.min_bar_seconds is not None and bar_seconds < self.min_bar_seconds:
            return f"bars of {bar_seconds} s; the family {self.name} needs {self.min_bar_seconds} s or longer"
        if self.max_bar_seconds is not None and bar_seconds > self.max_bar_seconds:
            return f"bars of {bar_seconds} s; the family {self.name} needs {self.max_bar_seconds} s or shorter"
        if self.needs_options and not instrument.options:
            return f"no option chain; the family {self.name} needs `options: true` in the universe file"
        if len(references) < self.min_references:
            return (
                f"{len(references)} reference symbol(s); the family {self.name} needs {self.min_references}: name them "
                "under pack.references in the loop file"
            )
        return ""

    def breach(self, *, trades: int, days: int, turnover: float, days_per_year: int) -> str:
        """Which limit a finished run broke; "" where none.

        Args:
            trades: closed trades of the run.
            days: its trade dates.
            turnover: traded notional over mean equity, whole run.
            days_per_year: trade dates in a year.
        """
        if not days:
            return ""
        per_day, per_year = trades / days, turnover * days_per_year / days
        if self.max_trades_per_day is not None and per_day > self.max_trades_per_day:
            return f"family {self.name}: {per_day:.2f} trades a day, at most {self.max_trades_per_day:g} allowed"
        if self.max_annual_turnover is not None and per_year > self.max_annual_turnover:
            return f"family {self.name}: turnover {per_year:.0f} a year, at most {self.max_annual_turnover:g} allowed"
        return ""
