"""A small decision frame with regimes, and where its signals come from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from argus_core.signals import Origin
from tests.replay.frames import decision_frame
from tests.signals.levels import Level, LevelParams

HEIGHT = 40


@pytest.fixture(scope="session")
def frame() -> pl.DataFrame:
    close = 100 + np.arange(HEIGHT) / 10
    prices = np.column_stack([close, close + 0.1, close - 0.1, close])
    return decision_frame(
        prices,
        bars_per_day=20,
        warmup=5,
        vol=["LOW"] * HEIGHT,
        trend=["UP", "DOWN"] * (HEIGHT // 2),
        fwd_return_300=np.linspace(-0.01, 0.01, HEIGHT),
        global_risk_flow=[None, 0.5] * (HEIGHT // 2),
    )


@pytest.fixture(scope="session")
def origin() -> Origin:
    return Origin(Level, LevelParams(), "SPY", "c0de", "pac4")
