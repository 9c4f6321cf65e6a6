"""From candidates to capital: forecasts, fractional Kelly, limits, contracts; every clamp recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from argus_core.allocation.covariance import clusters, correlation, ledoit_wolf
from argus_core.allocation.kelly import estimation_multiplier, kelly_fraction
from argus_core.allocation.limits import sum_ceiling, volatility_ceiling
from argus_core.evaluation import write_document
from argus_core.evaluation.joint import AlignedReturns, align_returns
from argus_core.evaluation.scoring import number
from argus_core.settings import AllocationSettings

ALLOCATION_SCHEMA: Mapping[str, Any] = {
    "run_id": pl.String,
    "strategy_id": pl.String,
    "instrument": pl.String,
    "params": pl.String,
    "weight": pl.Float64,
    "dollar_risk": pl.Float64,
    "contracts": pl.Int32,
    "max_loss_per_contract": pl.Float64,
    "edge_score": pl.Float64,
    "dsr": pl.Float64,
    "mu": pl.Float64,
    "mu_selected": pl.Float64,
    "mu_shrunk": pl.Float64,
    "sigma": pl.Float64,
    "cost": pl.Float64,
    "confidence": pl.Float64,
    "years": pl.Float64,
    "kelly_weight": pl.Float64,
    "cluster": pl.String,
    "clamps": pl.String,
}
CLAMP_SCHEMA: Mapping[str, Any] = {
    "run_id": pl.String,
    "strategy_id": pl.String,
    "instrument": pl.String,
    "constraint": pl.String,
    "before": pl.Float64,
    "after": pl.Float64,
    "detail": pl.String,
}


@dataclass(frozen=True)
class Allocation:
    """``rows``: one per candidate that passed the minimums. ``clamps``: one per limit that lowered a weight.

    ``document`` is the content of ``allocations.json``.
    """

    rows: pl.DataFrame
    clamps: pl.DataFrame
    document: dict[str, Any]


@dataclass(frozen=True)
class Forecast:
    """Annual forecast of one candidate, net of costs. ``mu``: measured mean; ``mu_selected``: less the luck of the best
    of N; ``mu_shrunk``: times ``confidence``, what estimation error leaves of it. ``missing`` names what is not known.
    """

    mu: float | None
    mu_selected: float | None
    mu_shrunk: float
    sigma: float | None
    confidence: float
    years: float
    missing: str = ""


@dataclass
class _Play:
    row: Mapping[str, Any]
    forecast: Forecast
    weight: float
    clamps: list[dict[str, Any]]

    def lower(self, constraint: str, ceiling: float, detail: str) -> None:
        if ceiling < self.weight - 1e-15:
            self.clamps.append({"constraint": constraint, "before": self.weight, "after": ceiling, "detail": detail})
            self.weight = ceiling


def forecast(row: Mapping[str, Any], daily_returns: np.ndarray) -> Forecast:
    """Forecast one candidate from its daily net returns.

    The mean is corrected for selection: the best of N trials shows the expected maximum Sharpe of N without any skill;
    that much is taken off. Then it is shrunk by c* = k²/(k² + 1/T) for the error of a mean measured over T years.

    Args:
        row: candidate with ``days_per_year`` and ``expected_max_sharpe`` (per period).
        daily_returns: (n,) net of costs.
    """
    n, year = len(daily_returns), number(row, "days_per_year")
    luck = number(row, "expected_max_sharpe")
    unknown = [
        name
        for name, absent in (
            ("daily returns", n < 2),
            ("days_per_year", not year),
            ("expected_max_sharpe", luck is None),
        )
        if absent
    ]
    if unknown or not year or luck is None:
        return Forecast(None, None, 0.0, None, 0.0, 0.0, f"no {', no '.join(unknown)}")
    mean, deviation = float(np.mean(daily_returns)), float(np.std(daily_returns, ddof=1))
    if not math.isfinite(mean) or not deviation > 1e-12:
        return Forecast(None, None, 0.0, None, 0.0, n / year, "daily returns that do not vary")
    sigma = deviation * math.sqrt(year)
    selected = (mean / deviation - luck) * deviation * year
    confidence = estimation_multiplier(selected / sigma, n / year)
    return Forecast(mean * year, selected, max(0.0, confidence * selected), sigma, confidence, n / year)


def allocate(
    candidates: pl.DataFrame,
    returns: pl.DataFrame,
    settings: AllocationSettings,
    *,
    equity: float,
    min_dsr: float = 0.0,
    min_composite_score: float = 0.0,
    generated_at: str | None = None,
) -> Allocation:
    """Size every candidate. Deterministic, monotone (a tighter limit never raises a weight), idempotent.

    Weight = kelly_fraction · mu_shrunk / sigma², then the lowest of its ceilings: portfolio volatility, gross exposure,
    and ``per_play_cap``, which plays that correlate by ``cluster_correlation`` or more share. Missing data give zero.

    Args:
        candidates: of an `Evaluation`; a column ``max_loss_per_contract`` overrides parameters and config.
        returns: run_id, trade_date, daily_return.
        equity: dollars to allocate.
        min_dsr, min_composite_score: candidates below are listed as excluded.
        generated_at: ISO time for the document, given by the caller: nothing here reads a clock.

    Raises:
        ValueError: if ``equity`` is not a positive number.
    """
    if not (math.isfinite(equity) and equity > 0):
        raise ValueError(f"equity must be a positive number of dollars, found {equity}.")
    rows = (
        sorted(candidates.to_dicts(), key=lambda r: (r["strategy"], r["symbol"], r["run_id"]))
        if len(candidates)
        else []
    )
    kept, excluded = [], []
    for row in rows:
        reason = _below_minimum(row, min_dsr, min_composite_score)
        (excluded.append(_identity(row) | {"reason": reason}) if reason else kept.append(row))

    aligned = align_returns(
        returns.filter(pl.col("run_id").is_in([r["run_id"] for r in kept])), [r["run_id"] for r in kept]
    )
    own = {
        str(key[0]): frame["daily_return"].cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy()
        for key, frame in returns.sort("run_id", "trade_date").group_by(["run_id"], maintain_order=True)
    }
    plays = [_propose(row, forecast(row, own.get(row["run_id"], np.zeros(0))), settings) for row in kept]
    labels, volatility = _apply_limits(plays, aligned, settings)
    for play in plays:
        _whole_contracts(play, settings, equity)

    allocated = [_row(play, label, settings, equity) for play, label in zip(plays, labels, strict=True)]
    clamps = [_identity(play.row) | clamp for play in plays for clamp in play.clamps]
    document: dict[str, Any] = {} if generated_at is None else {"generated_at": generated_at}
    document |= {
        "equity": equity,
        "config": settings.model_dump(mode="json") | {"min_dsr": min_dsr, "min_composite_score": min_composite_score},
        "gross_weight": math.fsum(row["weight"] for row in allocated),
        "volatility": volatility(np.array([row["weight"] for row in allocated])),
        "allocations": [_listed(row) for row in allocated],
        "excluded": excluded,
    }
    return Allocation(
        rows=pl.DataFrame(allocated, schema=ALLOCATION_SCHEMA, strict=False),
        clamps=pl.DataFrame(clamps, schema=CLAMP_SCHEMA, strict=False),
        document=document,
    )


def write_json(allocation: Allocation, path: Path | None) -> Path | None:
    """Write ``allocations.json``; nothing where ``path`` is None (the config turned the file off)."""
    if path is not None:
        write_document(path, allocation.document)
    return path


def max_loss_per_contract(row: Mapping[str, Any], setting: float | Mapping[str, float] | None) -> float | None:
    """Largest loss of one contract in dollars. Precedence: ranking row, parameters, config map by strategy, number."""
    params = json.loads(row.get("params") or "{}")
    by_strategy = setting.get(row["strategy"]) if isinstance(setting, Mapping) else setting
    for value in (number(row, "max_loss_per_contract"), number(params, "max_loss_per_contract"), by_strategy):
        if value is not None and value > 0:
            return float(value)
    return None


def _below_minimum(row: Mapping[str, Any], min_dsr: float, min_score: float) -> str:
    dsr, score = number(row, "dsr"), number(row, "score")
    if (dsr or 0.0) < min_dsr:
        return f"deflated Sharpe {_shown(dsr)} is below min_dsr {min_dsr:g}"
    if score is None or score < min_score:
        return f"composite score {_shown(score)} is below min_composite_score {min_score:g}"
    return ""


def _shown(value: float | None) -> str:
    return "(unknown)" if value is None else f"{value:.4g}"


def _identity(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"run_id": row["run_id"], "strategy_id": row["strategy"], "instrument": row["symbol"]}


def _propose(row: Mapping[str, Any], view: Forecast, settings: AllocationSettings) -> _Play:
    weight = 0.0
    if view.sigma is not None:
        weight = max(0.0, settings.kelly_fraction * kelly_fraction(view.mu_shrunk, view.sigma))
    play = _Play(row, view, weight, [])
    if view.missing:
        play.clamps.append({"constraint": "missing_data", "before": None, "after": 0.0, "detail": view.missing})
    elif weight == 0.0:
        detail = "nothing is left of the mean after the correction for selection"
        play.clamps.append({"constraint": "no_edge", "before": 0.0, "after": 0.0, "detail": detail})
    return play


def _apply_limits(
    plays: Sequence[_Play], aligned: AlignedReturns, settings: AllocationSettings
) -> tuple[list[str], Any]:
    """Lower the weights to every ceiling; returns each play's cluster and the volatility of a weight vector."""
    live = [i for i, play in enumerate(plays) if play.weight > 0 and play.forecast.sigma]
    labels = ["" for _ in plays]
    if not live:
        return labels, lambda weights: 0.0
    related = correlation(ledoit_wolf(aligned.values[:, live])[0])
    measured = correlation(np.atleast_2d(np.cov(aligned.values[:, live], rowvar=False)))
    sigma = np.array([plays[i].forecast.sigma for i in live], dtype=np.float64)
    # No credit for a negative estimate: it is the first thing to fail in a crash, and limits stay monotone.
    covariance = np.maximum(related, 0.0) * np.outer(sigma, sigma)
    proposals = np.array([plays[i].weight for i in live])
    # Clusters use the plain correlation: shrinkage towards independence would hide twins.
    groups = clusters(measured, settings.cluster_correlation)

    risk = np.inf
    if settings.vol_target_annual is not None:
        risk = volatility_ceiling(proposals, covariance, settings.vol_target_annual)
    gross = sum_ceiling(proposals, settings.gross_cap)
    members = {group: [j for j, other in enumerate(groups) if other == group] for group in sorted(set(groups))}
    for j, i in enumerate(live):
        play, group = plays[i], members[groups[j]]
        labels[i] = str(plays[live[groups[j]]].row["run_id"]) if len(group) > 1 else ""
        play.lower("vol_target_annual", risk / sigma[j], f"portfolio volatility {settings.vol_target_annual}")
        play.lower("gross_cap", gross, f"gross exposure {settings.gross_cap:g}")
        play.lower("per_play_cap", settings.per_play_cap, f"share of equity {settings.per_play_cap:g}")
        if len(group) > 1:
            shared = sum_ceiling(proposals[group], settings.per_play_cap)
            detail = f"{len(group)} plays correlated by {settings.cluster_correlation:g} or more share the cap"
            play.lower("cluster_cap", shared, detail)

    def volatility(weights: np.ndarray) -> float:
        return float(np.sqrt(max(0.0, weights[live] @ covariance @ weights[live])))

    return labels, volatility


def _whole_contracts(play: _Play, settings: AllocationSettings, equity: float) -> None:
    loss = max_loss_per_contract(play.row, settings.max_loss_per_contract)
    if loss is not None and play.weight > 0:
        count = _contracts(play.weight, equity, loss)
        play.lower("whole_contracts", count * loss / equity, f"{count} contracts that can lose {loss:g} dollars each")


def _contracts(weight: float, equity: float, loss: float) -> int:
    # The tolerance makes a second pass over a whole number of contracts keep that number.
    return math.floor(weight * equity / loss + 1e-9)


def _row(play: _Play, cluster: str, settings: AllocationSettings, equity: float) -> dict[str, Any]:
    row, view = play.row, asdict(play.forecast)
    view.pop("missing")
    loss = max_loss_per_contract(row, settings.max_loss_per_contract)
    kelly = 0.0
    if play.forecast.sigma:
        kelly = settings.kelly_fraction * kelly_fraction(play.forecast.mu_shrunk, play.forecast.sigma)
    return (
        _identity(row)
        | view
        | {
            "params": row.get("params"),
            "weight": play.weight,
            "dollar_risk": play.weight * equity,
            "contracts": None if loss is None else _contracts(play.weight, equity, loss),
            "max_loss_per_contract": loss,
            "edge_score": number(row, "score"),
            "dsr": number(row, "dsr"),
            "cost": 0.0,
            "kelly_weight": kelly,
            "cluster": cluster,
            "clamps": json.dumps(play.clamps),
        }
    )


def _listed(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(row) | {"params": json.loads(row["params"] or "{}"), "clamps": json.loads(row["clamps"])}
