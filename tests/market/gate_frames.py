"""Hand-made bars for gate tests."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.schemas import RawBars, conform
from argus_core.settings import Instrument

SPY = Instrument(symbol="SPY", asset_class="etf")
BTC = Instrument(symbol="BTC", asset_class="crypto", hours="always")
DAY = date(2025, 2, 4)


def session_bars(
    calendar: TradingCalendar,
    instrument: Instrument = SPY,
    day: date = DAY,
    *,
    seed: int = 1,
    start: float = 600.0,
    volume: float = 50_000.0,
    scope: str = "sip",
) -> pl.DataFrame:
    """Every bar that the calendar offers on ``day``: a quiet random walk on a cent grid with honest ranges."""
    random = np.random.default_rng(seed + day.toordinal())
    ts = calendar.bar_grid(instrument, day, day)
    close = np.round(start * np.exp(np.cumsum(random.normal(0, 2e-4, len(ts)))), 2)
    open_ = np.concatenate([[start], close[:-1]])
    frame = pl.DataFrame(
        {
            "provider": "test",
            "symbol": instrument.symbol,
            "bar_seconds": instrument.bar_seconds,
            "ts": pl.Series(ts).cast(pl.Datetime("us", "UTC")),
            "open": open_,
            "high": np.maximum(open_, close) + 0.01,
            "low": np.minimum(open_, close) - 0.01,
            "close": close,
            "volume": np.round(volume * np.exp(random.normal(0, 0.3, len(ts)))),
            "volume_scope": scope,
        }
    )
    return conform(frame, RawBars)


def change(frame: pl.DataFrame, row: int, **values: float | str | None) -> pl.DataFrame:
    """``frame`` with other ``values`` in one row."""
    index = pl.int_range(pl.len()) == row
    return frame.with_columns(
        [pl.when(index).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in values.items()]
    )
