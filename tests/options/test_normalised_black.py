"""Implied volatility: table A4 of the numerics notes, 60-digit arithmetic, lets_be_rational, QuantLib, bad input."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfcx as scipy_erfcx

from argus_core.options.erfcx import erfcx, erfcx_or_fall
from argus_core.options.normalised_black import (
    AT_BOUND,
    AT_INTRINSIC,
    CROSSED,
    NO_BID,
    NO_PRICE,
    NO_TIME,
    NOT_FINITE,
    NOT_POSITIVE,
    REASONS,
    evaluate,
    implied_vols,
    normalised_black,
    normalised_vol,
    quoted_vols,
)

# Table A4: x, s, b.
A4 = [
    (-0.001, 0.01, 0.0035093369186425418294),
    (-0.05, 0.02, 4.0081076137054855138e-5),
    (-0.1, 0.3, 0.075879437705274613899),
    (-0.5, 0.1, 5.3399117858008565334e-9),
    (-1, 0.25, 1.7736606889378078902e-6),
    (-2, 2, 0.1220984503159400445),
    (-4, 0.5, 3.6622185117102117968e-17),
    (0, 0.2, 0.079655674554057962931),
    (-0.01, 3, 0.8613985651005477615),
]
# Table A4, prices: forward, strike, years, discount, volatility, call, price.
A4_PRICES = [
    (500, 450, 0.02, 0.9992, 0.35, False, 0.14013780012662326),
    (500, 400, 0.005, 0.9998, 0.6, False, 2.4426788068650508e-7),
    (100, 100, 1, 0.95, 0.2, True, 7.5672890826355065),
    (500, 560, 0.1, 0.996, 0.12, True, 0.0080150657629020953),
    (60, 20, 0.25, 0.99, 1.4, False, 0.57312305205820093),
]
POINTS = np.array([0.0, 1e-9, 0.1, 1.0, 3.75, 10.0, 1e3, 1e8])


def precise(x: float, s: float) -> mpmath.mpf:
    """b(x, s) in 60 digits, by its definition."""
    with mpmath.workdps(60):
        a, t = mpmath.mpf(x), mpmath.mpf(s)
        return mpmath.exp(a / 2) * mpmath.ncdf(a / t + t / 2) - mpmath.exp(-a / 2) * mpmath.ncdf(a / t - t / 2)


def corners(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random (x, s) over eight decades of both, as far out as doubles reach."""
    rng = np.random.default_rng(seed)
    x, s = -(10 ** rng.uniform(-8, 1, count)), 10 ** rng.uniform(-5, 1, count)
    return x[x / s > -37], s[x / s > -37]


@pytest.mark.parametrize(("x", "s", "b"), A4)
def test_a4_normalised_black_and_its_inverse(x, s, b):
    assert float(normalised_black(x, s)) == pytest.approx(b, rel=1e-12)
    assert float(normalised_vol(x, b)) == pytest.approx(s, rel=1e-11 if (x, s) == (-0.01, 3) else 1e-12)


@pytest.mark.parametrize(("forward", "strike", "years", "discount", "vol", "call", "price"), A4_PRICES)
def test_a4_prices_invert_to_their_volatility(forward, strike, years, discount, vol, call, price):
    found = implied_vols(price, forward, strike, years, call, discount)
    assert float(found.iv) == pytest.approx(vol, rel=1e-12)
    assert found.reason.item() is None


def test_erfcx_and_its_fall_hold_full_precision():
    grid = np.concatenate([POINTS, 10 ** np.linspace(-6, 6, 500)])
    np.testing.assert_allclose(erfcx(grid), scipy_erfcx(grid), rtol=2e-15)
    np.testing.assert_array_equal(erfcx_or_fall(np, grid, np.zeros(len(grid), bool)), erfcx(grid))
    with mpmath.workdps(60):
        wanted = [
            float(2 / mpmath.sqrt(mpmath.pi) - 2 * z * mpmath.exp(z * z) * mpmath.erfc(z))
            for z in map(mpmath.mpf, grid[grid < 100].tolist())
        ]
    found = erfcx_or_fall(np, grid[grid < 100], np.ones((grid < 100).sum(), bool))
    np.testing.assert_allclose(found, wanted, rtol=3e-15)


def test_value_complement_and_logarithm_agree_with_sixty_digits():
    x, s = corners(250, 1)
    b, rest, log_b, slope = evaluate(np, x, s)
    exact = [precise(a, t) for a, t in zip(x.tolist(), s.tolist(), strict=True)]
    with mpmath.workdps(60):
        complement = [mpmath.exp(mpmath.mpf(a) / 2) - e for a, e in zip(x.tolist(), exact, strict=True)]
        logs = np.array([float(mpmath.log(e)) for e in exact])
    condition = np.array([float(e) for e in exact]) / (s * slope)
    error = np.abs(b / np.array([float(e) for e in exact]) - 1)
    # An error of b moves s by the condition: that product is what counts.
    assert (error * condition)[condition < 100].max() < 2e-14
    np.testing.assert_allclose(rest, [float(c) for c in complement], rtol=1e-14)
    np.testing.assert_allclose(log_b, logs, rtol=1e-14, atol=3e-13)


def test_inverse_agrees_with_sixty_digits():
    x, s = corners(250, 2)
    beta = np.array([float(precise(a, t)) for a, t in zip(x.tolist(), s.tolist(), strict=True)])
    condition = beta / (s * evaluate(np, x, s)[3])
    good = condition < 100
    np.testing.assert_allclose(normalised_vol(x, beta)[good], s[good], rtol=1e-13)


def market(count: int, seed: int) -> tuple[np.ndarray, ...]:
    """(price, strike, years, call, vol, condition) of out-of-the-money options on a forward of 100."""
    rng = np.random.default_rng(seed)
    years = 10 ** rng.uniform(np.log10(1 / 365), np.log10(3), count)
    vol = rng.uniform(0.05, 1.5, count)
    s = vol * np.sqrt(years)
    strike = 100 * np.exp(np.clip(rng.normal(0, 1.5, count), -5, 5) * s)
    x = -np.log1p(np.abs(100 - strike) / np.minimum(100, strike))
    b, _, _, slope = evaluate(np, x, s)
    return b * np.sqrt(100 * strike), strike, years, strike >= 100, vol, b / (s * slope)


def test_g9_a_million_market_options_come_back_without_a_failure():
    price, strike, years, call, vol, condition = market(1_000_000, 3)
    found = implied_vols(price, 100, strike, years, call)
    assert not found.code.any()
    error = np.abs(found.iv / vol - 1)
    assert error[condition < 100].max() <= 1e-12


def test_same_bits_alone_and_in_any_batch():
    price, strike, years, call, *_ = market(70_000, 4)
    whole = implied_vols(price, 100, strike, years, call).iv
    for part in (slice(0, 1), slice(3, 67), slice(10, 400, 7), slice(5000, None)):
        alone = implied_vols(price[part], 100, strike[part], years[part], call[part]).iv
        np.testing.assert_array_equal(alone, whole[part])


def test_lets_be_rational_agrees():
    from lets_be_rational import implied_volatility_from_a_transformed_rational_guess as peer

    price, strike, years, call, *_ = market(300, 5)
    ours = implied_vols(price, 100, strike, years, call).iv
    theirs = [peer(p, 100.0, k, t, 1.0 if c else -1.0) for p, k, t, c in zip(price, strike, years, call, strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


def test_quantlib_agrees():
    ql = pytest.importorskip("QuantLib")
    price, strike, years, call, *_ = market(300, 6)
    ours = implied_vols(price, 100, strike, years, call).iv * np.sqrt(years)
    theirs = [
        ql.blackFormulaImpliedStdDevLiRS(
            ql.Option.Call if c else ql.Option.Put, float(k), 100.0, float(p), 1.0, 0.0, 0.2, 1.0, 1e-13, 1000
        )
        for p, k, c in zip(price, strike, call, strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


@settings(max_examples=150, deadline=None)
@given(
    x=st.floats(-20, 0),
    s=st.floats(1e-4, 10),
    forward=st.floats(0.01, 1e6),
    years=st.floats(1e-5, 30),
    call=st.booleans(),
)
def test_price_of_the_volatility_found_is_the_price_given(x, s, forward, years, call):
    strike = forward * float(np.exp(-x if call else x))
    beta = float(normalised_black(x, s))
    price = beta * float(np.sqrt(forward * strike))
    found = implied_vols(price, forward, strike, years, call)
    if np.isnan(found.iv):
        assert found.reason.item() in (REASONS[NO_PRICE], REASONS[AT_BOUND], REASONS[AT_INTRINSIC])
        return
    # The forward and strike given are rounded: judge by the x that they hold.
    again = -float(np.log1p(abs(forward - strike) / min(forward, strike)))
    value, _, log_b, _ = (float(v) for v in evaluate(np, np.float64(again), found.iv * np.sqrt(years)))
    given_beta = price / float(np.sqrt(forward) * np.sqrt(strike))
    assert value == pytest.approx(given_beta, rel=1e-14 * max(1.0, abs(log_b)), abs=1e-15)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_numbers_give_a_volatility_or_a_reason(data):
    number = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 1e-300, 1e300, 100.0]))
    rows = data.draw(st.lists(st.tuples(*[number] * 5, st.booleans()), min_size=1, max_size=20))
    price, forward, strike, years, discount, call = (np.array(v) for v in zip(*rows, strict=True))
    found = implied_vols(price, forward, strike, years, call, discount)
    np.testing.assert_array_equal(np.isnan(found.iv), found.code != 0)
    assert (found.iv[found.code == 0] > 0).all()


def test_every_reason_is_named():
    rows = [
        (np.nan, 100, 95, 0.5, 1.0, NOT_FINITE),
        (6, 100, 95, np.inf, 1.0, NOT_FINITE),
        (6, 100, 95, 0.0, 1.0, NO_TIME),
        (6, 100, 95, -0.1, 1.0, NO_TIME),
        (6, 0, 95, 0.5, 1.0, NOT_POSITIVE),
        (6, 100, -95, 0.5, 1.0, NOT_POSITIVE),
        (6, 100, 95, 0.5, 0.0, NOT_POSITIVE),
        (0, 100, 95, 0.5, 1.0, NO_PRICE),
        (-1, 100, 95, 0.5, 1.0, NO_PRICE),
        (5, 100, 95, 0.5, 1.0, AT_INTRINSIC),
        (4.9, 100, 95, 0.5, 1.0, AT_INTRINSIC),
        (5 + 1e-15, 100, 95, 0.5, 1.0, AT_INTRINSIC),
        (100, 100, 95, 0.5, 1.0, AT_BOUND),
        (101, 100, 95, 0.5, 1.0, AT_BOUND),
        (6, 100, 95, 0.5, 1.0, 0),
    ]
    price, forward, strike, years, discount, code = (np.array(v) for v in zip(*rows, strict=True))
    found = implied_vols(price, forward, strike, years, True, discount)
    assert found.code.tolist() == code.tolist()
    assert found.reason.tolist() == [REASONS[c] for c in code.tolist()]
    np.testing.assert_array_equal(np.isnan(found.iv), code != 0)


def test_a_price_in_the_money_inverts_like_its_twin():
    for strike in (80.0, 100.0, 125.0):
        put = 0.97 * float(normalised_black(-abs(np.log(100 / strike)), 0.3)) * np.sqrt(100 * strike)
        put += 0.97 * max(strike - 100, 0)
        vols = implied_vols([put, put + 0.97 * (100 - strike)], 100, strike, 1.0, [False, True], 0.97).iv
        np.testing.assert_allclose(vols, 0.3, rtol=1e-12)


def test_crossed_and_one_sided_quotes():
    bid, ask = [5.0, 6.0, 0.0, np.nan, 5.0], [6.0, 5.0, 1.0, 1.0, np.nan]
    low, mid, high = quoted_vols(bid, ask, 100, [100, 100, 110, 110, 100], 0.25, True)
    assert low.code.tolist() == [0, CROSSED, NO_BID, NO_BID, 0]
    assert mid.code.tolist() == [0, CROSSED, NO_BID, NO_BID, NOT_FINITE]
    assert high.code.tolist() == [0, CROSSED, 0, 0, NOT_FINITE]
    assert low.iv[0] < mid.iv[0] < high.iv[0]


def test_empty_and_scalar_inputs_keep_their_shape():
    assert implied_vols([], 100, [], 0.5, []).iv.shape == (0,)
    assert implied_vols(5, 100, 100, 0.5, True).iv.shape == ()
    assert implied_vols(np.full((2, 3), 5.0), 100, 100, 0.5, True).iv.shape == (2, 3)
