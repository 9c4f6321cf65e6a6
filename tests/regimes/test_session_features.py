"""Features of sessions: learnt on earlier months, the same in any range, worth what their definitions say."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import UTC_US
from argus_core.regimes.mfdfa import surrogate_width
from argus_core.regimes.model_regimes import (
    FRAME_COLUMNS,
    VOTES,
    compute_model_regimes,
    first_history_date,
    session_table,
)
from argus_core.regimes.session_features import (
    Moves,
    bar_moves,
    hawkes_features,
    signature_features,
    width_features,
)
from argus_core.regimes.signatures import lead_lag, signature, with_time
from argus_core.settings import ModelRegimeSettings
from tests.regimes.test_hawkes import simulated

SETTINGS = ModelRegimeSettings(mfdfa_surrogates=19)
START, END = date(2023, 1, 3), date(2024, 3, 28)
FEATURES = tuple(name for name in FRAME_COLUMNS if name.startswith(("hawkes", "signature", "mfdfa")))
HALF_HOUR = 1800


@pytest.fixture(scope="module")
def bars(calendar):
    """Thirteen bars a session; large moves come in clusters."""
    rng = np.random.default_rng(4)
    days = calendar.sessions_between(START, END)
    bounds = [calendar.session_bounds(d) for d in days]
    opens = np.repeat(pl.Series([b[0] for b in bounds]).cast(UTC_US).to_physical().to_numpy(), 13)
    ts = opens + np.tile(np.arange(13), len(days)) * HALF_HOUR * 1_000_000
    shocks = rng.random(len(ts)) < 0.04
    wild = np.convolve(shocks, 0.6 ** np.arange(6))[: len(ts)]
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, len(ts)) * (1 + 4 * wild)))
    frame = pl.DataFrame(
        {
            "ts": pl.Series(ts).cast(UTC_US),
            "trade_date": [day for day in days for _ in range(13)],
            "open": close * np.exp(rng.normal(0, 0.002, len(ts))),
            "high": close * 1.004,
            "low": close * 0.996,
            "close": close,
        }
    ).with_columns(
        provider=pl.lit("sim"),
        symbol=pl.lit("SPY"),
        bar_seconds=pl.lit(HALF_HOUR, pl.Int32),
        available_at=pl.col("ts") + pl.duration(seconds=HALF_HOUR),
    )
    ends = pl.DataFrame({"trade_date": days, "close_ts": pl.Series([b[1] for b in bounds]).cast(UTC_US)})
    return frame.join(ends, on="trade_date", maintain_order="left").filter(pl.col("ts") < pl.col("close_ts"))


@pytest.fixture(scope="module")
def rows(bars, calendar):
    return compute_model_regimes(bars, calendar, SETTINGS, anchors=(date(2023, 12, 1), END))


def test_features_are_columns_of_the_frame_and_no_votes(bars, rows, calendar):
    assert len(FEATURES) == 7
    assert not set(FEATURES) & set(VOTES)
    last = rows.filter(pl.col("trade_date") >= date(2024, 2, 1))
    for name in FEATURES:
        assert last[name].null_count() == 0, name
    first = compute_model_regimes(bars.head(40), calendar, SETTINGS)
    assert first.select(pl.col(FEATURES).is_null().all()).row(0) == (True,) * 7


@pytest.mark.parametrize("day", [date(2024, 2, 1), date(2024, 3, 14)])
def test_a_date_alone_has_the_row_of_the_range_and_knows_nothing_later(bars, rows, calendar, day):
    expected = rows.filter(pl.col("trade_date") == day)
    known = bars.filter(pl.col("trade_date").is_between(first_history_date(day, SETTINGS), day))
    assert compute_model_regimes(known, calendar, SETTINGS, anchors=(day, day)).equals(expected)
    later = pl.col("trade_date") > day
    other = bars.with_columns(
        pl.when(later).then(pl.col(n) * (2 + pl.int_range(pl.len()) % 5)).otherwise(n) for n in ("open", "close")
    )
    assert compute_model_regimes(other, calendar, SETTINGS, anchors=(day, day)).equals(expected)


def test_what_is_learnt_stands_still_through_a_month(rows):
    by_month = rows.group_by(pl.col("trade_date").dt.truncate("1mo")).agg(
        pl.col("hawkes_branching", "mfdfa_width", "mfdfa_z").n_unique(), moving=pl.col("hawkes_intensity").n_unique()
    )
    assert by_month.select(pl.col("hawkes_branching", "mfdfa_width", "mfdfa_z").max()).row(0) == (1, 1, 1)
    assert by_month["moving"].max() > 15


def test_the_unit_of_prices_does_not_matter(bars, rows, calendar):
    dearer = bars.with_columns(pl.col("open", "close", "high", "low") * 64.0)
    day = END
    found = compute_model_regimes(dearer, calendar, SETTINGS, anchors=(day, day))
    assert found.equals(rows.filter(pl.col("trade_date") == day))


def test_moves_leave_out_the_night(bars, calendar):
    moves = bar_moves(bars, session_table(bars, calendar), calendar)
    first = bars.filter(pl.int_range(pl.len()).over("trade_date") == 0)
    found = moves.size[np.flatnonzero(np.diff(moves.session, prepend=-1))]
    assert found == pytest.approx((first["close"] / first["open"]).log().abs().to_numpy())
    assert moves.size[1] == pytest.approx(abs(np.log(bars["close"][1] / bars["close"][0])))
    assert moves.seconds[:2].tolist() == [900.0, 2700.0]


def test_daily_bars_move_from_close_to_close(bars, calendar):
    daily = bars.group_by("trade_date", maintain_order=True).last().with_columns(bar_seconds=pl.lit(86400, pl.Int32))
    sessions = session_table(daily, calendar)
    moves = bar_moves(daily, sessions, calendar)
    assert moves.session[0] == 1
    assert moves.size == pytest.approx(sessions["log_return"].abs().drop_nulls().to_numpy())
    found = compute_model_regimes(daily, calendar, SETTINGS, anchors=(date(2024, 3, 1), END))
    assert found["hawkes_branching"].is_between(0, 1).all()


def events_as_moves(times: np.ndarray, sessions: int, per_session: int = 390) -> Moves:
    """Bars of a minute, extreme where an event falls."""
    size = np.random.default_rng(0).uniform(0.1, 0.2, sessions * per_session)
    size[np.floor(times * per_session).astype(int)] += 1
    number = np.arange(len(size))
    return Moves(number // per_session, number % per_session * 60.0 + 30, size, 60)


def test_hawkes_parameters_of_earlier_sessions_are_found_and_the_intensity_follows_events():
    times = simulated(0.6, 8.0, 20.0, 270.0, 7)
    moves = events_as_moves(times, 270)
    intensity, branching = hawkes_features(moves, 0, 250, 270, SETTINGS)
    assert branching == pytest.approx(0.4, abs=0.12)
    # Events of each session's last twentieth of a day excite its end.
    recent = np.array([((times < end) & (times > end - 0.05)).sum() for end in range(251, 271)])
    assert intensity.min() > 0
    if recent.any():
        assert intensity[recent > 0].min() > np.median(intensity[recent == 0])
    poisson = np.sort(np.random.default_rng(3).uniform(0, 270, 270))
    assert hawkes_features(events_as_moves(poisson, 270), 0, 250, 270, SETTINGS)[1] < 0.2


def test_the_shape_of_the_day_is_no_excitation():
    rng = np.random.default_rng(5)
    # Nine of ten extremes in the first tenth of the session, independent of each other.
    early = rng.random(800) < 0.9
    times = np.sort(rng.integers(0, 400, 800) + np.where(early, rng.random(800) * 0.1, rng.random(800)))
    settings = SETTINGS.model_copy(update={"extremes_per_session": 2.0})
    assert hawkes_features(events_as_moves(times, 400), 0, 380, 400, settings)[1] < 0.2


def test_hawkes_abstains_with_few_sessions_or_equal_moves():
    moves = events_as_moves(simulated(0.6, 8.0, 20.0, 60.0, 7), 60)
    assert np.isnan(hawkes_features(moves, 0, 39, 60, SETTINGS)[1])
    flat = moves._replace(size=np.ones_like(moves.size))
    intensity, branching = hawkes_features(flat, 0, 50, 60, SETTINGS)
    assert np.isnan(branching)
    assert np.isnan(intensity).all()


def test_signature_features_give_every_term_to_level_two():
    returns = np.random.default_rng(1).normal(0, 0.01, 80)
    found = signature_features(returns, 60, SETTINGS)
    unit = returns[:60].std(ddof=1) * np.sqrt(20)
    for row, end in ((0, 61), (19, 80)):
        path = np.concatenate([[0.0], np.cumsum(returns[end - 20 : end])])[:, None] / unit
        x, area, half = found[row]
        assert x == pytest.approx(path[-1, 0])
        assert half == pytest.approx((np.diff(path[:, 0]) ** 2).sum() / 2)
        assert signature(with_time(path), 2) == pytest.approx([1, x, 0.5, x / 2 + area, x / 2 - area, x * x / 2])
        both = [x, x, x * x / 2, x * x / 2 + half, x * x / 2 - half, x * x / 2]
        assert signature(lead_lag(path), 2) == pytest.approx(both)


def test_a_rise_that_comes_late_has_a_positive_area_with_time():
    late, early = (np.zeros(60) for _ in range(2))
    late[-2:], early[-20:-18] = 0.02, 0.02
    noise = np.random.default_rng(2).normal(0, 0.01, 40)
    areas = [signature_features(np.concatenate([noise, x[-20:]]), 40, SETTINGS)[-1, 1] for x in (late, early)]
    assert areas[0] == pytest.approx(-areas[1])
    assert areas[0] > 0.2


def test_signatures_need_every_return_of_their_window():
    returns = np.random.default_rng(1).normal(0, 0.01, 80)
    returns[65] = np.nan
    found = signature_features(returns, 60, SETTINGS)
    assert np.isfinite(found[:5]).all()
    assert np.isnan(found[5:]).all()
    assert np.isnan(signature_features(returns, 30, SETTINGS)).all()
    assert np.isnan(signature_features(np.zeros(80), 60, SETTINGS)).all()


def test_the_width_is_that_above_its_surrogates():
    returns = np.random.default_rng(3).standard_t(3, 260) * 0.01
    whole = surrogate_width(returns, draws=19, seed=5)
    assert whole is not None
    holes = np.insert(returns, [0, 100], np.nan)
    assert width_features(holes, 5, SETTINGS) == (whole.excess, whole.z)
    assert width_features(holes, 6, SETTINGS) != (whole.excess, whole.z)
    assert np.isnan(width_features(returns[:199], 5, SETTINGS)).all()
