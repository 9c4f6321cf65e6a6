"""The look of figures: what an axis holds."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from argus_core.reports.figures import calibration_figure
from argus_core.reports.look import add_line, load_plotly


@pytest.mark.parametrize(
    ("x", "drawn"),
    [
        (np.array([0.0, 0.5, 2.0]), [0.0, 0.5, 2.0]),
        (np.arange(3), [0, 1, 2]),
        ([date(2025, 3, 31)], ["2025-03-31"]),
        (["look 1"], ["look 1"]),
    ],
)
def test_numbers_stay_numbers_on_an_axis_and_dates_are_text(x, drawn):
    graph = load_plotly()
    figure = graph.Figure()
    add_line(graph, figure, x, np.ones(len(x)), "line", "#000", "solid", 1.0, "%{y}")
    assert list(figure.data[0].x) == drawn


def test_the_power_curve_has_an_axis_of_sharpe_ratios():
    row = {"sharpe": 2.0, "power": 0.5, "low": 0.4, "high": 0.6, "joint": 0.55, "limit_sweep": 0.52}
    drawn = calibration_figure("power", [row], [0.0, 1.0, 2.0], [0.05, 0.26, 0.64])
    assert '"x":[0.0,1.0,2.0]' in drawn.replace(" ", "")
    assert '"x":["' not in drawn.replace(" ", "")
