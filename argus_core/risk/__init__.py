"""Tail risk and volatility: value at risk, expected shortfall, their backtests, forecasts without lookahead."""

from argus_core.risk.tail import (
    expected_shortfall,
    kupiec_ratio,
    kupiec_region,
    normal_expected_shortfall,
    student_expected_shortfall,
    value_at_risk,
)
from argus_core.risk.volatility import ewma_volatility, volatility_target_weights

__all__ = [
    "ewma_volatility",
    "expected_shortfall",
    "kupiec_ratio",
    "kupiec_region",
    "normal_expected_shortfall",
    "student_expected_shortfall",
    "value_at_risk",
    "volatility_target_weights",
]
