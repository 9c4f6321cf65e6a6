"""The error budget: when a cycle is a look, at which level, and what its runs may claim between looks."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.evaluation import ERROR_BUDGET_SCHEMA, evaluate
from argus_core.evaluation.error_budget import close_look, earlier_rows, lond_weight, open_look
from argus_core.settings import EvaluationSettings, ExperimentSettings, OnlineFdrSettings
from tests.evaluation.conftest import DAY, make_cycle

LOND = OnlineFdrSettings()
START = date(2024, 1, 1)


def days(count: int) -> list[date]:
    return [START + timedelta(days=i) for i in range(count)]


def empty() -> pl.DataFrame:
    return pl.DataFrame(schema=dict(ERROR_BUDGET_SCHEMA))


def play(cycles, procedure=LOND, alpha=0.05):
    """Rows after cycles of (days of data, trials ever tried, p-value of the joint test)."""
    rows = empty()
    for count, trials, p in cycles:
        dates = days(count)
        history = earlier_rows(rows, dates[-1], trials)
        look = open_look(history, procedure, alpha=alpha, dates=dates, lineage_trials=trials)
        promoted = ["winner"] if p < look.level else []
        row = close_look(
            look,
            procedure,
            day=dates[-1],
            dates=dates,
            lineage_trials=trials,
            cycle_trials=trials,
            new_trials=0,
            p_consistent=p,
            promoted=promoted,
        )
        rows = pl.concat([history, row])
    return rows


def test_the_first_cycle_is_tested_at_the_full_level_and_spends_half_of_the_budget():
    row = play([(250, 50, 0.5)]).row(0, named=True)
    assert (row["is_look"], row["look"], row["level"], row["remaining"]) == (True, 1, 0.05, 0.5)


def test_daily_cycles_on_growing_data_are_looks_only_when_a_fifth_is_new():
    rows = play([(n, 50, 0.5) for n in range(250, 371)])
    looks = rows.filter(pl.col("is_look"))
    assert looks["n_observations"].to_list() == [250, 300, 360]
    np.testing.assert_allclose(looks["level"], [0.05, 0.1 / 6, 0.1 / 12])
    np.testing.assert_allclose(looks["remaining"], [1 / 2, 1 / 3, 1 / 4])


def test_new_trials_open_a_look_on_the_same_day():
    rows = play([(250, 50, 0.5), (250, 51, 0.5)])
    assert rows["is_look"].to_list() == [True, True]
    assert "1 new trial" in rows["why"][1]


def test_the_same_cycle_again_is_the_same_look():
    once, twice = play([(250, 50, 0.01)]), play([(250, 50, 0.01), (250, 50, 0.01)])
    assert once.equals(twice)


def test_a_discovery_raises_later_levels():
    found, none = play([(250, 50, 0.001), (300, 50, 0.5)]), play([(250, 50, 0.5), (300, 50, 0.5)])
    assert found["level"][1] == pytest.approx(2 * none["level"][1])


def test_between_looks_only_what_the_last_look_promoted_stands():
    rows = play([(250, 50, 0.001), (251, 50, 0.001)])
    assert rows["is_look"].to_list() == [True, False]
    assert json.loads(rows["promoted"][1]) == ["winner"]
    look = open_look(rows, LOND, alpha=0.05, dates=days(252), lineage_trials=50)
    assert look.standing == {"winner"}
    assert look.days_to_next == 48


def test_without_a_procedure_every_cycle_is_a_look_at_the_same_level():
    rows = play([(n, 50, 0.5) for n in range(250, 260)], OnlineFdrSettings(method="none"))
    assert rows["is_look"].all()
    assert set(rows["level"]) == {0.05}


@pytest.mark.parametrize("method", ["lord++", "e-lond"])
def test_other_procedures_spend_less_at_the_first_look_and_earn_back(method):
    procedure = OnlineFdrSettings(method=method)
    none = play([(250, 50, 0.9), (300, 50, 0.9), (360, 50, 0.9)], procedure)
    found = play([(250, 50, 0.0), (300, 50, 0.9), (360, 50, 0.9)], procedure)
    assert none["level"][0] < 0.01
    assert found["level"][1] > none["level"][1]
    assert (none["remaining"] <= 1).all()
    assert found["remaining"][2] >= none["remaining"][2]


def test_weights_sum_to_one():
    assert sum(lond_weight(k) for k in range(1, 100_001)) == pytest.approx(1, abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=25))
def test_levels_without_a_discovery_never_sum_above_q(steps):
    count, trials, cycles = 100, 5, []
    for more_days, more_trials, _ in steps:
        count, trials = count + more_days, trials + more_trials
        cycles.append((count, trials, 1.0))
    rows = play(cycles)
    levels = rows.filter(pl.col("is_look"))["level"]
    assert levels.sum() <= LOND.q + 1e-12
    assert rows["remaining"].is_sorted(descending=True)


def test_fdr_over_looks_of_growing_null_data_is_controlled():
    """Twelve looks at growing null data, tested each time: the share of histories with any promotion is below q."""
    rng = np.random.default_rng(5)
    histories, hits, fixed = 2000, 0, 0
    looks = np.unique(np.round(100 * 1.2 ** np.arange(12)).astype(int))
    from scipy.stats import norm

    for _ in range(histories):
        sums = np.cumsum(rng.normal(size=looks[-1]))[looks - 1]
        p = norm.sf(sums / np.sqrt(looks))
        levels = np.minimum(0.05, [LOND.q * lond_weight(k) for k in range(1, len(looks) + 1)])
        hits += bool((p < levels).any())
        fixed += bool((p < 0.05).any())
    assert hits / histories <= LOND.q
    assert fixed / histories > 0.15  # what the budget is for


def judge(cycle, **changes):
    parsed = EvaluationSettings.parse({"spa": {"resamples": 300}}, source="test")
    return evaluate(*cycle, parsed, ExperimentSettings(), **changes)


def test_a_run_that_shines_between_looks_is_killed_by_name():
    runs, returns, ledger = make_cycle([0.0] * 10 + [0.5] + [0.0] * 9, seed=3)
    first = judge((runs, returns, ledger))
    assert first.candidates.height == 1
    yesterday = first.budget.with_columns(
        date=pl.lit(DAY - timedelta(days=1)), last_day=pl.lit(DAY - timedelta(days=1)), promoted=pl.lit("[]")
    )
    second = judge((runs, returns, ledger), budget=yesterday)
    assert second.candidates.is_empty()
    killed = second.killed.filter(pl.col("run_id") == "run010")
    assert killed["reason"].to_list() == ["error_budget"]
    assert "not a look" in killed["explanation"][0]
    kept = yesterday.with_columns(promoted=pl.lit(json.dumps(first.candidates["trial_id"].to_list())))
    assert judge((runs, returns, ledger), budget=kept).candidates.height == 1


def test_retired_trials_stay_in_the_joint_test():
    runs, returns, ledger = make_cycle([0.0] * 60, seed=11)
    from argus_core.experiments.ledger import retired_returns, with_trial_ids

    full = judge((runs, returns, ledger))
    best = full.joint_test["best_run_id"]
    alone = runs.filter(pl.col("run_id") == best)
    none = pl.DataFrame(schema={"trial_id": pl.String, "trade_date": pl.Date, "daily_return": pl.Float64})
    retired = retired_returns(runs, returns, none, alone)
    assert retired["trial_id"].n_unique() == 59
    cut = judge((alone, returns.filter(pl.col("run_id") == best), with_trial_ids(ledger)), retired=retired)
    naive = judge((alone, returns.filter(pl.col("run_id") == best), ledger.filter(pl.col("run_id") == best)))
    assert cut.joint_test["p_consistent"] == pytest.approx(full.joint_test["p_consistent"])
    assert naive.joint_test["p_consistent"] < cut.joint_test["p_consistent"]
    assert cut.joint_test["n_retired"] == 59
    assert cut.rankings.height == 1
