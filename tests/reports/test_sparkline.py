"""Small plots stay small, whatever they draw."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_core.reports import fan_sparkline, sparkline


def drawn(markdown):
    encoded = re.fullmatch(r"!\[[^\]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert encoded
    return ElementTree.fromstring(base64.b64decode(encoded[1]))


@pytest.mark.parametrize("kind", ["line", "bar", "histogram"])
@pytest.mark.parametrize("count", [1, 2, 50, 10_000])
def test_every_kind_is_a_valid_picture_below_a_thousand_characters(kind, count):
    values = np.random.default_rng(0).normal(size=count).cumsum().tolist()
    image = sparkline(values, kind=kind, label="equity of run 17 (SPY) [net]")
    assert len(image) < 1000
    assert drawn(image).tag.endswith("svg")


@given(st.lists(st.one_of(st.none(), st.floats())), st.sampled_from(["line", "bar", "histogram"]))
def test_any_values_give_a_picture_or_a_note(values, kind):
    image = sparkline(values, kind=kind)
    assert len(image) < 1000
    assert image.endswith(": no data") or drawn(image) is not None


def test_nothing_to_draw_is_said():
    assert sparkline([], label="equity") == "equity: no data"
    assert sparkline([None, float("nan")]) == "plot: no data"


def test_a_rising_line_differs_in_colour_from_a_falling_one():
    up, down = drawn(sparkline([1, 2, 3]))[0], drawn(sparkline([3, 2, 1]))[0]
    assert up.get("stroke") != down.get("stroke")


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="pie"):
        sparkline([1.0], kind="pie")


def test_a_fan_fits_and_draws_every_band():
    bands = [[1 - 0.001 * i for i in range(300)], [1.0] * 300, [1 + 0.001 * i for i in range(300)]]
    image = fan_sparkline(bands, label="fan")
    assert len(image) < 1000
    assert len(drawn(image)) == 3


def test_a_fan_of_unequal_paths_is_refused():
    with pytest.raises(ValueError, match="one length"):
        fan_sparkline([[1.0], [1.0, 2.0]])
