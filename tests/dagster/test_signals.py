"""The check and the export of the asset `signals`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from argus_core.market.lake import Lake
from argus_core.signals import SIGNAL_SCHEMA
from argus_dagster.assets.signals import export, faults, run_partition
from argus_dagster.workspace import Workspace

DAY = date(2025, 1, 10)
NOW = datetime(2025, 1, 10, 15, 0, tzinfo=UTC)


def signals(**changes: list) -> pl.DataFrame:
    """Two sound signals, with some columns replaced."""
    columns: dict[str, list] = {
        name: ["x", "y"] if dtype == pl.String else [None, None] for name, dtype in SIGNAL_SCHEMA.items()
    }
    columns |= {"available_at": [NOW, NOW], "bar_end": [NOW, NOW], "trade_date": [DAY, DAY], "confidence": [0.5, 1.0]}
    return pl.DataFrame(columns | changes, schema=dict(SIGNAL_SCHEMA))


def test_sound_signals_break_no_rule(workspace: Workspace) -> None:
    assert set(faults(workspace, signals(), DAY).values()) == {0}
    assert set(faults(workspace, signals().clear(), DAY).values()) == {0}


@pytest.mark.parametrize(
    ("rule", "changes", "rows"),
    [
        ("id_twice", {"signal_id": ["x", "x"]}, 2),
        ("before_bar_end", {"bar_end": [NOW.replace(minute=1), NOW]}, 1),
        ("warm_up", {"trade_date": [date(2025, 1, 3), DAY]}, 1),
        ("confidence", {"confidence": [1.1, None]}, 2),
    ],
)
def test_a_broken_rule_is_counted(workspace: Workspace, rule: str, changes: dict, rows: int) -> None:
    found = faults(workspace, signals(**changes), DAY)
    assert found.pop(rule) == rows
    assert set(found.values()) == {0}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json"])
def test_signals_are_written_for_other_tools(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"signals.{suffix}"
    export(signals(), path)
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "json": pl.read_json}[suffix]
    assert read(path)["signal_id"].to_list() == ["x", "y"]


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.parquet, \.csv or \.json"):
        export(signals(), tmp_path / "signals.xlsx")


def test_a_partition_without_a_market_says_so(workspace: Workspace) -> None:
    from argus_core.packs import PackError

    assert isinstance(workspace.results, Lake)
    with pytest.raises(PackError, match="Materialise `bars`"):
        run_partition(workspace, "SPY", DAY)
