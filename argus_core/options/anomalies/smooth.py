"""Leave-one-out prediction of each value from its neighbours: universal kriging with the noise known.

y = basis x coefficients + smooth error + noise. The smooth error is Gaussian with a Matern 3/2 covariance whose size
and reach maximise the likelihood of a series and the ones next to it; without it the leave-one-out residual over its
deviation is exactly the studentised residual r / (s sqrt(1 - h)) of weighted least squares. Source: Rasmussen and
Williams, "Gaussian Processes for Machine Learning" (2006), equations 2.42 and 5.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Sizes of the smooth error tried, in units of the median noise, and shares of the noise that neighbours really show.
SIZES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SHARES = (0.3, 0.6, 1.0)
_SCREEN_WINDOW, _SCREEN = 5, 3.5
#: Values of a series used to choose size, reach and share: every second, third ... of a longer one.
_LONGEST = 60


@dataclass(frozen=True)
class Series:
    """Values of one expiry.

    Attributes:
        x: position, ascending, shape (n,).
        y: values.
        noise: standard deviation of each value's own noise at most; the share that neighbours show is estimated.
        basis, prior: shape (n, b) and standard deviations of the coefficients, (b,).
        growth: relative size of the smooth error at each position.
    """

    x: Floats
    y: Floats
    noise: Floats
    basis: Floats
    prior: Floats
    growth: Floats

    @property
    def unit(self) -> float:
        return float(np.median(self.noise))

    @property
    def trend(self) -> Floats:
        """Covariance that the coefficients bring."""
        return (self.basis * self.prior**2) @ self.basis.T

    def shape(self, length: float) -> Floats:
        """Correlation of the smooth error times its growth."""
        scaled = np.sqrt(3.0) / length * np.abs(self.x[:, None] - self.x[None, :])
        return (1.0 + scaled) * np.exp(-scaled) * self.growth[:, None] * self.growth[None, :]


@dataclass(frozen=True)
class Prediction:
    """Each value as the others see it.

    Attributes:
        mean, variance: of the value without its own noise; shape (n,).
        size, length, share: smooth error's standard deviation and reach, and the noise share chosen.
    """

    mean: Floats
    variance: Floats
    size: float
    length: float
    share: float


def predict_each(series: Sequence[Series], lengths: Sequence[float], *, pooled: int = 2) -> list[Prediction]:
    """Predict every value of every series from the others of the same series; values that stand out do not teach.

    Args:
        series: neighbouring series, in order.
        lengths: reaches to choose from, in units of x.
        pooled: how many series on either side help to choose size, reach and share.
    """
    grid = [(size, length, share) for length in lengths for size in SIZES for share in SHARES]
    teaching = [_screened(one.y, one.noise) for one in series]
    tables = np.array([_deviances(one, good, lengths) for one, good in zip(series, teaching, strict=True)])
    predictions: list[Prediction] = []
    for _ in range(2):
        predictions, changed = [], np.zeros(len(series), dtype=bool)
        for i, one in enumerate(series):
            near = tables[max(i - pooled, 0) : i + pooled + 1]
            size, length, share = grid[int(np.argmin(near.sum(axis=0)))]
            smooth = one.trend + (size * one.unit) ** 2 * one.shape(length)
            mean, variance = _leave_out(one.y, share * one.noise, smooth, teaching[i])
            predictions.append(Prediction(mean, variance, size * one.unit, float(length), share))
            good = np.abs(one.y - mean) <= _SCREEN * np.sqrt(one.noise**2 + variance)
            if good.sum() > one.basis.shape[1] + 1:
                changed[i] = not np.array_equal(good, teaching[i])
                teaching[i] = good
        if not changed.any():
            break
        for i in np.flatnonzero(changed):
            tables[i] = _deviances(series[i], teaching[i], lengths)
    return predictions


def _screened(y: Floats, noise: Floats) -> NDArray[np.bool_]:
    """Values near to the running median of their neighbourhood (Hampel)."""
    n = len(y)
    half = _SCREEN_WINDOW // 2
    at = np.clip(np.arange(n)[:, None] + np.arange(-half, half + 1)[None, :], 0, n - 1)
    off = y - np.median(y[at], axis=1)
    scale = np.maximum(noise, 1.4826 * float(np.median(np.abs(off))))
    good = np.abs(off) <= _SCREEN * scale
    return good if good.sum() >= max(4, n // 2) else np.ones(n, dtype=bool)


def _deviances(one: Series, teaching: NDArray[np.bool_], lengths: Sequence[float]) -> Floats:
    """Minus twice the log likelihood, over all lengths, sizes and shares in that order; per value, of at most
    `_LONGEST` values, so that long series do not drown their neighbours."""
    at = np.flatnonzero(teaching)
    at = at[:: -(-len(at) // _LONGEST)]
    block = np.ix_(at, at)
    trend, y, noise = one.trend[block], one.y[at], one.noise[at]
    found = []
    for length in lengths:
        shape = one.shape(length)[block] * one.unit**2
        smooth = trend + np.square(SIZES)[:, None, None] * shape
        covariance = smooth[:, None] + np.square(SHARES)[None, :, None, None] * np.diag(noise**2)
        lower = np.linalg.cholesky(covariance)
        white = np.linalg.solve(lower, np.broadcast_to(y[:, None], (*lower.shape[:2], len(y), 1)))[..., 0]
        logs = np.log(np.einsum("...ii->...i", lower)).sum(axis=-1)
        found.append(((white**2).sum(axis=-1) + 2.0 * logs).ravel())
    return np.concatenate(found)


def _inverse(covariance: Floats) -> Floats:
    """Inverse of a positive definite matrix by its Cholesky factor: a third of the work of a general one."""
    from scipy.linalg import get_lapack_funcs

    decompose, invert = get_lapack_funcs(("potrf", "potri"), (covariance,))
    factor, failed = decompose(covariance, lower=1)
    lower, unsound = invert(factor, lower=1)
    if failed or unsound:
        return np.asarray(np.linalg.pinv(covariance, hermitian=True), dtype=np.float64)
    return np.asarray(np.tril(lower) + np.tril(lower, -1).T, dtype=np.float64)


def _leave_out(y: Floats, noise: Floats, smooth: Floats, teaching: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean and variance of every noiseless value given the teaching ones, itself left out."""
    at = np.flatnonzero(teaching)
    covariance = smooth[np.ix_(at, at)].copy()
    covariance[np.diag_indices(len(at))] += noise[at] ** 2
    inverse = _inverse(covariance)
    weight = inverse @ y[at]
    own = np.diag(inverse)
    mean, variance = np.empty(len(y)), np.empty(len(y))
    mean[at] = y[at] - weight / own
    variance[at] = np.maximum(1.0 / own - noise[at] ** 2, 0.0)
    others = np.flatnonzero(~teaching)
    if len(others):
        cross = smooth[np.ix_(others, at)]
        mean[others] = cross @ weight
        taught = ((cross @ inverse) * cross).sum(axis=1)
        variance[others] = np.maximum(np.diag(smooth)[others] - taught, 0.0)
    return mean, variance
