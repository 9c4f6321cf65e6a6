"""`argus options`: the same tables as the assets, from the command line."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from argus_dagster.cli.app import app
from tests.dagster.conftest import make_project

DAY = "2025-01-07"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quick = {"options": {"profit": {"managed_per_structure": 0}}}
    return make_project(
        tmp_path_factory.mktemp("options"),
        overrides={
            "calendar": {"start_date": "2025-01-02"},
            "providers": {"simulation": {"option_snapshot_times": ["15:30"]}},
            **quick,
        },
    )


def run(project: Path, *arguments: str):
    command = ["options", *arguments, "--config", str(project), "--date", DAY]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


def rows(project: Path, *arguments: str) -> list[dict]:
    result = run(project, *arguments, "--json")
    assert result.exit_code == 0, result.output
    text = result.stdout
    return json.loads(text[text.index("[") :])


def test_each_table_is_brought_up_to_date_and_printed(project):
    forwards = rows(project, "forwards")
    assert {row["underlying"] for row in forwards} == {"SPY"}
    surface = rows(project, "surface")
    assert {row["expiry"] for row in surface} <= {row["expiry"] for row in forwards}
    assert all(row["inside_share"] > 0.5 for row in surface)
    used = rows(project, "greeks", "--used", "--expiry", surface[3]["expiry"])
    assert {row["expiry"] for row in used} == {surface[3]["expiry"]}
    assert all(row["used"] and row["gamma"] > 0 for row in used)
    [fit] = rows(project, "calibrate")
    assert fit["converged"]
    assert rows(project, "anomalies") == []


def test_the_page_and_the_worst_cases_of_its_best_position(project):
    page = rows(project, "pop", "--structure", "put_vertical")
    assert {row["structure"] for row in page} == {"put_vertical"}
    assert all(0 <= row["pop_terminal"] <= 1 and row["pop_managed"] is None for row in page)
    told = rows(project, "scenarios", "--candidate", page[0]["candidate"])
    assert len(told) > 100
    assert min(row["pnl"] for row in told) >= -page[0]["max_loss"] - 20


def test_one_provider_alone_is_its_own_consensus(project):
    at_the_money = rows(project, "consensus", "--atm")
    known = [row for row in at_the_money if row["iv"] is not None]
    surface = {row["expiry"]: row["atm_iv"] for row in rows(project, "surface")}
    assert len(known) > 5
    for row in known:
        if row["expiry"] in surface:
            assert row["iv"] == pytest.approx(surface[row["expiry"]], abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("surface", "--symbol", "BTC"), "no underlying with options"),
        (("greeks", "--expiry", "2025-01-01"), "Listed: 2025-"),
        (("pop", "--structure", "butterfly"), "not on the page"),
        (("scenarios", "--candidate", "nothing"), "not on the page"),
    ],
)
def test_wrong_arguments_name_what_there_is(project, arguments, told, capfd):
    result = run(project, *arguments)
    assert result.exit_code == 2
    assert told in result.output + capfd.readouterr().err


def test_a_date_without_a_chain_says_what_to_do(project, monkeypatch, capfd):
    from argus_core.market.schemas import OptionQuotes, empty
    from argus_core.market.simulation import SimulatedMarket

    monkeypatch.setattr(SimulatedMarket, "option_quotes", lambda *_: empty(OptionQuotes))
    command = ["options", "surface", "--config", str(project), "--date", str(date(2025, 1, 9))]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "no option chain" in result.output + capfd.readouterr().err
