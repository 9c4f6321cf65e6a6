"""Sessions, trading days, trade dates and the grid of bars that a calendar offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from argus_core.settings import Instrument, SettingsError

NEW_YORK = ZoneInfo("America/New_York")
ALWAYS_OPEN = "always_open"
UTC_US = pl.Datetime("us", "UTC")

#: Session labels (semantics §1).
EQUITY_SESSIONS = ("PRE", "RTH", "POST", "CLOSED")
CRYPTO_SESSIONS = ("ASIA", "EU", "US", "OFFPEAK")

_HORIZON = (date(1998, 1, 1), date(2035, 12, 31))

#: Session tables that ship with the package; `python -m argus_core.calendar.stored_sessions` writes them anew.
_STORED = Path(__file__).parent / "stored"


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def from_us(value: int) -> datetime:
    """The aware UTC datetime at ``value`` microseconds since the epoch."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(value))


@dataclass(frozen=True)
class TradingCalendar:
    """One calendar's session table.

    ``sessions`` has one row per trading day: ``date`` (Date), ``open_ts``, ``close_ts`` (regular hours),
    ``pre_ts``, ``post_ts`` (04:00 and 20:00 New York; equal to open and close on an always-open calendar),
    ``early_close`` (Boolean). Timestamps are UTC microseconds.
    """

    name: str
    sessions: pl.DataFrame

    @cached_property
    def dates(self) -> list[date]:
        return self.sessions["date"].to_list()

    @cached_property
    def _date_index(self) -> dict[date, int]:
        return {d: i for i, d in enumerate(self.dates)}

    @cached_property
    def _us(self) -> dict[str, np.ndarray]:
        return {
            name: self.sessions[name].dt.timestamp("us").to_numpy()
            for name in ("open_ts", "close_ts", "pre_ts", "post_ts")
        }

    def is_session(self, day: date) -> bool:
        return day in self._date_index

    def sessions_between(self, start: date, end: date) -> list[date]:
        """Trading days from ``start`` to ``end``, both included."""
        return [d for d in self.dates if start <= d <= end]

    def last_sessions(self, end: date, count: int) -> list[date]:
        """The ``count`` trading days that end at ``end`` (or at the last session before it)."""
        upto = [d for d in self.dates if d <= end]
        return upto[-count:]

    def next_session(self, day: date, offset: int = 1) -> date:
        """The trading day ``offset`` sessions after session ``day`` (negative: before)."""
        return self.dates[self._date_index[day] + offset]

    def session_bounds(self, day: date) -> tuple[datetime, datetime]:
        """Open and close of the regular session of ``day``, aware UTC.

        Raises:
            KeyError: if ``day`` is not a session.
        """
        row = self._date_index[day]
        return from_us(self._us["open_ts"][row]), from_us(self._us["close_ts"][row])

    def partition_bounds(self, day: date, instrument: Instrument) -> tuple[datetime, datetime]:
        """Half-open interval [start, end) of bar starts that belong to trade date ``day`` of ``instrument``.

        A session instrument owns its calendar day in New York. A 24/7 instrument owns everything from the close
        of the previous session to the close of its own, so nights, weekends and holidays belong to the next
        session and nothing is lost.
        """
        row = self._date_index[day]
        if self.name == ALWAYS_OPEN:
            return from_us(self._us["open_ts"][row]), from_us(self._us["close_ts"][row])
        if instrument.hours == "always":
            if row == 0:
                return from_us(self._us["close_ts"][row]) - timedelta(days=1), from_us(self._us["close_ts"][row])
            return from_us(self._us["close_ts"][row - 1]), from_us(self._us["close_ts"][row])
        start = datetime.combine(day, time(0), tzinfo=NEW_YORK).astimezone(UTC)
        end = datetime.combine(day + timedelta(days=1), time(0), tzinfo=NEW_YORK).astimezone(UTC)
        return start, end

    def trade_dates(self, ts: pl.Series, instrument: Instrument) -> pl.Series:
        """Trade date of every bar start in ``ts`` (`Datetime("us", "UTC")`), null outside the calendar's sessions.

        For session instruments a bar on a day that is no session gets null. For 24/7 instruments see
        `partition_bounds`.
        """
        us = ts.dt.timestamp("us").to_numpy()
        days = self.sessions["date"]
        if self.name == ALWAYS_OPEN:
            local = ts.dt.date()
            return local.set(~local.is_in(days.implode()), None).alias("trade_date")
        if instrument.hours == "always":
            # The bar that starts at the close already belongs to the next trade date.
            row = np.searchsorted(self._us["close_ts"], us, side="right")
            known = row < len(days)
            picked = days.gather(np.where(known, row, 0))
            return picked.set(pl.Series(~known), None).alias("trade_date")
        local = ts.dt.convert_time_zone("America/New_York").dt.date()
        return local.set(~local.is_in(days.implode()), None).alias("trade_date")

    def session_labels(self, ts: pl.Series, instrument: Instrument) -> pl.Series:
        """Session label of every moment: PRE/RTH/POST/CLOSED, or ASIA/EU/US/OFFPEAK for crypto (by UTC hour)."""
        if instrument.is_crypto:
            hour = ts.dt.hour().to_numpy()
            label = np.select([hour < 8, hour < 14, hour < 22], ["ASIA", "EU", "US"], default="OFFPEAK")
            return pl.Series("session", label, dtype=pl.String)
        us = ts.dt.timestamp("us").to_numpy()
        row = np.searchsorted(self._us["pre_ts"], us, side="right") - 1
        safe = np.maximum(row, 0)
        known = row >= 0
        label = np.select(
            [
                ~known | (us >= self._us["post_ts"][safe]),
                us < self._us["open_ts"][safe],
                us < self._us["close_ts"][safe],
            ],
            ["CLOSED", "PRE", "RTH"],
            default="POST",
        )
        return pl.Series("session", label, dtype=pl.String)

    def bar_grid(self, instrument: Instrument, start: date, end: date) -> np.ndarray:
        """Starts (int64 microseconds, ascending) of all bars that the calendar offers on trade dates start..end.

        For bars of a day or longer: one per session, stamped at the open.
        """
        chosen = self.sessions.filter(pl.col("date").is_between(start, end))
        if chosen.is_empty():
            return np.empty(0, np.int64)
        first, last = chosen["date"][0], chosen["date"][-1]
        step = instrument.bar_seconds * 1_000_000
        if instrument.bar_seconds >= 86_400:
            return chosen["open_ts"].dt.timestamp("us").to_numpy()
        if instrument.hours == "always":
            begin = to_us(self.partition_bounds(first, instrument)[0])
            stop = to_us(self.partition_bounds(last, instrument)[1])
            return np.arange(-(-begin // step) * step, stop, step, dtype=np.int64)
        lo, hi = ("open_ts", "close_ts") if instrument.hours == "rth" else ("pre_ts", "post_ts")
        opens = chosen[lo].dt.timestamp("us").to_numpy()
        closes = chosen[hi].dt.timestamp("us").to_numpy()
        # The last bar of a session must end by its close: a bar never spans sessions.
        return np.concatenate(
            [np.arange(o, c - step + 1, step, dtype=np.int64) for o, c in zip(opens, closes, strict=True)]
        )

    def bar_ends(self, ts: pl.Series, instrument: Instrument) -> pl.Series:
        """End of every bar: ts + bar_seconds; a daily bar ends at its session's close (fx: a day after its start)."""
        if instrument.bar_seconds < 86_400 or instrument.hours == "always" or instrument.asset_class == "fx":
            return ts.dt.offset_by(f"{instrument.bar_seconds}s").alias("end")
        us = ts.dt.timestamp("us").to_numpy()
        row = np.searchsorted(self._us["close_ts"], us, side="right")
        row = np.minimum(row, len(self.dates) - 1)
        return pl.Series("end", self._us["close_ts"][row]).cast(UTC_US)

    def holidays(self, start: date, end: date) -> list[date]:
        """Weekdays between ``start`` and ``end`` without a session."""
        known = self._date_index
        days = (end - start).days + 1
        every = (start + timedelta(days=i) for i in range(days))
        return [d for d in every if d.weekday() < 5 and d not in known]


@lru_cache(maxsize=8)
def load_calendar(name: str = "XNYS") -> TradingCalendar:
    """Return an exchange-calendars calendar, or `always_open` (every UTC day), as a session table.

    XNYS is stored with the package (`stored_sessions`), because building it imports pandas; other names are built.

    Raises:
        SettingsError: if the calendar is unknown.
    """
    if name == ALWAYS_OPEN:
        first, last = _HORIZON
        days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
        opens = [datetime.combine(d, time(0), tzinfo=UTC) for d in days]
        return TradingCalendar(name, _table(days, opens, [o + timedelta(days=1) for o in opens], always=True))
    stored = _STORED / f"{name}.parquet"
    return TradingCalendar(name, pl.read_parquet(stored) if stored.is_file() else build_sessions(name))


def build_sessions(name: str) -> pl.DataFrame:
    """Build the session table of an exchange-calendars calendar, 1998 to 2035.

    Raises:
        SettingsError: if the calendar is unknown.
    """
    import exchange_calendars
    import exchange_calendars.errors

    first, last = _HORIZON
    try:
        schedule = exchange_calendars.get_calendar(name, start=str(first), end=str(last)).schedule
    except exchange_calendars.errors.InvalidCalendarName:
        raise SettingsError(
            f"calendar.name: unknown calendar {name!r}. Use an exchange-calendars name (for instance XNYS) "
            f"or {ALWAYS_OPEN}."
        ) from None
    days = [stamp.date() for stamp in schedule.index]
    opens = [stamp.to_pydatetime() for stamp in schedule["open"]]
    closes = [stamp.to_pydatetime() for stamp in schedule["close"]]
    return _table(days, opens, closes)


def _table(
    days: Sequence[date], opens: Sequence[datetime], closes: Sequence[datetime], *, always: bool = False
) -> pl.DataFrame:
    def new_york(day: date, hour: int) -> datetime:
        return datetime.combine(day, time(hour), tzinfo=NEW_YORK).astimezone(UTC)

    pre = list(opens) if always else [new_york(d, 4) for d in days]
    post = list(closes) if always else [new_york(d, 20) for d in days]
    regular = timedelta(hours=6, minutes=30)
    early = [not always and close - open_ < regular for open_, close in zip(opens, closes, strict=True)]
    return pl.DataFrame(
        {"date": days, "open_ts": opens, "close_ts": closes, "pre_ts": pre, "post_ts": post, "early_close": early},
        schema={
            "date": pl.Date,
            "open_ts": UTC_US,
            "close_ts": UTC_US,
            "pre_ts": UTC_US,
            "post_ts": UTC_US,
            "early_close": pl.Boolean,
        },
    )
