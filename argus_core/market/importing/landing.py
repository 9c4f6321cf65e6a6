"""Merge imported rows into the landing tables. The result depends on what was imported, never on the order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from argus_core.market.importing.layout import DAY, rank_of
from argus_core.market.lake import Lake, Written
from argus_core.market.schemas import OptionQuotes, RawBars, empty
from argus_core.settings import FilesSettings

BARS = "landing_bars"
OPTIONS = "landing_options"
_PRODUCER = "import"


@dataclass
class Landed:
    """What landing one file did: rows refused by reason, per symbol, and partitions touched."""

    lost: list[tuple[str, str, str, pl.DataFrame]] = field(default_factory=list)  # symbol, source, reason, rows
    rows: int = 0
    written: int = 0
    unchanged: int = 0

    def note(self, written: Written) -> None:
        if written.changed:
            self.written += 1
        else:
            self.unchanged += 1

    def refused_of(self, source: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        for _, origin, reason, rows in self.lost:
            if origin == source:
                counts[reason] += rows.height
        return counts


def landed_periods(lake: Lake, bar_seconds: int, symbol: str) -> list[str]:
    """Periods of one landed series, ascending."""
    folder = lake.path(BARS, bar_seconds=bar_seconds, symbol=symbol).parent
    if not folder.is_dir():
        return []
    found = (p.name.partition("=")[2] for p in folder.iterdir() if p.name.startswith("period="))
    return sorted(p for p in found if lake.exists(BARS, bar_seconds=bar_seconds, symbol=symbol, period=p))


def landed_option_dates(lake: Lake, underlying: str) -> list[str]:
    """Trade dates (ISO text) of one underlying's landed quotes, ascending."""
    folder = lake.path(OPTIONS, underlying=underlying).parent
    if not folder.is_dir():
        return []
    return sorted(p.name.partition("=")[2] for p in folder.iterdir() if p.name.startswith("date="))


def land_bars(lake: Lake, rows: pl.DataFrame, source: str, files: FilesSettings) -> Landed:
    """Merge the bars of one file (RawBars plus ``source``) into ``landing_bars``.

    Per key (symbol, bar_seconds, ts) the row of the best feed stays, then of the first path. A daily series comes from
    one feed only, the best that any import has supplied. Rows of the same file are replaced by their new values.
    """
    landed = Landed()
    for (symbol, bar_seconds), part in rows.group_by("symbol", "bar_seconds", maintain_order=True):
        _land_series(lake, str(symbol), int(bar_seconds), part, source, files, landed)  # type: ignore[call-overload]
    return landed


def _land_series(
    lake: Lake,
    symbol: str,
    bar_seconds: int,
    new: pl.DataFrame,
    source: str,
    files: FilesSettings,
    landed: Landed,
) -> None:
    daily = bar_seconds >= DAY
    period = pl.col("ts").dt.strftime("%Y" if daily else "%Y-%m")
    new = new.with_columns(period.alias("period"))
    touched = set(new["period"].unique().to_list())
    known = [
        p
        for p in landed_periods(lake, bar_seconds, symbol)
        if daily or p in touched or _holds(lake, BARS, source, bar_seconds=bar_seconds, symbol=symbol, period=p)
    ]
    keys = [{"bar_seconds": bar_seconds, "symbol": symbol, "period": p} for p in known]
    schema = empty(RawBars).with_columns(pl.lit("").alias("source")).schema
    old = lake.read_many(BARS, keys, schema=schema).with_columns(period.alias("period"))
    # The file speaks for itself: what it landed before, in any period, gives way to what it says now.
    old = old.filter(pl.col("source") != source)

    def ranked(frame: pl.DataFrame) -> pl.DataFrame:
        sources = frame["source"].unique().to_list()
        ranks = [rank_of(s, daily_feeds=files.daily_feeds, bar_seconds=bar_seconds) for s in sources]
        return frame.with_columns(
            pl.col("source").replace_strict(sources, ranks, default=99, return_dtype=pl.Int32).alias("rank")
        )

    both = ranked(pl.concat([old, new.select(old.columns)]))
    if daily and both.height:
        best = both["rank"].min()
        other = both.filter(pl.col("rank") != best)
        _lose(landed, symbol, "OTHER_FEED", other)
        both = both.filter(pl.col("rank") == best)
    both = both.sort("ts", "rank", "source")
    again = pl.int_range(pl.len()).over("ts") > 0
    _lose(landed, symbol, "DUPLICATE", both.filter(again))
    kept = both.filter(~again)
    landed.rows += kept.filter(pl.col("source") == source).height
    for (name,), part in kept.group_by("period", maintain_order=True):
        landed.note(
            lake.write(
                BARS,
                part.drop("period", "rank").sort("ts"),
                keys={"bar_seconds": bar_seconds, "symbol": symbol, "period": str(name)},
                config_hash=files.config_hash,
                producer=_PRODUCER,
            )
        )
    for gone in sorted(set(known) - set(kept["period"].unique().to_list())):
        lake.delete(BARS, bar_seconds=bar_seconds, symbol=symbol, period=gone)
        landed.written += 1


def _holds(lake: Lake, table: str, source: str, **keys: str | int) -> bool:
    """Whether a landed partition has rows of the file ``source``."""
    path = str(lake.path(table, **keys))
    return pl.scan_parquet(path).filter(pl.col("source") == source).head(1).collect().height > 0


def land_options(lake: Lake, rows: pl.DataFrame, source: str, files: FilesSettings) -> Landed:
    """Merge the quotes of one file (OptionQuotes plus ``source`` and ``trade_date``) into ``landing_options``.

    Per key (contract, ts, recv_ts) the row of the first path stays.
    """
    landed = Landed()
    keys = ["contract", "ts", "recv_ts"]
    schema = empty(OptionQuotes).with_columns(pl.lit("").alias("source")).schema
    for (underlying, day), part in rows.sort("underlying", "trade_date").group_by(
        "underlying", "trade_date", maintain_order=True
    ):
        place = {"underlying": str(underlying), "date": str(day)}
        new = part.drop("trade_date")
        old = lake.read_many(OPTIONS, [place], schema=schema)
        old = old.filter(pl.col("source") != source)
        both = pl.concat([old, new.select(old.columns)]).sort(*keys, "source")
        if both["source"].n_unique() > 1:
            again = pl.int_range(pl.len()).over(keys) > 0
            _lose(landed, str(underlying), "DUPLICATE", both.filter(again))
            both = both.filter(~again)
        landed.rows += both.filter(pl.col("source") == source).height
        ordered = both.sort("ts", "recv_ts", "contract")
        landed.note(lake.write(OPTIONS, ordered, keys=place, config_hash=files.config_hash, producer=_PRODUCER))
    return landed


def _lose(landed: Landed, symbol: str, reason: str, rows: pl.DataFrame) -> None:
    for (source,), part in rows.group_by("source", maintain_order=True):
        landed.lost.append((symbol, str(source), reason, part.select("ts")))
