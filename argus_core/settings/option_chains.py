"""Settings of option chains: expiry rules, both clocks, quote hygiene, forwards, early exercise, candidates."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AwareDatetime, Field, field_validator, model_validator

from argus_core.settings.document import Settings

Share = Annotated[float, Field(ge=0, le=1)]


class ExpiryRule(Settings):
    """When the life of a root's contracts ends on their expiry day."""

    settlement: Literal["AM", "PM"] = Field("PM", description="AM: the settlement value comes from opening prices")
    moment: Literal["open", "close"] | time = Field(
        "close", description="open or close of the regular session (early closes known), or a time of day in `zone`"
    )
    zone: str = Field("UTC", description="zone of a time of day")

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"unknown time zone {zone!r}; use an IANA name, for instance America/New_York")
        return zone


_AM = ExpiryRule(settlement="AM", moment="open")
_DERIBIT = ExpiryRule(settlement="PM", moment=time(8), zone="UTC")


class ClockSettings(Settings):
    """Variance clock. Weights are variance in units of one full regular session (6.5 hours); a year sums to one."""

    session: float = Field(1.0, gt=0)
    night: float = Field(0.54, ge=0, description="close to the next open on the following calendar day (.35 of .65)")
    weekend_day: float = Field(0.30, ge=0, description="added per Saturday or Sunday inside a closure")
    holiday: float = Field(0.30, ge=0, description="added per closed weekday inside a closure")
    around_the_clock_weekend: float = Field(
        0.41, ge=0, description="variance of a Saturday or Sunday over that of a weekday where trading never stops"
    )
    events: dict[AwareDatetime, float] = Field(
        default_factory=dict, description="moment (with offset) -> extra variance, in sessions, for all underlyings"
    )


class HygieneSettings(Settings):
    """Limits beyond which a quote is not used. Reasons: docs/option-chains.md."""

    max_quote_age_seconds: float = Field(21_600.0, gt=0, description="receipt less the time at which the quote stood")
    max_lag_seconds: float = Field(900.0, gt=0, description="behind the newest quote of the same snapshot")
    max_spread: float = Field(0.5, gt=0, description="largest (ask - bid)/mid")
    min_price: float = Field(0.0, ge=0, description="smallest mid in dollars; below it the tick drowns the price")
    reject_locked: bool = Field(True, description="refuse bid = ask")
    min_size: float = Field(1.0, ge=0, description="fewest contracts on each side")
    size_share: Share = Field(
        0.05, description="sizes are judged only where at least this share of the snapshot's quotes has one above zero"
    )
    split_ratio: float = Field(1.4, gt=1, description="a row's underlying price this far from the newest: split day")
    standard_roots: dict[str, tuple[str, ...]] = Field(
        default={"SPX": ("SPX", "SPXW"), "NDX": ("NDX", "NDXP"), "RUT": ("RUT", "RUTW"), "VIX": ("VIX", "VIXW")},
        description="roots with the standard deliverable; default: the underlying's own symbol",
    )


class ForwardSettings(Settings):
    """Implied forwards by put-call parity."""

    max_pairs: int = Field(30, ge=1, description="strikes nearest to the money")
    window: float = Field(1.5, gt=0, description="furthest |ln(K/F)| in units of the at-the-money total volatility")
    discount: Literal["settings", "parity"] = Field(
        "settings",
        description="parity: regressed with the forward where exercise is European and it is well identified",
    )
    min_years: float = Field(0.02, gt=0, description="shorter expiries tell nothing about the rate")
    max_rate_se: float = Field(0.0025, gt=0, description="a regressed rate less certain than this is not used")
    min_rate: float = Field(-0.02, description="regressed rates outside [min_rate, max_rate] are not used")
    max_rate: float = Field(0.15)
    max_gap: float = Field(
        0.10, gt=0, description="a forward further from the spot than this plus max_yield x years is refused"
    )
    max_yield: float = Field(0.60, gt=0)
    spot_days: float = Field(10.0, gt=0, description="expiries up to here give the spot that stood with the quotes")


class ExerciseSettings(Settings):
    """Early-exercise premium of American options."""

    passes: int = Field(2, ge=1, le=5, description="how often the premium is recomputed at the current volatility")
    relative_error: float = Field(0.1, ge=0, description="uncertainty of the premium, a share of it, into iv_se")
    dividend_share: float = Field(
        0.5, ge=0, description="share of the put premium's growth if all dividends fell at once, into iv_se as well"
    )
    yield_prior: float = Field(0.02, gt=0, description="sd of an expiry's yield around the chain's")


class CandidateSettings(Settings):
    """Which structures the generator lists, and the liquidity that it asks of every leg."""

    structures: tuple[Literal["vertical", "iron_condor", "strangle", "straddle", "calendar"], ...] = (
        "vertical",
        "iron_condor",
        "strangle",
        "straddle",
        "calendar",
    )
    sides: tuple[Literal["sell", "buy"], ...] = ("sell", "buy")
    min_days: int = Field(5, ge=0)
    max_days: int = Field(90, ge=0)
    min_delta: Share = Field(0.10, description="smallest absolute delta of the leg nearest to the money")
    max_delta: Share = 0.45
    widths: tuple[float, ...] = Field((0.005, 0.01, 0.02), description="distances of strikes, in `width_unit`")
    width_unit: Literal["forward", "dollars"] = "forward"
    width_tolerance: Share = Field(0.5, description="a listed strike may miss the width by this share of it")
    delta_tolerance: Share = Field(0.05, description="of the two short legs of a condor or strangle")
    straddle_strikes: int = Field(3, ge=1, description="strikes nearest to the forward")
    min_calendar_gap: int = Field(7, ge=1, description="days between the two expiries of a calendar")
    max_calendar_gap: int = Field(45, ge=1)
    max_spread: float = Field(0.25, gt=0)
    min_open_interest: float = Field(0.0, ge=0)
    min_size: float = Field(0.0, ge=0)
    max_age_seconds: float = Field(21_600.0, gt=0)
    min_price: float = Field(0.05, ge=0, description="smallest net credit or debit per share")
    max_cost_share: float = Field(0.5, gt=0, description="half spreads of all legs over the price at mid")
    max_per_expiry: int = Field(50, ge=1, description="kept per structure, side and expiry, best first")
    max_per_structure: int = Field(500, ge=1, description="kept per snapshot, structure and side, best first")

    @model_validator(mode="after")
    def _ordered(self) -> CandidateSettings:
        if self.min_days > self.max_days or self.min_delta > self.max_delta:
            raise ValueError("min_days must not exceed max_days, nor min_delta max_delta")
        if self.min_calendar_gap > self.max_calendar_gap:
            raise ValueError("min_calendar_gap must not exceed max_calendar_gap")
        if not self.widths or min(self.widths) <= 0:
            raise ValueError("widths needs at least one number above zero")
        return self


class OptionChainSettings(Settings):
    """Everything from a raw chain to implied volatilities and candidate structures."""

    rate: float = Field(0.0, description="continuously compounded interest, used before the first date of `rates`")
    rates: dict[date, float] = Field(default_factory=dict, description="date from which -> rate; the latest holds")
    crypto_rate: float = Field(0.0, description="the same for crypto, whose forwards carry the basis instead")
    day_count: float = Field(365.0, gt=0, description="days per year of the calendar clock")
    default_expiry: ExpiryRule = ExpiryRule()
    crypto_expiry: ExpiryRule = _DERIBIT
    expiry_rules: dict[str, ExpiryRule] = Field(
        default_factory=lambda: dict.fromkeys(("SPX", "NDX", "RUT", "DJX", "VIX", "VIXW"), _AM),
        description="root of the contract symbol -> rule; others: default_expiry or crypto_expiry",
    )
    clock: ClockSettings = ClockSettings()
    hygiene: HygieneSettings = HygieneSettings()
    forwards: ForwardSettings = ForwardSettings()
    exercise: ExerciseSettings = ExerciseSettings()
    candidates: CandidateSettings = CandidateSettings()

    def rate_on(self, moment: datetime | date, *, crypto: bool = False) -> float:
        """The rate that holds on a day (UTC)."""
        if crypto:
            return self.crypto_rate
        day = moment.date() if isinstance(moment, datetime) else moment
        known = [start for start in self.rates if start <= day]
        return self.rates[max(known)] if known else self.rate
