"""G11: planted faults are found, clean chains are left alone, and neither order nor units matter."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from argus_core.options.anomalies import find_anomalies
from argus_core.settings.option_anomalies import AnomalySettings
from tests.options.anomalies.planted import (
    arbitrage_score,
    bump_score,
    bumped,
    clean,
    clean_score,
    with_arbitrage,
)

STATIC = ("vertical", "butterfly", "calendar", "parity")


def test_g11_clean_chains_have_no_flag():
    score = clean_score(range(2))
    assert score.quotes == 2_000
    assert score.false_flags == 0


def test_g11_noise_free_surfaces_have_no_flag():
    assert clean_score(range(2), noise=0.0).false_flags == 0


def test_g11_bumps_of_three_half_spreads_are_found_and_nothing_else():
    score = bump_score(range(6))
    assert score.recall >= 0.9  # 24 bumps; the slow test asks for 95 % of 800
    assert score.false_flags == 0


def test_g11_executable_arbitrage_is_found():
    assert arbitrage_score(range(3)).recall == 1.0


@pytest.mark.slow
def test_g11_in_full():
    """1e-4 false flags per quote, 95 % of 3 half-spread bumps, 99.9 % of executable arbitrage."""
    clean_run = clean_score(range(100, 150))
    assert clean_run.false_flags <= 1e-4 * clean_run.quotes
    assert clean_score(range(100, 120), noise=0.0).false_flags == 0
    bumps = bump_score(range(100, 300))
    assert bumps.recall >= 0.95
    assert bumps.false_flags <= 1e-4 * bumps.quotes
    assert arbitrage_score(range(100, 350)).recall >= 0.999


def test_g11_no_flag_disappears_when_rows_are_permuted():
    vols, _ = bumped(clean(1), 5, 4)
    vols, _ = with_arbitrage(vols, 3, "butterfly")
    one = find_anomalies(vols)
    two = find_anomalies(vols.sample(fraction=1.0, shuffle=True, seed=1))
    assert set(one["kind"]) >= {"residual", "butterfly"}
    assert one.equals(two)


@pytest.mark.parametrize("scale", [1e-3, 100.0, 4096.0])
def test_g11_no_flag_disappears_when_prices_change_their_unit(scale):
    vols, _ = bumped(clean(2), 9, 4)
    for number, kind in enumerate(STATIC):
        vols, _ = with_arbitrage(vols, 20 + number, kind)
    scaled = vols.with_columns(pl.col("strike", "bid", "ask", "forward") * scale)
    one = find_anomalies(vols)
    two = find_anomalies(scaled, AnomalySettings(fee=0.65 * scale))
    assert set(one["kind"]) >= {"residual", "butterfly", "parity"}
    assert set(map(tuple, one.select("kind", "contracts").rows())) == set(
        map(tuple, two.select("kind", "contracts").rows())
    )
    sums = [table.filter(pl.col("kind").is_in(STATIC))["edge"].sum() for table in (one, two)]
    assert sums[1] == pytest.approx(sums[0] * scale, rel=1e-6)


def test_chains_without_anything_to_search_give_empty_tables():
    vols = clean(0)
    for part in (
        vols.head(0),
        vols.head(1),
        vols.with_columns(used=pl.lit(value=False)),
        vols.with_columns(bid=pl.lit(0.0)),
        vols.filter(pl.col("expiry") == vols["expiry"].min()),
        vols.with_columns(t_cal=-pl.col("t_cal")),
    ):
        assert find_anomalies(part).height == 0


def test_crossed_quotes_are_flagged_and_do_not_break_the_search():
    vols = clean(0)
    row = vols.filter(right="C").row(100, named=True)
    hit = pl.col("contract") == row["contract"]
    crossed = vols.with_columns(bid=pl.when(hit).then(row["ask"] + 0.5).otherwise("bid"))
    flags = find_anomalies(crossed)
    assert any(row["contract"] in text for text in flags["contracts"])
    assert np.isfinite(flags["statistic"].to_numpy()).all()
