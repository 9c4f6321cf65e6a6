"""The fixed markets of the golden runs: simulated sessions, real minutes, real chains. Nothing of config/ enters.

Changing a date, an instrument or a setting here changes the golden runs: accept them anew (`make golden`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl

from argus_core.calendar import TradingCalendar, load_calendar
from argus_core.experiments.replays import Market, market_of
from argus_core.market.schemas import OptionQuotes, RawBars, conform, empty
from argus_core.market.sources import SimulatedSource
from argus_core.packs.rehearsal import RawSource, rehearsal_pack
from argus_core.settings import Instrument, LoopSettings, PlatformSettings, Project, UniverseSettings

REFERENCES = {"SPY": ["QQQ"], "IBIT": ["BTC"]}

UNIVERSE: dict[str, Any] = {
    "instruments": {
        "SPY": {"asset_class": "etf", "spread_bps": 0.25, "options": True},
        "QQQ": {"asset_class": "etf", "spread_bps": 0.3},
        "IBIT": {"asset_class": "etf", "spread_bps": 2.0},
        "BTC": {"asset_class": "crypto", "hours": "always", "lot": 1e-5, "spread_bps": 1.0},
        "EWJ": {"asset_class": "etf", "bar_seconds": 86400},
        "EWG": {"asset_class": "etf", "bar_seconds": 86400},
    },
    "risk_basket": {"SPY": "on", "IBIT": "on"},
}


@dataclass(frozen=True)
class Window:
    """One fixed stretch of data."""

    name: str
    first: date
    last: date


SIMULATED = Window("simulated", date(2025, 1, 6), date(2025, 1, 28))
#: Minutes of SPY and QQQ (`bars_1m`), and of BTC (`crypto_1m`).
REAL = Window("real", date(2025, 11, 3), date(2025, 11, 21))
#: Evening chains of SPY over SPX minutes scaled to SPY: the only real window with chains of many days.
REAL_CHAINS = Window("real_chains", date(2026, 7, 17), date(2026, 8, 18))


#: Sessions of a window with minutes around the clock, of the symbol or its reference: four times as many.
ALWAYS_SESSIONS = 8
#: Daily bars of IBIT (`bars_1d`; there are no minutes) beside minutes of BTC.
REAL_DAYS = Window("real_days", date(2025, 1, 2), date(2025, 2, 7))


@dataclass(frozen=True)
class Golden:
    """A market to replay on, and the hash of the pack it comes from."""

    market: Market
    pack_hash: str


class RealSource:
    """Rows of the shared data, as `argus import` would land them."""

    def __init__(self, folder: Path, calendar: TradingCalendar, window: Window) -> None:
        self.folder, self.calendar, self.window = folder, calendar, window
        self._read: dict[str, pl.DataFrame] = {}

    def bars(self, instrument: Instrument, day: date) -> pl.DataFrame:
        symbol = instrument.symbol
        if symbol not in self._read:
            self._read[symbol] = self._series(instrument)
        return self._read[symbol].filter(pl.col("trade_date") == day).drop("trade_date")

    def references(self, symbols: Sequence[str], day: date) -> pl.DataFrame:
        return empty(RawBars)

    def option_quotes(self, underlying: str, day: date) -> pl.DataFrame:
        path = self.folder / "option_quotes" / f"{underlying}_{day}_eod.parquet"
        if not path.is_file():
            return empty(OptionQuotes)
        near = pl.col("expiry") - pl.lit(day) <= timedelta(days=60)
        tradable = (pl.col("strike") / pl.col("underlying_price")).is_between(0.9, 1.1)
        quotes = pl.scan_parquet(path).filter(near & tradable).collect()
        return conform(quotes.with_columns(provider=pl.lit("sim")), OptionQuotes)

    def _series(self, instrument: Instrument) -> pl.DataFrame:
        symbol, ratio = instrument.symbol, 1.0
        if instrument.bar_seconds == 86_400:
            rows = pl.scan_parquet(self.folder / "bars_1d" / f"{symbol}.parquet")
        elif instrument.is_crypto:
            rows = pl.scan_parquet(self.folder / "crypto_1m" / f"{symbol}USDT.parquet")
        elif self.window is REAL_CHAINS:
            rows = pl.scan_parquet(self.folder / "bars_1m" / "SPX.parquet").filter(pl.col("session") == "rth")
            ratio = 0.1
        else:
            rows = pl.scan_parquet(self.folder / "bars_1m" / f"{symbol}.parquet").filter(pl.col("session") == "rth")
        around = timedelta(days=5)
        dates = pl.col("ts").dt.date().is_between(self.window.first - around, self.window.last + around)
        frame = rows.filter(dates).sort("ts").collect()
        volume = pl.lit(1e5) if self.window is REAL_CHAINS else pl.col("volume")
        raw = frame.with_columns(
            pl.col("open", "high", "low", "close") * ratio,
            volume=volume,
            provider=pl.lit("sim"),
            symbol=pl.lit(symbol),
            bar_seconds=pl.lit(instrument.bar_seconds, pl.Int32),
            bid=pl.lit(None, pl.Float64),
            ask=pl.lit(None, pl.Float64),
            volume_scope=pl.lit("sip"),
        )
        return conform(raw, RawBars).with_columns(trade_date=self.calendar.trade_dates(frame["ts"], instrument))


@lru_cache(maxsize=1)
def calendar() -> TradingCalendar:
    return load_calendar("XNYS")


@lru_cache(maxsize=1)
def packs_folder() -> Path:
    return Path(mkdtemp(prefix="argus_golden_"))


def project_of(symbol: str, window: Window = SIMULATED) -> Project:
    """The fixed project: defaults but one chain snapshot a day and a small risk flow, to be quick."""
    instruments = dict(UNIVERSE["instruments"])
    if window is REAL_DAYS:
        instruments[symbol] = {**instruments[symbol], "bar_seconds": 86_400}
    loop = LoopSettings.parse(
        {
            "pack": {"symbols": [symbol], "last_n_days": 1, "references": REFERENCES},
            "strategies": [{"strategy_class": "BuyAndHold"}],
        },
        source="golden",
    )
    platform = PlatformSettings.parse(
        {
            "providers": {"simulation": {"option_snapshot_times": ["15:00"]}},
            "risk_flow": {"asia": ["EWJ"], "europe": ["EWG"], "fx": []},
        },
        source="golden",
    )
    universe = UniverseSettings.parse({**UNIVERSE, "instruments": instruments}, source="golden")
    return Project(Path("/"), Path("/golden.yaml"), loop, platform, universe)


@lru_cache(maxsize=16)
def golden_market(window: Window, symbol: str, shared_data: Path | None = None) -> Golden:
    """The market of one symbol in one window; sealed once per process."""
    project = project_of(symbol, window)
    source: RawSource = SimulatedSource(project, calendar())
    if window is not SIMULATED:
        assert shared_data is not None
        source = RealSource(shared_data, calendar(), window)
    sessions = calendar().sessions_between(window.first, window.last)
    instruments = [project.instrument(name) for name in (symbol, *REFERENCES.get(symbol, ()))]
    if window is not REAL_DAYS and any(one.hours == "always" for one in instruments):
        sessions = sessions[-ALWAYS_SESSIONS:]
    pack = rehearsal_pack(project, calendar(), source, symbol, sessions, packs_folder() / window.name)
    return Golden(market_of(pack, project, calendar()), pack.pack_hash)
