"""Bayesian change points against brute force over all segmentations, closed forms and the Nile."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.regimes.bocpd import (
    NormalInverseGamma,
    bocpd,
    log_squares,
    segment_log_evidence,
    single_change_posterior,
    standardise_on_past,
)

#: BOCPD-A of the acceptance table.
SERIES = np.array([0.1, -0.3, 0.2, 0.0, 3.1, 2.8, 3.3, 2.9, 3.0, 3.2])
UNIT = NormalInverseGamma()


def brute_force(x: np.ndarray, hazard: float, prior: NormalInverseGamma) -> tuple[np.ndarray, float]:
    """P(r_n = 0..n) and log evidence by enumeration of all 2^n sequences of change, no change."""
    n = len(x)
    terms: list[list[float]] = [[] for _ in range(n + 1)]
    evidence = {(i, j): segment_log_evidence(x[i:j], prior) for i in range(n) for j in range(i + 1, n + 1)}
    for bits in range(2**n):
        changes = [i + 1 for i in range(n) if bits >> i & 1]
        score = len(changes) * math.log(hazard) + (n - len(changes)) * math.log1p(-hazard)
        score += sum(evidence[a, b] for a, b in pairwise([0, *changes, n]) if a < b)
        terms[n - (changes[-1] if changes else 0)].append(score)
    by_length = np.array([np.logaddexp.reduce(scores) for scores in terms])
    total = float(np.logaddexp.reduce(by_length))
    return np.exp(by_length - total), total


def test_a58_bocpd_exact():
    result = bocpd(SERIES, 0.1, UNIT)
    expected = [0.1, 0.0151, 0.008796, 0.007867, 0.011135, 0.023421, 0.751139, 0.056274, 0.011829, 0.002477, 0.011961]
    assert result.posterior[0] == pytest.approx(expected, abs=1e-6)
    assert result.log_evidence.sum() == pytest.approx(-17.994902, abs=1e-6)
    assert result.map_run_length[0].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("hazard", "prior"), [(0.1, UNIT), (0.35, NormalInverseGamma(0.5, 0.2, 2.0, 0.3)), (0.01, UNIT)]
)
def test_a58_equals_brute_force_over_all_segmentations(hazard, prior):
    result = bocpd(SERIES, hazard, prior)
    posterior, evidence = brute_force(SERIES, hazard, prior)
    assert result.posterior[0] == pytest.approx(posterior, abs=1e-12)
    assert result.log_evidence.sum() == pytest.approx(evidence, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=12, max_size=12),
    st.floats(1e-3, 0.9),
    st.floats(-5, 5),
    st.floats(0.01, 50),
)
def test_a59_the_probability_of_a_change_now_is_the_hazard_whatever_the_data(values, hazard, m, b):
    result = bocpd(np.array(values), hazard, NormalInverseGamma(m, 0.5, 1.5, b))
    assert result.change == pytest.approx(hazard, abs=1e-9)
    assert result.posterior.sum() == pytest.approx(1, abs=1e-9)
    assert ((result.recent >= hazard - 1e-9) & (result.recent <= 1 + 1e-9)).all()
    assert (result.map_run_length <= np.arange(1, 13)).all()


def test_a60_bocpd_nile():
    from statsmodels.datasets import nile

    volume, years = (nile.load_pandas().data[name].to_numpy() for name in ("volume", "year"))
    z = (volume - volume.mean()) / volume.std()
    result = bocpd(z, 0.01, UNIT)
    assert result.log_evidence.sum() == pytest.approx(-126.624182, abs=1e-5)
    assert result.map_run_length[0, -1] == 72
    assert years[len(z) - 72] == 1899
    assert result.posterior[0, 72] == pytest.approx(0.604769, abs=1e-5)
    single = single_change_posterior(z, UNIT)
    assert years[int(single.argmax())] == 1898
    assert single.max() == pytest.approx(0.72145, abs=1e-5)


def test_one_segment_without_changes_has_the_closed_form_evidence():
    # A hazard too small to matter leaves a single segment: the predictive densities multiply to its marginal.
    x = np.random.default_rng(1).normal(size=60)
    assert bocpd(x, 1e-14, UNIT).log_evidence.sum() == pytest.approx(segment_log_evidence(x, UNIT), abs=1e-9)


def test_rows_use_the_past_only():
    x = np.random.default_rng(2).normal(size=80)
    whole, other = bocpd(x, 0.05), bocpd(np.concatenate([x[:50], -20 * x[50:]]), 0.05)
    for name in ("log_evidence", "map_run_length", "recent", "level", "change"):
        assert (getattr(whole, name)[0, :50] == getattr(other, name)[0, :50]).all()
        cut = getattr(bocpd(x[:50], 0.05), name)[0]
        assert getattr(whole, name)[0, :50] == pytest.approx(cut, abs=1e-12)


def test_series_in_a_batch_do_not_touch_each_other():
    x = np.random.default_rng(3).normal(size=(3, 70)) * np.array([[1.0], [3.0], [0.2]])
    rates = np.array([0.02, 0.1, 0.3])
    together = bocpd(x, rates)
    for row in range(3):
        alone = bocpd(x[row], rates[row])
        assert together.recent[row] == pytest.approx(alone.recent[0], abs=1e-12)
        assert (together.map_run_length[row] == alone.map_run_length[0]).all()


def test_a_missing_observation_moves_nothing():
    x = np.random.default_rng(4).normal(size=40)
    holes = np.insert(x, [0, 10, 40], np.nan)
    full, gappy = bocpd(x, 0.05), bocpd(holes, 0.05)
    seen = np.isfinite(holes)
    assert gappy.recent[0][seen] == pytest.approx(full.recent[0], abs=1e-12)
    assert gappy.log_evidence[0][~seen].tolist() == [0, 0, 0]
    assert gappy.recent[0][11] != gappy.recent[0][12]
    assert gappy.recent[0][10] == gappy.recent[0][11]  # row 11 is the hole inserted before x[10]


@pytest.mark.parametrize("scale", [0.01, 250.0])
def test_units_do_not_matter_where_the_prior_moves_along(scale):
    x = np.random.default_rng(5).normal(size=60)
    one = bocpd(x, 0.05, UNIT)
    other = bocpd(scale * x + 7, 0.05, NormalInverseGamma(7.0, 1.0, 1.0, scale**2))
    assert other.recent == pytest.approx(one.recent, abs=1e-9)
    assert other.log_evidence == pytest.approx(one.log_evidence - math.log(scale), abs=1e-9)


def test_a_limit_on_run_lengths_tells_what_it_drops():
    x = np.random.default_rng(6).normal(size=120)
    x[60:] += 6.0
    exact = bocpd(x, 0.05)
    assert exact.pruned.max() == 0
    near, far = bocpd(x, 0.05, max_run=100), bocpd(x, 0.05, max_run=30)
    # The change at 60 ends every run before any is 100 long, so nothing is lost there.
    assert near.pruned[0, -1] < 1e-9
    assert near.recent == pytest.approx(exact.recent, abs=1e-9)
    assert 0.5 < far.pruned[0, -1] <= 1
    assert np.diff(far.pruned[0]).min() >= 0
    assert far.map_run_length.max() <= 30
    assert far.posterior.sum() == pytest.approx(1)


@pytest.mark.parametrize(("factor", "sign"), [(5.0, 1), (0.2, -1)])
def test_a_change_of_volatility_is_found_in_log_squares_with_its_direction(factor, sign):
    rng = np.random.default_rng(7)
    returns = np.concatenate([rng.normal(0, 0.006, 200), rng.normal(0, 0.006 * factor, 60)])
    result = bocpd(standardise_on_past(log_squares(returns)), 1 / 60, recent_steps=20)
    assert result.recent[0, 198] < 0.5
    assert result.recent[0, 215] > 0.9
    assert sign * result.level[0, 230] > 0.5
    assert result.map_run_length[0, 230] == pytest.approx(31, abs=5)


def test_no_false_alarm_where_nothing_changes():
    z = standardise_on_past(log_squares(np.random.default_rng(8).normal(0, 0.01, (20, 250))))
    result = bocpd(z, 1 / 60, recent_steps=5)
    assert np.nanmean(result.recent[:, 100:] > 0.5) < 0.05


def test_far_outliers_and_long_series_do_not_underflow():
    x = np.random.default_rng(9).normal(size=600)
    x[::97] = 1e12
    result = bocpd(x, 0.01)
    for name in ("log_evidence", "recent", "level"):
        assert np.isfinite(getattr(result, name)).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=1, max_size=30), st.integers(2, 6))
def test_standardising_equals_the_plain_definition(values, smallest):
    x = np.array(values)
    found = standardise_on_past(x, smallest=smallest)
    for t, value in enumerate(found):
        past = x[:t][np.isfinite(x[:t])]
        if np.isfinite(value):
            assert len(past) >= smallest
            spread = past.std(ddof=1)
            assert value == pytest.approx((x[t] - past.mean()) / spread, rel=1e-4, abs=1e-6)
        elif np.isfinite(x[t]) and len(past) >= smallest:
            assert np.ptp(past) <= 1e-4 * max(1.0, np.abs(past).max())


def test_log_squares_are_bounded_below_and_follow_scale():
    returns = np.random.default_rng(10).normal(0, 0.01, 100)
    returns[50] = 0.0
    value = log_squares(returns)
    assert np.isnan(value[:20]).all()
    assert np.isfinite(value[20:]).all()
    assert value[50] > np.log(1e-8) - 4
    assert log_squares(3 * returns)[20:] == pytest.approx(value[20:] + np.log(9), abs=1e-9)
    assert np.isnan(log_squares(np.zeros(40))).all()


def test_empty_series_have_empty_results():
    assert bocpd(np.empty((2, 0)), 0.1).recent.shape == (2, 0)
    assert standardise_on_past(np.empty(0)).shape == (0,)
    assert segment_log_evidence(np.empty(0)) == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hazard": 0.0}, "hazard: 0.0"),
        ({"hazard": 1.0}, "hazard: 1.0"),
        ({"prior": NormalInverseGamma(b=0.0)}, "prior"),
        ({"values": np.array([1.0, np.inf])}, "infinite at series 0, step 1"),
        ({"values": np.zeros((2, 2, 2))}, "shape"),
        ({"recent_steps": -1}, "recent_steps: -1"),
        ({"max_run": 0}, "max_run: 0"),
    ],
)
def test_what_cannot_be_used_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        bocpd(**({"values": SERIES, "hazard": 0.1} | change))


def test_helpers_refuse_what_they_cannot_use():
    with pytest.raises(ValueError, match="smallest: 1"):
        standardise_on_past(SERIES, smallest=1)
    with pytest.raises(ValueError, match="offset: 0"):
        log_squares(SERIES, offset=0)
    with pytest.raises(ValueError, match="1 observation"):
        single_change_posterior(SERIES[:1])
