"""Implied-volatility surface: eSSVI without static arbitrage, SVI for diagnosis, implied law, arbitrage search."""

from argus_core.options.surface.arbitrage import GridArbitrage, durrleman, grid_arbitrage
from argus_core.options.surface.executable import Trade, executable_arbitrage
from argus_core.options.surface.fit import SurfaceFit, fit_surface
from argus_core.options.surface.interpolate import Surface, SurfaceLaw
from argus_core.options.surface.ssvi import Variance, butterfly_slack, calendar_slack, essvi, raw_svi
from argus_core.options.surface.svi import JumpWings, RawSvi, fit_svi, from_jump_wings, jump_wings, repair, svi

__all__ = [
    "GridArbitrage",
    "JumpWings",
    "RawSvi",
    "Surface",
    "SurfaceFit",
    "SurfaceLaw",
    "Trade",
    "Variance",
    "butterfly_slack",
    "calendar_slack",
    "durrleman",
    "essvi",
    "executable_arbitrage",
    "fit_surface",
    "fit_svi",
    "from_jump_wings",
    "grid_arbitrage",
    "jump_wings",
    "raw_svi",
    "repair",
    "svi",
]
