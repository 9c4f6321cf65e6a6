"""QA gate of reference bars: the daily bars of the risk-flow symbols on one trade date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.gate_report import refusals
from argus_core.market.schemas import Quarantine, RawBars, References, conform, empty
from argus_core.settings import GateSettings, Instrument

_DAY = 86_400
_MIN_BARS = 5
_LOOKBACK = 20


def gate_references(
    frame: pl.DataFrame,
    day: date,
    calendar: TradingCalendar,
    instruments: Mapping[str, Instrument],
    settings: GateSettings,
    *,
    delay_seconds: int | Mapping[str, int] = 0,
    recent: pl.DataFrame | None = None,
    other_closes: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gate the daily reference bars of one trade date.

    ``available_at`` of a row is the end of its bar plus the provider's delay: the session's close for exchange-traded
    symbols (early closes included), a day after its start for fx and 24/7 symbols. It is never the bar's start.

    Wrong closes show only afterwards. At ``day`` the gate looks back one session, with data up to ``day`` alone, and
    writes WRONG_CLOSE for that session into the quarantine as a warning: when the bar before ended early (volume below
    ``partial_day_volume_share`` of its median over 20 sessions, or half of all symbols did) and this open lies more
    than ``max_close_reversal`` away from that close (where both the symbol and half of all ended early, whatever the
    gap); or when the return into that close differs by more than
    ``max_close_reversal`` from the return in ``other_closes`` and the return out of it differs as much the other way.
    Published rows are never rewritten. PARTIAL_DAY warns about ``day`` itself, from volumes known on that day.

    Args:
        frame: RawBars, daily, one row per symbol; rows of other dates are refused as MISDATED.
        day: the trade date.
        calendar: session closes.
        instruments: of the symbols; an unknown symbol is taken for one that trades in New York sessions.
        settings: thresholds.
        delay_seconds: publication delay, one number or by provider.
        recent: RawBars, daily, of earlier sessions; rows of ``day`` or later are ignored.
        other_closes: symbol, trade_date, close of a second feed or of the minute bars; rows after ``day`` are ignored.

    Returns:
        References sorted by symbol, and Quarantine rows (refused rows and warnings) sorted by symbol and ts.
    """
    raw = _dated(frame, calendar, instruments)
    rows = raw.sort(["symbol", "ts", "volume", *(c for c in raw.columns if c not in ("symbol", "ts", "volume"))])
    judged = rows.with_columns(_reason(day, calendar))
    judged = judged.with_columns(
        pl.when(pl.col("reason").is_null() & (pl.col("symbol").cum_count().over("reason", "symbol") > 1))
        .then(pl.lit("DUPLICATE_TS"))
        .otherwise(pl.col("reason"))
        .alias("reason")
    )
    good = judged.filter(pl.col("reason").is_null()).drop("reason")
    bad = judged.filter(pl.col("reason").is_not_null())
    detail = pl.format("close {}", pl.col("close").cast(pl.String).fill_null("null"))
    refused = refusals(bad, table="reference_bars", symbol="symbol", source="gate", detail=detail)
    if good.is_empty():
        return empty(References), refused
    past = _dated(recent, calendar, instruments).filter(pl.col("trade_date") < day) if recent is not None else None
    warnings = [_warnings(good, past, settings)] if past is not None and past.height else []
    if other_closes is not None:
        warnings.append(_contradicted(good, past, other_closes, day, settings))
    quarantined = pl.concat([refused, *warnings]).unique(["symbol", "ts", "reason"], keep="first", maintain_order=True)
    return _published(good, day, calendar, instruments, delay_seconds), quarantined.sort("symbol", "ts", "reason")


def daily_instrument(symbol: str, instruments: Mapping[str, Instrument]) -> Instrument:
    """The instrument of a daily reference series of ``symbol``, whatever bar length it is traded on."""
    known = instruments.get(symbol) or Instrument(symbol=symbol, asset_class="etf")
    return known.model_copy(update={"bar_seconds": _DAY})


def _dated(
    frame: pl.DataFrame | None, calendar: TradingCalendar, instruments: Mapping[str, Instrument]
) -> pl.DataFrame:
    """RawBars with the trade date of every row: by the vendor's UTC day for fx, by the calendar for the others."""
    raw = empty(RawBars) if frame is None else conform(frame, RawBars)
    parts = []
    for (symbol,), part in raw.group_by("symbol", maintain_order=True):
        one = daily_instrument(str(symbol), instruments)
        dates = part["ts"].dt.date() if one.asset_class == "fx" else calendar.trade_dates(part["ts"], one)
        parts.append(part.with_columns(dates.alias("trade_date")))
    return pl.concat(parts) if parts else raw.with_columns(pl.lit(None, pl.Date).alias("trade_date"))


def _reason(day: date, calendar: TradingCalendar) -> pl.Expr:
    if not calendar.is_session(day):
        return pl.lit("NOT_A_SESSION").alias("reason")
    close, body = pl.col("close"), ["open", "close"]
    rules = [
        ((pl.col("bar_seconds") != _DAY).fill_null(True), "WRONG_SERIES"),
        ((pl.col("trade_date") != day).fill_null(True), "MISDATED"),
        (close.is_null() | ~close.is_finite(), "MISSING_PRICE"),
        ((close <= 0) | (pl.col("open") <= 0), "NON_POSITIVE_PRICE"),
        ((pl.col("low") > pl.min_horizontal(body)) | (pl.col("high") < pl.max_horizontal(body)), "OHLC_ORDER"),
    ]
    chain = pl.lit(None, dtype=pl.String)
    for condition, reason in reversed(rules):
        chain = pl.when(condition.fill_null(False)).then(pl.lit(reason)).otherwise(chain)
    return chain.alias("reason")


def _published(
    good: pl.DataFrame,
    day: date,
    calendar: TradingCalendar,
    instruments: Mapping[str, Instrument],
    delay_seconds: int | Mapping[str, int],
) -> pl.DataFrame:
    parts = []
    for (symbol,), part in good.group_by("symbol", maintain_order=True):
        end = calendar.bar_ends(part["ts"], daily_instrument(str(symbol), instruments))
        parts.append(part.with_columns(end.alias("end")))
    delay = (
        pl.col("provider").replace_strict(dict(delay_seconds), default=0, return_dtype=pl.Int64)
        if isinstance(delay_seconds, Mapping)
        else pl.lit(delay_seconds, pl.Int64)
    )
    if isinstance(delay_seconds, Mapping) and not delay_seconds:
        delay = pl.lit(0, pl.Int64)
    full = pl.concat(parts).with_columns(
        pl.lit(day).alias("trade_date"), (pl.col("end") + pl.duration(seconds=delay)).alias("available_at")
    )
    return conform(full, References).sort("symbol", "ts")


def _thin(rows: pl.DataFrame, usual: pl.DataFrame, settings: GateSettings) -> pl.DataFrame:
    """``rows`` with their volume's share of the median before them, and whether the bar ended early."""
    share = pl.col("volume") / pl.col("usual")
    return (
        rows.join(usual, on="symbol", how="left")
        .with_columns(share.alias("share"))
        .with_columns((pl.col("share") < settings.partial_day_volume_share).fill_null(False).alias("thin"))
    )


def _usual(past: pl.DataFrame) -> pl.DataFrame:
    """Median volume of the last 20 bars per symbol, where there are enough of them."""
    last = past.filter(pl.col("volume") > 0).sort("ts").group_by("symbol", maintain_order=True).tail(_LOOKBACK)
    return (
        last.group_by("symbol", maintain_order=True)
        .agg(pl.col("volume").median().alias("usual"), pl.len().alias("bars"))
        .filter(pl.col("bars") >= _MIN_BARS)
        .drop("bars")
    )


def _warnings(good: pl.DataFrame, past: pl.DataFrame, settings: GateSettings) -> pl.DataFrame:
    today = _thin(good, _usual(past), settings).filter(pl.col("thin"))
    partial = refusals(
        today.with_columns(pl.lit("PARTIAL_DAY").alias("reason")),
        table="reference_bars",
        symbol="symbol",
        source="gate",
        detail=pl.format("warning: volume {} is {} of its median", "volume", pl.col("share").round(4)),
    )
    previous_day = past["trade_date"].max()
    before = past.filter(pl.col("trade_date") < previous_day)
    previous = _thin(past.filter(pl.col("trade_date") == previous_day), _usual(before), settings)
    most = bool(previous["thin"].sum() * 2 >= max(previous["share"].count(), 1))
    gaps = (
        previous.join(good.select("symbol", pl.col("open").alias("next_open")), on="symbol")
        .with_columns((pl.col("next_open") / pl.col("close") - 1).alias("gap"))
        .filter(
            ((pl.col("gap").abs() > settings.max_close_reversal) & (pl.col("thin") | pl.lit(most)))
            | (pl.col("thin") & pl.lit(most))
        )
        .with_columns(pl.lit("WRONG_CLOSE").alias("reason"))
    )
    wrong = refusals(
        gaps,
        table="reference_bars",
        symbol="symbol",
        source="gate",
        detail=pl.format(
            "warning: close {}, next open {} ({}), volume {} of its median",
            "close",
            "next_open",
            pl.col("gap").round(5),
            pl.col("share").round(4),
        ),
    )
    return pl.concat([partial, wrong])


def _contradicted(
    good: pl.DataFrame, past: pl.DataFrame | None, other: pl.DataFrame, day: date, settings: GateSettings
) -> pl.DataFrame:
    """WRONG_CLOSE of the session before where a second feed's returns disagree into and out of that close."""
    if past is None or past.is_empty():
        return empty(Quarantine)
    second = other.select("symbol", pl.col("trade_date"), pl.col("close").cast(pl.Float64).alias("second")).filter(
        pl.col("trade_date") <= day
    )
    difference = (pl.col("close") / pl.col("close").shift(1)) - (pl.col("second") / pl.col("second").shift(1))
    both = (
        pl.concat([past, good.select(past.columns)])
        .join(second, on=["symbol", "trade_date"])
        .sort("symbol", "ts")
        .with_columns(difference.over("symbol").alias("into"))
        .with_columns(pl.col("into").shift(-1).over("symbol").alias("out_of"))
    )
    limit = settings.max_close_reversal
    wrong = both.filter(
        (pl.col("trade_date") == past["trade_date"].max())
        & (pl.col("into").abs() > limit)
        & (pl.col("out_of").abs() > limit)
        & (pl.col("into").sign() != pl.col("out_of").sign())
    ).with_columns(pl.lit("WRONG_CLOSE").alias("reason"))
    return refusals(
        wrong,
        table="reference_bars",
        symbol="symbol",
        source="gate",
        detail=pl.format(
            "warning: return differs from a second feed by {}, the next by {}",
            pl.col("into").round(5),
            pl.col("out_of").round(5),
        ),
    )
