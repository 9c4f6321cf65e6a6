"""The shape of the graph: assets, groups, dependencies, partitions, jobs, automation."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from argus_dagster.graph import JOBS, build_definitions, partitions_of
from argus_dagster.instance import SETTINGS
from argus_dagster.partitions import date_symbol_key, days_by_symbol, split_key
from argus_dagster.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]

#: asset -> (group, partition dimensions, upstream assets)
GRAPH = {
    "landed_files": ("market", None, set()),
    "bars_raw": ("market", "date|symbol", {"landed_files"}),
    "bars": ("market", "date|symbol", {"bars_raw"}),
    "option_snapshots": ("market", "date|symbol", {"landed_files"}),
    "forwards": ("options", "date|symbol", {"option_snapshots"}),
    "implied_vols": ("options", "date|symbol", {"option_snapshots", "forwards"}),
    "iv_surface": ("options", "date|symbol", {"implied_vols"}),
    "iv_features": ("options", "date|symbol", {"implied_vols", "iv_surface", "bars"}),
    "iv_anomalies": ("options", "date|symbol", {"implied_vols", "forwards", "iv_surface"}),
    "heston_params": ("options", "date|symbol", {"implied_vols"}),
    "option_report": (
        "options",
        "date|symbol",
        {"forwards", "implied_vols", "iv_surface", "heston_params", "iv_anomalies", "pop"},
    ),
    "pop": ("options", "date|symbol", {"heston_params", "implied_vols", "forwards", "iv_surface"}),
    "reference_bars": ("market", "date", {"landed_files"}),
    "outcomes": ("labels", "date|symbol", {"bars"}),
    "regimes": ("labels", "date|symbol", {"bars"}),
    "model_regimes": ("labels", "date|symbol", {"bars", "regimes"}),
    "risk_flow": ("labels", "date", {"reference_bars"}),
    "market_risk": ("labels", "date", {"regimes"}),
    "replay_pack": (
        "packs",
        "date|symbol",
        {
            "bars",
            "outcomes",
            "regimes",
            "model_regimes",
            "option_snapshots",
            "iv_features",
            "risk_flow",
            "market_risk",
        },
    ),
    "experiments": ("research", "date|symbol", {"replay_pack"}),
    "signals": ("research", "date|symbol", {"replay_pack"}),
    "rankings": ("selection", "date", {"experiments"}),
    "killed": ("selection", "date", {"experiments"}),
    "candidates": ("selection", "date", {"experiments"}),
    "allocations": ("capital", "date", {"candidates"}),
    "cycle_report": ("monitoring", "date", {"rankings", "killed", "allocations", "option_report"}),
    "calibration": ("monitoring", None, set()),
}


@pytest.fixture
def definitions(workspace: Workspace) -> dg.Definitions:
    return build_definitions(workspace)


def test_the_graph_is_what_the_architecture_says(definitions: dg.Definitions) -> None:
    found = {}
    for spec in definitions.resolve_all_asset_specs():
        partitions = spec.partitions_def
        shape = None
        if isinstance(partitions, dg.MultiPartitionsDefinition):
            shape = "|".join(d.name for d in partitions.partitions_defs)
        elif partitions is not None:
            shape = "date"
        upstream = {dep.asset_key.to_user_string() for dep in spec.deps}
        found[spec.key.to_user_string()] = (spec.group_name, shape, upstream)
    assert found == GRAPH


def test_every_asset_but_the_import_and_the_calibration_is_in_exactly_one_job() -> None:
    members = [name for job in JOBS.values() for name in job]
    assert sorted(members) == sorted(set(GRAPH) - {"landed_files", "calibration"})


def test_checks_stand_beside_the_assets_they_guard(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    checks = {(key.asset_key.to_user_string(), key.name): graph.get(key).blocking for key in graph.asset_check_keys}
    assert checks == {
        ("bars_raw", "bars_audit"): True,
        ("model_regimes", "sound_probabilities"): False,
        ("forwards", "parity"): False,
        ("iv_surface", "no_static_arbitrage"): False,
        ("heston_params", "calibration_error"): False,
        ("experiments", "no_lookahead"): False,
        ("experiments", "accounting"): False,
        ("signals", "sound_signals"): False,
        ("allocations", "caps"): False,
        ("calibration", "false_promotions"): False,
    }


def test_automation_is_present_and_off_by_default(definitions: dg.Definitions) -> None:
    sensors = {s.name: s for s in definitions.sensors or []}
    assert set(sensors) == {"fresh_bars", "next_phase", "run_failed", "cycle_complete"}
    schedules = {s.name: s for s in definitions.schedules or []}
    assert set(schedules) == {"daily_market"}
    for item in (*sensors.values(), *schedules.values()):
        assert item.default_status.value == "STOPPED"


def test_partitions_are_the_sessions_of_the_calendar(workspace: Workspace) -> None:
    keys = partitions_of(workspace).date.get_partition_keys()
    expected = [str(d) for d in workspace.sessions(date(2025, 1, 2), date.fromisoformat(keys[-1]))]
    assert keys == expected
    assert "2025-01-09" not in keys  # a day of mourning: no session


def test_keys_split_and_group_by_symbol() -> None:
    key = date_symbol_key(date(2025, 1, 6), "SPY")
    assert split_key(key) == (date(2025, 1, 6), "SPY")
    assert days_by_symbol(["2025-01-07|SPY", "2025-01-06|SPY", "2025-01-06|BTC"]) == {
        "SPY": [date(2025, 1, 6), date(2025, 1, 7)],
        "BTC": [date(2025, 1, 6)],
    }


def test_a_pack_depends_on_its_whole_window(definitions: dg.Definitions, workspace: Workspace) -> None:
    graph = definitions.resolve_asset_graph()
    mapping = graph.get_partition_mapping(dg.AssetKey("replay_pack"), dg.AssetKey("bars"))
    partitions = partitions_of(workspace).research
    upstream = mapping.get_upstream_mapped_partitions_result_for_partitions(
        partitions.subset_with_partition_keys(["2025-01-10|SPY"]), partitions, partitions
    )
    days = {"2025-01-06", "2025-01-07", "2025-01-08", "2025-01-10"}
    assert set(upstream.partitions_subset.get_partition_keys()) == {f"{day}|SPY" for day in days}


def test_loading_the_code_location_imports_neither_jax_nor_pandas() -> None:
    code = (
        "import sys; from argus_dagster.definitions import defs; defs();"
        "print([m for m in ('jax', 'pandas', 'plotly', 'scipy') if m in sys.modules])"
    )
    environment = os.environ | {"ARGUS_CONFIG": str(ROOT / "config" / "research_loop.yaml")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.stdout.strip() == "[]", done.stderr[-2000:]


def test_the_code_location_loads_as_the_web_server_loads_it(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)
    definitions.get_repository_def().load_all_definitions()


def test_the_shipped_instance_is_the_one_that_other_projects_get() -> None:
    assert (ROOT / "dagster_home" / "dagster.yaml").read_text() == SETTINGS


def test_the_instance_limits_pools_and_sends_nothing(instance: dg.DagsterInstance) -> None:
    assert instance.global_op_concurrency_default_limit == 1
    assert not instance.telemetry_enabled
