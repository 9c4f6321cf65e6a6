"""Fast option chains with a known smile, forward and discount, European or American."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.american import early_exercise_premium
from argus_core.options.black import black_price

RECV = datetime(2026, 8, 3, 20, 15, tzinfo=UTC)
STRIKES = tuple(np.arange(70.0, 131.0))


@dataclass(frozen=True)
class BlackChain:
    """``quotes``: OptionQuotes. ``forward``: per expiry. ``vol``: per row of quotes."""

    quotes: pl.DataFrame
    forward: list[float]
    discount: list[float]
    vol: NDArray[np.float64]


def smile(k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volatility at log moneyness k."""
    return 0.2 - 0.15 * k + 0.3 * k * k


def black_chain(
    *,
    days: Sequence[int] = (7, 30, 88),
    strikes: Sequence[float] = STRIKES,
    spot: float = 100.0,
    rate: float = 0.03,
    dividend: float = 0.012,
    half_spread: float = 0.02,
    noise: float = 0.0,
    seed: int = 0,
    recv_ts: datetime = RECV,
    age: float = 60.0,
    underlying: str = "SPY",
    american: bool = False,
) -> BlackChain:
    """Quotes ``half_spread`` dollars around the price; ``noise`` moves each mid by that share of it, uniformly."""
    generator = np.random.default_rng(seed)
    frames, forwards, discounts, vols = [], [], [], []
    strike = np.repeat(np.asarray(strikes, float), 2)
    call = np.tile([True, False], len(strikes))
    for count in days:
        expiry: date = (recv_ts + timedelta(days=count)).date()
        end = datetime.combine(expiry, time(16), ZoneInfo("America/New_York"))
        years = (end - (recv_ts - timedelta(seconds=age))).total_seconds() / (365 * 86_400)
        forward, discount = spot * np.exp((rate - dividend) * years), np.exp(-rate * years)
        vol = smile(np.log(strike / forward))
        price = black_price(forward, strike, max(years, 0.0), vol, call, discount)
        if american:
            price = price + early_exercise_premium(spot, strike, years, vol, call, rate, dividend)
        mid = price + noise * half_spread * generator.uniform(-1, 1, len(strike))
        names = [
            f"{underlying}{expiry:%y%m%d}{'C' if c else 'P'}{round(k * 1000):08d}"
            for k, c in zip(strike, call, strict=True)
        ]
        frames.append(
            pl.DataFrame(
                {
                    "contract": names,
                    "strike": strike,
                    "right": np.where(call, "C", "P"),
                    "bid": np.maximum(mid - half_spread, 0.0),
                    "ask": mid + half_spread,
                }
            ).with_columns(expiry=pl.lit(expiry))
        )
        forwards.append(float(forward))
        discounts.append(float(discount))
        vols.append(vol)
    quotes = pl.concat(frames).with_columns(
        provider=pl.lit("test"),
        underlying=pl.lit(underlying),
        ts=pl.lit(recv_ts - timedelta(seconds=age)),
        recv_ts=pl.lit(recv_ts),
        bid_size=100.0,
        ask_size=100.0,
        open_interest=1000.0,
        underlying_price=pl.lit(spot),
    )
    return BlackChain(conform(quotes, OptionQuotes), forwards, discounts, np.concatenate(vols))
