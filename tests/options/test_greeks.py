"""Greeks against automatic differentiation of a plain formula, QuantLib and vollib."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.accelerator import load_jax
from argus_core.options.black import black_delta, black_price
from argus_core.options.greeks import Greeks, greeks

# spot, strike, years, rate, yield, vol, call
CASES = [
    (100, 100, 1.0, 0.05, 0.02, 0.2, True),
    (100, 100, 1.0, 0.05, 0.02, 0.2, False),
    (500, 450, 45 / 365, 0.043, 0.012, 0.35, False),
    (500, 560, 0.1, 0.04, 0.0, 0.12, True),
    (60, 20, 0.25, 0.0, 0.03, 1.4, False),
    (100, 95, 7 / 365, -0.01, 0.01, 0.15, True),
    (100, 130, 2.0, 0.03, 0.05, 0.6, True),
]


def of_case(spot, strike, years, rate, dividend, vol, call) -> Greeks:
    forward = spot * math.exp((rate - dividend) * years)
    return greeks(forward, strike, years, vol, call, math.exp(-rate * years), spot=spot)


@pytest.mark.parametrize("case", CASES)
def test_every_greek_is_the_derivative_of_the_plain_formula(case):
    jax = load_jax()
    from jax.scipy.special import ndtr

    spot, strike, years, rate, dividend, vol, call = case
    sign = 1.0 if call else -1.0

    def price(s, v, t, r):
        forward = s * jax.numpy.exp((r - dividend) * t)
        d1 = (jax.numpy.log(forward / strike) + 0.5 * v * v * t) / (v * jax.numpy.sqrt(t))
        d2 = d1 - v * jax.numpy.sqrt(t)
        return jax.numpy.exp(-r * t) * sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * d2))

    at = tuple(map(float, (spot, vol, years, rate)))
    (by_spot, by_vol, by_time, by_rate), second = jax.jacfwd(price, (0, 1, 2, 3))(*at), jax.hessian(price, (0, 1))(*at)
    found = of_case(*case)
    wanted = {
        "price": price(*at),
        "delta": by_spot,
        "delta_forward": by_spot * math.exp((dividend - rate) * years),
        "gamma": second[0][0],
        "vega": by_vol,
        "theta": -by_time / 365,
        "rho": by_rate,
        "vanna": second[0][1],
        "volga": second[1][1],
    }
    for name, value in wanted.items():
        assert float(getattr(found, name)) == pytest.approx(float(value), rel=1e-9, abs=1e-11), name


@pytest.mark.parametrize("case", CASES)
def test_quantlib_has_the_same_greeks(case):
    ql = pytest.importorskip("QuantLib")
    spot, strike, years, rate, dividend, vol, call = case
    forward, discount = spot * math.exp((rate - dividend) * years), math.exp(-rate * years)
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, strike)
    peer = ql.BlackCalculator(payoff, forward, vol * math.sqrt(years), discount)
    found = of_case(*case)
    assert float(found.price) == pytest.approx(peer.value(), rel=1e-12, abs=1e-13)
    assert float(found.delta) == pytest.approx(peer.delta(spot), rel=1e-11)
    assert float(found.delta_forward) == pytest.approx(peer.deltaForward(), rel=1e-11)
    assert float(found.gamma) == pytest.approx(peer.gamma(spot), rel=1e-11)
    assert float(found.vega) == pytest.approx(peer.vega(years), rel=1e-11)
    assert float(found.theta) * 365 == pytest.approx(peer.theta(spot, years), rel=1e-9)
    assert float(found.rho) == pytest.approx(peer.rho(years), rel=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_vollib_has_the_same_greeks(case):
    from vollib.black_scholes_merton.greeks import analytical

    spot, strike, years, rate, dividend, vol, call = case
    arguments = ("c" if call else "p", spot, strike, years, rate, vol, dividend)
    found = of_case(*case)
    assert float(found.delta) == pytest.approx(analytical.delta(*arguments), rel=1e-9)
    assert float(found.gamma) == pytest.approx(analytical.gamma(*arguments), rel=1e-9)
    assert float(found.vega) == pytest.approx(100 * analytical.vega(*arguments), rel=1e-9)
    assert float(found.theta) == pytest.approx(analytical.theta(*arguments), rel=1e-9)
    assert float(found.rho) == pytest.approx(100 * analytical.rho(*arguments), rel=1e-9)


def test_an_option_on_a_future_has_one_delta_and_no_carry():
    found = greeks(100, 105, 0.5, 0.3, True, 0.98)
    assert found.delta == found.delta_forward == pytest.approx(float(black_delta(100, 105, 0.5, 0.3, True, 0.98)))
    assert float(found.rho) == pytest.approx(-0.5 * float(found.price))
    later = float(black_price(100, 105, 0.5 - 1 / 3650, 0.3, True, 0.98 ** (1 - 2 / 3650)))
    assert float(found.theta) == pytest.approx((later - float(found.price)) * 10, rel=1e-3)


@settings(max_examples=100, deadline=None)
@given(
    strike=st.floats(20, 500),
    years=st.floats(0.002, 5),
    vol=st.floats(0.03, 2),
    rate=st.floats(-0.02, 0.1),
    dividend=st.floats(-0.02, 0.1),
)
def test_call_less_put_is_the_forward_contract(strike, years, vol, rate, dividend):
    call, put = (of_case(100, strike, years, rate, dividend, vol, side) for side in (True, False))
    discount, held = math.exp(-rate * years), math.exp(-dividend * years)
    wanted = {
        "price": 100 * held - strike * discount,
        "delta": held,
        "gamma": 0.0,
        "vega": 0.0,
        "rho": years * strike * discount,
        "theta": (dividend * 100 * held - rate * strike * discount) / 365,
        "vanna": 0.0,
        "volga": 0.0,
    }
    for name, value in wanted.items():
        assert float(getattr(call, name) - getattr(put, name)) == pytest.approx(value, abs=1e-10), name
    assert float(call.gamma) >= 0
    assert float(call.vega) >= 0


def test_unusable_rows_are_nan_and_leave_the_others_alone():
    bad = [(np.nan, 1, 1, 1), (-1, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, -1, 1), (1, 1, 1, 0), (1, 1, 1, np.inf)]
    forward, strike, years, vol = (np.array(v, float) for v in zip(*bad, (100, 100, 1, 0.2), strict=True))
    found = greeks(forward, strike, years, vol, True)
    alone = greeks(100, 100, 1, 0.2, True)
    for name in Greeks.__dataclass_fields__:
        assert np.isnan(getattr(found, name)[:-1]).all()
        assert getattr(found, name)[-1] == getattr(alone, name)
