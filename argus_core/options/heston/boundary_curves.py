"""Where a managed position is closed, for eyes: prices of target and stop by day at a few levels of volatility."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from argus_core.options.heston.exit_boundaries import FAR, FINE, STOP, TARGET, exit_boundaries
from argus_core.options.heston.managed import Management
from argus_core.options.heston.mark_table import highest_volatility, mark_table
from argus_core.options.heston.market import Market, SimulatedPosition
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import DAYS

Floats = NDArray[np.float64]


class BoundaryCurve(NamedTuple):
    """One boundary: ``kind`` target or stop; ``volatility`` sqrt(v) of the state; ``price`` (days,) of the underlying,
    NaN on a day without it. ``above``: whether the position is closed at prices above it."""

    kind: str
    volatility: float
    above: bool
    price: Floats


class BoundaryCurves(NamedTuple):
    """``days`` (D,) are calendar days from now; every curve has one price for each."""

    days: NDArray[np.int64]
    curves: tuple[BoundaryCurve, ...]


def boundary_curves(
    position: SimulatedPosition,
    parameters: HestonParameters,
    market: Market,
    management: Management,
    volatilities: Sequence[float],
    *,
    most: int = 24,
) -> BoundaryCurves:
    """The boundaries that `pop_managed` looks up, at ``volatilities`` and at most ``most`` days, the last one included.

    Args:
        position: one expiry, a credit or debit that is not zero.
        volatilities: instantaneous ones, sqrt(v), above 0; those beyond the grid of marks are cut to it.

    Raises:
        ValueError: if the position, the parameters or the market cannot be used.
    """
    fault = position.fault()
    if fault or len({leg.days for leg in position.legs}) != 1 or position.credit == 0:
        raise ValueError(fault or "boundaries need one expiry and a credit or debit that is not zero.")
    parameters.checked()
    market.checked()
    last = min(management.exit_day or position.days, position.days)
    days = np.unique(np.linspace(1, last, min(last, most)).round().astype(np.int64))
    table = mark_table(parameters, (position.days - days) / DAYS, highest_volatility(parameters, last / DAYS))
    found = exit_boundaries(position, market, table, management.target, management.stop)
    top = float(table.top)
    # Regions and their two sides: the axis of prices from 0 to infinity, cut at the edges.
    far = np.full((len(days), 1), FAR)
    curves = []
    for volatility in volatilities:
        cell = int(np.clip(volatility * FINE / top, 0, FINE - 1))
        edges = np.concatenate([-far, found.edges[:, :, cell], far], axis=1)
        for region, label in enumerate(found.labels):
            if label not in (TARGET, STOP):
                continue
            low, high = edges[:, region], edges[:, region + 1]
            there = high > low
            for x, above in ((low, True), (high, False)):
                known = there & (np.abs(x) < FAR)
                if known.any():
                    price = np.where(known, market.spot * np.exp(np.where(known, x, 0.0)), np.nan)
                    kind = "target" if label == TARGET else "stop"
                    curves.append(BoundaryCurve(kind, float(volatility), above, price))
    return BoundaryCurves(days, tuple(curves))
