"""A small project on the simulated market with its own lake and Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from argus_dagster.instance import use_instance
from argus_dagster.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]

SMALL: dict[str, Any] = {
    "pack": {"symbols": ["SPY", "BTC"], "start_date": "2025-01-06", "end_date": "2025-01-10"},
    "overrides": {
        "calendar": {"start_date": "2025-01-02"},
        "providers": {"simulation": {"option_snapshot_times": ["15:30"]}},
    },
    "strategies": [
        {"strategy_class": "BuyAndHold"},
        {"strategy_class": "EmaCrossAtr", "params": {"fast": 10, "slow": 50}},
    ],
    "experiment": {"mc_paths": 200},
    "evaluation": {"spa": {"resamples": 200}},
}


def make_project(folder: Path, **changes: Any) -> Path:
    """Write a small project into ``folder`` and return its loop file."""
    (folder / "config" / "sweeps").mkdir(parents=True, exist_ok=True)
    for name in ("argus.yaml", "universe.yaml"):
        (folder / "config" / name).write_text((ROOT / "config" / name).read_text())
    for sweep in (ROOT / "config" / "sweeps").glob("*.yaml"):
        (folder / "config" / "sweeps" / sweep.name).write_text(sweep.read_text())
    path = folder / "config" / "loop.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    opened = Workspace.open(make_project(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    use_instance(tmp_path)
    return opened


@pytest.fixture
def instance(workspace: Workspace) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as found:
        yield found
