"""What a gate costs: power without it, less power with it."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_core.calibration.gates import gate_costs, reason_sets


def frame(*cycles, sharpe=2.0):
    return pl.DataFrame({"true_sharpe": [sharpe] * len(cycles), "reason_sets": [reason_sets(c) for c in cycles]})


def test_costs_by_hand():
    found = {
        row["gate"]: row
        for row in gate_costs(
            frame(
                [set(), {"dsr"}],
                [{"dsr"}, {"dsr", "reality_check_failed"}],
                [{"dsr", "error_budget"}],
                [{"score"}, {"reality_check_failed"}],
            )
        )
    }
    assert found["dsr"]["power"] == 0.25
    assert {name: row["without"] for name, row in found.items()} == {"dsr": 0.5, "joint test": 0.5, "score": 0.5}
    assert {name: row["alone"] for name, row in found.items()} == {"dsr": 0.5, "joint test": 0.75, "score": 1.0}
    assert found["dsr"]["cost"] == 0.25


def test_reasons_of_one_test_are_one_gate():
    rows = gate_costs(frame([{"reality_check_failed", "error_budget"}], [{"error_budget"}]))
    assert [(row["gate"], row["without"]) for row in rows] == [("joint test", 1.0)]


def test_equal_runs_are_counted_once():
    assert reason_sets([{"b", "a"}, {"a", "b"}, set()]) == '{"": 1, "a,b": 2}'


runs = st.lists(st.sets(st.sampled_from(["a", "b", "reality_check_failed"])), min_size=1, max_size=5)


@given(st.lists(runs, min_size=1, max_size=8))
def test_no_gate_helps_and_none_costs_more_than_it_holds_back(cycles):
    power = sum(any(not run for run in cycle) for cycle in cycles) / len(cycles)
    for row in gate_costs(frame(*cycles)):
        assert row["power"] == pytest.approx(power)
        assert row["cost"] >= 0
        assert row["alone"] >= row["power"]
        assert row["without"] <= 1
