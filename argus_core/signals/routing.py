"""Who receives which signal."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from argus_core.settings.signals import SignalRoute
from argus_core.signals.rows import ENTRY, EXIT


def route_signals(signals: pl.DataFrame, routes: Sequence[SignalRoute]) -> pl.DataFrame:
    """Add the column ``routes``: names of the routes that each signal takes, sorted, joined by commas; "" for none.

    Args:
        signals: rows of `SIGNAL_SCHEMA` with ``rank`` (`rank_signals`).
        routes: filters; `SignalRoute` says what each means.
    """
    ordered = signals.sort("available_at", "rank", maintain_order=True)
    taken = [pl.when(_passes(route)).then(pl.lit(route.name)) for route in sorted(routes, key=lambda one: one.name)]
    if not taken:
        return ordered.with_columns(pl.lit("").alias("routes"))
    return ordered.with_columns(pl.concat_str(taken, separator=",", ignore_nulls=True).alias("routes"))


def _passes(route: SignalRoute) -> pl.Expr:
    addressed = pl.lit(True)
    for column, allowed in (("strategy", route.strategies), ("symbol", route.symbols)):
        if allowed is not None:
            addressed &= pl.col(column).is_in(list(allowed))
    entry = (pl.col("kind") == ENTRY) & (pl.col("confidence") >= route.min_confidence)
    if route.directions is not None:
        entry &= pl.col("direction").is_in(list(route.directions))
    for scope, labels in route.regimes.items():
        known = pl.col("regime").str.json_path_match(f"$.{scope}")
        entry &= known.is_in(list(labels)).fill_null(False)
    wanted = addressed & entry
    if route.top is not None:
        # Rows are in order of rank: how many of the moment pass up to here.
        wanted &= wanted.cast(pl.Int32).cum_sum().over("available_at") <= route.top
    return wanted | (addressed & (pl.col("kind") == EXIT))
