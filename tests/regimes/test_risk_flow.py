"""Global risk flow: availability decides what it may see (predecessor §1.8, §3 D10)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from argus_core.calendar import UTC_US
from argus_core.regimes import RISK_FLOW_SCHEMA, global_risk_flow, risk_flow_changes
from argus_core.settings import RiskFlowSettings

SETTINGS = RiskFlowSettings()
DAYS = [date(2024, 5, 6) + timedelta(days=i) for i in range(5)]


def references(closes: dict[str, list[float]], *, hour: dict[str, int] | None = None) -> pl.DataFrame:
    rows = [
        {
            "provider": "test",
            "symbol": symbol,
            "trade_date": day,
            "ts": datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC),
            "available_at": datetime(day.year, day.month, day.day, (hour or {}).get(symbol, 20), tzinfo=UTC),
            "open": close,
            "close": close,
        }
        for symbol, values in closes.items()
        for day, close in zip(DAYS, values, strict=False)
    ]
    times = {"ts": UTC_US, "available_at": UTC_US}
    return pl.DataFrame(rows, schema_overrides=times)


def test_flow_weighs_the_means_of_its_groups():
    frame = global_risk_flow(
        references({"EWJ": [100, 101], "FXI": [100, 103], "EWG": [100, 99], "USDJPY": [150, 153]}), SETTINGS, DAYS[1]
    )
    assert frame.height == 1
    row = frame.row(0, named=True)
    assert row["asia"] == pytest.approx(0.02)
    assert row["global_risk_flow"] == pytest.approx(0.4 * 0.02 + 0.4 * -0.01 + 0.2 * 0.02)
    assert row["available_at"] == datetime(2024, 5, 7, 20, tzinfo=UTC)


def test_weight_of_a_missing_group_is_shared_and_nothing_gives_no_row():
    only = global_risk_flow(references({"EWJ": [100, 101], "USDJPY": [150, 153]}), SETTINGS, DAYS[1]).row(0, named=True)
    assert only["europe"] is None
    assert only["global_risk_flow"] == pytest.approx((0.4 * 0.01 + 0.2 * 0.02) / 0.6)
    assert global_risk_flow(references({"EWJ": [100]}), SETTINGS, DAYS[0]).schema == RISK_FLOW_SCHEMA
    assert global_risk_flow(references({"SPY": [100, 101]}), SETTINGS, DAYS[1]).is_empty()


def test_every_publication_moment_has_its_own_value():
    frame = global_risk_flow(
        references({"EWJ": [100, 101, 102], "USDJPY": [150, 153, 151]}, hour={"USDJPY": 15}), SETTINGS, DAYS[2]
    )
    assert [moment.hour for moment in frame["available_at"]] == [15, 20]
    assert frame["asia"].to_list() == pytest.approx([0.01, 102 / 101 - 1])  # at 15:00 Asia still shows the day before


def test_only_changes_are_emitted():
    frame = references({"EWJ": [100, 110, 121], "EWG": [50, 55, 60.5]})
    assert risk_flow_changes(frame, SETTINGS).height == 1  # +10 % in both groups on both days


def test_day_alone_equals_the_range_and_row_order_does_not_matter():
    frame = references({"EWJ": [100, 101, 99, 98, 97], "EWG": [9, 8, 7, 8, 9], "USDJPY": [150, 151, 150, 149, 150]})
    whole = risk_flow_changes(frame, SETTINGS)
    for day in DAYS[1:]:
        assert global_risk_flow(frame.reverse(), SETTINGS, day).equals(whole.filter(pl.col("trade_date") == day))


def test_gating_by_bar_start_leaks_the_day_and_gating_by_availability_does_not(shared_data, calendar):
    """Regression of predecessor D10 on 3,500 real days: correlation .84 with SPY's own day, -.08 with the next."""
    closes = pl.read_parquet(shared_data / "closes_1d" / "adj_close.parquet").filter(
        pl.col("date").is_between(date(2012, 2, 1), date(2026, 3, 1))
        & pl.col("date").is_in(calendar.sessions["date"].implode())
    )
    opens = dict(calendar.sessions.select("date", "open_ts").iter_rows())
    ends = dict(calendar.sessions.select("date", "close_ts").iter_rows())
    etfs = closes.select(
        "symbol",
        trade_date="date",
        ts=pl.col("date").replace_strict(opens, return_dtype=UTC_US),
        available_at=pl.col("date").replace_strict(ends, return_dtype=UTC_US),
        close="adj_close",
    )
    fixings = pl.read_parquet(shared_data / "fx_1d" / "ecb_fixings.parquet").filter(pl.col("pair") == "USDJPY")
    yen = fixings.select(
        symbol=pl.lit("USDJPY"), trade_date="date", ts="ts", available_at="recv_ts", close="rate"
    ).filter(pl.col("trade_date") >= date(2012, 2, 1))
    chosen = SETTINGS.model_copy(update={"europe": ("EWG", "EWU", "EZU", "EWL")})
    flow = risk_flow_changes(pl.concat([etfs, yen]), chosen).filter(
        pl.col("asia").is_not_null() & pl.col("europe").is_not_null()
    )
    spy = (
        etfs.filter(pl.col("symbol") == "SPY")
        .sort("ts")
        .with_columns(day=pl.col("close").pct_change())
        .drop_nulls("day")
    )
    decided = spy.select("ts", "trade_date", "day")  # decisions at the open
    gated = decided.join_asof(flow.rename({"available_at": "at"}), left_on="ts", right_on="at")
    # The mistake: a day's bar is visible from its stamp, the open of its session.
    start = flow.with_columns(at=pl.col("trade_date").replace_strict(opens, default=None, return_dtype=UTC_US))
    leaked = decided.join_asof(start.drop_nulls("at").sort("at", "available_at"), left_on="ts", right_on="at")

    def correlation(frame: pl.DataFrame) -> float:
        return frame.select(pl.corr("day", "global_risk_flow")).item()

    assert correlation(leaked) == pytest.approx(0.84, abs=0.03)
    assert correlation(gated) == pytest.approx(-0.08, abs=0.03)
