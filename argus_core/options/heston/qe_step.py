"""One step of Andersen's quadratic-exponential scheme with martingale correction (QE-M).

Andersen, "Simple and efficient simulation of the Heston stochastic volatility model", J. Computational Finance 11(3)
(2008), sections 3.2, 4.2 and 4.3 with gamma1 = gamma2 = 1/2. The variance keeps its exact first two conditional
moments; the forward price is a martingale to the bit of the arithmetic. Constants are float64 from the host: in single
precision 1 - exp(-kappa dt) of a daily step has lost four digits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.threefry import Tail, deviation

#: psi = variance / mean^2 of the next variance up to which the quadratic branch is used; Andersen allows 1 to 2.
SWITCH = 1.5
#: The correction exists where 2 A a < 1 and A / beta < 1 (always for rho <= 0); steps are shortened to stay below this.
CORRECTION_LIMIT = 0.5


class StepConstants(NamedTuple):
    """What one step of dt years needs; float64 on the host, the paths' precision in the kernel."""

    mean_floor: float  # m = mean_floor + mean_slope v
    mean_slope: float
    square_floor: float  # s^2 = square_floor + square_slope v
    square_slope: float
    drift: float  # (r - q) dt
    load: float  # K2: weight of the new variance in ln S (the weight of the old one cancels against the correction)
    spread: float  # K3 = K4: variance of ln S per sum of old and new variance
    exponent: float  # A = K2 + K4 / 2

    @classmethod
    def of(cls, parameters: HestonParameters, dt: float, drift: float) -> StepConstants:
        """Constants of a step of ``dt`` years; ``drift`` is r - q per year."""
        _, kappa, theta, sigma, rho = parameters
        kept, gone = math.exp(-kappa * dt), -math.expm1(-kappa * dt)
        load = dt / 2 * (kappa * rho / sigma - 0.5) + rho / sigma
        spread = dt * (1 - rho * rho) / 2
        return cls(
            theta * gone,
            kept,
            theta * sigma * sigma * gone * gone / (2 * kappa),
            sigma * sigma * kept * gone / kappa,
            drift * dt,
            load,
            spread,
            load + spread / 2,
        )

    def worst_correction(self) -> float:
        """Largest 2 A a and A / beta over all variances: below 1 the correction exists. Zero or less for A <= 0."""
        import numpy as np

        v = np.concatenate([[0.0], np.geomspace(1e-8, 1e4, 4000)])
        mean, square = self.mean_floor + self.mean_slope * v, self.square_floor + self.square_slope * v
        psi = square / mean**2
        inverse = 2 / np.minimum(psi, SWITCH)
        scale = mean / (inverse + np.sqrt(inverse * (inverse - 1)))
        return float(np.max(self.exponent * np.where(psi <= SWITCH, 2 * scale, mean * (psi + 1) / 2)))


def substeps(parameters: HestonParameters, dt: float, *, most: int = 64) -> int:
    """Into how many equal steps ``dt`` years must be cut for the martingale correction; 1 for every rho <= 0.

    Raises:
        ValueError: if ``most`` steps do not suffice.
    """
    pieces = 1
    while StepConstants.of(parameters, dt / pieces, 0.0).worst_correction() > CORRECTION_LIMIT:
        pieces *= 2
        if pieces > most:
            raise ValueError(
                f"QE-M: rho = {parameters.rho} with sigma = {parameters.sigma} needs more than {most} steps per "
                f"{dt:.5f} years for its martingale correction. Shorten the step or check the parameters."
            )
    return pieces


class _Moments(NamedTuple):
    quadratic: Any  # which branch
    mean: Any
    psi: Any
    root: Any  # b^2 of the quadratic branch
    scale: Any  # a of the quadratic branch
    half: Any  # (psi + 1) / 2 = 1 / (1 - p) of the exponential branch


def _moments(xp: Any, c: StepConstants, v: Any) -> _Moments:
    mean, square = c.mean_floor + c.mean_slope * v, c.square_floor + c.square_slope * v
    # One division for psi = s^2 / m^2 and 2 / psi.
    inverse = 1 / (mean * square)
    psi = square * (inverse * square) ** 2
    twice = xp.maximum(2 * (mean * mean) * (inverse * mean), 2 / SWITCH)
    root = twice - 1 + xp.sqrt(twice * (twice - 1))
    return _Moments(psi <= SWITCH, mean, psi, root, mean / (1 + root), (psi + 1) / 2)


def _log_correction(xp: Any, c: StepConstants, k: _Moments) -> Any:
    """ln E[exp(A v')]: Andersen's propositions 7 and 8 with both branches in one division and one logarithm."""
    weight = c.exponent * k.mean
    over = xp.where(k.quadratic, 1 - 2 * c.exponent * k.scale, 1 - weight * k.half)
    ratio = xp.where(k.quadratic, c.exponent * k.root * k.scale, 1 - weight * (k.half - 1)) / over
    log = xp.log(xp.where(k.quadratic, over, ratio))
    return xp.where(k.quadratic, ratio - log / 2, log)


def next_variance(xp: Any, c: StepConstants, v: Any, uniform: Tail) -> tuple[Any, Any]:
    """(v', ln E[exp(A v')]) from one uniform number; single precision. Rising in it, save where (b + Z)^2 folds."""
    k = _moments(xp, c, v)
    p = uniform.probability
    # One logarithm serves both branches: of 4 p (1 - p) for the normal, of (1 - U) / (1 - p0) for the exponential.
    log = -xp.log(xp.where(k.quadratic, 4 * p * (1 - p), k.half * uniform.complement(xp)))
    surprise = xp.maximum(log, 0)
    size = deviation(xp, surprise, 1 - 2 * p)
    z = xp.where(uniform.upper, size, -size)
    value = xp.where(k.quadratic, k.scale * (xp.sqrt(k.root) + z) ** 2, surprise * k.mean * k.half)
    return value, _log_correction(xp, c, k)


def next_variance_of_normal(xp: Any, c: StepConstants, v: Any, z: Any, above: Any) -> tuple[Any, Any]:
    """The same from a standard normal number and ``above`` = P(Z > z)."""
    k = _moments(xp, c, v)
    surprise = xp.maximum(-xp.log(k.half * above), 0)
    value = xp.where(k.quadratic, k.scale * (xp.sqrt(k.root) + z) ** 2, surprise * k.mean * k.half)
    return value, _log_correction(xp, c, k)


def log_price_law(xp: Any, c: StepConstants, x: Any, v: Any, after: Any, correction: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of the normal law of x' given both variances."""
    mean = x + c.drift - correction - c.spread / 2 * v + c.load * after
    return mean, xp.sqrt(c.spread * (v + after))
