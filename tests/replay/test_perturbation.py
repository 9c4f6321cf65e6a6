"""Other futures: the past stays, the market stays valid, the future does not stay."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from argus_core.replay.perturbation import (
    continue_frame,
    drop_future_rows,
    hide_unfinished,
    keep_begun_bars,
    perturb_future,
)
from tests.replay.frames import decision_frame, random_prices

HEIGHT = 300
RNG = np.random.default_rng(2)
FRAME = decision_frame(
    random_prices(8, HEIGHT),
    bars_per_day=100,
    vol=["LOW", "HIGH", "LOW"] * 100,
    risk_regime=["NEUTRAL"] * HEIGHT,
    regime_warm=[True] * HEIGHT,
    fwd_return_14400=RNG.normal(0, 0.01, HEIGHT),
    **{f"ref_Y_{name}": random_prices(9, HEIGHT)[:, k] for k, name in enumerate(("open", "high", "low", "close"))},
)


def valid(frame: pl.DataFrame, prefix: str = "") -> bool:
    low, high = pl.col(f"{prefix}low"), pl.col(f"{prefix}high")
    body = [f"{prefix}open", f"{prefix}close"]
    return frame.select(((low <= pl.min_horizontal(body)) & (high >= pl.max_horizontal(body))).all()).item()


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_perturbing_changes_the_future_only_and_keeps_bars_valid(direction, scale):
    changed = perturb_future(FRAME, 200, seed=3, direction=direction, scale=scale)
    assert changed.schema == FRAME.schema
    assert changed.head(200).equals(FRAME.head(200))
    future = changed.slice(200)
    for column in ("open", "close", "volume", "fwd_return_14400", "ref_Y_close", "vol_regime", "regime_warm"):
        assert (future[column] != FRAME[column].slice(200)).all(), column
    assert future["risk_regime"].is_null().all(), "a label without another becomes unknown"
    assert valid(future)
    assert valid(future, "ref_Y_")
    assert future["ts"].equals(FRAME["ts"].slice(200))


def test_volatilities_of_the_chain_stay_volatilities():
    names = ("iv_30", "iv_60", "iv_strip_variance_30", "expected_vol_30", "vol_premium_30")
    known = FRAME.with_columns(pl.lit(0.2).alias(name) for name in names).with_columns(
        iv_recv_ts=pl.col("available_at")
    )
    for direction in (1, -1):
        changed = perturb_future(known, 200, seed=3, direction=direction)
        assert changed.head(200).equals(known.head(200))
        assert (
            changed.slice(200).select((pl.col(names[:4]) > 0).all() & (pl.col(names[:4]) != 0.2).all()).row(0)
            == (True,) * 4
        )
        # When a chain was received is the clock's, not the market's.
        assert changed["iv_recv_ts"].equals(known["iv_recv_ts"])


def test_the_scale_sets_the_size_of_the_move():
    large = perturb_future(FRAME, 200, seed=3)["close"].slice(200) / FRAME["close"].slice(200)
    small = perturb_future(FRAME, 200, seed=3, scale=0.01)["close"].slice(200) / FRAME["close"].slice(200)
    assert large.min() > 1.05
    assert 1.0 < small.min() < small.max() < 1.005


def test_one_row_alone_can_be_changed():
    changed = perturb_future(FRAME, 200, seed=3, rows=1)
    moved = np.flatnonzero((changed["close"] != FRAME["close"]).to_numpy())
    assert moved.tolist() == [200]


def test_dropped_rows_are_counted_as_missing():
    thinned = drop_future_rows(FRAME, 200)
    assert thinned.head(200).equals(FRAME.head(200))
    assert thinned.height == FRAME.height - len(range(200, HEIGHT, 7))
    assert thinned["missing_before"].sum() == FRAME.height - thinned.height
    assert thinned["missing_before"][200] == 1


def test_a_continued_frame_goes_on_whole_weeks_later():
    longer = continue_frame(FRAME, seed=1, rows=50)
    assert longer.head(HEIGHT).equals(FRAME)
    assert longer.height == HEIGHT + 50
    assert longer["ts"].is_sorted()
    assert (longer["ts"][HEIGHT] - FRAME["ts"][HEIGHT - 50]).days % 7 == 0
    assert valid(longer)


@pytest.mark.parametrize("direction", [1, -1, None])
def test_a_bar_that_has_begun_keeps_its_open_and_range_but_not_its_close(direction):
    now = FRAME["available_at"].dt.timestamp("us")[249] + 30_000_000
    hidden = hide_unfinished(FRAME, now, seed=1, direction=direction)
    assert hidden.head(250).equals(FRAME.head(250))
    begun, whole = hidden.row(250, named=True), FRAME.row(250, named=True)
    assert begun["open"] == whole["open"]
    assert begun["high"] == whole["high"]
    assert begun["low"] == whole["low"]
    assert begun["low"] <= begun["close"] <= begun["high"]
    assert hidden.height == (251 if direction is None else HEIGHT)


def test_bars_that_begin_before_a_late_decision_keep_what_an_order_meets():
    late = decision_frame(random_prices(8, 100), delay_seconds=90)
    changed = perturb_future(late, 50, seed=1)
    now = int(late["available_at"].dt.timestamp("us")[49])
    kept = keep_begun_bars(changed, late, 50, now)
    assert kept["open"][50:52].equals(late["open"][50:52])
    assert kept["volume"][50:52].equals(late["volume"][50:52])
    assert kept["open"][52] != late["open"][52]
    assert valid(kept)
    assert keep_begun_bars(changed, late, 50, 0) is changed
