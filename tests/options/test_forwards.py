"""Forwards from parity: exact on exact prices, robust to bad quotes, honest about what they do not know."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.calendar import load_calendar
from argus_core.market.schemas import column_types
from argus_core.options.forwards import forwards_of
from argus_core.options.schemas import Forwards
from argus_core.settings import Instrument
from argus_core.settings.option_chains import OptionChainSettings
from tests.options.black_chains import black_chain
from tests.options.heston_chains import heston_chain

INDEX = Instrument(symbol="SPY", asset_class="index")
ETF = Instrument(symbol="SPY", asset_class="etf")
CALENDAR = load_calendar("XNYS")
SETTINGS = OptionChainSettings(rate=0.03)


def test_exact_prices_give_exact_forwards_and_the_schema_holds():
    made = black_chain(half_spread=1e-9)
    found = forwards_of(made.quotes, INDEX, CALENDAR, SETTINGS)
    assert found.schema == column_types(Forwards)
    Forwards.validate(found)
    np.testing.assert_allclose(found["forward"], made.forward, rtol=1e-9)
    np.testing.assert_allclose(found["discount"], np.exp(-0.03 * found["t_cal"].to_numpy()), rtol=1e-12)
    # The spot rests on the expiry of the next days, whose yield it takes as nothing: .012 * 7/365.
    assert found["spot"][0] == pytest.approx(100.0, rel=3e-4)
    assert found["reason"].null_count() == 3


def test_a_heston_smile_is_no_obstacle():
    made = heston_chain(days=(30,), strikes=np.arange(85.0, 116.0), dividend_yield=0.012)
    found = forwards_of(made.quotes, INDEX, CALENDAR, SETTINGS)
    assert found["forward"][0] == pytest.approx(made.implied_vols["forward"][0], rel=2e-6)


def test_noise_inside_the_spread_moves_the_forward_by_its_standard_error():
    z = []
    for seed in range(30):
        made = black_chain(noise=1.0, seed=seed)
        found = forwards_of(made.quotes, INDEX, CALENDAR, SETTINGS)
        z += ((found["forward"] - pl.Series(made.forward)) / found["forward_se"]).to_list()
    assert 0.7 < np.std(z) < 1.3
    assert abs(np.mean(z)) < 0.4


def test_a_few_bad_quotes_do_not_move_the_forward():
    made = black_chain()
    wrong = pl.col("strike").is_in([98.0, 101.0]) & (pl.col("right") == "C")
    bent = made.quotes.with_columns(
        [pl.when(wrong).then(pl.col(side) + 3.0).otherwise(pl.col(side)).alias(side) for side in ("bid", "ask")]
    )
    clean = forwards_of(made.quotes, INDEX, CALENDAR, SETTINGS)
    found = forwards_of(bent, INDEX, CALENDAR, SETTINGS)
    gap = (found["forward"] - clean["forward"]).abs() / clean["forward_se"]
    assert gap.max() < 1.0


def test_the_discount_is_regressed_where_it_is_well_identified():
    regress = OptionChainSettings(rate=0.0, forwards={"discount": "parity"})
    made = black_chain(rate=0.042, days=(30, 60, 88), half_spread=0.005)
    found = forwards_of(made.quotes, INDEX, CALENDAR, regress)
    np.testing.assert_allclose(found["rate"], 0.042, atol=2e-4)
    np.testing.assert_allclose(found["forward"], made.forward, rtol=2e-6)
    # American prices and wide markets tell nothing: the setting stays.
    assert forwards_of(made.quotes, ETF, CALENDAR, regress)["rate"].to_list() == [0.0] * 3
    wide = black_chain(rate=0.042, days=(7,), half_spread=0.1)
    assert forwards_of(wide.quotes, INDEX, CALENDAR, regress)["rate"].to_list() == [0.0]


def test_american_prices_lose_their_premium_first():
    made = black_chain(days=(7, 88, 365), half_spread=0.005, american=True)
    quotes = made.quotes
    wanted = np.array(made.forward)
    raw = forwards_of(quotes, INDEX, CALENDAR, SETTINGS)["forward"].to_numpy()
    found = forwards_of(quotes, ETF, CALENDAR, SETTINGS)["forward"].to_numpy()
    # Read as European the put's premium drags the forward down by far more than what is left of it afterwards.
    assert (wanted - raw)[2] > 0.2
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_am_and_pm_settled_expiries_of_a_day_are_two_forwards():
    made = black_chain(days=(46,), underlying="SPX")
    third_friday = made.quotes["expiry"][0]
    assert third_friday == date(2026, 9, 18)
    weekly = made.quotes.with_columns(contract=pl.col("contract").str.replace("SPX", "SPXW"))
    found = forwards_of(pl.concat([made.quotes, weekly]), INDEX, CALENDAR, SETTINGS)
    assert found["settlement"].to_list() == ["AM", "PM"]
    assert found["n_pairs"].to_list() == [found["n_pairs"][0]] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pl.col("bid") * 0.0, "NO_PAIRS"),
        (pl.col("ask") + 1.0, "NO_PAIRS"),
        (None, None),
    ],
)
def test_a_chain_without_a_pair_says_so(change, reason):
    made = black_chain(days=(30,), strikes=[100.0])
    quotes = made.quotes if change is None else made.quotes.with_columns(bid=change)
    found = forwards_of(quotes, INDEX, CALENDAR, SETTINGS).row(0, named=True)
    assert found["reason"] == reason
    assert (found["forward"] is None) == (reason is not None)
    if reason is None:
        assert (found["n_pairs"], found["forward"]) == (1, pytest.approx(made.forward[0], rel=1e-6))


def test_an_expiry_that_is_over_has_no_forward_and_harms_no_other():
    made = black_chain(days=(0, 30))
    found = forwards_of(made.quotes, INDEX, CALENDAR, SETTINGS)
    assert found["reason"].to_list() == ["EXPIRED", None]
    assert found["t_cal"][0] < 0
    assert found["discount"][0] == 1.0


def test_a_forward_that_no_carry_explains_is_refused():
    made = black_chain(days=(30,))
    found = forwards_of(made.quotes.with_columns(underlying_price=pl.lit(80.0)), INDEX, CALENDAR, SETTINGS)
    assert found["reason"].to_list() == ["OUT_OF_BOUNDS"]


def test_an_unknown_spot_is_taken_from_the_chain():
    made = black_chain(days=(88,)).quotes.with_columns(underlying_price=pl.lit(None, pl.Float64))
    row = forwards_of(made, INDEX, CALENDAR, SETTINGS).row(0, named=True)
    assert row["spot"] == pytest.approx(row["forward"] * row["discount"])


def test_rates_by_date_hold_from_their_day_on():
    rates = OptionChainSettings(rates={date(2026, 1, 1): 0.05, date(2026, 8, 4): 0.04})
    made = black_chain(days=(30,))
    assert forwards_of(made.quotes, INDEX, CALENDAR, rates)["rate"].to_list() == [0.05]
    later = datetime(2026, 8, 4, 20, 15, tzinfo=UTC)
    made = black_chain(days=(30,), recv_ts=later)
    assert forwards_of(made.quotes, INDEX, CALENDAR, rates)["rate"].to_list() == [0.04]
    assert forwards_of(made.quotes, INDEX, CALENDAR, rates, rate=0.01)["rate"].to_list() == [0.01]
    coin = Instrument(symbol="SPY", asset_class="crypto", hours="always")
    assert forwards_of(made.quotes, coin, CALENDAR, rates)["rate"].to_list() == [0.0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.01, 1.0, 700.0]))
def test_order_of_rows_and_unit_of_price_do_not_matter(seed, scale):
    made = black_chain(noise=1.0, seed=seed)
    plain = forwards_of(made.quotes, ETF, CALENDAR, SETTINGS)
    shuffled = made.quotes.sample(fraction=1.0, shuffle=True, seed=seed)
    assert forwards_of(shuffled, ETF, CALENDAR, SETTINGS).equals(plain)
    money = ("strike", "bid", "ask", "underlying_price")
    scaled = forwards_of(made.quotes.with_columns([pl.col(name) * scale for name in money]), ETF, CALENDAR, SETTINGS)
    np.testing.assert_allclose(scaled["forward"] / scale, plain["forward"], rtol=1e-9)


def test_no_later_snapshot_changes_an_earlier_one():
    first = black_chain(days=(7, 30), noise=1.0)
    second = black_chain(days=(7, 30), noise=1.0, seed=9, recv_ts=datetime(2026, 8, 3, 20, 45, tzinfo=UTC))
    alone = forwards_of(first.quotes, ETF, CALENDAR, SETTINGS)
    both = forwards_of(pl.concat([second.quotes, first.quotes]), ETF, CALENDAR, SETTINGS)
    assert both.head(2).equals(alone)
