"""The verdict on a date: gates, rankings, candidates, documents."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import polars as pl
import pytest

from argus_core.evaluation import CANDIDATE_SCHEMA, KILLED_SCHEMA, RANKING_SCHEMA, evaluate, write_json
from argus_core.evaluation.joint import align_returns
from argus_core.settings import EvaluationSettings, ExperimentSettings, SettingsError

SETTINGS = EvaluationSettings.parse({"spa": {"resamples": 300}}, source="test")
EXPERIMENT = ExperimentSettings()


def judge(cycle, **changes):
    runs, returns, ledger = cycle
    return evaluate(runs, returns, ledger, changes.pop("settings", SETTINGS), EXPERIMENT, **changes)


def reasons_of(evaluation, run_id):
    return set(evaluation.killed.filter(pl.col("run_id") == run_id)["reason"])


def test_luck_promotes_nothing_and_every_run_names_the_joint_test(cycle):
    verdict = judge(cycle([0.0] * 20))
    assert verdict.candidates.is_empty()
    assert verdict.joint_test["p_consistent"] > 0.05
    assert verdict.rankings["killed"].all()
    failed = verdict.killed.filter(pl.col("reason") == "reality_check_failed")
    assert set(failed["run_id"]) == set(verdict.rankings["run_id"])
    assert failed["explanation"].str.contains("20 trials").all()


def test_a_strong_run_survives_among_the_rest(cycle):
    verdict = judge(cycle([0.0] * 10 + [0.5] + [0.0] * 9, seed=3))
    assert verdict.candidates["run_id"].to_list() == ["run010"]
    assert verdict.joint_test["survivors"] == ["run010"]
    winner = verdict.rankings.filter(pl.col("run_id") == "run010").row(0, named=True)
    assert winner["rank"] == 1
    assert not winner["killed"]
    assert winner["joint_p"] == pytest.approx(verdict.joint_test["p_consistent"])
    assert "Survives" in winner["verdict"]


def test_the_best_of_several_survivors_is_kept_and_the_others_are_listed(cycle):
    # The predecessor overwrote by strategy id and kept the worst of three survivors.
    verdict = judge(cycle([0.5, 0.7, 0.6], seed=1))
    assert verdict.candidates.height == 1
    best = verdict.candidates.row(0, named=True)
    scores = dict(verdict.rankings.select("run_id", "score").iter_rows())
    assert scores[best["run_id"]] == max(scores.values())
    assert {a["run_id"] for a in json.loads(best["alternatives"])} == set(scores) - {best["run_id"]}


def test_a_score_does_not_depend_on_other_runs(cycle):
    runs, returns, ledger = cycle([0.1, 0.2, 0.3])
    alone = judge((runs[:1], returns, ledger))
    together = judge((runs, returns, ledger))
    mine = together.rankings.filter(pl.col("run_id") == "run000")
    assert alone.rankings["score"][0] == mine["score"][0]


def test_row_order_and_a_second_call_change_nothing(cycle):
    runs, returns, ledger = cycle([0.0, 0.4, 0.1, 0.0], seed=2)
    first = judge((runs, returns, ledger))
    shuffled = judge((runs.sample(fraction=1, shuffle=True, seed=1), returns.reverse(), ledger.reverse()))
    for name in ("rankings", "killed", "candidates"):
        assert getattr(first, name).equals(getattr(shuffled, name))
    assert first.joint_test == shuffled.joint_test


def test_ties_are_broken_by_run_id(cycle):
    runs, returns, ledger = cycle([0.1, 0.1, 0.1])
    same = runs.with_columns(pl.lit(1.0).alias("sharpe"), pl.lit(0.1).alias("annual_return"))
    verdict = judge((same.reverse(), returns, ledger))
    assert verdict.rankings["run_id"].to_list() == ["run000", "run001", "run002"]


def test_zero_trade_and_failed_runs_are_trials(cycle, run_row, ledger_of):
    runs, returns, _ = cycle([0.2] * 3, seed=4)
    void = {"sharpe": None, "sharpe_period": None, "annual_return": None, "skew": None, "kurtosis": None}
    extra = [
        run_row("zero", n_trades=0, **void),
        run_row("dead", status="infrastructure_failed", reason="disk full", **void),
    ]
    everything = pl.concat([runs, pl.DataFrame(extra, schema=runs.schema)])
    verdict = judge((everything, returns, ledger_of(everything)))
    assert verdict.joint_test["n_trials"] == verdict.joint_test["n_tested"] == 5
    assert "no_trades" in reasons_of(verdict, "zero")
    assert reasons_of(verdict, "dead") == {"run_failed"}
    assert verdict.rankings["run_id"][-1] == "dead"
    assert "disk full" in verdict.rankings["verdict"][-1]
    few = judge((runs, returns, ledger_of(runs)))
    first = pl.col("run_id") == "run000"
    assert verdict.rankings.filter(first)["n_trials"][0] > few.rankings.filter(first)["n_trials"][0]


def test_every_trial_of_the_ledger_counts_once_even_without_runs(cycle):
    runs, returns, ledger = cycle([0.2, 0.1])
    dropped = ledger.with_columns(pl.col("run_id") + "-dropped", params=pl.lit('{"n":"dropped"}')).head(1)
    again = ledger.with_columns(pl.col("run_id") + "-older", date=pl.lit(date(2024, 1, 2)))
    abandoned = dropped.with_columns(params=pl.lit('{"n":"abandoned"}'), date=pl.lit(date(2023, 1, 3)))
    later = dropped.with_columns(params=pl.lit('{"n":"later"}'), date=pl.lit(date(2030, 1, 2)))
    verdict = judge((runs, returns, pl.concat([ledger, dropped, again, abandoned, later])))
    assert verdict.joint_test["n_trials"] == 4
    assert verdict.lineage["generation"].to_list() == [1, 2, 2, 3]
    assert verdict.lineage.sort("evaluations")["evaluations"].to_list() == [1, 1, 2, 2]


def test_a_lone_run_is_not_deflated(cycle):
    verdict = judge(cycle([0.3], seed=5))
    row = verdict.rankings.row(0, named=True)
    assert row["dsr"] == row["psr"]
    assert verdict.candidates.height == 1


def test_buy_and_hold_is_a_benchmark_and_never_a_candidate(cycle):
    runs, returns, ledger = cycle([0.5, 0.5, 0.5], seed=6)
    held = pl.when(pl.col("run_id") == "run001").then(pl.lit("BuyAndHold")).otherwise("strategy").alias("strategy")
    verdict = judge((runs.with_columns(held), returns, ledger.with_columns(held)))
    assert verdict.joint_test["n_tested"] == verdict.joint_test["n_trials"] == 2
    assert verdict.budget["new_trials"].to_list() == verdict.budget["cycle_trials"].to_list() == [2]
    row = verdict.rankings.filter(pl.col("role") == "benchmark").row(0, named=True)
    assert (row["run_id"], row["killed"], row["n_kill_reasons"]) == ("run001", False, 0)
    assert "run001" not in verdict.candidates["run_id"]
    assert verdict.rankings["benchmark_return"].drop_nulls().len() == 3


def test_buy_and_hold_can_be_the_benchmark_of_the_joint_test(cycle):
    runs, returns, ledger = cycle([0.5, 0.5], seed=6)
    settings = EvaluationSettings.parse({"spa": {"resamples": 300, "benchmark": "buy_and_hold"}}, source="test")
    hold = returns.filter(pl.col("run_id") == "run000").select(
        pl.lit("SPY").alias("symbol"), "trade_date", "daily_return"
    )
    verdict = judge((runs, returns, ledger), settings=settings, benchmark=hold)
    same = verdict.rankings.filter(pl.col("run_id") == "run000").row(0, named=True)
    assert (same["t_value"], same["joint_p"]) == (0.0, 1.0)


def test_no_runs_give_empty_frames_of_the_schema():
    empty = pl.DataFrame(schema={"run_id": pl.String, "strategy": pl.String})
    returns = pl.DataFrame(schema={"run_id": pl.String, "trade_date": pl.Date, "daily_return": pl.Float64})
    verdict = evaluate(empty, returns, empty, SETTINGS, EXPERIMENT)
    assert verdict.rankings.schema == pl.Schema(RANKING_SCHEMA)
    assert verdict.killed.schema == pl.Schema(KILLED_SCHEMA)
    assert verdict.candidates.schema == pl.Schema(CANDIDATE_SCHEMA)
    assert verdict.joint_test["p_consistent"] == 1.0


def test_only_failed_runs_are_judged_without_returns(cycle, run_row, ledger_of):
    runs = pl.DataFrame([run_row("a", status="rejected", reason="no bars", n_days=None, sharpe_period=None)])
    returns = pl.DataFrame(schema={"run_id": pl.String, "trade_date": pl.Date, "daily_return": pl.Float64})
    verdict = judge((runs, returns, ledger_of(runs)))
    assert reasons_of(verdict, "a") == {"run_failed"}
    assert verdict.rankings["score"][0] is None


def test_nan_metrics_are_nulls_and_never_reach_a_frame(cycle):
    runs, returns, ledger = cycle([0.2, 0.3])
    broken = runs.with_columns(sharpe=pl.lit(float("nan")), skew=pl.lit(float("inf")))
    verdict = judge((broken, returns, ledger))
    numeric = verdict.rankings.select(pl.selectors.float())
    assert not numeric.select(pl.any_horizontal(pl.all().is_nan().fill_null(False)).any()).item()
    assert verdict.rankings["sharpe"].null_count() == 2


def test_a_lookahead_run_is_killed_whatever_it_earned(cycle):
    runs, returns, ledger = cycle([1.0], lookahead_ok=False, lookahead_detail="entries changed at row 90")
    verdict = judge((runs, returns, ledger))
    assert reasons_of(verdict, "run000") == {"lookahead"}
    assert "row 90" in verdict.killed["explanation"][0]
    assert verdict.candidates.is_empty()


def test_deploy_gates_off_leave_the_joint_test_as_a_report(cycle):
    settings = EvaluationSettings.parse({"deploy_gates": False, "spa": {"resamples": 300}}, source="test")
    verdict = judge(cycle([0.0] * 5), settings=settings)
    assert "reality_check_failed" not in set(verdict.killed["reason"])
    assert verdict.joint_test["p_consistent"] > 0.05


def test_a_threshold_override_keeps_the_other_defaults_live(cycle):
    # The predecessor dropped every default once a threshold file was passed.
    runs, returns, ledger = cycle([0.5], n_trades=20, forced_pnl_share=0.9)
    verdict = judge((runs, returns, ledger), threshold_overrides={"min_trades": 30})
    assert {"min_trades", "open_position_pnl"} <= reasons_of(verdict, "run000")
    off = judge((runs, returns, ledger), threshold_overrides={"open_position_pnl": None})
    assert reasons_of(off, "run000") == set()


def test_an_unknown_threshold_is_an_error_that_names_it(cycle):
    with pytest.raises(SettingsError, match="min_trade"):
        judge(cycle([0.1]), threshold_overrides={"min_trade": 3})


def test_missing_days_are_returns_of_zero_on_the_union_of_dates():
    returns = pl.DataFrame(
        {
            "run_id": ["a", "a", "b"],
            "trade_date": [date(2025, 1, 2), date(2025, 1, 3), date(2025, 1, 4)],
            "daily_return": [0.1, None, float("nan")],
        }
    )
    aligned = align_returns(returns, ["b", "a", "void"])
    assert [str(d) for d in aligned.dates] == ["2025-01-02", "2025-01-03", "2025-01-04"]
    assert np.array_equal(aligned.values, [[0, 0.1, 0], [0, 0, 0], [0, 0, 0]])


def test_documents_are_written_with_the_given_time(cycle, tmp_path):
    verdict = judge(cycle([0.0, 0.6, 0.5], seed=7))
    paths = write_json(
        verdict,
        rankings_dir=tmp_path / "rankings",
        killed_path=tmp_path / "killed.json",
        candidates_path=tmp_path / "candidate_set.json",
        date=date(2025, 3, 31),
        generated_at="2025-03-31T22:00:00Z",
    )
    assert paths[0].name == "strategy_rankings_2025-03-31.json"
    rankings, killed, candidates = (json.loads(path.read_text()) for path in paths)
    assert {d["generated_at"] for d in (rankings, killed, candidates)} == {"2025-03-31T22:00:00Z"}
    assert rankings["rankings"][0]["components"].keys() >= {"sharpe", "drawdown"}
    assert candidates["candidates"][0]["alternatives"]
    assert killed["killed"][0]["remedy"]
    assert not list(tmp_path.rglob("*.partial"))
