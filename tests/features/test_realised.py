"""Realised volatility: table A6 of the numerics notes, plain twins, simulated paths, hostile bars."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.features.realised import (
    BAD_BAR,
    ESTIMATORS,
    NO_MOVEMENT,
    SHORT_WINDOW,
    STALE,
    har_forecast,
    intraday_variance,
    log_bars,
    rolling_reasons,
    rolling_variance,
)

# Table A6.
OPEN = [100.5, 101.2, 100.1, 99.0, 99.8, 101.0, 100.2, 98.5]
HIGH = [101.6, 101.9, 100.8, 100.2, 101.3, 101.4, 100.6, 99.9]
LOW = [99.9, 99.7, 98.6, 98.4, 99.5, 99.9, 97.8, 98.1]
CLOSE = [101.0, 100.0, 98.9, 99.9, 101.1, 100.1, 98.2, 99.6]
BEFORE = [100.0, *CLOSE[:-1]]
A6 = {
    "close_to_close": 0.210306912748,
    "zero_mean": 0.196884803332,
    "parkinson": 0.192085816285,
    "garman_klass": 0.192073366588,
    "rogers_satchell": 0.182814704495,
    "yang_zhang": 0.188221511822,
}


@pytest.mark.parametrize(("estimator", "value"), A6.items())
def test_a6_annualised_volatility_of_eight_sessions(estimator, value):
    variance = rolling_variance(log_bars(OPEN, HIGH, LOW, CLOSE, BEFORE), 8, estimator)
    assert math.sqrt(252 * variance[-1]) == pytest.approx(value, abs=1e-10)
    assert np.isnan(variance[:-1]).all()


def test_a6_jump_robust_sums():
    found = intraday_variance(np.log(np.array(CLOSE) / BEFORE))
    wanted = (0.0012305912947, 0.00183278197785, 0.00145104565434, 0.00251121121027)
    assert found[:4] == pytest.approx(wanted, abs=1e-10)
    assert found.jump_share == 0.0


def plain(estimator: str, bars) -> float:
    """The estimator by its textbook formula over lists."""
    o, c, u, d, r = (list(map(float, field)) for field in bars)
    n, log4 = len(o), 4 * math.log(2)
    rs = statistics.fmean(a * (a - x) + b * (b - x) for a, b, x in zip(u, d, c, strict=True))
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    return {
        "close_to_close": lambda: statistics.variance(r),
        "zero_mean": lambda: statistics.fmean(x * x for x in r),
        "parkinson": lambda: statistics.fmean((a - b) ** 2 for a, b in zip(u, d, strict=True)) / log4,
        "garman_klass": lambda: statistics.fmean(
            (a - b) ** 2 / 2 - (log4 / 2 - 1) * x * x for a, b, x in zip(u, d, c, strict=True)
        ),
        "rogers_satchell": lambda: rs,
        "yang_zhang": lambda: statistics.variance(o) + k * statistics.variance(c) + (1 - k) * rs,
        "overnight": lambda: statistics.fmean(x * x for x in o),
    }[estimator]()


def walk(sessions: int, seed: int, vol: float = 0.01, night: float = 0.006, steps: int = 390, drift: float = 0.0):
    """Daily bars of a walk with ``steps`` moves per session: open, high, low, close, previous close."""
    rng = np.random.default_rng(seed)
    gap = rng.normal(0, night, sessions)
    path = np.cumsum(rng.normal(drift / steps, vol / math.sqrt(steps), (sessions, steps)), axis=1)
    starts = np.cumsum(gap + np.concatenate([[0.0], path[:-1, -1]]))
    high, low = np.maximum(path.max(1), 0), np.minimum(path.min(1), 0)
    logs = (starts, starts + high, starts + low, starts + path[:, -1], starts - gap)
    return tuple(100 * np.exp(v) for v in logs)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_rolling_values_equal_the_plain_formula_and_depend_on_their_window_alone(estimator):
    bars = log_bars(*walk(60, 1))
    rolled = rolling_variance(bars, 21, estimator)
    for end in (21, 40, 60):
        part = type(bars)(*(field[end - 21 : end] for field in bars))
        assert rolled[end - 1] == pytest.approx(plain(estimator, part), rel=1e-12)
        assert rolled[end - 1] == rolling_variance(part, 21, estimator)[-1]


def test_every_estimator_finds_the_variance_of_a_simulated_market():
    bars = log_bars(*walk(4000, 2))
    day, night = 0.01**2, 0.006**2
    found = {name: float(rolling_variance(bars, 4000, name)[-1]) for name in ESTIMATORS}
    for name in ("close_to_close", "zero_mean"):
        assert found[name] == pytest.approx(day + night, rel=0.06)
    # Extremes between trades are missed: ranges are too small by some percent.
    for name in ("parkinson", "garman_klass", "rogers_satchell"):
        assert 0.85 * day < found[name] < 1.01 * day
    assert found["yang_zhang"] == pytest.approx(found["rogers_satchell"] + night, rel=0.05)


def test_drift_inflates_parkinson_but_not_rogers_satchell():
    bars = log_bars(*walk(3000, 3, drift=0.02))
    assert rolling_variance(bars, 3000, "parkinson")[-1] > 2 * 0.01**2
    assert rolling_variance(bars, 3000, "rogers_satchell")[-1] == pytest.approx(0.01**2, rel=0.15)


@pytest.mark.parametrize(
    "bar",
    [
        (np.nan, 101, 99, 100),
        (None, 101, 99, 100),
        (100, 101, 99, -100),
        (100, 101, 0, 100),
        (100, 99.5, 99, 100),
        (100, 101, 100.5, 100),
        (100, np.inf, 99, 100),
    ],
)
def test_a_bar_that_cannot_be_silences_every_window_that_holds_it_and_says_so(bar):
    columns = [list(v) for v in walk(30, 4)]
    for column, value in zip(columns, bar, strict=False):
        column[15] = value
    columns[4][16] = columns[3][15]
    bars = log_bars(*columns)
    values = rolling_variance(bars, 10)
    reasons = rolling_reasons(bars, 10, np.ones(30), 7)
    assert np.isfinite(values[9:15]).all()
    assert np.isnan(values[15:25]).all()
    assert reasons[:9] == [SHORT_WINDOW] * 9
    assert reasons[9:15] == [None] * 6
    assert set(reasons[15:25]) == {BAD_BAR}


def test_a_market_that_stands_still_or_stops_has_no_volatility():
    flat = log_bars(*[np.full(20, 50.0)] * 5)
    assert np.isnan(rolling_variance(flat, 10)).all()
    assert rolling_reasons(flat, 10, np.ones(20), 7)[10:] == [NO_MOVEMENT] * 10
    gaps = np.ones(30)
    gaps[12] = 40
    reasons = rolling_reasons(log_bars(*walk(30, 5)), 10, gaps, 7)
    assert reasons[11] is None
    assert set(reasons[12:22]) == {STALE}
    assert reasons[22] is None


def test_wrong_arguments_are_named():
    bars = log_bars(*walk(5, 6))
    with pytest.raises(ValueError, match="window 1"):
        rolling_variance(bars, 1)
    with pytest.raises(ValueError, match="'yz': choose one of close_to_close"):
        rolling_variance(bars, 3, "yz")  # type: ignore[arg-type]
    assert rolling_reasons(bars, 6, np.ones(5), 7) == [SHORT_WINDOW] * 5


def test_bipower_ignores_a_jump_that_realised_variance_counts():
    rng = np.random.default_rng(7)
    calm = rng.normal(0, 0.001, 390)
    jump = calm.copy()
    jump[200] += 0.03
    quiet, loud = intraday_variance(calm), intraday_variance(jump)
    assert quiet.jump_share < 0.1
    assert loud.jump_share > 0.6
    assert loud.realised - quiet.realised == pytest.approx(0.03**2, rel=0.1)
    for name in ("bipower", "median", "minimum"):
        assert getattr(quiet, name) == pytest.approx(390e-6, rel=0.25)
        assert getattr(loud, name) < 1.35 * getattr(quiet, name)
    assert all(math.isnan(v) for v in intraday_variance([0.1, np.nan, 0.1, 0.2]))
    assert all(math.isnan(v) for v in intraday_variance([0.1, 0.2]))


def har_series(n: int, seed: int) -> np.ndarray:
    """Variances that follow a HAR law."""
    rng = np.random.default_rng(seed)
    v = np.full(n, 1e-4)
    for t in range(22, n):
        mean = 0.1e-4 + 0.35 * v[t - 1] + 0.3 * v[t - 5 : t].mean() + 0.25 * v[t - 22 : t].mean()
        v[t] = mean * np.exp(rng.normal(-0.045, 0.3))
    return v


def test_har_forecast_equals_least_squares_on_what_was_known():
    import statsmodels.api as sm

    v, horizon, t = har_series(400, 8), 5, 330
    rows = np.array([[v[s], v[s - 4 : s + 1].mean(), v[s - 21 : s + 1].mean()] for s in range(21, t + 1)])
    known = len(rows) - horizon
    future = np.array([v[s + 1 : s + 1 + horizon].mean() for s in range(21, 21 + known)])
    fit = sm.OLS(future[-200:], sm.add_constant(rows[:known][-200:])).fit()
    wanted = float(fit.predict(np.array([[1.0, *rows[-1]]]))[0])
    found = har_forecast(v, horizon, fit_sessions=200)[t]
    assert found == pytest.approx(wanted, rel=1e-9)


def test_har_forecast_beats_the_last_value_and_never_sees_the_future():
    v = har_series(900, 9)
    made = har_forecast(v, 5)
    for t in (300, 600, 850):
        np.testing.assert_array_equal(har_forecast(v[: t + 1], 5), made[: t + 1])
        other = v.copy()
        other[t + 1 :] *= 7
        np.testing.assert_array_equal(har_forecast(other, 5)[: t + 1], made[: t + 1])
    at = np.arange(300, 890)
    future = np.array([v[t + 1 : t + 6].mean() for t in at])
    assert np.mean((made[at] - future) ** 2) < 0.8 * np.mean((v[at] - future) ** 2)


def test_har_forecast_is_unknown_without_a_month_or_a_fit():
    v = har_series(200, 10)
    made = har_forecast(v, 5, min_rows=60)
    assert np.isnan(made[: 21 + 60 + 4]).all()
    assert np.isfinite(made[21 + 60 + 4 :]).all()
    v[150] = np.nan
    assert np.isnan(har_forecast(v, 5)[150:172]).all()
    assert np.isnan(har_forecast(np.zeros(200), 5)).all()
    with pytest.raises(ValueError, match="horizon 0"):
        har_forecast(v, 0)


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(0.01, 1e4), seed=st.integers(0, 2**32 - 1), window=st.integers(2, 30))
def test_units_of_price_do_not_matter_and_variance_is_not_negative(scale, seed, window):
    columns = walk(40, seed, steps=20)
    one, other = log_bars(*columns), log_bars(*[v * scale for v in columns])
    for name in ESTIMATORS:
        a, b = rolling_variance(one, window, name), rolling_variance(other, window, name)
        assert (a[np.isfinite(a)] > 0).all()
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-13)
