"""The simulated market: determinism, grids, daily bars, null mode and planted edges."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from argus_core.calendar import TradingCalendar, load_calendar
from argus_core.market.schemas import RawBars
from argus_core.market.simulation import SimulatedMarket
from argus_core.market.simulation.random import inverse_gamma_mix, normals, stream_key, uniforms
from argus_core.settings import PlantedEdges, Project, SettingsError, SimulationSettings

DAY = date(2025, 2, 19)
EARLY_CLOSE = date(2024, 11, 29)
REFERENCES = ["EWG", "EWJ", "EWL", "EWT", "EWU", "EWY", "FEZ", "FXI", "INDA", "USDJPY"]


@pytest.fixture(scope="module")
def make(project: Project, calendar: TradingCalendar) -> Callable[..., SimulatedMarket]:
    def build(**changes: object) -> SimulatedMarket:
        return SimulatedMarket(SimulationSettings(**changes), calendar, project.universe.instruments)

    return build


@pytest.fixture(scope="module")
def market(make: Callable[..., SimulatedMarket]) -> SimulatedMarket:
    return make()


@pytest.mark.parametrize("symbol", ["SPY", "QQQ", "BTC", "IBIT", "TLT", "EWJ", "USDJPY"])
def test_a_day_alone_equals_the_same_day_after_others_in_any_order(make, symbol: str) -> None:
    days = [date(2025, 2, d) for d in (18, 19, 20)]
    alone = {d: make().bars(symbol, d) for d in days}
    market = make()
    for d in (days[2], days[0], days[1]):
        assert market.bars(symbol, d).equals(alone[d])


def test_a_longer_calendar_changes_no_earlier_day(make, project: Project, calendar: TradingCalendar) -> None:
    ends_early = TradingCalendar("XNYS", calendar.sessions.filter(pl.col("date") <= date(2025, 6, 30)))
    short = SimulatedMarket(SimulationSettings(), ends_early, project.universe.instruments)
    for symbol in ("SPY", "BTC", "EWJ"):
        assert short.bars(symbol, DAY).equals(make().bars(symbol, DAY))


def test_the_default_market_is_the_one_it_was(market: SimulatedMarket) -> None:
    spy, coin, japan = (market.bars(symbol, DAY) for symbol in ("SPY", "BTC", "EWJ"))
    assert (spy["open"][0], spy["close"][-1], spy["volume"].sum()) == (359.78, 358.68, 30_604_054.0)
    assert coin["close"][-1] == 13_046.03
    assert japan.select("open", "high", "low", "close").row(0) == (69.43, 69.45, 69.21, 69.4)


def test_another_seed_gives_another_market(make) -> None:
    assert not make(seed=8).bars("SPY", DAY).equals(make().bars("SPY", DAY))
    assert make(seed=8).bars("BTC", DAY)["close"][-1] != make().bars("BTC", DAY)["close"][-1]


def test_every_symbol_of_the_universe_has_valid_bars_on_the_tick_grid(market: SimulatedMarket) -> None:
    for symbol in market.symbols:
        bars, tick = market.bars(symbol, DAY), market.instruments[symbol].tick
        RawBars.validate(bars)
        assert bars["ts"].is_sorted()
        assert bars["ts"].n_unique() == bars.height
        o, h, low, c = (bars[name].to_numpy() for name in ("open", "high", "low", "close"))
        assert (low <= np.minimum(o, c)).all()
        assert (h >= np.maximum(o, c)).all()
        assert (low > 0).all()
        for prices in (o, h, low, c):
            assert np.abs(prices / tick - np.rint(prices / tick)).max() < 1e-6
        if bars["bid"].null_count() == 0:
            assert (bars["ask"] > bars["bid"]).all()
            assert ((bars["bid"] <= bars["close"] + 1e-9) & (bars["close"] <= bars["ask"] + 1e-9)).all()


@pytest.mark.parametrize("day", [DAY, EARLY_CLOSE, date(2025, 1, 21), date(2025, 3, 10)])
@pytest.mark.parametrize("symbol", ["SPY", "BTC", "EWJ"])
def test_bars_are_exactly_the_grid_that_the_calendar_offers(
    market: SimulatedMarket, calendar: TradingCalendar, symbol: str, day: date
) -> None:
    expected = calendar.bar_grid(market.instruments[symbol], day, day)
    assert market.bars(symbol, day)["ts"].dt.timestamp("us").to_list() == expected.tolist()


def test_a_bitcoin_weekend_lies_in_mondays_partition_without_a_missing_minute(market: SimulatedMarket) -> None:
    bars = market.bars("BTC", date(2025, 2, 24))
    assert bars["ts"][0] == datetime(2025, 2, 21, 21, tzinfo=UTC)
    assert bars["ts"][-1] == datetime(2025, 2, 24, 20, 59, tzinfo=UTC)
    assert (bars["ts"].diff().drop_nulls() == timedelta(minutes=1)).all()
    before = market.bars("BTC", date(2025, 2, 21))
    assert before["ts"][-1] + timedelta(minutes=1) == bars["ts"][0]
    assert abs(np.log(bars["open"][0] / before["close"][-1])) < 0.002


def test_an_always_open_calendar_gives_utc_days(project: Project) -> None:
    market = SimulatedMarket(SimulationSettings(), load_calendar("always_open"), project.universe.instruments)
    bars = market.bars("BTC", date(2025, 2, 22))
    assert bars.height == 1440
    assert bars["ts"][0] == datetime(2025, 2, 22, tzinfo=UTC)


def test_daily_bars_agree_with_the_minutes(market: SimulatedMarket) -> None:
    daily = market.daily_bars(["SPY", *REFERENCES], DAY)
    assert daily["symbol"].to_list() == sorted(["SPY", *REFERENCES])
    assert daily["bar_seconds"].unique().to_list() == [86_400]
    minutes, row = market.bars("SPY", DAY), daily.filter(pl.col("symbol") == "SPY").row(0, named=True)
    assert (row["open"], row["close"]) == (minutes["open"][0], minutes["close"][-1])
    assert (row["high"], row["low"]) == (minutes["high"].max(), minutes["low"].min())
    assert market.bars("EWJ", DAY).equals(daily.filter(pl.col("symbol") == "EWJ"))


def test_the_last_minute_closes_where_the_daily_path_does(market: SimulatedMarket) -> None:
    for symbol in ("SPY", "QQQ", "IBIT"):
        row = market._row(DAY)
        path, bars = market.path(symbol), market.bars(symbol, DAY)
        assert bars["open"][0] == pytest.approx(np.exp(path.log_open[row]), abs=0.00501)
        assert bars["close"][-1] == pytest.approx(np.exp(path.log_close[row]), abs=0.00501)


def test_five_minute_bars_are_aggregated_from_minutes(project: Project, calendar: TradingCalendar, market) -> None:
    spy = project.instrument("SPY").model_copy(update={"bar_seconds": 300})
    five = SimulatedMarket(SimulationSettings(), calendar, {"SPY": spy}).bars("SPY", DAY)
    minutes = market.bars("SPY", DAY)
    assert five["ts"].dt.timestamp("us").to_list() == calendar.bar_grid(spy, DAY, DAY).tolist()
    assert five["close"].to_list() == minutes["close"].to_list()[4::5]
    assert five["volume"].sum() == minutes["volume"].sum()


def test_ibit_follows_bitcoin_in_the_session(market: SimulatedMarket) -> None:
    days = market.calendar.sessions_between(date(2025, 1, 2), date(2025, 1, 31))
    pairs = []
    for day in days:
        coin = market.bars("BTC", day).filter(pl.col("ts") >= market.calendar.session_bounds(day)[0])
        pairs.append([np.log(b["close"][-1] / b["open"][0]) for b in (market.bars("IBIT", day), coin)])
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.97


def test_wrong_requests_are_refused_with_a_remedy(market: SimulatedMarket, project: Project, calendar) -> None:
    with pytest.raises(SettingsError, match="no instrument 'NOPE'"):
        market.bars("NOPE", DAY)
    with pytest.raises(SettingsError, match="no simulated session"):
        market.bars("SPY", date(2025, 2, 22))
    with pytest.raises(SettingsError, match="first_date"):
        market.bars("SPY", date(2021, 12, 31))
    with pytest.raises(SettingsError, match="no option chain"):
        market.option_quotes("BTC", DAY)
    wide = {"SPY": project.instrument("SPY").model_copy(update={"hours": "extended"})}
    with pytest.raises(SettingsError, match="regular hours only"):
        SimulatedMarket(SimulationSettings(), calendar, wide).bars("SPY", DAY)


def test_a_symbol_outside_the_table_gets_a_market_of_its_own(project: Project, calendar: TradingCalendar) -> None:
    new = {
        "NEWX": project.instrument("SPY").model_copy(update={"symbol": "NEWX"}),
        "COIN2": project.instrument("BTC").model_copy(update={"symbol": "COIN2"}),
        "EURUSD": project.instrument("USDJPY").model_copy(update={"symbol": "EURUSD"}),
    }
    market = SimulatedMarket(SimulationSettings(), calendar, new)
    assert market.bars("NEWX", DAY).height == 390
    assert market.bars("COIN2", DAY).height == 1440
    assert market.bars("EURUSD", DAY).height == 1


def pooled(make, **changes: object) -> tuple[np.ndarray, np.ndarray]:
    """Simple overnight and session returns of SPY's daily path over 4 seeds from 1998 to 2035."""
    night, day = [], []
    for seed in range(4):
        path = make(seed=seed, first_date=date(1998, 1, 2), **changes).market
        night.append(np.expm1(path.log_open[1:] - path.log_close[:-1]))
        day.append(np.expm1(path.log_close - path.log_open))
    return np.concatenate(night), np.concatenate(day)


def t_statistic(x: np.ndarray) -> float:
    return float(x.mean() / x.std(ddof=1) * np.sqrt(len(x)))


def test_null_mode_has_no_mean_overnight_or_intraday_and_no_memory(make) -> None:
    night, day = pooled(make, mode="null")
    assert abs(t_statistic(night)) < 3
    assert abs(t_statistic(day)) < 3
    assert abs(np.corrcoef(night[1:], night[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(night, day[1:][: len(night)])[0, 1]) < 0.02


def test_null_minutes_say_nothing_about_the_next(make) -> None:
    market = make(mode="null")
    days = market.calendar.sessions_between(date(2024, 1, 2), date(2024, 6, 28))
    closes = [market.bars("SPY", d)["close"].to_numpy() for d in days]
    scaled = [r / r.std() for r in (np.diff(np.log(c)) for c in closes)]
    count = sum(len(r) for r in scaled)
    for lag in (1, 2, 5, 30):
        memory = np.mean(np.concatenate([r[lag:] * r[:-lag] for r in scaled]))
        # Squares have memory, so the product's variance is above 1.
        assert abs(memory) < 4 * np.sqrt(1.3 / count)
    assert abs(t_statistic(np.concatenate(scaled))) < 3


def test_null_options_carry_no_premium(make) -> None:
    implied, realised = [], []
    for seed in range(4):
        market = make(mode="null", seed=seed, first_date=date(1998, 1, 2))
        state = market.daily_state()[:-30]
        r = np.diff(market.market.log_close)
        sums = np.concatenate([[0.0], np.cumsum(r**2)])
        n = state.height
        realised.append((sums[21 : n + 21] - sums[:n]) * 252 / 21)
        implied.append(state["iv30"].to_numpy() ** 2)
    ratio = np.concatenate(implied).mean() / np.concatenate(realised).mean()
    assert ratio == pytest.approx(1.0, abs=0.05)


def test_calibrated_mode_pays_about_three_basis_points_a_night(make) -> None:
    night, day = pooled(make)
    assert night.mean() * 1e4 == pytest.approx(3.3, abs=3 * night.std() / np.sqrt(len(night)) * 1e4)
    assert abs(t_statistic(day)) < 3


@pytest.mark.parametrize("symbol", ["SPY", "QQQ", "IBIT"])
def test_a_planted_overnight_drift_moves_every_gap_by_its_size(make, symbol: str) -> None:
    plain = make(mode="null").path(symbol)
    moved = make(mode="null", planted=PlantedEdges(overnight_drift_bp=10)).path(symbol)
    gaps = [p.log_open[1:] - p.log_close[:-1] for p in (plain, moved)]
    np.testing.assert_allclose(gaps[1] - gaps[0], np.log1p(10e-4), atol=1e-12)
    np.testing.assert_allclose(moved.log_close - moved.log_open, plain.log_close - plain.log_open, atol=1e-12)


def test_reference_symbols_take_no_planted_drift(make) -> None:
    plain = make().path("EWJ")
    moved = make(planted=PlantedEdges(overnight_drift_bp=10)).path("EWJ")
    np.testing.assert_array_equal(plain.log_close, moved.log_close)


@given(day=st.integers(1, 3_000_000), count=st.integers(1, 200), more=st.integers(1, 50))
@hypothesis_settings(max_examples=40, deadline=None)
def test_a_slot_does_not_depend_on_how_many_are_drawn_or_with_which_days(day: int, count: int, more: int) -> None:
    key = stream_key(7, "SPY", "test")
    alone = uniforms(key, day, count)
    assert (uniforms(key, day, count + more)[:count] == alone).all()
    assert (uniforms(key, np.array([day + 1, day]), count)[1] == alone).all()
    assert ((alone > 0) & (alone < 1)).all()


def test_random_numbers_equal_a_plain_splitmix() -> None:
    key, day = int(stream_key(7, "SPY", "test")), 738_000
    mask = (1 << 64) - 1

    def plain(slot: int) -> float:
        z = (key + (day * 2**24 + slot + 1) * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53 + 2.0**-54

    assert uniforms(np.uint64(key), day, 5).tolist() == [plain(k) for k in range(5)]


def test_normals_and_mixing_variables_have_their_moments() -> None:
    z = normals(stream_key(1, "X", "moments"), np.arange(2000), 100)
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs((z**4).mean() - 3) < 0.1
    w = inverse_gamma_mix(uniforms(stream_key(1, "X", "mix"), np.arange(2000), 200).reshape(-1, 2), 10.0)
    assert w.mean() == pytest.approx(1.0, abs=0.01)
