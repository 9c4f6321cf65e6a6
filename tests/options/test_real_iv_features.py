"""Features of real evening chains of SPY, beside the volatility that Cboe gave with every quote."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import load_calendar
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.iv_features import iv_features_of_chain
from argus_core.settings import Instrument
from argus_core.settings.options import OptionSettings

SPY = Instrument(symbol="SPY", asset_class="etf", options=True)


@pytest.mark.parametrize("day", [date(2026, 7, 22), date(2026, 8, 5), date(2026, 8, 18)])
def test_the_features_of_an_evening_are_what_cboe_says(shared_data: Path, day: date):
    near = pl.col("expiry") - pl.lit(day) <= timedelta(days=120)
    raw = pl.scan_parquet(shared_data / "option_quotes" / f"SPY_{day}_eod.parquet").filter(near).collect()
    quotes = conform(raw.with_columns(provider=pl.lit("files")), OptionQuotes)
    found = iv_features_of_chain(quotes, pl.DataFrame(), SPY, load_calendar("XNYS"), OptionSettings(), day)
    [row] = found.to_dicts()
    assert row["recv_ts"] == quotes["recv_ts"][0]
    for days in (30, 60):
        # Cboe's own, between the two expiries around the maturity, at the spot and at a delta of a quarter.
        left = {count: [] for count in ("atm", "call", "put")}
        for expiry in quotes["expiry"].unique().sort():
            part = quotes.filter((pl.col("expiry") == expiry) & (pl.col("iv") > 0) & (pl.col("bid") > 0))
            life = (expiry - day).days
            spot = part["underlying_price"][0]
            outside = part.filter((pl.col("right") == "C") == (pl.col("strike") >= spot)).sort("strike")
            level = float(np.interp(spot, outside["strike"], outside["iv"]))
            left["atm"].append((life, level))
            for name, right, delta in (("call", "C", 0.25), ("put", "P", -0.25)):
                side = part.filter((pl.col("right") == right) & pl.col("delta").is_not_null()).sort("delta")
                left[name].append((life, float(np.interp(delta, side["delta"], side["iv"]))))
        cboe = {name: float(np.interp(days, *zip(*points, strict=True))) for name, points in left.items()}
        assert row[f"iv_{days}"] == pytest.approx(cboe["atm"], abs=0.006)
        assert row[f"iv_rr25_{days}"] == pytest.approx(cboe["call"] - cboe["put"], abs=0.01)
        butterfly = 0.5 * (cboe["call"] + cboe["put"]) - cboe["atm"]
        assert row[f"iv_bf25_{days}"] == pytest.approx(butterfly, abs=0.006)
    # Puts cost more than calls, and the strip, which holds the wings, more than the money.
    assert row["iv_skew_30"] < 0
    assert row["iv_strip_variance_30"] > row["iv_30"] ** 2
    assert row["variance_premium_30"] is None
    assert "no realised volatility" in row["reason"]
