"""Many questions at once: adjusted p-values, haircuts, online false discovery rates, how many trials there really were.

Sources: Holm 1979; Hochberg 1988; Benjamini & Hochberg, JRSSB 57, 1995; Benjamini & Yekutieli 2001 (by statsmodels);
Romano & Wolf, Econometrica 73, 2005; Harvey & Liu, Journal of Portfolio Management 42(1), 2015 (haircut); Ramdas et al.
2017 (LORD++); Xu & Ramdas 2024 (e-LOND); Wang & Ramdas, JRSSB 84, 2022 (e-BH); Roy & Vetterli 2007 (effective rank);
James & Stein 1961; Paleologo 2024 (Rademacher).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

_NORMAL = NormalDist()
_METHODS = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "bh": "fdr_bh",
    "by": "fdr_by",
}
Adjustment = Literal["bonferroni", "holm", "hochberg", "bh", "by"]


def adjusted_p_values(p_values: Sequence[float] | np.ndarray, method: Adjustment) -> np.ndarray:
    """p-values that may be compared with one level: familywise (bonferroni, holm, hochberg) or FDR (bh, by).

    ``hochberg`` and ``bh`` need positive dependence; ``holm`` and ``by`` hold under any.

    Raises:
        ValueError: on an unknown method.
    """
    if method not in _METHODS:
        raise ValueError(f"method {method!r}: known are {', '.join(_METHODS)}.")
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p_values, dtype=np.float64)
    return multipletests(values, method=_METHODS[method])[1] if len(values) else values


def romano_wolf(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Step-down p-values of one-sided t-values from joint resamples of the null (dependence-aware, familywise).

    Args:
        observed: t-values, shape (k,); null: recentred t-values of B resamples, shape (B, k).
    """
    order = np.argsort(-observed, kind="stable")
    ordered = null[:, order]
    # For the j-th best: the maximum over itself and all worse ones.
    maxima = np.maximum.accumulate(ordered[:, ::-1], axis=1)[:, ::-1]
    reached = (maxima >= observed[order] - 1e-9).sum(axis=0)
    found = np.empty(len(observed))
    found[order] = np.maximum.accumulate((1 + reached) / (1 + len(null)))
    return found


def sharpe_haircut(
    sharpe: float,
    years: float,
    n_tests: int,
    *,
    p_values: Sequence[float] | None = None,
    method: Adjustment = "bonferroni",
) -> tuple[float, float]:
    """(Sharpe left, share cut off) after ``n_tests`` tests: p of t = SR sqrt(years), adjusted, and back; two-sided.

    Args:
        sharpe: annual.
        p_values: of the other tests, for holm and by; default: ``n_tests`` copies of this one, the Bonferroni case.
    """
    if sharpe <= 0:
        return 0.0, 1.0
    p = 2 * _NORMAL.cdf(-sharpe * math.sqrt(years))
    if method == "bonferroni" or p_values is None:
        adjusted = min(1.0, p * n_tests)
    else:
        adjusted = float(adjusted_p_values([p, *p_values], method)[0])
    # Where p leaves the range of floats the adjustment is beyond measure; it never adds to the Sharpe ratio.
    left = 0.0 if adjusted >= 1 else -_NORMAL.inv_cdf(max(adjusted, 1e-300) / 2) / math.sqrt(years)
    left = min(left, sharpe)
    return left, 1 - left / sharpe


def lord_weight(j: int) -> float:
    """γ_j = .07720838 ln(max(j, 2)) / (j exp(sqrt(ln j))): the sequence of LORD++, sums to 1."""
    return 0.07720838 * math.log(max(j, 2)) / (j * math.exp(math.sqrt(math.log(j))))


def lord_level(rejected: Sequence[bool], alpha: float, start: float | None = None) -> float:
    """LORD++ level of the next test after ``rejected`` decisions; FDR <= alpha for independent p-values.

    α_t = γ_t w0 + (α − w0) γ_{t−τ1} + α Σ_{j>1} γ_{t−τj}, τ the times of rejections; ``start`` w0 is α / 10.
    """
    wealth = alpha / 10 if start is None else start
    t = len(rejected) + 1
    times = [i + 1 for i, hit in enumerate(rejected) if hit]
    level = wealth * lord_weight(t)
    for number, when in enumerate(times):
        level += (alpha - wealth if number == 0 else alpha) * lord_weight(t - when)
    return level


def e_lond_level(rejected: Sequence[bool], alpha: float) -> float:
    """e-LOND level of the next test: reject where e >= 1 / level. FDR <= alpha under **any** dependence.

    α γ_t (D + 1) with γ_t = 1 / (t (t + 1)) and D rejections so far.
    """
    t = len(rejected) + 1
    return alpha / (t * (t + 1)) * (sum(rejected) + 1)


def e_value(p_value: float, kappa: float = 0.5) -> float:
    """An e-value from a p-value: κ p^(κ−1). What it costs: e >= 1/.05 needs p <= .000625."""
    return math.inf if p_value <= 0 else kappa * p_value ** (kappa - 1)


def p_value_for(level: float, kappa: float = 0.5) -> float:
    """Largest p-value whose `e_value` reaches 1 / ``level``."""
    return (kappa * level) ** (1 / (1 - kappa))


def e_benjamini_hochberg(e_values: Sequence[float] | np.ndarray, alpha: float) -> list[int]:
    """Indices rejected by e-BH, largest e first; FDR <= alpha under any dependence."""
    values = np.asarray(e_values, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    n = len(values)
    passed = [k for k in range(1, n + 1) if k * values[order[k - 1]] / n >= 1 / alpha]
    return [int(i) for i in order[: passed[-1]]] if passed else []


def effective_rank(correlations: np.ndarray) -> float:
    """exp of the entropy of the normalised eigenvalues: between 1 (clones) and k (nothing shared).

    The least bad closed form of the effective number of trials: for 100 trials correlated by one half the truth is
    16.2, this gives 19.4, the rule of the average correlation 50.5. Negative eigenvalues (no correlation matrix) are
    dropped.
    """
    values = np.linalg.eigvalsh((correlations + correlations.T) / 2)
    share = values[values > 1e-12]
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def average_correlation_trials(correlations: np.ndarray) -> float:
    """N = r + (1 − r) M with r the average correlation (appendix of the DSR paper); far too many trials."""
    m = len(correlations)
    average = (correlations.sum() - np.trace(correlations)) / (m * (m - 1)) if m > 1 else 0.0
    return float(average + (1 - average) * m)


def effective_trials(returns: np.ndarray) -> float:
    """`effective_rank` of the columns of (n, k) returns that vary; 0 where none does."""
    live = returns[:, returns.std(axis=0) > 0]
    if live.shape[1] < 2:
        return float(live.shape[1])
    return effective_rank(np.corrcoef(live, rowvar=False))


def shrunk_sharpes(sharpes: Sequence[float] | np.ndarray, n: int) -> tuple[np.ndarray, float]:
    """(Sharpe ratios pulled to their mean, factor) by positive-part James-Stein; per-period ratios from n returns.

    The factor is what is left of a distance from the mean: max(0, 1 − (k − 3) (1/n) / Σ (SR − mean)²).
    """
    values = np.asarray(sharpes, dtype=np.float64)
    centred = values - values.mean()
    spread = float((centred**2).sum())
    factor = max(0.0, 1 - (len(values) - 3) / n / spread) if spread > 0 and len(values) > 3 else 1.0
    return values.mean() + factor * centred, factor


def rademacher_complexity(values: np.ndarray, *, draws: int = 2000, seed: int = 0) -> float:
    """E max_i ε'x_i / T over random signs; (T, N) returns scaled to unit variance. Signed, not absolute.

    All 2^T signs where T <= 12, else ``draws`` random ones. Enters `rademacher_bound`.
    """
    t = len(values)
    if t <= 12:
        signs = np.array([[1.0 if number >> bit & 1 else -1.0 for bit in range(t)] for number in range(2**t)])
    else:
        signs = np.random.Generator(np.random.Philox(seed)).choice([-1.0, 1.0], (draws, t))
    return float((signs @ values / t).max(axis=1).mean())


def rademacher_bound(sharpe: float, complexity: float, t: int, n: int, confidence: float = 0.95) -> float:
    """Lower bound of a true per-period Sharpe, at once for all n strategies (RAS): a diagnostic, far too loose to gate.

    SR − 2R − 3 sqrt(2 ln(2/δ)/T) − sqrt(2 ln(2N/δ)/T).
    """
    delta = 1 - confidence
    return (
        sharpe
        - 2 * complexity
        - 3 * math.sqrt(2 * math.log(2 / delta) / t)
        - math.sqrt(2 * math.log(2 * n / delta) / t)
    )
