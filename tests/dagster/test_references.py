"""Reference symbols in the graph and the loop: their bars are published, nothing of them is traded."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from argus_core.packs import open_pack
from argus_dagster.assets.experiments import experiments_current
from argus_dagster.graph import build_definitions, partitions_of
from argus_dagster.instance import use_instance
from argus_dagster.loop import plan_cycle, run_cycle, run_market
from argus_dagster.sensors import due_phases, fresh_requests
from argus_dagster.workspace import Workspace
from tests.dagster.conftest import make_project

DAY = date(2025, 1, 8)

REFERRING = {
    "pack": {
        "symbols": ["QQQ"],
        "start_date": "2025-01-06",
        "end_date": str(DAY),
        "references": {"QQQ": ["SPY"], "IBIT": ["BTC"]},
    },
    "strategies": [
        {"strategy_class": "BuyAndHold"},
        {"strategy_class": "MinuteSnap", "params": {"window": 60, "entry_z": 2.5, "min_correlation": 0.2}},
    ],
}


@pytest.fixture
def referring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    opened = Workspace.open(make_project(tmp_path, **REFERRING))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    use_instance(tmp_path)
    return opened


def test_the_market_has_partitions_of_references_and_research_has_none(referring: Workspace) -> None:
    partitions = partitions_of(referring)
    names = {
        shape: {key.split("|")[1] for key in definition.get_partition_keys()}
        for shape, definition in (("market", partitions.market), ("research", partitions.research))
    }
    assert names == {"market": {"QQQ", "SPY"}, "research": {"QQQ"}}
    definitions = build_definitions(referring)
    dg.Definitions.validate_loadable(definitions)
    for job in ("market", "research"):
        definitions.resolve_job_def(job)


def test_a_pack_depends_on_the_bars_of_its_references_and_on_no_labels_of_theirs(referring: Workspace) -> None:
    graph = build_definitions(referring).resolve_asset_graph()
    partitions = partitions_of(referring)
    wanted = partitions.research.subset_with_partition_keys(["2025-01-08|QQQ"])
    days = ("2025-01-06", "2025-01-07", "2025-01-08")
    for table, symbols in (("bars", ("QQQ", "SPY")), ("outcomes", ("QQQ",))):
        mapping = graph.get_partition_mapping(dg.AssetKey("replay_pack"), dg.AssetKey(table))
        upstream = mapping.get_upstream_mapped_partitions_result_for_partitions(
            wanted, partitions.research, partitions.market
        )
        assert set(upstream.partitions_subset.get_partition_keys()) == {f"{d}|{s}" for d in days for s in symbols}


def test_the_dry_run_names_references_and_their_providers(referring: Workspace) -> None:
    document = plan_cycle(referring, today=date(2025, 6, 1)).as_document(referring)
    assert document["symbols"] == {"QQQ": "sim"}
    assert document["references"] == {"QQQ": {"SPY": "sim"}}


def test_a_loop_over_a_symbol_with_a_reference(referring: Workspace) -> None:
    plan = plan_cycle(referring, today=date(2025, 6, 1))
    result = run_cycle(referring, plan)
    assert result.failures == {}
    assert "market SPY" in result.completed
    assert "research SPY" not in result.completed
    assert referring.published_days("SPY") == plan.sessions
    assert {one["symbol"] for one in referring.lake.partitions("outcomes")} == {"QQQ"}

    packs = referring.project.resolve(referring.project.loop.pack.packs_output_dir)
    assert [p.name for p in packs.iterdir()] == ["QQQ_2025-01-06_2025-01-08"]
    pack = open_pack(next(packs.iterdir()))
    assert pack.manifest.tables["reference_bars"].rows == 3 * 390
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("replay_pack"))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata["references"].value
    assert shown == {"SPY": {"provider": "sim", "bar_seconds": 60, "delay_seconds": 0, "missing_sessions": []}}

    runs = referring.results.read("experiments", symbol="QQQ", date=DAY)
    snap = runs.filter(strategy="MinuteSnap").row(0, named=True)
    assert snap["status"] == "ok", snap
    assert snap["n_trades"] > 0
    assert snap["lookahead_ok"], snap["lookahead_detail"]

    # The experiments rest on the bars of the reference: other bars, other experiments.
    assert experiments_current(referring, "QQQ", DAY)
    keys = referring.series_keys("SPY", DAY)
    bars = referring.lake.read("bars", **keys)
    referring.lake.write("bars", bars.with_columns(close=bars["low"]), keys=keys, config_hash="c", producer="test")
    assert not experiments_current(referring, "QQQ", DAY)


def test_a_reference_whose_bars_failed_keeps_its_symbol_out(
    referring: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "argus_dagster.loop.run_market", lambda workspace, instance, symbol, days: "gone" if symbol == "SPY" else None
    )
    monkeypatch.setattr("argus_dagster.loop.run_wide", lambda *_: None)
    monkeypatch.setattr("argus_dagster.loop.run_dates", lambda *_: None)
    result = run_cycle(referring, plan_cycle(referring, today=date(2025, 6, 1)))
    assert result.failures == {"market SPY": "gone"}
    assert result.completed == ["market QQQ"]


def test_sensors_ask_for_the_bars_of_references_before_research(referring: Workspace) -> None:
    requests, cursor = fresh_requests(referring, {}, [DAY])
    asked = {r.partition_key: r.asset_selection for r in requests}
    assert asked["2025-01-08|QQQ"] is None
    assert asked["2025-01-08|SPY"] == [dg.AssetKey("bars_raw"), dg.AssetKey("bars")]
    with dg.DagsterInstance.get() as instance:
        assert run_market(referring, instance, "QQQ", [DAY]) is None
        assert list(due_phases(referring, DAY)) == []
        assert run_market(referring, instance, "SPY", [DAY]) is None
    assert [phase[0] for phase in due_phases(referring, DAY)] == ["market_wide"]
    assert "2025-01-08|SPY" not in {r.partition_key for r in fresh_requests(referring, cursor, [DAY])[0]}
