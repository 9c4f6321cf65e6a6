"""Write, audit, publish: what the gates refuse never reaches `bars`, in one partition and in a range."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from argus_core.market.quarantine import read_quarantine
from argus_dagster.graph import JOBS, build_assets, partitions_of
from argus_dagster.loop import RANGE_END, RANGE_START, run_market, run_wide
from argus_dagster.workspace import Workspace
from tests.dagster.conftest import SMALL, make_project

DAYS = ["2025-01-06", "2025-01-07", "2025-01-08", "2025-01-10"]
BAD = date(2025, 1, 7)


def materialise(
    workspace: Workspace, instance: dg.DagsterInstance, members: tuple[str, ...], first: str, last: str
) -> dg.ExecuteInProcessResult:
    single = first == last
    return dg.materialize(
        build_assets(workspace, partitions_of(workspace)),
        selection=dg.AssetSelection.assets(*members),
        instance=instance,
        partition_key=first if single else None,
        tags=None if single else {RANGE_START: first, RANGE_END: last},
        resources={"workspace": workspace},
        raise_on_error=False,
    )


@pytest.fixture
def faulty(tmp_path: Path, workspace: Workspace) -> Workspace:
    """The small project with one IEX day: volume of one venue, minutes missing."""
    overrides: dict[str, Any] = SMALL["overrides"] | {
        "providers": {
            "simulation": {
                "option_snapshot_times": ["15:30"],
                "faults": {"symbol": "SPY", "missing_session": [], "iex_day": [str(BAD)]},
            }
        },
    }
    return Workspace.open(make_project(tmp_path, overrides=overrides))


def test_a_refused_session_blocks_its_own_run(faulty: Workspace, instance: dg.DagsterInstance) -> None:
    result = materialise(faulty, instance, JOBS["market"], f"{BAD}|SPY", f"{BAD}|SPY")
    assert not result.success
    evaluation = result.get_asset_check_evaluations()[0]
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert faulty.stamp("bars_raw", "SPY", BAD) is not None
    assert faulty.stamp("bars", "SPY", BAD) is None


def test_in_a_range_the_other_sessions_are_published(faulty: Workspace, instance: dg.DagsterInstance) -> None:
    result = materialise(faulty, instance, JOBS["market"], f"{DAYS[0]}|SPY", f"{DAYS[-1]}|SPY")
    assert result.success
    evaluation = result.get_asset_check_evaluations()[0]
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert evaluation.metadata["refused"].value == 1
    published = [day for day in DAYS if faulty.stamp("bars", "SPY", date.fromisoformat(day))]
    assert published == [day for day in DAYS if day != str(BAD)]
    verdicts = faulty.read_series("gate_reports", "SPY", [BAD])
    assert verdicts.filter(pl.col("blocking") & ~pl.col("passed")).height >= 1


def test_publishing_verifies_the_audit_itself(faulty: Workspace, instance: dg.DagsterInstance) -> None:
    """A blocking check protects its own run only: `bars` run later, alone, must refuse again."""
    materialise(faulty, instance, ("bars_raw",), f"{BAD}|SPY", f"{BAD}|SPY")
    result = materialise(faulty, instance, ("bars",), f"{BAD}|SPY", f"{BAD}|SPY")
    assert result.success
    assert faulty.stamp("bars", "SPY", BAD) is None


def test_a_refused_session_is_not_asked_for_again(faulty: Workspace, instance: dg.DagsterInstance) -> None:
    days = [date.fromisoformat(day) for day in DAYS]
    assert run_market(faulty, instance, "SPY", days) is None
    before = len(instance.get_runs())
    assert run_market(faulty, instance, "SPY", days) is None
    assert len(instance.get_runs()) == before


def test_a_refused_session_keeps_its_last_good_version(
    tmp_path: Path, workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    days = [date.fromisoformat(day) for day in DAYS]
    run_market(workspace, instance, "SPY", days)
    good = workspace.read_series("bars", "SPY", [BAD])
    worse = Workspace.open(
        make_project(
            tmp_path,
            overrides=SMALL["overrides"]
            | {"providers": {"simulation": {"faults": {"symbol": "SPY", "iex_day": [str(BAD)]}}}},
        )
    )
    materialise(worse, instance, JOBS["market"], f"{DAYS[0]}|SPY", f"{DAYS[-1]}|SPY")
    assert worse.read_series("bars", "SPY", [BAD]).equals(good)


def test_refused_rows_are_counted_with_a_reason(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    overrides = SMALL["overrides"] | {
        "providers": {"simulation": {"faults": {"symbol": "SPY", "crossed_quote": [str(BAD)]}}}
    }
    workspace = Workspace.open(make_project(tmp_path, overrides=overrides))
    run_market(workspace, instance, "SPY", [date.fromisoformat(day) for day in DAYS])
    rows = read_quarantine(workspace.lake, symbol="SPY")
    assert rows.height >= 1
    assert set(rows["reason"]) <= {"CROSSED", "CROSSED_QUOTE", "ZERO_ASK"}


def test_metadata_has_counts_schema_preview_and_plots(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    result = materialise(workspace, instance, JOBS["market"], f"{DAYS[0]}|SPY", f"{DAYS[1]}|SPY")
    assert result.success
    event = instance.get_latest_materialization_event(dg.AssetKey("bars"))
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    metadata = materialization.metadata
    assert metadata["dagster/row_count"].value == 390
    assert {"dagster/column_schema", "preview", "data_hash", "close", "volume"} <= set(metadata)
    assert str(metadata["close"].value).startswith("![")
    assert len(str(metadata["close"].value)) < 1000


def test_data_versions_are_content_hashes(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    key = f"{DAYS[0]}|SPY"

    def version() -> str:
        materialise(workspace, instance, JOBS["market"], key, key)
        event = instance.get_latest_materialization_event(dg.AssetKey("bars"))
        assert event is not None
        assert event.asset_materialization is not None
        return event.asset_materialization.tags["dagster/data_version"]

    first = version()
    stamp = workspace.stamp("bars", "SPY", date.fromisoformat(DAYS[0]))
    assert stamp is not None
    assert first == stamp.data_hash
    assert version() == first


def test_outcomes_are_upgraded_when_the_next_sessions_arrive(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    days = [date.fromisoformat(day) for day in DAYS]

    def statuses() -> set[str]:
        rows = workspace.read_series("outcomes", "SPY", days[:1])
        return set(rows.filter(pl.col("horizon_seconds") == 86_400)["status"])

    run_market(workspace, instance, "SPY", days[:1])
    assert "INCOMPLETE" in statuses()
    run_market(workspace, instance, "SPY", days)
    assert "INCOMPLETE" not in statuses()


def test_a_24_7_symbol_loses_no_minute_over_a_weekend(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    days = [date.fromisoformat(day) for day in ("2025-01-03", "2025-01-06")]
    run_market(workspace, instance, "BTC", days)
    bars = workspace.read_series("bars", "BTC", days)
    assert bars["ts"].diff().drop_nulls().unique().len() == 1
    assert bars.filter(pl.col("trade_date") == days[1]).height == 3 * 1440


def test_dates_across_symbols_give_risk_flow_and_market_risk(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    days = [date.fromisoformat(day) for day in DAYS]
    for symbol in workspace.symbols:
        run_market(workspace, instance, symbol, days)
    assert run_wide(workspace, instance, days) is None
    flow = workspace.lake.read("risk_flow", provider="sim", date=DAYS[-1])
    assert flow["global_risk_flow"].drop_nulls().len() >= 1
    # Nothing of a day is known before a bar of that day or an earlier one was published.
    assert flow["available_at"].is_sorted()
    assert workspace.lake.exists("market_risk", basket="SPY.sim", date=DAYS[-1])
