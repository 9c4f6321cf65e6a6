"""The table of implied volatilities: right numbers, one reason per quote left out, hostile chains included."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import load_calendar
from argus_core.market.schemas import OptionQuotes, column_types, conform
from argus_core.options.black import black_price
from argus_core.options.forwards import forwards_of
from argus_core.options.hygiene import HYGIENE_REASONS, hygiene_counts
from argus_core.options.implied_vols import VOL_REASONS, implied_vols_of
from argus_core.options.schemas import ImpliedVols
from argus_core.settings import Instrument
from argus_core.settings.option_chains import OptionChainSettings
from tests.options.black_chains import RECV, black_chain
from tests.options.heston_chains import heston_chain

INDEX = Instrument(symbol="SPY", asset_class="index")
ETF = Instrument(symbol="SPY", asset_class="etf")
CALENDAR = load_calendar("XNYS")
SETTINGS = OptionChainSettings(rate=0.03)


def table(quotes: pl.DataFrame, instrument=INDEX, settings=SETTINGS) -> pl.DataFrame:
    forwards = forwards_of(quotes, instrument, CALENDAR, settings)
    return implied_vols_of(quotes, forwards, instrument, CALENDAR, settings)


def reasons(vols: pl.DataFrame) -> dict[str, int]:
    return dict(hygiene_counts(vols).select("reason", "count").rows())


def test_heston_prices_give_the_volatilities_and_greeks_of_the_oracle():
    made = heston_chain(days=(30,), strikes=np.arange(80.0, 121.0), dividend_yield=0.012)
    found = table(made.quotes)
    assert found.schema == column_types(ImpliedVols)
    ImpliedVols.validate(found)
    wanted = made.implied_vols.select(
        "contract", "iv_bid", "iv_mid", "iv_ask", "delta", "gamma", "vega", "theta", "rho"
    )
    both = found.filter("used").join(wanted, on="contract", suffix="_wanted")
    assert both.height > 30
    for name in ("iv_bid", "iv_mid", "iv_ask"):
        np.testing.assert_allclose(both[name], both[f"{name}_wanted"], atol=5e-5)
    # The oracle stands a minute later and knows the spot exactly.
    for name in ("delta", "gamma", "vega", "theta", "rho"):
        np.testing.assert_allclose(both[name], both[f"{name}_wanted"], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(("american", "instrument", "within"), [(False, INDEX, 1e-7), (True, ETF, 2e-4)])
def test_volatility_behind_european_and_american_prices_is_found(american, instrument, within):
    made = black_chain(days=(7, 88, 365), half_spread=1e-6, american=american)
    settings = OptionChainSettings(rate=0.03, hygiene={"max_lag_seconds": 1e6})
    found = table(made.quotes, instrument, settings)
    wanted = made.quotes.select("contract").with_columns(vol=pl.Series(made.vol))
    both = found.join(wanted, on="contract").filter("used")
    assert both.height > 100
    np.testing.assert_allclose(both["iv_mid"], both["vol"], atol=within)
    if american:
        assert found.filter(pl.col("used") & (pl.col("right") == "P"))["premium"].max() > 0.1
        # Contracts in the money rest on their twin's volatility and agree with it.
        inside = found.join(wanted, on="contract").filter(
            (pl.col("reason") == "IN_THE_MONEY") & (pl.col("log_moneyness").abs() < 0.1) & (pl.col("t_cal") > 0.5)
        )
        np.testing.assert_allclose(inside["iv_mid"], inside["vol"], atol=1e-3)


def test_american_puts_read_as_european_would_be_too_high():
    made = black_chain(days=(7, 365), half_spread=0.005, american=True)
    truth = made.quotes.select("contract").with_columns(vol=pl.Series(made.vol))
    worst = []
    for instrument in (ETF, INDEX):
        used = table(made.quotes, instrument).filter("used").filter(pl.col("t_cal") > 0.5).join(truth, on="contract")
        worst.append((used["iv_mid"] - used["vol"]).abs().max())
    assert worst[0] < 3e-4
    assert worst[1] > 3e-3


def test_standard_error_covers_what_a_discrete_dividend_does_to_puts():
    """Puts priced by finite differences with .25 paid on the 20th day: the yield misses premium, iv_se says so."""
    ql = pytest.importorskip("QuantLib")
    today, count = ql.Date(3, 8, 2026), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    curves = [ql.YieldTermStructureHandle(ql.FlatForward(today, x, count)) for x in (0.0, 0.03)]
    surface = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), 0.16, count))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(100.0)), *curves, surface)
    dividends = ql.DividendVector([today + 20], [0.25])
    made = black_chain(
        days=(30,),
        strikes=np.arange(92.0, 107.0),
        half_spread=0.002,
        age=0.0,
        recv_ts=datetime(2026, 8, 3, 20, tzinfo=UTC),
    ).quotes
    chains = []
    for exercise in (ql.AmericanExercise(today, today + 30), ql.EuropeanExercise(today + 30)):
        prices = []
        for row in made.to_dicts():
            payoff = ql.PlainVanillaPayoff(ql.Option.Call if row["right"] == "C" else ql.Option.Put, row["strike"])
            option = ql.VanillaOption(payoff, exercise)
            option.setPricingEngine(ql.FdBlackScholesVanillaEngine(process, dividends, 200, 400))
            prices.append(option.NPV())
        chains.append(made.with_columns(bid=pl.Series(prices) - 0.002, ask=pl.Series(prices) + 0.002))
    found, wanted = table(chains[0], ETF), table(chains[1], INDEX)
    puts = found.filter(pl.col("used") & (pl.col("right") == "P")).join(wanted, on="contract", suffix="_wanted")
    assert puts.height >= 7
    error = (puts["iv_mid"] - puts["iv_mid_wanted"]).abs()
    assert error.max() > 5e-4
    assert (error / puts["iv_se"]).max() < 2.5


def test_standard_error_follows_the_spread_and_covers_the_noise():
    z = []
    for seed in range(12):
        made = black_chain(half_spread=0.03, noise=1.0, seed=seed)
        both = (
            table(made.quotes)
            .join(made.quotes.select("contract").with_columns(vol=pl.Series(made.vol)), on="contract")
            .filter("used")
        )
        z += ((both["iv_mid"] - both["vol"]) / both["iv_se"]).to_list()
    assert 0.85 < np.std(z) < 1.15
    wide, narrow = (table(black_chain(half_spread=h).quotes) for h in (0.06, 0.02))
    both = wide.filter("used").join(narrow.filter("used"), on="contract", suffix="_narrow")
    np.testing.assert_allclose(both["iv_se"], 3 * both["iv_se_narrow"], rtol=0.1)


def test_an_old_quote_carries_the_move_it_has_missed():
    made = black_chain(days=(30,))
    old = pl.col("contract") == "SPY260902P00095000"
    quotes = made.quotes.with_columns(
        ts=pl.when(old).then(pl.col("ts") - timedelta(minutes=10)).otherwise(pl.col("ts"))
    )
    before, after = (table(q).filter(old) for q in (made.quotes, quotes))
    missed = 100 * before["iv_mid"][0] * np.sqrt(600 / (365 * 86_400)) * abs(before["delta"][0]) / before["vega"][0]
    assert after["iv_se"][0] == pytest.approx(np.hypot(before["iv_se"][0], missed), rel=1e-6)
    assert after["quote_age"][0] == 660.0


def bent(frame: pl.DataFrame, contract: str, **values) -> pl.DataFrame:
    here = pl.col("contract") == contract
    return frame.with_columns(
        [
            pl.when(here).then(pl.lit(value, frame.schema[name])).otherwise(pl.col(name)).alias(name)
            for name, value in values.items()
        ]
    )


PUT = "SPY260902P00095000"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"ts": RECV + timedelta(seconds=1)}, "FUTURE"),
        ({"underlying_price": 700.0}, "SPLIT_DAY"),
        ({"bid": None, "ask": None}, "NO_QUOTE"),
        ({"bid": None}, "ONE_SIDED"),
        ({"ask": float("nan")}, "ONE_SIDED"),
        ({"bid": -1.0}, "NEGATIVE"),
        ({"strike": 0.0}, "NEGATIVE"),
        ({"ask": float("inf")}, "NEGATIVE"),
        ({"bid": 2.0, "ask": 1.0}, "CROSSED"),
        ({"bid": 1.0, "ask": 0.0}, "CROSSED"),
        ({"bid": 0.0}, "ZERO_BID"),
        ({"bid": 1.0, "ask": 1.0}, "LOCKED"),
        ({"bid_size": 0.0}, "ZERO_SIZE"),
        ({"ts": RECV - timedelta(minutes=20)}, "STALE"),
        ({"bid": 0.5, "ask": 1.0}, "SPREAD_WIDE"),
        ({"bid": 99.0, "ask": 100.0}, "ABOVE_BOUND"),
    ],
)
def test_every_fault_has_its_own_reason_and_touches_only_its_quote(values, reason):
    made = black_chain(days=(30,))
    clean = table(made.quotes)
    found = table(bent(made.quotes, PUT, **values))
    row = found.filter(pl.col("contract") == PUT).row(0, named=True)
    assert (row["reason"], row["used"]) == (reason, False)
    others = pl.col("contract") != PUT
    assert found.filter(others)["reason"].equals(clean.filter(others)["reason"])


def test_low_prices_are_refused_where_asked_for():
    made = black_chain(days=(30,))
    limit = OptionChainSettings(rate=0.03, hygiene={"min_price": 0.5})
    low = table(made.quotes, settings=limit).filter(pl.col("reason") == "LOW_PRICE")
    assert low.height > 0
    assert ((low["bid"] + low["ask"]) / 2).max() < 0.5


def test_adjusted_contracts_and_doubles_are_not_used():
    made = black_chain(days=(30,)).quotes
    adjusted = made.filter(pl.col("contract") == PUT).with_columns(contract=pl.lit("SPY1260902P00095000"))
    late = made.filter(pl.col("contract") == PUT).with_columns(ts=pl.col("ts") - timedelta(seconds=1))
    found = table(pl.concat([made, adjusted, late]))
    assert reasons(found)["NON_STANDARD"] == reasons(found)["DUPLICATE"] == 1
    assert found.filter((pl.col("contract") == PUT) & pl.col("used")).height == 1


def test_which_of_two_doubles_is_used_does_not_depend_on_their_order():
    made = black_chain(days=(30,)).quotes
    other = made.with_columns(bid=pl.col("bid") - 0.005)
    found = [table(pl.concat(pair)) for pair in ((made, other), (other, made))]
    assert found[0].equals(found[1])
    assert reasons(found[0])["DUPLICATE"] == made.height


def test_sizes_that_a_provider_never_gives_are_not_judged():
    made = black_chain(days=(30,)).quotes.with_columns(bid_size=0.0, ask_size=0.0)
    assert "ZERO_SIZE" not in reasons(table(made))


def test_a_chain_with_one_strike_gives_its_volatility():
    made = black_chain(days=(30,), strikes=[100.0])
    found = table(made.quotes)
    assert found["used"].to_list().count(True) == 1
    assert found.filter("used")["iv_mid"][0] == pytest.approx(made.vol[0], abs=1e-6)


def test_a_chain_without_bids_has_reasons_and_ask_volatilities_at_most():
    made = black_chain(days=(30,)).quotes.with_columns(bid=pl.lit(0.0))
    found = table(made)
    assert reasons(found) == {"ZERO_BID": made.height}
    assert found["iv_mid"].null_count() == made.height
    assert found["forward"].null_count() == made.height


def test_a_crossed_chain_has_reasons_and_no_volatility():
    made = black_chain(days=(30,)).quotes
    found = table(made.with_columns(bid=pl.col("ask") + 1, ask=pl.col("bid")))
    assert reasons(found) == {"CROSSED": made.height}
    assert found["iv_ask"].null_count() == made.height


@pytest.mark.parametrize("hour", [19, 20, 21])
def test_an_expiry_of_today_counts_minutes_and_ends_at_the_close(hour):
    recv = datetime(2026, 8, 3, hour, 30, tzinfo=UTC)
    made = black_chain(days=(0, 30), recv_ts=recv, half_spread=1e-4)
    found = table(made.quotes).filter(pl.col("expiry") == date(2026, 8, 3))
    left = (20 - hour - 0.5 + 1 / 60) / (24 * 365)
    assert found["t_cal"][0] == pytest.approx(left)
    if hour == 19:
        assert found.filter("used").height > 0
        assert found.filter("used")["iv_mid"].is_finite().all()
    else:
        # Negative time.
        assert set(found["reason"]) == {"EXPIRED"}
        assert found["iv_mid"].null_count() == found.height
        assert found["t_var"][0] < 0


def test_a_quote_long_expired_never_comes_back():
    made = black_chain(days=(30,))
    late = made.quotes.with_columns(expiry=pl.lit(date(2020, 1, 3)))
    assert reasons(table(late)) == {"EXPIRED": late.height}


def test_forwards_that_lack_an_expiry_are_said_to_lack_it():
    made = black_chain(days=(7, 30)).quotes
    forwards = forwards_of(made, INDEX, CALENDAR, SETTINGS).head(1)
    found = implied_vols_of(made, forwards, INDEX, CALENDAR, SETTINGS)
    far = found.filter(pl.col("expiry") == date(2026, 9, 2))
    assert set(far["reason"]) <= {"NO_FORWARD", "ZERO_BID", "SPREAD_WIDE"}
    assert far["discount"][0] == pytest.approx(np.exp(-0.03 * far["t_cal"][0]))


def test_a_chain_of_ten_thousand_strikes_is_inverted_whole():
    strike = np.linspace(50.0, 200.0, 10_000)
    forward, discount, years = 100 * np.exp(0.03 * 30 / 365), np.exp(-0.03 * 30 / 365), 30 / 365
    call = strike >= forward
    price = black_price(forward, strike, years, 0.3, call, discount)
    rows = pl.DataFrame(
        {"strike": strike, "right": np.where(call, "C", "P"), "bid": price * 0.999, "ask": price * 1.001}
    )
    names = pl.format(
        "SPY260902{}{}", "right", (pl.col("strike") * 1e3).round(0).cast(pl.Int64).cast(pl.String).str.zfill(8)
    )
    moment = datetime(2026, 8, 3, 20, tzinfo=UTC)
    rows = rows.with_columns(
        provider=pl.lit("t"),
        underlying=pl.lit("SPY"),
        ts=pl.lit(moment),
        recv_ts=pl.lit(moment),
        contract=names,
        expiry=pl.lit(date(2026, 9, 2)),
        underlying_price=pl.lit(100.0),
    )
    twin = rows.filter(pl.col("strike").is_between(95, 105)).with_columns(
        right=pl.when(pl.col("right") == "C").then(pl.lit("P")).otherwise(pl.lit("C"))
    )
    k, is_call = twin["strike"].to_numpy(), (twin["right"] == "C").to_numpy()
    other = black_price(forward, k, years, 0.3, is_call, discount)
    twin = twin.with_columns(bid=pl.Series(other * 0.999), ask=pl.Series(other * 1.001), contract=names)
    found = table(conform(pl.concat([rows, twin]), OptionQuotes))
    used = found.filter(pl.col("used") & (pl.col("bid") > 1e-8))
    assert used.height > 6_000
    np.testing.assert_allclose(used["iv_mid"], 0.3, atol=1e-4)


def test_every_reason_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "option-chains.md").read_text()
    for reason in (*HYGIENE_REASONS, *VOL_REASONS):
        assert f"`{reason}`" in text


def test_snapshots_do_not_touch_each_other_and_order_does_not_matter():
    one = black_chain(days=(7, 30), noise=1.0)
    two = black_chain(days=(7, 30), noise=1.0, seed=3, recv_ts=RECV + timedelta(minutes=30))
    alone = table(one.quotes, ETF)
    both = table(pl.concat([two.quotes, one.quotes]).sample(fraction=1.0, shuffle=True, seed=1), ETF)
    assert both.filter(pl.col("recv_ts") == RECV).equals(alone)


def test_an_empty_chain_is_an_empty_table():
    nothing = black_chain().quotes.clear()
    assert table(nothing).is_empty()
    assert table(nothing).schema == column_types(ImpliedVols)
