"""Tests that may be looked at every day: table rows A-67, A-68, A-77."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from argus_core.evaluation.sequential import betting_wealth, cusum, mixture_radius, shiryaev_roberts

OUTCOMES = np.array([0.6, 0.4, 0.7, 0.2, 0.3, 0.1, 0.5, 0.2])


def test_a67_e_process():
    assert betting_wealth(OUTCOMES, 0.5, -0.8)[-1] == pytest.approx(1.965016, abs=1e-6)
    assert shiryaev_roberts(OUTCOMES, 0.5, -0.8)[-1] == pytest.approx(14.448438, abs=1e-6)
    assert cusum(OUTCOMES, 0.5, -0.8)[-1] == pytest.approx(2.354373, abs=1e-6)


def test_a68_radius():
    found = mixture_radius(np.array([100, 252, 1000]))
    assert found == pytest.approx([0.303781, 0.195430, 0.103502], abs=1e-6)


def test_a77_peeking():
    paths, days = 20_000, 252
    sums = np.random.default_rng(7).normal(size=(paths, days)).cumsum(axis=1)
    t = np.arange(1, days + 1)
    z = (sums / np.sqrt(t))[:, 19:]
    assert (z > 1.6449).any(axis=1).mean() == pytest.approx(0.252, abs=0.01)
    assert (np.abs(z) > 1.95996).any(axis=1).mean() == pytest.approx(0.312, abs=0.01)
    outside = (np.abs(sums / t) > mixture_radius(t))[:, 19:].any(axis=1).mean()
    assert outside == pytest.approx(0.024, abs=0.01)


def test_a_fair_game_is_fair_and_rarely_reaches_twenty():
    """Every sequence of ten fair coins: the mean wealth is 1, and Ville's inequality holds at every level."""
    coins = np.array(list(product((0.0, 1.0), repeat=10)))
    wealth = betting_wealth(coins, 0.5, -1.5)
    assert wealth[:, -1].mean() == pytest.approx(1.0)
    for alpha in (0.5, 0.2, 0.1, 0.05):
        assert (wealth.max(axis=1) >= 1 / alpha).mean() <= alpha


def test_a_healthy_strategy_is_rarely_stopped_under_daily_looks_and_a_dead_one_soon():
    draw = np.random.default_rng(3)
    healthy = np.clip(draw.normal(0.5, 0.2, (4000, 252)), 0, 1)
    dead = np.clip(draw.normal(0.35, 0.2, (4000, 252)), 0, 1)
    stopped = [(betting_wealth(x, 0.5, -1.2) >= 20).any(axis=1).mean() for x in (healthy, dead)]
    assert stopped[0] <= 0.05
    assert stopped[1] > 0.95


def test_a_bet_beyond_the_wealth_is_refused():
    with pytest.raises(ValueError, match="lose more than the wealth"):
        betting_wealth(np.array([1.0]), 0.0, -2.0)
