"""Exact expiries and two clocks: settlement by root, early closes, old Saturdays, weekends, events."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.calendar.trading import to_us
from argus_core.options.clock import (
    calendar_years,
    expiry_moment,
    expiry_rule,
    root_of,
    variance_years,
    with_expiry,
)
from argus_core.settings import Instrument
from argus_core.settings.option_chains import ClockSettings, ExpiryRule, OptionChainSettings

SETTINGS = OptionChainSettings()
SPX = Instrument(symbol="SPX", asset_class="index")
SPY = Instrument(symbol="SPY", asset_class="etf")
BTC = Instrument(symbol="BTC", asset_class="crypto", hours="always")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("contract", "instrument", "expiry", "end", "settlement"),
    [
        ("SPX260918C07700000", SPX, date(2026, 9, 18), utc(2026, 9, 18, 13, 30), "AM"),
        ("SPXW260918C07700000", SPX, date(2026, 9, 18), utc(2026, 9, 18, 20), "PM"),
        ("SPY261127P00600000", SPY, date(2026, 11, 27), utc(2026, 11, 27, 18), "PM"),  # half day
        ("SPY261218P00600000", SPY, date(2026, 12, 18), utc(2026, 12, 18, 21), "PM"),  # winter time
        ("AAPL140719C00054290", SPY, date(2014, 7, 19), utc(2014, 7, 18, 20), "PM"),  # a Saturday
        ("SPX260619C07700000", SPX, date(2026, 6, 19), utc(2026, 6, 18, 13, 30), "AM"),  # Juneteenth
        ("BTC-25SEP26-88000-P", BTC, date(2026, 9, 25), utc(2026, 9, 25, 8), "PM"),
    ],
)
def test_life_ends_at_the_exact_moment_of_the_root(calendar, contract, instrument, expiry, end, settlement):
    quotes = pl.DataFrame({"contract": [contract], "underlying": [instrument.symbol], "expiry": [expiry]})
    row = with_expiry(quotes, instrument, calendar, SETTINGS).row(0, named=True)
    assert (row["expiry_ts"], row["settlement"]) == (end, settlement)


def test_roots_are_read_from_occ_and_deribit_symbols_and_fall_back_to_the_underlying():
    symbols = ["SPXW260918C07700000", "SPY   260918P00500000", "AAPL7150117C00100000", "BTC-9JUL26-64500-C", "odd"]
    frame = pl.DataFrame({"contract": symbols, "underlying": ["U"] * 5}).select(root_of())
    assert frame["root"].to_list() == ["SPXW", "SPY", "AAPL7", "BTC", "U"]


def test_a_rule_of_the_settings_wins_over_the_asset_class(calendar):
    settings = OptionChainSettings(expiry_rules={"BTC": ExpiryRule(moment="close")})
    rule = expiry_rule("BTC", BTC, settings)
    assert expiry_moment(date(2026, 9, 25), rule, calendar) == utc(2026, 9, 25, 20)
    assert expiry_rule("SPX", SPX, settings).settlement == "PM"


def test_the_calendar_clock_counts_seconds_and_goes_negative_after_the_end():
    start, end = to_us(utc(2026, 8, 14, 20)), to_us(utc(2026, 8, 17, 20))
    assert calendar_years(start, end) == 3 / 365
    assert calendar_years(end, start) == -3 / 365


def test_an_average_year_is_one_on_both_clocks(calendar):
    start, end = to_us(utc(2020, 1, 2, 21)), to_us(utc(2030, 1, 2, 21))
    for instrument in (SPY, BTC):
        assert variance_years(start, end, instrument, calendar, ClockSettings()) == pytest.approx(10, rel=0.006)


def test_a_weekend_counts_as_its_weights_say(calendar):
    settings = ClockSettings()
    friday, monday = to_us(utc(2026, 8, 14, 20)), to_us(utc(2026, 8, 17, 20))
    tuesday = to_us(utc(2026, 8, 18, 20))
    per_session = 1 / variance_years(to_us(utc(2026, 8, 18, 13, 30)), tuesday, SPY, calendar, settings)
    over = float(variance_years(friday, monday, SPY, calendar, settings) * per_session)
    plain = float(variance_years(monday, tuesday, SPY, calendar, settings) * per_session)
    assert over == pytest.approx(1 + settings.night + 2 * settings.weekend_day)
    assert plain == pytest.approx(1 + settings.night)
    # Three calendar days against one: the clocks differ by half as much again and more.
    assert 3 / (over / plain) > 2


def test_holidays_and_half_days_have_their_own_weights(calendar):
    settings = ClockSettings(night=0.5, weekend_day=0.25, holiday=0.4)
    wednesday, friday = to_us(utc(2026, 11, 25, 21)), to_us(utc(2026, 11, 27, 18))
    session = float(variance_years(to_us(utc(2026, 11, 25, 14, 30)), wednesday, SPY, calendar, settings))
    left = float(variance_years(wednesday, friday, SPY, calendar, settings)) / session
    assert left == pytest.approx(0.5 + 0.4 + 3.5 / 6.5)


def test_variance_time_adds_up_and_the_twin_counts_day_by_day(calendar):
    settings = ClockSettings()
    starts = [utc(2026, 8, 13, 15) + timedelta(hours=7 * i) for i in range(40)]
    end = utc(2026, 10, 16, 13, 30)
    middle = utc(2026, 9, 4, 17)
    for instrument in (SPY, BTC):
        whole = variance_years([to_us(s) for s in starts], to_us(end), instrument, calendar, settings)
        first = variance_years([to_us(s) for s in starts], to_us(middle), instrument, calendar, settings)
        second = variance_years(to_us(middle), to_us(end), instrument, calendar, settings)
        np.testing.assert_allclose(whole, first + second, rtol=1e-12)
    # Twin: minute by minute from Friday noon over Labor Day to Tuesday noon.
    friday, tuesday = utc(2026, 9, 4, 16), utc(2026, 9, 8, 16)
    total, moment = 0.0, friday
    closure = 65.5 + 24 + 0.0  # hours from Friday 20:00 to Tuesday 13:30 UTC
    weight = settings.night + 2 * settings.weekend_day + settings.holiday
    while moment < tuesday:
        opened = (moment.date() in (date(2026, 9, 4), date(2026, 9, 8))) and (
            13.5 <= moment.hour + moment.minute / 60 < 20
        )
        total += 1 / 390 if opened else weight / (closure * 60)
        moment += timedelta(minutes=1)
    session = float(variance_years(to_us(utc(2026, 9, 4, 13, 30)), to_us(utc(2026, 9, 4, 20)), SPY, calendar, settings))
    found = float(variance_years(to_us(friday), to_us(tuesday), SPY, calendar, settings)) / session
    assert found == pytest.approx(total, rel=1e-9)


def test_an_event_counts_once_from_before_it_and_never_after(calendar):
    event = utc(2026, 9, 16, 18)
    with_event = ClockSettings(events={event: 2.0})
    end = to_us(utc(2026, 9, 18, 20))
    for start, extra in ((utc(2026, 9, 16, 17), 2.0), (event, 0.0), (utc(2026, 9, 17, 14), 0.0)):
        plain = variance_years(to_us(start), end, SPY, calendar, ClockSettings())
        found = variance_years(to_us(start), end, SPY, calendar, with_event)
        session = variance_years(
            to_us(utc(2026, 9, 17, 13, 30)), to_us(utc(2026, 9, 17, 20)), SPY, calendar, ClockSettings()
        )
        assert (found - plain) / session == pytest.approx(extra)


def test_variance_time_beyond_the_calendar_is_unknown(calendar):
    assert np.isnan(variance_years(to_us(utc(2026, 1, 2)), to_us(utc(2050, 1, 2)), SPY, calendar, ClockSettings()))


def test_an_event_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="timezone"):
        ClockSettings.model_validate({"events": {"2026-09-16T18:00:00": 1.0}})
