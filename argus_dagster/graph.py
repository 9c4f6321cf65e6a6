"""Build the asset graph, its jobs and its automation for one workspace."""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import Any

import dagster as dg

from argus_dagster.assets import (
    allocations,
    bars,
    calibration,
    experiments,
    landed_files,
    model_regimes,
    option_assets,
    option_report,
    option_snapshots,
    outcomes,
    regimes,
    replay_pack,
    selection,
    signals,
)
from argus_dagster.partitions import Partitions, build_partitions
from argus_dagster.sensors import build_sensors
from argus_dagster.workspace import Workspace

#: Jobs by name and the assets of each. Different partition shapes cannot share a run; and what is looked at but rests
#: on no pack (`options`) need not be made for every session of a window.
JOBS = {
    "market": (
        "bars_raw",
        "bars",
        "option_snapshots",
        "forwards",
        "implied_vols",
        "iv_surface",
        "iv_features",
        "outcomes",
        "regimes",
        "model_regimes",
    ),
    "options": ("iv_anomalies", "heston_params", "pop", "option_report"),
    "market_wide": ("reference_bars", "risk_flow", "market_risk"),
    "research": ("replay_pack", "experiments", "signals"),
    "selection": ("rankings", "killed", "candidates", "allocations", "cycle_report"),
}

#: A partition older than this at the head of the graph is stale (a long weekend passes).
STALE_AFTER = timedelta(days=5)


def partitions_of(workspace: Workspace) -> Partitions:
    settings = workspace.project.platform.calendar
    return build_partitions(settings, workspace.calendar, workspace.symbols, workspace.bar_symbols)


def build_assets(workspace: Workspace, partitions: Partitions) -> list[Any]:
    """All assets and checks of the graph."""
    with warnings.catch_warnings():
        # `backfill_policy` and the multi-partition mappings are beta in Dagster 1.13; the version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return [
            *landed_files.build(),
            *bars.build(partitions),
            *option_snapshots.build(partitions),
            *option_assets.build(partitions),
            *option_report.build(partitions),
            *outcomes.build(partitions),
            *regimes.build(partitions),
            *model_regimes.build(partitions),
            *replay_pack.build(partitions, workspace),
            *experiments.build(partitions),
            *signals.build(partitions),
            *selection.build(partitions),
            *allocations.build(partitions),
            *calibration.build(),
        ]


def build_definitions(workspace: Workspace) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of one workspace."""
    partitions = partitions_of(workspace)
    assets = build_assets(workspace, partitions)
    jobs = {
        name: dg.define_asset_job(
            name,
            selection=dg.AssetSelection.assets(*members),
            tags={"argus/job": name},
            description=f"{', '.join(members)} on the partitions of the run",
        )
        for name, members in JOBS.items()
    }
    schedules, sensors = build_sensors(workspace, jobs)
    fresh = dg.FreshnessPolicy.time_window(fail_window=STALE_AFTER)
    definitions = dg.Definitions(
        assets=[item for item in assets if not isinstance(item, dg.AssetChecksDefinition)],
        asset_checks=[item for item in assets if isinstance(item, dg.AssetChecksDefinition)],
        jobs=list(jobs.values()),
        schedules=schedules,
        sensors=sensors,
        resources={"workspace": dg.ResourceDefinition.hardcoded_resource(workspace)},
        # The graph is a chain and JAX and Polars use the cores: a process per step would only cost its start.
        executor=dg.in_process_executor,
    )
    return definitions.map_resolved_asset_specs(
        func=lambda spec: dg.apply_freshness_policy(spec, fresh),
        selection=dg.AssetSelection.assets("bars", "allocations"),
    )
