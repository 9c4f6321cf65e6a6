"""The joint test: exact enumeration, plain twin, outside oracle, limits (statistics.md A-14 to A-19, A-24)."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from argus_core.bootstrap.resampled_means import resample_counts, stationary_variance
from argus_core.evaluation.spa import spa_test, statistics_of_means

SPA_A = np.array(
    [[0.9, -0.4, 0.3], [-0.2, 0.5, -1.9], [1.1, 0.1, -0.6], [0.4, -0.7, -1.2], [-0.5, 0.8, 0.2], [0.7, -0.3, -2.1]]
)
#: mean block, T, omegas, p_lower, p_consistent, p_upper, RC by strict >, then p_consistent and p_upper by >=
EXACT = [
    (1.0, 1.697056, (0.577350, 0.522813, 0.937046), 0.086806, 0.086806, 0.122857, 0.188100, 0.091735, 0.127786),
    (2.0, 2.250275, (0.435412, 0.371792, 0.620966), None, 0.022360, 0.034464, 0.053886, 0.024066, 0.036170),
    (3.0, 2.658239, (0.368588, 0.308987, 0.513764), None, 0.008426, 0.012699, 0.023605, 0.009160, 0.013430),
]


def enumerated(block_length):
    """Every index path of six periods with its exact probability: (paths' means, probabilities)."""
    paths = np.array(list(product(range(6), repeat=6)))
    p = 1 / block_length
    follows = paths[:, 1:] == (paths[:, :-1] + 1) % 6
    probability = (1 / 6) * np.prod(p / 6 + (1 - p) * follows, axis=1)
    return SPA_A[paths].mean(axis=1), probability


@pytest.mark.parametrize("case", EXACT, ids=["p=1", "p=1/2", "p=1/3"])
def test_spa_equals_full_enumeration(case):
    length, statistic, omegas, p_lower, p_consistent, p_upper, p_rc, tied_consistent, tied_upper = case
    omega = stationary_variance(SPA_A, length)
    assert omega == pytest.approx(omegas, abs=1e-6)
    means, probability = enumerated(length)
    assert probability.sum() == pytest.approx(1.0)
    drawn = statistics_of_means(means, SPA_A.mean(axis=0), omega, 6)
    best = (np.sqrt(6) * SPA_A.mean(axis=0) / omega).max()
    assert best == pytest.approx(statistic, abs=1e-6)
    strict = [probability[drawn[:, j] > best + 1e-9].sum() for j in range(3)]
    tied = [probability[drawn[:, j] >= best - 1e-9].sum() for j in range(3)]
    if p_lower is not None:
        assert strict[0] == pytest.approx(p_lower, abs=1e-6)
    assert strict[1:] == pytest.approx([p_consistent, p_upper], abs=1e-6)
    assert tied[1:] == pytest.approx([tied_consistent, tied_upper], abs=1e-6)
    observed = np.sqrt(6) * SPA_A.mean(axis=0).max()
    assert probability[drawn[:, 3] > observed + 1e-9].sum() == pytest.approx(p_rc, abs=1e-6)


@pytest.mark.parametrize("case", EXACT, ids=["p=1", "p=1/2", "p=1/3"])
def test_kernel_agrees_with_enumeration_within_monte_carlo_error(case):
    result = spa_test(SPA_A, block_length=case[0], resamples=40_000, seed=5)
    assert result.statistic == pytest.approx(case[1], abs=1e-6)
    for p, exact in ((result.p_consistent, case[7]), (result.p_upper, case[8])):
        assert abs(p - exact) < 4 * np.sqrt(exact * (1 - exact) / 40_000)


def test_kernel_equals_its_plain_twin():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(70, 5)) * 0.01
    counts = resample_counts(70, block_length=4.0, resamples=200, seed=9)
    assert (counts.sum(axis=1) == 70).all()
    omega = stationary_variance(values, 4.0)
    drawn = statistics_of_means(counts @ values / 70, values.mean(axis=0), omega, 70)
    result = spa_test(values, block_length=4.0, resamples=200, seed=9)
    t = np.sqrt(70) * values.mean(axis=0) / omega
    assert result.t_values == pytest.approx(t)
    assert result.omegas == pytest.approx(omega)
    expected = [(1 + (drawn[:, j] >= max(0, t.max())).sum()) / 201 for j in range(3)]
    assert [result.p_lower, result.p_consistent, result.p_upper] == pytest.approx(expected)
    assert result.p_reality_check == pytest.approx(
        (1 + (drawn[:, 3] >= np.sqrt(70) * values.mean(axis=0).max()).sum()) / 201
    )
    assert result.p_lower <= result.p_consistent <= result.p_upper


def test_counts_are_uniform_and_blocks_have_the_mean_length():
    counts = resample_counts(50, block_length=5.0, resamples=2000, seed=1)
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.12)
    # Variance of the resampled mean equals the exact formula: the blocks have the right length distribution.
    x = np.sin(np.arange(50) / 4)[:, None]
    drawn = (counts @ x)[:, 0] / 50
    assert drawn.std() * np.sqrt(50) == pytest.approx(float(stationary_variance(x, 5.0)[0]), rel=0.06)


def test_variance_by_fft_equals_the_slow_sum():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(33, 2)).cumsum(axis=0)
    n, p = 33, 1 / 6
    for column in range(2):
        c = x[:, column] - x[:, column].mean()
        total = (c * c).mean()
        for lag in range(1, n):
            kappa = (n - lag) / n * (1 - p) ** lag + lag / n * (1 - p) ** (n - lag)
            total += 2 * kappa * (c[:-lag] * c[lag:]).sum() / n
        assert stationary_variance(x, 6.0)[column] == pytest.approx(np.sqrt(total))


def test_a18_scaling_a_column_changes_nothing():
    # arch 8.0.0 does not studentise: scaling one useless strategy by 50 moves its p-value from .23 to .61.
    rng = np.random.default_rng(3)
    values = rng.normal(0.02, 1, size=(120, 6))
    before = spa_test(values, block_length=3.0, resamples=500, seed=4)
    scaled = values.copy()
    scaled[:, 2] *= 50
    after = spa_test(scaled, block_length=3.0, resamples=500, seed=4)
    assert after.statistic == pytest.approx(before.statistic, rel=1e-9)
    for name in ("p_lower", "p_consistent", "p_upper"):
        assert getattr(after, name) == getattr(before, name)
    assert after.adjusted_p == pytest.approx(before.adjusted_p)
    assert after.p_reality_check != before.p_reality_check


def test_arch_on_prescaled_columns_agrees():
    from arch.bootstrap import SPA

    rng = np.random.default_rng(12)
    values = rng.normal(0.0, 0.01, size=(250, 12))
    values[:, 3] += 0.0012
    ours = spa_test(values, block_length=5.0, resamples=4000, seed=1)
    scaled = values / stationary_variance(values, 5.0)
    theirs = SPA(np.zeros(250), -scaled, block_size=5, reps=4000, seed=7)
    theirs.compute()
    for name, p in (("lower", ours.p_lower), ("consistent", ours.p_consistent), ("upper", ours.p_upper)):
        assert abs(theirs.pvalues[name] - p) < 0.03


def test_stepm_finds_exactly_the_planted_strategies():
    rng = np.random.default_rng(6)
    values = rng.normal(0.0, 0.01, size=(500, 40))
    values[:, [4, 17]] += 0.003
    result = spa_test(values, block_length=2.0, resamples=1000, seed=2)
    assert result.survivors(0.05) == [4, 17]
    assert result.p_consistent < 0.05
    # The first step of StepM is the joint test itself.
    assert result.adjusted_p.min() == pytest.approx(result.p_consistent)


def test_constant_and_zero_columns_are_trials_that_never_pass():
    rng = np.random.default_rng(8)
    values = np.column_stack([np.zeros(60), np.full(60, 1e-3), rng.normal(size=60) * 0.01])
    result = spa_test(values, block_length=2.0, resamples=300, seed=3)
    assert list(result.t_values[:2]) == [0.0, 0.0]
    assert list(result.adjusted_p[:2]) == [1.0, 1.0]
    nothing = spa_test(np.zeros((60, 3)), block_length=2.0, resamples=300, seed=3)
    assert (nothing.p_consistent, nothing.p_reality_check) == (1.0, 1.0)


def test_chunking_and_padding_do_not_change_a_digit(monkeypatch):
    rng = np.random.default_rng(10)
    values = rng.normal(size=(64, 9)) * 0.01
    whole = spa_test(values, block_length=3.0, resamples=500, seed=4)
    monkeypatch.setattr("argus_core.bootstrap.resampled_means._CHUNK_BYTES", 64 * 8 * 64)
    parts = spa_test(values, block_length=3.0, resamples=500, seed=4)
    assert parts.p_consistent == whole.p_consistent
    assert parts.adjusted_p == pytest.approx(whole.adjusted_p)
    assert parts.critical_value == pytest.approx(whole.critical_value)


def test_a17_one_strategy_tends_to_the_normal_limit():
    from statistics import NormalDist

    rng = np.random.default_rng(21)
    values = rng.normal(0.05, 1.0, size=(800, 1))
    result = spa_test(values, block_length=1.0, resamples=8000, seed=4)
    limit = 1 - NormalDist().cdf(result.statistic)
    assert abs(result.p_upper - limit) < 4 * np.sqrt(limit * (1 - limit) / 8000) + 0.003


@pytest.mark.parametrize("k", [2, 8])
def test_a17_independent_strategies_tend_to_the_limit_of_their_maximum(k):
    from statistics import NormalDist

    # Columns of equal size made exactly uncorrelated, so that the limit holds without their sample's accidents.
    raw = np.random.default_rng(22).normal(size=(800, k))
    values = np.linalg.qr(raw - raw.mean(axis=0))[0] * np.sqrt(800) + 0.05
    result = spa_test(values, block_length=1.0, resamples=8000, seed=4)
    limit = 1 - NormalDist().cdf(result.statistic) ** k
    assert 0.05 < limit < 0.5
    assert abs(result.p_upper - limit) < 4 * np.sqrt(limit * (1 - limit) / 8000) + 0.003


@pytest.mark.parametrize(("block_length", "variance"), [(10.0, 124338.612), (4.0, 78628.274)])
def test_a24_long_run_variance_of_the_nile(block_length, variance):
    from statsmodels.datasets import nile

    volumes = nile.load_pandas().data["volume"].to_numpy()
    assert stationary_variance(volumes[:, None], block_length)[0] ** 2 == pytest.approx(variance, rel=1e-6)


def test_a24_newey_west_of_the_nile():
    """No gate uses it; it ties the conventions (autocovariances over n, Bartlett weights) to those of statsmodels."""
    import statsmodels.api as sm
    from statsmodels.datasets import nile

    volumes = nile.load_pandas().data["volume"].to_numpy()
    centred, n = volumes - volumes.mean(), len(volumes)
    covariances = [centred[lag:] @ centred[: n - lag] / n for lag in range(5)]
    variance = covariances[0] + 2 * sum((1 - lag / 5) * covariances[lag] for lag in range(1, 5))
    fit = sm.OLS(volumes, np.ones(n)).fit(cov_type="HAC", cov_kwds={"maxlags": 4})
    assert np.sqrt(variance / n) == pytest.approx(27.238485, rel=1e-6)
    assert fit.bse[0] == pytest.approx(27.238485, rel=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(5), "matrix"),
        (np.array([[1.0], [np.nan]]), "not finite"),
    ],
)
def test_unusable_input_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        spa_test(values, block_length=1.0, resamples=200, seed=1)


def test_a19_moving_averages_on_the_index_give_the_recorded_statistics():
    """24 moving-average rules on the S&P 500 that ships with arch, benchmark cash, p = 0.1."""
    from arch.data import sp500

    closes = sp500.load()["Adj Close"].to_numpy()
    returns = np.diff(np.log(closes))
    totals = np.concatenate([[0.0], np.cumsum(closes)])
    rules = [(s, long) for s in (1, 2, 5, 10, 20) for long in (20, 50, 100, 150, 200) if s < long]
    rows = np.arange(199, len(closes) - 1)
    columns = []
    for short, long in rules:
        means = [(totals[rows + 1] - totals[rows + 1 - span]) / span for span in (short, long)]
        columns.append(np.sign(means[0] - means[1]) * returns[rows])
    values = np.column_stack(columns)
    assert values.shape == (4831, 24)
    result = spa_test(values, block_length=10.0, resamples=8000, seed=3)
    assert rules[int(np.argmax(result.t_values))] == (20, 200)
    assert result.statistic == pytest.approx(1.939276, abs=1e-6)
    found = (result.p_lower, result.p_consistent, result.p_upper, result.p_reality_check)
    assert found == pytest.approx((0.107, 0.156, 0.156, 0.169), abs=0.012)
