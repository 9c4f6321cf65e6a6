"""Managed probability of profit: reference rows, a slow twin without boundaries, shared paths, honest errors."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.options.heston.fourier import heston_table
from argus_core.options.heston.managed import Management, p50, pop_managed
from argus_core.options.heston.market import Market, PhysicalMeasure, SimulatedLeg, SimulatedPosition
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import TILE, Grid, Sampling, Statistic, fold
from argus_core.options.positions import Position
from argus_core.strategies.interface import Leg

EQUITY = HestonParameters(0.04, 2, 0.05, 0.6, -0.7)
LOW_FELLER = HestonParameters(0.0625, 1, 0.06, 1.2, -0.8)
MARKET = Market(100, 0.04, 0.013)


def position(credit, days, *legs, shares=0.0):
    return SimulatedPosition(tuple(SimulatedLeg(k, right, q, days) for k, right, q in legs), credit, shares)


def put_spread(credit, days=45):
    return position(credit, days, (95, "P", -1), (90, "P", 1))


def near_spread(credit=0.45):
    """Ten days, close to the money; the fair credit is 0.442."""
    return position(credit, 10, (98, "P", -1), (95, "P", 1))


@pytest.mark.parametrize(
    ("parameters", "market", "credit", "target", "stop"),
    [(EQUITY, MARKET, 0.67578465, 0.68111, 0.31889), (LOW_FELLER, Market(100), 0.79256096, 0.67644, 0.32356)],
)
def test_target_and_stop_of_the_reference_rows(parameters, market, credit, target, stop):  # A-m1, A-m2, G5, G7
    outcome = pop_managed([put_spread(credit)], parameters, market, Management(target=0.5, stop=2.0))[0]
    assert outcome.p_target.value == pytest.approx(target, abs=8e-4)
    assert outcome.p_stop.value == pytest.approx(stop, abs=8e-4)
    assert outcome.p_target.standard_error <= 1e-4
    assert outcome.fair_mark == pytest.approx(credit, abs=1e-6)
    assert outcome.explained > 0.9
    assert outcome.target_by_day.sum() == pytest.approx(target, abs=3e-3)


def history(parameters, drift, days, sampling):
    """x and v of every close, (days, paths)."""
    statistic = Statistic(lambda *_: ((), ()), _keep, lambda fixed, state, emitted, x, v: emitted)
    x, v = fold(parameters, Grid.of(parameters, days / 365, days), statistic, drift=drift, sampling=sampling)
    return tuple(np.moveaxis(a, 1, 0).reshape(days, -1).astype(float) for a in (x, v))


def _keep(fixed, row, state, p):
    x = p.mean + p.deviation * p.z
    return x, state, (x, p.after)


def exact_mark(held, market, parameters, x, v, left):
    """Cost to close by the Fourier prices of Argus, one state after the other."""
    forward, discount = market.spot * math.exp(x + market.drift * left), math.exp(-market.rate * left)
    total = 0.0
    for leg in held.legs:
        sign = 1 if leg.right == "C" else -1
        if left > 0:
            table = heston_table(parameters._replace(v0=max(v, 1e-10)), left)
            price = forward * float(table.prices(np.array([[math.log(leg.strike / forward)]]), leg.right == "C")[0, 0])
        else:
            price = max(sign * (forward - leg.strike), 0.0)
        total -= leg.quantity * discount * price
    return total - held.shares * market.spot * math.exp(x)


@pytest.mark.parametrize(
    "held",
    [
        position(0.4, 8, (98, "P", -1), (95, "P", 1)),
        position(0.43, 8, (97, "P", -1), (94, "P", 1), (103, "C", -1), (106, "C", 1)),
        position(-2.6, 8, (95, "C", 1), (100, "C", -2), (105, "C", 1)),
        position(-2.2, 8, (100, "C", 1), (100, "P", 1)),
        position(-98.5, 8, (102, "C", -1), shares=1.0),
    ],
    ids=["put spread", "iron condor", "butterfly", "straddle", "covered call"],
)
def test_every_exit_is_where_the_exact_mark_says(held):
    """The twin walks 150 paths through exact prices close by close: no table, no boundary, no shared rule."""
    paths, days = 150, 8
    management = Management(
        target=0.1 if held.shares == 0 else 0.01, stop=1.3 if held.shares == 0 else 1.02, exit_day=6
    )
    sampling = Sampling(paths=TILE, seed=2)
    x, v = history(EQUITY, MARKET.drift, 6, sampling)
    size = abs(held.credit)
    low, high = held.credit - management.target * size, held.credit + (management.stop - 1) * size
    left = np.full(paths, 2, int)  # 0 target, 1 stop, 2 neither
    day = np.full(paths, -1)
    for path in range(paths):
        for d in range(6):
            mark = exact_mark(held, MARKET, EQUITY, x[d, path], v[d, path], (days - d - 1) / 365)
            if mark <= low or mark >= high:
                left[path], day[path] = (0 if mark <= low else 1), d
                break
    found_left, found_day = _exits(held, management, sampling)
    same = (left == found_left[:paths]) & (day == found_day[:paths])
    # Boundaries are constant within a cell of sqrt(v): only a mark next to a level may fall on its other side.
    assert same.mean() >= 0.96
    for path in np.nonzero(~same)[0]:
        d = min(one for one in (day[path], found_day[path]) if one >= 0)
        mark = exact_mark(held, MARKET, EQUITY, x[d, path], v[d, path], (days - d - 1) / 365)
        assert min(abs(mark - low), abs(mark - high)) < 0.01 * size
    assert len(set(left)) > 1


def _exits(held, management, sampling):
    """What the kernel did with every path: its boundaries, read back through the statistic's own state."""
    from argus_core.options.heston import exits
    from argus_core.options.heston.exit_boundaries import FINE, exit_boundaries
    from argus_core.options.heston.mark_table import MarkTable, highest_volatility, mark_table

    table = mark_table(EQUITY, (held.days - np.arange(7)) / 365, highest_volatility(EQUITY, 6 / 365))
    closes = MarkTable(table.years[1:], table.top, *(a[1:] for a in table[2:]))
    found = exit_boundaries(held, MARKET, closes, management.target, management.stop)
    fixed = exits.Exits(found.labels[None].astype(np.int32), np.float32(FINE / float(table.top)))
    statistic = Statistic(exits.start_count, exits.update_count, lambda fixed, state, emitted, x, v: state[0])
    rows = found.edges[:, None].astype(np.float32)
    grid = Grid.of(EQUITY, 6 / 365, 6)
    state = fold(EQUITY, grid, statistic, drift=MARKET.drift, sampling=sampling, fixed=fixed, rows=rows)[0, 0]
    return np.where(state == 0, 2, state % 4 - 1), np.where(state == 0, -1, state // 4)


def test_positions_of_a_chain_share_paths_without_touching_each_other():
    chain = [
        near_spread(),
        position(0.6, 10, (97, "P", -1), (94, "P", 1), (103, "C", -1), (106, "C", 1)),
        near_spread(),
    ]
    sampling, rule = Sampling(paths=2 * TILE), Management(target=0.5, stop=2.0)
    together = pop_managed(chain, EQUITY, MARKET, rule, sampling=sampling)
    for held, outcome in zip(chain, together, strict=True):
        alone = pop_managed([held], EQUITY, MARKET, rule, sampling=sampling)[0]
        assert np.array_equal(alone.target_by_day, outcome.target_by_day)
        assert np.array_equal(alone.stop_by_day, outcome.stop_by_day)
        assert alone.p_target.value == pytest.approx(outcome.p_target.value, abs=1e-7)


def test_the_same_seed_gives_the_same_bits_for_any_chunk():  # G12
    def run(chunk, threads):
        sampling = Sampling(paths=5 * TILE, seed=4, chunk=chunk, threads=threads)
        return pop_managed([near_spread()], EQUITY, MARKET, Management(stop=2.0), sampling=sampling)[0]

    first, second = run(1, 2), run(3, 1)
    assert first[:6] == second[:6]
    assert first.target_by_day.tobytes() == second.target_by_day.tobytes()


def test_without_controls_the_discounted_mark_at_the_exit_is_a_martingale():
    """Zero rate: expected profit = credit - fair mark whatever the rule. A physical law turns the controls off."""
    market, held = Market(100), near_spread(0.5)
    outcome = pop_managed(
        [held], LOW_FELLER, market, Management(target=0.3, stop=1.5),
        sampling=Sampling(paths=2**17), physical=PhysicalMeasure(0.0, LOW_FELLER),
    )[0]  # fmt: skip
    profit = outcome.expected_profit
    assert abs(profit.value - (0.5 - outcome.fair_mark)) < 4 * profit.standard_error
    controlled = pop_managed(
        [held], LOW_FELLER, market, Management(target=0.3, stop=1.5), sampling=Sampling(paths=2**17)
    )
    assert abs(controlled[0].p_target.value - outcome.p_target.value) < 4 * outcome.p_target.standard_error
    assert controlled[0].p_target.standard_error < outcome.p_target.standard_error / 2.5


@pytest.mark.parametrize("source", ["counter", "sobol"])
def test_the_standard_error_is_what_seeds_show(source):  # G5, small
    _seeds_agree(16, 0.5, source, 16 * TILE if source == "sobol" else 2 * TILE)


@pytest.mark.slow
def test_the_standard_error_is_within_a_quarter_over_fifty_seeds():  # G5
    _seeds_agree(50, 0.25, "counter", 2**17)


def _seeds_agree(seeds, tolerance, source, paths):
    found = [
        pop_managed(
            [near_spread()], EQUITY, MARKET, Management(stop=2.0),
            sampling=Sampling(paths=paths, seed=seed, source=source),
        )[0].p_target
        for seed in range(seeds)
    ]  # fmt: skip
    told = np.sqrt(np.mean([e.standard_error**2 for e in found]))
    assert np.std([e.value for e in found], ddof=1) == pytest.approx(told, rel=tolerance)


@given(st.floats(88, 99), st.floats(1, 8), st.floats(0.1, 0.9), st.floats(1.2, 4), st.booleans(), st.integers(0, 2**40))
@settings(max_examples=10, deadline=None)
def test_the_three_ways_out_are_all(strike, width, target, stop, condor, seed):
    legs = [(strike, "P", -1), (strike - width, "P", 1), (200 - strike, "C", -1), (200 - strike + width, "C", 1)]
    held = position(0.2 * width, 10, *(legs if condor else legs[:2]))
    rule = Management(target=target, stop=stop)
    outcome = pop_managed([held], EQUITY, MARKET, rule, sampling=Sampling(paths=TILE, seed=seed))[0]
    ways = (outcome.p_target, outcome.p_stop, outcome.p_time)
    assert sum(way.value for way in ways) == pytest.approx(1, abs=1e-9)
    assert outcome.p_profit.value >= outcome.p_target.value - 1e-9
    assert outcome.target_by_day.sum() + outcome.stop_by_day.sum() <= 1 + 1e-12
    assert outcome.expected_profit.value <= 0.2 * width


def test_an_earlier_exit_leaves_less_time_for_the_target_and_p50_has_no_stop():
    sampling = Sampling(paths=2**16)
    held = near_spread()
    late = p50([held], EQUITY, MARKET, sampling=sampling)[0]
    early = pop_managed([held], EQUITY, MARKET, Management(exit_day=5), sampling=sampling)[0]
    assert early.p_target.value < late.p_target.value
    assert early.p_time.value > 0.05
    assert late.p_stop.value == 0
    assert len(early.target_by_day) == 5
    assert early.target_by_day == pytest.approx(late.target_by_day[:5], abs=1e-3)


def test_a_variance_premium_raises_the_probability_of_a_sold_spread():
    held, sampling = near_spread(), Sampling(paths=2**16)
    q = pop_managed([held], EQUITY, MARKET, sampling=sampling)[0]
    physical = PhysicalMeasure.of_premium(EQUITY, drift=0.08, premium=3.0)
    p = pop_managed([held], EQUITY, MARKET, sampling=sampling, physical=physical)[0]
    assert p.p_target.value > q.p_target.value + 2e-3
    assert (q.provenance.measure, p.provenance.measure) == ("Q", "P")


def test_what_cannot_be_judged_has_a_reason_and_the_rest_its_numbers():
    two = SimulatedPosition((SimulatedLeg(100, "C", -1, 10), SimulatedLeg(100, "C", 1, 20)), -1.0)
    chain = [
        put_spread(math.nan),
        two,
        put_spread(0.0),
        put_spread(0.5, 0),
        SimulatedPosition((), 1.0),
        near_spread(),
    ]
    found = pop_managed(chain, EQUITY, MARKET, sampling=Sampling(paths=TILE))
    for outcome, word in zip(
        found, ("credit = nan", "pop_calendar", "credit = 0", "days = 0", "no option"), strict=False
    ):
        assert word in outcome.reason
        assert math.isnan(outcome.p_target.value)
    assert found[-1].reason is None
    assert 0 < found[-1].p_target.value < 1


def test_a_position_of_the_book_becomes_a_simulated_one():
    expiry = date(2026, 9, 18)
    legs = (Leg("a", expiry, 95.0, "P", -1), Leg("b", expiry, 90.0, "P", 1))
    held = SimulatedPosition.of(Position(legs, -0.7, 100.0, costs=2.6), date(2026, 8, 4))
    assert held == SimulatedPosition(
        (SimulatedLeg(95.0, "P", -1, 45), SimulatedLeg(90.0, "P", 1, 45)), 0.7 - 0.026, 0.0
    )
