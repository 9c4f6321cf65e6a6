from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.robustness.regime_stress import (
    day_regimes,
    fold_labels,
    herfindahl,
    leave_one_out,
    regime_stress,
    regime_stress_of,
)


def trades(rows):
    return pl.DataFrame(
        rows,
        schema=["entry_vol_regime", "entry_trend_regime", "entry_session", "pnl", "trade_return"],
        orient="row",
    )


LUCKY = trades(
    [
        ("HIGH", "UP", "RTH", 100.0, 0.10),
        ("LOW", "UP", "RTH", -10.0, -0.01),
        ("LOW", "DOWN", "RTH", -20.0, -0.02),
        (None, "DOWN", "PRE", 5.0, 0.005),
    ]
)


def test_taking_the_lucky_regime_away_shows_what_is_left():
    result = regime_stress(LUCKY)
    high = result["factors"]["vol"]["HIGH"]
    assert high["pnl_without"] == pytest.approx(-25.0)
    assert high["mean_return_without"] == pytest.approx(-0.025 / 3)
    assert result["survives"] is False
    assert result["worst_mean_return_without"] == pytest.approx(-0.025 / 3)


def test_every_factor_parts_the_same_profit():
    result = regime_stress(LUCKY)
    for labels in result["factors"].values():
        assert sum(one["pnl"] for one in labels.values()) == pytest.approx(75.0)
        assert sum(one["trades"] for one in labels.values()) == 4
    assert result["factors"]["vol"]["UNKNOWN"]["trades"] == 1


def test_concentration_is_one_when_one_regime_holds_all():
    # The predecessor's dependency could not fire with two factors (defect B5).
    result = regime_stress(trades([("LOW", "UP", "RTH", 10.0, 0.1), ("LOW", "DOWN", "RTH", 10.0, 0.1)]))
    assert result["concentration"] == {"vol": 1.0, "trend": 0.5, "session": 1.0}
    assert result["survives"] is True


def test_no_trades_say_nothing():
    result = regime_stress(LUCKY.clear())
    assert result["survives"] is None
    assert result["worst_mean_return_without"] is None
    assert result["concentration"]["vol"] is None


def test_all_runs_at_once_give_what_each_gives_alone():
    other = trades([("LOW", "UP", "RTH", 1.0, 0.01), ("HIGH", "UP", "ETH", -2.0, -0.02)])
    offered = [{"session": ("RTH",)}, {}, {"vol": ("LOW",)}]
    runs = [LUCKY, LUCKY.clear(), other]
    assert regime_stress_of(runs, offered) == [regime_stress(*one) for one in zip(runs, offered, strict=True)]


def test_hhi_is_the_largest_concentration_over_what_the_market_varied():
    even = trades([("LOW", "UP", "RTH", 10.0, 0.1), ("HIGH", "UP", "RTH", 10.0, 0.1)])
    assert regime_stress(even)["hhi"] == 1.0
    assert regime_stress(even, {"trend": ("UP",), "session": ("RTH",), "vol": ("HIGH", "LOW")})["hhi"] == 0.5
    assert regime_stress(even.clear())["hhi"] is None


def test_herfindahl_of_shares():
    assert herfindahl([3.0, -1.0]) == pytest.approx(0.625)
    assert herfindahl([2.0] * 8) == pytest.approx(1 / 8)
    assert herfindahl([0.0, 0.0]) is None


def test_leave_one_fold_out_masks_days_and_finds_the_lucky_fold():
    returns = np.array([[0.01, 0.01, 0.05, 0.07, -0.01, -0.02], [0.0] * 6])
    found = leave_one_out(returns, fold_labels(6, [(2, 4), (4, 6)]))
    assert found.parts == ("start", "fold 1", "fold 2")
    assert found.days.tolist() == [2, 2, 2]
    assert found.mean[:, 0] == pytest.approx([0.01, 0.06, -0.015])
    assert found.mean_without[:, 0] == pytest.approx([0.09 / 4, -0.01 / 4, 0.14 / 4])
    assert found.worst[0] == pytest.approx(-0.0025)
    assert found.hhi[0] == pytest.approx((0.02**2 + 0.12**2 + 0.03**2) / 0.17**2)
    assert np.isnan(found.hhi[1])
    assert found.worst[1] == 0.0
    assert np.isnan(leave_one_out(returns, ["all"] * 6).worst).all()
    assert fold_labels(5, [(1, 3)]) == ["start", "fold 1", "fold 1", "rest", "rest"]
    with pytest.raises(ValueError, match="labels: 3"):
        leave_one_out(returns, ["a", "b", "c"])


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.sampled_from("abcd"), min_size=2, max_size=40),
    scale=st.floats(0.01, 100.0),
    seed=st.integers(0, 999),
)
def test_the_parts_add_up_and_size_changes_no_share(labels, scale, seed):
    returns = np.random.default_rng(seed).normal(size=(3, len(labels)))
    found = leave_one_out(returns, labels)
    np.testing.assert_allclose((found.mean * found.days[:, None]).sum(axis=0), returns.sum(axis=1), atol=1e-12)
    for row, part in enumerate(found.parts):
        rest = np.array([label != part for label in labels])
        if rest.any():
            np.testing.assert_allclose(found.mean_without[row], returns[:, rest].mean(axis=1), atol=1e-12)
    assert ((found.hhi >= 1 / len(found.parts) - 1e-12) & (found.hhi <= 1 + 1e-12)).all()
    np.testing.assert_allclose(leave_one_out(returns * scale, labels).hhi, found.hhi, rtol=1e-9)


def test_a_day_has_the_regime_of_most_of_its_bars():
    days = [date(2025, 1, 6)] * 3 + [date(2025, 1, 7)] * 2
    frame = pl.DataFrame(
        {"trade_date": days, "vol_regime": ["LOW", "HIGH", "LOW", "HIGH", None], "trend_regime": ["UP"] * 5}
    )
    # HIGH and UNKNOWN tie on the second day: the alphabet decides. A factor with one label says nothing.
    assert day_regimes(frame, [days[0], days[4], date(2025, 1, 8)]) == {
        "vol": ["LOW", "HIGH", "UNKNOWN"],
        "trend": ["UP", "UP", "UNKNOWN"],
    }
    assert day_regimes(frame, [days[0], days[4]]) == {"vol": ["LOW", "HIGH"]}
    assert day_regimes(frame.drop("vol_regime", "trend_regime"), days) == {}
