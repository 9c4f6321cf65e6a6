"""Profit at expiry of any position: lines, breakevens, limits."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.options.positions import Position, profit_lines
from argus_core.options.selection import Structure
from argus_core.strategies.interface import Leg

DAY = date(2026, 8, 21)


def legs(*parts: tuple[str, float, int]) -> tuple[Leg, ...]:
    return tuple(Leg(f"{right}{strike}", DAY, strike, right, quantity) for right, strike, quantity in parts)


CASES = {
    # position, breakevens, max profit, max loss (dollars), intervals of profit
    "put spread": (
        Position(legs(("P", 95, -1), ("P", 90, 1)), -0.60),
        (94.40,),
        60.0,
        440.0,
        ((94.40, math.inf),),
    ),
    "iron condor with costs": (
        Position(legs(("P", 95, -1), ("P", 90, 1), ("C", 105, -1), ("C", 110, 1)), -1.40, costs=10.0),
        (93.70, 106.30),
        130.0,
        370.0,
        ((93.70, 106.30),),
    ),
    "long straddle": (
        Position(legs(("P", 100, 1), ("C", 100, 1)), 7.0),
        (93.0, 107.0),
        math.inf,
        700.0,
        ((0.0, 93.0), (107.0, math.inf)),
    ),
    "naked call": (Position(legs(("C", 110, -1)), -1.0), (111.0,), 100.0, math.inf, ((0.0, 111.0),)),
    "covered call": (Position(legs(("C", 110, -1)), 98.5, shares=1.0), (98.5,), 1150.0, 9850.0, ((98.5, math.inf),)),
    "shares": (Position((), 50.0, multiplier=1.0, shares=10.0), (5.0,), math.inf, 50.0, ((5.0, math.inf),)),
    "call butterfly": (
        Position(legs(("C", 95, 1), ("C", 100, -2), ("C", 105, 1)), 1.5),
        (96.5, 103.5),
        350.0,
        150.0,
        ((96.5, 103.5),),
    ),
    "back spread": (
        Position(legs(("C", 100, -1), ("C", 110, 2)), -2.0),
        (102.0, 118.0),
        math.inf,
        800.0,
        ((0.0, 102.0), (118.0, math.inf)),
    ),
    "certain gain": (Position(legs(("P", 95, -1), ("P", 90, 1)), -5.5), (), 550.0, -50.0, ((0.0, math.inf),)),
    "certain loss": (Position(legs(("P", 95, 1), ("P", 90, -1)), 5.0), (), 0.0, 500.0, ()),
    "box": (
        Position(legs(("C", 90, 1), ("C", 110, -1), ("P", 110, 1), ("P", 90, -1)), 20.0),
        (),
        0.0,
        0.0,
        (),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_breakevens_limits_and_intervals_of_known_positions(name):
    position, breakevens, profit, loss, intervals = CASES[name]
    assert position.breakevens == pytest.approx(breakevens)
    assert position.max_profit == pytest.approx(profit)
    assert position.max_loss == pytest.approx(loss)
    assert len(position.profit_intervals) == len(intervals)
    for found, expected in zip(position.profit_intervals, intervals, strict=True):
        assert found == pytest.approx(expected)


@st.composite
def positions(draw) -> Position:
    count = draw(st.integers(1, 5))
    parts = [
        (draw(st.sampled_from("CP")), float(draw(st.integers(50, 150))), draw(st.sampled_from([-3, -2, -1, 1, 2, 3])))
        for _ in range(count)
    ]
    price = draw(st.integers(-2000, 2000)) / 100
    return Position(legs(*parts), price, draw(st.sampled_from([1.0, 100.0])), draw(st.sampled_from([0.0, 6.5])))


@settings(max_examples=150, deadline=None)
@given(position=positions(), seed=st.integers(0, 1000))
def test_the_lines_are_the_profit_and_its_limits_bound_it(position, seed):
    s = np.sort(np.random.default_rng(seed).uniform(0, 400, 200))
    lines = position.lines
    profit = position.profit(s)
    at = np.searchsorted(lines.knots[0], s, side="right") - 1
    by_lines = lines.values[0, at] + lines.slopes[0, at] * (s - lines.knots[0, at])
    np.testing.assert_allclose(by_lines, profit, atol=1e-9 * position.multiplier)
    assert profit.max() <= position.max_profit + 1e-9
    assert -profit.min() <= position.max_loss + 1e-9
    inside = np.zeros(len(s), dtype=bool)
    for low, high in position.profit_intervals:
        inside |= (s > low) & (s < high)
    clear = np.abs(profit) > 1e-8
    np.testing.assert_array_equal(inside[clear], profit[clear] > 0)
    for point in position.breakevens:
        assert float(position.profit(point)) == pytest.approx(0, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(position=positions(), data=st.data())
def test_the_order_of_legs_means_nothing_and_the_other_side_mirrors(position, data):
    shuffled = Position(
        tuple(data.draw(st.permutations(position.legs))), position.price, position.multiplier, position.costs
    )
    assert shuffled.breakevens == pytest.approx(position.breakevens)
    assert (shuffled.max_profit, shuffled.max_loss) == pytest.approx((position.max_profit, position.max_loss))
    other = Position(
        tuple(Leg(leg.contract, leg.expiry, leg.strike, leg.right, -leg.quantity) for leg in position.legs),
        -position.price,
        position.multiplier,
        -position.costs,
    )
    # What one side can lose at most the other can win at most.
    assert other.max_profit == pytest.approx(position.max_loss)
    assert other.max_loss == pytest.approx(position.max_profit)


def test_a_structure_becomes_a_position_and_many_positions_become_one_table():
    structure = Structure(legs(("P", 95, -1), ("P", 90, 1)), -0.6, 30, 5.0, (-0.3, -0.2))
    position = Position.of(structure, costs=2.0)
    assert (position.price, position.multiplier, position.costs) == (-0.6, 100.0, 2.0)
    many = [case[0] for case in CASES.values()]
    lines = profit_lines(many)
    assert lines.knots.shape == (len(many), 5)
    for i, one in enumerate(many):
        assert float(lines.max_profit[i]) == one.max_profit
        assert float(lines.max_loss[i]) == one.max_loss
        assert lines.intervals(i) == one.profit_intervals


def test_a_calendar_has_no_profit_lines_and_says_why():
    near = Leg("a", DAY, 100.0, "C", -1)
    far = Leg("b", date(2026, 9, 18), 100.0, "C", 1)
    position = Position((near, far), 1.2)
    assert position.expiries == (DAY, date(2026, 9, 18))
    with pytest.raises(ValueError, match="2026-08-21, 2026-09-18"):
        _ = position.lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), 1.0), "legs"),
        ((legs(("P", math.nan, 1)), 1.0), "strike"),
        ((legs(("P", -5, 1)), 1.0), "strike"),
        ((legs(("X", 95, 1)), 1.0), "right"),
        ((legs(("P", 95, 1)), math.nan), "price"),
        ((legs(("P", 95, 1)), 1.0, 0.0), "multiplier"),
    ],
)
def test_bad_positions_name_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        Position(*arguments)
