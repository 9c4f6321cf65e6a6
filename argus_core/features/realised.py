"""Realised volatility of daily bars: seven estimators, one window at a time or rolling, and why there is none.

With o = ln(open / previous close), c = ln(close / open), u = ln(high / open), d = ln(low / open) and r = o + c, the
variance per session over a window of n:

* close to close: sample variance of r. Zero mean: mean of r^2.
* Parkinson, Journal of Business 53 (1980): mean of (u - d)^2 / (4 ln 2). Without the night.
* Garman and Klass, Journal of Business 53 (1980): mean of (u - d)^2 / 2 - (2 ln 2 - 1) c^2. Without the night.
* Rogers and Satchell, Annals of Applied Probability 1 (1991): mean of u (u - c) + d (d - c). Free of drift; without
  the night.
* Yang and Zhang, Journal of Business 73 (2000): var(o) + k var(c) + (1 - k) Rogers-Satchell, k = .34 / (1.34 +
  (n + 1)/(n - 1)). Free of drift, with the night: the default.

A range is measured on trades: discrete sampling makes it, and the estimators from it, too small. Compare ranges of one
bar length only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Estimator = Literal[
    "close_to_close", "zero_mean", "parkinson", "garman_klass", "rogers_satchell", "yang_zhang", "overnight"
]

#: Why a window has no realised volatility.
SHORT_WINDOW: Final = "fewer sessions than the window and the close before it"
BAD_BAR: Final = "a price in the window is missing, not above zero, or outside its bar's range"
NO_MOVEMENT: Final = "no price moved in the window"
STALE: Final = "a gap between sessions is too long"


class LogBars(NamedTuple):
    """Log ratios of bars, sessions on the last axis: o, c, u, d of the module's notes and r = o + c."""

    night: Floats
    day: Floats
    up: Floats
    down: Floats
    total: Floats


def log_bars(open: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, previous_close: ArrayLike) -> LogBars:
    """Log ratios of daily bars; NaN in every field of a bar that cannot be: None, NaN, zero, negative, out of range.

    Args:
        open, high, low, close, previous_close: shape (n,), prices of one adjustment.
    """
    o, h, lo, c, p = (np.asarray(v, dtype=np.float64) for v in (open, high, low, close, previous_close))
    with np.errstate(invalid="ignore"):
        good = (lo > 0) & (p > 0) & (lo <= np.minimum(o, c)) & (h >= np.maximum(o, c)) & np.isfinite(h) & np.isfinite(p)
    o, h, lo, c, p = (np.where(good, v, np.nan) for v in (o, h, lo, c, p))
    night, day = np.log(o / p), np.log(c / o)
    return LogBars(night, day, np.log(h / o), np.log(lo / o), np.log(c / p))


def _mean(windows: Floats) -> Floats:
    """Mean along the last axis, summed oldest to newest: the same bits for one window and for many."""
    total = np.zeros(windows.shape[:-1])
    for step in range(windows.shape[-1]):
        total = total + windows[..., step]
    return total / windows.shape[-1]


def _sample_variance(windows: Floats) -> Floats:
    n = windows.shape[-1]
    return _mean((windows - _mean(windows)[..., None]) ** 2) * (n / (n - 1))


def _rogers_satchell(bars: LogBars) -> Floats:
    return _mean(bars.up * (bars.up - bars.day) + bars.down * (bars.down - bars.day))


def _yang_zhang(bars: LogBars) -> Floats:
    n = bars.day.shape[-1]
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    return _sample_variance(bars.night) + k * _sample_variance(bars.day) + (1 - k) * _rogers_satchell(bars)


def garman_klass_terms(bars: LogBars) -> Floats:
    """Garman and Klass' variance of every session alone, without the night; not below zero."""
    return np.maximum(0.5 * (bars.up - bars.down) ** 2 - (2 * np.log(2) - 1) * bars.day**2, 0.0)


#: Variance per session of windows: `LogBars` with shape (..., n) to shape (...).
ESTIMATORS: Final[Mapping[Estimator, Callable[[LogBars], Floats]]] = MappingProxyType(
    {
        "close_to_close": lambda bars: _sample_variance(bars.total),
        "zero_mean": lambda bars: _mean(bars.total**2),
        "parkinson": lambda bars: _mean((bars.up - bars.down) ** 2) / (4 * np.log(2)),
        "garman_klass": lambda bars: _mean(0.5 * (bars.up - bars.down) ** 2 - (2 * np.log(2) - 1) * bars.day**2),
        "rogers_satchell": _rogers_satchell,
        "yang_zhang": _yang_zhang,
        "overnight": lambda bars: _mean(bars.night**2),
    }
)


def rolling_variance(bars: LogBars, window: int, estimator: Estimator = "yang_zhang") -> Floats:
    """Variance per session over the last ``window`` sessions, at every session.

    A value depends on its window alone, to the last bit.

    Returns:
        Shape (n,); NaN where the window is not full, holds a bar without log ratios, or nothing moved in it.

    Raises:
        ValueError: if the window is shorter than 2 sessions or the estimator is not known.
    """
    if window < 2:
        raise ValueError(f"window {window}: realised volatility needs at least 2 sessions.")
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator {estimator!r}: choose one of {', '.join(ESTIMATORS)}.")
    found = np.full(len(bars.total), np.nan)
    if len(found) >= window:
        windows = LogBars(*(np.lib.stride_tricks.sliding_window_view(field, window) for field in bars))
        found[window - 1 :] = ESTIMATORS[estimator](windows)
    with np.errstate(invalid="ignore"):
        # A variance of zero is a market that did not trade, not a calm one.
        return np.where(found > 0, found, np.nan)


def rolling_reasons(bars: LogBars, window: int, gap_days: ArrayLike, max_gap_days: float) -> list[str | None]:
    """Why `rolling_variance` has no value worth using at every session; None where it has.

    Args:
        gap_days: calendar days from the session before to each session, shape (n,); NaN where there is none.
        max_gap_days: longest gap inside a window, or before its first session, whose night it would be.
    """
    n = len(bars.total)
    if n < window:
        return [SHORT_WINDOW] * n
    gaps = np.nan_to_num(np.asarray(gap_days, dtype=np.float64), nan=0.0)
    view = np.lib.stride_tricks.sliding_window_view
    bad = view(~np.isfinite(bars.total), window).any(axis=1)
    still = np.zeros(n - window + 1, bool)
    for field in bars:
        still |= view(field != 0, window).any(axis=1)
    long = view(gaps > max_gap_days, window).any(axis=1)
    words = np.select([bad, ~still, long], [BAD_BAR, NO_MOVEMENT, STALE], default="")
    return [SHORT_WINDOW] * (window - 1) + [str(word) or None for word in words]


class IntradayVariance(NamedTuple):
    """Variance of one session from its intraday returns, sums (not annualised, without the night).

    Attributes:
        realised: sum of squares.
        bipower: robust to jumps. Barndorff-Nielsen and Shephard, Journal of Financial Econometrics 2 (2004).
        median, minimum: medRV and minRV, more robust. Andersen, Dobrev and Schaumburg, Journal of Econometrics 169
            (2012).
        jump_share: max(0, 1 - bipower / realised).
    """

    realised: float
    bipower: float
    median: float
    minimum: float
    jump_share: float


def intraday_variance(returns: ArrayLike) -> IntradayVariance:
    """Realised variance of one session and its jump-robust twins.

    Args:
        returns: log returns of equal intervals, shape (n,).

    Returns:
        All NaN if a return is missing or not finite, or with fewer than 3 returns.
    """
    r = np.abs(np.asarray(returns, dtype=np.float64))
    n = r.size
    if n < 3 or not np.isfinite(r).all():
        return IntradayVariance(*[float("nan")] * 5)
    realised = float((r * r).sum())
    bipower = float(np.pi / 2 * n / (n - 1) * (r[1:] * r[:-1]).sum())
    triples = np.median(np.stack([r[:-2], r[1:-1], r[2:]]), axis=0)
    median = float(np.pi / (6 - 4 * np.sqrt(3) + np.pi) * n / (n - 2) * (triples * triples).sum())
    pairs = np.minimum(r[1:], r[:-1])
    minimum = float(np.pi / (np.pi - 2) * n / (n - 1) * (pairs * pairs).sum())
    share = max(0.0, 1.0 - bipower / realised) if realised > 0 else float("nan")
    return IntradayVariance(realised, bipower, median, minimum, share)


def har_forecast(
    variance: ArrayLike, horizon: int, *, fit_sessions: int = 504, min_rows: int = 60, lags: tuple[int, int] = (5, 22)
) -> Floats:
    """Forecast of the mean variance per session over the next ``horizon`` sessions, made at the end of every session.

    Least squares of that mean on the variance of the day, of the week and of the month (Corsi, Journal of Financial
    Econometrics 7, 2009), fitted at each session on the last ``fit_sessions`` rows whose future has passed, and kept
    inside the range of the means it was fitted on. Entry t does not change with entries after t.

    Args:
        variance: variance of every session, night included, shape (n,); NaN where unknown.
        min_rows: fewest rows for a fit.
        lags: sessions of the week and the month.

    Returns:
        Shape (n,), NaN where the month holds a NaN or too few rows are known.

    Raises:
        ValueError: if the horizon is below 1, or ``min_rows`` cannot determine four coefficients.
    """
    if horizon < 1 or min_rows < 8:
        raise ValueError(f"horizon {horizon} must be at least 1 and min_rows {min_rows} at least 8.")
    v = np.asarray(variance, dtype=np.float64)
    n = len(v)
    found = np.full(n, np.nan)
    week, month = (trailing_mean(v, lag) for lag in lags)
    rows = np.column_stack([np.ones(n), v, week, month])
    future = np.full(n, np.nan)
    future[: max(n - horizon, 0)] = trailing_mean(v, horizon)[horizon:]
    usable = np.isfinite(rows).all(axis=1)
    known = usable & np.isfinite(future)
    for t in np.flatnonzero(usable):
        # The future of row s ends at s + horizon: only rows up to t - horizon are known at t.
        past = slice(max(t - horizon + 1 - fit_sessions, 0), max(t - horizon + 1, 0))
        chosen = np.flatnonzero(known[past]) + past.start
        if len(chosen) < min_rows:
            continue
        target = future[chosen]
        # Scaled by the mean, so that lstsq judges rank on numbers near one.
        unit = target.mean()
        if not unit > 0:
            continue
        scale = np.array([1.0, unit, unit, unit])
        beta, *_ = np.linalg.lstsq(rows[chosen] / scale, target / unit, rcond=None)
        found[t] = np.clip(unit * float(rows[t] / scale @ beta), target.min(), target.max())
    return found


def trailing_mean(values: Floats, window: int) -> Floats:
    """Mean of the last ``window`` values at every one, (n,); NaN where the window is not full or holds a NaN."""
    found = np.full(len(values), np.nan)
    if len(values) >= window:
        found[window - 1 :] = _mean(np.lib.stride_tricks.sliding_window_view(values, window))
    return found
