"""What holds for every columnar research strategy: ranges, sweeps, families, no lookahead, short and broken frames."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import polars as pl
import pytest

from argus_core.experiments.sweep import load_sweep
from argus_core.replay.lookahead import prove_no_lookahead
from argus_core.settings import Project
from argus_core.strategies import load_strategy
from argus_core.strategies.interface import INTENT_COLUMNS
from tests.strategies.frames import random_frame

#: strategy -> hours of its test frame, bar length, parameters that make it trade there.
CASES = {
    "EightAmCandle": ("extended", 300, {"minutes": 30, "mode": "failure", "entry_until": 15.0}),
    "FairValueGap": ("rth", 60, {"min_gap_atr": 0.25, "fill": 0.5}),
    "FridayRevisit": ("rth", 60, {"max_distance": 0.1, "entry_window_minutes": 380}),
    "GlobalPhase": ("always", 300, {"phase": "EU", "min_move": 0.0, "agree_with_risk_flow": True}),
    "MinuteSnap": ("rth", 60, {"window": 60, "entry_z": 2.0, "risk_per_trade": 0.01}),
    "OpeningRangeBreakout": ("rth", 60, {"stop": "atr", "trail_r": 2.0, "entry_minutes": 380}),
    "PanicSnapback": ("rth", 60, {"sigmas": 2.0, "baseline": 120, "bars": 5, "only_high_volatility": True}),
}
SWEEPS = {
    "eight_am_candle": "EightAmCandle",
    "fair_value_gap": "FairValueGap",
    "friday_revisit": "FridayRevisit",
    "global_phase": "GlobalPhase",
    "global_phase_crypto": "GlobalPhase",
    "minute_snap": "MinuteSnap",
    "opening_range_breakout": "OpeningRangeBreakout",
    "panic_snapback": "PanicSnapback",
}
every = pytest.mark.parametrize("name", sorted(CASES))


@cache
def frame_for(name: str) -> pl.DataFrame:
    hours, seconds, _ = CASES[name]
    # Two weekends, one with a Monday holiday.
    return random_frame(hours, date(2025, 2, 12), date(2025, 2, 25), seed=3, bar_seconds=seconds)


def strategy_class(name: str, project: Project):
    return load_strategy(name, root=project.root)


@every
def test_no_look_into_the_future(name, project):
    cls, (_, _, params) = strategy_class(name, project), CASES[name]
    for values in (params, {}):
        proof = prove_no_lookahead(cls, values, frame_for(name), cuts=5, seed=1)
        assert proof.ok, proof.detail


@every
def test_entries_have_usable_distances_and_a_confidence(name, project):
    cls, (_, _, params) = strategy_class(name, project), CASES[name]
    intents = cls().intents(frame_for(name), cls.Params(**params))
    assert set(intents.columns) <= set(INTENT_COLUMNS)
    assert intents["enter"].dtype == pl.Int8
    found = intents.filter(pl.col("enter") != 0)
    assert found.height >= (1 if name == "FridayRevisit" else 3)
    assert found["confidence"].is_between(0.0, 1.0).all()
    assert len(found["confidence"].unique()) == found.height or name in ("FairValueGap", "OpeningRangeBreakout")
    for column in ("stop_distance", "target_distance", "trail_distance", "break_even_distance", "max_hold_seconds"):
        if column in found.columns:
            assert (found[column].is_finite() & (found[column] > 0)).all(), column


@every
def test_short_frames_ask_for_nothing_and_keep_their_height(name, project):
    cls, frame = strategy_class(name, project), frame_for(name)
    for height in (0, 1, 2, 3, 7):
        intents = cls().intents(frame.head(height), cls.Params())
        assert intents.height == height
        assert not intents["enter"].to_numpy().any()


@every
def test_prices_that_are_not_numbers_and_unknown_labels_do_not_enter(name, project):
    cls, (_, _, params) = strategy_class(name, project), CASES[name]
    frame = frame_for(name)
    hole = np.zeros(frame.height, bool)
    hole[frame.height // 2 :: 7] = True
    broken = frame.with_columns(
        [pl.when(pl.Series(hole)).then(None).otherwise(pl.col(n)).alias(n) for n in ("vol_regime", "global_risk_flow")]
        + [
            pl.when(pl.Series(hole)).then(np.nan).otherwise(pl.col(n)).alias(n)
            for n in ("open", "high", "low", "close", "volume", "ref_R_close")
        ]
    )
    intents = cls().intents(broken, cls.Params(**params))
    found = intents.filter(pl.col("enter") != 0)
    assert not intents["enter"].to_numpy()[hole].any()
    assert found["stop_distance"].is_finite().all()


@every
def test_one_instance_serves_any_order_of_frames_and_parameters(name, project):
    cls, (hours, seconds, params) = strategy_class(name, project), CASES[name]
    other = random_frame(hours, date(2025, 2, 13), date(2025, 2, 18), seed=4, bar_seconds=seconds)
    shared = cls()
    for frame, values in [(frame_for(name), {}), (other, {}), (frame_for(name), params), (other, params)]:
        made = cls.Params(**values)
        assert shared.intents(frame, made).equals(cls().intents(frame, made), null_equal=True)


@every
def test_every_parameter_has_a_meaning_and_every_number_a_range(name, project):
    for field, about in strategy_class(name, project).Params.model_fields.items():
        assert about.description, field
        if any(kind in str(about.annotation) for kind in ("int", "float")):
            limits = {type(m).__name__ for m in about.metadata}
            assert limits & {"Ge", "Gt"}, field
            assert limits & {"Le", "Lt"}, field


@pytest.mark.parametrize("sweep", sorted(SWEEPS))
def test_sweeps_are_valid_and_within_what_the_family_may_vary(sweep, project):
    cls = strategy_class(SWEEPS[sweep], project)
    sets = load_sweep(project.resolve(f"config/sweeps/{sweep}.yaml"))
    assert 20 <= len(sets) <= 150
    models = {cls.Params(**params) for params in sets}
    assert len(models) == len(sets)
    assert len(sets[0]) <= cls.family.max_swept_parameters
    assert cls.family.name != "free"
    assert cls.family.max_trades_per_day
    assert cls.family.max_annual_turnover
