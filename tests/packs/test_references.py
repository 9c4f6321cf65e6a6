"""Reference symbols: their table in the pack, their columns in the decision frame, their own frames."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.market.schemas import Bars
from argus_core.packs import (
    PackError,
    assemble_frame,
    decision_frame,
    export_json,
    open_pack,
    pack_config_hash,
    reference_frames,
    seal_pack,
)

DAYS = [date(2025, 2, 3), date(2025, 2, 4), date(2025, 2, 5), date(2025, 2, 6)]
VALUES = ("open", "high", "low", "close", "volume", "end")


@pytest.fixture
def with_references(project):
    def build(references, **more):
        pack = project.loop.pack.model_copy(update={"references": references, **more})
        return replace(project, loop=project.loop.model_copy(update={"pack": pack}))

    return build


@pytest.fixture
def sealed(make_lake, with_references, calendar, tmp_path):
    """A pack of SPY with its references, from a lake that holds them."""

    def seal(references=("BTC", "QQQ"), start=DAYS[1], end=DAYS[3], *, skip=(), **more):
        lake = make_lake(tmp_path / "lake")
        for seed, name in enumerate(references):
            make_lake(tmp_path / "lake", symbol=name, seed=seed + 5, skip=skip)
        project = with_references({"SPY": tuple(references)}, **more)
        return seal_pack(lake, project, calendar, "SPY", start, end, output_dir=tmp_path / "packs"), project

    return seal


def test_the_table_holds_the_bars_of_every_reference_as_far_as_the_pack_knows(sealed, make_lake, tmp_path):
    pack, _ = sealed()
    table = pack.table("reference_bars")
    last = pack.table("bars")["available_at"].max()
    assert set(Bars.column_names()) <= set(table.columns)
    assert table.rows() == table.sort("ts", "symbol").rows()
    for name, provider_bars in (("BTC", None), ("QQQ", 3 * 390)):
        stored = make_lake(tmp_path / "lake").read_many(
            "bars", [{"provider": "sim", "bar_seconds": 60, "symbol": name, "date": d} for d in DAYS[1:]]
        )
        mine = table.filter(pl.col("symbol") == name)
        assert_frame_equal(mine.select(stored.columns), stored.filter(pl.col("available_at") <= last).sort("ts"))
        assert provider_bars in (None, mine.height)


def test_a_round_the_clock_reference_comes_with_its_nights(sealed):
    pack, _ = sealed(("BTC",))
    table = pack.table("reference_bars")
    ts = table["ts"]
    assert set(table["trade_date"].unique()) == set(DAYS[1:])
    # From the evening on which the first trade date begins to the close of the last session, without a hole.
    assert table.height == (ts[-1] - ts[0]) // timedelta(minutes=1) + 1
    assert ts[0] < pack.table("bars")["ts"][0] - timedelta(hours=12)
    assert table["available_at"][-1] == pack.table("bars")["available_at"][-1]


def test_warmup_sessions_come_along_and_are_marked(sealed):
    pack, _ = sealed(("QQQ",), warmup_days=1)
    flags = pack.table("reference_bars").group_by("trade_date").agg(pl.col("warmup").all()).sort("trade_date")
    assert flags.rows() == [(DAYS[0], True), (DAYS[1], False), (DAYS[2], False), (DAYS[3], False)]


def test_the_manifest_names_provider_delay_and_missing_sessions(sealed):
    pack, _ = sealed(skip=(DAYS[2],))
    assert sorted(pack.manifest.references) == ["BTC", "QQQ"]
    entry = pack.manifest.references["QQQ"]
    assert (entry.provider, entry.bar_seconds, entry.delay_seconds) == ("sim", 60, 0)
    assert entry.missing_sessions == (DAYS[2],)
    assert pack.manifest.missing_sessions == ()
    reopened = open_pack(pack.folder)
    assert reopened.manifest == pack.manifest


def test_a_reference_without_any_bars_is_refused_by_name(make_lake, with_references, calendar, tmp_path):
    lake = make_lake(tmp_path / "lake")
    project = with_references({"SPY": ("QQQ",)})
    with pytest.raises(PackError, match="QQQ: no published bars of provider sim at 60 s"):
        seal_pack(lake, project, calendar, "SPY", DAYS[1], DAYS[3], output_dir=tmp_path / "packs")


def test_missing_reference_sessions_are_refused_by_date_when_asked(make_lake, with_references, calendar, tmp_path):
    make_lake(tmp_path / "lake", symbol="QQQ", skip=(DAYS[2],))
    lake = make_lake(tmp_path / "lake")
    project = with_references({"SPY": ("QQQ",)})
    with pytest.raises(PackError, match="bars of QQQ: 2025-02-05"):
        seal_pack(lake, project, calendar, "SPY", DAYS[1], DAYS[3], output_dir=tmp_path / "p", allow_missing=False)


def test_references_change_the_hashes_and_their_order_does_not(sealed, with_references, project):
    one, _ = sealed(("BTC", "QQQ"))
    hashes = {pack_config_hash(with_references({"SPY": names}), "SPY") for names in [(), ("QQQ",), ("BTC", "QQQ")]}
    assert len(hashes) == 3
    assert pack_config_hash(with_references({"SPY": ("QQQ", "BTC")}), "SPY") == one.manifest.config_hash
    assert pack_config_hash(with_references({"QQQ": ("BTC",)}), "SPY") == pack_config_hash(project, "SPY")


def test_a_corrected_reference_makes_another_pack(sealed, make_lake, calendar, tmp_path):
    before, project = sealed(("QQQ",))
    first = before.pack_hash
    lake = make_lake(tmp_path / "lake", symbol="QQQ", seed=99)
    make_lake(tmp_path / "lake")
    after = seal_pack(lake, project, calendar, "SPY", DAYS[1], DAYS[3], output_dir=tmp_path / "packs")
    assert after.pack_hash != first
    assert after.manifest.tables["bars"] == before.manifest.tables["bars"]


def test_an_altered_reference_table_is_found_out(sealed):
    pack, _ = sealed(("QQQ",))
    path = pack.folder / "reference_bars.parquet"
    pl.read_parquet(path).with_columns(close=pl.col("close") + 1).write_parquet(path)
    with pytest.raises(PackError, match=r"reference_bars\.parquet: SHA-256"):
        open_pack(pack.folder)


def test_the_json_export_holds_the_references(sealed, tmp_path):
    pack, _ = sealed(("QQQ",))
    document = json.loads(export_json(pack, tmp_path / "pack.json").read_text())
    assert len(document["reference_bars"]) == 3 * 390
    assert document["manifest"]["references"]["QQQ"]["provider"] == "sim"


def test_a_pack_of_the_schema_before_is_refused_with_the_fix(sealed):
    pack, _ = sealed(("QQQ",))
    path = pack.folder / "pack.json"
    document = json.loads(path.read_text()) | {"schema_version": "1"}
    del document["references"]
    path.write_text(json.dumps(document))
    with pytest.raises(PackError, match=r"(?s)not a manifest of schema 2.*Seal it again"):
        open_pack(pack.folder)


def test_a_row_sees_the_newest_reference_bar_that_was_available(sealed, project, calendar):
    pack, _ = sealed()
    frame = decision_frame(pack, project.instrument("SPY"), calendar, ())
    for name in ("BTC", "QQQ"):
        bars = pack.table("reference_bars").filter(pl.col("symbol") == name).sort("ts")
        for row in frame.gather_every(97).iter_rows(named=True):
            seen = bars.filter(pl.col("available_at") <= row["available_at"]).tail(1).row(0, named=True)
            assert {v: row[f"ref_{name}_{v}"] for v in VALUES} == {v: seen[v] for v in VALUES}


def test_truncated_or_poisoned_references_change_no_earlier_row(sealed, project, calendar):
    pack, _ = sealed()
    spy = project.instrument("SPY")
    frame = decision_frame(pack, spy, calendar, ())
    table = pack.table("reference_bars")
    late = table.with_columns(available_at=pl.col("end") + timedelta(seconds=90))
    for cut in frame["available_at"].gather([3, 389, 400, 800]):
        for bars in (table, late):
            known = pl.col("available_at") <= cut
            poisoned = bars.with_columns(
                pl.when(known).then(pl.col(c)).otherwise(666.0).alias(c) for c in ("open", "high", "low", "close")
            )
            views = [
                assemble_frame(
                    pack.table("bars"), spy, calendar, (), references={"QQQ": one.filter(pl.col("symbol") == "QQQ")}
                )
                for one in (bars, bars.filter(known), poisoned)
            ]
            for other in views[1:]:
                assert_frame_equal(views[0].filter(known), other.filter(known))
                assert not views[0].filter(~known).equals(other.filter(~known))


def test_the_daily_close_of_an_etf_is_not_seen_by_the_minutes_of_its_day(sealed, project, calendar):
    pack, _ = sealed(("QQQ",))
    daily = pl.DataFrame(
        {
            "ts": [calendar.session_bounds(d)[0] for d in DAYS],
            "end": [calendar.session_bounds(d)[1] for d in DAYS],
            "close": [100.0 + d.day for d in DAYS],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")},
    ).with_columns(open=pl.col("close"), high=pl.col("close"), low=pl.col("close"), volume=1.0, available_at="end")
    frame = assemble_frame(pack.table("bars"), project.instrument("SPY"), calendar, (), references={"IBIT": daily})
    for day, before in zip(DAYS[1:], DAYS, strict=False):
        seen = frame.filter(pl.col("trade_date") == day)
        # Yesterday's close all day long; today's own only at the decision that is taken at the close itself.
        assert seen["ref_IBIT_close"][:-1].unique().to_list() == [100.0 + before.day]
        assert seen["ref_IBIT_close"][-1] == 100.0 + day.day
        assert seen["ref_IBIT_end"][-1] == seen["available_at"][-1]


def test_nothing_known_of_a_reference_is_null(sealed, project, calendar):
    pack, _ = sealed(("QQQ",))
    bars = pack.table("reference_bars").filter(pl.col("trade_date") > DAYS[1])
    frame = assemble_frame(pack.table("bars"), project.instrument("SPY"), calendar, (), references={"QQQ": bars})
    first = frame.filter(pl.col("trade_date") == DAYS[1])
    assert first["ref_QQQ_close"].null_count() == first.height
    assert frame.filter(pl.col("trade_date") > DAYS[1])["ref_QQQ_close"].null_count() == 0


def test_a_pack_without_references_has_neither_table_nor_columns(sealed, project, calendar):
    pack, _ = sealed(())
    assert pack.manifest.references == {}
    assert "reference_bars" not in pack.manifest.tables
    frame = decision_frame(pack, project.instrument("SPY"), calendar, ())
    assert [name for name in frame.columns if name.startswith("ref_")] == []


def test_reference_frames_are_the_decision_frames_of_their_own_bars(sealed, calendar):
    pack, project = sealed()
    found = reference_frames(pack, project, calendar)
    assert list(found) == ["BTC", "QQQ"]
    for name, reference in found.items():
        bars = pack.table("reference_bars").filter(pl.col("symbol") == name).sort("ts")
        assert reference.instrument == project.instrument(name)
        assert_frame_equal(reference.frame.select("ts", "close"), bars.select("ts", "close"))
        assert reference.frame["half_spread"].null_count() == 0
    assert found["BTC"].frame["missing_before"].sum() == 0
    assert found["QQQ"].frame["seconds_to_close"].min() == 0
