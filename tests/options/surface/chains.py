"""Chains for the surface and anomaly tests: real evenings as `ImpliedVols`, and wild random ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from argus_core.calendar import load_calendar
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.forwards import forwards_of
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.schemas import ImpliedVols
from argus_core.settings import Instrument
from argus_core.settings.option_chains import ForwardSettings, HygieneSettings, OptionChainSettings

RECV = datetime(2026, 8, 3, 20, 15, tzinfo=UTC)
#: Evening files: quotes of 16:15 received hours later.
REAL = OptionChainSettings(
    rate=0.042,
    forwards=ForwardSettings(discount="parity"),
    hygiene=HygieneSettings(max_quote_age_seconds=40_000, max_lag_seconds=40_000, reject_locked=True),
)


def random_vols(seed: int, expiries: int, strikes: int) -> pl.DataFrame:
    """A chain with no order in it: volatilities, spreads and errors at random, holes, duplicates, absurd values."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(expiries):
        years = float(10 ** rng.uniform(-3.5, 1))
        base, tilt = rng.uniform(0.03, 2.0), rng.normal(0, 0.5)
        expiry_ts = RECV + timedelta(days=365 * years)
        for i in range(int(rng.integers(1, strikes + 1))):
            k = float(rng.normal(0, rng.choice([0.02, 0.3, 1.0])))
            iv = base * np.exp(tilt * k + rng.normal(0, rng.choice([0.01, 0.3, 1.0])))
            half = iv * 10 ** rng.uniform(-4, 0)
            rows.append(
                {
                    "provider": "t",
                    "underlying": "X",
                    "recv_ts": RECV,
                    "ts": RECV,
                    "contract": f"X{number}-{i}",
                    "expiry": expiry_ts.date(),
                    "expiry_ts": expiry_ts,
                    "strike": 100 * float(np.exp(k)),
                    "right": "C" if k > 0 else "P",
                    "bid": 1.0,
                    "ask": 1.1,
                    "forward": 100.0 if rng.random() > 0.03 else None,
                    "discount": 1.0,
                    "t_cal": years,
                    "t_var": years,
                    "log_moneyness": k if rng.random() > 0.03 else None,
                    "iv_bid": iv - half if rng.random() > 0.1 else None,
                    "iv_mid": iv if rng.random() > 0.05 else float("nan"),
                    "iv_ask": iv + half if rng.random() > 0.1 else None,
                    "iv_se": half / np.sqrt(3) if rng.random() > 0.1 else None,
                    "quote_age": 0.0,
                    "used": bool(rng.random() > 0.1),
                }
            )
    return conform(pl.DataFrame(rows, infer_schema_length=None), ImpliedVols)


@lru_cache(maxsize=4)
def real_chain(shared_data: Path, name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(`Forwards`, `ImpliedVols`) of one file of option quotes."""
    frame = pl.read_parquet(shared_data / "option_quotes" / f"{name}.parquet")
    quotes = conform(frame.with_columns(provider=pl.lit("files")), OptionQuotes)
    symbol = name.split("_")[0]
    instrument = Instrument(symbol=symbol, asset_class="index" if symbol == "SPX" else "etf")
    forwards = forwards_of(quotes, instrument, load_calendar("XNYS"), REAL)
    return forwards, implied_vols_of(quotes, forwards, instrument, load_calendar("XNYS"), REAL)
