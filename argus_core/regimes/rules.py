"""The quantities behind the rule regimes: volatility z-score, trend strength, volume percentile."""

from __future__ import annotations

import numpy as np

from argus_core.features import atr_wilder, ema, rolling_volatility
from argus_core.outcomes.moments import combine, limbs
from argus_core.regimes.lookback import first_rows
from argus_core.settings import RegimeSettings

#: Rolling volatilities below a hundredth of a basis point per bar count as that: no move at all has no logarithm.
_VOL_FLOOR = 1e-6
#: Smallest standard deviation of log volatility, so that a constant past gives a z-score and not a division by zero.
_SPREAD_FLOOR = 1e-6


def session_returns(open_: np.ndarray, close: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
    """Log return into every bar, (n,). At ``starts`` (first rows of sessions) from the bar's own open.

    The overnight gap is a return of another clock: inside a rolling window of minutes it would read as a spike every
    morning. ``starts`` is None where there is no break (24/7, daily bars); then the first row has none (NaN).
    """
    before = np.concatenate([[np.nan], close[:-1]])
    if starts is not None:
        before[starts] = open_[starts]
    with np.errstate(all="ignore"):
        return np.log(close / before)


def volatility_z(
    returns: np.ndarray, sessions: np.ndarray, buckets: np.ndarray, *, window: int, own: int, history: int
) -> np.ndarray:
    """z-score of log rolling volatility against the same bucket of the day in earlier sessions, (n,).

    Intraday volatility is U-shaped; against its last hours every morning is a spike. Here the past of a bar is the same
    half hour in the ``history`` sessions before its own, so the score says what is unusual for the time of day.

    Args:
        returns: log returns (n,).
        sessions: ascending session number of every row (n,).
        buckets: bucket of the day of every row, small integers (n,).
        window: bars of the rolling volatility.
        own: sessions before a row's own that its rolling window may reach into.
        history: sessions of the past.

    Returns:
        NaN where the window is not full or fewer than a quarter of the past sessions have a value.
    """
    rows = np.arange(len(returns))
    volatility = rolling_volatility(returns, window)
    usable = (rows - window >= first_rows(sessions, own)) & np.isfinite(volatility)
    level = np.log(np.where(usable, np.maximum(volatility, _VOL_FLOOR), 1.0))
    numbers = sessions - sessions[0]
    shape = (int(numbers[-1]) + 2, int(buckets.max()) + 1)
    cells = (numbers[usable] + 1, buckets[usable])
    columns = []
    for values in (np.ones(int(usable.sum()), np.int64), *limbs(level[usable])):
        total = np.zeros(shape, np.int64)
        np.add.at(total, cells, values)
        columns.append(total)
    columns.append((columns[0] > 0).astype(np.int64))
    # Exact integer prefix sums over sessions: the past of a row has the same sums wherever the series starts.
    prefix = [np.cumsum(total, axis=0) for total in columns]
    first = np.maximum(numbers - history, 0)
    past = [total[numbers, buckets] - total[first, buckets] for total in prefix]
    mean, spread = combine(*past[:6])
    enough = past[6] >= -(-history // 4)
    score = (level - mean) / np.maximum(spread, _SPREAD_FLOOR)
    return np.where(usable & enough, score, np.nan)


def trend(
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    sessions: np.ndarray,
    anchors: np.ndarray,
    *,
    back: int,
    settings: RegimeSettings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(EMA fast - EMA slow) / ATR, change of EMA fast / ATR, and bars since the averages started, each (n,).

    For every session the averages start anew ``back`` sessions earlier, so that they never depend on how much history
    is at hand. Rows outside ``anchors`` (sorted row numbers, whole sessions) stay NaN.
    """
    strength, slope = np.full(len(close), np.nan), np.full(len(close), np.nan)
    age = np.zeros(len(close), np.int64)
    for session in np.unique(sessions[anchors]).tolist():
        begin, start, stop = np.searchsorted(sessions, [session - back, session, session + 1]).tolist()
        fast, slow = ema(close[begin:stop], settings.ema_fast), ema(close[begin:stop], settings.ema_slow)
        unit = atr_wilder(high[begin:stop], low[begin:stop], close[begin:stop], settings.atr_window)
        unit = np.where(unit > 1e-9 * close[begin:stop], unit, np.nan)
        mine = slice(start - begin, stop - begin)
        strength[start:stop] = ((fast - slow) / unit)[mine]
        slope[start:stop] = (np.diff(fast, prepend=np.nan) / unit)[mine]
        age[start:stop] = np.arange(start - begin, stop - begin) + 1
    return strength, slope, age


def volume_percentile(
    volume: np.ndarray, sessions: np.ndarray, anchors: np.ndarray, *, window: int, back: int
) -> np.ndarray:
    """Mid-rank (0..1) of a bar's volume among the up to ``window`` bars before it, not from before ``back`` sessions.

    NaN with fewer than half a window of bars, and for rows before the first of ``anchors``. 0.5 where all are equal.
    """
    out = np.full(len(volume), np.nan)
    begin = int(anchors[0])
    reach = np.minimum(np.arange(len(volume)) - first_rows(sessions, back), window)[begin:]
    current = volume[begin:]
    twice = np.zeros(len(current), np.int32)
    for step in range(1, min(window, begin + len(current) - 1) + 1):
        skip = max(step - begin, 0)  # rows that have no bar `step` before them
        earlier = volume[begin + skip - step : len(volume) - step]
        inside = step <= reach[skip:]
        twice[skip:] += (earlier < current[skip:]) & inside
        twice[skip:] += (earlier <= current[skip:]) & inside
    with np.errstate(all="ignore"):
        out[begin:] = np.where(reach >= -(-window // 2), twice / (2.0 * reach), np.nan)
    return out
