"""The law of the underlying that the surface implies, against numerical derivatives and against Heston."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from argus_core.options.black import black_price
from argus_core.options.surface import Surface, fit_surface
from tests.options.heston_chains import PARAMETERS, heston_chain, heston_price


@pytest.fixture(scope="module")
def surface() -> Surface:
    chain = heston_chain(days=(10, 30, 60, 120, 365), deviations=np.linspace(-2.5, 1.8, 25), dividend_yield=0.01)
    return Surface.of(fit_surface(chain.implied_vols).slices)


def test_the_distribution_is_minus_the_slope_of_the_calls(surface):
    law = surface.law(0.11)
    strike, h = np.linspace(70, 130, 25), 1e-3
    slope = (law.call_price(strike + h) - law.call_price(strike - h)) / (2 * h)
    assert law.cdf(strike) == pytest.approx(1 + slope / law.discount, abs=1e-8)
    density = (law.cdf(strike + h) - law.cdf(strike - h)) / (2 * h)
    assert law.density(strike) == pytest.approx(density, abs=1e-8)


def test_the_density_integrates_to_one_and_to_the_forward(surface):
    for years in (0.01, surface.years[1], 0.5, 3.0):
        law = surface.law(years)
        low, high = 0.02 * law.forward, 20 * law.forward
        points = [law.forward * np.exp(s * np.sqrt(law.theta)) for s in (-4, -1, 0, 1, 3)]
        mass = quad(lambda s, law=law: float(law.density(s)), low, high, points=points, limit=400)[0]
        mean = quad(lambda s, law=law: s * float(law.density(s)), low, high, points=points, limit=400)[0]
        assert mass == pytest.approx(1, abs=1e-4)
        assert mean == pytest.approx(law.forward, rel=2e-4)
        assert law.cdf([0.0, -1.0, law.forward * 1e-6, law.forward * 1e6]) == pytest.approx([0, 0, 0, 1], abs=1e-6)


def test_prices_are_those_of_black_at_the_surface_volatility(surface):
    years = 0.2
    law = surface.law(years)
    strike = np.array([80.0, 100.0, 125.0])
    iv = surface.iv(np.log(strike / law.forward), years)
    expected = black_price(law.forward, strike, years, iv, np.array([True] * 3), law.discount)
    assert law.call_price(strike) == pytest.approx(expected, abs=1e-12)
    assert surface.call_price(strike, years) == pytest.approx(expected, abs=1e-12)
    parity = law.discount * (law.forward - strike)
    assert law.call_price(strike) - law.put_price(strike) == pytest.approx(parity, abs=1e-12)
    assert law.call_price(0.0) == pytest.approx(law.discount * law.forward)


def test_the_distribution_is_near_to_that_of_the_model_that_made_the_quotes(surface):
    """A second opinion: within 1.5 probability points of Heston, from quotes alone."""
    years = float(surface.years[2])
    law = surface.law(years)
    strike, h = np.linspace(85, 115, 13), 1e-3
    up, down = (heston_price(PARAMETERS, law.forward, strike + s, years, True) for s in (h, -h))
    assert np.abs(law.cdf(strike) - (1 + (up - down) / (2 * h))).max() < 0.015


def test_slices_are_met_at_their_expiries_and_time_runs_between_them(surface):
    theta, psi, rho = surface.parameters(surface.years)
    assert theta == pytest.approx(surface.theta)
    assert psi == pytest.approx(surface.psi)
    assert rho == pytest.approx(surface.rho)
    middle = 0.5 * (surface.years[1] + surface.years[2])
    assert surface.parameters(middle)[0] == pytest.approx(0.5 * (surface.theta[1] + surface.theta[2]))
    assert surface.forward_at(surface.years) == pytest.approx(surface.forward)
    assert surface.forward_at(1.5) == pytest.approx(100 * np.exp(0.02 * 1.5), rel=1e-9)
    assert surface.discount_at([0.0, 0.5, 2.0]) == pytest.approx(np.exp(-0.03 * np.array([0.0, 0.5, 2.0])), rel=1e-9)
    early = surface.parameters(surface.years[0] / 4)
    assert early[0] == pytest.approx(surface.theta[0] / 4)
    with pytest.raises(ValueError, match="positive"):
        surface.law(0.0)
