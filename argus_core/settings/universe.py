"""Settings of instruments: ``config/universe.yaml``. The asset class is data, never guessed from a name."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from argus_core.settings.document import Settings, SettingsError

AssetClass = Literal["equity", "etf", "index", "fx", "crypto"]
Hours = Literal["rth", "extended", "always"]


class Instrument(Settings):
    """One tradable or reference instrument."""

    symbol: str = ""
    asset_class: AssetClass
    hours: Hours = Field("rth", description="which bars belong to the series: rth, extended (04:00-20:00) or always")
    bar_seconds: int = Field(60, gt=0)
    tick: float = Field(0.01, gt=0)
    lot: float = Field(1.0, gt=0, description="smallest tradable quantity")
    multiplier: float = Field(1.0, gt=0, description="1 for a share, 100 for an option contract")
    spread_bps: float = Field(1.0, ge=0, description="modelled full spread where no quote exists, in basis points")
    bars_provider: Literal["sim", "files"] | None = Field(None, description="overrides the platform's primary")
    options: bool = Field(False, description="an option chain is collected")
    exercise: Literal["american", "european"] | None = Field(
        None, description="of its options; default: european for index and crypto, else american"
    )
    settlement: Literal["physical", "cash"] | None = Field(
        None, description="of its options; default: cash for index and crypto, else physical"
    )
    dividends: dict[date, float] = Field(
        default_factory=dict, description="ex-date -> dollars per share, for the exercise of short calls"
    )

    @property
    def american(self) -> bool:
        """Whether its options may be exercised early."""
        if self.exercise is not None:
            return self.exercise == "american"
        return self.asset_class not in ("index", "crypto")

    @property
    def delivers(self) -> bool:
        """Whether exercise of its options delivers it."""
        if self.settlement is not None:
            return self.settlement == "physical"
        return self.asset_class not in ("index", "crypto")

    @property
    def is_crypto(self) -> bool:
        return self.asset_class == "crypto"

    @property
    def contract_size(self) -> float:
        """Units of the underlying per option contract: 100 shares, one coin."""
        return 1.0 if self.is_crypto else 100.0

    @property
    def bars_per_year(self) -> float:
        """Bars that the instrument's calendar offers in a year (252 sessions or 365 days)."""
        if self.hours == "always":
            return 365 * 86_400 / self.bar_seconds
        if self.bar_seconds >= 86_400:
            return 252.0
        seconds = 6.5 * 3600 if self.hours == "rth" else 16 * 3600
        return 252 * seconds / self.bar_seconds

    @property
    def days_per_year(self) -> int:
        return 365 if self.hours == "always" else 252


class UniverseSettings(Settings):
    """All instruments, and the named list that pack mode `universe` uses."""

    instruments: dict[str, Instrument]
    universe: tuple[str, ...] = ("DIA", "GLD", "IWM", "QQQ", "SMH", "SPY", "TLT", "XLE", "XLF", "XLK")
    risk_basket: dict[str, Literal["on", "off"]] = Field(
        default_factory=dict, description="symbol -> its up-trend votes for risk on / off"
    )

    @model_validator(mode="before")
    @classmethod
    def _name_instruments(cls, data: dict) -> dict:
        instruments = data.get("instruments")
        if isinstance(instruments, dict):
            named = {}
            for symbol, value in instruments.items():
                named[symbol] = {**value, "symbol": symbol} if isinstance(value, dict) else value
            data = {**data, "instruments": named}
        return data

    def instrument(self, symbol: str) -> Instrument:
        """Return the instrument called ``symbol``.

        Raises:
            SettingsError: if the universe does not hold it.
        """
        try:
            return self.instruments[symbol]
        except KeyError:
            known = ", ".join(sorted(self.instruments))
            raise SettingsError(
                f"config/universe.yaml: no instrument {symbol!r}. Add it under `instruments`. Known: {known}."
            ) from None
