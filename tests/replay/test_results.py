"""What a replay result says about itself."""

from __future__ import annotations

import polars as pl

from argus_core.replay.results import REJECT_REASONS, TRADE_SCHEMA, ReplayResult, empty_trades, offered_labels
from tests.replay.frames import decision_frame


def result(fills: int, rejects: dict[str, int]) -> ReplayResult:
    return ReplayResult(empty_trades(), pl.DataFrame(), fills, rejects, 0, 1.0, 1.0, 0.0, 0.0)


def test_the_fill_rate_counts_every_rejected_order():
    assert result(3, {"DATA_GAP": 1, "STALE_QUOTE": 2}).fill_rate == 0.5


def test_nothing_asked_is_a_full_fill_rate():
    assert result(0, {}).fill_rate == 1.0


def test_an_empty_trade_frame_has_every_column():
    assert empty_trades().schema == dict(TRADE_SCHEMA)


def test_reject_reasons_keep_the_order_in_which_they_are_tested():
    assert REJECT_REASONS[1:8] == (
        "NO_QUOTE",
        "ZERO_BID",
        "CROSSED",
        "SPREAD_WIDE",
        "STALE_QUOTE",
        "INSUFFICIENT_SIZE",
        "NO_BUYING_POWER",
    )


def test_offered_labels_leave_warm_up_out():
    frame = decision_frame([(1.0, 1.0, 1.0, 1.0)] * 3, warmup=1, vol=["SPIKE", "LOW", "HIGH"])
    assert offered_labels(frame) == {"vol": ("HIGH", "LOW"), "trend": ("RANGE",), "session": ("RTH",)}
