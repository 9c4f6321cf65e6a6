"""Every fault of the simulated market shows on its date and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import TradingCalendar
from argus_core.market.simulation import SimulatedMarket
from argus_core.settings import Project, SimulationFaults, SimulationSettings

DAY = date(2025, 2, 19)
DAYS = [date(2025, 2, d) for d in (14, 18, 19, 20, 21)]


@pytest.fixture(scope="module")
def make(project: Project, calendar: TradingCalendar) -> Callable[..., SimulatedMarket]:
    def build(**faults: object) -> SimulatedMarket:
        settings = SimulationSettings(faults=SimulationFaults(**faults))
        return SimulatedMarket(settings, calendar, project.universe.instruments)

    return build


@pytest.fixture(scope="module")
def clean(make) -> SimulatedMarket:
    return make()


def changed_days(faulty: SimulatedMarket, clean: SimulatedMarket, symbol: str = "SPY") -> list[date]:
    return [d for d in DAYS if not faulty.bars(symbol, d).equals(clean.bars(symbol, d))]


@pytest.mark.parametrize("fault", ["missing_session", "late_start", "iex_day", "crossed_quote"])
def test_a_fault_strikes_its_date_and_its_symbol_only(make, clean: SimulatedMarket, fault: str) -> None:
    faulty = make(**{fault: (DAY,)})
    assert changed_days(faulty, clean) == [DAY]
    assert changed_days(faulty, clean, "QQQ") == []


def test_a_missing_session_has_neither_bars_nor_quotes(make) -> None:
    faulty = make(missing_session=(DAY,))
    assert faulty.bars("SPY", DAY).is_empty()
    assert faulty.option_quotes("SPY", DAY).is_empty()


def test_a_late_start_begins_between_0940_and_0955(make) -> None:
    minute = make(late_start=(DAY,)).bars("SPY", DAY)["ts"].dt.convert_time_zone("America/New_York")[0]
    assert (9, 40) <= (minute.hour, minute.minute) <= (9, 55)


def test_an_iex_day_is_thin_gappy_and_valid(make, clean: SimulatedMarket) -> None:
    bars, whole = make(iex_day=(DAY,)).bars("SPY", DAY), clean.bars("SPY", DAY)
    assert bars["volume_scope"].unique().to_list() == ["iex"]
    assert 0.80 * 390 <= bars.height <= 0.995 * 390
    both = bars.join(whole, on="ts", suffix="_whole")
    assert (both["volume"] / both["volume_whole"]).median() == pytest.approx(0.019, rel=0.01)
    assert 0.005 < (both["close"] - both["close_whole"]).std() < 0.025
    assert ((bars["high"] >= bars["close"]) & (bars["low"] <= bars["close"])).all()


def test_crossed_quotes_appear_in_bars_and_in_the_chain(make) -> None:
    faulty = make(crossed_quote=(DAY,))
    assert faulty.bars("SPY", DAY).filter(pl.col("bid") > pl.col("ask")).height in (2, 3)
    quotes = faulty.option_quotes("SPY", DAY)
    assert 1 <= quotes.filter(pl.col("bid") > pl.col("ask")).height <= 5
    assert faulty.option_quotes("SPY", date(2025, 2, 20)).filter(pl.col("bid") > pl.col("ask")).is_empty()


def test_a_duplicated_file_repeats_the_day_under_the_next_session(make, clean: SimulatedMarket) -> None:
    faulty = make(duplicated_under_next_date=(DAY,))
    assert changed_days(faulty, clean) == [date(2025, 2, 20)]
    copy, original = faulty.bars("SPY", date(2025, 2, 20)), clean.bars("SPY", DAY)
    assert copy.drop("ts").equals(original.drop("ts"))
    assert copy["ts"].dt.date().unique().to_list() == [date(2025, 2, 20)]


def test_a_wrong_daily_close_recovers_the_next_day(make, clean: SimulatedMarket) -> None:
    faulty = make(symbol="EWJ", wrong_daily_close=(DAY,))
    assert changed_days(faulty, clean, "EWJ") == [DAY]
    off, right = faulty.bars("EWJ", DAY)["close"][0], clean.bars("EWJ", DAY)["close"][0]
    assert off / right == pytest.approx(1.01, abs=0.001)
    assert faulty.daily_bars(["EWJ"], DAY)["close"][0] == off


def test_a_split_divides_prices_and_multiplies_volume_from_its_date_on(make, clean: SimulatedMarket) -> None:
    faulty = make(split_7_for_1=(DAY,))
    assert changed_days(faulty, clean) == [DAY, date(2025, 2, 20), date(2025, 2, 21)]
    last, first = faulty.bars("SPY", date(2025, 2, 18))["close"][-1], faulty.bars("SPY", DAY)["open"][0]
    assert last / first == pytest.approx(7.0, rel=0.05)
    before, after = clean.bars("SPY", DAY), faulty.bars("SPY", DAY)
    np.testing.assert_allclose(after["close"] * 7, before["close"], atol=0.036)
    assert after["volume"].sum() / before["volume"].sum() == pytest.approx(7.0, rel=0.01)
    spot = faulty.option_quotes("SPY", DAY)["underlying_price"][0]
    assert spot == pytest.approx(clean.option_quotes("SPY", DAY)["underlying_price"][0] / 7, rel=0.01)
