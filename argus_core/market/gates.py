"""QA gates (semantics §2): bars of one trade date become published rows, quarantined rows and checks.

Row-level gates refuse rows and go on; session-level checks judge what is left. A refused row carries exactly one
reason, the first in the order below, so rows in = rows published + rows quarantined. Nothing is filled in: a bar that
is missing stays missing. The order of the input never matters.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import UTC_US, to_us
from argus_core.market.gate_report import GateCheck, GateReport, refusals
from argus_core.market.option_gates import gate_option_quotes
from argus_core.market.reference_gates import gate_references
from argus_core.market.schemas import Bars, RawBars, column_types, conform, empty
from argus_core.market.session_checks import session_checks
from argus_core.settings import GateSettings, Instrument

__all__ = ["GateCheck", "GateReport", "gate_bars", "gate_option_quotes", "gate_references"]

_PRICES = ("open", "high", "low", "close")
_NULLABLE = ("volume", "bid", "ask")
_DAY = 86_400


def gate_bars(
    raw: pl.DataFrame,
    instrument: Instrument,
    day: date,
    calendar: TradingCalendar,
    settings: GateSettings,
    *,
    delay_seconds: int = 0,
    recent: pl.DataFrame | None = None,
) -> GateReport:
    """Gate the raw bars of one instrument and one trade date.

    Args:
        raw: RawBars rows, in any order; extra columns are ignored.
        instrument: whose hours and bar length the rows must have.
        day: the trade date.
        calendar: sessions and the grid of bars.
        settings: thresholds.
        delay_seconds: the provider's publication delay, added to the end of a bar to give `available_at`.
        recent: published bars of earlier sessions (Bars). Rows of ``day`` or later are ignored, so a later partition
            can never change the verdict on an earlier one. Without it, checks against the past have nothing to
            measure and pass.

    Returns:
        published Bars sorted by ts, quarantined rows sorted by ts, and the checks.
    """
    missing = [c for c in column_types(RawBars) if c not in raw.columns and c not in _NULLABLE]
    schema = GateCheck(
        "schema", not missing, True, float(len(missing)), 0.0, f"missing columns: {', '.join(missing) or 'none'}"
    )
    if missing:
        rows = raw.with_columns(pl.lit("MISSING_KEY").alias("reason"))
        detail = pl.lit(f"columns {', '.join(missing)} are missing")
        refused = refusals(rows, table="bars", symbol="symbol", source="gate", detail=detail)
        return GateReport(empty(Bars), refused, [schema])

    frame = conform(raw, RawBars)
    columns = frame.columns
    # A total order makes everything below independent of the input's order; of two bars with one start the one with
    # the larger volume is the more complete print and comes first.
    frame = frame.sort(
        ["ts", "volume", *(c for c in columns if c not in ("ts", "volume"))],
        descending=[False, True] + [False] * (len(columns) - 2),
        nulls_last=True,
    )
    judged = frame.with_columns(_reason(frame, instrument, day, calendar))
    judged = judged.with_columns(
        pl.when(pl.col("reason").is_null() & (pl.col("ts").cum_count().over("reason", "ts") > 1))
        .then(pl.lit("DUPLICATE_TS"))
        .otherwise(pl.col("reason"))
        .alias("reason")
    )
    past = _past(recent, day)
    judged, lasting = _refuse_jumps(judged, instrument, past, settings)
    good = judged.filter(pl.col("reason").is_null()).drop("reason")
    bad = judged.filter(pl.col("reason").is_not_null())
    published = _published(good, instrument, day, calendar, delay_seconds)
    detail = pl.format(
        "open {} high {} low {} close {} volume {} bid {} ask {}",
        *[pl.col(c).cast(pl.String).fill_null("null") for c in (*_PRICES, *_NULLABLE)],
    )
    refused = refusals(bad, table="bars", symbol="symbol", source="gate", detail=detail)
    checks = session_checks(published, refused, instrument, day, calendar, settings, past=past, lasting_jumps=lasting)
    return GateReport(published, refused, [schema, *checks])


def _reason(frame: pl.DataFrame, instrument: Instrument, day: date, calendar: TradingCalendar) -> pl.Expr:
    """First reason to refuse each row (String, null = good), of those that a row shows by itself."""
    if not calendar.is_session(day):
        return pl.lit("NOT_A_SESSION").alias("reason")
    ts = pl.col("ts")
    begin, stop = (pl.lit(moment).cast(UTC_US) for moment in calendar.partition_bounds(day, instrument))
    inside, in_hours = (ts >= begin) & (ts < stop), pl.lit(True)
    grid = calendar.bar_grid(instrument, day, day)
    on_grid = ts.dt.timestamp("us").is_in(grid.tolist())
    if instrument.bar_seconds >= _DAY:
        midnight = ts == ts.dt.truncate("1d")
        if instrument.asset_class == "fx":
            # The vendor's day is a UTC date; in New York its start falls on the evening before.
            inside = ts.dt.date() == day
        on_grid = on_grid | midnight if instrument.hours == "always" or instrument.asset_class == "fx" else on_grid
    elif instrument.hours != "always":
        first = int(grid[0])
        close = to_us(calendar.session_bounds(day)[1]) if instrument.hours == "rth" else None
        last = close if close is not None else int(grid[-1]) + instrument.bar_seconds * 1_000_000
        us = ts.dt.timestamp("us")
        in_hours = (us >= first) & (us < last)
    no_price = pl.any_horizontal([pl.col(c).is_null() | ~pl.col(c).is_finite() for c in _PRICES])
    low, high = pl.col("low"), pl.col("high")
    body = [pl.col("open"), pl.col("close")]
    scoped = pl.col("volume_scope") != "none"
    wrong = (
        ts.is_null()
        | (pl.col("symbol") != instrument.symbol).fill_null(True)
        | (pl.col("bar_seconds") != instrument.bar_seconds).fill_null(True)
    )
    rules = [
        (wrong, "WRONG_SERIES"),
        (~inside, "MISDATED"),
        (~in_hours, "OUTSIDE_HOURS"),
        (~on_grid, "OFF_GRID"),
        (no_price, "MISSING_PRICE"),
        (pl.any_horizontal([pl.col(c) <= 0 for c in _PRICES]), "NON_POSITIVE_PRICE"),
        ((low > pl.min_horizontal(body)) | (high < pl.max_horizontal(body)), "OHLC_ORDER"),
        (pl.col("volume").is_null() & scoped, "MISSING_VOLUME"),
        ((pl.col("volume") < 0) | ~pl.col("volume").is_finite(), "NEGATIVE_VOLUME"),
        (pl.col("bid") > pl.col("ask"), "CROSSED_QUOTE"),
    ]
    chain = pl.lit(None, dtype=pl.String)
    for condition, reason in reversed(rules):
        chain = pl.when(condition.fill_null(False)).then(pl.lit(reason)).otherwise(chain)
    return chain.alias("reason")


def _past(recent: pl.DataFrame | None, day: date) -> pl.DataFrame:
    """Published bars before ``day``, sorted; empty where there are none."""
    if recent is None or recent.is_empty():
        return empty(Bars)
    return conform(recent, Bars).filter(pl.col("trade_date") < day).sort("ts")


def _refuse_jumps(
    judged: pl.DataFrame, instrument: Instrument, past: pl.DataFrame, settings: GateSettings
) -> tuple[pl.DataFrame, int]:
    """Mark bars that leave the level and come back as JUMP; count the jumps that last (they fail the session)."""
    if instrument.bar_seconds >= _DAY:
        return judged, 0  # a daily bar's own move is no error; splits are checked against the session before
    rows = np.flatnonzero(judged["reason"].is_null().to_numpy())
    if not len(rows):
        return judged, 0
    prices = judged.select(_PRICES).to_numpy()[rows]
    open_, high, low, close = prices.T
    body_high, body_low = np.maximum(open_, close), np.minimum(open_, close)
    refused = (high / body_high - 1 > settings.max_jump) | (1 - low / body_low > settings.max_jump)
    level = past["close"][-1] if past.height else None
    lasting = 0
    if np.any(np.abs(close[1:] / close[:-1] - 1) > settings.max_jump):
        spikes, lasting = _spikes(close, level, settings.max_jump)
        refused |= spikes
    if not refused.any():
        return judged, lasting
    marked = np.zeros(judged.height, bool)
    marked[rows[refused]] = True
    reason = pl.when(pl.Series(marked)).then(pl.lit("JUMP")).otherwise(pl.col("reason")).alias("reason")
    return judged.with_columns(reason), lasting


def _spikes(close: np.ndarray, level: float | None, limit: float) -> tuple[np.ndarray, int]:
    """Which closes leave the level of the last good close for one bar only, and how many jumps stay.

    The last bar cannot prove that its jump would stay, so it counts as a spike. The first bar is measured against
    the previous session's close ``level``: an overnight gap that stays is no spike and no lasting jump.
    """
    spikes, lasting = np.zeros(len(close), bool), 0
    for i, price in enumerate(close):
        if level is None and i + 1 < len(close):
            # Without a past, a first bar that its two successors contradict is the spike.
            later = close[i + 1 : i + 3]
            spikes[i] = bool(np.all(np.abs(later / price - 1) > limit)) and bool(abs(later[-1] / later[0] - 1) <= limit)
            level = None if spikes[i] else float(price)
            if spikes[i] and len(later) < 2:
                spikes[i], level = False, float(price)
            continue
        if level is None or abs(price / level - 1) <= limit:
            level = float(price)
        elif i + 1 == len(close) or abs(close[i + 1] / level - 1) <= limit:
            spikes[i] = True
        else:
            lasting += i > 0
            level = float(price)
    return spikes, lasting


def _published(
    good: pl.DataFrame, instrument: Instrument, day: date, calendar: TradingCalendar, delay_seconds: int
) -> pl.DataFrame:
    if good.is_empty():
        return empty(Bars)
    end = calendar.bar_ends(good["ts"], instrument)
    full = good.with_columns(
        pl.lit(day).alias("trade_date"),
        end.alias("end"),
        end.dt.offset_by(f"{delay_seconds}s").alias("available_at"),
        calendar.session_labels(good["ts"], instrument).alias("session"),
        # An index has no volume: its scope `none` says so, and zero is what "nothing traded" means here.
        pl.col("volume").fill_null(0.0),
    )
    return conform(full, Bars).sort("ts")
