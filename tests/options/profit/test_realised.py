"""Realised profits of a page, reliability and Brier scores on constructed outcomes: exact."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_core.options.positions import Position, profit_lines
from argus_core.options.profit.realised import (
    brier_scores,
    calibration_gap,
    expected_beside_realised,
    realised_profit,
    reliability,
)
from argus_core.strategies.interface import Leg

EVENING, MORNING, LATER = date(2026, 8, 14), date(2026, 8, 21), date(2026, 9, 18)
PUT_SPREAD = (("P", 95.0, -1), ("P", 90.0, 1))
CONDOR = (*PUT_SPREAD, ("C", 105.0, -1), ("C", 110.0, 1))


def row(parts, price: float, *, root: str = "SPXW", expiry: date = EVENING, second: date | None = None, **more):
    days = [expiry] + [second or expiry] * (len(parts) - 1)
    legs = [
        {"contract": f"{root}{day:%y%m%d}{right}{strike:08.0f}", "expiry": day.isoformat()}
        | {"strike": strike, "right": right, "quantity": quantity}
        for day, (right, strike, quantity) in zip(days, parts, strict=True)
    ]
    known = {"structure": "put_vertical", "side": "sell", "pop_terminal": 0.8, "pop_surface": 0.7}
    known |= {"expected_pnl": 1.0, "expected_pnl_surface": -1.0}
    return {"expiry": expiry, "legs": json.dumps(legs), "price": price, **known, **more}


def settled(*rows: tuple[str, date, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"root": pl.String, "expiry": pl.Date, "settled": pl.Float64}, orient="row")


def test_each_root_settles_on_its_own_price():
    page = pl.DataFrame(
        [
            row(PUT_SPREAD, -1.25),
            row(PUT_SPREAD, -1.25, root="SPX", expiry=MORNING),
            row(PUT_SPREAD, -1.25, expiry=MORNING),
            row(CONDOR, -2.0),
            row((("C", 90.0, 1),), 4.0, root="BTC-"),
        ]
    )
    outcomes = settled(("SPXW", EVENING, 94.0), ("SPX", MORNING, 89.0), ("SPXW", MORNING, 97.0), ("BTC", EVENING, 94.5))
    found = realised_profit(page, outcomes, commission=0.5)
    # Credit less what the short put costs, 1 dollar a spread; beyond the long strike the width; the whole credit.
    assert found["realised_pnl"].to_list() == [24.0, -376.0, 124.0, 98.0, 49.5]
    assert found["won"].to_list() == [True, False, True, True, True]
    assert found["settled"].to_list() == [94.0, 89.0, 97.0, 94.0, 94.5]


def test_what_has_not_settled_or_has_two_expiries_is_left_out():
    page = pl.DataFrame(
        [
            row(PUT_SPREAD, -1.0, expiry=LATER),
            row((("P", 95.0, -1), ("P", 95.0, 1)), 0.5, second=LATER),
            row(PUT_SPREAD, -1.0, root="SPY"),
            row(PUT_SPREAD, -1.0),
        ]
    )
    found = realised_profit(page, settled(("SPXW", EVENING, 95.0), ("SPY", EVENING, float("nan"))))
    assert found["realised_pnl"].to_list() == [100.0]
    nothing = realised_profit(page, settled())
    assert nothing.is_empty()
    assert reliability(nothing).is_empty()
    assert brier_scores(nothing)["brier"].null_count() == 4
    assert expected_beside_realised(nothing).is_empty()


def test_a_break_even_is_not_a_win():
    found = realised_profit(pl.DataFrame([row(PUT_SPREAD, -1.0)]), settled(("SPXW", EVENING, 94.0)))
    assert found["realised_pnl"].item() == 0.0
    assert not found["won"].item()


def test_two_settlements_of_one_expiry_are_refused():
    with pytest.raises(ValueError, match="SPXW 2026-08-14 is there 2 times"):
        realised_profit(pl.DataFrame([row(CONDOR, -1.0)]), settled(("SPXW", EVENING, 1.0), ("SPXW", EVENING, 2.0)))


def judged(pop, surface, won, expiry=None, structure="put_vertical") -> pl.DataFrame:
    size = len(pop)
    return pl.DataFrame(
        {
            "pop_terminal": pop,
            "pop_surface": surface,
            "won": won,
            "expiry": expiry or [EVENING] * size,
            "structure": structure,
            "side": "sell",
            "expected_pnl": [10.0] * size,
            "expected_pnl_surface": [-2.0] * size,
            "realised_pnl": [30.0 if w else -70.0 for w in won],
        },
        schema_overrides={"pop_terminal": pl.Float64, "pop_surface": pl.Float64},
    )


def test_reliability_counts_bins_and_settlements():
    frame = judged(
        [0.0, 0.05, 0.1, 0.62, 0.68, 1.0, None],
        [0.5] * 7,
        [False, True, False, True, False, True, True],
        [EVENING, EVENING, EVENING, EVENING, MORNING, LATER, LATER],
    )
    found = reliability(frame, 10)
    assert found["low"].to_list() == pytest.approx([0.0, 0.1, 0.6, 0.9], abs=1e-15)
    assert found["high"].to_list() == pytest.approx([0.1, 0.2, 0.7, 1.0], abs=1e-15)
    assert found["positions"].to_list() == [2, 1, 2, 1]
    assert found["settlements"].to_list() == [1, 1, 2, 1]
    assert found["mean_pop"].to_list() == pytest.approx([0.025, 0.1, 0.65, 1.0], abs=1e-15)
    assert found["won"].to_list() == [0.5, 0.0, 0.5, 1.0]
    assert reliability(frame, 1, opinion="pop_surface")["positions"].to_list() == [7]
    with pytest.raises(ValueError, match="bins = 0"):
        reliability(frame, 0)


def test_calibration_gap_gives_every_settlement_one_vote():
    frame = judged(
        [0.5, 0.75, 1.0, 0.75, 0.25],
        [0.5] * 5,
        [True, False, True, False, True],
        [EVENING, EVENING, EVENING, LATER, LATER],
    )
    # Gaps .5, -.75 and 0 of the first evening, -.75 of the other; the unlikely position has no vote.
    first, second = -0.25 / 3, -0.75
    found = calibration_gap(frame)
    assert found["gap"] == pytest.approx((first + second) / 2, abs=1e-15)
    assert found["standard_error"] == pytest.approx((first - second) / 2, abs=1e-15)
    assert found["settlements"] == 2
    assert np.isnan(calibration_gap(frame.head(1))["standard_error"])
    assert np.isnan(calibration_gap(frame.head(0))["gap"])


def test_brier_scores_of_known_forecasts():
    frame = judged([1.0, 0.0, 0.5, 0.5, None], [0.5, 0.5, 0.25, 0.75, 0.1], [True, False, True, False, True])
    found = {name: score for name, score, *_ in brier_scores(frame).rows()}
    # The row that one opinion does not judge counts for none of them.
    assert found["pop_terminal"] == 0.125
    assert found["pop_surface"] == (0.25 + 0.25 + 0.5625 + 0.5625) / 4
    assert found["half"] == found["base_rate"] == 0.25
    assert set(brier_scores(frame)["positions"]) == {4}


def test_expected_beside_realised_by_structure():
    frame = pl.concat(
        [judged([0.9] * 4, [0.8] * 4, [True, True, False, True]), judged([0.5], [0.4], [False], None, "b")]
    )
    first, second = expected_beside_realised(frame).to_dicts()
    assert (second["positions"], second["won"], second["realised_pnl"]) == (4, 0.75, 5.0)
    assert (second["expected_pnl"], second["expected_pnl_surface"]) == (10.0, -2.0)
    assert (first["structure"], first["realised_pnl"]) == ("b", -70.0)


@given(
    st.lists(
        st.tuples(st.sampled_from("CP"), st.floats(1, 200), st.sampled_from([-2, -1, 1, 3])), min_size=1, max_size=4
    ),
    st.floats(-20, 20),
    st.floats(0, 400),
)
def test_profit_lines_at_a_price_are_the_payoff(parts, price, underlying):
    position = Position(tuple(Leg("", EVENING, k, right, q) for right, k, q in parts), price, 100.0, 1.3)
    found = profit_lines([position]).at(underlying)[0]
    scale = 100.0 * (1 + 12 * (underlying + 200))
    assert abs(found - float(position.profit(underlying))) <= 1e-12 * scale


def test_a_perfect_forecast_is_reliable():
    """Winners drawn with the probabilities themselves: every bin's share lies within four standard errors."""
    rng = np.random.default_rng(3)
    pop = rng.uniform(size=20_000)
    frame = judged(pop.tolist(), pop.tolist(), (rng.uniform(size=20_000) < pop).tolist())
    found = reliability(frame, 10)
    error = (found["mean_pop"] * (1 - found["mean_pop"]) / found["positions"]).sqrt()
    assert ((found["won"] - found["mean_pop"]).abs() < 4 * error).all()
    scores = dict(brier_scores(frame).select("opinion", "brier").rows())
    assert scores["pop_terminal"] == pytest.approx(1 / 6, abs=0.005)
    assert scores["half"] == 0.25
