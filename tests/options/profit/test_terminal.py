"""Terminal probability of profit: acceptance table A2, a slow twin, other laws, bad input."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.options.black import black_price
from argus_core.options.heston import HestonParameters
from argus_core.options.heston.market import PhysicalMeasure
from argus_core.options.positions import Position, profit_lines, profit_lines_of
from argus_core.options.profit import LawList, Provenance, estimates_frame, heston_laws, terminal_profit
from argus_core.options.surface.interpolate import SurfaceLaw
from argus_core.risk.tail import expected_shortfall, value_at_risk
from argus_core.strategies.interface import Leg

DAY = date(2026, 8, 21)
YEARS = 45 / 365
MILD, WILD = HestonParameters(0.04, 2, 0.05, 0.6, -0.7), HestonParameters(0.0625, 1, 0.06, 1.2, -0.8)
PUT_SPREAD = (("P", 95, -1), ("P", 90, 1))
CONDOR = (*PUT_SPREAD, ("C", 105, -1), ("C", 110, 1))
UNKNOWN = Provenance("Q", "expiry", "lognormal")


def position(parts, price: float, multiplier: float = 1.0) -> Position:
    return Position(tuple(Leg("", DAY, float(k), right, q) for right, k, q in parts), price, multiplier)


class Lognormal:
    """A law with closed forms."""

    def __init__(self, forward: float = 100.0, vol: float = 0.2, discount: float = 0.98) -> None:
        self.forward, self.vol, self.discount = forward, vol, discount

    def cdf(self, strike):
        from scipy.special import ndtr

        return ndtr((np.log(np.asarray(strike) / self.forward) + 0.5 * self.vol**2) / self.vol)

    def call_price(self, strike):
        return black_price(self.forward, strike, 1.0, self.vol, True, self.discount)

    def sample(self, count: int) -> np.ndarray:
        """Equally likely points in the middle of their strata."""
        from scipy.special import ndtri

        z = ndtri((np.arange(count) + 0.5) / count)
        return self.forward * np.exp(self.vol * z - 0.5 * self.vol**2)


# Rate, yield, parameters, legs, credit, PoP, P(max profit), P(max loss): options.md table A2.
A2 = {
    "A-t1": (0.04, 0.013, MILD, PUT_SPREAD, 0.6757846511, 0.818835330264, 0.797414528729, 0.083369027787),
    "A-t2": (0.04, 0.013, MILD, CONDOR, 1.3691410349, 0.654201618832, None, None),
    "A-t3": (0.0, 0.0, WILD, PUT_SPREAD, 0.7925609619, 0.810125368391, 0.792522418173, 0.117297814199),
    "A-t4": (0.04, 0.013, MILD, PUT_SPREAD, 0.60, 0.816526353376, 0.797414528729, 0.083369027787),
}


@pytest.mark.parametrize("name", A2)
def test_probabilities_of_table_a2(name):
    rate, dividend, parameters, parts, credit, pop, best, worst = A2[name]
    forward, discount = 100 * math.exp((rate - dividend) * YEARS), math.exp(-rate * YEARS)
    laws = heston_laws(parameters, [YEARS], forward, discounts=discount)
    found = terminal_profit(position(parts, -credit).lines, laws, laws.provenance)
    assert found.pop_terminal[0] == pytest.approx(pop, abs=1e-9, rel=0)
    if best is not None:
        assert found.p_max_profit[0] == pytest.approx(best, abs=1e-9, rel=0)
        assert found.p_max_loss[0] == pytest.approx(worst, abs=1e-9, rel=0)
    # A model-fair credit is the discounted mean of what is owed at expiry; A-t4 takes less than A-t1's.
    owed = credit - found.expected_pnl[0]
    assert discount * owed == pytest.approx(0.6757846511 if name == "A-t4" else credit, abs=1e-9)
    assert found.error_bound[0] < 1e-11


structures = st.lists(
    st.tuples(st.sampled_from("CP"), st.integers(75, 130), st.sampled_from([-2, -1, 1, 2])), min_size=1, max_size=4
)


@settings(max_examples=40, deadline=None)
@given(parts=structures, price=st.integers(-600, 600), alpha=st.sampled_from([0.9, 0.95]))
def test_every_number_is_that_of_a_large_sample(parts, price, alpha):
    law = Lognormal()
    one = position(parts, price / 100)
    found = terminal_profit(one.lines, LawList([law]), UNKNOWN, alpha=alpha, quantiles=(0.25, 0.5))
    count = 40_000
    profit = one.profit(law.sample(count))
    profit[np.abs(profit) < 1e-9] = 0.0
    near = 3 / count
    assert found.pop_terminal[0] == pytest.approx((profit > 0).mean(), abs=near * 3)
    if math.isfinite(one.max_profit):
        assert found.p_max_profit[0] == pytest.approx((profit >= one.max_profit - 1e-9).mean(), abs=near * 5)
    if math.isfinite(one.max_loss):
        assert found.p_max_loss[0] == pytest.approx((profit <= -one.max_loss + 1e-9).mean(), abs=near * 5)
    assert found.expected_pnl[0] == pytest.approx(profit.mean(), abs=5e-3)
    assert found.cvar_alpha[0] == pytest.approx(expected_shortfall(-profit, alpha), abs=2e-2)
    for level, values in found.quantiles.items():
        # The order statistics around the level bracket the quantile.
        low, high = -value_at_risk(-profit, 1 - level + 2e-4), -value_at_risk(-profit, 1 - level - 2e-4)
        assert low - 1e-6 <= values[0] <= high + 1e-6


@settings(max_examples=25, deadline=None)
@given(parts=structures, price=st.integers(-600, 600), data=st.data())
def test_under_heston_sides_mirror_legs_commute_and_limits_hold(parts, price, data):
    laws = heston_laws(WILD, [YEARS], 100.5)
    one = position(parts, price / 100)
    shuffled = position(data.draw(st.permutations(parts)), price / 100)
    other = position([(right, k, -q) for right, k, q in parts], -price / 100)
    found = terminal_profit(profit_lines([one, shuffled, other]), laws, laws.provenance, quantiles=(0.05,))
    assert ((found.pop_terminal >= 0) & (found.pop_terminal <= 1)).all()
    for name in ("pop_terminal", "p_max_profit", "p_max_loss", "expected_pnl", "cvar_alpha"):
        values = getattr(found, name)
        assert values[1] == pytest.approx(values[0], abs=1e-9)
    assert found.expected_pnl[2] == pytest.approx(-found.expected_pnl[0], abs=1e-9)
    assert found.p_max_profit[2] == pytest.approx(found.p_max_loss[0], abs=1e-12)
    even = 1 - found.pop_terminal[0] - found.pop_terminal[2]
    assert even >= -1e-11  # what is left is the mass at a profit of exactly zero
    assert found.cvar_alpha[0] <= one.max_loss + 1e-7
    assert found.cvar_alpha[0] >= -found.quantiles[0.05][0] - 1e-7
    # The same by the intervals of profit.
    law = laws.law(0)
    by_intervals = sum(
        (1.0 if high == math.inf else float(law.cdf(high))) - float(law.cdf(low)) for low, high in one.profit_intervals
    )
    assert found.pop_terminal[0] == pytest.approx(by_intervals, abs=1e-11)


def test_probability_and_moments_do_not_change_with_the_unit_of_money():
    small = heston_laws(MILD, [YEARS], 100.0)
    large = heston_laws(MILD, [YEARS], 5000.0)
    one = position(CONDOR, -1.4, multiplier=1.0)
    fifty = position([(right, 50 * k, q) for right, k, q in CONDOR], -70.0, multiplier=1.0)
    a = terminal_profit(one.lines, small, small.provenance)
    b = terminal_profit(fifty.lines, large, large.provenance)
    for name in ("pop_terminal", "p_max_profit", "p_max_loss"):
        assert getattr(b, name)[0] == pytest.approx(getattr(a, name)[0], abs=1e-12)
    for name in ("expected_pnl", "cvar_alpha"):
        assert getattr(b, name)[0] == pytest.approx(50 * getattr(a, name)[0], abs=1e-9)


def test_a_page_of_spreads_over_a_chain_equals_them_one_by_one():
    years = np.array([7, 30, 90, 365]) / 365
    forwards = 100 * np.exp(0.03 * years)
    laws = heston_laws(MILD, years, forwards, discounts=np.exp(-0.04 * years), chain_hash="abc")
    rng = np.random.default_rng(3)
    expiry = rng.integers(0, 4, 40)
    short = forwards[expiry] * np.exp(rng.normal(0, 0.2, 40) * np.sqrt(years[expiry]))
    strikes = np.stack([short, 0.96 * short], axis=1)
    credit = (strikes[:, 0] - strikes[:, 1]) * rng.uniform(0.05, 0.6, 40)
    page = profit_lines_of(strikes, False, [-1, 1], -credit)
    found = terminal_profit(page, laws, laws.provenance, expiry=expiry, quantiles=(0.05,))
    for i in range(40):
        one = terminal_profit(page.rows(np.array([i])), laws, laws.provenance, expiry=int(expiry[i]), quantiles=(0.05,))
        for name in ("pop_terminal", "p_max_profit", "p_max_loss"):
            assert getattr(one, name)[0] == pytest.approx(getattr(found, name)[i], abs=1e-12)
        for name in ("expected_pnl", "cvar_alpha"):
            assert getattr(one, name)[0] == pytest.approx(getattr(found, name)[i], abs=1e-8)
    frame = found.frame()
    assert frame.height == 40
    assert frame["chain_hash"].unique().to_list() == ["abc"]
    assert frame["parameter_hash"].unique().to_list() == [MILD.digest]
    assert frame["measure"].unique().to_list() == ["Q"]
    assert frame["reason"].null_count() == 40
    assert set(frame["analytic"]) == {True}


def test_goal_g2_probabilities_of_many_verticals_are_right_to_1e_8():
    from tests.options.heston.lewis import lewis_cdf

    years = np.array([7, 45, 400]) / 365
    laws = heston_laws(MILD, years, 100.0)
    rng = np.random.default_rng(1)
    expiry = np.repeat(np.arange(3), 60)
    short = 100 * np.exp(rng.normal(0, 0.2, 180) * np.sqrt(years[expiry]))
    credit = 0.01 * short
    page = profit_lines_of(np.stack([short, short - 5], axis=1), False, [-1, 1], -credit)
    found = terminal_profit(page, laws, laws.provenance, expiry=expiry, tails=False)
    for i in range(3):
        twin = 1 - lewis_cdf(MILD, years[i], np.log((short - credit)[expiry == i] / 100))
        np.testing.assert_allclose(found.pop_terminal[expiry == i], twin, atol=1e-12)
    assert np.isnan(found.cvar_alpha).all()


@pytest.mark.parametrize("parameters", [MILD, WILD])
def test_means_and_tails_under_heston_are_those_of_its_density(parameters):
    from tests.options.heston.lewis import lewis_density

    laws = heston_laws(parameters, [YEARS], 100.0)
    one = position((*PUT_SPREAD, ("C", 103, 2)), 0.4)
    found = terminal_profit(one.lines, laws, laws.provenance, alpha=0.9, quantiles=(0.1,))
    x = np.linspace(-2.5, 0.5, 4001)
    mass = lewis_density(parameters, YEARS, x) * (x[1] - x[0])
    profit = one.profit(100 * np.exp(x))
    assert mass.sum() == pytest.approx(1, abs=1e-5)
    assert found.expected_pnl[0] == pytest.approx((mass * profit).sum(), abs=1e-4)
    cut = found.quantiles[0.1][0]
    assert found.cvar_alpha[0] == pytest.approx((mass * np.maximum(cut - profit, 0)).sum() / 0.1 - cut, abs=2e-3)
    assert (mass * (profit < cut - 1e-9)).sum() <= 0.1 + 1e-3
    assert (mass * (profit <= cut + 1e-9)).sum() >= 0.1 - 1e-3


def test_an_expiry_without_a_law_leaves_the_others_alone():
    law = Lognormal()
    lines = profit_lines([position(PUT_SPREAD, -0.6)] * 3)
    found = terminal_profit(lines, LawList([law, None, Lognormal(forward=math.nan)]), UNKNOWN, expiry=[0, 1, 2])
    assert np.isfinite(found.cvar_alpha).tolist() == [True, False, False]
    assert "no law" in (found.reasons[1] or "")
    assert "forward" in (found.reasons[2] or "")


def test_the_law_of_a_fitted_surface_fits_in_as_it_stands():
    law = SurfaceLaw(YEARS, 100.3, 0.995, 0.005, 0.06, -0.6)
    one = position(CONDOR, -1.0)
    found = terminal_profit(one.lines, LawList([law]), Provenance("Q", "expiry", "eSSVI"))
    low, high = one.breakevens
    assert found.pop_terminal[0] == pytest.approx(float(law.cdf(high) - law.cdf(low)), abs=1e-14)
    value = (
        sum(q * float(law.call_price(k) if right == "C" else law.put_price(k)) for right, k, q in CONDOR) / law.discount
    )
    assert found.expected_pnl[0] == pytest.approx(value + 1.0, abs=1e-12)
    assert math.isnan(found.error_bound[0])


def test_unlimited_positions_have_probabilities_quantiles_and_tails():
    straddle = position((("C", 100, 1), ("P", 100, 1)), 5.0)
    short_call = position((("C", 100, -1),), -2.0)
    law = Lognormal()
    found = terminal_profit(profit_lines([straddle, short_call]), LawList([law]), UNKNOWN, quantiles=(0.001, 0.999))
    assert found.p_max_profit[0] == 0
    assert found.p_max_loss.tolist() == [0, 0]
    sample = law.sample(2_000_000)
    for i, one in enumerate((straddle, short_call)):
        profit = np.sort(one.profit(sample))
        for level in (0.001, 0.999):
            assert found.quantiles[level][i] == pytest.approx(profit[int(2_000_000 * level)], abs=2e-2)
        assert found.cvar_alpha[i] == pytest.approx(-profit[:100_000].mean(), abs=1e-3)


def test_a_physical_view_is_explicit_and_labelled():
    view = PhysicalMeasure.of_premium(MILD, drift=0.08, premium=1.5)
    priced = heston_laws(MILD, [YEARS], 100.0)
    viewed = heston_laws(MILD, [YEARS], 100.0, physical=view, spot=100.0)
    assert viewed.provenance.measure == "P"
    assert "drift 0.08" in viewed.provenance.scheme
    assert viewed.forwards[0] == pytest.approx(100 * math.exp(0.08 * YEARS))
    assert viewed.provenance.parameter_hash != priced.provenance.parameter_hash
    lines = position(PUT_SPREAD, -0.68).lines
    # A positive variance premium and a drift help whoever sold puts.
    assert (
        terminal_profit(lines, viewed, viewed.provenance).pop_terminal[0]
        > terminal_profit(lines, priced, priced.provenance).pop_terminal[0]
    )
    with pytest.raises(ValueError, match="spot"):
        heston_laws(MILD, [YEARS], 100.0, physical=view)


def test_bad_expiries_and_prices_get_a_reason_and_leave_the_rest_alone():
    years = np.array([0.0, YEARS, -0.1, YEARS, math.nan])
    forwards = np.array([100.0, 100.0, 100.0, math.nan, 100.0])
    laws = heston_laws(MILD, years, forwards)
    lines = profit_lines_of(np.tile([95.0, 90.0], (6, 1)), False, [-1, 1], [-0.6] * 5 + [math.nan], multiplier=1.0)
    found = terminal_profit(lines, laws, laws.provenance, expiry=[0, 1, 2, 3, 4, 1], quantiles=(0.5,))
    good = terminal_profit(position(PUT_SPREAD, -0.6).lines, heston_laws(MILD, [YEARS], 100.0), laws.provenance)
    assert found.pop_terminal[1] == good.pop_terminal[0]
    assert found.cvar_alpha[1] == pytest.approx(good.cvar_alpha[0])
    bad = [0, 2, 3, 4, 5]
    for name in ("pop_terminal", "p_max_profit", "p_max_loss", "expected_pnl", "cvar_alpha"):
        assert np.isnan(getattr(found, name)[bad]).all(), name
    assert np.isnan(found.quantiles[0.5][bad]).all()
    assert found.reasons[1] is None
    assert "expired" in (found.reasons[0] or "")
    assert "forward" in (found.reasons[3] or "")
    assert "price" in (found.reasons[5] or "")
    frame = found.frame()
    assert frame["pop_terminal"].null_count() == 5
    nothing = terminal_profit(lines.rows(np.array([0])), heston_laws(MILD, [0.0], 100.0), laws.provenance)
    assert np.isnan(nothing.pop_terminal[0])


def test_estimates_carry_their_provenance_into_rows():
    laws = heston_laws(MILD, [YEARS], 100.0, chain_hash="c0ffee")
    found = terminal_profit(position(PUT_SPREAD, -0.6).lines, laws, laws.provenance, quantiles=(0.5,))
    frame = estimates_frame(found.estimates(0))
    assert frame["name"].to_list() == [
        "pop_terminal",
        "p_max_profit",
        "p_max_loss",
        "expected_pnl",
        "cvar_alpha",
        "quantile_0.5",
    ]
    assert frame.filter(pl.col("name") == "pop_terminal")["error_bound"][0] < 1e-11
    assert frame["chain_hash"].unique().to_list() == ["c0ffee"]
    assert frame["standard_error"].null_count() == frame.height
    assert frame["seed"].null_count() == frame.height


@pytest.mark.parametrize(
    ("options", "message"),
    [({"alpha": 1.0}, "alpha"), ({"quantiles": (0.0,)}, "quantiles"), ({"expiry": 3}, "expiry")],
)
def test_bad_settings_name_what_is_wrong(options, message):
    laws = heston_laws(MILD, [YEARS], 100.0)
    with pytest.raises(ValueError, match=message):
        terminal_profit(position(PUT_SPREAD, -0.6).lines, laws, laws.provenance, **options)
