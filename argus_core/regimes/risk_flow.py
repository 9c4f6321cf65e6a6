"""Global risk flow: what Asian and European markets and the yen did last, as far as it was known (semantics §4)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from operator import itemgetter

import polars as pl

from argus_core.calendar import UTC_US
from argus_core.settings import RiskFlowSettings

#: Sessions before the day whose references `global_risk_flow` should see: a symbol silent for longer has no return.
RISK_FLOW_SESSIONS = 5

#: Columns of the risk-flow frame.
RISK_FLOW_SCHEMA = pl.Schema(
    {
        "available_at": UTC_US,
        "trade_date": pl.Date(),
        "global_risk_flow": pl.Float64(),
        "asia": pl.Float64(),
        "europe": pl.Float64(),
        "fx": pl.Float64(),
    }
)


def global_risk_flow(references: pl.DataFrame, settings: RiskFlowSettings, day: date) -> pl.DataFrame:
    """The flow at every moment of trade date ``day`` at which it changes.

    flow = sum over groups of weight x mean over symbols of the last close-to-close return among bars **published** by
    then (``available_at``, never the bar's start). A missing symbol leaves its group's mean; the weight of a missing
    group is shared among the others in proportion; nothing known gives no row.

    US-listed ETFs on foreign markets end their day with SPY: gated by bar start, the flow correlates .84 with SPY's
    return of the same day; gated here, with the next day's, -.08.

    Args:
        references: frame of schema `References`: the day and the `RISK_FLOW_SESSIONS` sessions before it.
        settings: baskets and weights.
        day: trade date of the rows returned.

    Returns:
        Frame of `RISK_FLOW_SCHEMA` sorted by available_at, rounded to 10 decimals; as of any later moment the newest
        row holds.
    """
    return risk_flow_changes(references.filter(pl.col("trade_date") <= day), settings).filter(
        pl.col("trade_date") == day
    )


def risk_flow_changes(references: pl.DataFrame, settings: RiskFlowSettings) -> pl.DataFrame:
    """`global_risk_flow` of all trade dates in ``references``; the first have only the history that is there."""
    returns = (
        references.filter(pl.col("symbol").is_in(settings.symbols))
        .sort("symbol", "ts")
        .with_columns(
            change=pl.col("close") / pl.col("close").shift(1).over("symbol") - 1.0,
            # A return is known when both of its closes are.
            known_at=pl.max_horizontal("available_at", pl.col("available_at").shift(1).over("symbol")),
        )
        .filter(pl.col("change").is_finite())
        .sort("known_at", "symbol", "ts")
        .select("known_at", "trade_date", "symbol", "ts", "change")
    )
    latest: dict[str, tuple[datetime, float]] = {}
    standing: tuple[float | None, ...] = (None, None, None, None)
    rows = []
    for moment, batch in itertools.groupby(returns.iter_rows(), key=itemgetter(0)):
        newest = date.min
        for _, day, symbol, ts, change in batch:
            newest = max(newest, day)
            # A late publication of an older bar does not replace a newer one.
            if symbol not in latest or ts >= latest[symbol][0]:
                latest[symbol] = (ts, change)
        value = _flow(latest, settings)
        if value != standing:
            rows.append((moment, newest, *value))
        standing = value
    return pl.DataFrame(rows, schema=RISK_FLOW_SCHEMA, orient="row")


def _flow(latest: Mapping[str, tuple[datetime, float]], settings: RiskFlowSettings) -> tuple[float | None, ...]:
    """(flow, asia, europe, fx) from the last return of every symbol."""
    baskets: dict[str, Sequence[str]] = {"asia": settings.asia, "europe": settings.europe, "fx": settings.fx}
    means = {name: _mean([latest[s][1] for s in symbols if s in latest]) for name, symbols in baskets.items()}
    present = [name for name, mean in means.items() if mean is not None and settings.weights.get(name, 0.0) > 0]
    total = math.fsum(settings.weights[name] for name in present)
    flow = math.fsum(settings.weights[name] * (means[name] or 0.0) for name in present) / total if present else None
    return tuple(None if x is None else round(x, 10) for x in (flow, means["asia"], means["europe"], means["fx"]))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
