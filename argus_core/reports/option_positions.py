"""Sections about candidate positions: the table of opinions, and one position with its fan and its boundaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from argus_core.options.heston.market import Market, SimulatedLeg, SimulatedPosition
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.profit.page import page_legs
from argus_core.reports.option_day import OptionDay, position_in_words, ranked_positions, snapshot_numbers, spot_of
from argus_core.reports.option_figures import FAN_LEVELS, boundary_figure, pop_fan_figure
from argus_core.reports.page import Column, Html, section, table, text
from argus_core.reports.words import MINUS, decimal, percent, plural
from argus_core.settings.option_profit import ProfitSettings

#: Rows of the table.
_MOST = 24
#: Model and market further apart than this say that one of them is wrong.
WIDE_GAP = 0.03
#: Levels of volatility of the boundaries, as multiples of today's.
_LEVELS = (0.5, 1.0, 2.0)


def candidates(day: OptionDay) -> str:
    """Every opinion on every candidate, best first."""
    title = "Candidates: three opinions on each"
    if day.pop.is_empty():
        return section(title, "No candidate was judged at this snapshot: no Heston fit, or no spread to judge.")
    rows = ranked_positions(day.pop)
    first = rows.row(0, named=True)
    say = (
        "Probabilities of profit by three opinions. Model: Heston at expiry. Market: the density that the quotes "
        "themselves imply. Managed: simulated daily "
        f"closes ({first['monitoring'].removeprefix('daily closes: ')}). Expected profits are dollars per position "
        f"after the spread and commissions, under the pricing measure {first['measure']}; the order is that of the "
        f"least of them. Where model and market differ by more than {percent(WIDE_GAP, 0)} the model is at risk."
    )
    fit = snapshot_numbers(day)["fit"]
    if fit is not None and fit > 1.0:
        say += (
            f" The market's opinion is no better than its surface: it misses the mids by {decimal(fit)} half-spreads."
        )
    physical = next((one for one in rows["physical"].drop_nulls()), None)
    columns = [
        Column("Position", "words"),
        Column("Price", "number"),
        Column("Model", "number"),
        Column("Market", "number"),
        Column("Gap", "number"),
        Column("Managed ± SE", "number"),
        Column("Stopped", "number"),
        Column("p50 ± SE", "number"),
        Column("E model", "number"),
        Column("E market", "number"),
        Column("E managed ± SE", "number"),
        Column("CVaR", "number"),
    ]
    if physical:
        columns.append(Column("Physical", "number"))
    shown = rows.head(_MOST).to_dicts()
    cells = [_cells(row, physical=bool(physical)) for row in shown]
    if any(row["reason"] for row in shown):
        columns.append(Column("Why numbers are missing", "words"))
        cells = [[*one, row["reason"] or ""] for one, row in zip(cells, shown, strict=True)]
    rest = rows.height - len(shown)
    notes = [f"and {plural(rest, 'more candidate')} in the table pop"] if rest > 0 else []
    if physical:
        notes.append(f"physical measure by the settings: {physical}")
    more = f'<p class="more">{text("; ".join(notes))}.</p>' if notes else ""
    return section(title, say, f'<div class="dense">{table(columns, cells)}</div>', more)


def _cells(row: Mapping[str, Any], *, physical: bool) -> list[object]:
    managed, managed_se = row["pop_managed"], row["pop_managed_se"]
    ends = f"{row['expiry']}, {plural(row['days'], 'day')}"
    name = f"{text(position_in_words(row))} <span class='dim keep'>{text(ends)}</span>"
    if row["pop_calendar"] is not None:
        # A calendar is over when its first expiry closes.
        managed, managed_se = row["pop_calendar"], row["pop_calendar_se"]
        name += "<br><span class='dim'>profit when the first expiry closes, under managed</span>"
    gap = row["model_gap"]
    cells = [
        Html(name),
        _price(row["price"]),
        percent(row["pop_terminal"]),
        percent(row["pop_surface"]),
        _gap(gap),
        _with_error(managed, managed_se),
        percent(row["p_stop"]),
        _with_error(row["p50"], row["p50_se"]),
        _profit(row["expected_pnl"]),
        _profit(row["expected_pnl_surface"]),
        _profit(row["expected_pnl_managed"], row["expected_pnl_managed_se"]),
        decimal(row["cvar"], 0),
    ]
    return [*cells, percent(row["pop_physical"])] if physical else cells


def _price(value: float | None) -> str | None:
    return None if value is None else f"{abs(value):.2f} {'credit' if value < 0 else 'debit'}"


def _gap(value: float | None) -> object:
    shown = percent(value, signed=True)
    wide = value is not None and abs(value) > WIDE_GAP
    return Html(f'<span class="chip kill">{text(shown)}</span>') if wide else shown


def _with_error(value: float | None, error: float | None) -> object:
    if value is None:
        return None
    tail = "" if error is None else f" <span class='dim'>± {100 * error:.2f}</span>"
    return Html(f"{text(percent(value))}{tail}")


def _profit(value: float | None, error: float | None = None) -> object:
    if value is None:
        return None
    tail = (
        ""
        if error is None
        else f" <span class='dim'>± {error:.1f}</span>"
        if error >= 0.05
        else f" <span class='dim'>± {error:.2f}</span>"
    )
    shown = f"{MINUS if value < 0 else '+'}{abs(value):,.1f}"
    return Html(f'<span class="{"neg" if value < 0 else ""}">{text(shown)}</span>{tail}')


def chosen_position(day: OptionDay) -> dict[str, Any] | None:
    """The candidate that is drawn: the best one with a single expiry and a managed life."""
    drawn = ranked_positions(day.pop).filter(
        pl.all_horizontal(pl.col("pop_managed", "pop_terminal", "price").is_not_null()), pl.col("days") >= 1
    )
    return drawn.row(0, named=True) if drawn.height else None


def position(day: OptionDay, settings: ProfitSettings, commission: float, multiplier: float) -> str:
    """The best candidate: where the underlying may close, and where it would be closed."""
    row, fit, spot = chosen_position(day), day.fit, spot_of(day)
    terms = _terms(day, row)
    title = "The top candidate, day by day"
    if row is None or fit is None or spot is None or terms is None:
        return section(title, "Nothing to draw: no candidate has both a law at expiry and a managed life.")
    parameters = HestonParameters(*(float(fit[name]) for name in HestonParameters._fields))
    levels = [one for one in (row["breakeven_low"], row["breakeven_high"]) if one is not None]
    drift = float(terms["rate"]) - float(terms["implied_yield"] or 0.0)
    try:
        fan, span = _fan(row, parameters, spot, drift, levels)
        rules = _boundaries(row, parameters, Market(spot, drift), settings, commission / multiplier, span)
    except ValueError as fault:
        return section(title, f"{position_in_words(row)} cannot be drawn: {fault}")
    say = (
        f"{position_in_words(row)}, {row['expiry']}, {_price(row['price'])}. First Heston's closes under the pricing "
        "measure, with the prices at which the position breaks even at expiry. Then the closes that end it: blue takes "
        "the profit, red stops the loss; dotted, solid and dashed are half, once and twice today's volatility of "
        f"{percent(parameters.v0**0.5)}."
    )
    return section(title, say, f'<div class="two">{fan}{rules}</div>')


def _terms(day: OptionDay, row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    known = day.forwards.filter(
        pl.col("expiry") == row["expiry"], pl.col("forward").is_finite(), pl.col("rate").is_finite()
    ).sort("expiry_ts")
    return known.row(-1, named=True) if known.height else None


def _fan(
    row: Mapping[str, Any], parameters: HestonParameters, spot: float, drift: float, levels: list[float]
) -> tuple[str, tuple[float, float]]:
    from argus_core.options.profit.quantiles import heston_quantiles

    days = np.unique(np.linspace(1, row["days"], min(row["days"], 60)).round().astype(np.int64))
    years = days / 365.0
    quantiles = heston_quantiles(parameters, years, spot * np.exp(drift * years), FAN_LEVELS)
    shown = [float(quantiles.min()), float(quantiles.max()), *levels]
    return pop_fan_figure("fan", days, quantiles, spot, levels), (min(shown), max(shown))


def _boundaries(
    row: Mapping[str, Any],
    parameters: HestonParameters,
    market: Market,
    settings: ProfitSettings,
    commission: float,
    span: tuple[float, float],
) -> str:
    from argus_core.options.heston.boundary_curves import boundary_curves
    from argus_core.options.heston.managed import Management

    legs = tuple(
        SimulatedLeg(float(leg["strike"]), leg["right"], float(leg["quantity"]), int(row["days"]))
        for leg in page_legs(row["legs"])
    )
    paid = 2.0 * commission * sum(abs(leg.quantity) for leg in legs)
    leave = row["days"] - settings.exit_days_before
    rule = Management(target=settings.target, stop=settings.stop, exit_day=leave if 0 < leave < row["days"] else None)
    now = parameters.v0**0.5
    found = boundary_curves(
        SimulatedPosition(legs, -row["price"] - paid), parameters, market, rule, [now * share for share in _LEVELS]
    )
    if not found.curves:
        return '<p class="say">No close ends it before expiry.</p>'
    return boundary_figure("boundaries", found, market.spot, span)
