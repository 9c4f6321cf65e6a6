"""Order among the signals of one moment."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl


def rank_signals(signals: pl.DataFrame, scores: Mapping[str, float] | None = None) -> pl.DataFrame:
    """Number the signals of every decision time: 1 is the first to act on.

    By confidence, then by the strategy's score where given (a strategy without one comes last), then by strategy id,
    symbol and signal id, so the order never depends on that of the input.

    Args:
        signals: rows of `SIGNAL_SCHEMA`, of one or several symbols.
        scores: strategy id -> score, higher is better.

    Returns:
        ``signals`` with the column ``rank`` (Int32), sorted by time and rank.
    """
    score = pl.lit(None, pl.Float64)
    if scores:
        score = pl.col("strategy").replace_strict(dict(scores), default=None, return_dtype=pl.Float64)
    ordered = signals.with_columns(score.fill_nan(None).alias("__score")).sort(
        "available_at",
        "confidence",
        "__score",
        "strategy",
        "symbol",
        "signal_id",
        descending=[False, True, True, False, False, False],
        nulls_last=True,
        maintain_order=True,
    )
    rank = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("available_at").alias("rank")
    return ordered.drop("__score").with_columns(rank)
