"""Decisions become rows whose ids depend on the decision alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.replay.perturbation import perturb_future
from argus_core.signals import (
    SIGNAL_SCHEMA,
    signal_id,
    signals_from_decisions,
    signals_from_intents,
    structure_direction,
)
from argus_core.strategies.interface import Intent, Leg
from tests.replay.frames import intents
from tests.signals.conftest import HEIGHT
from tests.signals.levels import Level, Talker

EXPIRY = date(2025, 3, 7)


def rows(table: pl.DataFrame, frame: pl.DataFrame) -> list[tuple[int, int, str]]:
    """(row of the decision frame, direction, kind) of every signal."""
    times = frame["available_at"].to_list()
    return [(times.index(at), d, k) for at, d, k in table.select("available_at", "direction", "kind").iter_rows()]


def test_a_standing_wish_is_one_signal(frame, origin):
    wishes = {row: {"enter": 1} for row in range(8, 12)} | {row: {"exit": True} for row in range(14, 18)}
    wishes |= {20: {"enter": -1}, 21: {"enter": 1}, HEIGHT - 1: {"enter": 1}}
    found = signals_from_intents(intents(HEIGHT, wishes), frame, origin)
    assert found.schema == pl.Schema(SIGNAL_SCHEMA)
    assert rows(found, frame) == [
        (8, 1, "entry"),
        (14, 0, "exit"),
        (20, -1, "entry"),
        (21, 1, "entry"),
        (HEIGHT - 1, 1, "entry"),
    ]


def test_the_warm_up_gives_no_signal_and_what_stands_then_is_said_after_it(frame, origin):
    wishes = {row: {"enter": 1} for row in range(2, 9)}
    assert rows(signals_from_intents(intents(HEIGHT, wishes), frame, origin), frame) == [(5, 1, "entry")]


def test_an_opposite_entry_is_an_entry_and_no_exit_beside_it(frame, origin):
    wishes = {10: {"enter": 1}, 12: {"enter": -1, "exit": True}}
    assert rows(signals_from_intents(intents(HEIGHT, wishes), frame, origin), frame) == [
        (10, 1, "entry"),
        (12, -1, "entry"),
    ]


def test_a_row_holds_regime_intent_hashes_and_the_bar(frame, origin):
    wishes = {11: {"enter": 1, "stop_distance": 0.5, "confidence": 0.8}}
    row = signals_from_intents(intents(HEIGHT, wishes), frame, origin).row(0, named=True)
    assert json.loads(row["regime"]) == {
        "vol": "LOW", "trend": "DOWN", "liquidity": None, "risk": None, "session": "RTH", "flow": 0.5
    }  # fmt: skip
    assert json.loads(row["intent"]) == {"stop_distance": 0.5}
    assert json.loads(row["params"]) == {"horizon": 300}
    assert (row["code_hash"], row["pack_hash"], row["confidence"]) == ("c0de", "pac4", 0.8)
    assert row["bar_end"] == frame["end"][11]
    assert row["available_at"] >= row["bar_end"]


def test_confidence_defaults_to_the_setting_for_entries_and_to_one_for_exits(frame, origin):
    wishes = intents(HEIGHT, {10: {"enter": 1, "confidence": None}, 12: {"exit": True, "confidence": 0.2}})
    found = signals_from_intents(wishes, frame, replace(origin, default_confidence=0.3))
    assert found["confidence"].to_list() == [0.3, 1.0]


def test_a_confidence_beyond_one_is_an_error_that_names_the_moment(frame, origin):
    with pytest.raises(ValueError, match=r"confidence 1\.5 at 2025-02-03"):
        signals_from_intents(intents(HEIGHT, {10: {"enter": 1, "confidence": 1.5}}), frame, origin)


def test_intents_of_another_height_are_an_error(frame, origin):
    with pytest.raises(ValueError, match="39 rows of intents for 40"):
        signals_from_intents(intents(39, {}), frame, origin)


def test_without_decisions_there_is_an_empty_table(frame, origin):
    assert signals_from_intents(intents(HEIGHT, {}), frame, origin).schema == pl.Schema(SIGNAL_SCHEMA)
    assert signals_from_decisions([], frame, origin).is_empty()


def test_callback_decisions_become_entries_and_exits(frame, origin):
    times = frame["available_at"].dt.timestamp("us").to_list()
    decisions = [
        (times[10], Intent("open", side=-1, size=0.5, confidence=0.9)),
        (times[10], Intent("open", side=-1, symbol="QQQ")),
        (times[12] + 1, Intent("cancel", order_id="O000001")),
        (times[12] + 1, Intent("close", position_id="P000001")),
        (times[12] + 1, Intent("close", position_id="P000002")),
    ]
    found = signals_from_decisions(decisions, frame, origin)
    assert found["kind"].to_list() == ["entry", "entry", "exit", "exit"]
    assert found["symbol"].to_list() == ["SPY", "QQQ", "SPY", "SPY"]
    assert found["direction"].to_list() == [-1, -1, 0, 0]
    assert found["confidence"].to_list() == [0.9, 0.5, 1.0, 1.0]
    assert found["signal_id"].n_unique() == 4, "two exits of one moment stay apart"
    assert found["bar_end"].to_list()[2] == frame["end"][12], "a decision belongs to the newest row by then"


@pytest.mark.parametrize(
    ("legs", "direction"),
    [
        ([("P", 100, -1), ("P", 95, 1)], 1),
        ([("C", 100, -1), ("C", 105, 1)], -1),
        ([("C", 100, 1)], 1),
        ([("P", 100, 1)], -1),
        ([("C", 100, 1), ("P", 100, 1)], 0),
        ([("P", 90, 1), ("P", 95, -1), ("C", 105, -1), ("C", 110, 1)], 0),
    ],
)
def test_the_direction_of_a_structure_is_that_of_its_payoff(legs, direction):
    assert structure_direction([Leg("X", EXPIRY, float(k), right, q) for right, k, q in legs]) == direction


def test_an_id_depends_on_the_decision_alone():
    one = signal_id("A", {"x": 1, "y": 2}, "SPY", 1000, 1)
    assert one == signal_id("A", {"y": 2, "x": 1}, "SPY", 1000, 1)
    others = {
        signal_id("B", {"x": 1, "y": 2}, "SPY", 1000, 1),
        signal_id("A", {"x": 2, "y": 2}, "SPY", 1000, 1),
        signal_id("A", {"x": 1, "y": 2}, "QQQ", 1000, 1),
        signal_id("A", {"x": 1, "y": 2}, "SPY", 1001, 1),
        signal_id("A", {"x": 1, "y": 2}, "SPY", 1000, -1),
        signal_id("A", {"x": 1, "y": 2}, "SPY", 1000, 1, 1),
    }
    assert len(others | {one}) == 7


@given(cut=st.integers(6, HEIGHT - 1), seed=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_signals_before_a_cut_do_not_depend_on_what_follows(cut, seed, frame, origin):
    def told(data: pl.DataFrame) -> pl.DataFrame:
        return signals_from_intents(Level().intents(data, origin.params), data, origin)

    whole = told(frame).filter(pl.col("available_at") <= frame["available_at"][cut - 1])
    assert told(frame.head(cut)).equals(whole)
    changed = told(perturb_future(frame, cut, seed=seed))
    assert changed.filter(pl.col("available_at") <= frame["available_at"][cut - 1]).equals(whole)


def test_the_explanation_lists_the_columns_that_the_source_names(frame, origin):
    row = signals_from_intents(intents(HEIGHT, {30: {"enter": 1, "stop_distance": 0.5}}), frame, origin)
    text = row["explanation"][0]
    assert text == "Level enters long: close 103, fwd_return_300 0.00538462; stop_distance 0.5."


def test_a_strategy_may_explain_itself(frame, origin):
    told = signals_from_intents(intents(HEIGHT, {30: {"enter": 1}}), frame, replace(origin, strategy=Talker))
    assert told["explanation"][0] == "closed at 103.00, horizon 300"
