"""The ledger over cycles: what is one trial, what is another, and what is kept of those that were dropped."""

from __future__ import annotations

from datetime import date

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.experiments.ledger import LEDGER_SCHEMA, LINEAGE_SCHEMA, lineage, trial_id, with_earlier_trials

MONDAY, TUESDAY, WEDNESDAY = date(2025, 3, 3), date(2025, 3, 4), date(2025, 3, 5)


def row(day: date, params: str = "{}", code: str = "a", symbol: str = "SPY", sharpe: float = 0.1) -> dict:
    return {
        "trial_id": trial_id("S", symbol, params, code),
        "run_id": f"{day}{params}{code}",
        "strategy": "S",
        "symbol": symbol,
        "date": day,
        "params": params,
        "code_hash": code,
        "pack_hash": str(day),
        "status": "ok",
        "returns_hash": str(day),
        "sharpe_period": sharpe,
    }


def frame(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(LEDGER_SCHEMA))


def test_later_data_is_the_same_trial_and_new_code_is_another():
    found = lineage(frame(row(MONDAY), row(TUESDAY, sharpe=0.2), row(TUESDAY, code="b"), row(WEDNESDAY, symbol="QQQ")))
    assert found.schema == pl.Schema(LINEAGE_SCHEMA)
    assert found["generation"].to_list() == [1, 2, 3]
    first = found.row(0, named=True)
    assert (first["first_date"], first["last_date"], first["evaluations"]) == (MONDAY, TUESDAY, 2)
    assert (first["sharpe_period"], first["returns_hash"]) == (0.2, str(TUESDAY))


def test_a_later_date_is_not_seen():
    assert lineage(frame(row(MONDAY), row(WEDNESDAY, code="b")), TUESDAY).height == 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=25, unique=True))
def test_day_by_day_equals_all_at_once(pairs):
    rows = [row(date(2025, 3, day), params=str(number), sharpe=day / 10) for day, number in pairs]
    whole = lineage(frame(*rows))
    known = None
    for day in sorted({one["date"] for one in rows}):
        known = lineage(frame(*[one for one in rows if one["date"] == day]), day, known)
    assert known is not None
    assert known.equals(whole)


def test_a_sweep_that_is_cut_down_keeps_its_trials():
    before = frame(row(MONDAY), row(MONDAY, params="1"))
    after = with_earlier_trials(frame(row(MONDAY, sharpe=0.9)), before)
    assert after.height == 2
    assert sorted(after["sharpe_period"]) == [0.1, 0.9]
