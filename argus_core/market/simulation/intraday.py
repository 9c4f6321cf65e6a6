"""Minutes of one session, given its open, close and variance.

Given the variance of every minute, returns are independent normals with mean -variance/2; they are drawn as a Brownian
bridge onto the session's normal shock, which leaves exactly that law. Fat tails and the memory of absolute returns come
from the minute variances alone, so no minute's return says anything about the direction of the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from argus_core.market.schemas import RawBars, conform
from argus_core.market.simulation.parameters import MINUTES, MinuteModel
from argus_core.market.simulation.random import normals, stream_key, uniforms

_MEMORY = 150


@dataclass(frozen=True)
class Activity:
    """What every minute of a session shares across ETFs: normal shocks and variance multipliers, one per minute."""

    shocks: np.ndarray
    multipliers: np.ndarray


@dataclass(frozen=True)
class MinutePath:
    """Log closes of the minutes after ``log_open``, their returns, and the variance of each."""

    log_open: float
    returns: np.ndarray
    variances: np.ndarray


def filtered(shocks: np.ndarray, persistence: float, count: int) -> np.ndarray:
    """A unit-variance AR(1) of ``count`` values from ``count + 150`` standard normal shocks (finite memory)."""
    kernel = np.sqrt(1.0 - persistence**2) * persistence ** np.arange(_MEMORY)
    return np.convolve(shocks, kernel)[_MEMORY : _MEMORY + count]


def activity(seed: int, symbol: str, day: int, count: int, model: MinuteModel = MINUTES) -> Activity:
    """Draw the shared activity of ``count`` minutes of trade date ``day`` (ordinal)."""
    logs = np.zeros(count)
    for k, (persistence, spread) in enumerate(zip(model.persistence, model.spread, strict=True)):
        z = normals(stream_key(seed, symbol, f"slow-{k}"), day, count + _MEMORY)
        logs += spread * filtered(z, persistence, count) - 0.5 * spread**2
    return Activity(normals(stream_key(seed, symbol, "minutes"), day, count), np.exp(logs))


def bridge(
    log_open: float,
    shocks: np.ndarray,
    weights: np.ndarray,
    variance: float,
    shock: float,
    drift: float,
    jumps: np.ndarray,
    places: np.ndarray,
) -> MinutePath:
    """Minutes whose returns sum to ``drift + sqrt(variance) * shock + sum(jumps)``.

    Args:
        log_open: log price before the first minute.
        shocks: standard normals, one per minute.
        weights: positive variance weights, one per minute; normalised here.
        variance: diffusive variance of the whole.
        shock: standard normal of the whole.
        drift: spread over the minutes in proportion to their variance.
        jumps: log jumps (0: none), each put into the minute where the cumulative weight passes its place.
        places: uniform numbers, one per jump.
    """
    share = weights / weights.sum()
    variances = variance * share
    moves = np.sqrt(variances) * shocks
    returns = moves - share * (moves.sum() - np.sqrt(variance) * shock) + share * drift
    active = jumps != 0.0
    if active.any():
        minute = np.searchsorted(np.cumsum(share), places[active]).clip(0, len(share) - 1)
        np.add.at(returns, minute, jumps[active])
    return MinutePath(log_open, returns, variances)


def to_grid(prices: np.ndarray, tick: float) -> np.ndarray:
    """Prices on the tick grid, at least one tick, free of binary dust."""
    steps = np.maximum(np.rint(prices / tick), 1.0)
    per_unit = round(1.0 / tick)
    return (
        steps / per_unit if per_unit * tick == 1.0 or abs(per_unit * tick - 1.0) < 1e-9 else np.round(steps * tick, 9)
    )


def ohlc(
    path: MinutePath, seed: int, symbol: str, day: int, tick: float, model: MinuteModel = MINUTES
) -> dict[str, np.ndarray]:
    """Open, high, low and close on the tick grid.

    A small part of each return happens between two bars; highs and lows are the extremes of a Brownian bridge from open
    to close (Feller 1951: P(max > m) = exp(-2 m (m - x) / v)) of reduced variance, which gives the measured range.
    """
    count = len(path.returns)
    closes = path.log_open + np.cumsum(path.returns)
    before = np.concatenate([[path.log_open], closes[:-1]])
    share = model.between_bars
    z = normals(stream_key(seed, symbol, "between"), day, count)
    between = share * path.returns + np.sqrt(share * (1.0 - share) * path.variances) * z
    between[0] = 0.0
    opens = before + between
    move = closes - opens
    u = uniforms(stream_key(seed, symbol, "range"), day, 2 * count)
    width = -2.0 * model.range_factor * path.variances
    high = opens + 0.5 * (move + np.sqrt(move**2 + width * np.log(u[:count])))
    low = opens + 0.5 * (move - np.sqrt(move**2 + width * np.log(u[count:])))
    o, h, lo, c = (to_grid(np.exp(x), tick) for x in (opens, high, low, closes))
    return {"open": o, "high": np.maximum.reduce([o, h, c]), "low": np.minimum.reduce([o, lo, c]), "close": c}


def volumes(
    path: MinutePath,
    expected: np.ndarray,
    usual_variance: np.ndarray,
    seed: int,
    symbol: str,
    day: int,
    lot: float,
    model: MinuteModel = MINUTES,
) -> np.ndarray:
    """Volume per minute: lognormal around ``expected``, with memory, higher where the minute moves more than usual."""
    count = len(expected)
    size = np.abs(path.returns) / np.sqrt(usual_variance)
    # Mean and sd of the absolute value of a unit-variance t with 7 degrees of freedom.
    moved = np.clip((size - 0.766) / 0.643, -1.2, 6.0)
    z = filtered(normals(stream_key(seed, symbol, "volume"), day, count + _MEMORY), model.volume_memory, count)
    rest = np.sqrt(1.0 - model.volume_on_move**2)
    logs = model.volume_spread * (model.volume_on_move * moved + rest * z) - 0.5 * model.volume_spread**2
    return np.maximum(np.rint(expected * np.exp(logs) / lot), 1.0) * lot


def quotes(closes: np.ndarray, spread_bps: float, tick: float, seed: int, symbol: str, day: int) -> np.ndarray:
    """Bid and ask at the end of every bar, shape (2, minutes): the last trade lies at one side or between them."""
    width = np.maximum(np.rint(closes * spread_bps * 1e-4 / tick), 1.0)
    below = np.floor(uniforms(stream_key(seed, symbol, "quote"), day, len(closes)) * (width + 1.0))
    bid = np.maximum(closes - below * tick, tick)
    return np.stack([to_grid(bid, tick), to_grid(bid + width * tick, tick)])


def longer(minutes: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """Bars of ``seconds`` from minutes, counted from the first minute; a bar never spans sessions."""
    per_bar = seconds // 60
    grouped = (
        minutes.with_columns(group=pl.int_range(pl.len()) // per_bar)
        .group_by("group", maintain_order=True)
        .agg(
            pl.col("provider", "symbol", "ts", "open", "volume_scope").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close", "bid", "ask").last(),
            pl.col("volume").sum(),
            pl.len().alias("count"),
        )
    )
    # The calendar offers only whole bars.
    grouped = grouped.filter(pl.col("count") == per_bar).with_columns(bar_seconds=pl.lit(seconds, pl.Int32))
    return conform(grouped, RawBars)
