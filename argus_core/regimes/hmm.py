"""Hidden Markov models: the forward filter, smoothing for the study of history, and fits by EM.

Decisions use `forward_filter`: P(s_t | x_1..x_t) and, for the next bar, P(s_{t+1} | x_1..x_t). Smoothed probabilities
(`smooth`) see the future: on Hamilton's model of output they name another regime in 10 of 131 quarters.

Sources: Hamilton, Econometrica 57(2), 1989; Baum, Petrie, Soules & Weiss 1970 (EM); Zucchini, MacDonald & Langrock,
Hidden Markov Models for Time Series; Peel & McLachlan, Statistics and Computing 10, 2000 (EM with Student-t densities).

Matrices of transitions are [from, to], rows sum to one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np

from argus_core.accelerator import load_jax

#: Persistence of a state and ratio of the states' standard deviations at the starts of a fit: 5 x 5 of them.
_PERSISTENCE = (0.8, 0.9, 0.95, 0.98, 0.99)
_RATIOS = (1.5, 2.0, 3.0, 5.0, 8.0)
_SHORT_ITERATIONS = 30
_MAX_ITERATIONS = 500
_TINY = 1e-300


@dataclass(frozen=True)
class FilterResult:
    """Filtered probabilities of S series with T steps and K states.

    Attributes:
        filtered: P(s_t = k | x_1..x_t), (S, T, K).
        predicted: P(s_{t+1} = k | x_1..x_t), (S, T, K).
        log_likelihood: log p(x_t | x_1..x_{t-1}), (S, T); 0 where the observation is missing.
    """

    filtered: np.ndarray
    predicted: np.ndarray
    log_likelihood: np.ndarray


@dataclass(frozen=True)
class HmmParameters:
    """S models of K states with Gaussian (``student_df`` None) or Student-t emissions.

    Attributes:
        mean: location per state, (S, K), in the units of the series.
        variance: squared scale per state, (S, K), ascending. Of a Student-t it is smaller than the variance by
            (df - 2) / df.
        transition: (S, K, K), [from, to].
        initial: distribution of the first state, (S, K).
        student_df: degrees of freedom, shared and given.
    """

    mean: np.ndarray
    variance: np.ndarray
    transition: np.ndarray
    initial: np.ndarray
    student_df: float | None = None


@dataclass(frozen=True)
class HmmFit:
    """Parameters, and per series (S,): the log likelihood, the number of the start that won, its further iterations,
    and whether they ended by convergence."""

    parameters: HmmParameters
    log_likelihood: np.ndarray
    start: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray


def stationary(transition: np.ndarray) -> np.ndarray:
    """Stationary distribution (..., K) of transitions (..., K, K): pi P = pi, sum 1.

    Raises:
        ValueError: if rows are no distributions, or the chain has several stationary distributions.
    """
    matrix = _checked_transition(transition)
    states = matrix.shape[-1]
    # pi (I - P + 1 1') = 1' has exactly one solution where pi P = pi, sum pi = 1 has.
    system = np.eye(states) - matrix + 1.0
    try:
        found = np.linalg.solve(np.swapaxes(system, -1, -2), np.ones((*matrix.shape[:-2], states, 1)))[..., 0]
    except np.linalg.LinAlgError:
        raise ValueError("transition: several stationary distributions; some states never reach others.") from None
    found = np.maximum(found, 0.0)
    return found / found.sum(axis=-1, keepdims=True)


def emission_log_density(values: np.ndarray, parameters: HmmParameters) -> np.ndarray:
    """Log density (S, T, K) of values (S, T) in every state; NaN where the value is."""
    x = np.atleast_2d(np.asarray(values, np.float64))
    return np.asarray(_densities(parameters.student_df)(x, parameters.mean, parameters.variance))


def forward_filter(log_density: np.ndarray, transition: np.ndarray, initial: np.ndarray) -> FilterResult:
    """Hamilton's filter: probabilities of the states given the observations so far.

    Args:
        log_density: log p(x_t | s_t = k), (S, T, K) or (T, K); a row with NaN is a missing observation: the chain moves
            on, nothing is learned.
        transition: (S, K, K) or (K, K), [from, to].
        initial: P(s_1 = k) before x_1 is seen, (S, K) or (K,). `stationary`, or what was fitted: the choice moves the
            log likelihood by some tenths, so keep it when models are compared.

    Raises:
        ValueError: if probabilities do not sum to one, or shapes do not fit.
    """
    density, matrix, first = _batched(log_density, transition, initial)
    filtered, predicted, likelihood = _filter_kernel()(density, matrix, first)
    return FilterResult(np.asarray(filtered), np.asarray(predicted), np.asarray(likelihood))


def smooth(log_density: np.ndarray, transition: np.ndarray, initial: np.ndarray) -> np.ndarray:
    """P(s_t = k | x_1..x_T), (S, T, K): with the future. **Never for a decision**; arguments as in `forward_filter`."""
    density, matrix, first = _batched(log_density, transition, initial)
    return np.asarray(_smooth_kernel()(density, matrix, first))


def filter_states(values: np.ndarray, parameters: HmmParameters, *, initial: np.ndarray | None = None) -> FilterResult:
    """`forward_filter` of values (S, T) or (T,) under fitted parameters; ``initial`` replaces the fitted start."""
    start = parameters.initial if initial is None else initial
    return forward_filter(emission_log_density(values, parameters), parameters.transition, start)


def fit_hmm(
    values: np.ndarray, *, states: int = 2, student_df: float | None = None, variance_floor: float = 1e-3
) -> HmmFit:
    """Maximum likelihood by EM from 25 fixed starts, states ordered by variance, for several series at once.

    Every start takes 30 steps; the best goes on to convergence (likelihood gain below 1e-9 per observation). Starts
    share the sample mean and differ in how far apart the states' scales are and how long states last. The distribution
    of the first state is free, as EM's monotony asks.

    Args:
        values: (S, T) or (T,); NaN is missing (trailing ones are padding and change nothing).
        states: K >= 2. More than three need far more data than a year of sessions.
        student_df: degrees of freedom (> 2) of Student-t emissions, None for Gaussian ones. A Gaussian state is lost to
            a handful of outliers; returns have them.
        variance_floor: smallest variance of a state as a share of the sample's: without it a state shrinks onto one
            observation and the likelihood has no maximum.

    Returns:
        `HmmFit`; a series with fewer than 10 x states values, or without variance, has NaN parameters.

    Raises:
        ValueError: if an argument is outside its range or a value infinite.
    """
    x = np.atleast_2d(np.asarray(values, np.float64))
    if x.ndim != 2 or np.isinf(x).any():
        raise ValueError(f"values: shape {x.shape}; give finite numbers or NaN, one series (T,) or several (S, T).")
    if states < 2:
        raise ValueError(f"states: {states}; a regime model has 2 or more.")
    if student_df is not None and student_df <= 2:
        raise ValueError(f"student_df: {student_df}; without more than 2 degrees of freedom there is no variance.")
    if not 0 < variance_floor < 1:
        raise ValueError(f"variance_floor: {variance_floor}; give a share of the sample variance inside (0, 1).")
    seen = np.isfinite(x)
    count = seen.sum(axis=1)
    safe = np.maximum(count, 1)
    centre = np.where(seen, x, 0.0).sum(axis=1) / safe
    power = np.where(seen, (x - centre[:, None]) ** 2, 0.0).sum(axis=1) / safe
    usable = (count >= 10 * states) & (power > 0)
    unit = np.sqrt(np.where(usable, power, 1.0))
    # In units of the sample: the starts, the floor and the stopping rule mean the same for every series.
    z = (x - np.where(usable, centre, 0.0)[:, None]) / unit[:, None]
    out = _fit_kernel(states, student_df)(np.where(usable[:, None], z, np.nan), variance_floor)
    mean, variance, transition, initial, likelihood, start, iterations, converged = (np.asarray(o) for o in out)
    order = np.argsort(variance, axis=1, kind="stable")
    hidden = ~usable[:, None]
    mean, variance, initial = (
        np.where(hidden, np.nan, np.take_along_axis(a, order, 1)) for a in (mean, variance, initial)
    )
    transition = np.take_along_axis(np.take_along_axis(transition, order[:, :, None], 1), order[:, None, :], 2)
    return HmmFit(
        HmmParameters(
            mean * unit[:, None] + centre[:, None],
            variance * unit[:, None] ** 2,
            np.where(hidden[:, :, None], np.nan, transition),
            initial,
            student_df,
        ),
        np.where(usable, likelihood - count * np.log(unit), np.nan),
        start,
        iterations,
        converged & usable,
    )


def match_states(before: np.ndarray, after: np.ndarray) -> tuple[int, ...]:
    """Which state of ``after`` is which of ``before``: the permutation p that makes after[:, p] most like before.

    Args:
        before, after: state probabilities (T, K) of two fits over the same observations. Rows with NaN are skipped.

    Returns:
        (0, 1, ..) where the labels kept their meaning, which they must before two fits share a column.
    """
    known = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    shared = before[known].T @ after[known]
    states = shared.shape[0]
    # The identity comes first and wins ties.
    return max(permutations(range(states)), key=lambda p: sum(shared[k, p[k]] for k in range(states)))


def _checked_transition(transition: np.ndarray) -> np.ndarray:
    matrix = np.asarray(transition, np.float64)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"transition: shape {matrix.shape}; expected square matrices [from, to].")
    if not ((matrix >= 0).all() and np.allclose(matrix.sum(axis=-1), 1.0, atol=1e-8)):
        raise ValueError("transition: every row [from] must be a distribution over [to]. Is the matrix transposed?")
    return matrix


def _batched(log_density: Any, transition: Any, initial: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    density = np.asarray(log_density, np.float64)
    density = density[None] if density.ndim == 2 else density
    matrix, first = _checked_transition(transition), np.asarray(initial, np.float64)
    if not ((first >= 0).all() and np.allclose(first.sum(axis=-1), 1.0, atol=1e-8)):
        raise ValueError("initial: must be a distribution over the states.")
    series, _, states = density.shape
    return (
        density,
        np.ascontiguousarray(np.broadcast_to(matrix, (series, states, states))),
        np.ascontiguousarray(np.broadcast_to(first, (series, states))),
    )


def _log_density(x: Any, mean: Any, variance: Any, student_df: float | None) -> Any:
    """Log density of scalars (...,) in states (K,), shape (..., K)."""
    jax = load_jax()
    jnp = jax.numpy
    square = (x[..., None] - mean) ** 2 / variance
    if student_df is None:
        return -0.5 * (jnp.log(2.0 * jnp.pi * variance) + square)
    half = 0.5 * (student_df + 1.0)
    scale = jax.lax.lgamma(half) - jax.lax.lgamma(0.5 * student_df) - 0.5 * jnp.log(jnp.pi * student_df * variance)
    return scale - half * jnp.log1p(square / student_df)


@lru_cache(maxsize=8)
def _densities(student_df: float | None) -> Callable[..., Any]:
    jax = load_jax()
    return jax.jit(jax.vmap(lambda x, mean, variance: _log_density(x, mean, variance, student_df)))


def _trust(square: Any, student_df: float) -> Any:
    """Weight of an observation at a squared distance in scales: what makes EM of a Student-t robust."""
    return (student_df + 1.0) / (student_df + square)


def _forward(density: Any, transition: Any, initial: Any) -> tuple[Any, Any, Any, Any]:
    """Filtered and predicted probabilities, log likelihoods, and densities as ratios to the largest of a step."""
    jnp, lax = load_jax().numpy, load_jax().lax
    seen = jnp.isfinite(density).all(axis=1)
    # -inf marks an impossible observation, NaN a missing one.
    seen = seen | (~jnp.isnan(density).any(axis=1) & (density > -jnp.inf).any(axis=1))
    clean = jnp.where(seen[:, None], density, 0.0)
    top = clean.max(axis=1)
    ratio = jnp.exp(clean - top[:, None])

    def step(expected: Any, here: Any) -> Any:
        likely, level = here
        # A state that was impossible so far may be the only one that explains an outlier.
        joint = jnp.maximum(expected, _TINY) * likely
        total = joint.sum()
        now = joint / total
        following = (now[:, None] * transition).sum(axis=0)
        following = following / following.sum()
        return following, (now, following, jnp.log(total) + level)

    _, (filtered, predicted, likelihood) = lax.scan(step, initial, (ratio, top))
    return filtered, predicted, jnp.where(seen, likelihood, 0.0), ratio


def _backward(ratio: Any, transition: Any) -> Any:
    """p(x_{t+1}.. | s_t) up to a factor per step, (T, K)."""
    jnp, lax = load_jax().numpy, load_jax().lax

    def step(after: Any, likely: Any) -> Any:
        weight = (transition * (likely * after)[None, :]).sum(axis=1)
        return weight / weight.sum(), after

    # Scanned backwards, row t is given what lies after t.
    return lax.scan(step, jnp.ones(ratio.shape[1]) / ratio.shape[1], ratio, reverse=True)[1]


def _posterior(filtered: Any, later: Any) -> Any:
    joint = filtered * later
    return joint / joint.sum(axis=1, keepdims=True)


@lru_cache(maxsize=1)
def _filter_kernel() -> Callable[..., Any]:
    jax = load_jax()
    return jax.jit(jax.vmap(lambda density, transition, initial: _forward(density, transition, initial)[:3]))


@lru_cache(maxsize=1)
def _smooth_kernel() -> Callable[..., Any]:
    jax = load_jax()

    def one(density: Any, transition: Any, initial: Any) -> Any:
        filtered, _, _, ratio = _forward(density, transition, initial)
        return _posterior(filtered, _backward(ratio, transition))

    return jax.jit(jax.vmap(one))


def _starts(states: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances (N, K), ascending, geometric mean one, and persistence (N,) of the starts."""
    ladder = np.linspace(-0.5, 0.5, states)
    pairs = [(p, ratio) for p in _PERSISTENCE for ratio in _RATIOS]
    return np.array([ratio ** (2.0 * ladder) for _, ratio in pairs]), np.array([p for p, _ in pairs])


@lru_cache(maxsize=8)
def _fit_kernel(states: int, student_df: float | None) -> Callable[..., Any]:
    """Compiled EM of many standardised series."""
    jax = load_jax()
    jnp, lax = jax.numpy, jax.lax
    variances, persistence = _starts(states)

    def expect(z: Any, theta: Any) -> Any:
        mean, variance, transition, initial = theta
        return _forward(_log_density(z, mean, variance, student_df), transition, initial)

    def improve(z: Any, floor: Any, theta: Any) -> Any:
        """One EM step, and the log likelihood before it."""
        mean, variance, transition, _ = theta
        filtered, predicted, likelihood, ratio = expect(z, theta)
        later = _backward(ratio, transition)
        state = _posterior(filtered, later)
        # P(s_t, s_{t+1} | all). Past the last observation it adds what the transitions say already: nothing.
        arriving = ratio[1:] * later[1:]
        arriving = arriving / (predicted[:-1] * arriving).sum(axis=1, keepdims=True)
        seen = jnp.isfinite(z)
        inside = jnp.cumsum(seen[::-1])[::-1][1:] > 0
        pairs = transition * (jnp.where(inside[:, None], filtered[:-1], 0.0).T @ arriving)
        weight = jnp.where(seen[:, None], state, 0.0)
        x = jnp.where(seen, z, 0.0)[:, None]
        pull = weight if student_df is None else weight * _trust((x - mean) ** 2 / variance, student_df)
        moved = (pull * x).sum(axis=0) / jnp.maximum(pull.sum(axis=0), _TINY)
        spread = (pull * (x - moved) ** 2).sum(axis=0) / jnp.maximum(weight.sum(axis=0), _TINY)
        leaving = pairs.sum(axis=1, keepdims=True)
        rows = jnp.where(leaving > _TINY, pairs / jnp.maximum(leaving, _TINY), transition)
        return (moved, jnp.maximum(spread, floor), rows / rows.sum(axis=1, keepdims=True), state[0]), likelihood.sum()

    def one(z: Any, floor: Any) -> Any:
        def begin(variance: Any, stay: Any) -> Any:
            off = (1.0 - stay) / (states - 1)
            transition = jnp.where(jnp.eye(states, dtype=bool), stay, off)
            theta = (jnp.zeros(states), variance, transition, jnp.full(states, 1.0 / states))
            theta, _ = lax.scan(lambda t, _: (improve(z, floor, t)[0], None), theta, None, length=_SHORT_ITERATIONS)
            return theta, expect(z, theta)[2].sum()

        thetas, scores = jax.vmap(begin)(jnp.asarray(variances), jnp.asarray(persistence))
        best = jnp.argmax(jnp.where(jnp.isfinite(scores), scores, -jnp.inf))
        gain = 1e-9 * jnp.isfinite(z).sum()

        def more(carry: Any) -> Any:
            theta, before, done, _ = carry
            fresh, score = improve(z, floor, theta)
            return fresh, score, done + 1, score - before < gain

        start = (jax.tree.map(lambda a: a[best], thetas), -jnp.inf, 0, False)
        theta, _, iterations, converged = lax.while_loop(
            lambda carry: ~carry[3] & (carry[2] < _MAX_ITERATIONS), more, start
        )
        return (*theta, expect(z, theta)[2].sum(), best, iterations, converged)

    return jax.jit(jax.vmap(one, in_axes=(0, None)))
