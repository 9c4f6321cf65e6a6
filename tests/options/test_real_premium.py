"""The strip on real SPX evenings against the VIX of the same day, and the premium over real hourly bars."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from argus_core.features.realised_sessions import realised_features, session_variances
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.forwards import forwards_of
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.premium import variance_premiums
from argus_core.settings import Instrument
from argus_core.settings.option_chains import HygieneSettings, OptionChainSettings
from argus_core.settings.realised_volatility import RealisedVolatilitySettings, VariancePremiumSettings

EVENINGS = ("2026-07-22", "2026-07-24", "2026-08-05", "2026-08-18")
SPX = Instrument(symbol="SPX", asset_class="index", bar_seconds=3600)
#: The chains stand at 16:15 and were fetched hours later.
HYGIENE = HygieneSettings(max_quote_age_seconds=40_000, max_lag_seconds=40_000)


@pytest.fixture(scope="module")
def premiums(shared_data: Path, calendar) -> pl.DataFrame:
    settings = OptionChainSettings(rate=0.037, hygiene=HYGIENE)
    parts = []
    for evening in EVENINGS:
        file = shared_data / "option_quotes" / f"SPX_{evening}_eod.parquet"
        if not file.is_file():
            pytest.skip(f"{file.name} is not among the shared data")
        quotes = pl.read_parquet(file).with_columns(provider=pl.lit("cboe"))
        quotes = conform(quotes.with_columns(recv_ts=pl.lit(quotes["recv_ts"].max())), OptionQuotes)
        forwards = forwards_of(quotes, SPX, calendar, settings)
        parts.append(implied_vols_of(quotes, forwards, SPX, calendar, settings))
    bars = pl.read_parquet(shared_data / "bars_1h" / "SPX.parquet").filter(pl.col("session") == "rth").sort("ts")
    close = [calendar.session_bounds(day)[1] for day in calendar.trade_dates(bars["ts"], SPX)]
    bars = bars.with_columns(
        session=pl.lit("RTH"),
        trade_date=calendar.trade_dates(bars["ts"], SPX),
        end=pl.min_horizontal(pl.col("ts") + pl.duration(hours=1), pl.Series(close).cast(pl.Datetime("us", "UTC"))),
    ).with_columns(available_at=pl.col("end"))
    realised = RealisedVolatilitySettings(bar_minutes=60)
    features = realised_features(session_variances(bars, SPX, calendar, realised), realised)
    return variance_premiums(pl.concat(parts), features, calendar, VariancePremiumSettings())


def test_the_strip_is_the_vix(premiums, shared_data):
    closes = pl.read_parquet(shared_data / "closes_1d" / "adj_close.parquet").filter(pl.col("symbol") == "VIX")
    vix = dict(closes.select("date", "adj_close").iter_rows())
    wanted = np.array([vix[date.fromisoformat(evening)] for evening in EVENINGS])
    gap = np.abs(100 * premiums["implied_vol"].to_numpy() - wanted)
    # The VIX takes Friday expiries only and stops at two zero bids; ours takes the nearest expiries.
    assert np.median(gap) < 0.1
    assert gap.max() < 0.5


def test_the_forecast_is_of_the_months_size_and_the_premium_positive(premiums):
    assert set(premiums["implied_by"]) == {"strip"}
    assert set(premiums["realised_by"]) == {"har"}
    assert premiums["reason"].null_count() == len(EVENINGS)
    assert premiums["realised_vol"].is_between(0.10, 0.20).all()
    assert (premiums["premium"] > 0).all()
    assert (premiums["realised_available_at"] < premiums["recv_ts"]).all()
