"""Compaction of closed months."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.market.compaction import compact_table
from argus_core.market.lake import Lake, LakeError
from tests.market.gate_frames import SPY, session_bars


@pytest.fixture
def lake(tmp_path, calendar) -> Lake:
    lake = Lake(tmp_path)
    for day in calendar.sessions_between(date(2025, 1, 29), date(2025, 3, 4)):
        write(lake, day, session_bars(calendar, SPY, day).head(5))
    return lake


def write(lake: Lake, day: date, frame: pl.DataFrame) -> None:
    keys = {"provider": "test", "bar_seconds": 60, "symbol": "SPY", "date": day}
    lake.write("bars", frame, keys=keys, config_hash="c", producer="test")


def test_closed_months_hold_the_rows_of_their_days_in_order(lake):
    result = compact_table(lake, "bars", before=date(2025, 3, 5))
    assert (result.written, result.unchanged) == (2, 0)
    assert [keys["month"] for keys in lake.partitions("bars_monthly")] == ["2025-01", "2025-02"]
    days = [keys for keys in lake.partitions("bars") if keys["date"] < "2025-03"]
    months = lake.read_many("bars_monthly", lake.partitions("bars_monthly"))
    assert_frame_equal(months, lake.read_many("bars", days))


def test_compacting_again_writes_nothing_until_a_day_changes(lake, calendar):
    compact_table(lake, "bars", before=date(2025, 3, 5))
    assert compact_table(lake, "bars", before=date(2025, 3, 5)).written == 0
    write(lake, date(2025, 2, 4), session_bars(calendar, SPY, date(2025, 2, 4)).head(6))
    again = compact_table(lake, "bars", before=date(2025, 3, 5))
    assert (again.written, again.unchanged) == (1, 1)


def test_the_monthly_table_answers_the_same_sql_as_the_daily_one(lake):
    compact_table(lake, "bars", before=date(2025, 4, 1))
    connection = lake.connect()
    query = "select count(*), sum(volume), min(ts), max(ts) from {}"
    assert connection.execute(query.format("bars_monthly")).fetchall() == (
        connection.execute(query.format("bars")).fetchall()
    )


def test_a_table_without_dates_is_refused(lake, calendar):
    lake.write("landing_bars", session_bars(calendar), keys={"period": "2025-02"}, config_hash="c", producer="test")
    with pytest.raises(LakeError, match="not date"):
        compact_table(lake, "landing_bars", before=date(2025, 3, 1))
