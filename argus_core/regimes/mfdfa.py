"""Multifractal detrended fluctuation analysis, judged against surrogates.

Kantelhardt et al., Physica A 316, 2002: profile, segments from both ends, polynomial detrending, F_q(s) ~ s^h(q). The
finite-size bias is large (a binomial cascade's h(2) of .839 comes out elsewhere at 2^16 points), so a width means
nothing against theory: `surrogate_width` compares it with shuffled and with phase-randomised copies of the same series.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: Values that the default scales need: segments from 10 values to a tenth of them, over a factor of two.
SMALLEST_SERIES = 200


class Surrogates(NamedTuple):
    """Width h(q_min) − h(q_max) of the series, that width minus the surrogates' mean, its z-score among them, and
    p = (1 + #{>=}) / (1 + draws)."""

    width: float
    excess: float
    z: float
    p_value: float


def default_scales(n: int, *, count: int = 16, smallest: int = 10) -> np.ndarray:
    """Log-spaced segment lengths from ``smallest`` to n / 10."""
    if n < 20 * smallest:
        raise ValueError(f"{n} values are too few for scales from {smallest}; give at least {20 * smallest}.")
    return np.unique(np.round(np.geomspace(smallest, n // 10, count)).astype(int))


def generalised_hurst(
    values: np.ndarray, q: Sequence[float] = (-2.0, 2.0), *, scales: np.ndarray | None = None, order: int = 1
) -> np.ndarray:
    """h(q), shape (..., len(q)): slope of ln F_q on ln s.

    Args:
        values: (..., n) increments (returns), not their sum; leading axes are a batch.
        order: degree of the detrending polynomial.
    """
    series = np.asarray(values, dtype=np.float64)
    sizes = default_scales(series.shape[-1]) if scales is None else np.asarray(scales)
    profile = np.cumsum(series - series.mean(axis=-1, keepdims=True), axis=-1)
    logs = np.stack([_log_fluctuation(profile, int(s), q, order) for s in sizes], axis=-1)
    x = np.log(sizes) - np.log(sizes).mean()
    return (logs - logs.mean(axis=-1, keepdims=True)) @ x / (x @ x)


def surrogate_width(
    values: np.ndarray, *, q: float = 2.0, draws: int = 99, seed: int = 0, order: int = 1, kind: str = "both"
) -> Surrogates | None:
    """Is the multifractal width h(−q) − h(q) more than chance and linear correlation give?

    Surrogates: half shuffled (no memory, the same distribution), half phase-randomised (the same spectrum, linear).
    ``kind``: both, shuffled or phases. None where the series does not vary.
    """
    series = np.asarray(values, dtype=np.float64)
    if np.ptp(series) == 0:
        return None
    draw = np.random.Generator(np.random.Philox(seed))
    half = {"both": draws // 2, "shuffled": draws, "phases": 0}[kind]
    copies = [draw.permutation(series) for _ in range(half)]
    copies += [_phases(series, draw) for _ in range(draws - half)]
    found = generalised_hurst(np.stack([series, *copies]), (-q, q), order=order)
    widths = found[:, 0] - found[:, 1]
    others = widths[1:]
    spread = others.std(ddof=1)
    return Surrogates(
        float(widths[0]),
        float(widths[0] - others.mean()),
        float((widths[0] - others.mean()) / spread) if spread > 0 else 0.0,
        float((1 + (others >= widths[0]).sum()) / (1 + draws)),
    )


def _log_fluctuation(profile: np.ndarray, size: int, q: Sequence[float], order: int) -> np.ndarray:
    """ln F_q of one scale, shape (..., len(q))."""
    n = profile.shape[-1]
    count = n // size
    ahead = profile[..., : count * size].reshape(*profile.shape[:-1], count, size)
    back = profile[..., n - count * size :].reshape(*profile.shape[:-1], count, size)
    segments = np.concatenate([ahead, back], axis=-2)
    basis, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, size), order + 1))
    rest = segments - (segments @ basis) @ basis.T
    variance = np.maximum((rest**2).mean(axis=-1), 1e-300)
    logs = []
    for power in q:
        if power == 0:
            logs.append(np.log(variance).mean(axis=-1) / 2)
        else:
            scaled = power / 2 * np.log(variance)
            top = scaled.max(axis=-1, keepdims=True)
            logs.append((np.log(np.exp(scaled - top).mean(axis=-1)) + top[..., 0]) / power)
    return np.stack(logs, axis=-1)


def _phases(series: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The same spectrum with random phases."""
    spectrum = np.fft.rfft(series)
    turn = np.exp(2j * np.pi * draw.random(len(spectrum)))
    turn[0] = 1.0
    if len(series) % 2 == 0:
        turn[-1] = 1.0
    return np.fft.irfft(spectrum * turn, len(series))
