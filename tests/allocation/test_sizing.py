"""From candidates to capital."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from argus_core.allocation import ALLOCATION_SCHEMA, allocate, forecast, max_loss_per_contract, write_json
from argus_core.settings import AllocationSettings

LOOSE = {"per_play_cap": 1.0, "gross_cap": 100.0, "vol_target_annual": None}


def sized(candidates, returns, *, equity=100_000.0, minimums=None, **config):
    settings = AllocationSettings.parse(config, source="test")
    return allocate(candidates, returns, settings, equity=equity, **(minimums or {}))


def weights(allocation):
    return dict(allocation.rows.select("run_id", "weight").iter_rows())


def constraints(allocation, run_id="run00"):
    return allocation.clamps.filter(pl.col("run_id") == run_id)["constraint"].to_list()


def test_the_forecast_uses_annual_moments_of_daily_net_returns(candidates_of):
    # The predecessor took the total return of any window as mean and half the drawdown as volatility.
    candidates, returns = candidates_of([{"mean": 0.001, "sd": 0.01}])
    view = forecast(candidates.row(0, named=True), returns["daily_return"].to_numpy())
    assert view.mu == pytest.approx(0.252)
    assert view.sigma == pytest.approx(0.01 * 252**0.5)
    sharpe = 0.1 * 252**0.5
    assert view.confidence == pytest.approx(sharpe**2 / (sharpe**2 + 252 / 500))
    assert view.mu_shrunk == pytest.approx(view.confidence * 0.252)


def test_selection_takes_the_luck_of_the_best_off_the_mean(candidates_of):
    candidates, returns = candidates_of([{"expected_max_sharpe": 0.04}, {"expected_max_sharpe": 0.2}])
    allocation = sized(candidates, returns, **LOOSE)
    first, second = allocation.rows.iter_rows(named=True)
    assert first["mu_selected"] == pytest.approx((0.1 - 0.04) * 0.01 * 252)
    assert second["weight"] == 0.0
    assert constraints(allocation, "run01") == ["no_edge"]


def test_the_weight_is_fractional_kelly_where_no_limit_binds(candidates_of):
    candidates, returns = candidates_of([{"mean": 0.0001, "sd": 0.02}])
    allocation = sized(candidates, returns, kelly_fraction=0.25, **LOOSE)
    row = allocation.rows.row(0, named=True)
    assert row["weight"] == pytest.approx(0.25 * row["mu_shrunk"] / row["sigma"] ** 2)
    assert allocation.clamps.is_empty()


def test_the_play_cap_is_seven_percent_and_is_recorded(candidates_of):
    allocation = sized(*candidates_of([{}]))
    row = allocation.rows.row(0, named=True)
    assert row["weight"] == pytest.approx(0.07)
    assert row["dollar_risk"] == pytest.approx(7000)
    last = json.loads(row["clamps"])[-1]
    assert (last["constraint"], last["after"]) == ("per_play_cap", 0.07)
    assert last["before"] > 0.07


def test_correlated_plays_share_one_cap(candidates_of):
    allocation = sized(*candidates_of([{}, {"like": 0}, {}]))
    found = weights(allocation)
    assert found["run00"] + found["run01"] == pytest.approx(0.07)
    assert found["run02"] == pytest.approx(0.07)
    assert "cluster_cap" in constraints(allocation, "run01")
    assert allocation.rows["cluster"].to_list() == ["run00", "run00", ""]


def test_the_portfolio_stays_within_its_volatility_target(candidates_of):
    specs = [{"sd": 0.05, "mean": 0.02} for _ in range(6)]
    allocation = sized(*candidates_of(specs), per_play_cap=1.0, vol_target_annual=0.1)
    assert allocation.document["volatility"] == pytest.approx(0.1)
    assert "vol_target_annual" in constraints(allocation)


def test_the_gross_cap_holds(candidates_of):
    allocation = sized(*candidates_of([{} for _ in range(5)]), gross_cap=0.2, vol_target_annual=None)
    assert allocation.document["gross_weight"] == pytest.approx(0.2)


def test_contracts_follow_the_final_risk_budget(candidates_of):
    # The predecessor scaled weights after counting contracts: 2,500 dollars of risk, 14 contracts of 500.
    allocation = sized(*candidates_of([{}]), max_loss_per_contract=400.0)
    row = allocation.rows.row(0, named=True)
    assert row["contracts"] == 17
    assert row["dollar_risk"] == pytest.approx(17 * 400)
    assert constraints(allocation)[-1] == "whole_contracts"


def test_a_budget_below_one_contract_is_zero(candidates_of):
    allocation = sized(*candidates_of([{}]), max_loss_per_contract=8000.0)
    assert allocation.rows.select("contracts", "weight").row(0) == (0, 0.0)


def test_the_loss_of_a_contract_has_a_precedence():
    row = {"strategy": "S", "params": json.dumps({"max_loss_per_contract": 200})}
    assert max_loss_per_contract(row | {"max_loss_per_contract": 100.0}, {"S": 300.0}) == 100
    assert max_loss_per_contract(row, {"S": 300.0}) == 200
    assert max_loss_per_contract(row | {"params": "{}"}, {"S": 300.0}) == 300
    assert max_loss_per_contract(row | {"params": "{}"}, {"T": 300.0}) is None
    assert max_loss_per_contract(row | {"params": None}, 400.0) == 400


@pytest.mark.parametrize(
    ("column", "value", "missing"),
    [("days_per_year", None, "days_per_year"), ("expected_max_sharpe", None, "expected_max_sharpe")],
)
def test_missing_data_give_zero_and_say_what_is_missing(candidates_of, column, value, missing):
    candidates, returns = candidates_of([{}, {}])
    broken = candidates.with_columns(
        pl.when(pl.col("run_id") == "run00").then(value).otherwise(pl.col(column)).alias(column)
    )
    allocation = sized(broken, returns)
    assert weights(allocation)["run00"] == 0.0
    assert weights(allocation)["run01"] > 0.0
    assert missing in allocation.clamps.filter(pl.col("constraint") == "missing_data")["detail"][0]


def test_a_candidate_without_returns_gets_nothing(candidates_of):
    candidates, returns = candidates_of([{}, {}])
    allocation = sized(candidates, returns.filter(pl.col("run_id") != "run00"))
    assert weights(allocation)["run00"] == 0.0
    flat = returns.with_columns(daily_return=pl.lit(0.001))
    assert set(weights(sized(candidates, flat)).values()) == {0.0}


def test_candidates_below_the_minimums_are_listed_as_excluded(candidates_of):
    candidates, returns = candidates_of([{"dsr": 0.5}, {"score": 0.05}, {}])
    allocation = sized(candidates, returns, minimums={"min_dsr": 0.9, "min_composite_score": 0.1})
    assert list(weights(allocation)) == ["run02"]
    assert ["min_dsr" in e["reason"] for e in allocation.document["excluded"]] == [True, False]


def test_no_candidate_gives_an_empty_document(candidates_of):
    candidates, returns = candidates_of([{}])
    allocation = sized(candidates.clear(), returns.clear())
    assert allocation.rows.schema == pl.Schema(ALLOCATION_SCHEMA)
    assert allocation.document["allocations"] == []
    assert allocation.document["gross_weight"] == 0.0


def test_row_order_changes_nothing(candidates_of):
    candidates, returns = candidates_of([{}, {"like": 0}, {"sd": 0.03}])
    one, other = sized(candidates, returns), sized(candidates.reverse(), returns.reverse())
    assert one.rows.equals(other.rows)
    assert one.document == other.document


def test_the_document_is_written_with_the_given_time_or_not_at_all(candidates_of, tmp_path):
    allocation = sized(*candidates_of([{}]), minimums={"generated_at": "2025-03-31T22:00:00Z"})
    path = write_json(allocation, tmp_path / "out" / "allocations.json")
    assert path is not None
    document = json.loads(path.read_text())
    assert document["generated_at"] == "2025-03-31T22:00:00Z"
    assert document["equity"] == 100_000
    entry = document["allocations"][0]
    assert {"strategy_id", "instrument", "weight", "dollar_risk", "contracts", "clamps"} <= entry.keys()
    assert write_json(allocation, None) is None


def test_equity_must_be_positive(candidates_of):
    with pytest.raises(ValueError, match="equity"):
        sized(*candidates_of([{}]), equity=float("nan"))


LIMIT = st.sampled_from(["per_play_cap", "gross_cap", "vol_target_annual", "cluster_correlation"])


@hypothesis_settings(max_examples=40, deadline=None)
@given(LIMIT, st.floats(0.11, 0.5), st.floats(0.11, 0.5), st.integers(0, 5))
def test_a_tighter_limit_never_raises_any_exposure(candidates_of, name, one, other, seed):
    rng = np.random.default_rng(seed)
    specs = [{"mean": rng.uniform(0, 0.003), "sd": rng.uniform(0.005, 0.05)} for _ in range(4)]
    specs.append({"like": 1, "mean": 0.001})
    data = candidates_of(specs, days=60, seed=seed)
    tight, loose = sorted((one, other))
    lower, higher = weights(sized(*data, **{name: tight})), weights(sized(*data, **{name: loose}))
    assert all(lower[run] <= higher[run] + 1e-12 for run in lower)
