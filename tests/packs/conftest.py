"""A hand-made lake of a few sessions with every table that a pack reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import UTC_US, TradingCalendar
from argus_core.market.lake import Lake
from argus_core.market.schemas import Bars, conform
from argus_core.options.schemas import IvFeatures
from argus_core.regimes.model_regimes import MODEL_REGIME_SCHEMA
from argus_core.settings import Instrument, Project

#: 14:59 and 15:00 are missing on the first day.
DAYS = [date(2025, 2, 3), date(2025, 2, 4), date(2025, 2, 5), date(2025, 2, 6)]
HORIZONS = (300, 3600)


def make_bars(calendar: TradingCalendar, instrument: Instrument, day: date, seed: int) -> pl.DataFrame:
    """One session of minutes as a random walk; every eighth bar has no quote."""
    rng = np.random.default_rng([seed, day.toordinal()])
    grid = calendar.bar_grid(instrument, day, day)
    ts = pl.Series("ts", grid).cast(UTC_US)
    close = 500 * np.exp(np.cumsum(rng.normal(0, 5e-4, len(grid))))
    open_ = np.concatenate([[500.0], close[:-1]])
    quoted = np.arange(len(grid)) % 8 != 0
    frame = pl.DataFrame(
        {
            "ts": ts,
            "end": calendar.bar_ends(ts, instrument),
            "open": open_,
            "high": np.maximum(open_, close) * 1.0002,
            "low": np.minimum(open_, close) * 0.9998,
            "close": close,
            "volume": rng.integers(50_000, 90_000, len(grid)).astype(float),
            "bid": np.where(quoted, close - 0.02, None).astype(float),
            "ask": np.where(quoted, close + 0.03, None).astype(float),
            "session": calendar.session_labels(ts, instrument),
        }
    ).with_columns(
        pl.col("bid", "ask").fill_nan(None),
        provider=pl.lit("sim"),
        symbol=pl.lit(instrument.symbol),
        bar_seconds=pl.lit(instrument.bar_seconds, pl.Int32),
        trade_date=pl.lit(day),
        available_at=pl.col("end"),
        volume_scope=pl.lit("sip"),
    )
    return conform(frame, Bars)


def make_outcomes(bars: pl.DataFrame, horizons: tuple[int, ...] = HORIZONS) -> pl.DataFrame:
    """Outcomes whose returns name their anchor; every fifth is a GAP, which no decision may use."""
    frames = [
        bars.with_row_index("i").select(
            "ts",
            pl.lit(h, pl.Int32).alias("horizon_seconds"),
            pl.when(pl.col("i") % 5 == 4).then(pl.lit("GAP")).otherwise(pl.lit("OK")).alias("status"),
            (pl.col("end") + timedelta(seconds=h)).alias("window_end"),
            (pl.col("close") * 1e-3 + h).alias("fwd_return"),
            (pl.col("close") * 1e-2 + h).alias("realized_vol_annual"),
        )
        for h in horizons
    ]
    return pl.concat(frames).sort("ts", "horizon_seconds")


def make_regimes(bars: pl.DataFrame) -> pl.DataFrame:
    hour = pl.col("ts").dt.hour()
    return bars.select(
        "ts",
        "available_at",
        pl.when(hour < 17).then(pl.lit("HIGH")).otherwise(pl.lit("LOW")).alias("vol_regime"),
        pl.when(pl.col("close") > pl.col("open")).then(pl.lit("UP")).otherwise(pl.lit("DOWN")).alias("trend_regime"),
        pl.lit("NORMAL").alias("liquidity_regime"),
        (hour > 15).alias("warm"),
    )


def make_model_regimes(bars: pl.DataFrame) -> pl.DataFrame:
    """The row of a session, known at its last bar, that names its day."""
    day = bars["trade_date"][0].day
    known = {"model_vote": f"V{day}", "model_cp_prob": day / 100, "model_confidence": 1.0}
    return (
        bars.tail(1)
        .select("ts", "available_at", "trade_date")
        .with_columns(
            pl.lit(known.get(name), dtype).alias(name)
            for name, dtype in MODEL_REGIME_SCHEMA.items()
            if name not in ("ts", "available_at", "trade_date")
        )
    )


def make_iv_features(bars: pl.DataFrame) -> pl.DataFrame:
    """A snapshot received during the eleventh bar and one after the close; iv_30 names day and snapshot."""
    day, ends = bars["trade_date"][0].day, bars["end"]
    received = [ends[10] - timedelta(seconds=20), ends[-1] + timedelta(seconds=900)]
    times = pl.Series(received).cast(UTC_US)
    frame = pl.DataFrame({"recv_ts": times, "available_at": times, "iv_30": [day + 0.1, day + 0.2]})
    known = {"provider": "sim", "underlying": "SPY", "n_expiries": 3}
    return conform(
        frame.with_columns(
            pl.lit(known.get(name), dtype).alias(name)
            for name, dtype in IvFeatures.create_empty().schema.items()
            if name not in frame.columns
        ),
        IvFeatures,
    )


@pytest.fixture
def make_lake(calendar: TradingCalendar, project: Project) -> Callable[..., Lake]:
    """Write a lake of `DAYS` under ``root``; ``skip`` leaves out the bars of some dates."""

    def build(root: Path, *, symbol: str = "SPY", skip: tuple[date, ...] = (), seed: int = 1) -> Lake:
        lake = Lake(root)
        instrument = project.instrument(symbol)
        stamp = {"config_hash": "c", "producer": "test"}
        for day in DAYS:
            open_, _ = calendar.session_bounds(day)
            at = pl.Series([open_ - timedelta(minutes=30)]).cast(UTC_US)
            flow = pl.DataFrame({"available_at": at, "trade_date": [day], "global_risk_flow": [day.day / 100]})
            lake.write("risk_flow", flow, keys={**project.market_state_keys("risk_flow"), "date": day}, **stamp)
            risk = pl.DataFrame({"available_at": at.dt.offset_by("2h"), "risk_regime": [f"R{day.day}"]})
            lake.write("market_risk", risk, keys={**project.market_state_keys("market_risk"), "date": day}, **stamp)
            if day in skip:
                continue
            bars = make_bars(calendar, instrument, day, seed)
            if day == DAYS[0]:
                bars = bars.filter(~pl.col("ts").dt.strftime("%H:%M").is_in(["14:59", "15:00"]))
            keys = {"provider": "sim", "bar_seconds": instrument.bar_seconds, "symbol": symbol, "date": day}
            lake.write("bars", bars, keys=keys, **stamp)
            lake.write("outcomes", make_outcomes(bars), keys=keys, **stamp)
            lake.write("regimes", make_regimes(bars), keys=keys, **stamp)
            lake.write("model_regimes", make_model_regimes(bars), keys=keys, **stamp)
            quotes = pl.DataFrame(
                {
                    "recv_ts": [bars["end"][10], bars["end"][-1] + timedelta(seconds=900)],
                    "ts": [bars["end"][5], bars["end"][-1]],
                    "contract": ["X", "X"],
                    "bid": [1.0, 9.0],
                }
            )
            keys = {"provider": "sim", "underlying": symbol, "date": day}
            lake.write("option_snapshots", quotes, keys=keys, **stamp)
            lake.write("iv_features", make_iv_features(bars), keys=keys, **stamp)
        return lake

    return build
