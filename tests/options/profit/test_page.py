"""A page of candidates: two moments of expiry on one day, and an expiry without terms."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from argus_core.options.candidates import candidates_of
from argus_core.options.heston import HestonParameters
from argus_core.options.positions import Position, profit_lines
from argus_core.options.profit import heston_laws, terminal_profit
from argus_core.options.profit.page import page_legs, profit_page
from argus_core.settings.option_chains import CandidateSettings
from argus_core.settings.option_profit import ProfitSettings
from argus_core.strategies.interface import Leg
from tests.option_tables import RECV, option_tables

HOURS = 6.5


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """The last snapshot: candidates of the first expiry, and the same as if they expired in the morning."""
    last = {name: frame.filter(pl.col("recv_ts") == RECV) for name, frame in option_tables().items()}
    kept = candidates_of(last["implied_vols"], CandidateSettings(structures=("vertical",))).kept
    kept = kept.filter(pl.col("expiry") == pl.col("expiry").min(), pl.col("rank") <= 3)
    earlier = pl.col("t_cal") - HOURS / 24 / 365
    morning = kept.with_columns(earlier, candidate=pl.col("candidate") + " AM")
    terms = last["forwards"].filter(pl.col("expiry") == pl.col("expiry").min())
    before = terms.with_columns(
        earlier, pl.col("expiry_ts") - timedelta(hours=HOURS), forward=pl.col("forward") * 1.01, settlement=pl.lit("AM")
    )
    fits = last["fits"]
    # The evening's row comes last, as in a chain.
    return {**last, "fits": fits, "candidates": pl.concat([kept, morning]), "forwards": pl.concat([before, terms])}


def page(tables: dict[str, pl.DataFrame], forwards: pl.DataFrame) -> pl.DataFrame:
    settings = ProfitSettings(managed_per_structure=0)
    fit = tables["fits"].row(0, named=True)
    return profit_page(tables["candidates"], forwards, tables["slices"], fit, settings, commission=0.65)


def test_morning_and_evening_of_one_day_have_their_own_terms(tables):
    found = page(tables, tables["forwards"])
    fit = tables["fits"].row(0, named=True)
    parameters = HestonParameters(*(fit[name] for name in HestonParameters._fields))
    assert found.height == tables["candidates"].height
    terms = dict(zip(tables["forwards"]["settlement"], tables["forwards"].to_dicts(), strict=True))
    for row in found.iter_rows(named=True):
        own = terms["AM" if row["candidate"].endswith(" AM") else "PM"]
        legs = tuple(
            Leg(x["contract"], x["expiry"], x["strike"], x["right"], x["quantity"]) for x in page_legs(row["legs"])
        )
        lines = profit_lines([Position(legs, row["price"], 100.0, 0.65 * len(legs))])
        laws = heston_laws(parameters, [own["t_cal"]], [own["forward"]], discounts=[own["discount"]])
        told = terminal_profit(lines, laws, laws.provenance)
        assert row["pop_terminal"] == pytest.approx(told.pop_terminal[0], abs=1e-10)
        assert row["expected_pnl"] == pytest.approx(told.expected_pnl[0], abs=1e-7)
        assert row["pop_surface"] is not None
    apart = found.with_columns(pl.col("candidate").str.strip_suffix(" AM")).group_by("candidate")
    assert (apart.agg(pl.col("pop_terminal").max() - pl.col("pop_terminal").min())["pop_terminal"] > 0.01).all()


def test_an_expiry_without_terms_has_a_reason_and_leaves_the_others_alone(tables):
    evening = tables["forwards"].filter(pl.col("settlement") == "PM")
    found, whole = page(tables, evening), page(tables, tables["forwards"])
    morning = pl.col("candidate").str.ends_with(" AM")
    assert found.filter(morning)["pop_terminal"].null_count() == found.filter(morning).height > 0
    assert found.filter(morning)["pop_surface"].null_count() == found.filter(morning).height
    assert found.filter(morning)["reason"].str.starts_with("expired").all()
    assert found.filter(~morning).equals(whole.filter(~morning))
