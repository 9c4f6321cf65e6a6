"""The strategy interface, the registry and the shipped strategies, one file each."""

from argus_core.strategies.family import Family
from argus_core.strategies.interface import (
    BarView,
    CallbackStrategy,
    ColumnarStrategy,
    Intent,
    Leg,
    OpenOrder,
    OpenPosition,
    Params,
    Strategy,
)
from argus_core.strategies.registry import SHIPPED, load_strategy, strategy_code_hash

__all__ = [
    "SHIPPED",
    "BarView",
    "CallbackStrategy",
    "ColumnarStrategy",
    "Family",
    "Intent",
    "Leg",
    "OpenOrder",
    "OpenPosition",
    "Params",
    "Strategy",
    "load_strategy",
    "strategy_code_hash",
]
