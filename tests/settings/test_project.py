"""Configuration files: loading, errors that teach, hashes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from argus_core.settings import (
    ExecutionSettings,
    LoopSettings,
    Project,
    SettingsError,
    canonical_hash,
    load_project,
    merged,
)

ROOT = Path(__file__).resolve().parents[2]


def write_project(folder: Path, **changes: object) -> Path:
    """A copy of the shipped configuration in ``folder`` with top-level ``changes`` to the loop file."""
    (folder / "config").mkdir(parents=True)
    for name in ("argus.yaml", "universe.yaml"):
        (folder / "config" / name).write_text((ROOT / "config" / name).read_text())
    document = yaml.safe_load((ROOT / "config" / "research_loop.yaml").read_text()) | changes
    path = folder / "config" / "loop.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    "path",
    sorted(p for name in ("*loop*", "real_*") for p in (ROOT / "config").glob(f"{name}.yaml")),
    ids=lambda p: p.name,
)
def test_every_shipped_loop_file_loads(path: Path) -> None:
    assert load_project(path, root=ROOT).symbols


def test_an_unknown_key_names_the_file_the_key_and_the_known_keys(tmp_path: Path) -> None:
    path = write_project(tmp_path, pack={"symbols": ["SPY"], "last_n_days": 5, "symbol": "SPY"})
    with pytest.raises(SettingsError) as caught:
        load_project(path)
    text = str(caught.value)
    assert str(path) in text
    assert "pack.symbol: unknown key" in text
    assert "symbols" in text


def test_a_wrong_value_names_the_value_and_what_is_allowed(tmp_path: Path) -> None:
    path = write_project(tmp_path, overrides={"execution": {"price_basis": "yesterday"}})
    with pytest.raises(
        SettingsError,
        match=r"execution\.price_basis.*'next_worst', 'next_close' or 'signal_close'.*'yester",
    ):
        load_project(path)


def test_a_window_needs_dates_or_a_count(tmp_path: Path) -> None:
    path = write_project(tmp_path, pack={"symbols": ["SPY"]})
    with pytest.raises(SettingsError, match="give last_n_days, or both start_date and end_date"):
        load_project(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: no such file"):
        load_project(tmp_path / "nowhere.yaml")


def test_an_unknown_symbol_says_where_to_add_it(tmp_path: Path) -> None:
    path = write_project(tmp_path, pack={"symbols": ["NOPE"], "last_n_days": 5})
    with pytest.raises(SettingsError, match=r"no instrument 'NOPE'\. Add it under `instruments`"):
        load_project(path)


def test_bar_duration_must_equal_the_instruments(tmp_path: Path) -> None:
    path = write_project(tmp_path, outcomes={"bar_duration": 300})
    with pytest.raises(SettingsError, match=r"outcomes\.bar_duration: 300 differs from bar_seconds 60 of SPY"):
        load_project(path)


@pytest.mark.parametrize(
    ("references", "words"),
    [
        ({"SPY": ["BTX"]}, r"pack\.references\.SPY: no instrument 'BTX' in .*universe\.yaml\. Known: BTC, "),
        ({"SPX": ["BTC"]}, r"pack\.references\.SPX: no instrument 'SPX'"),
        ({"SPY": ["SPY"]}, r"pack\.references\.SPY: SPY is its own reference\. Name other symbols only"),
        ({"SPY": ["BTC", "QQQ", "BTC"]}, r"pack\.references\.SPY: BTC is named twice\. Name every reference once"),
    ],
)
def test_a_reference_is_another_known_symbol_named_once(tmp_path: Path, references: dict, words: str) -> None:
    pack = {"start_date": "2025-01-02", "end_date": "2025-01-31", "references": references}
    with pytest.raises(SettingsError, match=r"loop\.yaml: " + words):
        load_project(write_project(tmp_path, pack=pack))


def test_bars_are_needed_of_references_too_but_only_of_those_that_a_traded_symbol_names(tmp_path: Path) -> None:
    references = {"QQQ": ["SPY", "GLD"], "IBIT": ["BTC"], "DIA": ["TLT"]}
    pack = {"symbols": ["IBIT", "QQQ", "SPY"], "start_date": "2025-01-02", "end_date": "2025-01-31"}
    project = load_project(write_project(tmp_path, pack=pack | {"references": references}))
    assert project.symbols == ("IBIT", "QQQ", "SPY")
    assert project.bar_symbols == ("IBIT", "QQQ", "SPY", "BTC", "GLD")
    assert project.references("QQQ") == ("GLD", "SPY")
    assert project.references("SPY") == ()


def test_relative_paths_start_at_the_project_root(tmp_path: Path) -> None:
    loaded = load_project(write_project(tmp_path))
    assert loaded.resolve("data/packs") == tmp_path / "data" / "packs"
    assert loaded.resolve("/elsewhere") == Path("/elsewhere")
    assert loaded.lake_root == str(tmp_path / "data" / "lake")


def test_the_config_hash_changes_with_results_and_not_with_places(tmp_path: Path, project: Project) -> None:
    moved = load_project(write_project(tmp_path / "a", notify={"webhook_url": "http://localhost:1"}))
    assert moved.config_hash == project.config_hash
    other = load_project(write_project(tmp_path / "b", overrides={"execution": {"slippage_bps": 2.0}}))
    assert other.config_hash != project.config_hash


def test_overrides_merge_key_by_key() -> None:
    assert merged({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [2]}) == {"a": {"x": 1, "y": 3}, "b": [2]}


def test_canonical_hash_does_not_depend_on_key_order() -> None:
    assert canonical_hash({"a": 1, "b": 2}) == canonical_hash({"b": 2, "a": 1})


def test_the_convention_is_told_in_one_line() -> None:
    text = ExecutionSettings(price_basis="next_worst", slippage_bps=1).convention
    assert "next_worst" in text
    assert "1 bp" in text
    assert "\n" not in text


def test_a_loop_without_strategies_is_refused() -> None:
    with pytest.raises(SettingsError, match="name at least one strategy_class"):
        LoopSettings.parse({"pack": {"last_n_days": 5}, "strategies": []}, source="x.yaml")


def test_loops_with_other_symbols_keep_their_own_market_state(tmp_path: Path) -> None:
    one = load_project(write_project(tmp_path / "a", pack={"symbols": ["SPY", "IBIT"], "last_n_days": 5}))
    two = load_project(write_project(tmp_path / "b", pack={"symbols": ["SPY"], "last_n_days": 5}))
    assert one.market_state_keys("market_risk") == {"basket": "IBIT.sim-SPY.sim"}
    assert two.market_state_keys("market_risk") == {"basket": "SPY.sim"}
    assert one.market_state_keys("risk_flow") == two.market_state_keys("risk_flow") == {"provider": "sim"}
