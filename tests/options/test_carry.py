"""Sides that a feed of changes does not mention stand until they change or grow too old."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options import OptionTape
from argus_core.options.carry import whole_chains
from tests.replay.quotes import at, quotes

PUT = {"right": "P", "strike": 100.0, "age": 0.0}


def feed(*rows: dict) -> pl.DataFrame:
    return quotes([{**PUT, **row} for row in rows])


def plainly(raw: pl.DataFrame, seconds: float) -> list[dict]:
    """The same the slow way: rows in order of receipt, sides in a dictionary, per snapshot contract -> quote."""
    sides: dict[tuple[str, str], tuple] = {}
    found = []
    for recv in raw["recv_ts"].unique().sort():
        for row in raw.filter(pl.col("recv_ts") == recv).sort("ts").iter_rows(named=True):
            for side in ("bid", "ask"):
                if row[side] is not None:
                    sides[row["contract"], side] = (row[side], row[f"{side}_size"], row["ts"], row["expiry"])
        shot: dict = {}
        for (contract, side), (price, size, stood, expiry) in sides.items():
            if (recv - stood).total_seconds() <= seconds and recv.date() <= expiry:
                shot.setdefault(contract, {})[side] = (price, size, stood)
        found.append(shot)
    return found


def seen(shot, contract: str) -> dict:
    quote = shot.quote(contract)
    sides = {"bid": (quote.bid, quote.bid_size), "ask": (quote.ask, quote.ask_size)}
    return {name: pair for name, pair in sides.items() if pair[0] == pair[0]}


def expected(shot: dict, contract: str) -> dict:
    nan = float("nan")
    return {name: (price, nan if size is None else size) for name, (price, size, _) in shot[contract].items()}


changes = st.lists(
    st.tuples(
        st.integers(0, 6), st.integers(0, 90), st.sampled_from([95.0, 100.0]), st.sampled_from([3, 5]),
        st.sampled_from([None, 1.0, 2.0, 3.0]), st.sampled_from([None, 1.5, 2.5]),
    ),
    min_size=1, max_size=14, unique_by=lambda x: x[:4],
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(changes, st.sampled_from([60, 150, 3600]))
def test_snapshots_are_those_of_a_plain_walk_through_the_rows(rows, seconds):
    raw = quotes(
        [
            {
                "recv": at(f"03 15:{minute:02d}") + timedelta(days=minute // 4), "age": age, "strike": strike,
                "right": "P", "expiry": date(2025, 2, day), "bid": bid, "ask": ask, "bid_size": bid, "ask_size": ask,
            }
            for minute, age, strike, day, bid, ask in rows
        ]
    )  # fmt: skip
    tape = OptionTape(raw.sample(fraction=1.0, shuffle=True, seed=1), seconds)
    plain = plainly(raw, seconds)
    assert tape.recv_us == [int(t.timestamp() * 1e6) for t in raw["recv_ts"].unique().sort()]
    for shot, wanted in zip(tape.snapshots, plain, strict=True):
        assert sorted(shot.contracts) == sorted(wanted)
        assert all(shot.quote(name) is None for name in set(raw["contract"]) - set(wanted))
        for row, contract in enumerate(shot.contracts):
            assert seen(shot, contract) == expected(wanted, contract)
            quote = shot.quote(contract)
            assert quote.ts_us == min(int(side[2].timestamp() * 1e6) for side in wanted[contract].values())
            # The gathered chain says the same.
            assert shot.ts_us[row] == quote.ts_us
            for name in ("bid", "ask", "bid_size", "ask_size"):
                assert np.array_equal(shot.columns[name][row], getattr(quote, name), equal_nan=True)


def test_each_side_stands_on_its_own():
    raw = feed(
        {"recv": at("03 15:00"), "bid": 1.0, "ask": 1.1},
        {"recv": at("03 15:01"), "bid": 1.05, "ask": None},
        {"recv": at("03 15:02"), "bid": None, "ask": 1.2, "strike": 95.0},
        {"recv": at("03 15:03"), "bid": None, "ask": 1.3},
    )
    tape = OptionTape(raw, 3600)
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
    tape = OptionTape(raw, 250)
    third = tape.snapshots[2].quote("SPY250205P00100000")
    assert third.bid == 1.05
    assert third.ask != third.ask
    assert tape.snapshots[3].quote("SPY250205P00100000") is None


def test_nothing_from_later_receipts_is_seen_earlier():
    rows = [{"recv": at(f"03 15:{m:02d}"), "bid": float(m), "ask": None if m % 2 else m + 1.0} for m in range(1, 9)]
    whole = OptionTape(feed(*rows), 3600).snapshots
    for cut in range(1, 8):
        part = OptionTape(feed(*rows[:cut]), 3600).snapshots
        assert [one.frame.rows() for one in part] == [one.frame.rows() for one in whole[:cut]]


def test_a_snapshot_has_the_columns_of_quotes_and_one_price_of_the_underlying():
    raw = feed(
        {"recv": at("03 15:00"), "bid": 1.0, "ask": 1.1, "underlying_price": 99.0, "open_interest": 7.0, "iv": 0.2},
        {"recv": at("03 15:01"), "bid": 2.0, "ask": 2.1, "strike": 105.0, "right": "C", "underlying_price": None},
        {"recv": at("03 15:02"), "bid": 2.0, "ask": None, "strike": 105.0, "right": "C", "underlying_price": 98.0},
    )
    tape = OptionTape(raw, 3600)
    frames = [shot.frame for shot in tape.snapshots]
    assert all(frame.schema == raw.schema for frame in frames)
    assert [frame["underlying_price"].to_list() for frame in frames] == [[99.0], [99.0] * 2, [98.0] * 2]
    assert frames[2]["open_interest"].to_list() == [7.0, None]
    assert frames[2]["iv"].to_list() == [0.2, None]
    assert tape.snapshots[2].calls.tolist() == [False, True]
    assert tape.snapshots[2].quote("SPY250205C00105000").underlying == 98.0
    with pytest.raises(ValueError, match="read-only"):
        tape.snapshots[2].columns["bid"][0] = 9.0


def test_arrays_beyond_the_limit_are_gathered_again(monkeypatch):
    monkeypatch.setattr("argus_core.options.carry.KEPT_ROWS", 3)
    raw = feed(*({"recv": at(f"03 15:{m:02d}"), "bid": float(m), "ask": m + 1.0} for m in range(1, 9)))
    shots = OptionTape(raw, 3600).snapshots
    assert [one.columns["bid"].tolist() for one in shots] == [[float(m)] for m in range(1, 9)]
    shots[0].cache["computed"] = 1
    assert ["_gathered" in vars(one) for one in shots] == [False] * 5 + [True] * 3
    assert [one.columns["bid"].tolist() for one in shots] == [[float(m)] for m in range(1, 9)]
    assert shots[0].cache == {}


def test_a_feed_without_rows_has_no_snapshots():
    assert len(OptionTape(feed({"recv": at("03 15:00"), "bid": 1.0, "ask": 1.1}).clear(), 60)) == 0


def test_real_changes_of_a_day_become_whole_snapshots(shared_data):
    raw = pl.read_parquet(shared_data / "option_quotes" / "TWX_2014-06-05_1m.parquet")
    raw = conform(raw.with_columns(provider=pl.lit("lean")), OptionQuotes)
    tape = OptionTape(raw, 6 * 3600)
    for number in (0, 57, len(tape) - 1):
        shot = tape.snapshots[number]
        wanted = plainly(raw.filter(pl.col("recv_ts") <= shot.frame["recv_ts"][0]), 6 * 3600)[-1]
        assert sorted(shot.contracts) == sorted(wanted)
        assert all(seen(shot, name) == expected(wanted, name) for name in wanted)
    assert len(tape.snapshots[-1].contracts) > 0.9 * raw["contract"].n_unique()


def test_whole_chains_keep_the_last_receipt_of_every_span():
    rows = [
        {"recv": at("03 15:00"), "right": "C", "strike": 100.0, "bid": 1.0, "ask": 1.2},
        {"recv": at("03 15:10"), "right": "C", "strike": 100.0, "bid": 1.1, "ask": None},
        {"recv": at("03 15:20"), "right": "P", "strike": 100.0, "bid": 2.0, "ask": 2.2},
    ]
    every = whole_chains(quotes(rows), 3600)
    assert every.group_by("recv_ts", maintain_order=True).len()["len"].to_list() == [1, 1, 2]
    half_hours = whole_chains(quotes(rows), 3600, 1800)
    assert half_hours["recv_ts"].unique().to_list() == [at("03 15:20")]
    assert half_hours.sort("right")["bid"].to_list() == [1.1, 2.0]
    assert whole_chains(quotes(rows).clear(), 3600).is_empty()
