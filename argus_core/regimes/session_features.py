"""Features of sessions for strategies and studies, no votes: extreme moves that excite each other, signatures, widths.

What is learnt (thresholds, the shape of the day, Hawkes parameters, units) comes from the months **before** a row's
month and stands still through it; a row then adds what happened up to its own session.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.regimes.hawkes import business_times, fit_hawkes, hawkes_intensity
from argus_core.regimes.mfdfa import SMALLEST_SERIES, surrogate_width
from argus_core.regimes.signatures import lead_lag, log_signature_2, with_time
from argus_core.settings import ModelRegimeSettings

_DAY = 86_400
#: Buckets of the session in which the share of extreme bars is learnt.
_BUCKETS = 16
#: Of the bars at most so many are extreme: of few bars (daily ones) the wanted number would be most of them.
_LARGEST_SHARE = 0.1


class Moves(NamedTuple):
    """Moves of bars inside sessions, arrays (m,) in time order: row of the session table, middle of the bar in seconds
    from the session's open, and absolute log return."""

    session: np.ndarray
    seconds: np.ndarray
    size: np.ndarray
    bar_seconds: int


def bar_moves(bars: pl.DataFrame, sessions: pl.DataFrame, calendar: TradingCalendar) -> Moves:
    """Moves of every bar: from the close before it in its session, the first from its own open.

    The gap over night is no move of a bar. Of bars of a day or more, the session's close-to-close return is the move.
    """
    width = int(bars["bar_seconds"][0])
    numbered = sessions.select("trade_date", pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    if width >= _DAY:
        size = sessions["log_return"].abs().fill_null(np.nan).to_numpy()
        seen = np.flatnonzero(np.isfinite(size))
        return Moves(seen, np.zeros(len(seen)), size[seen], width)
    opens = calendar.sessions.select(trade_date="date", opened="open_ts")
    found = (
        bars.select("ts", "trade_date", "open", "close")
        .join(numbered, on="trade_date", how="left", maintain_order="left")
        .join(opens, on="trade_date", how="left", maintain_order="left")
        .select(
            "row",
            seconds=(pl.col("ts") - pl.col("opened")).dt.total_seconds() + width / 2,
            size=(pl.col("close") / pl.coalesce(pl.col("close").shift(1).over("trade_date"), pl.col("open")))
            .log()
            .abs(),
        )
        .filter(pl.col("size").is_finite())
    )
    return Moves(found["row"].to_numpy(), found["seconds"].to_numpy(), found["size"].to_numpy(), width)


def hawkes_features(
    moves: Moves, begin: int, middle: int, end: int, settings: ModelRegimeSettings
) -> tuple[np.ndarray, float]:
    """Intensity of extreme bars at the end of sessions ``middle``..``end`` - 1, events a session, and branching ratio.

    Threshold, shape of the session and parameters come from sessions ``begin``..``middle`` - 1. Time runs in sessions,
    one a session, without nights, in business time.

    Returns:
        Intensity (end - middle,) and the ratio; NaN with too few sessions or events, or without convergence.
    """
    unknown = np.full(end - middle, np.nan), np.nan
    horizon = middle - begin
    first, split, last = np.searchsorted(moves.session, [begin, middle, end])
    past = moves.size[first:split]
    count = int(min(settings.extremes_per_session * horizon, _LARGEST_SHARE * len(past)))
    if horizon < settings.min_sessions or not 10 <= count < len(past):
        return unknown
    # Strictly above the next smaller one: ties of ticks make fewer events, never more.
    threshold = np.partition(past, len(past) - count - 1)[len(past) - count - 1]
    chosen = first + np.flatnonzero(moves.size[first:last] > threshold)
    learnt = moves.seconds[first:split]
    low, length = learnt.min() - moves.bar_seconds / 2, np.ptp(learnt) + moves.bar_seconds
    inside = np.clip(moves.seconds[chosen] - low, moves.bar_seconds / 2, length - moves.bar_seconds / 2)
    earlier = chosen < split
    counts = np.histogram(inside[earlier], _BUCKETS, (0.0, length))[0]
    days = business_times(inside, 1.0 + counts, length) / length
    times = moves.session[chosen] - begin + days
    fit = fit_hawkes(times[earlier], float(horizon))
    if fit is None or not fit.converged:
        return unknown
    ends = np.arange(middle, end) - begin + 1.0
    return hawkes_intensity(ends, times, fit.mu, fit.alpha, fit.beta), fit.branching


def signature_features(returns: np.ndarray, middle: int, settings: ModelRegimeSettings) -> np.ndarray:
    """Log-signature of the window of sessions that ends with each of ``middle``.. , (len(returns) - middle, 3).

    Path: cumulative log return, in units of (standard deviation of ``returns[:middle]``) x sqrt(window). Columns:
    increment; area with time (positive: what was won came late); area of lead and lag (half the quadratic variation).
    With the shuffle product they give every term to level 2 of both paths. NaN where a return of the window is missing
    or too few lie before ``middle``.
    """
    window = settings.signature_sessions
    found = np.full((len(returns) - middle, 3), np.nan)
    known = returns[:middle][np.isfinite(returns[:middle])]
    first = max(middle, window - 1)
    if len(known) < settings.min_sessions or first >= len(returns) or not (unit := known.std(ddof=1)) > 0:
        return found
    windows = np.lib.stride_tricks.sliding_window_view(returns, window)[first - window + 1 :]
    steps = np.concatenate([np.zeros((len(windows), 1)), windows / (unit * np.sqrt(window))], axis=1)
    path = np.cumsum(steps, axis=1)[..., None]
    timed, doubled = log_signature_2(with_time(path)), log_signature_2(lead_lag(path))
    found[first - middle :] = np.stack([timed[:, 1], timed[:, 2], doubled[:, 2]], axis=1)
    return found


def width_features(returns: np.ndarray, seed: int, settings: ModelRegimeSettings) -> tuple[float, float]:
    """Multifractal width of ``returns`` minus that of its surrogates, and its z-score among them; NaN with too few."""
    known = returns[np.isfinite(returns)]
    if len(known) < max(SMALLEST_SERIES, settings.min_sessions):
        return np.nan, np.nan
    found = surrogate_width(known, draws=settings.mfdfa_surrogates, seed=seed)
    return (np.nan, np.nan) if found is None else (found.excess, found.z)
