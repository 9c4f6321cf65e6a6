"""Black (1976) against quadrature and against itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.options import black_delta, black_price, implied_vol


@pytest.mark.parametrize("call", [True, False])
@pytest.mark.parametrize(("strike", "years", "vol"), [(80, 0.5, 0.3), (100, 0.1, 0.15), (130, 2.0, 0.6)])
def test_price_equals_the_discounted_expectation_of_the_payoff(strike, years, vol, call):
    from scipy.integrate import quad
    from scipy.stats import norm

    def payoff(z: float) -> float:
        final = 100 * np.exp(vol * np.sqrt(years) * z - 0.5 * vol * vol * years)
        return max(final - strike if call else strike - final, 0.0) * norm.pdf(z)

    kink = (np.log(strike / 100) + 0.5 * vol * vol * years) / (vol * np.sqrt(years))
    expected = 0.97 * sum(quad(payoff, a, b, epsabs=1e-12)[0] for a, b in ((-12, kink), (kink, 12)))
    assert float(black_price(100, strike, years, vol, call, 0.97)) == pytest.approx(expected, abs=1e-8)


def test_delta_is_the_slope_of_the_price():
    strikes = np.array([60.0, 90, 100, 115, 160])
    for call in (True, False):
        up, down = (black_price(100 + h, strikes, 0.4, 0.3, call) for h in (1e-4, -1e-4))
        np.testing.assert_allclose(black_delta(100, strikes, 0.4, 0.3, call), (up - down) / 2e-4, atol=1e-7)


def test_put_call_parity_and_expired_options():
    call, put = (black_price(100, 95, 0.3, 0.25, side, 0.98) for side in (True, False))
    assert float(call - put) == pytest.approx(0.98 * 5)
    assert black_price(100, [90, 110], 0.0, 0.3, True).tolist() == [10, 0]
    assert black_delta(100, [90, 110], 0.0, 0.3, False).tolist() == [0, -1]


@settings(max_examples=200, deadline=None)
@given(
    moneyness=st.floats(-5, 5),
    total=st.floats(0.005, 2.0),
    years=st.floats(1 / 365, 3),
    call=st.booleans(),
    discount=st.floats(0.8, 1.0),
)
def test_the_volatility_put_in_comes_out_again(moneyness, total, years, call, discount):
    vol = total / np.sqrt(years)
    strike = 100 * np.exp(moneyness * total)
    price = float(black_price(100, strike, years, vol, call, discount))
    found = float(implied_vol(price, 100, strike, years, call, discount))
    # Deep in the money the price itself has lost the digits: judge by the out-of-the-money value it still holds.
    inside = max((100 - strike) if call else (strike - 100), 0.0) * discount
    slope = 100 * discount * np.exp(-0.5 * (moneyness - 0.5 * total) ** 2) / np.sqrt(2 * np.pi)
    tolerance = 1e-9 * total + 1e-14 * (price + inside) / slope * 10
    if price > inside + 1e-13 * inside:
        assert found * np.sqrt(years) == pytest.approx(total, abs=tolerance)


def test_prices_outside_the_bounds_have_no_volatility():
    bad = implied_vol([0.0, -1, 100.0, 4.9, np.nan, 3], [100, 100, 100, 100, 100, -1], 95, 0.5, True)
    assert np.isnan(bad).all()


def test_a_whole_chain_inverts_at_once():
    strike = np.tile(np.arange(60.0, 141), 40)
    vol = np.linspace(0.05, 1.5, len(strike))
    price = black_price(100, strike, 0.2, vol, strike > 100)
    usable = price > 1e-12
    np.testing.assert_allclose(implied_vol(price, 100, strike, 0.2, strike > 100)[usable], vol[usable], rtol=1e-7)
