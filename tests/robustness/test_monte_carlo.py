from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from argus_core.robustness import monte_carlo, optimal_block_length, resample_paths, ruin_upper_bound
from argus_core.robustness.monte_carlo import MONTE_CARLO_KEYS
from argus_core.settings.loop import McKillThresholds


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
    assert [name for name, value in full.items() if value is None] == ["mc_reason"]


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


def some_trades(seed, mean=0.0005, n=120):
    return np.random.default_rng(seed).normal(mean, 0.01, n)


def limits(**given):
    return McKillThresholds(**(dict.fromkeys(McKillThresholds.model_fields) | given))


def test_only_runs_with_an_open_decision_get_more_paths():
    trades = [some_trades(k, mean) for k, mean in enumerate((0.004, 0.0005, -0.004))]
    [plain] = monte_carlo([trades[1]], paths=8000)
    on_it = limits(median_return_min=plain["mc_median_return"])
    clear, close, lost = monte_carlo(trades, paths=250, max_paths=1000, limits=on_it)
    assert (clear["mc_paths_used"], clear["mc_decided"], clear["mc_reason"]) == (250, True, None)
    assert (lost["mc_paths_used"], lost["mc_decided"]) == (250, True)
    assert (close["mc_paths_used"], close["mc_decided"]) == (1000, False)
    assert close["mc_reason"] == "1000 paths are too few to settle median_return_min"


def test_the_numbers_of_more_paths_are_those_of_a_run_that_had_them_from_the_start():
    trades = some_trades(1)
    [half] = monte_carlo([trades], paths=300, max_paths=300)
    open_ = limits(fraction_positive_min=half["mc_fraction_positive"])
    # 300, 600, 1200, and then 1500 instead of 2400: the last batch is cut.
    [grown] = monte_carlo([trades], paths=300, max_paths=1500, limits=open_)
    [whole] = monte_carlo([trades], paths=1500)
    assert grown["mc_paths_used"] in (600, 1200, 1500)
    [same] = monte_carlo([trades], paths=grown["mc_paths_used"])
    numbers = MONTE_CARLO_KEYS[:7]
    assert [grown[key] for key in numbers] == [same[key] for key in numbers]
    [cut] = monte_carlo([trades], paths=400, max_paths=1500, limits=limits(ruin_prob_max=0.0))
    assert (cut["mc_paths_used"], cut["mc_decided"]) == (1500, False)
    assert [cut[key] for key in numbers] == [whole[key] for key in numbers]


def test_paths_of_a_run_do_not_depend_on_its_company():
    trades = [some_trades(k) for k in range(9)]
    terms = {"paths": 200, "max_paths": 800, "limits": McKillThresholds()}
    together = monte_carlo(trades, **terms)
    assert together == [monte_carlo([one], **terms)[0] for one in trades]
    assert together == monte_carlo(trades[::-1], **terms)[::-1]
    assert len({one["mc_paths_used"] for one in together}) > 1


def test_settled_decisions_are_those_of_many_paths():
    wrong = settled = 0
    for seed in range(40):
        trades = some_trades(seed, n=60)
        [few] = monte_carlo([trades], paths=250, max_paths=2000, limits=limits(fraction_positive_min=0.55))
        [many] = monte_carlo([trades], paths=16_000)
        if few["mc_decided"]:
            settled += 1
            wrong += (few["mc_fraction_positive"] >= 0.55) != (many["mc_fraction_positive"] >= 0.55)
    assert settled > 25
    assert wrong <= 1


def test_fewer_paths_at_most_than_at_first_are_an_error():
    with pytest.raises(ValueError, match="max_paths 100 is below paths 200"):
        monte_carlo([], paths=200, max_paths=100)
