"""Heston parameters from one snapshot of implied volatilities.

Contracts out of the money are fitted by `minimise` (Levenberg-Marquardt). Its nodes are set from the market's
at-the-money volatility and from how fast the characteristic function decays at the start; where it decays more slowly
at the solution, the fit goes on with more nodes. At the end the prices are computed with twice the cutoff and three
times the nodes; the difference is reported as their error, and where it is above the tolerance the fit goes on with
those. Objective and residuals are of the better prices.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.black import black_price, implied_vol
from argus_core.options.heston.gradient import log_characteristic
from argus_core.options.heston.least_squares import (
    HIGHEST,
    LOWEST,
    PriceGrid,
    Residuals,
    Solution,
    from_unbounded,
    minimise,
    to_unbounded,
)
from argus_core.options.heston.parameters import HestonParameters
from argus_core.settings.option_calibration import HestonCalibrationSettings

Floats = NDArray[np.float64]

_YEAR_DAYS = 365.0
#: Where |phi(u - i/2)| / (u^2 + 1/4) is cut off, and the steps in which the frequency is searched.
_DECAYED = 1e-11
_FREQUENCIES = np.geomspace(4.0, 4096.0, 41)
_MOST_NODES = 4096
#: Least cutoff times the standard deviation at the money: most equity chains never need a second round.
_LEAST_CUTOFF = 28.0
_ROUNDS, _LEVELS = 4, 4
_BLACK_COLUMNS = ("strike", "forward", "t_cal", "iv_mid", "iv_bid", "iv_ask")


@dataclass(frozen=True, eq=False)
class HestonFit:
    """What a calibration found.

    Attributes:
        parameters: None where there is no fit.
        standard_errors: sqrt of the diagonal of s^2 (J'J)^-1, s^2 = objective / (n - 5), in order of the parameters;
            NaN where J'J is singular. They take the residuals for independent; a systematic misfit makes them too
            small.
        condition: of J'J in (ln v0, ln kappa, ln theta, ln sigma, atanh rho).
        objective: sum of squared residuals in half-spreads (or volatilities), of the prices that check the fit.
        rmse_iv, rmse_half_spreads: of model less market volatility; over the contracts fitted.
        by_expiry: expiry_ts, t_cal, n_contracts, rmse_iv, rmse_half_spreads.
        price_error: largest error of the prices fitted, in volatility.
        converged: the stopping rule was met and price_error is within its tolerance.
        reason: why there is no fit or it has not converged, or which parameter lies at its limit; None: all is well.
        regularised: whether the fit before drew it.
        chain_hash: of the contracts fitted.
    """

    parameters: HestonParameters | None
    standard_errors: tuple[float, ...]
    condition: float
    objective: float
    n_contracts: int
    n_expiries: int
    rmse_iv: float
    rmse_half_spreads: float
    by_expiry: pl.DataFrame
    iterations: int
    price_error: float
    converged: bool
    reason: str | None
    regularised: bool
    chain_hash: str


@dataclass(frozen=True, eq=False)
class _Chain:
    """Contracts to fit, in order of expiry, strike, right and name; prices are puts in units of the forward."""

    expiry_us: NDArray[np.int64]
    years: Floats
    atm: Floats
    group: NDArray[np.int64]
    k: Floats
    iv: Floats
    half_spread: Floats
    put_bid: Floats
    put_ask: Floats
    vega: Floats
    digest: str

    def split(self, values: Floats) -> list[Floats]:
        """Values per expiry."""
        return np.split(values, np.flatnonzero(np.diff(self.group)) + 1)


def calibrate(
    implied_vols: pl.DataFrame,
    settings: HestonCalibrationSettings | None = None,
    *,
    previous: HestonParameters | None = None,
    start: HestonParameters | None = None,
) -> HestonFit:
    """Fit one snapshot, columns of `ImpliedVols`.

    Contracts are taken where ``used``, with a volatility, an expiry at least ``min_days`` away and a strike within
    ``max_deviations``. Their order does not matter.

    Args:
        previous: parameters known before the snapshot; they are the start, and draw the fit where
            ``previous_strength`` is above 0.
        start: overrides the start.

    Returns:
        A fit; a chain that cannot be fitted gives one without parameters and the reason.
    """
    settings = settings or HestonCalibrationSettings()
    chain = _selected(implied_vols, settings)
    regularised = previous is not None and settings.previous_strength > 0
    lacking = _lacking(chain, settings)
    if lacking:
        return _without(chain, lacking, regularised)
    residuals = _residuals(chain, settings, previous)
    starts = [to_unbounded(start or previous or _first_guess(chain))]
    generator = np.random.default_rng(settings.seed)
    starts += [_drawn(chain, generator) for _ in range(settings.starts - 1)]
    best = _best(chain, residuals, starts, settings)
    if not best.settled and start is None and previous is not None:
        again = _best(chain, residuals, [to_unbounded(_first_guess(chain))], settings)
        best = min(best, again, key=lambda solution: solution.penalised)
    if not np.isfinite(best.penalised):
        return _without(chain, "no start gives finite prices", regularised)
    return _checked(chain, residuals, best, settings, regularised)


def _selected(frame: pl.DataFrame, settings: HestonCalibrationSettings) -> _Chain:
    """The contracts to fit, as arrays."""
    finite = [pl.col(name).is_finite() & (pl.col(name) > 0) for name in ("strike", "forward", "t_cal", "iv_mid")]
    numbers = [pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in _BLACK_COLUMNS]
    rows = (
        frame.lazy()
        .filter(pl.col("used"), *finite, pl.col("t_cal") >= settings.min_days / _YEAR_DAYS)
        .select(*numbers, pl.col("expiry_ts").dt.epoch("us"), "right", "contract")
        .sort("expiry_ts", "strike", "right", "contract")
        .collect()
    )
    strike, forward, years, iv, iv_bid, iv_ask = (rows[name].to_numpy() for name in _BLACK_COLUMNS)
    k = np.log(strike / forward)
    expiry, first, group = np.unique(rows["expiry_ts"].to_numpy(), return_index=True, return_inverse=True)
    atm = np.empty(len(expiry))
    for i in range(len(expiry)):
        mine = group == i
        order = np.argsort(k[mine], kind="stable")
        atm[i] = np.interp(0.0, k[mine][order], iv[mine][order])
    near = np.abs(k) <= settings.max_deviations * atm[group] * np.sqrt(years)
    kept = np.unique(group[near])
    years_of, atm = years[first][kept] if len(first) else np.empty(0), atm[kept]
    group = np.searchsorted(kept, group[near])
    k, iv, iv_bid, iv_ask = k[near], iv[near], iv_bid[near], iv_ask[near]
    t = years_of[group]
    half = np.where(np.isfinite(iv_bid) & np.isfinite(iv_ask), 0.5 * (iv_ask - iv_bid), np.maximum(iv_ask, iv) - iv)
    half = np.fmax(half, settings.min_half_spread_vol)
    low, high = np.where(np.isfinite(iv_bid), iv_bid, iv - half), np.where(np.isfinite(iv_ask), iv_ask, iv + half)
    if settings.loss == "band":
        put_bid, put_ask = black_price(1.0, np.exp(k), t, np.maximum([low, high], 1e-4), False)
    else:
        put_bid = put_ask = black_price(1.0, np.exp(k), t, iv, False)
    vega = np.maximum(_vega(k, iv, t), settings.vega_floor * _vega(np.zeros_like(t), atm[group], t))
    text = hashlib.sha256()
    for array in (expiry[kept], group, k, t, iv, iv_bid, iv_ask):
        text.update(np.ascontiguousarray(array).tobytes())
    return _Chain(expiry[kept], years_of, atm, group, k, iv, half, put_bid, put_ask, vega, text.hexdigest()[:16])


def _vega(k: Floats, vol: Floats, years: Floats) -> Floats:
    """Derivative of price / forward by the volatility."""
    total = vol * np.sqrt(years)
    d1 = -k / total + 0.5 * total
    return np.exp(-0.5 * d1 * d1) / np.sqrt(2 * np.pi) * np.sqrt(years)


def _lacking(chain: _Chain, settings: HestonCalibrationSettings) -> str | None:
    """Why the chain cannot tell five parameters; None: it can."""
    if len(chain.k) < settings.min_contracts:
        return f"{len(chain.k)} usable contracts, {settings.min_contracts} are needed"
    if len(chain.years) < settings.min_expiries:
        return f"{len(chain.years)} usable expiries, {settings.min_expiries} are needed"
    strikes = max(len(np.unique(part)) for part in chain.split(chain.k))
    if strikes < 3:
        return f"{strikes} strikes at most in an expiry, 3 are needed to tell skew and curvature"
    return None


def _residuals(chain: _Chain, settings: HestonCalibrationSettings, previous: HestonParameters | None) -> Residuals:
    scale = chain.vega * (chain.half_spread if settings.weights == "half_spread" else 1.0)
    pull = np.zeros(5)
    if previous is not None:
        pull = np.sqrt(settings.previous_strength) / np.asarray(settings.previous_sd)
    centre = to_unbounded(previous) if previous is not None else np.zeros(5)
    return Residuals(chain.put_bid, chain.put_ask, scale, centre, pull)


def _first_guess(chain: _Chain) -> HestonParameters:
    """Variances of the first and the last expiry; the rest is usual for equities."""
    theta = float(chain.atm[-1] ** 2)
    return HestonParameters(float(chain.atm[0] ** 2), 2.0, theta, 2.5 * np.sqrt(theta), -0.6)


def _drawn(chain: _Chain, generator: np.random.Generator) -> Floats:
    """A start about the first guess: each within a factor 4, rho anywhere from -0.95 to 0.3."""
    guess = _first_guess(chain)
    factors = np.exp(generator.uniform(-np.log(4), np.log(4), 4))
    return to_unbounded(HestonParameters(*(np.asarray(guess[:4]) * factors), generator.uniform(-0.95, 0.3)))


def _best(chain: _Chain, residuals: Residuals, starts: list[Floats], settings: HestonCalibrationSettings) -> Solution:
    """The solution with the smallest objective; of equals the first."""
    return min((_solved(chain, residuals, start, settings) for start in starts), key=lambda found: found.penalised)


def _solved(chain: _Chain, residuals: Residuals, start: Floats, settings: HestonCalibrationSettings) -> Solution:
    """Minimise, and again from there with a higher cutoff while the solution needs one."""
    cutoff, z, iterations = _LEAST_CUTOFF / (chain.atm * np.sqrt(chain.years)), start, 0
    for _ in range(_ROUNDS):
        cutoff = np.maximum(cutoff, _cutoff(from_unbounded(z), chain))
        solution = _minimised(_grid(chain, cutoff, 1.0), residuals, z, settings)
        z, iterations = solution.z, iterations + solution.iterations
        if np.all(_cutoff(from_unbounded(z), chain) <= 1.1 * cutoff):
            break
    return solution._replace(iterations=iterations)


def _minimised(grid: PriceGrid, residuals: Residuals, start: Floats, settings: HestonCalibrationSettings) -> Solution:
    return minimise(
        grid,
        residuals,
        start,
        max_iterations=settings.max_iterations,
        step_tolerance=settings.step_tolerance,
        objective_tolerance=settings.objective_tolerance,
    )


def _nodes(chain: _Chain, cutoff: Floats, finer: float) -> NDArray[np.int64]:
    """Nodes by the cutoff and the farthest strike, ``finer`` times as many.

    Measured on ten sets, sigma from .02 to 2, strikes to 5 deviations: errors of 1e-7 of volatility or less but for
    Feller numbers below .1.
    """
    reach = np.array([np.abs(part).max() for part in chain.split(chain.k)])
    wanted = 20 + cutoff * (0.45 * chain.atm * np.sqrt(chain.years) + 0.2 * reach)
    return (8 * np.ceil(finer * wanted / 8)).astype(np.int64)


def _grid(chain: _Chain, cutoff: Floats, finer: float) -> PriceGrid:
    nodes = np.minimum(_nodes(chain, cutoff, finer), _MOST_NODES)
    return PriceGrid(chain.years, chain.atm, cutoff, nodes, chain.split(chain.k))


def _cutoff(p: HestonParameters, chain: _Chain) -> Floats:
    """Frequency per expiry at which the integrand has decayed; it falls with the frequency."""
    u = np.multiply.outer(1 / (chain.atm * np.sqrt(chain.years)), _FREQUENCIES)
    size = log_characteristic(u - 0.5j, chain.years[:, None], p).real - np.log(u * u + 0.25)
    large = size > np.log(_DECAYED)
    return u[np.arange(len(u)), np.minimum(large.sum(axis=1), u.shape[1] - 1)]


def _checked(
    chain: _Chain, residuals: Residuals, solution: Solution, settings: HestonCalibrationSettings, regularised: bool
) -> HestonFit:
    """The fit with its errors, from better prices than those fitted."""
    least = _LEAST_CUTOFF / (chain.atm * np.sqrt(chain.years))
    for level in range(1, _LEVELS + 1):
        parameters = from_unbounded(solution.z)
        cutoff, finer = 2.0**level * np.maximum(_cutoff(parameters, chain), least), 1.5**level
        better = _grid(chain, cutoff, finer)
        put = better.values(solution.z)
        price_error = float(np.max(np.abs(solution.put - put) / chain.vega))
        if np.any(_nodes(chain, cutoff, finer) > _MOST_NODES):
            price_error = float("inf")
        if price_error <= settings.price_tolerance or level == _LEVELS or not solution.settled:
            break
        again = _minimised(better, residuals, solution.z, settings)
        solution = again._replace(iterations=solution.iterations + again.iterations)
    objective = residuals.objective(put)
    errors, condition = _standard_errors(parameters, solution.information, objective, len(chain.k))
    call = chain.k > 0
    value = np.where(call, put - np.expm1(chain.k), put)
    vol = implied_vol(value, 1.0, np.exp(chain.k), chain.years[chain.group], call)
    gap = vol - chain.iv
    by_expiry = _by_expiry(chain, gap)
    reason = _reason(solution, price_error, settings)
    return HestonFit(
        parameters,
        errors,
        condition,
        objective,
        len(chain.k),
        len(chain.years),
        _rms(gap),
        _rms(gap / chain.half_spread),
        by_expiry,
        solution.iterations,
        price_error,
        bool(solution.settled and price_error <= settings.price_tolerance),
        reason,
        regularised,
        chain.digest,
    )


def _standard_errors(
    p: HestonParameters, information: Floats, objective: float, contracts: int
) -> tuple[tuple[float, ...], float]:
    """Standard errors of the parameters, and the condition number of the information in z."""
    values, vectors = np.linalg.eigh(information)
    if not values[0] > 0:
        return (float("nan"),) * 5, float("inf")
    variance = objective / max(contracts - 5, 1) * ((vectors**2) / values).sum(axis=1)
    slope = np.array([p.v0, p.kappa, p.theta, p.sigma, 1 - p.rho**2])
    return tuple(float(x) for x in slope * np.sqrt(variance)), float(values[-1] / values[0])


def _by_expiry(chain: _Chain, gap: Floats) -> pl.DataFrame:
    parts = list(zip(chain.split(gap), chain.split(gap / chain.half_spread), strict=True))
    return pl.DataFrame(
        {
            "expiry_ts": pl.Series(chain.expiry_us).cast(pl.Datetime("us", "UTC")),
            "t_cal": chain.years,
            "n_contracts": np.bincount(chain.group).astype(np.int32),
            "rmse_iv": np.array([_rms(part) for part, _ in parts]),
            "rmse_half_spreads": np.array([_rms(part) for _, part in parts]),
        }
    )


def _reason(solution: Solution, price_error: float, settings: HestonCalibrationSettings) -> str | None:
    if not solution.settled:
        if solution.iterations >= settings.max_iterations:
            return f"not settled after {settings.max_iterations} iterations"
        return "no step makes the objective smaller, yet the stopping rule is not met"
    if price_error > settings.price_tolerance:
        if not np.isfinite(price_error):
            return (
                f"the characteristic function decays too slowly to price this chain with {_MOST_NODES} nodes per expiry"
            )
        return f"prices are up to {price_error:.1e} of volatility off, {settings.price_tolerance:.0e} is allowed"
    for i, name in enumerate(HestonParameters._fields):
        if solution.z[i] in (LOWEST[i], HIGHEST[i]):
            value = from_unbounded(solution.z)[i]
            return f"{name} lies at its limit {value:.4g}: the chain does not tell it"
    return None


def _rms(values: Floats) -> float:
    """Root mean square of the numbers that are known."""
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known * known))) if len(known) else float("nan")


def _without(chain: _Chain, reason: str, regularised: bool) -> HestonFit:
    """No fit."""
    nan = float("nan")
    count, expiries = len(chain.k), len(chain.years)
    empty = _by_expiry(chain, np.full(count, nan)) if count else _by_expiry_schema()
    return HestonFit(
        None, (nan,) * 5, nan, nan, count, expiries, nan, nan, empty, 0, nan, False, reason, regularised, chain.digest
    )


def _by_expiry_schema() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "expiry_ts": pl.Datetime("us", "UTC"),
            "t_cal": pl.Float64,
            "n_contracts": pl.Int32,
            "rmse_iv": pl.Float64,
            "rmse_half_spreads": pl.Float64,
        }
    )
