"""Settings of the platform: lake, calendar, providers, gates, labels, execution. One file: ``config/argus.yaml``."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, field_validator, model_validator

from argus_core.settings.document import Settings
from argus_core.settings.options import OptionSettings

CalendarName = str


class CalendarSettings(Settings):
    """The trading-day calendar that partitions everything."""

    name: CalendarName = Field("XNYS", description="an exchange-calendars name, or `always_open` for crypto-only users")
    start_date: date = Field(date(2024, 1, 2), description="first partition; earlier data are not partitioned")
    last_date: date | None = Field(None, description="last partition; default: sessions go on as time passes")


class LakeSettings(Settings):
    root: str = Field("data/lake", description="path or fsspec URL; relative paths resolve from the project root")


class SimulationFaults(Settings):
    """Switchable data faults (market-data.md §5.8). Each lists the dates on which it strikes ``symbol``."""

    symbol: str = "SPY"
    missing_session: tuple[date, ...] = ()
    late_start: tuple[date, ...] = ()
    iex_day: tuple[date, ...] = ()
    duplicated_under_next_date: tuple[date, ...] = ()
    crossed_quote: tuple[date, ...] = ()
    wrong_daily_close: tuple[date, ...] = ()
    split_7_for_1: tuple[date, ...] = ()


class PlantedEdges(Settings):
    """Edges put into the simulated market on purpose; all zero means that none is planted."""

    overnight_drift_bp: float = Field(0.0, description="mean added to every overnight gap, in basis points")
    volatility_premium: float = Field(0.0, description="added to IV30 beyond the calibrated premium (.01 = one point)")


class SimulationSettings(Settings):
    """The simulated market. Deterministic per (seed, symbol, date)."""

    seed: int = 7
    mode: Literal["calibrated", "null"] = Field(
        "calibrated",
        description="`null` removes every edge: no drift overnight or intraday, no volatility premium on average",
    )
    planted: PlantedEdges = PlantedEdges()
    faults: SimulationFaults = SimulationFaults()
    first_date: date = Field(date(2022, 1, 3), description="date at which price paths start (initial prices)")
    option_lag_seconds: int = Field(900, ge=0, description="recv_ts - ts of option quotes (delayed feed)")
    option_snapshot_times: tuple[str, ...] = Field(
        ("10:30", "13:00", "15:30"), description="New York times of day at which a chain snapshot is taken"
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _bare_null(cls, value: object) -> object:
        # YAML reads an unquoted null as nothing, and it can only have meant the mode.
        return "null" if value is None else value


class FilesSettings(Settings):
    """The provider `files`: what `argus import` landed."""

    volume_scopes: tuple[str, ...] = Field(
        ("sip", "ibkr", "none", "exchange", "mixed"), description="scopes accepted for a series; others are quarantined"
    )
    daily_volume_scopes: tuple[str, ...] = Field(
        ("sip", "ibkr", "none", "exchange", "mixed", "iex"),
        description="scopes accepted for daily bars, of which only prices are used",
    )
    default_volume_scope: str = Field("sip", description="scope of bar files without a volume_scope column")
    time_zone: str = Field("UTC", description="zone assumed for naive timestamps")
    daily_feeds: tuple[str, ...] = Field(
        ("bars_1d", "fx_1d", "ecb_fixings", "closes_1d", "bars_1d_raw"),
        description="a daily series comes from the first of these feeds that has it; feeds are never mixed",
    )
    crypto_symbols: dict[str, str] = Field(
        default_factory=lambda: {"BTCUSDT": "BTC", "ETHUSDT": "ETH"}, description="exchange pair -> symbol"
    )


class ProvidersSettings(Settings):
    bars_primary: Literal["sim", "files"] = "sim"
    options_primary: Literal["sim", "files"] = "sim"
    delay_seconds: dict[str, int] = Field(
        default_factory=dict, description="provider -> publication delay of a bar after its end"
    )
    simulation: SimulationSettings = SimulationSettings()
    files: FilesSettings = FilesSettings()


class GateSettings(Settings):
    """Thresholds of the QA gates."""

    min_completeness: float = Field(0.95, ge=0, le=1, description="share of expected bars; below: the session fails")
    max_late_start_minutes: int = Field(5, ge=0)
    max_jump: float = Field(0.15, gt=0, description="absolute one-bar return beyond which a bar is quarantined")
    split_tolerance: float = Field(0.03, gt=0, description="how near to n:1 an open/close ratio looks like a split")
    split_ratios: tuple[float, ...] = (2, 3, 4, 5, 7, 10, 20, 0.5, 1 / 3, 0.25, 0.2, 0.1)
    min_volume_share: float = Field(
        0.10, gt=0, description="day volume against the median of the last 20 sessions; below: volume scope changed"
    )
    max_close_reversal: float = Field(
        0.006, gt=0, description="a daily close off by more than this that recovers at the next open is flagged"
    )
    max_stale_bars: int = Field(30, ge=1, description="unchanged closes with zero volume in a row")
    max_duplicate_share: float = Field(
        0.9, gt=0, le=1, description="share of bars equal to an earlier session beyond which the day is a copy"
    )
    partial_day_volume_share: float = Field(
        0.25, gt=0, description="a daily bar's volume against the median of 20 sessions; below: it ended early"
    )
    max_refused_quotes: float = Field(
        0.5, gt=0, le=1, description="share of refused option quotes beyond which the whole snapshot fails"
    )


class OutcomeSettings(Settings):
    """The label engine."""

    horizons: tuple[int, ...] = Field((300, 900, 3600, 14400, 28800, 86400), description="seconds after the bar's end")
    gap_tolerance: int = Field(1, ge=0, description="missing bars that an OK window may have")
    outcome_version: str = "ARGUS_OUTCOMES_V1"

    @field_validator("horizons")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)) or any(h <= 0 for h in value):
            raise ValueError("horizons must be positive, ascending and unique seconds")
        return value


class RegimeSettings(Settings):
    """Thresholds of the rule regimes. Defaults are informative on SPY minutes (semantics §4)."""

    vol_window: int = Field(30, ge=5, description="bars of the rolling volatility")
    vol_history_sessions: int = Field(20, ge=4, description="sessions of the z-score's past, same half hour of the day")
    daily_history: int = Field(250, ge=60, description="bars of every past where a bar is a day long")
    vol_spike_z: float = 2.5
    vol_high_z: float = 1.0
    vol_low_z: float = -0.5
    ema_fast: int = Field(30, ge=2)
    ema_slow: int = Field(120, ge=3)
    atr_window: int = Field(60, ge=2)
    trend_strength: float = Field(1.0, gt=0, description="|EMA fast - EMA slow| in ATR beyond which there is a trend")
    liquidity_window: int = Field(390, ge=20, description="past bars that a bar's volume is ranked among")
    liquidity_low_percentile: float = 0.25
    liquidity_high_percentile: float = 0.75
    liquidity_dried_percentile: float = 0.02
    warm_bars: int = Field(150, ge=1, description="bars since the restart of the averages before a row is warm")
    risk_vote_threshold: int = Field(1, ge=1, description="net votes for RISK_ON / RISK_OFF")


class ModelRegimeSettings(Settings):
    """Model regimes of sessions: change points, hidden states, and the votes of all methods (docs/model-regimes.md)."""

    history_months: int = Field(12, ge=3, le=36, description="calendar months before the current one that models see")
    min_sessions: int = Field(40, ge=20, description="returns that a fit needs; with fewer its method abstains")
    change_hazard: float = Field(1 / 60, gt=0, lt=1, description="probability of a change per session")
    recent_sessions: int = Field(5, ge=0, description="k of P(run length <= k)")
    student_df: float | None = Field(5.0, gt=2, description="degrees of freedom of the states' returns; null: Gaussian")
    fisher_length: int = Field(10, ge=2, description="sessions of the Fisher transform's range")
    extremes_per_session: float = Field(
        1.0, gt=0, description="extreme bars a session whose excitation is fitted; at most a tenth of all bars"
    )
    signature_sessions: int = Field(20, ge=2, description="sessions of the signature's window")
    mfdfa_surrogates: int = Field(99, ge=19, description="surrogates that the multifractal width is compared with")
    rule_share: float = Field(0.5, gt=0, le=1, description="share of a session's warm bars that makes the rules vote")
    change_level: float = Field(
        0.35, gt=0, description="level of log squared returns, in standard deviations of their past, that is a vote"
    )
    high_probability: float = Field(0.7, gt=0.5, lt=1, description="filtered probability that is a vote for a state")
    min_state_ratio: float = Field(
        1.25, ge=1, description="ratio of the states' volatilities below which they are one and the method abstains"
    )
    min_agreeing: int = Field(2, ge=2, description="methods that must agree: none alone decides a vote")

    @model_validator(mode="after")
    def _enough_history(self) -> ModelRegimeSettings:
        if self.min_sessions > 18 * self.history_months:
            raise ValueError(
                f"min_sessions is {self.min_sessions}, but {self.history_months} months hold at least "
                f"{18 * self.history_months} sessions; lower it or raise history_months"
            )
        return self


class RiskFlowSettings(Settings):
    """`global_risk_flow`: weights and baskets (semantics §4)."""

    asia: tuple[str, ...] = ("EWJ", "FXI", "EWT", "EWY", "INDA")
    europe: tuple[str, ...] = ("EWG", "EWU", "FEZ", "EWL")
    fx: tuple[str, ...] = ("USDJPY",)
    weights: dict[str, float] = Field(default_factory=lambda: {"asia": 0.4, "europe": 0.4, "fx": 0.2})

    @property
    def symbols(self) -> tuple[str, ...]:
        return (*self.asia, *self.europe, *self.fx)


class ExecutionSettings(Settings):
    """How orders fill. Printed in every manifest."""

    price_basis: Literal["next_open", "next_worst", "next_close", "signal_close"] = Field(
        "next_open", description="signal_close fills at the price that decided: for comparison with other engines only"
    )
    latency_seconds: float = Field(0.0, ge=0)
    slippage_bps: float = Field(0.5, ge=0, description="added to half the spread on every market fill")
    commission_per_share: float = Field(0.0035, ge=0)
    commission_min: float = Field(0.35, ge=0, description="per order")
    commission_rate_crypto: float = Field(0.0010, ge=0, description="share of notional, crypto")
    commission_per_contract: float = Field(0.65, ge=0)
    cost_multiplier: float = Field(1.0, ge=0, description="scales spread, slippage and commission")
    participation: float = Field(0.10, gt=0, le=1, description="largest share of a bar's volume per order")
    leverage: float = Field(1.0, gt=0)
    max_gap_seconds: int = Field(600, ge=0, description="missing data beyond which an order dies")
    option_max_quote_age_seconds: int = Field(93_600, ge=0, description="age of an option quote at its fill")
    option_quote_carry_seconds: int = Field(
        0,
        ge=0,
        description="a side that a snapshot does not mention stands so long (feeds of changes); 0: snapshots are whole",
    )
    option_max_spread: float = Field(0.50, gt=0, description="(ask - bid) / mid beyond which a leg is SPREAD_WIDE")
    option_min_size: int = Field(1, ge=0, description="contracts at the touch")

    @property
    def convention(self) -> str:
        """The fill convention in one line, printed in every manifest."""
        return (
            f"{self.price_basis}, latency {self.latency_seconds:g} s, half spread + {self.slippage_bps:g} bp slippage, "
            f"x{self.cost_multiplier:g} costs, at most {self.participation:.0%} of a bar's volume; "
            "stops gap through, stop before target, limits trade through one tick; options at bid/ask, never mid"
        )


class PlatformSettings(Settings):
    """Everything in ``config/argus.yaml``."""

    lake: LakeSettings = LakeSettings()
    calendar: CalendarSettings = CalendarSettings()
    providers: ProvidersSettings = ProvidersSettings()
    gates: GateSettings = GateSettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    regimes: RegimeSettings = RegimeSettings()
    model_regimes: ModelRegimeSettings = ModelRegimeSettings()
    risk_flow: RiskFlowSettings = RiskFlowSettings()
    execution: ExecutionSettings = ExecutionSettings()
    options: OptionSettings = OptionSettings()

    @model_validator(mode="after")
    def _weights_name_groups(self) -> PlatformSettings:
        unknown = set(self.risk_flow.weights) - {"asia", "europe", "fx"}
        if unknown:
            raise ValueError(f"risk_flow.weights: unknown group(s) {sorted(unknown)}; allowed: asia, europe, fx")
        return self
