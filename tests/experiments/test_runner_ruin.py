"""A replay whose account is worth nothing is rejected, not measured."""

from __future__ import annotations

from datetime import date

import polars as pl

from argus_core.experiments.runner import ruined
from argus_core.replay.results import DAILY_SCHEMA, ReplayResult, empty_trades


def result(equities: list[float]) -> ReplayResult:
    days = [date(2025, 1, 6 + i) for i in range(len(equities))]
    daily = pl.DataFrame(
        {"trade_date": days, "equity": equities, "daily_return": [0.0] * len(equities)}, schema=dict(DAILY_SCHEMA)
    )
    return ReplayResult(
        trades=empty_trades(),
        daily=daily,
        fills=0,
        rejects={},
        partials=0,
        starting_cash=10_000.0,
        final_equity=equities[-1],
        exposure=0.0,
        turnover=0.0,
    )


def test_an_account_below_zero_is_named_with_its_day() -> None:
    assert "2025-01-07" in ruined(result([9_000.0, -5_003.0, 10_996.0]))


def test_a_solvent_account_is_not_rejected() -> None:
    assert ruined(result([9_000.0, 1.0])) == ""
