"""Probability of profit and the rest of a position's profit law at expiry, analytic."""

from argus_core.options.profit.estimates import Estimate, Provenance, estimates_frame
from argus_core.options.profit.laws import (
    HestonLaw,
    HestonLaws,
    LawList,
    TerminalLaw,
    TerminalLaws,
    heston_laws,
)
from argus_core.options.profit.terminal import TerminalProfit, terminal_profit

__all__ = [
    "Estimate",
    "HestonLaw",
    "HestonLaws",
    "LawList",
    "Provenance",
    "TerminalLaw",
    "TerminalLaws",
    "TerminalProfit",
    "estimates_frame",
    "heston_laws",
    "terminal_profit",
]
