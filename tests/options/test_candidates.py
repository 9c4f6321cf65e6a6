"""Candidate structures: the same as a slow search, priced as a position is, bounded, and counted when left out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import product

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import load_calendar
from argus_core.options import OptionTape, select_calendar, select_iron_condor, select_straddle, select_vertical
from argus_core.options.candidates import Candidates, candidates_of
from argus_core.options.forwards import forwards_of
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.positions import Position
from argus_core.options.structures import Liquidity
from argus_core.settings import Instrument
from argus_core.settings.option_chains import CandidateSettings, OptionChainSettings
from argus_core.strategies.interface import Leg
from tests.options.black_chains import RECV, black_chain

INDEX = Instrument(symbol="SPY", asset_class="index")
CALENDAR = load_calendar("XNYS")
SETTINGS = OptionChainSettings(rate=0.03)
WANT = CandidateSettings(max_per_expiry=10_000, max_per_structure=10_000)


def vols_of(quotes: pl.DataFrame) -> pl.DataFrame:
    forwards = forwards_of(quotes, INDEX, CALENDAR, SETTINGS)
    return implied_vols_of(quotes, forwards, INDEX, CALENDAR, SETTINGS)


@lru_cache
def vols() -> pl.DataFrame:
    return vols_of(black_chain(days=(11, 30, 46), noise=1.0).quotes)


@lru_cache
def whole() -> Candidates:
    return candidates_of(vols(), WANT)


def legs_of(row: dict) -> tuple[Leg, ...]:
    return tuple(
        Leg(one["contract"], date.fromisoformat(one["expiry"]), one["strike"], one["right"], one["quantity"])
        for one in json.loads(row["legs"])
    )


def test_every_kind_is_listed_and_legs_fit_their_name():
    found = whole().kept
    kinds = {"put_vertical", "call_vertical", "iron_condor", "strangle", "straddle", "put_calendar", "call_calendar"}
    assert set(found["structure"]) == kinds
    assert found["candidate"].n_unique() == found.height
    for row in found.group_by("structure", "side", maintain_order=True).head(20).to_dicts():
        legs = legs_of(row)
        sign = -1 if row["side"] == "sell" else 1
        rights = [leg.right for leg in legs]
        match row["structure"]:
            case "put_vertical" | "call_vertical":
                assert rights == [row["structure"][0].upper()] * 2
                out = 1 if rights[0] == "C" else -1
                assert out * (legs[1].strike - legs[0].strike) == row["width"] > 0
                assert [leg.quantity for leg in legs] == [sign, -sign]
            case "iron_condor":
                inner_put, inner_call, outer_put, outer_call = legs
                assert outer_put.strike < inner_put.strike < inner_call.strike < outer_call.strike
                assert [leg.quantity for leg in legs] == [sign, sign, -sign, -sign]
            case "strangle" | "straddle":
                assert rights == ["P", "C"]
                assert (legs[0].strike == legs[1].strike) == (row["structure"] == "straddle")
            case _:
                assert legs[0].strike == legs[1].strike
                assert legs[0].expiry < legs[1].expiry
                assert [leg.quantity for leg in legs] == [-1, 1]


def test_numbers_are_those_of_the_position_leg_by_leg():
    quotes = {row["contract"]: row for row in vols().to_dicts()}
    for row in whole().kept.group_by("structure", "side", maintain_order=True).head(15).to_dicts():
        legs = legs_of(row)
        sides = [(leg.quantity, quotes[leg.contract]) for leg in legs]
        price = sum(n * (q["ask"] if n > 0 else q["bid"]) for n, q in sides)
        assert row["price"] == pytest.approx(price)
        assert row["credit"] == pytest.approx(max(-price, 0))
        assert row["cost"] == pytest.approx(sum(abs(n) * (q["ask"] - q["bid"]) / 2 for n, q in sides))
        for greek in ("delta", "gamma", "vega", "theta"):
            assert row[greek] == pytest.approx(sum(n * q[greek] for n, q in sides))
        if row["structure"].endswith("calendar"):
            assert (row["max_loss"], row["max_profit"], row["breakeven_low"]) == (row["price"], None, None)
            continue
        position = Position(legs, price, multiplier=1.0)
        for name, value in (("max_profit", position.max_profit), ("max_loss", position.max_loss)):
            assert row[name] == (pytest.approx(value) if np.isfinite(value) else None)
        ends = position.breakevens
        assert (row["breakeven_low"], row["breakeven_high"]) == pytest.approx((ends[0], ends[-1]))


def test_verticals_are_those_of_a_slow_search():
    want = WANT.model_copy(update={"structures": ("vertical",), "sides": ("sell",), "widths": (0.02, 0.05)})
    found = candidates_of(vols(), want)
    expected = set()
    for _, part in vols().group_by("expiry_ts"):
        rows = [
            r
            for r in part.to_dicts()
            if r["reason"] is None and (r["ask"] - r["bid"]) <= 0.25 * (r["ask"] + r["bid"]) / 2
        ]
        for right, width in product("PC", want.widths):
            out = 1 if right == "C" else -1
            side = [r for r in rows if r["right"] == right]
            for short in side:
                if not 0.10 <= abs(short["delta"]) <= 0.45:
                    continue
                goal = width * short["forward"]
                beyond = [
                    (abs(out * (r["strike"] - short["strike"]) - goal), r["strike"], r)
                    for r in side
                    if 0.5 * goal <= out * (r["strike"] - short["strike"]) <= 1.5 * goal
                ]
                if beyond:
                    long = min(beyond, key=lambda item: item[:2])[2]
                    if short["bid"] - long["ask"] >= want.min_price:
                        cost = (short["ask"] - short["bid"] + long["ask"] - long["bid"]) / 2
                        mid = (short["ask"] + short["bid"] - long["ask"] - long["bid"]) / 2
                        if cost <= want.max_cost_share * mid:
                            expected.add(f"-{short['contract']} +{long['contract']}")
    assert len(expected) > 50
    assert set(found.kept["candidate"]) == expected


DAYS = {"target_days": 30, "min_days": 10, "max_days": 60, "liquidity": Liquidity(WANT.max_spread)}


@pytest.mark.parametrize("delta", [0.15, 0.2, 0.25, 0.3, 0.4])
def test_pickers_of_the_replay_choose_from_the_same_list(delta):
    shot = OptionTape(black_chain(days=(11, 30, 46), noise=1.0).quotes).snapshots[0]
    near = {"near_days": 11, "far_days": 46, "tolerance_days": 3, "liquidity": DAYS["liquidity"]}
    picked = [
        *(select_vertical(shot, right=right, short_delta=delta, width=2.0, **DAYS) for right in "PC"),
        select_straddle(shot, **DAYS),
        *(select_calendar(shot, right=right, **near) for right in "PC"),
    ]
    condor = select_iron_condor(shot, short_delta=delta, width=2.0, **DAYS)
    # A condor of the list joins the verticals whose deltas are nearest: the picked one is two verticals of the list.
    picked += [replace(condor, legs=condor.legs[:2]), replace(condor, legs=condor.legs[2:])]
    listed = {row["candidate"]: row for row in whole().kept.to_dicts()}
    for structure in picked:
        name = " ".join(f"{'+' if leg.quantity > 0 else '-'}{leg.contract}" for leg in structure.legs)
        assert name in listed, name
        if len(structure.deltas) == len(structure.legs):
            row = listed[name]
            assert row["price"] == pytest.approx(structure.price)
            # The list discounts at its own rate, the picker at none.
            assert row["delta"] == pytest.approx(structure.delta, abs=0.02)


def test_rank_is_by_the_cost_of_crossing_and_says_why():
    found = whole().kept
    for _, group in found.group_by("structure", "side"):
        assert group["rank"].to_list() == list(range(1, group.height + 1))
        assert group["cost_share"].is_sorted()
    row = found.filter((pl.col("structure") == "put_vertical") & (pl.col("side") == "sell")).row(0, named=True)
    assert row["why"].startswith(
        f"credit {round(row['credit'], 2)}, at risk {round(row['max_loss'], 2)}, crossing costs "
    )
    naked = found.filter((pl.col("structure") == "strangle") & (pl.col("side") == "sell"))
    assert naked["max_loss"].null_count() == naked.height
    assert naked["why"].str.contains("loss unlimited").all()


def test_what_is_left_out_is_counted_by_reason():
    strict = WANT.model_copy(update={"max_spread": 0.02, "min_open_interest": 1.0})
    found = candidates_of(vols(), strict)
    single = found.left_out.filter(pl.col("structure") == "contract")
    wide = single.filter(pl.col("reason") == "SPREAD_WIDE")["count"].sum()
    assert wide > 0
    # Every contract is good, or has a reason.
    counted = single["count"].sum()
    good = (
        vols()
        .filter(
            pl.col("reason").is_null() | pl.col("reason").is_in(["IN_THE_MONEY", "SPREAD_WIDE"]),
            (pl.col("ask") - pl.col("bid")) <= 0.02 * 0.5 * (pl.col("ask") + pl.col("bid")),
            pl.col("delta").is_not_null(),
            pl.col("bid") > 0,
        )
        .height
    )
    assert counted + good == vols().height
    none = candidates_of(vols(), WANT.model_copy(update={"min_open_interest": 2_000.0}))
    assert none.kept.is_empty()
    assert none.left_out.filter(pl.col("reason") == "OPEN_INTEREST_LOW")["count"].sum() > 0
    small = candidates_of(vols(), WANT.model_copy(update={"min_size": 1e6}))
    assert small.kept.is_empty()
    assert candidates_of(vols(), WANT.model_copy(update={"max_age_seconds": 1.0})).kept.is_empty()


def test_limits_keep_the_best_and_count_the_rest():
    few = WANT.model_copy(update={"max_per_expiry": 3, "max_per_structure": 5})
    found = candidates_of(vols(), few)
    assert found.kept.group_by("structure", "side").len()["len"].max() == 5
    assert found.kept.group_by("structure", "side", "expiry").len()["len"].max() <= 3
    best = whole().kept.filter((pl.col("structure") == "iron_condor") & (pl.col("rank") == 1))["candidate"]
    assert set(best) <= set(found.kept["candidate"])
    kind = pl.col("structure") == "iron_condor"
    kept = [c.kept.filter(kind).height for c in (whole(), found)]
    over = found.left_out.filter(kind & (pl.col("reason") == "BEYOND_LIMIT"))["count"].sum()
    assert kept[0] - kept[1] == over


def test_order_of_rows_does_not_matter_and_snapshots_stay_apart():
    shuffled = candidates_of(vols().sample(fraction=1.0, shuffle=True, seed=4), WANT)
    assert shuffled.kept.equals(whole().kept)
    assert shuffled.left_out.equals(whole().left_out)
    later = vols_of(black_chain(days=(11, 30), noise=1.0, seed=2, recv_ts=RECV + timedelta(minutes=30)).quotes)
    both = candidates_of(pl.concat([later, vols()]), WANT)
    assert both.kept.filter(pl.col("recv_ts") == RECV).equals(whole().kept)


@pytest.mark.parametrize(
    "quotes",
    [
        black_chain(days=(30,), strikes=[100.0]).quotes,
        black_chain(days=(30,)).quotes.with_columns(bid=pl.lit(0.0)),
        black_chain(days=(30,)).quotes.with_columns(bid=pl.col("ask") + 1),
        black_chain(days=(30,)).quotes.clear(),
    ],
    ids=["one strike", "no bids", "crossed", "empty"],
)
def test_hostile_chains_give_reasons_and_no_spread(quotes):
    found = candidates_of(vols_of(quotes), WANT)
    assert set(found.kept["structure"]) <= {"straddle"}
    if quotes.height > 2:
        assert found.left_out["count"].sum() >= quotes.height


def test_ten_thousand_strikes_stay_bounded():
    strikes = np.round(np.linspace(60.0, 150.0, 10_000), 3)
    table = vols_of(black_chain(days=(30,), strikes=strikes, half_spread=0.001).quotes)
    found = candidates_of(table, CandidateSettings())
    assert 200 < found.kept.height <= 12 * 50
    assert found.left_out.filter(pl.col("reason") == "BEYOND_LIMIT")["count"].sum() > 5_000


def test_settings_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="min_days"):
        CandidateSettings(min_days=30, max_days=10)
    with pytest.raises(ValueError, match="widths"):
        CandidateSettings(widths=(0.0,))
