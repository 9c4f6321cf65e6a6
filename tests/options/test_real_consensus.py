"""The consensus on a real SPY evening: Cboe's own volatilities, in percent, beside those of the prices."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.consensus import atm_consensus, consensus_at
from argus_core.options.discrepancies import discrepancies_at, rollup
from argus_core.options.forwards import forwards_of
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.observations import observations_of, provider_unit
from argus_core.settings import Instrument
from argus_core.settings.option_chains import HygieneSettings, OptionChainSettings
from argus_core.settings.option_consensus import ConsensusSettings

SETTINGS = ConsensusSettings(policy="blended", max_age_seconds=600, max_quote_age_seconds=40_000, vol_of_vol=0.0)


@pytest.fixture(scope="module")
def observations(shared_data, calendar) -> pl.DataFrame:
    file = shared_data / "option_quotes" / "SPY_2026-08-14_eod.parquet"
    if not file.is_file():
        pytest.skip(f"{file.name} is not among the shared data")
    quotes = pl.read_parquet(file).with_columns(provider=pl.lit("prices"))
    quotes = conform(quotes.with_columns(recv_ts=pl.lit(quotes["recv_ts"].max())), OptionQuotes)
    days = (pl.col("expiry") - pl.col("ts").dt.date()).dt.total_days()
    quotes = quotes.filter(days.is_between(14, 40))
    hygiene = HygieneSettings(max_quote_age_seconds=40_000, max_lag_seconds=40_000)
    settings = OptionChainSettings(rate=0.037, hygiene=hygiene)
    spy = Instrument(symbol="SPY", asset_class="etf")
    vols = implied_vols_of(quotes, forwards_of(quotes, spy, calendar, settings), spy, calendar, settings)
    ours = observations_of(vols.filter("used"))
    theirs = ours.with_columns(
        pl.lit("cboe").alias("source"),
        pl.col("provider_iv") * 100,
        *(pl.lit(None, pl.Float64).alias(name) for name in ("iv_bid", "iv_mid", "iv_ask", "iv_se")),
    )
    return pl.concat([ours, theirs])


def test_cboes_percent_is_told_and_its_volatilities_are_near_ours(observations):
    cboe = observations.filter(pl.col("source") == "cboe")
    assert provider_unit(cboe, SETTINGS) == "percent"
    now = observations["recv_ts"].max() + timedelta(seconds=30)
    table = rollup(discrepancies_at(observations, now, SETTINGS), SETTINGS).row(0, named=True)
    assert table["count"] > 800
    assert table["difference_p50"] < 0.008
    assert table["disputed_share"] < 0.02


def test_at_the_money_is_one_smooth_term_structure(observations):
    now = observations["recv_ts"].max() + timedelta(seconds=30)
    found = atm_consensus(consensus_at(observations, now, SETTINGS), SETTINGS)
    assert found["reason"].null_count() == len(found) == 5
    assert found["iv"].is_between(0.08, 0.2).all()
    assert (found["iv"].diff().drop_nulls().abs() < 0.015).all()
    assert ((found["strike"] - found["forward"]).abs() <= 1.0).all()
