"""Tails of a book over a horizon under simulated Heston shocks: every path's state (x, v) reprices every leg.

Prices come from a table over (time left, variance, log-moneyness) (`argus_core.options.heston.mark_table`): one per
book, whatever the number of paths. Heston has almost no gap over a day: lay gaps on top (`shocks.with_gaps`), and read
a one-day tail as too thin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from argus_core.options.heston.market import PhysicalMeasure
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.profit.estimates import Provenance
from argus_core.options.scenarios.book import Book
from argus_core.risk.tail import expected_shortfall, value_at_risk

if TYPE_CHECKING:
    from argus_core.options.heston.mark_table import MarkTable
    from argus_core.options.heston.simulation import Sampling

Floats = NDArray[np.float64]

_DAYS = 365.0
#: Nodes of volatility: prices are linear between them, within about 2e-6 of the spot.
_VARIANCES = 160


@dataclass(frozen=True)
class SimulatedTail:
    """Losses of the whole book at the horizon, positive dollars, with standard errors.

    Attributes:
        pnl: profit of every path, (N,), positions without a price left out.
        reasons: per position, why it is left out.
    """

    alpha: float
    value_at_risk: float
    value_at_risk_se: float
    expected_shortfall: float
    expected_shortfall_se: float
    mean_pnl: float
    pnl: Floats
    reasons: tuple[str | None, ...]
    provenance: Provenance


def simulated_profit(book: Book, parameters: HestonParameters, days: float, x: Floats, v: Floats) -> Floats:
    """Profit of every position on N paths, (N, P), from the model's value today (variance v0) to that at the horizon.

    Args:
        parameters: as priced; they reprice whatever measure moved the paths.
        days: calendar days to the horizon.
        x: ln(S_horizon / S_now) of each path, drift included, (N,).
        v: variance of each path, (N,).
    """
    from argus_core.options.heston.fourier import heston_table
    from argus_core.options.heston.mark_table import highest_volatility, mark_table

    x, v = np.asarray(x, dtype=np.float64), np.asarray(v, dtype=np.float64)
    held = book.shares * book.spot * np.expm1(x)[:, None]
    if not len(book.owner):
        return book.summed(np.zeros((len(x), 0))) + held
    times, row = np.unique(book.years, return_inverse=True)
    k = np.log(book.strike / book.forward)
    grid = np.broadcast_to(k, (len(times), len(k)))
    exact = heston_table(parameters, times).prices(grid, np.broadcast_to(book.call, grid.shape))
    now = exact[row, np.arange(len(k))] * book.forward * book.discount
    left = book.years - days / _DAYS
    top = max(highest_volatility(parameters, max(days, 1.0) / _DAYS), math.sqrt(float(v.max(initial=0.0))))
    table = mark_table(parameters, np.maximum(times - days / _DAYS, 0.0), top, variances=_VARIANCES)
    price = np.empty((len(x), len(k)))
    for j in range(len(k)):
        share = max(left[j], 0.0) / book.years[j]
        forward = book.spot * np.exp(x) * (book.forward[j] / book.spot) ** share
        moneyness = np.log(book.strike[j] / forward)
        put = _puts(table, int(row[j]), moneyness, v)
        undiscounted = put - np.expm1(moneyness) if book.call[j] else put
        price[:, j] = np.maximum(undiscounted, 0.0) * forward * book.discount[j] ** share
    worth = np.clip(book.summed(book.size * price), book.floor, book.ceiling)
    return worth - book.summed(book.size * now) + held


def simulated_tail(
    book: Book,
    parameters: HestonParameters,
    days: float,
    *,
    rate: float = 0.0,
    dividend_yield: float = 0.0,
    physical: PhysicalMeasure | None = None,
    alpha: float = 0.99,
    sampling: Sampling | None = None,
) -> SimulatedTail:
    """Value at risk and expected shortfall of the book at the horizon, by QE-M paths with daily steps.

    Args:
        parameters: as priced.
        rate, dividend_yield: per year; they drift the paths where ``physical`` does not.
        physical: law of the paths; without it they move risk-neutrally, and the provenance says so.
        alpha: level of the tail.

    Raises:
        ValueError: on a level outside (0, 1), a horizon that is not above 0, or a book without a single price.
    """
    from argus_core.options.heston.simulation import SCHEME, TILE, Sampling, simulate

    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha}: it must lie between 0 and 1, like 0.99.")
    if not days > 0:
        raise ValueError(f"days = {days}: the horizon must be above 0; `reprice` does shocks without time.")
    sampling = sampling or Sampling(paths=2**17)
    # Whole tiles: a scramble of a net is complete then.
    sampling = sampling.model_copy(update={"paths": sampling.tiles * TILE})
    law = physical.parameters if physical is not None else parameters
    drift = physical.drift - dividend_yield if physical is not None else rate - dividend_yield
    steps = max(math.ceil(days), 1)
    state = simulate(law, days / _DAYS, steps, drift=drift, sampling=sampling)
    each = simulated_profit(book, parameters, days, state.x, state.v)
    usable = ~np.isnan(each[0])
    if not usable.any():
        raise ValueError(f"no position of the book has a price: {'; '.join(str(r) for r in book.reasons)}")
    pnl = each[:, usable].sum(axis=1)
    loss = -pnl
    quantile, shortfall = value_at_risk(loss, alpha), expected_shortfall(loss, alpha)
    if sampling.source == "sobol":
        parts = np.split(loss, sampling.scrambles)
        errors = [
            float(np.std([f(part, alpha) for part in parts], ddof=1) / math.sqrt(len(parts)))
            for f in (value_at_risk, expected_shortfall)
        ]
    else:
        errors = [_quantile_error(loss, alpha), _shortfall_error(loss, quantile, alpha)]
    scheme = f"Heston {SCHEME}, {steps} steps, {len(loss)} paths ({sampling.source})"
    made = Provenance(
        "Q" if physical is None else "P",
        f"{days:g} days",
        scheme,
        f"{parameters.digest}" if physical is None else f"{parameters.digest}/{law.digest}",
        None,
        sampling.seed,
    )
    return SimulatedTail(alpha, quantile, errors[0], shortfall, errors[1], float(pnl.mean()), pnl, book.reasons, made)


def _puts(table: MarkTable, close: int, moneyness: Floats, v: Floats) -> Floats:
    """Undiscounted put over the forward of one expiry at ln(K/F) and variance of each path, (N,)."""
    from argus_core.options.heston.mark_table import hermite

    low, width = np.asarray(table.low)[close], np.asarray(table.width)[close]
    value, slope = (np.ascontiguousarray(np.asarray(a)[close]).reshape(-1) for a in (table.value, table.slope))
    variances, nodes = len(low), len(value) // len(low)
    at = np.clip(np.sqrt(np.maximum(v, 0.0)) / float(table.top), 0.0, 1.0) * (variances - 1)
    first = np.minimum(at.astype(np.int64), variances - 2)
    sides = []
    for node in (first, first + 1):
        step = width[node] / (nodes - 1)
        place = (moneyness - low[node]) / step
        cell = np.clip(place, 0, nodes - 2).astype(np.int64)
        t, flat = np.clip(place - cell, 0.0, 1.0), node * nodes + cell
        inside = hermite(value[flat], value[flat + 1], slope[flat] * step, slope[flat + 1] * step, t)
        sides.append(np.where(place <= 0, 0.0, np.where(place >= nodes - 1, np.expm1(moneyness), inside)))
    share = at - first
    return sides[0] * (1.0 - share) + sides[1] * share


def _quantile_error(loss: Floats, alpha: float) -> float:
    """Half the distance of the order statistics one standard deviation of their rank apart."""
    spread = math.sqrt(alpha * (1 - alpha) / len(loss))
    low, high = np.quantile(loss, [max(alpha - spread, 0.0), min(alpha + spread, 1.0)])
    return float(0.5 * (high - low))


def _shortfall_error(loss: Floats, quantile: float, alpha: float) -> float:
    """Asymptotic: the standard deviation of (L - VaR)+ / (1 - alpha) over sqrt(N)."""
    return float(np.std(np.maximum(loss - quantile, 0.0)) / (1 - alpha) / math.sqrt(len(loss)))
