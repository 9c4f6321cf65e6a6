"""QA gate of option quotes: one underlying, one trade date."""

from __future__ import annotations

from datetime import date

import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.gate_report import GateCheck, GateReport, refusals
from argus_core.market.schemas import OptionQuotes, column_types, conform, empty
from argus_core.settings import GateSettings, Instrument

_KEYS = ("ts", "recv_ts", "contract", "expiry", "strike", "right")
_NULLABLE = ("bid", "ask", "bid_size", "ask_size", "iv", "delta", "open_interest", "underlying_price")


def gate_option_quotes(
    frame: pl.DataFrame,
    day: date,
    calendar: TradingCalendar,
    settings: GateSettings,
    *,
    instrument: Instrument | None = None,
    recent: pl.DataFrame | None = None,
) -> GateReport:
    """Gate the option quotes of one underlying and one trade date.

    A quote with one side only is kept (a contract without a bid is real; sparse feeds send only the side that
    changed); with neither side it says nothing that could be traded and is refused.

    Args:
        frame: OptionQuotes rows in any order.
        day: the trade date that every ``ts`` must belong to.
        calendar: gives the trade date.
        settings: thresholds.
        instrument: the underlying; default: one that trades in New York sessions.
        recent: published quotes of earlier trade dates (OptionQuotes); rows of ``day`` or later are ignored. A
            snapshot that equals an earlier one fails the whole partition.
    """
    missing = [c for c in column_types(OptionQuotes) if c not in frame.columns and c not in _NULLABLE]
    schema = GateCheck(
        "schema", not missing, True, float(len(missing)), 0.0, f"missing columns: {', '.join(missing) or 'none'}"
    )
    if missing:
        rows = frame.with_columns(pl.lit("MISSING_KEY").alias("reason"))
        detail = pl.lit(f"columns {', '.join(missing)} are missing")
        refused = refusals(rows, table="option_snapshots", symbol="underlying", source="gate", detail=detail)
        return GateReport(empty(OptionQuotes), refused, [schema])
    underlying = instrument or Instrument(symbol="", asset_class="etf")
    quotes = conform(frame, OptionQuotes)
    quotes = quotes.sort("contract", "ts", "recv_ts", nulls_last=True)
    # Most snapshots hold every quote once; only the others need the costlier total order and the windows over it.
    same = (pl.col("contract") == pl.col("contract").shift(1)) & (pl.col("ts") == pl.col("ts").shift(1))
    repeated = bool(quotes.select(same.any()).item())
    if repeated:
        order = ["contract", "ts", "recv_ts"]
        quotes = quotes.sort(order + [c for c in quotes.columns if c not in order], nulls_last=True)
    quotes = quotes.with_columns(calendar.trade_dates(quotes["ts"], underlying).alias("trade_date"))
    judged = quotes.with_columns(_reason(quotes, day, calendar))
    if repeated:
        judged = _refuse_repeats(judged)
    judged = judged.drop("trade_date")
    good = judged.filter(pl.col("reason").is_null()).drop("reason").sort("ts", "recv_ts", "contract")
    bad = judged.filter(pl.col("reason").is_not_null())
    detail = pl.format(
        "{} bid {} ask {} received {}",
        *[pl.col(c).cast(pl.String).fill_null("null") for c in ("contract", "bid", "ask", "recv_ts")],
    )
    refused = refusals(bad, table="option_snapshots", symbol="underlying", source="gate", detail=detail)
    checks = [
        schema,
        GateCheck(
            "session", calendar.is_session(day), True, float(calendar.is_session(day)), 1.0, f"{day} in the calendar"
        ),
        GateCheck("rows", good.height > 0, True, float(good.height), 1.0, "good quotes"),
        _refused_share(bad, good.height, settings),
        _duplicate_snapshot(good, recent, day, calendar, underlying, settings),
    ]
    return GateReport(conform(good, OptionQuotes), refused, checks)


def _refuse_repeats(judged: pl.DataFrame) -> pl.DataFrame:
    again = pl.col("contract").cum_count().over("reason", "contract", "ts", "recv_ts") > 1
    judged = _mark(judged, again, "DUPLICATE_QUOTE")
    # The same quote fetched again on a later day is the old quote: it must not look like a new snapshot.
    received = pl.col("recv_ts").dt.convert_time_zone("America/New_York").dt.date()
    first_seen = received.min().over("reason", "contract", "ts", "bid", "ask", "bid_size", "ask_size")
    return _mark(judged, received > first_seen, "STALE_COPY")


def _mark(judged: pl.DataFrame, condition: pl.Expr, reason: str) -> pl.DataFrame:
    return judged.with_columns(
        pl.when(pl.col("reason").is_null() & condition).then(pl.lit(reason)).otherwise(pl.col("reason")).alias("reason")
    )


def _reason(quotes: pl.DataFrame, day: date, calendar: TradingCalendar) -> pl.Expr:
    if not calendar.is_session(day):
        return pl.lit("NOT_A_SESSION").alias("reason")
    bid, ask = pl.col("bid"), pl.col("ask")
    wrong_key = pl.any_horizontal([pl.col(c).is_null() for c in _KEYS]) | ~pl.col("right").is_in(["C", "P"])
    unreal = pl.any_horizontal(
        [(pl.col(c) < 0) | ~pl.col(c).is_finite() for c in ("bid", "ask", "bid_size", "ask_size")]
    )
    rules = [
        (wrong_key, "MISSING_KEY"),
        ((pl.col("trade_date") != day).fill_null(True), "MISDATED"),
        (pl.col("recv_ts") < pl.col("ts"), "FUTURE"),
        (pl.col("expiry") < pl.col("ts").dt.date(), "EXPIRED"),
        (unreal.fill_null(False) | (pl.col("strike") <= 0), "NEGATIVE"),
        (bid.is_null() & ask.is_null(), "NO_QUOTE"),
        ((ask == 0) & (bid > 0), "ZERO_ASK"),
        (bid > ask, "CROSSED"),
    ]
    chain = pl.lit(None, dtype=pl.String)
    for condition, reason in reversed(rules):
        chain = pl.when(condition.fill_null(False)).then(pl.lit(reason)).otherwise(chain)
    return chain.alias("reason")


def _refused_share(bad: pl.DataFrame, good: int, settings: GateSettings) -> GateCheck:
    """Rows without any quote are left out: closing files without bid and ask are no error of the quotes."""
    counts = {str(r): int(n) for r, n in bad.group_by("reason").len().rows()}
    silent = counts.pop("NO_QUOTE", 0)
    errors = sum(counts.values())
    share = errors / (good + errors) if good + errors else 0.0
    named = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items())) or "none"
    return GateCheck(
        "refused_share",
        share <= settings.max_refused_quotes,
        True,
        share,
        settings.max_refused_quotes,
        f"refused: {named}; without any quote: {silent}",
    )


def _duplicate_snapshot(
    good: pl.DataFrame,
    recent: pl.DataFrame | None,
    day: date,
    calendar: TradingCalendar,
    underlying: Instrument,
    settings: GateSettings,
) -> GateCheck:
    """Share of two-sided quotes that an earlier trade date holds with the same prices, sizes and underlying."""
    limit, name = settings.max_duplicate_share, "duplicate_day"
    if recent is None or recent.is_empty() or good.is_empty():
        return GateCheck(name, True, True, None, limit, "no snapshot before")
    values = ["contract", "bid", "ask", "bid_size", "ask_size", "underlying_price"]
    past = conform(recent, OptionQuotes)
    past = past.with_columns(calendar.trade_dates(past["ts"], underlying).alias("trade_date"))
    past = past.filter(pl.col("trade_date") < day).select("trade_date", *values).unique()
    # Contracts without a bid repeat for days in honest data; they prove nothing.
    lively = good.filter((pl.col("bid") > 0) & pl.col("ask").is_not_null())
    if lively.is_empty() or past.is_empty():
        return GateCheck(name, True, True, None, limit, "no two-sided quote to compare")
    found = past.join(lively.select(values), on=values, how="inner", nulls_equal=True)
    worst = found.group_by("trade_date").len().sort("len", "trade_date", descending=True)
    share = worst["len"][0] / lively.height if worst.height else 0.0
    detail = (
        f"share of two-sided quotes equal to those of {worst['trade_date'][0]}" if worst.height else "no equal quote"
    )
    return GateCheck(name, share < limit, True, share, limit, detail)
