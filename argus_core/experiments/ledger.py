"""The trial ledger: every configuration ever evaluated, failed and idle ones too. Deflation counts these rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import polars as pl

LEDGER_SCHEMA: Mapping[str, pl.DataType] = {
    "run_id": pl.String(),
    "strategy": pl.String(),
    "symbol": pl.String(),
    "date": pl.Date(),
    "params": pl.String(),
    "pack_hash": pl.String(),
    "status": pl.String(),
    "returns_hash": pl.String(),
    "sharpe_period": pl.Float64(),
}


def returns_hash(daily_returns: np.ndarray) -> str:
    """16 hex digits over daily returns in time order: two trials with one hash are one bet, not two."""
    return hashlib.sha256(np.ascontiguousarray(daily_returns, dtype="<f8").tobytes()).hexdigest()[:16]


def ledger_of(runs: pl.DataFrame, returns: pl.DataFrame) -> pl.DataFrame:
    """One ledger row per run; ``returns_hash`` is "" where a run has no daily returns (it failed)."""
    hashes = {
        str(run_id): returns_hash(part.sort("trade_date")["daily_return"].to_numpy())
        for (run_id,), part in returns.group_by("run_id", maintain_order=True)
    }
    column = pl.Series("returns_hash", [hashes.get(run_id, "") for run_id in runs["run_id"].to_list()], dtype=pl.String)
    return runs.with_columns(column).select(list(LEDGER_SCHEMA)).cast(dict(LEDGER_SCHEMA))
