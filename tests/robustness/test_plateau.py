from __future__ import annotations

import pytest

from argus_core.robustness import cost_break_even, plateau


def test_a_peak_is_told_from_a_plateau():
    params = [{"n": n} for n in (1, 2, 3, 4, 5)]
    flat = plateau(params, [1.0, 1.1, 1.2, 1.1, 1.0])
    peak = plateau(params, [0.1, 0.0, 3.0, -0.2, 0.1])
    assert flat[2].ratio == pytest.approx(1.1 / 1.2)
    assert peak[2].ratio == pytest.approx(-0.1 / 3.0)


def test_neighbours_differ_in_one_parameter_by_one_step():
    params = [{"a": a, "b": b, "fixed": 7} for a in (1, 10, 100) for b in (0.5, 0.25)]
    result = plateau(params, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert [one.neighbours for one in result] == [2, 2, 3, 3, 2, 2]
    # (10, .5): neighbours (1, .5), (100, .5), (10, .25).
    assert result[2].ratio == pytest.approx(4.0 / 3.0)


def test_the_order_of_the_sweep_does_not_matter_for_numbers():
    params = [{"n": n} for n in (3, 1, 2)]
    assert plateau(params, [3.0, 1.0, 2.0])[1].ratio == 2.0


def test_words_and_null_are_ordered_by_appearance():
    params = [{"m": m} for m in (None, "x", True)]
    assert [one.neighbours for one in plateau(params, [1.0, 1.0, 1.0])] == [1, 2, 1]


def test_dropped_combinations_are_no_neighbours():
    params = [{"fast": 5, "slow": 20}, {"fast": 5, "slow": 40}, {"fast": 30, "slow": 40}]
    assert [one.neighbours for one in plateau(params, [1.0, 1.0, 1.0])] == [1, 2, 1]


def test_a_neighbour_that_never_traded_counts_as_zero():
    assert plateau([{"n": 1}, {"n": 2}], [2.0, None])[0].ratio == 0.0


def test_no_ratio_without_neighbours_or_without_a_positive_score():
    assert plateau([{"n": 1}], [2.0])[0] == (None, 0)
    assert [one.ratio for one in plateau([{"n": 1}, {"n": 2}], [-1.0, None])] == [None, None]
    assert plateau([], []) == []


def test_the_break_even_multiplier_of_the_textbook_case():
    # Gross 120, costs 50: net 70, 57.5 and 45 at 1, 1.25 and 1.5.
    assert cost_break_even(70.0, 50.0) == pytest.approx(2.4)
    assert cost_break_even(-10.0, 20.0) == pytest.approx(0.5)
    assert cost_break_even(5.0, 0.0) is None
