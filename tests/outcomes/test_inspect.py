"""Summaries of what the lake holds: measured against the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from argus_core.outcomes import compute_outcomes
from argus_core.outcomes.inspect import bar_inventory, coverage, gaps, health, outcome_inventory, uptime
from argus_core.settings import OutcomeSettings

FIRST, LAST = date(2024, 7, 1), date(2024, 7, 5)  # an early close on the 3rd, a holiday on the 4th


def test_inventories_count_series_and_statuses(make_bars, spy, btc, calendar):
    bars = pl.concat([make_bars(spy, FIRST, LAST), make_bars(btc, FIRST, LAST)])
    listed = bar_inventory(bars)
    assert listed["symbol"].to_list() == ["BTC", "SPY"]
    assert listed.filter(pl.col("symbol") == "SPY").select("bars", "sessions").row(0) == (3 * 390 + 210, 4)
    outcomes = compute_outcomes(make_bars(spy, FIRST, LAST), spy, calendar, OutcomeSettings(horizons=(300, 3600)))
    table = outcome_inventory(outcomes)
    assert table["horizon_seconds"].to_list() == [300, 3600]
    assert (table["ok"] + table["gap"] + table["incomplete"]).to_list() == table["rows"].to_list()
    assert table["incomplete"].to_list() == [5, 60]


def test_full_sessions_are_fully_covered_whatever_the_holidays(make_bars, spy, btc, calendar):
    days = calendar.sessions_between(FIRST, LAST)
    for instrument in (spy, btc):
        table = coverage(make_bars(instrument, FIRST, LAST), instrument, calendar, days)
        assert table["coverage"].to_list() == [1.0] * 4
        assert table["extra"].sum() == 0
    assert coverage(make_bars(spy, FIRST, LAST), spy, calendar, days)["expected"].to_list() == [390, 390, 210, 390]


def test_a_missing_session_has_no_coverage(make_bars, spy, calendar):
    bars = make_bars(spy, FIRST, LAST).filter(pl.col("trade_date") != date(2024, 7, 2))
    days = calendar.sessions_between(FIRST, LAST)
    assert coverage(bars, spy, calendar, days)["coverage"].to_list() == [1.0, 0.0, 1.0, 1.0]
    assert coverage(bars.clear(), spy, calendar, days)["found"].sum() == 0


def test_gaps_are_runs_of_offered_bars_longest_first(make_bars, spy, calendar):
    bars = make_bars(spy, FIRST, LAST).with_row_index()
    holed = bars.filter(~pl.col("index").is_in([*range(100, 110), *range(385, 395), *range(600, 603), 800])).drop(
        "index"
    )
    days = calendar.sessions_between(FIRST, LAST)
    found = gaps(holed, spy, calendar, days, longer_than_seconds=120)
    assert found["bars_missing"].to_list() == [10, 10, 3]
    assert found["first_missing"].to_list() == [bars["ts"][i] for i in (100, 385, 600)]
    assert found["last_missing"][1] == bars["ts"][394]  # the night between is no part of the hole
    assert gaps(bars, spy, calendar, days).is_empty()


def test_uptime_counts_only_holes_beyond_the_threshold(make_bars, spy, calendar):
    days = calendar.sessions_between(FIRST, FIRST)
    bars = make_bars(spy, FIRST, FIRST).with_row_index()
    holed = bars.filter(~pl.col("index").is_in([*range(100, 139), 200]))
    report = uptime(holed, spy, calendar, days)
    assert report["uptime"] == pytest.approx(0.9)
    assert (report["outages"], report["longest_outage_seconds"]) == (1, 39 * 60)
    assert uptime(bars, spy, calendar, [])["uptime"] is None


def test_health_measures_lag_in_market_time(make_bars, spy, btc, calendar):
    friday = date(2024, 7, 5)
    listed = bar_inventory(pl.concat([make_bars(spy, friday, friday), make_bars(btc, friday, friday)]))
    sunday = datetime(2024, 7, 7, 12, tzinfo=UTC)
    report = health(listed, [spy, btc, spy.model_copy(update={"symbol": "QQQ"})], calendar, sunday)
    assert report["state"].to_list() == ["fresh", "stale", "missing"]
    assert report["lag_seconds"][0] == 0
    assert report["lag_seconds"][1] == 40 * 3600  # since Friday's close at 20:00 UTC
    monday = datetime(2024, 7, 8, 13, 40, tzinfo=UTC)
    assert health(listed, [spy], calendar, monday)["bars_behind"].to_list() == [10]
