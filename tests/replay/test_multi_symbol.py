"""Several symbols in one callback replay: the merged clock, prices of each, one account, and what stays hidden."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.replay.callback import ColumnarAdapter, replay_callback
from argus_core.replay.reference import Reference
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import Intent, Params
from tests.replay.frames import decision_frame, full_intents, random_prices
from tests.replay.quotes import at
from tests.replay.test_parity import Recorded
from tests.replay.watch import ETF, FREE, Watcher, run


def level(prices, **arguments) -> pl.DataFrame:
    """A frame whose bars stand still at their price."""
    return decision_frame([(float(p),) * 4 for p in prices], **arguments)


def closing(view):
    return [Intent("close", position_id=position.position_id) for position in view.positions]


# --- the clock --------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    basis=st.sampled_from(["next_open", "next_worst", "next_close", "signal_close"]),
    delay=st.sampled_from([0, 30, 90]),
    seconds=st.sampled_from([20, 60, 420]),
    batched=st.booleans(),
)
def test_a_reference_that_is_not_traded_changes_nothing(seed, basis, delay, seconds, batched):
    rng = np.random.default_rng(seed)
    frame = decision_frame(
        random_prices(seed, 60), bars_per_day=15, half_spread=0.02, delay_seconds=delay, warmup=int(rng.integers(0, 9))
    )
    other = decision_frame(random_prices(seed + 1, 50), bars_per_day=10, bar_seconds=seconds, delay_seconds=45)
    if batched:
        # A feed that delivers every three minutes: several bars are published at one moment.
        whole = pl.col("end").dt.offset_by("3m").dt.truncate("3m")
        frame, other = frame.with_columns(available_at=whole), other.with_columns(available_at=whole)
    adapter = ColumnarAdapter(Recorded(full_intents(seed, 60)), Params(), frame)
    execution = ExecutionSettings(price_basis=basis, leverage=2.0)
    arguments = {"starting_cash": 10_000.0, "symbol": "SPY"}
    alone = replay_callback(adapter, frame, ETF, execution, **arguments)
    references = {"QQQ": Reference(other, Instrument(symbol="QQQ", asset_class="etf", bar_seconds=seconds))}
    beside = replay_callback(adapter, frame, ETF, execution, references=references, **arguments)
    assert beside.trades.equals(alone.trades)
    assert beside.daily.equals(alone.daily)
    assert (beside.decisions, beside.rejects, beside.exposure) == (alone.decisions, alone.rejects, alone.exposure)


def test_minutes_of_a_reference_beside_days_and_days_beside_minutes():
    days = level([50, 51, 52], bars_per_day=1, bar_seconds=6 * 3600)
    minutes = level(range(100, 112), bars_per_day=4)
    seen = []

    def watch(view):
        seen.append((view.index, view.fresh, view.value("close"), view.value("close", "BTC")))
        assert view.symbols == ("SPY", "BTC")
        assert view.history("close", 99, "BTC").tolist() == list(range(100, int(view.value("close", "BTC")) + 1))

    run(watch, days, others={"BTC": minutes})
    # The last day decides nothing; on every other the minutes of that day have passed.
    assert seen == [(0, ("SPY",), 50.0, 103.0), (1, ("SPY",), 51.0, 107.0)]
    seen.clear()

    def mirrored(view):
        seen.append((view.index, view.value("close", "IBIT"), len(view.history("close", 9, "IBIT"))))

    run(mirrored, minutes, others={"IBIT": days})
    assert [day for _, day, _ in seen] == [None] * 4 + [50.0] * 4 + [51.0] * 3
    assert [count for _, _, count in seen] == [0] * 4 + [1] * 4 + [2] * 3


def test_a_strategy_that_hears_all_is_called_once_per_moment_from_the_first_primary_bar_on():
    slow = level([50, 51], bars_per_day=2, bar_seconds=180)
    fast = level(range(100, 107), bars_per_day=7)
    seen = []
    run(lambda view: seen.append((view.index, view.fresh)), slow, others={"QQQ": fast}, hears_all=True)
    # Minutes 1 and 2 come before the first bar of SPY; minute 3 ends with it; the run ends with minute 6.
    assert seen == [(0, ("SPY", "QQQ")), (0, ("QQQ",)), (0, ("QQQ",))]


def test_the_primary_symbol_rules_warm_up():
    calls = []
    frame, other = level([1] * 10, warmup=5), level([2] * 10)
    run(lambda view: calls.append(view.index), frame, others={"QQQ": other}, hears_all=True)
    assert calls == [5, 6, 7, 8]


def test_a_bar_is_known_when_it_is_published_and_so_is_what_happened_in_it():
    frame = level([100] * 8)
    late = level([50, 50, 50, 40, 40, 40, 40, 40], delay_seconds=120)
    seen: dict[int, tuple] = {}

    def watch(view):
        seen[view.index] = (view.value("close", "QQQ"), view.pending, len(view.positions), view.equity)
        return [Intent("open", quantity=10, symbol="QQQ")] if view.index == 2 else None

    result = run(watch, frame, others={"QQQ": late}, execution=FREE)
    # Decided at 14:33, filled at the open of 14:33, the bar of which is published two minutes after its end.
    trade = result.trades.row(0, named=True)
    assert (trade["entry_ts"], trade["entry_price"]) == (at("03 14:33"), 40.0)
    assert seen == {
        0: (None, 0, 0, 10_000.0),
        1: (None, 0, 0, 10_000.0),
        2: (50.0, 0, 0, 10_000.0),
        3: (50.0, 1, 0, 10_000.0),
        4: (50.0, 1, 0, 10_000.0),
        5: (40.0, 0, 1, 10_000.0),
        6: (40.0, 0, 1, 10_000.0),
    }


def test_at_one_moment_bars_end_then_decisions_are_taken_then_bars_begin():
    # QQQ loses its lot inside the bar that ends with the decision; what the decision asks fills where SPY begins.
    frame = level([100, 100, 100, 100, 100])
    other = decision_frame([(50.0,) * 4, (50.0,) * 4, (50.0, 50.0, 40.0, 45.0), (45.0,) * 4, (45.0,) * 4])
    seen = {}

    def watch(view):
        seen[view.index] = [p.symbol for p in view.positions]
        if view.index == 0:
            return [Intent("open", quantity=200, symbol="QQQ", stop_distance=5.0)]
        return [Intent("open", quantity=80)] if view.index == 2 else None

    result = run(watch, frame, others={"QQQ": other}, execution=FREE)
    assert seen == {0: [], 1: ["QQQ"], 2: [], 3: ["SPY"]}
    assert result.trades.select("symbol", "exit_reason", "quantity").rows() == [
        ("QQQ", "stop", 200.0),
        ("SPY", "forced", 80.0),
    ]
    assert result.trades["entry_ts"].to_list() == [at("03 14:31"), at("03 14:33")]


def test_opens_of_one_moment_use_the_cash_before_anything_inside_the_bars_frees_it():
    frame = decision_frame([(100.0,) * 4] * 2 + [(100.0, 100.0, 90.0, 95.0)] + [(95.0,) * 4] * 2)
    other = level([100] * 5)

    def watch(view):
        if view.index == 0:
            return [Intent("open", quantity=100, stop_distance=5.0)]
        return [Intent("open", quantity=10, symbol="QQQ")] if view.index == 1 else None

    # At 14:32 SPY holds all the cash; its stop frees it only inside that bar.
    result = run(watch, frame, others={"QQQ": other}, execution=FREE)
    assert result.trades["symbol"].to_list() == ["SPY"]
    assert dict(result.rejects) == {"NO_BUYING_POWER": 1}


def test_of_bars_that_are_published_together_the_one_that_began_first_takes_the_cash():
    minutes, slow = level([100] * 12), decision_frame([(100.0,) * 4] * 3, bar_seconds=300)

    def watch(view):
        if view.index == 4:
            return [Intent("open", quantity=100, symbol="QQQ")]
        return [Intent("open", quantity=100)] if view.index == 8 else None

    # Both fill in bars that end at 14:40; that of QQQ began at 14:35, that of SPY at 14:39.
    result = run(watch, minutes, others={"QQQ": slow}, execution=FREE)
    assert result.trades["symbol"].to_list() == ["QQQ"]
    assert dict(result.rejects) == {"NO_BUYING_POWER": 1}


# --- money ------------------------------------------------------------------------------------------------------------


def test_a_pair_is_marked_at_the_last_price_of_each_and_paid_from_one_account():
    frame = level([100, 100, 102, 104, 104, 104])
    other = level([50, 50, 49, 47, 47, 47])
    seen = {}

    def watch(view):
        seen[view.index] = (view.cash, view.equity, {p.symbol: p.close_price for p in view.positions})
        if view.index == 0:
            return [Intent("open", quantity=10), Intent("open", side=-1, quantity=20, symbol="QQQ")]
        return closing(view) if view.index == 3 else None

    result = run(watch, frame, others={"QQQ": other}, execution=FREE)
    assert seen[0] == (10_000.0, 10_000.0, {})
    assert seen[1] == (10_000.0, 10_000.0, {"SPY": 100.0, "QQQ": 50.0})
    assert seen[2] == (10_000.0, 10_040.0, {"SPY": 102.0, "QQQ": 49.0})
    assert seen[3] == (10_000.0, 10_100.0, {"SPY": 104.0, "QQQ": 47.0})
    assert seen[4] == (10_100.0, 10_100.0, {})
    assert dict(result.trades.select("symbol", "pnl").rows()) == {"SPY": 40.0, "QQQ": 60.0}
    assert [t.split("-")[0] for t in result.trades["trade_id"]] == result.trades["symbol"].to_list()


def test_each_symbol_trades_on_its_own_terms():
    frame = level([100] * 6)
    coin = decision_frame([(30_000.0,) * 4] * 6, half_spread=3.0)
    terms = Instrument(symbol="BTC", asset_class="crypto", hours="always", lot=0.001, tick=1.0)
    execution = ExecutionSettings(slippage_bps=0)

    def watch(view):
        if view.index == 0:
            return [Intent("open", notional=1_000.0, symbol="BTC"), Intent("open", notional=1_000.0)]
        return closing(view) if view.index == 2 else None

    result = replay_callback(
        Watcher(watch),
        frame,
        ETF,
        execution,
        starting_cash=10_000,
        symbol="SPY",
        references={"BTC": Reference(coin, terms)},
    )
    btc = result.trades.filter(pl.col("symbol") == "BTC").row(0, named=True)
    spy = result.trades.filter(pl.col("symbol") == "SPY").row(0, named=True)
    assert (btc["quantity"], btc["entry_price"]) == (pytest.approx(0.033), 30_003.0)
    assert btc["costs"] == pytest.approx(0.033 * (2 * 3.0 + 0.001 * (30_003 + 29_997)))
    assert (spy["quantity"], spy["costs"]) == (10.0, pytest.approx(0.70))


def test_what_is_left_in_a_reference_is_liquidated_at_its_own_last_price():
    frame = level([100] * 6)
    other = level([50, 51, 52]).head(3)

    def watch(view):
        return [Intent("open", quantity=10, symbol="QQQ")] if view.index == 0 else None

    result = run(watch, frame, others={"QQQ": other}, execution=FREE)
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_price"], trade["exit_ts"]) == ("forced", 52.0, at("03 14:33"))
    assert result.final_equity == 10_010.0
    assert result.daily["equity"].to_list() == [10_010.0]


def test_a_forced_exit_of_a_reference_comes_not_before_its_entry():
    minutes, slow = level([100] * 8), decision_frame([(50.0,) * 4] * 3, bar_seconds=300)

    def watch(view):
        return [Intent("open", quantity=1, symbol="QQQ")] if view.index == 6 else None

    # Bought at 14:37 at the close of 14:35, the last that is known when the run ends at 14:38.
    execution = FREE.model_copy(update={"price_basis": "signal_close"})
    trade = run(watch, minutes, others={"QQQ": slow}, execution=execution).trades.row(0, named=True)
    assert (trade["entry_ts"], trade["exit_ts"]) == (at("03 14:37"), at("03 14:37"))
    longer = level([100] * 13)
    early = run(
        lambda v: [Intent("open", quantity=1, symbol="QQQ")] if v.index == 4 else None, longer, others={"QQQ": slow}
    )
    assert early.trades["exit_ts"].to_list() == [at("03 14:40")]


def test_the_days_of_the_primary_symbol_make_the_daily_equity():
    frame = level([100] * 6, bars_per_day=3)
    other = level([50, 60, 70, 80, 90, 95, 97, 98], bars_per_day=4)

    def watch(view):
        return [Intent("open", quantity=10, symbol="QQQ")] if view.index == 0 else None

    result = run(watch, frame, others={"QQQ": other}, execution=FREE)
    # In at 60; at SPY's last bar of the day QQQ stands at 70, on the next day at 97.
    assert result.daily["equity"].to_list() == [10_100.0, 10_370.0]


@pytest.mark.parametrize(
    ("basis", "price", "stamp"),
    [
        ("next_open", 60.0, "03 14:35"),
        ("next_worst", 66.0, "03 14:35"),
        ("next_close", 64.0, "03 14:40"),
        ("signal_close", 50.0, "03 14:37"),
    ],
)
def test_every_price_basis_means_the_reference_s_own_bars(basis, price, stamp):
    frame = level([100] * 14)
    other = decision_frame([(50.0,) * 4, (60.0, 66.0, 58.0, 64.0), (70.0,) * 4], bar_seconds=300)
    row = 6 if basis == "signal_close" else 4

    def watch(view):
        return [Intent("open", quantity=1, symbol="QQQ")] if view.index == row else None

    execution = FREE.model_copy(update={"price_basis": basis})
    trade = run(watch, frame, others={"QQQ": other}, execution=execution).trades.row(0, named=True)
    assert (trade["entry_price"], trade["entry_ts"]) == (price, at(stamp))


# --- errors -----------------------------------------------------------------------------------------------------------


def test_the_primary_symbol_is_no_reference():
    with pytest.raises(ValueError, match="SPY is the primary symbol"):
        run(lambda view: None, level([1] * 3), others={"SPY": level([1] * 3)})


def test_a_symbol_without_a_bar_cannot_be_traded_yet():
    late = level([50] * 3).with_columns(pl.col("ts", "end", "available_at") + timedelta(minutes=2))
    with pytest.raises(ValueError, match=r"symbol is 'QQQ', which has no bar yet"):
        run(lambda view: [Intent("open", symbol="QQQ", quantity=1)], level([1] * 5), others={"QQQ": late})


def test_a_column_or_symbol_that_is_not_there_is_named():
    for arguments, message in ((("nothing", "QQQ"), "no column 'nothing'"), (("close", "IWM"), "no symbol 'IWM'")):
        with pytest.raises(KeyError, match=message):
            run(lambda view, a=arguments: view.value(*a), level([1] * 3), others={"QQQ": level([1] * 3)})


def test_bars_that_are_published_out_of_order_are_refused():
    jumbled = level([50] * 3).with_columns(
        available_at=pl.Series([at("03 14:40"), at("03 14:35"), at("03 14:36")]).cast(pl.Datetime("us", "UTC"))
    )
    with pytest.raises(ValueError, match="decision frame of QQQ: available_at must not descend"):
        run(lambda view: None, level([1] * 3), others={"QQQ": jumbled})
