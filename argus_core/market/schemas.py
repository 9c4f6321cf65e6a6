"""Schemas of the market tables: the columns every provider's frames are brought to."""

from __future__ import annotations

from functools import cache

import dataframely as dy
import polars as pl

UTC_US = pl.Datetime("us", "UTC")


class RawBars(dy.Schema):
    """Bars as received. Key (provider, symbol, bar_seconds, ts)."""

    provider = dy.String(nullable=False)
    symbol = dy.String(nullable=False)
    bar_seconds = dy.Int32(nullable=False)
    ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    open = dy.Float64(nullable=True)
    high = dy.Float64(nullable=True)
    low = dy.Float64(nullable=True)
    close = dy.Float64(nullable=True)
    volume = dy.Float64(nullable=True)
    bid = dy.Float64(nullable=True)
    ask = dy.Float64(nullable=True)
    volume_scope = dy.String(nullable=False)


class Bars(dy.Schema):
    """Published bars: gated, with trade date, session and the moment from which each may be seen."""

    provider = dy.String(nullable=False)
    symbol = dy.String(nullable=False)
    bar_seconds = dy.Int32(nullable=False)
    trade_date = dy.Date(nullable=False)
    ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    end = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    available_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    open = dy.Float64(nullable=False)
    high = dy.Float64(nullable=False)
    low = dy.Float64(nullable=False)
    close = dy.Float64(nullable=False)
    volume = dy.Float64(nullable=False)
    bid = dy.Float64(nullable=True)
    ask = dy.Float64(nullable=True)
    session = dy.String(nullable=False)
    volume_scope = dy.String(nullable=False)


class OptionQuotes(dy.Schema):
    """Option chain snapshots as received. Gate on ``recv_ts``."""

    provider = dy.String(nullable=False)
    underlying = dy.String(nullable=False)
    ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    recv_ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    contract = dy.String(nullable=False)
    expiry = dy.Date(nullable=False)
    strike = dy.Float64(nullable=False)
    right = dy.String(nullable=False)
    bid = dy.Float64(nullable=True)
    ask = dy.Float64(nullable=True)
    bid_size = dy.Float64(nullable=True)
    ask_size = dy.Float64(nullable=True)
    iv = dy.Float64(nullable=True)
    delta = dy.Float64(nullable=True)
    open_interest = dy.Float64(nullable=True)
    underlying_price = dy.Float64(nullable=True)


class Quarantine(dy.Schema):
    """Rows (or whole files, with null ts) that a gate refused, one row per refused row and reason."""

    table = dy.String(nullable=False)
    provider = dy.String(nullable=False)
    symbol = dy.String(nullable=False)
    ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=True)
    reason = dy.String(nullable=False)
    detail = dy.String(nullable=False)
    source = dy.String(nullable=False)


class References(dy.Schema):
    """Daily bars of the reference symbols (risk flow baskets) for one trade date, across symbols."""

    provider = dy.String(nullable=False)
    symbol = dy.String(nullable=False)
    trade_date = dy.Date(nullable=False)
    ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    available_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    open = dy.Float64(nullable=True)
    close = dy.Float64(nullable=False)


def empty(schema: type[dy.Schema]) -> pl.DataFrame:
    """An empty frame with the columns of ``schema``."""
    return pl.DataFrame(schema=column_types(schema))


@cache
def column_types(schema: type[dy.Schema]) -> pl.Schema:
    """Column names and types of ``schema``; kept, since building them costs a millisecond."""
    return schema.create_empty().schema


def conform(frame: pl.DataFrame, schema: type[dy.Schema]) -> pl.DataFrame:
    """Select the columns of ``schema`` in its order, adding missing nullable ones as null, with its types."""
    types = column_types(schema)
    return frame.select(
        [
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in types.items()
        ]
    )
