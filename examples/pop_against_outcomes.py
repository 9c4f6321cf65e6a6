"""Probabilities of profit of July and August 2026 beside what happened: SPX and SPY evenings of the shared data.

Run: python examples/pop_against_outcomes.py [folder of option_quotes and bars_1m; default: ARGUS_SHARED_DATA]

Every evening: candidates of all expiries that settle inside the data, their probability of profit at expiry by Heston
and by the surface's density, then what they made. SPXW settles on the close that the evening chain states, or on the
last minute where a day has no chain; SPY on that times SPY/SPX, the ratio of the spots implied by the two evening
chains. No AM-settled expiry lies inside the data. Early exercise is left out.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from argus_core.calendar import load_calendar
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.candidates import candidates_of
from argus_core.options.forwards import forwards_of
from argus_core.options.heston.fits import fit_snapshots
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.profit.page import profit_page
from argus_core.options.profit.realised import (
    brier_scores,
    calibration_gap,
    expected_beside_realised,
    realised_profit,
    reliability,
)
from argus_core.options.surface.snapshots import fit_surfaces
from argus_core.settings import Instrument
from argus_core.settings.option_calibration import HestonCalibrationSettings
from argus_core.settings.option_chains import OptionChainSettings
from argus_core.settings.option_profit import ProfitSettings
from argus_core.settings.option_surface import SurfaceSettings

COMMISSION = 0.65
CHAINS = OptionChainSettings(
    rate=0.042,
    forwards={"discount": "parity"},
    candidates={
        "structures": ("vertical", "iron_condor", "strangle", "straddle"),
        "min_days": 1,
        "max_days": 30,
        "min_delta": 0.05,
        "max_delta": 0.6,
        "max_per_structure": 5_000,
    },
)
PROFIT = ProfitSettings(per_structure=5_000, managed_per_structure=0)
#: The nearest expiry of every evening.
NEXT = pl.col("expiry") == pl.col("expiry").min().over("underlying", "recv_ts")
INSTRUMENTS = (Instrument(symbol="SPX", asset_class="index"), Instrument(symbol="SPY", asset_class="etf"))


def evenings(folder: Path, symbol: str) -> dict[date, Path]:
    paths = sorted((folder / "option_quotes").glob(f"{symbol}_2026-*_eod.parquet"))
    return {date.fromisoformat(path.name.split("_")[1]): path for path in paths}


def pages_of(folder: Path, instrument: Instrument) -> tuple[pl.DataFrame, dict[date, float], dict[date, float]]:
    """Pages of all evenings, the close that each chain states, and the spot implied by its quotes."""
    calendar = load_calendar("XNYS")
    found = evenings(folder, instrument.symbol)
    pages, closes, spots = [], {}, {}
    previous: HestonParameters | None = None
    for day, path in found.items():
        quotes = conform(pl.read_parquet(path).with_columns(provider=pl.lit("cboe")), OptionQuotes)
        forwards = forwards_of(quotes, instrument, calendar, CHAINS)
        closes[day], spots[day] = quotes["underlying_price"].to_numpy()[0], forwards["spot"].drop_nulls()[0]
        vols = implied_vols_of(quotes, forwards, instrument, calendar, CHAINS)
        fits = fit_snapshots(vols, HestonCalibrationSettings(), previous).to_dicts()
        if fits and fits[0]["converged"]:
            previous = HestonParameters(*(fits[0][name] for name in HestonParameters._fields))
        inside = vols.filter(pl.col("expiry") <= max(found))
        if inside.is_empty():
            continue
        kept = candidates_of(inside, CHAINS.candidates).kept
        slices = fit_surfaces(vols, SurfaceSettings())
        pages.append(profit_page(kept, forwards, slices, fits[0] if fits else None, PROFIT, commission=COMMISSION))
    return pl.concat(pages), closes, spots


def settlements_of(
    folder: Path, closes: dict[str, dict[date, float]], spots: dict[str, dict[date, float]]
) -> pl.DataFrame:
    """Settlement prices of SPXW and SPY on every day with SPX minutes."""
    bars = pl.read_parquet(folder / "bars_1m" / "SPX.parquet").filter(pl.col("session") == "rth").sort("ts")
    day = pl.col("ts").dt.convert_time_zone("America/New_York").dt.date()
    last = dict(bars.group_by(day.alias("day"), maintain_order=True).agg(pl.col("close").last()).rows())
    rows, ratio = [], float("nan")
    for when, minute in sorted(last.items()):
        if when in spots["SPX"] and when in spots["SPY"]:
            ratio = spots["SPY"][when] / spots["SPX"][when]
        index = closes["SPX"].get(when, minute)
        rows += [("SPXW", when, index), ("SPY", when, index * ratio)]
    return pl.DataFrame(rows, schema={"root": pl.String, "expiry": pl.Date, "settled": pl.Float64}, orient="row")


def scores(realised: pl.DataFrame) -> pl.DataFrame:
    """Brier scores by underlying and days to expiry, one row each."""
    horizons = {
        "all": pl.lit(True),
        "next settlement": NEXT,
        **{f"{a} to {b} days": pl.col("days").is_between(a, b) for a, b in ((1, 4), (5, 9), (10, 30))},
    }
    rows = []
    for symbol in ("SPX", "SPY"):
        for name, horizon in horizons.items():
            found = brier_scores(realised.filter(pl.col("underlying") == symbol).filter(horizon))
            counts = found.select("positions", "settlements").row(0, named=True)
            rows.append(
                {"underlying": symbol, "expiry": name, **dict(found.select("opinion", "brier").rows()), **counts}
            )
    return pl.DataFrame(rows)


def main(folder: Path) -> None:
    made = {instrument.symbol: pages_of(folder, instrument) for instrument in INSTRUMENTS}
    pages = pl.concat([page for page, _, _ in made.values()])
    settlements = settlements_of(folder, {s: m[1] for s, m in made.items()}, {s: m[2] for s, m in made.items()})
    realised = realised_profit(pages, settlements, commission=COMMISSION)
    pl.Config.set_tbl_rows(60).set_tbl_cols(20).set_float_precision(3).set_tbl_width_chars(160)
    pl.Config.set_tbl_hide_dataframe_shape(True).set_tbl_hide_column_data_types(True)
    evening_count = realised["recv_ts"].dt.date().n_unique()
    print(f"{realised.height} positions, {evening_count} evenings, {realised['expiry'].n_unique()} settlement days")
    print(
        "\nBrier scores (lower is better). 'next settlement': the nearest expiry of every evening, outcomes that do not"
    )
    print("overlap; all other rows hold the same few outcomes many times.")
    print(scores(realised))
    for opinion in ("pop_terminal", "pop_surface"):
        print(f"\nReliability of {opinion}, all", reliability(realised, 10, opinion=opinion), sep="\n")
    for opinion in ("pop_terminal", "pop_surface"):
        print(f"\nReliability of {opinion}, next settlement")
        print(reliability(realised.filter(NEXT), 10, opinion=opinion))
        found = calibration_gap(realised.filter(NEXT), opinion=opinion)
        print(
            "likelier side, won less probability: {gap:+.3f} +- {standard_error:.3f}, {settlements} days".format(
                **found
            )
        )
    for symbol in ("SPX", "SPY"):
        print(f"\nDollars per position, {symbol}")
        print(expected_beside_realised(realised.filter(pl.col("underlying") == symbol)))
    gap = realised.filter(pl.col("pop_surface").is_finite())["model_gap"].to_numpy()
    print(f"\nmodel less market: median {np.median(gap):.3f}, 5 % to 95 %: {np.quantile(gap, [0.05, 0.95])}")
    print(f"{time.process_time():.0f} CPU s")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ARGUS_SHARED_DATA", "../shared/data")))
