"""Bayesian online change-point detection with a Gaussian segment model, filtered: nothing looks ahead.

Adams & MacKay 2007 (arXiv 0710.3742): the run length r_t counts the observations since the last change; under a
constant hazard H it grows with probability 1 - H and falls to zero with H, after every observation. A segment has an
unknown mean and variance with a normal-inverse-gamma prior, so its predictive density is Student-t.

P(r_t = 0) equals H at every step, whatever the data: a gate on it never fires. What tells of a change is P(r_t <= k)
(`BocpdResult.recent`), a fall of the MAP run length, or the surprise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from argus_core.accelerator import load_jax


class NormalInverseGamma(NamedTuple):
    """Prior of a segment: mean ~ N(m, variance / k), variance ~ inverse gamma(a, b), in the units of the series."""

    m: float = 0.0
    k: float = 1.0
    a: float = 1.0
    b: float = 1.0


UNIT_PRIOR = NormalInverseGamma()


@dataclass(frozen=True)
class BocpdResult:
    """Filtered results, one entry per series and step, arrays (S, T). A missing observation repeats the step before.

    Attributes:
        log_evidence: log predictive density of each observation given those before it; 0 where it is missing. Their sum
            is the log evidence of the series; the surprise of a step is the negative.
        map_run_length: observations in the most probable current run, int64. Ties go to the shorter run.
        recent: P(r_t <= ``recent_steps``).
        change: P(r_t = 0); the hazard, always. Kept to prove that.
        level: posterior mean of the current segment's mean, over all run lengths.
        pruned: probability that the limit on run lengths has dropped so far, 1 - product of (1 - dropped at a step), as
            judged when it was dropped. What stays is the exact posterior given that no run was longer than the limit.
            0 where ``max_run`` >= T: exact.
        posterior: P(r_t = 0..R) after the last step, (S, R + 1).
    """

    log_evidence: np.ndarray
    map_run_length: np.ndarray
    recent: np.ndarray
    change: np.ndarray
    level: np.ndarray
    pruned: np.ndarray
    posterior: np.ndarray


def bocpd(
    values: np.ndarray,
    hazard: float | np.ndarray,
    prior: NormalInverseGamma = UNIT_PRIOR,
    *,
    recent_steps: int = 5,
    max_run: int | None = None,
) -> BocpdResult:
    """Run lengths of several series at once, each filtered from its first observation on.

    Args:
        values: (S, T) or (T,), oldest first; NaN is a missing observation: it moves nothing, not even the run length.
            **Standardise on the past** (`standardise_on_past`): the prior is in these units. For changes of volatility
            give `log_squares` of returns: returns themselves answer to mean, variance and single outliers at once.
        hazard: probability of a change per observation, in (0, 1); one or (S,).
        prior: of every segment.
        recent_steps: k of P(r_t <= k).
        max_run: longest run length that is followed; what grows beyond is dropped, the rest renormalised, and the
            dropped probability is told in ``pruned``. None follows all: exact, O(T) per step.

    Returns:
        `BocpdResult` with S = 1 for one series.

    Raises:
        ValueError: if a value is infinite, or an argument outside its range.
    """
    series = np.atleast_2d(np.asarray(values, np.float64))
    if series.ndim != 2:
        raise ValueError(f"values: shape {series.shape}; give one series (T,) or several (S, T).")
    if np.isinf(series).any():
        row, column = np.argwhere(np.isinf(series))[0]
        raise ValueError(f"values: infinite at series {row}, step {column}. Mark missing observations with NaN.")
    rates = np.broadcast_to(np.asarray(hazard, np.float64), series.shape[:1])
    if not ((rates > 0) & (rates < 1)).all():
        raise ValueError(f"hazard: {hazard}; a probability of a change per observation lies inside (0, 1).")
    if min(prior.k, prior.a, prior.b) <= 0 or not all(map(math.isfinite, prior)):
        raise ValueError(f"prior: {prior}; k, a and b must be positive and all numbers finite.")
    if recent_steps < 0:
        raise ValueError(f"recent_steps: {recent_steps}; give 0 or more.")
    limit = series.shape[1] if max_run is None else max_run
    if limit < 1 and series.shape[1]:
        raise ValueError(f"max_run: {max_run}; at least one observation must fit into a run.")
    if not series.size:
        empty = np.zeros(series.shape)
        return BocpdResult(empty, empty.astype(np.int64), empty, empty, empty, empty, np.ones((len(series), 1)))
    limit = min(limit, series.shape[1])
    kernel = _kernel(limit, min(recent_steps, limit))
    out = kernel(series, rates, np.asarray(prior, np.float64))
    evidence, longest, recent, change, level, pruned, posterior = (np.asarray(x) for x in out)
    return BocpdResult(evidence, longest.astype(np.int64), recent, change, level, pruned, posterior)


@lru_cache(maxsize=16)
def _kernel(limit: int, recent_steps: int) -> Callable[..., Any]:
    """Compiled filter of many series whose run lengths go from 0 to ``limit``."""
    jax = load_jax()
    jnp, lax = jax.numpy, jax.lax
    lengths = np.arange(limit + 1)

    def one(series: Any, hazard: Any, prior: Any) -> Any:
        m0, k0, a0, b0 = prior[0], prior[1], prior[2], prior[3]
        strength, shape = k0 + lengths, a0 + 0.5 * lengths
        normaliser = lax.lgamma(shape + 0.5) - lax.lgamma(shape) - 0.5 * jnp.log(2.0 * jnp.pi)
        stay, leave = jnp.log1p(-hazard), jnp.log(hazard)

        def step(state: Any, value: Any) -> Any:
            weight, mean, rate, pruned = state
            seen = jnp.isfinite(value)
            x = jnp.where(seen, value, 0.0)
            # Student-t with 2a degrees of freedom, location m, squared scale b (k + 1) / (a k).
            spread = rate * (strength + 1.0) / strength
            gap = x - mean
            density = normaliser - 0.5 * jnp.log(spread) - (shape + 0.5) * jnp.log1p(gap * gap / (2.0 * spread))
            joint = weight + density
            evidence = jax.nn.logsumexp(joint)
            grown = joint - evidence + stay
            # The evidence sums over every run length; only the mass that would grow past the limit goes.
            kept = jnp.concatenate([leave[None], grown[:-1]])
            total = jax.nn.logsumexp(kept)
            lost = jnp.exp(grown[-1])
            # b is updated with the mean before it moves.
            raised = rate + strength * gap * gap / (2.0 * (strength + 1.0))
            moved = (strength * mean + x) / (strength + 1.0)
            fresh = (
                kept - total,
                jnp.concatenate([m0[None], moved[:-1]]),
                jnp.concatenate([b0[None], raised[:-1]]),
                1.0 - (1.0 - pruned) * (1.0 - lost),
            )
            state = jax.tree.map(lambda new, old: jnp.where(seen, new, old), fresh, state)
            mass = jnp.exp(state[0])
            return state, (
                jnp.where(seen, evidence, 0.0),
                jnp.argmax(state[0]),
                mass[: recent_steps + 1].sum(),
                mass[0],
                (mass * state[1]).sum(),
                state[3],
            )

        start = (
            jnp.where(lengths == 0, 0.0, -jnp.inf),
            jnp.full(limit + 1, m0),
            jnp.full(limit + 1, b0),
            jnp.zeros(()),
        )
        last, rows = lax.scan(step, start, series)
        return (*rows, jnp.exp(last[0]))

    return jax.jit(jax.vmap(one, in_axes=(0, 0, None)))


def segment_log_evidence(values: np.ndarray, prior: NormalInverseGamma = UNIT_PRIOR) -> float:
    """Log marginal likelihood of values (n,) that share one mean and variance, closed form; 0 for none."""
    x = np.asarray(values, np.float64)
    n = len(x)
    if n == 0:
        return 0.0
    k, a = prior.k + n, prior.a + 0.5 * n
    mean = math.fsum(x) / n
    spread = math.fsum((x - mean) ** 2) + prior.k * n * (mean - prior.m) ** 2 / k
    b = prior.b + 0.5 * spread
    return (
        math.lgamma(a)
        - math.lgamma(prior.a)
        + prior.a * math.log(prior.b)
        - a * math.log(b)
        + 0.5 * (math.log(prior.k) - math.log(k))
        - 0.5 * n * math.log(2.0 * math.pi)
    )


def single_change_posterior(values: np.ndarray, prior: NormalInverseGamma = UNIT_PRIOR) -> np.ndarray:
    """P(the first regime has i + 1 observations | exactly one change), (n - 1,), uniform over the places.

    Uses the whole series: for the study of a known history, never for a decision.

    Raises:
        ValueError: for fewer than two values.
    """
    x = np.asarray(values, np.float64)
    if len(x) < 2:
        raise ValueError(f"values: {len(x)} observation(s); a change needs one on either side.")
    scores = np.array(
        [segment_log_evidence(x[:i], prior) + segment_log_evidence(x[i:], prior) for i in range(1, len(x))]
    )
    mass = np.exp(scores - scores.max())
    return mass / mass.sum()


def standardise_on_past(values: np.ndarray, *, smallest: int = 20) -> np.ndarray:
    """(x_t - mean) / standard deviation (n - 1) of the finite values **before** t, along the last axis.

    NaN where x_t is, where fewer than ``smallest`` finite values lie before it, and where those do not differ.

    Raises:
        ValueError: if ``smallest`` < 2.
    """
    if smallest < 2:
        raise ValueError(f"smallest: {smallest}; a standard deviation needs 2 values.")
    x = np.asarray(values, np.float64)
    seen = np.isfinite(x)
    # About the first finite value: prices, say, would lose digits in a sum of squares about zero.
    first = np.take_along_axis(x, seen.argmax(axis=-1)[..., None], axis=-1) if x.shape[-1] else x
    centred = np.where(seen, x - np.where(np.isfinite(first), first, 0.0), 0.0)
    count, total, squares = (_before(a) for a in (seen.astype(np.float64), centred, centred * centred))
    with np.errstate(all="ignore"):
        mean = total / count
        variance = (squares - total * mean) / (count - 1.0)
        # What is left of equal values after rounding is no spread.
        usable = seen & (count >= smallest) & (variance > 1e-12 * np.maximum(squares / count, 1e-300))
        return np.where(usable, (centred - mean) / np.sqrt(variance), np.nan)


def log_squares(returns: np.ndarray, *, offset: float = 0.02, smallest: int = 20) -> np.ndarray:
    """log r_t^2 along the last axis, bounded below: a change of volatility is a change of its mean.

    Fuller's form, log(r^2 + c s^2) - c s^2 / (r^2 + c s^2), keeps a return near zero from being an outlier of minus
    infinity (Fuller 1996; Breidt & Carriquiry 1996). s^2 is the mean square of the finite returns **before** t.

    Returns:
        NaN where r_t is, where fewer than ``smallest`` finite returns lie before it, and where those are all zero.

    Raises:
        ValueError: if ``offset`` <= 0 or ``smallest`` < 1.
    """
    if offset <= 0 or smallest < 1:
        raise ValueError(f"offset: {offset}, smallest: {smallest}; both must be positive.")
    r = np.asarray(returns, np.float64)
    seen = np.isfinite(r)
    squares = np.where(seen, r * r, 0.0)
    count, total = _before(seen.astype(np.float64)), _before(squares)
    with np.errstate(all="ignore"):
        small = offset * total / count
        value = np.log(squares + small) - small / (squares + small)
    return np.where(seen & (count >= smallest) & (total > 0), value, np.nan)


def _before(values: np.ndarray) -> np.ndarray:
    """Sum of the entries before each one, along the last axis."""
    return np.cumsum(values, axis=-1) - values
