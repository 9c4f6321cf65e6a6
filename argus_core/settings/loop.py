"""Settings of the research loop: ``config/research_loop.yaml`` (semantics §10)."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, model_validator

from argus_core.settings.calibration import CalibrationSettings
from argus_core.settings.document import Settings
from argus_core.settings.signals import SignalSettings


class PackSettings(Settings):
    mode: Literal["single", "universe"] = "single"
    symbols: tuple[str, ...] = ("SPY",)
    start_date: date | None = None
    end_date: date | None = None
    last_n_days: int | None = Field(None, ge=1, description="sessions up to today (UTC); overrides the dates")
    bars_provider: Literal["sim", "files"] | None = None
    options_snapshot_provider: Literal["sim", "files"] | None = None
    packs_output_dir: str = "data/packs"
    db_path: str | None = Field(None, description="lake root; overrides lake.root of the platform settings")
    warmup_days: int = Field(0, ge=0, description="sessions before the window, marked as warm-up, never traded")
    references: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="symbol -> other symbols whose bars its pack carries, to read and to trade"
    )

    @model_validator(mode="after")
    def _window(self) -> PackSettings:
        if self.last_n_days is None and (self.start_date is None or self.end_date is None):
            raise ValueError("give last_n_days, or both start_date and end_date")
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise ValueError(f"start_date {self.start_date} lies after end_date {self.end_date}")
        if self.mode == "single" and not self.symbols:
            raise ValueError("mode single needs at least one symbol")
        return self


class LoopOutcomes(Settings):
    ensure_before_pack: bool = True
    bar_duration: int | None = Field(None, gt=0, description="seconds; must equal the instruments' bar_seconds")


class StrategySpec(Settings):
    """One strategy of the loop: a class, base parameters and, optionally, a sweep file."""

    strategy_class: str = Field(description="a shipped class name, `module:Class`, or `path/to/file.py:Class`")
    params: dict[str, Any] = Field(default_factory=dict)
    sweep: str | None = Field(None, description="path of a sweep file; relative paths resolve from the project root")
    symbols: tuple[str, ...] | None = Field(None, description="only on these symbols; default: all of the pack")


class McKillThresholds(Settings):
    median_return_min: float | None = 0.0
    p95_drawdown_max: float | None = 0.35
    ruin_prob_max: float | None = 0.05
    fraction_positive_min: float | None = 0.55


class WalkForwardSettings(Settings):
    folds: int = Field(4, ge=2)
    mode: Literal["anchored", "rolling"] = Field(
        "anchored", description="train on everything before a test, or on the last train_blocks blocks alone"
    )
    train_blocks: int = Field(1, ge=1, description="blocks before the first test; with rolling: before every test")
    embargo_days: int = Field(1, ge=0)


class CombinatorialSettings(Settings):
    """Combinatorial purged cross-validation of the choice among a sweep."""

    groups: int = Field(10, ge=2)
    test_groups: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _some_train(self) -> CombinatorialSettings:
        if self.test_groups >= self.groups:
            raise ValueError(f"test_groups {self.test_groups} leaves nothing of {self.groups} groups to train on")
        return self


class WarmupSensitivity(Settings):
    """Does a result depend on where the window starts?"""

    masked_shares: tuple[float, ...] = Field((0.1, 0.2, 0.3), description="first shares of the days masked, no re-run")
    restart_sessions: tuple[int, ...] = Field(
        (5,), description="sessions cut off before the best run of a sweep is replayed again; empty: no re-run"
    )

    @model_validator(mode="after")
    def _usable(self) -> WarmupSensitivity:
        if wrong := [share for share in self.masked_shares if not 0 < share < 1]:
            raise ValueError(f"masked_shares: {wrong[0]} is not between 0 and 1")
        if wrong := [cut for cut in self.restart_sessions if cut < 1]:
            raise ValueError(f"restart_sessions: {wrong[0]} is below 1 session")
        return self


class ExperimentSettings(Settings):
    output_dir: str = "data/experiments"
    starting_cash: float = Field(100_000.0, gt=0)
    regime_stress: bool = True
    mc_bootstrap: bool = True
    mc_unit: Literal["returns", "r_multiples"] = Field(
        "returns", description="what is resampled: returns on equity, or profit over the risk at entry, sized anew"
    )
    mc_risk_fraction: float | None = Field(
        None, gt=0, le=1, description="r_multiples: share of equity at risk per trade; null: the run's own median"
    )
    mc_paths: int = Field(1000, ge=100, description="paths of every run")
    mc_max_paths: int = Field(
        16_000, ge=100, description="paths of a run with a decision still open; at or below mc_paths: never more"
    )
    mc_method: Literal["stationary", "iid", "permutation"] = "stationary"
    mc_block_size: float | None = Field(None, gt=0, description="mean block length; default: chosen from the data")
    mc_seed: int = 42
    mc_ruin_level: float = Field(
        0.5, gt=0, lt=1, description="ruin = equity at or below this share of the start at any time"
    )
    mc_kill_thresholds: McKillThresholds = McKillThresholds()
    selection_correction: bool = Field(
        True, description="take the luck of a run's rank in its sweep off the trades before the Monte Carlo"
    )
    cost_multipliers: tuple[float, ...] = (1.0, 1.25, 1.5)
    walk_forward: WalkForwardSettings = WalkForwardSettings()
    cpcv: CombinatorialSettings = CombinatorialSettings()
    warmup_sensitivity: WarmupSensitivity = WarmupSensitivity()
    entry_draws: int = Field(200, ge=0, description="random entries that each run's own are compared with; 0: none")
    lookahead_cuts: int = Field(3, ge=1, description="truncation points of the lookahead proof")


class MetricLimit(Settings):
    """A user's own limits on one column of the run table; null: no limit."""

    min: float | None = None
    max: float | None = None


class KillThresholds(Settings):
    """Defaults are live. A threshold file overrides key by key; null switches one reason off."""

    min_trades: int | None = 10
    open_position_pnl: float | None = Field(0.5, description="largest share of profit from positions closed by force")
    robustness_penalty: float | None = 0.6
    walk_forward_penalty: float | None = 0.6
    regime_dependency_penalty: float | None = 0.7
    composite_score_min: float | None = 0.1
    slippage_sensitivity: float | None = Field(1.5, description="smallest break-even cost multiplier")
    dsr_min: float | None = Field(
        0.80,
        description="a secondary gate: .95 would be a second 5 % test, paid for in power (docs/calibration.md)",
    )
    reality_check_alpha: float | None = 0.05
    pbo_max: float | None = Field(None, description="reported always; kills only where set")
    mc_median_return_min: float | None = None
    mc_p95_drawdown_max: float | None = None
    mc_ruin_prob_max: float | None = None
    mc_fraction_positive_min: float | None = None
    leave_one_out_mean_min: float | None = Field(
        None, description="least mean return without the best regime or period; reported always, kills only where set"
    )
    entry_p_max: float | None = Field(
        None, description="largest p-value of the entry rule against random entries; kills only where set"
    )
    custom: dict[str, MetricLimit] = Field(
        default_factory=dict, description="column of the run table -> {min, max}: kill reasons of your own"
    )


class CompositeWeights(Settings):
    total_return: float = 0.25
    sharpe: float = 0.30
    drawdown: float = -0.15
    rejects: float = -0.10
    fragility: float = -0.10
    regime_dependency: float = -0.05
    regime_balance: float = 0.05
    walk_forward: float = -0.05


class AllocationSettings(Settings):
    kelly_fraction: float = Field(0.25, ge=0.10, le=0.50)
    per_play_cap: float = Field(0.07, gt=0, le=1)
    gross_cap: float = Field(1.0, gt=0)
    vol_target_annual: float | None = Field(0.10, gt=0)
    max_loss_per_contract: float | dict[str, float] | None = None
    cluster_correlation: float = Field(0.8, gt=0, le=1, description="plays correlated beyond this share one cap")


class SpaSettings(Settings):
    """The joint bootstrap test (Hansen 2005)."""

    resamples: int = Field(2000, ge=200)
    seed: int = 11
    block_length: float | None = Field(None, gt=0, description="mean block in periods; default: chosen from the data")
    benchmark: Literal["cash", "buy_and_hold"] = "cash"


class OnlineFdrSettings(Settings):
    """The error budget that all looks of the joint test share (docs/evaluation.md)."""

    method: Literal["lond", "lord++", "e-lond", "none"] = Field("lond", description="none: every cycle is tested alike")
    q: float = Field(0.10, gt=0, lt=1, description="false discovery rate over all looks ever made")
    look_growth: float = Field(0.2, gt=0, description="share of new days since the last look that opens the next")


class EvaluationSettings(Settings):
    input_dir: str | None = Field(None, description="experiments to judge; default: experiment.output_dir")
    kill_thresholds: KillThresholds = KillThresholds()
    kill_thresholds_file: str | None = None
    weights: CompositeWeights = CompositeWeights()
    spa: SpaSettings = SpaSettings()
    online_fdr: OnlineFdrSettings = OnlineFdrSettings()
    useful_sharpe: float = Field(
        0.5, ge=0, description="annual Sharpe worth having: a run is called dead when its true Sharpe is surely below"
    )
    rankings_output_dir: str = "data/rankings"
    killed_output_path: str = "data/rankings/killed.json"
    candidate_set_output_path: str = "data/rankings/candidate_set.json"
    deploy_gates: bool = Field(True, description="kill on cost sensitivity, walk-forward and the joint test")
    allocation: AllocationSettings = AllocationSettings()
    allocations_output_path: str | None = Field("data/rankings/allocations.json", description="null: no file")
    equity: float = Field(100_000.0, gt=0)
    min_dsr: float = Field(0.0, ge=0, le=1, description="allocation ignores candidates below")
    min_composite_score: float = 0.0
    report_output_dir: str = "data/reports"


class LoopTiming(Settings):
    interval_hours: float = Field(24.0, gt=0)
    require_recent_bars_hours: float | None = Field(None, gt=0)


class NotifySettings(Settings):
    webhook_url: str | None = Field(None, description="receives a JSON POST when a cycle completes or a run fails")
    telegram_chat_id: str | None = Field(None, description="needs the environment variable ARGUS_TELEGRAM_TOKEN")


class LoopSettings(Settings):
    """Everything in a loop file. ``overrides`` is laid over the platform file before validation."""

    platform: str = "config/argus.yaml"
    universe: str = "config/universe.yaml"
    overrides: dict[str, Any] = Field(default_factory=dict)
    pack: PackSettings
    outcomes: LoopOutcomes = LoopOutcomes()
    strategies: tuple[StrategySpec, ...]
    experiment: ExperimentSettings = ExperimentSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    signals: SignalSettings = SignalSettings()
    loop: LoopTiming = LoopTiming()
    notify: NotifySettings = NotifySettings()
    calibration: CalibrationSettings = CalibrationSettings()

    @model_validator(mode="after")
    def _some_strategy(self) -> LoopSettings:
        if not self.strategies:
            raise ValueError("strategies: name at least one strategy_class")
        return self
