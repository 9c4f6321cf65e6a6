"""Same config, same bytes: on one process or two, rerun, killed at any moment and run again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from argus_dagster.verification import artefact_hashes, overall_hash, verify_workspace
from argus_dagster.workspace import Workspace
from tests.dagster.conftest import make_project

KILLS = 10


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"DAGSTER_HOME": str(folder / "dagster_home")}


def command(config: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "argus_dagster.cli", "loop", "--once", "--config", str(config), *more]


def run_loop(folder: Path, *more: str) -> dict[str, str]:
    """Run a whole cycle in ``folder`` and return the hashes of its artefacts."""
    config = folder / "config" / "loop.yaml"
    if not config.exists():
        make_project(folder)
    done = subprocess.run(
        command(config, *more), env=environment(folder), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return artefact_hashes(Workspace.open(config))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return run_loop(tmp_path_factory.mktemp("undisturbed"))


def test_one_and_two_processes_give_the_same_bytes(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    found = run_loop(tmp_path, "--workers", "2")
    assert found == undisturbed
    assert {name.split("/")[0] for name in found} == {"lake", "packs", "experiments", "rankings"}


def test_a_rerun_changes_no_byte_and_verifies(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    assert run_loop(tmp_path) == undisturbed
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "data" / "lake").rglob("*.parquet")}
    assert run_loop(tmp_path) == undisturbed
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "data" / "lake").rglob("*.parquet")} == times
    assert verify_workspace(Workspace.open(tmp_path / "config" / "loop.yaml")).problems == []


@pytest.mark.slow
def test_a_loop_killed_ten_times_ends_with_the_same_bytes(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    """SIGKILL at random moments, then run to the end: nothing lost, nothing half-written, same hashes."""
    config = make_project(tmp_path)
    rng = random.Random(20)
    moments: list[float] = []
    while len(moments) < KILLS:
        started = time.monotonic()
        process = subprocess.Popen(
            command(config),
            env=environment(tmp_path),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(rng.uniform(2.0, 9.0))
            # It came to its end before the shot: start from nothing, so that every shot hits work.
            shutil.rmtree(tmp_path / "data")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(round(time.monotonic() - started, 1))
        # What stands after a kill is whole: every file equals the hash in its footer.
        problems = [p for p in verify_workspace(Workspace.open(config)).problems if "leftover" not in p]
        assert problems == []
    found = run_loop(tmp_path)
    assert overall_hash(found) == overall_hash(undisturbed), moments
    print(json.dumps({"killed_after_seconds": moments, "overall": overall_hash(found)}))
