"""Sources: slices of what was landed, by trade date."""

from __future__ import annotations

import shutil
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.market.gates import gate_bars, gate_references
from argus_core.market.importing import import_folder
from argus_core.market.lake import Lake
from argus_core.market.schemas import OptionQuotes, RawBars, conform
from argus_core.market.simulation import SimulatedMarket
from argus_core.market.sources import LandedSource, SimulatedSource, source_for
from argus_core.settings import Instrument, SettingsError, SimulationFaults
from tests.market.gate_frames import BTC, SPY, session_bars


@pytest.fixture
def lake(tmp_path, project, calendar) -> Lake:
    lake = Lake(tmp_path / "lake")
    root = tmp_path / "in"
    for folder, name, instrument in (("bars_1m", "SPY", SPY), ("crypto_1m", "BTCUSDT", BTC)):
        frames = [
            session_bars(calendar, instrument, d)
            for d in calendar.sessions_between(date(2025, 1, 29), date(2025, 2, 4))
        ]
        (root / folder).mkdir(parents=True)
        frame = pl.concat(frames).select("ts", "open", "high", "low", "close", "volume")
        frame.write_parquet(root / folder / f"{name}.parquet")
    import_folder(root, lake, project, calendar)
    return lake


def test_every_landed_bar_belongs_to_one_trade_date(lake, project, calendar):
    source = source_for(project, lake, calendar, "files")
    for instrument in (SPY, BTC):
        days = calendar.sessions_between(date(2025, 1, 29), date(2025, 2, 4))
        parts = [source.bars(instrument, d) for d in days]
        for day, part in zip(days, parts, strict=True):
            RawBars.validate(part)
            expected = session_bars(calendar, instrument, day)
            assert part["ts"].to_list() == expected["ts"].to_list()
        assert pl.concat(parts)["ts"].is_unique().all()


def test_a_slice_equals_a_plain_filter_over_the_whole_series_across_month_ends(lake, project, calendar):
    source = LandedSource(lake, calendar, project)
    whole = pl.concat(
        [lake.read("landing_bars", bar_seconds=60, symbol="BTC", period=p) for p in ("2025-01", "2025-02")]
    )
    monday = date(2025, 2, 3)  # Friday's close to Monday's close, over the end of January
    begin, stop = calendar.partition_bounds(monday, BTC)
    plain = conform(whole.filter((pl.col("ts") >= begin) & (pl.col("ts") < stop)), RawBars)
    assert_frame_equal(source.bars(BTC, monday), plain)
    assert plain.height == 3 * 1440


def test_days_without_data_are_empty_frames_with_all_columns(lake, project, calendar):
    source = LandedSource(lake, calendar, project)
    for day in (date(2024, 5, 6), date(2025, 2, 8)):
        assert source.bars(SPY, day).is_empty()
        RawBars.validate(source.bars(SPY, day))
    OptionQuotes.validate(source.option_quotes("SPY", date(2025, 2, 4)))
    RawBars.validate(source.references(["EWJ"], date(2025, 2, 4)))
    assert source.newest_date(Instrument(symbol="NONE", asset_class="etf")) is None


def test_newest_date_is_a_trade_date(lake, project, calendar):
    source = LandedSource(lake, calendar, project)
    assert source.newest_date(SPY) == date(2025, 2, 4)
    assert source.newest_date(BTC) == date(2025, 2, 4)
    assert source.newest_option_date("SPY") is None


def test_a_fingerprint_changes_with_its_own_day_only(lake, tmp_path, project, calendar):
    before = LandedSource(lake, calendar, project)
    days = [date(2025, 2, 3), date(2025, 2, 4)]
    old = [before.fingerprint(SPY, d) for d in days]
    path = tmp_path / "in" / "bars_1m" / "SPY.parquet"
    frame = pl.read_parquet(path)
    last = pl.col("ts") == frame["ts"].max()
    frame.with_columns(pl.when(last).then(1.0).otherwise(pl.col("volume")).alias("volume")).write_parquet(path)
    import_folder(tmp_path / "in", lake, project, calendar)
    after = LandedSource(lake, calendar, project)
    new = [after.fingerprint(SPY, d) for d in days]
    assert new[0] == old[0]
    assert new[1] != old[1]


def test_real_references_are_daily_bars_and_missing_symbols_are_just_missing(shared_data, tmp_path, project, calendar):
    lake = Lake(tmp_path / "real")
    for name in ("bars_1d/FEZ", "bars_1d/EWJ", "fx_1d/USDJPY"):
        target = tmp_path / "data" / f"{name}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_data / f"{name}.parquet", target)
    import_folder(tmp_path / "data", lake, project, calendar)
    source = LandedSource(lake, calendar, project)
    flow = project.platform.risk_flow.symbols
    found = source.references(flow, date(2025, 4, 4))
    assert found["symbol"].to_list() == ["EWJ", "FEZ", "USDJPY"]
    assert str(found["ts"][2]) == "2025-04-04 00:00:00+00:00"
    assert source.references(flow, date(2025, 4, 7))["symbol"].to_list() == ["USDJPY"]
    assert source.newest_date(project.instrument("USDJPY")) == date(2025, 7, 11)


def test_an_unknown_provider_is_named(lake, project, calendar):
    with pytest.raises(SettingsError, match="sim or files"):
        source_for(project, lake, calendar, "alpaca")


def test_the_simulated_source_gives_the_same_bytes_for_a_day_asked_alone(project, calendar, lake):
    source = source_for(project, lake, calendar, "sim")
    assert isinstance(source, SimulatedSource)
    spy = project.instrument("SPY")
    day = date(2025, 2, 4)
    first = source.bars(spy, day)
    assert first.height == 390
    assert_frame_equal(SimulatedSource(project, calendar).bars(spy, day), first)
    assert source.fingerprint(spy, day) != source.fingerprint(spy, date(2025, 2, 5))
    assert source.newest_date(spy) == calendar.dates[-1]


def test_every_fault_of_the_simulated_market_is_caught_by_the_gates(project, calendar):
    days = calendar.sessions_between(date(2025, 2, 3), date(2025, 2, 21))
    faults = SimulationFaults(
        missing_session=(days[4],),
        late_start=(days[5],),
        iex_day=(days[6],),
        duplicated_under_next_date=(days[7],),
        crossed_quote=(days[9],),
        wrong_daily_close=(days[10],),
        split_7_for_1=(days[13],),
    )
    settings = project.platform.providers.simulation.model_copy(update={"faults": faults})
    market = SimulatedMarket(settings, calendar, project.universe.instruments)
    spy, gates = project.instrument("SPY"), project.platform.gates
    past, failed, refused = None, {}, {}
    for day in days:
        report = gate_bars(market.bars("SPY", day), spy, day, calendar, gates, recent=past)
        failed[day] = {c.name for c in report.failures if c.blocking}
        refused[day] = report.counts
        if report.passed:
            past = report.published if past is None else pl.concat([past, report.published])
    telling = {4: "rows", 5: "late_start", 6: "volume_scale", 8: "duplicate_day", 13: "split"}
    assert {d for d, names in failed.items() if names} == {days[i] for i in telling}
    assert all(name in failed[days[i]] for i, name in telling.items())
    assert {d: r for d, r in refused.items() if r} == {days[9]: {"CROSSED_QUOTE": 3}}
    minute_closes = past.group_by("symbol", "trade_date", maintain_order=True).agg(pl.col("close").last())
    daily = pl.concat([market.daily_bars(["SPY"], d) for d in days[9:12]])
    instruments = project.universe.instruments
    for day, expected in ((days[10], []), (days[11], ["WRONG_CLOSE"])):
        today = daily.filter(pl.col("ts").dt.date() == day)
        _, warned = gate_references(today, day, calendar, instruments, gates, recent=daily, other_closes=minute_closes)
        assert warned["reason"].to_list() == expected
