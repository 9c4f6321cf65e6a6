"""Regimes of one series: what they use, what they say on real data, and that a partition equals its range."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_core import features
from argus_core.calendar import NEW_YORK
from argus_core.market.lake import content_hash
from argus_core.regimes import REGIME_SCHEMA, compute_regimes, history_sessions
from argus_core.settings import RegimeSettings

SETTINGS = RegimeSettings()
LAX = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def shares(frame: pl.DataFrame, column: str) -> dict[str, float]:
    return dict(frame[column].value_counts(normalize=True).iter_rows())


def test_labels_are_informative_on_a_real_year(spy_year, spy, calendar):
    """Regression of predecessor C6: trend was RANGE on 99 % of all bars."""
    frame = compute_regimes(spy_year, spy, calendar, SETTINGS)
    for label in ("UP", "DOWN", "RANGE"):
        assert shares(frame, "trend_regime")[label] >= 0.10
    for label in ("LOW", "NORMAL", "HIGH", "SPIKE"):
        assert shares(frame, "vol_regime")[label] >= 0.01
    for label in ("HIGH", "NORMAL", "LOW", "DRIED"):
        assert shares(frame, "liquidity_regime")[label] >= 0.01
    assert frame["warm"].mean() > 0.97
    opening = frame.filter(pl.col("ts").dt.convert_time_zone("America/New_York").dt.hour() == 9)
    assert shares(opening, "vol_regime")["SPIKE"] < 0.05  # a volatile opening is usual, hence no spike


def test_labels_are_informative_on_most_single_months(spy_year, spy, calendar):
    frame = compute_regimes(spy_year, spy, calendar, SETTINGS).filter("warm")
    months = frame.group_by(pl.col("ts").dt.strftime("%Y-%m")).agg(
        up=(pl.col("trend_regime") == "UP").mean(), down=(pl.col("trend_regime") == "DOWN").mean()
    )
    assert (months["up"] > 0.10).all()
    assert (months["down"] > 0.10).all()


def test_rows_carry_the_availability_of_their_bar(make_bars, spy, calendar):
    """Regression of predecessor A2: regimes were stamped with the bar's start and seen one bar early."""
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 8)).with_columns(
        available_at=pl.col("end").dt.offset_by("2s")
    )
    frame = compute_regimes(bars, spy, calendar, SETTINGS)
    assert frame["available_at"].equals(bars["available_at"])
    decision = bars["available_at"][700]
    seen = frame.filter(pl.col("available_at") <= decision)
    assert seen["ts"][-1] == bars["ts"][700]


@LAX
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 400))
def test_a_row_uses_bars_up_to_its_own(make_bars, spy, calendar, seed, cut):
    spy10 = spy.model_copy(update={"bar_seconds": 600})
    bars = make_bars(spy10, date(2024, 5, 1), date(2024, 5, 15), seed=seed)
    cut = min(cut, bars.height)
    whole = compute_regimes(bars, spy10, calendar, SETTINGS).head(cut)
    shaken = bars.with_columns(
        pl.when(pl.int_range(pl.len()) < cut).then(pl.col(name)).otherwise(pl.col(name) * 1.5).alias(name)
        for name in ("open", "high", "low", "close", "volume")
    )
    assert content_hash(compute_regimes(bars.head(cut), spy10, calendar, SETTINGS)) == content_hash(whole)
    assert content_hash(compute_regimes(shaken, spy10, calendar, SETTINGS).head(cut)) == content_hash(whole)


@LAX
@given(seed=st.integers(0, 10_000), missing=st.sampled_from([0.0, 0.1]), skip=st.booleans())
def test_partition_computed_alone_equals_the_rows_of_the_range(make_bars, spy, btc, calendar, seed, missing, skip):
    for instrument, seconds in ((spy, 600), (spy, 3600), (btc, 1800)):
        coarse = instrument.model_copy(update={"bar_seconds": seconds})
        bars = make_bars(coarse, date(2024, 3, 1), date(2024, 7, 8), seed=seed, missing=missing)
        day = date(2024, 7, 3)
        if skip:  # a whole session without data, just before
            bars = bars.filter(pl.col("trade_date") != date(2024, 7, 2))
        first = calendar.next_session(day, -history_sessions(SETTINGS, coarse))
        alone = compute_regimes(
            bars.filter(pl.col("trade_date").is_between(first, day)), coarse, calendar, SETTINGS, anchors=(day, day)
        )
        mine = bars.filter(pl.col("trade_date") == day)["ts"]
        whole = compute_regimes(bars, coarse, calendar, SETTINGS).filter(pl.col("ts").is_in(mine.implode()))
        assert alone.height > 0
        assert content_hash(alone) == content_hash(whole)


def test_partition_of_real_minutes_equals_the_rows_of_the_year(spy_year, spy, calendar):
    whole = compute_regimes(spy_year, spy, calendar, SETTINGS)
    for day in (date(2024, 7, 3), date(2024, 7, 5), date(2025, 3, 10)):
        first = calendar.next_session(day, -history_sessions(SETTINGS, spy))
        some = spy_year.filter(pl.col("trade_date").is_between(first, day))
        alone = compute_regimes(some, spy, calendar, SETTINGS, anchors=(day, day))
        mine = some.filter(pl.col("trade_date") == day)["ts"]
        assert content_hash(alone) == content_hash(whole.filter(pl.col("ts").is_in(mine.implode())))


def test_daily_bars_have_regimes_and_stable_partitions(make_bars, spy, calendar):
    daily = spy.model_copy(update={"bar_seconds": 86400})
    bars = make_bars(daily, date(2021, 1, 4), date(2024, 7, 8), seed=4)
    whole = compute_regimes(bars, daily, calendar, SETTINGS)
    assert whole.tail(250)["warm"].all()
    assert len(shares(whole, "trend_regime")) == 3
    day = date(2024, 7, 3)
    first = calendar.next_session(day, -history_sessions(SETTINGS, daily))
    alone = compute_regimes(
        bars.filter(pl.col("trade_date").is_between(first, day)), daily, calendar, SETTINGS, anchors=(day, day)
    )
    assert content_hash(alone) == content_hash(whole.filter(pl.col("ts").dt.date() == day))


def test_vol_z_equals_a_plain_computation(make_bars, spy, calendar):
    spy10 = spy.model_copy(update={"bar_seconds": 600})
    bars = make_bars(spy10, date(2024, 5, 1), date(2024, 6, 14), seed=8, missing=0.02)
    frame = compute_regimes(bars, spy10, calendar, SETTINGS)
    rows = bars.to_dicts()
    returns, level, past = [], [], defaultdict(list)
    for i, row in enumerate(rows):
        opened = i == 0 or rows[i - 1]["trade_date"] != row["trade_date"]
        returns.append(math.log(row["close"] / (row["open"] if opened else rows[i - 1]["close"])))
        window = returns[i - 29 : i + 1] if i >= 30 else []
        level.append(math.log(max(statistics.stdev(window), 1e-6)) if len(window) == 30 else None)
    days = calendar.sessions_between(date(2024, 5, 1), date(2024, 6, 14))
    bucket = [(r["ts"].astimezone(NEW_YORK).hour * 60 + r["ts"].minute) // 30 for r in rows]
    for i, row in enumerate(rows):
        if level[i] is not None:
            past[days.index(row["trade_date"]), bucket[i]].append(level[i])
    for i in range(0, len(rows), 7):
        today = days.index(rows[i]["trade_date"])
        cells = [past[k, bucket[i]] for k in range(max(today - 20, 0), today)]
        values = [x for cell in cells for x in cell]
        if level[i] is None or sum(map(bool, cells)) < 5:
            assert frame["vol_z"][i] is None
        else:
            expected = (level[i] - statistics.mean(values)) / statistics.stdev(values)
            assert frame["vol_z"][i] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_trend_and_volume_percentile_equal_a_plain_computation(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 8), seed=8)
    frame = compute_regimes(bars, spy, calendar, SETTINGS)
    high, low, close, volume = (bars[name].to_numpy() for name in ("high", "low", "close", "volume"))
    begin = 390  # the averages of the third day start with the second
    fast = features.Ema(SETTINGS.ema_fast)
    slow, atr = features.Ema(SETTINGS.ema_slow), features.AtrWilder(SETTINGS.atr_window)
    for i in range(begin, 1170):
        f, s, unit = fast.update(close[i]), slow.update(close[i]), atr.update(high[i], low[i], close[i])
        if i >= 780:
            assert frame["trend_strength"][i] == abs((f - s) / unit)
            label = "RANGE" if abs(f - s) <= unit else ("UP" if f > s else "DOWN")
            assert frame["trend_regime"][i] == label
    for i in range(800, 1170, 37):
        before = volume[i - 390 : i]
        expected = ((before < volume[i]).sum() + 0.5 * (before == volume[i]).sum()) / 390
        assert frame["volume_percentile"][i] == pytest.approx(expected, abs=1e-12)


def test_overnight_gap_is_no_volatility_spike(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 1), date(2024, 5, 31), seed=1)
    gapped = bars.with_columns(
        pl.when(pl.col("trade_date") == date(2024, 5, 31)).then(pl.col(name) * 1.05).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    plain, jumped = (compute_regimes(b, spy, calendar, SETTINGS)["vol_z"].to_numpy() for b in (bars, gapped))
    assert np.nanmax(np.abs(plain - jumped)) < 1e-6


def test_cold_rows_say_so(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 7))
    frame = compute_regimes(bars, spy, calendar, SETTINGS)
    assert not frame["warm"].any()
    assert set(frame["confidence"]) == {0.5}
    assert (frame["quality_flags"] & 2 == 2).all()
    assert frame["vol_z"].null_count() == frame.height
    assert set(frame["vol_regime"]) == {"NORMAL"}
    assert frame.head(100)["trend_strength"].null_count() == 100  # warm-up is null, never zero


def test_missing_bar_is_flagged_on_the_bar_after_it(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 1), date(2024, 5, 31))
    holed = bars.filter(pl.int_range(pl.len()) != 5000)
    frame = compute_regimes(holed, spy, calendar, SETTINGS)
    flagged = frame.with_row_index().filter(pl.col("quality_flags") & 1 == 1)
    assert flagged["index"].to_list() == [0, 5000]
    assert flagged["confidence"].to_list() == [0.5, 0.8]


def test_closed_nights_and_weekends_are_no_gap(make_bars, spy, btc, calendar):
    for instrument in (spy, btc.model_copy(update={"bar_seconds": 900})):
        frame = compute_regimes(
            make_bars(instrument, date(2024, 7, 1), date(2024, 7, 9)), instrument, calendar, SETTINGS
        )
        assert (frame["quality_flags"][1:] & 1 == 0).all()


def test_series_of_two_providers_are_refused(make_bars, spy, calendar):
    """Regression of predecessor D7: two feeds drove one regime state."""
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6))
    mixed = bars.with_columns(
        provider=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("a")).otherwise(pl.lit("b"))
    )
    with pytest.raises(ValueError, match="several values of provider"):
        compute_regimes(mixed, spy, calendar, SETTINGS)


def test_weekend_and_christmas_are_not_regular_hours(make_bars, btc, spy, calendar):
    """Regression of predecessor D8: Saturday and Christmas were RTH, and a share could be called crypto."""
    saturday = make_bars(btc, date(2024, 12, 30), date(2024, 12, 30)).filter(
        pl.col("ts").dt.date() == date(2024, 12, 28)
    )
    assert set(compute_regimes(saturday, btc, calendar, SETTINGS)["session"]) == {"ASIA", "EU", "US", "OFFPEAK"}
    christmas = pl.Series([saturday["ts"][0].replace(month=12, day=25, hour=16)]).cast(saturday["ts"].dtype)
    assert calendar.session_labels(christmas, spy).to_list() == ["CLOSED"]
    shares_of = spy.model_copy(update={"symbol": "AAPL", "asset_class": "equity"})
    frame = compute_regimes(make_bars(shares_of, date(2024, 5, 6), date(2024, 5, 6)), shares_of, calendar, SETTINGS)
    assert set(frame["session"]) == {"RTH"}


def test_series_without_volume_is_normal_and_an_untraded_bar_is_dried(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 8))
    silent = compute_regimes(bars.with_columns(volume=pl.lit(0.0)), spy, calendar, SETTINGS)
    assert set(silent["liquidity_regime"]) == {"NORMAL"}
    one = bars.with_columns(volume=pl.when(pl.int_range(pl.len()) == 900).then(0.0).otherwise(pl.col("volume")))
    assert compute_regimes(one, spy, calendar, SETTINGS)["liquidity_regime"][900] == "DRIED"


def test_constant_prices_give_no_trend_and_no_crash(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 1), date(2024, 5, 31)).with_columns(
        pl.lit(100.0).alias(name) for name in ("open", "high", "low", "close")
    )
    frame = compute_regimes(bars, spy, calendar, SETTINGS)
    assert set(frame["trend_regime"]) == {"RANGE"}
    assert set(frame["vol_regime"]) == {"NORMAL"}
    assert not frame["warm"].any()


def test_every_row_names_its_config_and_empty_input_keeps_the_schema(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6))
    other = RegimeSettings(vol_window=20)
    assert set(compute_regimes(bars, spy, calendar, other)["config_hash"]) == {other.config_hash}
    assert compute_regimes(bars.clear(), spy, calendar, SETTINGS).schema == REGIME_SCHEMA
    nothing = (date(2024, 5, 7), date(2024, 5, 7) + timedelta(days=1))
    assert compute_regimes(bars, spy, calendar, SETTINGS, anchors=nothing).schema == REGIME_SCHEMA
