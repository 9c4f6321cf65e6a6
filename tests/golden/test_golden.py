"""A shipped strategy trades what it traded when its trades were accepted, and looks ahead nowhere while it does."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from argus_core.experiments.proof import prove
from argus_core.replay.results import ReplayResult, empty_trades
from tests.golden.markets import SIMULATED, golden_market
from tests.golden.runs import (
    ACCEPT,
    case_of,
    difference,
    real_place,
    run_real,
    run_simulated,
    shipped,
    stored,
    strategy_of,
    symbol_of,
    trade_list_hash,
)

NAMES = shipped()


def accepted(name: str, part: str) -> dict:
    entry = stored().get(name)
    assert entry, f"{name} is shipped but has no golden run. Look at its trades, then accept them: {ACCEPT} {name}"
    return entry[part]


def demand(name: str, part: str, new: dict) -> None:
    assert new["trades"] > 0, f"{name}: a golden run without trades guards nothing; set params in tests/golden/runs.py"
    told = difference(name, part, accepted(name, part), new)
    assert not told, f"{told}\nIf this is meant, accept it: {ACCEPT} {name}"


def test_every_shipped_strategy_has_a_golden_run_and_nothing_else_has():
    assert sorted(stored()) == NAMES, f"accept the golden runs: {ACCEPT}"


@pytest.mark.parametrize("name", NAMES)
def test_the_trades_on_the_simulated_market_are_the_accepted_ones(name):
    new = run_simulated(name)
    demand(name, "simulated", new)


@pytest.mark.parametrize("name", NAMES)
def test_the_trades_on_real_data_are_the_accepted_ones(name, shared_data: Path):
    if real_place(name) is None:
        pytest.skip(f"{name}: {case_of(name).no_real}")
    new = run_real(name, shared_data)
    assert new is not None
    demand(name, "real", new)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_strategy_does_not_look_ahead(name):
    params = strategy_of(name).Params.model_validate(dict(case_of(name).params))
    proof = prove(strategy_of(name), params, golden_market(SIMULATED, symbol_of(name)).market, cuts=1, seed=7)
    assert proof.ok, proof.detail


def test_a_change_is_told_with_what_changed():
    old = stored()["BuyAndHold"]["simulated"]
    assert difference("BuyAndHold", "simulated", old, old) == ""
    new = old | {"sha256": "0", "trades": old["trades"] + 1, "final_equity": 1.0}
    told = difference("BuyAndHold", "simulated", old, new)
    assert f"trades: {old['trades']} -> {old['trades'] + 1}" in told
    assert "final_equity" in told
    assert "new: " in difference("BuyAndHold", "simulated", None, new)


def test_the_hash_is_that_of_the_trades():
    result = ReplayResult(empty_trades(), pl.DataFrame(), 0, {}, 0, 1.0, 1.0, 0.0, 0.0)
    assert trade_list_hash(result) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
