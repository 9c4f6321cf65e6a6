"""Settings of `argus calibrate`."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field

from argus_core.settings.document import Settings


class CalibrationSettings(Settings):
    """Null and planted markets that the whole loop is run on. The gates are those of the loop file."""

    strategy_class: str = Field("OvernightSession", description="its sweep is searched; it must hold over nights")
    sweep: str | None = Field(None, description="sweep file; default: 50 sets of OvernightSession")
    symbol: str = "SPY"
    bar_seconds: int = Field(1800, gt=0, description="longer bars make cycles cheaper")
    sessions: int = Field(252, ge=60, description="length of a market")
    end_date: date = date(2025, 3, 31)
    sources: tuple[Literal["simulated", "signs", "blocks"], ...] = ("simulated",)
    real_bars: str | None = Field(
        None, description="Parquet file of bars (ts, open .. volume) that signs and blocks redraw; relative to the root"
    )
    null_cycles: int = Field(20, ge=0, description="null markets, shared out over the sources")
    planted_cycles: int = Field(5, ge=0, description="markets per planted Sharpe, shared out over the sources")
    planted_sharpes: tuple[float, ...] = Field((1.0, 2.0, 3.0, 4.0), description="true annual Sharpe after costs")
    seed: int = Field(1, ge=0)
    output_dir: str = "data/calibration"

    def identity(self) -> dict[str, Any]:
        """What a cycle's result depends on: not how many cycles are run, nor where they are kept."""
        beside = {"sources", "null_cycles", "planted_cycles", "planted_sharpes", "seed", "output_dir", "real_bars"}
        return self.model_dump(mode="json", exclude=beside)
