"""What a run's Sharpe ratio is worth after everything that was tried: deflation, haircut, power."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import polars as pl

from argus_core.evaluation.joint import BENCHMARK_STRATEGY
from argus_core.evaluation.multiplicity import sharpe_haircut
from argus_core.evaluation.scoring import number
from argus_core.evaluation.sharpe import (
    SharpeInference,
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


#: Power that "detectable" means, and one-sided level of the bounds on a Sharpe ratio.
_POWER, _BOUND = 0.80, 0.05
#: With fewer closed trades than this, and less than this share of the time in the market, the moments of daily returns
#: are those of a few days, and bounds made from them are far too narrow.
_LEAST_TRADES, _LEAST_EXPOSURE = 10, 0.5
_NORMAL = NormalDist()


def evidence(
    row: Mapping[str, Any], trials: TrialSet, *, critical_t: float | None, useful_sharpe: float
) -> dict[str, float | str | None]:
    """How much the history of a run can say about its true Sharpe.

    ``sharpe_low`` and ``sharpe_high``: one-sided 95 % bounds of the true annual Sharpe, variance with skew, kurtosis
    and first-order autocorrelation. ``min_detectable_sharpe``: true annual Sharpe that the joint test marks at 80 %
    power on this history among these trials, (t_c + z) standard errors. ``haircut_sharpe``: what Harvey & Liu leave of
    it after every trial of the ledger. ``evidence`` where nothing is proven: ``dead`` if even ``sharpe_high`` is below
    ``useful_sharpe``, else ``not proven``. A run with fewer than ten trades that was mostly out of the market has no
    bounds, and is never dead.
    """
    names = ("evidence", "min_detectable_sharpe", "sharpe_low", "sharpe_high", "haircut_sharpe")
    sharpe, days = number(row, "sharpe_period"), int(number(row, "n_days") or 0)
    if sharpe is None or days < 3:
        return dict.fromkeys(names) | {"evidence": "not proven"}
    kurtosis, year = number(row, "kurtosis"), math.sqrt(number(row, "days_per_year") or 252)
    correlation = min(max(number(row, "autocorr_1") or 0.0, -0.9), 0.9)
    shape = SharpeInference(
        sharpe, days, number(row, "skew") or 0.0, 3.0 if kurtosis is None else kurtosis, correlation
    )
    error, null_error = shape.standard_error(), shape.standard_error(0.0)
    reach = _NORMAL.inv_cdf(1 - _BOUND)
    low, high = sharpe - reach * error, sharpe + reach * error
    critical = reach if critical_t is None or not math.isfinite(critical_t) else critical_t
    detectable = (critical + _NORMAL.inv_cdf(_POWER)) * null_error
    haircut, _ = sharpe_haircut(sharpe * year, days / year**2, trials.n_trials)
    closed = number(row, "n_trades")
    if closed is not None and closed < _LEAST_TRADES and (number(row, "exposure") or 0.0) < _LEAST_EXPOSURE:
        return dict.fromkeys(names) | {"evidence": "not proven", "min_detectable_sharpe": detectable * year}
    return {
        "evidence": "dead" if high * year < useful_sharpe else "not proven",
        "min_detectable_sharpe": detectable * year,
        "sharpe_low": low * year,
        "sharpe_high": high * year,
        "haircut_sharpe": haircut,
    }


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
    correlation = min(max(number(row, "autocorr_1") or 0.0, -0.9), 0.9)
    classic = {"skew": skew, "kurtosis": 3.0 if kurtosis is None else kurtosis}
    moments = classic | {"autocorrelation": correlation}
    luck = {"n_trials": trials.n_trials, "variance": trials.variance}
    needed = track_record_of_maximum(sharpe, days, level=level, **luck, **moments)
    return found | {
        "dsr": deflated_sharpe_of_maximum(sharpe, days, **luck, **moments),
        "dsr_classic": deflated_sharpe(sharpe, days, **luck, **classic),
        "psr": probabilistic_sharpe(sharpe, days, **classic),
        "min_track_record_days": needed if math.isfinite(needed) else None,
    }
