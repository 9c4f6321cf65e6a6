"""Realised volatility of sessions: intervals, nights, and nothing known before its time."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.features.realised import SHORT_WINDOW, intraday_variance
from argus_core.features.realised_sessions import THIN, WILD_NIGHT, realised_features, session_variances
from argus_core.packs.join import as_of_join
from argus_core.settings.realised_volatility import RealisedVolatilitySettings

SETTINGS = RealisedVolatilitySettings(window=5, har_fit_sessions=60, har_min_rows=20, har_horizon=3)


@pytest.fixture(scope="module")
def bars(make_bars, spy):
    return make_bars(spy, date(2025, 11, 17), date(2025, 12, 5), seed=1)


@pytest.fixture(scope="module")
def sessions(bars, spy, calendar):
    return session_variances(bars, spy, calendar, SETTINGS)


def test_a_session_sums_its_five_minute_returns_from_the_open(bars, sessions):
    day = bars.filter(pl.col("trade_date") == date(2025, 11, 18))
    closes = day["close"].to_numpy()[4::5]
    path = np.concatenate([[day["open"][0]], closes])
    found = sessions.row(1, named=True)
    assert len(closes) == 78
    assert found["rv"] == pytest.approx(float((np.diff(np.log(path)) ** 2).sum()), rel=1e-12)
    assert found["bipower"] == pytest.approx(intraday_variance(np.diff(np.log(path))).bipower, rel=1e-12)
    assert (found["open"], found["high"], found["close"]) == (day["open"][0], day["high"].max(), day["close"][-1])
    assert found["available_at"] == day["available_at"].max()


def test_the_half_day_after_thanksgiving_has_42_intervals_and_is_finished(sessions):
    half = sessions.filter(pl.col("trade_date") == date(2025, 11, 28))
    assert half["intraday_reason"].to_list() == [None]
    assert half["available_at"].dt.convert_time_zone("America/New_York").dt.hour().item() == 13


def test_an_unfinished_session_has_no_row_and_a_thin_one_no_intraday_variance(bars, spy, calendar, sessions):
    noon = bars.filter(pl.col("trade_date") == date(2025, 12, 5))["ts"][180]
    cut = session_variances(bars.filter(pl.col("end") <= noon), spy, calendar, SETTINGS)
    assert_frame_equal(cut, sessions.filter(pl.col("trade_date") < date(2025, 12, 5)))
    minute = pl.int_range(pl.len()).over("trade_date")
    thin = session_variances(bars.filter((minute < 20) | (minute > 200)), spy, calendar, SETTINGS)
    assert set(thin["intraday_reason"]) == {THIN}
    assert thin["rv"].null_count() == len(thin)
    assert thin["close"].to_list() == sessions["close"].to_list()


def test_a_missing_interval_repeats_the_last_price(bars, spy, calendar, sessions):
    minute = pl.int_range(pl.len()).over("trade_date")
    holes = session_variances(bars.filter(~minute.is_between(100, 104)), spy, calendar, SETTINGS)
    assert holes["rv"].null_count() == 0
    assert (holes["rv"] != sessions["rv"]).any()
    np.testing.assert_allclose(holes["rv"], sessions["rv"], rtol=0.2)


def test_features_are_the_same_on_truncated_bars(make_bars, spy, calendar):
    bars = make_bars(spy, date(2025, 9, 1), date(2025, 12, 5), seed=2)
    whole = realised_features(session_variances(bars, spy, calendar, SETTINGS), SETTINGS)
    assert whole["reason"].to_list()[:5] == [SHORT_WINDOW] * 5
    assert whole["rv_yang_zhang"].null_count() == 5
    assert set(whole["expected_by"].drop_nulls()) == {"har", "window"}
    for moment in (whole["available_at"][30], whole["available_at"][50] + timedelta(hours=20)):
        part = bars.filter(pl.col("available_at") <= moment)
        seen = realised_features(session_variances(part, spy, calendar, SETTINGS), SETTINGS)
        assert_frame_equal(seen, whole.filter(pl.col("available_at") <= moment), check_exact=True)


def test_a_decision_sees_a_session_only_after_it_was_available(sessions):
    features = realised_features(sessions, SETTINGS)
    moment = features["available_at"][8]
    decisions = pl.DataFrame({"available_at": [moment - timedelta(seconds=1), moment]})
    seen = as_of_join(decisions, features, ["rv_yang_zhang"])["rv_yang_zhang"].to_list()
    assert seen == features["rv_yang_zhang"].to_list()[7:9]


def test_the_night_is_in_the_variance(sessions):
    features = realised_features(sessions, SETTINGS)
    night = np.log(sessions["open"].to_numpy()[1:] / sessions["close"].to_numpy()[:-1])
    np.testing.assert_allclose(features["variance"].to_numpy()[1:], sessions["rv"].to_numpy()[1:] + night**2)
    assert features["variance"][0] is None


def test_daily_bars_and_hostile_ones_give_nulls_with_reasons():
    days = pl.date_range(date(2025, 1, 1), date(2025, 3, 1), eager=True)
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(days))))
    frame = pl.DataFrame({"trade_date": days, "open": close, "high": close * 1.01, "low": close * 0.99, "close": close})
    frame = frame.with_columns(available_at=pl.col("trade_date").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=21))
    bad = frame.with_columns(
        close=pl.when(pl.int_range(pl.len()) == 20).then(None).otherwise("close"),
        low=pl.when(pl.int_range(pl.len()) == 40).then(-1.0).otherwise("low"),
    )
    found = realised_features(bad, SETTINGS)
    assert found["rv_intraday"].null_count() == len(found)
    silent = found.filter(pl.col("reason").is_not_null())
    assert silent["rv_yang_zhang"].null_count() == len(silent)
    assert found["rv_yang_zhang"].null_count() == len(silent) < 25
    gap = realised_features(
        frame.filter(~pl.col("trade_date").is_between(date(2025, 1, 20), date(2025, 2, 3))), SETTINGS
    )
    assert "a gap between sessions is too long" in gap["reason"].to_list()
    assert realised_features(frame.clear(), SETTINGS).is_empty()


def test_an_unadjusted_split_is_no_volatility(make_bars, spy, calendar):
    bars = make_bars(spy, date(2025, 9, 1), date(2025, 11, 14), seed=6)
    clean = session_variances(bars, spy, calendar, SETTINGS)
    day = clean["trade_date"][20]
    prices = ["open", "high", "low", "close"]
    split = clean.with_columns(
        pl.when(pl.col("trade_date") >= day).then(pl.col(name) / 7).otherwise(name).alias(name) for name in prices
    )
    found, wanted = (realised_features(frame, SETTINGS) for frame in (split, clean))
    assert found["reason"].to_list()[20:25] == [WILD_NIGHT] * 5
    assert found["rv_yang_zhang"][20:25].null_count() == 5
    assert found["variance"][20] is None
    for rows in (slice(0, 20), slice(25, None)):
        np.testing.assert_allclose(found["rv_yang_zhang"][rows], wanted["rv_yang_zhang"][rows], rtol=1e-9)


def test_two_symbols_are_refused(bars, spy, calendar):
    with pytest.raises(ValueError, match="one symbol at a time"):
        session_variances(pl.concat([bars, bars.with_columns(symbol=pl.lit("QQQ"))]), spy, calendar, SETTINGS)


def test_bitcoin_has_no_night(make_bars, btc, calendar):
    bars = make_bars(btc, date(2025, 11, 17), date(2025, 11, 24), seed=4)
    found = session_variances(bars, btc, calendar, SETTINGS)
    assert found["intraday_reason"].null_count() == len(found) == 6
    np.testing.assert_allclose(found["open"].to_numpy()[1:], found["close"].to_numpy()[:-1], rtol=2e-3)


def test_estimators_agree_on_real_spy_minutes(spy_year, spy, calendar):
    settings = RealisedVolatilitySettings(window=250, har_fit_sessions=120)
    features = realised_features(session_variances(spy_year, spy, calendar, settings), settings)
    last = features.row(-1, named=True)
    assert 0.10 < last["rv_intraday"] < 0.20
    assert last["rv_close_to_close"] == pytest.approx(last["rv_intraday"], rel=0.2)
    assert last["rv_yang_zhang"] == pytest.approx(last["rv_intraday"], rel=0.15)
    assert last["expected_by"] == "har"
