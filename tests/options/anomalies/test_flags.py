"""Persistence, severity, stale quotes and words."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from argus_core.options.anomalies import find_anomalies, stale_contracts
from argus_core.options.schemas import Anomalies
from argus_core.settings.option_anomalies import AnomalySettings
from tests.options.anomalies.planted import DAYS, NOISE, bumped, with_arbitrage
from tests.options.anomalies.planted import clean as whole

SETTINGS = AnomalySettings()


def clean(seed: int) -> pl.DataFrame:
    """Five expiries."""
    return whole(seed, NOISE, DAYS[::4])


def at(vols: pl.DataFrame, minutes: int) -> pl.DataFrame:
    return vols.with_columns(pl.col("recv_ts").dt.offset_by(f"{minutes}m"))


@pytest.fixture(scope="module")
def faulty() -> tuple[pl.DataFrame, str]:
    return with_arbitrage(clean(0), 3, "butterfly")


def test_persistence_counts_this_snapshot_and_earlier_ones_only(faulty):
    vols, contract = faulty
    now = vols["recv_ts"][0]
    tables = {m: find_anomalies(at(vols, m)) for m in (-30, -20, 10)}
    earlier = pl.concat(list(tables.values()))
    times = [now + timedelta(minutes=m) for m in (-40, -30, -20, -10, 10)]
    found = find_anomalies(vols, earlier=earlier, earlier_times=times)
    row = next(r for r in found.iter_rows(named=True) if r["contracts"].startswith(contract))
    assert (row["persistence"], row["of_snapshots"]) == (3, 5)
    assert row["severity"] == "act"
    first = find_anomalies(vols, earlier_times=times)
    row = next(r for r in first.iter_rows(named=True) if r["contracts"].startswith(contract))
    assert (row["persistence"], row["of_snapshots"], row["severity"]) == (1, 5, "watch")
    Anomalies.validate(found)


def test_old_and_small_quotes_are_never_actionable(faulty):
    vols, contract = faulty
    lasting = {"earlier": find_anomalies(at(vols, -10)), "earlier_times": [vols["recv_ts"][0] - timedelta(minutes=10)]}
    hit = pl.col("contract") == contract

    def severity(table: pl.DataFrame) -> str:
        rows = find_anomalies(table, **lasting).filter(pl.col("contracts").str.starts_with(contract))
        return rows["severity"][0]

    assert severity(vols) == "act"
    assert severity(vols.with_columns(quote_age=pl.when(hit).then(2_000.0).otherwise("quote_age"))) == "info"
    assert severity(vols.with_columns(bid_size=pl.when(hit).then(0.0).otherwise("bid_size"))) == "watch"


def test_without_a_size_nothing_is_actionable_and_unused_legs_are_information(faulty):
    vols, contract = faulty
    lasting = {"earlier": find_anomalies(at(vols, -10)), "earlier_times": [vols["recv_ts"][0] - timedelta(minutes=10)]}
    planted = pl.col("contracts").str.starts_with(contract) & (pl.col("kind") == "butterfly")
    legs = find_anomalies(vols).filter(planted)["contracts"].item().split(",")

    def told(used: bool, *unsized: str) -> dict:
        hit, leg = pl.col("contract").is_in(list(unsized)), pl.col("contract").is_in(legs)
        table = vols.with_columns(
            *(pl.when(~hit).then(pl.col(side)).alias(side) for side in ("bid_size", "ask_size")),
            used=pl.when(leg).then(pl.lit(used)).otherwise("used"),
        )
        return find_anomalies(table, **lasting).filter(planted).row(0, named=True)

    # With sizes a quote in the money is as good as any; without one only clean quotes out of the money are looked at.
    assert told(True)["severity"] == told(False)["severity"] == "act"
    assert told(True, *legs)["severity"] == told(True, legs[-1])["severity"] == "watch"
    doubtful = told(False, legs[-1])
    assert doubtful["severity"] == "info"
    assert f"No size is known of {legs[-1]}, in the money or not clean" in doubtful["explanation"]
    assert "No size" not in told(True, *legs)["explanation"]
    assert doubtful["edge"] == told(False)["edge"]


def test_words_tell_what_to_trade_and_where_to_look(faulty):
    vols, contract = faulty
    row = next(r for r in find_anomalies(vols).iter_rows(named=True) if r["contracts"].startswith(contract))
    assert f"sell 1 {contract}" in row["explanation"]
    assert f"Look at {contract} first" in row["explanation"]
    assert row["edge"] > 0
    changed, contracts = bumped(clean(1), 5, 1, 6.0)
    (flag,) = find_anomalies(changed).filter(kind="residual").rows(named=True)
    assert flag["contracts"] in contracts
    word = "dear" if flag["statistic"] > 0 else "cheap"
    assert f"{flag['contracts']} is {word}" in flag["explanation"]
    assert flag["edge"] > 0


def test_a_quote_that_stood_still_while_its_neighbours_moved_is_stale():
    before = at(clean(0), -1)
    moved = pl.when(pl.col("right") == "C").then(0.5).otherwise(-0.4)
    after = at(before, 1).with_columns(pl.col("bid", "ask") + moved)
    row = before.filter(pl.col("right") == "C").row(60, named=True)
    hit = pl.col("contract") == row["contract"]
    after = after.with_columns(pl.when(hit).then(row[n]).otherwise(pl.col(n)).alias(n) for n in ("bid", "ask"))
    assert stale_contracts(after, before, SETTINGS) == {row["contract"]}
    assert stale_contracts(at(before, 1), before, SETTINGS) == frozenset()
    flags = find_anomalies(after, previous=before)
    mine = flags.filter(pl.col("contracts").str.contains(row["contract"], literal=True))
    assert mine.height > 0
    assert (mine["severity"] == "info").all()
    assert mine["explanation"].str.contains("stood still").all()
    with pytest.raises(ValueError, match="give an earlier one"):
        stale_contracts(before, after, SETTINGS)


def test_american_underlyings_are_judged_by_american_bounds():
    vols = clean(0).with_columns(underlying=pl.lit("SPY"))
    european = find_anomalies(clean(0))
    american = find_anomalies(vols)
    assert european.height == 0
    # European prices of deep puts break American bounds: the test chain pays 3 % interest.
    assert set(american["kind"]) <= {"calendar", "parity", "vertical"}
