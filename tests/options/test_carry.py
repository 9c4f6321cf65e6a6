"""Sides that a feed of changes does not mention stand until they change or grow too old."""

from __future__ import annotations

import polars as pl
import pytest

from argus_core.options import OptionTape, carry_quotes
from tests.replay.quotes import at, quotes

PUT = {"right": "P", "strike": 100.0, "age": 0.0}


def feed(*rows: dict) -> pl.DataFrame:
    return quotes([{**PUT, **row} for row in rows])


def test_each_side_stands_on_its_own():
    raw = feed(
        {"recv": at("03 15:00"), "bid": 1.0, "ask": 1.1},
        {"recv": at("03 15:01"), "bid": 1.05, "ask": None},
        {"recv": at("03 15:02"), "bid": None, "ask": 1.2, "strike": 95.0},
        {"recv": at("03 15:03"), "bid": None, "ask": 1.3},
    )
    tape = OptionTape(carry_quotes(raw, 3600))
    found = [shot.quote("SPY250205P00100000") for shot in tape.snapshots]
    assert [(q.bid, q.ask) for q in found] == [(1.0, 1.1), (1.05, 1.1), (1.05, 1.1), (1.05, 1.3)]
    # The older side's time counts.
    assert [q.ts_us for q in found] == [
        int(at(t).timestamp() * 1e6) for t in ("03 15:00", "03 15:00", "03 15:00", "03 15:01")
    ]
    assert [shot.quote("SPY250205P00095000") is None for shot in tape.snapshots] == [True, True, False, False]


def test_a_side_that_is_too_old_is_unknown_and_a_contract_without_any_is_gone():
    raw = feed(
        {"recv": at("03 15:00"), "bid": 1.0, "ask": 1.1},
        {"recv": at("03 15:01"), "bid": 1.05, "ask": None},
        {"recv": at("03 15:05"), "bid": 9.0, "ask": 9.1, "strike": 95.0},
        {"recv": at("03 15:10"), "bid": 9.0, "ask": 9.1, "strike": 95.0},
    )
    tape = OptionTape(carry_quotes(raw, 250))
    third = tape.snapshots[2].quote("SPY250205P00100000")
    assert third.bid == 1.05
    assert third.ask != third.ask
    assert tape.snapshots[3].quote("SPY250205P00100000") is None


def test_nothing_from_later_receipts_is_seen_earlier():
    rows = [{"recv": at(f"03 15:{m:02d}"), "bid": float(m), "ask": None if m % 2 else m + 1.0} for m in range(1, 9)]
    whole = carry_quotes(feed(*rows), 3600)
    for cut in range(1, 8):
        part = carry_quotes(feed(*rows[:cut]), 3600)
        assert part.equals(whole.filter(pl.col("recv_ts") <= rows[cut - 1]["recv"]))


def test_real_changes_of_a_day_become_whole_snapshots(shared_data):
    raw = pl.read_parquet(shared_data / "option_quotes" / "TWX_2014-06-05_1m.parquet").with_columns(
        provider=pl.lit("lean")
    )
    carried = carry_quotes(raw, 6 * 3600)
    last = carried.filter(pl.col("recv_ts") == carried["recv_ts"].max())
    seen = raw.filter(pl.col("bid").is_not_null() | pl.col("ask").is_not_null())["contract"].n_unique()
    assert last.height > 0.9 * seen
    # The value carried to the end is the last one that was received.
    bids = raw.filter(pl.col("bid").is_not_null()).sort("recv_ts").group_by("contract").agg(pl.col("bid").last())
    both = last.filter(pl.col("bid").is_not_null()).join(bids, on="contract", suffix="_last")
    assert both["bid"].to_list() == pytest.approx(both["bid_last"].to_list())
