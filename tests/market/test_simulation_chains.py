"""Simulated option chains: what is listed, quoted and fair."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import TradingCalendar
from argus_core.market.chain_facts import chain_facts
from argus_core.market.schemas import OptionQuotes
from argus_core.market.simulation import SimulatedMarket
from argus_core.market.simulation.chains import contract_code, listed_expiries
from argus_core.market.simulation.surface import FairVariance, black76, implied_deviation, mixture_call
from argus_core.settings import PlantedEdges, Project, SimulationSettings

DAY = date(2025, 2, 19)


@pytest.fixture(scope="module")
def market(project: Project, calendar: TradingCalendar) -> SimulatedMarket:
    return SimulatedMarket(SimulationSettings(), calendar, project.universe.instruments)


@pytest.fixture(scope="module")
def chain(market: SimulatedMarket) -> pl.DataFrame:
    return market.option_quotes("SPY", DAY)


def test_a_chain_is_valid_sorted_and_received_after_its_time(chain: pl.DataFrame) -> None:
    OptionQuotes.validate(chain)
    assert chain.select("ts", "expiry", "strike", "right").equals(
        chain.select("ts", "expiry", "strike", "right").sort("ts", "expiry", "strike", "right")
    )
    assert chain.select("ts", "contract").is_unique().all()
    assert (chain["recv_ts"] - chain["ts"] == timedelta(seconds=900)).all()
    assert (chain["bid"] < chain["ask"]).all()
    assert (chain["bid"] >= 0).all()
    assert (chain["expiry"] >= DAY).all()
    assert ((chain["bid_size"] == 0) == (chain["bid"] == 0)).all()


def test_snapshots_are_taken_at_the_configured_times_and_not_after_the_close(market: SimulatedMarket, chain) -> None:
    assert chain["ts"].unique().sort().to_list() == [
        datetime(2025, 2, 19, 15, 30, tzinfo=UTC),
        datetime(2025, 2, 19, 18, 0, tzinfo=UTC),
        datetime(2025, 2, 19, 20, 30, tzinfo=UTC),
    ]
    early = market.option_quotes("SPY", date(2024, 11, 29))
    assert early["ts"].unique().to_list() == [datetime(2024, 11, 29, 15, 30, tzinfo=UTC)]


def test_the_underlying_price_is_the_last_minute_close_before_the_snapshot(market: SimulatedMarket, chain) -> None:
    closes = dict(market.bars("SPY", DAY).select("ts", "close").iter_rows())
    for ts, price in chain.select("ts", "underlying_price").unique().iter_rows():
        assert price == closes[ts - timedelta(minutes=1)]


def test_calls_and_puts_obey_parity_within_their_spreads(chain: pl.DataFrame) -> None:
    call, put = (chain.filter(pl.col("right") == right) for right in "CP")
    both = call.join(put, on=["ts", "expiry", "strike"], suffix="_put")
    forward = pl.col("underlying_price") - pl.col("strike")
    # Buying the call and selling the put never costs less than the forward is worth, nor earns more.
    bad = both.filter(
        (pl.col("ask") - pl.col("bid_put") < forward - 0.011) | (pl.col("bid") - pl.col("ask_put") > forward + 0.011)
    )
    assert bad.is_empty()


def test_a_chain_does_not_depend_on_what_was_asked_before(project: Project, calendar, market, chain) -> None:
    fresh = SimulatedMarket(SimulationSettings(), calendar, project.universe.instruments)
    for day in (date(2025, 2, 21), date(2025, 2, 18)):
        fresh.option_quotes("SPY", day)
    assert fresh.option_quotes("SPY", DAY).equals(chain)


def test_expiries_are_daily_then_weekly_then_monthly_and_move_off_holidays(calendar: TradingCalendar) -> None:
    expiries = listed_expiries(calendar, DAY)
    assert expiries[:4] == [DAY, date(2025, 2, 20), date(2025, 2, 21), date(2025, 2, 24)]
    assert date(2025, 3, 14) in expiries
    assert date(2025, 4, 17) in expiries  # Good Friday is closed
    assert date(2025, 4, 18) not in expiries
    assert expiries[-1] == date(2025, 6, 20)
    assert date(2025, 5, 9) not in expiries


def test_contract_codes_are_occ_symbols() -> None:
    assert contract_code("SPY", date(2025, 3, 21), "P", 550.0) == "SPY250321P00550000"
    assert contract_code("SPY", date(2025, 3, 21), "C", 552.5) == "SPY250321C00552500"


def test_quoted_volatility_prices_the_mid(chain: pl.DataFrame, calendar: TradingCalendar) -> None:
    rows = chain.filter((pl.col("expiry") == date(2025, 3, 21)) & (pl.col("right") == "C"))
    close = calendar.session_bounds(date(2025, 3, 21))[1]
    years = np.array([(close - ts).total_seconds() for ts in rows["ts"]]) / (365 * 86_400)
    forward, strike = rows["underlying_price"].to_numpy(), rows["strike"].to_numpy()
    price, delta = black76(forward, strike, rows["iv"].to_numpy() * np.sqrt(years))
    mid = 0.5 * (rows["bid"] + rows["ask"]).to_numpy()
    quoted = rows["bid"].to_numpy() > 0
    assert np.abs(mid - price)[quoted].max() < 0.006
    np.testing.assert_allclose(rows["delta"].to_numpy(), delta, atol=2e-6)


def test_volatility_planted_above_is_quoted(project: Project, calendar: TradingCalendar, chain: pl.DataFrame) -> None:
    settings = SimulationSettings(planted=PlantedEdges(volatility_premium=0.03))
    rich = SimulatedMarket(settings, calendar, project.universe.instruments).option_quotes("SPY", DAY)
    near = (pl.col("expiry") == date(2025, 3, 21)) & ((pl.col("strike") - pl.col("underlying_price")).abs() < 1)
    assert rich.filter(near)["iv"].mean() - chain.filter(near)["iv"].mean() == pytest.approx(0.03, abs=0.004)


def test_mixture_and_implied_deviation_agree_with_direct_integration() -> None:
    strike = np.array([90.0, 100.0, 108.0])
    variance, spread = np.full(3, 0.02), np.full(3, 0.6)
    rng = np.random.default_rng(5)
    draws = 0.02 * np.exp(0.6 * rng.standard_normal(200_000) - 0.18)
    direct = [black76(100.0, np.array(k), np.sqrt(draws))[0].mean() for k in strike]
    price = mixture_call(100.0, strike, variance, spread)
    np.testing.assert_allclose(price, direct, rtol=4e-3)
    deviation = implied_deviation(100.0, strike, price, np.sqrt(variance))
    np.testing.assert_allclose(black76(100.0, strike, deviation)[0], price, atol=1e-8)


def test_fair_variance_is_the_mean_of_what_is_realised(project: Project, calendar: TradingCalendar) -> None:
    settings = SimulationSettings(mode="null", first_date=date(1998, 1, 2), seed=3)
    market = SimulatedMarket(settings, calendar, project.universe.instruments)
    fair = FairVariance(market.sessions, market.market)
    path, ratios = market.market, []
    total = np.diff(path.log_close) ** 2
    for row in range(10, len(total) - 30, 5):
        mean, _ = fair.until(row, 1.0, 6)
        ratios.append((total[row : row + 5].sum(), mean[-1]))
    realised, expected = np.array(ratios).T
    error = (realised - expected).std() / np.sqrt(len(ratios))
    assert abs(realised.mean() - expected.mean()) < 3 * error


def test_a_straddle_sold_at_mid_in_null_mode_earns_nothing(project: Project, calendar: TradingCalendar) -> None:
    settings = SimulationSettings(mode="null", first_date=date(1998, 1, 2), option_snapshot_times=("15:30",), seed=5)
    market = SimulatedMarket(settings, calendar, project.universe.instruments)
    closes = dict(zip(market.daily_state()["date"].to_list(), np.exp(market.market.log_close), strict=True))
    earned = []
    for day in [d for d in closes if date(1998, 2, 1) < d < date(2034, 1, 1)][::61]:
        quotes = market.option_quotes("SPY", day)
        if quotes.is_empty():
            continue
        expiry = quotes.filter(pl.col("expiry") >= day + timedelta(days=7))["expiry"].min()
        near = quotes.filter(pl.col("expiry") == expiry).sort((pl.col("strike") - pl.col("underlying_price")).abs())
        pair = near.filter(pl.col("strike") == near["strike"][0])
        premium = float(((pair["bid"] + pair["ask"]) / 2).sum())
        earned.append(1.0 - abs(closes[expiry] - near["strike"][0]) / premium)
    x = np.array(earned)
    assert abs(x.mean()) < 3 * x.std() / np.sqrt(len(x))


def test_chain_facts_match_the_measured_surface_and_spreads(market: SimulatedMarket, calendar) -> None:
    days = calendar.sessions_between(date(2025, 1, 2), date(2025, 2, 28))[::4]
    facts = chain_facts(pl.concat([market.option_quotes("SPY", d) for d in days]), calendar)
    assert 0.02 < facts["share_no_bid"] < 0.08
    b1 = {"2-3": -0.112, "4-7": -0.126, "8-14": -0.134, "15-30": -0.148, "31-60": -0.189}
    b2 = {"2-3": 0.042, "4-7": 0.042, "8-14": 0.046, "15-30": 0.050, "31-60": 0.058}
    for bucket, row in facts["surface"].items():
        if bucket in b1:
            assert row["b1"] == pytest.approx(b1[bucket], rel=0.15)
            assert row["b2"] == pytest.approx(b2[bucket], rel=0.15)
    spreads = facts["spreads"]
    assert spreads["8-21"]["0.35-0.65"] == pytest.approx(0.07, abs=0.0105)
    assert spreads["22-45"]["0.10-0.20"] == pytest.approx(0.02, abs=0.005)
    assert spreads["22-45"]["0.65-0.90"] == pytest.approx(2.57, rel=0.15)
    assert spreads["1-2"]["0.35-0.65"] == pytest.approx(0.02, abs=0.005)
