"""Tail scenarios of option books for the risk engine: shocks, full repricing, simulated Heston tails."""

from argus_core.options.scenarios.book import Book, ExpiryMarket
from argus_core.options.scenarios.repricing import ScenarioProfit, reprice
from argus_core.options.scenarios.shocks import REPLAYS, Shock, shock_grid, with_gaps
from argus_core.options.scenarios.simulated import SimulatedTail, simulated_profit, simulated_tail

__all__ = [
    "REPLAYS",
    "Book",
    "ExpiryMarket",
    "ScenarioProfit",
    "Shock",
    "SimulatedTail",
    "reprice",
    "shock_grid",
    "simulated_profit",
    "simulated_tail",
    "with_gaps",
]
