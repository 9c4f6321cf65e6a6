from __future__ import annotations

import json
import shutil
from datetime import date

import polars as pl
import pytest

from argus_core.packs import PackError, export_json, open_pack, seal_pack
from argus_core.packs.sealing import pack_config_hash

START, END = date(2025, 2, 4), date(2025, 2, 6)


@pytest.fixture
def seal(project, calendar):
    def run(lake, out, start=START, end=END, *, over=project, **more):
        return seal_pack(lake, over, calendar, "SPY", start, end, output_dir=out, **more)

    return run


@pytest.fixture
def warm_project(project):
    pack = project.loop.pack.model_copy(update={"warmup_days": 1})
    return project.__class__(**{**project.__dict__, "loop": project.loop.model_copy(update={"pack": pack})})


def test_sealing_twice_gives_the_same_bytes_and_the_same_hash(make_lake, seal, tmp_path):
    lake = make_lake(tmp_path / "lake")
    one, two = seal(lake, tmp_path / "a"), seal(lake, tmp_path / "b")
    assert one.pack_hash == two.pack_hash
    for path in sorted(one.folder.iterdir()):
        assert path.read_bytes() == (two.folder / path.name).read_bytes()


def test_an_unchanged_pack_is_left_alone(make_lake, seal, tmp_path):
    lake = make_lake(tmp_path / "lake")
    before = (seal(lake, tmp_path).folder / "pack.json").stat().st_mtime_ns
    after = seal(lake, tmp_path).folder
    assert (after / "pack.json").stat().st_mtime_ns == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_changed_bars_replace_the_pack_and_change_its_hash(make_lake, seal, tmp_path):
    first = seal(make_lake(tmp_path / "lake"), tmp_path / "p")
    second = seal(make_lake(tmp_path / "other", seed=2), tmp_path / "p")
    assert first.folder == second.folder
    assert first.pack_hash != second.pack_hash
    assert open_pack(second.folder).pack_hash == second.pack_hash
    assert [p.name for p in second.folder.parent.iterdir()] == [second.folder.name]


def test_a_moved_pack_keeps_its_hash(make_lake, seal, tmp_path):
    pack = seal(make_lake(tmp_path / "lake"), tmp_path / "p")
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(pack.folder, moved)
    assert open_pack(moved).pack_hash == pack.pack_hash


def test_an_altered_table_is_refused_by_name(make_lake, seal, tmp_path):
    pack = seal(make_lake(tmp_path / "lake"), tmp_path / "p")
    pack.table("bars").head(5).write_parquet(pack.folder / "bars.parquet")
    with pytest.raises(PackError, match=r"bars\.parquet.*SHA-256"):
        open_pack(pack.folder)


def test_an_edited_manifest_is_refused(make_lake, seal, tmp_path):
    pack = seal(make_lake(tmp_path / "lake"), tmp_path / "p")
    path = pack.folder / "pack.json"
    document = json.loads(path.read_text())
    document["bars_provider"] = "files"
    path.write_text(json.dumps(document))
    with pytest.raises(PackError, match="edited"):
        open_pack(pack.folder)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(PackError, match=r"no pack\.json"):
        open_pack(tmp_path)


def test_every_row_of_the_window_is_kept_and_none_outside_it(make_lake, seal, tmp_path):
    # The predecessor capped outcomes at 10,000 rows and ignored the end date of bars (defects D1, D2).
    pack = seal(make_lake(tmp_path / "lake"), tmp_path / "p", END, END)
    assert pack.table("bars").height == 390
    assert pack.table("bars")["trade_date"].unique().to_list() == [END]
    wide = seal(make_lake(tmp_path / "lake"), tmp_path / "p")
    assert wide.table("bars").height == 3 * 390
    last = wide.table("bars")["available_at"].max()
    every = pl.concat(pl.read_parquet(p) for p in sorted((tmp_path / "lake/outcomes").glob("**/*02-0[456]/*.parquet")))
    assert wide.table("outcomes").height == every.filter(pl.col("window_end") <= last).height


def test_no_table_holds_the_future_of_the_packs_end(make_lake, seal, tmp_path):
    pack = seal(make_lake(tmp_path / "lake"), tmp_path / "p")
    last = pack.table("bars")["available_at"].max()
    assert pack.table("outcomes")["window_end"].max() <= last
    assert pack.table("option_snapshots")["recv_ts"].max() <= last
    assert pack.table("regimes")["available_at"].max() <= last


def test_with_a_late_feed_outcomes_that_later_bars_could_change_stay_out(make_lake, seal, project, tmp_path):
    providers = project.platform.providers.model_copy(update={"delay_seconds": {"sim": 600}})
    platform = project.platform.model_copy(update={"providers": providers})
    late = project.__class__(**{**project.__dict__, "platform": platform})
    pack = seal(make_lake(tmp_path / "lake"), tmp_path / "p", over=late)
    assert pack.manifest.delay_seconds == 600
    known = pack.table("bars")["available_at"].max()
    assert (known - pack.table("outcomes")["window_end"].max()).total_seconds() >= 600


def test_warmup_sessions_come_along_and_are_marked(make_lake, seal, warm_project, tmp_path):
    pack = seal(make_lake(tmp_path / "lake"), tmp_path / "p", over=warm_project)
    assert pack.manifest.warmup_sessions == (date(2025, 2, 3),)
    flags = pack.table("bars").group_by("trade_date").agg(pl.col("warmup").all()).sort("trade_date")["warmup"]
    assert flags.to_list() == [True, False, False, False]


def test_missing_sessions_are_listed(make_lake, seal, tmp_path):
    pack = seal(make_lake(tmp_path / "lake", skip=(date(2025, 2, 5),)), tmp_path / "p")
    assert pack.manifest.missing_sessions == (date(2025, 2, 5),)
    assert pack.manifest.sessions == (date(2025, 2, 4), date(2025, 2, 6))


def test_missing_sessions_are_refused_by_date_when_asked(make_lake, seal, tmp_path):
    lake = make_lake(tmp_path / "lake", skip=(date(2025, 2, 5),))
    with pytest.raises(PackError, match="2025-02-05"):
        seal(lake, tmp_path / "p", allow_missing=False)


def test_missing_labels_are_recorded_and_refused_when_asked(make_lake, seal, tmp_path):
    lake = make_lake(tmp_path / "lake")
    lake.delete("outcomes", provider="sim", bar_seconds=60, symbol="SPY", date=END)
    assert seal(lake, tmp_path / "p").manifest.missing_partitions == {"outcomes": (END,)}
    with pytest.raises(PackError, match="outcomes: 2025-02-06"):
        seal(lake, tmp_path / "p", allow_missing=False)


def test_a_window_without_any_bars_is_refused(make_lake, seal, tmp_path):
    with pytest.raises(PackError, match="no published bars"):
        seal(make_lake(tmp_path / "lake"), tmp_path / "p", date(2025, 3, 3), date(2025, 3, 4))
    with pytest.raises(PackError, match="no session"):
        seal(make_lake(tmp_path / "lake"), tmp_path / "p", date(2025, 3, 1), date(2025, 3, 2))


def test_the_config_hash_ignores_who_replays_the_pack(project):
    platform = project.platform
    dearer = platform.model_copy(update={"execution": platform.execution.model_copy(update={"slippage_bps": 9.0})})
    looser = platform.model_copy(update={"gates": platform.gates.model_copy(update={"min_completeness": 0.5})})
    base = pack_config_hash(project, "SPY")
    assert pack_config_hash(project.__class__(**{**project.__dict__, "platform": dearer}), "SPY") == base
    assert pack_config_hash(project.__class__(**{**project.__dict__, "platform": looser}), "SPY") != base


def test_the_json_export_holds_every_row(make_lake, seal, tmp_path):
    pack = seal(make_lake(tmp_path / "lake"), tmp_path / "p")
    document = json.loads(export_json(pack, tmp_path / "pack.json").read_text())
    assert document["manifest"]["pack_hash"] == pack.pack_hash
    assert len(document["outcomes"]) == pack.table("outcomes").height
    assert document["bars"][0]["ts"] == "2025-02-04T14:30:00.000000Z"


def test_an_unknown_table_name_is_an_error(make_lake, seal, tmp_path):
    with pytest.raises(KeyError, match="option_snapshots"):
        seal(make_lake(tmp_path / "lake"), tmp_path / "p").table("quotes")
