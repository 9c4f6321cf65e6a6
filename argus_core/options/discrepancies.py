"""How far the sources of implied volatilities are apart: per contract and pair, and rolled up over a bounded past."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from argus_core.market.schemas import UTC_US
from argus_core.options.observations import CONTRACT, standing_observations
from argus_core.settings.option_consensus import ConsensusSettings

DISCREPANCY_SCHEMA: dict[str, Any] = {
    "as_of": UTC_US,
    "underlying": pl.String,
    "expiry": pl.Date,
    "expiry_ts": UTC_US,
    "strike": pl.Float64,
    "right": pl.String,
    "source_a": pl.String,
    "source_b": pl.String,
    "iv_a": pl.Float64,
    "iv_b": pl.Float64,
    "difference": pl.Float64,  # |iv_a - iv_b|, fraction
    "score": pl.Float64,  # over its standard error
    "flag": pl.String,  # agree, warn, disputed
    "recv_ts": UTC_US,  # the later receipt of the two
}
_PAIR = ["underlying", "source_a", "source_b"]


def discrepancies_at(observations: pl.DataFrame, now: datetime, settings: ConsensusSettings) -> pl.DataFrame:
    """Every pair of fresh sources of every contract at ``now``, the policies' own score.

    Args:
        observations: `observations_of`; rows received after ``now`` are not looked at.

    Returns:
        `DISCREPANCY_SCHEMA`, by contract and pair; source_a before source_b by name.
    """
    good = standing_observations(observations, now, settings).filter(pl.col("reason").is_null())
    side = good.select(*CONTRACT, "source", "iv", "se", "recv_ts")
    pairs = side.join(side, on=list(CONTRACT), suffix="_b", maintain_order="left_right")
    pairs = pairs.filter(pl.col("source") < pl.col("source_b"))
    gap = (pl.col("iv") - pl.col("iv_b")).abs()
    pairs = pairs.with_columns(difference=gap, score=gap / (pl.col("se") ** 2 + pl.col("se_b") ** 2).sqrt())
    return pairs.select(
        pl.lit(now).cast(UTC_US).alias("as_of"),
        *CONTRACT,
        pl.col("source").alias("source_a"),
        "source_b",
        pl.col("iv").alias("iv_a"),
        "iv_b",
        "difference",
        "score",
        pl.when(pl.col("score") > settings.bad_score)
        .then(pl.lit("disputed"))
        .when(pl.col("score") > settings.warn_score)
        .then(pl.lit("warn"))
        .otherwise(pl.lit("agree"))
        .alias("flag"),
        pl.max_horizontal("recv_ts", "recv_ts_b").alias("recv_ts"),
    ).select(*DISCREPANCY_SCHEMA)


def kept(discrepancies: pl.DataFrame, settings: ConsensusSettings) -> pl.DataFrame:
    """The newest ``rollup_size`` rows per underlying and pair: all that a running service needs to hold."""
    return discrepancies.sort("as_of", *CONTRACT).group_by(_PAIR, maintain_order=True).tail(settings.rollup_size)


def rollup(discrepancies: pl.DataFrame, settings: ConsensusSettings) -> pl.DataFrame:
    """Per underlying and pair of sources, over the `kept` rows: counts, shares, and p50, p90, p99.

    Returns:
        underlying, source_a, source_b, count, first_as_of, last_as_of, warn_share (warn or worse), disputed_share,
        difference_p50/p90/p99 and score_p50/p90/p99, sorted by underlying and pair.
    """
    levels = (50, 90, 99)
    return (
        kept(discrepancies, settings)
        .group_by(_PAIR, maintain_order=True)
        .agg(
            pl.len().alias("count"),
            pl.col("as_of").min().alias("first_as_of"),
            pl.col("as_of").max().alias("last_as_of"),
            (pl.col("flag") != "agree").mean().alias("warn_share"),
            (pl.col("flag") == "disputed").mean().alias("disputed_share"),
            *(
                pl.col(name).quantile(level / 100, "linear").alias(f"{name}_p{level}")
                for name in ("difference", "score")
                for level in levels
            ),
        )
        .sort(_PAIR)
    )
