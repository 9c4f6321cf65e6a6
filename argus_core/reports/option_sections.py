"""Sections about a chain itself: anomalies, quality of the fit, smiles, surface, forwards, Heston, the day, quotes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from argus_core.reports.option_day import SEVERITIES, OptionDay, snapshot_numbers, sound_slices
from argus_core.reports.option_figures import (
    residual_figure,
    smile_figure,
    spread_out,
    strip_figure,
    surface_figure,
    term_figure,
    variance_figure,
)
from argus_core.reports.page import Column, Html, chip, section, table, text
from argus_core.reports.words import DASH, MINUS, decimal, percent, plural

if TYPE_CHECKING:
    from argus_core.options.surface import Surface

_MOST_ANOMALIES, _MOST_SMILES, _MOST_QUOTES = 30, 9, 400
#: Smiles are drawn this many at-the-money deviations to each side at most.
_SMILE_DEVIATIONS = 6.0
_CHIP = {"act": "kill", "watch": "", "info": ""}
_PARAMETERS = {
    "v0": "variance now",
    "kappa": "speed of return",
    "theta": "variance in the long run",
    "sigma": "volatility of variance",
    "rho": "correlation with the underlying",
}


def anomalies(day: OptionDay) -> str:
    """What is flagged, most serious first, with the quotes to look at."""
    title = "Anomalies: quotes to look at"
    if day.anomalies.is_empty():
        found = "No quote stands out." if day.implied_vols.height else "There is no chain to search."
        return section(title, found)
    order = pl.col("severity").replace_strict(
        dict(zip(SEVERITIES, range(len(SEVERITIES)), strict=True)), default=len(SEVERITIES)
    )
    rows = day.anomalies.sort(
        order, "kind", pl.col("edge").fill_null(-math.inf), "contracts", descending=[False, False, True, False]
    )
    counts = dict(rows.group_by("severity").len().rows())
    told = ", ".join(f"{counts[name]} {words}" for name, words in SEVERITIES.items() if counts.get(name))
    say = (
        f"{told}. To act on: an edge that can be locked in, on fresh quotes of enough size, seen more than once. To "
        "watch: one of these is missing. For information: stale, old, or seen once. The edge is dollars per contract "
        "after crossing the spread."
    )
    columns = [Column("", ""), Column("Kind"), Column("What was found", "many words"), Column("Quotes", "words")]
    columns += [Column(name, "number") for name in ("Edge", "Statistic", "Limit", "Seen", "Quote age", "Size")]
    cells = [
        [
            Html(chip(row["severity"], _CHIP.get(row["severity"], ""))),
            row["kind"],
            row["explanation"],
            Html(f'<span class="mono">{"<br>".join(map(text, row["contracts"].split(",")[:4]))}</span>'),
            decimal(row["edge"], 0),
            decimal(row["statistic"]),
            decimal(row["threshold"]),
            f"{row['persistence']} of {row['of_snapshots']}",
            _age(row["quote_age"]),
            decimal(row["size"], 0),
        ]
        for row in rows.head(_MOST_ANOMALIES).iter_rows(named=True)
    ]
    rest = rows.height - len(cells)
    more = f'<p class="more">and {text(plural(rest, "more flag"))} in the table iv_anomalies.</p>' if rest > 0 else ""
    return section(title, say, table(columns, cells, tall=len(cells) > 10), more)


def _age(seconds: float | None) -> str | None:
    if seconds is None or not math.isfinite(seconds):
        return None
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"


def fit_quality(day: OptionDay, surface: Surface | None) -> str:
    """How well the surface fits, quote by quote and expiry by expiry, and what arbitrage it removed."""
    title = "Fit: where the surface misses the market"
    if surface is None:
        return section(title, "No surface was fitted at this snapshot: too few usable quotes at any expiry.")
    slices = sound_slices(day.slices)
    say = (
        f"Mid less surface in half-spreads, by moneyness and expiry; within {MINUS}1 and 1 the surface lies inside the "
        "quote. Rings mark flagged quotes."
    )
    rows = residual_rows(day)
    map_ = residual_figure("residuals", rows) if rows.height else '<p class="say">No used quote has a spread.</p>'
    columns = [Column("Expiry"), Column("Days", "number"), Column("Quotes", "number"), Column("ATM IV", "number")]
    columns += [Column(name, "number") for name in ("Skew", "Miss, points", "Miss, half-spreads", "Inside")]
    columns += [Column("Raw SVI miss", "number"), Column("Raw SVI least g", "number")]
    cells = []
    for row in slices.iter_rows(named=True):
        least = row["svi_min_g"]
        broken = least is not None and least < 0
        cells.append(
            [
                Html(f'<span class="keep">{text(row["expiry"])}</span>'),
                decimal(365 * row["t_cal"], 1),
                row["n_quotes"],
                percent(row["atm_iv"], 2),
                decimal(row["skew"]),
                decimal(_hundred(row["rmse_iv"])),
                decimal(row["rmse_half_spreads"]),
                percent(row["inside_share"], 0),
                decimal(_hundred(row["svi_rmse_iv"])),
                Html(f'<span class="neg">{text(decimal(least))}</span>') if broken else decimal(least),
            ]
        )
    note = (
        '<p class="more">Skew: change of volatility per unit of ln(strike / forward). Raw SVI is a five-parameter fit '
        "of each expiry alone, for diagnosis: a least g below 0 is a butterfly arbitrage that the surface does not "
        "have.</p>"
    )
    return section(title, say, map_, "<h3>Expiry by expiry</h3>", table(columns, cells, tall=len(cells) > 14), note)


def _hundred(value: float | None) -> float | None:
    return None if value is None else 100 * value


def residual_rows(day: OptionDay) -> pl.DataFrame:
    """Used quotes with ``residual``, mid less surface in half-spreads, their ``deviations`` and whether flagged."""
    from argus_core.options.surface import essvi

    slices = sound_slices(day.slices).select("expiry_ts", "psi", "rho", "atm_iv", w0="theta")
    rows = (
        day.implied_vols.drop("theta", "rho")  # greeks
        .filter(pl.col("used"), pl.all_horizontal(pl.col("iv_mid", "log_moneyness").is_finite()))
        .join(slices, on="expiry_ts", how="inner")
        .sort("t_cal", "expiry_ts", "strike", "right", "contract")
    )
    k, w0, psi, rho, years = (rows[name].to_numpy() for name in ("log_moneyness", "w0", "psi", "rho", "t_cal"))
    fitted = np.sqrt(essvi(k, w0, psi, rho).value / years)
    half = 0.5 * (pl.col("iv_ask") - pl.col("iv_bid"))
    suspects = {name for one in day.anomalies["contracts"] for name in one.split(",")[:1]}
    return (
        rows.with_columns(iv_fit=pl.Series(fitted, dtype=pl.Float64))
        .with_columns(
            deviations=pl.Series(k / np.sqrt(w0), dtype=pl.Float64),
            residual=pl.when(half.is_finite() & (half > 0)).then((pl.col("iv_mid") - pl.col("iv_fit")) / half),
            flagged=pl.col("contract").is_in(sorted(suspects)),
            expiry=pl.col("expiry").cast(pl.String),
        )
        .filter(pl.col("residual").is_not_null())
    )


def smiles(day: OptionDay, surface: Surface | None) -> str:
    """Bid, mid and ask of up to nine expiries, with the curves of the surface and of Heston."""
    title = "Smiles"
    slices = sound_slices(day.slices)
    known = day.implied_vols.filter(
        pl.all_horizontal(pl.col("iv_mid", "log_moneyness", "strike").is_finite()), pl.col("t_cal") > 0
    ).filter(pl.col("reason").fill_null("") != "IN_THE_MONEY")
    ends = known.filter("used").group_by("expiry_ts").len().filter(pl.col("len") >= 2)["expiry_ts"].sort().to_list()
    if not ends:
        return section(title, "No expiry has two used quotes.")
    shown = [ends[i] for i in spread_out(len(ends), _MOST_SMILES)]
    fit = day.fit
    parts = []
    for number, end in enumerate(shown):
        quotes = known.filter(pl.col("expiry_ts") == end).sort("strike", "right", "contract")
        used = quotes.filter("used")
        nearest = used.sort(pl.col("log_moneyness").abs())["iv_mid"][0]
        years = float(used["t_cal"][0])
        reach = _SMILE_DEVIATIONS * float(nearest) * math.sqrt(years)
        near = quotes.filter(pl.col("log_moneyness").abs() <= reach)
        near = near[spread_out(near.height, _MOST_QUOTES)]
        ends_k = near["log_moneyness"].to_numpy()
        k = np.linspace(ends_k.min(), ends_k.max(), 81)
        forward = float(used["strike"][0]) / math.exp(float(used["log_moneyness"][0]))
        curves: dict[str, Any] = {}
        if surface is not None and slices.filter(pl.col("expiry_ts") == end).height:
            curves["surface"] = surface.iv(k, years)
        if fit is not None:
            curves["Heston"] = _heston_vols(fit, k, years)
        figure = smile_figure(f"smile{number}", near, forward * np.exp(k), curves)
        name = f"{used['expiry'][0]} · {plural(round(365 * years), 'day')} · {plural(used.height, 'quote')}"
        parts.append(f'<div><h3 class="small">{text(name)}</h3>{figure}</div>')
    say = "Bars from bid to ask, dots at mid, grey: left out."
    say += " Blue: the surface." if surface is not None else ""
    say += " Dashed orange: Heston." if fit is not None else ""
    say += f" {len(shown)} of {len(ends)} expiries." if len(ends) > len(shown) else ""
    return section(title, say, f'<div class="three">{"".join(parts)}</div>')


def _heston_vols(fit: dict[str, Any], k: np.ndarray, years: float) -> np.ndarray:
    from argus_core.options.black import implied_vol
    from argus_core.options.heston.fourier import heston_table
    from argus_core.options.heston.parameters import HestonParameters

    try:
        parameters = HestonParameters(*(float(fit[name]) for name in HestonParameters._fields)).checked()
    except ValueError:
        return np.full(len(k), np.nan)
    prices = heston_table(parameters, years).prices(k, k > 0)[0]
    vols = np.asarray(implied_vol(prices, 1.0, np.exp(k), years, k > 0), dtype=float)
    # Below what a price can tell from zero the volatility is noise.
    return np.where(prices > 1e-9, vols, np.nan)


def surface_maps(day: OptionDay, surface: Surface | None) -> str:
    """The surface as a map, and its total variance as lines that must not cross."""
    if surface is None:
        return ""
    slices = sound_slices(day.slices)
    scale, k_min, k_max = np.sqrt(slices["theta"].to_numpy()), slices["k_min"].to_numpy(), slices["k_max"].to_numpy()
    low = float(np.clip(np.median(k_min / scale), -6.0, -1.0))
    high = float(np.clip(np.median(k_max / scale), 1.0, 6.0))
    span = float(np.clip(3.0 * scale.max(), 0.02, 2.0))
    say = (
        "First the volatility between all expiries. Then total variance: each line an expiry, dark for late; a line "
        "below an earlier one would be a calendar arbitrage."
    )
    figures = surface_figure("surface", surface, (low, high)) + variance_figure("variance", surface, (-span, span))
    return section("Surface", say, f'<div class="two">{figures}</div>')


def forwards(day: OptionDay) -> str:
    """Forwards over spot and the yield they imply, with errors."""
    title = "Forwards from put-call parity"
    rows = day.forwards.filter(
        pl.all_horizontal(pl.col("forward", "spot").is_finite()), pl.col("t_cal") > 0, pl.col("spot") > 0
    ).sort("t_cal")
    lost = day.forwards.filter(pl.col("forward").is_null())
    if rows.is_empty():
        return section(title, "No expiry has a forward.", _reasons(lost))
    days, spot, forward = (rows[name].to_numpy() for name in ("t_cal", "spot", "forward"))
    error = rows["forward_se"].fill_null(float("nan")).to_numpy()
    implied = rows["implied_yield"].fill_null(float("nan")).to_numpy()
    rate = float(rows["rate"][0])
    say = (
        f"Bars are two standard errors. The yield is the rate ({percent(rate, 2)}) less the carry: dividends and the "
        "cost of borrowing."
    )
    figures = [
        term_figure("forward", 365 * days, 100 * (forward / spot - 1), 100 * error / spot, y_title="forward over spot"),
        term_figure("yields", 365 * days, 100 * implied, 100 * error / forward / days, y_title="implied yield"),
    ]
    return section(title, say, f'<div class="two">{"".join(figures)}</div>', _reasons(lost))


def _reasons(rows: pl.DataFrame) -> str:
    counts = rows.select(pl.col("reason").fill_null("unknown")).group_by("reason").len().sort("len", "reason")
    told = ", ".join(f"{name} {count}" for name, count in counts.reverse().iter_rows())
    return f'<p class="more">Expiries without a forward: {text(told)}.</p>' if told else ""


def heston(day: OptionDay, whole: OptionDay) -> str:
    """Parameters with standard errors, and their course over the day."""
    title = "Heston parameters"
    fit = day.fit
    if fit is None:
        reasons = day.fits["reason"].drop_nulls().unique().sort().to_list()
        return section(title, f"No fit at this snapshot{': ' + '; '.join(reasons) if reasons else ''}.")
    v0, kappa, theta, sigma, rho = (float(fit[name]) for name in _PARAMETERS)
    meaning = {
        "v0": f"volatility {percent(max(v0, 0.0) ** 0.5)}",
        "kappa": f"half of a gap closes in {365 * math.log(2) / kappa:.0f} days" if kappa > 0 else "no return",
        "theta": f"volatility {percent(max(theta, 0.0) ** 0.5)}",
        "sigma": f"Feller ratio 2κθ/σ² = {2 * kappa * theta / sigma**2:.2f}" if sigma > 0 else DASH,
        "rho": "falls come with rising volatility" if rho < 0 else "rises come with rising volatility",
    }
    columns = [Column("Parameter"), Column("Value", "number"), Column("Standard error", "number"), Column("Means")]
    cells = [
        [
            Html(f"{name} <span class='dim'>{words}</span>"),
            *(_figure(fit[c]) for c in (name, f"se_{name}")),
            meaning[name],
        ]
        for name, words in _PARAMETERS.items()
    ]
    state = [] if fit["converged"] else ["it has not converged, so no probability rests on it"]
    if fit["regularised"]:
        state.append("drawn towards the fit before")
    if fit["reason"]:
        state.append(str(fit["reason"]))
    say = (
        f"Fitted to {plural(fit['n_contracts'], 'contract')} over {fit['n_expiries']} expiries. It misses them by "
        f"{decimal(_hundred(fit['rmse_iv']))} volatility points, {decimal(fit['rmse_half_spreads'], 1)} half-spreads "
        f"(root mean square){'; ' + '; '.join(state) if state else ''}. Five parameters do not bend with every quote: "
        "the standard errors tell how well the quotes fix them, the misfit how far the model is from the market."
    )
    series = whole.fits.filter(pl.col("v0").is_not_null()).sort("recv_ts")
    strip = ""
    if series.height > 1:
        times = _clock(series["recv_ts"].to_list())
        for name, words in _PARAMETERS.items():
            values, errors = (series[c].fill_null(float("nan")).to_numpy() for c in (name, f"se_{name}"))
            figure = strip_figure(f"heston_{name}", times, values, errors)
            strip += f'<div><h3 class="small">{name} · {words}</h3>{figure}</div>'
        strip = f'<div class="three">{strip}</div>'
    return section(title, say, table(columns, cells), strip)


def _figure(value: float | None) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{value:.4g}".replace("-", MINUS)


def _clock(times: list[Any]) -> list[str]:
    return [f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}" for moment in times]


def strip(whole: OptionDay) -> str:
    """Level, skew, fit and flags of every snapshot of the day."""
    times = whole.times
    if len(times) < 2:
        return ""
    numbers = [snapshot_numbers(whole.at(moment)) for moment in times]
    clock = _clock(times)
    shown = {
        "volatility at the money, 30 days": ("atm", 100.0, " %"),
        "skew: one deviation down less up": ("skew", 100.0, " pt"),
        "misfit of the surface, half-spreads": ("fit", 1.0, ""),
        "anomalies to act on or watch": ("flags", 1.0, ""),
    }
    parts = []
    for number, (words, (name, scale, suffix)) in enumerate(shown.items()):
        if name == "flags":
            found = [None if one["act"] is None else one["act"] + one["watch"] for one in numbers]
        else:
            found = [one[name] for one in numbers]
        values = np.array([math.nan if value is None else scale * value for value in found], dtype=float)
        figure = strip_figure(f"strip{number}", clock, values, None, suffix)
        parts.append(f'<div><h3 class="small">{text(words)}</h3>{figure}</div>')
    say = f"{plural(len(times), 'snapshot')}, times in UTC. Everything else on this page is about the last one."
    return section("The day", say, f'<div class="four">{"".join(parts)}</div>')


def left_out(day: OptionDay) -> str:
    """Why quotes are not used."""
    rows = day.implied_vols.filter(~pl.col("used"))
    if rows.is_empty():
        return ""
    counts = rows.select(pl.col("reason").fill_null("unknown")).group_by("reason").len()
    cells = [
        [name, f"{count:,}", percent(count / day.implied_vols.height)]
        for name, count in counts.sort("len", "reason", descending=[True, False]).iter_rows()
    ]
    columns = [Column("Reason"), Column("Quotes", "number"), Column("Of the chain", "number")]
    say = f"{rows.height:,} of {day.implied_vols.height:,} quotes are not used; every one has its reason."
    return section("Quotes that are not used", say, table(columns, cells))
