from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from argus_core.robustness import monte_carlo, optimal_block_length, resample_paths, ruin_upper_bound
from argus_core.robustness.monte_carlo import MONTE_CARLO_KEYS


def correlated_trades():
    """400 trade returns with autocorrelation .35: x_0 = 0, x_t = .35 x_{t-1} + .0006 + .01 e_t."""
    noise = np.random.default_rng(3).standard_normal(400) * 0.01 + 0.0006
    out = np.zeros(400)
    for i in range(1, 400):
        out[i] = 0.35 * out[i - 1] + noise[i]
    return out


def test_resampling_schemes_disagree_about_drawdown_as_published():
    trades = correlated_trades()
    assert optimal_block_length(trades).stationary == pytest.approx(5.26, abs=0.01)
    deep = {
        method: (resample_paths([trades], [5.26], paths=4000, seed=8, method=method)[0].max_drawdown > 0.25).mean()
        for method in ("permutation", "iid", "stationary")
    }
    assert deep["permutation"] == pytest.approx(0.0005, abs=0.01)
    assert deep["iid"] == pytest.approx(0.011, abs=0.01)
    assert deep["stationary"] == pytest.approx(0.079, abs=0.01)


def test_the_automatic_block_covers_the_clustering_of_sizes_too():
    rng = np.random.default_rng(2)
    calm_then_wild = rng.standard_normal(600) * np.repeat([0.002, 0.02], 100).repeat(3)
    [got] = monte_carlo([calm_then_wild], paths=100)
    lengths = [optimal_block_length(x).stationary for x in (calm_then_wild, np.abs(calm_then_wild))]
    assert got["mc_block_length"] == max(lengths) > lengths[0]


def test_the_summary_is_that_of_the_paths():
    trades = np.random.default_rng(0).normal(0.001, 0.05, 80)
    [got] = monte_carlo([trades], paths=500, seed=5, block=3.0, ruin_level=0.7)
    paths = resample_paths([trades], [3.0], paths=500, seed=5, ruin_level=0.7)[0]
    assert list(got) == list(MONTE_CARLO_KEYS)
    assert got["mc_median_return"] == np.median(paths.terminal - 1)
    assert got["mc_p5_return"] == np.quantile(paths.terminal - 1, 0.05)
    assert got["mc_p95_drawdown"] == np.quantile(paths.max_drawdown, 0.95)
    assert got["mc_ruin_prob"] == paths.ruined.mean()
    assert got["mc_fraction_positive"] == (paths.terminal > 1).mean()


def test_a_run_without_trades_proves_nothing():
    # The predecessor let it survive (defect B9).
    empty, full = monte_carlo([np.array([]), np.array([0.01, -0.02])], paths=100)
    assert set(empty.values()) == {None}
    assert None not in full.values()


@pytest.mark.parametrize(("ruined", "paths"), [(0, 1000), (3, 1000), (999, 1000), (0, 10_000)])
def test_the_ruin_bound_is_clopper_pearsons(ruined, paths):
    assert ruin_upper_bound(ruined, paths) == pytest.approx(beta.ppf(0.95, ruined + 1, paths - ruined))
    assert ruin_upper_bound(paths, paths) == 1.0


def test_no_ruin_in_a_thousand_paths_is_not_no_risk():
    assert ruin_upper_bound(0, 1000) == pytest.approx(0.0030, abs=1e-4)
    assert ruin_upper_bound(0, 10_000) == pytest.approx(0.00030, abs=1e-5)


def test_drawdown_is_positive_and_never_beyond_all():
    [got] = monte_carlo([np.random.default_rng(0).normal(-0.05, 0.3, 60)], paths=200, ruin_level=0.01)
    assert 0 < got["mc_p95_drawdown"] <= 1
