"""Quantiles of the underlying under Heston, day by day: what a fan of prices shows. Analytic, no paths."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from argus_core.options.heston.fourier import heston_table
from argus_core.options.heston.parameters import HestonParameters

Floats = NDArray[np.float64]

#: Points of the distribution function and rounds in which the place of a quantile is narrowed down to one cell.
_POINTS, _ROUNDS = 129, 3


def heston_quantiles(parameters: HestonParameters, years: ArrayLike, forwards: ArrayLike, levels: ArrayLike) -> Floats:
    """Prices below which the underlying lies with the probabilities ``levels``, at each time; (T, L), under Q.

    The distribution function is put on a grid that is narrowed around every quantile, then read by a straight line:
    the price is exact to about 1e-6 of the range of ln S.

    Args:
        years: calendar times above 0, (T,). forwards: of these times, (T,).
        levels: probabilities inside (0, 1), (L,), any order.

    Raises:
        ValueError: naming the time, parameter or level that is not allowed.
    """
    wanted = np.asarray(levels, dtype=float)
    if wanted.ndim != 1 or not len(wanted) or not np.all((wanted > 0) & (wanted < 1)):
        raise ValueError(f"levels = {levels}: give probabilities above 0 and below 1.")
    table = heston_table(parameters, years)
    low = np.repeat(table.low[:, None], len(wanted), axis=1)
    high = np.repeat(table.high[:, None], len(wanted), axis=1)
    share = np.linspace(0.0, 1.0, _POINTS)
    for _ in range(_ROUNDS):
        grid = low[..., None] + (high - low)[..., None] * share
        below = table.cdf(grid.reshape(len(table.years), -1)).reshape(grid.shape)
        above = below >= wanted[:, None]
        at = np.where(above.any(axis=-1), above.argmax(axis=-1), _POINTS - 1)
        cell = np.clip(at, 1, _POINTS - 1)[..., None]
        low, high = (np.take_along_axis(grid, place, axis=-1)[..., 0] for place in (cell - 1, cell))
        first, last = (np.take_along_axis(below, place, axis=-1)[..., 0] for place in (cell - 1, cell))
    rise = np.where(last > first, last - first, 1.0)
    x = low + (high - low) * np.clip((wanted - first) / rise, 0.0, 1.0)
    return np.asarray(forwards, dtype=float)[:, None] * np.exp(x)
