"""Everything an asset needs to reach data: the project's settings, its lake, its calendar and its bar sources."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from argus_core.calendar import TradingCalendar, load_calendar
from argus_core.market.lake import Lake, Stamp, write_atomically
from argus_core.market.sources import BarSource, source_for
from argus_core.settings import Instrument, Project, canonical_hash, load_project

CONFIG_VARIABLE = "ARGUS_CONFIG"
DEFAULT_CONFIG = "config/research_loop.yaml"


@dataclass(frozen=True, eq=False)
class Workspace:
    """One loaded project with its lakes and calendar.

    ``lake`` holds the market and its labels, which every loop file over it shares. ``results`` (in
    `experiment.output_dir`) holds what one loop file made of them: runs, trades, rankings, allocations. So two loops
    can share a market without touching each other's results.
    """

    project: Project
    lake: Lake
    calendar: TradingCalendar

    @classmethod
    def open(cls, config: str | Path | None = None, *, root: str | Path | None = None) -> Workspace:
        """Load ``config`` (default: the file named by ARGUS_CONFIG, else config/research_loop.yaml)."""
        chosen = config or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG
        return cls.of(load_project(chosen, root=root))

    @classmethod
    def of(cls, project: Project) -> Workspace:
        return cls(project, Lake(project.lake_root), load_calendar(project.platform.calendar.name))

    @cached_property
    def results(self) -> Lake:
        """Experiments, rankings and allocations of this loop file."""
        return Lake(self.project.resolve(self.project.loop.experiment.output_dir))

    @cached_property
    def judged(self) -> Lake:
        """The experiments that are judged: `evaluation.input_dir`, by default those of this loop file."""
        folder = self.project.loop.evaluation.input_dir
        return Lake(self.project.resolve(folder)) if folder else self.results

    @cached_property
    def _sources(self) -> dict[str, BarSource]:
        return {}

    @cached_property
    def evaluations(self) -> dict[str, Any]:
        """The newest evaluation by the hash of its inputs: the report tells what was judged, without judging again."""
        return {}

    @cached_property
    def listeners(self) -> list[Callable[[str, str, date], None]]:
        """Called with table, symbol and date when a partition is done: a progress bar, for instance."""
        return []

    def tell(self, table: str, symbol: str, day: date) -> None:
        for listener in self.listeners:
            listener(table, symbol, day)

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes open their own sources and have no terminal.
        return {"project": self.project, "lake": self.lake, "calendar": self.calendar}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def source(self, provider: str) -> BarSource:
        """The source behind ``provider`` (`sim` or `files`), opened once."""
        if provider not in self._sources:
            self._sources[provider] = source_for(self.project, self.lake, self.calendar, provider)
        return self._sources[provider]

    def forget_landed(self) -> None:
        """Drop what was read of landed files, so that the next question sees what was imported since."""
        self._sources.pop("files", None)

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.project.symbols

    @property
    def bar_symbols(self) -> tuple[str, ...]:
        """Symbols whose bars are published: the traded ones, then references that are not traded."""
        return self.project.bar_symbols

    def instrument(self, symbol: str) -> Instrument:
        return self.project.instrument(symbol)

    def series_keys(self, symbol: str, day: date) -> dict[str, str | int | date]:
        """Lake keys of one symbol's partition in the tables bars_raw, bars, outcomes and regimes."""
        return {
            "provider": self.project.bars_provider(symbol),
            "bar_seconds": self.instrument(symbol).bar_seconds,
            "symbol": symbol,
            "date": day,
        }

    def series_hash(self, symbol: str) -> str:
        """Hash of what the bars and labels of a symbol rest on beside data: calendar, and the instrument's own terms.

        What matters to fills alone is left out.
        """
        fills = {"spread_bps", "lot", "multiplier", "exercise", "dividends"}
        terms = self.instrument(symbol).model_dump(mode="json", exclude=fills)
        return canonical_hash({"calendar": self.calendar.name, "instrument": terms})

    def stamp(self, table: str, symbol: str, day: date) -> Stamp | None:
        return self.lake.stamp(table, **self.series_keys(symbol, day))

    def read_series(self, table: str, symbol: str, days: Iterable[date]) -> pl.DataFrame:
        """Rows of one symbol's partitions of ``table`` on ``days``; days without a partition are left out."""
        return self.lake.read_many(table, [self.series_keys(symbol, day) for day in days])

    def published_days(self, symbol: str) -> list[date]:
        """Trade dates on which the symbol has published bars, ascending."""
        keys = self.series_keys(symbol, date.min)
        found = (
            one["date"]
            for one in self.lake.partitions("bars")
            if one["provider"] == keys["provider"]
            and one["symbol"] == symbol
            and one["bar_seconds"] == str(keys["bar_seconds"])
        )
        return sorted(date.fromisoformat(text) for text in found)

    def sessions(self, start: date, end: date) -> list[date]:
        return self.calendar.sessions_between(start, end)

    def window(self, day: date) -> list[date]:
        """Sessions of the replay pack that ends at ``day``.

        `last_n_days` counts sessions back from ``day``; a fixed window starts at `start_date` and ends at ``day``.
        Sessions before the calendar's start date do not exist.
        """
        first = self.project.platform.calendar.start_date
        pack = self.project.loop.pack
        if pack.last_n_days is not None:
            return [d for d in self.calendar.last_sessions(day, pack.last_n_days) if d >= first]
        return self.sessions(max(first, pack.start_date or first), day)

    def write_json(self, path: str, document: object) -> Path:
        """Write ``document`` as JSON to a path of the config, atomically."""
        target = self.project.resolve(path)
        write_atomically(target, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())
        return target


def contiguous(days: Sequence[date], calendar: TradingCalendar) -> list[tuple[date, date]]:
    """Split sorted sessions into runs of neighbouring sessions: (first, last) each."""
    runs: list[tuple[date, date]] = []
    for day in days:
        if runs and calendar.next_session(runs[-1][1]) == day:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs
