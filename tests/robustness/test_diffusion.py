"""Ruin and drawdown in closed form (statistics.md A-28 .. A-33), with solvers and simulations that share nothing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from argus_core.robustness.diffusion import (
    MONITORING_SHIFT,
    brownian_ruin,
    drawdown_exceedance,
    drawdown_quantile,
    expected_drawdown,
    gamblers_ruin,
    healthy_drawdown_limit,
    triple_penance,
)

POSITIVE = st.floats(0.05, 5.0)
DRIFT = st.floats(-3.0, 3.0)


def simulated(drift, steps, paths, *, seed, chunk=4000):
    """(maximum drawdowns, minima) of walks over one unit of time with unit volatility, looked at after every step."""
    rng = np.random.default_rng(seed)
    worst, lowest = [], []
    for _ in range(paths // chunk):
        moves = rng.standard_normal((steps, chunk), dtype=np.float32) * np.float32(steps**-0.5)
        x = peak = low = fall = np.zeros(chunk, dtype=np.float32)
        for row in moves:
            x = x + (row + np.float32(drift / steps))
            peak = np.maximum(peak, x)
            low = np.minimum(low, x)
            fall = np.maximum(fall, peak - x)
        worst.append(fall)
        lowest.append(low)
    return np.concatenate(worst).astype(float), np.concatenate(lowest).astype(float)


def by_differential_equation(level, drift, *, cells, steps):
    """P(MDD > level) over one unit of time by Crank-Nicolson on the drawdown: reflected at 0, absorbed at ``level``."""
    from scipy.linalg import solve_banded

    dx, dt = level / cells, 1.0 / steps
    upper = np.full(cells, 0.5 / dx**2 - drift / (2 * dx))
    lower = np.full(cells, 0.5 / dx**2 + drift / (2 * dx))
    diagonal = np.full(cells, -1.0 / dx**2)
    # The survival probability u(x, t) has u'(0) = 0: the value left of 0 mirrors the one right of it.
    upper[0], lower[0] = 1.0 / dx**2, 0.0

    def advance(u, length, implicit):
        bands = np.zeros((3, cells))
        bands[0, 1:] = -implicit * length * upper[:-1]
        bands[1] = 1 - implicit * length * diagonal
        bands[2, :-1] = -implicit * length * lower[1:]
        explicit = diagonal * u
        explicit[:-1] += upper[:-1] * u[1:]
        explicit[1:] += lower[1:] * u[:-1]
        return solve_banded((1, 1), bands, u + (1 - implicit) * length * explicit)

    u = np.ones(cells)
    # Four implicit half steps first damp what the jump at the absorbing edge starts (Rannacher).
    for _ in range(4):
        u = advance(u, dt / 2, 1.0)
    for _ in range(steps - 2):
        u = advance(u, dt, 0.5)
    return 1 - u[0]


@pytest.mark.parametrize(
    ("case", "watched", "daily"),
    [((20, 0.1, 2, 250), 0.284413, 0.262441), ((0.2, 0.0004, 0.01, 252), 0.082763, 0.075675)],
)
def test_a29_brownian_ruin(case, watched, daily):
    assert brownian_ruin(*case) == pytest.approx(watched, abs=5e-7)
    assert brownian_ruin(*case, step=1.0) == pytest.approx(daily, rel=0.02)


def test_a29_daily_monitoring_equals_a_simulation():
    # x 20, mu .1, s 2, T 250 in units of s √T: the drift is .1 √250 / 2.
    _, lowest = simulated(0.1 * math.sqrt(250) / 2, 250, 40_000, seed=29)
    share = (lowest <= -20 / (2 * math.sqrt(250))).mean()
    expected = brownian_ruin(20, 0.1, 2, 250, step=1.0)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 40_000))
    assert abs(share - brownian_ruin(20, 0.1, 2, 250)) > 4 * math.sqrt(share * (1 - share) / 40_000)


def test_ruin_without_a_horizon_is_the_limit_of_long_ones():
    assert brownian_ruin(20, 0.1, 2) == pytest.approx(math.exp(-2 * 0.1 * 20 / 4))
    assert brownian_ruin(20, 0.1, 2, 1e7) == pytest.approx(brownian_ruin(20, 0.1, 2), rel=1e-9)
    assert brownian_ruin(20, -0.1, 2) == 1.0
    assert brownian_ruin(20, -50.0, 0.1, 1e6) == 1.0  # exp(2μx/σ²) alone overflows
    assert brownian_ruin(0, 1, 1, 1) == brownian_ruin(0, 1, 1, 1, step=1.0) == 1.0


@given(POSITIVE, DRIFT, POSITIVE, POSITIVE, st.floats(1.01, 3.0))
def test_ruin_rises_with_volatility_of_a_gainer_and_falls_with_distance_and_drift(x, drift, s, horizon, factor):
    here = brownian_ruin(x, drift, s, horizon)
    slack = 1e-12
    assert 0.0 <= here <= 1.0
    assert brownian_ruin(x * factor, drift, s, horizon) <= here + slack
    assert brownian_ruin(x, drift + factor, s, horizon) <= here + slack
    assert brownian_ruin(x, drift, s, horizon * factor) >= here - slack
    assert brownian_ruin(x, drift, s, horizon, step=factor) <= here + slack
    assert brownian_ruin(x, abs(drift), s * factor, horizon) >= brownian_ruin(x, abs(drift), s, horizon) - slack
    assert here <= brownian_ruin(x, drift, s) + slack


@given(POSITIVE, DRIFT, POSITIVE, POSITIVE, st.floats(0.1, 10.0))
def test_ruin_does_not_depend_on_units(x, drift, s, horizon, unit):
    here = brownian_ruin(x, drift, s, horizon)
    assert brownian_ruin(x * unit, drift * unit, s * unit, horizon) == pytest.approx(here, rel=1e-9, abs=1e-14)
    assert brownian_ruin(x, drift / unit, s / math.sqrt(unit), horizon * unit) == pytest.approx(
        here, rel=1e-9, abs=1e-14
    )


def test_a28_gamblers_ruin():
    assert gamblers_ruin(0.55, 10, 20) == pytest.approx(0.118501, abs=5e-7)
    assert gamblers_ruin(0.5, 10, 20) == 0.5
    assert gamblers_ruin(0.55, 10) == pytest.approx((0.45 / 0.55) ** 10)
    assert gamblers_ruin(0.45, 3) == gamblers_ruin(0.5, 0, 7) == 1.0
    assert gamblers_ruin(0.7, 7, 7) == gamblers_ruin(0.3, 7, 7) == 0.0
    assert gamblers_ruin(0.4, 500, 3000) == 1.0  # (q/p)^N alone overflows


@given(st.floats(0.05, 0.95), st.integers(2, 12))
def test_gamblers_ruin_solves_its_equations(probability, goal):
    # h(i) = p h(i + 1) + q h(i - 1) with h(0) = 1, h(N) = 0.
    matrix, right = np.eye(goal + 1), np.zeros(goal + 1)
    right[0] = 1.0
    for i in range(1, goal):
        matrix[i, i + 1], matrix[i, i - 1] = -probability, probability - 1
    solved = np.linalg.solve(matrix, right)
    assert [gamblers_ruin(probability, i, goal) for i in range(goal + 1)] == pytest.approx(solved, abs=1e-9)


def test_a30_drawdown_of_a_walk_without_drift():
    assert expected_drawdown(0, 1, 1) == pytest.approx(1.253314, abs=5e-7)
    quantiles = [drawdown_quantile(p, 0, 1, 1) for p in (0.5, 0.95, 0.99)]
    assert quantiles == pytest.approx([1.148973, 2.241403, 2.807034], abs=5e-7)
    assert drawdown_exceedance(1.0, 0, 1, 1) == pytest.approx(0.629223, abs=5e-7)


def test_a30_both_series_of_the_driftless_distribution_agree_and_its_mean_is_its_integral():
    from scipy.integrate import quad

    seam = drawdown_exceedance([1 - 1e-12, 1 + 1e-12], 0, 1, 1)
    assert seam[0] == pytest.approx(seam[1], abs=1e-11)
    integral, _ = quad(lambda h: drawdown_exceedance(h, 0, 1, 1), 0, 12, points=[1.0])
    assert integral == pytest.approx(expected_drawdown(0, 1, 1), abs=1e-7)


def test_a31_drawdown_of_a_walk_with_drift():
    assert expected_drawdown(1, 1, 1) == pytest.approx(0.92508, rel=1e-3)
    assert expected_drawdown(1, 1, 1) == pytest.approx(0.926318, rel=4e-3)  # table of Magdon-Ismail et al.
    assert drawdown_quantile(0.95, 1, 1, 1) == pytest.approx(1.6123, rel=4e-3)


@pytest.mark.parametrize(("level", "drift"), [(0.5, 1.0), (1.6123, 1.0), (0.9, -2.0), (3.0, -2.0), (0.5, 5.0)])
def test_a31_the_inverted_transform_solves_the_differential_equation(level, drift):
    coarse, fine = (by_differential_equation(level, drift, cells=n, steps=n) for n in (300, 600))
    assert drawdown_exceedance(level, drift, 1, 1) == pytest.approx((4 * fine - coarse) / 3, abs=2e-6)


def test_a31_strong_drift_has_the_published_limits():
    # 2σ²/μ (ln(μ²T/(2σ²))/4 + 0.49088) for a gainer; a loser falls all the way, less its two ends.
    for drift in (20.0, 30.0):
        limit = 2 / drift * (math.log(drift**2 / 2) / 4 + 0.49088)
        assert expected_drawdown(drift, 1, 1) == pytest.approx(limit, rel=2e-3)
        assert expected_drawdown(-drift, 1, 1) == pytest.approx(drift + 1 / drift, rel=1e-6)


def test_a31_a_vanishing_drift_meets_the_closed_form():
    levels = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 4.0])
    assert drawdown_exceedance(levels, 1e-9, 1, 1) == pytest.approx(drawdown_exceedance(levels, 0, 1, 1), abs=1e-8)


@pytest.mark.parametrize(("steps", "spec", "paths"), [(252, 0.8512, 60_000), (1260, 0.8904, 24_000)])
def test_a32_steps_hide_part_of_the_drawdown(steps, spec, paths):
    worst, _ = simulated(1.0, steps, paths, seed=32)
    error = worst.std() / math.sqrt(paths)
    assert worst.mean() == pytest.approx(spec, abs=4 * math.hypot(error, 0.0025 / 4))
    # The shifted level is a first-order correction: right to 0.002 here.
    assert worst.mean() == pytest.approx(expected_drawdown(1, 1, 1, step=1 / steps), abs=4 * error + 0.002)
    assert worst.mean() < expected_drawdown(1, 1, 1) - 4 * error


def test_a32_without_drift_252_looks_miss_twice_the_shift():
    assert expected_drawdown(0, 1, 1, step=1 / 252) == pytest.approx(1.183, abs=0.004)
    loss = expected_drawdown(0, 1, 1) - expected_drawdown(0, 1, 1, step=1 / 252)
    assert loss == pytest.approx(2 * MONITORING_SHIFT / math.sqrt(252), rel=1e-4)


@hypothesis_settings(max_examples=40, deadline=None)
@given(POSITIVE, DRIFT, POSITIVE, POSITIVE, st.floats(1.01, 3.0))
def test_drawdown_falls_with_level_and_drift_and_rises_with_the_horizon(level, drift, s, horizon, factor):
    here = drawdown_exceedance(level, drift, s, horizon)
    slack = 1e-7
    assert 0.0 <= here <= 1.0
    assert drawdown_exceedance(level * factor, drift, s, horizon) <= here + slack
    assert drawdown_exceedance(level, drift + factor, s, horizon) <= here + slack
    assert drawdown_exceedance(level, drift, s, horizon * factor) >= here - slack
    assert drawdown_exceedance(level, drift, s, horizon, step=factor) <= here + slack
    # A fall below the start is a fall below the peak.
    assert here >= brownian_ruin(level, drift, s, horizon) - slack
    assert drawdown_exceedance(2 * level, 2 * drift, 2 * s, horizon) == pytest.approx(here, abs=slack)


@hypothesis_settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 0.999), DRIFT, POSITIVE, POSITIVE)
def test_the_quantile_inverts_the_distribution(probability, drift, s, horizon):
    level = drawdown_quantile(probability, drift, s, horizon)
    assert drawdown_exceedance(level, drift, s, horizon) == pytest.approx(1 - probability, abs=1e-6)


def test_a33_triple_penance():
    worst = triple_penance(1.0, 1.0)
    assert worst.loss == pytest.approx(0.676386, abs=5e-7)
    assert worst.time_to_loss == pytest.approx(0.676386, abs=5e-7)
    assert worst.time_under_water == pytest.approx(2.705544, abs=1e-6)
    assert worst.time_under_water - worst.time_to_loss == pytest.approx(3 * worst.time_to_loss)
    assert triple_penance(0.0, 1.0).loss == math.inf


@given(st.floats(0.1, 4.0), st.floats(0.01, 1.0), st.floats(0.55, 0.999))
def test_a33_the_loss_is_the_worst_quantile_over_all_times(drift, s, confidence):
    from statistics import NormalDist

    worst = triple_penance(drift, s, confidence)
    z = NormalDist().inv_cdf(confidence)

    def quantile(t):
        return z * s * math.sqrt(t) - drift * t

    assert quantile(worst.time_to_loss) == pytest.approx(worst.loss)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert quantile(factor * worst.time_to_loss) < worst.loss
    assert quantile(worst.time_under_water) == pytest.approx(0.0, abs=1e-9 * s)


def test_a33_a_limit_tighter_than_the_healthy_one_kills_more_healthy_strategies_than_it_says():
    limit = healthy_drawdown_limit(1.0, 0.10)
    assert limit == pytest.approx(0.0676386, abs=5e-8)
    assert healthy_drawdown_limit(1.0, 0.20) == pytest.approx(2 * limit)
    assert healthy_drawdown_limit(2.0, 0.10) == pytest.approx(limit / 2)
    assert healthy_drawdown_limit(0.0, 0.10) == healthy_drawdown_limit(-1.0, 0.10) == math.inf
    # At one moment 5 % are below it, but most touch it in a year: a limit over a horizon has to be wider.
    time = triple_penance(0.10, 0.10).time_to_loss
    assert normal_below((-limit - 0.10 * time) / (0.10 * math.sqrt(time))) == pytest.approx(0.05)
    assert drawdown_exceedance(limit, 0.10, 0.10, 1.0) > 0.5


def normal_below(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: brownian_ruin(-1, 0, 1, 1), "distance"),
        (lambda: brownian_ruin(1, 0, 0, 1), "volatility"),
        (lambda: brownian_ruin(1, 0, 1, 0), "horizon"),
        (lambda: brownian_ruin(1, 0, 1, 1, step=-1), "step"),
        (lambda: drawdown_exceedance(1.0, 0, 1, math.inf), "horizon"),
        (lambda: drawdown_quantile(1.0, 0, 1, 1), "probability"),
        (lambda: gamblers_ruin(1.0, 1, 2), "probability"),
        (lambda: gamblers_ruin(0.5, 3, 2), "goal"),
        (lambda: triple_penance(1, 1, 0.2), "confidence"),
    ],
)
def test_unusable_inputs_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_a28_gamblers_ruin_by_enumeration_of_short_games():
    # From 2 of 4 every game ends or returns to 2 after two bets: broke with q² per round, rich with p².
    p = 0.6
    broke = sum((1 - p) ** 2 * (2 * p * (1 - p)) ** rounds for rounds in range(200))
    assert gamblers_ruin(p, 2, 4) == pytest.approx(broke)
    ends = [sum(bets) for bets in itertools.product((1, -1), repeat=2)]
    assert sorted(ends) == [-2, 0, 0, 2]
