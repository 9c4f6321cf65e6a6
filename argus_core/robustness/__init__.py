"""How much of a result is luck: bootstrap Monte Carlo, regime stress, walk-forward, cost sensitivity, plateau."""

from argus_core.bootstrap.block_length import BlockLength, optimal_block_length
from argus_core.bootstrap.trade_paths import PathStatistics, resample_paths
from argus_core.robustness.cost import cost_break_even
from argus_core.robustness.monte_carlo import monte_carlo, ruin_upper_bound
from argus_core.robustness.path_count import undecided
from argus_core.robustness.plateau import Plateau, plateau
from argus_core.robustness.regime_stress import regime_stress
from argus_core.robustness.risk_multiples import RiskMultiples, risk_multiples
from argus_core.robustness.walk_forward import Fold, WalkForward, walk_forward

__all__ = [
    "BlockLength",
    "Fold",
    "PathStatistics",
    "Plateau",
    "RiskMultiples",
    "WalkForward",
    "cost_break_even",
    "monte_carlo",
    "optimal_block_length",
    "plateau",
    "regime_stress",
    "resample_paths",
    "risk_multiples",
    "ruin_upper_bound",
    "undecided",
    "walk_forward",
]
