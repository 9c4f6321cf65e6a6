"""The early-exercise premium against QuantLib's QdFp engine, a binomial tree and what must hold for any option."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.options.american import early_exercise_premium
from argus_core.options.black import black_price, implied_vol


def tree(spot, strike, years, vol, call, rate, dividend, steps=2001, american=True) -> float:
    """Cox, Ross and Rubinstein (1979), step by step."""
    dt = years / steps
    up = np.exp(vol * np.sqrt(dt))
    p = (np.exp((rate - dividend) * dt) - 1 / up) / (up - 1 / up)
    sign = 1.0 if call else -1.0
    prices = spot * up ** (2.0 * np.arange(steps + 1) - steps)
    value = np.maximum(sign * (prices - strike), 0.0)
    for step in range(steps - 1, -1, -1):
        value = np.exp(-rate * dt) * (p * value[1:] + (1 - p) * value[:-1])
        if american:
            prices = spot * up ** (2.0 * np.arange(step + 1) - step)
            value = np.maximum(value, sign * (prices - strike))
    return float(value[0])


def european(spot, strike, years, vol, call, rate, dividend):
    forward = spot * np.exp((rate - dividend) * np.asarray(years))
    return black_price(forward, strike, years, vol, call, np.exp(-rate * np.asarray(years)))


def test_premium_equals_that_of_a_binomial_tree():
    for case in (
        (100, 100, 0.5, 0.2, False, 0.043, 0.012),
        (100, 110, 1.0, 0.3, False, 0.05, 0.0),
        (100, 95, 1.0, 0.25, True, 0.02, 0.06),
        (100, 100, 0.12, 0.6, False, 0.04, 0.0),
    ):
        slow = tree(*case) - tree(*case, american=False)
        assert float(early_exercise_premium(*case)) == pytest.approx(slow, abs=2e-3)


def test_premium_equals_that_of_quantlib():
    ql = pytest.importorskip("QuantLib")
    generator = np.random.default_rng(5)
    n = 60
    strike, days = generator.uniform(75, 125, n), generator.integers(3, 800, n)
    vol, call = generator.uniform(0.1, 0.9, n), generator.random(n) < 0.5
    rate, dividend = generator.uniform(0.002, 0.08, n), generator.uniform(-0.01, 0.08, n)
    today, count = ql.Date(3, 8, 2026), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    wanted = []
    for k, d, v, c, r, q in zip(strike, days, vol, call, rate, dividend, strict=True):
        flat = [ql.YieldTermStructureHandle(ql.FlatForward(today, float(x), count)) for x in (q, r)]
        surface = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), float(v), count))
        process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(100.0)), *flat, surface)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if c else ql.Option.Put, float(k))
        end = today + int(d)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, end))
        option.setPricingEngine(ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme()))
        twin = ql.VanillaOption(payoff, ql.EuropeanExercise(end))
        twin.setPricingEngine(ql.AnalyticEuropeanEngine(process))
        wanted.append(option.NPV() - twin.NPV())
    found = early_exercise_premium(100.0, strike, days / 365, vol, call, rate, dividend)
    np.testing.assert_allclose(found, wanted, atol=6e-4)


def test_bias_of_american_puts_read_as_european_is_the_one_of_the_specification():
    """options.md section 6: basis points of volatility, K/S .90 .97 1.00 1.03 1.10, SPY-like; 365 days ATM; IBIT."""
    rows = [
        (0.012, 0.16, 45, (0.90, 0.97, 1.00, 1.03, 1.10), (2, 9, 21, 53, 553)),
        (0.012, 0.16, 180, (0.90, 0.97, 1.00, 1.03, 1.10), (13, 33, 52, 83, 256)),
        (0.012, 0.16, 365, (1.00,), (85,)),
        (0.0, 0.55, 45, (1.00,), (25,)),
        (0.0, 0.55, 180, (1.00,), (68,)),
        (0.0, 0.55, 365, (1.00,), (121,)),
    ]
    for dividend, vol, days, ratios, wanted in rows:
        years, strike = days / 365, 100 * np.array(ratios)
        price = european(100.0, strike, years, vol, False, 0.043, dividend)
        price = price + early_exercise_premium(100.0, strike, years, vol, False, 0.043, dividend)
        forward, discount = 100 * np.exp((0.043 - dividend) * years), np.exp(-0.043 * years)
        bias = 1e4 * (implied_vol(price, forward, strike, years, False, discount) - vol)
        np.testing.assert_allclose(bias, wanted, atol=1.0)


@settings(max_examples=60, deadline=None)
@given(
    ratio=st.floats(0.6, 1.6),
    years=st.floats(0.004, 3.0),
    vol=st.floats(0.05, 1.5),
    call=st.booleans(),
    rate=st.floats(0.0005, 0.1),
    dividend=st.floats(-0.03, 0.1),
)
def test_an_american_option_is_worth_its_exercise_and_no_less_than_a_european_one(
    ratio, years, vol, call, rate, dividend
):
    premium = float(early_exercise_premium(100.0, 100 * ratio, years, vol, call, rate, dividend))
    price = float(european(100.0, 100 * ratio, years, vol, call, rate, dividend)) + premium
    intrinsic = max((100 - 100 * ratio) * (1 if call else -1), 0.0)
    assert premium >= 0
    assert price >= intrinsic - 1e-3
    assert price <= (100.0 if call else 100 * ratio) + 1e-3 or dividend < 0


def test_exercise_that_never_pays_is_worth_nothing():
    assert early_exercise_premium(100, 90, 1.0, 0.2, True, 0.04, 0.0) == 0
    assert early_exercise_premium(100, 90, 1.0, 0.2, True, 0.04, -0.01) == 0
    assert early_exercise_premium(100, 110, 1.0, 0.2, False, 0.0, 0.03) == 0
    assert early_exercise_premium(100, 110, 0.0, 0.2, False, 0.04, 0.0) == 0
    assert early_exercise_premium(100, 110, -0.1, 0.2, False, 0.04, 0.0) == 0


def test_what_cannot_be_judged_is_nan_and_harms_no_other_contract():
    found = early_exercise_premium(
        100.0,
        [110.0, np.nan, 110.0, 110.0, -1.0],
        0.5,
        [0.2, 0.2, 0.0, 0.2, 0.2],
        False,
        [0.04, 0.04, 0.04, -0.02, 0.04],
        [0.0, 0.0, 0.0, -0.05, 0.0],
    )
    assert np.isfinite(found[0])
    assert np.isnan(found[1:]).all()


def test_a_chunk_of_contracts_gives_the_same_bits_as_each_alone():
    strike = np.linspace(80, 120, 2500)
    whole = early_exercise_premium(100.0, strike, 0.4, 0.25, False, 0.04, 0.01)
    halves = [early_exercise_premium(100.0, part, 0.4, 0.25, False, 0.04, 0.01) for part in (strike[:7], strike[7:])]
    np.testing.assert_array_equal(whole, np.concatenate(halves))
    alone = [float(early_exercise_premium(100.0, k, 0.4, 0.25, False, 0.04, 0.01)) for k in strike[::500]]
    np.testing.assert_array_equal(whole[::500], alone)


def test_what_discrete_dividends_cost_is_what_the_documentation_says():
    """Spot 100, r 4.2 %, volatility 16 %, .25 a quarter: premium by finite differences beside that of the yield."""
    ql = pytest.importorskip("QuantLib")
    today, count = ql.Date(3, 8, 2026), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    flat = [ql.YieldTermStructureHandle(ql.FlatForward(today, x, count)) for x in (0.0, 0.042)]
    surface = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), 0.16, count))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(100.0)), *flat, surface)
    for strike, days, call, exact, model in (
        (100.0, 30, False, 0.0230, 0.0063),
        (95.0, 30, False, 0.0027, 0.0006),
        (100.0, 180, False, 0.177, 0.146),
        (100.0, 30, True, 0.0172, 0.0),
        (105.0, 30, True, 0.0010, 0.0),
    ):
        paid = [n for n in (20, 111) if n < days]
        dividends = ql.DividendVector([today + n for n in paid], [0.25] * len(paid))
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, strike)
        values = []
        for exercise in (ql.AmericanExercise(today, today + days), ql.EuropeanExercise(today + days)):
            option = ql.VanillaOption(payoff, exercise)
            option.setPricingEngine(ql.FdBlackScholesVanillaEngine(process, dividends, 400, 800))
            values.append(option.NPV())
        years = days / 365
        forward = (100 - sum(0.25 * np.exp(-0.042 * n / 365) for n in paid)) * np.exp(0.042 * years)
        dividend = 0.042 - np.log(forward / 100) / years
        assert values[0] - values[1] == pytest.approx(exact, abs=1e-3)
        assert float(early_exercise_premium(100.0, strike, years, 0.16, call, 0.042, dividend)) == pytest.approx(
            model, abs=1e-3
        )
