"""The weekday gate: its rule, both interfaces that it wraps, and how it is bound, hashed, swept and proved."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.experiments.proof import prove
from argus_core.experiments.replays import Market
from argus_core.experiments.sweep import load_sweep
from argus_core.replay.callback import replay_callback
from argus_core.replay.lanes import replay_lanes
from argus_core.replay.lookahead import prove_no_lookahead
from argus_core.settings import ExecutionSettings, Instrument, SettingsError
from argus_core.strategies import load_strategy, strategy_code_hash
from argus_core.strategies.weekday_gate import WeekdayGateParams, gate_allows
from tests.replay.frames import decision_frame, random_prices
from tests.strategies.frames import calendar_frame

ROOT = Path(__file__).resolve().parents[2]
ETF = Instrument(symbol="SPY", asset_class="etf")
#: nothing but the weekday decides
OPEN = {"block_unknown": False, "block_spike": False, "last_minutes": 0, "quality_bars": 0}

MINE = """
import polars as pl
from argus_core.strategies import CallbackStrategy, ColumnarStrategy, Intent, Params

class Always(ColumnarStrategy):
    class Params(Params):
        hold: float | None = None

    def intents(self, frame, params):
        return frame.select(enter=pl.repeat(1, pl.len(), dtype=pl.Int8), max_hold_seconds=pl.lit(params.hold))

class Flips(ColumnarStrategy):
    def intents(self, frame, params):
        return frame.select(enter=pl.col("side").cast(pl.Int8))

class Peeks(ColumnarStrategy):
    def intents(self, frame, params):
        return frame.select(enter=(pl.col("close").shift(-1) > pl.col("close")).fill_null(False).cast(pl.Int8))

class InOut(CallbackStrategy):
    clock = "all"

    @classmethod
    def columns(cls, frame, params):
        return frame.select(wish=pl.col("close") > pl.col("open"))

    def on_bar(self, view):
        if view.positions:
            return [Intent("close", position_id=view.positions[0].position_id)]
        return [Intent("open", size=0.1)] if view.value("wish") else []
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def gated(name: str, root: Path, **params):
    inner = {"strategy_class": name, "params": params}
    return load_strategy("WeekdayGate", root=root, params={"inner": inner})


def week(hours: str = "rth", *, bar_seconds: int = 1_800, first: date = date(2025, 2, 3), **labels) -> pl.DataFrame:
    """Monday to Sunday on the calendar's grid, everything calm."""
    frame = calendar_frame(hours, first, date(first.year, first.month, first.day + 6), bar_seconds=bar_seconds)
    calm = {
        "vol_regime": "NORMAL",
        "trend_regime": "RANGE",
        "risk_regime": "NEUTRAL",
        "liquidity_regime": "NORMAL",
        "regime_warm": True,
    }
    return frame.with_columns(**{name: pl.lit(value) for name, value in (calm | labels).items()})


def allowed_days(frame: pl.DataFrame, column: str = "trade_date", **params) -> list[int]:
    """ISO weekdays on which something is allowed; each whole or not at all."""
    rows = frame.with_columns(allows=pl.Series(gate_allows(frame, WeekdayGateParams(**params))))
    by_day = rows.group_by(pl.col(column).dt.weekday().alias("day")).agg(pl.col("allows").mean()).sort("day")
    assert set(by_day["allows"]) <= {0.0, 1.0}
    return by_day.filter(pl.col("allows") == 1.0)["day"].to_list()


def test_weekdays_weigh_by_the_trade_date():
    assert allowed_days(week(), **OPEN) == [1, 2, 3, 4, 5]
    assert allowed_days(week(), **OPEN, threshold=0.9) == [1, 2, 3, 4]
    assert allowed_days(week(), **OPEN, threshold=0.96) == [2, 3]
    assert allowed_days(week(), **OPEN, wednesday=0.2) == [1, 2, 4, 5]


def test_symbols_that_never_close_have_weekends_of_their_own():
    frame = week("always", bar_seconds=3_600)
    assert allowed_days(frame, "ts", **OPEN, threshold=0.86, saturday=0.9, sunday=0.1) == [1, 2, 3, 4, 6]
    # The last minutes of a session and extended hours mean nothing there.
    assert allowed_days(frame, "ts", quality_bars=0, last_minutes=60, threshold=0.0) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("labels", "params", "days"),
    [
        ({"vol_regime": "SPIKE"}, {}, 0),
        ({"vol_regime": "SPIKE"}, {"block_spike": False}, 5),
        ({"vol_regime": None}, {}, 0),
        ({"trend_regime": None}, {}, 0),
        ({"regime_warm": False}, {}, 0),
        ({"regime_warm": None, "vol_regime": None}, {"block_unknown": False}, 5),
        ({"vol_regime": "HIGH"}, {"threshold": 0.75}, 2),
        ({"vol_regime": "HIGH"}, {"threshold": 0.75, "high_volatility": 0.0}, 5),
        ({"risk_regime": "OFF"}, {"threshold": 0.75}, 3),
        ({"trend_regime": "DOWN"}, {"threshold": 0.85}, 3),
        ({"liquidity_regime": "DRIED"}, {"threshold": 0.75}, 3),
        ({"liquidity_regime": "LOW", "vol_regime": "HIGH", "risk_regime": "OFF"}, {"threshold": 0.36}, 0),
        ({"liquidity_regime": "LOW", "vol_regime": "HIGH", "risk_regime": "OFF"}, {"threshold": 0.35}, 2),
    ],
)
def test_labels_block_or_cost(labels, params, days):
    values = {"last_minutes": 0, "quality_bars": 0, **params}
    assert len(allowed_days(week(**labels), **values)) == days


@pytest.mark.parametrize(("day", "close"), [(date(2025, 2, 4), "16:00"), (date(2025, 7, 3), "13:00")])
def test_the_last_minutes_are_those_of_the_calendar_in_winter_and_summer_and_on_short_days(day, close):
    """Predecessor defect 4: fixed hours of winter time."""
    frame = calendar_frame("rth", day, day).with_columns(
        **{name: pl.lit("NORMAL") for name in ("vol_regime", "trend_regime", "risk_regime", "liquidity_regime")},
        regime_warm=pl.lit(True),
    )
    rows = frame.filter(pl.Series(gate_allows(frame, WeekdayGateParams(last_minutes=15))))
    last = rows["available_at"].dt.convert_time_zone("America/New_York")[-1]
    left = 15
    hour, minute = map(int, close.split(":"))
    assert last.hour * 60 + last.minute == hour * 60 + minute - left
    assert rows.height == frame.height - left


def test_daily_bars_have_no_last_minutes():
    frame = week(bar_seconds=86_400)
    assert allowed_days(frame, last_minutes=30, quality_bars=0) == [1, 2, 3, 4, 5]


def test_extended_hours_are_shut_unless_asked_for():
    frame = week("extended", bar_seconds=60)
    regular = (frame["session"] == "RTH").to_numpy()
    assert np.array_equal(gate_allows(frame, WeekdayGateParams(**OPEN)), regular)
    assert gate_allows(frame, WeekdayGateParams(**OPEN, extended_hours=True)).all()


def test_entries_wait_after_missing_bars():
    frame = week(bar_seconds=60).with_columns(
        missing_before=pl.when(pl.int_range(pl.len()) == 100).then(3).otherwise(0).cast(pl.Int32)
    )
    shut = np.flatnonzero(~gate_allows(frame, WeekdayGateParams(last_minutes=0, quality_bars=5)))
    assert shut.tolist() == [100, 101, 102, 103, 104]
    assert gate_allows(frame, WeekdayGateParams(last_minutes=0, quality_bars=0)).all()


def test_an_empty_frame_has_no_rows():
    assert gate_allows(week().clear(), WeekdayGateParams()).shape == (0,)


def test_a_columnar_strategy_stays_columnar_and_keeps_its_other_columns(root):
    cls = gated("mine.py:Always", root, hold=60.0)
    frame = week()
    intents = cls().intents(frame, cls.Params(inner={"params": {"hold": 60.0}}, **OPEN, threshold=0.96))
    days = frame["trade_date"].dt.weekday().filter(intents["enter"] == 1).unique().sort()
    assert days.to_list() == [2, 3]
    assert (intents["max_hold_seconds"] == 60.0).all()


def test_an_entry_against_the_position_still_closes_it(root):
    height = 20
    side = [0] * height
    side[2], side[8], side[12], side[15] = 1, 1, -1, -1
    frame = decision_frame(random_prices(1, height), bars_per_day=height).with_columns(
        side=pl.Series(side),
        risk_regime=pl.lit("NEUTRAL"),
        liquidity_regime=pl.lit("NORMAL"),
        regime_warm=pl.int_range(pl.len()) < 6,
    )
    cls = gated("mine.py:Flips", root)
    intents = cls().intents(frame, cls.Params(quality_bars=0, last_minutes=0))
    assert np.flatnonzero(intents["enter"].to_numpy()).tolist() == [2]
    # Row 8 asks for what is held: no exit.
    assert np.flatnonzero(intents["exit"].to_numpy()).tolist() == [12, 15]
    [result] = replay_lanes(frame, [intents], ETF, ExecutionSettings(), starting_cash=1e4, symbol="SPY")
    [trade] = result.trades.to_dicts()
    assert (trade["entry_ts"], trade["exit_ts"], trade["side"]) == (frame["ts"][3], frame["ts"][13], 1)


def test_a_callback_keeps_its_clock_columns_and_exits(root):
    cls = gated("mine.py:InOut", root)
    assert cls.clock == "all"
    frame = week(bar_seconds=60).with_columns(close=pl.col("open") + 1.0, high=pl.col("open") + 1.0)
    shut = (pl.col("trade_date").dt.weekday() == 2) & (pl.int_range(pl.len()) % 2 == 0)
    frame = frame.with_columns(vol_regime=pl.when(shut).then(pl.lit("SPIKE")).otherwise(pl.lit("NORMAL")))
    strategy = cls(cls.Params(quality_bars=0, last_minutes=0))
    result = replay_callback(strategy, frame, ETF, ExecutionSettings(), starting_cash=1e6, symbol="SPY")
    row_of = {int(t.timestamp() * 1e6): k for k, t in enumerate(frame["available_at"])}
    opened = np.array([row_of[now] for now, intent in result.decisions if intent.action == "open"])
    closed = np.array([row_of[now] for now, intent in result.decisions if intent.action == "close"])
    spikes = (frame["vol_regime"] == "SPIKE").to_numpy()
    assert len(opened) > 100
    assert not spikes[opened].any()
    assert spikes[closed].sum() > 20


def test_bound_classes_are_told_apart_and_found_again(root):
    one = gated("mine.py:Always", root)
    assert one.strategy_id == "WeekdayGate(Always)"
    assert one is gated("mine.py:Always", root, hold=5.0)
    default = load_strategy("WeekdayGate", root=root)
    assert default.strategy_id == "WeekdayGate(EmaCrossAtr)"
    assert default is load_strategy("WeekdayGate", root=ROOT, params={"inner": {"params": {"fast": 3}}})
    assert len({strategy_code_hash(cls) for cls in (one, default, gated("mine.py:InOut", root))}) == 3
    before = strategy_code_hash(one)
    (root / "mine.py").write_text(MINE + "\n# changed\n")
    assert strategy_code_hash(gated("mine.py:Always", root)) != before


def test_the_family_is_that_of_the_inner_strategy(root):
    family = gated("VRPCreditSpread", root).family
    assert family.needs_options
    assert family.name == "gated_volatility_premium"
    assert gated("MinuteSnap", root).family.min_references == 1


def test_parameters_are_complete_and_checked_down_to_the_inner_ones(root):
    cls = gated("EmaCrossAtr", root)
    full = cls.Params.model_validate({"inner": {"params": {"fast": 5}}}).model_dump(mode="json")
    assert full["inner"] == {"strategy_class": "EmaCrossAtr", "params": {**full["inner"]["params"], "fast": 5}}
    assert full["inner"]["params"]["slow"] == 48
    assert cls.Params.model_validate(full).model_dump(mode="json") == full
    for wrong, words in (
        ({"inner": {"params": {"fast": 50, "slow": 20}}}, "must be smaller than slow"),
        ({"inner": {"params": {"quick": 5}}}, "quick"),
        ({"inner": {"strategy_class": "BuyAndHold"}}, "give BuyAndHold an entry of its own"),
        ({"treshold": 1}, "treshold"),
    ):
        with pytest.raises(ValidationError, match=words):
            cls.Params.model_validate(wrong)


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ("EmaCrossAtr", "cannot read its inner strategies"),
        ({"strategy_class": "Nothing"}, "unknown strategy 'Nothing'"),
    ],
)
def test_an_inner_strategy_that_cannot_be_loaded_teaches(root, inner, words):
    with pytest.raises(SettingsError, match=words):
        load_strategy("WeekdayGate", root=root, params={"inner": inner})


def test_a_gate_may_hold_a_gate(root):
    params = {"inner": {"strategy_class": "WeekdayGate", "params": {"inner": {"strategy_class": "BuyAndHold"}}}}
    cls = load_strategy("WeekdayGate", root=root, params=params)
    assert cls.strategy_id == "WeekdayGate(WeekdayGate(BuyAndHold))"
    model = cls.Params.model_validate({"inner": {"params": {"threshold": 0.9, **OPEN}}, "threshold": 0.96, **OPEN})
    frame = week()
    days = frame["trade_date"].dt.weekday().filter(cls().intents(frame, model)["enter"] == 1).unique().sort()
    assert days.to_list() == [2, 3]


def test_the_proof_reaches_the_inner_strategy(root):
    frame = week(bar_seconds=60).with_columns(close=pl.Series(np.random.default_rng(1).normal(100, 1, 5 * 390)))
    assert prove_no_lookahead(gated("mine.py:Always", root), {}, frame, cuts=2, seed=1).ok
    assert not prove_no_lookahead(gated("mine.py:Peeks", root), {}, frame, cuts=2, seed=1).ok


def test_a_gated_callback_is_proved_on_its_own_columns(root):
    frame = week(bar_seconds=300).with_columns(close=pl.Series(np.random.default_rng(1).normal(100, 1, 5 * 78)))
    frame = frame.with_columns(
        high=pl.max_horizontal("open", "close") + 1.0, low=pl.min_horizontal("open", "close") - 1.0
    )
    market = Market("SPY", frame, None, ETF, ExecutionSettings(), 1e5, 252)
    cls = gated("mine.py:InOut", root)
    proof = prove(cls, cls.Params(quality_bars=0), market, cuts=2, seed=1)
    assert proof.ok, proof.detail


def test_the_shipped_sweep_reaches_the_inner_parameters():
    cls = load_strategy("WeekdayGate", root=ROOT)
    sets = load_sweep(ROOT / "config" / "sweeps" / "weekday_gate.yaml")
    models = [cls.Params.model_validate(params) for params in sets]
    assert len({model.model_dump_json() for model in models}) == len(sets) == 48
    assert {model.inner.params.slow for model in models} == {120, 240, 480}
