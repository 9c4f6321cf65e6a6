"""The option assets: from chains to surface, Heston parameters, anomalies and probabilities of profit."""

from __future__ import annotations

from datetime import date

import dagster as dg
import polars as pl

from argus_dagster.assets.option_tables import CHAIN_STAGES, OPTION_STAGES, read_options
from argus_dagster.graph import JOBS, build_assets, partitions_of
from argus_dagster.loop import run_market, run_options
from argus_dagster.workspace import Workspace

DAYS = [date(2025, 1, 6), date(2025, 1, 7)]


def materialise(workspace: Workspace, instance: dg.DagsterInstance, members, key: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        build_assets(workspace, partitions_of(workspace)),
        selection=dg.AssetSelection.assets(*members),
        instance=instance,
        partition_key=key,
        resources={"workspace": workspace},
    )


def test_a_session_goes_from_chain_to_probability_and_a_rerun_changes_nothing(workspace, instance) -> None:
    assert run_market(workspace, instance, "SPY", DAYS) is None
    assert run_options(workspace, instance, "SPY", DAYS) is None
    tables = [stage.table for stage in (*CHAIN_STAGES, *OPTION_STAGES)]
    stamps = {t: workspace.lake.stamp(t, provider="sim", underlying="SPY", date=DAYS[1]) for t in tables}
    assert all(stamps.values())
    for stage in (*CHAIN_STAGES, *OPTION_STAGES):
        assert stage.due(workspace, "SPY", DAYS) == []
    surface = read_options(workspace, "iv_surface", "SPY", DAYS)
    assert surface.height > 20
    assert surface["rmse_half_spreads"].median() < 1.0
    fits = read_options(workspace, "heston_params", "SPY", DAYS)
    assert fits["converged"].all()
    # The session before draws the second day's fit, nothing draws the first one's.
    assert fits["regularised"].to_list() == [False, True]


def test_a_date_has_the_same_rows_alone_and_in_a_range(workspace, instance) -> None:
    run_market(workspace, instance, "SPY", DAYS)
    run_options(workspace, instance, "SPY", DAYS)
    whole = {stage.table: read_options(workspace, stage.table, "SPY", [DAYS[1]]) for stage in OPTION_STAGES}
    for stage in OPTION_STAGES:
        for day, frame in stage.compute(workspace, "SPY", [DAYS[1]]):
            assert day == DAYS[1]
            assert frame.equals(whole[stage.table])


def test_checks_tell_their_numbers(workspace, instance) -> None:
    run_market(workspace, instance, "SPY", DAYS[:1])
    result = materialise(workspace, instance, [*JOBS["market"], *JOBS["options"]], f"{DAYS[0]}|SPY")
    found = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert found["no_static_arbitrage"].passed
    assert found["no_static_arbitrage"].metadata["points"].value > 10_000
    assert found["parity"].passed
    assert found["calibration_error"].passed


def test_an_instrument_without_options_has_no_input(workspace, instance) -> None:
    for stage in (*CHAIN_STAGES, *OPTION_STAGES):
        assert stage.inputs_hash(workspace, "BTC", DAYS[0]) is None


def test_a_day_without_a_usable_quote_gives_empty_tables_not_an_error(workspace, instance) -> None:
    run_market(workspace, instance, "SPY", DAYS)
    keys = {"provider": "sim", "underlying": "SPY", "date": DAYS[0]}
    quotes = workspace.lake.read("option_snapshots", **keys).with_columns(pl.lit(0.0).alias("bid"))
    workspace.lake.write("option_snapshots", quotes, keys=keys, config_hash="-", producer="test", inputs_hash="-")
    for stage in (*CHAIN_STAGES[1:], *OPTION_STAGES):
        [(_, frame)] = list(stage.compute(workspace, "SPY", DAYS[:1]))
        workspace.lake.write(stage.table, frame, keys=keys, config_hash="-", producer="test", inputs_hash="-")
    assert read_options(workspace, "iv_surface", "SPY", DAYS[:1]).is_empty()
    assert not read_options(workspace, "implied_vols", "SPY", DAYS[:1])["used"].any()
