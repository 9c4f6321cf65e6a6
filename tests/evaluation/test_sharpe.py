"""Published and exact values of the Sharpe family (statistics.md A-1 to A-10, A-78)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_core.evaluation.sharpe import (
    SharpeInference,
    annualisation_factor,
    deflated_sharpe,
    deflated_sharpe_of_maximum,
    deflated_threshold,
    expected_maximum,
    expected_maximum_exact,
    lo_standard_error,
    luck_variance,
    min_track_record,
    probabilistic_sharpe,
    track_record_of_maximum,
    trial_variance,
)


@pytest.mark.parametrize(
    ("n", "skew", "kurtosis", "expected"),
    [(24, 0.0, 3.0, 0.98167), (24, -2.448, 10.164, 0.91336), (36, -2.448, 10.164, 0.95351)],
)
def test_a1_psr_equals_the_values_of_the_2012_paper(n, skew, kurtosis, expected):
    assert probabilistic_sharpe(0.458, n, skew=skew, kurtosis=kurtosis) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("periods", "expected", "years"), [(252, 688.21, 2.731), (52, 147.10, 2.829), (12, 38.878, 3.240)]
)
def test_a2_min_track_record_equals_the_values_of_the_2012_paper(periods, expected, years):
    root = math.sqrt(periods)
    found = min_track_record(2 / root, benchmark=1 / root)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found / periods == pytest.approx(years, abs=5e-4)


def test_a3_min_track_record_grows_with_hedge_fund_moments():
    root = math.sqrt(12)
    years = min_track_record(2 / root, benchmark=1 / root, skew=-0.72, kurtosis=5.78) / 12
    assert years == pytest.approx(4.9913, abs=1e-4)


def test_a4_dsr_equals_the_example_of_the_2014_paper():
    variance, sharpe = 0.5 / 250, 2.5 / math.sqrt(250)
    assert deflated_threshold(100, variance) == pytest.approx(0.113172, abs=1e-6)
    assert deflated_threshold(100, variance) * math.sqrt(250) == pytest.approx(1.78941, abs=1e-5)
    dsr = deflated_sharpe(sharpe, 1250, n_trials=100, variance=variance, skew=-3, kurtosis=10)
    assert dsr == pytest.approx(0.900397, abs=1e-5)


@pytest.mark.parametrize(
    ("n_trials", "skew", "kurtosis", "expected"), [(46, -3.0, 10.0, 0.950502), (88, 0.0, 3.0, 0.950491)]
)
def test_a5_dsr_breaks_even_at_the_published_number_of_trials(n_trials, skew, kurtosis, expected):
    dsr = deflated_sharpe(
        2.5 / math.sqrt(250), 1250, n_trials=n_trials, variance=0.5 / 250, skew=skew, kurtosis=kurtosis
    )
    assert dsr == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("n", "expected"), [(10, 1.574598), (100, 2.530603), (1000, 3.255122)])
def test_a6_expected_maximum_closed_form(n, expected):
    assert expected_maximum(n) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("n", "mean", "sd"), [(10, 1.538753, 0.586808), (100, 2.507594, 0.429424), (1000, 3.241436, 0.351362)]
)
def test_a7_expected_maximum_exact(n, mean, sd):
    assert expected_maximum_exact(n) == (pytest.approx(mean, abs=1e-5), pytest.approx(sd, abs=1e-5))


def test_a8_newer_inference_equals_the_authors_test_values():
    fund = SharpeInference(0.036 / 0.079, 24, skew=-2.448, kurtosis=10.164)
    assert fund.standard_error() == pytest.approx(0.32859, abs=1e-4)
    assert SharpeInference(0.036 / 0.079, 24).standard_error() == pytest.approx(0.214, abs=1e-3)
    assert fund.psr(0.0) == pytest.approx(0.98721, abs=1e-4)
    assert fund.psr(0.1) == pytest.approx(0.93915, abs=1e-4)
    assert fund.min_track_record() == pytest.approx(13.0288, abs=1e-4)
    assert fund.miss_rate(0.5) == pytest.approx(0.31521, abs=1e-4)
    assert fund.planned_false_discovery_rate(0.5, 0.05) == pytest.approx(0.58111, abs=1e-4)
    assert fund.observed_false_discovery_rate(0.5, 0.05) == pytest.approx(0.30586, abs=1e-4)


@pytest.mark.parametrize(("sharpe", "n", "expected"), [(0.5, 12, 0.306186), (0.5, 60, 0.136931), (1.5, 12, 0.420813)])
def test_a9_lo_standard_errors(sharpe, n, expected):
    assert lo_standard_error(sharpe, n) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("autocorrelation", "expected"), [(0.9, 1.207038), (0.0, 3.464102), (-0.1, 3.797873)])
def test_a10_lo_annualisation_of_twelve_months(autocorrelation, expected):
    assert annualisation_factor(12, autocorrelation) == pytest.approx(expected, abs=1e-5)
    # The variance of a sum of twelve AR(1) returns, by its definition.
    lags = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    assert annualisation_factor(12, autocorrelation) == pytest.approx(12 / math.sqrt((autocorrelation**lags).sum()))


def test_a8b_newer_inference_with_autocorrelation():
    fund = SharpeInference(0.036 / 0.079, 24, skew=-2.448, kurtosis=10.164, autocorrelation=0.2)
    assert fund.standard_error() == pytest.approx(0.37949, abs=1e-4)
    assert fund.psr(0.0) == pytest.approx(0.96583, abs=1e-4)
    assert fund.psr(0.1) == pytest.approx(0.90048, abs=1e-4)
    assert fund.min_track_record() == pytest.approx(19.5432, abs=1e-4)
    assert fund.min_track_record(0.1) == pytest.approx(39.3690, abs=1e-4)
    assert fund.miss_rate(0.5) == pytest.approx(0.41057, abs=1e-4)
    assert fund.planned_false_discovery_rate(0.5, 0.1) == pytest.approx(0.43293, abs=1e-4)
    assert fund.observed_false_discovery_rate(0.5, 0.1) == pytest.approx(0.36075, abs=1e-4)


@pytest.mark.parametrize("autocorrelation", [0.0, 0.3, -0.3])
def test_the_standard_error_is_that_of_simulated_series(autocorrelation):
    rng, n, runs = np.random.default_rng(1), 400, 4000
    noise = rng.standard_normal((runs, n + 50))
    series = np.zeros_like(noise)
    for step in range(1, n + 50):
        series[:, step] = autocorrelation * series[:, step - 1] + noise[:, step]
    series = series[:, 50:] * math.sqrt(1 - autocorrelation**2) + 0.2
    estimates = series.mean(axis=1) / series.std(axis=1, ddof=1)
    expected = SharpeInference(0.2, n, autocorrelation=autocorrelation).standard_error()
    assert estimates.std() == pytest.approx(expected, rel=0.05)


def test_a_single_trial_is_not_deflated():
    # The predecessor killed a lone run of Sharpe 3 with a DSR of 0.
    sharpe = 3 / math.sqrt(252)
    variance = trial_variance([sharpe])
    dsr = deflated_sharpe(sharpe, 252, n_trials=1, variance=variance)
    assert dsr == probabilistic_sharpe(sharpe, 252)
    assert dsr > 0.99


def test_close_sharpes_get_close_dsrs_and_not_zero_or_one():
    # The predecessor mixed annual Sharpe with a bar count: 0.4 / 0.5 / 0.6 gave 0.0 / 0.5 / 1.0.
    values = [
        deflated_sharpe(s / math.sqrt(252), 252, n_trials=2, variance=0.5 / 252 / expected_maximum(2) ** 2)
        for s in (0.4, 0.5, 0.6)
    ]
    assert all(0.3 < v < 0.7 for v in values)


def test_undefined_trials_count_as_zero_in_the_trial_variance():
    assert trial_variance([0.1, None, float("nan")]) == pytest.approx(trial_variance([0.1, 0.0, 0.0]))
    assert trial_variance([]) == 0.0


def test_too_few_observations_give_no_probability():
    assert probabilistic_sharpe(0.3, 1) is None


@given(st.floats(-0.5, 0.5), st.integers(3, 2000), st.integers(1, 1000), st.integers(1, 1000))
def test_more_trials_never_raise_the_dsr(sharpe, n, fewer, more):
    fewer, more = sorted((fewer, more))
    low = deflated_sharpe(sharpe, n, n_trials=more, variance=0.01)
    high = deflated_sharpe(sharpe, n, n_trials=fewer, variance=0.01)
    assert low <= high + 1e-12


def test_a8c_the_null_variance_form_matches_the_published_example():
    """SR .036/.079, n 24, moments of A-8, 10 trials with variance .1."""
    threshold = deflated_threshold(10, 0.1)
    assert threshold == pytest.approx(0.497932, abs=1e-5)
    single = SharpeInference(0.036 / 0.079, 24, skew=-2.448, kurtosis=10.164).psr(threshold)
    assert single == pytest.approx(0.450681, abs=1e-5)
    dsr = deflated_sharpe_of_maximum(0.036 / 0.079, 24, n_trials=10, variance=0.1, skew=-2.448, kurtosis=10.164)
    assert dsr == pytest.approx(0.416360, abs=1e-5)


def test_the_null_variance_form_passes_five_percent_of_independent_null_sweeps():
    rng = np.random.default_rng(5)
    n, trials, sweeps = 1000, 100, 1500
    best = rng.standard_normal((sweeps, trials)).max(axis=1) / math.sqrt(n)
    passed = [deflated_sharpe_of_maximum(b, n, n_trials=trials, variance=1 / n) > 0.95 for b in best]
    assert 0.03 < np.mean(passed) < 0.075


@pytest.mark.parametrize(
    ("correlation", "forced_trials", "share"), [(0.0, 100, 0.0005), (0.5, 100, 0.017), (0.5, 1, 0.55)]
)
def test_a78_size_of_the_classic_gate(correlation, forced_trials, share):
    """Sweeps of 100 skill-less trials over 1,000 days: how many best ones have a classic DSR above .95.

    With one trial forced the share is that of a maximum above z .95: .5628 by quadrature over the shared part.
    """
    rng, n, trials, sweeps = np.random.default_rng(78), 1000, 100, 20_000
    shared, own = rng.standard_normal((sweeps, 1)), rng.standard_normal((sweeps, trials))
    sharpes = (math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own) / math.sqrt(n)
    passed = [
        deflated_sharpe(row.max(), n, n_trials=forced_trials, variance=float(row.var(ddof=1))) > 0.95 for row in sharpes
    ]
    assert np.mean(passed) == pytest.approx(share, abs=0.02)


def test_luck_is_capped_at_what_a_skill_less_estimate_can_vary():
    spread = [0.3, -0.5, 0.0, -0.4]
    assert luck_variance(spread, 252) == pytest.approx(1 / 252)
    assert luck_variance([0.01, 0.011, 0.012], 252) == pytest.approx(trial_variance([0.01, 0.011, 0.012]))


def test_one_trial_is_not_deflated_in_the_null_variance_form():
    assert deflated_sharpe_of_maximum(0.1, 252, n_trials=1, variance=0.0) == pytest.approx(
        probabilistic_sharpe(0.1, 252)
    )


def test_the_track_record_is_where_the_gate_would_pass():
    needed = track_record_of_maximum(0.1, 250, n_trials=40, variance=1 / 250)
    assert needed > 250
    at = deflated_sharpe_of_maximum(0.1, round(needed), n_trials=40, variance=1 / needed)
    assert at == pytest.approx(0.95, abs=0.002)
    assert track_record_of_maximum(-0.1, 250, n_trials=40, variance=1 / 250) == math.inf


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 0.99])
def test_the_null_variance_form_keeps_its_size_when_trials_are_correlated(correlation):
    rng = np.random.default_rng(7)
    n, trials, sweeps = 252, 100, 1500
    shared = rng.standard_normal((sweeps, 1))
    own = rng.standard_normal((sweeps, trials))
    estimates = (math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own) / math.sqrt(n)
    passed = [
        deflated_sharpe_of_maximum(row.max(), n, n_trials=trials, variance=luck_variance(list(row), n)) > 0.95
        for row in estimates
    ]
    assert np.mean(passed) < 0.085


def test_clones_are_deflated_like_one_trial():
    many = deflated_sharpe_of_maximum(0.11, 252, n_trials=200, variance=0.0)
    assert many == pytest.approx(probabilistic_sharpe(0.11, 253), abs=0.01)
