"""Write a simulated market as files in the layout that the importer reads (docs/importing.md)."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from argus_core.market.lake import write_atomically
from argus_core.market.simulation.market import SimulatedMarket
from argus_core.settings import Instrument

_FOLDERS = {60: "bars_1m_quotes", 300: "bars_5m", 3600: "bars_1h", 86_400: "bars_1d"}
_BAR_COLUMNS = ("ts", "symbol", "open", "high", "low", "close", "volume", "bid", "ask", "volume_scope")


def export_market(
    market: SimulatedMarket,
    instruments: Sequence[Instrument],
    days: Sequence[date],
    folder: Path,
    *,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, int]:
    """Write bars of ``instruments``, and chains of those with options, one file per series.

    Args:
        market: the simulated market.
        instruments: which series; one with ``options`` also gets a file of chains.
        days: trade dates.
        folder: receives `bars_1m_quotes/SPY.parquet`, `crypto_1m/BTC.parquet`, `option_quotes/SPY.parquet` and so on.
        progress: called with each file's name before it is made.

    Returns:
        rows by file name, relative to ``folder``. The same market and days give the same bytes.
    """
    written: dict[str, int] = {}

    def write(name: str, frames: list[pl.DataFrame]) -> None:
        rows = pl.concat(frames).with_columns(pl.lit("simulated").alias("source"))
        content = io.BytesIO()
        rows.write_parquet(content, compression="zstd")
        write_atomically(folder / name, content.getvalue())
        written[name] = rows.height

    for instrument in instruments:
        symbol = instrument.symbol
        place = _folder(instrument)
        progress(f"{place}/{symbol}")
        if instrument.bar_seconds >= 86_400:
            frames = [market.daily_bars([symbol], day) for day in days]
        else:
            frames = [market.bars(symbol, day) for day in days]
        write(f"{place}/{symbol}.parquet", [frame.select(_BAR_COLUMNS) for frame in frames])
        if instrument.options:
            progress(f"option_quotes/{symbol}")
            chains = [market.option_quotes(symbol, day).drop("provider") for day in days]
            write(f"option_quotes/{symbol}.parquet", chains)
    return written


def _folder(instrument: Instrument) -> str:
    if instrument.asset_class == "fx":
        return "fx_1d"
    if instrument.is_crypto and instrument.bar_seconds == 60:
        return "crypto_1m"
    return _FOLDERS[instrument.bar_seconds]
