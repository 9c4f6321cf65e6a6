"""Finding strategies by name, and hashing their code."""

from __future__ import annotations

from pathlib import Path

import pytest

from argus_core.experiments.sweep import load_sweep
from argus_core.replay.lanes import replay_lanes
from argus_core.replay.lookahead import prove_no_lookahead
from argus_core.settings import ExecutionSettings, Project, SettingsError
from argus_core.strategies import SHIPPED, load_strategy, strategy_code_hash
from argus_core.strategies.interface import ColumnarStrategy
from tests.replay.frames import decision_frame, random_prices

MINE = """
import polars as pl
from argus_core.strategies.interface import ColumnarStrategy, Params

class Mine(ColumnarStrategy):
    class Params(Params):
        length: int = 3

    def intents(self, frame, params):
        return frame.select(enter=(pl.col("close") > pl.col("open")).cast(pl.Int8))

class Unfinished(ColumnarStrategy):
    pass

number = 5
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


@pytest.mark.parametrize("name", ["BuyAndHold", "EmaCrossAtr", "OvernightSession"])
def test_shipped_names_load(name, root):
    cls = load_strategy(name, root=root)
    assert issubclass(cls, ColumnarStrategy)
    assert cls.strategy_id == name


def test_every_shipped_name_points_to_a_class_of_that_name():
    for name, target in SHIPPED.items():
        assert target.endswith(f":{name}")


def test_a_module_path_loads_the_same_class(root):
    direct = load_strategy("argus_core.strategies.buy_and_hold:BuyAndHold", root=root)
    assert direct is load_strategy("BuyAndHold", root=root)


def test_a_file_loads_relative_to_the_root_or_absolutely(root):
    mine = load_strategy("mine.py:Mine", root=root)
    assert mine is load_strategy(f"{root}/mine.py:Mine", root=Path("/elsewhere"))
    assert mine.Params(length=4).length == 4


def test_a_changed_file_is_loaded_again(root):
    before = load_strategy("mine.py:Mine", root=root)
    (root / "mine.py").write_text(MINE.replace("length: int = 3", "length: int = 9"))
    after = load_strategy("mine.py:Mine", root=root)
    assert (before.Params().length, after.Params().length) == (3, 9)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("EmaCros", "unknown strategy 'EmaCros'. Give a shipped name"),
        ("nowhere.py:Mine", "no file .*nowhere.py. Relative paths start at"),
        ("mine.py:Yours", "no class 'Yours'. Strategies there: Mine, Unfinished"),
        ("mine.py:number", "is no strategy. Derive it from ColumnarStrategy"),
        ("mine.py:Unfinished", "does not implement intents"),
        ("no.such.module:Mine", "no module 'no'"),
        ("broken.py:Mine", "broken.py failed: NameError"),
    ],
)
def test_errors_say_what_to_do(root, name, message):
    (root / "broken.py").write_text("undefined_name")
    with pytest.raises(SettingsError, match=message):
        load_strategy(name, root=root)


def test_the_code_hash_follows_the_source_not_the_place(root, tmp_path_factory):
    original = strategy_code_hash(load_strategy("mine.py:Mine", root=root))
    elsewhere = tmp_path_factory.mktemp("moved")
    (elsewhere / "mine.py").write_bytes(MINE.replace("\n", "\r\n").encode())
    assert strategy_code_hash(load_strategy("mine.py:Mine", root=elsewhere)) == original
    (root / "mine.py").write_text(MINE + "\n# changed\n")
    assert strategy_code_hash(load_strategy("mine.py:Mine", root=root)) != original


def test_the_example_of_the_docs_page_loads_replays_and_does_not_look_ahead(project: Project, tmp_path: Path):
    page = (project.root / "docs" / "strategies.md").read_text()
    (tmp_path / "breakout.py").write_text(page.split("```python")[1].split("```")[0])
    cls = load_strategy("breakout.py:Breakout", root=tmp_path)
    frame = decision_frame(random_prices(4, 600))
    assert prove_no_lookahead(cls, {"length": 20}, frame, cuts=3, seed=0).ok
    intents = cls().intents(frame, cls.Params(length=20))
    [result] = replay_lanes(
        frame, [intents], project.instrument("SPY"), ExecutionSettings(), starting_cash=1e5, symbol="SPY"
    )
    assert result.trades.height > 5


def test_shipped_strategies_have_different_hashes(root):
    two = {
        strategy_code_hash(load_strategy(f"argus_core.strategies.{n}", root=root))
        for n in ("buy_and_hold:BuyAndHold", "ema_cross_atr:EmaCrossAtr", "overnight_session:OvernightSession")
    }
    assert len(two) == 3


def test_a_strategy_without_a_source_file_has_no_hash():
    made = type("Made", (ColumnarStrategy,), {"intents": lambda self, frame, params: frame, "__module__": "__main__x"})
    with pytest.raises(SettingsError, match="Put the strategy into a file"):
        strategy_code_hash(made)


@pytest.mark.parametrize(
    ("sweep", "name", "low", "high"),
    [("overnight_session", "OvernightSession", 60, 120), ("ema_cross_atr", "EmaCrossAtr", 40, 60)],
)
def test_shipped_sweeps_expand_to_valid_parameters(project: Project, sweep, name, low, high):
    """Predecessor C2, C3: the shipped sweep files did not load."""
    cls = load_strategy(name, root=project.root)
    sets = load_sweep(project.resolve(f"config/sweeps/{sweep}.yaml"))
    assert low <= len(sets) <= high
    for params in sets:
        cls.Params(**params)


def test_the_overnight_sweep_only_asks_for_horizons_that_are_computed(project: Project):
    sets = load_sweep(project.resolve("config/sweeps/overnight_session.yaml"))
    assert {s["horizon_seconds"] for s in sets} <= set(project.platform.outcomes.horizons)
