"""How dear trading may become before a strategy earns nothing."""

from __future__ import annotations


def cost_break_even(net_pnl: float, costs: float) -> float | None:
    """Break-even cost multiplier m* = gross / costs, gross = net + costs, both at multiplier 1.

    120 gross with 50 of costs breaks even at 2.4. Below 1 the run already loses; None where nothing was paid.
    An extrapolation of costs alone: the re-run fills at 1.25 and 1.5 show how stops and sizes react.
    """
    return (net_pnl + costs) / costs if costs > 0 else None
