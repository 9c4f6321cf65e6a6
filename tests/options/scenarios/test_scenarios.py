"""Tail scenarios of option books: full repricing against prices by hand, caps, flags, simulated tails against laws."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.options.black import black_price
from argus_core.options.heston import HestonParameters
from argus_core.options.heston.fourier import heston_table
from argus_core.options.heston.market import PhysicalMeasure
from argus_core.options.heston.simulation import Sampling
from argus_core.options.positions import Position, profit_lines
from argus_core.options.profit import heston_laws, terminal_profit
from argus_core.options.scenarios import (
    REPLAYS,
    Book,
    ExpiryMarket,
    Shock,
    reprice,
    shock_grid,
    simulated_profit,
    simulated_tail,
    with_gaps,
)
from argus_core.risk.tail import expected_shortfall, value_at_risk
from argus_core.settings.option_scenarios import OptionScenarioSettings
from argus_core.strategies.interface import Leg

NEAR, FAR = date(2026, 8, 21), date(2026, 10, 16)
RATE = 0.04
MARKET = {
    day: ExpiryMarket(years, 100 * math.exp(0.027 * years), math.exp(-RATE * years))
    for day, years in ((NEAR, 30 / 365), (FAR, 86 / 365))
}
MODEL = HestonParameters(0.04, 2, 0.05, 0.6, -0.7)
SETTINGS = OptionScenarioSettings()


def leg(right: str, strike: float, quantity: int, day: date = NEAR) -> Leg:
    return Leg(f"{day:%y%m%d}{right}{strike:g}", day, float(strike), right, quantity)


PUT_SPREAD = Position((leg("P", 95, -1), leg("P", 90, 1)), -0.68)
CONDOR = Position((leg("P", 95, -1), leg("P", 90, 1), leg("C", 105, -1), leg("C", 110, 1)), -1.4, costs=5.2)
CALENDAR = Position((leg("C", 100, -1), leg("C", 100, 1, FAR)), 1.5)
COVERED = Position((leg("C", 105, -1),), 99.0, shares=1.0)
POSITIONS = [PUT_SPREAD, CONDOR, CALENDAR, COVERED]


def smile(k, years):
    return 0.2 - 0.3 * k + 0.02 / np.sqrt(years) * k * k + 0.01 * years


VOLS = {one.contract: float(smile(math.log(one.strike / MARKET[one.expiry].forward), MARKET[one.expiry].years))
        for position in POSITIONS for one in position.legs}  # fmt: skip
PRICERS = {"smile": {"smile": smile}, "own volatilities": {}, "heston": {"heston": MODEL}}


def book(positions=POSITIONS) -> Book:
    return Book.of(positions, 100.0, MARKET, VOLS)


@pytest.mark.parametrize("name", PRICERS)
def test_nothing_happens_where_nothing_is_shocked(name):
    found = reprice(book(), [Shock("none")], SETTINGS, **PRICERS[name])
    np.testing.assert_allclose(found.pnl, 0.0, atol=1e-9)
    assert not (found.capped | found.early_assignment | found.pin | found.settled).any()


def test_a_shock_reprices_every_leg_by_black_on_the_moved_smile():
    shock = Shock("crash", -0.1, vol=0.05, vol_ratio=1.5, skew=-0.2, term_exponent=0.5, days=5, gap=-0.02)
    found = reprice(book(), [shock], SETTINGS, smile=smile)
    spot = 100 * 0.9 * 0.98
    expected = 0.0
    for one in CALENDAR.legs:
        at = MARKET[one.expiry]
        left = at.years - 5 / 365
        forward = spot * math.exp(0.027 * left)
        k = math.log(one.strike / forward)
        scale = math.sqrt(30 / 365 / left)
        vol = smile(k, left) * (1 + 0.5 * scale) + 0.05 * scale - 0.2 * scale * k
        now = black_price(at.forward, one.strike, at.years, smile(math.log(one.strike / at.forward), at.years), True)
        then = black_price(forward, one.strike, left, vol, True) * math.exp(-RATE * left)
        expected += 100 * one.quantity * float(then - now * at.discount)
    assert found.pnl[0, 2] == pytest.approx(expected, abs=1e-9)
    # Shares of the covered call move one to one, whatever the option does.
    bare = reprice(book([Position((leg("C", 105, -1),), 0.0)]), [shock], SETTINGS, smile=smile)
    assert found.pnl[0, 3] - bare.pnl[0, 0] == pytest.approx(100 * (spot - 100))


def test_under_heston_a_shock_moves_the_state_and_time():
    shock = Shock("up", 0.03, vol=0.04, days=2)
    found = reprice(book(), [shock, Shock("none")], SETTINGS, heston=MODEL)
    moved = MODEL._replace(v0=(math.sqrt(MODEL.v0) + 0.04) ** 2)
    expected = 0.0
    for one in PUT_SPREAD.legs:
        at = MARKET[one.expiry]
        left = at.years - 2 / 365
        forward = 103 * math.exp(0.027 * left)
        now = heston_table(MODEL, at.years).prices([math.log(one.strike / at.forward)], False)[0, 0]
        then = heston_table(moved, left).prices([math.log(one.strike / forward)], False)[0, 0]
        expected += 100 * one.quantity * (then * forward * math.exp(-RATE * left) - now * at.forward * at.discount)
    assert found.pnl[0, 0] == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(found.pnl[1], 0.0, atol=1e-9)


def test_a_short_spread_loses_its_width_at_most_and_says_where_it_was_capped():
    # A smile torn by the skew shock would price the spread above its width.
    shocks = [Shock("torn", -0.12, vol=0.1, skew=8.0), Shock("crash", -0.3, vol=0.2)]
    found = reprice(book(), shocks, SETTINGS, smile=smile)
    worth = reprice(book(), [Shock("none")], SETTINGS, smile=smile)
    assert worth.pnl[0, 0] == pytest.approx(0)
    at = MARKET[NEAR]
    now = 0.0
    for one in PUT_SPREAD.legs:
        vol = VOLS[one.contract]
        now += 100 * one.quantity * float(black_price(at.forward, one.strike, at.years, vol, False, at.discount))
    # From a worth of `now` (negative: it is owed) the worst is a worth of minus the width.
    assert (found.pnl[:, 0] >= -500 - now - 1e-9).all()
    assert found.capped[0, 0]
    assert found.pnl[0, 0] == pytest.approx(-500 - now)
    assert not found.capped[1, 0]


def test_flags_tell_assignment_pins_and_settlement():
    short_put = Position((leg("P", 95, -1),), -1.0)
    long_put = Position((leg("P", 95, 1),), 1.0)
    shocks = [
        Shock("deep", -0.25),  # interest on the strike is worth more than what optionality is left
        Shock("calm"),
        Shock("at the strike at expiry", -0.049, days=30),
        Shock("after expiry", -0.1, days=31),
    ]
    found = reprice(book([short_put, long_put]), shocks, SETTINGS, smile=smile)
    assert found.early_assignment.tolist() == [[True, False], [False, False], [False, False], [False, False]]
    assert found.pin[:, 0].tolist() == [False, False, True, False]
    assert not found.pin[:, 1].any()
    assert found.settled[:, 0].tolist() == [False, False, True, True]
    now = 100 * float(black_price(MARKET[NEAR].forward, 95, 30 / 365, VOLS["260821P95"], False, MARKET[NEAR].discount))
    assert found.pnl[3, 0] == pytest.approx(now - 500)
    assert found.pnl[3, 1] == pytest.approx(500 - now)


def test_a_position_that_cannot_be_priced_has_a_reason_and_the_rest_goes_on():
    lost = Position((Leg("x", date(2027, 1, 15), 100.0, "C", 1),), 5.0)
    dead = {**MARKET, FAR: ExpiryMarket(-0.1, 100.0)}
    made = Book.of([PUT_SPREAD, lost, CALENDAR], 100.0, dead, VOLS)
    found = reprice(made, [Shock("down", -0.1)], SETTINGS, smile=smile)
    assert np.isfinite(found.pnl[0, 0])
    assert np.isnan(found.pnl[0, 1:]).all()
    assert "2027-01-15" in (found.reasons[1] or "")
    assert "years -0.1" in (found.reasons[2] or "")
    assert found.book_pnl[0] == found.pnl[0, 0]
    frame = found.frame()
    assert frame["pnl"].null_count() == 2
    assert frame["scenario"].unique().to_list() == ["down"]
    with pytest.raises(ValueError, match="spot"):
        Book.of([PUT_SPREAD], 0.0, MARKET)
    with pytest.raises(ValueError, match="smile and heston"):
        reprice(made, [Shock("x")], SETTINGS, smile=smile, heston=MODEL)


def test_the_grid_has_every_combination_once_with_replays_and_gaps():
    wide = OptionScenarioSettings(
        spot_moves=(-0.1, 0.1), vol_shifts=(0.0, 0.1), skew_steepenings=(0.0, -0.1), term_exponents=(0.0, 0.5),
        days=(0.0, 1.0), gaps=(-0.05,),
    )  # fmt: skip
    shocks = shock_grid(wide)
    grid = 2 * 2 * (1 + 2) * 2  # the second exponent only where a volatility moves
    assert len(shocks) == 2 * (grid + len(REPLAYS))
    assert len({shock.name for shock in shocks}) == len(shocks)
    assert [shock.gap for shock in shocks].count(-0.05) == grid + len(REPLAYS)
    assert with_gaps([Shock("a", -0.1)], [-0.1])[0].move == pytest.approx(0.9 * 0.9 - 1)
    # 2020-03-16: the S&P 500 fell 12 %.
    assert REPLAYS[1].spot == pytest.approx(-0.1198, abs=1e-4)
    found = reprice(book(), shock_grid(SETTINGS), SETTINGS, smile=smile)
    assert np.isfinite(found.pnl).all()
    assert found.worst.move <= -0.2
    with pytest.raises(ValueError, match="above -1"):
        Shock("end", -1.0)


@settings(max_examples=25, deadline=None)
@given(
    move=st.floats(-0.4, 0.4),
    vol=st.floats(-0.1, 0.5),
    days=st.integers(0, 40),
    order=st.permutations(list(range(len(POSITIONS)))),
)
def test_positions_are_repriced_alone_and_inside_their_limits(move, vol, days, order):
    shock = Shock("any", move, vol=vol, days=days)
    whole = reprice(book(), [shock], SETTINGS, smile=smile)
    shuffled = reprice(book([POSITIONS[i] for i in order]), [shock], SETTINGS, smile=smile)
    np.testing.assert_allclose(shuffled.pnl[0], whole.pnl[0, list(order)], atol=1e-9)
    assert shuffled.book_pnl[0] == pytest.approx(whole.book_pnl[0], abs=1e-9)
    # The condor's options are worth between minus its width and nothing.
    start = reprice(book(), [Shock("gone", move, days=30)], SETTINGS, smile=smile)
    now = -start.pnl[0, 1] + 100 * float(
        -max(95 - 100 * (1 + move), 0) + max(90 - 100 * (1 + move), 0)
        - max(100 * (1 + move) - 105, 0) + max(100 * (1 + move) - 110, 0)
    )  # fmt: skip
    assert -500 - now - 1e-6 <= whole.pnl[0, 1] <= -now + 1e-6


def test_simulated_states_reprice_legs_as_exact_sums_do():
    rng = np.random.default_rng(5)
    x, v = rng.normal(0, 0.06, 24), rng.gamma(2.0, 0.02, 24)
    found = simulated_profit(book(), MODEL, 5.0, x, v)
    base = simulated_profit(book(), MODEL, 1e-9, np.zeros(1), np.array([MODEL.v0]))
    np.testing.assert_allclose(base, 0.0, atol=2e-2)  # dollars per contract of 100 shares
    for i in range(len(x)):
        exact = reprice(
            book(),
            [Shock("state", math.expm1(x[i]), vol=math.sqrt(v[i]) - math.sqrt(MODEL.v0), days=5)],
            OptionScenarioSettings(min_vol=1e-4),
            heston=MODEL,
        )
        # Linear between nodes of volatility: within 2e-6 of the spot per share, 100 shares a contract.
        np.testing.assert_allclose(found[i], exact.pnl[0], atol=0.02)


def test_the_simulated_tail_of_shares_is_that_of_the_law():
    shares = Position((), 100.0, multiplier=1.0, shares=1.0)
    view = PhysicalMeasure.of_premium(MODEL, drift=0.06, premium=1.0)
    tail = simulated_tail(
        Book.of([shares], 100.0, MARKET), MODEL, 10.0, physical=view, alpha=0.95,
        sampling=Sampling(paths=2**16, seed=3),
    )  # fmt: skip
    law = heston_laws(MODEL, [10 / 365], 100.0, physical=view, spot=100.0)
    exact = terminal_profit(profit_lines([shares]), law, law.provenance, alpha=0.95, quantiles=(0.05,))
    assert tail.provenance.measure == "P"
    assert tail.provenance.seed == 3
    assert 0 < tail.value_at_risk_se < 0.1
    assert tail.value_at_risk == pytest.approx(-exact.quantiles[0.05][0], abs=4 * tail.value_at_risk_se)
    assert tail.expected_shortfall == pytest.approx(exact.cvar_alpha[0], abs=4 * tail.expected_shortfall_se)
    assert tail.mean_pnl == pytest.approx(exact.expected_pnl[0], abs=4 * tail.pnl.std() / math.sqrt(len(tail.pnl)))
    np.testing.assert_array_equal(tail.weight, 1.0)
    assert tail.value_at_risk == value_at_risk(-tail.pnl, 0.95)
    assert tail.expected_shortfall == pytest.approx(expected_shortfall(-tail.pnl, 0.95), rel=1e-12)


def test_importance_sampling_keeps_the_far_tail_and_shrinks_its_error():
    shares = Book.of([Position((), 100.0, multiplier=1.0, shares=1.0)], 100.0, MARKET)
    law = heston_laws(MODEL, [10 / 365], 100.0)
    exact = terminal_profit(profit_lines([Position((), 100.0, multiplier=1.0, shares=1.0)]), law, law.provenance,
                            alpha=0.995, quantiles=(0.005,))  # fmt: skip
    plain, shifted = (
        simulated_tail(shares, MODEL, 10.0, alpha=0.995, shift=shift, sampling=Sampling(paths=2**15, seed=8))
        for shift in (0.0, -1.5)
    )
    for tail in (plain, shifted):
        assert tail.value_at_risk == pytest.approx(-exact.quantiles[0.005][0], abs=4 * tail.value_at_risk_se)
        assert tail.expected_shortfall == pytest.approx(exact.cvar_alpha[0], abs=4 * tail.expected_shortfall_se)
    assert shifted.expected_shortfall_se < 0.9 * plain.expected_shortfall_se
    assert shifted.weight.mean() == pytest.approx(1.0, abs=5 * shifted.weight.std() / math.sqrt(2**15))
    assert shifted.mean_pnl == pytest.approx(0.0, abs=5 * (shifted.weight * shifted.pnl).std() / math.sqrt(2**15))
    assert "shifted by -1.5" in shifted.provenance.scheme


def test_nets_of_points_have_errors_from_their_scrambles():
    sampling = Sampling(paths=2**17, seed=4, source="sobol")
    tail = simulated_tail(book(), MODEL, 5.0, alpha=0.95, sampling=sampling)
    plain = simulated_tail(book(), MODEL, 5.0, alpha=0.95, sampling=Sampling(paths=2**17, seed=4))
    assert tail.expected_shortfall == pytest.approx(
        plain.expected_shortfall, abs=4 * math.hypot(tail.expected_shortfall_se, plain.expected_shortfall_se)
    )
    assert 0 < tail.expected_shortfall_se < plain.expected_shortfall_se


def test_the_simulated_tail_of_a_book_has_honest_errors_and_repeats_bit_by_bit():
    few = Sampling(paths=2**13, seed=1)
    one = simulated_tail(book(), MODEL, 5.0, rate=RATE, dividend_yield=0.013, alpha=0.975, sampling=few)
    again = simulated_tail(book(), MODEL, 5.0, rate=RATE, dividend_yield=0.013, alpha=0.975, sampling=few)
    np.testing.assert_array_equal(one.pnl, again.pnl)
    assert one.expected_shortfall >= one.value_at_risk
    seeds = [
        simulated_tail(
            book(), MODEL, 5.0, rate=RATE, dividend_yield=0.013, alpha=0.975, sampling=Sampling(paths=2**13, seed=seed)
        )
        for seed in range(2, 14)
    ]
    for name in ("value_at_risk", "expected_shortfall"):
        spread = np.std([getattr(tail, name) for tail in seeds], ddof=1)
        reported = np.mean([getattr(tail, f"{name}_se") for tail in seeds])
        assert 0.5 < spread / reported < 2.0
    with pytest.raises(ValueError, match="days"):
        simulated_tail(book(), MODEL, 0.0)
    lost = Position((Leg("x", date(2027, 1, 15), 100.0, "C", 1),), 5.0)
    with pytest.raises(ValueError, match="2027-01-15"):
        simulated_tail(Book.of([lost], 100.0, MARKET), MODEL, 5.0, sampling=few)
