"""Bars for tests of labels: simulated from a seed, or real SPY minutes. Fixtures are taken up by tests/conftest.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import UTC_US, TradingCalendar
from argus_core.settings import Instrument

MakeBars = Callable[..., pl.DataFrame]


@pytest.fixture(scope="session")
def spy() -> Instrument:
    return Instrument(symbol="SPY", asset_class="etf")


@pytest.fixture(scope="session")
def btc() -> Instrument:
    return Instrument(symbol="BTC", asset_class="crypto", hours="always")


@pytest.fixture(scope="session")
def make_bars(calendar: TradingCalendar) -> MakeBars:
    """Bars on the calendar's grid; prices on a coarse grid, so that extremes tie; a share of them missing."""

    def make(
        instrument: Instrument, first: date, last: date, *, seed: int = 0, missing: float = 0.0, tick: float = 0.05
    ) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        ts = calendar.bar_grid(instrument, first, last)
        n = len(ts)
        close = np.maximum(np.round((100 + np.cumsum(rng.normal(0, 0.05, n))) / tick) * tick, tick)
        opens = np.concatenate([close[:1], close[:-1]])
        spread = np.round(rng.exponential(0.05, (2, n)) / tick) * tick
        frame = pl.DataFrame(
            {
                "open": opens,
                "high": np.maximum(opens, close) + spread[0],
                "low": np.maximum(np.minimum(opens, close) - spread[1], tick),
                "close": close,
                "volume": rng.integers(1, 1000, n).astype(float),
            }
        ).with_columns(ts=pl.Series(ts).cast(UTC_US))
        return publish(frame.filter(pl.Series(rng.random(n) >= missing)), instrument, calendar)

    return make


@pytest.fixture(scope="session")
def spy_year(shared_data: Path, spy: Instrument, calendar: TradingCalendar) -> pl.DataFrame:
    """Real RTH minutes of SPY, 2024-03-26 to 2025-04-02."""
    frame = (
        pl.read_parquet(shared_data / "bars_1m" / "SPY.parquet")
        .filter((pl.col("session") == "rth") & (pl.col("ts").dt.date() <= date(2025, 4, 2)))
        .sort("ts")
    )
    return publish(frame, spy, calendar).filter(pl.col("session") == "RTH")


def publish(frame: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar) -> pl.DataFrame:
    ts = frame["ts"]
    return (
        frame.with_columns(
            provider=pl.lit("test"),
            symbol=pl.lit(instrument.symbol),
            bar_seconds=pl.lit(instrument.bar_seconds, pl.Int32),
            trade_date=calendar.trade_dates(ts, instrument),
            end=calendar.bar_ends(ts, instrument),
            session=calendar.session_labels(ts, instrument),
        )
        .with_columns(available_at=pl.col("end"))
        .filter(pl.col("trade_date").is_not_null())
    )
