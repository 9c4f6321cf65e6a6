"""Positions with several expiries at the first one; the mark table behind all path-dependent numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from argus_core.options.heston.calendar_profit import pop_calendar
from argus_core.options.heston.fourier import heston_table
from argus_core.options.heston.mark_table import highest_volatility, law_of_log_price, mark_table, put_at
from argus_core.options.heston.market import Market, SimulatedLeg, SimulatedPosition
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import TILE, Sampling, simulate

EQUITY = HestonParameters(0.04, 2, 0.05, 0.6, -0.7)
LOW_FELLER = HestonParameters(0.0625, 1, 0.06, 1.2, -0.8)
MARKET = Market(100, 0.04, 0.013)


@pytest.mark.parametrize(("parameters", "tolerance"), [(EQUITY, 2e-5), (LOW_FELLER, 3e-3)])
def test_the_mark_table_holds_the_exact_prices(parameters, tolerance):
    """Error in standard deviations of ln S: largest at a variance of zero, where the law has no density to speak of."""
    years = np.array([44, 10, 1]) / 365
    table = mark_table(parameters, years, highest_volatility(parameters, 45 / 365))
    for close, left in enumerate(years):
        for node in (1, 12, 25, 60):
            v = table.variances[node]
            unit = math.sqrt(law_of_log_price(parameters, left, v)[1])
            k = np.array([-2.5, -1.03, 0.1, 1.2, 2.4]) * unit
            exact = heston_table(parameters._replace(v0=v), left).prices(k[None], np.zeros((1, 5), bool))[0]
            one = [a[close, node][None] for a in (table.low, table.width, table.value, table.slope)]
            found = put_at(np, one[0][:, None], one[1][:, None], one[2], one[3], k[None])[0]
            assert found == pytest.approx(exact, abs=tolerance * unit)


def test_today_is_a_node_of_the_table():
    table = mark_table(EQUITY, np.array([0.1]), 0.7)
    assert np.min(np.abs(table.variances - EQUITY.v0)) < 1e-15
    assert float(table.top) >= 0.7


def test_a_position_with_one_expiry_has_the_analytic_probability():  # A-t1
    held = SimulatedPosition((SimulatedLeg(95, "P", -1, 45), SimulatedLeg(90, "P", 1, 45)), 0.6757846511)
    outcome = pop_calendar([held], EQUITY, MARKET, sampling=Sampling(paths=2**18))[0]
    assert outcome.pop.value == pytest.approx(0.818835330264, abs=4 * outcome.pop.standard_error + 3e-4)
    assert outcome.fair_mark == pytest.approx(0.6757846511, abs=1e-6)
    assert outcome.pop.standard_error < math.sqrt(0.82 * 0.18 / 2**18)


def test_a_calendar_is_worth_what_exact_prices_say():
    held = SimulatedPosition((SimulatedLeg(100, "C", -1, 10), SimulatedLeg(100, "C", 1, 40)), -0.9)
    sampling = Sampling(paths=TILE, seed=1)
    outcome = pop_calendar([held], EQUITY, MARKET, sampling=sampling)[0]
    end = simulate(EQUITY, 10 / 365, 10, drift=MARKET.drift, sampling=sampling)
    rng = np.random.default_rng(0)
    profits = []
    for path in rng.integers(0, TILE, 300):
        spot, left = 100 * math.exp(float(end.x[path])), 30 / 365
        forward = spot * math.exp(MARKET.drift * left)
        table = heston_table(EQUITY._replace(v0=max(float(end.v[path]), 1e-10)), left)
        back = math.exp(-MARKET.rate * left) * forward
        back *= float(table.prices(np.array([[math.log(100 / forward)]]), np.ones((1, 1), bool))[0, 0])
        profits.append(back - max(spot - 100, 0) - 0.9)
    profits = np.array(profits)
    assert abs((profits > 0).mean() - outcome.pop.value) < 4 * math.sqrt(0.25 / 300)
    assert abs(profits.mean() - outcome.expected_profit.value) < 4 * profits.std() / math.sqrt(300)
    # Under Q and controls the expected profit is the carried cost exactly: the fair calendar loses its interest.
    assert outcome.expected_profit.standard_error < 1e-5


def test_positions_share_paths_and_bad_ones_have_a_reason():
    calendar = SimulatedPosition((SimulatedLeg(100, "C", -1, 10), SimulatedLeg(100, "C", 1, 40)), -0.9)
    diagonal = SimulatedPosition((SimulatedLeg(95, "P", -1, 10), SimulatedLeg(94, "P", 1, 20)), -0.1)
    bad = SimulatedPosition((SimulatedLeg(-5, "C", -1, 10),), 1.0)
    sampling = Sampling(paths=TILE)
    found = pop_calendar([calendar, bad, diagonal], EQUITY, MARKET, sampling=sampling)
    assert found[0].pop.value == pytest.approx(
        pop_calendar([calendar], EQUITY, MARKET, sampling=sampling)[0].pop.value, abs=1e-6
    )
    assert "strike = -5" in found[1].reason
    assert 0 < found[2].pop.value < 1
    assert found[0].provenance.monitoring == "first expiry"
