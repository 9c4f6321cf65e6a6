"""Figures of option chains: smile, surface, residual map, forwards, Heston parameters, PoP fan, exit boundaries.

As in `argus_core.reports.figures`: every function returns the HTML of one figure, without plotly.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from argus_core.reports.look import GAIN, INK, LOSS, QUIET, SERIES, finished, load_plotly
from argus_core.reports.words import MINUS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from argus_core.options.heston.boundary_curves import BoundaryCurve, BoundaryCurves
    from argus_core.options.surface import Surface

    Floats = NDArray[np.float64]

#: Light to dark, for sizes; blue over white to red, for misses.
_SEQUENCE = ((0.0, "#eef4fd"), (0.35, "#9cc0f3"), (0.7, "#2a6fdb"), (1.0, "#122b57"))
_DIVERGING = ((0.0, "#2a6fdb"), (0.5, "#f7f7f5"), (1.0, "#c8553d"))
_FAINT = "rgba(141,149,161,.55)"
#: Half-spreads at which residuals have the strongest colour: at least, and at most where many are larger.
_HALF_SPREADS = (3.0, 20.0)
_BINS, _FEWEST_DEVIATIONS, _MOST_DEVIATIONS = 40, 2.0, 8.0
_BAR = {"thickness": 10, "outlinewidth": 0, "tickfont": {"size": 12, "color": QUIET}}
#: Sides of the fan's bands, as shares: the middle one is drawn as a line.
FAN_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def smile_figure(name: str, quotes: pl.DataFrame, strikes: Floats, curves: dict[str, Floats]) -> str:
    """One expiry: bid to ask as bars, mids as dots, quotes that the fit leaves out faint, model curves as lines.

    Args:
        quotes: strike, iv_bid, iv_mid, iv_ask, used; fractions.
        strikes: where the curves are given, (K,). curves: label -> volatilities (K,), NaN where there is none.
    """
    graph = load_plotly()
    figure = graph.Figure()
    for used, colour, label in ((False, _FAINT, "left out"), (True, INK, "bid, mid, ask")):
        side = quotes.filter(pl.col("used") == used)
        if side.is_empty():
            continue
        strike, bid, mid, ask = (_values(side, column) for column in ("strike", "iv_bid", "iv_mid", "iv_ask"))
        figure.add_trace(
            graph.Scatter(
                x=strike.tolist(),
                y=_told(100 * mid),
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": _told(100 * np.nan_to_num(ask - mid), 3),
                    "arrayminus": _told(100 * np.nan_to_num(mid - bid), 3),
                    "thickness": 1,
                    "width": 0,
                    "color": colour,
                },
                mode="markers",
                name=label,
                marker={"size": 3 if used else 2.5, "color": colour},
                hovertemplate="strike %{x:g}: %{y:.2f} %<extra></extra>",
            )
        )
    for (label, values), colour in zip(curves.items(), SERIES, strict=False):
        figure.add_trace(
            graph.Scatter(
                x=strikes.round(4).tolist(),
                y=_told(100 * values),
                mode="lines",
                name=label,
                line={"color": colour, "width": 1.8, "dash": "solid" if colour == SERIES[0] else "dash"},
                hovertemplate=f"{label} %{{x:.1f}}: %{{y:.2f}} %<extra></extra>",
            )
        )
    every = [_values(quotes.filter("used"), side) for side in ("iv_bid", "iv_mid", "iv_ask")]
    seen = np.concatenate([*every, *curves.values()])
    seen = 100 * seen[np.isfinite(seen)]
    if len(seen):
        room = 0.06 * (seen.max() - seen.min()) + 0.05
        figure.update_yaxes(range=[max(0.0, float(seen.min() - room)), float(seen.max() + room)])
    figure.update_layout(showlegend=False)
    figure.update_xaxes(nticks=5)
    return finished(figure, name, height=210, suffix=" %")


def surface_figure(name: str, surface: Surface, deviations: tuple[float, float]) -> str:
    """Heat map of volatility over log-moneyness in standard deviations and days (log scale)."""
    graph = load_plotly()
    days = np.geomspace(365 * surface.years[0], 365 * surface.years[-1], 48 if len(surface.years) > 1 else 1)
    z = np.linspace(*deviations, 57)
    years = days[:, None] / 365
    scale = surface.iv(np.zeros(1), years) * np.sqrt(years)
    iv = surface.iv(z * scale, years)
    figure = graph.Figure(
        graph.Heatmap(
            x=z.round(3).tolist(),
            y=days.round(3).tolist(),
            z=(100 * iv).round(2).tolist(),
            colorscale=_SEQUENCE,
            zsmooth="best",
            colorbar=_BAR | {"ticksuffix": " %"},
            hovertemplate="%{x:.1f} deviations, %{y:.0f} days: %{z:.2f} %<extra></extra>",
        )
    )
    figure.update_yaxes(type="log", tickvals=_day_ticks(days), ticktext=[f"{d:g}" for d in _day_ticks(days)])
    return finished(figure, name, height=340, y_title="days", x_title=_DEVIATIONS, y_grid=False)


def variance_figure(name: str, surface: Surface, span: tuple[float, float], *, most: int = 12) -> str:
    """Total variance w = iv² t by log-moneyness, a line per expiry, dark for late: lines that cross are arbitrage."""
    graph = load_plotly()
    figure = graph.Figure()
    chosen = spread_out(len(surface.years), most)
    k = np.linspace(*span, 81)
    for place, at in enumerate(chosen):
        w = surface.total_variance(k, surface.years[at]).value
        days = 365 * surface.years[at]
        figure.add_trace(
            graph.Scatter(
                x=k.round(4).tolist(),
                y=[float(f"{value:.5g}") for value in w],
                mode="lines",
                line={"color": _shade(0.25 + 0.75 * place / max(1, len(chosen) - 1)), "width": 1.6},
                name=f"{days:.0f} days",
                hovertemplate=f"{days:.0f} days, k %{{x:.2f}}: %{{y:.4f}}<extra></extra>",
            )
        )
    figure.update_yaxes(type="log", tickformat="~g", dtick=1)
    figure.update_layout(showlegend=False)
    return finished(figure, name, height=340, y_title="total variance", x_title="ln(strike / forward)")


def residual_figure(name: str, rows: pl.DataFrame) -> str:
    """Map of mid less surface in half-spreads: moneyness in deviations by expiry; flagged quotes are ringed.

    Args:
        rows: expiry (text, in order of time), deviations, residual (half-spreads), contract, flagged.
    """
    graph = load_plotly()
    names = rows["expiry"].unique(maintain_order=True).to_list()
    z, miss = _values(rows, "deviations"), _values(rows, "residual")
    low, high = _reach(z)
    inside = np.isfinite(miss) & (z >= low) & (z <= high)
    cell = np.clip(((z - low) / (high - low) * _BINS).astype(np.int64), 0, _BINS - 1)
    row = np.array([names.index(one) for one in rows["expiry"]], dtype=np.int64)
    count, total = np.zeros((len(names), _BINS)), np.zeros((len(names), _BINS))
    np.add.at(count, (row[inside], cell[inside]), 1)
    np.add.at(total, (row[inside], cell[inside]), miss[inside])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
    centre = low + (high - low) * (np.arange(_BINS) + 0.5) / _BINS
    sizes = np.abs(mean[count > 0])
    most = float(np.clip(np.ceil(np.quantile(sizes, 0.9)) if len(sizes) else 0.0, *_HALF_SPREADS))
    figure = graph.Figure(
        graph.Heatmap(
            x=centre.round(3).tolist(),
            y=names,
            z=[_told(line, 2) for line in mean],
            customdata=count.astype(int).tolist(),
            zmin=-most,
            zmax=most,
            colorscale=_DIVERGING,
            colorbar=_BAR
            | {"tickvals": [-most, 0, most], "ticktext": [f"cheap {MINUS}{most:g}", "0", f"dear {most:g}"]},
            xgap=1,
            ygap=1,
            hoverongaps=False,
            hovertemplate="%{y}, %{x:.1f} deviations: %{z:.2f} (%{customdata} quotes)<extra></extra>",
        )
    )
    ringed = rows.filter(pl.col("flagged") & pl.col("deviations").is_between(low, high))
    if ringed.height:
        figure.add_trace(
            graph.Scatter(
                x=ringed["deviations"].round(3).to_list(),
                y=ringed["expiry"].to_list(),
                text=ringed["contract"].to_list(),
                mode="markers",
                marker={"size": 9, "color": "rgba(0,0,0,0)", "line": {"color": INK, "width": 1.6}},
                hovertemplate="%{text} is flagged<extra></extra>",
            )
        )
    figure.update_yaxes(type="category", autorange="reversed", dtick=max(1, len(names) // 16))
    return finished(figure, name, height=min(620, 130 + 17 * len(names)), x_title=_DEVIATIONS, y_grid=False)


def term_figure(name: str, days: Floats, values: Floats, errors: Floats, *, y_title: str, suffix: str = " %") -> str:
    """One number per expiry with twice its standard error, days on a log scale; the axis keeps to the middle ones."""
    graph = load_plotly()
    figure = graph.Figure(
        graph.Scatter(
            x=_told(days),
            y=_told(values, 5),
            error_y={"type": "data", "array": _told(2 * np.nan_to_num(errors), 5), "thickness": 1.2, "width": 2},
            mode="lines+markers",
            line={"color": SERIES[0], "width": 1.6},
            marker={"size": 5},
            hovertemplate="%{x:.0f} days: %{y:.3f}" + suffix + "<extra></extra>",
        )
    )
    known = values[np.isfinite(values)]
    if len(known) > 4:
        low, middle, high = np.quantile(known, (0.1, 0.5, 0.9))
        room = 2.0 * max(float(high - low), 1e-6 + 0.02 * abs(float(middle)))
        figure.update_yaxes(range=_widened(max(known.min(), middle - room), min(known.max(), middle + room)))
    ticks = _day_ticks(days)
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{day:g}" for day in ticks])
    return finished(figure, name, height=260, y_title=y_title, x_title="days", suffix=suffix)


def strip_figure(name: str, times: Sequence[str], values: Floats, errors: Floats | None, suffix: str = "") -> str:
    """One number over the snapshots of a day, with a band of twice its standard error where there is one."""
    graph = load_plotly()
    figure = graph.Figure()
    if errors is not None and np.isfinite(errors).any():
        spread = 2 * np.nan_to_num(errors)
        figure.add_trace(
            graph.Scatter(
                x=[*times, *reversed(times)],
                y=_told(np.concatenate([values + spread, (values - spread)[::-1]]), 6),
                mode="lines",
                fill="toself",
                fillcolor="rgba(42,111,219,.15)",
                line={"width": 0},
                hoverinfo="skip",
            )
        )
    figure.add_trace(
        graph.Scatter(
            x=list(times),
            y=_told(values, 6),
            mode="lines+markers",
            line={"color": SERIES[0], "width": 1.8},
            marker={"size": 4},
            hovertemplate="%{x}: %{y:.4~g}" + suffix + "<extra></extra>",
        )
    )
    figure.update_layout(showlegend=False)
    figure.update_xaxes(type="category", nticks=4, tickangle=0)
    figure.update_yaxes(nticks=4)
    return finished(figure, name, height=150, suffix=suffix)


def pop_fan_figure(
    name: str, days: NDArray[np.int64], quantiles: Floats, spot: float, breakevens: Sequence[float]
) -> str:
    """Where the underlying closes under Heston, day by day, and the prices at which the position breaks even.

    Args:
        days: (D,). quantiles: prices at `FAN_LEVELS`, (D, 5).
    """
    graph = load_plotly()
    figure = graph.Figure()
    x = [0, *(int(day) for day in days)]
    path = np.concatenate([np.full((1, quantiles.shape[1]), spot), quantiles])
    bands = ((0, 4, "rgba(42,111,219,.13)", "90 % of closes"), (1, 3, "rgba(42,111,219,.24)", "half of closes"))
    for low, high, shade, label in bands:
        figure.add_trace(
            graph.Scatter(
                x=[*x, *reversed(x)],
                y=_told(np.concatenate([path[:, high], path[::-1, low]]), 3),
                mode="lines",
                fill="toself",
                fillcolor=shade,
                line={"width": 0},
                hoverinfo="skip",
                name=label,
            )
        )
    figure.add_trace(
        graph.Scatter(
            x=x,
            y=_told(path[:, 2], 3),
            mode="lines",
            name="median",
            line={"color": SERIES[0], "width": 2},
            hovertemplate="day %{x}: median %{y:.2f}<extra></extra>",
        )
    )
    for level in breakevens:
        figure.add_hline(
            y=level,
            line={"color": INK, "width": 1.4, "dash": "dot"},
            annotation={"text": f"breaks even at {level:,.2f}", "font": {"size": 12, "color": INK}},
            annotation_position="bottom left" if level < spot else "top left",
        )
    shown = [float(quantiles.min()), float(quantiles.max()), *breakevens]
    figure.update_yaxes(range=_widened(min(shown), max(shown)))
    return finished(figure, name, height=320, y_title="underlying", x_title="days from now", top=28)


def boundary_figure(name: str, found: BoundaryCurves, spot: float, span: tuple[float, float]) -> str:
    """Closes at which the position is closed: target and stop by day, a line per level of volatility.

    Args:
        span: lowest and highest price shown.
    """
    graph = load_plotly()
    figure = graph.Figure()
    levels = sorted({curve.volatility for curve in found.curves})
    dashes = {level: _DASHES[min(at, len(_DASHES) - 1)] for at, level in enumerate(levels)}
    told: set[str] = set()
    for curve in sorted(found.curves, key=_curve_order):
        label = f"{curve.kind} at a volatility of {100 * curve.volatility:.0f} %"
        figure.add_trace(
            graph.Scatter(
                x=[int(day) for day in found.days],
                y=_told(curve.price, 3),
                mode="lines+markers" if len(found.days) == 1 else "lines",
                name=curve.kind,
                legendgroup=curve.kind,
                showlegend=curve.kind not in told and dashes[curve.volatility] == "solid",
                line={
                    "color": GAIN if curve.kind == "target" else LOSS,
                    "width": 1.8,
                    "dash": dashes[curve.volatility],
                },
                hovertemplate=f"{label}: {'above' if curve.above else 'below'} %{{y:.2f}}<extra></extra>",
            )
        )
        told |= {curve.kind} if dashes[curve.volatility] == "solid" else set()
    figure.add_hline(
        y=spot,
        line={"color": QUIET, "width": 1, "dash": "dot"},
        annotation={"text": f"now {spot:,.2f}", "font": {"size": 12, "color": QUIET}},
        annotation_position="bottom right",
    )
    figure.update_yaxes(range=_widened(*span))
    return finished(figure, name, height=340, y_title="underlying", x_title="days from now", top=28)


def spread_out(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places, evenly, first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


#: Lines of low, middle and high volatility.
_DASHES = ("dot", "solid", "dash")
_DEVIATIONS = "standard deviations from the forward"


def _curve_order(curve: BoundaryCurve) -> tuple[str, float, bool]:
    return curve.kind, curve.volatility, curve.above


def _values(frame: pl.DataFrame, column: str) -> Floats:
    return frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()


def _told(values: Floats, digits: int = 3) -> list[float | None]:
    """Numbers for plotly: rounded, gaps as None."""
    return [round(float(value), digits) if np.isfinite(value) else None for value in np.asarray(values)]


def _reach(z: Floats) -> tuple[float, float]:
    """The range of moneyness that holds 99 % of the quotes, within bounds."""
    known = z[np.isfinite(z)]
    low, high = np.quantile(known, (0.005, 0.995)) if len(known) else (0.0, 0.0)
    least, most = _FEWEST_DEVIATIONS, _MOST_DEVIATIONS
    return float(np.clip(low, -most, -least)), float(np.clip(high, least, most))


def _day_ticks(days: Floats) -> list[float]:
    wanted = np.array([1, 2, 3, 7, 14, 30, 60, 90, 180, 365, 730, 1095])
    inside = wanted[(wanted >= days.min() * 0.9) & (wanted <= days.max() * 1.1)]
    return [float(day) for day in (inside if len(inside) else days[:1].round(1))]


def _shade(share: float) -> Any:
    """A colour between light and dark blue."""
    light, dark = np.array([156, 192, 243]), np.array([18, 43, 87])
    red, green, blue = (light + (dark - light) * min(1.0, share)).round().astype(int)
    return f"rgb({red},{green},{blue})"


def _widened(low: float, high: float) -> list[float]:
    room = 0.05 * (high - low) or 0.01 * abs(high) or 1.0
    return [float(low - room), float(high + room)]
