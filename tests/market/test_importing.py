"""Import of folders: what lands, what is refused, and that order and repetition change nothing."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.market.importing import ImportReport, import_folder
from argus_core.market.importing.landing import landed_periods
from argus_core.market.lake import Lake, LakeError
from argus_core.market.quarantine import count_quarantine, read_quarantine
from argus_core.settings import Project
from tests.market.gate_frames import BTC, SPY, session_bars

DAY = date(2025, 2, 4)


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def bring(tmp_path, lake, project, calendar):
    def run(folder: Path | None = None) -> ImportReport:
        return import_folder(folder or tmp_path / "in", lake, project, calendar)

    return run


def with_files(project: Project, **changes) -> Project:
    """``project`` with other settings of the provider `files`."""
    platform = project.platform
    files = platform.providers.files.model_copy(update=changes)
    providers = platform.providers.model_copy(update={"files": files})
    return Project(
        project.root,
        project.source,
        project.loop,
        platform.model_copy(update={"providers": providers}),
        project.universe,
    )


def put(root: Path, name: str, frame: pl.DataFrame) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def minutes(calendar, **more) -> pl.DataFrame:
    return session_bars(calendar, SPY, DAY, **more).drop("provider", "bar_seconds", "bid", "ask")


def landed(lake: Lake, symbol: str = "SPY", bar_seconds: int = 60) -> pl.DataFrame:
    periods = landed_periods(lake, bar_seconds, symbol)
    keys = [{"bar_seconds": bar_seconds, "symbol": symbol, "period": p} for p in periods]
    return lake.read_many("landing_bars", keys)


def balanced(report: ImportReport) -> bool:
    return all(f.rows_read == f.rows_landed + sum(f.quarantined.values()) for f in report.files)


def put_closes(shared_data: Path, root: Path) -> None:
    """Two symbols of the real closes, the years that `bars_1d` shares with them."""
    closes = pl.read_parquet(shared_data / "closes_1d/adj_close.parquet")
    some = closes.filter(pl.col("symbol").is_in(["EWJ", "EZU"]) & (pl.col("date") >= date(2023, 1, 1)))
    put(root, "closes_1d/adj_close.parquet", some)


def copy_real(shared_data: Path, target: Path, *names: str) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_data / name, target / name)


def test_minutes_land_by_month_with_their_values(tmp_path, calendar, lake, bring):
    frame = minutes(calendar)
    put(tmp_path / "in", "bars_1m/SPY.parquet", frame)
    report = bring()
    assert report.rows_landed == 390
    assert report.errors == []
    assert landed_periods(lake, 60, "SPY") == ["2025-02"]
    assert_frame_equal(landed(lake).select(frame.columns), frame)


def test_importing_again_changes_nothing_and_says_the_same(tmp_path, calendar, lake, bring):
    put(tmp_path / "in", "bars_1m/SPY.parquet", minutes(calendar))
    put(tmp_path / "in", "bars_1m/copy.parquet", minutes(calendar))
    first, before = bring(), landed(lake)
    quarantined = read_quarantine(lake)
    again = bring()
    assert again.partitions_written == 0
    assert again.quarantined == first.quarantined == {"DUPLICATE": 390}
    assert_frame_equal(landed(lake), before)
    assert_frame_equal(read_quarantine(lake), quarantined)


def test_two_files_with_one_bar_keep_the_first_path_whatever_comes_first(tmp_path, calendar, project):
    frame = minutes(calendar)
    put(tmp_path / "a", "bars_1m/a.parquet", frame[:200])
    put(tmp_path / "b", "bars_1m/b.parquet", frame[100:].with_columns(pl.col("close") + 0.001, pl.col("high") + 1))
    results = []
    for order in ("ab", "ba"):
        lake = Lake(tmp_path / f"lake_{order}")
        for part in order:
            report = import_folder(tmp_path / part, lake, project, calendar)
            assert balanced(report) or order == "ba"
        results.append(landed(lake))
    assert_frame_equal(results[0], results[1])
    assert results[0].height == 390
    assert (results[0]["source"] == "bars_1m/a.parquet").sum() == 200


def test_a_corrected_file_replaces_its_own_rows(tmp_path, calendar, lake, bring):
    put(tmp_path / "in", "bars_1m/SPY.parquet", minutes(calendar))
    bring()
    put(tmp_path / "in", "bars_1m/SPY.parquet", minutes(calendar).with_columns(pl.col("volume") + 1))
    report = bring()
    assert report.quarantined == {}
    assert report.partitions_written == 1
    assert landed(lake)["volume"].to_list() == (minutes(calendar)["volume"] + 1).to_list()


def test_a_later_file_of_the_same_month_is_merged(tmp_path, calendar, lake, bring):
    put(tmp_path / "in", "bars_1m/SPY.parquet", minutes(calendar))
    bring()
    other = session_bars(calendar, SPY, date(2025, 2, 5)).drop("provider", "bar_seconds")
    put(tmp_path / "next", "bars_1m/SPY_0205.parquet", other)
    bring(tmp_path / "next")
    assert landed(lake).height == 780
    assert landed(lake)["ts"].is_sorted()


def test_csv_needs_neither_symbol_nor_scope_and_may_spell_time_in_many_ways(tmp_path, calendar, lake, bring):
    frame = minutes(calendar).drop("symbol", "volume_scope")
    spelt = {
        "Z.csv": frame.with_columns(pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
        "OFFSET.csv": frame.with_columns(
            pl.col("ts").dt.convert_time_zone("America/New_York").dt.strftime("%Y-%m-%d %H:%M:%S%:z")
        ),
        "NAIVE.csv": frame.with_columns(pl.col("ts").dt.strftime("%Y-%m-%d %H:%M")),
    }
    for name, one in spelt.items():
        put(tmp_path / "in", f"bars_1m/{name}", one)
    report = bring()
    assert report.quarantined == {}
    for name in spelt:
        stem = name.removesuffix(".csv")
        assert landed(lake, stem)["ts"].to_list() == minutes(calendar)["ts"].to_list(), name
    assert landed(lake, "Z")["volume_scope"].unique().to_list() == ["sip"]
    assert "taken as UTC" in "; ".join(report.file("bars_1m/NAIVE.csv").notes)


def test_other_zones_are_converted_and_naive_times_take_the_zone_of_the_settings(
    tmp_path, calendar, lake, project, bring
):
    frame = minutes(calendar)
    put(tmp_path / "in", "bars_1m/SPY.parquet", frame.with_columns(pl.col("ts").dt.convert_time_zone("Asia/Tokyo")))
    local = frame.with_columns(pl.col("ts").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None))
    put(tmp_path / "ny", "bars_1m/NY.parquet", local.drop("symbol"))
    bring()
    import_folder(tmp_path / "ny", lake, with_files(project, time_zone="America/New_York"), calendar)
    assert landed(lake)["ts"].to_list() == frame["ts"].to_list()
    assert landed(lake, "NY")["ts"].to_list() == frame["ts"].to_list()


def test_a_file_in_the_wrong_zone_is_refused_as_a_whole(tmp_path, calendar, lake, bring):
    local = minutes(calendar).with_columns(
        pl.col("ts").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    )
    put(tmp_path / "in", "bars_1m/SPY.parquet", local)
    report = bring()
    assert report.file("bars_1m/SPY.parquet").error == "SUSPECT_TIME_ZONE"
    assert "+5 h" in report.file("bars_1m/SPY.parquet").detail
    assert landed(lake).is_empty()


def test_times_that_a_clock_change_makes_unsure_are_refused(tmp_path, calendar, lake, project):
    hour = pl.datetime_range(
        pl.datetime(2025, 3, 9, 1, 50), pl.datetime(2025, 3, 9, 3, 5), "1m", eager=True, time_unit="us"
    )
    frame = pl.DataFrame({"ts": hour, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0})
    put(tmp_path / "in", "crypto_1m/BTCUSDT.parquet", frame)
    report = import_folder(tmp_path / "in", lake, with_files(project, time_zone="America/New_York"), calendar)
    assert report.quarantined == {"AMBIGUOUS_TIME": 60}
    assert landed(lake, "BTC").height == 16


def test_broken_files_are_reported_and_the_others_land(tmp_path, calendar, lake, bring):
    root = tmp_path / "in"
    frame = minutes(calendar)
    put(root, "bars_1m/SPY.parquet", frame)
    put(root, "bars_1m/no_close.parquet", frame.drop("close"))
    put(root, "bars_1m/numbers.parquet", frame.with_columns(pl.col("ts").dt.timestamp("us")))
    put(root, "bars_1m/extra.csv", frame.with_columns(pl.lit("AAA").alias("symbol"), pl.lit(1).alias("mood")))
    put(root, "strange/SPY.parquet", frame)
    (root / "bars_1m" / "broken.parquet").write_bytes(b"not a parquet file")
    (root / "readme.txt").write_text("hello")
    report = bring()
    found = {f.path: f.error for f in report.files}
    assert found == {
        "bars_1m/SPY.parquet": None,
        "bars_1m/broken.parquet": "UNREADABLE",
        "bars_1m/extra.csv": None,
        "bars_1m/no_close.parquet": "MISSING_COLUMN",
        "bars_1m/numbers.parquet": "BAD_TIMESTAMP",
        "readme.txt": "UNKNOWN_TYPE",
        "strange/SPY.parquet": "UNKNOWN_FOLDER",
    }
    assert "close missing" in report.file("bars_1m/no_close.parquet").detail
    assert report.file("bars_1m/extra.csv").warnings == {"UNKNOWN_COLUMN": 1}
    assert balanced(report)
    assert landed(lake).height == 390
    assert report.to_frame().height == 7
    files = count_quarantine(lake, stage="import", symbol="_file")
    assert set(files["reason"]) == {"UNREADABLE", "MISSING_COLUMN", "BAD_TIMESTAMP", "UNKNOWN_FOLDER"}


def test_bad_rows_of_a_csv_are_refused_one_by_one(tmp_path, calendar, lake, bring):
    text = minutes(calendar).with_columns(pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), pl.all().exclude("ts"))
    text = text.with_columns(pl.col("close").cast(pl.String))
    row = pl.int_range(pl.len())
    text = text.with_columns(
        pl.when(row == 3).then(pl.lit("n/a?")).otherwise(pl.col("close")).alias("close"),
        pl.when(row == 5).then(pl.lit("yesterday")).otherwise(pl.col("ts")).alias("ts"),
        pl.when(row == 7).then(pl.lit("iex")).otherwise(pl.col("volume_scope")).alias("volume_scope"),
        pl.when(row == 9).then(pl.lit(None)).otherwise(pl.col("symbol")).alias("symbol"),
    )
    put(tmp_path / "in", "bars_1m/SPY.csv", pl.concat([text, text[20:21]]))
    report = bring()
    assert report.quarantined == {
        "BAD_TIMESTAMP": 1,
        "BAD_VALUE": 1,
        "DUPLICATE": 1,
        "FOREIGN_SCOPE": 1,
        "MISSING_KEY": 1,
    }
    assert balanced(report)
    assert landed(lake).height == 386


def test_the_settings_name_exchange_pairs(tmp_path, calendar, lake, bring):
    frame = session_bars(calendar, BTC, DAY, start=90_000.0).select(
        "ts", pl.lit("BTCUSDT").alias("symbol"), "open", "high", "low", "close", "volume"
    )
    put(tmp_path / "in", "crypto_1m/BTCUSDT.parquet", frame)
    bring()
    assert landed(lake, "BTC").height == 1440
    assert landed(lake, "BTC")["volume_scope"].unique().to_list() == ["exchange"]


def test_a_missing_folder_is_an_error_that_names_it(tmp_path, lake, project, calendar):
    with pytest.raises(LakeError, match="no such folder"):
        import_folder(tmp_path / "nowhere", lake, project, calendar)


def test_real_iex_rows_are_quarantined_and_the_others_land(tmp_path, shared_data, calendar, lake, bring):
    copy_real(shared_data, tmp_path / "in", "bars_1m/QQQ.parquet", "bars_5m/KWEB.parquet")
    report = bring()
    assert report.file("bars_1m/QQQ.parquet").quarantined == {"FOREIGN_SCOPE": 3455}
    assert report.file("bars_5m/KWEB.parquet").quarantined == {}
    assert set(landed(lake, "QQQ")["volume_scope"]) == {"sip", "ibkr"}
    fridays = read_quarantine(lake, stage="import", symbol="QQQ")["ts"].dt.date().unique()
    assert len(fridays) == 9
    assert fridays.dt.weekday().unique().to_list() == [5]
    assert balanced(report)


def test_a_daily_series_comes_from_one_feed_whatever_the_order_of_imports(tmp_path, shared_data, calendar, project):
    copy_real(shared_data, tmp_path / "one", "bars_1d/EWJ.parquet")
    put_closes(shared_data, tmp_path / "two")
    results = []
    for order in (("one", "two"), ("two", "one")):
        lake = Lake(tmp_path / f"lake_{order[0]}")
        reports = [import_folder(tmp_path / part, lake, project, calendar) for part in order]
        results.append((landed(lake, "EWJ", 86_400), landed(lake, "EZU", 86_400)))
    assert_frame_equal(results[0][0], results[1][0])
    assert_frame_equal(results[0][1], results[1][1])
    assert results[0][0]["source"].unique().to_list() == ["bars_1d/EWJ.parquet"]
    assert results[0][0].height == 1180
    assert reports[0].file("closes_1d/adj_close.parquet").kind == "closes"
    lost = read_quarantine(lake, stage="import", symbol="EWJ")
    assert lost["reason"].to_list() == ["OTHER_FEED"], "the feed that gave way is on record"


def test_the_settings_choose_another_daily_feed(tmp_path, shared_data, calendar, project, lake):
    copy_real(shared_data, tmp_path / "in", "bars_1d/EWJ.parquet")
    put_closes(shared_data, tmp_path / "in")
    import_folder(tmp_path / "in", lake, with_files(project, daily_feeds=("closes_1d", "bars_1d")), calendar)
    frame = landed(lake, "EWJ", 86_400)
    assert frame["source"].unique().to_list() == ["closes_1d/adj_close.parquet"]
    assert frame["ts"].max().date() == date(2026, 8, 18)


def test_unadjusted_splits_and_repaired_rows_are_counted_as_warnings(tmp_path, shared_data, bring):
    copy_real(
        shared_data,
        tmp_path / "in",
        "bars_1m_quotes/AAPL.parquet",
        "bars_1d_raw/SPY.parquet",
        "bars_1d/SPY.parquet",
        "fx_1d/USDJPY.parquet",
    )
    fixings = pl.read_parquet(shared_data / "fx_1d/ecb_fixings.parquet")
    some = fixings.filter(pl.col("pair").is_in(["USDJPY", "USDCHF"]) & (pl.col("date") >= date(2024, 1, 1)))
    put(tmp_path / "in", "fx_1d/ecb_fixings.parquet", some)
    report = bring()
    assert report.file("bars_1m_quotes/AAPL.parquet").warnings == {"UNADJUSTED_SPLIT": 1}
    assert "2014-06-09" in report.file("bars_1m_quotes/AAPL.parquet").notes[0]
    assert report.file("fx_1d/USDJPY.parquet").warnings == {"REPAIRED": 100}
    assert report.file("bars_1d/SPY.parquet").warnings == {}
    assert report.file("bars_1d_raw/SPY.parquet").quarantined == {"OTHER_FEED": 5849}
    vendor_first = some.filter(pl.col("pair") == "USDJPY").height
    assert report.file("fx_1d/ecb_fixings.parquet").quarantined == {"OTHER_FEED": vendor_first}
    assert balanced(report)


def test_a_second_copy_of_a_real_chain_lands_once(tmp_path, shared_data, lake, bring):
    name = "option_quotes/SPY_2026-07-22_eod.parquet"
    copy_real(shared_data, tmp_path / "in", name)
    shutil.copy(tmp_path / "in" / name, tmp_path / "in" / "option_quotes/SPY_2026-07-23_eod.parquet")
    report = bring()
    assert report.file(name).rows_landed == 13_592
    assert report.file("option_quotes/SPY_2026-07-23_eod.parquet").quarantined == {"DUPLICATE": 13_592}
    assert lake.read("landing_options", underlying="SPY", date="2026-07-22").height == 13_592
    assert not lake.exists("landing_options", underlying="SPY", date="2026-07-23")


def test_closing_option_tables_land_without_quotes_and_are_received_at_the_end_of_the_day(
    tmp_path, shared_data, lake, bring
):
    copy_real(shared_data, tmp_path / "in", "option_eod/FXI.parquet")
    report = bring()
    assert report.rows_landed == 59_078
    day = lake.read("landing_options", underlying="FXI", date="2026-06-22")
    assert day["bid"].null_count() == day.height
    assert {str(t) for t in day["ts"]} == {"2026-06-22 20:00:00+00:00"}
    assert {str(t) for t in day["recv_ts"]} == {"2026-06-23 04:00:00+00:00"}
    assert day["contract"].str.contains(r"^FXI\d{6}[CP]\d{8}$").all()


def test_deribit_quotes_of_a_weekend_belong_to_the_next_session(tmp_path, shared_data, lake, bring):
    copy_real(shared_data, tmp_path / "in", "option_quotes/BTC_2026-01-23_2026-01-24_deribit_1h.parquet")
    report = bring()
    assert balanced(report)
    saturday = lake.read("landing_options", underlying="BTC", date="2026-01-26")
    assert str(saturday["ts"].min()) >= "2026-01-23 21:00:00"


@pytest.mark.slow
def test_the_whole_shared_folder_imports_and_again_without_a_change(shared_data, lake, project, calendar):
    first = import_folder(shared_data, lake, project, calendar)
    again = import_folder(shared_data, lake, project, calendar)
    assert balanced(first)
    assert {f.error for f in first.errors} == {"UNKNOWN_FOLDER"}
    assert again.partitions_written == 0
    assert again.quarantined == first.quarantined
    assert first.rows_landed > 3_800_000
