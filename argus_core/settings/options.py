"""Settings of the option product: chains, surface, Heston, probabilities of profit."""

from __future__ import annotations

from pydantic import Field

from argus_core.settings.document import Settings
from argus_core.settings.iv_features import IvFeatureSettings
from argus_core.settings.option_anomalies import AnomalySettings
from argus_core.settings.option_calibration import HestonCalibrationSettings
from argus_core.settings.option_chains import OptionChainSettings
from argus_core.settings.option_consensus import ConsensusSettings
from argus_core.settings.option_profit import ProfitSettings
from argus_core.settings.option_scenarios import OptionScenarioSettings
from argus_core.settings.option_surface import SurfaceSettings


class SnapshotSettings(Settings):
    """Which snapshots of a day the option tables hold."""

    per_day: int = Field(
        40, ge=1, description="a feed of changes with more receipts is looked at so often, evenly over its receipts"
    )


class OptionSettings(Settings):
    """Everything under ``options`` in ``config/argus.yaml``."""

    snapshots: SnapshotSettings = SnapshotSettings()
    chains: OptionChainSettings = OptionChainSettings()
    surface: SurfaceSettings = SurfaceSettings()
    features: IvFeatureSettings = IvFeatureSettings()
    anomalies: AnomalySettings = AnomalySettings()
    heston: HestonCalibrationSettings = HestonCalibrationSettings()
    profit: ProfitSettings = ProfitSettings()
    consensus: ConsensusSettings = ConsensusSettings()
    scenarios: OptionScenarioSettings = OptionScenarioSettings()
