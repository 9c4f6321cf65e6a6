"""A deterministic, calibrated market: the default data source. See docs/simulated-market.md."""

from argus_core.market.simulation.market import SimulatedMarket

__all__ = ["SimulatedMarket"]
