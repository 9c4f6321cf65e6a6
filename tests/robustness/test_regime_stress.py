from __future__ import annotations

import polars as pl
import pytest

from argus_core.robustness import regime_stress


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
