"""Gates of option quotes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from argus_core.calendar import load_calendar
from argus_core.market.gates import gate_option_quotes
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.settings import GateSettings, Instrument
from tests.market.gate_frames import change

GATES = GateSettings()
DAY = date(2025, 2, 4)
CHAIN_TIME = datetime(2025, 2, 4, 20, 15, tzinfo=UTC)


def chain(contracts: int = 20, *, ts: datetime = CHAIN_TIME, lag: int = 900) -> pl.DataFrame:
    strike = 580.0 + np.arange(contracts)
    frame = pl.DataFrame(
        {
            "provider": "test",
            "underlying": "SPY",
            "ts": ts,
            "recv_ts": ts + timedelta(seconds=lag),
            "contract": [f"SPY250221C{int(k * 1000):08d}" for k in strike],
            "expiry": date(2025, 2, 21),
            "strike": strike,
            "right": "C",
            "bid": 20.0 - np.arange(contracts) * 0.9,
            "ask": 20.1 - np.arange(contracts) * 0.9,
            "bid_size": 10.0,
            "ask_size": 10.0,
            "underlying_price": 598.0,
        }
    )
    return conform(frame, OptionQuotes)


def gate(frame, **more):
    return gate_option_quotes(frame, DAY, load_calendar("XNYS"), GATES, **more)


def test_a_good_chain_passes_whole():
    report = gate(chain())
    assert report.passed
    assert report.published.height == 20
    OptionQuotes.validate(report.published)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"bid": 99.0}, "CROSSED"),
        ({"ask": 0.0}, "ZERO_ASK"),
        ({"bid": -0.5}, "NEGATIVE"),
        ({"bid_size": -1.0}, "NEGATIVE"),
        ({"strike": 0.0}, "NEGATIVE"),
        ({"bid": None, "ask": None}, "NO_QUOTE"),
        ({"right": "X"}, "MISSING_KEY"),
        ({"recv_ts": CHAIN_TIME - timedelta(seconds=1)}, "FUTURE"),
        ({"ts": CHAIN_TIME - timedelta(days=1)}, "MISDATED"),
        ({"expiry": date(2025, 2, 3)}, "EXPIRED"),
    ],
)
def test_a_bad_quote_is_refused_with_its_reason(values, reason):
    report = gate(change(chain(), 3, **values))
    assert report.counts == {reason: 1}
    assert report.published.height == 19
    assert report.passed


def test_one_sided_and_zero_bid_quotes_stay():
    assert gate(change(change(chain(), 0, bid=None), 1, bid=0.0)).published.height == 20


def test_a_snapshot_of_mostly_bad_quotes_fails_and_one_without_quotes_too():
    crossed = gate(chain().with_columns(pl.col("bid") + 1.0))
    assert [c.name for c in crossed.failures] == ["rows", "refused_share"]
    silent = gate(chain().with_columns(pl.lit(None, pl.Float64).alias("bid"), pl.lit(None, pl.Float64).alias("ask")))
    assert [c.name for c in silent.failures] == ["rows"]


def test_a_repeated_row_is_refused_and_a_later_snapshot_is_not():
    later = chain(ts=CHAIN_TIME - timedelta(hours=1))
    report = gate(pl.concat([chain(), chain(), later]))
    assert report.counts == {"DUPLICATE_QUOTE": 20}
    assert report.published.height == 40


def test_the_same_quote_fetched_again_the_next_day_is_a_stale_copy():
    report = gate(pl.concat([chain(), chain(lag=86_400)]))
    assert report.counts == {"STALE_COPY": 20}
    assert report.published["recv_ts"].max() == CHAIN_TIME + timedelta(seconds=900)


def test_yesterdays_chain_under_todays_date_blocks_and_a_moved_chain_does_not():
    yesterday = chain(ts=CHAIN_TIME - timedelta(days=1))
    report = gate(chain(), recent=yesterday)
    assert [c.name for c in report.failures] == ["duplicate_day"]
    assert "2025-02-03" in report.check("duplicate_day").detail
    assert gate(chain().with_columns(pl.col("ask") + 0.05), recent=yesterday).passed
    assert gate(chain(), recent=chain()).passed, "quotes of the day itself are no past"


def test_weekend_quotes_of_a_coin_belong_to_the_next_session():
    bitcoin = Instrument(symbol="BTC", asset_class="crypto", hours="always")
    sunday = chain(ts=datetime(2025, 2, 2, 1, 50, tzinfo=UTC)).with_columns(pl.lit(date(2025, 2, 2)).alias("expiry"))
    report = gate_option_quotes(sunday, date(2025, 2, 3), load_calendar("XNYS"), GATES, instrument=bitcoin)
    assert report.passed
    assert report.published.height == 20


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 19),
            st.sampled_from([{}, {"bid": 99.0}, {"ask": 0.0}, {"bid": None, "ask": None}, {"right": "X"}]),
        ),
        max_size=10,
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_quote_is_lost_or_invented_and_order_does_not_matter(rows, seed):
    whole = pl.concat([chain(), *[change(chain()[row : row + 1], 0, **values) for row, values in rows]])
    report = gate(whole)
    assert report.published.height + report.quarantined.height == whole.height
    again = gate(whole[np.random.default_rng(seed).permutation(whole.height).tolist()])
    assert_frame_equal(report.published, again.published)
    assert_frame_equal(report.quarantined, again.quarantined)
    assert report.checks == again.checks


@pytest.mark.parametrize(
    ("name", "days", "expected"),
    [
        ("SPX_2026-08-05_eod", [date(2026, 8, 5)], {"ZERO_ASK": 66}),
        ("SPXW_2021-01-04_2021-01-08_1m", [date(2021, 1, d) for d in (4, 5, 6, 7, 8)], {"CROSSED": 56}),
        ("AAPL_2014-06-06_2014-06-09_1h", [date(2014, 6, 6), date(2014, 6, 9)], {"CROSSED": 4}),
        ("SPY_2026-08-05_eod", [date(2026, 8, 5)], {}),
    ],
)
def test_the_crossed_and_zero_ask_quotes_of_the_real_files_are_found(shared_data, calendar, name, days, expected):
    frame = pl.read_parquet(shared_data / "option_quotes" / f"{name}.parquet").with_columns(
        pl.lit("files").alias("provider")
    )
    counts: dict[str, int] = {}
    for day in days:
        part = frame.filter(pl.col("ts").dt.date() == day)
        for reason, count in gate_option_quotes(part, day, calendar, GATES).counts.items():
            counts[reason] = counts.get(reason, 0) + count
    assert counts == expected


def test_a_real_chain_filed_under_the_next_date_is_misdated_or_a_duplicate(shared_data, calendar):
    frame = pl.read_parquet(shared_data / "option_quotes" / "SPY_2026-08-06_eod.parquet").with_columns(
        pl.lit("files").alias("provider")
    )
    next_day = date(2026, 8, 7)
    misdated = gate_option_quotes(frame, next_day, calendar, GATES)
    assert misdated.counts == {"MISDATED": frame.height}
    assert not misdated.passed
    shifted = frame.with_columns(pl.col("ts") + pl.duration(days=1), pl.col("recv_ts") + pl.duration(days=1))
    shifted = shifted.filter(pl.col("expiry") >= next_day)
    copied = gate_option_quotes(shifted, next_day, calendar, GATES, recent=frame)
    assert [c.name for c in copied.failures] == ["duplicate_day"]
