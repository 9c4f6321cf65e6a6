"""Tape, implied forwards and volatilities, spread selection."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import load_calendar
from argus_core.options import (
    OptionTape,
    atm_vol,
    atm_vol_at,
    expiries,
    expiry_slice,
    forwards_of,
    implied_forward,
    implied_vols_of,
)
from argus_core.options.black import black_delta
from argus_core.options.selection import Liquidity, select_vertical
from argus_core.settings import Instrument
from argus_core.settings.option_chains import OptionChainSettings
from tests.replay.quotes import at, chain, quotes

NEAR, FAR = date(2025, 2, 24), date(2025, 3, 20)
WISH = {
    "short_delta": 0.25,
    "target_days": 30,
    "min_days": 7,
    "max_days": 60,
    "width": 5.0,
    "right": "P",
    "liquidity": Liquidity(0.25),
}


def snapshot(*frames: pl.DataFrame):
    return OptionTape(pl.concat(frames)).snapshots[0]


def test_a_tape_orders_snapshots_by_receipt_and_finds_contracts():
    tape = OptionTape(pl.concat([chain(at("04 15:00"), [NEAR]), chain(at("03 15:00"), [FAR, NEAR])]).reverse())
    assert tape.recv_us == sorted(tape.recv_us)
    assert [len(s.contracts) for s in tape.snapshots] == [2 * 82, 82]
    first = tape.snapshots[0]
    assert list(first.expiry_rows) == [NEAR, FAR]
    row = first.frame.row(17, named=True)
    quote = first.quote(row["contract"])
    assert (quote.bid, quote.ask, quote.ask_size) == (row["bid"], row["ask"], row["ask_size"])
    assert first.quote("nothing") is None


def test_an_empty_tape_is_a_tape():
    assert len(OptionTape(chain(at("03 15:00"), [NEAR]).clear())) == 0


def test_a_tape_refuses_doubles_and_mixtures():
    one = chain(at("03 15:00"), [NEAR])
    with pytest.raises(ValueError, match="more than once"):
        OptionTape(pl.concat([one, one.head(1)]))
    with pytest.raises(ValueError, match="one provider per tape"):
        OptionTape(pl.concat([one, one.with_columns(provider=pl.lit("other"))]))
    with pytest.raises(ValueError, match="one underlying per tape"):
        OptionTape(pl.concat([one, one.with_columns(underlying=pl.lit("QQQ"))]))


def test_the_forward_follows_parity_through_wide_and_missing_quotes():
    strike = np.array([90.0, 95, 100, 105, 110])
    call = np.array([13.1, np.nan, 4.3, 2.2, 1.0])
    put = call - (102.0 - strike)
    assert implied_forward(strike, call, put) == pytest.approx(102.0)
    call[0] += 3.0
    assert implied_forward(strike, call, put) == pytest.approx(102.0)
    assert np.isnan(implied_forward(strike, np.full(5, np.nan), put))


def test_volatility_and_delta_are_computed_where_the_chain_has_none():
    shot = snapshot(chain(at("03 15:00"), [NEAR], spot=103.0, vol=0.3, half_spread=0.01))
    part = expiry_slice(shot, NEAR)
    assert part.forward == pytest.approx(103.0, abs=0.02)
    assert part.days == 21
    near = np.abs(part.strike - 103) < 10
    np.testing.assert_allclose(part.iv[near], 0.3, atol=0.004)
    np.testing.assert_allclose(
        part.delta[near], black_delta(103, part.strike[near], part.years, 0.3, part.call[near]), atol=0.01
    )
    assert atm_vol(part) == pytest.approx(0.3, abs=0.002)
    assert expiry_slice(shot, NEAR) is part


def test_the_own_volatility_wins_and_the_provider_is_asked_only_where_no_price_gives_one():
    bare = chain(at("03 15:00"), [NEAR])
    # A provider in percent: nothing of it may get in where a price speaks.
    given = bare.with_columns(
        iv=pl.lit(50.0), delta=pl.lit(0.1), bid=pl.when(pl.col("strike") > 118).then(0.0).otherwise("bid")
    )
    part, own = (expiry_slice(snapshot(frame), NEAR) for frame in (given, bare))
    silent = part.strike > 118
    unpriced = np.isnan(own.iv) | silent
    assert unpriced.sum() < len(unpriced) / 2
    np.testing.assert_array_equal(part.iv[~unpriced], own.iv[~unpriced])
    np.testing.assert_array_equal(part.delta[~unpriced], own.delta[~unpriced])
    assert set(part.iv[unpriced]) == {50.0}
    assert set(part.delta[unpriced]) == {0.1}


def test_without_any_forward_the_provider_is_all_there_is():
    calls = chain(at("03 15:00"), [NEAR]).filter(pl.col("right") == "C")
    part = expiry_slice(snapshot(calls.with_columns(iv=pl.lit(0.2), delta=pl.lit(0.4))), NEAR)
    assert np.isnan(part.forward)
    assert set(part.iv) == {0.2}
    assert set(part.delta) == {0.4}
    assert np.isnan(expiry_slice(snapshot(calls), NEAR).iv).all()


def test_volatility_and_delta_are_those_of_the_option_tables():
    """The same kernel, the same greeks: a European chain without carry gives `implied_vols_of`'s numbers."""
    quoted = chain(at("03 15:00"), [NEAR, FAR], vol=0.3, half_spread=0.01)
    instrument = Instrument(symbol="SPY", asset_class="index")
    settings = OptionChainSettings()
    calendar = load_calendar("XNYS")
    rows = implied_vols_of(quoted, forwards_of(quoted, instrument, calendar, settings), instrument, calendar, settings)
    rate = settings.rate_on(date(2025, 2, 3))
    for expiry in (NEAR, FAR):
        table = rows.filter((pl.col("expiry") == expiry) & pl.col("used")).sort("strike", "right")
        part = expiry_slice(snapshot(quoted), expiry, rate=rate)
        at_rows = [part.contract.index(name) for name in table["contract"]]
        assert len(at_rows) > 10
        np.testing.assert_allclose(part.iv[at_rows], table["iv_mid"], atol=2e-3)
        np.testing.assert_allclose(part.delta[at_rows], table["delta"], atol=2e-3)


def test_atm_volatility_is_interpolated_in_total_variance():
    frames = [chain(at("03 15:00"), [NEAR], vol=0.2, half_spread=0.005)]
    frames.append(chain(at("03 15:00"), [FAR], vol=0.3, half_spread=0.005))
    shot = snapshot(*frames)
    near, far = (expiry_slice(shot, day) for day in (NEAR, FAR))
    weight = (30 / 365 - near.years) / (far.years - near.years)
    expected = np.sqrt(((1 - weight) * 0.04 * near.years + weight * 0.09 * far.years) / (30 / 365))
    assert atm_vol_at(shot, 30) == pytest.approx(expected, abs=0.002)
    assert atm_vol_at(shot, 12) == pytest.approx(0.2, abs=0.002)
    assert np.isnan(atm_vol_at(snapshot(chain(at("03 15:00"), [date(2026, 2, 20)])), 30))


def test_a_spread_is_chosen_by_days_delta_and_width():
    shot = snapshot(chain(at("03 15:00"), [NEAR, FAR], vol=0.3))
    assert expiries(shot) == [(NEAR, 21), (FAR, 45)]
    found = select_vertical(shot, **WISH)
    part = expiry_slice(shot, NEAR)
    puts = ~part.call
    best = part.strike[puts][np.nanargmin(np.abs(part.delta[puts] + 0.25))]
    assert (found.legs[0].expiry, found.legs[0].strike, found.width) == (NEAR, best, 5.0)
    short, long = (shot.quote(leg.contract) for leg in found.legs)
    assert found.credit == pytest.approx(short.bid - long.ask)
    assert [leg.quantity for leg in found.legs] == [-1, 1]
    later = select_vertical(shot, **{**WISH, "target_days": 40})
    assert later.legs[0].expiry == FAR


def test_no_spread_is_better_than_a_bad_one():
    good = chain(at("03 15:00"), [NEAR], vol=0.3)
    assert select_vertical(snapshot(good), **WISH) is not None
    wide = good.with_columns(ask=pl.col("ask") + 1.0)
    dead = good.with_columns(bid=pl.lit(0.0))
    thin = good.with_columns(open_interest=pl.lit(3.0))
    coarse = good.filter(pl.col("strike") % 20 == 0)
    for frame, changes in (
        (wide, {}),
        (dead, {}),
        (thin, {"liquidity": Liquidity(0.25, 10.0)}),
        (coarse, {}),
        (good, {"min_days": 30, "max_days": 40}),
        (good.filter(pl.col("right") == "P"), {}),
    ):
        assert select_vertical(snapshot(frame), **{**WISH, **changes}) is None


def test_snapshots_of_one_contract_have_no_forward_and_no_volatility():
    shot = snapshot(
        quotes([{"recv": at("03 15:00"), "expiry": NEAR, "right": "P", "strike": 95.0, "bid": 1, "ask": 2}])
    )
    part = expiry_slice(shot, NEAR)
    assert np.isnan(part.forward)
    assert np.isnan(part.iv).all()
    assert np.isnan(atm_vol(part))
