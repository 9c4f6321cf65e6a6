"""Outcomes against a slow plain twin, and what must never change (semantics §3, predecessor §3 D3)."""

from __future__ import annotations

import itertools
import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_core.calendar import TradingCalendar, to_us
from argus_core.market.lake import content_hash
from argus_core.outcomes import OUTCOME_SCHEMA, compute_outcomes, sessions_ahead
from argus_core.settings import Instrument, OutcomeSettings

SETTINGS = OutcomeSettings()
SHORT = OutcomeSettings(horizons=(300, 3600, 86400))
LAX = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain_outcomes(
    bars: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    chosen: OutcomeSettings,
    *,
    anchors: tuple[date, date] | None = None,
    watermark_us: int | None = None,
) -> list[dict]:
    """The rules of semantics §3, bar by bar and window by window, without a shortcut."""
    rows = bars.to_dicts()
    mark = watermark_us if watermark_us is not None else to_us(rows[-1]["end"])
    grid = pl.Series(calendar.bar_grid(instrument, rows[0]["trade_date"], rows[-1]["trade_date"] + timedelta(days=20)))
    slots = list(zip(grid, calendar.bar_ends(grid.cast(bars["ts"].dtype), instrument).dt.timestamp("us"), strict=True))
    first_slot, found = 0, []
    for i, bar in enumerate(rows):
        if anchors and not anchors[0] <= bar["trade_date"] <= anchors[1]:
            continue
        while slots[first_slot][0] < to_us(bar["end"]):
            first_slot += 1
        for horizon in chosen.horizons:
            window_end = bar["end"] + timedelta(seconds=horizon)
            window, j = [], i + 1
            while j < len(rows) and rows[j]["end"] <= window_end:
                window.append(rows[j])
                j += 1
            expected, k = 0, first_slot
            while slots[k][1] <= to_us(window_end):
                expected, k = expected + 1, k + 1
            missing = max(0, expected - len(window))
            if to_us(window_end) > mark:
                status = "INCOMPLETE"
            elif missing > chosen.gap_tolerance or expected == 0:
                status = "GAP"
            else:
                status = "OK"
            out = dict.fromkeys(OUTCOME_SCHEMA.names())
            out |= {name: bar[name] for name in ("provider", "symbol", "bar_seconds", "ts")}
            out |= {"horizon_seconds": horizon, "outcome_version": chosen.outcome_version, "status": status}
            out |= {"close_ref": bar["end"], "window_end": window_end, "close": _round(bar["close"])}
            out |= {"bars_expected": expected, "bars_found": len(window), "gap_count": missing}
            if window and status != "INCOMPLETE":
                out["close_at_horizon"] = _round(window[-1]["close"])
                out["fwd_return"] = _round(window[-1]["close"] / bar["close"] - 1)
            if window and status == "OK":
                top = max(window, key=lambda b: b["high"])  # max and min keep the first of equals
                bottom = min(window, key=lambda b: b["low"])
                out["max_high"], out["min_low"] = _round(top["high"]), _round(bottom["low"])
                out["max_runup"] = _round(top["high"] / bar["close"] - 1)
                out["max_drawdown"] = _round(bottom["low"] / bar["close"] - 1)
                out["max_runup_ts"], out["max_drawdown_ts"] = top["end"], bottom["end"]
                out["seconds_to_max_runup"] = int((top["end"] - bar["end"]).total_seconds())
                out["seconds_to_max_drawdown"] = int((bottom["end"] - bar["end"]).total_seconds())
                closes = [bar["close"], *(b["close"] for b in window)]
                returns = [math.log(b / a) for a, b in itertools.pairwise(closes)]
                if len(returns) > 1:
                    mean = math.fsum(returns) / len(returns)
                    vol = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
                    out["realized_vol"] = _round(vol)
                    out["realized_vol_annual"] = _round(vol * math.sqrt(instrument.bars_per_year))
            found.append(out)
    return found


def _round(value: float) -> float:
    return round(value * 1e10) / 1e10


def assert_equal_to_twin(frame: pl.DataFrame, twin: list[dict]) -> None:
    expected = pl.DataFrame(twin, schema=OUTCOME_SCHEMA)
    volatile = ["realized_vol", "realized_vol_annual"]
    exact = [name for name in OUTCOME_SCHEMA.names() if name not in volatile]
    assert frame.select(exact).equals(expected.select(exact), null_equal=True)
    for name in volatile:
        assert frame[name].is_null().equals(expected[name].is_null())
        tolerance = 1.01e-10 if name == "realized_vol" else 1e-9
        assert ((frame[name] - expected[name]).abs().max() or 0.0) <= tolerance


@pytest.mark.parametrize("missing", [0.0, 0.02, 0.3])
def test_outcomes_equal_the_plain_twin_on_session_bars(make_bars, spy, calendar, missing):
    spy5 = spy.model_copy(update={"bar_seconds": 300})
    bars = make_bars(spy5, date(2024, 6, 28), date(2024, 7, 8), seed=3, missing=missing)  # an early close and a holiday
    chosen = OutcomeSettings(horizons=(300, 900, 3600, 28800, 86400))
    assert_equal_to_twin(compute_outcomes(bars, spy5, calendar, chosen), plain_outcomes(bars, spy5, calendar, chosen))


def test_outcomes_equal_the_plain_twin_around_the_clock(make_bars, btc, calendar):
    btc15 = btc.model_copy(update={"bar_seconds": 900})
    bars = make_bars(btc15, date(2024, 3, 7), date(2024, 3, 13), seed=5, missing=0.01)  # over the clock change
    chosen = OutcomeSettings(horizons=(900, 3600, 14400, 86400, 172800))
    assert_equal_to_twin(compute_outcomes(bars, btc15, calendar, chosen), plain_outcomes(bars, btc15, calendar, chosen))


def test_outcomes_of_daily_bars_end_at_the_session_close(make_bars, spy, calendar):
    daily = spy.model_copy(update={"bar_seconds": 86400})
    bars = make_bars(daily, date(2024, 6, 24), date(2024, 7, 19), seed=1)
    chosen = OutcomeSettings(horizons=(86400, 604800))
    frame = compute_outcomes(bars, daily, calendar, chosen)
    assert_equal_to_twin(frame, plain_outcomes(bars, daily, calendar, chosen))
    friday = frame.filter((pl.col("ts").dt.date() == date(2024, 6, 28)) & (pl.col("horizon_seconds") == 86400))
    assert friday["status"].to_list() == ["GAP"]  # the calendar offers nothing within a day of a Friday's close


def test_outcomes_equal_the_plain_twin_on_real_minutes(spy_year, spy, calendar):
    days = spy_year["trade_date"].unique().sort()
    bars = spy_year.filter(pl.col("trade_date").is_in(days[60:63].implode()))
    assert_equal_to_twin(compute_outcomes(bars, spy, calendar, SHORT), plain_outcomes(bars, spy, calendar, SHORT))


def test_day_long_labels_exist_on_session_bars(spy_year, spy, calendar):
    frame = compute_outcomes(spy_year, spy, calendar, SETTINGS)
    share = frame.group_by("horizon_seconds").agg(ok=(pl.col("status") == "OK").mean())
    # The predecessor found 0 % at 24 h, because it expected horizon / bar_seconds bars.
    assert share["ok"].min() > 0.98


def test_partial_window_is_incomplete_and_holds_no_return(make_bars, spy, calendar):
    """Regression of predecessor D3: a tail window became a permanent GAP with a partial return."""
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6), seed=2)
    early = compute_outcomes(bars.head(100), spy, calendar, OutcomeSettings(horizons=(900,)))
    tail = early.row(90, named=True)
    assert (tail["status"], tail["bars_found"], tail["fwd_return"]) == ("INCOMPLETE", 9, None)
    later = compute_outcomes(bars, spy, calendar, OutcomeSettings(horizons=(900,))).row(90, named=True)
    assert later["status"] == "OK"
    assert later["fwd_return"] is not None


def test_outcome_is_incomplete_until_its_window_has_passed(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6))
    end = to_us(bars["end"][10]) + 300 * 1_000_000
    one = OutcomeSettings(horizons=(300,))
    before = compute_outcomes(bars, spy, calendar, one, watermark_us=end - 1)["status"][10]
    at = compute_outcomes(bars, spy, calendar, one, watermark_us=end)["status"][10]
    assert (before, at) == ("INCOMPLETE", "OK")


def test_window_without_offered_bars_is_a_gap(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 7))
    last = compute_outcomes(bars, spy, calendar, OutcomeSettings(horizons=(3600,))).row(389, named=True)
    assert (last["status"], last["bars_expected"], last["fwd_return"]) == ("GAP", 0, None)


def test_gap_within_tolerance_is_ok_and_beyond_is_a_gap_with_a_return(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6))
    one = OutcomeSettings(horizons=(300,))
    single = compute_outcomes(bars.filter(pl.int_range(pl.len()) != 12), spy, calendar, one).row(10, named=True)
    double = compute_outcomes(bars.filter(~pl.int_range(pl.len()).is_in([12, 13])), spy, calendar, one)
    assert (single["status"], single["gap_count"]) == ("OK", 1)
    assert (double["status"][10], double["gap_count"][10], double["max_runup"][10]) == ("GAP", 2, None)
    assert double["fwd_return"][10] is not None


def test_first_bar_wins_a_tie(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6)).with_columns(high=pl.lit(200.0), low=pl.lit(50.0))
    row = compute_outcomes(bars, spy, calendar, OutcomeSettings(horizons=(1200,))).row(7, named=True)
    assert (row["seconds_to_max_runup"], row["seconds_to_max_drawdown"]) == (60, 60)


def test_values_that_are_not_finite_become_null(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6)).with_columns(
        close=pl.when(pl.int_range(pl.len()) == 20).then(0.0).otherwise(pl.col("close"))
    )
    frame = compute_outcomes(bars, spy, calendar, OutcomeSettings(horizons=(300,)))
    assert frame["fwd_return"][20] is None
    assert frame["realized_vol"][18:21].null_count() == 3
    for name in frame.select(pl.selectors.float()).columns:
        assert frame[name].drop_nulls().is_finite().all()


def test_sessions_ahead_are_enough_for_every_partition(make_bars, spy, btc, calendar):
    for instrument in (spy, btc):
        coarse = instrument.model_copy(update={"bar_seconds": 1800})
        ahead = sessions_ahead(SETTINGS, coarse)
        assert ahead == 2
        for day in calendar.sessions_between(date(2024, 6, 28), date(2024, 7, 10)):
            bars = make_bars(coarse, day, calendar.next_session(day, ahead))
            frame = compute_outcomes(bars, coarse, calendar, SETTINGS, anchors=(day, day))
            assert "INCOMPLETE" not in frame["status"].to_list()


def test_overlapping_or_mixed_bars_are_refused(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6))
    with pytest.raises(ValueError, match="must not overlap"):
        compute_outcomes(pl.concat([bars, bars]), spy, calendar, SETTINGS)
    mixed = bars.with_columns(provider=pl.when(pl.int_range(pl.len()) < 9).then(pl.lit("a")).otherwise(pl.lit("b")))
    with pytest.raises(ValueError, match="several values of provider"):
        compute_outcomes(mixed, spy, calendar, SETTINGS)


def test_no_bars_give_an_empty_frame_of_the_schema(make_bars, spy, calendar):
    bars = make_bars(spy, date(2024, 5, 6), date(2024, 5, 6))
    assert compute_outcomes(bars.clear(), spy, calendar, SETTINGS).schema == OUTCOME_SCHEMA
    nothing = compute_outcomes(bars, spy, calendar, SETTINGS, anchors=(date(2024, 5, 9), date(2024, 5, 9)))
    assert nothing.schema == OUTCOME_SCHEMA


@LAX
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 300), missing=st.sampled_from([0.0, 0.05]))
def test_truncation_never_changes_final_rows(make_bars, spy, calendar, seed, cut, missing):
    spy10 = spy.model_copy(update={"bar_seconds": 600})
    bars = make_bars(spy10, date(2024, 7, 1), date(2024, 7, 10), seed=seed, missing=missing)
    cut = min(cut, bars.height)
    late = compute_outcomes(bars, spy10, calendar, SHORT).head(cut * len(SHORT.horizons))
    early = compute_outcomes(bars.head(cut), spy10, calendar, SHORT)
    final = early["status"] != "INCOMPLETE"
    assert content_hash(early.filter(final)) == content_hash(late.filter(final))


@LAX
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 250), min_size=2, max_size=6))
def test_incomplete_becomes_final_only_when_data_arrive(make_bars, spy, calendar, seed, cuts):
    spy10 = spy.model_copy(update={"bar_seconds": 600})
    bars = make_bars(spy10, date(2024, 7, 1), date(2024, 7, 10), seed=seed, missing=0.05)
    before: dict[tuple, str] = {}
    for cut in sorted(min(cut, bars.height) for cut in cuts):
        watermark = bars["end"][cut - 1]
        frame = compute_outcomes(bars.head(cut), spy10, calendar, SHORT)
        for ts, horizon, end, status in frame.select("ts", "horizon_seconds", "window_end", "status").iter_rows():
            assert (status == "INCOMPLETE") == (end > watermark)
            assert before.get((ts, horizon), "INCOMPLETE") in ("INCOMPLETE", status)
            before[ts, horizon] = status


@LAX
@given(seed=st.integers(0, 10_000), missing=st.sampled_from([0.0, 0.05]))
def test_partition_computed_alone_equals_the_slice_of_the_range(make_bars, spy, btc, calendar, seed, missing):
    for instrument in (spy, btc):
        coarse = instrument.model_copy(update={"bar_seconds": 900})
        bars = make_bars(coarse, date(2024, 6, 28), date(2024, 7, 10), seed=seed, missing=missing)
        whole = compute_outcomes(bars, coarse, calendar, SHORT)
        day = date(2024, 7, 3)
        last = calendar.next_session(day, sessions_ahead(SHORT, coarse))
        mine = bars.filter(pl.col("trade_date").is_between(day, last))
        alone = compute_outcomes(mine, coarse, calendar, SHORT, anchors=(day, day))
        anchors = bars.filter(pl.col("trade_date") == day)["ts"]
        assert content_hash(alone) == content_hash(whole.filter(pl.col("ts").is_in(anchors.implode())))


def test_rerun_gives_identical_bytes(make_bars, btc, calendar, tmp_path: Path):
    bars = make_bars(btc, date(2024, 7, 2), date(2024, 7, 3), missing=0.01)
    for name in ("a", "b"):
        compute_outcomes(bars, btc, calendar, SHORT).write_parquet(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_volatility_does_not_depend_on_where_the_series_starts(spy_year, spy, calendar):
    day = spy_year["trade_date"].unique().sort()[200]
    whole = compute_outcomes(spy_year, spy, calendar, SETTINGS, anchors=(day, day))
    alone = compute_outcomes(spy_year.filter(pl.col("trade_date") >= day), spy, calendar, SETTINGS, anchors=(day, day))
    assert np.array_equal(whole["realized_vol"].to_numpy(), alone["realized_vol"].to_numpy(), equal_nan=True)
