"""Probability of touching a level: reference rows, conventions, bad levels."""

from __future__ import annotations

import math

import pytest

from argus_core.options.heston.market import Market, PhysicalMeasure
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import Sampling
from argus_core.options.heston.touch import p_touch

EQUITY = HestonParameters(0.04, 2, 0.05, 0.6, -0.7)
LOW_FELLER = HestonParameters(0.0625, 1, 0.06, 1.2, -0.8)
#: (set, market, levels, daily closes, continuous): options.md, table A3, rows A-d1, A-d2 and A-d3.
ROWS = [
    (EQUITY, Market(100, 0.03), (95, 105), (0.38985, 0.41706), (0.4417, 0.4592)),
    (LOW_FELLER, Market(100), (90,), (0.22224,), (0.2553,)),
]


@pytest.mark.parametrize(("parameters", "market", "levels", "daily", "continuous"), ROWS)
def test_daily_closes_of_the_reference_rows(parameters, market, levels, daily, continuous):  # A-d1, A-d2, A-d3
    for touch, expected in zip(p_touch(levels, 45, parameters, market, monitoring="daily"), daily, strict=True):
        assert touch.probability.value == pytest.approx(expected, abs=6e-4)
        assert touch.probability.standard_error < 3e-4
        assert touch.provenance.monitoring == "daily close"
        assert touch.provenance.measure == "Q"


@pytest.mark.parametrize(("parameters", "market", "levels", "daily", "continuous"), ROWS)
def test_continuous_monitoring_of_the_reference_rows(parameters, market, levels, daily, continuous):  # A-d1 to A-d3
    found = p_touch(
        levels, 45, parameters, market, monitoring="continuous", steps_per_day=4,
        sampling=Sampling(paths=2**18, source="sobol"),
    )  # fmt: skip
    for touch, expected in zip(found, continuous, strict=True):
        assert touch.probability.value == pytest.approx(expected, abs=1e-3)
        assert touch.probability.standard_error < 5e-4


def test_nearer_levels_are_touched_more_often_and_continuously_more_than_at_closes():
    levels, sampling = (85.0, 90.0, 95.0, 105.0, 110.0), Sampling(paths=2**16)
    found = {
        how: [t.probability.value for t in p_touch(levels, 10, EQUITY, Market(100), monitoring=how, sampling=sampling)]
        for how in ("daily", "continuous")
    }
    for values in found.values():
        assert values[0] < values[1] < values[2]
        assert values[3] > values[4]
    assert all(c > d for c, d in zip(found["continuous"], found["daily"], strict=True))


def test_a_level_without_meaning_has_a_reason_and_the_others_keep_their_numbers():
    sampling = Sampling(paths=2**16)
    found = p_touch((95.0, -1.0, math.nan, 100.0), 10, EQUITY, Market(100), monitoring="daily", sampling=sampling)
    alone = p_touch((95.0,), 10, EQUITY, Market(100), monitoring="daily", sampling=sampling)
    assert found[0].probability == alone[0].probability
    assert math.isnan(found[1].probability.value)
    assert "level = -1.0" in found[1].reason
    assert "level = nan" in found[2].reason
    assert found[3].probability.value == 1.0


def test_the_physical_measure_is_labelled_and_moves_the_paths():
    physical = PhysicalMeasure.of_premium(EQUITY, drift=0.15, premium=1.0)
    assert physical.parameters.theta == pytest.approx(2 * 0.05 / 3)
    sampling = Sampling(paths=2**16)
    p = p_touch((95.0,), 10, EQUITY, Market(100), monitoring="daily", sampling=sampling, physical=physical)[0]
    q = p_touch((95.0,), 10, EQUITY, Market(100), monitoring="daily", sampling=sampling)[0]
    assert p.provenance.measure == "P"
    assert p.probability.value < q.probability.value
    assert p.provenance.parameter_hash != q.provenance.parameter_hash


def test_wrong_conventions_are_named():
    with pytest.raises(ValueError, match="monitoring = 'hourly'"):
        p_touch((95.0,), 10, EQUITY, Market(100), monitoring="hourly")
    with pytest.raises(ValueError, match="days = 0"):
        p_touch((95.0,), 0, EQUITY, Market(100), monitoring="daily")
