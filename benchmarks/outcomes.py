"""Outcomes of a year of minutes against a plain loop and against rolling windows in polars and pandas.

Rerun: python benchmarks/outcomes.py            (a simulated year: 252 sessions, 98,280 bars)
       python benchmarks/outcomes.py --spy      (SPY 2024-03 to 2025-04 from the shared data folder)

CPU seconds, best of three. "time windows" is what a polars user writes for the same labels: windows in time, with the
moments of the extremes (still without calendar, status and rounding). "bar windows" does less: forward return, run-up,
drawdown and volatility over a fixed number of bars, which is another label at every session's end. Results are compared
on the rows whose windows agree (full, within one session).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl

from argus_core.calendar import UTC_US, load_calendar
from argus_core.outcomes import compute_outcomes
from argus_core.settings import Instrument, OutcomeSettings

ROOT = Path(__file__).resolve().parent.parent
HORIZONS = (300, 900, 3600, 14400, 86400)
SPY = Instrument(symbol="SPY", asset_class="etf")
CALENDAR = load_calendar("XNYS")


def simulated_year() -> pl.DataFrame:
    """98,280 bars: 252 sessions without early closes, random walk, seed 7."""
    rng = np.random.default_rng(7)
    full = CALENDAR.sessions.filter(~pl.col("early_close") & (pl.col("date") >= date(2025, 2, 3)))["date"].to_list()[
        :252
    ]
    ts = np.concatenate([CALENDAR.bar_grid(SPY, day, day) for day in full])
    close = 500 * np.exp(np.cumsum(rng.normal(0, 0.15 / np.sqrt(252 * 390), len(ts))))
    opens = np.concatenate([[500.0], close[:-1]])
    high = np.maximum(opens, close) * (1 + np.abs(rng.normal(0, 2e-4, len(ts))))
    low = np.minimum(opens, close) * (1 - np.abs(rng.normal(0, 2e-4, len(ts))))
    frame = pl.DataFrame({"open": opens, "high": high, "low": low, "close": close})
    return publish(frame.with_columns(ts=pl.Series(ts).cast(UTC_US)))


def spy_year() -> pl.DataFrame:
    folder = Path(os.environ.get("ARGUS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    frame = pl.read_parquet(folder / "bars_1m" / "SPY.parquet").sort("ts")
    return publish(frame.filter((pl.col("session") == "rth") & (pl.col("ts").dt.date() <= date(2025, 4, 2))))


def publish(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        provider=pl.lit("bench"),
        symbol=pl.lit("SPY"),
        bar_seconds=pl.lit(60, pl.Int32),
        trade_date=CALENDAR.trade_dates(frame["ts"], SPY),
        end=CALENDAR.bar_ends(frame["ts"], SPY),
    )


def polars_time_windows(bars: pl.DataFrame) -> pl.DataFrame:
    """All columns by `DataFrame.rolling`: windows (close_ref, close_ref + horizon]."""
    frame = bars.select("end", "close", "high", "low", change=(pl.col("close") / pl.col("close").shift(1)).log())
    columns = []
    for horizon in HORIZONS:
        window = frame.rolling("end", period=f"{horizon}s", offset="0s", closed="right").agg(
            last=pl.col("close").last(),
            top=pl.col("high").max(),
            bottom=pl.col("low").min(),
            top_at=pl.col("end").get(pl.col("high").arg_max(), null_on_oob=True),
            bottom_at=pl.col("end").get(pl.col("low").arg_min(), null_on_oob=True),
            found=pl.len(),
            vol=pl.col("change").std(),
        )
        close = bars["close"]
        columns += [
            (window["last"] / close - 1).alias(f"fwd_return_{horizon}"),
            (window["top"] / close - 1).alias(f"max_runup_{horizon}"),
            (window["bottom"] / close - 1).alias(f"max_drawdown_{horizon}"),
            window["vol"].alias(f"realized_vol_{horizon}"),
            window["top_at"].alias(f"max_runup_ts_{horizon}"),
            window["bottom_at"].alias(f"max_drawdown_ts_{horizon}"),
        ]
    return pl.DataFrame(columns)


def polars_rolling(bars: pl.DataFrame) -> pl.DataFrame:
    """Rolling windows over reversed columns, one set per horizon."""
    close, high, low = pl.col("close"), pl.col("high"), pl.col("low")
    change = (close / close.shift(1)).log()
    columns = []
    for horizon in HORIZONS:
        n = min(horizon // 60, 390)
        columns += [
            (close.shift(-n) / close - 1).alias(f"fwd_return_{horizon}"),
            (high.reverse().rolling_max(n).reverse().shift(-1) / close - 1).alias(f"max_runup_{horizon}"),
            (low.reverse().rolling_min(n).reverse().shift(-1) / close - 1).alias(f"max_drawdown_{horizon}"),
            change.rolling_std(n).shift(-n).alias(f"realized_vol_{horizon}"),
        ]
    return bars.select(columns)


def pandas_rolling(bars: pl.DataFrame) -> pl.DataFrame:
    """The same with pandas."""
    import pandas as pd

    close, high, low = (pd.Series(bars[name].to_numpy()) for name in ("close", "high", "low"))
    change = pd.Series(np.log(close / close.shift(1)))
    columns = {}
    for horizon in HORIZONS:
        n = min(horizon // 60, 390)
        columns[f"fwd_return_{horizon}"] = close.shift(-n) / close - 1
        columns[f"max_runup_{horizon}"] = high[::-1].rolling(n).max()[::-1].shift(-1) / close - 1
        columns[f"max_drawdown_{horizon}"] = low[::-1].rolling(n).min()[::-1].shift(-1) / close - 1
        columns[f"realized_vol_{horizon}"] = change.rolling(n).std().shift(-n)
    return pl.DataFrame({name: column.to_numpy() for name, column in columns.items()})


def plain_twin() -> ModuleType:
    """The slow twin that the tests compare with."""
    spec = importlib.util.spec_from_file_location("twin", ROOT / "tests" / "outcomes" / "test_engine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cpu(call: Callable[[], object], *, repeats: int = 3) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def check(ours: pl.DataFrame, other: pl.DataFrame) -> str:
    """Largest difference on the rows whose window is full and lies within one session."""
    worst, rows = 0.0, 0
    for horizon in HORIZONS[:-1]:
        mine = ours.filter(pl.col("horizon_seconds") == horizon)
        same = (
            (mine["status"] == "OK") & (mine["bars_found"] == horizon // 60) & (mine["bars_expected"] == horizon // 60)
        )
        for name in ("fwd_return", "max_runup", "max_drawdown", "realized_vol"):
            gap = (mine[name] - other[f"{name}_{horizon}"]).filter(same).abs().to_numpy()
            worst = max(worst, float(gap.max(initial=0.0)))
        rows += int(same.sum())
    return f"{worst:.1e} on {rows:,} rows"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spy", action="store_true", help="real SPY minutes instead of simulated ones")
    bars = spy_year() if parser.parse_args().spy else simulated_year()
    chosen = OutcomeSettings(horizons=HORIZONS)
    whole = OutcomeSettings()
    ours = compute_outcomes(bars, SPY, CALENDAR, chosen)
    base = cpu(lambda: compute_outcomes(bars, SPY, CALENDAR, chosen))
    six = cpu(lambda: compute_outcomes(bars, SPY, CALENDAR, whole))
    twin = plain_twin()
    few = bars.head(5 * 390)
    # The twin's work per anchor is constant once windows are full: its time grows linearly.
    slow = cpu(lambda: twin.plain_outcomes(few, SPY, CALENDAR, chosen), repeats=1) * bars.height / few.height
    rows = [
        ("argus, 5 horizons", base, ""),
        ("argus, 6 horizons (with 28800)", six, ""),
        ("plain Python twin (extrapolated)", slow, "equal (tests)"),
    ]
    alternatives = {
        "polars, time windows, 6 columns": (polars_time_windows, 1),
        "polars, bar windows, 4 columns": (polars_rolling, 3),
        "pandas, bar windows, 4 columns": (pandas_rolling, 3),
    }
    for name, (call, repeats) in alternatives.items():
        rows.append((name, cpu(lambda call=call: call(bars), repeats=repeats), check(ours, call(bars))))
    print(f"{bars.height:,} bars x {len(HORIZONS)} horizons, CPU seconds, best of three\n")
    print(f"{'':36}{'CPU s':>10}{'ratio':>10}   largest difference")
    for name, seconds, difference in rows:
        print(f"{name:36}{seconds:10.3f}{seconds / base:10.2f}   {difference}")


if __name__ == "__main__":
    main()
