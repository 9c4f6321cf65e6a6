"""Raw SVI slices: value and derivatives, SVI-JW, repair of butterflies, and a quasi-explicit fit for diagnosis.

w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)), total variance in log-moneyness. Sources: Gatheral and
Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14 (2014), sections 3 and 5.1; Zeliade,
"Quasi-explicit calibration of Gatheral's SVI model" (2009).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from argus_core.options.surface.ssvi import Variance

Floats = NDArray[np.float64]

_ITERATIONS, _SETTLED = 40, 1e-7
_LARGEST_RHO, _STEEPEST = 0.9999, 2.0


class RawSvi(NamedTuple):
    """Raw parameters, floats or arrays of one shape: b >= 0, |rho| < 1, sigma > 0."""

    a: float | Floats
    b: float | Floats
    rho: float | Floats
    m: float | Floats
    sigma: float | Floats


class JumpWings(NamedTuple):
    """SVI-JW: at-the-money variance and skew, slopes of the put and the call wing, smallest variance; per year."""

    v: float
    psi: float
    p: float
    c: float
    v_min: float


def svi(k: ArrayLike, parameters: RawSvi) -> Variance:
    """Total variance with its first two derivatives at ``k``; parameters broadcast against it."""
    a, b, rho, m, sigma = (np.asarray(value, dtype=float) for value in parameters)
    x = np.asarray(k, dtype=float) - m
    root = np.sqrt(x * x + sigma * sigma)
    return Variance(a + b * (rho * x + root), b * (rho + x / root), b * sigma**2 / root**3)


def jump_wings(parameters: RawSvi, years: float) -> JumpWings:
    """SVI-JW of a raw slice (Gatheral and Jacquier, equation 3.5)."""
    a, b, rho, m, sigma = (float(value) for value in parameters)
    root = float(np.hypot(m, sigma))
    w = a + b * (-rho * m + root)
    scale = 1.0 / np.sqrt(w)
    return JumpWings(
        v=w / years,
        psi=float(scale * 0.5 * b * (rho - m / root)),
        p=float(scale * b * (1.0 - rho)),
        c=float(scale * b * (1.0 + rho)),
        v_min=(a + b * sigma * float(np.sqrt(1.0 - rho**2))) / years,
    )


def from_jump_wings(wings: JumpWings, years: float) -> RawSvi:
    """Raw parameters of SVI-JW (Gatheral and Jacquier, lemma 3.2).

    Raises:
        ValueError: if no raw slice has these wings: |beta| > 1, or v_min = v away from the minimum.
    """
    w = wings.v * years
    b = 0.5 * np.sqrt(w) * (wings.c + wings.p)
    rho = 1.0 - wings.p * np.sqrt(w) / b
    beta = rho - 2.0 * wings.psi * np.sqrt(w) / b
    if not abs(beta) <= 1:
        raise ValueError(f"no raw SVI slice has {wings}: beta is {beta:.6g}, it must lie in [-1, 1]")
    if beta == 0:
        m = 0.0
        sigma = (w - wings.v_min * years) / (b * (1.0 - np.sqrt(1.0 - rho**2)))
    else:
        alpha = np.sign(beta) * np.sqrt(1.0 / beta**2 - 1.0)
        bottom = b * (-rho + np.sign(alpha) * np.sqrt(1.0 + alpha**2) - alpha * np.sqrt(1.0 - rho**2))
        m = (wings.v - wings.v_min) * years / bottom
        sigma = alpha * m
    a = wings.v_min * years - b * sigma * np.sqrt(1.0 - rho**2)
    return RawSvi(float(a), float(b), float(rho), float(m), float(sigma))


def repair(parameters: RawSvi, years: float) -> RawSvi:
    """The slice with the same at-the-money variance, skew and put wing that has no butterfly arbitrage.

    It takes c = p + 2 psi and v_min = 4 v p c / (p + c)^2, an SSVI slice (Gatheral and Jacquier, section 5.1).
    """
    wings = jump_wings(parameters, years)
    c = wings.p + 2.0 * wings.psi
    v_min = 4.0 * wings.v * wings.p * c / (wings.p + c) ** 2
    return from_jump_wings(wings._replace(c=c, v_min=v_min), years)


def fit_svi(k: Floats, total_variance: Floats, weight: Floats, start: tuple[Floats, Floats]) -> RawSvi:
    """Least squares fit of raw slices, many at once: a, b and rho are explicit given m and sigma.

    For given (m, sigma), w is linear in (a, rho b, b); what is left, two parameters, goes down by Levenberg-Marquardt
    on the projected residual (Golub and Pereyra 1973, Kaufman's Jacobian). |rho| stays below 1 and b (1 + |rho|), the
    steeper wing, at 2 or below (Lee); butterflies are not prevented: the slice is a diagnosis.

    Args:
        k, total_variance, weight: shape (slices, quotes); weight is 1 / standard error of the total variance, 0 for
            padding.
        start: m and sigma, shape (slices,) each.

    Returns:
        Parameters of shape (slices,), NaN where a slice has fewer than five quotes.
    """
    k, y, u = (np.asarray(value, dtype=float) for value in (k, total_variance, weight))
    enough = (u > 0).sum(axis=1) >= 5
    spread = np.where(u > 0, k, 0.0)
    reach = np.maximum(spread.max(axis=1) - spread.min(axis=1), 1e-6)
    scaled = k / reach[:, None]
    m = np.clip(start[0] / reach, -4.0, 4.0)
    log_sigma = np.clip(np.log(start[1] / reach), -8.0, 2.0)
    damp = np.full(len(k), 1e-3)
    linear, residual, jacobian = _project(scaled, y, u, m, log_sigma, _STEEPEST * reach)
    cost = (residual**2).sum(axis=1)
    active = np.flatnonzero(enough)
    for _ in range(_ITERATIONS):
        if not len(active):
            break
        hessian = np.einsum("sqi,sqj->sij", jacobian[active], jacobian[active])
        gradient = np.einsum("sqi,sq->si", jacobian[active], residual[active])
        scale = np.maximum(np.einsum("sii->si", hessian), 1e-12) * damp[active, None] + 1e-12
        step = -np.linalg.solve(hessian + np.eye(2) * scale[:, :, None], gradient[..., None])[..., 0]
        m_new = np.clip(m[active] + np.clip(step[:, 0], -0.5, 0.5), -4.0, 4.0)
        log_new = np.clip(log_sigma[active] + np.clip(step[:, 1], -1.0, 1.0), -8.0, 2.0)
        found = _project(scaled[active], y[active], u[active], m_new, log_new, _STEEPEST * reach[active])
        fall = cost[active] - (found[1] ** 2).sum(axis=1)
        better = fall > 0
        taken = active[better]
        cost[taken] -= fall[better]
        m[taken], log_sigma[taken] = m_new[better], log_new[better]
        linear[taken], residual[taken], jacobian[taken] = (part[better] for part in found)
        damp[active] = np.where(better, np.maximum(damp[active] * 0.2, 1e-9), damp[active] * 8.0)
        active = active[~(better & (fall <= _SETTLED * cost[active] + 1e-18)) & (damp[active] < 1e8)]
    b = linear[:, 2] / reach
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = np.where(linear[:, 2] > 0, linear[:, 1] / linear[:, 2], 0.0)
    none = np.where(enough, 0.0, np.nan)
    return RawSvi(linear[:, 0] + none, b + none, rho + none, m * reach + none, np.exp(log_sigma) * reach + none)


def _project(
    k: Floats, y: Floats, u: Floats, m: Floats, log_sigma: Floats, steepest: Floats
) -> tuple[Floats, Floats, Floats]:
    """Best (a, d, b) of w = a + d x + b sqrt(x^2 + sigma^2), x = k - m; weighted residuals; Jacobian in (m, ln s)."""
    x = k - m[:, None]
    square = np.exp(2.0 * log_sigma)[:, None]
    root = np.sqrt(x * x + square)
    basis = np.stack([np.ones_like(x), x, root], axis=2) * u[:, :, None]
    target = y * u
    linear = _least_squares(basis, target)
    d, b = np.abs(linear[:, 1]), linear[:, 2]
    outside = ~((b >= 0) & (d <= _LARGEST_RHO * b) & (d + b <= steepest))
    free = basis
    if outside.any():
        linear[outside], edge = _on_the_edge(basis[outside], target[outside], steepest[outside])
        free = basis.copy()
        free[outside] = edge
    residual = np.einsum("sqi,si->sq", basis, linear) - target
    by_m = -(linear[:, 1, None] + linear[:, 2, None] * x / root) * u
    by_sigma = linear[:, 2, None] * square / root * u
    turned = np.stack([by_m, by_sigma], axis=2)
    fitted = np.stack([_least_squares(free, turned[:, :, i]) for i in range(2)], axis=2)
    return linear, residual, turned - np.matmul(free, fitted)


def _least_squares(basis: Floats, target: Floats) -> Floats:
    """Normal equations of columns scaled to one length; a ridge far below the data keeps absent columns harmless."""
    length = np.sqrt(np.einsum("sqi,sqi->si", basis, basis)) + 1e-300
    unit = basis / length[:, None, :]
    gram = np.matmul(unit.transpose(0, 2, 1), unit) + 1e-14 * np.eye(basis.shape[2])
    right = np.einsum("sqi,sq->si", unit, target)
    return np.linalg.solve(gram, right[..., None])[..., 0] / length


def _on_the_edge(basis: Floats, target: Floats, steepest: Floats) -> tuple[Floats, Floats]:
    """Best coefficients on the edges |d| = ratio b and |d| + b = steepest, where the free optimum lies outside; and
    the columns that are free there."""
    best, best_cost = np.zeros((len(basis), 3)), np.full(len(basis), np.inf)
    free = np.zeros_like(basis)
    corner = steepest / (1.0 + _LARGEST_RHO)
    ones, x, root = (basis[:, :, i] for i in range(3))
    for sign in (-1.0, 1.0):
        for wall in (False, True):
            column = root - sign * x if wall else root + sign * _LARGEST_RHO * x
            shifted = target - sign * steepest[:, None] * x if wall else target
            edge = np.stack([ones, column], axis=2)
            b = _least_squares(edge, shifted)[:, 1]
            b = np.clip(b, corner, steepest) if wall else np.clip(b, 0.0, corner)
            a = _least_squares(edge[:, :, :1], shifted - b[:, None] * column)[:, 0]
            d = sign * (steepest - b) if wall else sign * _LARGEST_RHO * b
            linear = np.stack([a, d, b], axis=1)
            cost = ((np.einsum("sqi,si->sq", basis, linear) - target) ** 2).sum(axis=1)
            better = cost < best_cost
            best[better], best_cost[better] = linear[better], cost[better]
            free[better, :, :2] = edge[better]
    return best, free
