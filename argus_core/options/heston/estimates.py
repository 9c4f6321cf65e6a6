"""Means and standard errors from tiles of paths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from argus_core.options.heston.market import Market, PhysicalMeasure, SimulatedMean, SimulationProvenance, path_law
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import SCHEME, TILE, Grid, Sampling
from argus_core.settings.document import canonical_hash


class Regressed(NamedTuple):
    """Means (quantities,), their standard errors, and the share of the variance that the controls explain."""

    mean: np.ndarray
    error: np.ndarray
    explained: np.ndarray

    def estimate(self, quantity: int) -> SimulatedMean:
        return SimulatedMean(float(self.mean[quantity]), float(self.error[quantity]))


def regressed(moments: np.ndarray, quantities: int, sampling: Sampling, *, controlled: bool) -> Regressed:
    """Means of the quantities, less what the controls' known means of zero explain.

    ``moments`` (tiles, k, k) are sums over each tile of products of (1, quantities, controls). Independent paths: the
    standard error is that of the residuals. Scrambled nets: that of the means of the scrambles.
    """
    paths = len(moments) * TILE
    joint = moments.sum(axis=0) / paths
    y, c = slice(1, quantities + 1), slice(quantities + 1, None)
    covariance = joint - np.outer(joint[0], joint[0])
    scale = np.sqrt(np.maximum(np.diag(covariance)[c], 1e-300))
    beta = np.zeros((len(scale), quantities))
    if controlled:
        # Controls of one leg and of its neighbour may be almost the same: least squares of least norm.
        correlated = covariance[c, c] / np.outer(scale, scale)
        beta = np.linalg.lstsq(correlated, covariance[c, y] / scale[:, None], rcond=1e-9)[0] / scale[:, None]
    mean = joint[0, y] - joint[0, c] @ beta
    total = np.diag(covariance)[y]
    left = (
        total
        - 2 * np.einsum("cy,cy->y", beta, covariance[c, y])
        + np.einsum("cy,cd,dy->y", beta, covariance[c, c], beta)
    )
    left = np.maximum(left, 0.0)
    if sampling.source == "counter":
        error = np.sqrt(left / paths)
    else:
        by_tile = (moments[:, 0, y] - moments[:, 0, c] @ beta) / TILE
        error = scramble_error(by_tile, sampling.scrambles)
    explained = 1 - left / np.where(total > 0, total, 1.0)
    return Regressed(mean, error, np.where(total > 0, explained, 0.0))


def scramble_error(by_tile: np.ndarray, scrambles: int) -> np.ndarray:
    """Standard error of the mean over tiles (tiles, ...) from the means of the independent scrambles."""
    means = by_tile.reshape(scrambles, -1, *by_tile.shape[1:]).mean(axis=1)
    return means.std(axis=0, ddof=1) / np.sqrt(scrambles)


def tile_error(by_tile: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Standard error of the mean over tiles of either source."""
    groups = sampling.scrambles if sampling.source == "sobol" else len(by_tile)
    if groups < 2:
        return np.full(by_tile.shape[1:], np.nan)
    return scramble_error(by_tile, groups)


def controls(physical: PhysicalMeasure | None) -> str:
    """Name of the control variates: discounted prices are martingales under Q only."""
    return "no controls" if physical else "martingale controls"


def made(
    parameters: HestonParameters,
    market: Market,
    physical: PhysicalMeasure | None,
    sampling: Sampling,
    grid: Grid,
    days: int,
    monitoring: str,
    estimator: str,
) -> SimulationProvenance:
    """How a number of ``days`` days was made."""
    steps = grid.monitors * grid.stride
    law = path_law(parameters, physical)
    drift = physical.drift if physical else None
    return SimulationProvenance(
        scheme=f"{SCHEME}, {steps // days} step(s) a day, {sampling.precision} precision",
        monitoring=monitoring,
        measure="P" if physical else "Q",
        estimator=f"{sampling.source}, {estimator}",
        steps=steps,
        paths=sampling.tiles * TILE,
        seed=sampling.seed,
        parameter_hash=canonical_hash([parameters.digest, law.digest, *market, drift]),
    )
