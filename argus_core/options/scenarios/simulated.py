"""Tails of a book over a horizon under simulated Heston shocks: every path's state (x, v) reprices every leg.

Prices come from a table over (time left, variance, log-moneyness) (`argus_core.options.heston.mark_table`): one per
book, whatever the number of paths. Heston has almost no gap over a day: lay gaps on top (`shocks.with_gaps`), and read
a one-day tail as too thin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from argus_core.options.heston.market import PhysicalMeasure
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.profit.estimates import Provenance
from argus_core.options.scenarios.book import Book

if TYPE_CHECKING:
    from argus_core.options.heston.mark_table import MarkTable
    from argus_core.options.heston.simulation import Sampling, Statistic

Floats = NDArray[np.float64]

_DAYS = 365.0
#: Nodes of volatility: prices are linear between them, within about 2e-6 of the spot.
_VARIANCES = 160


@dataclass(frozen=True)
class SimulatedTail:
    """Losses of the whole book at the horizon, positive dollars, with standard errors.

    Attributes:
        pnl: profit of every path, (N,), positions without a price left out.
        weight: likelihood ratio of every path, (N,), mean 1; all 1 without importance sampling.
        reasons: per position, why it is left out.
    """

    alpha: float
    value_at_risk: float
    value_at_risk_se: float
    expected_shortfall: float
    expected_shortfall_se: float
    mean_pnl: float
    pnl: Floats
    weight: Floats
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
    shift: float = 0.0,
    sampling: Sampling | None = None,
) -> SimulatedTail:
    """Value at risk and expected shortfall of the book at the horizon, by QE-M paths with daily steps.

    Args:
        parameters: as priced.
        rate, dividend_yield: per year; they drift the paths where ``physical`` does not.
        physical: law of the paths; without it they move risk-neutrally, and the provenance says so.
        alpha: level of the tail.
        shift: importance sampling of the spot's own driver, in standard deviations over the horizon: -1.5 draws more
            falls, and every path is weighed down by its likelihood ratio. For levels from .99 on.

    Raises:
        ValueError: on a level outside (0, 1), a horizon that is not above 0, or a book without a single price.
    """
    from argus_core.options.heston.simulation import SCHEME, TILE, Sampling

    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha}: it must lie between 0 and 1, like 0.99.")
    if not days > 0:
        raise ValueError(f"days = {days}: the horizon must be above 0; `reprice` does shocks without time.")
    sampling = sampling or Sampling(paths=2**17)
    # Whole tiles: a scramble of a net is complete then.
    sampling = sampling.model_copy(update={"paths": sampling.tiles * TILE})
    law = physical.parameters if physical is not None else parameters
    drift = physical.drift if physical is not None else rate - dividend_yield
    steps = max(math.ceil(days), 1)
    x, v, weight = _shifted_paths(law, days / _DAYS, steps, drift, shift, sampling)
    each = simulated_profit(book, parameters, days, x, v)
    usable = ~np.isnan(each[0])
    if not usable.any():
        raise ValueError(f"no position of the book has a price: {'; '.join(str(r) for r in book.reasons)}")
    pnl = each[:, usable].sum(axis=1)
    quantile, shortfall = weighted_tail(-pnl, weight, alpha)
    if sampling.source == "sobol":
        pairs = zip(np.split(-pnl, sampling.scrambles), np.split(weight, sampling.scrambles), strict=True)
        parts = np.array([weighted_tail(*pair, alpha) for pair in pairs])
        errors = parts.std(axis=0, ddof=1) / math.sqrt(len(parts))
    else:
        errors = _errors(-pnl, weight, quantile, alpha)
    scheme = f"Heston {SCHEME}, {steps} steps, {len(pnl)} paths ({sampling.source})"
    scheme += f", spot shifted by {shift:g} deviations" if shift else ""
    made = Provenance(
        "Q" if physical is None else "P",
        f"{days:g} days",
        scheme,
        parameters.digest if physical is None else f"{parameters.digest}/{law.digest}",
        None,
        sampling.seed,
    )
    return SimulatedTail(
        alpha=alpha,
        value_at_risk=quantile,
        value_at_risk_se=float(errors[0]),
        expected_shortfall=shortfall,
        expected_shortfall_se=float(errors[1]),
        mean_pnl=float((weight * pnl).mean()),
        pnl=pnl,
        weight=weight,
        reasons=book.reasons,
        provenance=made,
    )


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


def weighted_tail(loss: Floats, weight: Floats, alpha: float) -> tuple[float, float]:
    """(value at risk, expected shortfall) of losses with likelihood ratios: those of `argus_core.risk.tail` where all
    weights are 1."""
    order = np.argsort(-loss, kind="stable")
    above = np.concatenate([[0.0], np.cumsum(weight[order])[:-1]]) / len(loss)
    quantile = float(loss[order][np.flatnonzero(above <= (1 - alpha) * (1 + 1e-12))[-1]])
    excess = weight * np.maximum(loss - quantile, 0.0)
    return quantile, quantile + float(excess.mean()) / (1 - alpha)


def _errors(loss: Floats, weight: Floats, quantile: float, alpha: float) -> tuple[float, float]:
    """Standard errors of independent paths: of the quantile by the losses one standard error of its probability away,
    of the shortfall by the deviation of weight (L - VaR)+ / (1 - alpha)."""
    root = math.sqrt(len(loss))
    spread = float(np.std(weight * (loss > quantile))) / root
    levels = [min(max(alpha + sign * spread, 0.0), 1 - 1e-12) for sign in (-1, 1)]
    low, high = (weighted_tail(loss, weight, level)[0] for level in levels)
    return 0.5 * (high - low), float(np.std(weight * np.maximum(loss - quantile, 0.0))) / (1 - alpha) / root


def _shifted_paths(
    law: HestonParameters, years: float, steps: int, drift: float, shift: float, sampling: Sampling
) -> tuple[Floats, Floats, Floats]:
    """(x, v, likelihood ratio) of every path: each look's normal number of the spot moves by shift / sqrt(steps)."""
    from argus_core.options.heston.simulation import Grid, fold

    grid = Grid.of(law, years, steps)
    by = shift / math.sqrt(steps)
    dtype = np.float32 if sampling.precision == "single" else np.float64
    kept = fold(law, grid, _shifted(), drift=drift, sampling=sampling, fixed=dtype(by))
    x, v, total = (np.asarray(a, dtype=np.float64).reshape(-1) for a in kept)
    return x, v, np.exp(-by * total - 0.5 * steps * by * by)


@lru_cache(maxsize=1)
def _shifted() -> Statistic:
    """The statistic that moves the spot's normal numbers by ``fixed`` and keeps the sum of the unmoved ones."""
    from argus_core.accelerator import load_jax
    from argus_core.options.heston.simulation import Proposal, Statistic

    jnp = load_jax().numpy

    def start(fixed: Any, paths: int, dtype: Any) -> Any:
        return jnp.zeros(paths, dtype), ()

    def update(fixed: Any, row: Any, state: Any, p: Proposal) -> Any:
        return p.mean + p.deviation * (p.z + fixed), state + p.z, ()

    def finish(fixed: Any, state: Any, emitted: Any, x: Any, v: Any) -> Any:
        return x, v, state

    return Statistic(start, update, finish)
