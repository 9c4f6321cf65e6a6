"""Which quotes of a snapshot may be believed: every quote gets its clocks and, where it is not clean, one reason."""

from __future__ import annotations

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.clock import calendar_years, variance_years, with_expiry
from argus_core.settings import Instrument
from argus_core.settings.option_chains import OptionChainSettings

#: Reasons in the order in which they are tested; a quote gets the first that fits. Meanings: docs/option-chains.md.
HYGIENE_REASONS = (
    "FUTURE",
    "EXPIRED",
    "DUPLICATE",
    "NON_STANDARD",
    "SPLIT_DAY",
    "NO_QUOTE",
    "ONE_SIDED",
    "NEGATIVE",
    "CROSSED",
    "ZERO_BID",
    "LOCKED",
    "ZERO_SIZE",
    "STALE",
    "SPREAD_WIDE",
    "LOW_PRICE",
)


def judged_quotes(
    quotes: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar, settings: OptionChainSettings
) -> pl.DataFrame:
    """Clocks and hygiene of every quote. No row is dropped.

    The clocks of a snapshot start at its newest quote (``moment``), not at the receipt: an evening file fetched hours
    later still shows the chain of 16:15.

    Args:
        quotes: rows of `OptionQuotes` of one underlying: whole snapshots, each one ``recv_ts``.

    Returns:
        The rows by recv_ts, expiry, strike, right and contract, with root, expiry_ts, settlement, moment, t_cal and
        t_var (years, negative after expiry), quote_age and lag (seconds behind the receipt and behind ``moment``),
        spot (median underlying price of the newest quotes) and ``reason``, null where the quote is clean.
    """
    order = ("recv_ts", "expiry", "strike", "right", "contract")
    rows = with_expiry(conform(quotes, OptionQuotes).sort(*order, "ts", "bid", "ask"), instrument, calendar, settings)
    numbers = [pl.col(name).fill_nan(None) for name in ("bid", "ask", "bid_size", "ask_size", "underlying_price")]
    rows = rows.with_columns(
        *numbers,
        pl.col("iv").fill_nan(None),
        moment=pl.col("ts").filter(pl.col("ts") <= pl.col("recv_ts")).max().over("recv_ts"),
    ).with_columns(pl.col("moment").fill_null(pl.col("recv_ts")))
    start, end = (rows[name].dt.timestamp("us").to_numpy() for name in ("moment", "expiry_ts"))
    rows = rows.with_columns(
        pl.Series("t_cal", calendar_years(start, end, settings.day_count)),
        pl.Series("t_var", variance_years(start, end, instrument, calendar, settings.clock)),
        quote_age=(pl.col("recv_ts") - pl.col("ts")).dt.total_microseconds() / 1e6,
        lag=(pl.col("moment") - pl.col("ts")).dt.total_microseconds() / 1e6,
        spot=pl.col("underlying_price").filter(pl.col("ts") == pl.col("moment")).median().over("recv_ts"),
    )
    rows = rows.with_columns(pl.col("spot").fill_null(pl.col("underlying_price").median().over("recv_ts")))
    return rows.with_columns(_reason(settings))


def hygiene_counts(vols: pl.DataFrame) -> pl.DataFrame:
    """Rows per snapshot and reason ("USED" where there is none), most frequent first.

    Args:
        vols: rows with recv_ts and reason: `judged_quotes` or `ImpliedVols`.

    Returns:
        recv_ts, reason, count, share.
    """
    counted = vols.group_by("recv_ts", pl.col("reason").fill_null("USED")).agg(pl.len().alias("count"))
    share = pl.col("count") / pl.col("count").sum().over("recv_ts")
    return counted.with_columns(share=share).sort("recv_ts", "count", "reason", descending=[False, True, False])


def _reason(settings: OptionChainSettings) -> pl.Expr:
    """First reason that fits, null where the quote is clean."""
    limits = settings.hygiene
    bid, ask = pl.col("bid"), pl.col("ask")
    mid = 0.5 * (bid + ask)
    least = pl.min_horizontal("bid_size", "ask_size")
    sized = ((pl.col("bid_size") > 0) | (pl.col("ask_size") > 0)).fill_null(False).mean().over("recv_ts")
    jump = (pl.col("underlying_price") / pl.col("spot")).log().abs()
    unreal = pl.any_horizontal([(side < 0) | ~side.is_finite() for side in (bid, ask)]) | ~(pl.col("strike") > 0)
    newest = pl.col("ts").rank("ordinal", descending=True).over("recv_ts", "contract")
    # Roots are standard by the settings' list, or by being the underlying's own symbol.
    roots = pl.DataFrame(
        [(u, r) for u, known in limits.standard_roots.items() for r in known],
        schema={"underlying": pl.String, "root": pl.String},
        orient="row",
    )
    listed = pl.concat_str("underlying", pl.lit("/"), "root").is_in(
        (roots["underlying"] + "/" + roots["root"]).to_list()
    )
    standard = listed | (pl.col("root") == pl.col("underlying"))
    tests = {
        "FUTURE": pl.col("ts") > pl.col("recv_ts"),
        "EXPIRED": pl.col("t_cal") <= 0,
        "DUPLICATE": newest > 1,
        "NON_STANDARD": ~standard,
        "SPLIT_DAY": jump > float(np.log(limits.split_ratio)),
        "NO_QUOTE": bid.is_null() & ask.is_null(),
        "ONE_SIDED": bid.is_null() | ask.is_null(),
        "NEGATIVE": unreal,
        "CROSSED": bid > ask,
        "ZERO_BID": bid == 0,
        "LOCKED": (bid == ask) & pl.lit(limits.reject_locked),
        "ZERO_SIZE": (least < limits.min_size) & (sized >= limits.size_share),
        "STALE": (pl.col("quote_age") > limits.max_quote_age_seconds) | (pl.col("lag") > limits.max_lag_seconds),
        "SPREAD_WIDE": (ask - bid) > limits.max_spread * mid,
        "LOW_PRICE": mid < limits.min_price,
    }
    result = pl.lit(None, dtype=pl.String)
    for reason in reversed(HYGIENE_REASONS):
        result = pl.when(tests[reason].fill_null(False)).then(pl.lit(reason)).otherwise(result)
    return result.alias("reason")
