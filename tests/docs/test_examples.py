"""The code of the documentation runs: blocks of a page in order, files named in their first line written beforehand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from argus_core.experiments.sweep import load_sweep
from argus_core.strategies.registry import load_strategy

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def named(block: str) -> str | None:
    """File that a block says it is."""
    found = re.match(r"# (\S+\.(?:py|yaml))\n", block)
    return found[1] if found else None


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the files that the page shows, importable."""
    for language in ("python", "yaml"):
        for block in blocks("writing-a-strategy.md", language):
            if name := named(block):
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_strategies"):
            del sys.modules[name]


def test_the_example_strategy_makes_the_same_trades_in_both_interfaces(project, capsys):
    scope: dict[str, object] = {}
    run = [block for block in blocks("writing-a-strategy.md", "python") if named(block) is None]
    for number, block in enumerate(run):
        exec(compile(block, f"writing-a-strategy.md, block {number}", "exec"), scope)
    assert "next_open" in capsys.readouterr().out
    assert scope["proof"].runs > 5
    reasons = set(scope["columnar"].trades["exit_reason"])
    assert {"trailing", "signal"} <= reasons
    assert set(scope["columnar"].trades["side"]) == {1, -1}


def test_the_loop_entry_of_the_example_names_files_that_load(project):
    loop = yaml.safe_load((project / "config/research_loop.yaml").read_text())
    (entry,) = loop["strategies"]
    strategy = load_strategy(entry["strategy_class"], root=project)
    sets = load_sweep(project / entry["sweep"], entry["params"])
    assert len(sets) == 12
    assert all(strategy.Params(**values).risk == 0.005 for values in sets)


@pytest.mark.parametrize("page", ["options.md", "option-volatility.md", "iv-consensus.md"])
def test_the_code_of_a_page_runs_from_top_to_bottom(page, capsys):
    scope: dict[str, object] = {}
    code = blocks(page, "python")
    assert code
    for number, block in enumerate(code):
        exec(compile(block, f"{page}, block {number}", "exec"), scope)
    assert capsys.readouterr().out
