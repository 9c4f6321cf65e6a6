"""M: where a model (Heston) and the market's surface part, by maturity and moneyness: a monitor of drift, no signal.

A model with five parameters misses the same places day after day. What matters is that the pattern changes: then the
model's prices and probabilities need another look.
"""

from __future__ import annotations

import numpy as np
import polars as pl

_DAYS = (0.0, 14.0, 45.0, 120.0, 1e9)
_DEVIATIONS = (-1e9, -1.5, -0.5, 0.5, 1.5, 1e9)
_DAY_NAMES = ("to 14 d", "14-45 d", "45-120 d", "beyond 120 d")
_SIDE_NAMES = ("far puts", "puts", "at the money", "calls", "far calls")


def model_gap(quotes: pl.DataFrame) -> pl.DataFrame:
    """Mean gap per bucket of one snapshot.

    Args:
        quotes: columns ``t_cal``, ``log_moneyness``, ``iv_mid`` (market or surface), ``model_iv`` and ``half_spread``,
            in volatility.

    Returns:
        maturity, moneyness, quotes, gap (model less market, volatility), gap_half_spreads; in bucket order.
    """
    rows = quotes.filter(pl.all_horizontal(pl.col("iv_mid", "model_iv", "log_moneyness", "half_spread").is_finite()))
    t, k, iv = (rows[name].to_numpy() for name in ("t_cal", "log_moneyness", "iv_mid"))
    deviation = k / np.maximum(iv * np.sqrt(t), 1e-9)
    return (
        rows.with_columns(
            day=pl.Series(np.digitize(t * 365.0, _DAYS) - 1), side=pl.Series(np.digitize(deviation, _DEVIATIONS) - 1)
        )
        .group_by("day", "side")
        .agg(
            quotes=pl.len(),
            gap=(pl.col("model_iv") - pl.col("iv_mid")).mean(),
            gap_half_spreads=((pl.col("model_iv") - pl.col("iv_mid")) / pl.col("half_spread")).median(),
        )
        .sort("day", "side")
        .select(
            maturity=pl.col("day").replace_strict(dict(enumerate(_DAY_NAMES)), return_dtype=pl.String),
            moneyness=pl.col("side").replace_strict(dict(enumerate(_SIDE_NAMES)), return_dtype=pl.String),
            quotes="quotes",
            gap="gap",
            gap_half_spreads="gap_half_spreads",
        )
    )


def gap_drift(gaps: pl.DataFrame, *, decay: float = 0.2, min_snapshots: int = 10) -> pl.DataFrame:
    """How far each bucket's gap has drifted: an exponentially weighted mean of its robust z, one row per bucket.

    Args:
        gaps: rows of `model_gap` of many snapshots with their ``recv_ts``; every row is judged by earlier ones only.
        decay: weight of the newest z; a mean of independent z then has variance decay / (2 - decay).
        min_snapshots: earlier values that a z needs.

    Returns:
        recv_ts (the newest of the bucket), maturity, moneyness, drift: in standard deviations of that mean.
    """
    rows = []
    for key, part in gaps.sort("recv_ts").group_by("maturity", "moneyness", maintain_order=True):
        values = part["gap"].to_numpy()
        mean = 0.0
        for i in range(min_snapshots, len(values)):
            past = values[:i]
            middle = float(np.median(past))
            spread = max(1.4826 * float(np.median(np.abs(past - middle))), 1e-6)
            mean += decay * ((values[i] - middle) / spread - mean)
        drift = mean / np.sqrt(decay / (2.0 - decay)) if len(values) > min_snapshots else None
        rows.append((part["recv_ts"][-1], *key, drift))
    schema = {"recv_ts": gaps.schema["recv_ts"], "maturity": pl.String, "moneyness": pl.String, "drift": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")
