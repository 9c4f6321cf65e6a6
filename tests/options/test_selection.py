"""Structures are chosen by days, delta, width and liquidity, and priced at the side that is crossed."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from argus_core.options import (
    Liquidity,
    OptionTape,
    expiry_slice,
    select_calendar,
    select_iron_condor,
    select_straddle,
    select_strangle,
    select_vertical,
)
from tests.replay.quotes import at, chain

NEAR, FAR = date(2025, 2, 24), date(2025, 3, 20)
SHOT = OptionTape(chain(at("03 15:00"), [NEAR, FAR])).snapshots[0]
ANY = Liquidity(0.5)
DAYS = {"target_days": 21, "min_days": 10, "max_days": 60}


def cost(structure) -> float:
    """The price again, leg by leg from the quotes."""
    total = 0.0
    for leg in structure.legs:
        quote = SHOT.quote(leg.contract)
        total += leg.quantity * (quote.ask if leg.quantity > 0 else quote.bid)
    return total


def test_verticals_of_both_rights_are_credits_out_of_the_money():
    for right, out in (("P", -1), ("C", 1)):
        found = select_vertical(SHOT, right=right, short_delta=0.3, width=3.0, liquidity=ANY, **DAYS)
        short, long = found.legs
        assert (short.quantity, long.quantity, found.width) == (-1, 1, 3.0)
        assert out * (long.strike - short.strike) == 3.0
        assert out * (short.strike - 100.0) > 0
        assert found.credit == pytest.approx(-cost(found))
        assert abs(abs(found.deltas[0]) - 0.3) < 0.06


def test_a_condor_is_two_verticals_and_nearly_neutral():
    found = select_iron_condor(SHOT, short_delta=0.2, width=4.0, liquidity=ANY, **DAYS)
    puts = select_vertical(SHOT, right="P", short_delta=0.2, width=4.0, liquidity=ANY, **DAYS)
    calls = select_vertical(SHOT, right="C", short_delta=0.2, width=4.0, liquidity=ANY, **DAYS)
    assert found.legs == puts.legs + calls.legs
    assert found.price == pytest.approx(puts.price + calls.price) == pytest.approx(cost(found))
    assert abs(found.delta) < 0.1


def test_a_straddle_takes_the_strike_at_the_forward_and_a_strangle_its_deltas():
    straddle = select_straddle(SHOT, liquidity=ANY, **DAYS)
    forward = expiry_slice(SHOT, NEAR).forward
    assert {leg.right for leg in straddle.legs} == {"C", "P"}
    assert {leg.strike for leg in straddle.legs} == {min(np.arange(80, 121), key=lambda k: abs(k - forward))}
    assert 0 < straddle.price == pytest.approx(cost(straddle))
    strangle = select_strangle(SHOT, delta=0.2, liquidity=ANY, **DAYS)
    assert strangle.legs[0].strike < forward < strangle.legs[1].strike
    assert strangle.price < straddle.price
    assert all(abs(abs(delta) - 0.2) < 0.06 for delta in strangle.deltas)


def test_a_calendar_sells_the_near_and_buys_the_far_month_of_one_strike():
    found = select_calendar(SHOT, right="C", near_days=21, far_days=45, tolerance_days=5, liquidity=ANY)
    near, far = found.legs
    assert (near.expiry, near.quantity, far.expiry, far.quantity) == (NEAR, -1, FAR, 1)
    assert near.strike == far.strike
    assert 0 < found.price == pytest.approx(cost(found))
    assert select_calendar(SHOT, right="C", near_days=45, far_days=21, tolerance_days=5, liquidity=ANY) is None


def test_what_is_not_liquid_is_not_chosen():
    frame = chain(at("03 15:00"), [NEAR]).with_columns(open_interest=pl.lit(5.0))
    shot = OptionTape(frame).snapshots[0]
    for strict in (Liquidity(1e-6), Liquidity(0.5, min_open_interest=6.0), Liquidity(0.5, min_size=501.0)):
        assert select_straddle(shot, liquidity=strict, **DAYS) is None
        assert select_iron_condor(shot, short_delta=0.2, width=4.0, liquidity=strict, **DAYS) is None
    assert select_straddle(shot, liquidity=Liquidity(0.5, 5.0, 500.0), **DAYS) is not None
    assert select_straddle(SHOT, liquidity=ANY, target_days=3, min_days=1, max_days=5) is None
