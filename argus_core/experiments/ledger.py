"""The trial ledger: every configuration ever evaluated, failed and idle ones too. Deflation counts these rows.

A **trial** is a strategy's code, a symbol and a parameter set (`trial_id`). Evaluating it again on later data is
another row of the same trial, not another trial; changing its code or its parameters makes a new one. `lineage` reads
the ledger over cycles: when each trial was first tried, how often since, and in which generation of the search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

import numpy as np
import polars as pl

LEDGER_SCHEMA: Mapping[str, pl.DataType] = {
    "trial_id": pl.String(),
    "run_id": pl.String(),
    "strategy": pl.String(),
    "symbol": pl.String(),
    "date": pl.Date(),
    "params": pl.String(),
    "code_hash": pl.String(),
    "pack_hash": pl.String(),
    "status": pl.String(),
    "returns_hash": pl.String(),
    "sharpe_period": pl.Float64(),
}

#: Daily returns of trials that were tried on a partition's pack and are no longer in the sweeps.
RETIRED_SCHEMA: Mapping[str, pl.DataType] = {
    "trial_id": pl.String(),
    "trade_date": pl.Date(),
    "daily_return": pl.Float64(),
}

#: One row per trial. ``generation``: 1 for trials of the first cycle, then one more with every cycle that brought new
#: ones. ``evaluations``: cycles in which it was tried. Status, Sharpe and returns hash are those of its last cycle.
LINEAGE_SCHEMA: Mapping[str, pl.DataType] = {
    "trial_id": pl.String(),
    "strategy": pl.String(),
    "symbol": pl.String(),
    "params": pl.String(),
    "code_hash": pl.String(),
    "generation": pl.Int32(),
    "first_date": pl.Date(),
    "last_date": pl.Date(),
    "evaluations": pl.Int32(),
    "status": pl.String(),
    "returns_hash": pl.String(),
    "sharpe_period": pl.Float64(),
}


def returns_hash(daily_returns: np.ndarray) -> str:
    """16 hex digits over daily returns in time order: two trials with one hash are one bet, not two."""
    return hashlib.sha256(np.ascontiguousarray(daily_returns, dtype="<f8").tobytes()).hexdigest()[:16]


def trial_id(strategy: str, symbol: str, params: str, code_hash: str) -> str:
    """16 hex digits that name a trial on any data; ``params`` as canonical JSON."""
    return hashlib.sha256("\x1f".join((strategy, symbol, params, code_hash)).encode()).hexdigest()[:16]


def with_trial_ids(runs: pl.DataFrame) -> pl.DataFrame:
    """``runs`` (strategy, symbol, params, code_hash) with the column ``trial_id`` in front."""
    columns = ("strategy", "symbol", "params", "code_hash")
    known = [runs[c].fill_null("").to_list() if c in runs.columns else [""] * runs.height for c in columns]
    names = pl.Series("trial_id", [trial_id(*one) for one in zip(*known, strict=True)], dtype=pl.String)
    return runs.drop("trial_id", strict=False).select(names, pl.all())


def ledger_of(runs: pl.DataFrame, returns: pl.DataFrame) -> pl.DataFrame:
    """One ledger row per run; ``returns_hash`` is "" where a run has no daily returns (it failed)."""
    hashes = {
        str(run_id): returns_hash(part.sort("trade_date")["daily_return"].to_numpy())
        for (run_id,), part in returns.group_by("run_id", maintain_order=True)
    }
    column = pl.Series("returns_hash", [hashes.get(run_id, "") for run_id in runs["run_id"].to_list()], dtype=pl.String)
    return with_trial_ids(runs).with_columns(column).select(list(LEDGER_SCHEMA)).cast(dict(LEDGER_SCHEMA))


def with_earlier_trials(ledger: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """``ledger`` and every trial of ``known`` that it lacks: each trial once, its newest row.

    A sweep that is cut down after a look at its results keeps its trials.
    """
    earlier = known.join(ledger, on="trial_id", how="anti")
    return pl.concat([ledger, earlier.select(ledger.columns)]).sort("strategy", "params", "run_id")


def retired_returns(
    known_runs: pl.DataFrame, known_returns: pl.DataFrame, retired: pl.DataFrame, runs: pl.DataFrame
) -> pl.DataFrame:
    """Daily returns of trials that were run on this pack before and are not among ``runs``.

    The joint test asks what the luckiest of *everything that was tried* could reach. Without these series a sweep that
    is cut down to its best lane would pass as if it had been alone.

    Args:
        known_runs, known_returns: the stored runs and returns that ``runs`` replace.
        retired: what was retired before (columns of this result).

    Returns:
        `RETIRED_SCHEMA`, sorted.
    """
    current = with_trial_ids(runs).select("trial_id")
    names = with_trial_ids(known_runs).select("trial_id", "run_id").join(current, on="trial_id", how="anti")
    fresh = known_returns.join(names, on="run_id").select(list(RETIRED_SCHEMA)).cast(dict(RETIRED_SCHEMA))
    before = retired.join(current, on="trial_id", how="anti").join(fresh, on="trial_id", how="anti")
    return pl.concat([before.select(fresh.columns), fresh]).sort("trial_id", "trade_date")


def lineage(ledger: pl.DataFrame, as_of: date | None = None, earlier: pl.DataFrame | None = None) -> pl.DataFrame:
    """Every trial ever evaluated up to ``as_of``, over all cycles: `LINEAGE_SCHEMA`, by generation and trial_id.

    Args:
        ledger: ledger rows of any dates and symbols.
        earlier: lineage up to a date before those of ``ledger``; the result goes on from it.
    """
    before = pl.DataFrame(schema=dict(LINEAGE_SCHEMA)) if earlier is None else earlier
    rows = ledger if as_of is None or ledger.is_empty() else ledger.filter(pl.col("date") <= as_of)
    if rows.is_empty():
        return before
    last = [pl.col(name).sort_by("date", "run_id").last() for name in ("status", "returns_hash", "sharpe_period")]
    found = rows.group_by("trial_id").agg(
        *[pl.col(name).first() for name in ("strategy", "symbol", "params", "code_hash")],
        pl.col("date").min().alias("first_date"),
        pl.col("date").max().alias("last_date"),
        pl.col("date").n_unique().alias("evaluations"),
        *last,
    )
    known = before.select(
        "trial_id", "generation", pl.col("first_date").alias("_first"), pl.col("evaluations").alias("_n")
    )
    joined = found.join(known, on="trial_id", how="left")
    fresh = pl.col("generation").is_null()
    first_of_fresh = joined.filter(fresh)["first_date"].unique().sort()
    # Ranks of the dates that brought new trials, after the generations that are known.
    ranks = pl.DataFrame(
        {
            "first_date": first_of_fresh,
            "_rank": pl.Series(range(1, len(first_of_fresh) + 1), dtype=pl.Int32) + (before["generation"].max() or 0),
        }
    )
    merged = joined.join(ranks, on="first_date", how="left").with_columns(
        pl.coalesce("generation", "_rank").alias("generation"),
        pl.coalesce("_first", "first_date").alias("first_date"),
        (pl.col("evaluations") + pl.col("_n").fill_null(0)).alias("evaluations"),
    )
    both = [
        before.join(merged, on="trial_id", how="anti"),
        merged.select(list(LINEAGE_SCHEMA)).cast(dict(LINEAGE_SCHEMA)),
    ]
    return pl.concat(both).sort("generation", "trial_id")
