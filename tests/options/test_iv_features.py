"""Features of a chain for decisions: what they are on a known smile, when they are known, and what they do without."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.special import ndtri

from argus_core.calendar import UTC_US, load_calendar
from argus_core.market.schemas import Bars, OptionQuotes, conform, empty
from argus_core.options.forwards import forwards_of
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.iv_features import MATURITIES, history_of, iv_features_of, iv_features_of_chain
from argus_core.options.schemas import IV_FRAME_COLUMNS, IvFeatures
from argus_core.options.surface.snapshots import fit_surfaces
from argus_core.settings import Instrument
from argus_core.settings.iv_features import IvFeatureSettings
from argus_core.settings.options import OptionSettings
from tests.options.black_chains import RECV, black_chain, smile

CALENDAR = load_calendar("XNYS")
INDEX = Instrument(symbol="SPY", asset_class="index", bar_seconds=86_400)
SETTINGS = OptionSettings()
DAY = date(2026, 8, 3)
STRIKES = tuple(np.arange(60.0, 150.0, 1.0))


def daily_bars(count: int = 60, last: date = DAY, *, vol: float = 0.01, delay: int = 0) -> pl.DataFrame:
    """Daily bars up to ``last`` as a random walk of ``vol`` a session."""
    days = CALENDAR.last_sessions(last, count)
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.normal(0, vol, count)))
    bounds = [CALENDAR.session_bounds(day) for day in days]
    frame = pl.DataFrame(
        {
            "ts": pl.Series([a for a, _ in bounds]).cast(UTC_US),
            "end": pl.Series([b for _, b in bounds]).cast(UTC_US),
            "open": close * np.exp(rng.normal(0, vol / 3, count)),
            "close": close,
        }
    ).with_columns(
        high=pl.max_horizontal("open", "close") * 1.002,
        low=pl.min_horizontal("open", "close") * 0.998,
        available_at=pl.col("end") + pl.duration(seconds=delay),
        trade_date=pl.Series(days),
        provider=pl.lit("sim"),
        symbol=pl.lit("SPY"),
        bar_seconds=pl.lit(86_400, pl.Int32),
        volume=pl.lit(1e6),
        bid=pl.lit(None, pl.Float64),
        ask=pl.lit(None, pl.Float64),
        session=pl.lit("RTH"),
        volume_scope=pl.lit("sip"),
    )
    return conform(frame, Bars)


def quotes(recv_ts: datetime = RECV, **arguments) -> pl.DataFrame:
    wanted = {"days": (11, 25, 46, 88), "strikes": STRIKES, "half_spread": 0.005, "rate": 0.0, "dividend": 0.0}
    return black_chain(**{**wanted, **arguments}, recv_ts=recv_ts).quotes


def features(chain: pl.DataFrame, bars: pl.DataFrame | None = None, day: date = DAY) -> pl.DataFrame:
    return iv_features_of_chain(chain, daily_bars() if bars is None else bars, INDEX, CALENDAR, SETTINGS, day)


def test_the_features_of_a_known_smile():
    [row] = features(quotes()).to_dicts()
    # The smile of `black_chains` is the same at every expiry: the level at the forward is .2, its slope -.15.
    assert row["iv_30"] == pytest.approx(0.2, abs=0.002)
    assert row["iv_60"] == pytest.approx(0.2, abs=0.002)
    assert row["iv_term_slope"] == pytest.approx(row["iv_60"] - row["iv_30"])
    assert row["iv_skew_30"] == pytest.approx(-0.15, abs=0.03)
    for days in MATURITIES:
        root = np.sqrt(days / 365)
        wings = []
        for sign in (1, -1):
            iv = 0.2
            for _ in range(50):
                iv = float(smile(np.array(sign * ndtri(0.75) * iv * root + iv * iv * root * root / 2)))
            wings.append(iv)
        assert row[f"iv_rr25_{days}"] == pytest.approx(wings[0] - wings[1], abs=0.004)
        assert row[f"iv_bf25_{days}"] == pytest.approx(np.mean(wings) - 0.2, abs=0.003)
    assert row["recv_ts"] == row["available_at"] == RECV
    assert row["n_expiries"] == 4
    assert row["reason"] is None


def test_both_premiums_compare_the_same_thirty_days():
    [row] = features(quotes()).to_dicts()
    assert (row["implied_by"], row["realised_by"]) == ("strip", "window")
    implied = np.sqrt(row["iv_strip_variance_30"])
    assert implied == pytest.approx(0.2, abs=0.015)
    assert row["vol_premium_30"] == pytest.approx(implied - row["expected_vol_30"])
    assert row["variance_premium_30"] == pytest.approx(row["iv_strip_variance_30"] - row["expected_vol_30"] ** 2)
    # A session's expected variance times the closes inside the window, annualised by 365 days.
    sessions = CALENDAR.sessions_between(DAY + timedelta(days=1), DAY + timedelta(days=30))
    per_session = row["expected_vol_30"] ** 2 * 30 / 365 / len(sessions)
    assert np.sqrt(per_session) == pytest.approx(0.01, rel=0.4)
    calm = features(quotes(), daily_bars(vol=0.002)).row(0, named=True)
    assert calm["vol_premium_30"] > row["vol_premium_30"]


def test_nothing_received_or_published_later_is_in_a_row():
    late = quotes(RECV + timedelta(hours=20), spot=120.0)
    first = features(quotes())
    both = iv_features_of_chain(pl.concat([quotes(), late]), daily_bars(), INDEX, CALENDAR, SETTINGS, DAY)
    assert both["recv_ts"].to_list() == [RECV, RECV + timedelta(hours=20)]
    assert_frame_equal(both.head(1), first)
    # At 20:15 the session of the day has been published; with a feed an hour late the one before it counts.
    assert first["realised_available_at"][0] == CALENDAR.session_bounds(DAY)[1]
    delayed = features(quotes(), daily_bars(delay=3_600))
    before = CALENDAR.last_sessions(DAY, 2)[0]
    assert delayed["realised_available_at"][0] == CALENDAR.session_bounds(before)[1] + timedelta(hours=1)
    wild = daily_bars(delay=3_600).with_columns(
        pl.when(pl.col("trade_date") == DAY).then(pl.col(name) * 1.2).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    )
    assert_frame_equal(features(quotes(), wild), delayed)


def test_a_day_rests_on_its_own_sessions_alone():
    settings = IvFeatureSettings(history_sessions=30)
    bars = daily_bars(90)
    whole = history_of(bars, INDEX, CALENDAR, settings, DAY)
    assert whole.height == 30
    assert whole["trade_date"].max() == DAY
    alone = history_of(bars.tail(30), INDEX, CALENDAR, settings, DAY)
    assert_frame_equal(whole, alone)
    earlier = CALENDAR.last_sessions(DAY, 2)[0]
    assert_frame_equal(history_of(bars, INDEX, CALENDAR, settings, earlier).tail(29), whole.head(29))


def test_what_is_missing_is_null_with_a_reason_and_never_an_error():
    assert features(empty(OptionQuotes)).schema == IvFeatures.create_empty().schema
    assert features(empty(OptionQuotes)).is_empty()
    names = [old for old in IV_FRAME_COLUMNS if old not in ("recv_ts", "expected_vol_30")]
    [row] = features(quotes().with_columns(bid=pl.lit(0.0))).to_dicts()
    assert [row[name] for name in names] == [None] * len(names)
    assert row["n_expiries"] == 0
    assert "no surface" in row["reason"]
    assert "no implied variance" in row["reason"]
    [near] = features(quotes(days=(11,))).to_dicts()
    assert near["iv_30"] is None
    assert near["iv_skew_30"] is None
    assert "do not reach both maturities" in near["reason"]
    [young] = features(quotes(), daily_bars(10)).to_dicts()
    assert young["iv_30"] is not None
    assert young["vol_premium_30"] is None
    assert "too few clean sessions" in young["reason"]
    [blind] = features(quotes(), pl.DataFrame()).to_dicts()
    assert "no realised volatility was available yet" in blind["reason"]


def test_the_tables_of_the_lake_give_the_same_row():
    chain = quotes()
    forwards = forwards_of(chain, INDEX, CALENDAR, SETTINGS.chains)
    vols = implied_vols_of(chain, forwards, INDEX, CALENDAR, SETTINGS.chains)
    slices = fit_surfaces(vols, SETTINGS.surface)
    sessions = history_of(daily_bars(), INDEX, CALENDAR, SETTINGS.features, DAY)
    assert_frame_equal(iv_features_of(vols, slices, sessions, CALENDAR, SETTINGS.features), features(chain))


def test_settings_that_the_columns_would_lie_about_are_refused():
    with pytest.raises(ValueError, match="named after 30 days"):
        IvFeatureSettings.model_validate({"premium": {"horizon_days": 60.0, "implied": ["strip"]}})
    with pytest.raises(ValueError, match="heston is no source"):
        IvFeatureSettings.model_validate({"premium": {"implied": ["heston", "atm"]}})
