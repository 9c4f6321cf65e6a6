"""Option chains of the simulated market: which contracts are listed, and how they are quoted."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import to_us
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.market.simulation.random import normals, stream_key, uniforms
from argus_core.market.simulation.surface import black76

#: Median spread in dollars at mid-session (SPY), rows by days to expiry, columns by absolute delta.
SPREAD_DAYS = np.array([1.0, 3.0, 8.0, 22.0, 46.0])
SPREAD_DELTAS = np.array([0.02, 0.05, 0.10, 0.20, 0.35, 0.65, 0.90])
SPREADS = np.array(
    [
        [0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.03, 1.50],
        [0.01, 0.01, 0.01, 0.01, 0.01, 0.02, 0.24, 2.94],
        [0.01, 0.01, 0.01, 0.01, 0.01, 0.02, 0.26, 2.77],
        [0.01, 0.01, 0.01, 0.02, 0.03, 0.07, 1.34, 3.08],
        [0.01, 0.01, 0.02, 0.02, 0.03, 0.07, 2.57, 3.27],
        [0.01, 0.01, 0.02, 0.03, 0.03, 0.05, 1.96, 3.32],
    ]
)
#: Spread of other underlyings as a multiple of SPY's.
SPREAD_SCALE = {"SPY": 1.0, "QQQ": 1.6, "IWM": 1.4}
SPREAD_NOISE = 0.4
SIZE_DELTAS = np.array([0.05, 0.20, 0.50, 0.80])
SIZES = np.array([400.0, 155.0, 120.0, 15.0, 10.0])
#: Strikes listed: this many at-the-money standard deviations below and above the forward.
STRIKES_BELOW, STRIKES_ABOVE = 4.0, 3.3
DAILY_DAYS, WEEKLY_DAYS, MONTHLY_DAYS = 14, 60, 125


def listed_expiries(calendar: TradingCalendar, day: date) -> list[date]:
    """Expiries listed on ``day``: every session for two weeks, weekly to two months, monthly to four.

    A weekly or monthly expiry on a holiday moves to the session before it.
    """
    dates = calendar.dates

    def session_upto(target: date) -> date:
        return dates[bisect_right(dates, target) - 1]

    chosen = set(calendar.sessions_between(day, day + timedelta(days=DAILY_DAYS)))
    friday = day + timedelta(days=(4 - day.weekday()) % 7)
    while (friday - day).days <= MONTHLY_DAYS and friday <= dates[-1]:
        third = 15 <= friday.day <= 21
        if third or (friday - day).days <= WEEKLY_DAYS:
            chosen.add(session_upto(friday))
        friday += timedelta(days=7)
    return sorted(d for d in chosen if d >= day)


def contract_code(underlying: str, expiry: date, right: str, strike: float) -> str:
    """The OCC symbol of a contract without padding, for instance SPY250321P00550000."""
    return f"{underlying}{expiry:%y%m%d}{right}{round(strike * 1000):08d}"


@dataclass(frozen=True)
class Moment:
    """The state that a snapshot is priced with.

    ``ts`` in UTC microseconds, ``forward`` the underlying's price, ``expiries`` with their closes (UTC microseconds).
    """

    ts: int
    forward: float
    expiries: list[date]
    expiry_closes: np.ndarray

    @property
    def years(self) -> np.ndarray:
        return np.maximum(self.expiry_closes - self.ts, 60_000_000) / (365.0 * 86_400_000_000)


def listed_strikes(moment: Moment, at_the_money: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strikes and the index of the expiry of each: 1 dollar apart to two months, 5 dollars beyond.

    ``at_the_money`` holds one annual volatility per expiry and sets how far strikes reach.
    """
    strikes, owner = [], []
    for i, (years, atm) in enumerate(zip(moment.years, at_the_money, strict=True)):
        step = 1.0 if years * 365 <= WEEKLY_DAYS + 1 else 5.0
        deviation = max(atm * np.sqrt(years), 0.004)
        low = np.floor(moment.forward * np.exp(-STRIKES_BELOW * deviation) / step)
        high = np.ceil(moment.forward * np.exp(STRIKES_ABOVE * deviation) / step)
        ladder = step * np.arange(max(low, 1.0), high + 1.0)
        strikes.append(ladder)
        owner.append(np.full(len(ladder), i))
    return np.concatenate(strikes), np.concatenate(owner)


def time_of_day_factor(minute: int, session_minutes: int) -> float:
    """Spread against mid-session: 2 in the first 5 minutes, 1.5 to minute 15, 1.6 in the last 5, else 1."""
    if minute < 5:
        return 2.0
    if minute < 15:
        return 1.5
    return 1.6 if minute >= session_minutes - 5 else 1.0


def median_spreads(delta: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Median spread in dollars by absolute delta and calendar days to expiry."""
    row = np.searchsorted(SPREAD_DAYS, np.floor(days + 0.5), side="right")
    return SPREADS[row, np.searchsorted(SPREAD_DELTAS, delta, side="right")]


def quote_chain(
    underlying: str,
    day: date,
    moment: Moment,
    strikes: np.ndarray,
    owner: np.ndarray,
    volatility: np.ndarray,
    *,
    seed: int,
    minute: int,
    session_minutes: int,
    lag_seconds: int,
) -> pl.DataFrame:
    """Quotes of all listed contracts at one moment, as `OptionQuotes`, calls then puts per expiry and strike.

    ``volatility`` is one number per strike: calls and puts share it, so parity holds at mid.
    """
    years = moment.years[owner]
    call, call_delta = black76(moment.forward, strikes, volatility * np.sqrt(years))
    count = len(strikes)
    mid = np.concatenate([call, np.maximum(call - moment.forward + strikes, 0.0)])
    delta = np.concatenate([call_delta, call_delta - 1.0])
    days = np.tile(years * 365.0, 2)
    ordinal, tag = day.toordinal(), f"quote-{minute}"
    noise = normals(stream_key(seed, underlying, tag), ordinal, 4 * count).reshape(2, 2 * count)
    factor = SPREAD_SCALE.get(underlying, 2.0) * time_of_day_factor(minute, session_minutes)
    width = median_spreads(np.abs(delta), days) * factor * np.exp(SPREAD_NOISE * noise[0])
    # Whole cents; rounded to the nearest, because rounding up would double the measured one-cent medians.
    cents = np.maximum(np.rint(width * 100.0), 1.0)
    bid = np.maximum(np.rint(mid * 100.0 - 0.5 * cents), 0.0)
    ask = bid + cents
    size = SIZES[np.searchsorted(SIZE_DELTAS, np.abs(delta), side="right")]
    u = uniforms(stream_key(seed, underlying, f"{tag}-size"), ordinal, 4 * count).reshape(2, 2 * count)
    spread_of_sizes = np.exp(1.2 * (u - 0.5))
    bid_size = np.where(bid > 0, np.maximum(np.rint(size * spread_of_sizes[0]), 1.0), 0.0)
    ask_size = np.maximum(np.rint(size * spread_of_sizes[1]), 1.0)
    interest = np.rint(2000.0 * np.exp(-6.0 * np.abs(np.abs(delta) - 0.3)) * np.exp(0.8 * noise[1]))
    expiry = [moment.expiries[i] for i in owner]
    codes = [
        contract_code(underlying, e, right, k)
        for right in ("C", "P")
        for e, k in zip(expiry, strikes.tolist(), strict=True)
    ]
    frame = pl.DataFrame(
        {
            "contract": codes,
            "expiry": pl.Series(expiry * 2, dtype=pl.Date),
            "strike": np.tile(strikes, 2),
            "right": ["C"] * count + ["P"] * count,
            "bid": bid / 100.0,
            "ask": ask / 100.0,
            "bid_size": bid_size,
            "ask_size": ask_size,
            "iv": np.round(np.tile(volatility, 2), 6),
            "delta": np.round(delta, 6),
            "open_interest": interest,
        }
    ).with_columns(
        provider=pl.lit("sim"),
        underlying=pl.lit(underlying),
        ts=pl.lit(moment.ts, pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        recv_ts=pl.lit(moment.ts + lag_seconds * 1_000_000, pl.Int64)
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC"),
        underlying_price=pl.lit(moment.forward),
    )
    return conform(frame, OptionQuotes).sort("expiry", "strike", "right")


def expiry_closes(calendar: TradingCalendar, expiries: list[date]) -> np.ndarray:
    """Close of each expiry's session, UTC microseconds."""
    return np.array([to_us(calendar.session_bounds(d)[1]) for d in expiries], np.int64)
