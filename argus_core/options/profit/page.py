"""A page of candidate positions with every probability side by side: model, market, managed.

Three opinions on one position: Heston's law at expiry, the surface's own density (what the quotes alone say), and the
managed life of the position with target and stop, simulated. Where the first two disagree the model is at risk, and the
row says by how much.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from argus_core.market.schemas import conform, empty
from argus_core.options.heston.calendar_profit import pop_calendar
from argus_core.options.heston.managed import Management, p50, pop_managed
from argus_core.options.heston.market import Market, PhysicalMeasure, SimulatedLeg, SimulatedPosition
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import Sampling
from argus_core.options.positions import ExpiryProfit, profit_lines_of
from argus_core.options.profit.estimates import Provenance
from argus_core.options.profit.laws import LawList, heston_laws
from argus_core.options.profit.terminal import terminal_profit
from argus_core.options.schemas import Snapshot
from argus_core.options.surface import Surface
from argus_core.settings.option_profit import ProfitSettings

_LEGS = 4


class ProfitPage(Snapshot):
    """One row per candidate of a snapshot. Dollars are per unit of the position (one contract per leg unit), after
    commissions, unless a line says otherwise."""

    candidate = dy.String(nullable=False)
    structure = dy.String(nullable=False)
    side = dy.String(nullable=False)
    expiry = dy.Date(nullable=False)
    days = dy.Int32(nullable=False)
    legs = dy.String(nullable=False)
    price = dy.Float64(nullable=False)  # dollars per share at bid and ask; negative: a credit
    max_profit = dy.Float64(nullable=True)  # null: unlimited, or unknown (calendars)
    max_loss = dy.Float64(nullable=True)
    breakeven_low = dy.Float64(nullable=True)
    breakeven_high = dy.Float64(nullable=True)
    score = dy.Float64(nullable=False)
    pop_terminal = dy.Float64(nullable=True)  # Heston, Q, at expiry
    pop_error = dy.Float64(nullable=True)  # bound of its numerical error
    p_max_profit = dy.Float64(nullable=True)
    p_max_loss = dy.Float64(nullable=True)
    expected_pnl = dy.Float64(nullable=True)
    cvar = dy.Float64(nullable=True)  # mean of the worst share 1 - alpha, positive
    pop_surface = dy.Float64(nullable=True)  # the surface's density, Q, at expiry
    expected_pnl_surface = dy.Float64(nullable=True)
    model_gap = dy.Float64(nullable=True)  # pop_terminal - pop_surface
    pop_managed = dy.Float64(nullable=True)  # target met before stop and exit day, daily closes
    pop_managed_se = dy.Float64(nullable=True)
    p_stop = dy.Float64(nullable=True)
    p_stop_se = dy.Float64(nullable=True)
    p50 = dy.Float64(nullable=True)  # half the credit or debit earned at some close before expiry, no stop
    p50_se = dy.Float64(nullable=True)
    expected_pnl_managed = dy.Float64(nullable=True)
    expected_pnl_managed_se = dy.Float64(nullable=True)
    pop_calendar = dy.Float64(nullable=True)  # calendars: profit when the first expiry closes
    pop_calendar_se = dy.Float64(nullable=True)
    pop_physical = dy.Float64(nullable=True)  # as pop_terminal under the physical law that the settings name
    alpha = dy.Float64(nullable=False)
    measure = dy.String(nullable=False)
    physical = dy.String(nullable=True)  # the physical law in words; null: none was given
    monitoring = dy.String(nullable=False)
    scheme = dy.String(nullable=True)
    seed = dy.Int64(nullable=False)
    paths = dy.Int64(nullable=False)
    parameter_hash = dy.String(nullable=False)
    chain_hash = dy.String(nullable=False)
    reason = dy.String(nullable=True)  # why a number is missing


def profit_page(
    candidates: pl.DataFrame,
    forwards: pl.DataFrame,
    slices: pl.DataFrame,
    fit: Mapping[str, Any] | None,
    settings: ProfitSettings,
    *,
    commission: float = 0.0,
    multiplier: float = 100.0,
) -> pl.DataFrame:
    """`ProfitPage` of one snapshot.

    Args:
        candidates: ``kept`` of `argus_core.options.candidates.candidates_of`, one snapshot.
        forwards: rows of `Forwards` of that snapshot.
        slices: rows of `SurfaceSlices` of that snapshot; an expiry outside them has no second opinion.
        fit: the row of `HestonFits` of that snapshot; None or not converged: a page without rows.
        commission: dollars per contract and way: paid once where a position is held to expiry, twice where managed.
        multiplier: shares per contract.
    """
    if candidates.is_empty() or fit is None or not fit["converged"] or fit["v0"] is None:
        return empty(ProfitPage)
    chosen = candidates.filter(pl.col("rank") <= settings.per_structure)
    parameters = HestonParameters(*(float(fit[name]) for name in HestonParameters._fields))
    legs = [json.loads(text) for text in chosen["legs"]]
    contracts = np.array([sum(abs(leg["quantity"]) for leg in one) for one in legs], float)
    terms = forwards.filter(pl.col("forward").is_not_null()).sort("expiry_ts")
    by_expiry = {row["expiry"]: row for row in terms.to_dicts()}
    rows = _terminal(chosen, legs, contracts, terms, slices, parameters, fit, settings, commission, multiplier)
    rows = rows.hstack(_managed(chosen, legs, contracts, by_expiry, parameters, settings, commission, multiplier))
    return conform(_told(chosen.hstack(rows), parameters, fit, settings), ProfitPage)


def page_legs(text: str) -> list[dict[str, Any]]:
    """Legs of a page's row: contract, expiry (date), strike, right, quantity."""
    return [leg | {"expiry": date.fromisoformat(leg["expiry"])} for leg in json.loads(text)]


def _lines(
    legs: Sequence[Sequence[Mapping[str, Any]]], price: Sequence[float], costs: np.ndarray, multiplier: float
) -> ExpiryProfit:
    def padded(name: str, missing: float) -> np.ndarray:
        return np.array([[float(leg[name]) for leg in one] + [missing] * (_LEGS - len(one)) for one in legs])

    calls = np.array([[leg["right"] == "C" for leg in one] + [False] * (_LEGS - len(one)) for one in legs])
    return profit_lines_of(
        padded("strike", math.nan),
        calls,
        padded("quantity", 0.0),
        np.asarray(price, float),
        multiplier=multiplier,
        costs=costs,
    )


def _terminal(
    chosen: pl.DataFrame,
    legs: Sequence[Sequence[Mapping[str, Any]]],
    contracts: np.ndarray,
    terms: pl.DataFrame,
    slices: pl.DataFrame,
    parameters: HestonParameters,
    fit: Mapping[str, Any],
    settings: ProfitSettings,
    commission: float,
    multiplier: float,
) -> pl.DataFrame:
    """Laws at expiry: Heston, the surface, and the physical one where it is given."""
    # An index has two moments of expiry on one day, morning and evening: the time to it tells them apart.
    moments = list(zip(chosen["expiry"], chosen["t_cal"], strict=True))
    expiries = sorted(set(moments))
    number = np.array([expiries.index(moment) for moment in moments])
    by_moment = {(row["expiry"], row["t_cal"]): row for row in terms.to_dicts()}
    nothing = {"t_cal": math.nan, "forward": math.nan, "discount": math.nan, "spot": math.nan}
    known = [by_moment.get(moment, nothing) for moment in expiries]
    years, forward, discount = (
        np.array([row[name] for row in known], float) for name in ("t_cal", "forward", "discount")
    )
    lines = _lines(legs, chosen["price"].to_list(), commission * contracts, multiplier)
    single = np.array([len({leg["expiry"] for leg in one}) == 1 for one in legs])
    laws = heston_laws(parameters, years, forward, discounts=discount, chain_hash=fit["chain_hash"])
    model = terminal_profit(lines, laws, laws.provenance, expiry=number, alpha=settings.alpha)
    frame = model.frame().select(
        "pop_terminal",
        pl.col("error_bound").alias("pop_error"),
        "p_max_profit",
        "p_max_loss",
        "expected_pnl",
        pl.col("cvar_alpha").alias("cvar"),
        *(
            pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(f"position_{name}")
            for name in ("max_profit", "max_loss")
        ),
        pl.Series("reason", model.reasons, dtype=pl.String),
    )
    frame = frame.with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("pop_surface", "expected_pnl_surface"))
    fitted = set(slices["expiry"]) if slices.height else set()
    inside = [i for i, (day, _) in enumerate(expiries) if day in fitted and math.isfinite(years[i])]
    if inside:
        surface = Surface.of(slices)
        market = LawList([surface.law(float(years[i])) for i in inside])
        place = {i: at for at, i in enumerate(inside)}
        rows = np.array([row for row in range(len(number)) if number[row] in place], dtype=np.int64)
        found = terminal_profit(
            lines.rows(rows),
            market,
            Provenance("Q", "expiry", "density of the eSSVI surface", None, fit["chain_hash"]),
            expiry=np.array([place[number[row]] for row in rows], dtype=np.int64),
            tails=False,
        )
        for name, values in (("pop_surface", found.pop_terminal), ("expected_pnl_surface", found.expected_pnl)):
            full = np.full(len(number), np.nan)
            full[rows] = values
            frame = frame.with_columns(pl.Series(name, full).fill_nan(None))
    physical = _physical(parameters, settings)
    pop_physical = np.full(len(number), np.nan)
    spots = [row["spot"] for row in known if row["spot"] is not None and math.isfinite(row["spot"])]
    if physical is not None and spots:
        real = heston_laws(parameters, years, forward, discounts=discount, physical=physical, spot=float(spots[0]))
        pop_physical = terminal_profit(lines, real, real.provenance, expiry=number, tails=False).pop_terminal
    frame = frame.with_columns(pl.Series("pop_physical", pop_physical).fill_nan(None))
    # A position of two expiries has no law at one of them.
    alone = pl.Series(single)
    return frame.with_columns(
        pl.when(alone).then(pl.col(name)).alias(name) for name in frame.columns if name != "reason"
    )


def _managed(
    chosen: pl.DataFrame,
    legs: Sequence[Sequence[Mapping[str, Any]]],
    contracts: np.ndarray,
    by_expiry: Mapping[date, Mapping[str, Any]],
    parameters: HestonParameters,
    settings: ProfitSettings,
    commission: float,
    multiplier: float,
) -> pl.DataFrame:
    """Simulated lives of the best candidates: one simulation serves all positions of a first expiry."""
    names = ("pop_managed", "p_stop", "p50", "expected_pnl_managed", "pop_calendar")
    found = {name: np.full((len(legs), 2), np.nan) for name in names}
    schemes: list[str | None] = [None] * len(legs)
    sampling = Sampling(paths=settings.paths, seed=settings.seed)
    days = chosen["days"].to_list()
    prices = chosen["price"].to_list()
    simulated = (chosen["rank"] <= settings.managed_per_structure).to_list()
    for day in sorted(set(chosen["expiry"])):
        members = [i for i, own in enumerate(chosen["expiry"]) if own == day and simulated[i]]
        if not members:
            continue
        terms = by_expiry.get(day)
        if terms is None or terms["spot"] is None or days[members[0]] < 1:
            continue
        market = Market(float(terms["spot"]), float(terms["rate"]), float(terms["implied_yield"] or 0.0))
        positions = [
            SimulatedPosition(
                tuple(
                    SimulatedLeg(
                        float(leg["strike"]),
                        leg["right"],
                        float(leg["quantity"]),
                        days[i] + (date.fromisoformat(leg["expiry"]) - day).days,
                    )
                    for leg in legs[i]
                ),
                -prices[i] - 2.0 * commission * contracts[i] / multiplier,
            )
            for i in members
        ]
        leave = days[members[0]] - settings.exit_days_before
        rule = Management(
            target=settings.target,
            stop=settings.stop,
            exit_day=leave if 0 < leave < days[members[0]] else None,
        )
        plain = [at for at, one in enumerate(positions) if len({leg.days for leg in one.legs}) == 1]
        several = [at for at in range(len(positions)) if at not in plain]
        single = [positions[at] for at in plain]
        for one, free, at in zip(
            pop_managed(single, parameters, market, rule, sampling=sampling),
            p50(single, parameters, market, sampling=sampling),
            plain,
            strict=True,
        ):
            i = members[at]
            found["pop_managed"][i], found["p_stop"][i] = one.p_target, one.p_stop
            found["p50"][i] = free.p_target
            found["expected_pnl_managed"][i] = multiplier * np.array(one.expected_profit)
            schemes[i] = one.provenance.scheme if one.provenance else None
        for one, at in zip(
            pop_calendar([positions[at] for at in several], parameters, market, sampling=sampling), several, strict=True
        ):
            found["pop_calendar"][members[at]] = one.pop
            schemes[members[at]] = one.provenance.scheme if one.provenance else None
    columns = {}
    for name in names:
        columns[name], columns[f"{name}_se"] = found[name][:, 0], found[name][:, 1]
    frame = pl.DataFrame(columns).with_columns(pl.all().fill_nan(None))
    return frame.with_columns(pl.Series("scheme", schemes, dtype=pl.String))


def _physical(parameters: HestonParameters, settings: ProfitSettings) -> PhysicalMeasure | None:
    view = settings.physical
    return PhysicalMeasure.of_premium(parameters, view.drift, view.variance_premium) if view else None


def _told(
    rows: pl.DataFrame, parameters: HestonParameters, fit: Mapping[str, Any], settings: ProfitSettings
) -> pl.DataFrame:
    """What the numbers were made with."""
    stop = "no stop" if settings.stop is None else f"stop at {settings.stop:g} x"
    rule = f"daily closes: target {settings.target:.0%}, {stop}"
    if settings.exit_days_before:
        rule += f", closed {settings.exit_days_before} days before expiry"
    view = settings.physical
    law = f"drift {view.drift:g}, variance premium {view.variance_premium:g}" if view else None
    return rows.with_columns(
        pl.col("position_max_profit").alias("max_profit"),
        pl.col("position_max_loss").alias("max_loss"),
        (pl.col("pop_terminal") - pl.col("pop_surface")).alias("model_gap"),
        pl.lit(settings.alpha).alias("alpha"),
        pl.lit("Q").alias("measure"),
        pl.lit(law, pl.String).alias("physical"),
        pl.lit(rule).alias("monitoring"),
        pl.lit(settings.seed).alias("seed"),
        pl.lit(settings.paths).alias("paths"),
        pl.lit(parameters.digest).alias("parameter_hash"),
        pl.lit(fit["chain_hash"]).alias("chain_hash"),
    )
