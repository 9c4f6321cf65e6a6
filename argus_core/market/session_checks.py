"""Session-level checks of gated bars: is this session whole, its own, and in the scale of those before it?"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import to_us
from argus_core.market.gate_report import GateCheck
from argus_core.settings import GateSettings, Instrument

_DAY = 86_400
#: Sessions of the past that scale and duplicates are measured against.
LOOKBACK_SESSIONS = 20
_MIN_SESSIONS = 3
#: Calendar days for which the last published close stays a measure of the level. Long, so that a blocked split does not
#: pass by itself after some days.
_SPLIT_MEMORY_DAYS = 90


def session_checks(
    published: pl.DataFrame,
    refused: pl.DataFrame,
    instrument: Instrument,
    day: date,
    calendar: TradingCalendar,
    settings: GateSettings,
    *,
    past: pl.DataFrame,
    lasting_jumps: int,
) -> list[GateCheck]:
    """All checks of one session, always the same names in the same order.

    ``published`` and ``past`` are Bars sorted by ts (``past``: sessions before ``day``), ``refused`` Quarantine rows.
    """
    is_session = calendar.is_session(day)
    counts = dict(refused.group_by("reason").len().rows())
    outside = int(counts.pop("OUTSIDE_HOURS", 0))
    errors = int(sum(counts.values()))
    total = published.height + errors
    last = past["trade_date"].unique().sort().tail(LOOKBACK_SESSIONS)
    past = past.filter(pl.col("trade_date").is_in(last.implode()))
    return [
        GateCheck("session", is_session, True, float(is_session), 1.0, f"{day} in calendar {calendar.name}"),
        GateCheck("rows", published.height > 0, True, float(published.height), 1.0, "good rows"),
        _completeness(published, instrument, day, calendar, settings),
        _late_start(published, instrument, day, calendar, settings),
        _stale(published, settings),
        GateCheck(
            "lasting_jump",
            lasting_jumps == 0,
            True,
            float(lasting_jumps),
            0.0,
            f"one-bar moves beyond {settings.max_jump:.0%} that did not come back",
        ),
        _split(published, past, instrument, day, settings),
        _volume_scale(published, past, settings),
        _one_scope(published),
        _same_scope_as_before(published, past),
        _duplicate_day(published, past, instrument, day, calendar, settings),
        _previous_close(published, past, instrument, settings),
        GateCheck(
            "refused_share",
            errors == 0,
            False,
            errors / total if total else 0.0,
            0.0,
            ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items())) or "no row refused",
        ),
        GateCheck("outside_hours", True, False, float(outside), None, "rows outside the instrument's hours"),
    ]


def _completeness(
    published: pl.DataFrame, instrument: Instrument, day: date, calendar: TradingCalendar, settings: GateSettings
) -> GateCheck:
    """Share of the offered bars that are there. Extended series are judged by their regular hours: a minute in which
    nothing traded before the open has no bar."""
    expected, found, what = 0, 0, "bars"
    if calendar.is_session(day):
        grid = calendar.bar_grid(instrument, day, day)
        got = published["ts"].dt.timestamp("us").to_numpy()
        if instrument.hours == "extended" and instrument.bar_seconds < _DAY:
            opened, closed = (to_us(moment) for moment in calendar.session_bounds(day))
            grid = grid[(grid >= opened) & (grid < closed)]
            got = got[(got >= opened) & (got < closed)]
            what = "regular-hours bars"
        expected, found = len(grid), len(got)
    share = found / expected if expected else 0.0
    return GateCheck(
        "completeness",
        share >= settings.min_completeness,
        True,
        share,
        settings.min_completeness,
        f"{found} of {expected} {what}",
    )


def _late_start(
    published: pl.DataFrame, instrument: Instrument, day: date, calendar: TradingCalendar, settings: GateSettings
) -> GateCheck:
    limit = float(settings.max_late_start_minutes)
    if published.is_empty() or not calendar.is_session(day) or instrument.bar_seconds >= _DAY:
        return GateCheck("late_start", True, True, None, limit, "nothing to measure")
    if instrument.hours == "always":
        start = to_us(calendar.partition_bounds(day, instrument)[0])
    else:
        start = to_us(calendar.session_bounds(day)[0])
    ts = published["ts"].dt.timestamp("us").to_numpy()
    after = ts[ts >= start]
    if not len(after):
        return GateCheck("late_start", False, True, None, limit, "no bar after the open")
    minutes = float(after[0] - start) / 60e6
    return GateCheck("late_start", minutes <= limit, True, minutes, limit, "minutes from the open to the first bar")


def _stale(published: pl.DataFrame, settings: GateSettings) -> GateCheck:
    """Longest run of bars whose close repeats the one before and that traded nothing."""
    longest = 0
    if published.height > 1:
        close, volume = published["close"].to_numpy(), published["volume"].to_numpy()
        frozen = np.concatenate([[False], (close[1:] == close[:-1]) & (volume[1:] == 0)])
        ends = np.flatnonzero(~frozen)
        longest = int(np.max(np.diff(np.append(ends, len(frozen)))) - 1)
    limit = settings.max_stale_bars
    detail = "bars in a row with unchanged close and no volume"
    return GateCheck("stale", longest <= limit, True, float(longest), float(limit), detail)


def _split(
    published: pl.DataFrame, past: pl.DataFrame, instrument: Instrument, day: date, settings: GateSettings
) -> GateCheck:
    """Is the first price near n or 1/n times the last close of the session before?

    Of minutes both the first open and the first close are tried: the opening print of a split's day can still be at
    the old price (AAPL, 2014-06-09 04:00).
    """
    limit = settings.split_tolerance
    if published.is_empty() or past.is_empty() or (day - past["trade_date"][-1]).days > _SPLIT_MEMORY_DAYS:
        return GateCheck("split", True, True, None, limit, "no session shortly before")
    firsts = ["open", "close"] if instrument.bar_seconds < _DAY else ["open"]
    ratios = [float(published[c][0]) / float(past["close"][-1]) for c in firsts]
    distance, near, ratio = min((*split_distance(r, settings.split_ratios)[::-1], r) for r in ratios)
    return GateCheck(
        "split",
        distance > limit,
        True,
        distance,
        limit,
        f"first price / previous close = {ratio:.4f}, distance to {near:.4g}. If it is a split, adjust the file",
    )


def split_distance(ratio: float, ratios: tuple[float, ...]) -> tuple[float, float]:
    """The split ratio (given or inverse) nearest to ``ratio`` and the relative distance to it."""
    every = sorted({float(r) for r in ratios} | {1 / float(r) for r in ratios})
    nearest = min(every, key=lambda r: abs(ratio / r - 1))
    return nearest, abs(ratio / nearest - 1)


def _volume_scale(published: pl.DataFrame, past: pl.DataFrame, settings: GateSettings) -> GateCheck:
    """Mean volume per bar against the median of the sessions before: a single venue is 50 times too small.

    Per bar, so that a half day or a late start is not taken for another scope.
    """
    limit = settings.min_volume_share
    scoped = pl.col("volume_scope") != "none"
    before = past.filter(scoped).group_by("trade_date").agg(pl.col("volume").mean()).sort("trade_date")
    today = published.filter(scoped)["volume"].mean()
    usual = before["volume"].median()
    if not isinstance(today, float) or before.height < _MIN_SESSIONS or not isinstance(usual, float) or usual <= 0:
        return GateCheck("volume_scale", True, True, None, limit, f"fewer than {_MIN_SESSIONS} sessions with volumes")
    share = today / usual
    detail = f"mean volume per bar {today:.6g} against {usual:.6g} (median of {before.height} sessions)"
    return GateCheck("volume_scale", share >= limit, True, share, limit, detail)


def _one_scope(published: pl.DataFrame) -> GateCheck:
    scopes = published["volume_scope"].unique().sort().to_list()
    detail = f"volume scopes within the session: {', '.join(scopes) or 'none'}"
    return GateCheck("one_volume_scope", len(scopes) <= 1, True, float(len(scopes)), 1.0, detail)


def _same_scope_as_before(published: pl.DataFrame, past: pl.DataFrame) -> GateCheck:
    name = "volume_scope_change"
    if published.is_empty() or past.is_empty():
        return GateCheck(name, True, False, None, 0.0, "no session before")
    now, before = published["volume_scope"][0], past["volume_scope"][-1]
    changed = now != before
    detail = f"{before} -> {now}: do not compare volumes across them" if changed else f"still {now}"
    return GateCheck(name, not changed, False, float(changed), 0.0, detail)


def _duplicate_day(
    published: pl.DataFrame,
    past: pl.DataFrame,
    instrument: Instrument,
    day: date,
    calendar: TradingCalendar,
    settings: GateSettings,
) -> GateCheck:
    """Largest share of bars that equal those of one earlier session at the same distance from its start."""
    limit = settings.max_duplicate_share
    values = ["open", "high", "low", "close", "volume"]
    if published.is_empty() or past.is_empty():
        return GateCheck("duplicate_day", True, True, None, limit, "no session before")

    def shifted(frame: pl.DataFrame) -> pl.DataFrame:
        days = frame["trade_date"].unique().to_list()
        starts = [calendar.partition_bounds(d, instrument)[0] for d in days]
        start = pl.col("trade_date").replace_strict(days, starts, return_dtype=pl.Datetime("us", "UTC"))
        offset = pl.lit(0, pl.Int64) if instrument.bar_seconds >= _DAY else (pl.col("ts") - start).dt.total_seconds()
        return frame.select("trade_date", offset.alias("offset"), *values)

    equal = pl.all_horizontal([pl.col(c) == pl.col(f"{c}_now") for c in values])
    shares = (
        shifted(past)
        .join(shifted(published).drop("trade_date"), on="offset", suffix="_now")
        .group_by("trade_date")
        .agg(equal.sum().alias("equal"))
        .with_columns((pl.col("equal") / published.height).alias("share"))
        .sort("share", "trade_date", descending=True)
    )
    if shares.is_empty():
        return GateCheck("duplicate_day", True, True, 0.0, limit, "no bar at a comparable time")
    share, other = float(shares["share"][0]), shares["trade_date"][0]
    detail = f"share of bars equal to those of {other}"
    return GateCheck("duplicate_day", share < limit, True, share, limit, detail)


def _previous_close(
    published: pl.DataFrame, past: pl.DataFrame, instrument: Instrument, settings: GateSettings
) -> GateCheck:
    """Daily bars: did the previous session's thin bar close at a price that this open does not confirm?

    Only the session before is judged, with data up to ``day``: it is already published and stays as it is.
    """
    limit, name = settings.max_close_reversal, "previous_close"
    if instrument.bar_seconds < _DAY or published.is_empty() or past.height <= _MIN_SESSIONS:
        return GateCheck(name, True, False, None, limit, "nothing to measure")
    gap = float(published["open"][0]) / float(past["close"][-1]) - 1
    usual = past["volume"][:-1].median()
    thin = isinstance(usual, float) and past["volume"][-1] < settings.partial_day_volume_share * usual
    wrong = abs(gap) > limit and thin
    detail = f"open / close of {past['trade_date'][-1]} - 1, whose volume was {'thin' if thin else 'usual'}"
    return GateCheck(name, not wrong, False, abs(gap), limit, detail)
