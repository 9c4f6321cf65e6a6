"""Rule regimes of one series: one row per bar (semantics §4).

A regime at row k uses bars up to k and may be seen from that bar's ``available_at`` on. The predecessor stamped it with
the bar's start and released the regime of bar k + 1 at the close of bar k (predecessor §3 A2).
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from argus_core.calendar import UTC_US, TradingCalendar
from argus_core.regimes.lookback import Lookback, session_numbers
from argus_core.regimes.rules import session_returns, trend, volatility_z, volume_percentile
from argus_core.settings import Instrument, RegimeSettings

VOL_LABELS = ("LOW", "NORMAL", "HIGH", "SPIKE")
TREND_LABELS = ("UP", "DOWN", "RANGE")
LIQUIDITY_LABELS = ("HIGH", "NORMAL", "LOW", "DRIED")
#: Bits of ``quality_flags``.
GAP_BEFORE, NOT_WARM = 1, 2
_DAY = 86_400
_BUCKET_MINUTES = 30

#: Columns of a regime frame. Key: provider, symbol, bar_seconds, ts.
REGIME_SCHEMA = pl.Schema(
    {
        "provider": pl.String(),
        "symbol": pl.String(),
        "bar_seconds": pl.Int32(),
        "ts": UTC_US,
        "available_at": UTC_US,
        "vol_regime": pl.String(),
        "trend_regime": pl.String(),
        "liquidity_regime": pl.String(),
        "session": pl.String(),
        "vol_z": pl.Float64(),
        "ema_slope": pl.Float64(),
        "trend_strength": pl.Float64(),
        "volume_percentile": pl.Float64(),
        "quality_flags": pl.Int32(),
        "confidence": pl.Float64(),
        "warm": pl.Boolean(),
        "config_hash": pl.String(),
    }
)


def compute_regimes(
    bars: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    settings: RegimeSettings,
    *,
    anchors: tuple[date, date] | None = None,
) -> pl.DataFrame:
    """Regimes of every bar.

    Args:
        bars: frame of schema `Bars` of **one** series, sorted by ts. For rows that equal those of a longer range give
            the bars of `history_sessions` sessions before the anchors.
        instrument: its hours and bar length set how far back rules look.
        calendar: the trading calendar that assigned the trade dates.
        settings: windows and thresholds.
        anchors: first and last trade date of the rows returned; default: all.

    Returns:
        Frame of `REGIME_SCHEMA`, sorted by ts. Unknown numbers are null; their labels are NORMAL, RANGE, NORMAL and the
        row is not warm.

    Raises:
        ValueError: if bars mix series, are unsorted, or carry trade dates that the calendar does not know.
    """
    for name in ("provider", "symbol", "bar_seconds"):
        if bars[name].n_unique() > 1:
            raise ValueError(
                f"bars: expected one series, found several values of {name}: {sorted(bars[name].unique())}. "
                "Feeds are never mixed: compute regimes per (provider, symbol, bar_seconds)."
            )
    wanted = bars["trade_date"].is_between(*anchors) if anchors else pl.repeat(value=True, n=bars.height, eager=True)
    rows = wanted.arg_true().to_numpy().astype(np.int64)
    if not len(rows):
        return pl.DataFrame(schema=REGIME_SCHEMA)
    back = Lookback.of(settings, instrument)
    sessions = session_numbers(bars, calendar)
    open_, high, low, close, volume = (
        bars[name].cast(pl.Float64).to_numpy() for name in ("open", "high", "low", "close", "volume")
    )
    daily = instrument.bar_seconds >= _DAY
    breaks = None if daily or instrument.hours == "always" else np.flatnonzero(np.diff(sessions, prepend=-1))
    score = volatility_z(
        session_returns(open_, close, breaks),
        sessions,
        np.zeros(len(sessions), np.int64) if daily else _buckets(bars["ts"], instrument),
        window=settings.vol_window,
        own=back.volatility,
        history=back.volatility_history,
    )[rows]
    strength, slope, age = (
        column[rows] for column in trend(high, low, close, sessions, rows, back=back.trend, settings=settings)
    )
    percentile = volume_percentile(volume, sessions, rows, window=back.liquidity_bars, back=back.liquidity)[rows]
    # A daily series lacks a bar where it skips a session; stamps of daily bars differ between exchanges and fixings.
    gap = np.diff(sessions, prepend=-1) > 1 if daily else _gap_before(bars, instrument, calendar)
    gap = gap[rows]
    known = np.isfinite(score) & np.isfinite(strength) & np.isfinite(slope) & np.isfinite(percentile)
    warm = known & (age >= settings.warm_bars)
    chosen = bars if anchors is None else bars.filter(wanted)
    return chosen.select(
        "provider",
        "symbol",
        "bar_seconds",
        "ts",
        "available_at",
        vol_regime=_label(VOL_LABELS, _vol_codes(score, settings)),
        trend_regime=_label(TREND_LABELS, _trend_codes(strength, settings)),
        liquidity_regime=_label(LIQUIDITY_LABELS, _liquidity_codes(percentile, settings)),
        session="session",
        vol_z=_nullable(score),
        ema_slope=_nullable(slope),
        trend_strength=_nullable(np.abs(strength)),
        volume_percentile=_nullable(percentile),
        quality_flags=pl.Series(GAP_BEFORE * gap + NOT_WARM * ~warm),
        confidence=pl.Series(np.where(warm, np.where(gap, 0.8, 1.0), 0.5)),
        warm=pl.Series(warm),
        config_hash=pl.lit(settings.config_hash),
    ).cast(dict(REGIME_SCHEMA))


def history_sessions(settings: RegimeSettings, instrument: Instrument) -> int:
    """Sessions of bars before the anchors that make a partition computed alone equal to the rows of a range."""
    return Lookback.of(settings, instrument).history


def _vol_codes(score: np.ndarray, settings: RegimeSettings) -> np.ndarray:
    return np.select(
        [score > settings.vol_spike_z, score > settings.vol_high_z, score < settings.vol_low_z], [3, 2, 0], 1
    )


def _trend_codes(strength: np.ndarray, settings: RegimeSettings) -> np.ndarray:
    return np.select([strength > settings.trend_strength, strength < -settings.trend_strength], [0, 1], 2)


def _liquidity_codes(percentile: np.ndarray, settings: RegimeSettings) -> np.ndarray:
    return np.select(
        [
            percentile <= settings.liquidity_dried_percentile,
            percentile < settings.liquidity_low_percentile,
            percentile > settings.liquidity_high_percentile,
        ],
        [3, 2, 0],
        1,
    )


def _label(labels: tuple[str, ...], codes: np.ndarray) -> pl.Series:
    return pl.Series(labels, dtype=pl.String).gather(codes)


def _nullable(values: np.ndarray) -> pl.Series:
    return pl.Series(np.where(np.isfinite(values), values, np.nan)).fill_nan(None)


def _buckets(ts: pl.Series, instrument: Instrument) -> np.ndarray:
    """Half hour of the day: New York time for session instruments, UTC around the clock."""
    local = ts if instrument.hours == "always" else ts.dt.convert_time_zone("America/New_York")
    minutes = local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute().cast(pl.Int64)
    return (minutes // _BUCKET_MINUTES).to_numpy()


def _gap_before(bars: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar) -> np.ndarray:
    """Whether the calendar offers a bar just before each row that the series lacks; true for the first row of all."""
    ts = bars["ts"].dt.timestamp("us").to_numpy()
    # The slot before the first bar may lie in the session before.
    number = max(int(session_numbers(bars.head(1), calendar)[0]) - 1, 0)
    grid = calendar.bar_grid(instrument, calendar.dates[number], bars["trade_date"][-1])
    before = np.searchsorted(grid, ts, side="left") - 1
    slot = grid[np.maximum(before, 0)]
    at = np.searchsorted(ts, slot, side="left")
    present = (at < len(ts)) & (ts[np.minimum(at, len(ts) - 1)] == slot)
    return (before >= 0) & ~present
