"""The reserve bounds what a structure can owe: at its expiry, and through all of them in any fair market."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from argus_core.replay.option_margin import intrinsic_value, is_naked, worst_expiry_loss
from argus_core.strategies.interface import Leg

DAYS = (date(2025, 2, 3), date(2025, 3, 3), date(2025, 4, 3))
STRIKES = (90.0, 95.0, 100.0, 105.0)


def leg(right: str, strike: float, quantity: int, day: int = 0) -> Leg:
    return Leg(f"{right}{strike}{day}", DAYS[day], strike, right, quantity)


def structures(days: int) -> st.SearchStrategy[tuple[Leg, ...]]:
    each = st.tuples(
        st.sampled_from("CP"), st.sampled_from(STRIKES), st.sampled_from([-2, -1, 1, 2]), st.integers(0, days - 1)
    )
    parts = st.lists(each, min_size=1, max_size=5, unique_by=lambda x: (x[0], x[1], x[3]))
    return parts.map(lambda found: tuple(leg(*part) for part in found))


@pytest.mark.parametrize(
    ("legs", "worst"),
    [
        ([leg("P", 100, -1), leg("P", 95, 1)], 5),
        ([leg("P", 95, -1), leg("P", 90, 1), leg("C", 105, -1), leg("C", 112, 1)], 7),
        ([leg("C", 95, 1), leg("C", 100, -2), leg("C", 105, 1)], 0),
        ([leg("C", 95, -1), leg("C", 100, 2), leg("C", 105, -1)], 5),
        ([leg("C", 100, 1), leg("P", 100, 1)], 0),
        # Calendars and diagonals: the far leg covers.
        ([leg("C", 100, -1), leg("C", 100, 1, 1)], 0),
        ([leg("P", 100, -1), leg("P", 95, 1, 1)], 5),
        ([leg("C", 95, -1), leg("C", 105, 1, 1)], 10),
        ([leg("C", 100, -1), leg("P", 100, -1), leg("C", 100, 1, 1), leg("P", 100, 1, 1)], 0),
        ([leg("C", 100, -2), leg("C", 105, 1, 1), leg("C", 110, 1, 2)], 15),
        # Spreads of two expiries can both lose, first low, then high.
        ([leg("P", 95, -1), leg("P", 90, 1), leg("C", 105, -1, 1), leg("C", 110, 1, 1)], 10),
    ],
)
def test_the_reserve_of_known_structures(legs, worst):
    assert not is_naked(legs)
    assert worst_expiry_loss(legs) == pytest.approx(worst)


@settings(max_examples=80, deadline=None)
@given(structures(1))
def test_the_reserve_of_one_expiry_is_its_largest_loss(legs):
    assume(not is_naked(legs))
    grid = np.union1d(np.linspace(0, 300, 241), STRIKES)
    largest = max(0.0, -min(intrinsic_value(legs, spot) for spot in grid))
    assert worst_expiry_loss(legs) == pytest.approx(largest)


@settings(max_examples=80, deadline=None)
@given(structures(3), st.integers(0, 2**32 - 1))
def test_no_fair_market_loses_more_than_the_reserve_on_average(legs, seed):
    assume(not is_naked(legs))
    rng = np.random.default_rng(seed)
    reserve = worst_expiry_loss(legs)
    corners = np.array([0.0, *STRIKES, 92.0, 130.0])

    def value(spot: float, day: int) -> float:
        """Expected payoff from ``day`` on in a random tree in which the price moves to two others, fair on average."""
        now = intrinsic_value([one for one in legs if one.expiry == DAYS[day]], spot)
        if day == 2:
            return now
        low, high = rng.choice(corners[corners <= spot]), rng.choice([*corners[corners >= spot], 2 * spot + 50])
        up = (spot - low) / (high - low) if high > low else 0.0
        return now + up * value(high, day + 1) + (1 - up) * value(low, day + 1)

    for spot in corners:
        assert value(float(spot), 0) >= -reserve - 1e-9


@settings(max_examples=80, deadline=None)
@given(structures(3))
def test_the_reserve_covers_every_stage(legs):
    assume(not is_naked(legs))
    reserve = worst_expiry_loss(legs)
    for day in DAYS:
        alive = [one for one in legs if one.expiry >= day]
        assert worst_expiry_loss(alive) <= reserve
        assert all(intrinsic_value(alive, spot) >= -reserve - 1e-9 for spot in np.linspace(0, 300, 121))


def test_what_is_sold_beyond_what_is_held_is_naked():
    assert is_naked([leg("C", 100, -1)])
    assert is_naked([leg("P", 100, -1)])
    assert is_naked([leg("C", 100, -2), leg("C", 105, 1)])
    assert is_naked([leg("C", 100, 1, 0), leg("C", 100, -1, 1)])
    assert not is_naked([leg("C", 100, -1, 0), leg("C", 100, 1, 1)])
    # Bounded by zero below; above, twice the highest strike stands for what has no bound.
    assert worst_expiry_loss([leg("P", 100, -1)]) == 100
    assert worst_expiry_loss([leg("C", 100, -1)]) == 100
