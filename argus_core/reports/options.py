"""The page of one underlying on one date: what its options say, verdict first. One HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from argus_core.market.lake import write_atomically
from argus_core.reports import option_positions, option_sections
from argus_core.reports.look import plotly_script
from argus_core.reports.option_day import (
    SEVERITIES,
    OptionDay,
    position_in_words,
    ranked_positions,
    snapshot_numbers,
    sound_slices,
)
from argus_core.reports.page import Column, Html, definitions, page, section, table, text, tiles
from argus_core.reports.words import DASH, MINUS, decimal, percent, plural
from argus_core.settings.option_profit import ProfitSettings

if TYPE_CHECKING:
    from argus_core.options.surface import Surface


def option_report(
    path: Path,
    *,
    underlying: str,
    date: Any,
    forwards: pl.DataFrame | None = None,
    implied_vols: pl.DataFrame | None = None,
    slices: pl.DataFrame | None = None,
    fits: pl.DataFrame | None = None,
    anomalies: pl.DataFrame | None = None,
    pop: pl.DataFrame | None = None,
    settings: ProfitSettings | None = None,
    commission: float = 0.0,
    multiplier: float = 100.0,
) -> Path:
    """Write the page of ``underlying`` on ``date`` to ``path``: one self-contained HTML file that makes no request.

    Args:
        forwards, implied_vols, slices, fits, anomalies, pop: `Forwards`, `ImpliedVols`, `SurfaceSlices`, `HestonFits`,
            `Anomalies` and `ProfitPage` of the date, all snapshots; the last one is shown in detail. None or empty:
            the page says in words what is missing.
        settings: how ``pop`` manages positions, for the boundaries that are drawn.
        commission: dollars per contract and way. multiplier: shares per contract.

    Raises:
        MissingPlotlyError: if plotly (extra ``report``) is not installed.
    """
    script = plotly_script()
    whole = OptionDay.of(
        underlying,
        date,
        forwards=forwards,
        implied_vols=implied_vols,
        slices=slices,
        fits=fits,
        anomalies=anomalies,
        pop=pop,
    )
    day = whole.last
    surface = surface_of(day)
    body = "".join(
        [
            header(day, surface),
            option_positions.candidates(day),
            option_positions.position(day, settings or ProfitSettings(), commission, multiplier),
            option_sections.anomalies(day),
            option_sections.strip(whole),
            option_sections.fit_quality(day, surface),
            option_sections.smiles(day, surface),
            option_sections.surface_maps(day, surface),
            option_sections.heston(day, whole),
            option_sections.forwards(day),
            option_sections.left_out(day),
            _provenance(day),
        ]
    )
    write_atomically(path, page(f"Argus · options of {underlying} {date}", body, script).encode())
    return path


def surface_of(day: OptionDay) -> Surface | None:
    """The surface of a snapshot; None where it has no sound slice."""
    from argus_core.options.surface import Surface

    slices = sound_slices(day.slices)
    return Surface.of(slices) if slices.height else None


def header(day: OptionDay, surface: Surface | None) -> str:
    """The verdict in one headline, one paragraph and a few numbers."""
    numbers = snapshot_numbers(day)
    headline, tone = verdict_in_words(day)
    shown = [
        (f"{numbers['used']:,}", f"of {numbers['quotes']:,} quotes used"),
        (decimal(numbers["fit"]) or DASH, "median misfit in half-spreads, 1 is the edge of the quote"),
        (percent(numbers["atm"], 2) or DASH, "volatility at the money, 30 days"),
        (DASH if numbers["act"] is None else f"{numbers['act']:,}", "anomalies to act on"),
        (percent(numbers["heston"], 2) or DASH, "volatility by which Heston misses the market"),
    ]
    moment = f" · last snapshot {day.times[-1]:%H:%M:%S} UTC" if day.times else ""
    return (
        f'<header><p class="brand">Argus · options of {text(day.underlying)} · {text(day.date)}{text(moment)}</p>'
        f'<h1 class="{tone}">{text(headline)}</h1><p class="lead">{text(_lead(day, numbers, surface))}</p>'
        f"{tiles(shown)}</header>"
    )


def verdict_in_words(day: OptionDay) -> tuple[str, str]:
    """(headline, its tone) of a snapshot."""
    if day.implied_vols.is_empty():
        return "There is no chain", "none"
    if not day.implied_vols["used"].any():
        return "No quote of the chain can be used", "none"
    if sound_slices(day.slices).is_empty():
        return "No surface could be fitted", "none"
    act = day.anomalies.filter(pl.col("severity") == "act").height
    good = ranked_positions(day.pop).filter(pl.col("least_pnl") > 0).height
    pays = f"{plural(good, 'candidate')} pay{'s' if good == 1 else ''} by every opinion"
    if act:
        asked = f"{plural(act, 'anomaly')} to act on".replace("anomalys", "anomalies")
        return (f"{asked}, and {pays}" if good else asked), "some"
    if good:
        return pays[0].upper() + pays[1:], "some"
    if day.pop.is_empty():
        return "No anomaly to act on; no candidate was judged", "none"
    return "Nothing pays by every opinion", "none"


def _lead(day: OptionDay, numbers: dict[str, Any], surface: Surface | None) -> str:
    parts = []
    if surface is not None:
        parts.append(
            f"The surface lies inside bid and ask at {percent(numbers['inside'], 0)} of the quotes and misses the mids "
            f"of the median expiry by {decimal(numbers['fit'])} half-spreads. {_arbitrage(day)}"
        )
    if numbers["act"] is not None:
        counts = [f"{numbers[name]} {words}" for name, words in SEVERITIES.items() if numbers[name]]
        parts.append(f"Anomalies: {', '.join(counts)}." if counts else "No anomaly was found.")
    best = ranked_positions(day.pop).filter(pl.col("least_pnl").is_not_null()).head(1)
    if best.height:
        row = best.row(0, named=True)
        told = [
            f"{words} {_dollars(row[name])}"
            for name, words in (
                ("expected_pnl", "model"),
                ("expected_pnl_surface", "market"),
                ("expected_pnl_managed", "managed"),
            )
            if row[name] is not None
        ]
        place = "The best candidate" if row["least_pnl"] > 0 else "The nearest to paying"
        parts.append(f"{place}: {position_in_words(row)}, {row['expiry']}, expected after costs {', '.join(told)}.")
    return " ".join(parts) or "Nothing was received or computed for this date."


def _dollars(value: float) -> str:
    return f"{'+' if value >= 0 else MINUS}${abs(value):,.0f}"


def _arbitrage(day: OptionDay) -> str:
    from argus_core.options.surface import grid_arbitrage
    from argus_core.options.surface.mid_arbitrage import mid_arbitrage

    mids, fitted = mid_arbitrage(day.implied_vols), grid_arbitrage(sound_slices(day.slices))
    locked = day.anomalies.filter(pl.col("kind").is_in(["vertical", "butterfly", "calendar", "parity"])).height
    left = "none is" if not fitted.total else f"{fitted.total:,} are"
    return (
        f"The mids hold {mids.total:,} static arbitrages ({mids.vertical:,} vertical, {mids.butterfly:,} butterfly, "
        f"{mids.calendar:,} calendar); {locked:,} can be traded across the spread; {left} left in the surface on "
        f"{fitted.points:,} points."
    )


def _provenance(day: OptionDay) -> str:
    entries: list[tuple[str, object]] = []
    for name in ("provider",):
        found = sorted(set(day.implied_vols[name]) | set(day.slices[name]))
        entries.append((name, ", ".join(found) or None))
    if day.times:
        entries.append(("snapshot received", f"{day.times[-1]:%Y-%m-%d %H:%M:%S.%f} UTC"))
    for name in ("chain_hash", "parameter_hash"):
        if day.fit:
            entries.append((name.replace("_", " "), Html(f'<span class="mono">{text(day.fit[name])}</span>')))
    for name in ("measure", "monitoring", "scheme", "seed", "paths", "alpha", "physical"):
        found = day.pop[name].drop_nulls().unique().sort().to_list()
        if found:
            entries.append((name, ", ".join(map(str, found))))
    return section("Provenance", "The same tables give the same page, byte for byte.", definitions(entries))


def option_summary(days: Sequence[OptionDay], pages: Sequence[str | None]) -> str:
    """The section of the cycle report: one row per underlying with options.

    Args:
        days: whole dates; the last snapshot of each is told.
        pages: address of the page of each, relative to the report; None: it was not written.
    """
    if not days:
        return ""
    columns = [Column("Underlying"), Column("Received", "number"), Column("ATM 30 days", "number")]
    columns += [Column("Skew", "number"), Column("Misfit, half-spreads", "number"), Column("Heston misses", "number")]
    columns += [Column("Act · watch · info", "number"), Column("Best candidate after costs", "many words")]
    cells = []
    for whole, address in zip(days, pages, strict=True):
        day = whole.last
        numbers = snapshot_numbers(day)
        name = text(day.underlying)
        counted = numbers["act"] is not None
        cells.append(
            [
                Html(f'<a href="{text(address)}">{name}</a>') if address else day.underlying,
                f"{day.times[-1]:%H:%M} UTC" if day.times else None,
                percent(numbers["atm"], 2),
                percent(numbers["skew"], 2, signed=True),
                decimal(numbers["fit"]),
                percent(numbers["heston"], 2),
                f"{numbers['act']} · {numbers['watch']} · {numbers['info']}" if counted else None,
                _best(day),
            ]
        )
    say = (
        "What the chains of the date say at their last snapshot. The skew is the 30-day volatility one deviation below "
        "the forward less that above; expected profits are dollars per position, under the pricing measure."
    )
    return section("Options", say, table(columns, cells))


def _best(day: OptionDay) -> str:
    rows = ranked_positions(day.pop).filter(pl.col("least_pnl").is_not_null())
    if rows.is_empty():
        return "no candidate was judged"
    row = rows.row(0, named=True)
    good = rows.filter(pl.col("least_pnl") > 0).height
    return (
        f"{position_in_words(row)} {row['expiry']}: {_dollars(row['least_pnl'])} by its least favourable opinion; "
        f"{good} of {rows.height} pay by every opinion"
    )
