"""Signals of one moment have one order, whatever order they come in."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.signals import rank_signals

SIGNALS = pl.DataFrame(
    {
        "signal_id": ["a", "b", "c", "d", "e"],
        "available_at": [1, 1, 1, 1, 2],
        "symbol": ["SPY", "QQQ", "SPY", "SPY", "SPY"],
        "strategy": ["B", "B", "A", "C", "A"],
        "confidence": [0.5, 0.5, 0.5, 0.9, 0.1],
    }
)


def order(scores=None):
    return rank_signals(SIGNALS, scores)["signal_id"].to_list()


def test_confidence_comes_first_then_strategy_and_symbol():
    assert order() == ["d", "c", "b", "a", "e"]
    assert rank_signals(SIGNALS)["rank"].to_list() == [1, 2, 3, 4, 1]


def test_a_score_breaks_ties_of_confidence_and_an_unknown_one_is_last():
    assert order({"B": 2.0, "C": -5.0}) == ["d", "b", "a", "c", "e"]
    assert order({"B": float("nan"), "A": 0.0}) == ["d", "c", "b", "a", "e"]


@given(st.permutations(range(5)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_input_does_not_matter(rows):
    assert rank_signals(SIGNALS[list(rows)]).equals(rank_signals(SIGNALS))


def test_an_empty_table_stays_empty():
    assert rank_signals(SIGNALS.clear()).height == 0
