"""Chains for the surface and anomaly tests: real evenings as `ImpliedVols`, and wild random ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from argus_core.market.schemas import column_types, conform
from argus_core.options.black import implied_vol
from argus_core.options.chains import implied_forward
from argus_core.options.schemas import ImpliedVols

RECV = datetime(2026, 8, 3, 20, 15, tzinfo=UTC)
_TIME = pl.Datetime("us", "UTC")


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


def filled(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with every column of ImpliedVols."""
    types = column_types(ImpliedVols)
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in types.items() if name not in frame.columns]
    return frame.with_columns(missing).select(list(types))


def real_vols(shared_data: Path, name: str, *, rate: float = 0.036) -> pl.DataFrame:
    """Quotes of one file as volatilities, European formula, out-of-the-money contracts used; 16:00 New York expiry."""
    quotes = pl.read_parquet(shared_data / "option_quotes" / f"{name}.parquet")
    parts = []
    for part in quotes.partition_by("expiry", "root", maintain_order=True):
        parts.append(_slice(part.sort("strike", "right"), rate))
    return ImpliedVols.validate(pl.concat([part for part in parts if part is not None]), cast=True)


def _slice(part: pl.DataFrame, rate: float) -> pl.DataFrame | None:
    ts = part["ts"].max()
    expiry, root = part["expiry"][0], part["root"][0]
    hour, minute = (13, 30) if root == "SPX" else (20, 0)
    expiry_ts = datetime(expiry.year, expiry.month, expiry.day, hour, minute, tzinfo=UTC)
    years = (expiry_ts - ts).total_seconds() / (365 * 86_400)
    if years <= 0:
        return None
    discount = float(np.exp(-rate * years))
    bid, ask, strike = (part[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("bid", "ask", "strike"))
    call = (part["right"] == "C").to_numpy()
    mid = np.where((bid > 0) & (ask > bid), 0.5 * (bid + ask), np.nan)
    strikes = np.unique(strike)
    sides = []
    for right in (True, False):
        side = np.full(len(strikes), np.nan)
        side[np.searchsorted(strikes, strike[call == right])] = mid[call == right]
        sides.append(side)
    forward = implied_forward(strikes, sides[0], sides[1], discount)
    vols = {
        f"iv_{side}": np.where(price > 0, implied_vol(price, forward, strike, years, call, discount), np.nan)
        for side, price in (("bid", bid), ("mid", mid), ("ask", ask))
    }
    used = (call == (strike >= forward)) & np.isfinite(vols["iv_mid"]) & np.isfinite(vols["iv_bid"]) & (bid >= 0.05)
    return filled(
        part.with_columns(
            pl.col("bid", "ask", "bid_size", "ask_size", "open_interest").cast(pl.Float64),
            provider=pl.lit("cboe"),
            expiry_ts=pl.lit(expiry_ts).cast(_TIME),
            forward=pl.lit(forward),
            discount=pl.lit(discount),
            t_cal=pl.lit(years),
            t_var=pl.lit(years),
            log_moneyness=pl.Series(np.log(strike / forward)),
            **{key: pl.Series(value).fill_nan(None) for key, value in vols.items()},
            iv_se=pl.Series((vols["iv_ask"] - vols["iv_bid"]) / np.sqrt(12)).fill_nan(None),
            quote_age=pl.lit(0.0),
            used=pl.Series(used),
        ).drop("delta", "gamma", "vega", "theta", "rho", strict=False)
    )
