"""Heston calibration finds the parameters that made a chain, says how sure it is, and never fails on a bad chain."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.accelerator import load_jax
from argus_core.options.heston import HestonParameters
from argus_core.options.heston.calibration import calibrate
from argus_core.options.heston.characteristic import exponents
from argus_core.options.heston.fourier import heston_table
from argus_core.options.heston.gradient import exponents_and_gradient
from argus_core.options.heston.least_squares import PriceGrid, from_unbounded, to_unbounded
from argus_core.settings.option_calibration import HestonCalibrationSettings
from tests.options.heston_chains import PARAMETERS, HestonChain, heston_chain, heston_price

CUI = HestonParameters(0.08, 3.0, 0.10, 0.25, -0.8)
STARTS = (HestonParameters(0.09, 1, 0.09, 1, -0.3), HestonParameters(0.02, 5, 0.03, 0.3, -0.1))
SETS = (
    PARAMETERS,
    CUI,
    HestonParameters(0.04, 0.5, 0.04, 1.0, -0.9),  # Andersen I
    HestonParameters(0.02, 6.0, 0.04, 1.8, -0.75),
    HestonParameters(0.30, 3.0, 0.28, 1.1, 0.2),
)


def _apart(fit, parameters: HestonParameters) -> float:
    return float(np.max(np.abs(np.array(fit.parameters) / np.array(parameters) - 1)))


def _shuffled(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame[np.random.default_rng(seed).permutation(frame.height)]


@pytest.fixture(scope="module")
def chain() -> HestonChain:
    return heston_chain()


@pytest.fixture(scope="module")
def noisy() -> HestonChain:
    return heston_chain(noise=1.0, noise_seed=1)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("parameters", [PARAMETERS, CUI])
def test_a7_parameters_are_recovered_from_both_starts(parameters: HestonParameters, start: HestonParameters) -> None:
    fit = calibrate(heston_chain(parameters).implied_vols, start=start)
    assert fit.converged
    assert fit.reason is None
    assert fit.n_contracts == 100
    assert fit.n_expiries == 10
    assert _apart(fit, parameters) < 1e-6  # the row asks for 1e-4
    assert fit.rmse_iv < 1e-8
    assert fit.price_error < 1e-7


def test_g8_all_32_starts_converge_without_noise(chain: HestonChain) -> None:
    for factors in itertools.product((0.5, 2.0), repeat=4):
        for rho in (-0.2, -0.85):
            start = HestonParameters(*(np.array(PARAMETERS[:4]) * factors), rho)
            fit = calibrate(chain.implied_vols, start=start)
            assert fit.converged, (start, fit.reason)
            assert _apart(fit, PARAMETERS) < 1e-4, start


@pytest.mark.parametrize("parameters", SETS[2:])
def test_low_feller_sets_are_recovered_from_the_first_guess(parameters: HestonParameters) -> None:
    fit = calibrate(heston_chain(parameters).implied_vols)
    assert fit.converged
    assert _apart(fit, parameters) < 1e-4


@pytest.mark.parametrize(
    "parameters", [*SETS, pytest.param(HestonParameters(0.01, 0.3, 0.04, 1.5, -0.95), marks=pytest.mark.slow)]
)
def test_the_stated_price_error_holds_against_prices_with_a_bound(parameters: HestonParameters) -> None:
    fit = calibrate(heston_chain(parameters, deviations=np.linspace(-4, 3, 15)).implied_vols)
    assert fit.converged
    assert fit.price_error <= 1e-6
    # Noise-free: at the fit the model's volatilities are the market's up to the error of its prices.
    assert fit.rmse_iv <= 1e-6
    assert fit.parameters is not None
    assert _price_gap(fit.parameters, parameters) < 1e-6


def _price_gap(found: HestonParameters, wanted: HestonParameters) -> float:
    """Largest difference of two sets' prices over vega, by sums with an error bound, two expiries."""
    years = np.array([0.1, 1.0])
    k = np.sqrt([wanted.expected_variance(t) * t for t in years])[:, None] * np.linspace(-2, 1.5, 8)
    first, second = (heston_table(p, years, tolerance=1e-9).prices(k, k > 0) for p in (found, wanted))
    return float(np.max(np.abs(first - second) / (0.4 * np.sqrt(years))[:, None]))


def test_quantlib_finds_the_same_optimum(noisy: HestonChain) -> None:
    ql = pytest.importorskip("QuantLib")
    used = noisy.implied_vols.filter("used")
    today = ql.Date(3, 8, 2026)
    ql.Settings.instance().evaluationDate = today
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, ql.Actual365Fixed()))
    model = ql.HestonModel(ql.HestonProcess(flat, flat, ql.QuoteHandle(ql.SimpleQuote(1.0)), *STARTS[0]))
    engine = ql.AnalyticHestonEngine(model, 144)
    helpers, weights, days_of = [], [], []
    for row in used.iter_rows(named=True):
        days = round(row["t_cal"] * 365)
        days_of.append(days / 365)
        strike, vol = row["strike"] / row["forward"], ql.QuoteHandle(ql.SimpleQuote(row["iv_mid"]))
        error = ql.BlackCalibrationHelper.PriceError
        helper = ql.HestonModelHelper(ql.Period(days, ql.Days), ql.NullCalendar(), 1.0, strike, vol, flat, flat, error)
        helper.setPricingEngine(engine)
        helpers.append(helper)
        root, k = np.sqrt(days / 365), np.log(strike)
        total = row["iv_mid"] * root
        vega = np.exp(-0.5 * (-k / total + 0.5 * total) ** 2) / np.sqrt(2 * np.pi) * root
        weights.append((0.5 * (row["iv_ask"] - row["iv_bid"]) * vega) ** -2)
    end = ql.EndCriteria(500, 50, 1e-10, 1e-10, 1e-10)
    model.calibrate(helpers, ql.LevenbergMarquardt(1e-10, 1e-10, 1e-10), end, ql.NoConstraint(), weights)
    theta, kappa, sigma, rho, v0 = model.params()
    # QuantLib counts whole days: give both the same times.
    fit = calibrate(used.with_columns(t_cal=pl.Series(days_of)), HestonCalibrationSettings(min_half_spread_vol=1e-6))
    assert _apart(fit, HestonParameters(v0, kappa, theta, sigma, rho)) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("parameters", SETS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_g8_noisy_fit_is_as_good_as_a_search_from_200_starts(parameters: HestonParameters, seed: int) -> None:
    frame = heston_chain(parameters, noise=1.0, noise_seed=seed).implied_vols
    fit = calibrate(frame)
    searched = calibrate(frame, HestonCalibrationSettings(starts=200, seed=seed))
    assert fit.converged
    assert fit.rmse_iv <= 1.05 * searched.rmse_iv
    assert fit.objective <= 1.0001 * searched.objective


def test_g8_noisy_fit_is_as_good_as_a_search_from_20_starts(noisy: HestonChain) -> None:
    fit = calibrate(noisy.implied_vols)
    searched = calibrate(noisy.implied_vols, HestonCalibrationSettings(starts=20, seed=5))
    assert fit.rmse_iv <= 1.05 * searched.rmse_iv
    # Uniform noise of one half-spread has a standard deviation of 1/sqrt(3) = .577 half-spreads.
    assert 0.45 < fit.rmse_half_spreads < 0.70


def test_a_search_gives_the_same_bits_for_the_same_seed(noisy: HestonChain) -> None:
    search = HestonCalibrationSettings(starts=5, seed=7)
    first, second = (calibrate(noisy.implied_vols, search) for _ in range(2))
    assert first.parameters == second.parameters
    assert first.objective == second.objective


def test_standard_errors_describe_the_scatter_of_the_estimates() -> None:
    few = {"days": (20, 60, 180, 400), "deviations": np.linspace(-2.5, 1.8, 8)}
    fits = [calibrate(heston_chain(noise=1.0, noise_seed=seed, **few).implied_vols) for seed in range(12)]
    found = np.array([fit.parameters for fit in fits])
    stated = np.array([fit.standard_errors for fit in fits])
    ratio = found.std(axis=0, ddof=1) / stated.mean(axis=0)
    # 12 draws: a standard deviation is known to 20 %.
    assert np.all((ratio > 0.5) & (ratio < 1.7)), ratio
    z = (found.mean(axis=0) - np.array(PARAMETERS)) / (stated.mean(axis=0) / np.sqrt(12))
    assert np.all(np.abs(z) < 4.5), z


def test_band_loss_accepts_any_parameters_inside_the_quotes(noisy: HestonChain) -> None:
    fit = calibrate(noisy.implied_vols, HestonCalibrationSettings(loss="band"))
    assert fit.converged
    assert fit.objective < 1e-6
    assert fit.rmse_half_spreads <= 1.0


def test_the_penalty_draws_to_the_fit_before(noisy: HestonChain) -> None:
    before = HestonParameters(0.045, 2.6, 0.052, 0.7, -0.65)
    frame = noisy.implied_vols
    free = calibrate(frame, HestonCalibrationSettings(previous_strength=0), previous=before)
    drawn = calibrate(frame, HestonCalibrationSettings(previous_strength=1e3), previous=before)
    held = calibrate(frame, HestonCalibrationSettings(previous_strength=1e9), previous=before)
    assert not free.regularised
    assert drawn.regularised
    assert _apart(free, calibrate(frame).parameters) < 1e-5
    assert _apart(held, before) < 1e-3
    assert min(before.kappa, free.parameters.kappa) < drawn.parameters.kappa < max(before.kappa, free.parameters.kappa)
    assert free.objective < drawn.objective < held.objective


def test_a_cold_start_rescues_a_fit_that_its_predecessor_misleads(chain: HestonChain) -> None:
    absurd = HestonParameters(20.0, 90.0, 20.0, 0.02, 0.99)
    quick = HestonCalibrationSettings(max_iterations=12, previous_strength=0)
    fit = calibrate(chain.implied_vols, quick, previous=absurd)
    assert fit.converged
    assert _apart(fit, PARAMETERS) < 1e-4


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_order_of_contracts_does_not_matter_to_the_bit(noisy: HestonChain, seed: int) -> None:
    first, second = calibrate(noisy.implied_vols), calibrate(_shuffled(noisy.implied_vols, seed))
    assert first.parameters == second.parameters
    assert first.standard_errors == second.standard_errors
    assert first.chain_hash == second.chain_hash
    assert first.by_expiry.equals(second.by_expiry)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(1e-3, 1e3), power=st.integers(-8, 8))
def test_the_unit_of_money_does_not_matter(noisy: HestonChain, scale: float, power: int) -> None:
    def in_units(unit: float) -> pl.DataFrame:
        return noisy.implied_vols.with_columns(pl.col("strike", "forward", "bid", "ask") * unit)

    base = calibrate(noisy.implied_vols)
    assert calibrate(in_units(2.0**power)).parameters == base.parameters
    assert _apart(calibrate(in_units(scale)), base.parameters) < 1e-6


@settings(max_examples=10, deadline=None)
@given(row=st.integers(0, 99))
def test_a_contract_twice_counts_as_one_with_twice_the_weight(noisy: HestonChain, row: int) -> None:
    used = noisy.implied_vols.filter("used")
    twice = calibrate(pl.concat([used, used[row : row + 1]]))
    half = 0.5 * (pl.col("iv_ask") - pl.col("iv_bid")) / np.sqrt(2)
    chosen = pl.int_range(pl.len()) == row
    sharper = used.with_columns(
        iv_bid=pl.when(chosen).then(pl.col("iv_mid") - half).otherwise("iv_bid"),
        iv_ask=pl.when(chosen).then(pl.col("iv_mid") + half).otherwise("iv_ask"),
    )
    weighed = calibrate(sharper)
    assert twice.n_contracts == weighed.n_contracts + 1
    assert _apart(twice, weighed.parameters) < 1e-5
    assert twice.objective == pytest.approx(weighed.objective, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    kappa=st.floats(0.1, 10),
    theta=st.floats(0.005, 0.5),
    sigma=st.floats(0.05, 2),
    rho=st.floats(-0.95, 0.5),
    years=st.floats(0.01, 5),
)
def test_gradient_of_the_exponents_equals_automatic_differentiation(kappa, theta, sigma, rho, years) -> None:
    jax = load_jax()
    u = np.array([0.1, 1.0, 7.0, 40.0]) - 0.5j
    found = exponents_and_gradient(u, np.full(4, years), kappa, theta, sigma, rho)
    a, b = exponents(u, years, kappa, theta, sigma, rho)
    assert np.allclose(found.a, a, rtol=1e-10, atol=1e-13)
    assert np.allclose(found.b, b, rtol=1e-10, atol=1e-13)
    arguments = (kappa, theta, sigma, rho)
    for row, place in enumerate((0, 2, 3)):  # kappa, sigma, rho
        tangent = tuple(1.0 if i == place else 0.0 for i in range(4))
        _, (slope_a, slope_b) = jax.jvp(lambda k, t, s, r: exponents(u, years, k, t, s, r), arguments, tangent)
        assert np.allclose(found.by_a[row], slope_a, rtol=1e-8, atol=1e-11)
        assert np.allclose(found.by_b[row], slope_b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("parameters", SETS)
def test_prices_and_slopes_of_the_grid_equal_the_slow_integral(parameters: HestonParameters) -> None:
    years = np.array([0.02, 0.25, 2.0])
    vol = np.sqrt([parameters.expected_variance(t) for t in years])
    k = [v * np.sqrt(t) * np.linspace(-4, 3, 9) for v, t in zip(vol, years, strict=True)]
    grid = PriceGrid(years, vol, 120 / (vol * np.sqrt(years)), np.full(3, 256), k)
    z = to_unbounded(parameters)

    def slow(point: np.ndarray) -> np.ndarray:
        p = from_unbounded(point)
        return np.concatenate([heston_price(p, 1.0, np.exp(x), t, False) for x, t in zip(k, years, strict=True)])

    found = grid.puts(z)
    assert np.max(np.abs(found[:, 0] - slow(z))) < 1e-10
    for i in range(5):
        step = 1e-4 * np.eye(5)[i]
        central = (slow(z + step) - slow(z - step)) / 2e-4
        assert np.max(np.abs(found[:, i + 1] - central)) < 2e-8


def test_short_expiries_far_strikes_and_unused_contracts_are_left_out() -> None:
    chain = heston_chain(days=(3, 30, 90, 300), deviations=(-9, -2, -1, 0, 1, 1.5, 9), half_spread_vol=0.001)
    fit = calibrate(chain.implied_vols, HestonCalibrationSettings(max_deviations=4.0))
    assert fit.by_expiry["t_cal"].min() * 365 > 5
    assert fit.n_contracts == 15
    assert fit.n_expiries == 3
    assert _apart(fit, PARAMETERS) < 1e-4


def _nothing(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.clear()


BAD = {
    "no rows": (_nothing, "0 usable contracts"),
    "one expiry": (lambda f: f.filter(pl.col("expiry") == f["expiry"].max()).vstack(f.clear()), "1 usable expiries"),
    "one strike per expiry": (
        lambda f: pl.concat([f.filter("used").sort("strike").unique("expiry", keep="first", maintain_order=True)] * 3),
        "1 strikes at most",
    ),
    "three contracts": (lambda f: f.filter("used").head(3), "3 usable contracts"),
    "no bids": (lambda f: f.with_columns(used=pl.lit(False)), "0 usable contracts"),
    "expired": (lambda f: f.with_columns(t_cal=-pl.col("t_cal")), "0 usable contracts"),
    "volatility unknown": (lambda f: f.with_columns(iv_mid=pl.lit(float("nan"))), "0 usable contracts"),
    "volatility null": (lambda f: f.with_columns(iv_mid=pl.lit(None, pl.Float64)), "0 usable contracts"),
    "forward unknown": (lambda f: f.with_columns(forward=pl.lit(None, pl.Float64)), "0 usable contracts"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_chain_gives_a_reason_and_no_parameters(noisy: HestonChain, case: str) -> None:
    break_it, reason = BAD[case]
    fit = calibrate(break_it(noisy.implied_vols), HestonCalibrationSettings(min_contracts=6))
    assert fit.parameters is None
    assert not fit.converged
    assert fit.reason is not None
    assert fit.reason.startswith(reason)
    assert np.isnan(fit.rmse_iv)


def test_nonsense_volatilities_do_not_stop_it(noisy: HestonChain) -> None:
    generator = np.random.default_rng(0)
    frame = noisy.implied_vols
    wild = frame.with_columns(pl.Series("iv_mid", generator.uniform(0.01, 3.0, frame.height)), iv_bid=None, iv_ask=None)
    fit = calibrate(wild, HestonCalibrationSettings(max_iterations=10))
    assert fit.parameters is None or fit.rmse_iv > 0.1
    assert fit.converged or fit.reason is not None


def test_too_few_iterations_are_told(noisy: HestonChain) -> None:
    fit = calibrate(noisy.implied_vols, HestonCalibrationSettings(max_iterations=1), start=STARTS[0])
    assert not fit.converged
    assert fit.reason == "not settled after 1 iterations"


def test_a_flat_smile_says_which_parameter_it_does_not_tell() -> None:
    flat = heston_chain(HestonParameters(0.04, 1.0, 0.04, 0.011, 0.0)).implied_vols.with_columns(iv_mid=pl.lit(0.2))
    fit = calibrate(flat)
    assert fit.rmse_iv < 1e-3
    assert fit.reason is not None or fit.condition > 1e6
