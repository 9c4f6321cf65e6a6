"""The one look of all figures: colours, lines, bands, axes. plotly is imported only here, when a figure is drawn."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Colours of series in order, told apart with colour-blind eyes too; the benchmark is always grey.
SERIES = ("#2a6fdb", "#e0772b", "#13866f", "#8a5cd0", "#c2417c")
BENCHMARK = "#8d95a1"
LOSS, GAIN = "#c8553d", "#2a6fdb"
INK, QUIET, GRID = "#1d2430", "#667080", "#e8eaee"
_FONT = "Inter, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_CONFIG = {"displayModeBar": False, "responsive": True, "showTips": False}
#: Points per line beyond which lines are thinned: a report opens on a phone too.
_MOST_POINTS = 600


class MissingPlotlyError(RuntimeError):
    """plotly is not installed."""


def load_plotly() -> ModuleType:
    """Import plotly.graph_objects.

    Raises:
        MissingPlotlyError: naming the extra that brings it.
    """
    try:
        import plotly.graph_objects as graph
    except ImportError:
        raise MissingPlotlyError(
            "The report needs plotly, which is not installed. Install the extra: pip install 'argus-research[report]'"
        ) from None
    return graph


def plotly_script() -> str:
    """plotly.js itself, to be inlined once: the page makes no request."""
    load_plotly()
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def add_bands(graph: Any, figure: Any, x: NDArray[np.int64], quantiles: NDArray[np.float64]) -> None:
    """Bands between the outer and between the inner of five quantile paths."""
    bands = ((0, 4, "rgba(42,111,219,.13)", "90 % of paths"), (1, 3, "rgba(42,111,219,.24)", "half of paths"))
    for low, high, shade, label in bands:
        figure.add_trace(
            graph.Scatter(
                x=np.concatenate([x, x[::-1]]).tolist(),
                y=np.concatenate([quantiles[high], quantiles[low][::-1]]).round(4).tolist(),
                fill="toself",
                fillcolor=shade,
                line={"width": 0},
                hoverinfo="skip",
                name=label,
            )
        )


def add_line(
    graph: Any, figure: Any, x: Any, y: Any, label: str, colour: str, dash: str, width: float, hover: str
) -> None:
    """A line of at most `_MOST_POINTS` points; ``x`` numbers (an axis of numbers), or what reads well as text."""
    keep = thinned(len(y))
    figure.add_trace(
        graph.Scatter(
            x=[value.item() if isinstance(value, np.number) else str(value) for value in np.asarray(x)[keep]],
            y=np.asarray(y)[keep].round(4).tolist(),
            mode="lines",
            name=label,
            line={"color": colour, "width": width, "dash": dash},
            hovertemplate=f"{label}: {hover}<extra></extra>",
        )
    )


def thinned(count: int) -> NDArray[np.int64]:
    """Which of ``count`` points are drawn, first and last among them."""
    if count <= _MOST_POINTS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, _MOST_POINTS).round().astype(np.int64))


def finished(
    figure: Any,
    name: str,
    *,
    height: int,
    y_title: str = "",
    x_title: str = "",
    suffix: str = "",
    y_grid: bool = True,
    top: int = 12,
) -> str:
    """HTML of ``figure`` as the element ``name``, without the library. ``suffix``: of the y ticks; ``top``: margin."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 16, "t": top, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": _FONT, "size": 13, "color": INK},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        hovermode="x unified" if suffix else "closest",
        hoverlabel={"bgcolor": "white", "bordercolor": GRID, "font": {"family": _FONT, "size": 12}},
    )
    axis = {"automargin": True, "zeroline": False, "tickfont": {"color": QUIET, "size": 12}}
    figure.update_xaxes(showgrid=False, linecolor=GRID, title=_title(x_title), **axis)
    figure.update_yaxes(showgrid=y_grid, gridcolor=GRID, ticksuffix=suffix, title=_title(y_title), **axis)
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=_CONFIG, div_id=name))


def _title(words: str) -> dict[str, Any] | None:
    """Of an axis; None without words: plotly leaves room for an empty one."""
    return {"text": words, "font": {"color": QUIET, "size": 12}} if words else None
