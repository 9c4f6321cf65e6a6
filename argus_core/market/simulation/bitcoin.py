"""Bitcoin around the clock, and the ETF that holds it.

Variance lives on UTC days and hours; prices on the two segments of a trade date (close to open, open to close), so that
a trade date can be drawn alone and the session shares SPY's shocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from argus_core.market.simulation.parameters import (
    BITCOIN,
    BTC_FULL_HOUR_VARIANCE,
    BTC_HOUR_VARIANCE,
    BTC_HOUR_VOLUME,
    BTC_WEEKEND_VARIANCE,
    BTC_WEEKEND_VOLUME,
    VARIANCE,
    SymbolModel,
)
from argus_core.market.simulation.random import normals, stream_key
from argus_core.market.simulation.state import (
    DailyPath,
    MarketPath,
    Sessions,
    ar1,
    jump_compensation,
    jump_table,
    overnight_drift,
)
from argus_core.settings import SimulationSettings

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_EPOCH = 719_163  # ordinal of 1970-01-01
OVERNIGHT_SLOTS, SESSION_SLOTS = 10, 4


@dataclass(frozen=True)
class CryptoPath:
    """One crypto symbol: segment paths per session and the log variance of every UTC day from ``first_day``.

    ``overnight`` runs from the previous close to the open, ``session`` from open to close; both are `DailyPath` rows
    whose ``variance`` covers the segment. ``log_start`` is the log price at the previous close.
    """

    first_day: int
    day_level: np.ndarray
    log_start: np.ndarray
    overnight: DailyPath
    session: DailyPath


def hourly_variance(path_level: np.ndarray, first_day: int) -> np.ndarray:
    """Variance of every UTC hour from ``first_day`` on, flat."""
    weekend = ((np.arange(len(path_level)) + first_day - 1) % 7) >= 5
    day = np.exp(path_level) * np.where(weekend, BTC_WEEKEND_VARIANCE, 1.0)
    shares = np.asarray(BTC_HOUR_VARIANCE)
    return (day[:, None] * (shares / shares.sum())).ravel()


def minute_variance(path: CryptoPath, starts: np.ndarray) -> np.ndarray:
    """Variance of the minutes that start at ``starts`` (UTC microseconds), before intraday factors."""
    hour = starts // _HOUR_US - (path.first_day - _EPOCH) * 24
    other = 60.0 / (59.0 + BTC_FULL_HOUR_VARIANCE)
    full_hour = (starts // 60_000_000) % 60 == 0
    scale = np.where(full_hour, BTC_FULL_HOUR_VARIANCE * other, other) / 60.0
    return hourly_variance(path.day_level, path.first_day)[hour] * scale


def minute_volume(starts: np.ndarray, day_volume: float) -> np.ndarray:
    """Expected volume of the minutes that start at ``starts``."""
    shares = np.asarray(BTC_HOUR_VOLUME) / sum(BTC_HOUR_VOLUME)
    weekend = (starts // _DAY_US + _EPOCH - 1) % 7 >= 5
    hour = (starts // _HOUR_US) % 24
    return day_volume * shares[hour] / 60.0 * np.where(weekend, BTC_WEEKEND_VOLUME, 1.0)


def crypto_path(
    settings: SimulationSettings, sessions: Sessions, market: MarketPath, symbol: str, model: SymbolModel
) -> CryptoPath:
    """Draw the path of a crypto symbol over all sessions."""
    days = sessions.ordinals
    first_day = int(sessions.previous_close[0] // _DAY_US + _EPOCH)
    last_day = int(sessions.closes[-1] // _DAY_US + _EPOCH)
    utc_days = np.arange(first_day, last_day + 1)
    z = normals(stream_key(settings.seed, symbol, "variance"), utc_days, 2)
    slow = ar1(z[:, 0], BITCOIN.slow_persistence, BITCOIN.slow_spread)
    fast = ar1(z[:, 1], BITCOIN.fast_persistence, BITCOIN.fast_spread)
    # A UTC day follows what SPY's options said at the last close before it began: nothing of the day itself.
    day_starts = (utc_days - _EPOCH) * _DAY_US
    row = np.searchsorted(sessions.closes, day_starts, side="right") - 1
    fear = np.where(row >= 0, market.iv_after[np.maximum(row, 0)], market.iv_before[0]) - VARIANCE.iv_mean
    level = BITCOIN.level + 2.0 * math.log(model.volatility / 3.0) + BITCOIN.on_iv * fear + slow + fast
    edges = np.concatenate([[0.0], np.cumsum(hourly_variance(level, first_day))])
    origin = (first_day - _EPOCH) * _DAY_US

    def cumulative(ts: np.ndarray) -> np.ndarray:
        return np.interp((ts - origin) / _HOUR_US, np.arange(len(edges)), edges)

    begin, middle, end = (cumulative(t) for t in (sessions.previous_close, sessions.opens, sessions.closes))
    own = normals(stream_key(settings.seed, symbol, "daily"), days, 2)
    segments = []
    plan = (
        ("overnight", middle - begin, market.gap_shock, BITCOIN.overnight_correlation, OVERNIGHT_SLOTS),
        ("session", end - middle, market.shock, BITCOIN.session_correlation, SESSION_SLOTS),
    )
    hours = ((sessions.opens - sessions.previous_close) / _DAY_US, (sessions.closes - sessions.opens) / _DAY_US)
    for k, (name, variance, shared, rho, slots) in enumerate(plan):
        shock = rho * shared + math.sqrt(1.0 - rho**2) * own[:, k]
        # Sizes are in daily standard deviations, so a short segment's are scaled to its length.
        units = jump_table(
            stream_key(settings.seed, symbol, f"jumps-{name}"),
            days,
            BITCOIN.jumps_per_day * hours[k],
            slots,
            0.5,
            BITCOIN.jump_size,
            BITCOIN.jump_size_spread,
        )
        day_sd = np.sqrt(variance / np.maximum(hours[k], 1e-9))
        jumps = jump_compensation(units * day_sd[:, None])
        drift = -0.5 * variance
        segments.append((variance, shock, drift, jumps, drift + np.sqrt(variance) * shock + jumps.sum(axis=1)))
    night, day = segments[0][4], segments[1][4]
    log_close = math.log(model.price) + np.cumsum(night + day)
    log_open, log_start = log_close - day, log_close - day - night
    none = np.zeros(len(days))
    overnight = DailyPath(log_start, log_open, segments[0][0], none, *segments[0][1:4])
    session = DailyPath(log_open, log_close, segments[1][0], none, *segments[1][1:4])
    return CryptoPath(first_day, level, log_start, overnight, session)


def holder_path(settings: SimulationSettings, sessions: Sessions, coin: CryptoPath, model: SymbolModel) -> DailyPath:
    """Daily path of an ETF that holds the coin: the coin's segment returns plus independent tracking noise.

    ``variance``, ``shock`` and ``drift`` are those of the tracking noise in the session; its minutes are the coin's
    plus this noise.
    """
    z = normals(stream_key(settings.seed, "IBIT", "tracking"), sessions.ordinals, 2)
    night, day = 0.5 * BITCOIN.tracking_sd**2, 0.5 * BITCOIN.tracking_sd**2
    gap = coin.overnight.log_close - coin.overnight.log_open
    gap = gap + math.sqrt(night) * z[:, 0] - 0.5 * night + math.log1p(overnight_drift(settings, model))
    variance = np.full(len(gap), day)
    drift = -0.5 * variance
    move = coin.session.log_close - coin.session.log_open + drift + math.sqrt(day) * z[:, 1]
    gap[0] = 0.0
    log_close = math.log(model.price) + np.cumsum(gap + move)
    none = np.zeros((len(gap), 1))
    return DailyPath(log_close - move, log_close, variance, none[:, 0], z[:, 1], drift, none)
