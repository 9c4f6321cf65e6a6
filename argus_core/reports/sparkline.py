"""Tiny plots for places that show Markdown: an SVG in a data URI, below 1,000 characters."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Literal

Kind = Literal["line", "bar", "histogram"]

_WIDTH, _HEIGHT, _LIMIT = 240, 48, 1000
_UP, _DOWN = "#2a6fdb", "#c8553d"


def sparkline(values: Sequence[float | None], *, kind: str = "line", label: str = "") -> str:
    """Markdown image of ``values`` in under 1,000 characters (Dagster cuts longer metadata).

    Args:
        values: in order of time (``line``), one per bar (``bar``), or a sample (``histogram``); None, NaN left out.
        kind: ``line`` for equity, ``bar`` for counts or signed amounts, ``histogram`` for a distribution.
        label: alternative text; up to 60 characters are used.

    Returns:
        ``![label](data:image/svg+xml;base64,...)``; a note in words where there is nothing to draw.

    Raises:
        ValueError: on an unknown kind.
    """
    if kind not in ("line", "bar", "histogram"):
        raise ValueError(f"kind must be line, bar or histogram, found {kind!r}.")
    numbers = [float(v) for v in values if v is not None and math.isfinite(v)]
    text = "".join(c for c in label if c not in "[]()\n")[:60]
    if not numbers:
        return f"{text or 'plot'}: no data"
    points = 64
    while True:
        image = _markdown(_draw(numbers, kind, points), text)
        if len(image) < _LIMIT:
            return image
        points = points * 3 // 4


def fan_sparkline(bands: Sequence[Sequence[float]], *, label: str = "") -> str:
    """Markdown image of quantile paths over one axis (a resampled equity fan) in under 1,000 characters.

    Args:
        bands: paths of equal length, lowest quantile first; the middle one is drawn strong.
        label: alternative text.
    """
    if not bands or any(len(band) != len(bands[0]) or not len(band) for band in bands):
        raise ValueError("bands must be paths of one length, at least one value each.")
    low, high = min(map(min, bands)), max(map(max, bands))
    span = high - low or 1.0
    points = 16
    while True:
        body = ""
        for number, band in enumerate(bands):
            shown = _condense(band, points)
            step = _WIDTH / max(1, len(shown) - 1)
            path = " ".join(f"{i * step:.0f},{46 - 44 * (v - low) / span:.0f}" for i, v in enumerate(shown))
            width = 2 if number == len(bands) // 2 else 1
            body += f'<polyline fill="none" stroke="{_UP}" stroke-width="{width}" points="{path}"/>'
        image = _markdown(body, "".join(c for c in label if c not in "[]()\n")[:60])
        if len(image) < _LIMIT:
            return image
        points = points * 3 // 4


def _draw(numbers: Sequence[float], kind: str, points: int) -> str:
    if kind == "histogram":
        return _bars(_histogram(numbers, min(points, 24)))
    if kind == "bar":
        return _bars(_condense(numbers, min(points, 40)))
    shown = _condense(numbers, points)
    low, high = min(shown), max(shown)
    span = high - low or 1.0
    step = _WIDTH / max(1, len(shown) - 1)
    path = " ".join(f"{i * step:.0f},{46 - 44 * (v - low) / span:.0f}" for i, v in enumerate(shown))
    colour = _UP if numbers[-1] >= numbers[0] else _DOWN
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>'


def _bars(shown: Sequence[float]) -> str:
    low, high = min(0.0, *shown), max(0.0, *shown)
    span = high - low or 1.0
    step = _WIDTH / len(shown)
    zero = 47 - 46 * (0.0 - low) / span
    up = down = ""
    for i, value in enumerate(shown):
        top = 47 - 46 * (value - low) / span
        bar = f"M{(i + 0.5) * step:.0f} {zero:.0f}V{top:.0f}"
        up, down = (up + bar, down) if value >= 0 else (up, down + bar)
    width = max(1, round(step * 0.75))
    return "".join(
        f'<path stroke="{colour}" stroke-width="{width}" d="{path}"/>'
        for colour, path in ((_UP, up), (_DOWN, down))
        if path
    )


def _histogram(numbers: Sequence[float], bins: int) -> list[float]:
    low, high = min(numbers), max(numbers)
    counts = [0.0] * bins
    for value in numbers:
        counts[min(bins - 1, int((value - low) / ((high - low) or 1.0) * bins))] += 1
    return counts


def _condense(numbers: Sequence[float], points: int) -> list[float]:
    """At most ``points`` values, first and last kept."""
    if len(numbers) <= points:
        return list(numbers)
    last = len(numbers) - 1
    return [numbers[round(i * last / (points - 1))] for i in range(points)]


def _markdown(body: str, label: str) -> str:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">{body}</svg>'
    return f"![{label or 'plot'}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
