"""Gates of reference bars: when a daily bar may be seen, and closes that turn out wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.market.gates import gate_references
from argus_core.market.schemas import RawBars, References, conform
from argus_core.settings import GateSettings, Instrument

GATES = GateSettings()
UNIVERSE = {
    "EWJ": Instrument(symbol="EWJ", asset_class="etf", bar_seconds=86_400),
    "USDJPY": Instrument(symbol="USDJPY", asset_class="fx", bar_seconds=86_400),
    "SPY": Instrument(symbol="SPY", asset_class="etf"),
}
FLOW = ("EWJ", "FXI", "EWT", "EWY", "INDA", "EWG", "EWU", "FEZ", "EWL")


def daily(symbol: str, ts: datetime, close: float, *, open_: float | None = None, volume: float = 1e6) -> pl.DataFrame:
    first = close if open_ is None else open_
    row = {
        "provider": "test",
        "symbol": symbol,
        "bar_seconds": 86_400,
        "ts": ts,
        "open": first,
        "high": max(first, close),
        "low": min(first, close),
        "close": close,
        "volume": volume,
        "volume_scope": "sip",
    }
    return conform(pl.DataFrame([row]).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC"))), RawBars)


def opened(calendar, day: date) -> datetime:
    return calendar.session_bounds(day)[0]


def test_an_etf_bar_is_seen_at_its_sessions_close_and_an_fx_bar_a_day_after_its_start(calendar):
    day = date(2024, 12, 24)  # closes at 13:00 New York
    frame = pl.concat(
        [
            daily("EWJ", opened(calendar, day), 66.4),
            daily("SPY", opened(calendar, day), 600.0),
            daily("USDJPY", datetime(2024, 12, 24, tzinfo=UTC), 157.2),
        ]
    )
    references, refused = gate_references(frame, day, calendar, UNIVERSE, GATES, delay_seconds={"test": 60})
    assert refused.is_empty()
    References.validate(references)
    assert references["symbol"].to_list() == ["EWJ", "SPY", "USDJPY"]
    assert [str(t) for t in references["available_at"]] == [
        "2024-12-24 18:01:00+00:00",
        "2024-12-24 18:01:00+00:00",
        "2024-12-25 00:01:00+00:00",
    ]


def test_no_reference_is_available_before_its_bar_has_ended(calendar):
    for day in calendar.sessions_between(date(2024, 11, 25), date(2024, 12, 6)):
        references, _ = gate_references(daily("EWJ", opened(calendar, day), 66.0), day, calendar, UNIVERSE, GATES)
        assert references["available_at"][0] == calendar.session_bounds(day)[1]


@pytest.mark.parametrize(("close", "reason"), [(None, "MISSING_PRICE"), (-1.0, "NON_POSITIVE_PRICE")])
def test_bad_reference_rows_are_refused_and_the_others_go_on(calendar, close, reason):
    day = date(2025, 2, 4)
    good = daily("EWT", opened(calendar, day), 50.0)
    bad = daily("EWJ", opened(calendar, day), 66.0).with_columns(pl.lit(close, pl.Float64).alias("close"))
    references, refused = gate_references(pl.concat([good, bad]), day, calendar, UNIVERSE, GATES)
    assert references["symbol"].to_list() == ["EWT"]
    assert refused["reason"].to_list() == [reason]


def test_a_bar_of_another_date_and_a_second_bar_are_refused(calendar):
    day = date(2025, 2, 4)
    own = daily("EWJ", opened(calendar, day), 66.0)
    other = daily("EWT", opened(calendar, date(2025, 2, 3)), 50.0)
    references, refused = gate_references(pl.concat([own, own, other]), day, calendar, UNIVERSE, GATES)
    assert references.height == 1
    assert refused["reason"].sort().to_list() == ["DUPLICATE_TS", "MISDATED"]


def test_closes_without_an_open_are_published(calendar):
    day = date(2025, 2, 4)
    frame = daily("EWJ", opened(calendar, day), 66.0).with_columns(
        [pl.lit(None, pl.Float64).alias(c) for c in ("open", "high", "low", "volume")]
    )
    references, refused = gate_references(frame, day, calendar, UNIVERSE, GATES)
    assert references["close"].to_list() == [66.0]
    assert references["open"].to_list() == [None]
    assert refused.is_empty()


def test_a_second_feed_exposes_a_wrong_close_one_session_later_and_not_before(calendar):
    days = calendar.sessions_between(date(2025, 2, 3), date(2025, 2, 6))
    closes = dict(zip(days, (66.0, 66.1, 65.2, 66.3), strict=True))  # the third is wrong
    second = pl.DataFrame({"symbol": "EWJ", "trade_date": days, "close": [66.0, 66.1, 66.2, 66.3]})
    frames = {d: daily("EWJ", opened(calendar, d), c) for d, c in closes.items()}
    past = pl.concat(frames.values())
    _, at_the_day = gate_references(
        frames[days[2]], days[2], calendar, UNIVERSE, GATES, recent=past, other_closes=second
    )
    _, after = gate_references(frames[days[3]], days[3], calendar, UNIVERSE, GATES, recent=past, other_closes=second)
    assert at_the_day.is_empty()
    assert after["reason"].to_list() == ["WRONG_CLOSE"]
    assert after["ts"].to_list() == [opened(calendar, days[2])]


def real_daily(shared_data, symbols=FLOW) -> pl.DataFrame:
    frames = [
        pl.read_parquet(shared_data / f"bars_1d/{s}.parquet").filter(
            pl.col("date").is_between(date(2024, 8, 1), date(2025, 1, 10))
        )
        for s in symbols
    ]
    frame = pl.concat(frames).with_columns(pl.lit("files").alias("provider"), pl.lit(86_400).alias("bar_seconds"))
    return conform(frame, RawBars)


def test_the_real_wrong_closes_of_2024_12_23_are_flagged_when_the_next_session_arrives(calendar, shared_data):
    every = real_daily(shared_data)
    flagged, partial = {}, {}
    for day in calendar.sessions_between(date(2024, 12, 16), date(2024, 12, 31)):
        today = every.filter(pl.col("ts").dt.date() == day)
        references, quarantined = gate_references(today, day, calendar, UNIVERSE, GATES, recent=every)
        assert references.height == len(FLOW), "warnings never take a published row away"
        flagged[day] = quarantined.filter(pl.col("reason") == "WRONG_CLOSE")
        partial[day] = quarantined.filter(pl.col("reason") == "PARTIAL_DAY").height
    assert partial[date(2024, 12, 23)] == len(FLOW), "known on the day itself, from its volume"
    assert flagged[date(2024, 12, 23)].is_empty(), "nothing about the close can be known before the next open"
    after = flagged[date(2024, 12, 24)]
    assert after["symbol"].to_list() == sorted(FLOW)
    assert set(after["ts"].dt.date()) == {date(2024, 12, 23)}
    assert sum(f.height for f in flagged.values()) == len(FLOW)


def test_the_real_wrong_close_of_fxi_needs_the_second_feed(calendar, shared_data):
    every = real_daily(shared_data, ("FXI",))
    second = pl.read_parquet(shared_data / "closes_1d/adj_close.parquet").rename(
        {"date": "trade_date", "adj_close": "close"}
    )
    day = date(2024, 10, 8)
    today = every.filter(pl.col("ts").dt.date() == day)
    _, alone = gate_references(today, day, calendar, UNIVERSE, GATES, recent=every)
    _, compared = gate_references(today, day, calendar, UNIVERSE, GATES, recent=every, other_closes=second)
    assert "WRONG_CLOSE" not in alone["reason"].to_list()
    assert compared.filter(pl.col("reason") == "WRONG_CLOSE")["ts"].dt.date().to_list() == [date(2024, 10, 7)]


def test_what_comes_later_changes_no_verdict(calendar, shared_data):
    every = real_daily(shared_data)
    day = date(2024, 12, 20)
    today = every.filter(pl.col("ts").dt.date() == day)
    with_future = gate_references(today, day, calendar, UNIVERSE, GATES, recent=every)
    without = gate_references(
        today[::-1], day, calendar, UNIVERSE, GATES, recent=every.filter(pl.col("ts").dt.date() < day)
    )
    for a, b in zip(with_future, without, strict=True):
        assert_frame_equal(a, b)
