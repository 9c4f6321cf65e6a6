"""The robustness columns of run rows, on a sweep of the small chain."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from argus_core.experiments import run_experiments
from argus_core.experiments.robustness_blocks import selection_of
from argus_core.robustness import monte_carlo
from argus_core.settings.loop import CombinatorialSettings, McKillThresholds, WalkForwardSettings, WarmupSensitivity

SWING = ("Swing", {"every": 20}, "swing.yaml")


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def found(kept, loop_of, pack, calendar):
    if "set" not in kept:
        cut = WarmupSensitivity(restart_sessions=(2,))
        few = CombinatorialSettings(groups=4, test_groups=2)
        kept["set"] = run_experiments(pack, loop_of(SWING, warmup_sensitivity=cut, cpcv=few), calendar=calendar)
    return kept["set"]


def test_masking_one_fold_leaves_the_mean_of_the_other_days(found):
    for row in found.runs.iter_rows(named=True):
        returns = found.returns.filter(pl.col("run_id") == row["run_id"])["daily_return"].to_numpy()
        folds = json.loads(row["regime_stress"])["folds"]
        # Eight days, two folds: the first three days belong to no test block.
        assert {name: one["days"] for name, one in folds.items()} == {"start": 3, "fold 1": 2, "fold 2": 3}
        left = [np.delete(returns, part).mean() for part in (slice(0, 3), slice(3, 5), slice(5, 8))]
        assert [folds[name]["mean_daily_without"] for name in ("start", "fold 1", "fold 2")] == pytest.approx(left)
        assert row["worst_mean_without_fold"] == pytest.approx(min(left))
        assert 1 / 3 <= row["hhi_fold"] <= 1


def test_masking_one_regime_equals_the_mean_of_the_other_trades(found):
    columns = ("entry_vol_regime", "entry_trend_regime", "entry_session")
    for row in found.runs.iter_rows(named=True):
        trades = found.trades.filter(pl.col("run_id") == row["run_id"])
        left = [
            trades.filter(pl.col(column).fill_null("UNKNOWN") != label)["trade_return"].mean()
            for column in columns
            for label in trades[column].fill_null("UNKNOWN").unique()
        ]
        assert row["worst_mean_without_regime"] == pytest.approx(min(one for one in left if one is not None))


def test_the_gated_monte_carlo_is_less_rosy_than_the_raw_one_by_the_luck_of_the_rank(found, loop_of, pack, calendar):
    runs = found.runs.sort("selection_rank")
    assert runs["selection_rank"].to_list() == list(range(1, 10))
    assert runs["sharpe"].is_sorted(descending=True)
    assert (runs["selection_sharpe_shift"] >= 0).all()
    assert runs["selection_sharpe_shift"][0] > 0
    lucky = runs.filter(pl.col("selection_trade_shift") > 0)
    assert (lucky["mc_median_return"] < lucky["mc_raw_median_return"]).all()
    even = runs.filter(pl.col("selection_trade_shift") == 0)
    assert even["mc_median_return"].to_list() == even["mc_raw_median_return"].to_list()
    off = run_experiments(pack, loop_of(SWING, selection_correction=False), calendar=calendar).runs
    beside = found.runs.select("params", "mc_raw_median_return", "mc_raw_p95_drawdown").join(off, on="params")
    assert beside["mc_raw_median_return"].to_list() == beside["mc_median_return"].to_list()
    assert beside["mc_raw_p95_drawdown"].to_list() == beside["mc_p95_drawdown"].to_list()
    assert off["selection_rank"].null_count() == off.height


def test_a_single_run_was_not_selected(loop_of, pack, calendar):
    row = run_experiments(pack, loop_of(("Swing", {"every": 20}, None)), calendar=calendar).runs.row(0, named=True)
    assert row["selection_sharpe_shift"] == 0.0
    assert row["mc_median_return"] == row["mc_raw_median_return"]


def test_open_decisions_get_more_paths_and_the_row_says_how_many(found, loop_of, pack, calendar):
    runs = found.runs
    assert runs["mc_unit"].unique().to_list() == ["returns"]
    assert runs["mc_paths_used"].is_in([200, 400, 800, 1600, 3200, 6400, 12_800, 16_000]).all()
    assert runs.filter(~pl.col("mc_decided"))["mc_paths_used"].eq(16_000).all()
    assert (runs["mc_decided"] == runs["mc_reason"].is_null()).all()
    # Another threshold, where the median of the best run lies: that run is no longer clear.
    best = runs.sort("mc_median_return").row(-1, named=True)
    on_it = McKillThresholds(median_return_min=best["mc_median_return"])
    held = loop_of(SWING, mc_kill_thresholds=on_it, mc_max_paths=400)
    again = run_experiments(pack, held, calendar=calendar).runs.filter(pl.col("params") == best["params"])
    assert again["mc_paths_used"].to_list() == [400]
    assert "median_return_min" in again["mc_reason"][0]


def test_r_multiples_are_resampled_where_every_trade_has_a_risk(loop_of, pack, calendar):
    stopped = ("StoppedSwing", {"every": 20}, None)
    kept = {"mc_unit": "r_multiples", "selection_correction": False, "mc_block_size": 2.0}
    made = run_experiments(pack, loop_of(stopped, mc_risk_fraction=0.01, **kept), calendar=calendar)
    [row] = made.runs.to_dicts()
    assert (row["mc_unit"], row["mc_risk_fraction"]) == ("r_multiples", 0.01)
    returns = 0.01 * (made.trades["pnl"] / made.trades["risk"]).to_numpy()
    [same] = monte_carlo([returns], paths=row["mc_paths_used"], block=2.0)
    assert row["mc_p95_drawdown"] == same["mc_p95_drawdown"]
    [free] = run_experiments(pack, loop_of(stopped, **kept), calendar=calendar).runs.to_dicts()
    # Half of the equity with a stop a quarter of a percent away.
    assert free["mc_risk_fraction"] == pytest.approx(0.5 * 0.0025, rel=0.05)
    shares = made.trades["risk"] / made.trades["equity_at_entry"]
    assert free["mc_risk_fraction"] == pytest.approx(shares.median())


def test_trades_without_a_risk_leave_no_monte_carlo_and_say_why(loop_of, pack, calendar):
    [row] = run_experiments(
        pack, loop_of(("Swing", {"every": 20}, None), mc_unit="r_multiples"), calendar=calendar
    ).runs.to_dicts()
    assert row["n_trades"] > 0
    assert row["mc_median_return"] is None
    assert row["mc_paths_used"] is None
    assert row["mc_reason"].endswith("no stop and no bounded loss at entry")
    assert row["selection_sharpe_shift"] == 0.0


def test_a_rolling_walk_forward_says_so(loop_of, pack, calendar):
    made = loop_of(("Swing", {"every": 20}, None))
    rolling = WalkForwardSettings(folds=2, embargo_days=0, mode="rolling", train_blocks=2)
    experiment = made.loop.experiment.model_copy(update={"walk_forward": rolling})
    made = replace(made, loop=made.loop.model_copy(update={"experiment": experiment}))
    [row] = run_experiments(pack, made, calendar=calendar).runs.to_dicts()
    told = json.loads(row["walk_forward"])
    assert (told["mode"], told["train_blocks"], len(told["folds"])) == ("rolling", 2, 2)
    # Eight days in four blocks: two to train, one to test, one after the other.
    days = made_days(run_experiments(pack, made, calendar=calendar).returns)
    assert [fold["train"] for fold in told["folds"]] == [[days[0], days[3]], [days[2], days[5]]]
    assert [fold["test"] for fold in told["folds"]] == [[days[4], days[5]], [days[6], days[7]]]


def made_days(returns: pl.DataFrame) -> list[str]:
    return [str(day) for day in returns["trade_date"].to_list()]


def test_the_draws_of_the_sweep_are_the_joint_bootstrap():
    returns = np.random.default_rng(0).normal(size=(30, 250))
    found = selection_of(returns, 42)
    # Expected maximum of 30 standard normals, in standard errors of a Sharpe ratio of 250 days.
    assert found.sharpe_shift.max() * np.sqrt(250) == pytest.approx(2.04, rel=0.15)
    assert selection_of(returns[:, :1], 42).mean_shift.tolist() == [0.0] * 30


def test_only_the_best_run_is_started_again_later(found):
    runs = found.runs.sort("sharpe", descending=True)
    best, *others = [json.loads(one) for one in runs["warmup"]]
    assert list(best["masked"]) == ["0", "0.1", "0.2", "0.3"]
    assert best["masked"]["0"] == pytest.approx(runs["sharpe"][0])
    assert best["restarted"]["2"]["days"] == 6
    # Entries by the clock of the session have no state: six equal days but for the size of the account.
    assert best["restarted"]["2"]["correlation"] == pytest.approx(1.0, abs=0.01)
    assert abs(runs["warmup_restart"][0]) < 1.0
    assert all("restarted" not in one for one in others)
    assert runs["warmup_restart"].null_count() == runs.height - 1
    for document, spread in zip([best, *others], runs["warmup_sensitivity"], strict=True):
        assert spread == pytest.approx(np.ptp(list(document["masked"].values())))


def test_the_paths_of_the_choice_stand_in_every_row(found, loop_of, pack, calendar):
    assert found.runs["cpcv_sharpe_median"].n_unique() == 1
    assert found.runs["cpcv_sharpe_p5"][0] <= found.runs["cpcv_sharpe_median"][0]
    assert 0 <= found.runs["cpcv_share_negative"][0] <= 1
    # Eight days are too few for ten groups.
    short = run_experiments(pack, loop_of(("Swing", {}, None)), calendar=calendar).runs
    assert short["cpcv_sharpe_median"].to_list() == [None]


def test_break_even_of_the_reruns_stands_beside_that_of_the_books(found):
    for row in found.runs.iter_rows(named=True):
        assert row["cost_break_even_how"] in ("interpolated", "extrapolated")
        # Fills at fixed times do not react to costs: only the size of the account does.
        assert row["cost_break_even_rerun"] == pytest.approx(row["cost_break_even"], abs=0.1)


def test_manifests_carry_every_block(found):
    one = found.manifests[0]
    row = found.runs.filter(pl.col("run_id") == one["run_id"]).row(0, named=True)
    assert one["schema_version"] == "2"
    blocks = one["robustness"]
    assert blocks["selection"]["selection_rank"] == row["selection_rank"]
    assert blocks["monte_carlo"]["mc_raw_p95_drawdown"] == row["mc_raw_p95_drawdown"]
    assert blocks["combinatorial"]["cpcv_sharpe_median"] == row["cpcv_sharpe_median"]
    assert blocks["warmup"]["warmup"]["masked"]["0"] == pytest.approx(row["sharpe"])
    assert blocks["regime"]["hhi_fold"] == row["hhi_fold"]
    assert blocks["cost"]["cost_break_even_rerun"] == row["cost_break_even_rerun"]
    assert one["metrics"]["autocorr_1"] == row["autocorr_1"]


def test_settings_name_what_cannot_be():
    with pytest.raises(ValueError, match="test_groups 4 leaves nothing of 4 groups"):
        CombinatorialSettings(groups=4, test_groups=4)
    with pytest.raises(ValueError, match=r"masked_shares: 1.5"):
        WarmupSensitivity(masked_shares=(1.5,))
    with pytest.raises(ValueError, match="restart_sessions: 0"):
        WarmupSensitivity(restart_sessions=(0,))
