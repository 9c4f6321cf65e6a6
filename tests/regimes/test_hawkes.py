"""The Hawkes likelihood, its residuals and its fit: table row A-61."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import check_grad
from scipy.stats import kstest

from argus_core.regimes.hawkes import (
    _negative,
    business_times,
    fit_hawkes,
    hawkes_compensator,
    hawkes_intensity,
    hawkes_log_likelihood,
)

TIMES, HORIZON, MODEL = np.array([1, 2, 4, 4.5, 7]), 10.0, (0.5, 0.8, 1.2)


def simulated(mu, alpha, beta, horizon, seed):
    """Ogata's thinning."""
    draw, times, t, excited = np.random.default_rng(seed), [], 0.0, 0.0
    while True:
        bound = mu + alpha * excited
        wait = draw.exponential(1 / bound)
        t += wait
        if t > horizon:
            return np.array(times)
        excited *= np.exp(-beta * wait)
        if draw.random() * bound <= mu + alpha * excited:
            times.append(t)
            excited += 1


def test_a61_likelihood_and_residuals():
    assert hawkes_log_likelihood(TIMES, HORIZON, *MODEL) == pytest.approx(-10.408154, abs=1e-6)
    found = hawkes_compensator(TIMES, *MODEL)
    assert found == pytest.approx([0.5, 0.965871, 1.788768, 0.586298, 2.272172], abs=1e-6)
    mu, alpha, beta = MODEL
    assert mu / (1 - alpha / beta) == pytest.approx(1.5)
    assert 1.5 / (1 - alpha / beta) ** 2 == pytest.approx(13.5)


def test_the_likelihood_is_the_integral():
    mu, alpha, beta = MODEL

    def intensity(t):
        return float(hawkes_intensity(np.array([t]), TIMES, mu, alpha, beta)[0])

    logs = sum(np.log(intensity(t)) for t in TIMES)
    area = quad(intensity, 0, HORIZON, points=TIMES.tolist(), limit=200)[0]
    assert hawkes_log_likelihood(TIMES, HORIZON, *MODEL) == pytest.approx(logs - area, abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.floats(-2, 1), st.floats(-2, 2), st.floats(-1, 2))
def test_the_gradient_is_the_slope(a, b, c):
    point = np.array([a, b, c])
    error = check_grad(lambda x: _negative(x, TIMES, HORIZON)[0], lambda x: _negative(x, TIMES, HORIZON)[1], point)
    assert error < 1e-3


def test_a_fit_finds_what_was_simulated_and_its_residuals_are_exponential():
    times = simulated(0.5, 0.6, 1.5, 4000, 3)
    found = fit_hawkes(times, 4000.0)
    assert found is not None
    assert found.branching == pytest.approx(0.4, abs=0.08)
    assert found.mu == pytest.approx(0.5, rel=0.15)
    assert kstest(hawkes_compensator(times, found.mu, found.alpha, found.beta), "expon").pvalue > 0.01
    assert fit_hawkes(times[:5], 10.0) is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_point_of_a_grid_is_likelier_than_the_fit(seed):
    times = simulated(0.9, 0.3, 1.0, 150, seed)
    found = fit_hawkes(times, 150.0)
    assert found is not None
    assert found.converged
    grid = [
        hawkes_log_likelihood(times, 150.0, mu, share * beta, beta)
        for mu in np.geomspace(0.2, 3, 8)
        for share in np.linspace(0.01, 0.95, 8)
        for beta in np.geomspace(10 / 150, 50, 8)
    ]
    assert found.log_likelihood >= max(grid)
    assert found.log_likelihood == pytest.approx(
        hawkes_log_likelihood(times, 150.0, found.mu, found.alpha, found.beta), abs=1e-8
    )


def test_the_shape_of_the_day_looks_like_excitation_until_it_is_taken_out():
    draw = np.random.default_rng(1)
    shape = np.array([6.0, 3, 1, 1, 1, 1, 1, 2, 5])
    parts = []
    for day in range(25):
        per = draw.poisson(shape * 8 / shape.mean())
        parts += [day * 9.0 + k + draw.random(count) for k, count in enumerate(per)]
    times = np.sort(np.concatenate(parts))
    naive = fit_hawkes(times, 225.0)
    day, within = np.divmod(times, 9.0)
    business = fit_hawkes(np.sort(day * 9.0 + business_times(within, shape, 9.0)), 225.0)
    assert naive is not None
    assert business is not None
    assert naive.branching > 0.3
    assert business.branching < 0.15


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.01, 50), min_size=2, max_size=30, unique=True), st.integers(1, 29))
def test_an_intensity_sees_no_event_at_or_after_its_moment(times, cut):
    ordered = np.sort(times)
    moment = ordered[min(cut, len(ordered) - 1)]
    whole = hawkes_intensity(np.array([moment]), ordered, *MODEL)
    past = hawkes_intensity(np.array([moment]), ordered[ordered < moment], *MODEL)
    assert whole == pytest.approx(past)
