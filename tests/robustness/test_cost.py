"""Break-even cost multiplier: from the books, and from the re-run fills (statistics §1.14c)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.robustness.cost import break_even_of_reruns, cost_break_even


def test_the_example_of_the_statistics_page():
    # Gross 120, cost 50: net 70 / 57.5 / 45, m* = 2.4.
    assert cost_break_even(70.0, 50.0) == pytest.approx(2.4)
    found = break_even_of_reruns({1.0: 70.0, 1.25: 57.5, 1.5: 45.0})
    assert found is not None
    assert found.multiplier == pytest.approx(2.4)
    assert found.how == "extrapolated"


def test_a_crossing_between_two_reruns_is_interpolated():
    # Stops react: the second re-run loses more than subtraction says.
    found = break_even_of_reruns({1.5: -40.0, 1.0: 30.0, 1.25: 10.0})
    assert found == (pytest.approx(1.3), "interpolated")
    assert break_even_of_reruns({1.0: 10.0, 1.25: 0.0}) == (pytest.approx(1.25), "interpolated")


def test_a_loser_breaks_even_below_its_own_costs():
    assert break_even_of_reruns({1.0: -10.0, 1.25: -20.0, 1.5: -40.0}) == (pytest.approx(0.75), "extrapolated")


def test_without_a_falling_line_there_is_no_break_even():
    assert break_even_of_reruns({1.0: 10.0}) is None
    assert break_even_of_reruns({1.0: 0.0, 1.5: 0.0}) is None
    assert break_even_of_reruns({1.0: 10.0, 1.25: 9.0, 1.5: 9.5}) is None


@settings(max_examples=60, deadline=None)
@given(gross=st.floats(-1e5, 1e5), costs=st.floats(1.0, 1e5), dollars=st.floats(0.1, 10.0))
def test_where_fills_do_not_react_both_break_evens_agree_in_any_currency(gross, costs, dollars):
    points = {m: (gross - m * costs) * dollars for m in (1.0, 1.25, 1.5)}
    found = break_even_of_reruns(points)
    assert found is not None
    assert found.multiplier == pytest.approx(cost_break_even(gross - costs, costs), rel=1e-6, abs=1e-6)
    assert (found.how == "interpolated") == (points[1.0] > 0 >= points[1.5])
