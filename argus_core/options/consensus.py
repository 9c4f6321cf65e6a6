"""IV consensus: one volatility per contract from several sources, with its provenance.

Providers differ in day count, rate, dividends, time of the underlying and exercise, so their volatilities are never
averaged: prices inverted by one convention are (`argus_core.options.observations`). Three policies weigh the same
observations with the same errors:

* prefer_dxlink: the first preferred source that is fresh, else the one with the smallest error;
* winner_based: the surest source whose interval lies inside the others' bid and ask; where none does, the surest, and
  the row is disputed;
* blended: Huber's location (Annals of Mathematical Statistics 35, 1964) with weights trust x decay(age) / error^2, or
  trust x decay(age) alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.market.schemas import UTC_US
from argus_core.options.observations import CONTRACT, standing_observations
from argus_core.settings.option_consensus import ConsensusSettings

Floats = NDArray[np.float64]

CONSENSUS_SCHEMA: dict[str, Any] = {
    "as_of": UTC_US,
    "underlying": pl.String,
    "expiry": pl.Date,
    "expiry_ts": UTC_US,
    "strike": pl.Float64,
    "right": pl.String,
    "iv": pl.Float64,  # fraction; null with a reason
    "iv_se": pl.Float64,
    "forward": pl.Float64,  # median over the fresh observations of the expiry
    "policy": pl.String,
    "chosen": pl.String,  # a source, or blend
    "flag": pl.String,  # single, agree, warn, disputed
    "score": pl.Float64,  # largest |iv1 - iv2| / sqrt(se1^2 + se2^2); null with one source
    "recv_ts": UTC_US,  # newest receipt that the row rests on
    "sources": pl.List(pl.String),  # those that counted, by name, and of each:
    "weights": pl.List(pl.Float64),  # share of the consensus
    "ivs": pl.List(pl.Float64),
    "errors": pl.List(pl.Float64),
    "ages": pl.List(pl.Float64),  # seconds since receipt
    "iv_from": pl.List(pl.String),  # price or provider
    "refused": pl.List(pl.String),  # sources that did not count, with the reason: NAME:REASON
    "reason": pl.String,
}
_HUBER_ROUNDS = 25


def consensus_at(observations: pl.DataFrame, now: datetime, settings: ConsensusSettings) -> pl.DataFrame:
    """The consensus on every living contract of which anything was received by ``now``.

    Args:
        observations: `observations_of`, any order; rows received after ``now`` are not looked at.
        now: moment of the decision, aware.

    Returns:
        `CONSENSUS_SCHEMA`, one row per contract in order of underlying, expiry, strike and right. A contract without a
        fresh observation has no volatility: nothing is filled in from its neighbours.
    """
    standing = standing_observations(observations, now, settings)
    if standing.is_empty():
        return pl.DataFrame(schema=CONSENSUS_SCHEMA)
    contracts = standing.select(CONTRACT).unique(maintain_order=True).with_row_index("contract")
    standing = standing.join(contracts, on=list(CONTRACT), how="left", maintain_order="left")
    good = standing.filter(pl.col("reason").is_null())
    table = _matrix(good, len(contracts))
    weights = _WEIGHTS[settings.policy](table, settings)
    count = np.isfinite(table.iv).sum(axis=1)
    score = largest_score(table.iv, table.se)
    iv, se = _combined(table, weights, settings.policy == "blended")
    forward = good.group_by("underlying", "expiry_ts").agg(pl.col("forward").median())
    refused = (
        standing.filter(pl.col("reason").is_not_null())
        .group_by("contract", maintain_order=True)
        .agg(refused=pl.concat_str("source", pl.lit(":"), "reason"))
    )
    share = pl.Series("weights", weights[table.row, table.column], dtype=pl.Float64)
    detail = (
        good.with_columns(share)
        .group_by("contract", maintain_order=True)
        .agg(
            pl.col("recv_ts").filter(pl.col("weights") > 0).max(),
            pl.col("source").alias("sources"),
            "weights",
            pl.col("iv").alias("ivs"),
            pl.col("se").alias("errors"),
            pl.col("age").alias("ages"),
            "iv_from",
        )
    )
    winner = np.array([*table.names, "blend"], dtype=object)[
        np.where((weights > 0).sum(axis=1) > 1, len(table.names), np.argmax(weights, axis=1) if table.names else 0)
    ]
    flag = np.select(
        [count == 0, count == 1, score > settings.bad_score, score > settings.warn_score],
        ["", "single", "disputed", "warn"],
        default="agree",
    )
    if settings.policy == "winner_based":
        flag = np.where((count > 1) & ~_inside(table, settings).any(axis=1), "disputed", flag)
    made = contracts.with_columns(
        pl.Series("iv", iv).fill_nan(None),
        pl.Series("iv_se", se).fill_nan(None),
        pl.Series("score", score).fill_nan(None),
        pl.Series("chosen", [name if n else None for name, n in zip(winner, count, strict=True)], dtype=pl.String),
        pl.Series("flag", flag.tolist(), dtype=pl.String).replace("", None),
        as_of=pl.lit(now).cast(UTC_US),
        policy=pl.lit(settings.policy),
    )
    made = made.join(detail, on="contract", how="left", maintain_order="left")
    made = made.join(refused, on="contract", how="left", maintain_order="left")
    made = made.join(forward, on=["underlying", "expiry_ts"], how="left", maintain_order="left")
    return made.with_columns(
        reason=pl.when(pl.col("iv").is_null()).then(
            pl.lit("no fresh observation: ") + pl.col("refused").list.sort().list.join(", ")
        )
    ).select(*CONSENSUS_SCHEMA)


def consensus(observations: pl.DataFrame, moments: Iterable[datetime], settings: ConsensusSettings) -> pl.DataFrame:
    """`consensus_at` each of ``moments``, in their order. No row changes with what is received after its moment."""
    parts = [consensus_at(observations, moment, settings) for moment in moments]
    return pl.concat(parts) if parts else pl.DataFrame(schema=CONSENSUS_SCHEMA)


def atm_consensus(rows: pl.DataFrame, settings: ConsensusSettings) -> pl.DataFrame:
    """At-the-money volatility per moment and expiry: of the strike nearest to the forward, put and call together.

    Args:
        rows: `consensus_at`.

    Returns:
        as_of, underlying, expiry, expiry_ts, forward, strike, iv, iv_se, recv_ts, chosen (list, of call and put) and
        reason. Without a forward, or where the nearest strike is further than ``max_atm_distance``, iv is null: a far
        strike is never called at the money.
    """
    key = ["as_of", "underlying", "expiry", "expiry_ts"]
    expiries = rows.select(key).unique(maintain_order=True)
    years = (pl.col("expiry_ts") - pl.col("as_of")).dt.total_microseconds() / (365.0 * 86_400e6)
    distance = (pl.col("strike") / pl.col("forward")).log().abs()
    known = rows.filter(pl.col("iv").is_not_null() & (pl.col("forward") > 0)).with_columns(
        distance=distance, years=years
    )
    known = known.filter(pl.col("strike") == pl.col("strike").sort_by("distance", "strike").first().over(key))
    weight = 1.0 / pl.col("iv_se") ** 2
    at = known.group_by(key, maintain_order=True).agg(
        pl.col("forward", "strike", "distance", "years").first(),
        iv=(pl.col("iv") * weight).sum() / weight.sum(),
        iv_se=(1.0 / weight.sum()).sqrt(),
        recv_ts=pl.col("recv_ts").max(),
        chosen=pl.col("chosen"),
    )
    far = pl.col("distance") > settings.max_atm_distance * pl.col("iv") * pl.col("years").sqrt()
    found = expiries.join(at, on=key, how="left", maintain_order="left").with_columns(
        reason=pl.when(pl.col("strike").is_null())
        .then(pl.lit("no strike has both a consensus and a forward"))
        .when(far)
        .then(pl.lit("the nearest strike is too far from the forward"))
    )
    clear = [pl.when(pl.col("reason").is_null()).then(name).alias(name) for name in ("iv", "iv_se")]
    return found.with_columns(clear).drop("distance", "years")


class _Table(NamedTuple):
    """Usable observations as matrices (contracts, sources), NaN where a source says nothing."""

    names: list[str]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    iv: Floats
    se: Floats
    age: Floats
    low: Floats
    high: Floats


def _matrix(good: pl.DataFrame, contracts: int) -> _Table:
    names = good["source"].unique().sort().to_list()
    place = {name: number for number, name in enumerate(names)}
    row = good["contract"].cast(pl.Int64).to_numpy()
    column = np.array([place[name] for name in good["source"]], dtype=np.int64)

    def spread(name: str) -> Floats:
        full = np.full((contracts, max(len(names), 1)), np.nan)
        full[row, column] = good[name].fill_null(np.nan).to_numpy()
        return full

    return _Table(names, row, column, *(spread(name) for name in ("iv", "se", "age", "iv_bid", "iv_ask")))


def largest_score(iv: Floats, se: Floats) -> Floats:
    """Largest |iv1 - iv2| / sqrt(se1^2 + se2^2) over the pairs of sources of every contract; NaN without a pair."""
    found = np.full(len(iv), np.nan)
    for a in range(iv.shape[1]):
        for b in range(a + 1, iv.shape[1]):
            found = np.fmax(found, np.abs(iv[:, a] - iv[:, b]) / np.hypot(se[:, a], se[:, b]))
    return found


def _only(chosen: NDArray[np.bool_], cost: Floats) -> Floats:
    """Weight one for the cheapest source among ``chosen``, the first by name among equals; zero everywhere without."""
    cost = np.where(chosen, cost, np.inf)
    weights = np.zeros(cost.shape)
    rows = np.flatnonzero(np.isfinite(cost).any(axis=1))
    weights[rows, np.argmin(cost[rows], axis=1)] = 1.0
    return weights


def _preferred(table: _Table, settings: ConsensusSettings) -> Floats:
    ranks = {name: rank for rank, name in enumerate(settings.preferred)}
    rank = np.array([ranks.get(name, len(ranks)) for name in table.names] or [0], dtype=float)
    # Errors of volatilities stay far below 1000.
    return _only(np.isfinite(table.iv), 1000.0 * rank + table.se)


def _winner(table: _Table, settings: ConsensusSettings) -> Floats:
    inside = _inside(table, settings)
    nobody = ~inside.any(axis=1, keepdims=True)
    return _only(inside | (nobody & np.isfinite(table.iv)), table.se)


def _inside(table: _Table, settings: ConsensusSettings) -> NDArray[np.bool_]:
    """Whether a source's interval lies within bid and ask of every other one; a source without them vetoes nobody."""
    reach = settings.confidence * table.se
    inside = np.isfinite(table.iv)
    for a in range(table.iv.shape[1]):
        for b in range(table.iv.shape[1]):
            if a != b:
                below = table.iv[:, a] - reach[:, a] < table.low[:, b]
                above = table.iv[:, a] + reach[:, a] > table.high[:, b]
                inside[:, a] &= ~(below | above)
    return inside


def _blend(table: _Table, settings: ConsensusSettings) -> Floats:
    trust = np.array([settings.source(name).trust for name in table.names] or [1.0])
    decay = trust * 0.5 ** (table.age / settings.decay_seconds)
    base = np.nan_to_num(decay / table.se**2 if settings.weights == "inverse_variance" else decay)
    x, s = np.nan_to_num(table.iv), np.where(np.isfinite(table.se), table.se, 1.0)
    weights = base
    for _ in range(_HUBER_ROUNDS):
        total = weights.sum(axis=1, keepdims=True)
        centre = (weights * x).sum(axis=1, keepdims=True) / np.where(total > 0, total, 1.0)
        weights = base * np.minimum(1.0, settings.huber / np.maximum(np.abs(x - centre) / s, 1e-12))
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


_WEIGHTS = {"prefer_dxlink": _preferred, "winner_based": _winner, "blended": _blend}


def _combined(table: _Table, weights: Floats, blended: bool) -> tuple[Floats, Floats]:
    """(iv, standard error). A blend's error grows by Birge's ratio where sources differ by more than their errors."""
    x, s = np.nan_to_num(table.iv), np.nan_to_num(table.se)
    known = weights.sum(axis=1) > 0
    iv = (weights * x).sum(axis=1)
    error = np.sqrt((weights**2 * s**2).sum(axis=1))
    if blended:
        count = np.isfinite(table.iv).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            chi = np.nansum(((table.iv - iv[:, None]) / table.se) ** 2, axis=1) / np.maximum(count - 1, 1)
        error = error * np.sqrt(np.maximum(chi, 1.0))
    return np.where(known, iv, np.nan), np.where(known, error, np.nan)
