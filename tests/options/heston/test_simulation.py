"""QE-M paths: exact conditional moments, a slow twin, the same bits for any chunk, the analytic law."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from argus_core.accelerator import load_jax
from argus_core.options.heston import qe_step, threefry
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.qe_step import StepConstants
from argus_core.options.heston.simulation import TILE, Grid, Sampling, simulate
from tests.options.heston.gil_pelaez import survival

EQUITY = HestonParameters(0.04, 2, 0.05, 0.6, -0.7)
LOW_FELLER = HestonParameters(0.0625, 1, 0.06, 1.2, -0.8)  # 2 kappa theta / sigma^2 = 0.083
HIGH = HestonParameters(0.30, 3, 0.28, 1.1, -0.3)
INDEX = HestonParameters(0.02, 3, 0.035, 1, -0.72)
UPWARD = HestonParameters(0.05, 1.5, 0.06, 0.9, 0.35)
CALM = HestonParameters(0.0225, 2, 0.0225, 0.25, -0.5)


@lru_cache(maxsize=1)
def evenly(count):
    """Words whose uniform numbers are the middles of ``count`` cells: an integral instead of a sample."""
    jnp = load_jax().numpy
    words = ((np.arange(count) + 0.5) / count * 2**31).astype(np.uint32)
    both = np.concatenate([words, words | np.uint32(2**31)])
    return threefry.tail(jnp, jnp.asarray(both), np.float64)


def uniforms(tail):
    p = np.asarray(tail.probability)
    return np.where(np.asarray(tail.upper), 1 - p, p)


@lru_cache(maxsize=1)
def compiled():
    jax = load_jax()
    jnp = jax.numpy

    def step(c, v, tail):
        return qe_step.next_variance_of_normal(jnp, c, v, threefry.normal(jnp, tail), tail.complement(jnp))

    return jax.jit(step)


def double_step(c, v, tail):
    return compiled()(StepConstants(*map(np.float64, c)), np.asarray(v), tail)


@given(
    st.floats(0.0, 0.5), st.floats(0.2, 8), st.floats(0.01, 0.3), st.floats(0.1, 2.0), st.floats(-0.95, 0.35),
    st.sampled_from([1 / 1460, 1 / 365, 7 / 365]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_the_next_variance_has_the_exact_conditional_moments(v, kappa, theta, sigma, rho, dt):
    tail = evenly(2**15)
    c = StepConstants.of(HestonParameters(0.04, kappa, theta, sigma, rho), dt, 0.0)
    after, correction = (np.asarray(a) for a in double_step(c, v, tail))
    e = np.exp(-kappa * dt)
    mean = theta + (v - theta) * e
    variance = v * sigma**2 * e * (1 - e) / kappa + theta * sigma**2 * (1 - e) ** 2 / (2 * kappa)
    psi = variance / mean**2
    # Cells of the sum that are not at zero: with few of them the sum is no integral.
    cells = 2**16 * 2 / (psi + 1)
    assume(psi <= 1.5 or cells > 1000)
    assert after.mean() == pytest.approx(mean, rel=2e-3)
    assert after.var() == pytest.approx(variance, rel=2e-2)
    if psi > 1.5:  # mass at zero: (psi - 1) / (psi + 1)
        assert np.mean(after == 0) == pytest.approx((psi - 1) / (psi + 1), abs=1e-4)
        assert np.all(np.diff(after[np.argsort(uniforms(tail))]) >= -1e-12)
    if c.worst_correction() < 0.1:  # else the integral over the upper tail converges too slowly
        assert np.exp(float(correction)) == pytest.approx(np.exp(c.exponent * after).mean(), rel=1e-3)


def test_single_precision_takes_the_same_step():
    jnp = load_jax().numpy
    rng = np.random.default_rng(0)
    words = jnp.asarray(rng.integers(0, 2**32, 20_000, dtype=np.uint64).astype(np.uint32))
    v = rng.gamma(1.0, 0.05, 20_000)
    exact = StepConstants.of(LOW_FELLER, 1 / 365, 0.0)
    rounded = StepConstants._make(np.float32(a) for a in exact)
    one = qe_step.next_variance(jnp, rounded, jnp.asarray(v, jnp.float32), threefry.tail(jnp, words, np.float32))
    two = double_step(exact, v, threefry.tail(jnp, words, np.float64))
    assert np.asarray(one[0]) == pytest.approx(np.asarray(two[0]), rel=2e-3, abs=2e-6)
    assert np.asarray(one[1]) == pytest.approx(np.asarray(two[1]), abs=1e-6)


def andersen(parameters, dt, drift, steps, seed, paths):
    """The scheme as printed in the paper, path by path in NumPy float64."""
    v0, kappa, theta, sigma, rho = parameters
    key = [np.full(paths, k, np.uint32) for k in threefry.key(seed)]
    x, v = np.zeros(paths), np.full(paths, v0)
    k1 = dt / 2 * (kappa * rho / sigma - 0.5) - rho / sigma
    k2 = dt / 2 * (kappa * rho / sigma - 0.5) + rho / sigma
    k3 = k4 = dt / 2 * (1 - rho**2)
    a_ = k2 + k4 / 2
    e = np.exp(-kappa * dt)
    for step in range(steps):
        w = threefry.words(np, *key, np.arange(paths, dtype=np.uint32), np.full(paths, step, np.uint32))
        u, ux = ((word.astype(float) % 2**31 + 0.5) / 2**32 for word in w)
        z, zx = (np.where(word >> 31, -ndtri(p), ndtri(p)) for word, p in zip(w, (u, ux), strict=True))
        u = np.where(w[0] >> 31, 1 - u, u)
        m = theta + (v - theta) * e
        s2 = v * sigma**2 * e / kappa * (1 - e) + theta * sigma**2 / (2 * kappa) * (1 - e) ** 2
        psi = s2 / m**2
        quadratic = psi <= 1.5
        inverse = 2 / np.where(quadratic, psi, 1.5)
        b2 = inverse - 1 + np.sqrt(inverse) * np.sqrt(inverse - 1)
        a = m / (1 + b2)
        p, beta = (psi - 1) / (psi + 1), 2 / (m * (psi + 1))
        small = np.where(u <= p, 0.0, np.log(np.where(u <= p, 1.0, (1 - p) / (1 - u))) / beta)
        after = np.where(quadratic, a * (np.sqrt(b2) + z) ** 2, small)
        with np.errstate(invalid="ignore"):
            m_ = np.where(
                quadratic,
                np.exp(a_ * b2 * a / (1 - 2 * a_ * a)) / np.sqrt(1 - 2 * a_ * a),
                p + beta * (1 - p) / (beta - a_),
            )
        k0 = -np.log(m_) - (k1 + k3 / 2) * v
        x = x + drift * dt + k0 + k1 * v + k2 * after + np.sqrt(k3 * v + k4 * after) * zx
        v = after
    return x, v


@pytest.mark.parametrize("parameters", [EQUITY, LOW_FELLER, UPWARD])
def test_paths_are_those_of_the_scheme_as_printed(parameters):
    sampling = Sampling(paths=500, seed=3, precision="double", chunk=1)
    fast = simulate(parameters, 20 / 365, 20, drift=0.02, sampling=sampling)
    x, v = andersen(parameters, 1 / 365, 0.02, 20, 3, 500)
    assert fast.x == pytest.approx(x, abs=1e-10)
    assert fast.v == pytest.approx(v, abs=1e-10)
    single = simulate(parameters, 20 / 365, 20, drift=0.02, sampling=Sampling(paths=500, seed=3, chunk=1))
    assert np.quantile(np.abs(single.x - x), 0.99) < 2e-5


@pytest.mark.parametrize(("source", "paths"), [("counter", 7 * TILE), ("sobol", 32 * TILE)])
def test_the_same_seed_gives_the_same_bits_for_any_chunk_and_thread(source, paths):  # G12
    ends = [
        simulate(
            EQUITY, 5 / 365, 5, sampling=Sampling(paths=paths, seed=9, source=source, chunk=chunk, threads=threads)
        )
        for chunk, threads in ((1, 2), (2, 1), (5, 2), (8, 1))
    ]
    for other in ends[1:]:
        assert other.x.tobytes() == ends[0].x.tobytes()
        assert other.v.tobytes() == ends[0].v.tobytes()
    more = simulate(EQUITY, 5 / 365, 5, sampling=Sampling(paths=paths, seed=10, source=source))
    assert more.x.tobytes() != ends[0].x.tobytes()


def test_more_paths_begin_with_the_same_paths():
    few = simulate(EQUITY, 5 / 365, 5, sampling=Sampling(paths=100))
    many = simulate(EQUITY, 5 / 365, 5, sampling=Sampling(paths=7 * TILE))
    assert few.x.tobytes() == many.x[:100].tobytes()


def z_scores(parameters, days, drift, sampling, cells):
    years = days / 365
    end = simulate(parameters, years, days, drift=drift, sampling=sampling)
    relative = end.x.astype(float) - drift * years
    forward = np.exp(relative)
    strikes = np.quantile(relative, np.linspace(0.01, 0.99, cells)).round(4)
    exact = survival(parameters, years, strikes)
    share = np.array([(relative > k).mean() for k in strikes])
    n = len(relative)
    martingale = (forward.mean() - 1) / (forward.std() / n**0.5)
    return (share - exact) / np.sqrt(exact * (1 - exact) / n), share - exact, martingale


@pytest.mark.parametrize(("parameters", "days"), [(EQUITY, 45), (LOW_FELLER, 45), (UPWARD, 45)])
def test_probabilities_agree_with_the_analytic_law_and_the_forward_is_a_martingale(parameters, days):  # G6, small
    z, _, martingale = z_scores(parameters, days, 0.03, Sampling(paths=2**17, seed=1), 12)
    assert np.abs(z).max() < 4.5
    assert abs(martingale) < 4


@pytest.mark.slow
def test_two_hundred_cells_agree_with_the_analytic_law():  # G6
    # Strikes of one sample are correlated; many (set, seed) pairs with few strikes each make the root mean square mean
    # something.
    z, martingales = [], []
    for seed, (parameters, days) in enumerate(
        (p, d) for p in (EQUITY, LOW_FELLER, HIGH, INDEX, UPWARD, CALM) for d in (20, 30, 45, 60, 75, 90, 120)
    ):
        found, _, martingale = z_scores(parameters, days, 0.02, Sampling(paths=2**20, seed=seed), 5)
        z.append(found)
        martingales.append(martingale)
    z = np.concatenate(z)
    assert len(z) >= 200
    assert 0.85 <= np.sqrt(np.mean(z**2)) <= 1.15
    assert np.mean(np.abs(z) > 3) <= 0.015
    assert np.abs(z).max() < 4.5
    assert np.abs(martingales).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [EQUITY, LOW_FELLER, INDEX])
def test_the_bias_of_daily_steps_is_small(parameters):  # G6, 1.6e7 paths
    _, bias, _ = z_scores(parameters, 45, 0.0, Sampling(paths=2**24, seed=5), 5)
    assert np.abs(bias).max() < 3e-4 + 3 * 0.5 / 2**12


def test_steps_shorten_where_the_martingale_correction_needs_it():
    wild = HestonParameters(0.2, 0.5, 0.2, 4.0, 0.9)
    assert Grid.of(EQUITY, 1.0, 4).stride == 1
    grid = Grid.of(wild, 1.0, 4)
    assert grid.stride > 1
    assert StepConstants.of(wild, grid.dt, 0.0).worst_correction() <= 0.5
    assert StepConstants.of(wild, 0.25, 0.0).worst_correction() > 0.5
    end = simulate(wild, 0.25, 1, sampling=Sampling(paths=2**16))
    assert np.all(np.isfinite(end.x))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="sigma = 0"):
        simulate(EQUITY._replace(sigma=0), 0.1, 10)
    with pytest.raises(ValueError, match="years = -1"):
        simulate(EQUITY, -1, 10)
