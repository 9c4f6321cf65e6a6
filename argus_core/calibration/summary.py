"""What a study says: rates with intervals, power beside its limits, and what every gate costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from argus_core.calibration.gates import gate_costs
from argus_core.calibration.limits import limit_of_one, limit_of_sweep

#: Histories for which the limits are told beside the study's own.
LIMIT_YEARS = (1.0, 2.0, 3.0, 5.0)


def summarise(cycles: pl.DataFrame, *, alpha: float = 0.05) -> dict[str, Any]:
    """Rates with Clopper-Pearson 95 % intervals, and the power curve beside what the mathematics allow.

    Returns:
        ``null``: per source and over ``all``: cycles, promoting, rate, low, high, joint_rate. ``power``: per Sharpe:
        cycles, power, low, high, joint (joint test alone), joint_and_dsr, limit_one, limit_sweep (the test of the
        largest t-value with the sweep's own correlation and expected t-values; None without null markets to compare),
        limit_by_years (both limits over 1, 2, 3 and 5 years). ``gates``: what every gate costs (`gate_costs`).
    """
    null, power = [], []
    zero = cycles.filter(pl.col("true_sharpe") == 0)
    for name, part in [*((str(k[0]), p) for k, p in zero.group_by("source", maintain_order=True)), ("all", zero)]:
        hits = int((part["promoted"] > 0).sum())
        low, high = _interval(hits, part.height)
        joint = _rate(part, "passes_joint") if part.height else None
        rate = hits / part.height if part.height else None
        null.append(
            {"source": name, "cycles": part.height, "promoting": hits, "rate": rate, "low": low, "high": high}
            | {"joint_rate": joint}
        )
    years = float(cycles["sessions"][0]) / 252 if cycles.height else 1.0
    # Tables of an earlier version lack the reasons.
    gates = gate_costs(cycles) if "reason_sets" in cycles.columns else []
    for (sharpe,), part in cycles.filter(pl.col("true_sharpe") > 0).group_by("true_sharpe", maintain_order=True):
        hits = int((part["promoted"] > 0).sum())
        low, high = _interval(hits, part.height)
        power.append(
            {
                "sharpe": float(str(sharpe)),
                "cycles": part.height,
                "power": hits / part.height,
                "low": low,
                "high": high,
                "joint": _rate(part, "passes_joint"),
                "joint_and_dsr": _rate(part, "passes_joint_and_dsr"),
                "limit_one": limit_of_one(float(str(sharpe)), years, alpha),
                "limit_sweep": _sweep_limit(zero, part, alpha),
                "limit_by_years": [
                    {
                        "years": longer,
                        "one": limit_of_one(float(str(sharpe)), longer, alpha),
                        "sweep": _sweep_limit(zero, part, alpha, stretch=math.sqrt(longer / years)),
                    }
                    for longer in LIMIT_YEARS
                ],
            }
        )
    return {"null": null, "power": sorted(power, key=lambda row: row["sharpe"]), "gates": gates} | {
        "years": years,
        "alpha": alpha,
    }


def _sweep_limit(null: pl.DataFrame, planted: pl.DataFrame, alpha: float, stretch: float = 1.0) -> float | None:
    """Power of the ideal test of the largest t-value, from the lanes' t-values in the same markets without the edge.

    Expected t-values: what the edge adds (the same markets with and without it, so that their luck cancels) to what
    null markets have on average, which is what costs take. ``stretch``: their factor over a longer history.
    """
    both = planted.join(null, on=("source", "seed"), suffix="_null")
    if both.height < 3 or null.height < 10:
        return None
    values = np.array(null["lane_t"].to_list())
    edge = (np.array(both["lane_t"].to_list()) - np.array(both["lane_t_null"].to_list())).mean(axis=0)
    shifts = stretch * (edge + values.mean(axis=0))
    live = values.std(axis=0) > 0
    if not live.any():
        return None
    return limit_of_sweep(shifts[live], np.atleast_2d(np.corrcoef(values[:, live], rowvar=False)), alpha)


def _rate(part: pl.DataFrame, column: str) -> float:
    """Share of the cycles in which at least one run counts."""
    return int((part[column] > 0).sum()) / part.height


def _interval(hits: int, total: int) -> tuple[float, float]:
    """Two-sided 95 % interval of a probability (Clopper & Pearson 1934)."""
    from scipy.special import betaincinv

    if not total:
        return 0.0, 1.0
    low = float(betaincinv(hits, total - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, total - hits, 0.975)) if hits < total else 1.0
    return low, high
