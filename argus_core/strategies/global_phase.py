"""Trade a phase of the global trading week: in at its start, with or against the move of the phase before, out at its
end."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field

from argus_core.calendar.trading import CRYPTO_SESSIONS, NEW_YORK
from argus_core.strategies import rows as on
from argus_core.strategies.family import Family
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params

_HOUR_US = 3_600_000_000
#: A phase whose first bar ends later than this after its start is left out: its price is not that of the hand-over.
_LATE_US = 300_000_000
#: First UTC hour and label; US is followed by two hours that only count as its aftermath.
_STARTS = {"ASIA": 0, "EU": 8, "US": 14}
_HOURS = {"ASIA": 8, "EU": 6, "US": 8, "WEEKEND": 48}
#: Days after which a closed market's last price no longer measures a move.
_STALE_DAYS = 5
#: New York time at which a regular session opens, in minutes.
_OPEN_MINUTE = 9 * 60 + 30


class GlobalPhaseParams(Params):
    """Parameters of `GlobalPhase`."""

    phase: Literal["ASIA", "EU", "US", "WEEKEND"] = Field(
        "US", description="phase held; a session instrument has US (its regular session) and WEEKEND"
    )
    mode: Literal["follow", "fade"] = Field("follow", description="with or against the move of the phase before")
    min_move: float = Field(0.002, ge=0, le=0.2, description="least |move| of the phase before, share of the price")
    allow_short: bool = Field(True, description="false: only long entries")
    agree_with_risk_flow: bool = Field(
        False, description="enter only where global_risk_flow has the sign of the entry; an unknown flow blocks"
    )
    stop_fraction: float | None = Field(
        0.02, ge=0.0005, le=0.5, description="distance of the stop as a share of the price; null: no stop"
    )
    lead_minutes: int = Field(
        5, ge=1, le=60, description="session instruments: minutes before the close at which US ends and WEEKEND begins"
    )


class _Phases(NamedTuple):
    """One entry per phase that can be traded: row, move of the phase before, seconds to its end."""

    rows: np.ndarray
    moves: np.ndarray
    hold: np.ndarray


class GlobalPhase(ColumnarStrategy):
    """One entry per phase. Crypto, UTC: ASIA 0-8, EU 8-14, US 14-22, WEEKEND Saturday and Sunday; before them come US
    with the pause after it, ASIA, EU, and Friday. Session instruments: US is the regular session, entered after its
    first bar on the gap that Asia and Europe left; WEEKEND lasts from Friday's close to the first bar of the next week,
    entered on Friday's move from its open.

    A phase is left out where its first bar or that of the phase before is missing, or ends more than five minutes late.
    """

    Params = GlobalPhaseParams
    family: ClassVar[Family] = Family(
        name="global_phase",
        asset_classes=("equity", "etf", "crypto"),
        max_bar_seconds=3_600,
        max_swept_parameters=5,
        # One a day; a crypto trade date of the exchange calendar holds a whole weekend.
        max_trades_per_day=2,
        max_annual_turnover=900,
    )

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: GlobalPhaseParams) -> pl.DataFrame:
        key = ("phases", params.phase, params.lead_minutes)
        phases = self._cache.get(frame, key, lambda: _phases(frame, params.phase, params.lead_minutes))
        side = np.sign(phases.moves) * (1 if params.mode == "follow" else -1)
        size = np.abs(phases.moves)
        taken = (side != 0) & (size >= params.min_move) & ((side > 0) | params.allow_short)
        if params.agree_with_risk_flow:
            flow = on.numbers(frame, "global_risk_flow")[phases.rows]
            taken &= np.sign(flow) == side
        # A move of the average size of the phases so far is one half.
        typical = np.cumsum(size) / np.arange(1, len(size) + 1)
        confidence = size / np.maximum(size + typical, 1e-12)
        at = phases.rows[taken]
        close = frame["close"].to_numpy()[at]
        leave = None
        if params.phase == "US" and not _is_crypto(frame):
            leave = ~on.holdable(frame, 60.0 * params.lead_minutes)
        return on.intent_frame(
            frame.height,
            at,
            side[taken],
            leave=leave,
            stop_distance=None if params.stop_fraction is None else params.stop_fraction * close,
            max_hold_seconds=phases.hold[taken],
            confidence=confidence[taken],
        )


def _is_crypto(frame: pl.DataFrame) -> bool:
    return frame.height > 0 and frame["session"][0] in CRYPTO_SESSIONS


def _phases(frame: pl.DataFrame, phase: str, lead_minutes: int) -> _Phases:
    if not frame.height:
        return _Phases(np.empty(0, np.int64), np.empty(0), np.empty(0))
    if _is_crypto(frame):
        return _weekends(frame) if phase == "WEEKEND" else _crypto_phases(frame, phase)
    if phase == "US":
        return _regular_sessions(frame)
    if phase == "WEEKEND":
        return _closed_weekends(frame, lead_minutes)
    raise ValueError(
        f"GlobalPhase: phase {phase} needs a series that trades around the clock; a session instrument is closed then. "
        "Choose US or WEEKEND."
    )


def _crypto_phases(frame: pl.DataFrame, phase: str) -> _Phases:
    """Phases of the UTC day, by decision time: the bar that ends at the hand-over opens the phase."""
    end = on.stamps(frame, "end")
    midnight = end // on.DAY_US * on.DAY_US
    hours = np.array(list(_STARTS.values()))
    number = np.searchsorted(hours, (end - midnight) // _HOUR_US, side="right") - 1
    start = midnight + hours[number] * _HOUR_US
    names = list(_STARTS)
    spans = np.diff([*hours, 24]) * _HOUR_US
    return _after(frame, start, number, names.index(phase), spans, _HOURS[phase])


def _weekends(frame: pl.DataFrame) -> _Phases:
    """Saturday and Sunday UTC after Friday."""
    end = on.stamps(frame, "end")
    day = end // on.DAY_US
    weekday = on.weekdays(day)
    # 0 Monday to Thursday, 1 Friday, 2 the weekend.
    number = np.select([weekday < 4, weekday == 4], [0, 1], default=2)
    start = (day - weekday + np.array([0, 4, 5])[number]) * on.DAY_US
    return _after(frame, start, number, 2, np.array([4, 1, 2]) * on.DAY_US, _HOURS["WEEKEND"])


def _after(
    frame: pl.DataFrame, start: np.ndarray, number: np.ndarray, wanted: int, spans: np.ndarray, hours: int
) -> _Phases:
    """Phases ``wanted`` whose first bar, and that of the phase before, are in time.

    Args:
        start: start of the phase of every row, microseconds.
        number: number of the phase in its cycle.
        spans: microseconds from the start of a phase of that number to the start of the next.
    """
    end = on.stamps(frame, "end")
    first = on.group_starts(start)
    in_time = end[first] - start[first] <= _LATE_US
    close = frame["close"].to_numpy()[first]
    joined = np.zeros(len(first), bool)
    before = (number[first] - 1) % len(spans)
    joined[1:] = in_time[:-1] & (start[first[1:]] - start[first[:-1]] == spans[before[1:]])
    chosen = np.flatnonzero(in_time & joined & (number[first] == wanted))
    at = first[chosen]
    hold = (start[at] + hours * _HOUR_US - on.stamps(frame, "available_at")[at]) / 1e6
    return _usable(at, close[chosen] / close[chosen - 1] - 1.0, hold)


def _regular_sessions(frame: pl.DataFrame) -> _Phases:
    """Every regular session, after its first bar, with the gap since the close before."""
    regular = np.flatnonzero((frame["session"] == "RTH").to_numpy())
    day = on.day_ordinals(frame)[regular]
    first = on.group_starts(day)[1:]
    at, last = regular[first], regular[first - 1]
    fresh = day[first] - day[first - 1] <= _STALE_DAYS
    fresh &= on.numbers(frame, "minute_of_session")[at] <= _LATE_US / 60e6
    at, last = at[fresh], last[fresh]
    close = frame["close"].to_numpy()
    return _usable(at, close[at] / close[last] - 1.0, on.numbers(frame, "seconds_to_close")[at])


def _closed_weekends(frame: pl.DataFrame, lead_minutes: int) -> _Phases:
    """Every Friday shortly before the close, with its move since the open; held to Monday's open in New York."""
    day = on.day_ordinals(frame)
    to_close = on.numbers(frame, "seconds_to_close")
    minute = on.numbers(frame, "minute_of_session")
    friday = (on.weekdays(day) == 4) & (frame["session"] == "RTH").to_numpy()
    closing = friday & (to_close > 0) & (to_close <= np.maximum(60.0 * lead_minutes, on.bar_seconds(frame)))
    at = on.first_of_each(closing, day)
    opening = on.first_of_each(friday, day)
    opening = opening[np.searchsorted(day[opening], day[at])]
    in_time = minute[opening] <= _LATE_US / 60e6
    at, opening = at[in_time], opening[in_time]
    monday = pl.Series(day[at] + 3).cast(pl.Int32).cast(pl.Date).cast(pl.Datetime("us"))
    local = monday.dt.offset_by(f"{_OPEN_MINUTE}m").dt.replace_time_zone(NEW_YORK.key)
    hold = (local.dt.timestamp("us").to_numpy() - on.stamps(frame, "available_at")[at]) / 1e6
    return _usable(at, frame["close"].to_numpy()[at] / frame["open"].to_numpy()[opening] - 1.0, hold)


def _usable(rows: np.ndarray, moves: np.ndarray, hold: np.ndarray) -> _Phases:
    kept = np.isfinite(moves) & (hold > 0)
    return _Phases(rows[kept], moves[kept], hold[kept])
