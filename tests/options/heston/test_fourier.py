"""Prices, probabilities, density and greeks of Heston: acceptance table A1, goal G1, a slow twin, QuantLib."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from argus_core.options.black import black_price
from argus_core.options.heston import HestonParameters
from argus_core.options.heston.fourier import cdf, density, greeks, heston_table, prices
from argus_core.options.heston.tails import explosion_time, extent, log_variance
from tests.options.heston.lewis import lewis_call, lewis_cdf, lewis_density, printed_characteristic

#: Seven sets of goal G1: Feller numbers from 10 to .01, correlations from -.95 to .35.
SETS = {
    "feller 10": HestonParameters(0.04, 5.0, 0.04, 0.2, -0.5),
    "feller 4, rho .35": HestonParameters(0.0225, 2.0, 0.0225, 0.15, 0.35),
    "feller .56": HestonParameters(0.04, 2.0, 0.05, 0.6, -0.7),
    "feller .26, rho .35": HestonParameters(0.09, 1.0, 0.09, 0.83, 0.35),
    "feller .08": HestonParameters(0.0625, 1.0, 0.06, 1.2, -0.8),
    "feller .04, Andersen I": HestonParameters(0.04, 0.5, 0.04, 1.0, -0.9),
    "feller .01": HestonParameters(0.01, 0.3, 0.04, 1.5, -0.95),
}
YEARS = np.array([1, 7, 45, 365, 1095, 3650]) / 365


def strikes_of(parameters: HestonParameters, years: np.ndarray, count: int = 13) -> np.ndarray:
    return np.linspace(-3, 3, count) * np.sqrt(log_variance(parameters, years))[:, None]


# Name, S0, K, T, r, q, parameters, right, price, P(S_T > K): options.md table A1.
FO = (0.0175, 1.5768, 0.0398, 0.5751, -0.5711)
LEWIS, SHORT = (0.04, 4, 0.25, 1, -0.5), (0.01, 4, 0.25, 1, -0.5)
AND1, AND2, AND3 = (0.04, 0.5, 0.04, 1, -0.9), (0.04, 0.3, 0.04, 0.9, -0.5), (0.09, 1, 0.09, 1, -0.3)
BENCHOP, SLV = (0.0225, 2, 0.0225, 0.25, -0.5), (0.114, 2.58, 0.043, 1, -0.36)
ROMA, QLCOS = (0.09, 4, 0.09, 0.4, 0), (0.1, 4, 0.22, 1.8, -0.75)
P1, P3 = (0.04, 2, 0.05, 0.6, -0.7), (0.02, 3, 0.035, 1, -0.72)
D45, D30, D7, D1 = 45 / 365, 30 / 365, 7 / 365, 1 / 365
A1 = [
    ("FO-1", 100, 100, 1, 0, 0, FO, "C", 5.785155434376, 0.567064941282),
    ("FO-10", 100, 100, 10, 0, 0, FO, "C", 22.318945791154, 0.441264349731),
    ("Lewis-80", 100, 80, 1, 0.01, 0.02, LEWIS, "C", 26.774758743999, 0.639827517145),
    ("Lewis-90", 100, 90, 1, 0.01, 0.02, LEWIS, "C", 20.933349000597, 0.540152016140),
    ("Lewis-100", 100, 100, 1, 0.01, 0.02, LEWIS, "C", 16.070154917029, 0.443179486146),
    ("Lewis-110", 100, 110, 1, 0.01, 0.02, LEWIS, "C", 12.132211516710, 0.353948093476),
    ("Lewis-120", 100, 120, 1, 0.01, 0.02, LEWIS, "C", 9.024913483458, 0.275780926632),
    ("Lewis-short-90", 100, 90, 0.01, 0.01, 0.02, SHORT, "P", 4.51836035868617e-8, 0.999999909688),
    ("Lewis-short-100", 100, 100, 0.01, 0.01, 0.02, SHORT, "C", 0.467782671513, 0.531660645472),
    ("Lewis-short-105", 100, 105, 0.01, 0.01, 0.02, SHORT, "C", 2.5274478231947e-6, 0.000008012419),
    ("And-I-60", 100, 60, 10, 0, 0, AND1, "C", 44.329975070174, 0.863121892289),
    ("And-I-70", 100, 70, 10, 0, 0, AND1, "C", 35.849769703838, 0.831736566817),
    ("And-I-100", 100, 100, 10, 0, 0, AND1, "C", 13.084670136992, 0.655089291253),
    ("And-I-140", 100, 140, 10, 0, 0, AND1, "C", 0.295774435798, 0.031110341809),
    ("And-II-60", 100, 60, 15, 0, 0, AND2, "C", 45.286863969981, 0.832095394013),
    ("And-II-100", 100, 100, 15, 0, 0, AND2, "C", 16.649222920359, 0.536942040021),
    ("And-II-140", 100, 140, 15, 0, 0, AND2, "C", 5.138190493785, 0.115240264558),
    ("And-III-60", 100, 60, 5, 0.05, 0, AND3, "C", 56.575024669753, 0.834729905713),
    ("And-III-100", 100, 100, 5, 0.05, 0, AND3, "C", 33.596818064564, 0.625855365000),
    ("And-III-140", 100, 140, 5, 0.05, 0, AND3, "C", 18.156956893323, 0.366713250692),
    ("BK-1", 100, 100, 1, 0.0319, 0, (0.010201, 6.21, 0.019, 0.61, -0.7), "C", 6.806113313462, 0.648100628734),
    ("BK-2", 100, 100, 5, 0.05, 0, (0.09, 2, 0.09, 1, -0.3), "C", 34.999758351184, 0.572861611562),
    ("KJ", 100, 200, 10, 0, 0, (0.16, 1, 0.16, 2, -0.8), "C", 4.952114720880, 0.103159534099),
    ("Smith", 100, 100, 4, 0, 0, (0.0194, 1.0407, 0.0586, 0.5196, -0.6747), "C", 15.167906700228, 0.514535900577),
    ("BENCHOP-90", 90, 100, 1, 0.03, 0, BENCHOP, "C", 2.302535842815, 0.296389499825),
    ("BENCHOP-100", 100, 100, 1, 0.03, 0, BENCHOP, "C", 7.379832496149, 0.599449186695),
    ("BENCHOP-110", 110, 100, 1, 0.03, 0, BENCHOP, "C", 14.974005277144, 0.800006723589),
    ("BENCHOP-SLV-80", 100, 80, 1, 0, 0, SLV, "C", 22.811829119439, 0.823557940457),
    ("BENCHOP-SLV-100", 100, 100, 1, 0, 0, SLV, "C", 9.046650119221, 0.514290940191),
    # options.md prints K = 133.33; its values are those of 400/3.
    ("BENCHOP-SLV-133", 100, 400 / 3, 1, 0, 0, SLV, "C", 1.211336971279, 0.066544334408),
    ("Ball-Roma-80", 100, 80, 0.5, 0, 0, ROMA, "C", 21.430015984186, 0.832948813574),
    ("Ball-Roma-100", 100, 100, 0.5, 0, 0, ROMA, "C", 8.359478581558, 0.458202607092),
    ("Ball-Roma-120", 100, 120, 0.5, 0, 0, ROMA, "C", 2.486818286301, 0.162240764559),
    ("QL-COS-120c", 100, 120, 1, 0.15, 0.07, QLCOS, "C", 9.364410588426, 0.405667219827),
    ("QL-COS-250c", 100, 250, 1, 0.15, 0.07, QLCOS, "C", 0.010367976581, 0.000579906536),
    ("QL-COS-80p", 100, 80, 1, 0.15, 0.07, QLCOS, "P", 5.319092971837, 0.754830157608),
    ("QL-COS-10p", 100, 10, 1, 0.15, 0.07, QLCOS, "P", 0.010326819063, 0.996512588515),
    ("A-p1", 100, 95, D45, 0.03, 0, P1, "C", 6.408399757107, 0.798574832123),
    ("A-p2", 100, 105, D45, 0.03, 0, P1, "C", 0.815772664367, 0.266334840500),
    ("A-p3", 500, 480, D7, 0.045, 0.013, P3, "C", 20.553552166877, 0.961231048898),
    ("A-p4", 500, 510, D1, 0.045, 0.013, P3, "C", 0.000504572007, 0.000713317545),
    ("A-p5", 100, 90, D45, 0, 0, (0.0625, 1, 0.06, 1.2, -0.8), "C", 10.894685828658, 0.882702185801),
    ("A-p6", 60, 70, D30, 0.04, 0, (0.30, 3, 0.28, 1.1, -0.3), "C", 0.792421791111, 0.143251851482),
]
PRICE_TOLERANCE = {"Lewis-short-90": 1e-12, "Lewis-short-100": 1e-12, "Lewis-short-105": 1e-12, "A-p4": 1e-10}


@pytest.mark.parametrize("row", A1, ids=[row[0] for row in A1])
def test_prices_and_probabilities_of_table_a1(row):
    name, spot, strike, years, rate, dividend, parameters, right, price, above = row
    forward = spot * np.exp((rate - dividend) * years)
    table = heston_table(HestonParameters(*parameters), years, tolerance=1e-14)
    k = [np.log(strike / forward)]
    found = np.exp(-rate * years) * forward * table.prices(k, right == "C")[0, 0]
    assert found == pytest.approx(price, abs=PRICE_TOLERANCE.get(name, 1e-8), rel=0)
    assert 1 - table.cdf(k)[0, 0] == pytest.approx(above, abs=1e-9, rel=0)


@pytest.mark.parametrize("name", SETS)
def test_goal_g1_every_cell_of_the_grid_agrees_with_the_slow_twin(name):
    parameters = SETS[name]
    k = strikes_of(parameters, YEARS)
    table = heston_table(parameters, YEARS)
    assert table.reached.all()
    below, call = table.law(k)
    for i, years in enumerate(YEARS):
        twin = lewis_cdf(parameters, years, k[i]), lewis_call(parameters, years, k[i])
        assert np.abs(below[i] - twin[0]).max() < 1e-12
        assert np.abs(call[i] - twin[1]).max() < 1e-12
        # The bound that the table reports holds (the twin itself is good to a few 1e-15).
        assert np.abs(below[i] - twin[0]).max() <= table.error_bound[i] + 1e-14
        slope = lewis_density(parameters, years, k[i])
        np.testing.assert_allclose(table.density(k)[i], slope, atol=1e-10 * slope.max())


def test_goal_g1_prices_agree_with_quantlibs_adaptive_engine():
    ql = pytest.importorskip("QuantLib", reason="the oracle QuantLib is in the extra `test`")
    today = ql.Date(15, 6, 2026)
    ql.Settings.instance().evaluationDate = today
    day = ql.Actual365Fixed()
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, day))
    for parameters in SETS.values():
        v0, kappa, theta, sigma, rho = parameters
        process = ql.HestonProcess(flat, flat, ql.QuoteHandle(ql.SimpleQuote(1.0)), v0, kappa, theta, sigma, rho)
        engine = ql.AnalyticHestonEngine(ql.HestonModel(process), 1e-12, 1_000_000)
        k = strikes_of(parameters, YEARS, 7)
        ours = prices(parameters, YEARS, k)
        for i, days in enumerate((1, 7, 45, 365, 1095, 3650)):
            for j, x in enumerate(k[i]):
                option = ql.VanillaOption(
                    ql.PlainVanillaPayoff(ql.Option.Call, float(np.exp(x))), ql.EuropeanExercise(today + days)
                )
                option.setPricingEngine(engine)
                assert ours[i, j] == pytest.approx(option.NPV(), abs=1e-10, rel=0)


def test_the_range_holds_the_tails_and_the_variance_is_that_of_the_density():
    for parameters in SETS.values():
        ends = extent(parameters, YEARS[2:4], 1e-8)
        assert (lewis_cdf(parameters, YEARS[2], ends.low[:1]) <= 1e-8 + 1e-14).all()
        assert (1 - lewis_cdf(parameters, YEARS[2], ends.high[:1]) <= 1e-8 + 1e-14).all()
    parameters = SETS["feller .56"]
    # The second cumulant by differences of the logarithm of the characteristic function.
    h = 1e-3
    log = [np.log(printed_characteristic(x, 0.5, *parameters)).real for x in (h, 2 * h)]
    curvature = (4 * -2 * log[0] / h**2 - -2 * log[1] / (2 * h) ** 2) / 3
    assert float(log_variance(parameters, 0.5)) == pytest.approx(curvature, rel=1e-7)


def test_moments_explode_where_the_riccati_equation_does():
    # Andersen & Piterbarg 2007: dB/dt = (s^2 - s)/2 + (rho sigma s - kappa) B + sigma^2 B^2 / 2 reaches infinity.
    from scipy.integrate import solve_ivp

    parameters = SETS["feller .04, Andersen I"]
    _, kappa, _, sigma, rho = parameters
    for s in (-1.0, -4.0, 6.0, 40.0):
        blown = solve_ivp(
            lambda _, b, s=s: 0.5 * (s * s - s) + (rho * sigma * s - kappa) * b + 0.5 * sigma**2 * b * b,
            (0.0, 60.0),
            [0.0],
            events=_huge(),
            rtol=1e-10,
        )
        expected = blown.t_events[0][0] if len(blown.t_events[0]) else np.inf
        assert float(explosion_time(parameters, s)) == pytest.approx(expected, rel=1e-5)
    assert np.isinf(explosion_time(parameters, [0.0, 0.5, 1.0])).all()


def _huge():
    def event(_, b):
        return b[0] - 1e8

    event.terminal = True
    return event


def test_greeks_are_the_slopes_of_the_prices():
    parameters = SETS["feller .56"]
    years = np.array([7, 45, 365]) / 365
    k = strikes_of(parameters, years, 5)
    for call in (True, False):
        found = greeks(parameters, years, k, call)
        np.testing.assert_allclose(found.price, prices(parameters, years, k, call), atol=1e-15)
        h = 1e-4
        for i, name in enumerate(parameters._fields):
            moved = [parameters._replace(**{name: parameters[i] + sign * h}) for sign in (1, -1)]
            slope = (prices(moved[0], years, k, call) - prices(moved[1], years, k, call)) / (2 * h)
            np.testing.assert_allclose(found.by[name], slope, atol=2e-7)
        slope = (prices(parameters, years + 1e-6, k, call) - prices(parameters, years - 1e-6, k, call)) / 2e-6
        np.testing.assert_allclose(found.by["years"], slope, atol=1e-6)
        # Price of strike K at forward F is F c(ln(K/F)): derivatives by F at F = 1.
        up, down = (f * prices(parameters, years, k - np.log(f), call) for f in (1 + h, 1 - h))
        np.testing.assert_allclose(found.delta, (up - down) / (2 * h), atol=1e-6)
        np.testing.assert_allclose(found.gamma, (up - 2 * found.price + down) / h**2, atol=2e-5 * found.gamma.max())
        assert found.vega is found.by["v0"]


parameter_sets = st.builds(
    HestonParameters,
    v0=st.floats(0.005, 0.3),
    kappa=st.floats(0.2, 6),
    theta=st.floats(0.005, 0.3),
    sigma=st.floats(0.1, 1.2),
    rho=st.floats(-0.9, 0.3),
)


@settings(max_examples=25, deadline=None)
@given(parameters=parameter_sets, days=st.integers(2, 400))
def test_probabilities_rise_prices_are_convex_and_parity_holds(parameters, days):
    years = np.array([days / 365])
    table = heston_table(parameters, years)
    k = np.linspace(-5, 5, 41) * np.sqrt(log_variance(parameters, years))[:, None]
    below, call = table.law(k)
    slack = 4 * float(table.error_bound[0]) * (1 + np.exp(k.max()))
    assert (np.diff(below) >= -slack).all()
    assert ((below >= 0) & (below <= 1)).all()
    strike = np.exp(k)
    slope = np.diff(call) / np.diff(strike)
    assert (slope >= -1 - slack / np.diff(strike)).all()
    assert (slope <= slack / np.diff(strike)).all()
    np.testing.assert_allclose(call - table.prices(k, False), 1 - strike, atol=1e-14 * strike.max())
    assert (call >= np.maximum(1 - strike, 0) - slack).all()
    assert (call <= 1 + slack).all()


def test_beyond_the_range_nothing_is_left_and_a_missing_strike_stays_missing():
    table = heston_table(SETS["feller .56"], [0.1, 0.5])
    k = np.array([-400.0, np.nan, 400.0])
    np.testing.assert_array_equal(table.cdf(k), [[0, np.nan, 1]] * 2)
    np.testing.assert_array_equal(table.prices(k), [[1, np.nan, 0]] * 2)
    np.testing.assert_array_equal(table.density(k), [[0, np.nan, 0]] * 2)
    found = table.greeks(k)
    np.testing.assert_array_equal(found.delta, [[1, np.nan, 0]] * 2)
    np.testing.assert_array_equal(found.vega, [[0, np.nan, 0]] * 2)


def test_a_chain_gives_the_same_as_its_expiries_one_by_one():
    parameters = SETS["feller .08"]
    k = strikes_of(parameters, YEARS[:4], 9)
    whole = prices(parameters, YEARS[:4], k), cdf(parameters, YEARS[:4], k), density(parameters, YEARS[:4], k)
    for i in range(4):
        parts = [f(parameters, YEARS[i], k[i : i + 1]) for f in (prices, cdf, density)]
        for a, b in zip(whole, parts, strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "parameters",
    [
        HestonParameters(0.04, 1e-9, 0.04, 0.5, -0.6),  # no mean reversion
        HestonParameters(1e-5, 3.0, 0.09, 0.4, -0.5),  # from calm to wild
        HestonParameters(4.0, 3.0, 2.0, 2.5, 0.2),  # a coin
    ],
)
def test_extreme_parameters_agree_with_the_slow_twin(parameters):
    years = np.array([1 / 365, 0.25, 2.0])
    k = np.linspace(-3, 3, 7) * np.sqrt([parameters.expected_variance(t) * t for t in years])[:, None]
    below, call = heston_table(parameters, years).law(k)
    for i, t in enumerate(years):
        np.testing.assert_allclose(below[i], lewis_cdf(parameters, t, k[i]), atol=1e-11)
        np.testing.assert_allclose(call[i], lewis_call(parameters, t, k[i]), atol=1e-11)


def test_without_volatility_of_variance_it_is_black():
    years, vol = np.array([1 / 365, 0.25, 2.0]), 0.2
    total = vol * np.sqrt(years)[:, None]
    k = np.linspace(-3, 3, 7) * total
    # The printed formulas lose all digits here: (beta - d) / sigma^2.
    below, call = heston_table(HestonParameters(vol**2, 2.0, vol**2, 1e-5, 0.0), years).law(k)
    np.testing.assert_allclose(below, ndtr((k + 0.5 * total**2) / total), atol=1e-9)
    np.testing.assert_allclose(call, black_price(1.0, np.exp(k), years[:, None], vol, True), atol=1e-9)


def test_ten_thousand_strikes_are_taken_in_parts():
    table = heston_table(SETS["feller .04, Andersen I"], [45 / 365, 1.0])
    k = np.linspace(-1.5, 0.6, 10_001)
    whole = table.cdf(k)
    np.testing.assert_allclose(whole[:, ::997], table.cdf(k[::997]), atol=1e-14)
    assert (np.diff(whole, axis=1) >= -1e-13).all()


def test_what_cannot_be_reached_is_said():
    # A quarter of a century of almost no mean reversion: more terms than allowed.
    table = heston_table(HestonParameters(0.001, 0.05, 0.01, 3.0, -0.99), [25.0])
    assert table.terms[0] == 1 << 17
    assert not table.reached[0]
    assert table.error_bound[0] > 1e-12


@pytest.mark.parametrize(
    ("years", "parameters", "message"),
    [
        ([0.1, 0.0], SETS["feller .56"], "years"),
        ([np.nan], SETS["feller .56"], "years"),
        ([], SETS["feller .56"], "years"),
        ([0.1], (0.04, 2, 0.05, 0.6, -1.0), "rho"),
        ([0.1], (0.04, -2, 0.05, 0.6, -0.5), "kappa"),
    ],
)
def test_bad_input_names_what_is_wrong(years, parameters, message):
    with pytest.raises(ValueError, match=message):
        heston_table(parameters, years)


def test_a_wrong_shape_of_strikes_is_refused():
    with pytest.raises(ValueError, match="log_strikes"):
        heston_table(SETS["feller .56"], [0.1, 0.2]).cdf(np.zeros((3, 4)))
