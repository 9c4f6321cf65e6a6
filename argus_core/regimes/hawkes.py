"""Self-exciting events: the Hawkes process with an exponential kernel.

λ(t) = μ + Σ α exp(−β (t − t_i)) over events **before** t. Branching ratio n = α/β < 1, mean rate μ/(1 − n).

Sources: Hawkes, Biometrika 58, 1971; Ogata, IEEE Transactions on Information Theory 27, 1981; Laub, Lee & Taimre 2021.

Traps: α is the jump of the intensity, not the branching ratio; the compensator runs to the end of the window, not to
the last event; the shape of the trading day looks like self-excitation and is taken out first (`business_times`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class HawkesFit(NamedTuple):
    """Parameters per unit of time, log likelihood, and whether the optimiser converged."""

    mu: float
    alpha: float
    beta: float
    log_likelihood: float
    converged: bool

    @property
    def branching(self) -> float:
        """Share of events that other events triggered."""
        return self.alpha / self.beta


def hawkes_log_likelihood(times: np.ndarray, horizon: float, mu: float, alpha: float, beta: float) -> float:
    """Exact log likelihood of events at ``times`` (ascending) in [0, horizon], in O(n).

    Σ ln(μ + α A_i) − μT − (α/β) Σ (1 − exp(−β (T − t_i))), A_i = exp(−β (t_i − t_{i−1})) (1 + A_{i−1}), A_1 = 0.
    """
    values = np.asarray(times, dtype=np.float64)
    if not len(values):
        return -mu * horizon
    if (np.diff(values) < 0).any() or values[0] < 0 or values[-1] > horizon:
        raise ValueError(f"times must ascend inside [0, {horizon}].")
    excited = _excitation(values, beta)
    compensator = mu * horizon + alpha / beta * (1 - np.exp(-beta * (horizon - values))).sum()
    return float(np.log(mu + alpha * excited).sum() - compensator)


def hawkes_compensator(times: np.ndarray, mu: float, alpha: float, beta: float) -> np.ndarray:
    """Integrated intensity between one event and the next (the first from 0): independent Exp(1) under the model."""
    values = np.asarray(times, dtype=np.float64)
    gaps = np.diff(values, prepend=0.0)
    after = np.concatenate([[0.0], 1.0 + _excitation(values, beta)[:-1]]) if len(values) else np.zeros(0)
    return mu * gaps + alpha / beta * after * (1 - np.exp(-beta * gaps))


def hawkes_intensity(at: np.ndarray, times: np.ndarray, mu: float, alpha: float, beta: float) -> np.ndarray:
    """λ at each moment of ``at``, from events strictly before it."""
    values, moments = np.asarray(times, dtype=np.float64), np.asarray(at, dtype=np.float64)
    before = np.searchsorted(values, moments, side="left")
    if not len(values):
        return np.full(len(moments), mu)
    state = 1.0 + _excitation(values, beta)
    last = np.maximum(before - 1, 0)
    excited = np.where(before > 0, state[last] * np.exp(-beta * (moments - values[last])), 0.0)
    return mu + alpha * excited


def fit_hawkes(times: np.ndarray, horizon: float, *, starts: int = 4) -> HawkesFit | None:
    """Maximum likelihood with n < 1; None with fewer than ten events.

    BFGS in (ln μ, logit n, ln β), each kept inside its range by a logistic map, from ``starts`` fixed points, gradient
    in closed form by the same recursion. The kernel's memory 1/β is at most a tenth of the window: a longer one is a
    drift of the rate with n near one.
    """
    values = np.asarray(times, dtype=np.float64)
    if len(values) < 10:
        return None
    # Not L-BFGS-B: its LAPACK calls wake all threads of BLAS for systems of three, at ten times the cost.
    from scipy.optimize import minimize
    from scipy.special import expit, logit

    rate = len(values) / horizon
    low = np.array([np.log(rate * 1e-4), -12.0, np.log(10 / horizon)])
    width = np.array([np.log(rate * 10), 7.0, np.log(rate * 1e4)]) - low

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        inside = expit(free)
        value, gradient = _negative(low + width * inside, values, horizon)
        return value, gradient * width * inside * (1 - inside)

    best = None
    for k in range(starts):
        branching, speed = (0.2, 0.5, 0.8, 0.4)[k % 4], rate * (0.5, 2.0, 8.0, 30.0)[k % 4]
        start = np.array([np.log(rate * (1 - branching)), logit(branching), np.log(speed)])
        free = logit(np.clip((start - low) / width, 0.02, 0.98))
        found = minimize(loss, free, jac=True, method="BFGS", options={"gtol": 1e-4})
        if best is None or found.fun < best.fun:
            best = found
    assert best is not None
    point = low + width * expit(best.x)
    beta = float(np.exp(point[2]))
    return HawkesFit(float(np.exp(point[0])), float(expit(point[1])) * beta, beta, float(-best.fun), bool(best.success))


def business_times(seconds: np.ndarray, profile: np.ndarray, length: float) -> np.ndarray:
    """Moments of a session in business time: the shape of the day taken out.

    Args:
        seconds: moments since the session's start, in [0, length].
        profile: typical rate by equal bucket of the session, learnt on the past, positive.
        length: of the session, seconds. Business time runs over [0, length] too.
    """
    share = np.asarray(profile, dtype=np.float64)
    edges = np.linspace(0.0, length, len(share) + 1)
    grown = np.concatenate([[0.0], np.cumsum(share / share.sum())]) * length
    return np.interp(seconds, edges, grown)


def _excitation(times: np.ndarray, beta: float) -> np.ndarray:
    """A_i: what earlier events still add, in units of α."""
    found, state = [0.0] if len(times) else [], 0.0
    for decay in np.exp(-beta * np.diff(times)).tolist():
        state = decay * (1 + state)
        found.append(state)
    return np.array(found)


def _negative(point: np.ndarray, times: np.ndarray, horizon: float) -> tuple[float, np.ndarray]:
    """Minus the log likelihood and its gradient in (ln μ, logit n, ln β)."""
    mu, share, beta = np.exp(point[0]), 1 / (1 + np.exp(-point[1])), np.exp(point[2])
    alpha = share * beta
    gaps = np.diff(times)
    decay = np.exp(-beta * gaps)
    excited, turned = [0.0], [0.0]
    # Plain floats: several times faster than entries of arrays.
    for fall, gap in zip(decay.tolist(), gaps.tolist(), strict=True):
        turned.append(fall * (turned[-1] - gap * (1 + excited[-1])))
        excited.append(fall * (1 + excited[-1]))
    a, slope = np.array(excited), np.array(turned)
    left = horizon - times
    gone = np.exp(-beta * left)
    intensity = mu + alpha * a
    value = np.log(intensity).sum() - mu * horizon - share * (1 - gone).sum()
    to_mu = (1 / intensity).sum() - horizon
    to_share = (beta * a / intensity).sum() - (1 - gone).sum()
    to_beta = ((share * a + alpha * slope) / intensity).sum() - share * (left * gone).sum()
    gradient = np.array([to_mu * mu, to_share * share * (1 - share), to_beta * beta])
    return float(-value), -gradient
