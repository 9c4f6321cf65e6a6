"""Read one file of an import folder into landing rows, refused rows and a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dataframely as dy
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.importing.layout import DAY, KNOWN, REQUIRED, Kind, Place
from argus_core.market.importing.report import FileReport
from argus_core.market.importing.timestamps import UTC_US, TimestampError, better_shift, to_utc
from argus_core.market.schemas import OptionQuotes, RawBars, conform
from argus_core.settings import FilesSettings, GateSettings, Instrument

_PRICES = ("open", "high", "low", "close")
_BAR_NUMBERS = (*_PRICES, "volume", "bid", "ask")
_OPTION_NUMBERS = (
    *("strike", "bid", "ask", "bid_size", "ask_size", "iv", "delta", "open_interest"),
    "underlying_price",
)


@dataclass(frozen=True)
class Parsed:
    """Rows of one file.

    ``rows``: RawBars or OptionQuotes (then with ``trade_date``), plus ``source``.
    ``refused``: the same columns plus ``reason``; key columns may be null.
    """

    rows: pl.DataFrame
    refused: pl.DataFrame


def read_table(path: Path, report: FileReport) -> pl.DataFrame | None:
    """The file as it is, or None (and a failed report) where it cannot be read."""
    try:
        frame = (
            pl.read_parquet(path, use_pyarrow=False)
            if path.suffix == ".parquet"
            else pl.read_csv(path, infer_schema_length=None, null_values=["", "NA", "NaN", "nan", "null"])
        )
    except Exception as error:  # whatever is wrong with a file, the other files go on
        report.fail("UNREADABLE", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return None
    report.rows_read = frame.height
    return frame


def parse_bars(
    frame: pl.DataFrame,
    place: Place,
    kind: Kind,
    report: FileReport,
    *,
    calendar: TradingCalendar,
    files: FilesSettings,
    gates: GateSettings,
) -> Parsed | None:
    """Bring bars, daily bars, closes or fixings to landing rows; None (and a failed report) where that cannot be."""
    if not _has_columns(frame, kind, report):
        return None
    default_symbol = Path(report.path).stem
    renames = {"closes": {"adj_close": "close"}, "fixings": {"pair": "symbol", "rate": "close"}}.get(kind, {})
    data = frame.rename(renames).with_columns(pl.lit(None, pl.String).alias("reason"))
    if "symbol" not in data.columns:
        data = data.with_columns(pl.lit(default_symbol).alias("symbol"))
        report.notes.append(f"no symbol column, taken from the file name: {default_symbol}")
    data = data.with_columns(pl.col("symbol").cast(pl.String).replace(files.crypto_symbols))
    data = _refuse(data, pl.col("symbol").is_null() | (pl.col("symbol") == ""), "MISSING_KEY")
    data = _numbers(data, _BAR_NUMBERS)
    try:
        data = _bar_times(data, kind, report, calendar=calendar, files=files)
    except TimestampError as error:
        report.fail("BAD_TIMESTAMP", str(error))
        return None
    if kind == "bars" and place.asset_class != "crypto":
        shift = better_shift(data["ts"], bar_seconds=place.bar_seconds)
        if shift is not None:
            report.fail(
                "SUSPECT_TIME_ZONE", f"the bars fit New York hours far better {shift:+d} h later; check the zone"
            )
            return None
    scope = "none" if kind in ("closes", "fixings") else files.default_volume_scope
    scope = "exchange" if place.asset_class == "crypto" else "none" if place.asset_class == "fx" else scope
    has_scope = "volume_scope" in data.columns
    data = data.with_columns(
        (pl.col("volume_scope").cast(pl.String).fill_null(scope) if has_scope else pl.lit(scope)).alias("volume_scope"),
        pl.lit("files").alias("provider"),
        pl.lit(place.bar_seconds).alias("bar_seconds"),
        pl.lit(report.path).alias("source"),
    )
    accepted = files.daily_volume_scopes if place.bar_seconds >= DAY else files.volume_scopes
    data = _refuse(data, ~pl.col("volume_scope").is_in(list(accepted)), "FOREIGN_SCOPE")
    if "repaired" in data.columns:
        report.warnings["REPAIRED"] += int(data["repaired"].cast(pl.Boolean, strict=False).sum())
    data = conform_with(data, RawBars, "source", "reason")
    data = _refuse_repeats(data, ["symbol", "ts"])
    if place.asset_class != "crypto":
        # An index has no shares to split; its jumps only look like it.
        _warn_splits(data.filter(pl.col("reason").is_null() & (pl.col("volume_scope") != "none")), gates, report)
    return _split(data)


def parse_options(
    frame: pl.DataFrame,
    kind: Kind,
    report: FileReport,
    *,
    calendar: TradingCalendar,
    files: FilesSettings,
    instruments: dict[str, Instrument],
) -> Parsed | None:
    """Bring option quotes or closing tables to landing rows with their trade date.

    A closing table (`option_eod`) has no bid and ask: both stay null. Its ``ts`` is the session's close and its
    ``recv_ts`` the end of that New York day, since nobody recorded when it was published.
    """
    if not _has_columns(frame, kind, report):
        return None
    data = frame.with_columns(pl.lit(None, pl.String).alias("reason"))
    data = _numbers(data, _OPTION_NUMBERS)
    if data["expiry"].dtype == pl.String:
        data = data.with_columns(pl.col("expiry").str.to_date(strict=False))
    data = data.with_columns(pl.col("underlying").cast(pl.String).replace(files.crypto_symbols))
    try:
        if kind == "option_eod":
            data = _closing_times(data, calendar)
        else:
            for column in ("ts", "recv_ts"):
                data = _times(data, column, report, files)
    except TimestampError as error:
        report.fail("BAD_TIMESTAMP", str(error))
        return None
    keys = ["underlying", "contract", "expiry", "strike", "right"]
    missing = pl.any_horizontal([pl.col(c).is_null() for c in keys]) | ~pl.col("right").is_in(["C", "P"])
    data = _refuse(data, missing.fill_null(True), "MISSING_KEY")
    data = data.with_columns(pl.lit("files").alias("provider"), pl.lit(report.path).alias("source"))
    data = conform_with(data, OptionQuotes, "source", "reason")
    parts = []
    for (underlying,), part in data.group_by("underlying", maintain_order=True):
        instrument = instrument_of(str(underlying), instruments, files)
        parts.append(part.with_columns(calendar.trade_dates(part["ts"], instrument).alias("trade_date")))
    if parts:
        data = pl.concat(parts)
        data = _refuse(data, pl.col("trade_date").is_null(), "NOT_A_SESSION")
    else:
        data = data.with_columns(pl.lit(None, pl.Date).alias("trade_date"))
    return _split(_refuse_repeats(data, ["underlying", "contract", "ts", "recv_ts"]))


def instrument_of(symbol: str, instruments: dict[str, Instrument], files: FilesSettings) -> Instrument:
    """The universe's instrument, or what the import settings say about a symbol that the universe lacks."""
    if symbol in instruments:
        return instruments[symbol]
    if symbol in files.crypto_symbols.values():
        return Instrument(symbol=symbol, asset_class="crypto", hours="always")
    return Instrument(symbol=symbol, asset_class="etf")


def conform_with(frame: pl.DataFrame, schema: type[dy.Schema], *extra: str) -> pl.DataFrame:
    """`conform` that keeps the columns ``extra``."""
    return pl.concat([conform(frame, schema), frame.select(extra)], how="horizontal")


def _has_columns(frame: pl.DataFrame, kind: Kind, report: FileReport) -> bool:
    missing = [c for c in REQUIRED[kind] if c not in frame.columns]
    if kind == "daily" and not {"ts", "date"} & set(frame.columns):
        missing.append("ts or date")
    if missing:
        found = ", ".join(frame.columns)
        report.fail("MISSING_COLUMN", f"{', '.join(missing)} missing; a {kind} file needs them. Found: {found}")
        return False
    unknown = sorted(set(frame.columns) - KNOWN[kind])
    if unknown:
        report.warnings["UNKNOWN_COLUMN"] += len(unknown)
        report.notes.append(f"columns not used: {', '.join(unknown)}")
    return True


def _refuse(data: pl.DataFrame, condition: pl.Expr, reason: str) -> pl.DataFrame:
    """Give ``reason`` to the rows of ``condition`` that have none yet."""
    return data.with_columns(
        pl.when(pl.col("reason").is_null() & condition).then(pl.lit(reason)).otherwise(pl.col("reason")).alias("reason")
    )


def _numbers(data: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    present = [c for c in columns if c in data.columns]
    texts = [c for c in present if not data[c].dtype.is_numeric()]
    bad = [pl.col(c).is_not_null() & pl.col(c).cast(pl.Float64, strict=False).is_null() for c in texts]
    if bad:
        data = _refuse(data, pl.any_horizontal(bad), "BAD_VALUE")
    return data.with_columns([pl.col(c).cast(pl.Float64, strict=False) for c in present])


def _times(data: pl.DataFrame, column: str, report: FileReport, files: FilesSettings) -> pl.DataFrame:
    ts, unsure, note = to_utc(data[column], files.time_zone)
    if note:
        report.notes.append(note)
    data = data.with_columns(ts.alias(column), unsure.alias("_unsure"))
    data = _refuse(data, pl.col("_unsure"), "AMBIGUOUS_TIME")
    return _refuse(data, pl.col(column).is_null(), "BAD_TIMESTAMP").drop("_unsure")


def _bar_times(
    data: pl.DataFrame, kind: Kind, report: FileReport, *, calendar: TradingCalendar, files: FilesSettings
) -> pl.DataFrame:
    if kind == "bars" or (kind == "daily" and "ts" in data.columns):
        return _times(data, "ts", report, files)
    if data["date"].dtype == pl.String:
        data = data.with_columns(pl.col("date").str.to_date(strict=False))
    elif data["date"].dtype != pl.Date:
        raise TimestampError(f"date has type {data['date'].dtype}; expected dates or YYYY-MM-DD text")
    midnight = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if kind == "fixings":
        # A fixing counts as its day's bar: visible a day after 00:00 UTC, hours after its publication, never before.
        data = data.with_columns(midnight.alias("ts"))
        return _refuse(data, pl.col("ts").is_null(), "BAD_TIMESTAMP")
    opens = calendar.sessions.select("date", pl.col("open_ts").alias("_open"))
    data = data.join(opens, on="date", how="left", maintain_order="left")
    always = pl.col("symbol").is_in(list(files.crypto_symbols.values()))
    data = data.with_columns(pl.when(always).then(midnight).otherwise(pl.col("_open")).cast(UTC_US).alias("ts"))
    data = _refuse(data, pl.col("date").is_null(), "BAD_TIMESTAMP")
    return _refuse(data, pl.col("ts").is_null(), "NOT_A_SESSION").drop("_open")


def _closing_times(data: pl.DataFrame, calendar: TradingCalendar) -> pl.DataFrame:
    if data["date"].dtype == pl.String:
        data = data.with_columns(pl.col("date").str.to_date(strict=False))
    elif data["date"].dtype != pl.Date:
        raise TimestampError(f"date has type {data['date'].dtype}; expected dates or YYYY-MM-DD text")
    closes = calendar.sessions.select("date", pl.col("close_ts").alias("ts"))
    end_of_day = (
        (pl.col("date") + pl.duration(days=1))
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("America/New_York")
        .dt.convert_time_zone("UTC")
    )
    # The OSI symbol: root, expiry, right, strike in thousandths of a dollar.
    contract = pl.concat_str(
        "underlying",
        pl.col("expiry").dt.strftime("%y%m%d"),
        "right",
        (pl.col("strike") * 1000).round().cast(pl.Int64).cast(pl.String).str.zfill(8),
    )
    data = data.join(closes, on="date", how="left", maintain_order="left").with_columns(
        end_of_day.alias("recv_ts"),
        contract.alias("contract"),
        pl.lit(None, pl.Float64).alias("bid"),
        pl.lit(None, pl.Float64).alias("ask"),
    )
    return _refuse(data, pl.col("ts").is_null(), "NOT_A_SESSION")


def _refuse_repeats(data: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Of rows with one key keep the first in the order of all their values, so that a file's order does not matter."""
    repeated = data.filter(pl.col("reason").is_null()).select(keys).is_duplicated().any()
    if not repeated:
        return data
    rest = [c for c in data.columns if c not in keys]
    ordered = data.sort([*keys, *rest], nulls_last=True)
    return _refuse(ordered, pl.int_range(pl.len()).over("reason", *keys) > 0, "DUPLICATE")


def _warn_splits(rows: pl.DataFrame, gates: GateSettings, report: FileReport) -> None:
    ordered = rows.sort("symbol", "ts").with_columns(
        pl.col("close").shift(1).over("symbol").alias("_before"),
        (pl.col("ts") - pl.col("ts").shift(1).over("symbol")).alias("_pause"),
    )
    # The opening print of a split's day can still be at the old price; its first minute's close is not. A daily bar's
    # close is a day later and proves nothing.
    intraday = rows.height > 0 and rows["bar_seconds"][0] < DAY
    ratios = sorted({float(r) for r in gates.split_ratios} | {1 / float(r) for r in gates.split_ratios})
    near = pl.any_horizontal(
        [
            (pl.col(price) / pl.col("_before") / r - 1).abs() <= gates.split_tolerance
            for r in ratios
            for price in (("open", "close") if intraday else ("open",))
        ]
    )
    found = ordered.filter(
        near & (pl.col("_pause") > pl.duration(hours=4)) & (pl.col("_pause") <= pl.duration(days=10))
    )
    if found.height:
        report.warnings["UNADJUSTED_SPLIT"] += found.height
        days = sorted({str(ts.date()) for ts in found["ts"].to_list()})
        report.notes.append(f"looks like an unadjusted split on {', '.join(days[:10])}")


def _split(data: pl.DataFrame) -> Parsed:
    return Parsed(data.filter(pl.col("reason").is_null()).drop("reason"), data.filter(pl.col("reason").is_not_null()))


def count_refused(parsed: Parsed, report: FileReport) -> None:
    """Add the refused rows and the time span of ``parsed`` to ``report``."""
    report.quarantined.update(Counter(dict(parsed.refused.group_by("reason").len().rows())))
    ts = pl.concat([parsed.rows["ts"], parsed.refused["ts"]])
    first, last = ts.min(), ts.max()
    report.first_ts = first if isinstance(first, datetime) else None
    report.last_ts = last if isinstance(last, datetime) else None
