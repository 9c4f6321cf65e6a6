"""Stages: partitions are computed once, again when inputs change, and never half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from argus_dagster.stage import Stage, by_symbol
from argus_dagster.workspace import Workspace, contiguous
from tests.dagster.conftest import make_project

DAYS = [date(2025, 1, 6), date(2025, 1, 7), date(2025, 1, 8), date(2025, 1, 10)]


def counting_stage(calls: list[date], versions: dict[date, str | None]) -> Stage:
    def compute(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
        for day in days:
            calls.append(day)
            yield day, pl.DataFrame({"day": [day], "version": [versions[day]]})

    return Stage(
        table="numbers",
        keys=by_symbol,
        config_hash=lambda workspace: "config",
        inputs_hash=lambda workspace, symbol, day: versions[day],
        compute=compute,
    )


def test_a_rerun_computes_nothing(workspace: Workspace) -> None:
    calls: list[date] = []
    stage = counting_stage(calls, dict.fromkeys(DAYS, "1"))
    assert {r.status for r in stage.materialise(workspace, "SPY", DAYS).values()} == {"computed"}
    assert {r.status for r in stage.materialise(workspace, "SPY", DAYS).values()} == {"unchanged"}
    assert calls == DAYS
    assert stage.due(workspace, "SPY", DAYS) == []


def test_only_the_partition_whose_inputs_changed_is_computed_again(workspace: Workspace) -> None:
    calls: list[date] = []
    versions: dict[date, str | None] = dict.fromkeys(DAYS, "1")
    stage = counting_stage(calls, versions)
    stage.materialise(workspace, "SPY", DAYS)
    versions[DAYS[1]] = "2"
    calls.clear()
    results = stage.materialise(workspace, "SPY", DAYS)
    assert calls == [DAYS[1]]
    assert [r.status for r in results.values()] == ["unchanged", "computed", "unchanged", "unchanged"]


def test_missing_input_leaves_the_last_good_partition(workspace: Workspace) -> None:
    versions: dict[date, str | None] = dict.fromkeys(DAYS, "1")
    stage = counting_stage([], versions)
    stage.materialise(workspace, "SPY", DAYS)
    versions[DAYS[0]] = None
    assert stage.materialise(workspace, "SPY", DAYS)[DAYS[0]].status == "no_input"
    assert stage.read(workspace, "SPY", DAYS[:1]).height == 1


def test_a_failure_keeps_what_was_written_before_it(workspace: Workspace) -> None:
    def failing(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
        yield days[0], pl.DataFrame({"a": [1]})
        raise RuntimeError("provider went away")

    stage = Stage("numbers", by_symbol, lambda w: "c", lambda w, s, d: "1", failing)
    with pytest.raises(RuntimeError, match="provider went away"):
        stage.materialise(workspace, "SPY", DAYS)
    assert stage.due(workspace, "SPY", DAYS) == DAYS[1:]


def test_contiguous_follows_the_calendar_not_the_days(workspace: Workspace) -> None:
    # The 9th was no session, so the 8th and the 10th are neighbours.
    assert contiguous(DAYS, workspace.calendar) == [(DAYS[0], DAYS[3])]
    assert contiguous([DAYS[0], DAYS[2]], workspace.calendar) == [(DAYS[0], DAYS[0]), (DAYS[2], DAYS[2])]


def test_two_loops_share_a_market_and_keep_their_results_apart(tmp_path: Path) -> None:
    one = Workspace.open(make_project(tmp_path))
    other = Workspace.open(make_project(tmp_path, experiment={"output_dir": "data/other"}))
    assert one.lake.root == other.lake.root
    assert one.results.root != other.results.root
    judge = Workspace.open(make_project(tmp_path, evaluation={"input_dir": "data/other"}))
    assert judge.judged.root == other.results.root
