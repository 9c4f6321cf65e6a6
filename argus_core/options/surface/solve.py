"""The numbers behind the surface fit: every expiry on its own, then all of them together under the conditions.

Unknowns per slice: x = (ln theta, ln p+, ln p-), p+- = psi (1 +- rho). In them all conditions but phi are linear or
convex, nothing has a unit and nothing can turn negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from argus_core.options.surface.ssvi import LARGEST_WING

Floats = NDArray[np.float64]

#: A quote inside bid and ask counts this little under the band loss; it keeps the fit identified.
_BAND_SHARE = 0.1
#: Standard deviation, in logarithms, of the prior on the wings: it decides only where quotes say nothing.
_PRIOR_SD = 10.0
_PRIOR_RHO = -0.3
_MARGIN = 1e-10
_SETTLED = 1e-10


@dataclass(frozen=True)
class SliceData:
    """Quotes of all slices, padded to one length; shape (slices, quotes).

    Attributes:
        k: log-moneyness, 0 in padding.
        iv, bid, ask: volatilities.
        weight: 1 / unit of misfit, 0 in padding.
        years: shape (slices,).
    """

    k: Floats
    iv: Floats
    bid: Floats
    ask: Floats
    weight: Floats
    years: Floats

    def pick(self, rows: NDArray[np.intp]) -> SliceData:
        """The same for some slices."""
        return SliceData(*(getattr(self, name)[rows] for name in ("k", "iv", "bid", "ask", "weight", "years")))


@dataclass(frozen=True)
class Loss:
    """Which loss: `SurfaceSettings.loss`; ``huber`` is its bend."""

    kind: str
    huber: float


def parameters(x: Floats) -> tuple[Floats, Floats, Floats]:
    """(theta, psi, rho) of unknowns of shape (..., 3)."""
    theta, right, left = np.moveaxis(np.exp(x), -1, 0)
    return theta, 0.5 * (right + left), (right - left) / (right + left)


def unknowns(theta: Floats, psi: Floats, rho: Floats) -> Floats:
    """The reverse."""
    return np.log(np.stack([theta, psi * (1.0 + rho), psi * (1.0 - rho)], axis=-1))


def volatility(x: Floats, data: SliceData) -> tuple[Floats, Floats]:
    """Fitted volatilities and their derivatives in x: shapes (slices, quotes) and (slices, quotes, 3)."""
    theta, right, left = (np.exp(x[:, i])[:, None] for i in range(3))
    psi, tilt, k = 0.5 * (right + left), 0.5 * (right - left), data.k
    root = np.sqrt((psi * k) ** 2 + 2.0 * tilt * theta * k + theta**2)
    root = np.maximum(root, 1e-150)
    w = np.maximum(0.5 * (theta + tilt * k + root), 1e-300)
    iv = np.sqrt(w / data.years[:, None])
    outer = 0.25 / (iv * data.years[:, None])
    by_psi, by_tilt = psi * k * k / root, k * (1.0 + theta / root)
    gradient = np.empty((*k.shape, 3))
    gradient[:, :, 0] = outer * theta * (1.0 + (tilt * k + theta) / root)
    gradient[:, :, 1] = outer * (0.5 * right) * (by_psi + by_tilt)
    gradient[:, :, 2] = outer * (0.5 * left) * (by_psi - by_tilt)
    return iv, gradient


def start(data: SliceData) -> Floats:
    """A first guess that knows nothing of other slices or days: theta from the quotes nearest to the forward."""
    rows = np.arange(len(data.k))
    distance = np.where(data.weight > 0, np.abs(data.k), np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :3]
    iv = np.median(data.iv[rows[:, None], nearest], axis=1)
    theta = np.maximum(iv**2 * data.years, 1e-10)
    psi = np.minimum(np.sqrt(theta), 1.0)
    return unknowns(theta, psi, np.full(len(theta), _PRIOR_RHO))


@dataclass
class _Quadratic:
    """Cost per slice, gradient and Gauss-Newton Hessian at some x."""

    cost: Floats
    gradient: Floats
    hessian: Floats


def _expand(x: Floats, centre: Floats, data: SliceData, loss: Loss) -> _Quadratic:
    iv, jacobian = volatility(x, data)
    miss = (iv - data.iv) * data.weight
    if loss.kind == "band":
        beyond = (iv - np.clip(iv, data.bid, data.ask)) * data.weight
        pull = beyond + _BAND_SHARE**2 * miss
        curve = np.where(beyond != 0, 1.0, 0.0) + _BAND_SHARE**2
        cost = beyond**2 + (_BAND_SHARE * miss) ** 2
    elif loss.kind == "huber":
        size = np.abs(miss)
        share = np.where(size > loss.huber, loss.huber / np.maximum(size, 1e-300), 1.0)
        pull, curve = share * miss, share
        cost = np.where(size > loss.huber, loss.huber * (2.0 * size - loss.huber), miss**2)
    else:
        pull, curve, cost = miss, np.ones_like(miss), miss**2
    scaled = jacobian * data.weight[:, :, None]
    off = (x - centre) / _PRIOR_SD
    off[:, 0] = 0.0
    gradient = np.einsum("sqi,sq->si", scaled, pull) + off / _PRIOR_SD
    hessian = np.matmul(scaled.transpose(0, 2, 1) * curve[:, None, :], scaled)
    hessian += np.diag([0.0, _PRIOR_SD**-2, _PRIOR_SD**-2])
    return _Quadratic(cost.sum(axis=1) + (off**2).sum(axis=1), gradient, hessian)


def fit_apart(data: SliceData, loss: Loss, first: Floats, centre: Floats, iterations: int) -> tuple[Floats, Floats]:
    """Every slice on its own by Levenberg-Marquardt, all at once.

    Args:
        first: where to start, shape (slices, 3).
        centre: centre of the weak prior on the wings; the same for any start, so that a warm start changes the time
            and not the answer.

    Returns:
        x and the Hessian at it, shapes (slices, 3) and (slices, 3, 3).
    """
    x = first.copy()
    damp = np.full(len(x), 1e-3)
    now = _expand(x, centre, data, loss)
    active = np.arange(len(x))
    for _ in range(iterations):
        part = data.pick(active)
        hessian, gradient = now.hessian[active], now.gradient[active]
        scale = np.maximum(np.einsum("sii->si", hessian), 1e-12) * damp[active, None]
        step = -np.linalg.solve(hessian + scale[:, :, None] * np.eye(3), gradient[..., None])[..., 0]
        step = np.clip(step, -2.0, 2.0)
        trial = x[active] + step
        trial[:, 1:] = np.clip(trial[:, 1:], -23.0, np.log(LARGEST_WING))
        found = _expand(trial, centre[active], part, loss)
        better = found.cost < now.cost[active]
        fall = now.cost[active] - found.cost
        settled = np.abs(fall) <= _SETTLED * now.cost[active] + 1e-14
        taken = active[better]
        x[taken] = trial[better]
        now.cost[taken], now.gradient[taken] = found.cost[better], found.gradient[better]
        now.hessian[taken] = found.hessian[better]
        damp[active] = np.where(better, np.maximum(damp[active] * 0.1, 1e-9), damp[active] * 10.0)
        active = active[~settled & (damp[active] < 1e9)]
        if not len(active):
            break
    return x, now.hessian


def clamp_forward(x: Floats) -> Floats:
    """The nearest parameters above that meet every condition exactly, one slice after the other.

    Wings are raised to those before and cut at their bound, then theta is raised to what the slice before, phi and
    the butterfly ask for. A larger theta never breaks a condition, so that every slice has a solution.
    """
    result = np.exp(x)
    before = np.zeros(3)
    phi = np.inf
    for row in result:
        row[1:] = np.minimum(np.maximum(row[1:], before[1:]), LARGEST_WING)
        psi = 0.5 * (row[1] + row[2])
        row[0] = max(row[0], before[0], psi / phi * (1.0 + 4e-16), 0.25 * psi * row[1:].max() * (1.0 + 4e-16))
        phi = min(phi, psi / row[0])
        before = row
    return np.log(result)


def _conditions(x: Floats) -> tuple[Floats, Floats]:
    """Values c(x) >= 0 of all conditions and their Jacobian, shapes (m,) and (m, 3 slices)."""
    n = len(x)
    wings = np.exp(x[:, 1:])
    share = wings / wings.sum(axis=1, keepdims=True)
    log_psi = np.log(0.5 * wings.sum(axis=1))
    values, rows = [], []
    eye = np.eye(3 * n).reshape(n, 3, 3 * n)
    of_psi = share[:, :1] * eye[:, 1] + share[:, 1:] * eye[:, 2]
    for i in range(3):
        values.append(np.diff(x[:, i]))
        rows.append(eye[1:, i] - eye[:-1, i])
    log_phi = log_psi - x[:, 0]
    of_phi = of_psi - eye[:, 0]
    values.append(-np.diff(log_phi))
    rows.append(of_phi[:-1] - of_phi[1:])
    for i in (1, 2):
        values.append(np.log(4.0) + x[:, 0] - log_psi - x[:, i])
        rows.append(eye[:, 0] - of_psi - eye[:, i])
        values.append(np.log(LARGEST_WING) - x[:, i])
        rows.append(-eye[:, i])
    return np.concatenate(values), np.concatenate(rows)


def fit_together(data: SliceData, loss: Loss, apart: Floats, centre: Floats, rounds: int) -> tuple[Floats, Floats]:
    """All slices under the conditions: sequential quadratic programming from the fits apart.

    Each round solves the quadratic model under linearised conditions (block diagonal, one small dense problem), and
    `clamp_forward` makes the result exact; the best feasible point is kept, so that the answer is free of arbitrage
    after any number of rounds.

    Returns:
        As `fit_apart`.
    """
    best = clamp_forward(apart)
    now = _expand(best, centre, data, loss)
    if np.array_equal(best, np.log(np.exp(apart))) or np.abs(best - apart).max() < 1e-12:
        return best, now.hessian
    x = apart
    model = _expand(x, centre, data, loss)
    for _ in range(rounds):
        step = _quadratic_step(x, model)
        if step is None:
            break
        fall, length = 0.0, 1.0
        while length > 0.05:
            trial = clamp_forward(x + length * step)
            found = _expand(trial, centre, data, loss)
            fall = float(now.cost.sum() - found.cost.sum())
            if fall > 0:
                best, now = trial, found
                break
            length *= 0.4
        x, model = best, now
        if fall <= 1e-8 * float(now.cost.sum()):
            break
    return best, now.hessian


def _quadratic_step(x: Floats, model: _Quadratic) -> Floats | None:
    """argmin g'd + d'Hd/2 subject to c + A d >= margin: least distance programming by NNLS (Lawson and Hanson 1974,
    chapter 23). None where the solver gives up."""
    from scipy.optimize import nnls

    values, rows = _conditions(x)
    near = values < 4.0
    values, rows = values[near] - _MARGIN, rows[near]
    n = len(x)
    damped = model.hessian + (1e-9 * np.einsum("sii->s", model.hessian))[:, None, None] * np.eye(3)
    lower = np.linalg.cholesky(damped)
    inverse = np.linalg.inv(lower)
    # d = L^-T y + d0, d0 the free optimum: |y| is what there is to make small.
    free = -np.linalg.solve(damped, model.gradient[..., None])[..., 0]
    free = np.clip(free, -1.0, 1.0)
    blocks = np.einsum("msj,skj->msk", rows.reshape(-1, n, 3), inverse).reshape(-1, 3 * n)
    h = -(values + rows @ free.ravel())
    worst = float(h.max(initial=0.0))
    if worst <= 0:
        return free
    size = np.linalg.norm(blocks, axis=1)
    size = np.maximum(size, 1e-300)
    blocks, h = blocks / size[:, None], h / size
    scale = float(h.max())
    target = np.zeros(3 * n + 1)
    target[-1] = 1.0
    try:
        dual, _ = nnls(np.vstack([blocks.T, h / scale]), target, maxiter=30 * len(h))
    except RuntimeError:
        return None
    rest = np.append(blocks.T @ dual, h / scale @ dual) - target
    if not rest[-1] < 0:
        return None
    y = (-rest[:-1] / rest[-1] * scale).reshape(n, 3)
    step = free + np.einsum("skj,sk->sj", inverse, y)
    return np.clip(step, -2.0, 2.0) if np.isfinite(step).all() else None
