"""Kelly sizing and what estimation error leaves of it.

Sources: Kelly 1956; Thorp, Handbook of Asset and Liability Management, 2006 (continuous and fractional Kelly); Baker &
McHale, Decision Analysis 10, 2013 (shrinkage under estimation error). Inputs share one horizon: annual mean, annual
standard deviation, years of data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def kelly_fraction(mu: float, sigma: float, *, rate: float = 0.0) -> float:
    """Growth-optimal share of wealth (mu − rate)/sigma² for annual moments of a continuously traded asset."""
    return (mu - rate) / (sigma * sigma)


def growth_rate(mu: float, sigma: float, *, fraction: float = 1.0, rate: float = 0.0) -> float:
    """Growth at ``fraction`` times Kelly: rate + (2c − c²) k²/2 with k = (mu − rate)/sigma."""
    sharpe = (mu - rate) / sigma
    return rate + (2 * fraction - fraction * fraction) * sharpe * sharpe / 2


def two_outcome_kelly(probability: float, win: float, loss: float) -> float:
    """Kelly share of a bet that wins ``win`` per unit with ``probability`` and else loses ``loss``: p/loss − q/win."""
    return probability / loss - (1 - probability) / win


def discrete_kelly(outcomes: Sequence[float], probabilities: Sequence[float]) -> float:
    """Kelly share that maximises the expected log growth of a bet with any outcomes, by bisection of its derivative.

    Raises:
        ValueError: if no outcome loses (the share has no bound) or lengths differ.
    """
    if len(outcomes) != len(probabilities) or min(outcomes) >= 0:
        raise ValueError("discrete Kelly needs one probability per outcome and at least one losing outcome.")
    low, high = 0.0, -1.0 / min(outcomes)

    def slope(share: float) -> float:
        return math.fsum(p * x / (1 + share * x) for x, p in zip(outcomes, probabilities, strict=True))

    if slope(0.0) <= 0:
        return 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return low


def shortfall_probability(level: float, fraction: float) -> float:
    """Probability that wealth ever falls to ``level`` of its start at ``fraction`` times Kelly: x^(2/c − 1)."""
    return level ** (2 / fraction - 1)


def estimation_multiplier(sharpe: float, years: float) -> float:
    """Best multiple of plug-in Kelly with a mean from ``years`` of data: c* = k²/(k² + 1/T); 0 if k <= 0."""
    if sharpe <= 0 or years <= 0:
        return 0.0
    return sharpe * sharpe / (sharpe * sharpe + 1 / years)


def plug_in_growth(sharpe: float, years: float, *, multiplier: float = 1.0) -> float:
    """Expected growth of ``multiplier`` times plug-in Kelly: m k² − m² (k² + 1/T)/2."""
    return multiplier * sharpe**2 - multiplier**2 * (sharpe**2 + 1 / years) / 2


def drawdown_constrained_kelly(
    outcomes: Sequence[float], probabilities: Sequence[float], *, level: float, probability: float
) -> tuple[float, float]:
    """(λ, share): largest Kelly share with P(wealth ever below ``level`` of its start) below ``probability``.

    E[(1 + b r)^−λ] <= 1 with λ = ln(probability)/ln(level) implies it (Busseti, Ryu & Boyd 2016). About the start, not
    the peak: a drawdown from the peak of any size happens sooner or later.

    Raises:
        ValueError: if level or probability do not lie between 0 and 1, or no outcome loses.
    """
    if not (0 < level < 1 and 0 < probability < 1):
        raise ValueError(f"level {level} and probability {probability} must lie between 0 and 1.")
    growth = discrete_kelly(outcomes, probabilities)
    power = math.log(probability) / math.log(level)

    def excess(share: float) -> float:
        terms = zip(outcomes, probabilities, strict=True)
        return math.fsum(p * (1 + share * x) ** -power for x, p in terms) - 1

    if growth <= 0 or excess(growth) <= 0:
        return power, growth
    low, high = 0.0, growth
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) <= 0 else (low, middle)
    return power, low
