"""Figures of the cycle report, one look (`argus_core.reports.look`).

Every function returns the HTML of one figure without plotly.js; `plotly_script` gives the library once per page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from argus_core.reports.look import (
    BENCHMARK,
    GAIN,
    INK,
    LOSS,
    QUIET,
    SERIES,
    MissingPlotlyError,
    add_bands,
    add_line,
    finished,
    load_plotly,
    plotly_script,
    thinned,
)

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    #: Label -> (n,) daily returns.
    Lines = Mapping[str, NDArray[np.float64]]

__all__ = [
    "MissingPlotlyError",
    "budget_figure",
    "budget_left_figure",
    "calibration_figure",
    "drawdown_figure",
    "equity_figure",
    "fan_figure",
    "joint_fan_figure",
    "ledger_figure",
    "null_figure",
    "p_value_figure",
    "plotly_script",
    "reasons_figure",
    "resampled_equity",
    "sharpe_figure",
]

#: Ticks of a log scale of probabilities.
_PROBABILITIES = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0)


def equity_figure(name: str, dates: Sequence[Any], lines: Lines, benchmarks: Lines) -> str:
    """Growth of one dollar, in percent of the start. ``lines`` and ``benchmarks``: label -> (n,) daily returns."""
    graph = load_plotly()
    figure = graph.Figure()
    for label, colour, dash, width, daily in _styled(lines, benchmarks):
        growth = 100 * (np.cumprod(1 + daily) - 1)
        add_line(graph, figure, dates, growth, label, colour, dash, width, "%{y:+.2f} %")
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    return finished(figure, name, height=380, y_title="return since start", suffix=" %")


def drawdown_figure(name: str, dates: Sequence[Any], lines: Lines, benchmarks: Lines) -> str:
    """Loss from the running peak, start included, in percent."""
    graph = load_plotly()
    figure = graph.Figure()
    for label, colour, dash, width, daily in _styled(lines, benchmarks):
        equity = np.cumprod(1 + daily)
        peak = np.maximum.accumulate(np.maximum(equity, 1.0))
        add_line(graph, figure, dates, 100 * (equity / peak - 1), label, colour, dash, width, "%{y:.2f} %")
    figure.update_layout(showlegend=False)
    return finished(figure, name, height=230, y_title="below peak", suffix=" %")


def fan_figure(name: str, trade_returns: NDArray[np.float64], *, block: float, paths: int = 2000, seed: int = 0) -> str:
    """Resampled equity of a run's trades: bands of 50 % and 90 % of the paths, median, and what happened.

    Stationary bootstrap with mean block ``block`` trades (Politis & Romano 1994), the same number of trades per path.
    """
    graph = load_plotly()
    resampled = resampled_equity(trade_returns, block=block, paths=paths, seed=seed)
    quantiles = 100 * (np.quantile(resampled, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0) - 1)
    steps = np.arange(quantiles.shape[1])
    keep = thinned(len(steps))
    x = steps[keep]
    figure = graph.Figure()
    add_bands(graph, figure, x, quantiles[:, keep])
    add_line(graph, figure, x, quantiles[2][keep], "median path", SERIES[0], "solid", 2, "%{y:+.2f} %")
    real = 100 * (np.concatenate([[1.0], np.cumprod(1 + trade_returns)]) - 1)
    add_line(graph, figure, x, real[keep], "as it happened", INK, "solid", 1.6, "%{y:+.2f} %")
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    return finished(figure, name, height=320, y_title="return", x_title="trades", suffix=" %")


def resampled_equity(trade_returns: NDArray[np.float64], *, block: float, paths: int, seed: int) -> NDArray[np.float64]:
    """(paths, n + 1) equity from 1 over resampled trades; ``block``: mean block length in trades, at least 1."""
    n = len(trade_returns)
    generator = np.random.default_rng(seed)
    restart = generator.random((paths, n)) < 1.0 / max(1.0, block)
    restart[:, 0] = True
    first = generator.integers(0, n, (paths, n))
    step = np.arange(n)
    position = np.maximum.accumulate(np.where(restart, step, 0), axis=1)
    index = (np.take_along_axis(first, position, axis=1) + step - position) % n
    return np.concatenate([np.ones((paths, 1)), np.cumprod(1 + trade_returns[index], axis=1)], axis=1)


def reasons_figure(name: str, counts: Mapping[str, int], words: Mapping[str, str]) -> str:
    """Number of runs that each kill reason met, most frequent on top."""
    graph = load_plotly()
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    figure = graph.Figure(
        graph.Bar(
            x=[count for _, count in ordered],
            y=[words.get(reason, reason) for reason, _ in ordered],
            orientation="h",
            marker={"color": LOSS, "cornerradius": 3},
            text=[str(count) for _, count in ordered],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x} runs<extra></extra>",
        )
    )
    figure.update_layout(bargap=0.35)
    figure.update_xaxes(visible=False)
    return finished(figure, name, height=70 + 30 * len(ordered), y_grid=False)


def sharpe_figure(name: str, sharpes: Sequence[float], *, luck: float, benchmark: float | None) -> str:
    """Distribution of the annual Sharpe ratios of all trials, with what luck alone gives the best of them."""
    graph = load_plotly()
    low, high = float(np.min(sharpes)), float(np.max(sharpes))
    edges = np.linspace(low, high if high > low else low + 1.0, min(40, max(8, len(sharpes) // 4)) + 1)
    counts, _ = np.histogram(sharpes, edges)
    centres, width = (edges[1:] + edges[:-1]) / 2, float(edges[1] - edges[0])
    figure = graph.Figure(
        graph.Bar(
            x=centres.round(4).tolist(),
            y=counts.tolist(),
            width=width * 0.92,
            marker={"color": SERIES[0]},
            hovertemplate="Sharpe about %{x:.2f}: %{y} runs<extra></extra>",
        )
    )
    marks = [(luck, INK, f"best by luck {luck:.2f}")]
    if benchmark is not None:
        marks.append((benchmark, QUIET, f"buy and hold {benchmark:.2f}"))
    for row, (at, colour, text) in enumerate(marks):
        figure.add_vline(x=at, line={"color": colour, "width": 1.5, "dash": "dot"})
        figure.add_annotation(
            x=at,
            y=1.0 + 0.09 * row,
            yref="paper",
            yanchor="bottom",
            text=text,
            showarrow=False,
            font={"color": colour, "size": 12},
        )
    return finished(figure, name, height=290, y_title="runs", x_title="annual Sharpe ratio", top=44)


def null_figure(name: str, edges: Sequence[float], counts: Sequence[int], *, best: float, needed: float | None) -> str:
    """Best t-value that luck gives all trials together, resample by resample; the observed best and what was needed."""
    graph = load_plotly()
    at = np.asarray(edges)
    figure = graph.Figure(
        graph.Bar(
            x=((at[1:] + at[:-1]) / 2).round(4).tolist(),
            y=list(counts),
            width=float(at[1] - at[0]) * 0.94,
            marker={"color": BENCHMARK},
            hovertemplate="best t by luck about %{x:.2f}: %{y} resamples<extra></extra>",
        )
    )
    marks = [(best, SERIES[0], f"best trial {best:.2f}", "left")]
    if needed is not None:
        marks.append((needed, LOSS, f"needed {needed:.2f}", "right"))
    for row, (where, colour, label, _) in enumerate(marks):
        figure.add_vline(x=where, line={"color": colour, "width": 2})
        figure.add_annotation(
            x=where,
            y=1.0 + 0.1 * row,
            yref="paper",
            yanchor="bottom",
            text=label,
            showarrow=False,
            font={"color": colour, "size": 12},
        )
    return finished(figure, name, height=270, y_title="resamples", x_title="best t-value of all trials", top=48)


def joint_fan_figure(name: str, steps: Sequence[int], fan: NDArray[np.float64]) -> str:
    """Wealth of a portfolio over resampled calendars: bands of 50 % and 90 % of the paths and the median."""
    graph = load_plotly()
    quantiles = 100 * (np.quantile(fan, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0) - 1)
    x = np.asarray(steps)
    figure = graph.Figure()
    add_bands(graph, figure, x, quantiles)
    add_line(graph, figure, x, quantiles[2], "median path", SERIES[0], "solid", 2, "%{y:+.2f} %")
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    return finished(figure, name, height=320, y_title="return", x_title="days", suffix=" %")


def budget_figure(name: str, looks: pl.DataFrame) -> str:
    """Level and joint p-value of every look, on a log scale."""
    graph = load_plotly()
    x = [str(day) for day in looks["date"]]
    figure = graph.Figure()
    add_line(graph, figure, x, looks["level"].to_numpy(), "level of the look", INK, "dot", 1.6, "%{y:.4f}")
    figure.add_trace(
        graph.Scatter(
            x=x,
            y=looks["p_consistent"].to_list(),
            mode="markers",
            name="joint p",
            marker={"size": 9, "color": [GAIN if passed else LOSS for passed in looks["passed"]]},
            hovertemplate="joint p %{y:.4f}<extra></extra>",
        )
    )
    figure.update_yaxes(type="log", tickvals=_PROBABILITIES, ticktext=[f"{value:g}" for value in _PROBABILITIES])
    return finished(figure, name, height=260, y_title="probability", top=28)


def budget_left_figure(name: str, looks: pl.DataFrame) -> str:
    """Share of the error budget that every look left for those after it, percent."""
    graph = load_plotly()
    figure = graph.Figure(
        graph.Scatter(
            x=[str(day) for day in looks["date"]],
            y=(100 * looks["remaining"]).round(2).to_list(),
            mode="lines+markers",
            fill="tozeroy",
            fillcolor="rgba(42,111,219,.13)",
            line={"color": SERIES[0], "width": 2, "shape": "hv"},
            hovertemplate="%{x}: %{y:.1f} % left<extra></extra>",
        )
    )
    figure.update_yaxes(range=[0, 102])
    return finished(figure, name, height=260, y_title="error budget left", suffix=" %", top=28)


def ledger_figure(name: str, grown: pl.DataFrame) -> str:
    """Trials ever tried, by the date of their first cycle."""
    graph = load_plotly()
    figure = graph.Figure(
        graph.Scatter(
            x=[str(day) for day in grown["first_date"]],
            y=grown["new"].cum_sum().to_list(),
            mode="lines+markers",
            line={"color": SERIES[0], "width": 2, "shape": "hv"},
            hovertemplate="%{y} trials<extra></extra>",
        )
    )
    figure.update_yaxes(rangemode="tozero")
    return finished(figure, name, height=220, y_title="trials ever tried")


def calibration_figure(
    name: str, rows: Sequence[Mapping[str, Any]], grid: Sequence[float], limit: Sequence[float]
) -> str:
    """Power by true Sharpe with 95 % intervals, the joint test alone, and the two limits."""
    graph = load_plotly()
    figure = graph.Figure()
    x = [row["sharpe"] for row in rows]
    add_line(
        graph, figure, np.array(grid), 100 * np.array(limit), "ideal, one strategy", BENCHMARK, "dot", 1.6, "%{y:.0f} %"
    )
    if all(row["limit_sweep"] is not None for row in rows):
        ideal = 100 * np.array([row["limit_sweep"] for row in rows])
        add_line(graph, figure, np.array(x), ideal, "ideal, this sweep", INK, "dot", 1.6, "%{y:.0f} %")
    joint = 100 * np.array([row["joint"] for row in rows])
    add_line(graph, figure, np.array(x), joint, "joint test alone", SERIES[1], "solid", 2, "%{y:.0f} %")
    figure.add_trace(
        graph.Scatter(
            x=x,
            y=[100 * row["power"] for row in rows],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [100 * (row["high"] - row["power"]) for row in rows],
                "arrayminus": [100 * (row["power"] - row["low"]) for row in rows],
                "thickness": 1.4,
            },
            mode="lines+markers",
            name="every gate",
            line={"color": SERIES[0], "width": 2.4},
            marker={"size": 8},
            hovertemplate="Sharpe %{x}: found in %{y:.0f} %<extra></extra>",
        )
    )
    figure.update_yaxes(range=[0, 102])
    return finished(
        figure, name, height=360, y_title="cycles that find it", x_title="true annual Sharpe", suffix=" %", top=28
    )


def p_value_figure(name: str, p_values: Sequence[float]) -> str:
    """Histogram of the joint p-values of null markets, the level marked."""
    graph = load_plotly()
    counts, edges = np.histogram(p_values, np.linspace(0, 1, 21))
    figure = graph.Figure(
        graph.Bar(
            x=((edges[1:] + edges[:-1]) / 2).round(4).tolist(),
            y=counts.tolist(),
            width=0.046,
            marker={"color": [LOSS] + [SERIES[0]] * 19},
            hovertemplate="joint p about %{x:.2f}: %{y} cycles<extra></extra>",
        )
    )
    figure.add_hline(y=len(p_values) / 20, line={"color": QUIET, "width": 1.4, "dash": "dot"})
    return finished(figure, name, height=240, y_title="null cycles", x_title="joint p-value")


def _styled(lines: Mapping[str, Any], benchmarks: Mapping[str, Any]) -> list[tuple[str, str, str, float, Any]]:
    styled = [(label, BENCHMARK, "dot", 1.6, daily) for label, daily in benchmarks.items()]
    for position, (label, daily) in enumerate(lines.items()):
        styled.append((label, SERIES[position % len(SERIES)], "solid", 2.0, daily))
    return styled
