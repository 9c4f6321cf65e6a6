"""The Heston model: characteristic function, analytic laws, simulation, calibration."""

from argus_core.options.heston.parameters import HestonParameters

__all__ = ["HestonParameters"]
