"""Made-up candidates with daily returns of chosen mean, volatility and correlation."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest


def make_candidates(specs, *, days=500, seed=0):
    """(candidates, returns). A spec: daily mean and sd, ``like`` (index of a twin), and columns of the candidate."""
    rng = np.random.default_rng(seed)
    dates = [date(2023, 1, 1) + timedelta(days=i) for i in range(days)]
    rows, frames, noise = [], [], []
    for i, given in enumerate(specs):
        spec = {"mean": 0.001, "sd": 0.01, "like": None} | given
        fresh = rng.normal(size=days)
        fresh = (fresh - fresh.mean()) / fresh.std(ddof=1)
        if spec["like"] is not None:
            fresh = 0.95 * noise[spec["like"]] + 0.312 * fresh
            fresh = (fresh - fresh.mean()) / fresh.std(ddof=1)
        noise.append(fresh)
        run_id = f"run{i:02d}"
        extra = {k: v for k, v in given.items() if k not in ("mean", "sd", "like")}
        rows.append(
            {
                "run_id": run_id,
                "strategy": f"Strategy{i:02d}",
                "symbol": "SPY",
                "params": json.dumps({"n": i}),
                "score": 0.3,
                "dsr": 0.97,
                "days_per_year": 252,
                "expected_max_sharpe": 0.0,
            }
            | extra
        )
        values = spec["mean"] + spec["sd"] * fresh
        frames.append(pl.DataFrame({"run_id": run_id, "trade_date": dates, "daily_return": values}))
    return pl.DataFrame(rows, infer_schema_length=None), pl.concat(frames)


@pytest.fixture(scope="session")
def candidates_of():
    return make_candidates
