"""The command line: help without heavy imports, exit codes, JSON, clear errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from argus_core.settings import SettingsError
from argus_dagster.cli.app import app
from tests.dagster.conftest import SMALL, make_project

COMMANDS = (
    "loop",
    "backfill",
    "import",
    "simulate",
    "pack",
    "experiment",
    "replay",
    "lookahead",
    "signals",
    "evaluate",
    "sql",
    "verify",
    "compact",
    "outcomes",
)
OUTCOME_COMMANDS = ("backfill", "backfill-all", "list", "list-outcomes", "coverage", "health", "gaps", "uptime")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose one cycle was run by the command."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / "dagster_home"))
        patch.setenv("COLUMNS", "200")
        path = make_project(folder)
        result = CliRunner().invoke(app, ["loop", "--once", "--config", str(path)])
        assert result.exit_code == 0, result.output
        assert "Ranking of 2025-01-10" in result.output
        yield path


def invoke(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(config)])


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom argus_dagster.cli.app import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('jax', 'dagster', 'pandas', 'polars', 'plotly', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    for name in COMMANDS:
        assert f" {name} " in done.stdout


def test_every_outcome_command_of_the_issue_exists() -> None:
    text = CliRunner().invoke(app, ["outcomes", "--help"]).output
    for name in OUTCOME_COMMANDS:
        assert f" {name} " in text


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    path = make_project(tmp_path)
    result = invoke(path, "loop", "--dry-run")
    assert result.exit_code == 0
    plan = json.loads(result.stdout)
    assert plan["window"] == ["2025-01-06", "2025-01-10"]
    assert plan["sessions_in_window"] == 4
    assert "next_open" in plan["convention"]
    assert not (tmp_path / "data").exists()


def test_sql_answers_in_json_and_a_wrong_table_names_the_tables(config: Path, capsys: pytest.CaptureFixture) -> None:
    result = invoke(config, "sql", "select symbol, count(*) n from bars group by 1 order by 1", "--json")
    rows = {row["symbol"]: row["n"] for row in json.loads(result.stdout)}
    assert rows["SPY"] % 390 == 0
    assert set(rows) == {"BTC", "SPY"}
    assert invoke(config, "sql", "select * from nowhere").exit_code == 2


def test_verify_passes_and_finds_a_damaged_file(config: Path) -> None:
    assert invoke(config, "verify").exit_code == 0
    target = next((config.parent.parent / "data" / "lake" / "outcomes").rglob("part.parquet"))
    good = target.read_bytes()
    try:
        target.write_bytes(good[: len(good) // 2])
        result = invoke(config, "verify")
        assert result.exit_code == 1
        assert "unreadable" in result.stdout
    finally:
        target.write_bytes(good)


@pytest.mark.parametrize("name", ["list", "coverage", "health", "gaps", "uptime"])
def test_outcome_summaries_answer_in_json(config: Path, name: str) -> None:
    result = invoke(config, "outcomes", name, "--json")
    assert result.exit_code == 0, result.output
    assert isinstance(json.loads(result.stdout), list)


def test_outcomes_of_one_symbol_are_listed(config: Path) -> None:
    result = invoke(config, "outcomes", "list-outcomes", "--symbol", "SPY", "--limit", "3", "--json")
    assert len(json.loads(result.stdout)) == 3


def test_backfill_of_labels_is_idempotent(config: Path) -> None:
    result = invoke(config, "outcomes", "backfill-all", "--start", "2025-01-06", "--end", "2025-01-10")
    assert result.exit_code == 0
    assert "4 sessions up to date" in result.output


def test_pack_experiment_and_evaluate_run_alone(config: Path) -> None:
    packs = json.loads(invoke(config, "pack").stdout)
    assert set(packs) == {"SPY", "BTC"}
    runs = json.loads(invoke(config, "experiment", "--symbol", "SPY", "--json").stdout)
    assert {run["strategy"] for run in runs} == {"BuyAndHold", "EmaCrossAtr"}
    rankings = json.loads(invoke(config, "evaluate", "--json").stdout)
    assert len(rankings) == 4


def test_a_wrong_date_is_a_usage_error(config: Path) -> None:
    assert invoke(config, "pack", "--date", "tomorrow").exit_code == 2


def test_the_loop_waits_when_bars_are_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    overrides = {"providers": {"bars_primary": "files"}}
    path = make_project(tmp_path, loop={"require_recent_bars_hours": 30}, overrides=overrides)
    result = invoke(path, "loop", "--once")
    assert result.exit_code == 3
    assert "no bars at all" in result.output


def test_an_import_of_a_missing_folder_is_refused(config: Path) -> None:
    assert invoke(config, "import", "/nowhere").exit_code == 2


def test_compaction_writes_closed_months_once(config: Path) -> None:
    assert "1 months written" in invoke(config, "compact", "risk_flow").output
    assert "0 months written, 1 unchanged" in invoke(config, "compact", "risk_flow").output


def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    path = make_project(tmp_path, strategies=[{"strategy_class": "EmaCrossAtr", "params": {"fasst": 3}}])
    result = invoke(path, "loop", "--dry-run")
    assert isinstance(result.exception, SettingsError)
    assert "has no parameter 'fasst'" in str(result.exception)
    path = make_project(tmp_path, strategies=[{"strategy_class": "Nope"}])
    assert "Nope" in str(invoke(path, "loop", "--dry-run").exception)


def test_signals_are_printed_filtered_and_exported(config: Path, tmp_path: Path) -> None:
    result = invoke(config, "signals", "--json")
    rows = json.loads(result.stdout)
    assert {row["symbol"] for row in rows} == {"SPY", "BTC"}
    assert {row["strategy"] for row in rows} == {"BuyAndHold", "EmaCrossAtr"}
    assert len({row["signal_id"] for row in rows}) == len(rows)
    assert all(row["explanation"].startswith(row["strategy"]) for row in rows)
    newest = invoke(config, "signals", "--symbol", "SPY", "--sessions", "1", "--output", str(tmp_path / "s.csv"))
    assert newest.exit_code == 0
    assert "signals up to 2025-01-10" in newest.stdout
    written = (tmp_path / "s.csv").read_text().splitlines()
    assert written[0].startswith("signal_id,available_at,bar_end")
    assert all("2025-01-10T" in line for line in written[1:])


def test_signals_name_routes_and_suffixes_that_exist(config: Path, tmp_path: Path) -> None:
    unknown = invoke(config, "signals", "--route", "desk")
    assert unknown.exit_code == 2
    assert "none" in unknown.output
    assert invoke(config, "signals", "--symbol", "SPY", "--output", str(tmp_path / "s.xls")).exit_code == 2


def test_experiments_of_another_config_are_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    path = make_project(tmp_path, pack=SMALL["pack"] | {"symbols": ["SPY"]})
    assert invoke(path, "loop", "--once").exit_code == 0
    changed = make_project(
        tmp_path, pack=SMALL["pack"] | {"symbols": ["SPY"]}, strategies=[{"strategy_class": "BuyAndHold"}]
    )
    result = invoke(changed, "evaluate")
    assert result.exit_code == 1
    assert "no experiments that rest on" in str(result.exception)
    # The ledger remembers what was tried before the config was cut down.
    assert invoke(changed, "loop", "--once").exit_code == 0
    rows = json.loads(invoke(changed, "sql", "select distinct strategy from trial_ledger order by 1", "--json").stdout)
    assert [row["strategy"] for row in rows] == ["BuyAndHold", "EmaCrossAtr"]


def test_an_older_date_does_not_overwrite_the_newest_decision(config: Path) -> None:
    folder = config.parent.parent / "data" / "rankings"
    before = {name: (folder / name).read_text() for name in ("allocations.json", "candidate_set.json", "killed.json")}
    assert invoke(config, "loop", "--once", "--date", "2025-01-08").exit_code == 0
    assert {name: (folder / name).read_text() for name in before} == before
    assert (folder / "strategy_rankings_2025-01-08.json").is_file()


def test_a_simulated_market_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    path = make_project(tmp_path)
    folder = tmp_path / "files"
    result = invoke(path, "simulate", "--start", "2025-01-06", "--end", "2025-01-07", "--output", str(folder), "--json")
    rows = json.loads(result.stdout)["rows"]
    assert rows["bars_1m_quotes/SPY.parquet"] == 2 * 390
    assert {"crypto_1m/BTC.parquet", "option_quotes/SPY.parquet", "bars_1d/EWJ.parquet"} <= set(rows)
    report = json.loads(invoke(path, "import", str(folder), "--json").stdout)
    assert sum(file["rows_quarantined"] for file in report) == 0
    assert sum(file["rows_landed"] for file in report) == sum(rows.values())


def test_replay_prints_convention_metrics_and_trades(config: Path, tmp_path: Path) -> None:
    arguments = ("replay", "EmaCrossAtr", "-p", "fast=5", "-p", "slow=20", "-p", "atr_window=10")
    shown = invoke(config, *arguments, "--trades", "--output", str(tmp_path / "run"))
    assert shown.exit_code == 0, shown.output
    assert "convention: next_open" in shown.stdout
    assert "entry_price" in shown.stdout
    found = json.loads(invoke(config, *arguments, "--price-basis", "next_close", "--json").stdout)
    assert found["convention"].startswith("next_close")
    assert found["params"]["fast"] == 5
    assert found["n_trades"] > 0
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"trades.parquet", "daily.parquet"}


def test_replay_names_what_is_wrong(config: Path) -> None:
    wrong = {
        ("EmaCrossAtr", "-p", "fast"): "write name=value",
        ("EmaCrossAtr", "-p", "quick=3"): "Parameters: fast, slow",
        ("VRPCreditSpread", "--symbol", "QQQQ"): "no instrument 'QQQQ'",
    }
    for arguments, words in wrong.items():
        done = subprocess.run(
            [sys.executable, "-m", "argus_dagster.cli", "replay", *arguments, "--config", str(config)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert words in done.stderr
