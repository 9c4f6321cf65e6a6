"""Fixed maps of metrics to [0, 1]."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_core.evaluation.scoring import COMPONENTS, composite_score, score_components
from argus_core.settings import CompositeWeights

METRICS = (
    "annual_return", "sharpe", "max_drawdown", "fill_rate", "plateau_ratio", "plateau_neighbours", "dep_vol",
    "dep_trend", "dep_session", "regime_balance", "wf_sign_consistency", "wf_oos_sharpe", "wf_is_sharpe",
)  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "value", "component", "expected"),
    [
        ("annual_return", -0.2, "total_return", 0.0),
        ("annual_return", 0.25, "total_return", 0.5),
        ("annual_return", 5.0, "total_return", 1.0),
        ("sharpe", 1.5, "sharpe", 0.5),
        ("max_drawdown", 0.05, "drawdown", 0.0),
        ("max_drawdown", 0.275, "drawdown", 0.5),
        ("max_drawdown", 0.5, "drawdown", 1.0),
        ("fill_rate", 0.8, "rejects", 0.0),
        ("fill_rate", 0.4, "rejects", 0.5),
        ("fill_rate", 0.0, "rejects", 1.0),
        ("dep_vol", 0.8, "regime_dependency", 0.5),
        ("wf_sign_consistency", 0.8, "walk_forward", 1 / 6 * 0),
        ("wf_sign_consistency", 0.6, "walk_forward", 0.5),
        ("plateau_ratio", 0.25, "fragility", 0.75),
    ],
)
def test_ramps(run_row, metric, value, component, expected):
    assert score_components(run_row("a", **{metric: value}))[component] == pytest.approx(expected)


def test_without_neighbours_fragility_is_unknown_not_zero(run_row):
    assert score_components(run_row("a", plateau_neighbours=0, plateau_ratio=None))["fragility"] == 0.5


def test_decay_counts_as_well_as_sign(run_row):
    row = run_row("a", wf_sign_consistency=1.0, wf_is_sharpe=4.0, wf_oos_sharpe=1.0)
    assert score_components(row)["walk_forward"] == pytest.approx((0.75 - 0.3) / 0.7)


@given(st.dictionaries(st.sampled_from(METRICS), st.one_of(st.none(), st.floats())))
def test_any_metrics_give_components_in_the_unit_interval(metrics):
    components = score_components(metrics)
    assert tuple(components) == COMPONENTS
    assert all(0.0 <= value <= 1.0 for value in components.values())
    # All penalties and no merit; all merit and no penalty.
    weights = CompositeWeights().model_dump().values()
    least, most = sum(w for w in weights if w < 0), sum(w for w in weights if w > 0)
    assert least - 1e-9 <= composite_score(components, CompositeWeights()) <= most + 1e-9
