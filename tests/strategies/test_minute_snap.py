"""The fitted relation, dislocations from it, and references that are old, missing or many."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.replay.lanes import replay_lanes
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.minute_snap import MinuteSnap
from tests.strategies.frames import calendar_frame

DAY = date(2025, 2, 3)
JUMP = 200


def pair(
    *, jump: float = 0.004, length: int = 1, seed: int = 0, hours: str = "rth", to: date = DAY, noise: float = 1e-4
) -> pl.DataFrame:
    """An instrument that moves 0.5 times as much as its reference R, and ``jump`` (log) off it from row `JUMP` on."""
    height = 2_000
    rng = np.random.default_rng(seed)
    other = np.cumsum(rng.normal(0, 1e-3, height))
    own = 0.5 * other + rng.normal(0, noise, height)
    own[JUMP : JUMP + length] += jump
    frame = calendar_frame(hours, DAY, to, closes=100 * np.exp(own), wick=0.001)
    return frame.with_columns(
        ref_R_close=pl.Series(400 * np.exp(other[: frame.height])),
        ref_R_end=pl.col("end"),
        index=pl.int_range(pl.len()),
    )


def found(frame: pl.DataFrame, **params) -> pl.DataFrame:
    values = {"window": 100, "entry_z": 6.0, "max_z": 100.0, "max_hold_minutes": 10.0, **params}
    intents = MinuteSnap().intents(frame, MinuteSnap.Params(**values))
    return intents.with_columns(frame["index"]).filter(pl.col("enter") != 0)


def entered(frame: pl.DataFrame, **params) -> list[tuple[int, int]]:
    return found(frame, **params).select("index", "enter").rows()


def test_it_enters_against_a_dislocation_once():
    assert entered(pair(length=5)) == [(JUMP, -1)]
    assert entered(pair(jump=-0.004, length=5)) == [(JUMP, 1)]


def test_a_move_that_the_reference_shares_is_none():
    frame = pair(jump=0.0)
    shared = np.where(np.arange(frame.height) >= JUMP, 0.02, 0.0)
    frame = frame.with_columns(
        close=pl.col("close") * np.exp(0.5 * shared), ref_R_close=pl.col("ref_R_close") * np.exp(shared)
    )
    assert entered(frame) == []


def test_z_is_that_of_a_regression_over_the_past_window():
    frame = pair(seed=5, noise=6e-4)
    y, x = np.log(frame["close"].to_numpy()), np.log(frame["ref_R_close"].to_numpy())
    past = slice(JUMP - 100, JUMP)
    slope, level = np.polyfit(x[past], y[past], 1)
    spread = np.std(y[past] - level - slope * x[past])
    z = (y[JUMP] - level - slope * x[JUMP]) / spread
    assert entered(frame, entry_z=z - 0.01) == [(JUMP, -1)]
    assert entered(frame, entry_z=z + 0.01) == []
    [row] = found(frame, stop_sigma=2.0, exit_z=1.0).iter_rows(named=True)
    assert row["stop_distance"] == pytest.approx(2 * spread * frame["close"][JUMP], rel=1e-6)
    assert row["confidence"] == pytest.approx(1 - 1 / z, rel=1e-6)


def test_a_dislocation_too_large_is_a_broken_relation():
    assert entered(pair(), max_z=10.0) == []


def test_a_reference_without_correlation_is_not_traded():
    frame = pair()
    rng = np.random.default_rng(9)
    loose = frame.with_columns(ref_R_close=pl.Series(400 * np.exp(np.cumsum(rng.normal(0, 1e-3, frame.height)))))
    assert entered(frame, min_correlation=0.8) == [(JUMP, -1)]
    assert (JUMP, -1) not in entered(loose, min_correlation=0.98)


def test_the_position_is_left_when_the_price_is_back():
    frame = pair(length=4)
    intents = MinuteSnap().intents(
        frame, MinuteSnap.Params(window=100, entry_z=6.0, max_z=100.0, exit_z=5.0, stop_sigma=50.0)
    )
    instrument = Instrument(symbol="X", asset_class="etf")
    [result] = replay_lanes(frame, [intents], instrument, ExecutionSettings(), starting_cash=1e5, symbol="X")
    [trade] = result.trades.to_dicts()
    ts = frame["ts"]
    assert (trade["entry_ts"], trade["exit_ts"]) == (ts[JUMP + 1], ts[JUMP + 5])
    assert trade["exit_reason"] == "signal"


def test_a_change_of_sign_leaves_too():
    frame = pair()
    close = frame["close"].to_numpy().copy()
    close[JUMP + 1] *= np.exp(-0.004)
    intents = MinuteSnap().intents(
        frame.with_columns(close=pl.Series(close)), MinuteSnap.Params(window=100, entry_z=6, max_z=100, exit_z=0.0)
    )
    assert intents["exit"][JUMP + 1]


def test_stale_reference_bars_are_neither_traded_nor_fitted():
    frame = pair(length=5)
    old = pl.when(pl.col("index") == JUMP).then(pl.col("end") - timedelta(minutes=5)).otherwise(pl.col("end"))
    stale = frame.with_columns(ref_R_end=old)
    # The first row with a fresh reference decides.
    assert entered(stale) == [(JUMP + 1, -1)]
    assert entered(stale, max_age_seconds=300.0) == [(JUMP, -1)]
    wild = stale.with_columns(ref_R_close=pl.when(pl.col("index") == JUMP).then(4e6).otherwise(pl.col("ref_R_close")))
    assert entered(wild) == [(JUMP + 1, -1)]
    never = frame.with_columns(ref_R_end=pl.lit(None, frame["end"].dtype), ref_R_close=pl.lit(None, pl.Float64))
    assert entered(never) == []


def test_no_entry_whose_time_stop_comes_after_the_close():
    frame = pair()
    left = frame["seconds_to_close"][JUMP]
    assert entered(frame, max_hold_minutes=left / 60 - 1) == [(JUMP, -1)]
    assert entered(frame, max_hold_minutes=left / 60) == []


def test_a_night_is_no_snap():
    frame = pair(to=date(2025, 2, 4), jump=0.0)
    second = frame.with_columns(
        close=pl.when(pl.col("trade_date") > DAY).then(pl.col("close") * 1.004).otherwise(pl.col("close"))
    )
    assert entered(second) == []


def test_pre_market_bars_are_not_traded():
    assert entered(pair(hours="extended")) == []


def test_a_price_that_does_not_move_has_no_relation():
    frame = pair(jump=0.0).with_columns(close=pl.lit(100.0))
    assert entered(frame, entry_z=1.0) == []


def test_the_reference_is_found_or_asked_for():
    frame = pair()
    two = frame.with_columns(ref_Q_close=pl.col("ref_R_close"), ref_Q_end=pl.col("end"))
    assert entered(two, reference="R") == entered(frame)
    with pytest.raises(ValueError, match="several references: R, Q"):
        entered(two)
    with pytest.raises(ValueError, match="no reference Z in the frame; found: R"):
        entered(frame, reference="Z")
    with pytest.raises(ValueError, match=r"the frame has no reference\. Name it under pack.references"):
        entered(frame.drop("ref_R_close", "ref_R_end"))


def test_the_thresholds_must_ascend():
    with pytest.raises(ValidationError, match="must ascend"):
        MinuteSnap.Params(entry_z=1.0, exit_z=1.0)


def test_two_parameter_sets_share_one_fit(monkeypatch):
    from argus_core.strategies import minute_snap

    calls = []
    fit = minute_snap._relation
    monkeypatch.setattr(minute_snap, "_relation", lambda *a: calls.append(a) or fit(*a))
    frame, strategy = pair(), MinuteSnap()
    for entry in (2.0, 3.0, 4.0):
        strategy.intents(frame, MinuteSnap.Params(window=100, entry_z=entry))
    assert len(calls) == 1
