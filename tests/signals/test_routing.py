"""Routes filter entries; exits follow them."""

from __future__ import annotations

import polars as pl
import pytest

from argus_core.settings import SettingsError
from argus_core.settings.signals import SignalRoute, SignalSettings
from argus_core.signals import rank_signals, route_signals

SIGNALS = rank_signals(
    pl.DataFrame(
        {
            "signal_id": ["a", "b", "c", "d", "x"],
            "available_at": [1, 1, 1, 2, 3],
            "symbol": ["SPY", "SPY", "QQQ", "SPY", "SPY"],
            "strategy": ["A", "B", "A", "A", "A"],
            "direction": [1, -1, 1, 0, 0],
            "kind": ["entry", "entry", "entry", "entry", "exit"],
            "confidence": [0.9, 0.5, 0.7, 0.6, 1.0],
            "regime": ['{"vol":"LOW"}', '{"vol":"HIGH"}', '{"vol":null}', '{"vol":"LOW"}', '{"vol":"SPIKE"}'],
        }
    )
)


def taken(**route) -> set[str]:
    routed = route_signals(SIGNALS, [SignalRoute(name="desk", **route)])
    return set(routed.filter(pl.col("routes") == "desk")["signal_id"])


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ({}, {"a", "b", "c", "d", "x"}),
        ({"strategies": ["B"]}, {"b"}),
        ({"symbols": ["QQQ"]}, {"c"}),
        ({"directions": [1]}, {"a", "c", "x"}),
        ({"directions": [0]}, {"d", "x"}),
        ({"min_confidence": 0.7}, {"a", "c", "x"}),
        ({"regimes": {"vol": ["LOW"]}}, {"a", "d", "x"}),
        ({"top": 1}, {"a", "d", "x"}),
        ({"top": 1, "strategies": ["B"]}, {"b"}),
        ({"top": 2}, {"a", "c", "d", "x"}),
    ],
)
def test_a_route_takes_what_passes_its_filters(route, expected):
    assert taken(**route) == expected


def test_routes_are_sorted_and_joined():
    routes = [SignalRoute(name="paper"), SignalRoute(name="desk", symbols=("QQQ",)), SignalRoute(name="all")]
    routed = route_signals(SIGNALS, routes)
    assert dict(routed.select("signal_id", "routes").iter_rows()) == {
        "a": "all,paper",
        "b": "all,paper",
        "c": "all,desk,paper",
        "d": "all,paper",
        "x": "all,paper",
    }


def test_without_routes_the_column_is_empty():
    assert route_signals(SIGNALS, [])["routes"].to_list() == [""] * 5
    assert route_signals(SIGNALS.clear(), [SignalRoute(name="desk")]).height == 0


def test_names_must_differ_and_hold_no_comma():
    with pytest.raises(SettingsError, match="given twice: desk"):
        SignalSettings.parse({"routes": [{"name": "desk"}, {"name": "desk"}]}, source="loop.yaml")
    with pytest.raises(SettingsError, match=r"routes\.0\.name"):
        SignalSettings.parse({"routes": [{"name": "a,b"}]}, source="loop.yaml")
