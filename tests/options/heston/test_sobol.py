"""Scrambled Sobol nets through a Brownian bridge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from argus_core.accelerator import load_jax
from argus_core.options.heston import sobol
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import TILE, Sampling, simulate


def test_direction_numbers_give_scipys_net():
    vectors = sobol.directions(6, 8)
    points = np.zeros((256, 6), np.uint32)
    for n in range(256):
        for bit in range(8):
            if n >> bit & 1:
                points[n] ^= vectors[bit]
    theirs = (qmc.Sobol(6, scramble=False, bits=32).random(256) * 2**32).astype(np.uint64).astype(np.uint32)
    assert np.array_equal(np.sort(points, axis=0), np.sort(theirs, axis=0))
    assert {tuple(p) for p in points} == {tuple(p) for p in theirs}


@pytest.mark.parametrize("steps", [1, 2, 7, 45])
def test_the_bridge_is_orthogonal_and_its_first_number_is_the_end_point(steps):
    matrix = sobol.bridge(steps)
    assert matrix @ matrix.T == pytest.approx(np.eye(steps), abs=1e-12)
    assert matrix.sum(axis=0) == pytest.approx([steps**0.5, *[0] * (steps - 1)], abs=1e-12)


def test_every_scramble_is_a_net_and_scrambles_differ():
    first, second = (sobol.net(3, 1, s, 2 * TILE, np.float64) for s in (0, 1))
    for net in (first, second):
        words = np.concatenate([net.low ^ net.shift[:, None], net.low ^ (net.shift ^ net.high[0])[:, None]], axis=1)
        for row in words:  # one point in every interval of width 1 / n
            assert np.array_equal(np.sort(row >> np.uint32(32 - 14)), np.arange(2 * TILE))
    assert not np.array_equal(first.low ^ first.shift[:, None], second.low ^ second.shift[:, None])


def test_a_step_of_the_net_is_standard_normal():
    jnp = load_jax().numpy
    net = sobol.net(4, 0, 0, TILE, np.float64)
    for z in sobol.normals(jnp, net, np.uint32(0), TILE, np.float64):
        assert np.abs(np.corrcoef(np.asarray(z)) - np.eye(4)).max() < 0.02
        assert np.asarray(z).mean(axis=1) == pytest.approx(np.zeros(4), abs=1e-3)


def test_nets_make_the_forward_more_exact_than_independent_paths():
    parameters = HestonParameters(0.04, 2, 0.05, 0.6, -0.7)
    error = {}
    for source in ("counter", "sobol"):
        end = simulate(parameters, 20 / 365, 20, sampling=Sampling(paths=16 * TILE, source=source))
        means = np.exp(end.x.astype(float)).reshape(16, -1).mean(axis=1)
        assert abs(means.mean() - 1) < 4 * means.std(ddof=1) / 4
        error[source] = means.std(ddof=1)
    assert error["sobol"] < error["counter"] / 3
