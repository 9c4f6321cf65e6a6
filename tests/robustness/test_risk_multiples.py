"""Trades in units of what they risked."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.robustness import monte_carlo
from argus_core.robustness.risk_multiples import risk_multiples


def trades(pnl, risk, equity) -> pl.DataFrame:
    return pl.DataFrame(
        {"pnl": pnl, "risk": risk, "equity_at_entry": equity},
        schema={"pnl": pl.Float64, "risk": pl.Float64, "equity_at_entry": pl.Float64},
    )


def test_r_is_profit_over_risk_and_the_rule_risks_the_median_share():
    found = risk_multiples(trades([200.0, -100.0, 90.0], [100.0, 100.0, 60.0], [10_000.0, 10_200.0, 12_000.0]))
    assert found.values.tolist() == [2.0, -1.0, 1.5]
    assert found.fraction == pytest.approx(100 / 10_200)
    assert found.returns == pytest.approx(np.array([2.0, -1.0, 1.5]) * 100 / 10_200)
    assert risk_multiples(trades([5.0], [10.0], [100.0]), 0.02).returns.tolist() == [0.01]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1.5, 4.0), min_size=1, max_size=30), st.floats(0.001, 0.05))
def test_trades_that_all_risk_one_share_of_equity_give_back_their_returns(multiples, share):
    equity, rows = 10_000.0, []
    for multiple in multiples:
        rows.append((multiple * share * equity, share * equity, equity))
        equity += multiple * share * equity
    frame = trades(*zip(*rows, strict=True))
    found = risk_multiples(frame)
    np.testing.assert_allclose(found.returns, frame["pnl"] / frame["equity_at_entry"], rtol=1e-9, atol=1e-15)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.1, 10.0))
def test_the_size_of_a_trade_does_not_matter(factor):
    # Ten times the shares: ten times the profit, ten times the risk.
    a = trades([200.0, -100.0], [100.0, 100.0], [1e4, 1e4])
    b = trades([200.0 * factor, -100.0], [100.0 * factor, 100.0], [1e4, 1e4])
    np.testing.assert_allclose(risk_multiples(a).values, risk_multiples(b).values)


def test_a_fixed_size_is_sized_anew_on_every_path():
    # One share, stop 10 dollars away: +20 or -10 a trade, while equity grows from 1,000 to 2,000.
    pnl = [20.0, -10.0] * 50
    equity = 1000.0 + np.concatenate([[0.0], np.cumsum(pnl)[:-1]])
    found = risk_multiples(trades(pnl, [10.0] * 100, equity), 0.01)
    [got] = monte_carlo([found.returns], paths=200, method="permutation")
    # Whatever the order, a hundred trades of 1 % risk: 50 of +2 R and 50 of -1 R.
    assert got["mc_median_return"] == pytest.approx(1.02**50 * 0.99**50 - 1, rel=1e-9)


@pytest.mark.parametrize("bad", [None, 0.0, float("nan"), float("inf")])
def test_a_trade_without_risk_leaves_no_multiples_and_says_so(bad):
    found = risk_multiples(trades([1.0, 2.0, 3.0], [10.0, bad, 10.0], [100.0] * 3))
    assert found.fraction is None
    assert found.returns.tolist() == []
    assert found.reason.startswith("1 of 3 trades have no R-multiple")
    assert risk_multiples(trades([], [], [])).reason == "no trades"


def test_a_rule_that_risks_nothing_is_an_error():
    with pytest.raises(ValueError, match="more than 0"):
        risk_multiples(trades([1.0], [1.0], [1.0]), 0.0)
