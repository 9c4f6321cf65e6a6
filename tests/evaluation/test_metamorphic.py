"""What must not change, or only one way: units, order, signs, copies of a strategy, strategies worth nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.bootstrap.joint_paths import best_of_trials
from argus_core.evaluation.inference import TrialSet, deflation
from argus_core.evaluation.joint import AlignedReturns, grid_overfitting, joint_test
from argus_core.evaluation.pbo import overfitting_probability
from argus_core.evaluation.sharpe import (
    deflated_sharpe,
    deflated_sharpe_of_maximum,
    luck_variance,
    probabilistic_sharpe,
    sharpe_moments,
    trial_variance,
)
from argus_core.evaluation.spa import SpaResult, spa_test
from argus_core.settings import SpaSettings
from tests.evaluation.conftest import make_run

TERMS = {"block_length": 3.0, "resamples": 300, "seed": 4}
P_VALUES = ("p_lower", "p_consistent", "p_upper", "p_reality_check")
seeds = st.integers(0, 10_000)
few = settings(deadline=None, max_examples=15)


def market(seed: int, n: int = 90, k: int = 6) -> np.ndarray:
    """Daily returns of k strategies with a common part, some with a little edge."""
    rng = np.random.default_rng(seed)
    return 0.01 * (rng.normal(size=(n, k)) + 0.5 * rng.normal(size=(n, 1)) + np.linspace(-0.1, 0.2, k))


def p_values(result: SpaResult) -> list[float]:
    return [getattr(result, name) for name in P_VALUES]


# The joint test: SPA and StepM.


@few
@given(seeds, st.floats(0.001, 1000))
def test_the_unit_of_returns_changes_no_p_value(seed, unit):
    values = market(seed)
    one, other = spa_test(values, **TERMS), spa_test(unit * values, **TERMS)
    assert p_values(other) == p_values(one)
    assert other.statistic == pytest.approx(one.statistic)
    assert other.adjusted_p == pytest.approx(one.adjusted_p)
    assert other.omegas == pytest.approx(unit * one.omegas)


@few
@given(seeds, st.lists(st.floats(0.01, 100), min_size=6, max_size=6))
def test_leverage_of_single_strategies_changes_neither_spa_nor_stepm(seed, leverage):
    values = market(seed)
    one, other = spa_test(values, **TERMS), spa_test(values * np.array(leverage), **TERMS)
    assert p_values(other)[:3] == p_values(one)[:3]
    assert other.adjusted_p == pytest.approx(one.adjusted_p)


@few
@given(seeds, st.permutations(range(6)))
def test_the_order_of_strategies_does_not_matter(seed, order):
    values = market(seed)
    one, other = spa_test(values, **TERMS), spa_test(values[:, list(order)], **TERMS)
    assert p_values(other) == p_values(one)
    assert other.adjusted_p == pytest.approx(one.adjusted_p[list(order)])
    assert other.t_values == pytest.approx(one.t_values[list(order)])


@few
@given(seeds)
def test_bets_the_other_way_round_have_the_opposite_t_and_never_pass_as_well(seed):
    values = market(seed)
    one, other = spa_test(values, **TERMS), spa_test(-values, **TERMS)
    assert other.t_values == pytest.approx(-one.t_values)
    assert other.omegas == pytest.approx(one.omegas)
    assert not set(one.survivors(0.1)) & set(other.survivors(0.1))
    losers = -np.abs(values)
    assert p_values(spa_test(losers, **TERMS)) == pytest.approx([1.0] * 3 + [p_values(spa_test(losers, **TERMS))[3]])


@few
@given(seeds, st.integers(0, 5), st.integers(1, 4))
def test_copies_of_a_strategy_change_nothing(seed, which, copies):
    values = market(seed)
    more = np.concatenate([values, np.repeat(values[:, which : which + 1], copies, axis=1)], axis=1)
    one, other = spa_test(values, **TERMS), spa_test(more, **TERMS)
    assert p_values(other) == p_values(one)
    assert other.adjusted_p[:6] == pytest.approx(one.adjusted_p)
    assert other.adjusted_p[6:] == pytest.approx(np.full(copies, one.adjusted_p[which]))
    assert other.critical_value == pytest.approx(one.critical_value)
    races = [best_of_trials(v, **TERMS) for v in (values, more)]
    np.testing.assert_allclose(races[0].null_maxima, races[1].null_maxima)
    assert races[1].selection_bias == pytest.approx(races[0].selection_bias)


@few
@given(seeds)
def test_a_strategy_that_only_loses_costs_no_other_one_anything(seed):
    """What Hansen's recentring is for: White's test and the upper p-value pay for it, the consistent one does not."""
    values = market(seed)
    loser = 0.01 * np.random.default_rng(seed + 1).normal(size=(90, 1)) - 0.02
    one, other = spa_test(values, **TERMS), spa_test(np.concatenate([values, loser], axis=1), **TERMS)
    assert p_values(other)[1] == p_values(one)[1]
    assert other.adjusted_p[:6] == pytest.approx(one.adjusted_p)
    assert other.adjusted_p[6] == 1.0
    assert p_values(other)[2] >= p_values(one)[2]
    assert other.p_reality_check >= one.p_reality_check


@few
@given(seeds, st.integers(1, 10))
def test_more_trials_without_an_edge_never_help(seed, extra):
    values = market(seed)
    noise = 0.01 * np.random.default_rng(seed + 1).normal(size=(90, extra))
    noise -= np.maximum(noise.mean(axis=0), 0)  # none of them is the new best
    one, other = spa_test(values, **TERMS), spa_test(np.concatenate([values, noise], axis=1), **TERMS)
    if one.statistic > 0:
        assert all(b >= a for a, b in zip(p_values(one), p_values(other), strict=True))
        assert (other.adjusted_p[:6] >= one.adjusted_p - 1e-12).all()


@few
@given(seeds)
def test_a_trial_that_never_traded_changes_nothing(seed):
    values = market(seed)
    one, other = spa_test(values, **TERMS), spa_test(np.concatenate([values, np.zeros((90, 1))], axis=1), **TERMS)
    assert p_values(other) == p_values(one)
    assert other.adjusted_p[:6] == pytest.approx(one.adjusted_p)


def test_p_values_are_uniform_where_nothing_has_an_edge():
    found = [
        spa_test(np.random.default_rng(seed).normal(size=(60, 4)), block_length=1.0, resamples=199, seed=seed).p_upper
        for seed in range(400)
    ]
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        share = np.mean([p <= level for p in found])
        assert share == pytest.approx(level, abs=4 * (level * (1 - level) / 400) ** 0.5 + 0.01)


def document(values: np.ndarray, **changes):
    trials = [{"run_id": f"r{i}", "strategy": "S", "symbol": "SPY"} for i in range(values.shape[1])]
    aligned = AlignedReturns(tuple(t["run_id"] for t in trials), tuple(range(len(values))), values)
    terms = SpaSettings(resamples=300, block_length=3.0, **changes)
    return joint_test(trials, aligned, {}, terms, alpha=0.05, n_trials=len(trials))


@few
@given(seeds, st.permutations(range(6)))
def test_the_joint_test_of_a_cycle_knows_runs_by_name_and_not_by_place(seed, order):
    values = market(seed)
    one, per_run = document(values)
    trials = [{"run_id": f"r{i}", "strategy": "S", "symbol": "SPY"} for i in order]
    moved = AlignedReturns(tuple(t["run_id"] for t in trials), tuple(range(90)), values[:, list(order)])
    other, moved_runs = joint_test(
        trials, moved, {}, SpaSettings(resamples=300, block_length=3.0), alpha=0.05, n_trials=6
    )
    for name in (*P_VALUES, "best_run_id", "survivors"):
        assert other[name] == one[name]
    assert {k: pytest.approx(v) for k, v in moved_runs.items()} == per_run


@few
@given(seeds, st.floats(0.01, 100))
def test_the_joint_test_of_a_cycle_knows_no_units_and_no_clones(seed, unit):
    values = market(seed)
    one, per_run = document(values)
    for changed in (unit * values, np.concatenate([values, values[:, 2:3]], axis=1)):
        other, changed_runs = document(changed)
        assert [other[name] for name in P_VALUES] == [one[name] for name in P_VALUES]
        for run_id, found in per_run.items():
            assert changed_runs[run_id] == pytest.approx(found)
    assert document(values)[0]["effective_trials"] == pytest.approx(document(unit * values)[0]["effective_trials"])
    cloned = np.repeat(values, 2, axis=1)
    assert document(cloned)[0]["effective_trials"] == pytest.approx(one["effective_trials"])


# The deflated Sharpe ratio.


@few
@given(seeds, st.floats(0.001, 1000))
def test_sharpe_inference_knows_no_units_and_signs_mirror(seed, unit):
    returns = market(seed)[:, 0]
    one, scaled, flipped = (sharpe_moments(r) for r in (returns, unit * returns, -returns))
    assert one is not None
    assert scaled is not None
    assert flipped is not None
    assert [*scaled.shape.values(), scaled.sharpe] == pytest.approx([*one.shape.values(), one.sharpe])
    mirrored = replace(one, sharpe=-one.sharpe, skew=-one.skew)
    assert [*flipped.shape.values(), flipped.sharpe] == pytest.approx([*mirrored.shape.values(), mirrored.sharpe])
    up, down = (probabilistic_sharpe(m.sharpe, m.n, **m.shape) for m in (one, flipped))
    assert up is not None
    assert down is not None
    assert up + down == pytest.approx(1)


@few
@given(seeds)
def test_the_order_of_days_moves_the_autocorrelation_alone(seed):
    returns = market(seed)[:, 0]
    shuffled = np.random.default_rng(seed).permutation(returns)
    one, other = sharpe_moments(returns), sharpe_moments(shuffled)
    assert one is not None
    assert other is not None
    assert (other.sharpe, other.skew, other.kurtosis) == pytest.approx((one.sharpe, one.skew, one.kurtosis))


@few
@given(st.lists(st.floats(-0.2, 0.3), min_size=3, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_trials_does_not_matter_and_copies_of_all_of_them_never_raise_the_dsr(sharpes, random):
    shuffled = list(sharpes)
    random.shuffle(shuffled)
    assert trial_variance(shuffled) == pytest.approx(trial_variance(sharpes))
    assert luck_variance(shuffled, 100) == pytest.approx(luck_variance(sharpes, 100))
    for form in (deflated_sharpe, deflated_sharpe_of_maximum):
        once, twice = (
            form(max(sharpes), 100, n_trials=k * len(sharpes), variance=trial_variance(sharpes)) for k in (1, 2)
        )
        assert once is not None
        assert twice is not None
        assert twice <= once + 1e-12


@few
@given(seeds, st.floats(-3, -1))
def test_a_trial_that_bleeds_raises_the_bar_by_one_trial_and_not_by_its_size(seed, loss):
    # Uncapped, its distance from the others would count as luck.
    sharpes = list(np.random.default_rng(seed).normal(0, 1 / 252**0.5, 40))
    best = make_run("a", sharpe_period=max(sharpes), n_days=252)

    def dsr(trials, form):
        return deflation(best, TrialSet(len(trials), luck_variance(trials, 252)), level=0.95)[form]

    assert dsr([*sharpes, loss], "dsr_classic") <= dsr(sharpes, "dsr_classic") + 1e-12
    bled = dsr([*sharpes, loss], "dsr")
    assert bled == dsr([*sharpes, 10 * loss], "dsr")
    naive = deflated_sharpe_of_maximum(max(sharpes), 252, n_trials=41, variance=trial_variance([*sharpes, loss]))
    assert naive is not None
    assert naive < bled


# The probability of overfitting.


@few
@given(seeds, st.floats(0.01, 100), st.permutations(range(6)), st.permutations(range(8)))
def test_pbo_knows_no_units_no_order_of_sets_and_no_order_of_blocks(seed, unit, order, blocks):
    values = market(seed, n=96)
    one = overfitting_probability(values, blocks=8)
    for changed in (
        unit * values,
        values * np.linspace(0.5, 3, 6),
        values[:, list(order)],
        values.reshape(8, 12, 6)[list(blocks)].reshape(96, 6),
        values[::-1],
    ):
        other = overfitting_probability(changed, blocks=8)
        assert other.pbo == one.pbo
        assert np.sort(other.logits) == pytest.approx(np.sort(one.logits))


@few
@given(seeds)
def test_pbo_of_bets_the_other_way_round_is_that_of_choosing_the_worst(seed):
    values = market(seed, n=96)
    found = overfitting_probability(-values, blocks=8, metric="mean")
    parts = values.reshape(8, 12, 6).mean(axis=1)
    # By hand: the worst in sample, and its rank from below out of sample.
    from itertools import combinations

    below = []
    for chosen in combinations(range(8), 4):
        rest = [b for b in range(8) if b not in chosen]
        worst = parts[list(chosen)].mean(axis=0).argmin()
        outside = parts[rest].mean(axis=0)
        rank = (outside >= outside[worst] - 1e-12).sum()
        below.append(rank / 7 <= 0.5)
    assert found.pbo == pytest.approx(np.mean(below))


@few
@given(seeds)
def test_a_set_that_always_loses_never_raises_pbo_and_a_copy_is_no_second_set(seed):
    values = market(seed, n=96)
    one = overfitting_probability(values, blocks=8)
    loser = np.full((96, 1), -1.0) + 0.01 * np.random.default_rng(seed).normal(size=(96, 1))
    other = overfitting_probability(np.concatenate([values, loser], axis=1), blocks=8)
    assert other.pbo <= one.pbo
    assert (other.logits >= one.logits - 1e-12).all()

    def grid(matrix):
        trials = [{"run_id": f"r{i}", "strategy": "S", "symbol": "SPY"} for i in range(matrix.shape[1])]
        aligned = AlignedReturns(tuple(t["run_id"] for t in trials), tuple(range(len(matrix))), matrix)
        return grid_overfitting(trials, aligned)

    assert grid(values) == grid(np.concatenate([values, values[:, :2], np.zeros((96, 1))], axis=1))
