"""What a run's Sharpe ratio is worth after everything that was tried: deflation, haircut, power."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from argus_core.evaluation.joint import BENCHMARK_STRATEGY
from argus_core.evaluation.scoring import number
from argus_core.evaluation.sharpe import (
    deflated_sharpe,
    deflated_sharpe_of_maximum,
    deflated_threshold,
    luck_variance,
    probabilistic_sharpe,
    track_record_of_maximum,
)


@dataclass(frozen=True)
class TrialSet:
    """Every trial that a cycle has to answer for: those of its ledger over all cycles, and its own.

    ``variance``: of the per-period Sharpe ratios, as far as luck explains it (`luck_variance`).
    """

    n_trials: int
    variance: float

    @classmethod
    def of(cls, trials: Sequence[Mapping[str, Any]], lineage: pl.DataFrame) -> TrialSet:
        """Trials among the run rows of a cycle (with trial_id) and of the lineage; benchmarks are no trials."""
        sharpes: dict[str, float | None] = {}
        for row in lineage.filter(pl.col("strategy") != BENCHMARK_STRATEGY).iter_rows(named=True):
            sharpes[str(row["trial_id"])] = number(row, "sharpe_period")
        for row in trials:
            sharpes[str(row["trial_id"])] = number(row, "sharpe_period")
        lengths = [int(number(row, "n_days") or 0) for row in trials if row.get("status") == "ok"]
        return cls(max(1, len(sharpes)), luck_variance(list(sharpes.values()), min(lengths, default=0)))

    @property
    def luck(self) -> float:
        """Per-period Sharpe that the best of the trials reaches by luck."""
        return deflated_threshold(self.n_trials, self.variance)


def deflation(row: Mapping[str, Any], trials: TrialSet, level: float) -> dict[str, float | int | None]:
    """Columns psr, dsr, dsr_classic, expected_max_sharpe, n_trials, min_track_record_days of one run row.

    Args:
        level: DSR at which a track record counts as long enough.
    """
    sharpe, days = number(row, "sharpe_period"), int(number(row, "n_days") or 0)
    found: dict[str, float | int | None] = {"n_trials": trials.n_trials, "expected_max_sharpe": trials.luck}
    if sharpe is None:
        return found | {"dsr": None, "dsr_classic": None, "psr": None, "min_track_record_days": None}
    skew, kurtosis = number(row, "skew") or 0.0, number(row, "kurtosis")
    moments = {"skew": skew, "kurtosis": 3.0 if kurtosis is None else kurtosis}
    luck = {"n_trials": trials.n_trials, "variance": trials.variance}
    needed = track_record_of_maximum(sharpe, days, level=level, **luck, **moments)
    return found | {
        "dsr": deflated_sharpe_of_maximum(sharpe, days, **luck, **moments),
        "dsr_classic": deflated_sharpe(sharpe, days, **luck, **moments),
        "psr": probabilistic_sharpe(sharpe, days, **moments),
        "min_track_record_days": needed if math.isfinite(needed) else None,
    }
