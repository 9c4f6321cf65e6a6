from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.packs import as_of_join

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
STAMP = pl.Datetime("us", "UTC")


def frame_of(minutes, **columns):
    stamps = [None if m is None else EPOCH + timedelta(minutes=m) for m in minutes]
    return pl.DataFrame({"available_at": pl.Series(stamps, dtype=STAMP), **columns})


def test_a_row_is_seen_at_the_very_moment_it_becomes_available():
    joined = as_of_join(frame_of([9, 10, 11]), frame_of([10], v=[1]), ["v"])
    assert joined["v"].to_list() == [None, 1, 1]


def test_of_rows_available_at_one_moment_the_last_wins():
    joined = as_of_join(frame_of([10]), frame_of([10, 5, 10], v=[1, 2, 3]), ["v"])
    assert joined["v"].to_list() == [3]


def test_a_row_without_availability_is_never_seen():
    joined = as_of_join(frame_of([10]), frame_of([None, 1], v=[7, 8]), ["v"])
    assert joined["v"].to_list() == [8]


def test_columns_can_be_renamed_and_the_left_order_stays():
    joined = as_of_join(frame_of([30, 10], k=["a", "b"]), frame_of([5, 20], v=[1, 2]), {"v": "w"})
    assert joined.columns == ["available_at", "k", "w"]
    assert joined["k"].to_list() == ["a", "b"]
    assert joined["w"].to_list() == [2, 1]


def test_symbols_do_not_see_each_other():
    left = frame_of([10, 10, 10], s=["A", "B", "C"])
    joined = as_of_join(left, frame_of([1, 2], s=["A", "B"], v=[1, 2]), ["v"], by="s")
    assert joined["v"].to_list() == [1, 2, None]


minutes = st.lists(st.integers(0, 30), max_size=15)


@given(left=minutes, right=minutes)
@settings(max_examples=60, deadline=None)
def test_the_join_equals_a_plain_search(left, right):
    values = list(range(len(right)))
    joined = as_of_join(frame_of(left), frame_of(right, v=pl.Series(values, dtype=pl.Int64)), ["v"])
    for moment, got in zip(left, joined["v"].to_list(), strict=True):
        known = [(at, i) for i, at in enumerate(right) if at <= moment]
        assert got == (max(known)[1] if known else None)
