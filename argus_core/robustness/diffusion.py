"""Ruin and drawdown of a random walk with drift in closed form: what the Monte Carlo must give where it can be known.

The walk is X(t) = drift · t + volatility · B(t), profit and loss in any unit of account, time in any unit; ``drift`` is
per unit of time, ``volatility`` per square root of it. Compounding returns are the same walk in log equity (a fall of
share d is a distance of −ln(1 − d), the drift is mean − volatility²/2).

Sources: Brownian first passage, Bachelier-Lévy; Taylor, Ann. Prob. 3, 1975 (transform of the first drawdown of a given
size); Magdon-Ismail, Atiya, Pratap & Abu-Mostafa, J. Appl. Prob. 41, 2004 (mean of the maximum drawdown); Broadie,
Glasserman & Kou, Math. Finance 7, 1997 (discrete monitoring); Abate & Whitt, ORSA J. Comp. 7, 1995 (inversion of
transforms, Euler summation); Bailey & López de Prado, J. Risk 18, 2015 (triple penance).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: −ζ(1/2)/√(2π): how far, in standard deviations of a step, a walk looked at in steps misses its true extreme.
MONITORING_SHIFT = 0.5825971579390107

_NORMAL = NormalDist()
#: Inversion: error of the discretisation e^−A; plain terms of the sum, then the ones that Euler's summation averages.
_ABATE_WHITT = 20.0
_PLAIN_TERMS = 384
_AVERAGED_TERMS = 16
_NODES = 160
_BISECTIONS = 80


def brownian_ruin(
    distance: float, drift: float, volatility: float, horizon: float = math.inf, *, step: float = 0.0
) -> float:
    """Probability that the walk falls by ``distance`` below its start within ``horizon``.

    Φ((−x − μT)/(σ√T)) + exp(−2μx/σ²) Φ((−x + μT)/(σ√T)); with an infinite horizon min(1, exp(−2μx/σ²)).

    Args:
        distance: of the barrier below the start, in units of the walk; 0 is ruin at once.
        step: time between two looks; the barrier moves out by 0.5826 σ√step. 0: watched all the time.

    Raises:
        ValueError: for a negative distance or step, or a volatility or horizon that is not positive.
    """
    _check(volatility, horizon, step)
    if not distance >= 0:
        raise ValueError(f"distance must not be negative, found {distance}: give the fall as a positive number.")
    x = distance + MONITORING_SHIFT * volatility * math.sqrt(step) if distance > 0 else 0.0
    if x == 0:
        return 1.0
    exponent = -2 * drift * x / (volatility * volatility)
    if math.isinf(horizon):
        return math.exp(min(0.0, exponent))
    from scipy.special import log_ndtr

    spread = volatility * math.sqrt(horizon)
    direct = math.exp(float(log_ndtr((-x - drift * horizon) / spread)))
    # In logs: with a negative drift the exponential overflows where its factor vanishes.
    reflected = math.exp(min(0.0, exponent + float(log_ndtr((-x + drift * horizon) / spread))))
    return min(1.0, direct + reflected)


def gamblers_ruin(probability: float, start: int, goal: int | None = None) -> float:
    """Probability that a gambler with ``start`` units, who wins one with ``probability``, is broke before ``goal``.

    ((q/p)^i − (q/p)^N)/(1 − (q/p)^N); 1 − i/N for a fair game. ``goal`` None: he never stops, min(1, (q/p)^i).

    Raises:
        ValueError: unless 0 < probability < 1 and 0 <= start <= goal.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability must be between 0 and 1, found {probability}.")
    if start < 0 or (goal is not None and (goal < start or goal == 0)):
        raise ValueError(f"start must be between 0 and goal (at least 1), found start {start}, goal {goal}.")
    log_ratio = math.log1p(-probability) - math.log(probability)
    if goal is None:
        return math.exp(min(0.0, start * log_ratio))
    if log_ratio == 0:
        return 1 - start / goal
    # Written so that the exponents are negative on both sides of a fair game.
    if log_ratio < 0:
        return math.exp(start * log_ratio) * math.expm1((goal - start) * log_ratio) / math.expm1(goal * log_ratio)
    return math.expm1(-(goal - start) * log_ratio) / math.expm1(-goal * log_ratio)


@overload
def drawdown_exceedance(
    level: float, drift: float, volatility: float, horizon: float, *, step: float = 0.0
) -> float: ...
@overload
def drawdown_exceedance(
    level: ArrayLike, drift: float, volatility: float, horizon: float, *, step: float = 0.0
) -> NDArray[np.float64]: ...
def drawdown_exceedance(
    level: ArrayLike, drift: float, volatility: float, horizon: float, *, step: float = 0.0
) -> float | NDArray[np.float64]:
    """Probability that the maximum drawdown within ``horizon`` exceeds ``level``; same shape as ``level``.

    The drawdown of the walk is a walk with drift −μ reflected at 0; it exceeds h when that first reaches h, at a time τ
    with E exp(−qτ) = δ e^(−γh)/(δ cosh δh − γ sinh δh), γ = μ/σ², δ = √(γ² + 2q/σ²) (Taylor 1975). Without drift the
    distribution is a sum of normal tails; with drift the transform is inverted numerically, absolute error below 1e-7.

    Args:
        level: falls from the running peak (start included), in units of the walk; not positive: probability 1.
        step: time between two looks. Peak and trough are each missed by 0.5826 σ√step, the level moves out by both.

    Raises:
        ValueError: for a volatility or horizon that is not positive and finite, or a negative step.
    """
    _check(volatility, horizon, step)
    if math.isinf(horizon):
        raise ValueError("horizon must be finite: without a horizon every drawdown happens with probability 1.")
    h = np.asarray(level, dtype=np.float64)
    shifted = h + 2 * MONITORING_SHIFT * volatility * math.sqrt(step)
    # In units of σ√T of the horizon only the number of standard deviations that the drift makes is left.
    scale = volatility * math.sqrt(horizon)
    strength = drift * math.sqrt(horizon) / volatility
    unit = np.where(h > 0, shifted, 1.0).ravel() / scale
    found = _driftless(unit) if strength == 0 else _inverted(unit, strength)
    result = np.where(h > 0, found.reshape(h.shape), 1.0)
    return float(result) if result.ndim == 0 else result


def expected_drawdown(drift: float, volatility: float, horizon: float, *, step: float = 0.0) -> float:
    """Mean of the maximum drawdown within ``horizon``: ∫ P(MDD > h) dh; √(π/2) σ√T without drift.

    With drift it is (2σ²/μ) Q(μ²T/(2σ²)) of Magdon-Ismail et al., whose printed tables of Q are up to 0.3 % off.
    Arguments and errors as `drawdown_exceedance`.
    """
    _check(volatility, horizon, step)
    if drift == 0 and step == 0 and math.isfinite(horizon):
        return math.sqrt(math.pi / 2) * volatility * math.sqrt(horizon)
    end = drawdown_quantile(1 - 1e-7, drift, volatility, horizon, step=step)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    levels = end * (nodes + 1) / 2
    return float(weights @ drawdown_exceedance(levels, drift, volatility, horizon, step=step)) * end / 2


def drawdown_quantile(
    probability: float, drift: float, volatility: float, horizon: float, *, step: float = 0.0
) -> float:
    """Level that the maximum drawdown within ``horizon`` does not exceed with ``probability``.

    Arguments and errors as `drawdown_exceedance`; ``probability`` must be between 0 and 1. Above 1 − 1e-6 the error of
    the inversion shows.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability must be between 0 and 1, found {probability}.")
    _check(volatility, horizon, step)

    def exceeded(level: float) -> float:
        return drawdown_exceedance(level, drift, volatility, horizon, step=step)

    # 12 standard deviations on top of what a bad drift loses: exceeded with probability 0 in double precision.
    high = 12 * volatility * math.sqrt(horizon) + max(0.0, -drift) * horizon
    return _bisect(exceeded, 1 - probability, high)


@dataclass(frozen=True)
class TriplePenance:
    """Worst quantile loss of a strategy with positive drift, and how long it takes (units of the inputs).

    ``loss``: the deepest that the quantile of profit and loss falls below the start; ``time_to_loss``: when;
    ``time_under_water``: until the quantile is back at the start, four times as long: recovery takes three times the
    fall.
    """

    loss: float
    time_to_loss: float
    time_under_water: float


def triple_penance(drift: float, volatility: float, confidence: float = 0.95) -> TriplePenance:
    """Deepest ``confidence`` quantile of loss over all times: z²σ²/(4μ), at (zσ/(2μ))², under water until (zσ/μ)².

    It is a quantile of profit and loss **at one time** counted from the start, not of the maximum drawdown: the maximum
    over a horizon is worse (`drawdown_quantile`). Everything is infinite without a positive drift.

    Raises:
        ValueError: if ``volatility`` is not positive or ``confidence`` not in [0.5, 1).
    """
    _check(volatility, 1.0, 0.0)
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence must be at least 0.5 and below 1, found {confidence}.")
    if not drift > 0:
        return TriplePenance(math.inf, math.inf, math.inf)
    z = _NORMAL.inv_cdf(confidence)
    return TriplePenance(
        loss=z * z * volatility * volatility / (4 * drift),
        time_to_loss=(z * volatility / (2 * drift)) ** 2,
        time_under_water=(z * volatility / drift) ** 2,
    )


def healthy_drawdown_limit(sharpe: float, volatility: float, confidence: float = 0.95) -> float:
    """Drawdown below which a kill limit stops healthy strategies: z² · volatility/(4 · Sharpe), a share of equity.

    ``sharpe`` and ``volatility`` share one horizon (annual). Infinite for a Sharpe of 0 or less: no limit is wide
    enough for a strategy without an edge, which is to be stopped for that. A lower bound: a healthy strategy exceeds
    it somewhere in a year more often than 1 − ``confidence`` (see `triple_penance`).
    """
    return triple_penance(sharpe * volatility, volatility, confidence).loss


def _check(volatility: float, horizon: float, step: float) -> None:
    if not (math.isfinite(volatility) and volatility > 0):
        raise ValueError(f"volatility must be a positive number, found {volatility}.")
    if not horizon > 0:
        raise ValueError(f"horizon must be positive, found {horizon}.")
    if not (math.isfinite(step) and step >= 0):
        raise ValueError(f"step must be a time of at least 0, found {step}; 0 watches all the time.")


def _driftless(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(max |B| > h): the drawdown of a walk without drift is |B| (Lévy). Theta series for low levels, tails for high.

    1 − (4/π) Σ (−1)^j/(2j+1) exp(−(2j+1)²π²/(8h²)) and 4 Σ (−1)^j Φ(−(2j+1)h) are the same number.
    """
    from scipy.special import ndtr

    odd = 2.0 * np.arange(24) + 1
    signs = np.where(np.arange(24) % 2 == 0, 1.0, -1.0)
    tails = 4 * (ndtr(-odd * unit[:, None]) @ signs)
    with np.errstate(over="ignore", under="ignore"):
        theta = 1 - 4 / math.pi * (np.exp(-((odd * math.pi / unit[:, None]) ** 2) / 8) @ (signs / odd))
    return np.clip(np.where(unit < 1.0, theta, tails), 0.0, 1.0)


def _inverted(unit: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """P(τ <= 1) for levels ``unit`` of a walk with unit volatility and drift ``strength``, by Euler summation.

    f(1) = e^(A/2)/2 [F(A/2) + 2 Σ (−1)^k Re F(A/2 + iπk)] − error, |error| <= e^−A, F(q) = E e^(−qτ)/q; the mean of
    partial sums with binomial weights speeds up the alternating tail.
    """
    terms = np.arange(_PLAIN_TERMS + _AVERAGED_TERMS + 1)
    q = _ABATE_WHITT / 2 + 1j * math.pi * terms
    delta = np.sqrt(strength * strength + 2 * q)
    # δ − γ loses all digits for a strong drift; the product (δ − γ)(δ + γ) = 2q does not.
    plus = delta + strength if strength >= 0 else 2 * q / (delta - strength)
    minus = 2 * q / plus if strength >= 0 else delta - strength
    h = unit[:, None]
    with np.errstate(under="ignore"):
        transform = 2 * delta * np.exp(-plus * h) / (minus + plus * np.exp(-2 * delta * h)) / q
    addends = np.where(terms % 2 == 0, 1.0, -1.0) * transform.real
    addends[:, 0] /= 2
    partial = np.cumsum(addends, axis=1)[:, _PLAIN_TERMS:]
    binomial = np.array([math.comb(_AVERAGED_TERMS, j) for j in range(_AVERAGED_TERMS + 1)]) / 2.0**_AVERAGED_TERMS
    return np.clip(math.exp(_ABATE_WHITT / 2) * (partial @ binomial), 0.0, 1.0)


def _bisect(decreasing: Callable[[float], float], target: float, high: float) -> float:
    low = 0.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if decreasing(middle) > target else (low, middle)
    return high
