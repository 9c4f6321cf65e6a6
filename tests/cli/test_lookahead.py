"""`argus lookahead`: the verdict, its exit code, and the strategies that cheat on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from argus_core.strategies import cheaters
from argus_dagster.cli.app import app
from tests.dagster.conftest import make_project

MINE = """
import polars as pl
from argus_core.strategies.interface import ColumnarStrategy

class Mine(ColumnarStrategy):
    def intents(self, frame, params):
        return frame.select(enter=(pl.col("close").shift(-2) > pl.col("close")).fill_null(False).cast(pl.Int8))

class Fine(ColumnarStrategy):
    def intents(self, frame, params):
        return frame.select(enter=(pl.col("close").shift(2) > pl.col("close")).fill_null(False).cast(pl.Int8))
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lookahead")
    (folder / "mine.py").write_text(MINE)
    return make_project(folder)


def invoke(config: Path, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(config.parents[1] / "dagster_home"))
        patch.setenv("COLUMNS", "200")
        return CliRunner().invoke(app, ["lookahead", *arguments, "--config", str(config)])


def test_a_users_own_strategy_is_convicted_with_the_row_and_exit_code_one(config):
    result = invoke(config, "mine.py:Mine", "--simulate", "2", "--json")
    assert result.exit_code == 1
    verdict = json.loads(result.stdout)
    assert verdict["ok"] is False
    assert verdict["columns"] == ["close"]
    assert f"row {verdict['row']}" in verdict["detail"]


def test_an_honest_strategy_ends_with_zero(config):
    result = invoke(config, "mine.py:Fine", "--simulate", "2", "--symbol", "BTC")
    assert result.exit_code == 0
    assert "no lookahead found" in result.stdout


def test_every_cheater_is_caught_by_the_command(config):
    result = invoke(config, "cheaters", "--simulate", "2", "--cuts", "2", "--json")
    verdicts = json.loads(result.stdout)
    assert [row["strategy"] for row in verdicts] == list(cheaters.__all__)
    assert [row["strategy"] for row in verdicts if row["ok"]] == []
    assert result.exit_code == 0


def test_one_source_of_data_at_a_time(config):
    result = invoke(config, "BuyAndHold", "--simulate", "2", "--pack", "somewhere")
    assert result.exit_code == 2
    assert "one of --date, --pack and --simulate" in result.output
