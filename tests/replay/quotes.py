"""Small option chains for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.black import black_price
from argus_core.replay.results import UTC_US

EXPIRY = date(2025, 2, 5)


def at(text: str) -> datetime:
    """2025-02-<day> <HH:MM> UTC from 'DD HH:MM'."""
    day, clock = text.split()
    hour, minute = clock.split(":")
    return datetime(2025, 2, int(day), int(hour), int(minute), tzinfo=UTC)


def quotes(rows: Sequence[Mapping], **defaults) -> pl.DataFrame:
    """Option quotes of an underlying SPY from rows with recv (datetime), right, strike, bid, ask and any other column.

    ``age`` seconds lie between ts and recv_ts (default 60); the expiry defaults to `EXPIRY`.
    """
    table = []
    for given in rows:
        row = {"expiry": EXPIRY, "age": 60.0, "underlying_price": 100.0, **defaults, **given}
        recv = row.pop("recv")
        row["ts"] = recv - timedelta(seconds=row.pop("age"))
        row["recv_ts"] = recv
        row["contract"] = f"SPY{row['expiry']:%y%m%d}{row['right']}{round(row['strike'] * 1000):08d}"
        table.append({"provider": "test", "underlying": "SPY", **row})
    frame = pl.DataFrame(table, infer_schema_length=None, schema_overrides={"ts": UTC_US, "recv_ts": UTC_US})
    return conform(frame, OptionQuotes)


def chain(
    recv: datetime,
    expiries: Sequence[date],
    *,
    spot: float = 100.0,
    vol: float = 0.25,
    strikes: Sequence[float] | None = None,
    half_spread: float = 0.02,
    size: float = 500.0,
) -> pl.DataFrame:
    """A chain priced by Black at one volatility, quoted ``half_spread`` around, without iv and delta."""
    rows = []
    for expiry in expiries:
        years = (datetime(expiry.year, expiry.month, expiry.day, 21, tzinfo=UTC) - recv).total_seconds() / 86_400 / 365
        for strike in strikes if strikes is not None else np.arange(80, 121, 1.0):
            for right in "CP":
                mid = float(black_price(spot, strike, max(years, 0.0), vol, right == "C"))
                rows.append(
                    {
                        "recv": recv,
                        "expiry": expiry,
                        "right": right,
                        "strike": float(strike),
                        "bid": round(max(mid - half_spread, 0.0), 2),
                        "ask": round(mid + half_spread, 2),
                        "bid_size": size,
                        "ask_size": size,
                        "underlying_price": spot,
                    }
                )
    return quotes(rows)
