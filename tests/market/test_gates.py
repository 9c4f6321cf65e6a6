"""Gates of bars: what is refused, what blocks a session, what is left alone."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from argus_core.calendar import TradingCalendar, load_calendar
from argus_core.market.gate_report import REASONS, GateReport
from argus_core.market.gates import gate_bars
from argus_core.market.schemas import Bars, Quarantine
from argus_core.settings import GateSettings, Instrument
from tests.market.gate_frames import BTC, DAY, SPY, change, session_bars

GATES = GateSettings()


def gate(frame: pl.DataFrame, calendar: TradingCalendar, **more) -> GateReport:
    return gate_bars(frame, SPY, DAY, calendar, GATES, **more)


def history(calendar: TradingCalendar, days: int = 5, instrument: Instrument = SPY) -> pl.DataFrame:
    """Published bars of the sessions before DAY."""
    past = calendar.last_sessions(DAY - timedelta(days=1), days)
    return pl.concat(
        [gate_bars(session_bars(calendar, instrument, d), instrument, d, calendar, GATES).published for d in past]
    )


def test_a_whole_session_passes_every_check_and_loses_no_row(calendar):
    report = gate(session_bars(calendar), calendar, recent=history(calendar))
    assert report.passed
    assert report.failures == []
    assert report.published.height == 390
    assert report.quarantined.is_empty()
    Bars.validate(report.published)
    Quarantine.validate(report.quarantined)


def test_available_at_is_the_end_of_the_bar_plus_the_delay(calendar):
    report = gate(session_bars(calendar), calendar, delay_seconds=15)
    first = report.published.row(0, named=True)
    assert first["end"] - first["ts"] == timedelta(seconds=60)
    assert first["available_at"] - first["ts"] == timedelta(seconds=75)
    assert first["session"] == "RTH"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"close": None}, "MISSING_PRICE"),
        ({"close": float("nan")}, "MISSING_PRICE"),
        ({"open": float("inf")}, "MISSING_PRICE"),
        ({"low": 0.0}, "NON_POSITIVE_PRICE"),
        ({"high": 1.0}, "OHLC_ORDER"),
        ({"low": 700.0, "high": 800.0}, "OHLC_ORDER"),
        ({"volume": None}, "MISSING_VOLUME"),
        ({"volume": -1.0}, "NEGATIVE_VOLUME"),
        ({"bid": 600.1, "ask": 600.0}, "CROSSED_QUOTE"),
        ({"symbol": "QQQ"}, "WRONG_SERIES"),
        ({"open": 600.0, "high": 900.0, "low": 600.0, "close": 900.0}, "JUMP"),
        ({"high": 900.0}, "JUMP"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason_and_the_session_goes_on(calendar, values, reason):
    report = gate(change(session_bars(calendar), 100, **values), calendar)
    assert report.counts == {reason: 1}
    assert report.published.height == 389
    assert report.passed
    assert reason in REASONS


def test_bars_off_the_grid_of_another_day_or_outside_hours_are_told_apart(calendar):
    frame = session_bars(calendar)
    off = frame[10:11].with_columns(pl.col("ts") + pl.duration(seconds=7))
    misdated = frame[11:12].with_columns(pl.col("ts") + pl.duration(days=1))
    pre = frame[0:1].with_columns(pl.col("ts") - pl.duration(minutes=30))
    report = gate(pl.concat([frame, off, misdated, pre]), calendar)
    assert report.counts == {"MISDATED": 1, "OFF_GRID": 1, "OUTSIDE_HOURS": 1}
    assert report.passed
    assert report.check("outside_hours").value == 1.0
    assert report.check("refused_share").value == pytest.approx(2 / 392)


def test_of_two_bars_with_one_start_the_one_with_more_volume_stays(calendar):
    frame = session_bars(calendar)
    thin = frame[20:21].with_columns(pl.lit(1.0).alias("volume"))
    report = gate(pl.concat([thin, frame]), calendar)
    assert report.counts == {"DUPLICATE_TS": 1}
    assert report.published["volume"][20] == frame["volume"][20]


def test_a_day_that_is_no_session_publishes_nothing(calendar):
    saturday = date(2025, 2, 8)
    report = gate_bars(session_bars(calendar), SPY, saturday, calendar, GATES)
    assert not report.passed
    assert report.counts == {"NOT_A_SESSION": 390}


def test_a_missing_session_fails_on_rows_and_completeness(calendar):
    report = gate(session_bars(calendar).head(0), calendar)
    assert [c.name for c in report.failures] == ["rows", "completeness"]


def test_a_missing_column_fails_the_schema_and_refuses_every_row(calendar):
    report = gate(session_bars(calendar).drop("close"), calendar)
    assert [c.name for c in report.failures] == ["schema"]
    assert report.quarantined.height == 390


def test_a_late_start_and_a_thin_session_block(calendar):
    late = gate(session_bars(calendar)[12:], calendar)
    assert [c.name for c in late.failures] == ["late_start"]
    assert late.check("late_start").value == 12.0
    thin = gate(session_bars(calendar)[::2], calendar)
    assert thin.check("completeness").value == 0.5
    assert not thin.passed


def test_a_jump_that_stays_blocks_instead_of_losing_the_rest_of_the_session(calendar):
    frame = session_bars(calendar)
    half = (pl.int_range(pl.len()) >= 200).cast(pl.Float64) + 1.0
    report = gate(frame.with_columns([pl.col(c) * half for c in ("open", "high", "low", "close")]), calendar)
    assert report.check("lasting_jump").value == 1.0
    assert not report.passed
    assert report.published.height == 390


def test_a_frozen_feed_blocks(calendar):
    frame = session_bars(calendar)
    stuck = pl.int_range(pl.len()).is_between(100, 140)
    price = frame["close"][99]
    frozen = frame.with_columns(
        [pl.when(stuck).then(pl.lit(price)).otherwise(pl.col(c)).alias(c) for c in ("open", "high", "low", "close")]
        + [pl.when(stuck).then(0.0).otherwise(pl.col("volume")).alias("volume")]
    )
    report = gate(change(frozen, 141, open=price, low=min(price, frame["low"][141]), high=700.0), calendar)
    assert report.check("stale").value == 41.0
    assert "stale" in [c.name for c in report.failures]


def test_a_split_like_open_blocks_and_an_ordinary_gap_does_not(calendar):
    past = history(calendar)
    last = past["close"][-1]
    split = gate(session_bars(calendar, start=last / 7), calendar, recent=past)
    assert [c.name for c in split.failures] == ["split"]
    assert gate(session_bars(calendar, start=last * 0.93), calendar, recent=past).passed


def test_an_iex_day_blocks_by_its_volume_even_when_it_says_sip(calendar):
    report = gate(session_bars(calendar, volume=1_000.0), calendar, recent=history(calendar))
    assert [c.name for c in report.failures] == ["volume_scale"]
    assert report.check("volume_scale").value == pytest.approx(0.02, rel=0.2)


def test_another_scope_is_a_warning_and_two_scopes_in_one_session_block(calendar):
    past = history(calendar)
    other = gate(session_bars(calendar, scope="ibkr"), calendar, recent=past)
    assert other.passed
    assert [c.name for c in other.failures] == ["volume_scope_change"]
    mixed = gate(change(session_bars(calendar), 5, volume_scope="ibkr"), calendar, recent=past)
    assert "one_volume_scope" in [c.name for c in mixed.failures]
    assert not mixed.passed


def test_a_session_copied_under_the_next_date_blocks_and_names_the_original(calendar):
    past = history(calendar)
    original = past["trade_date"].unique().sort()[-1]
    copy = session_bars(calendar, day=original).with_columns(pl.col("ts") + pl.duration(days=(DAY - original).days))
    report = gate(copy, calendar, recent=past)
    check = report.check("duplicate_day")
    assert not check.passed
    assert check.value == 1.0
    assert str(original) in check.detail


def test_rows_of_the_day_or_later_in_the_past_change_nothing(calendar):
    past = history(calendar)
    frame = session_bars(calendar)
    own = gate(frame, calendar).published
    later = gate_bars(
        session_bars(calendar, day=date(2025, 2, 5), volume=1.0), SPY, date(2025, 2, 5), calendar, GATES
    ).published
    alone, informed = (gate(frame, calendar, recent=r) for r in (past, pl.concat([past, own, later])))
    assert alone.checks == informed.checks
    assert_frame_equal(alone.published, informed.published)


def test_an_index_without_volume_is_published_with_zero_volume_and_its_scope_says_why(calendar):
    index = Instrument(symbol="SPX", asset_class="index")
    frame = session_bars(calendar, index, scope="none").with_columns(pl.lit(None, pl.Float64).alias("volume"))
    report = gate_bars(frame, index, DAY, calendar, GATES)
    assert report.passed
    assert report.published["volume"].sum() == 0.0


def test_extended_series_are_judged_by_their_regular_hours(calendar):
    extended = SPY.model_copy(update={"hours": "extended"})
    frame = session_bars(calendar, extended)
    minutes = pl.col("ts").dt.convert_time_zone("America/New_York").dt.time()
    sparse = frame.filter(
        minutes.is_between(pl.time(9, 30), pl.time(16, 0), closed="left") | (pl.int_range(pl.len()) % 7 == 0)
    )
    report = gate_bars(sparse, extended, DAY, calendar, GATES)
    assert report.passed
    assert set(report.published["session"].unique()) == {"PRE", "RTH", "POST"}


def test_a_crypto_partition_runs_from_close_to_close(calendar):
    report = gate_bars(session_bars(calendar, BTC, start=90_000.0, scope="exchange"), BTC, DAY, calendar, GATES)
    assert report.passed
    assert report.published.height == 1440
    assert str(report.published["ts"][0]) == "2025-02-03 21:00:00+00:00"


def test_a_daily_bar_ends_at_the_close_of_its_session_early_closes_included(calendar):
    daily = Instrument(symbol="EWJ", asset_class="etf", bar_seconds=86_400)
    day = date(2024, 12, 24)
    report = gate_bars(session_bars(calendar, daily, day), daily, day, calendar, GATES)
    assert report.passed
    assert str(report.published["end"][0]) == "2024-12-24 18:00:00+00:00"


ROWS = st.lists(
    st.tuples(
        st.integers(-40, 430),
        st.sampled_from(
            [{}, {"close": None}, {"close": -1.0}, {"high": 1.0}, {"volume": -5.0}, {"close": 5_000.0}, {"bid": 9e9}]
        ),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 2**32 - 1))
def test_no_row_is_lost_or_invented_and_the_order_of_the_input_does_not_matter(rows, seed):
    calendar = load_calendar("XNYS")
    frame = session_bars(calendar)
    extra = [
        change(
            frame[0:1].with_columns((pl.col("ts") + pl.duration(minutes=minute)), pl.lit(1.0).alias("ask")), 0, **values
        )
        for minute, values in rows
    ]
    whole = pl.concat([frame, *extra])
    report = gate(whole, calendar)
    assert report.published.height + report.quarantined.height == whole.height
    keys = ["ts", "open", "high", "low", "close", "volume"]
    assert report.published.join(whole, on=keys, how="anti", nulls_equal=True).is_empty()
    assert report.published["ts"].is_sorted()
    assert report.published["ts"].is_unique().all()
    assert set(report.counts) <= set(REASONS)
    order = np.random.default_rng(seed).permutation(whole.height)
    again = gate(whole[order.tolist()], calendar)
    assert_frame_equal(report.published, again.published)
    assert_frame_equal(report.quarantined, again.quarantined)
    assert report.checks == again.checks


def real_bars(folder: Path, name: str, day: date, calendar: TradingCalendar, instrument: Instrument) -> pl.DataFrame:
    begin, stop = calendar.partition_bounds(day, instrument)
    frame = pl.scan_parquet(folder / name).filter((pl.col("ts") >= begin) & (pl.col("ts") < stop)).collect()
    return frame.with_columns(
        pl.lit("files").alias("provider"),
        pl.lit(instrument.bar_seconds).alias("bar_seconds"),
        pl.col("volume").cast(pl.Float64),
    )


def test_real_late_starts_missing_sessions_and_the_early_end_fail(calendar, shared_data):
    def failures(day: date) -> list[str]:
        frame = real_bars(shared_data, "bars_1m/SPY.parquet", day, calendar, SPY)
        return [c.name for c in gate_bars(frame, SPY, day, calendar, GATES).failures if c.blocking]

    assert failures(date(2025, 8, 11)) == ["completeness", "late_start"]
    assert failures(date(2025, 9, 9)) == ["late_start"]
    for friday in (date(2025, 8, 15), date(2025, 8, 22), date(2025, 8, 29), date(2025, 9, 5), date(2025, 9, 12)):
        assert failures(friday) == ["rows", "completeness"]
    assert failures(date(2025, 4, 2)) == ["completeness"]
    assert failures(date(2024, 7, 3)) == []


def test_a_real_iex_friday_fails_by_its_volume(calendar, shared_data):
    friday = date(2025, 9, 19)
    past = pl.concat(
        [
            gate_bars(
                real_bars(shared_data, "bars_1m/SPY.parquet", d, calendar, SPY), SPY, d, calendar, GATES
            ).published
            for d in calendar.last_sessions(friday - timedelta(days=1), 4)
        ]
    )
    report = gate_bars(
        real_bars(shared_data, "bars_1m/SPY.parquet", friday, calendar, SPY), SPY, friday, calendar, GATES, recent=past
    )
    failed = {c.name for c in report.failures}
    assert {"volume_scale", "volume_scope_change"} <= failed
    assert report.check("volume_scale").value < 0.04


@pytest.mark.parametrize("hours", ["rth", "extended"])
def test_the_real_apple_split_blocks_its_first_day(calendar, shared_data, hours):
    # Its first minute before the open still printed the old price once: open 645.57, close 92.42.
    apple = Instrument(symbol="AAPL", asset_class="equity", hours=hours)
    past = None
    for day, expected in ((date(2014, 6, 5), []), (date(2014, 6, 6), []), (date(2014, 6, 9), ["split"])):
        frame = real_bars(shared_data, "bars_1m_quotes/AAPL.parquet", day, calendar, apple)
        report = gate_bars(frame, apple, day, calendar, GATES, recent=past)
        assert [c.name for c in report.failures] == expected
        past = report.published if past is None else pl.concat([past, report.published])


def test_the_real_sixteen_hundred_bar_of_the_index_is_outside_hours(calendar, shared_data):
    index = Instrument(symbol="SPX", asset_class="index")
    frame = real_bars(shared_data, "bars_1m/SPX.parquet", date(2026, 8, 18), calendar, index)
    report = gate_bars(frame, index, date(2026, 8, 18), calendar, GATES)
    assert report.passed
    assert report.counts == {"OUTSIDE_HOURS": 1}
