"""Small decision frames for replay tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from argus_core.replay.results import UTC_US

START = datetime(2025, 2, 3, 14, 30, tzinfo=UTC)


def decision_frame(
    prices: Sequence[tuple[float, float, float, float]] | np.ndarray,
    *,
    bars_per_day: int = 390,
    bar_seconds: int = 60,
    volume: float | Sequence[float] = 1e6,
    half_spread: float | Sequence[float] = 0.0,
    missing_before: Sequence[int] | None = None,
    warmup: int = 0,
    delay_seconds: int = 0,
    vol: Sequence[str] | None = None,
    trend: Sequence[str] | None = None,
    **columns: Sequence,
) -> pl.DataFrame:
    """A decision frame from (open, high, low, close) rows: ``bars_per_day`` bars a day from 14:30 UTC on.

    ``missing_before[i]`` bars are left out before row i (its clock moves on); the first ``warmup`` rows are warm-up.
    """
    table = np.asarray(prices, float).reshape(-1, 4)
    height = len(table)
    lost = np.zeros(height, int) if missing_before is None else np.asarray(missing_before)
    minute = np.arange(height) % bars_per_day
    day = np.arange(height) // bars_per_day
    offset = minute + np.concatenate([np.cumsum(lost[day == d]) for d in np.unique(day)]) if height else minute
    ts = [START + timedelta(days=int(d), seconds=int(m) * bar_seconds) for d, m in zip(day, offset, strict=True)]
    frame = pl.DataFrame(
        {
            "ts": ts,
            "open": table[:, 0],
            "high": table[:, 1],
            "low": table[:, 2],
            "close": table[:, 3],
            "volume": np.broadcast_to(np.asarray(volume, float), height),
            "half_spread": np.broadcast_to(np.asarray(half_spread, float), height),
            "missing_before": lost.astype(np.int32),
            "warmup": np.arange(height) < warmup,
            "session": ["RTH"] * height,
            "minute_of_session": minute.astype(np.int32),
            "seconds_to_close": ((bars_per_day - 1 - minute) * bar_seconds).astype(np.int32),
            "vol_regime": list(vol) if vol is not None else ["NORMAL"] * height,
            "trend_regime": list(trend) if trend is not None else ["RANGE"] * height,
        },
        schema_overrides={"ts": UTC_US},
    )
    end = pl.col("ts") + pl.duration(seconds=bar_seconds)
    return frame.with_columns(
        end=end,
        available_at=end + pl.duration(seconds=delay_seconds),
        trade_date=pl.col("ts").dt.date(),
        **{name: pl.Series(values) for name, values in columns.items()},
    )


def random_prices(seed: int, height: int, *, start: float = 100.0, tick: float = 0.05) -> np.ndarray:
    """Random (open, high, low, close) rows on a coarse tick grid, so that levels are often touched exactly."""
    rng = np.random.default_rng(seed)
    path = np.round((start + np.cumsum(rng.normal(0, 3 * tick, 4 * height))) / tick) * tick
    path = np.maximum(path, 10 * tick).reshape(height, 4)
    return np.column_stack([path[:, 0], path.max(1), path.min(1), path[:, 3]])


def random_intents(seed: int, height: int, *, shorts: bool = True, rate: float = 0.2) -> pl.DataFrame:
    """Random intents with per-bar sizes, stops, targets and holding times; about a third of each is absent."""
    rng = np.random.default_rng(seed)
    enter = np.where(rng.random(height) < rate, rng.choice([-1, 1] if shorts else [1], height), 0)

    def sometimes(values: np.ndarray) -> list[float | None]:
        return [float(v) if keep else None for v, keep in zip(values, rng.random(height) < 0.67, strict=True)]

    return pl.DataFrame(
        {
            "enter": enter.astype(np.int8),
            "exit": rng.random(height) < rate,
            "size": rng.choice([0.25, 0.5, 1.0], height),
            "quantity": [float(v) if rng.random() < 0.2 else None for v in rng.choice([1, 7, 100], height)],
            "stop_distance": sometimes(rng.choice([0.1, 0.25, 0.5], height)),
            "target_distance": sometimes(rng.choice([0.1, 0.25, 0.5], height)),
            "max_hold_seconds": sometimes(rng.choice([60.0, 180.0, 600.0], height)),
        }
    )


def full_intents(seed: int, height: int, *, lots: int = 3) -> pl.DataFrame:
    """`random_intents` with every way of sizing, trailing and break-even stops, and up to ``lots`` lots."""
    rng = np.random.default_rng(seed + 1)
    base = random_intents(seed, height, rate=0.3)
    enter = np.where(rng.random(height) < 0.6, np.where(np.arange(height) // 20 % 2, -1, 1), 0)

    def sometimes(values: np.ndarray, share: float) -> list[float | None]:
        return [float(v) if keep else None for v, keep in zip(values, rng.random(height) < share, strict=True)]

    trail = [value or 0.3 for value in sometimes(rng.choice([0.1, 0.3, 0.6], height), 0.8)]
    risky = rng.random(height) < 0.3
    return base.with_columns(
        enter=pl.Series(np.where(rng.random(height) < 0.5, base["enter"].to_numpy(), enter).astype(np.int8)),
        exit=pl.Series(rng.random(height) < 0.05),
        notional=pl.Series(sometimes(rng.choice([500.0, 3_000.0], height), 0.2), dtype=pl.Float64),
        risk=pl.Series([0.01 if r else None for r in risky], dtype=pl.Float64),
        target_volatility=pl.Series(sometimes(np.full(height, 0.1), 0.3), dtype=pl.Float64),
        volatility=pl.Series(sometimes(rng.choice([0.0, 0.2, 0.5], height), 0.9), dtype=pl.Float64),
        trail_distance=pl.Series(
            [t if r or rng.random() < 0.5 else None for t, r in zip(trail, risky, strict=True)], dtype=pl.Float64
        ),
        break_even_distance=pl.Series(sometimes(rng.choice([0.05, 0.2], height), 0.5), dtype=pl.Float64),
        max_entries=pl.Series(rng.integers(1, lots + 1, height)),
    )


def intents(height: int, events: dict[int, dict], **constant: float) -> pl.DataFrame:
    """Intents that are empty but for ``events``: row -> columns. ``constant`` columns hold on all rows."""
    columns: dict[str, list] = {"enter": [0] * height, "exit": [False] * height}
    for name, value in constant.items():
        columns[name] = [value] * height
    for row, event in events.items():
        for name, value in event.items():
            columns.setdefault(name, [None] * height)[row] = value
    return pl.DataFrame(columns, schema_overrides={"enter": pl.Int8})
