"""Inference on Sharpe ratios: probabilistic and deflated Sharpe, track record length, expected maximum of trials.

Every Sharpe ratio here is **per period** (daily for daily returns), never annualised, and every kurtosis is **raw**
(3 for a Gaussian). Mixing units is the classic way to a deflated Sharpe that is always 0 or 1.

Sources: Bailey & López de Prado, Journal of Risk 15(2), 2012 (PSR, minTRL); Journal of Portfolio Management 40(5), 2014
(DSR); Lo, Financial Analysts Journal 58(4), 2002 (standard error, annualisation); López de Prado, Lipton & Zoonekynd,
SSRN 5520741 (variance under the null with first-order autocorrelation). Which form gates and why: docs/evaluation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_NORMAL = NormalDist()
_EULER_GAMMA = 0.5772156649015329


@dataclass(frozen=True)
class SharpeMoments:
    """What Sharpe inference needs of a return series. ``sharpe`` per period, ``kurtosis`` raw; see `sharpe_moments`."""

    sharpe: float
    skew: float
    kurtosis: float
    autocorrelation: float
    n: int

    @property
    def shape(self) -> dict[str, float]:
        """skew, kurtosis and autocorrelation, as keyword arguments of the functions below."""
        return {"skew": self.skew, "kurtosis": self.kurtosis, "autocorrelation": self.autocorrelation}


def sharpe_moments(returns: ArrayLike) -> SharpeMoments | None:
    """Moments of a return series, all per period.

    Conventions: the Sharpe divides by the sample standard deviation (n − 1). Skewness Σz³/n, raw kurtosis Σz⁴/n and the
    lag-1 autocorrelation Σ z_t z_{t+1} / Σ z² are the biased ones (z standardised with n), as the PSR paper takes them.

    Args:
        returns: shape (n,), net returns per period in excess of the benchmark, missing periods as 0.

    Returns:
        None where the Sharpe is undefined: fewer than two returns, or returns that never vary.

    Raises:
        ValueError: if returns are not a vector, or not finite.
    """
    import numpy as np

    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"returns must be a vector of finite numbers, found shape {values.shape}; fill gaps with 0.")
    n = len(values)
    if n < 2:
        return None
    centred = values - values.mean()
    deviation = float(np.sqrt(np.mean(centred**2)))
    # Rounding leaves a constant series with a deviation of about 1e-17 of its size.
    if deviation <= 1e-12 * float(np.abs(values).max()):
        return None
    z = centred / deviation
    return SharpeMoments(
        sharpe=float(values.mean() / deviation * math.sqrt((n - 1) / n)),
        skew=float(np.mean(z**3)),
        kurtosis=float(np.mean(z**4)),
        autocorrelation=float(z[:-1] @ z[1:] / n),
        n=n,
    )


def annualisation_factor(periods: float, autocorrelation: float = 0.0) -> float:
    """What to multiply a per-period Sharpe with to get that of ``periods`` periods, under AR(1) returns (Lo 2002).

    sqrt(q) [1 + 2r/(1 − r) (1 − (1 − r^q)/(q (1 − r)))]^(−1/2); sqrt(q) without autocorrelation, where trends make the
    usual sqrt(q) too large.

    Raises:
        ValueError: if ``periods`` is not positive or the autocorrelation not inside (−1, 1).
    """
    _check_autocorrelation(autocorrelation)
    if not periods > 0:
        raise ValueError(f"periods must be positive, found {periods}; give trading days per year, such as 252.")
    r, q = autocorrelation, periods
    if r == 0.0:
        return math.sqrt(q)
    # A power of a negative number exists only for whole exponents; r^q has died out long before that matters.
    power = math.copysign(abs(r) ** q, 1.0 if r > 0 or round(q) % 2 == 0 else -1.0)
    return math.sqrt(q / (1 + 2 * r / (1 - r) * (1 - (1 - power) / (q * (1 - r)))))


def sharpe_variance(sharpe: float, *, skew: float = 0.0, kurtosis: float = 3.0, autocorrelation: float = 0.0) -> float:
    """Asymptotic variance of sqrt(n) times the Sharpe estimate: a − b γ₃ SR + c (γ₄ − 1)/4 SR².

    a = (1 + r)/(1 − r), b = (1 + r + r²)/(1 − r²), c = (1 + r²)/(1 − r²) with r the first-order autocorrelation; all 1
    without it (Mertens 2002). Source: SSRN 5520741.

    Raises:
        ValueError: if the autocorrelation is not inside (−1, 1).
    """
    a, b, c = autocorrelation_factors(autocorrelation)
    return a - b * skew * sharpe + c * (kurtosis - 1.0) / 4.0 * sharpe * sharpe


def autocorrelation_factors(autocorrelation: float) -> tuple[float, float, float]:
    """(a, b, c) of `sharpe_variance`; a is also how much longer a history has to be for the same certainty."""
    _check_autocorrelation(autocorrelation)
    r = autocorrelation
    return (1 + r) / (1 - r), (1 + r + r * r) / (1 - r * r), (1 + r * r) / (1 - r * r)


def _check_autocorrelation(autocorrelation: float) -> None:
    if not -1 < autocorrelation < 1:
        raise ValueError(f"autocorrelation must lie inside (-1, 1), found {autocorrelation}; use `sharpe_moments`.")


def lo_standard_error(sharpe: float, n: int) -> float:
    """Standard error of a Sharpe ratio of iid Gaussian returns: sqrt((1 + SR²/2)/n) (Lo 2002)."""
    return math.sqrt(sharpe_variance(sharpe) / n)


def probabilistic_sharpe(
    sharpe: float,
    n: int,
    *,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
) -> float | None:
    """Probability that the true Sharpe exceeds ``benchmark`` (PSR, classic form: variance at the estimate).

    Args:
        sharpe, benchmark: per-period Sharpe ratios.
        n: number of return observations.
        skew, kurtosis: sample moments of the returns; kurtosis raw.
        autocorrelation: first-order, of the returns; the paper has none.

    Returns:
        A probability, or None where it is undefined (fewer than two observations, non-positive variance).
    """
    variance = sharpe_variance(sharpe, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation)
    if n < 2 or not math.isfinite(variance) or variance <= 0:
        return None
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((n - 1) / variance))


def min_track_record(
    sharpe: float, *, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0, alpha: float = 0.05
) -> float:
    """Observations needed for PSR >= 1 − alpha (minTRL); infinite where the Sharpe does not exceed the benchmark."""
    if sharpe <= benchmark:
        return math.inf
    z = _NORMAL.inv_cdf(1 - alpha)
    return 1 + sharpe_variance(sharpe, skew=skew, kurtosis=kurtosis) * (z / (sharpe - benchmark)) ** 2


def expected_maximum(n_trials: int) -> float:
    """Expected maximum of ``n_trials`` independent standard normals, closed form of the DSR paper; 0 for one trial."""
    if n_trials < 2:
        return 0.0
    first = _NORMAL.inv_cdf(1 - 1 / n_trials)
    second = _NORMAL.inv_cdf(1 - 1 / (n_trials * math.e))
    return (1 - _EULER_GAMMA) * first + _EULER_GAMMA * second


@lru_cache(maxsize=64)
def expected_maximum_exact(n_trials: int) -> tuple[float, float]:
    """Mean and standard deviation of the maximum of ``n_trials`` standard normals, by quadrature of its density."""
    import numpy as np
    from scipy.special import log_ndtr

    x = np.linspace(-12.0, 12.0, 48_001)
    log_density = np.log(n_trials) - 0.5 * x * x - 0.5 * np.log(2 * np.pi) + (n_trials - 1) * log_ndtr(x)
    density = np.exp(log_density)
    mean = float(np.trapezoid(x * density, x))
    return mean, float(np.sqrt(np.trapezoid((x - mean) ** 2 * density, x)))


def trial_variance(sharpes: Sequence[float | None]) -> float:
    """Sample variance (n − 1) of the trials' per-period Sharpe ratios; undefined ones (zero-trade, failed) count as 0.

    Dropping them would shrink the number of trials that were really made.
    """
    values = [0.0 if s is None or not math.isfinite(s) else float(s) for s in sharpes]
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)


def deflated_threshold(n_trials: int, variance: float) -> float:
    """The per-period Sharpe that the best of ``n_trials`` reaches by luck: sqrt(V) E[max]. 0 for a single trial."""
    return math.sqrt(max(variance, 0.0)) * expected_maximum(n_trials)


def deflated_sharpe(
    sharpe: float, n: int, *, n_trials: int, variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float | None:
    """PSR against the Sharpe expected from the best of ``n_trials`` skill-less trials (DSR).

    With one trial it equals PSR(0): nothing was selected, nothing is deflated.
    """
    threshold = deflated_threshold(n_trials, variance)
    return probabilistic_sharpe(sharpe, n, benchmark=threshold, skew=skew, kurtosis=kurtosis)


def luck_variance(sharpes: Sequence[float | None], shortest: int, autocorrelation: float = 0.0) -> float:
    """Variance of the trials' per-period Sharpe ratios that luck alone can explain.

    The variance across trials, but at most that of a skill-less Sharpe estimate, a/n with n = ``shortest`` (the fewest
    observations of a trial) and a = (1 + r)/(1 − r), 1 without first-order autocorrelation r. What lies above is no
    luck: trials that bleed costs, or an edge. Uncapped, a few lanes that trade too much raise the bar for every other
    one. (Independent skill-less trials have exactly a/n, dependent ones less, so the cap never makes the bar lower
    than luck.)
    """
    return min(trial_variance(sharpes), autocorrelation_factors(autocorrelation)[0] / max(shortest, 1))


def deflated_sharpe_of_maximum(
    sharpe: float,
    n: int,
    *,
    n_trials: int,
    variance: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
) -> float | None:
    """Probability that the best of ``n_trials`` skill-less trials has a smaller Sharpe (DSR, null-variance form).

    Φ((SR − SR₀) / (se(SR₀) s)), SR₀ = sqrt(V) E[max], s the standard deviation of the best of ``n_trials`` estimates in
    units of one (`_maximum_spread`), se under the null at SR₀, with first-order autocorrelation. The classic form
    divides by the error of a single Sharpe and so passes 0.05 % of independent null sweeps at 0.95; this one passes
    5 %. With one trial nothing was selected and it is PSR(0).
    Source: López de Prado, Lipton & Zoonekynd, SSRN 5520741.
    """
    shape = {"skew": skew, "kurtosis": kurtosis, "autocorrelation": autocorrelation}
    if n_trials < 2 or n < 2:
        return probabilistic_sharpe(sharpe, n, **shape)
    threshold = deflated_threshold(n_trials, variance)
    spread = spread_of_maximum(n, n_trials=n_trials, variance=variance, **shape)
    return None if spread is None else _NORMAL.cdf((sharpe - threshold) / spread)


def spread_of_maximum(
    n: int,
    *,
    n_trials: int,
    variance: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
) -> float | None:
    """Standard deviation of the Sharpe of the best of ``n_trials`` skill-less trials, what the DSR gate divides by.

    None where the variance at the threshold is not positive (moments that no series of returns has).
    """
    threshold = deflated_threshold(n_trials, variance)
    variance_at = sharpe_variance(threshold, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation)
    if n < 1 or not math.isfinite(variance_at) or variance_at <= 0:
        return None
    own_share = variance * n / autocorrelation_factors(autocorrelation)[0]
    return math.sqrt(variance_at / n) * (_maximum_spread(n_trials, own_share) if n_trials > 1 else 1.0)


def _maximum_spread(n_trials: int, own_share: float) -> float:
    """Standard deviation of the best estimate of ``n_trials`` equicorrelated trials, in units of a single one's.

    ``own_share`` = n V / a is the part of an estimate's variance that the trials do not share. Only that part is
    narrowed by taking the maximum; what they share moves the best as much as any other. With independent trials it is
    the standard deviation s of the maximum of normals, with clones it is 1: sqrt((1 - v) + v s²), v = min(n V / a, 1).
    """
    own = min(max(own_share, 0.0), 1.0)
    return math.sqrt((1.0 - own) + own * expected_maximum_exact(n_trials)[1] ** 2)


def track_record_of_maximum(
    sharpe: float,
    n: int,
    *,
    n_trials: int,
    variance: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    level: float = 0.95,
) -> float:
    """Observations at which the same Sharpe would reach a DSR (null-variance form) of ``level``; infinite if SR <= 0.

    Luck shrinks with history: the variance of skill-less estimates falls as 1/n, and with it the Sharpe of the luckiest
    trial. So n* = n ((SR₀ + z spread) / SR)², both at today's n.
    """
    if sharpe <= 0 or n < 2:
        return math.inf
    shape = {"skew": skew, "kurtosis": kurtosis, "autocorrelation": autocorrelation}
    spread = spread_of_maximum(n, n_trials=n_trials, variance=variance, **shape)
    if spread is None:
        return math.inf
    return n * ((deflated_threshold(n_trials, variance) + _NORMAL.inv_cdf(level) * spread) / sharpe) ** 2


@dataclass(frozen=True)
class SharpeInference:
    """Newer Sharpe inference: variance under the null, power and false-discovery rates (SSRN 5520741).

    Args:
        sharpe: per-period estimate; n: observations; skew, kurtosis (raw): moments; autocorrelation: first-order.
    """

    sharpe: float
    n: int
    skew: float = 0.0
    kurtosis: float = 3.0
    autocorrelation: float = 0.0

    def standard_error(self, at: float | None = None) -> float:
        """Standard error of the estimate if the true Sharpe were ``at`` (default: the estimate itself)."""
        level = self.sharpe if at is None else at
        unit = sharpe_variance(level, skew=self.skew, kurtosis=self.kurtosis, autocorrelation=self.autocorrelation)
        return math.sqrt(unit / self.n)

    def psr(self, benchmark: float = 0.0) -> float:
        """Probability under H0: SR = ``benchmark`` of a smaller estimate (one minus the p-value)."""
        return _NORMAL.cdf((self.sharpe - benchmark) / self.standard_error(benchmark))

    def min_track_record(self, benchmark: float = 0.0, alpha: float = 0.05) -> float:
        """Observations at which the estimate would reject H0 at ``alpha``."""
        if self.sharpe <= benchmark:
            return math.inf
        unit = self.standard_error(benchmark) ** 2 * self.n
        return unit * (_NORMAL.inv_cdf(1 - alpha) / (self.sharpe - benchmark)) ** 2

    def miss_rate(self, alternative: float, benchmark: float = 0.0, alpha: float = 0.05) -> float:
        """Probability β of not rejecting H0 at ``alpha`` when the true Sharpe is ``alternative``."""
        critical = benchmark + _NORMAL.inv_cdf(1 - alpha) * self.standard_error(benchmark)
        return _NORMAL.cdf((critical - alternative) / self.standard_error(alternative))

    def planned_false_discovery_rate(self, alternative: float, prior: float, alpha: float = 0.05) -> float:
        """P(H0 | rejected) at ``alpha`` where a share ``prior`` of all strategies has the alternative's Sharpe."""
        power = 1 - self.miss_rate(alternative, alpha=alpha)
        return alpha * (1 - prior) / (alpha * (1 - prior) + power * prior)

    def observed_false_discovery_rate(self, alternative: float, prior: float) -> float:
        """P(H0 | an estimate at least this large): the probability that this is a false strategy."""
        null_tail = (1 - self.psr()) * (1 - prior)
        other_tail = (1 - _NORMAL.cdf((self.sharpe - alternative) / self.standard_error(alternative))) * prior
        return null_tail / (null_tail + other_tail)
