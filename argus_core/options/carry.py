"""Make whole snapshots of a feed of changes: every side of every contract stands until it changes or grows too old."""

from __future__ import annotations

import polars as pl

_SIDES = {"bid": "bid_size", "ask": "ask_size"}
_STANDING = ("iv", "delta", "open_interest")


def carry_quotes(quotes: pl.DataFrame, max_age_seconds: int) -> pl.DataFrame:
    """Quotes of every contract at every receipt from its first one on, each side carried forward on its own.

    A feed of changes has a row only where a side of a contract changed, and null on the side that did not. Each
    side keeps the time it stood; one that stands for longer than ``max_age_seconds`` before the receipt is unknown. The
    row's ``ts`` is that of the older known side, so that an age limit at the fill judges the oldest quote used.
    Contracts leave after their expiry.

    Args:
        quotes: rows of `OptionQuotes` in any order.

    Returns:
        The same columns; rows = receipts x contracts known by then, without those whose sides are both unknown.
    """
    if quotes.is_empty():
        return quotes
    latest = quotes.sort("recv_ts", "ts").unique(["contract", "recv_ts"], keep="last", maintain_order=True)
    first = latest.group_by("contract").agg(pl.col("recv_ts").min().alias("known_since"))
    fixed = [c for c in ("provider", "underlying", "contract", "expiry", "strike", "right") if c in quotes.columns]
    contracts = latest.select(fixed).unique("contract", keep="first").join(first, on="contract")
    receipts = latest.select("recv_ts").unique().sort("recv_ts")
    grid = contracts.join(receipts, how="cross").filter(
        (pl.col("recv_ts") >= pl.col("known_since")) & (pl.col("recv_ts").dt.date() <= pl.col("expiry"))
    )
    changing = [c for c in quotes.columns if c not in fixed and c != "recv_ts"]
    joined = grid.join(latest.select("contract", "recv_ts", *changing), on=["contract", "recv_ts"], how="left")
    ordered = joined.sort("contract", "recv_ts")
    carried: list[pl.Expr] = []
    for side, size in _SIDES.items():
        stood = pl.when(pl.col(side).is_not_null()).then(pl.col("ts"))
        own = [stood.alias(f"{side}_ts"), pl.when(pl.col(side).is_not_null()).then(pl.col(size)).alias(size)]
        carried += [expr.forward_fill().over("contract") for expr in (pl.col(side), *own)]
    carried += [pl.col(name).forward_fill().over("contract") for name in _STANDING if name in changing]
    market = [pl.col("underlying_price").forward_fill().over("recv_ts")] if "underlying_price" in changing else []
    known = ordered.with_columns(*carried, *market)
    limit = pl.duration(seconds=max_age_seconds)
    for side, size in _SIDES.items():
        fresh = pl.col("recv_ts") - pl.col(f"{side}_ts") <= limit
        known = known.with_columns(pl.when(fresh).then(pl.col(name)).alias(name) for name in (side, size, f"{side}_ts"))
    stood = pl.min_horizontal("bid_ts", "ask_ts")
    return known.with_columns(ts=stood).filter(pl.col("ts").is_not_null()).select(quotes.columns)
