"""Model regimes of sessions: walk forward, the same rows in any range, nothing of the future."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import UTC_US
from argus_core.regimes.model_regimes import (
    FRAME_COLUMNS,
    MODEL_REGIME_SCHEMA,
    compute_model_regimes,
    first_history_date,
)
from argus_core.settings import ModelRegimeSettings

SETTINGS = ModelRegimeSettings(history_months=6, min_sessions=40)
START, END = date(2023, 6, 1), date(2024, 8, 30)
BREAK = date(2024, 7, 1)


def daily_bars(calendar, *, seed=1, skip=(), start=START, factor=3.0):
    """One bar a session; from `BREAK` on volatility is ``factor`` times as high."""
    days = [d for d in calendar.sessions_between(start, END) if d not in skip]
    every = calendar.sessions_between(START, END)
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.008, len(every)) * np.where(np.array([d >= BREAK for d in every]), factor, 1.0)
    path = dict(zip(every, 100 * np.exp(np.cumsum(moves)), strict=True))
    close = np.array([path[d] for d in days])
    bounds = [calendar.session_bounds(d) for d in days]
    return pl.DataFrame(
        {
            "ts": pl.Series([b[0] for b in bounds]).cast(UTC_US),
            "available_at": pl.Series([b[1] for b in bounds]).cast(UTC_US),
            "trade_date": days,
            "high": close * 1.004,
            "low": close * 0.996,
            "close": close,
        }
    ).with_columns(provider=pl.lit("sim"), symbol=pl.lit("SPY"), bar_seconds=pl.lit(86400, pl.Int32))


@pytest.fixture(scope="module")
def bars(calendar):
    return daily_bars(calendar)


@pytest.fixture(scope="module")
def rows(bars, calendar):
    return compute_model_regimes(bars, calendar, SETTINGS)


def test_one_row_per_session_known_at_its_end(bars, rows):
    assert rows.schema == MODEL_REGIME_SCHEMA
    assert rows["trade_date"].to_list() == bars["trade_date"].to_list()
    assert (rows["available_at"] == bars["available_at"]).all()
    assert set(FRAME_COLUMNS) <= set(rows.columns)
    assert rows["config_hash"].unique().to_list() == [SETTINGS.config_hash]


def test_a_jump_of_volatility_turns_the_votes(rows):
    before = rows.filter(pl.col("trade_date").is_between(date(2024, 5, 1), date(2024, 6, 28)))
    after = rows.filter(pl.col("trade_date") >= date(2024, 8, 1))
    assert after["model_level"].mean() > 0.35 > before["model_level"].mean()
    assert after["model_high_vol_prob"].mean() > 0.8
    assert (after["model_vote"] == "TURBULENT").mean() > 0.8
    assert (before["model_vote"] == "TURBULENT").mean() < 0.1
    broken = rows.filter(pl.col("trade_date").is_between(BREAK, date(2024, 7, 31)))
    assert broken["model_cp_prob"].max() > 2 * before["model_cp_prob"].median()
    assert rows["model_run_length"][-1] < 60 < before["model_run_length"][-1]


def test_unknown_is_null_and_abstains(rows):
    early = rows.head(20)
    assert early["model_high_vol_prob"].is_null().all()
    assert early["model_cp_prob"].is_null().all()
    assert early["model_vote"].unique().to_list() == ["UNKNOWN"]
    assert early["model_confidence"].unique().to_list() == [0.0]
    assert rows["log_return"].is_null().to_list()[:2] == [True, False]


def test_probabilities_are_probabilities(rows):
    for name in ("model_cp_prob", "model_high_vol_prob", "model_high_vol_next", "model_drift_cp_prob"):
        known = rows[name].drop_nulls()
        assert known.len() > 200
        assert known.is_between(0, 1).all()
    assert (rows["model_cp_prob"].drop_nulls() >= SETTINGS.change_hazard - 1e-9).all()
    assert rows["model_confidence"].is_in([0.0, round(2 / 3, 10), 1.0]).all()


@pytest.mark.parametrize("cut", [date(2024, 3, 28), date(2024, 7, 16)])
def test_no_row_changes_when_the_future_is_cut_or_changed(bars, rows, calendar, cut):
    kept = rows.filter(pl.col("trade_date") <= cut)
    truncated = bars.filter(pl.col("trade_date") <= cut)
    assert compute_model_regimes(truncated, calendar, SETTINGS).equals(kept)
    wild = (
        pl.when(pl.col("trade_date") > cut).then(pl.col("close") * (1 + pl.int_range(pl.len()) % 7)).otherwise("close")
    )
    other = bars.with_columns(close=wild, high=wild * 1.01, low=wild * 0.99)
    assert compute_model_regimes(other, calendar, SETTINGS).filter(pl.col("trade_date") <= cut).equals(kept)


@pytest.mark.parametrize("day", [date(2024, 7, 1), date(2024, 7, 16), date(2024, 8, 30)])
def test_a_date_alone_with_its_history_equals_the_row_of_the_range(bars, rows, calendar, day):
    history = bars.filter(pl.col("trade_date").is_between(first_history_date(day, SETTINGS), day))
    alone = compute_model_regimes(history, calendar, SETTINGS, anchors=(day, day))
    assert alone.height == 1
    expected = rows.filter(pl.col("trade_date") == day)
    # The first session that is read has no return in either.
    assert alone.equals(expected)


def test_parameters_come_from_earlier_months(bars, rows, calendar):
    """The spread of the states stays the same through a month, whatever happens in it."""
    july = rows.filter(pl.col("trade_date").dt.month() == 7, pl.col("trade_date").dt.year() == 2024)
    assert july["state_vol_ratio"].n_unique() == 1
    calmer = compute_model_regimes(daily_bars(calendar, factor=1.0), calendar, SETTINGS)
    same = calmer.filter(pl.col("trade_date").is_in(july["trade_date"].implode()))
    assert same["state_vol_ratio"].to_list() == july["state_vol_ratio"].to_list()
    assert same["model_high_vol_prob"].to_list() != july["model_high_vol_prob"].to_list()


def test_after_a_missing_session_there_is_no_return(calendar):
    gone = date(2024, 5, 15)
    found = compute_model_regimes(daily_bars(calendar, skip=(gone,)), calendar, SETTINGS)
    after = found.filter(pl.col("trade_date") == date(2024, 5, 16))
    assert after["log_return"].to_list() == [None]
    assert after["model_surprise"].to_list() == [None]
    assert after["model_cp_prob"].is_not_null().all()
    assert gone not in found["trade_date"].to_list()


def test_rules_vote_with_the_share_of_warm_bars(bars, calendar):
    labels = bars.select(
        "ts",
        warm=pl.col("trade_date") < date(2024, 8, 15),
        vol_regime=pl.when(pl.col("trade_date") >= BREAK).then(pl.lit("SPIKE")).otherwise(pl.lit("LOW")),
    )
    found = compute_model_regimes(bars, calendar, SETTINGS, regimes=labels)
    by_date = dict(found.select("trade_date", "vote_rules").rows())
    assert [by_date[date(2024, m, d)] for m, d in ((6, 28), (7, 1), (8, 14), (8, 15))] == [-1, 1, 1, None]


def test_the_unit_of_prices_does_not_matter(bars, rows, calendar):
    dearer = bars.with_columns(pl.col("close", "high", "low") * 64.0)
    assert compute_model_regimes(dearer, calendar, SETTINGS).equals(rows)


def test_minute_bars_give_the_rows_of_their_sessions(bars, rows, calendar):
    """Two bars a session, the first with a range inside the day's: same close, same range, same row."""
    first = bars.with_columns(
        close="low", high=pl.col("close"), ts=pl.col("ts") - pl.duration(minutes=1), available_at="ts"
    )
    both = pl.concat([first, bars]).sort("ts")
    found = compute_model_regimes(both, calendar, SETTINGS)
    assert found.drop("ts").equals(rows.drop("ts"))


def test_mixed_series_are_refused(bars, calendar):
    mixed = bars.with_columns(symbol=pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("QQQ")).otherwise("symbol"))
    with pytest.raises(ValueError, match="one series"):
        compute_model_regimes(mixed, calendar, SETTINGS)


def test_nothing_gives_nothing(bars, calendar):
    assert compute_model_regimes(bars.clear(), calendar, SETTINGS).schema == MODEL_REGIME_SCHEMA
    out = compute_model_regimes(bars, calendar, SETTINGS, anchors=(date(2030, 1, 1), date(2030, 2, 1)))
    assert out.is_empty()


def test_the_first_history_date_is_one_month_before_what_models_see():
    assert first_history_date(date(2024, 7, 16), SETTINGS) == date(2023, 12, 1)
    assert first_history_date(date(2024, 1, 31), ModelRegimeSettings()) == date(2022, 12, 1)


def test_settings_that_cannot_be_met_are_refused():
    with pytest.raises(ValueError, match="min_sessions is 200"):
        ModelRegimeSettings(history_months=3, min_sessions=200)
