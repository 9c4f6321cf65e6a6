"""The partitions that every asset shares: trading days, and trading days x symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from argus_core.calendar import ALWAYS_OPEN, TradingCalendar
from argus_core.settings import CalendarSettings

WEEKENDS = "0 0 * * 6,0"

#: How far ahead holidays are excluded. exchange-calendars knows them; Dagster needs them written out.
_HOLIDAY_HORIZON = timedelta(days=5 * 366)


@dataclass(frozen=True)
class Partitions:
    """One object each, shared by all assets: different objects, even of equal content, cannot share a run."""

    date: dg.DailyPartitionsDefinition
    #: date x every symbol whose bars are published
    market: dg.MultiPartitionsDefinition
    #: date x the symbols that are traded: what has packs and experiments
    research: dg.MultiPartitionsDefinition


def build_partitions(
    settings: CalendarSettings, calendar: TradingCalendar, symbols: Sequence[str], bar_symbols: Sequence[str]
) -> Partitions:
    """Partitions of the sessions of ``calendar`` from `start_date` on, of ``symbols`` and of ``bar_symbols``.

    Weekends and holidays are exclusions, so windows count sessions and a year is one range.
    """
    if calendar.name == ALWAYS_OPEN:
        exclusions: list[str | datetime] = []
    else:
        last = min(date.today() + _HOLIDAY_HORIZON, calendar.dates[-1])
        closed = calendar.holidays(settings.start_date, last)
        exclusions = [WEEKENDS, *(datetime(d.year, d.month, d.day, tzinfo=UTC) for d in closed)]
    dates = dg.DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(),
        end_date=(settings.last_date + timedelta(days=1)).isoformat() if settings.last_date else None,
        end_offset=0,
        exclusions=exclusions or None,
    )
    research = dg.MultiPartitionsDefinition({"date": dates, "symbol": dg.StaticPartitionsDefinition(list(symbols))})
    if tuple(symbols) == tuple(bar_symbols):
        return Partitions(dates, research, research)
    names = dg.StaticPartitionsDefinition(list(bar_symbols))
    return Partitions(dates, dg.MultiPartitionsDefinition({"date": dates, "symbol": names}), research)


def date_symbol_key(day: date, symbol: str) -> str:
    """Key of one date x symbol partition (dimensions are ordered by name)."""
    return f"{day.isoformat()}|{symbol}"


def split_key(key: str) -> tuple[date, str]:
    """Date and symbol of a date x symbol key."""
    day, symbol = key.split("|", 1)
    return date.fromisoformat(day), symbol


def days_by_symbol(keys: Sequence[str]) -> dict[str, list[date]]:
    """The sorted days of every symbol among date x symbol keys."""
    found: dict[str, list[date]] = {}
    for key in keys:
        day, symbol = split_key(key)
        found.setdefault(symbol, []).append(day)
    return {symbol: sorted(days) for symbol, days in found.items()}
