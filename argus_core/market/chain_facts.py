"""Stylised facts of option chains, measured the same way on simulated and on real quotes (market-data.md §4)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar

_DAY_BUCKETS = ((0, 0), (1, 1), (2, 3), (4, 7), (8, 14), (15, 30), (31, 60), (61, 120), (121, 365))
_SPREAD_DAY_BUCKETS = ((1, 2), (3, 7), (8, 21), (22, 45), (46, 90))
_DELTA_EDGES = (0.0, 0.02, 0.05, 0.10, 0.20, 0.35, 0.65, 0.90, 1.0)


def chain_facts(quotes: pl.DataFrame, calendar: TradingCalendar) -> dict[str, Any]:
    """Surface and spreads of option quotes (`OptionQuotes`); iv and delta as quoted, calendar time to the close.

    Returns:
        ``surface``: per bucket of days, the median at-the-money volatility and the medians over snapshots of b1 and b2
        in iv / atm = 1 + b1 z + b2 z^2 with z = ln(K / S) / (atm sqrt(T)), |z| < 2.5, out-of-the-money side only.
        ``spreads``: per bucket of days and absolute delta, the median of ask - bid in dollars where there is a bid.
        ``share_no_bid``: share of contracts with a bid of zero.
    """
    expiries = quotes["expiry"].unique().to_list()
    closes = pl.DataFrame({"expiry": expiries, "close": [calendar.session_bounds(d)[1] for d in expiries]})
    frame = quotes.join(closes.cast({"close": pl.Datetime("us", "UTC")}), on="expiry", how="left").with_columns(
        years=(pl.col("close") - pl.col("ts")).dt.total_seconds() / (365 * 86_400.0),
        days=(pl.col("expiry") - pl.col("ts").dt.convert_time_zone("America/New_York").dt.date()).dt.total_days(),
        k=(pl.col("strike") / pl.col("underlying_price")).log(),
    )
    otm = frame.filter((pl.col("right") == "C") == (pl.col("k") >= 0))
    fits: dict[str, list[tuple[float, float, float]]] = {}
    for (days, *_), group in otm.group_by("days", "ts", "expiry", maintain_order=True):
        name = next((f"{a}-{b}" for a, b in _DAY_BUCKETS if a <= days <= b), None)
        if name is None or group.height < 8:
            continue
        k, iv, years = group["k"].to_numpy(), group["iv"].to_numpy(), float(group["years"][0])
        order = np.argsort(k)
        atm = float(np.interp(0.0, k[order], iv[order]))
        z = k / (atm * np.sqrt(years))
        use = np.abs(z) < 2.5
        if use.sum() < 6:
            continue
        beta, *_ = np.linalg.lstsq(np.column_stack([z[use], z[use] ** 2]), iv[use] / atm - 1.0, rcond=None)
        fits.setdefault(name, []).append((atm, float(beta[0]), float(beta[1])))
    surface = {
        name: dict(zip(("atm", "b1", "b2"), np.median(rows, axis=0).tolist(), strict=True))
        for name, rows in fits.items()
    }
    spreads: dict[str, dict[str, float]] = {}
    quoted = frame.filter(pl.col("bid") > 0).with_columns(
        width=pl.col("ask") - pl.col("bid"), size=pl.col("delta").abs()
    )
    for a, b in _SPREAD_DAY_BUCKETS:
        part = quoted.filter(pl.col("days").is_between(a, b))
        cells: dict[str, float] = {}
        for lo, hi in pairwise(_DELTA_EDGES):
            width = part.filter((pl.col("size") >= lo) & (pl.col("size") < hi))["width"].to_numpy()
            if width.size:
                cells[f"{lo:.2f}-{hi:.2f}"] = float(np.median(width))
        spreads[f"{a}-{b}"] = cells
    return {"surface": surface, "spreads": spreads, "share_no_bid": float((frame["bid"] == 0).to_numpy().mean())}
