"""The callback engine: what a strategy sees, when it is called, and that the future cannot reach it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from argus_core.options.tape import OptionTape
from argus_core.replay.callback import replay_callback
from argus_core.replay.lookahead import prove_no_lookahead_callback
from argus_core.replay.results import DAILY_SCHEMA, TRADE_SCHEMA
from argus_core.settings import ExecutionSettings
from argus_core.strategies.interface import CallbackStrategy, Intent, Params
from tests.replay.frames import decision_frame, random_prices
from tests.replay.quotes import EXPIRY, at, chain
from tests.replay.watch import ETF, run


def flat(height: int, **arguments) -> pl.DataFrame:
    return decision_frame([(100.0, 101.0, 99.0, 100.0)] * height, **arguments)


def test_warm_up_and_the_last_bar_decide_nothing():
    calls: list[int] = []
    result = run(lambda view: calls.append(view.index), flat(20, bars_per_day=5, warmup=10))
    assert calls == list(range(10, 19))
    assert result.daily.height == 2
    assert result.trades.schema == dict(TRADE_SCHEMA)
    assert result.daily.schema == dict(DAILY_SCHEMA)


def test_history_ends_at_this_bar_and_reaches_into_warm_up():
    frame = decision_frame(random_prices(1, 20), warmup=10)

    def watch(view):
        assert view.history("close", 5).tolist() == frame["close"][view.index - 4 : view.index + 1].to_list()
        assert len(view.history("close", 1000)) == view.index + 1
        assert view.value("close") == frame["close"][view.index]

    run(watch, frame)


def test_history_gives_no_way_to_the_rows_after_it():
    def watch(view):
        for count in (1, 3, 99):
            part = view.history("close", count)
            while part is not None:
                assert part.size <= min(count, view.index + 1)
                part = part.base
        with pytest.raises(ValueError, match="read-only"):
            view.history("close", 3)[0] = 1.0

    run(watch, flat(10))


def reachable(thing: object, depth: int = 6) -> list[object]:
    """What a strategy gets at from ``thing`` through attributes, items and calls without arguments."""
    found, layer = [thing], [thing]
    for _ in range(depth):
        following: list[object] = []
        for one in layer:
            if isinstance(one, str | bytes | int | float | type | type(None)):
                continue
            names = [n for n in dir(one) if not n.startswith("__")] + ["__dict__"]
            for name in names:
                value = getattr(one, name, None)
                # Methods are called by a strategy, never looked into: their closures are the interpreter's.
                if not callable(value):
                    following.append(value)
            if isinstance(one, tuple | list):
                following.extend(one)
            if isinstance(one, dict):
                following.extend(one.values())
        found += following
        layer = following
    return found


def test_a_view_holds_nothing_that_leads_to_later_rows_and_cannot_be_moved():
    # No price comes twice, so a later one is known for what it is.
    frame = decision_frame([(100.0 + k**0.5,) * 4 for k in range(12)], half_spread=0.02)
    later = {}

    def watch(view):
        later.setdefault("view", view)
        assert view is later["view"]
        view.value("close")
        things = reachable(view)
        assert not any(isinstance(x, pl.DataFrame | pl.Series | np.ndarray) for x in things)
        assert not any(isinstance(x, float) and x in frame["close"][view.index + 1 :].to_list() for x in things)
        for name in ("index", "now_us", "cash", "equity", "fresh", "positions", "orders", "rows"):
            with pytest.raises(AttributeError):
                setattr(view, name, 0)
        return [Intent("open", quantity=1, stop_distance=5.0)] if not view.positions and not view.pending else None

    run(watch, frame)


def test_a_position_shows_its_price_of_now_until_it_is_closed():
    frame = decision_frame([(float(p),) * 4 for p in (100, 101, 102, 103, 104)], half_spread=0.5)
    kept = []

    def watch(view):
        kept.extend(view.positions)
        assert [p.close_price for p in kept] == [view.value("close") - 0.5] * len(kept)
        return [Intent("open", quantity=1)] if view.index == 0 else None

    run(watch, frame)
    assert [p.entry_price for p in kept] == [pytest.approx(101.5 + 101 * 0.5e-4)] * 3


def test_an_unknown_column_is_an_error_that_lists_the_columns():
    with pytest.raises(KeyError, match=r"no column 'sentiment'.*close"):
        run(lambda view: view.value("sentiment"), flat(5))


def test_a_snapshot_is_seen_from_its_receipt_on_and_not_from_its_quote_time():
    options = pl.concat([chain(at("03 14:33"), [EXPIRY]), chain(at("03 14:36"), [EXPIRY], spot=101.0)])
    seen: dict[int, float | None] = {}

    def watch(view):
        table = view.chain()
        seen[view.index] = None if table is None else table["underlying_price"][0]

    run(watch, flat(10), options=options)
    assert seen == {0: None, 1: None, 2: 100.0, 3: 100.0, 4: 100.0, 5: 101.0, 6: 101.0, 7: 101.0, 8: 101.0}


def test_a_delayed_feed_moves_the_decision_and_with_it_the_fill():
    frame = flat(10, delay_seconds=150)
    result = run(lambda view: [Intent("open", quantity=1)] if view.index == 1 else None, frame)
    # Bar 1 ends 14:32, is known at 14:34:30, fills at the open of 14:35.
    assert result.trades["entry_ts"][0] == at("03 14:35")


def test_an_order_dies_across_missing_data_but_an_exit_waits():
    missing = [0, 0, 20, 0, 0, 0, 20, 0, 0, 0]

    def watch(view):
        if view.index in (1, 3):
            return [Intent("open", quantity=1)]
        return [Intent("close", position_id=p.position_id) for p in view.positions] if view.index == 5 else None

    result = run(watch, flat(10, missing_before=missing))
    assert dict(result.rejects) == {"DATA_GAP": 1}
    assert result.trades["exit_reason"].to_list() == ["signal"]


def test_a_stop_gaps_through_at_the_open_and_beats_the_target():
    prices = [(100, 100, 100, 100)] * 3 + [(90, 112, 90, 95)] + [(95, 95, 95, 95)] * 2
    intent = Intent("open", quantity=1, stop_distance=5.0, target_distance=10.0)
    result = run(lambda view: [intent] if view.index == 0 else None, decision_frame(prices))
    trade = result.trades.row(0, named=True)
    assert trade["exit_reason"] == "stop"
    assert trade["exit_price"] == pytest.approx(90 * (1 - 0.5e-4))


def test_a_time_stop_fills_at_the_first_open_at_or_after_its_age():
    intent = Intent("open", quantity=1, max_hold_seconds=120.0)
    trade = run(lambda view: [intent] if view.index == 0 else None, flat(8)).trades.row(0, named=True)
    assert (trade["exit_reason"], trade["entry_ts"], trade["exit_ts"]) == ("time", at("03 14:31"), at("03 14:33"))


def test_the_same_run_gives_the_same_bytes_from_a_frame_and_from_a_shared_tape():
    frame = decision_frame(random_prices(5, 60), bars_per_day=20, half_spread=0.02)
    options = pl.concat([chain(at(f"03 14:{m}"), [EXPIRY]) for m in (33, 40)])
    rng_rows = set(np.random.default_rng(2).choice(60, 12, replace=False).tolist())

    def watch(view):
        if view.index in rng_rows:
            return [Intent("close", position_id=p.position_id) for p in view.positions] or [Intent("open", size=0.5)]
        return None

    tape = OptionTape(options)
    first = run(watch, frame, options=options)
    for _ in range(2):
        again = run(watch, frame, options=tape)
        assert again.trades.equals(first.trades)
        assert again.daily.equals(first.daily)
        assert again.decisions == first.decisions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("half_spread"), "no column half_spread"),
        (lambda f: f.with_columns(close=pl.lit(float("nan"))), "close holds a null or a number that is not finite"),
        (lambda f: pl.concat([f, f]), "ts must ascend"),
    ],
)
def test_a_frame_that_cannot_be_replayed_teaches(change, message):
    with pytest.raises(ValueError, match=message):
        run(lambda view: None, change(flat(5)))


def test_a_negative_distance_is_an_error():
    with pytest.raises(ValueError, match="stop_distance is -1"):
        run(lambda view: [Intent("open", stop_distance=-1.0, tag="x")], flat(5))


class Momentum(CallbackStrategy):
    """Honest: trades on its own past and on the chain it sees."""

    def on_bar(self, view):
        past = view.history("close", 4)
        snapshot = view.snapshot()
        level = 0.0 if snapshot is None else float(snapshot.columns["bid"][::7].sum())
        if len(past) == 4 and past[-1] > past[0] and not view.positions and not view.pending:
            return (Intent("open", size=0.5, stop_distance=0.5, tag=f"{level:.4f}"),)
        if past[-1] < past[0]:
            return tuple(Intent("close", position_id=p.position_id) for p in view.positions)
        return ()


def proof(strategy_of):
    frame = decision_frame(random_prices(9, 80), bars_per_day=20, half_spread=0.02)
    options = pl.concat([chain(at(f"{day:02d} 14:{m}"), [EXPIRY]) for day in (3, 4) for m in (33, 41, 47)])

    def decide(rows, quotes):
        strategy = strategy_of(rows, quotes)
        arguments = {"starting_cash": 10_000.0, "symbol": "SPY", "options": quotes}
        return replay_callback(strategy, rows, ETF, ExecutionSettings(), **arguments).decisions

    return prove_no_lookahead_callback(decide, frame, options, cuts=6, seed=1)


def test_decisions_do_not_change_when_the_future_is_cut_off_or_changed():
    result = proof(lambda rows, quotes: Momentum(Params()))
    assert result.ok, result.detail


def test_a_strategy_that_peeks_at_a_later_bar_or_snapshot_is_found():
    class PeeksAtBar(CallbackStrategy):
        def __init__(self, rows):
            super().__init__(Params())
            self.rows = rows["close"].to_list()

        def on_bar(self, view):
            later = self.rows[min(view.index + 1, len(self.rows) - 1)]
            return (Intent("open", size=0.1, tag=f"{later}"),) if view.index % 5 == 0 else ()

    class PeeksAtChain(CallbackStrategy):
        def __init__(self, quotes):
            super().__init__(Params())
            self.last = quotes["bid"].to_list()[-40:]

        def on_bar(self, view):
            return (Intent("open", size=0.1, tag=f"{sum(self.last):.3f}"),) if view.index % 5 == 0 else ()

    assert not proof(lambda rows, quotes: PeeksAtBar(rows)).ok
    assert not proof(lambda rows, quotes: PeeksAtChain(quotes)).ok


class EmaCross(CallbackStrategy):
    """The work of the peer comparison: 100 shares while a fast average of the close is above a slow one."""

    def __init__(self) -> None:
        super().__init__(Params())
        self.bars = 0
        self.fast = self.slow = 0.0

    def on_bar(self, view):
        close = view.value("close")
        self.bars += 1
        if self.bars == 1:
            self.fast = self.slow = close
        self.fast += 2 / 21 * (close - self.fast)
        self.slow += 2 / 101 * (close - self.slow)
        if self.bars <= 1_000 or view.pending:
            return ()
        held = view.positions
        if self.fast > self.slow:
            return () if held else (Intent("open", quantity=100),)
        return tuple(Intent("close", position_id=position.position_id) for position in held)


def reference_frame(folder) -> pl.DataFrame:
    path = folder / "bench" / "ema_cross_bars.parquet"
    if not path.is_file():
        pytest.skip(f"no {path}")
    bars = pl.read_parquet(path)
    start = pl.from_epoch("ts_ns", time_unit="ns").dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    end = start + pl.duration(minutes=1)
    return bars.select(
        "open", "high", "low", "close", ts=start, end=end, available_at=end, trade_date=start.dt.date(),
        volume=pl.col("volume").cast(pl.Float64), half_spread=pl.lit(0.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("basis", "equity"), [("signal_close", 990_929), ("next_open", 990_092), ("next_close", 988_775)]
)
def test_the_ema_cross_of_the_peer_comparison_gives_its_fills_and_its_equity(shared_data, basis, equity):
    free = {"slippage_bps": 0, "commission_per_share": 0, "commission_min": 0, "participation": 1}
    execution = ExecutionSettings(price_basis=basis, **free)
    frame = reference_frame(shared_data)
    result = replay_callback(EmaCross(), frame, ETF, execution, starting_cash=1_000_000, symbol="SPY")
    assert result.fills == 1_340
    assert round(result.final_equity) == equity
