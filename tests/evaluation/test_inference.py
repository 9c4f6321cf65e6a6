"""What a run's history can say: bounds, power, and the difference between dead and not proven."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from argus_core.evaluation import evaluate
from argus_core.evaluation.inference import TrialSet, deflation, evidence
from argus_core.settings import EvaluationSettings, ExperimentSettings
from tests.evaluation.conftest import make_cycle, make_run

TRIALS = TrialSet(50, 1 / 252)


def of(sharpe: float, days: int = 252, **changes) -> dict:
    row = make_run("a", sharpe_period=sharpe / 252**0.5, sharpe=sharpe, n_days=days, **changes)
    return evidence(row, TRIALS, critical_t=3.0, useful_sharpe=0.5)


def test_the_detectable_sharpe_is_critical_value_and_power_in_standard_errors():
    assert of(1.0)["min_detectable_sharpe"] == pytest.approx(3.0 + norm.ppf(0.8), abs=1e-9)
    assert of(1.0, days=4 * 252)["min_detectable_sharpe"] == pytest.approx((3.0 + norm.ppf(0.8)) / 2, abs=1e-9)


def test_a_run_of_that_sharpe_passes_the_critical_value_with_the_stated_power():
    true = of(1.0)["min_detectable_sharpe"] / 252**0.5
    draws = np.random.default_rng(0).normal(true, 1.0, (4000, 252))
    t_values = draws.mean(axis=1) / draws.std(axis=1, ddof=1) * 252**0.5
    assert (t_values > 3.0).mean() == pytest.approx(0.80, abs=0.03)


def test_bounds_cover_the_truth_as_often_as_they_say():
    true = 1.0 / 252**0.5
    draws = np.random.default_rng(1).normal(true, 1.0, (3000, 252))
    sharpes = draws.mean(axis=1) / draws.std(axis=1, ddof=1) * 252**0.5
    found = [of(float(s)) for s in sharpes]
    assert np.mean([f["sharpe_low"] <= 1.0 for f in found]) == pytest.approx(0.95, abs=0.015)
    assert np.mean([f["sharpe_high"] >= 1.0 for f in found]) == pytest.approx(0.95, abs=0.015)


def test_dead_and_not_proven():
    assert of(1.5)["evidence"] == "not proven"
    assert of(-2.0)["evidence"] == "dead"
    assert of(0.0, days=30)["evidence"] == "not proven"
    nothing = evidence(make_run("a", sharpe_period=None), TRIALS, critical_t=3.0, useful_sharpe=0.5)
    assert nothing["evidence"] == "not proven"
    assert nothing["min_detectable_sharpe"] is None


@settings(deadline=None, max_examples=60)
@given(st.floats(-3, 5), st.integers(30, 1000), st.floats(-0.5, 0.5))
def test_more_history_never_widens_the_bounds_and_trends_do(sharpe, days, correlation):
    one, longer = of(sharpe, days), of(sharpe, days + 100)
    assert longer["sharpe_high"] - longer["sharpe_low"] < one["sharpe_high"] - one["sharpe_low"]
    assert longer["min_detectable_sharpe"] < one["min_detectable_sharpe"]
    assert one["haircut_sharpe"] <= max(sharpe, 0) + 1e-9
    trending = of(sharpe, days, autocorr_1=abs(correlation))
    assert trending["min_detectable_sharpe"] >= one["min_detectable_sharpe"] - 1e-12


def test_autocorrelation_enters_the_gate_and_not_the_classic_form():
    level = {"level": 0.95}
    plain, trending = (deflation(make_run("a", sharpe_period=0.2, autocorr_1=r), TRIALS, **level) for r in (0.0, 0.3))
    assert trending["dsr"] < plain["dsr"]
    assert trending["dsr_classic"] == plain["dsr_classic"]
    assert trending["psr"] == plain["psr"]


def test_a_handful_of_trades_gives_no_bounds_unless_the_run_was_mostly_invested():
    few = evidence(
        make_run("a", sharpe_period=-0.5, n_trades=3, exposure=0.02), TRIALS, critical_t=3.0, useful_sharpe=0.5
    )
    assert (few["evidence"], few["sharpe_low"], few["sharpe_high"]) == ("not proven", None, None)
    assert few["min_detectable_sharpe"] > 0
    held = evidence(
        make_run("a", sharpe_period=-0.5, n_trades=3, exposure=0.99), TRIALS, critical_t=3.0, useful_sharpe=0.5
    )
    assert held["evidence"] == "dead"
    assert held["sharpe_low"] < held["sharpe_high"] < 0


def test_few_trades_are_told_as_few_trades():
    runs, returns, ledger = make_cycle([0.5, 0.03, -0.4], seed=2)
    parsed = EvaluationSettings.parse({"spa": {"resamples": 300}}, source="test")
    idle = runs.with_columns(n_trades=pl.lit(3), exposure=pl.lit(0.01))
    verdict = evaluate(idle, returns, ledger, parsed, ExperimentSettings())
    assert set(verdict.rankings["evidence"]) == {"not proven"}
    assert all("so few trades in 250 days" in words for words in verdict.rankings["verdict"])


def test_the_verdict_tells_them_apart():
    parsed = EvaluationSettings.parse({"spa": {"resamples": 300}}, source="test")
    verdict = evaluate(*make_cycle([0.5, 0.03, -0.4], seed=2), parsed, ExperimentSettings())
    told = dict(verdict.rankings.select("run_id", "evidence").iter_rows())
    assert told == {"run000": "proven", "run001": "not proven", "run002": "dead"}
    words = dict(verdict.rankings.select("run_id", "verdict").iter_rows())
    assert "Not proven is not dead" in words["run001"]
    assert "Dead: after 250 days" in words["run002"]
    assert "Survives every gate" in words["run000"]
    assert "with 80 % power" in words["run000"]
    assert verdict.rankings.filter(pl.col("run_id") == "run000")["min_detectable_sharpe"][0] > 1
