"""Decision frames on the exchange calendar for tests of strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import numpy as np
import polars as pl

from argus_core.calendar import load_calendar
from argus_core.packs.frame import assemble_frame
from argus_core.settings import Instrument

Bar = tuple[float, float, float, float]


def calendar_frame(
    hours: str,
    start: date,
    end: date,
    *,
    bar_seconds: int = 60,
    closes: Sequence[float] | np.ndarray | None = None,
    wick: float = 0.0,
    volume: float | np.ndarray = 1e6,
    drop: pl.Expr | None = None,
) -> pl.DataFrame:
    """Decision frame on the calendar's whole grid: every open is the close before, 100 throughout without ``closes``.

    Args:
        hours: rth, extended, or always (crypto).
        wick: how far high and low lie beyond open and close.
        drop: bars that are missing.
    """
    calendar = load_calendar("XNYS")
    kind = "crypto" if hours == "always" else "etf"
    instrument = Instrument(symbol="X", asset_class=kind, hours=hours, bar_seconds=bar_seconds)
    ts = pl.Series("ts", calendar.bar_grid(instrument, start, end)).cast(pl.Datetime("us"))
    ts = ts.dt.replace_time_zone("UTC")
    close = np.full(len(ts), 100.0) if closes is None else np.asarray(closes, float)[: len(ts)]
    opened = np.concatenate([close[:1], close[:-1]])
    ends = calendar.bar_ends(ts, instrument)
    bars = pl.DataFrame({"ts": ts}).with_columns(
        end=ends,
        available_at=ends,
        trade_date=calendar.trade_dates(ts, instrument),
        session=calendar.session_labels(ts, instrument),
        open=pl.Series(opened),
        high=pl.Series(np.maximum(opened, close) + wick),
        low=pl.Series(np.minimum(opened, close) - wick),
        close=pl.Series(close),
        volume=pl.Series(np.broadcast_to(np.asarray(volume, float).ravel()[: len(ts)], len(ts))),
        bid=pl.lit(None, pl.Float64),
        ask=pl.lit(None, pl.Float64),
    )
    if drop is not None:
        bars = bars.filter(~drop)
    return assemble_frame(bars, instrument, calendar, [])


def with_bars(frame: pl.DataFrame, bars: Mapping[datetime, Bar]) -> pl.DataFrame:
    """The frame with other (open, high, low, close) at the given bar starts (aware)."""
    row = {moment: k for k, moment in enumerate(frame["ts"].to_list())}
    table = frame.select("open", "high", "low", "close").to_numpy().copy()
    for moment, bar in bars.items():
        table[row[moment]] = bar
    return frame.with_columns(pl.Series(n, table[:, k]) for k, n in enumerate(("open", "high", "low", "close")))


def with_closes(frame: pl.DataFrame, changes: Mapping[datetime, float], *, wick: float = 0.0) -> pl.DataFrame:
    """The frame with a close that steps to each value at the bar start given, and stays there."""
    steps = pl.DataFrame({"ts": list(changes), "step": list(changes.values())}, schema_overrides={"step": pl.Float64})
    steps = steps.with_columns(pl.col("ts").cast(frame["ts"].dtype))
    close = frame.join(steps, on="ts", how="left")["step"].forward_fill().fill_null(100.0)
    opened = close.shift(1, fill_value=close[0])
    return frame.with_columns(
        close=close,
        open=opened,
        high=pl.Series(np.maximum(opened, close) + wick),
        low=pl.Series(np.minimum(opened, close) - wick),
    )


def random_frame(hours: str, start: date, end: date, *, seed: int, bar_seconds: int = 60) -> pl.DataFrame:
    """A jumpy random walk with volume bursts, regimes, risk flow and a reference symbol R that runs along with it."""
    rng = np.random.default_rng(seed)
    height = 12_000
    steps = rng.standard_t(3, height) * 4e-4
    close = 100 * np.exp(np.cumsum(steps))
    close = np.round(close / 0.01) * 0.01
    volume = np.exp(rng.normal(8, 0.5, height) + 2e3 * np.abs(steps))
    frame = calendar_frame(hours, start, end, bar_seconds=bar_seconds, closes=close, wick=0.02, volume=volume)
    rows = frame.height
    other = frame["close"].to_numpy() * 4 * np.exp(rng.normal(0, 4e-4, rows))
    late = rng.random(rows) < 0.05
    ended = frame["end"].to_numpy() - np.where(late, 600_000_000, 0).astype("timedelta64[us]")
    return frame.with_columns(
        vol_regime=pl.Series(rng.choice(["LOW", "NORMAL", "HIGH", "SPIKE"], rows)),
        global_risk_flow=pl.Series(np.repeat(rng.normal(0, 0.01, rows // 300 + 1), 300)[:rows]),
        ref_R_close=pl.Series(other),
        ref_R_end=pl.Series(ended).dt.replace_time_zone("UTC"),
    )


def entries(strategy, frame: pl.DataFrame, **params) -> list[tuple[datetime, int]]:
    """Decision time and side of every entry that a strategy class asks for."""
    intents = strategy().intents(frame, strategy.Params(**params))
    picked = frame.select("available_at").with_columns(intents["enter"]).filter(pl.col("enter") != 0)
    return list(picked.iter_rows())


def entry_rows(strategy, frame: pl.DataFrame, **params) -> pl.DataFrame:
    """The intents of the rows with an entry, with their decision time as ``at``."""
    intents = strategy().intents(frame, strategy.Params(**params))
    return intents.with_columns(at=frame["available_at"]).filter(pl.col("enter") != 0)
