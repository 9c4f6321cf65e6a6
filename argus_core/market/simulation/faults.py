"""Switchable faults of the simulated market, each seen in real files (shared/data/README.md, "Known defects")."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from argus_core.market.simulation.intraday import to_grid
from argus_core.market.simulation.random import normals, stream_key, uniforms
from argus_core.settings import SimulationFaults

#: Ratio of the simulated split and share of the tape that IEX prints.
SPLIT = 7.0
IEX_VOLUME_SHARE = 0.019
IEX_CLOSE_NOISE = 0.015
WRONG_CLOSE = 0.01


def split_factor(faults: SimulationFaults, symbol: str, day: date) -> float:
    """What raw prices of ``day`` are divided by: 7 per split on or before it (AAPL split 7:1 on 2014-06-09)."""
    if symbol != faults.symbol:
        return 1.0
    return SPLIT ** sum(when <= day for when in faults.split_7_for_1)


def damage_bars(bars: pl.DataFrame, faults: SimulationFaults, symbol: str, day: date, seed: int) -> pl.DataFrame:
    """Minute bars of ``day`` with the faults that strike on it.

    * ``missing_session``: no rows (SPY 2025-08-15).
    * ``late_start``: the first 10 to 25 minutes are missing (17 sessions from 2025-08-11 on).
    * ``iex_day``: volume 1.9 %, 1-19 % of the minutes missing, closes off by 1.5 cents (nine Fridays of 2025).
    * ``crossed_quote``: three bars with bid above ask (SPXW 2021).
    """
    if symbol != faults.symbol or bars.is_empty():
        return bars
    if day in faults.missing_session:
        return bars.clear()
    ordinal = day.toordinal()
    if day in faults.late_start:
        late = 10 + int(16 * uniforms(stream_key(seed, symbol, "late-start"), ordinal, 1)[0])
        bars = bars.slice(late)
    if day in faults.iex_day:
        bars = _iex(bars, seed, symbol, ordinal)
    if day in faults.crossed_quote and "bid" in bars.columns:
        u = uniforms(stream_key(seed, symbol, "crossed"), ordinal, 3)
        rows = set((u * bars.height).astype(int).tolist())
        crossed = pl.Series([i in rows for i in range(bars.height)])
        bars = bars.with_columns(
            bid=pl.when(crossed).then(pl.max_horizontal("bid", "ask") + 0.02).otherwise("bid"),
        )
    return bars


def _iex(bars: pl.DataFrame, seed: int, symbol: str, ordinal: int) -> pl.DataFrame:
    u = uniforms(stream_key(seed, symbol, "iex"), ordinal, bars.height + 1)
    share = 0.01 + 0.18 * u[0]
    noise = IEX_CLOSE_NOISE * normals(stream_key(seed, symbol, "iex-noise"), ordinal, bars.height)
    close = to_grid(bars["close"].to_numpy() + noise, 0.01)
    bars = bars.with_columns(
        close=pl.Series(close),
        volume=np.maximum(np.rint(bars["volume"].to_numpy() * IEX_VOLUME_SHARE), 1.0),
        volume_scope=pl.lit("iex"),
    ).with_columns(high=pl.max_horizontal("high", "close"), low=pl.min_horizontal("low", "close"))
    return bars.filter(pl.Series(u[1:] >= share))


def wrong_close(faults: SimulationFaults, symbol: str, day: date) -> float:
    """What a daily close is multiplied by: 1 % off on ``wrong_daily_close``, right again the next day (2024-12-23)."""
    return 1.0 + WRONG_CLOSE if symbol == faults.symbol and day in faults.wrong_daily_close else 1.0


def damage_quotes(
    quotes: pl.DataFrame, faults: SimulationFaults, underlying: str, day: date, seed: int
) -> pl.DataFrame:
    """Option quotes of ``day``: nothing when the session is missing, five crossed rows on ``crossed_quote``."""
    if underlying != faults.symbol or quotes.is_empty():
        return quotes
    if day in faults.missing_session:
        return quotes.clear()
    if day not in faults.crossed_quote:
        return quotes
    u = uniforms(stream_key(seed, underlying, "crossed-options"), day.toordinal(), 5)
    rows = set((u * quotes.height).astype(int).tolist())
    crossed = pl.Series([i in rows for i in range(quotes.height)])
    return quotes.with_columns(bid=pl.when(crossed).then(pl.col("ask") + 0.05).otherwise("bid"))
