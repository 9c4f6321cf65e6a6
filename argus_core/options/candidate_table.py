"""Numbers, names, ranks and words of candidate structures; rows refer to the table of contracts they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.positions import profit_lines_of

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

LEGS = ("leg_0", "leg_1", "leg_2", "leg_3")
_QUANTITIES = ("quantity_0", "quantity_1", "quantity_2", "quantity_3")
_HEAD = ("provider", "underlying", "recv_ts", "expiry", "days", "t_cal", "forward")
_TS = pl.Datetime("us", "UTC")
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "provider": pl.String,
    "underlying": pl.String,
    "recv_ts": _TS,
    "candidate": pl.String,
    "structure": pl.String,
    "side": pl.String,
    "expiry": pl.Date,
    "days": pl.Int64,
    **dict.fromkeys(("t_cal", "forward"), pl.Float64),
    "legs": pl.String,
    **dict.fromkeys(("price", "mid_price", "credit", "cost", "cost_share", "width", "max_profit"), pl.Float64),
    **dict.fromkeys(("max_loss", "return_on_risk", "breakeven_low", "breakeven_high", "inner_delta"), pl.Float64),
    **dict.fromkeys(("delta", "gamma", "vega", "theta", "min_open_interest", "min_size", "max_age"), pl.Float64),
    "score": pl.Float64,
    "rank": pl.UInt32,
    "why": pl.String,
}
_LEFT_OUT = {"recv_ts": _TS, "structure": pl.String, "expiry": pl.Date, "reason": pl.String, "count": pl.UInt32}


@dataclass(frozen=True)
class Found:
    """Structures of one kind and expiry.

    Attributes:
        rows: rows of the table of contracts, (n, legs); the legs nearest to the money come first.
        quantities: signed contracts per leg.
        lost: reason -> how many never became one.
        place: any row of the first expiry.
    """

    structure: str
    side: str
    rows: Rows
    quantities: tuple[int, ...]
    lost: dict[str, int]
    place: int


class Contracts:
    """The contracts that structures refer to by row: rows of `ImpliedVols` with ``days``; numbers as arrays."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table.with_columns(leg_json())
        names = ("bid", "ask", "strike", "delta", "gamma", "vega", "theta")
        names += ("open_interest", "bid_size", "ask_size", "quote_age")
        self.numbers = {name: table[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in names}
        self.call = (table["right"] == "C").to_numpy()

    def heads(self, rows: Rows) -> pl.DataFrame:
        """What every row says about its snapshot and expiry."""
        return self.table[rows].select(_HEAD)


def leg_json() -> pl.Expr:
    """Every contract as the beginning of its JSON object, up to the quantity."""
    parts = ("contract", '","expiry":"', "expiry", '","strike":', "strike", ',"right":"', "right", '","quantity":')
    texts = [pl.col(p).cast(pl.String) if number % 2 == 0 else pl.lit(p) for number, p in enumerate(parts)]
    return pl.concat_str(pl.lit('{"contract":"'), *texts).alias("leg")


def priced(found: Found, contracts: Contracts) -> pl.DataFrame:
    """Numbers of every structure, dollars per share."""
    rows, q = found.rows, np.array(found.quantities, float)

    def column(name: str) -> Floats:
        return contracts.numbers[name][rows]

    bid, ask, strike, delta = column("bid"), column("ask"), column("strike"), column("delta")
    call = contracts.call[rows]
    price = (np.where(q > 0, ask, bid) * q).sum(axis=1)
    mid = (0.5 * (bid + ask) * q).sum(axis=1)
    cost = (0.5 * (ask - bid) * np.abs(q)).sum(axis=1)
    nothing = np.full(len(rows), np.nan)
    if found.structure.endswith("calendar"):
        # What is paid may be lost; the gain depends on the volatility that is left at the first expiry.
        max_loss, max_profit, low, high, width = price, nothing, nothing, nothing, np.zeros(len(rows))
    else:
        lines = profit_lines_of(strike, call, np.broadcast_to(q, rows.shape), price, multiplier=1.0)
        max_loss, max_profit = (np.where(np.isfinite(v), v, np.nan) for v in (lines.max_loss, lines.max_profit))
        ends = lines.crossings(0.0)
        low, high = (np.where(np.isfinite(v), v, np.nan) for v in (_least(ends), -_least(-ends)))
        width = np.max([_reach(strike, call == right) for right in (True, False)], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = cost / np.abs(mid)
        risk = np.where(max_loss > 0, max_profit / max_loss, np.nan)
    inner = 1 if found.structure in ("put_vertical", "call_vertical") else 2
    numbers = {
        **{LEGS[i]: rows[:, i] for i in range(rows.shape[1])},
        "price": price,
        "mid_price": mid,
        "credit": np.maximum(-price, 0.0),
        "cost": cost,
        "cost_share": share,
        "width": width,
        "max_profit": max_profit,
        "max_loss": max_loss,
        "return_on_risk": risk,
        "breakeven_low": low,
        "breakeven_high": high,
        "inner_delta": np.abs(delta[:, :inner]).max(axis=1),
        **{name: (column(name) * q).sum(axis=1) for name in ("delta", "gamma", "vega", "theta")},
        "min_open_interest": column("open_interest").min(axis=1),
        "min_size": np.fmin(column("bid_size"), column("ask_size")).min(axis=1),
        "max_age": column("quote_age").max(axis=1),
        "score": 1.0 - share,
    }
    # The first leg belongs to the first expiry.
    table = pl.DataFrame(numbers, nan_to_null=True).hstack(contracts.heads(rows[:, 0]))
    return table.with_columns(
        structure=pl.lit(found.structure),
        side=pl.lit(found.side),
        **{_QUANTITIES[i]: pl.lit(quantity) for i, quantity in enumerate(found.quantities)},
    )


def ranked(frames: Sequence[pl.DataFrame], contracts: Contracts) -> pl.DataFrame:
    """All structures, best first within snapshot, structure and side, with legs, names and words."""
    if not frames:
        return pl.DataFrame(schema=_SCHEMA)
    rows = pl.concat(frames, how="diagonal")
    told, named = [], []
    for leg, quantity in zip(LEGS, _QUANTITIES, strict=True):
        if leg not in rows.columns:
            continue
        known = rows[leg].is_not_null()
        at = rows[leg].fill_null(0)
        text = contracts.table["leg"].gather(at) + rows[quantity].cast(pl.String) + "}"
        told.append(text.set(~known, None).alias(leg))
        sign = pl.Series(["-" if (value or 0) < 0 else "+" for value in rows[quantity]])
        named.append((sign + contracts.table["contract"].gather(at)).set(~known, None).alias(leg))
    legs = pl.DataFrame(told).select(pl.concat_str(pl.all(), separator=",", ignore_nulls=True)).to_series()
    name = pl.DataFrame(named).select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series()
    rows = rows.with_columns(legs=("[" + legs + "]").alias("legs"), candidate=name)
    group = ["recv_ts", "structure", "side"]
    rows = rows.sort(*group, "score", "days", "candidate", descending=[False, False, False, True, False, False])
    rows = rows.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over(group)).with_columns(why=_why())
    return rows.select([pl.col(column).cast(kind) for column, kind in _SCHEMA.items()])


def left_out(counted: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Counts by snapshot, structure, expiry and reason."""
    parts = [part.select([pl.col(name).cast(kind) for name, kind in _LEFT_OUT.items()]) for part in counted]
    if not parts:
        return pl.DataFrame(schema=_LEFT_OUT)
    key = ["recv_ts", "structure", "expiry", "reason"]
    return pl.concat(parts).group_by(key).agg(pl.col("count").sum()).sort(key)


def _why() -> pl.Expr:
    money = pl.col("price").abs().round(2).cast(pl.String)
    paid = pl.when(pl.col("price") < 0).then(pl.lit("credit ")).otherwise(pl.lit("debit ")) + money
    risk = (
        pl.when(pl.col("max_loss").is_null())
        .then(pl.lit(", loss unlimited"))
        .otherwise(pl.lit(", at risk ") + pl.col("max_loss").round(2).cast(pl.String))
    )
    return pl.concat_str(
        paid,
        risk,
        pl.lit(", crossing costs "),
        (100 * pl.col("cost_share")).round(1).cast(pl.String),
        pl.lit(" % of the mid, inner delta "),
        pl.col("inner_delta").round(2).cast(pl.String),
        pl.lit(", "),
        pl.col("days").cast(pl.String),
        pl.lit(" days"),
    )


def _least(values: Floats) -> Floats:
    """Smallest finite value per row, inf where there is none."""
    return np.where(np.isfinite(values), values, np.inf).min(axis=1)


def _reach(strike: Floats, some: NDArray[np.bool_]) -> Floats:
    """Distance between the outermost chosen strikes per row, 0 without two."""
    high = np.where(some, strike, -np.inf).max(axis=1)
    low = np.where(some, strike, np.inf).min(axis=1)
    return np.where(np.isfinite(high), high - low, 0.0)
