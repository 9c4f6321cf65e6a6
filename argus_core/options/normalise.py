"""Any provider's option chain as `OptionQuotes`: one spelling, one unit, every refused row with its reason.

Units are detected from the chain as a whole, never from one value: 0.9 may be 90 % or 0.9 %, a chain may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl

from argus_core.market.importing.timestamps import UTC_US, to_utc
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.clock import DERIBIT_SYMBOL
from argus_core.options.provider_formats import ALIASES, TARGETS, ProviderFormat, provider_format

#: Why a row is refused, in the order in which it is tested.
REFUSALS = (
    "NO_UNDERLYING",
    "FOREIGN_UNDERLYING",
    "NO_EXPIRY",
    "NO_STRIKE",
    "NO_RIGHT",
    "CONTRACT_MISMATCH",
    "MISSING_RECV_TS",
    "FUTURE",
    "DUPLICATE",
)
IvUnit = Literal["percent", "fraction", "unknown"]

# Root, date, right, strike in thousandths, perhaps with Polygon's prefix; and dxFeed's with a plain strike.
_OCC = r"^(?:O:)?([A-Z]+[0-9]?)\s*(\d{6})([CP])(\d{8})$"
_STREAMER = r"^\.([A-Z]+?[0-9]?)(\d{6})([CP])(\d+(?:\.\d+)?)$"
_RIGHTS = {
    **dict.fromkeys(("c", "call", "calls", "ce"), "C"),
    **dict.fromkeys(("p", "put", "puts", "pe"), "P"),
}
_PRICES, _SIZES = ("bid", "ask"), ("bid_size", "ask_size", "open_interest")
_NUMBERS = (*_PRICES, *_SIZES, "strike", "iv", "delta", "underlying_price")


@dataclass(frozen=True)
class NormalisedChain:
    """``quotes``: rows of `OptionQuotes`. ``refused``: the others with ``reason``. ``counts``: rows per reason.
    ``notes``: what was assumed or detected, in words."""

    quotes: pl.DataFrame
    refused: pl.DataFrame
    counts: dict[str, int]
    iv_unit: IvUnit
    notes: tuple[str, ...]


def normalise_chain(
    frame: pl.DataFrame,
    *,
    provider: str,
    format: str | ProviderFormat = "any",
    underlying: str | None = None,
    recv_ts: datetime | None = None,
) -> NormalisedChain:
    """Bring a provider's chain to `OptionQuotes`.

    Args:
        frame: the rows as the provider sent them; struct columns are unnested with a dot.
        provider: name for the column ``provider``.
        format: entry of `argus_core.options.provider_formats.FORMATS`, or one of your own.
        underlying: the symbol that every row must belong to; default: what the rows say.
        recv_ts: moment of receipt (with zone) for rows that do not bring their own. Without either a row is refused:
            nobody may see a quote of which it is unknown when it could be seen.

    Returns:
        Quotes in dollars, volatilities as fractions (null, with a note, where the unit stays unknown).
    """
    form = provider_format(format) if isinstance(format, str) else format
    notes: list[str] = []
    rows = _renamed(_flat(frame), form, notes)
    rows = _contracts(rows, underlying, form, notes)
    rows = _times(rows, form, recv_ts, notes)
    rows = rows.with_columns(
        [pl.when(pl.col(c) < 0).then(None).otherwise(pl.col(c)).alias(c) for c in (*_PRICES, *_SIZES)]
    )
    if form.prices == "coin":
        rows = rows.with_columns([(pl.col(c) * pl.col("underlying_price")).alias(c) for c in _PRICES])
    rows = rows.with_columns(provider=pl.lit(provider)).sort("contract", "recv_ts", "ts", "bid", "ask")
    rows = rows.with_columns(_refusal(underlying))
    good = rows.filter(pl.col("reason").is_null())
    unit: IvUnit = form.iv_unit or iv_unit_of(good)
    if unit == "unknown" and good["iv"].null_count() < good.height:
        notes.append("iv: neither percent nor fraction fits the chain; left out")
    scale = {"percent": 0.01, "fraction": 1.0, "unknown": None}[unit]
    good = good.with_columns(iv=pl.col("iv") * scale if scale else pl.lit(None, pl.Float64))
    refused = rows.filter(pl.col("reason").is_not_null())
    counts = {reason: refused.filter(pl.col("reason") == reason).height for reason in REFUSALS}
    return NormalisedChain(
        conform(good, OptionQuotes).sort("recv_ts", "expiry", "strike", "right", "contract"),
        refused,
        {reason: count for reason, count in counts.items() if count},
        unit,
        tuple(notes),
    )


def iv_unit_of(chain: pl.DataFrame) -> IvUnit:
    """Whether a chain's volatilities are fractions or percent, judged by all of its rows together.

    With quotes: the volatility that the straddle nearest to the money costs, about C + P = .8 F vol sqrt(T), stands
    beside the volatilities of its strike; the median ratio over expiries is near 1 or near 100. Without quotes: no
    chain's median volatility is below 1.5 in percent or above 3 as a fraction; between them nothing is certain.

    Args:
        chain: columns of `OptionQuotes` in dollars.
    """
    known = chain.filter((pl.col("iv") > 0) & pl.col("iv").is_finite())
    if known.is_empty():
        return "unknown"
    mid = 0.5 * (pl.col("bid") + pl.col("ask"))
    priced = known.filter((pl.col("bid") > 0) & (pl.col("ask") >= pl.col("bid"))).with_columns(mid=mid)
    sides = [priced.filter(pl.col("right") == right) for right in ("C", "P")]
    key = ["recv_ts", "expiry", "strike"]
    pairs = sides[0].join(sides[1], on=key, suffix="_put").with_columns(gap=(pl.col("mid") - pl.col("mid_put")).abs())
    pairs = pairs.sort("gap", "strike").unique(["recv_ts", "expiry"], keep="first", maintain_order=True)
    days = (pl.col("expiry") - pl.col("ts").dt.date()).dt.total_days()
    pairs = pairs.with_columns(
        ratio=0.5
        * (pl.col("iv") + pl.col("iv_put"))
        * 0.8
        * pl.col("strike")
        * (days.clip(1) / 365.0).sqrt()
        / (pl.col("mid") + pl.col("mid_put"))
    ).filter((pl.col("ratio") > 0) & (days >= 1) & (pl.col("gap") < 0.5 * (pl.col("mid") + pl.col("mid_put"))))
    if pairs.height:
        size = float(np.log10(np.median(pairs["ratio"].to_numpy())))
        return "fraction" if abs(size) < 0.7 else "percent" if abs(size - 2) < 0.7 else "unknown"
    middle = float(np.median(known["iv"].to_numpy()))
    return "percent" if middle > 3 else "fraction" if middle < 1.5 else "unknown"


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Struct columns (greeks, details) as columns of their own, named with a dot."""
    while structs := [name for name, kind in frame.schema.items() if isinstance(kind, pl.Struct)]:
        for name in structs:
            parts = frame[name].struct.unnest()
            frame = frame.drop(name).hstack(parts.rename({c: f"{name}.{c}" for c in parts.columns}))
    return frame


def _renamed(frame: pl.DataFrame, form: ProviderFormat, notes: list[str]) -> pl.DataFrame:
    """One column per target, null where the provider has none; numbers as numbers."""
    plain = {}
    for name in frame.columns:
        plain.setdefault(name.lower().translate(str.maketrans("", "", " ._-")), name)
    columns = []
    for target in TARGETS:
        named = form.columns.get(target)
        found = named if named in frame.columns else next((plain[a] for a in ALIASES[target] if a in plain), None)
        columns.append((pl.col(found) if found else pl.lit(None)).alias(target))
        if named and found != named:
            notes.append(f"{target}: no column {named!r}, " + (f"took {found!r}" if found else "left empty"))
    rows = frame.select(columns) if frame.width else pl.DataFrame(schema=dict.fromkeys(TARGETS, pl.String))
    numbers = [pl.col(c).cast(pl.Float64, strict=False).fill_nan(None) for c in _NUMBERS]
    return rows.with_columns(
        *numbers,
        *(pl.col(c).cast(pl.String, strict=False).str.strip_chars() for c in ("underlying", "contract", "root")),
    )


def _contracts(rows: pl.DataFrame, underlying: str | None, form: ProviderFormat, notes: list[str]) -> pl.DataFrame:
    """Expiry, strike and right from columns and from the symbol; ``mismatch`` where the two disagree."""
    symbol = pl.col("contract").str.to_uppercase()
    decimals = symbol.str.extract(DERIBIT_SYMBOL, 3).str.replace("D", ".", literal=True)
    rows = rows.with_columns(
        symbol_root=pl.coalesce(*(symbol.str.extract(p, 1) for p in (_OCC, _STREAMER, DERIBIT_SYMBOL))),
        symbol_expiry=pl.coalesce(
            *(symbol.str.extract(p, 2).str.to_date("%y%m%d", strict=False) for p in (_OCC, _STREAMER)),
            symbol.str.extract(DERIBIT_SYMBOL, 2).str.zfill(7).str.to_titlecase().str.to_date("%d%b%y", strict=False),
        ),
        symbol_strike=pl.coalesce(
            symbol.str.extract(_OCC, 4).cast(pl.Float64, strict=False) / 1000.0,
            symbol.str.extract(_STREAMER, 4).cast(pl.Float64, strict=False),
            decimals.cast(pl.Float64, strict=False),
        ),
        symbol_right=pl.coalesce(
            *(symbol.str.extract(p, 3) for p in (_OCC, _STREAMER)), symbol.str.extract(DERIBIT_SYMBOL, 4)
        ),
        expiry=_dates(rows["expiry"]),
        right=_rights(rows),
    )
    divisor = form.strike_divisor or _strike_divisor(rows, notes)
    # A format may state thousandths for a column that is missing: the symbol's strike is in dollars already.
    rows = rows.with_columns(strike=pl.col("strike") / divisor)
    differ = [
        (pl.col("expiry") != pl.col("symbol_expiry")),
        (pl.col("strike") - pl.col("symbol_strike")).abs() > 1e-3 + 1e-6 * pl.col("symbol_strike"),
        (pl.col("right") != pl.col("symbol_right")),
    ]
    rows = rows.with_columns(
        mismatch=pl.any_horizontal([d.fill_null(False) for d in differ]),
        **{name: pl.coalesce(name, f"symbol_{name}") for name in ("expiry", "strike", "right", "root")},
    )
    standard = rows["root"].replace_strict(_WEEKLY_ROOTS, default=rows["root"])
    default = pl.lit(underlying, pl.String) if underlying else standard
    rows = rows.with_columns(underlying=pl.coalesce("underlying", default))
    built = pl.format(
        "{}{}{}{}",
        pl.coalesce("root", "underlying"),
        pl.col("expiry").dt.strftime("%y%m%d"),
        "right",
        (pl.col("strike") * 1000).round(0).cast(pl.Int64, strict=False).cast(pl.String).str.zfill(8),
    )
    named = pl.when(symbol.str.contains(DERIBIT_SYMBOL)).then(symbol)
    return rows.with_columns(contract=named.otherwise(pl.coalesce(built, "contract")))


#: Roots of weeklies and their underlying, for feeds that name the root only.
_WEEKLY_ROOTS = {"SPXW": "SPX", "NDXP": "NDX", "RUTW": "RUT", "VIXW": "VIX"}


def _strike_divisor(rows: pl.DataFrame, notes: list[str]) -> float:
    """1000 where the column's strikes are thousandths of those of the symbols, or of any sensible price."""
    beside = rows.select(pl.col("strike") / pl.coalesce("symbol_strike", "underlying_price")).to_series().drop_nulls()
    beside = beside.filter(beside > 0)
    if len(beside) and float(np.median(beside.to_numpy())) > 100.0:
        notes.append("strike: in thousandths, by the chain as a whole")
        return 1000.0
    return 1.0


def _rights(rows: pl.DataFrame) -> pl.Series:
    words = rows["right"].cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
    said = words.replace_strict(_RIGHTS, default=None, return_dtype=pl.String)
    flag = rows["is_call"].cast(pl.String, strict=False).str.to_lowercase()
    flagged = flag.replace_strict({"true": "C", "1": "C", "false": "P", "0": "P"}, default=None, return_dtype=pl.String)
    return said.fill_null(flagged).alias("right")


def _dates(column: pl.Series) -> pl.Series:
    """Expiry dates from dates, timestamps (the New York day), yyyymmdd numbers, epochs and text in the usual orders."""
    kind = column.dtype
    if kind == pl.Date:
        return column
    if isinstance(kind, pl.Datetime):
        return column.dt.date() if kind.time_zone is None else column.dt.convert_time_zone("America/New_York").dt.date()
    if kind.is_numeric():
        whole = column.cast(pl.Int64, strict=False)
        middle = float(whole.drop_nulls().median() or 0)  # ty: ignore[invalid-argument-type]
        if middle < 1e8:
            return whole.cast(pl.String).str.to_date("%Y%m%d", strict=False)
        return _epochs(whole).dt.convert_time_zone("America/New_York").dt.date()
    text = column.cast(pl.String, strict=False).str.strip_chars()
    whole = pl.coalesce(
        *(pl.col("t").str.to_date(p, strict=False) for p in ("%Y-%m-%d", "%Y%m%d", "%m/%d/%Y", "%d%b%y", "%d-%b-%Y"))
    )
    days = pl.DataFrame({"t": text}).select(whole).to_series()
    late = to_utc(text.set(days.is_not_null(), None).alias("expiry"), "America/New_York")[0]
    return days.fill_null(late.dt.convert_time_zone("America/New_York").dt.date()).alias("expiry")


def _epochs(numbers: pl.Series) -> pl.Series:
    """Timestamps from epochs; the unit by the size of the column's median."""
    middle = float(numbers.drop_nulls().median() or 0)  # ty: ignore[invalid-argument-type]
    factor = 1_000_000 if middle < 1e11 else 1_000 if middle < 1e14 else 1
    values = numbers * factor if middle < 1e17 else numbers // 1_000
    return values.cast(pl.Int64, strict=False).cast(UTC_US)


def _moments(column: pl.Series, zone: str, notes: list[str]) -> pl.Series:
    if column.dtype.is_numeric():
        return _epochs(column)
    if column.dtype == pl.Null or column.dtype == pl.Date:
        return pl.Series(column.name, [None] * len(column), dtype=UTC_US)
    moments, _, note = to_utc(column, zone)
    if note:
        notes.append(note)
    return moments


def _times(rows: pl.DataFrame, form: ProviderFormat, recv_ts: datetime | None, notes: list[str]) -> pl.DataFrame:
    ts, received = (_moments(rows[name], form.zone, notes).alias(name) for name in ("ts", "recv_ts"))
    rows = rows.with_columns(ts, received)
    if rows["ms_of_day"].null_count() < rows.height:
        elapsed = pl.duration(milliseconds=pl.col("ms_of_day").cast(pl.Int64, strict=False))
        midnight = _dates(rows["quote_date"]).cast(pl.Datetime("us")).alias("midnight")
        local = rows.with_columns(midnight).select(ts=pl.col("midnight") + elapsed).to_series()
        rows = rows.with_columns(ts=pl.col("ts").fill_null(to_utc(local, form.zone)[0]))
    if recv_ts is not None:
        rows = rows.with_columns(recv_ts=pl.col("recv_ts").fill_null(pl.lit(recv_ts).cast(UTC_US)))
    unknown = rows.filter(pl.col("ts").is_null() & pl.col("recv_ts").is_not_null()).height
    if unknown:
        notes.append(f"ts: unknown in {unknown} row(s), taken as the receipt; their age cannot be judged")
    return rows.with_columns(ts=pl.col("ts").fill_null(pl.col("recv_ts")))


def _refusal(underlying: str | None) -> pl.Expr:
    newest = pl.col("ts").rank("ordinal", descending=True).over("contract", "recv_ts")
    foreign = pl.col("underlying") != underlying if underlying else pl.lit(False)
    tests = {
        "NO_UNDERLYING": pl.col("underlying").is_null(),
        "FOREIGN_UNDERLYING": foreign,
        "NO_EXPIRY": pl.col("expiry").is_null(),
        "NO_STRIKE": pl.col("strike").is_null() | ~(pl.col("strike") > 0) | ~pl.col("strike").is_finite(),
        "NO_RIGHT": pl.col("right").is_null(),
        "CONTRACT_MISMATCH": pl.col("mismatch"),
        "MISSING_RECV_TS": pl.col("recv_ts").is_null(),
        "FUTURE": pl.col("ts") > pl.col("recv_ts"),
        "DUPLICATE": newest > 1,
    }
    result = pl.lit(None, dtype=pl.String)
    for reason in reversed(REFUSALS):
        result = pl.when(tests[reason].fill_null(False)).then(pl.lit(reason)).otherwise(result)
    return result.alias("reason")
