"""The barrier: a decision at time t sees only rows with ``available_at <= t``. The one implementation of this join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

DECISION_TIME = "available_at"


def as_of_join(
    left: pl.DataFrame,
    right: pl.DataFrame,
    columns: Sequence[str] | Mapping[str, str],
    *,
    left_on: str = DECISION_TIME,
    right_on: str = DECISION_TIME,
    by: str | None = None,
) -> pl.DataFrame:
    """Add to every row of ``left`` the newest row of ``right`` that was available at its decision time.

    Args:
        left: rows with a decision time in ``left_on``; order and height are kept.
        right: rows with their availability in ``right_on``, in any order. Among rows that became available at the
            same moment the last one wins. Rows without an availability are never seen.
        columns: columns of ``right`` to add; a mapping renames them (name in ``right`` -> name in the result).
        by: optional column that must be equal on both sides (for instance a symbol).

    Returns:
        ``left`` with the chosen columns; null where nothing was available yet.
    """
    names = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
    key = [by] if by else []
    stamp = "__available"
    seen = (
        right.lazy()
        .filter(pl.col(right_on).is_not_null())
        .select(*key, pl.col(right_on).alias(stamp), *[pl.col(old).alias(new) for old, new in names.items()])
        .sort(stamp, maintain_order=True)
        .unique(subset=[*key, stamp], keep="last", maintain_order=True)
        .set_sorted(stamp)
    )
    row = "__row"
    ordered = left.lazy().with_row_index(row).sort(left_on, maintain_order=True).set_sorted(left_on)
    joined = ordered.join_asof(
        seen, left_on=left_on, right_on=stamp, by=by, strategy="backward", coalesce=True, check_sortedness=False
    )
    return joined.sort(row).select(*left.columns, *names.values()).collect()
