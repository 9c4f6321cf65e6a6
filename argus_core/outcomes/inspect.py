"""What the lake holds and what is missing: summaries for `argus outcomes` (pure functions over frames).

Coverage is measured against the bars that the calendar offers, never against elapsed seconds: nights, weekends,
holidays and early closes are not holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from argus_core.calendar import UTC_US, TradingCalendar
from argus_core.settings import Instrument

_SERIES = ["provider", "symbol", "bar_seconds"]
_SECOND = 1_000_000


def bar_inventory(bars: pl.DataFrame) -> pl.DataFrame:
    """One row per series: bars, sessions, first and last ts, last end (the watermark). Sorted by series."""
    return (
        bars.group_by(_SERIES)
        .agg(
            bars=pl.len(),
            sessions=pl.col("trade_date").n_unique(),
            first_ts=pl.col("ts").min(),
            last_ts=pl.col("ts").max(),
            watermark=pl.col("end").max(),
        )
        .sort(_SERIES)
    )


def outcome_inventory(outcomes: pl.DataFrame) -> pl.DataFrame:
    """One row per series, version and horizon: rows, counts per status, share that is OK, first and last ts."""
    keys = [*_SERIES, "outcome_version", "horizon_seconds"]
    return (
        outcomes.group_by(keys)
        .agg(
            rows=pl.len(),
            ok=(pl.col("status") == "OK").sum(),
            gap=(pl.col("status") == "GAP").sum(),
            incomplete=(pl.col("status") == "INCOMPLETE").sum(),
            ok_share=(pl.col("status") == "OK").mean(),
            first_ts=pl.col("ts").min(),
            last_ts=pl.col("ts").max(),
        )
        .sort(keys)
    )


def coverage(
    bars: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar, days: Sequence[date]
) -> pl.DataFrame:
    """Bars expected and found per trade date of one series.

    Args:
        bars: frame of schema `Bars` of one series (may be empty).
        instrument: its hours and bar length.
        calendar: the trading calendar.
        days: sessions of the calendar, for instance ``calendar.sessions_between(start, end)``.

    Returns:
        trade_date, expected, found (bars on the calendar's grid), extra (bars off it), coverage (found / expected).
    """
    rows = []
    starts = bars["ts"].dt.timestamp("us").to_numpy() if bars.height else np.empty(0, np.int64)
    by_date = bars["trade_date"].to_numpy() if bars.height else np.empty(0, "datetime64[D]")
    for day in days:
        grid = calendar.bar_grid(instrument, day, day)
        mine = starts[by_date == np.datetime64(day, "D")]
        found = int(np.isin(grid, mine).sum())
        rows.append((day, len(grid), found, len(mine) - found, found / len(grid) if len(grid) else None))
    schema = {
        "trade_date": pl.Date,
        "expected": pl.Int64,
        "found": pl.Int64,
        "extra": pl.Int64,
        "coverage": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def gaps(
    bars: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    days: Sequence[date],
    *,
    longer_than_seconds: float = 300.0,
    top: int | None = 10,
) -> pl.DataFrame:
    """The longest holes: runs of bars that the calendar offers on ``days`` and the series lacks.

    A run may span sessions (a lost day is one hole with the night inside counted as nothing).

    Returns:
        first_missing, last_missing (bar starts), bars_missing, seconds (bars_missing x bar length), longest first,
        those of at most ``longer_than_seconds`` left out.
    """
    schema = pl.Schema(
        {"first_missing": UTC_US, "last_missing": UTC_US, "bars_missing": pl.Int64(), "seconds": pl.Int64()}
    )
    grid = np.concatenate([calendar.bar_grid(instrument, day, day) for day in days]) if days else np.empty(0, np.int64)
    starts = bars["ts"].dt.timestamp("us").to_numpy() if bars.height else np.empty(0, np.int64)
    absent = np.concatenate([[False], ~np.isin(grid, starts), [False]])
    edges = np.flatnonzero(absent[1:] != absent[:-1])
    first, stop = edges[::2], edges[1::2]
    if not len(first):
        return pl.DataFrame(schema=schema)
    frame = (
        pl.DataFrame({"first_missing": grid[first], "last_missing": grid[stop - 1], "bars_missing": stop - first})
        .with_columns(seconds=pl.col("bars_missing") * instrument.bar_seconds)
        .cast(schema)
        .filter(pl.col("seconds") > longer_than_seconds)
        .sort("bars_missing", "first_missing", descending=[True, False])
    )
    return frame if top is None else frame.head(top)


def health(
    inventory: pl.DataFrame,
    instruments: Sequence[Instrument],
    calendar: TradingCalendar,
    now: datetime,
    *,
    stale_seconds: float = 300.0,
) -> pl.DataFrame:
    """How far behind the calendar each series is.

    Lag is the market time (bars offered x bar length) between the series' watermark and ``now``: zero over a weekend
    for a share, so a Sunday does not look like an outage.

    Args:
        inventory: result of `bar_inventory`.
        instruments: one row is returned per instrument; one without bars is ``missing``.
        calendar: the trading calendar.
        now: aware UTC; the caller reads the clock.
        stale_seconds: lag beyond which a series is stale.

    Returns:
        symbol, watermark, bars_behind, lag_seconds, state (fresh, stale, missing), in the order of ``instruments``.
    """
    rows = []
    now_us = int(now.timestamp() * _SECOND)
    for instrument in instruments:
        marks = inventory.filter(
            (pl.col("symbol") == instrument.symbol) & (pl.col("bar_seconds") == instrument.bar_seconds)
        )["watermark"]
        watermark = marks.max()
        if not isinstance(watermark, datetime):
            rows.append((instrument.symbol, None, None, None, "missing"))
            continue
        grid = calendar.bar_grid(instrument, watermark.date() - timedelta(days=1), now.date() + timedelta(days=10))
        ends = calendar.bar_ends(pl.Series(grid).cast(UTC_US), instrument).dt.timestamp("us").to_numpy()
        mark_us = int(watermark.timestamp() * _SECOND)
        behind = max(int(np.searchsorted(ends, now_us, "right") - np.searchsorted(ends, mark_us, "right")), 0)
        lag = behind * instrument.bar_seconds
        rows.append((instrument.symbol, watermark, behind, lag, "stale" if lag > stale_seconds else "fresh"))
    schema = {
        "symbol": pl.String,
        "watermark": UTC_US,
        "bars_behind": pl.Int64,
        "lag_seconds": pl.Int64,
        "state": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def uptime(
    bars: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    days: Sequence[date],
    *,
    threshold_seconds: float = 120.0,
) -> dict[str, float | int | None]:
    """Share of the offered market time of ``days`` that is not inside a hole longer than ``threshold_seconds``.

    Returns:
        expected_seconds, down_seconds, outages (holes longer than the threshold), longest_outage_seconds, uptime (0..1,
        None where the calendar offers nothing).
    """
    holes = gaps(bars, instrument, calendar, days, longer_than_seconds=threshold_seconds, top=None)
    expected = sum(len(calendar.bar_grid(instrument, day, day)) for day in days) * instrument.bar_seconds
    down = int(holes["seconds"].sum())
    return {
        "expected_seconds": expected,
        "down_seconds": down,
        "outages": holes.height,
        "longest_outage_seconds": int(holes["seconds"][0]) if holes.height else 0,
        "uptime": 1.0 - down / expected if expected else None,
    }
