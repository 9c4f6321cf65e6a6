"""Where raw market data of one trade date come from: the simulated market, or what `argus import` landed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import to_us
from argus_core.market.importing.landing import BARS, OPTIONS, landed_option_dates, landed_periods
from argus_core.market.lake import ENGINE_VERSION, Lake, content_hash, hash_of
from argus_core.market.reference_gates import daily_instrument
from argus_core.market.schemas import OptionQuotes, RawBars, conform, empty
from argus_core.settings import Instrument, Project, SettingsError, canonical_hash

if TYPE_CHECKING:
    from argus_core.market.simulation import SimulatedMarket

_DAY = 86_400
#: Periods of landed data kept in memory: some years of a few symbols.
CACHED_PERIODS = 96


class BarSource(Protocol):
    """One provider's raw data by trade date. Nothing is gated here."""

    def bars(self, instrument: Instrument, day: date) -> pl.DataFrame:
        """RawBars of one trade date, sorted by ts; empty where the source has none."""
        ...

    def references(self, symbols: Sequence[str], day: date) -> pl.DataFrame:
        """Daily RawBars of ``symbols`` on one trade date, sorted by symbol; a missing symbol is just missing."""
        ...

    def option_quotes(self, underlying: str, day: date) -> pl.DataFrame:
        """OptionQuotes of one trade date, sorted by ts, recv_ts, contract; empty where the source has none."""
        ...

    def newest_date(self, instrument: Instrument) -> date | None:
        """Newest trade date with data; None without any."""
        ...

    def fingerprint(self, instrument: Instrument, day: date) -> str:
        """A hash that changes when, and only when, what `bars` returns for that day can change; "" without rows."""
        ...

    def reference_fingerprint(self, symbols: Sequence[str], day: date) -> str:
        """The same for `references`."""
        ...

    def option_fingerprint(self, underlying: str, day: date) -> str:
        """The same for `option_quotes`."""
        ...


def source_for(project: Project, lake: Lake, calendar: TradingCalendar, provider: str) -> BarSource:
    """The source called ``provider``: `sim` or `files`.

    Raises:
        SettingsError: for any other name.
    """
    if provider == "sim":
        return SimulatedSource(project, calendar)
    if provider == "files":
        return LandedSource(lake, calendar, project)
    raise SettingsError(f"provider {provider!r} is unknown. Use sim or files (config/argus.yaml: providers).")


class SimulatedSource:
    """The simulated market as a source. The simulator is imported on the first question."""

    def __init__(self, project: Project, calendar: TradingCalendar) -> None:
        self._project = project
        self._calendar = calendar
        self._built: SimulatedMarket | None = None

    @property
    def _market(self) -> SimulatedMarket:
        if self._built is None:
            from argus_core.market.simulation import SimulatedMarket

            settings = self._project.platform.providers.simulation
            self._built = SimulatedMarket(settings, self._calendar, self._project.universe.instruments)
        return self._built

    def bars(self, instrument: Instrument, day: date) -> pl.DataFrame:
        return self._market.bars(instrument.symbol, day)

    def references(self, symbols: Sequence[str], day: date) -> pl.DataFrame:
        return self._market.daily_bars(list(symbols), day)

    def option_quotes(self, underlying: str, day: date) -> pl.DataFrame:
        return self._market.option_quotes(underlying, day)

    def newest_date(self, instrument: Instrument) -> date | None:
        """A simulated market has every session: the calendar's last."""
        return self._calendar.dates[-1]

    def fingerprint(self, instrument: Instrument, day: date) -> str:
        return self._hash("bars", instrument.symbol, day)

    def reference_fingerprint(self, symbols: Sequence[str], day: date) -> str:
        return self._hash("references", ",".join(sorted(symbols)), day)

    def option_fingerprint(self, underlying: str, day: date) -> str:
        return self._hash("options", underlying, day)

    @cached_property
    def _settings_hash(self) -> str:
        settings = self._project.platform.providers.simulation.config_hash
        return hash_of([ENGINE_VERSION, settings, canonical_hash(self._project.universe.model_dump(mode="json"))])

    def _hash(self, kind: str, name: str, day: date) -> str:
        return hash_of([self._settings_hash, kind, name, str(day)])


class LandedSource:
    """The landing tables of a lake as a source.

    Landed periods (a month of minutes, a year of daily bars) stay in memory, so that asking for consecutive days
    costs a slice each. A source is a view of the lake as it was first read: make a new one after an import.
    """

    def __init__(self, lake: Lake, calendar: TradingCalendar, project: Project | None = None) -> None:
        self._lake = lake
        self._calendar = calendar
        self._instruments = project.universe.instruments if project else {}
        self._cache: OrderedDict[tuple[int, str, str], tuple[np.ndarray, pl.DataFrame]] = OrderedDict()
        self._periods: dict[tuple[int, str], list[str]] = {}
        self._reference_hashes: dict[tuple[tuple[str, ...], date], str] = {}

    def bars(self, instrument: Instrument, day: date) -> pl.DataFrame:
        if not self._calendar.is_session(day):
            return empty(RawBars)
        if instrument.bar_seconds >= _DAY and instrument.asset_class == "fx":
            # A vendor's fx day is a UTC date; its bar ends (and is published) on the evening of that date in New York.
            start = (day - date(1970, 1, 1)) // timedelta(days=1) * _DAY * 1_000_000
            return self._slice(instrument.symbol, instrument.bar_seconds, start, start + _DAY * 1_000_000)
        begin, stop = (to_us(moment) for moment in self._calendar.partition_bounds(day, instrument))
        return self._slice(instrument.symbol, instrument.bar_seconds, begin, stop)

    def references(self, symbols: Sequence[str], day: date) -> pl.DataFrame:
        frames = [self.bars(daily_instrument(symbol, self._instruments), day) for symbol in sorted(set(symbols))]
        found = [frame for frame in frames if frame.height]
        return pl.concat(found) if found else empty(RawBars)

    def option_quotes(self, underlying: str, day: date) -> pl.DataFrame:
        if not self._lake.exists(OPTIONS, underlying=underlying, date=day):
            return empty(OptionQuotes)
        return conform(self._lake.read(OPTIONS, underlying=underlying, date=day), OptionQuotes)

    def newest_date(self, instrument: Instrument) -> date | None:
        for period in reversed(self._known(instrument.bar_seconds, instrument.symbol)):
            _, frame = self._period(instrument.bar_seconds, instrument.symbol, period)
            if instrument.asset_class == "fx" and instrument.bar_seconds >= _DAY:
                dates = frame["ts"].dt.date()
            else:
                dates = self._calendar.trade_dates(frame["ts"], instrument)
            newest = dates.max()
            if isinstance(newest, date):
                return newest
        return None

    def newest_option_date(self, underlying: str) -> date | None:
        """Newest trade date with landed quotes of ``underlying``."""
        dates = landed_option_dates(self._lake, underlying)
        return date.fromisoformat(dates[-1]) if dates else None

    def fingerprint(self, instrument: Instrument, day: date) -> str:
        return _hash_of_rows(self.bars(instrument, day))

    def reference_fingerprint(self, symbols: Sequence[str], day: date) -> str:
        # Every date's gate asks for the sessions before it too.
        key = (tuple(symbols), day)
        if key not in self._reference_hashes:
            self._reference_hashes[key] = _hash_of_rows(self.references(symbols, day))
        return self._reference_hashes[key]

    def option_fingerprint(self, underlying: str, day: date) -> str:
        stamp = self._lake.stamp(OPTIONS, underlying=underlying, date=day)
        return stamp.data_hash if stamp else ""

    def _slice(self, symbol: str, bar_seconds: int, begin: int, stop: int) -> pl.DataFrame:
        known = self._known(bar_seconds, symbol)
        frames = []
        for period in _periods(begin, stop, daily=bar_seconds >= _DAY):
            if period not in known:
                continue
            ts, frame = self._period(bar_seconds, symbol, period)
            first, last = np.searchsorted(ts, [begin, stop])
            if last > first:
                frames.append(frame.slice(int(first), int(last - first)))
        if not frames:
            return empty(RawBars)
        return frames[0] if len(frames) == 1 else pl.concat(frames)

    def _known(self, bar_seconds: int, symbol: str) -> list[str]:
        key = (bar_seconds, symbol)
        if key not in self._periods:
            self._periods[key] = landed_periods(self._lake, bar_seconds, symbol)
        return self._periods[key]

    def _period(self, bar_seconds: int, symbol: str, period: str) -> tuple[np.ndarray, pl.DataFrame]:
        key = (bar_seconds, symbol, period)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        raw = self._lake.read(BARS, bar_seconds=bar_seconds, symbol=symbol, period=period)
        frame = conform(raw, RawBars)
        self._cache[key] = (frame["ts"].dt.timestamp("us").to_numpy(), frame)
        while len(self._cache) > CACHED_PERIODS:
            self._cache.popitem(last=False)
        return self._cache[key]


def _hash_of_rows(frame: pl.DataFrame) -> str:
    return content_hash(frame) if frame.height else ""


def _periods(begin: int, stop: int, *, daily: bool) -> list[str]:
    """Periods (`YYYY` or `YYYY-MM`, UTC) that [begin, stop) in microseconds touches."""
    first = date(1970, 1, 1) + timedelta(microseconds=begin)
    last = date(1970, 1, 1) + timedelta(microseconds=stop - 1)
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    return list(dict.fromkeys(d.strftime("%Y" if daily else "%Y-%m") for d in days))
