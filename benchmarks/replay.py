"""Lane replay of a year of minutes: one parameter set, 64 and 252, beside a plain Python loop and vectorbt.

Rerun: python benchmarks/replay.py        (plain loop always; vectorbt only where it can be imported)
To put vectorbt beside it, in an environment of its own (its pins may collide with ours), from the project root:
       python -m venv /tmp/vbt && /tmp/vbt/bin/pip install . vectorbt && /tmp/vbt/bin/python benchmarks/replay.py

CPU seconds, best of three after one warm-up that compiles; trades, excursions, ids and daily equity included, for
vectorbt its order records and total return. Rule: 100 shares while a fast EMA of the close is above a slow one, next
open, no costs. The plain loop is the floor for one lane: no costs, stops, sizing, excursions, daily equity or trade
table; beyond 16 lanes its time is scaled. "with stops" adds a per-bar stop and target to every lane and the default
costs. Engines must agree on the number of fills.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl

from argus_core.replay.lanes import replay_lanes
from argus_core.settings import ExecutionSettings, Instrument

BARS, PER_DAY = 98_280, 390
ETF = Instrument(symbol="SIM", asset_class="etf")
FREE = ExecutionSettings(slippage_bps=0, commission_per_share=0, commission_min=0)
CASH = 1_000_000.0


def simulated_year() -> pl.DataFrame:
    """Decision frame of 252 sessions of 390 minutes, a random walk in cents, seed 7."""
    rng = np.random.default_rng(7)
    steps = rng.normal(0, 0.15 / np.sqrt(252 * 390), (BARS, 4))
    path = np.round(500 * np.exp(np.cumsum(steps).reshape(BARS, 4)), 2)
    minute = np.arange(BARS)
    start = int(datetime(2025, 2, 3, 14, 30, tzinfo=UTC).timestamp()) * 1_000_000
    ts = start + (minute // PER_DAY) * 86_400_000_000 + (minute % PER_DAY) * 60_000_000
    frame = pl.DataFrame(
        {
            "ts": pl.Series(ts).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            "open": path[:, 0],
            "high": path.max(1),
            "low": path.min(1),
            "close": path[:, 3],
            "volume": rng.uniform(1e4, 1e5, BARS),
            "half_spread": np.full(BARS, 0.01),
        }
    )
    end = pl.col("ts") + pl.duration(minutes=1)
    return frame.with_columns(end=end, available_at=end, trade_date=pl.col("ts").dt.date())


def crosses(frame: pl.DataFrame, count: int) -> list[pl.DataFrame]:
    """Intents of ``count`` EMA pairs."""
    close = frame["close"]
    acts = pl.Series(np.arange(BARS) >= 1_000)
    lanes = []
    for k in range(count):
        above = close.ewm_mean(span=5 + k % 16, adjust=False) > close.ewm_mean(span=60 + 10 * (k // 16), adjust=False)
        lanes.append(pl.DataFrame({"enter": (above & acts).cast(pl.Int8), "exit": ~above & acts, "quantity": 100.0}))
    return lanes


def with_stops(frame: pl.DataFrame, lanes: list[pl.DataFrame]) -> list[pl.DataFrame]:
    spread = (frame["high"] - frame["low"]).rolling_mean(60).fill_null(1.0)
    return [lane.with_columns(stop_distance=4 * spread, target_distance=8 * spread) for lane in lanes]


def argus(frame: pl.DataFrame, lanes: list[pl.DataFrame], execution: ExecutionSettings) -> int:
    free = frame if execution is not FREE else frame.with_columns(half_spread=0.0)
    return sum(r.fills for r in replay_lanes(free, lanes, ETF, execution, starting_cash=CASH, symbol="SIM"))


def plain_loop(frame: pl.DataFrame, lanes: list[pl.DataFrame]) -> int:
    """The shortest honest loop: next open, a list of trades, equity at every close. No costs, stops or checks."""
    opens, closes = frame["open"].to_list(), frame["close"].to_list()
    fills = 0
    for lane in lanes:
        enter, leave = lane["enter"].to_list(), lane["exit"].to_list()
        cash, held, order = CASH, 0.0, 0
        trades, equity = [], []
        for k in range(BARS):
            if order > 0:
                held, entry = 100.0, opens[k]
                cash -= held * entry
                fills += 1
            elif order < 0:
                cash += held * opens[k]
                trades.append((entry, opens[k]))
                held = 0.0
                fills += 1
            order = 0
            equity.append(cash + held * closes[k])
            if held:
                order = -1 if leave[k] else 0
            elif enter[k]:
                order = 1
        # The last row decides nothing and a held position is closed.
        fills += bool(held)
    return fills


def vectorbt_sweep(frame: pl.DataFrame, lanes: list[pl.DataFrame]) -> int:
    import pandas as pd
    import vectorbt as vbt

    index = pd.RangeIndex(BARS)
    enter, leave = (
        np.column_stack([lane[name].to_numpy() for lane in lanes]).astype(bool) for name in ("enter", "exit")
    )
    shifted = [
        pd.DataFrame(np.vstack([np.zeros((1, len(lanes)), bool), flags[:-1]]), index) for flags in (enter, leave)
    ]
    close, opened = (pd.Series(frame[name].to_numpy(), index) for name in ("close", "open"))
    portfolio = vbt.Portfolio.from_signals(close, *shifted, price=opened, size=100.0, init_cash=CASH, freq="1min")
    portfolio.total_return()
    held = np.asarray(portfolio.positions.open.count())
    return int(np.sum(np.asarray(portfolio.orders.count()))) + int(held.sum())


def best(work: Callable[[], int]) -> tuple[float, int]:
    """CPU seconds of the fastest of three runs after one warm-up, and what the work returned."""
    found = work()
    times = []
    for _ in range(3):
        start = time.process_time()
        found = work()
        times.append(time.process_time() - start)
    return min(times), found


def main() -> None:
    frame = simulated_year()
    engines: dict[str, Callable[[list[pl.DataFrame]], int]] = {
        "argus": lambda lanes: argus(frame, lanes, FREE),
        "plain Python loop": lambda lanes: plain_loop(frame, lanes),
    }
    if importlib.util.find_spec("vectorbt"):
        engines["vectorbt"] = lambda lanes: vectorbt_sweep(frame, lanes)
    print(f"{BARS:,} bars")
    print(f"{'engine':<18} {'lanes':>5} {'fills':>9} {'CPU s':>8} {'M bar-lanes/s':>14} {'x argus':>8}")
    for count in (1, 64, 252):
        lanes = crosses(frame, count)
        base, expected = 0.0, 0
        for name, engine in engines.items():
            used = lanes[:16] if name == "plain Python loop" else lanes
            seconds, fills = best(lambda engine=engine, used=used: engine(used))
            seconds *= count / len(used)
            if name == "argus":
                base, expected = seconds, fills
            elif len(used) == count:
                assert fills == expected, f"{name}: {fills} fills, argus {expected}"
            show(name, count, fills if len(used) == count else None, seconds, base)
        stopped = with_stops(frame, lanes)
        seconds, fills = best(lambda stopped=stopped: argus(frame, stopped, ExecutionSettings()))
        show("argus, with stops", count, fills, seconds, base)


def show(name: str, count: int, fills: int | None, seconds: float, base: float) -> None:
    rate = BARS * count / seconds / 1e6
    counted = "scaled" if fills is None else f"{fills:,}"
    print(f"{name:<18} {count:>5} {counted:>9} {seconds:>8.3f} {rate:>14.2f} {seconds / base:>7.1f}x")


if __name__ == "__main__":
    main()
