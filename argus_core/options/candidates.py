"""Candidate structures of a chain: verticals, condors, strangles, straddles and calendars, filtered, priced, ranked.

At fair prices no structure has an edge under the pricing measure, so the rank before any opinion is what crossing the
market costs: ``score`` is one less the half spreads of all legs over the price at mid. Probabilities of profit and
anomalies are joined on ``candidate``. Reasons of what is left out are counted per structure and expiry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.candidate_table import LEGS, Contracts, Found, left_out, priced, ranked
from argus_core.options.chains import ExpirySlice
from argus_core.options.structures import (
    LIQUIDITY_REASONS,
    Liquidity,
    calendar_rows,
    matched_deltas,
    outside,
    straddle_rows,
    wings,
)
from argus_core.settings.option_chains import CandidateSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: Why a structure is left out, in the order in which it is tested; contracts have `LIQUIDITY_REASONS`.
STRUCTURE_REASONS = ("NO_PARTNER", "DELTA_APART", "PRICE_LOW", "NO_RISK", "COST_HIGH", "BEYOND_LIMIT")
#: Reasons of `ImpliedVols` that do not forbid trading the contract.
_TRADABLE = ("IN_THE_MONEY", "SPREAD_WIDE", "LOW_PRICE", "BELOW_INTRINSIC")
_ZONE = "America/New_York"


@dataclass(frozen=True)
class Candidates:
    """``kept``: one row per structure, best first within snapshot, structure and side.
    ``left_out``: recv_ts, structure ("contract" for single contracts), expiry, reason, count."""

    kept: pl.DataFrame
    left_out: pl.DataFrame


@dataclass(frozen=True)
class _Part:
    """An expiry of a snapshot: its slice, the rows of the table it came from, and which contracts are good."""

    part: ExpirySlice
    offset: int
    good: Flags
    inner: dict[str, Rows]


def candidates_of(vols: pl.DataFrame, settings: CandidateSettings) -> Candidates:
    """List structures over the chains of ``vols``.

    Args:
        vols: rows of `ImpliedVols`: any number of snapshots of one underlying.

    Returns:
        ``kept`` with, per structure: provider, underlying, recv_ts, candidate (name), structure (put_vertical,
        call_vertical, iron_condor, strangle, straddle, put_calendar, call_calendar), side (sell, buy), expiry (the
        first), days, t_cal, forward, legs (JSON: contract, expiry, strike, right, quantity), price (dollars per share
        at bid and ask; negative: a credit), mid_price, credit, cost (half spreads), cost_share, width, max_profit and
        max_loss (dollars per share at that price; null: unlimited or, for calendars, open), return_on_risk,
        breakeven_low, breakeven_high, inner_delta, delta, gamma, vega, theta, min_open_interest, min_size,
        max_age (seconds), score, rank, why.
    """
    table = vols.sort("recv_ts", "expiry_ts", "strike", "right", "contract").with_row_index("row")
    moment = pl.col("expiry_ts") - pl.duration(
        microseconds=(pl.col("t_cal") * 365.0 * 86_400e6).round(0).cast(pl.Int64)
    )
    table = table.with_columns(
        days=(pl.col("expiry") - moment.dt.convert_time_zone(_ZONE).dt.date()).dt.total_days(),
        part=pl.struct("recv_ts", "expiry_ts").rle_id(),
    )
    contracts = Contracts(table)
    frames: list[pl.DataFrame] = []
    counted: list[pl.DataFrame] = []
    liquidity = Liquidity(settings.max_spread, settings.min_open_interest, settings.min_size, settings.max_age_seconds)
    for _, shot in table.group_by("recv_ts", maintain_order=True):
        parts = []
        for _, rows in shot.group_by("part", maintain_order=True):
            if 0 <= rows["days"][0] <= settings.max_days + settings.max_calendar_gap:
                part, dropped = _part(rows, liquidity, settings)
                parts.append(part)
                counted.append(dropped)
        near = [p for p in parts if settings.min_days <= p.part.days <= settings.max_days]
        found = [one for p in near for one in _of_one_expiry(p, settings)]
        if "calendar" in settings.structures:
            for p in near:
                for other in parts:
                    if settings.min_calendar_gap <= other.part.days - p.part.days <= settings.max_calendar_gap:
                        found += _calendars(p, other, settings)
        counted += [
            _counts(one.structure, contracts.heads(np.array([one.place])), one.lost) for one in found if one.lost
        ]
        for structure, side in sorted({(one.structure, one.side) for one in found}):
            alike = [one for one in found if (one.structure, one.side) == (structure, side) and len(one.rows)]
            if alike:
                rows = np.concatenate([one.rows for one in alike])
                merged = Found(structure, side, rows, alike[0].quantities, {}, alike[0].place)
                kept, dropped = _filtered(priced(merged, contracts), side, settings)
                frames.append(kept)
                counted.append(dropped)
    listed = ranked(frames, contracts)
    over = listed.filter(pl.col("rank") > settings.max_per_structure)
    counted.append(over.select("recv_ts", "structure", "expiry", reason=pl.lit("BEYOND_LIMIT"), count=pl.lit(1)))
    return Candidates(listed.filter(pl.col("rank") <= settings.max_per_structure), left_out(counted))


def _part(rows: pl.DataFrame, liquidity: Liquidity, settings: CandidateSettings) -> tuple[_Part, pl.DataFrame]:
    part = _slice(rows)
    reason = rows["reason"].fill_null("")
    banned = (~reason.is_in(["", *_TRADABLE])).to_numpy()
    codes = liquidity.reasons(part)
    unknown = ~banned & (codes == 0) & ~np.isfinite(part.delta)
    good = ~banned & (codes == 0) & ~unknown
    words = np.array(LIQUIDITY_REASONS, object)[codes]
    words = np.where(banned, reason.to_numpy(), np.where(unknown, "NO_DELTA", words))
    left = pl.DataFrame({"reason": words[~good].tolist()}, schema={"reason": pl.String})
    counts = (
        left.group_by("reason")
        .len("count")
        .with_columns(
            recv_ts=pl.lit(rows["recv_ts"][0]), structure=pl.lit("contract"), expiry=pl.lit(rows["expiry"][0])
        )
    )
    size = np.abs(part.delta)
    with np.errstate(invalid="ignore"):
        ranged = good & (size >= settings.min_delta) & (size <= settings.max_delta)
    inner = {right: np.flatnonzero(ranged & outside(part, right)) for right in ("P", "C")}
    return _Part(part, int(rows["row"][0]), good, inner), counts


def _slice(rows: pl.DataFrame) -> ExpirySlice:
    def column(name: str) -> Floats:
        return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    return ExpirySlice(
        rows["expiry"][0],
        int(rows["days"][0]),
        float(rows["t_cal"][0]),
        float(column("forward")[0]),
        rows["contract"].to_list(),
        column("strike"),
        (rows["right"] == "C").to_numpy(),
        *(column(name) for name in ("bid", "ask", "bid_size", "ask_size", "iv_mid", "delta", "open_interest")),
        column("quote_age"),
    )


def _of_one_expiry(p: _Part, settings: CandidateSettings) -> list[Found]:
    """Structures whose legs expire together, both sides of each."""
    found = []
    verticals: dict[str, list[tuple[Rows, Rows]]] = {"P": [], "C": []}
    scale = p.part.forward if settings.width_unit == "forward" else 1.0
    for right, name in (("P", "put_vertical"), ("C", "call_vertical")):
        seen: list[NDArray[np.int64]] = []
        lost = 0
        for width in settings.widths:
            outer = wings(p.part, right, p.inner[right], width * scale, settings.width_tolerance, p.good)
            has = outer >= 0
            lost += int((~has).sum())
            verticals[right].append((p.inner[right][has], outer[has]))
            seen.append(np.column_stack([p.inner[right][has], outer[has]]))
        if "vertical" in settings.structures:
            rows = np.unique(np.concatenate(seen), axis=0)
            found += _both_sides(name, rows, (-1, 1), settings, {"NO_PARTNER": lost}, p)
    if "iron_condor" in settings.structures:
        found += _condors(p, verticals, settings)
    if "strangle" in settings.structures:
        rows, lost_count = _matched(p, p.inner["P"], p.inner["C"], settings.delta_tolerance)
        found += _both_sides("strangle", rows, (-1, -1), settings, lost_count, p)
    if "straddle" in settings.structures:
        rows = np.column_stack(straddle_rows(p.part, p.good, settings.straddle_strikes))
        found += _both_sides("straddle", rows, (-1, -1), settings, {} if len(rows) else {"NO_PARTNER": 1}, p)
    return found


def _condors(p: _Part, verticals: dict[str, list[tuple[Rows, Rows]]], settings: CandidateSettings) -> list[Found]:
    """A put vertical with the call vertical of its width whose short delta is nearest."""
    rows, lost = [np.empty((0, 4), np.int64)], {"NO_PARTNER": 0, "DELTA_APART": 0}
    for puts, calls in zip(verticals["P"], verticals["C"], strict=True):
        if not len(puts[0]) or not len(calls[0]):
            lost["NO_PARTNER"] += len(puts[0]) + len(calls[0])
            continue
        at, apart = matched_deltas(p.part, puts[0], calls[0])
        near = apart <= settings.delta_tolerance
        lost["DELTA_APART"] += int((~near).sum())
        both = np.column_stack([puts[0], calls[0][at], puts[1], calls[1][at]])
        rows.append(both[near])
    whole = np.unique(np.concatenate(rows), axis=0)
    return _both_sides("iron_condor", whole, (-1, -1, 1, 1), settings, lost, p)


def _matched(p: _Part, puts: Rows, calls: Rows, tolerance: float) -> tuple[Rows, dict[str, int]]:
    if not len(puts) or not len(calls):
        return np.empty((0, 2), np.int64), {"NO_PARTNER": len(puts) + len(calls)}
    at, apart = matched_deltas(p.part, puts, calls)
    near = apart <= tolerance
    return np.column_stack([puts, calls[at]])[near], {"DELTA_APART": int((~near).sum())}


def _both_sides(
    name: str, rows: Rows, sold: tuple[int, ...], settings: CandidateSettings, lost: dict[str, int], p: _Part
) -> list[Found]:
    """The structure sold and bought, as the settings ask; losses are counted once."""
    result = []
    for side in settings.sides:
        quantities = sold if side == "sell" else tuple(-q for q in sold)
        result.append(Found(name, side, rows + p.offset, quantities, {} if result else lost, p.offset))
    return result


def _calendars(p: _Part, other: _Part, settings: CandidateSettings) -> list[Found]:
    """The near expiry sold and the far one bought at one strike with a near delta in range, at or out of the money."""
    found = []
    for right, name in (("P", "put_calendar"), ("C", "call_calendar")):
        with np.errstate(invalid="ignore"):
            ranged = p.good & (np.abs(p.part.delta) >= settings.min_delta) & (np.abs(p.part.delta) <= 0.55)
        here, there = calendar_rows(p.part, other.part, right, (ranged, other.good), settings.max_per_expiry)
        rows = np.column_stack([here + p.offset, there + other.offset])
        lost = int((ranged & (p.part.call == (right == "C"))).sum()) - len(here)
        found.append(Found(name, "buy", rows, (-1, 1), {"NO_PARTNER": max(lost, 0)}, p.offset))
    return found


def _filtered(table: pl.DataFrame, side: str, settings: CandidateSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The structures to keep, the best of every expiry, and how many of the others each reason took."""
    price = -pl.col("price") if side == "sell" else pl.col("price")
    legs = [leg for leg in LEGS if leg in table.columns]
    table = table.sort("expiry", "score", *legs, descending=[False, True] + [False] * len(legs))
    tests = {
        "PRICE_LOW": price < settings.min_price,
        "NO_RISK": pl.col("max_loss") <= 0,
        "COST_HIGH": pl.col("cost_share") > settings.max_cost_share,
    }
    reason = pl.lit(None, pl.String)
    for name in reversed(tests):
        reason = pl.when(tests[name].fill_null(False)).then(pl.lit(name)).otherwise(reason)
    table = table.with_columns(reason=reason)
    place = pl.col("score").rank("ordinal", descending=True).over("expiry", "reason")
    beyond = pl.col("reason").is_null() & (place > settings.max_per_expiry)
    table = table.with_columns(reason=pl.when(beyond).then(pl.lit("BEYOND_LIMIT")).otherwise("reason"))
    dropped = table.drop_nulls("reason").group_by("recv_ts", "structure", "expiry", "reason").len("count")
    return table.filter(pl.col("reason").is_null()).drop("reason"), dropped


def _counts(structure: str, head: pl.DataFrame, lost: dict[str, int]) -> pl.DataFrame:
    rows = [(name, count) for name, count in lost.items() if count]
    told = pl.DataFrame(rows, schema={"reason": pl.String, "count": pl.UInt32}, orient="row")
    return told.join(head.select("recv_ts", "expiry"), how="cross").with_columns(structure=pl.lit(structure))
