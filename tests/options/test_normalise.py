"""Any provider's chain becomes one schema: symbols, words, units and times, and a counted reason for the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.market.schemas import OptionQuotes, column_types
from argus_core.options.normalise import REFUSALS, iv_unit_of, normalise_chain
from argus_core.options.provider_formats import FORMATS, ProviderFormat, provider_format
from tests.options.black_chains import black_chain

RECV = datetime(2026, 8, 18, 20, 20, tzinfo=UTC)
TS = datetime(2026, 8, 18, 20, 15, tzinfo=UTC)
#: What every spelling below says.
WANTED = {
    "underlying": "SPX",
    "ts": TS,
    "recv_ts": RECV,
    "contract": "SPXW260918P07450500",
    "expiry": date(2026, 9, 18),
    "strike": 7450.5,
    "right": "P",
    "bid": 44.8,
    "ask": 45.5,
}

SPELLINGS = [
    ("any", {"symbol": "SPXW260918P07450500", "bid": 44.8, "ask": 45.5, "timestamp": TS}),
    ("cboe", {"option": "SPXW  260918P07450500", "bid": "44.8", "ask": "45.5", "timestamp": "2026-08-18 16:15:00"}),
    (
        "polygon",
        {
            "details": {"ticker": "O:SPXW260918P07450500", "contract_type": "put"},
            "bid": 44.8,
            "ask": 45.5,
            "last_updated": int(TS.timestamp() * 1e9),
        },
    ),
    (
        "dxlink",
        {"eventSymbol": ".SPXW260918P7450.5", "bidPrice": 44.8, "askPrice": 45.5, "time": int(TS.timestamp() * 1e3)},
    ),
    (
        "thetadata",
        {
            "root": "SPXW",
            "expiration": 20260918,
            "strike": 7450500,
            "right": "P",
            "bid": 44.8,
            "ask": 45.5,
            "date": 20260818,
            "ms_of_day": (16 * 60 + 15) * 60_000,
        },
    ),
    (
        "tradier",
        {
            "symbol": "SPXW260918P07450500",
            "root_symbol": "SPXW",
            "expiration_date": "2026-09-18",
            "strike": 7450.5,
            "option_type": "put",
            "bid": 44.8,
            "ask": 45.5,
            "timestamp": "2026-08-18T20:15:00Z",
        },
    ),
    (
        "any",
        {
            "Root": "SPXW",
            "Expiration Date": "09/18/2026",
            "Strike Price": 7450.5,
            "Call/Put": "Puts",
            "Bid": 44.8,
            "Ask": 45.5,
            "Quote Time": TS,
        },
    ),
    (
        "any",
        {
            "root": "SPXW",
            "expiry": datetime(2026, 9, 18, 20, tzinfo=UTC),
            "strike": 7450.5,
            "is_call": False,
            "bid": 44.8,
            "ask": 45.5,
            "ts": TS,
        },
    ),
    (
        "any",
        {
            "root": "SPXW",
            "expiry": int(datetime(2026, 9, 18, 20, tzinfo=UTC).timestamp()),
            "strike": 7450.5,
            "cp": "p",
            "bid": 44.8,
            "ask": 45.5,
            "ts": TS,
        },
    ),
]


@pytest.mark.parametrize(("format", "row"), SPELLINGS)
def test_every_spelling_says_the_same(format, row):
    row = {name.replace("/", ""): value for name, value in row.items()}
    found = normalise_chain(pl.DataFrame([row]), provider="p", format=format, recv_ts=RECV)
    assert found.counts == {}
    assert found.quotes.schema == column_types(OptionQuotes)
    line = found.quotes.row(0, named=True)
    assert {name: line[name] for name in WANTED} == WANTED


def test_deribit_names_coin_prices_and_percent():
    rows = pl.DataFrame(
        {
            "instrument_name": ["BTC-9JUL26-64500-C", "BTC-9JUL26-64500-P", "XRP_USDC-30AUG26-0d625-C"],
            "best_bid_price": [0.0100, 0.0110, 0.5],
            "best_ask_price": [0.0104, 0.0114, 0.6],
            "mark_iv": [36.1, 36.3, 80.0],
            "underlying_price": [64_400.0, 64_400.0, 1.0],
            "timestamp": [int(datetime(2026, 7, 8, 8, tzinfo=UTC).timestamp() * 1000)] * 3,
        }
    )
    found = normalise_chain(rows, provider="deribit", format="deribit", recv_ts=datetime(2026, 7, 8, 8, 1, tzinfo=UTC))
    assert found.iv_unit == "percent"
    lines = {row["contract"]: row for row in found.quotes.to_dicts()}
    call = lines["BTC-9JUL26-64500-C"]
    assert (call["expiry"], call["strike"], call["right"]) == (date(2026, 7, 9), 64_500.0, "C")
    assert (call["bid"], call["iv"]) == (pytest.approx(644.0), pytest.approx(0.361))
    assert lines["XRP_USDC-30AUG26-0D625-C"]["strike"] == 0.625


def test_strikes_in_thousandths_are_seen_from_the_chain_as_a_whole():
    made = black_chain(days=(30,)).quotes
    bare = made.drop("contract").with_columns(strike=pl.col("strike") * 1000)
    found = normalise_chain(bare, provider="p")
    assert found.quotes["strike"].sort().equals(made["strike"].sort())
    assert found.quotes["contract"].sort().equals(made["contract"].sort())
    assert any("thousandths" in note for note in found.notes)
    # One dear strike in a chain of dollars is no reason to divide.
    one = made.vstack(made.head(1).with_columns(strike=pl.lit(90_000.0), contract=pl.lit("SPY260902C90000000")))
    assert normalise_chain(one, provider="p").quotes["strike"].max() == 90_000.0


def with_vols(unit: float) -> pl.DataFrame:
    made = black_chain(days=(7, 30))
    return made.quotes.with_columns(iv=pl.Series(made.vol) * unit)


@pytest.mark.parametrize("priced", [True, False])
@pytest.mark.parametrize(("unit", "name"), [(1.0, "fraction"), (100.0, "percent")])
def test_percent_and_fraction_are_told_apart_by_the_chain(priced, unit, name):
    chain = with_vols(unit)
    if not priced:
        chain = chain.with_columns(bid=pl.lit(None, pl.Float64), ask=pl.lit(None, pl.Float64))
    found = normalise_chain(chain, provider="p")
    assert found.iv_unit == name
    np.testing.assert_allclose(found.quotes["iv"].sort(), with_vols(1.0)["iv"].sort())


def test_single_values_never_decide():
    # A wing at 310 % in a chain of fractions, and one at .9 % in a chain of percent.
    wild = with_vols(1.0).with_columns(iv=pl.when(pl.col("strike") == 70.0).then(3.1).otherwise("iv"))
    assert normalise_chain(wild, provider="p").quotes["iv"].max() == 3.1
    calm = with_vols(100.0).with_columns(iv=pl.when(pl.col("strike") == 70.0).then(0.9).otherwise("iv"))
    assert normalise_chain(calm, provider="p").quotes["iv"].min() == pytest.approx(0.009)


def test_a_very_volatile_chain_is_still_a_fraction_where_prices_say_so():
    made = black_chain(days=(30,), strikes=[90.0, 100.0, 110.0])
    wild = made.quotes.with_columns(iv=pl.lit(4.0), bid=pl.lit(45.0), ask=pl.lit(46.0))
    assert iv_unit_of(wild) == "fraction"


def test_volatility_of_unknown_unit_is_left_out_and_said_so():
    odd = with_vols(12.0)
    found = normalise_chain(odd, provider="p")
    assert (found.iv_unit, found.quotes["iv"].null_count()) == ("unknown", odd.height)
    assert any(note.startswith("iv:") for note in found.notes)
    bare = with_vols(10.0).with_columns(bid=pl.lit(None, pl.Float64), ask=pl.lit(None, pl.Float64))
    assert iv_unit_of(bare) == "unknown"


def test_a_row_without_receipt_is_refused():
    made = black_chain(days=(30,)).quotes.drop("recv_ts")
    found = normalise_chain(made, provider="p")
    assert found.quotes.is_empty()
    assert found.counts == {"MISSING_RECV_TS": made.height}
    later = normalise_chain(made, provider="p", recv_ts=RECV)
    assert later.quotes.height == made.height
    early = normalise_chain(made, provider="p", recv_ts=made["ts"][0] - timedelta(seconds=1))
    assert early.counts == {"FUTURE": made.height}


def test_refused_rows_are_counted_by_reason_and_the_others_stay():
    good = black_chain(days=(30,), strikes=[100.0]).quotes
    base = good.row(0, named=True)
    bad = [
        {**base, "right": "X", "contract": None},
        {**base, "strike": 0.0, "contract": None},
        {**base, "expiry": None, "contract": None},
        {**base, "strike": 101.0},
        {**base, "underlying": "QQQ"},
        {**base, "ts": base["ts"] - timedelta(seconds=5)},
    ]
    frame = pl.concat([good, pl.DataFrame(bad, schema=good.schema)])
    found = normalise_chain(frame, provider="p", underlying="SPY")
    assert found.counts == dict.fromkeys(
        ("FOREIGN_UNDERLYING", "NO_EXPIRY", "NO_STRIKE", "NO_RIGHT", "CONTRACT_MISMATCH", "DUPLICATE"), 1
    )
    assert found.quotes.drop("provider").equals(good.sort("right").drop("provider"))
    assert set(found.refused["reason"]) <= set(REFUSALS)


def test_signals_of_nothing_become_null():
    row = {"symbol": "SPY260918C00700000", "bid": -1.0, "ask": float("nan"), "bid_size": -1, "ts": TS, "iv": None}
    line = normalise_chain(pl.DataFrame([row]), provider="p", recv_ts=RECV).quotes.row(0, named=True)
    assert line["bid"] is line["ask"] is line["bid_size"] is line["iv"] is None


def test_unknown_quote_times_are_the_receipt_and_noted():
    row = {"symbol": "SPY260918C00700000", "bid": 1.0, "ask": 1.1}
    found = normalise_chain(pl.DataFrame([row]), provider="p", recv_ts=RECV)
    assert found.quotes["ts"].to_list() == [RECV]
    assert any(note.startswith("ts:") for note in found.notes)


def test_an_own_format_is_data_and_an_unknown_one_teaches():
    own = ProviderFormat("house", {"strike": "K in cents"}, strike_divisor=100.0, iv_unit="percent")
    row = {
        "u": "x",
        "underlying": "SPY",
        "exp date": "2026-09-18",
        "K in cents": 70_000,
        "cp": "CALL",
        "iv": 0.9,
        "bid": 1.0,
        "ask": 1.1,
        "ts": TS,
    }
    line = normalise_chain(pl.DataFrame([row]), provider="p", format=own, recv_ts=RECV).quotes.row(0, named=True)
    assert (line["contract"], line["strike"], line["iv"]) == ("SPY260918C00700000", 700.0, pytest.approx(0.009))
    with pytest.raises(KeyError, match="deribit"):
        provider_format("nonsense")
    assert set(FORMATS) >= {"any", "cboe", "yahoo", "deribit", "thetadata", "polygon", "tradier", "dxlink"}


@settings(max_examples=40, deadline=None)
@given(
    root=st.from_regex(r"[A-Z]{1,5}[1-9]?", fullmatch=True),
    expiry=st.dates(date(2010, 1, 1), date(2035, 12, 31)),
    right=st.sampled_from("CP"),
    thousandths=st.integers(1, 99_999_999),
)
def test_every_occ_symbol_is_read_and_written_back(root, expiry, right, thousandths):
    symbol = f"{root}{expiry:%y%m%d}{right}{thousandths:08d}"
    frame = pl.DataFrame([{"symbol": symbol, "bid": 1.0, "ask": 1.1, "ts": TS}])
    line = normalise_chain(frame, provider="p", recv_ts=RECV).quotes.row(0, named=True)
    assert (line["contract"], line["expiry"], line["right"]) == (symbol, expiry, right)
    assert line["strike"] == pytest.approx(thousandths / 1000)


def test_what_is_normalised_stays_as_it_is():
    made = with_vols(1.0).sort("recv_ts", "expiry", "strike", "right", "contract")
    once = normalise_chain(made, provider="test").quotes
    assert once.equals(made)
    assert normalise_chain(once, provider="test").quotes.equals(once)
    assert normalise_chain(made.clear(), provider="test").quotes.is_empty()
