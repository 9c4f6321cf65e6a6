"""Make SPY minutes from SPX minutes, where a folder of real data has SPY chains but no SPY bars.

Run: python examples/spy_from_spx.py ../shared/data data/vrp/import

The ratio SPY/SPX of each session is that of the underlying prices in the two evening chains (carried to sessions
without a chain). Spread and volume of SPY are not in an index, so volume is one number and the spread model of the
instrument applies: the bars serve regimes, realised volatility and option expiry, not share fills. The chains are
copied as they are. The output is for local runs only; see the data's README on redistribution.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import polars as pl

#: Shares per minute; large enough that the participation cap never binds.
VOLUME = 100_000.0


def underlying_price(path: Path) -> float:
    prices = pl.read_parquet(path, columns=["underlying_price"])["underlying_price"].drop_nulls()
    return float(prices.median())  # type: ignore[arg-type]


def main(source: Path, target: Path) -> None:
    spy = {p.name.split("_")[1]: p for p in sorted((source / "option_quotes").glob("SPY_*_eod.parquet"))}
    spx = {p.name.split("_")[1]: p for p in sorted((source / "option_quotes").glob("SPX_*_eod.parquet"))}
    ratios = pl.DataFrame(
        [{"day": d, "ratio": underlying_price(spy[d]) / underlying_price(spx[d])} for d in sorted(spy) if d in spx]
    ).with_columns(pl.col("day").str.to_date())
    bars = pl.read_parquet(source / "bars_1m" / "SPX.parquet").filter(pl.col("session") == "rth")
    bars = bars.with_columns(pl.col("ts").dt.convert_time_zone("America/New_York").dt.date().alias("day")).sort("ts")
    bars = bars.join_asof(ratios, on="day", strategy="backward").with_columns(
        pl.col("ratio").fill_null(ratios["ratio"][0])
    )
    scaled = bars.with_columns(
        *[(pl.col(name) * pl.col("ratio")).round(4) for name in ("open", "high", "low", "close")],
        pl.lit("SPY").alias("symbol"),
        pl.lit(VOLUME).alias("volume"),
    ).drop("day", "ratio")
    (target / "bars_1m").mkdir(parents=True, exist_ok=True)
    (target / "option_quotes").mkdir(parents=True, exist_ok=True)
    scaled.write_parquet(target / "bars_1m" / "SPY.parquet")
    for path in spy.values():
        shutil.copyfile(path, target / "option_quotes" / path.name)
    sessions = bars["day"].n_unique()
    print(f"{scaled.height} bars of {sessions} sessions, {len(spy)} chains, ratio {ratios['ratio'].mean():.6f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
