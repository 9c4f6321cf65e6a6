"""Wrappers in a cycle: their runs, ids, sweeps over inner parameters, and the proof of what they contain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from argus_core.experiments import plan_trials, run_experiments
from argus_core.settings import SettingsError, StrategySpec

INNER = "strategies.py:{}"


@pytest.fixture
def wrapped(loop_of, chain):
    """A project whose loop runs a wrapper around strategies of the test file: (class, params, sweep text) each."""

    def build(*specs: tuple[str, dict, str | None]):
        project, root = loop_of(lookahead_cuts=1, mc_bootstrap=False, cost_multipliers=(1.0,)), chain[1]
        entries = []
        for number, (name, params, sweep) in enumerate(specs):
            path = None
            if sweep is not None:
                path = f"wrapped_{number}.yaml"
                Path(root / path).write_text(sweep)
            entries.append(StrategySpec(strategy_class=name, params=params, sweep=path))
        return replace(project, loop=project.loop.model_copy(update={"strategies": tuple(entries)}))

    return build


def gate(name: str, **params) -> tuple[str, dict]:
    rest = {"quality_bars": 0, "block_unknown": False, "extended_hours": True}
    return "WeekdayGate", {"inner": {"strategy_class": INNER.format(name), "params": params}, **rest}


SWEEP = "params:\n  inner.params.every: [20, 30, 40]\n  threshold: [0.5, 0.95]\n"


def test_a_sweep_over_inner_and_outer_parameters_runs_as_one_group(wrapped, pack, calendar):
    found = run_experiments(pack, wrapped((*gate("Swing", hold=600), SWEEP)), calendar=calendar).runs
    assert found.height == 6
    assert set(found["strategy"]) == {"WeekdayGate(Swing)"}
    assert set(found["status"]) == {"ok"}
    assert found["lookahead_ok"].all()
    rows = {(p["inner"]["params"]["every"], p["threshold"]): row
            for row in found.iter_rows(named=True) for p in [json.loads(row["params"])]}  # fmt: skip
    assert len(rows) == 6
    assert {json.loads(row["params"])["inner"]["params"]["hold"] for row in rows.values()} == {600}
    # A neighbour is one step along the inner or the outer parameter: three in the middle, two at the ends.
    assert [rows[every, 0.5]["plateau_neighbours"] for every in (20, 30, 40)] == [2, 3, 2]
    for every in (20, 30, 40):
        assert 0 < rows[every, 0.95]["n_trades"] < rows[every, 0.5]["n_trades"]


def test_a_gated_strategy_that_looks_ahead_is_convicted(wrapped, pack, calendar):
    found = run_experiments(pack, wrapped((*gate("Cheater"), None)), calendar=calendar).runs
    assert found["lookahead_ok"].to_list() == [False]


def test_a_router_of_both_interfaces_runs_and_is_proved(wrapped, pack, calendar):
    routes = [
        {"when": {"trend_regime": ["UP"]}, "strategy_class": INNER.format("Caller")},
        {"strategy_class": INNER.format("Swing"), "params": {"every": 30}},
    ]
    found = run_experiments(pack, wrapped(("RegimeRouter", {"routes": routes}, None)), calendar=calendar).runs
    [row] = found.to_dicts()
    assert (row["strategy"], row["status"]) == ("RegimeRouter(Caller, Swing)", "ok")
    assert row["lookahead_ok"]
    assert row["n_trades"] > 10
    routes[1]["strategy_class"] = INNER.format("Cheater")
    routes[1]["params"] = {}
    [row] = run_experiments(
        pack, wrapped(("RegimeRouter", {"routes": routes}, None)), calendar=calendar
    ).runs.to_dicts()
    assert row["lookahead_ok"] is False


def test_groups_and_ids_tell_what_is_inside(wrapped):
    groups = plan_trials(
        wrapped((*gate("Swing"), None), (*gate("Caller"), None), (*gate("Swing", every=40), None)), "SPY", "p"
    )
    assert [(g.strategy.strategy_id, len(g.trials)) for g in groups] == [
        ("WeekdayGate(Swing)", 2),
        ("WeekdayGate(Caller)", 1),
    ]
    assert len({trial.run_id for g in groups for trial in g.trials}) == 3
    assert len({g.code_hash for g in groups}) == 2


def test_the_code_of_the_inner_strategy_is_part_of_the_run_id(wrapped, chain):
    loop, path = wrapped((*gate("Swing"), None)), chain[1] / "strategies.py"

    def run_id() -> str:
        return plan_trials(loop, "SPY", "p")[0].trials[0].run_id

    before, source = run_id(), path.read_text()
    assert run_id() == before
    path.write_text(source + "\n# changed\n")
    try:
        assert run_id() != before
    finally:
        path.write_text(source)


def test_an_inner_parameter_that_is_refused_is_a_failed_trial_not_a_failed_cycle(wrapped):
    [group] = plan_trials(wrapped((*gate("Swing"), "params: {inner.params.every: [1, 30]}")), "SPY", "p")
    assert [trial.model is None for trial in group.trials] == [True, False]
    assert "inner.params.every" in group.trials[0].error


def test_the_family_of_the_inner_strategy_holds(wrapped):
    with_symbols = wrapped((*gate("CryptoSwing"), None))
    spec = with_symbols.loop.strategies[0].model_copy(update={"symbols": ("SPY",)})
    loop = replace(with_symbols, loop=with_symbols.loop.model_copy(update={"strategies": (spec,)}))
    with pytest.raises(SettingsError, match="asset class etf; the family gated_crypto trades crypto"):
        plan_trials(loop, "SPY", "p")
    inner = "inner.params.every: [20, 30], inner.params.hold: [600, 900]"
    many = f"params: {{{inner}, threshold: [0.1, 0.2], friday: [0.1, 0.2]}}"
    with pytest.raises(SettingsError, match=r"varies 4 parameters .*inner\.params\.every.* allows 3"):
        plan_trials(wrapped((*gate("CalmSwing"), many)), "SPY", "p")
