"""Settings of the anomaly engine."""

from __future__ import annotations

from datetime import date

from pydantic import Field, field_validator

from argus_core.settings.document import Settings


class ResidualSettings(Settings):
    """R: a quote away from the surface and from its neighbours."""

    min_z: float = Field(3.5, gt=0, description="smallest |z|")
    false_discovery_rate: float = Field(0.05, gt=0, lt=1, description="Benjamini-Hochberg over the snapshot")
    vol_floor: float = Field(1e-4, gt=0, description="uncertainty that every volatility has")
    length: tuple[float, ...] = Field(
        (0.7, 1.5), min_length=1, description="reaches of the surface's own smooth error, in at-the-money deviations"
    )
    min_quotes: int = Field(6, ge=4, description="expiries with fewer usable quotes are not searched")


class KinkSettings(Settings):
    """K: an expiry away from the term structure of its neighbours, in variance time."""

    min_z: float = Field(4.0, gt=0)
    vol_floor: float = Field(0.005, gt=0, description="uncertainty of every at-the-money volatility, a share of it")
    min_expiries: int = Field(5, ge=4)
    events: dict[date, str] = Field(
        default_factory=dict, description="day -> what happens: variance that falls on it is expected"
    )


class HistorySettings(Settings):
    """H: at-the-money volatility, 25-delta risk reversal and butterfly against earlier snapshots."""

    days: tuple[int, ...] = Field((7, 30, 90), description="constant maturities, calendar days")
    window: int = Field(60, ge=10, description="earlier snapshots compared with")
    min_snapshots: int = Field(30, ge=10)
    time_of_day_minutes: float = Field(60.0, gt=0, description="only snapshots received this near to the same hour")
    max_p: float = Field(1e-3, gt=0, lt=1)
    explained: float = Field(0.95, gt=0, lt=1, description="share of variance that the principal components keep")


class AnomalySettings(Settings):
    """What is flagged, and how it is judged."""

    residual: ResidualSettings = ResidualSettings()
    kink: KinkSettings = KinkSettings()
    history: HistorySettings = HistorySettings()
    european: tuple[str, ...] = Field(
        ("SPX", "XSP", "NDX", "XND", "RUT", "MRUT", "DJX", "VIX", "BTC", "ETH"),
        description="underlyings whose options cannot be exercised early",
    )
    fee: float = Field(0.65, ge=0, description="dollars per contract traded")
    multiplier: float = Field(100.0, gt=0, description="shares per contract")
    rate_error: float = Field(0.005, ge=0, description="what a discount rate may be wrong by: boxes, vertical spreads")
    snapshots: int = Field(5, ge=1, description="persistence counts the last so many snapshots, this one included")
    min_persistence: int = Field(2, ge=1, description="a flag in fewer of them is told as information only")
    max_age_seconds: float = Field(900.0, gt=0, description="a flag on an older quote is told as information only")
    min_size: float = Field(1.0, ge=0, description="contracts; a flag on less is never called actionable")
    stale_moves: float = Field(
        1.0, gt=0, description="a quote that stood still while its neighbours moved by this many half spreads is stale"
    )

    @field_validator("snapshots")
    @classmethod
    def _counts(cls, snapshots: int) -> int:
        if snapshots > 1_000:
            raise ValueError("at most 1000 snapshots: persistence is about the last hours or days")
        return snapshots
