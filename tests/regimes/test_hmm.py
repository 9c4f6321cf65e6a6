"""Filters and fits of hidden Markov models against enumeration, textbook values and statsmodels."""

from __future__ import annotations

import warnings
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.regimes.hmm import (
    HmmParameters,
    emission_log_density,
    filter_states,
    fit_hmm,
    forward_filter,
    match_states,
    smooth,
    stationary,
)
from argus_core.regimes.switching_ar import SwitchingAutoregression

HALVES = np.array([0.5, 0.5])
UMBRELLA = (np.array([[0.7, 0.3], [0.3, 0.7]]), HALVES)

#: Growth of US output, 1951Q2 to 1984Q4, per cent a quarter (Hamilton 1989; as in the tests of statsmodels).
# fmt: off
OUTPUT = np.array([
    2.59316421, 2.20217133, 0.45827562, 0.9687438, -0.24130757, 0.89647478, 2.05393219, 1.73353648, 0.93871289,
    -0.46477833, -0.80983406, -1.39763689, -0.39886093, 1.1918416, 1.45620048, 2.11808228, 1.08957863, 1.32390273,
    0.87296367, -0.19773273, 0.45420215, 0.07221876, 1.1030364, 0.82097489, -0.05795795, 0.58447772, -1.56192672,
    -2.05041027, 0.53637183, 2.33676839, 2.34014559, 1.2339263, 1.8869648, -0.45920792, 0.84940469, 1.70139849,
    -0.28756312, 0.09594627, -0.86080289, 1.03447127, 1.23685944, 1.42004502, 2.22410631, 1.30210173, 1.03517699,
    0.9253425, -0.16559951, 1.3444382, 1.37500131, 1.73222184, 0.71605635, 2.21032143, 0.85333031, 1.00238776,
    0.42725441, 2.14368343, 1.43789184, 1.57959926, 2.27469826, 1.95962656, 0.25992399, 1.01946914, 0.49016398,
    0.5636338, 0.5959546, 1.43082857, 0.56230122, 1.15388393, 1.68722844, 0.77438205, -0.09647045, 1.39600146,
    0.13646798, 0.55223715, -0.39944872, -0.61671102, -0.08722561, 1.2101835, -0.90729755, 2.64916158, -0.0080694,
    0.51111895, -0.00401437, 2.16821432, 1.92586732, 1.03504717, 1.85897219, 2.32004929, 0.25570789, -0.09855274,
    0.89073682, -0.55896485, 0.28350255, -1.31155407, -0.88278776, -1.97454941, 1.01275265, 1.68264723, 1.38271284,
    1.86073637, 0.4447377, 0.41449001, 0.99202275, 1.36283576, 1.59970522, 1.98845816, -0.25684232, 0.87786949,
    3.1095655, 0.85324478, 1.23337317, 0.00314302, -0.09433369, 0.89883322, -0.19036628, 0.99772376, -2.39120054,
    0.06649673, 1.26136017, 1.91637838, -0.3348029, 0.44207108, -1.40664911, -1.52129889, 0.29919869, -0.80197448,
    0.15204792, 0.98585027, 2.13034606, 1.34397924, 1.61550522, 2.70930099, 1.24461412, 0.50835466, 0.14802167,
])
# fmt: on
#: p00, p10, the two means, variance and the four coefficients that EViews finds.
HAMILTON = np.array(
    [0.754673, 0.095915, -0.358811, 1.163516, np.exp(-0.262658) ** 2, 0.013486, -0.057521, -0.246983, -0.212923]
)


def hamilton(p: np.ndarray) -> SwitchingAutoregression:
    return SwitchingAutoregression(np.array([[p[0], 1 - p[0]], [p[1], 1 - p[1]]]), p[2:4], p[4], p[5:])


def two_volatilities(seed: int, n: int = 300, stay: float = 0.96) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    state = np.zeros(n, int)
    for t in range(1, n):
        state[t] = state[t - 1] if rng.random() < stay else 1 - state[t - 1]
    return rng.normal(size=n) * np.where(state, 0.02, 0.006), state


def to_300(x: np.ndarray) -> np.ndarray:
    """Padded with missing values: one shape, one compilation."""
    return np.concatenate([x, np.full(300 - len(x), np.nan)])


def test_a56_hmm_filter_of_the_umbrella_world():
    density = np.log([[0.9, 0.2], [0.9, 0.2]])
    result = forward_filter(density, *UMBRELLA)
    assert result.filtered[0, :, 0] == pytest.approx([0.818182, 0.883357], abs=1e-5)
    assert smooth(density, *UMBRELLA)[0, :, 0] == pytest.approx([0.883357, 0.883357], abs=1e-5)
    assert result.log_likelihood.sum() == pytest.approx(-1.045546, abs=1e-5)
    assert result.predicted[0] == pytest.approx(result.filtered[0] @ UMBRELLA[0])


def test_a57_markov_switching_ar4_has_the_published_likelihood():
    assert len(OUTPUT) == 135
    assert hamilton(HAMILTON).filter(OUTPUT).log_likelihood.sum() == pytest.approx(-181.26339, abs=1e-3)


def test_a57_the_maximum_of_the_likelihood_is_the_published_fit():
    from scipy.optimize import minimize

    def loss(free: np.ndarray) -> float:
        p = free.copy()
        p[:2] = 1 / (1 + np.exp(-free[:2]))
        p[4] = np.exp(free[4])
        return -hamilton(p).filter(OUTPUT).log_likelihood.sum()

    start = np.array([1.0, -2.0, -0.5, 1.0, np.log(0.7), 0.0, 0.0, -0.2, -0.2])
    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-4})
    assert -found.fun == pytest.approx(-181.26339, abs=1e-3)
    p00, p10 = 1 / (1 + np.exp(-found.x[:2]))
    assert [p00, p10] == pytest.approx([0.7547, 0.0959], abs=1e-3)
    assert found.x[2:4] == pytest.approx([-0.3588, 1.1635], abs=1e-3)
    assert np.exp(found.x[4]) == pytest.approx(0.5914, abs=1e-3)


def test_a57_probabilities_equal_those_of_statsmodels():
    from statsmodels.tsa.regime_switching.markov_autoregression import MarkovAutoregression

    other = MarkovAutoregression(OUTPUT, k_regimes=2, order=4, switching_ar=False).smooth(HAMILTON)
    model = hamilton(HAMILTON)
    result = model.filter(OUTPUT)
    assert result.filtered[0] == pytest.approx(other.filtered_marginal_probabilities, abs=1e-9)
    assert model.smooth(OUTPUT)[0] == pytest.approx(other.smoothed_marginal_probabilities, abs=1e-9)
    assert result.log_likelihood.sum() == pytest.approx(other.llf, abs=1e-9)


def test_a75_filter_against_smoother():
    model = hamilton(HAMILTON)
    filtered, smoothed = model.filter(OUTPUT).filtered[0], model.smooth(OUTPUT)[0]
    assert filtered.shape == (131, 2)
    assert ((filtered[:, 0] > 0.5) != (smoothed[:, 0] > 0.5)).sum() == 10
    assert np.abs(filtered - smoothed).max() == pytest.approx(0.656, abs=5e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_filter_and_smoother_equal_enumeration_of_all_paths(seed):
    rng = np.random.default_rng(seed)
    density = rng.normal(size=(6, 3)) * 3
    matrix, first = rng.dirichlet(np.ones(3), size=3), rng.dirichlet(np.ones(3))
    if seed % 2:
        density[2] = np.nan
    known = np.nan_to_num(density)
    weights = {}
    for path in product(range(3), repeat=6):
        score = np.log(first[path[0]]) + known[range(6), path].sum()
        weights[path] = np.exp(score + sum(np.log(matrix[a, b]) for a, b in pairwise(path)))
    result = forward_filter(density, matrix, first)
    total = sum(weights.values())
    assert result.log_likelihood.sum() == pytest.approx(np.log(total), abs=1e-9)
    share = np.array([[sum(w for p, w in weights.items() if p[t] == k) / total for k in range(3)] for t in range(6)])
    assert smooth(density, matrix, first)[0] == pytest.approx(share, abs=1e-9)
    assert result.filtered[0, -1] == pytest.approx(share[-1], abs=1e-9)
    assert result.filtered.sum(axis=-1) == pytest.approx(1)


def test_rows_of_the_filter_use_the_past_only():
    x, _ = two_volatilities(1)
    parameters = fit_hmm(x).parameters
    other = np.concatenate([x[:200], 50 * x[200:]])
    whole, changed = filter_states(x, parameters), filter_states(other, parameters)
    assert (whole.filtered[0, :200] == changed.filtered[0, :200]).all()
    assert (whole.predicted[0, :200] == changed.predicted[0, :200]).all()
    # The smoother does not have this property, which is why no decision may use it.
    density = [emission_log_density(v, parameters) for v in (x, other)]
    early = [smooth(d, parameters.transition, parameters.initial)[0, :200] for d in density]
    assert np.abs(early[0] - early[1]).max() > 1e-3


def test_em_finds_what_statsmodels_finds():
    from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

    x, _ = two_volatilities(2)
    fit = fit_hmm(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = MarkovRegression(100 * x, k_regimes=2, switching_variance=True).fit(disp=False)
    order = np.argsort(other.params[4:6])
    assert fit.parameters.variance[0] * 1e4 == pytest.approx(other.params[4:6][order], rel=0.03)
    assert fit.parameters.mean[0] * 100 == pytest.approx(other.params[2:4][order], abs=0.02)
    # Its start is stationary, here the first state is free: a few tenths, never less.
    assert -1e-6 <= fit.log_likelihood[0] - (other.llf + 300 * np.log(100)) < 1.5


@pytest.mark.parametrize("student_df", [None, 5.0])
def test_the_fit_is_a_maximum_and_its_likelihood_that_of_the_filter(student_df):
    x, _ = two_volatilities(3)
    fit = fit_hmm(x, student_df=student_df)
    p = fit.parameters
    assert fit.converged[0]
    best = filter_states(x, p).log_likelihood.sum()
    assert fit.log_likelihood[0] == pytest.approx(best, abs=1e-6)
    for factor in (0.95, 1.05):
        for state in (0, 1):
            scale = np.where(np.arange(2) == state, factor, 1.0)
            wider = HmmParameters(p.mean, p.variance * scale, p.transition, p.initial, student_df)
            assert filter_states(x, wider).log_likelihood.sum() < best
        stay = np.clip(p.transition[0].diagonal() * factor, 0, 0.999)
        other = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])[None]
        moved = HmmParameters(p.mean, p.variance, other, p.initial, student_df)
        assert filter_states(x, moved).log_likelihood.sum() < best


def test_states_are_found_and_ordered_by_variance():
    x, state = two_volatilities(4)
    for values in (x, -x):
        fit = fit_hmm(values)
        assert fit.parameters.variance[0, 0] < fit.parameters.variance[0, 1]
        high = filter_states(values, fit.parameters).filtered[0, :, 1]
        assert ((high > 0.5) == state).mean() > 0.85
    three = fit_hmm(np.concatenate([x[:150], 8 * x[150:]]), states=3).parameters
    assert (np.diff(three.variance[0]) > 0).all()
    assert three.transition.sum(axis=-1) == pytest.approx(1)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.floats(-3, 3), st.floats(1e-3, 1e3))
def test_units_change_parameters_and_no_probability(seed, shift, scale):
    x, _ = two_volatilities(seed)
    one, other = fit_hmm(x), fit_hmm(scale * x + shift)
    filtered = filter_states(x, one.parameters).filtered
    if one.converged[0] and one.start[0] == other.start[0]:
        again = filter_states(scale * x + shift, other.parameters).filtered
        assert again == pytest.approx(filtered, abs=1e-3)
    assert other.log_likelihood[0] == pytest.approx(one.log_likelihood[0] - 300 * np.log(scale), abs=1e-3)


def test_series_in_a_batch_do_not_touch_each_other_and_padding_changes_nothing():
    x = np.stack([two_volatilities(seed)[0] for seed in (5, 6, 7)])
    together = fit_hmm(x)
    shorter = fit_hmm(np.stack([to_300(row[:200]) for row in x]))
    for row in range(3):
        alone = fit_hmm(x[row])
        assert together.parameters.variance[row] == pytest.approx(alone.parameters.variance[0], rel=1e-6)
        assert together.log_likelihood[row] == pytest.approx(alone.log_likelihood[0], abs=1e-6)
    unpadded = fit_hmm(x[0, :200])
    assert shorter.parameters.variance[0] == pytest.approx(unpadded.parameters.variance[0], rel=1e-6)
    assert shorter.log_likelihood[0] == pytest.approx(unpadded.log_likelihood[0], abs=1e-6)


def test_student_emissions_do_not_spend_a_state_on_outliers():
    rng = np.random.default_rng(8)
    calm, wild = rng.standard_t(4, 150) * 0.004, rng.standard_t(4, 150) * 0.015
    x = np.concatenate([calm, wild])
    x[[40, 90, 120]] = 0.06
    truth = np.arange(300) >= 150
    share = [
        ((filter_states(x, fit_hmm(x, student_df=df).parameters).filtered[0, :, 1] > 0.5) == truth).mean()
        for df in (None, 5.0)
    ]
    assert share[1] > 0.95
    assert share[1] >= share[0]


def test_labels_that_swap_are_seen():
    x, _ = two_volatilities(9)
    high = filter_states(x, fit_hmm(x).parameters).filtered[0]
    assert match_states(high, high) == (0, 1)
    assert match_states(high, high[:, ::-1]) == (1, 0)
    hole = high.copy()
    hole[:10] = np.nan
    assert match_states(hole, high[:, ::-1]) == (1, 0)
    assert match_states(np.full((4, 3), 1 / 3), np.full((4, 3), 1 / 3)) == (0, 1, 2)


def test_the_floor_keeps_a_state_from_shrinking_onto_one_value():
    x = np.concatenate([np.zeros(30), np.random.default_rng(10).normal(size=100)])
    fit = fit_hmm(to_300(x), variance_floor=1e-2)
    assert fit.parameters.variance[0, 0] == pytest.approx(1e-2 * x.var(), rel=1e-6)
    assert np.isfinite(fit.log_likelihood[0])


def test_too_few_values_have_no_fit():
    fit = fit_hmm(
        np.stack([np.r_[np.arange(15.0), np.full(45, np.nan)], np.full(60, 3.0), two_volatilities(1)[0][:60]])
    )
    assert np.isnan(fit.log_likelihood).tolist() == [True, True, False]
    assert np.isnan(fit.parameters.transition[:2]).all()
    assert not fit.converged[:2].any()


def test_a_missing_observation_moves_the_chain_and_teaches_nothing():
    matrix = np.array([[0.9, 0.1], [0.2, 0.8]])
    density = np.array([[-1.0, -2.0], [np.nan, np.nan], [np.nan, np.nan]])
    result = forward_filter(density, matrix, HALVES)
    assert result.filtered[0, 2] == pytest.approx(result.filtered[0, 0] @ matrix @ matrix)
    assert result.log_likelihood[0, 1:].tolist() == [0, 0]


def test_the_stationary_distribution():
    matrix = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert stationary(matrix) == pytest.approx([2 / 3, 1 / 3])
    assert stationary(np.stack([matrix, matrix.T @ matrix / (matrix.T @ matrix).sum(1, keepdims=True)])).shape == (2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forward_filter(np.zeros((3, 2)), np.array([[0.9, 0.2], [0.1, 0.8]]), HALVES), "transposed"),
        (lambda: forward_filter(np.zeros((3, 2)), np.eye(3)[:2], HALVES), "square"),
        (lambda: forward_filter(np.zeros((3, 2)), np.eye(2), np.array([0.5, 0.6])), "initial"),
        (lambda: stationary(np.eye(2)), "several stationary"),
        (lambda: fit_hmm(np.zeros(40), states=1), "states: 1"),
        (lambda: fit_hmm(np.zeros(40), student_df=2.0), "student_df: 2.0"),
        (lambda: fit_hmm(np.zeros(40), variance_floor=0.0), "variance_floor: 0.0"),
        (lambda: fit_hmm(np.array([np.inf, 1.0])), "finite numbers"),
        (lambda: hamilton(HAMILTON).filter(OUTPUT[:4]), "order 4"),
    ],
)
def test_what_cannot_be_used_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
