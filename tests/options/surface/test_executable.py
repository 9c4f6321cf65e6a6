"""Executable static arbitrage: what the hull finds is what searching every pair and triple finds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.options.surface import executable_arbitrage
from tests.options.heston_chains import heston_chain


def chain(days=(30,), noise=0.0, strikes=None, rate=0.03, **more) -> pl.DataFrame:
    listed = strikes if strikes is not None else np.arange(80.0, 122.5, 2.5)
    return heston_chain(days=days, strikes=listed, noise=noise, rate=rate, **more).implied_vols


def with_quote(vols: pl.DataFrame, strike: float, right: str, **sides: float) -> pl.DataFrame:
    """One contract of the first expiry with other quotes."""
    hit = (pl.col("strike") == strike) & (pl.col("right") == right) & (pl.col("expiry") == vols["expiry"].min())
    return vols.with_columns(pl.when(hit).then(pl.lit(v)).otherwise(pl.col(n)).alias(n) for n, v in sides.items())


def quote(vols: pl.DataFrame, strike: float, right: str) -> dict:
    return vols.filter(strike=strike, right=right).sort("expiry").row(0, named=True)


def slow_edges(vols: pl.DataFrame, discount: float) -> dict[str, float]:
    """Best vertical or butterfly edge per sold contract of one expiry, by trying everything."""
    best: dict[str, float] = {}
    for right, sign in (("C", 1), ("P", -1)):
        rows = vols.filter(right=right).sort("strike", descending=sign < 0).rows(named=True)
        for i, sold in enumerate(rows):
            if not sold["bid"] > 0:
                continue
            found = [sold["bid"] - row["ask"] for row in rows[:i] if row["ask"] > 0]
            found += [
                sold["bid"] - row["ask"] - discount * abs(row["strike"] - sold["strike"])
                for row in rows[i + 1 :]
                if row["ask"] > 0
            ]
            for a, b in combinations([row for row in rows if row["ask"] > 0 and row is not sold], 2):
                low, high = sorted((a, b), key=lambda row: row["strike"])
                if low["strike"] < sold["strike"] < high["strike"]:
                    share = (high["strike"] - sold["strike"]) / (high["strike"] - low["strike"])
                    found.append(sold["bid"] - share * low["ask"] - (1 - share) * high["ask"])
            if found and max(found) > 1e-9:
                best[sold["contract"]] = max(found)
    return best


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), american=st.booleans())
def test_the_hull_finds_the_best_edge_of_all_pairs_and_triples(seed, american):
    rng = np.random.default_rng(seed)
    vols = chain(strikes=np.sort(rng.choice(np.arange(70.0, 131.0), 12, replace=False)))
    hit = rng.random(vols.height) < 0.25
    move = np.where(hit, rng.normal(0, 1.0, vols.height), 0.0)
    vols = vols.with_columns(
        bid=(pl.col("bid") + pl.Series(move)).clip(lower_bound=0), ask=(pl.col("ask") + pl.Series(move)).clip(0.01)
    )
    discount = 1.0 if american else float(vols["discount"][0])
    found: dict[str, float] = {}
    for trade in executable_arbitrage(vols, american=american):
        if trade.kind in ("vertical", "butterfly"):
            sold = trade.legs[0][0]
            found[sold] = max(found.get(sold, 0.0), trade.edge)
    expected = slow_edges(vols, discount)
    assert found.keys() == expected.keys()
    for contract, edge in expected.items():
        assert found[contract] == pytest.approx(edge, abs=1e-9)


@pytest.mark.parametrize("american", [False, True])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_chains_whose_fair_prices_lie_inside_the_spread_have_none(american, noise):
    vols = chain(days=(7, 30, 90, 365), noise=noise)
    rate = 0.0 if american else 0.03
    vols = chain(days=(7, 30, 90, 365), noise=noise, rate=rate)
    assert executable_arbitrage(vols, american=american) == []


def test_a_bid_above_the_wings_is_a_butterfly_with_these_wings():
    vols = chain()
    low, high = quote(vols, 97.5, "C"), quote(vols, 102.5, "C")
    fair = 0.5 * (low["ask"] + high["ask"])
    trades = executable_arbitrage(with_quote(vols, 100.0, "C", bid=fair + 0.10, ask=fair + 0.2), american=False)
    best = next(t for t in trades if t.kind == "butterfly" and t.legs[0][0] == quote(vols, 100.0, "C")["contract"])
    assert best.legs == ((quote(vols, 100.0, "C")["contract"], -1.0), (low["contract"], 0.5), (high["contract"], 0.5))
    assert best.edge == pytest.approx(0.10)
    assert best.net_edge == pytest.approx(10.0)
    assert vols["contract"].gather(list(best.rows)).to_list() == [contract for contract, _ in best.legs]


def test_fees_of_all_legs_are_paid_before_a_trade_counts():
    vols = chain()
    fair = 0.5 * (quote(vols, 97.5, "C")["ask"] + quote(vols, 102.5, "C")["ask"])
    vols = with_quote(vols, 100.0, "C", bid=fair + 0.012, ask=fair + 0.2)
    kinds = [t.kind for t in executable_arbitrage(vols, american=False, fee=0.5)]
    assert "butterfly" in kinds
    assert "butterfly" not in [t.kind for t in executable_arbitrage(vols, american=False, fee=0.65)]


@pytest.mark.parametrize(("american", "rate"), [(True, 0.0), (False, 0.03)])
def test_a_later_option_cheaper_than_an_earlier_one_is_a_calendar(american, rate):
    vols = chain(days=(30, 60, 90), rate=rate, dividend_yield=rate / 3)
    later = vols.filter(pl.col("expiry") == vols["expiry"].max(), strike=100.0, right="C")["ask"][0]
    bad = with_quote(vols, 100.0, "C", bid=later + 0.05, ask=later + 0.1)
    (trade,) = [t for t in executable_arbitrage(bad, american=american) if t.kind == "calendar"]
    assert trade.legs[0] == (quote(vols, 100.0, "C")["contract"], -1.0)
    assert trade.edge > 0.05
    if american:
        assert trade.legs[1][1] == 1.0
        return
    # The later strike of the same moneyness lies between two listed ones: shares of both, scaled by discount * forward.
    assert len(trade.legs) == 3
    assert sum(quantity for _, quantity in trade.legs) != pytest.approx(0, abs=1e-6)
    unsure = dict.fromkeys(vols["expiry_ts"].unique().to_list(), 10.0)
    found = executable_arbitrage(bad, american=False, forward_se=unsure)
    assert [t for t in found if t.kind == "calendar"] == []


def test_european_parity_is_a_box_and_names_the_strike_at_fault():
    vols = chain()
    call, put = quote(vols, 110.0, "C"), quote(vols, 110.0, "P")
    bad = with_quote(vols, 110.0, "P", bid=put["bid"] + 0.3, ask=put["ask"] + 0.3)
    boxes = [t for t in executable_arbitrage(bad, american=False) if t.kind == "parity"]
    assert len(boxes) == 1
    assert {call["contract"], put["contract"]} <= {contract for contract, _ in boxes[0].legs}
    assert boxes[0].edge == pytest.approx(0.3, abs=0.05)
    assert [t for t in executable_arbitrage(bad, american=False, rate_error=10.0) if t.kind == "parity"] == []


def test_american_parity_has_room_for_early_exercise():
    vols = chain(rate=0.05)
    put = quote(vols, 110.0, "P")
    carry = 110.0 * (1 - put["discount"])
    inside = with_quote(vols, 110.0, "P", bid=put["bid"] + 0.8 * carry, ask=put["ask"] + 0.8 * carry)
    beyond = with_quote(vols, 110.0, "P", bid=put["bid"] + 1.5 * carry, ask=put["ask"] + 1.5 * carry)
    kinds = lambda v, **more: [t.kind for t in executable_arbitrage(v, american=True, **more)]  # noqa: E731
    assert "parity" not in kinds(inside, spot=100.0)
    assert "parity" in kinds(beyond, spot=100.0)
    low = with_quote(vols, 90.0, "P", bid=max(quote(vols, 90.0, "P")["bid"], 0.0), ask=0.01)
    cheap_call = with_quote(vols, 110.0, "P", bid=put["bid"] - 0.3, ask=put["ask"] - 0.3)
    assert "parity" in kinds(cheap_call, spot=100.0)
    assert "parity" not in kinds(cheap_call)
    assert kinds(low) is not None


def test_a_long_chain_is_searched_without_trying_all_triples():
    vols = chain(strikes=np.round(np.linspace(70, 130, 600), 3), days=(30,))
    body = vols.filter(right="C").sort("strike").row(300, named=True)
    bad = with_quote(vols, body["strike"], "C", bid=body["bid"] + 0.05, ask=body["ask"] + 0.05)
    trades = executable_arbitrage(bad, american=False)
    assert body["contract"] in {t.legs[0][0] for t in trades if t.kind == "butterfly"}
