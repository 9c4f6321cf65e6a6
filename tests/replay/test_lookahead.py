"""The lookahead proof convicts cheats and acquits honest strategies."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from argus_core.replay.callback import replay_callback
from argus_core.replay.lookahead import Scene, prove_callback, prove_no_lookahead
from argus_core.replay.reference import Reference
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies import cheaters
from argus_core.strategies.buy_and_hold import BuyAndHold
from argus_core.strategies.cheaters.callbacks import _around as cheaters_around
from argus_core.strategies.ema_cross_atr import EmaCrossAtr
from argus_core.strategies.interface import CallbackStrategy, ColumnarStrategy, Intent
from argus_core.strategies.overnight_session import OvernightSession
from argus_core.strategies.registry import load_strategy
from tests.replay import cheats
from tests.replay.frames import decision_frame, random_prices

HEIGHT = 600
RNG = np.random.default_rng(1)
FRAME = decision_frame(
    random_prices(8, HEIGHT),
    bars_per_day=100,
    trend=["UP" if flag else "DOWN" for flag in np.repeat(RNG.random(HEIGHT // 3) < 0.5, 3)],
    fwd_return_300=np.concatenate([np.full(10, np.nan), RNG.normal(0, 0.01, HEIGHT - 10)]),
    fwd_return_14400=RNG.normal(0, 0.01, HEIGHT),
    global_risk_flow=RNG.normal(0, 0.01, HEIGHT),
)

#: A chain of one contract every half hour, received ten minutes late; its underlying price is the close.
QUOTES = FRAME.filter(pl.col("minute_of_session") % 30 == 29).select(
    provider=pl.lit("test"),
    underlying=pl.lit("X"),
    contract=pl.lit("X1"),
    expiry=pl.lit("2026-01-16").str.to_date(),
    strike=pl.lit(100.0),
    right=pl.lit("C"),
    ts=pl.col("end"),
    recv_ts=pl.col("end") + timedelta(seconds=600),
    bid=pl.col("close") / 50,
    ask=pl.col("close") / 50 + 0.1,
    bid_size=pl.lit(10.0),
    ask_size=pl.lit(10.0),
    iv=pl.lit(0.2),
    delta=pl.lit(0.5),
    open_interest=pl.lit(100.0),
    underlying_price=pl.col("close"),
)
#: Five-minute bars of another symbol; every second one has begun but not ended at some decision.
OTHER = FRAME.group_by_dynamic("ts", every="5m").agg(
    pl.col("open").first() * 2,
    pl.col("high").max() * 2,
    pl.col("low").min() * 2,
    pl.col("close").last() * 2,
    pl.col("volume").sum(),
)
OTHER = OTHER.with_columns(
    available_at=pl.col("ts") + timedelta(minutes=5),
    end=pl.col("ts") + timedelta(minutes=5),
    trade_date=pl.col("ts").dt.date(),
    half_spread=pl.lit(0.01),
)
SCENE = Scene(FRAME, QUOTES)

COLUMNAR = [getattr(cheaters, n) for n in cheaters.__all__ if issubclass(getattr(cheaters, n), ColumnarStrategy)]
CALLBACKS = [getattr(cheaters, n) for n in cheaters.__all__ if issubclass(getattr(cheaters, n), CallbackStrategy)]


def prove(strategy, params=None, *, cuts=3, seed=0, frame=FRAME):
    return prove_no_lookahead(strategy, params or {}, frame, cuts=cuts, seed=seed)


def replay(strategy, scene):
    return replay_callback(
        strategy,
        scene.frame,
        Instrument(symbol="X", asset_class="etf"),
        ExecutionSettings(),
        starting_cash=100_000,
        symbol="X",
        options=scene.options,
    )


def proved(strategy, params=None, *, cuts=3, seed=0, scene=SCENE, run=replay):
    return prove_callback(strategy, params or {}, scene, run, cuts=cuts, seed=seed)


@pytest.mark.parametrize(
    "cheat", [*COLUMNAR, cheats.ModuleState, cheats.InstanceState, cheats.Dice], ids=lambda cls: cls.__name__
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_cheat_is_convicted_whatever_the_seed(cheat, seed):
    proof = prove(cheat, seed=seed)
    assert not proof.ok
    assert "row" in proof.detail
    assert proof.row is not None
    assert 0 <= proof.row < HEIGHT
    assert proof.moment == FRAME["available_at"][proof.row]


@pytest.mark.parametrize("cheat", CALLBACKS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_cheating_callback_is_convicted_whatever_the_seed(cheat, seed, tmp_path):
    FRAME.write_parquet(tmp_path / "bars.parquet")
    proof = proved(cheat, {"folder": str(tmp_path)} if cheat is cheaters.PackReader else {}, seed=seed)
    assert not proof.ok, proof
    assert proof.test is not None


@pytest.mark.parametrize(
    ("cheat", "test"),
    [
        (cheaters.NegativeShift, "truncation"),
        (cheaters.ClassMemory, "state"),
        (cheats.ModuleState, "repeat"),
        (cheats.InstanceState, "state"),
        (cheats.Dice, "repeat"),
    ],
)
def test_the_verdict_names_the_test_that_failed(cheat, test):
    assert prove(cheat).test in (test, "state") if test == "repeat" else prove(cheat).test == test


def test_the_verdict_names_the_columns_that_are_read_ahead():
    assert prove(cheaters.NegativeShift).columns == ("close",)
    assert prove(cheaters.SameBarRegime).columns == ("trend_regime",)
    assert prove(cheaters.UnreleasedOutcome).columns == ("fwd_return_300",)


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        (cheats.Honest, {}),
        (cheats.OwnFit, {}),
        (BuyAndHold, {}),
        (EmaCrossAtr, {"fast": 5, "slow": 20, "atr_window": 10, "target_atr": 3.0, "allow_short": True}),
        (OvernightSession, {"entry_window_minutes": 30, "min_global_risk_flow": 0.0}),
    ],
)
def test_an_honest_strategy_is_acquitted(strategy, params):
    proof = prove(strategy, params, cuts=6)
    assert proof.ok, proof.detail
    assert proof.runs > 30


def test_a_peek_of_one_bar_is_found_with_a_single_cut():
    assert not prove(cheaters.NegativeShift, cuts=1).ok


def test_a_model_of_parameters_is_accepted():
    assert prove(EmaCrossAtr, EmaCrossAtr.Params(fast=5, slow=20)).ok


def test_a_strategy_defined_in_a_function_is_proved_too():
    class Local(ColumnarStrategy):
        def intents(self, frame, params):
            return frame.select(enter=(pl.col("close").shift(-1) > pl.col("close")).fill_null(False).cast(pl.Int8))

    assert not prove(Local).ok


def test_the_proof_is_deterministic():
    assert prove(cheaters.NegativeShift, seed=4) == prove(cheaters.NegativeShift, seed=4)


def test_a_strategy_that_forgets_rows_is_convicted():
    class Short(ColumnarStrategy):
        def intents(self, frame, params):
            return pl.DataFrame({"enter": np.zeros(min(frame.height, 500), np.int8)})

    assert "intents of" in prove(Short).detail or not prove(Short).ok


@pytest.mark.parametrize("cheat", [cheats.FileColumns, cheats.OpenedFile])
def test_a_file_that_is_read_convicts_whether_it_exists_or_not(cheat, tmp_path):
    assert prove(cheat, {"folder": "/nowhere/at/all"}).test == "outside"
    FRAME.write_parquet(tmp_path / "bars.parquet")
    proof = prove(cheat, {"folder": str(tmp_path)})
    assert proof.test == "outside"
    assert str(tmp_path) in proof.detail


def test_memory_in_a_module_beside_the_strategy_is_taken_away(tmp_path, monkeypatch):
    """State that earlier runs left in a helper module must not answer for the future in every run of the proof."""
    (tmp_path / "keeper.py").write_text("CLOSES = {}\n")
    (tmp_path / "borrower.py").write_text(
        "import polars as pl\n"
        "import keeper\n"
        "from argus_core.strategies.interface import ColumnarStrategy\n"
        "class Borrower(ColumnarStrategy):\n"
        "    def intents(self, frame, params):\n"
        "        for ts, close in frame.select('ts', pl.col('close').shift(-1)).iter_rows():\n"
        "            keeper.CLOSES.setdefault(ts, close)\n"
        "        known = pl.Series([keeper.CLOSES[ts] for ts in frame['ts']])\n"
        "        return frame.select(enter=(known > pl.col('close')).fill_null(False).cast(pl.Int8))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    borrower = load_strategy("borrower:Borrower", root=Path("/"))
    borrower().intents(FRAME, borrower.Params())
    assert not prove(borrower).ok
    again = load_strategy("borrower:Borrower", root=Path("/"))
    assert again is borrower, "the proof leaves the loaded modules as they were"


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_delayed_entries_own_state_and_own_fills_raise_no_false_alarm():
    for seed in range(3):
        proof = proved(cheats.Patient, cuts=6, seed=seed)
        assert proof.ok, proof.detail
    assert len(replay(cheats.Patient({}), SCENE).decisions) > 10


def test_a_columnar_strategy_as_callback_knows_the_whole_sample():
    class Whole(CallbackStrategy):
        def on_bar(self, view):
            mean = WHOLE[0]["close"].mean()
            return (Intent("open", size=0.1),) if view.value("close") > mean and view.index % 20 == 0 else ()

    def run(strategy, scene):
        WHOLE[:] = [scene.frame]
        return replay(strategy, scene)

    WHOLE: list[pl.DataFrame] = []
    proof = proved(Whole, run=run)
    assert not proof.ok
    assert "decision" in proof.detail


def test_a_clock_on_the_wall_is_not_repeatable():
    assert proved(cheats.WallClock).test == "repeat"


def test_a_run_ends_with_the_decisions_that_are_compared():
    lengths: list[int] = []

    class Counting(cheats.Patient):
        def on_bar(self, view):
            lengths[-1] = view.index
            return super().on_bar(view)

    def run(strategy, scene):
        lengths.append(0)
        return replay(strategy, scene)

    assert proved(Counting, cuts=1, run=run).ok
    assert sum(lengths) < 5 * HEIGHT, lengths


class _Pair(CallbackStrategy):
    """Reads and trades a slower reference: honest, with orders that fill at the open of bars it cannot see yet."""

    clock = "all"

    def on_bar(self, view):
        if view.pending:
            return ()
        held = [position for position in view.positions if position.symbol == "Y"]
        other = view.value("close", "Y")
        if held:
            better = view.equity > 100_000 or view.value("close") < held[0].entry_price / 2
            return (Intent("close", position_id=held[0].position_id, tag=f"{held[0].entry_price}"),) if better else ()
        if other is not None and other < 2 * view.value("close"):
            return (Intent("open", size=0.3, symbol="Y"), Intent("open", size=0.1, max_hold_seconds=180.0))
        return ()


def replay_pair(strategy, scene):
    instrument = Instrument(symbol="Y", asset_class="etf")
    return replay_callback(
        strategy,
        scene.frame,
        Instrument(symbol="X", asset_class="etf"),
        ExecutionSettings(),
        starting_cash=100_000,
        symbol="X",
        references={name: Reference(frame, instrument) for name, frame in scene.references.items()},
    )


@pytest.mark.parametrize("delay", [0, 90])
def test_a_pair_on_two_clocks_raises_no_false_alarm(delay):
    late = FRAME.with_columns(available_at=pl.col("end") + timedelta(seconds=delay))
    scene = Scene(late, None, {"Y": OTHER})
    assert len(replay_pair(_Pair({}), scene).trades) > 20
    for seed in (0, 1):
        proof = proved(_Pair, scene=scene, run=replay_pair, cuts=6, seed=seed)
        assert proof.ok, proof.detail


class _PairThief(_Pair):
    """Climbs the stack for the reference's frame and reads the close of the bar that has begun."""

    closes: pl.DataFrame | None = None

    def on_bar(self, view):
        if self.closes is None:
            frames = [one for one in cheaters_around(pl.DataFrame) if "close" in one.columns and "open" in one.columns]
            self.closes = min(frames, key=lambda one: one.height).select(
                pl.col("ts").dt.timestamp("us"), "open", "close"
            )
        begun = self.closes.filter(pl.col("ts") < view.now_us).tail(1)
        rises = begun.height == 1 and begun["close"][0] > begun["open"][0]
        return (Intent("open", size=0.05, max_hold_seconds=60.0),) if rises and not view.pending else ()


def test_a_reference_bar_read_by_its_start_is_found_in_the_engine():
    proof = proved(_PairThief, scene=Scene(FRAME, None, {"Y": OTHER}), run=replay_pair, cuts=6)
    assert not proof.ok


class _ByStart(CallbackStrategy):
    """Reads the close of the reference bar that began last."""

    def on_bar(self, view):
        begun = view.other.filter(pl.col("ts") < view.now)
        return (Intent("open"),) if begun.height and begun["close"][-1] > begun["open"][-1] else ()


class _ByAvailability(CallbackStrategy):
    """Reads the newest finished reference bar, and the open of the one that has begun: an order filled there."""

    def on_bar(self, view):
        done = view.other.filter(pl.col("available_at") <= view.now)
        begun = view.other.filter(pl.col("ts") < view.now)
        return (Intent("open"),) if done.height and done["close"][-1] > begun["open"][-1] else ()


def with_reference(strategy, scene):
    """A bar-by-bar run that hands the whole reference to the strategy, as no engine does."""
    other, times = scene.references["Y"], scene.frame["available_at"]
    for row in range(0, scene.frame.height - 1, 7):
        now = times[row]
        strategy.on_bar(SimpleNamespace(now=now, now_us=round(now.timestamp() * 1e6), other=other, index=row))


def test_a_reference_bar_that_has_only_begun_keeps_its_open_and_hides_its_close():
    scene = Scene(FRAME, None, {"Y": OTHER})
    assert not proved(_ByStart, scene=scene, run=with_reference).ok
    proof = proved(_ByAvailability, scene=scene, run=with_reference, cuts=6)
    assert proof.ok, proof.detail


class _Outermost(CallbackStrategy):
    """Climbs the whole stack for the longest decision frame anybody holds."""

    closes: list[float] | None = None

    def on_bar(self, view):
        if self.closes is None:
            frame, found = inspect.currentframe(), [pl.DataFrame()]
            while frame is not None:
                values = list(frame.f_locals.values())
                values += [inner for value in values for inner in getattr(value, "__dict__", {}).values()]
                values += [inner.frame for inner in values if isinstance(inner, Scene)]
                found += [value for value in values if isinstance(value, pl.DataFrame) and "close" in value.columns]
                frame = frame.f_back
            self.closes = max(found, key=lambda one: one.height)["close"].to_list()
        ahead = self.closes[view.index + 5 : view.index + 6]
        return (Intent("open", size=0.1),) if ahead and ahead[0] > view.value("close") else ()


def test_up_the_stack_there_is_nothing_but_the_data_of_the_run():
    proof = proved(_Outermost)
    assert not proof.ok
    assert proof.test == "truncation", "with the uncut frame in reach, cutting would change nothing"
