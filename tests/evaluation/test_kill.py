"""Each kill rule at its threshold, and where its threshold comes from."""

from __future__ import annotations

import pytest

from argus_core.evaluation.kill import kill_reasons, read_thresholds, resolve_thresholds
from argus_core.evaluation.scoring import composite_score, score_components
from argus_core.settings import CompositeWeights, EvaluationSettings, ExperimentSettings, SettingsError

EVIDENCE = {"dsr": 0.99, "joint_p": 0.01, "t_value": 4.0, "critical_t": 3.0, "n_trials": 10, "pbo": 0.4}


def killed(row, *, gates=True, **thresholds):
    limits = resolve_thresholds(EvaluationSettings(), ExperimentSettings(), overrides=thresholds)
    components = score_components(row)
    score = composite_score(components, CompositeWeights())
    found = kill_reasons(EVIDENCE | row, components, score, limits, deploy_gates=gates)
    return {reason.reason: reason for reason in found}


def test_a_clean_run_has_no_reason(run_row):
    assert killed(run_row("a")) == {}


@pytest.mark.parametrize(
    ("changes", "reason", "value", "threshold"),
    [
        ({"n_trades": 0}, "no_trades", 0, 1),
        ({"n_trades": 9}, "min_trades", 9, 10),
        ({"forced_pnl_share": 0.51}, "open_position_pnl", 0.51, 0.5),
        ({"plateau_ratio": 0.3}, "robustness_penalty", 0.7, 0.6),
        ({"plateau_ratio": None}, "robustness_penalty", 1.0, 0.6),
        ({"wf_sign_consistency": 0.5}, "walk_forward_penalty", 0.75, 0.6),
        ({"wf_oos_sharpe": -1.0}, "walk_forward_penalty", 1.0, 0.6),
        ({"dep_vol": 1.0}, "regime_dependency_penalty", 1.0, 0.7),
        ({"dep_trend": 0.95}, "regime_dependency_penalty", 0.875, 0.7),
        ({"sharpe": 0.1, "annual_return": 0.01}, "composite_score_min", None, 0.1),
        ({"mc_median_return": -0.01}, "mc_median_return", -0.01, 0.0),
        ({"mc_p95_drawdown": 0.36}, "mc_p95_drawdown", 0.36, 0.35),
        ({"mc_ruin_upper": 0.06}, "mc_ruin_prob", 0.06, 0.05),
        ({"mc_fraction_positive": 0.5}, "mc_fraction_positive", 0.5, 0.55),
        ({"cost_break_even": 1.49}, "slippage_sensitivity", 1.49, 1.5),
        ({"cost_break_even": None, "cost_pnl_150": -1.0}, "slippage_sensitivity", None, 1.5),
        ({"dsr": 0.79}, "dsr_below_threshold", 0.79, 0.80),
        ({"dsr": None}, "dsr_below_threshold", None, 0.80),
        ({"joint_p": 0.05}, "reality_check_failed", 0.05, 0.05),
        ({"lookahead_ok": None}, "lookahead", None, 1.0),
    ],
)
def test_each_rule_fires_alone_with_value_threshold_words_and_remedy(run_row, changes, reason, value, threshold):
    found = killed(run_row("a", **changes))
    assert set(found) == {reason}
    only = found[reason]
    assert only.threshold == threshold
    if value is not None:
        assert only.value == pytest.approx(value)
    assert only.explanation.endswith(".")
    assert only.remedy.endswith(".")
    assert "nan" not in (only.explanation + only.remedy).lower()


def test_pbo_kills_only_where_a_threshold_is_set(run_row):
    row = run_row("a", pbo=0.9)
    assert killed(row) == {}
    assert set(killed(row, pbo_max=0.5)) == {"pbo"}


def test_a_losing_run_is_not_told_that_it_stands_on_a_peak(run_row):
    loser = killed(run_row("a", plateau_ratio=None, sharpe=-0.5))["robustness_penalty"]
    peak = killed(run_row("a", plateau_ratio=0.1, sharpe=1.5))["robustness_penalty"]
    assert ("no positive Sharpe" in loser.explanation, "on a peak" in loser.explanation) == (True, False)
    assert "keep 10% of its result: it stands on a peak" in peak.explanation


def test_consistent_losers_get_the_stability_penalty(run_row):
    # The predecessor gave five losing windows out of five a penalty of 0.
    row = run_row("a", wf_sign_consistency=1.0, wf_oos_sharpe=-2.0, wf_is_sharpe=-2.0)
    assert "walk_forward_penalty" in killed(row)


def test_all_profit_in_one_volatility_regime_kills_with_several_factors_reported(run_row):
    # The predecessor compared with all factors' buckets together, so that the rule could never fire.
    assert "regime_dependency_penalty" in killed(run_row("a", dep_vol=1.0, dep_trend=0.4, dep_session=0.3))


def test_one_trading_session_is_no_dependency(run_row):
    assert killed(run_row("a", dep_session=1.0)) == {}
    assert "regime_dependency_penalty" in killed(run_row("a", dep_session=0.97))


def test_missing_monte_carlo_is_not_zero(run_row):
    row = run_row("a", mc_median_return=None, mc_p95_drawdown=None, mc_ruin_upper=None, mc_fraction_positive=None)
    assert killed(row) == {}


def test_a_monte_carlo_that_was_asked_for_and_could_not_be_run_kills(run_row):
    gone = dict.fromkeys(("mc_median_return", "mc_p95_drawdown", "mc_ruin_upper", "mc_fraction_positive"))
    row = run_row("a", **gone, mc_unit="r_multiples", mc_reason="3 of 40 trades have no R-multiple")
    found = killed(row)
    assert set(found) == {"mc_not_measured"}
    assert "3 of 40 trades" in found["mc_not_measured"].explanation
    assert killed(run_row("a", mc_unit="r_multiples")) == {}
    # Without a limit on any of its numbers nothing was asked for.
    limits = ("mc_median_return_min", "mc_p95_drawdown_max", "mc_ruin_prob_max", "mc_fraction_positive_min")
    assert killed(row, **dict.fromkeys(limits)) == {}


def test_deploy_gates_cover_costs_walk_forward_and_the_joint_test(run_row):
    row = run_row("a", cost_break_even=0.5, wf_oos_sharpe=-1.0, joint_p=0.9)
    assert set(killed(row)) == {"slippage_sensitivity", "walk_forward_penalty", "reality_check_failed"}
    assert killed(row, gates=False) == {}


def test_defaults_are_live_for_monte_carlo():
    limits = resolve_thresholds(EvaluationSettings(), ExperimentSettings())
    assert (limits.mc_median_return_min, limits.mc_p95_drawdown_max) == (0.0, 0.35)
    assert (limits.mc_ruin_prob_max, limits.mc_fraction_positive_min) == (0.05, 0.55)


def test_each_layer_overrides_key_by_key_and_null_switches_off():
    settings = EvaluationSettings.parse(
        {"kill_thresholds": {"mc_ruin_prob_max": None, "min_trades": 20}}, source="config"
    )
    experiment = ExperimentSettings.parse({"mc_kill_thresholds": {"p95_drawdown_max": 0.2}}, source="config")
    limits = resolve_thresholds(settings, experiment, overrides={"dsr_min": None})
    assert limits.mc_ruin_prob_max is None
    assert limits.mc_p95_drawdown_max == 0.2
    assert limits.min_trades == 20
    assert limits.dsr_min is None
    assert limits.composite_score_min == 0.1


def test_the_example_threshold_file_is_valid_and_equals_the_defaults():
    from pathlib import Path

    path = Path(__file__).resolve().parents[2] / "config" / "kill_thresholds.yaml"
    plain = resolve_thresholds(EvaluationSettings(), ExperimentSettings())
    assert resolve_thresholds(EvaluationSettings(), ExperimentSettings(), overrides=read_thresholds(path)) == plain


def test_a_wrong_threshold_file_names_file_key_and_value(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text("min_trades: many\n")
    with pytest.raises(SettingsError, match=r"limits.yaml[\s\S]*min_trades[\s\S]*many"):
        read_thresholds(path)


@pytest.mark.parametrize(
    ("changes", "limits", "reason"),
    [
        ({"worst_mean_without_regime": -0.001}, {"leave_one_out_mean_min": 0.0}, "leave_one_out"),
        (
            {"worst_mean_without_regime": 0.001, "worst_mean_without_fold": -0.002},
            {"leave_one_out_mean_min": 0.0},
            "leave_one_out",
        ),
        ({"entry_p": 0.3, "entry_excess_bp": 1.5}, {"entry_p_max": 0.1}, "entry_not_significant"),
        ({"turnover": 90.0}, {"custom": {"turnover": {"max": 50}}}, "custom:turnover"),
        ({"sortino": 0.2}, {"custom": {"sortino": {"min": 0.5}}}, "custom:sortino"),
    ],
)
def test_reasons_that_a_config_adds_fire_only_where_set(run_row, changes, limits, reason):
    row = run_row("a", **changes)
    assert killed(row) == {}
    found = killed(row, **limits)
    assert set(found) == {reason}
    assert found[reason].explanation.endswith(".")
    assert killed(run_row("a"), **limits) == {}  # what was not measured kills nothing


def test_a_limit_on_an_unknown_column_names_the_columns():
    with pytest.raises(SettingsError, match=r"custom\.turnovr is no number of the run table\. Numbers: .*turnover"):
        resolve_thresholds(EvaluationSettings(), ExperimentSettings(), overrides={"custom": {"turnovr": {"max": 1}}})
    with pytest.raises(SettingsError, match="neither min nor max"):
        resolve_thresholds(EvaluationSettings(), ExperimentSettings(), overrides={"custom": {"turnover": {}}})
