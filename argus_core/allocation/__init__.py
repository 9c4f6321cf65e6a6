"""Turn candidates into capital: forecasts, fractional Kelly, covariance, limits, contracts."""

from argus_core.allocation.covariance import clusters, ledoit_wolf
from argus_core.allocation.sizing import (
    ALLOCATION_SCHEMA,
    CLAMP_SCHEMA,
    Allocation,
    Forecast,
    allocate,
    forecast,
    max_loss_per_contract,
    write_json,
)

__all__ = [
    "ALLOCATION_SCHEMA",
    "CLAMP_SCHEMA",
    "Allocation",
    "Forecast",
    "allocate",
    "clusters",
    "forecast",
    "ledoit_wolf",
    "max_loss_per_contract",
    "write_json",
]
