"""Market risk: votes of the basket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from argus_core.calendar import UTC_US
from argus_core.regimes import MARKET_RISK_SCHEMA, market_risk
from argus_core.settings import RegimeSettings

SETTINGS = RegimeSettings()
BASKET = {"SPY": "on", "TLT": "off"}


def regimes(*rows: tuple[int, str, str, bool]) -> pl.DataFrame:
    start = datetime(2024, 5, 6, 14, tzinfo=UTC)
    moments = [start + timedelta(minutes=row[0]) for row in rows]
    return pl.DataFrame(
        {
            "ts": moments,
            "available_at": moments,
            "trend_regime": [row[1] for row in rows],
            "vol_regime": [row[2] for row in rows],
            "warm": [row[3] for row in rows],
        },
        schema_overrides={"ts": UTC_US, "available_at": UTC_US},
    )


@pytest.mark.parametrize(
    ("trend", "vol", "expected"),
    [
        ("UP", "LOW", "RISK_ON"),
        ("UP", "NORMAL", "RISK_ON"),
        ("UP", "HIGH", "NEUTRAL"),
        ("UP", "SPIKE", "RISK_OFF"),
        ("RANGE", "SPIKE", "RISK_OFF"),
        ("DOWN", "LOW", "RISK_OFF"),
        ("RANGE", "LOW", "NEUTRAL"),
    ],
)
def test_one_member_votes_by_trend_and_volatility(trend, vol, expected):
    one = regimes((0, trend, vol, True))
    assert market_risk({"SPY": one}, BASKET, SETTINGS)["risk_regime"].to_list() == [expected]
    flipped = {"RISK_ON": "RISK_OFF", "RISK_OFF": "RISK_ON", "NEUTRAL": "NEUTRAL"}[expected]
    assert market_risk({"TLT": one}, BASKET, SETTINGS)["risk_regime"].to_list() == [flipped]


def test_without_warm_votes_it_is_unknown():
    frame = market_risk({"SPY": regimes((0, "UP", "LOW", False), (5, "UP", "LOW", True))}, BASKET, SETTINGS)
    assert frame["risk_regime"].to_list() == ["UNKNOWN", "RISK_ON"]
    assert market_risk({}, BASKET, SETTINGS).schema == MARKET_RISK_SCHEMA


def test_members_hold_their_vote_and_only_changes_are_emitted():
    spy = regimes((0, "UP", "LOW", True), (1, "UP", "LOW", True), (2, "UP", "LOW", True))
    tlt = regimes((1, "UP", "NORMAL", True), (4, "DOWN", "NORMAL", True))
    frame = market_risk({"SPY": spy, "TLT": tlt, "QQQ": spy}, BASKET, SETTINGS)
    assert [moment.minute for moment in frame["available_at"]] == [0, 1, 4]
    assert frame["risk_regime"].to_list() == ["RISK_ON", "NEUTRAL", "RISK_ON"]
    assert frame.select("votes_on", "votes_off").rows() == [(1, 0), (1, 1), (2, 0)]


def test_a_member_votes_only_from_its_availability_on():
    late = regimes((0, "DOWN", "LOW", True)).with_columns(pl.col("available_at").dt.offset_by("10m"))
    frame = market_risk({"SPY": regimes((5, "UP", "LOW", True)), "TLT": late}, BASKET, SETTINGS)
    assert frame["votes_on"].to_list() == [1, 2]


def test_order_of_the_mapping_does_not_matter():
    spy, tlt = regimes((0, "UP", "LOW", True)), regimes((0, "DOWN", "LOW", True))
    forward = market_risk({"SPY": spy, "TLT": tlt}, BASKET, SETTINGS)
    assert forward.equals(market_risk({"TLT": tlt, "SPY": spy}, dict(reversed(BASKET.items())), SETTINGS))
