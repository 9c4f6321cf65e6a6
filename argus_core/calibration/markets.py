"""Markets without an edge, and the same markets with one planted.

Three sources of null markets (semantics §8):

* ``simulated``: the embedded market in its null mode (a martingale with volatility clustering, gaps, a session shape);
* ``signs``: real bars whose returns get a fresh random sign each. Sizes, their clustering and the session shape stay;
  the sign of nothing can be predicted;
* ``blocks``: real sessions, demeaned by time of day, in blocks drawn anew (stationary bootstrap, mean ten sessions),
  nights and days by two independent paths. The serial dependence of each stays, what days say of their nights is gone.

An edge is planted by letting the price drift between sessions: `with_night_drift`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.schemas import RawBars, conform, empty
from argus_core.settings import Instrument

MarketSource = Literal["simulated", "signs", "blocks"]
_PRICES = ("open", "high", "low", "close")
#: Mean block of ``blocks``, sessions.
_BLOCK = 10.0


@dataclass(frozen=True)
class RealSessions:
    """Real sessions as log offsets: open, high, low, close of every bar against the close before it.

    ``offsets``: (sessions, bars, 4); the first bar's reference is the last close of the session before. ``volumes``:
    (sessions, bars).
    """

    offsets: np.ndarray
    volumes: np.ndarray

    def redrawn(self, source: MarketSource, sessions: int, seed: int) -> RealSessions:
        """``sessions`` sessions without an edge (see the module).

        Raises:
            ValueError: on another source than ``signs`` or ``blocks``.
        """
        known, bars, _ = self.offsets.shape
        # Philox counts: the same numbers on every platform.
        draw = np.random.Generator(np.random.Philox(seed))
        if source == "signs":
            rows = (int(draw.integers(known)) + np.arange(sessions)) % known
            offsets = self.offsets[rows]
            flipped = draw.random((sessions, bars)) < 0.5
            mirrored = -offsets[:, :, [0, 2, 1, 3]]
            return RealSessions(np.where(flipped[:, :, None], mirrored, offsets), self.volumes[rows])
        if source == "blocks":
            centred = _demeaned(self.offsets)
            days, nights = _block_path(draw, known, sessions), _block_path(draw, known, sessions)
            offsets = centred[days].copy()
            # The night of another session, and this session's first bar on top of it.
            offsets[:, 0] += (centred[nights, 0, 0] - offsets[:, 0, 0])[:, None]
            return RealSessions(offsets, self.volumes[days])
        raise ValueError(f"source {source!r} has no real sessions to redraw; known: signs, blocks")


@dataclass(frozen=True)
class SessionTape:
    """Raw bars by trade date; what a rehearsal reads. Daily references and option chains are empty."""

    by_date: dict[date, pl.DataFrame]

    def bars(self, instrument: Instrument, day: date) -> pl.DataFrame:
        return self.by_date.get(day, empty(RawBars))

    def references(self, symbols: object, day: date) -> pl.DataFrame:
        return empty(RawBars)

    def option_quotes(self, underlying: str, day: date) -> pl.DataFrame:
        return pl.DataFrame()


def real_sessions(bars: pl.DataFrame, calendar: TradingCalendar, instrument: Instrument) -> RealSessions:
    """Whole sessions of real bars, aggregated to the instrument's bar length.

    Args:
        bars: ts, open, high, low, close, volume of one symbol, no longer than the instrument's bars; bars outside the
            regular session are left out, and so are sessions with holes, short ones, and those after a session that is
            left out or absent: their gap is longer than a night.

    Raises:
        ValueError: if fewer than 60 whole sessions are left.
    """
    seconds = instrument.bar_seconds
    dated = bars.sort("ts").with_columns(calendar.trade_dates(bars.sort("ts")["ts"], instrument).alias("trade_date"))
    days = dated["trade_date"].drop_nulls().unique().sort().to_list()
    bounds = pl.DataFrame(
        {
            "trade_date": days,
            "_open": [calendar.session_bounds(day)[0] for day in days],
            "_close": [calendar.session_bounds(day)[1] for day in days],
        }
    ).with_columns(pl.col("_open", "_close").cast(pl.Datetime("us", "UTC")))
    inside = dated.join(bounds, on="trade_date").filter(
        (pl.col("ts") >= pl.col("_open")) & (pl.col("ts") < pl.col("_close"))
    )
    slot = ((pl.col("ts") - pl.col("_open")).dt.total_seconds() // seconds).alias("slot")
    coarse = (
        inside.group_by("trade_date", slot, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .sort("trade_date", "slot")
    )
    full = coarse["slot"].max()
    count = 0 if full is None else int(str(full)) + 1
    whole = coarse.filter(pl.len().over("trade_date") == count)
    numbers = pl.DataFrame({"trade_date": calendar.dates}).with_row_index("_number")
    held = whole.select("trade_date").unique().join(numbers, on="trade_date").sort("_number")["_number"].to_numpy()
    # A gap over days that are missing is no night: a hole of months would be the wildest of them all.
    follows = np.diff(held.astype(np.int64), prepend=-2) == 1
    sessions = int(follows.sum())
    if sessions < 60:
        raise ValueError(
            f"real bars: only {sessions} whole sessions of {seconds} s bars in a row; at least 60 are needed to redraw "
            "from. Give a longer history, or leave out the sources signs and blocks."
        )
    prices = np.log(whole.select(_PRICES).to_numpy()).reshape(-1, count, 4)
    closes = prices[:, :, 3].reshape(-1)
    before = np.concatenate([[prices[0, 0, 0]], closes[:-1]]).reshape(-1, count)
    volumes = whole["volume"].to_numpy().reshape(-1, count)
    return RealSessions((prices - before[:, :, None])[follows], volumes[follows])


def tape_of(
    redrawn: RealSessions, calendar: TradingCalendar, instrument: Instrument, sessions: list[date], price: float = 100.0
) -> SessionTape:
    """Bars of redrawn sessions on the calendar's ``sessions``; a short session takes the first bars of its draw."""
    seconds, level = instrument.bar_seconds, math.log(price)
    found = {}
    for number, day in enumerate(sessions):
        opens, closes = calendar.session_bounds(day)
        count = min(math.ceil((closes - opens).total_seconds() / seconds), redrawn.offsets.shape[1])
        offsets = redrawn.offsets[number, :count]
        before = level + np.concatenate([[0.0], np.cumsum(offsets[:, 3])[:-1]])
        level = before[-1] + offsets[-1, 3]
        prices = np.exp(before[:, None] + offsets)
        tick = instrument.tick
        prices = np.maximum(np.round(prices / tick) * tick, tick)
        start = np.datetime64(opens.replace(tzinfo=None), "us")
        frame = pl.DataFrame(
            {
                "ts": pl.Series(start + np.arange(count) * np.timedelta64(seconds, "s")).dt.replace_time_zone("UTC"),
                **{name: prices[:, k] for k, name in enumerate(_PRICES)},
                "volume": redrawn.volumes[number, :count].astype(np.float64),
                "provider": "sim",
                "symbol": instrument.symbol,
                "bar_seconds": pl.Series([seconds] * count, dtype=pl.Int32),
                "bid": pl.Series([None] * count, dtype=pl.Float64),
                "ask": pl.Series([None] * count, dtype=pl.Float64),
                "volume_scope": "sip",
            }
        )
        found[day] = conform(frame, RawBars)
    return SessionTape(found)


def with_night_drift(bars: pl.DataFrame, drift: float) -> pl.DataFrame:
    """``bars`` (with trade_date) with ``drift`` (log return) added to the gap before every session but the first."""
    number = (pl.col("trade_date").rank("dense") - 1).cast(pl.Float64)
    factor = (number * drift).exp()
    quotes = [c for c in ("bid", "ask") if c in bars.columns]
    return bars.with_columns([(pl.col(c) * factor).alias(c) for c in (*_PRICES, *quotes)])


def _demeaned(offsets: np.ndarray) -> np.ndarray:
    """Offsets without the mean move of each time of day, opens and closes; highs and lows stay outside of both."""
    centred = offsets.copy()
    centred[:, :, 0] -= offsets[:, :, 0].mean(axis=0)
    means = offsets[:, :, 3].mean(axis=0)
    centred[:, :, 1:] -= means[None, :, None]
    ends = centred[:, :, [0, 3]]
    centred[:, :, 1] = np.maximum(centred[:, :, 1], ends.max(axis=2))
    centred[:, :, 2] = np.minimum(centred[:, :, 2], ends.min(axis=2))
    return centred


def _block_path(draw: np.random.Generator, known: int, sessions: int) -> np.ndarray:
    """Stationary bootstrap of session numbers (Politis & Romano 1994)."""
    restart = draw.random(sessions) < 1.0 / _BLOCK
    restart[0] = True
    first = draw.integers(0, known, sessions)
    step = np.arange(sessions)
    position = np.maximum.accumulate(np.where(restart, step, 0))
    return (first[position] + step - position) % known
