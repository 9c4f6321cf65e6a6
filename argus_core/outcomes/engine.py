"""Outcomes: forward return, path extremes and realised volatility after every bar (semantics §3).

The engine is linear: window ends by binary search, extremes by a sparse table, volatility by exact prefix sums.
It is a pure function of bars, calendar and settings; a partition computed alone equals the slice of a range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from argus_core.calendar import UTC_US, TradingCalendar, from_us
from argus_core.outcomes.moments import ExactSums
from argus_core.outcomes.windows import first_maximum
from argus_core.settings import Instrument, OutcomeSettings

STATUSES = ("OK", "GAP", "INCOMPLETE")
_OK, _GAP, _INCOMPLETE = 0, 1, 2
_SECOND = 1_000_000
_DAY = 86_400

#: Columns of an outcome frame. Key: provider, symbol, bar_seconds, ts, horizon_seconds, outcome_version.
OUTCOME_SCHEMA = pl.Schema(
    {
        "provider": pl.String(),
        "symbol": pl.String(),
        "bar_seconds": pl.Int32(),
        "ts": UTC_US,
        "horizon_seconds": pl.Int32(),
        "outcome_version": pl.String(),
        "status": pl.String(),
        "close_ref": UTC_US,
        "window_end": UTC_US,
        "close": pl.Float64(),
        "close_at_horizon": pl.Float64(),
        "fwd_return": pl.Float64(),
        "max_runup": pl.Float64(),
        "max_drawdown": pl.Float64(),
        "max_high": pl.Float64(),
        "min_low": pl.Float64(),
        "max_runup_ts": UTC_US,
        "max_drawdown_ts": UTC_US,
        "seconds_to_max_runup": pl.Int32(),
        "seconds_to_max_drawdown": pl.Int32(),
        "realized_vol": pl.Float64(),
        "realized_vol_annual": pl.Float64(),
        "bars_expected": pl.Int32(),
        "bars_found": pl.Int32(),
        "gap_count": pl.Int32(),
    }
)


def compute_outcomes(
    bars: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    settings: OutcomeSettings,
    *,
    anchors: tuple[date, date] | None = None,
    watermark_us: int | None = None,
) -> pl.DataFrame:
    """Outcomes of every anchor bar at every horizon.

    Args:
        bars: frame of schema `Bars` of **one** series, sorted by ts, not overlapping; it may reach beyond the anchors,
            and must hold every known bar up to the watermark (see `sessions_ahead`).
        instrument: its hours and bar length say which bars the calendar offers.
        calendar: the trading calendar.
        settings: horizons (seconds), gap tolerance (bars) and version.
        anchors: first and last trade date of the rows returned; default: all.
        watermark_us: end of the last known bar of the series (microseconds); default: of the last bar given.

    Returns:
        Frame of `OUTCOME_SCHEMA`, sorted by ts and horizon. Prices and returns are rounded to 10 decimals; what is
        not defined is null. INCOMPLETE rows hold no result, GAP rows only close_at_horizon and fwd_return.

    Raises:
        ValueError: if bars are unsorted, overlap, or mix series.
    """
    if bars.is_empty():
        return pl.DataFrame(schema=OUTCOME_SCHEMA)
    series = _Series.of(bars)
    rows = _anchor_rows(bars, anchors)
    if not len(rows):
        return pl.DataFrame(schema=OUTCOME_SCHEMA)
    horizons = np.array(settings.horizons, np.int64)
    watermark = int(series.end[-1]) if watermark_us is None else watermark_us
    close_ref = series.end[rows]
    windows_end = [close_ref + h * _SECOND for h in settings.horizons]
    lo = rows + 1
    windows = [(lo, np.maximum(np.searchsorted(series.end, end, side="right"), lo)) for end in windows_end]
    grid_start, grid_end = _grid(instrument, calendar, bars["trade_date"][int(rows[0])], int(windows_end[-1].max()))
    first_slot = np.searchsorted(grid_start, close_ref, side="left")
    expected = [np.maximum(np.searchsorted(grid_end, end, side="right") - first_slot, 0) for end in windows_end]
    at_high = first_maximum(series.high, windows)
    at_low = first_maximum(-series.low, windows)
    sums = ExactSums(_log_returns(series.close))
    volatility = [sums.mean_and_std(lo, hi)[1] for lo, hi in windows]

    def interleave(columns: list[np.ndarray]) -> np.ndarray:
        return np.stack(columns, axis=1).ravel()

    count = len(horizons)
    anchor_close = np.repeat(series.close[rows], count)
    reference = np.repeat(close_ref, count)
    window_end = interleave(windows_end)
    last = interleave([hi - 1 for _, hi in windows])
    found = interleave([hi - lo for lo, hi in windows])
    offered = interleave(expected)
    missing = np.maximum(offered - found, 0)
    status = np.where((missing > settings.gap_tolerance) | (offered == 0), _GAP, _OK)
    status = np.where(window_end > watermark, _INCOMPLETE, status)
    known = (status != _INCOMPLETE) & (found > 0)
    whole = (status == _OK) & (found > 0)
    top, bottom = np.maximum(interleave(at_high), 0), np.maximum(interleave(at_low), 0)
    vol = interleave(volatility)
    with np.errstate(all="ignore"):
        floats = {
            "close": (anchor_close, None),
            "close_at_horizon": (series.close[last], known),
            "fwd_return": (series.close[last] / anchor_close - 1.0, known),
            "max_runup": (series.high[top] / anchor_close - 1.0, whole),
            "max_drawdown": (series.low[bottom] / anchor_close - 1.0, whole),
            "max_high": (series.high[top], whole),
            "min_low": (series.low[bottom], whole),
            "realized_vol": (vol, whole),
            "realized_vol_annual": (vol * math.sqrt(instrument.bars_per_year), whole),
        }
        columns = {name: _rounded(values, mask) for name, (values, mask) in floats.items()}
    for side, index, extreme in (("runup", top, series.high), ("drawdown", bottom, series.low)):
        reached = whole & np.isfinite(extreme[index])
        columns[f"max_{side}_ts"] = _masked(series.end[index], reached).cast(UTC_US)
        columns[f"seconds_to_max_{side}"] = _masked((series.end[index] - reference) // _SECOND, reached)
    columns |= {
        "ts": pl.Series(np.repeat(series.ts[rows], count)).cast(UTC_US),
        "horizon_seconds": pl.Series(np.tile(horizons, len(rows))),
        "status": pl.Series(STATUSES, dtype=pl.String).gather(status),
        "close_ref": pl.Series(reference).cast(UTC_US),
        "window_end": pl.Series(window_end).cast(UTC_US),
        "bars_expected": pl.Series(offered),
        "bars_found": pl.Series(found),
        "gap_count": pl.Series(missing),
    }
    frame = pl.DataFrame(columns).with_columns(
        provider=pl.lit(series.provider),
        symbol=pl.lit(series.symbol),
        bar_seconds=pl.lit(series.bar_seconds),
        outcome_version=pl.lit(settings.outcome_version),
    )
    return frame.select(pl.col(name).cast(dtype) for name, dtype in OUTCOME_SCHEMA.items())


def sessions_ahead(settings: OutcomeSettings, instrument: Instrument) -> int:
    """Sessions of later bars that a partition needs so that all its windows can become final.

    The n-th later session closes at least n days after this one, less three hours (an early close) and one (the clock
    change), so n sessions cover a horizon of n days - 4 hours. Where its last bars are missing, the watermark stands
    earlier and rows stay INCOMPLETE until the session after.
    """
    del instrument  # the bound holds for all hours and bar lengths
    return math.ceil((max(settings.horizons) + 4 * 3600) / _DAY)


@dataclass(frozen=True)
class _Series:
    """The arrays of one series; times in microseconds."""

    provider: str
    symbol: str
    bar_seconds: int
    ts: np.ndarray
    end: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray

    @classmethod
    def of(cls, bars: pl.DataFrame) -> _Series:
        for name in ("provider", "symbol", "bar_seconds"):
            if bars[name].n_unique() > 1:
                raise ValueError(
                    f"bars: expected one series, found several values of {name}: {sorted(bars[name].unique())}. "
                    "Compute outcomes per (provider, symbol, bar_seconds)."
                )
        ts, end = (bars[name].dt.timestamp("us").to_numpy() for name in ("ts", "end"))
        clash = np.flatnonzero(ts[1:] < end[:-1])
        if len(clash):
            where = from_us(ts[clash[0] + 1])
            raise ValueError(
                f"bars of {bars['symbol'][0]}: the bar at {where} starts before the one above it ends. "
                "Bars must be sorted by ts and must not overlap: sort, drop duplicates, or gate them first."
            )
        prices = (bars[name].cast(pl.Float64).to_numpy() for name in ("high", "low", "close"))
        return cls(bars["provider"][0], bars["symbol"][0], bars["bar_seconds"][0], ts, end, *prices)


def _anchor_rows(bars: pl.DataFrame, anchors: tuple[date, date] | None) -> np.ndarray:
    if anchors is None:
        return np.arange(bars.height)
    return bars["trade_date"].is_between(*anchors).arg_true().to_numpy().astype(np.int64)


def _grid(
    instrument: Instrument, calendar: TradingCalendar, first: date, last_us: int
) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the bars that the calendar offers from trade date ``first`` to ``last_us`` or beyond."""
    # A bar of a 24/7 series may belong to a trade date several days later (long weekends): ten days cover every one.
    starts = calendar.bar_grid(instrument, first, from_us(last_us).date() + timedelta(days=10))
    ends = calendar.bar_ends(pl.Series(starts).cast(UTC_US), instrument)
    return starts, ends.dt.timestamp("us").to_numpy()


def _log_returns(close: np.ndarray) -> np.ndarray:
    """Log return into every bar; the first has none and no window reaches it."""
    returns = np.zeros(len(close))
    with np.errstate(all="ignore"):
        returns[1:] = np.log(close[1:] / close[:-1])
    return returns


def _rounded(values: np.ndarray, mask: np.ndarray | None) -> pl.Series:
    """10 decimals; null where masked or not finite."""
    kept = np.isfinite(values) if mask is None else mask & np.isfinite(values)
    return _masked(np.where(kept, np.rint(values * 1e10) / 1e10, 0.0) + 0.0, kept)


def _masked(values: np.ndarray, kept: np.ndarray) -> pl.Series:
    column = pl.Series(values)
    return column if kept.all() else column.zip_with(pl.Series(kept), pl.Series([None], dtype=column.dtype))
