"""Fills, accounting and determinism of the lane replay."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.replay.lanes import replay_lanes
from argus_core.replay.results import TRADE_SCHEMA
from argus_core.settings import ExecutionSettings, Instrument
from tests.replay.frames import decision_frame, intents, random_intents, random_prices
from tests.replay.plain_replay import plain_replay

ETF = Instrument(symbol="SPY", asset_class="etf")
BTC = Instrument(symbol="BTC", asset_class="crypto", hours="always", lot=0.001)
FREE = ExecutionSettings(slippage_bps=0, commission_per_share=0, commission_min=0, commission_rate_crypto=0)


def replay(frame, *lanes, instrument=ETF, execution=FREE, cash=10_000.0):
    return replay_lanes(frame, lanes, instrument, execution, starting_cash=cash, symbol=instrument.symbol)


def only_trade(frame, lane, **arguments):
    trades = replay(frame, lane, **arguments)[0].trades
    assert trades.height == 1
    return trades.row(0, named=True)


FLAT = [(100.0, 100.5, 99.5, 100.0)] * 6


def test_an_entry_fills_at_the_next_open_made_worse_by_half_spread_and_slippage():
    frame = decision_frame([*FLAT[:2], (102, 102.5, 101, 102), *FLAT[:3]], half_spread=0.02)
    costs = ExecutionSettings(slippage_bps=1.0, commission_per_share=0.01, commission_min=0.35)
    trade = only_trade(frame, intents(6, {1: {"enter": 1}, 3: {"exit": True}}, quantity=10), execution=costs)
    assert trade["entry_price"] == pytest.approx(102 + 0.02 + 0.0102)
    assert trade["exit_price"] == pytest.approx(100 - 0.02 - 0.01)
    assert (trade["entry_ts"], trade["exit_ts"]) == (frame["ts"][2], frame["ts"][4])
    assert trade["costs"] == pytest.approx(2 * 0.35 + 10 * (0.0302 + 0.03))
    assert trade["pnl"] == pytest.approx(10 * (100 - 102) - trade["costs"])
    assert trade["exit_reason"] == "signal"


def test_cost_multiplier_scales_spread_slippage_and_commission():
    frame = decision_frame(FLAT, half_spread=0.02)
    lane = intents(6, {0: {"enter": 1}, 3: {"exit": True}}, quantity=10)
    base = ExecutionSettings(slippage_bps=1.0)
    once, twice = (
        only_trade(frame, lane, execution=base.model_copy(update={"cost_multiplier": m})) for m in (1.0, 2.0)
    )
    assert twice["costs"] == pytest.approx(2 * once["costs"])


def test_next_worst_buys_the_high_and_sells_the_low():
    execution = FREE.model_copy(update={"price_basis": "next_worst"})
    trade = only_trade(decision_frame(FLAT), intents(6, {0: {"enter": 1}, 2: {"exit": True}}), execution=execution)
    assert (trade["entry_price"], trade["exit_price"]) == (100.5, 99.5)


def test_signal_close_fills_at_the_close_of_the_deciding_bar():
    prices = [(100, 103, 99, 100 + k) for k in range(4)]
    execution = FREE.model_copy(update={"price_basis": "signal_close"})
    frame = decision_frame(prices)
    trade = only_trade(frame, intents(4, {0: {"enter": 1}, 2: {"exit": True}}), execution=execution)
    assert (trade["entry_price"], trade["exit_price"]) == (100, 102)
    assert (trade["entry_ts"], trade["exit_ts"]) == (frame["available_at"][0], frame["available_at"][2])


def test_latency_skips_bars_that_start_too_early():
    execution = FREE.model_copy(update={"latency_seconds": 90.0})
    frame = decision_frame(FLAT)
    trade = only_trade(frame, intents(6, {0: {"enter": 1}}), execution=execution)
    assert trade["entry_ts"] == frame["ts"][3]


def test_a_late_feed_moves_the_fill_to_a_later_bar():
    frame = decision_frame(FLAT, delay_seconds=30)
    assert only_trade(frame, intents(6, {0: {"enter": 1}}))["entry_ts"] == frame["ts"][2]


@pytest.mark.parametrize(
    ("bar", "price", "reason"),
    [
        ((98.0, 98.5, 97.0, 98.0), 98.0, "stop"),  # gaps through: at the open
        ((100.0, 102.5, 98.9, 100.0), 99.0, "stop"),  # touches both: the stop
        ((100.0, 100.2, 99.0, 100.0), 99.0, "stop"),  # touched exactly
        ((100.0, 102.0, 99.5, 100.0), 100.0, "forced"),  # target touched, not traded through
        ((100.0, 102.01, 99.5, 100.0), 102.0, "target"),  # one tick through
        ((103.0, 103.5, 102.9, 103.0), 102.0, "target"),  # a limit never fills better than its price
    ],
)
def test_long_protective_exits(bar, price, reason):
    frame = decision_frame([*FLAT[:3], bar])
    trade = only_trade(frame, intents(4, {0: {"enter": 1}}, stop_distance=1.0, target_distance=2.0))
    assert (trade["exit_price"], trade["exit_reason"]) == (price, reason)


@pytest.mark.parametrize(
    ("bar", "price", "reason"),
    [
        ((101.5, 102.0, 101.0, 101.5), 101.5, "stop"),
        ((100.0, 101.0, 97.0, 100.0), 101.0, "stop"),
        ((100.0, 100.5, 98.0, 100.0), 100.0, "forced"),
        ((100.0, 100.5, 97.99, 99.0), 98.0, "target"),
    ],
)
def test_short_protective_exits_mirror_the_long_ones(bar, price, reason):
    frame = decision_frame([*FLAT[:3], bar])
    trade = only_trade(frame, intents(4, {0: {"enter": -1}}, stop_distance=1.0, target_distance=2.0))
    assert (trade["exit_price"], trade["exit_reason"]) == (price, reason)


def test_a_stop_can_end_a_trade_on_its_entry_bar():
    frame = decision_frame([*FLAT[:1], (100.0, 100.5, 97.0, 98.0), *FLAT[:2]])
    trade = only_trade(frame, intents(4, {0: {"enter": 1}}, stop_distance=1.0))
    assert (trade["entry_ts"], trade["exit_ts"], trade["exit_price"]) == (frame["ts"][1], frame["end"][1], 99.0)


def test_risk_is_the_distance_of_the_initial_stop_times_the_shares():
    frame = decision_frame(FLAT)
    out = {0: {"enter": 1}, 3: {"exit": True}}
    assert only_trade(frame, intents(6, out, quantity=10, stop_distance=2.0))["risk"] == 20.0
    assert only_trade(frame, intents(6, out, quantity=10))["risk"] is None
    # The nearer of stop and trail is the initial stop; where the trail has moved it to later does not matter.
    rising = decision_frame([(100 + k, 100.5 + k, 99.5 + k, 100 + k) for k in range(6)])
    assert only_trade(rising, intents(6, out, quantity=10, stop_distance=9.0, trail_distance=3.0))["risk"] == 30.0
    # Sized by risk: the share of equity that the rule says, less what lots take away.
    assert only_trade(frame, intents(6, out, risk=0.01, stop_distance=3.0))["risk"] == 99.0


def test_every_trade_has_the_risk_of_its_own_entry():
    frame = decision_frame(FLAT * 3)
    at = {0: {"enter": 1}, 4: {"exit": True}, 8: {"enter": -1}, 12: {"exit": True}}
    row = pl.int_range(pl.len())
    varied = intents(18, at, quantity=10).with_columns(
        stop_distance=pl.when(row == 0).then(2.0).when(row == 8).then(5.0).otherwise(7.0)
    )
    none_at_first = varied.with_columns(stop_distance=pl.when(row == 8).then(5.0))
    even = intents(18, at, quantity=10, stop_distance=4.0)
    found = replay(frame, varied, none_at_first, even)
    assert [one.trades["risk"].to_list() for one in found] == [[20.0, 50.0], [None, 50.0], [40.0, 40.0]]


def test_a_time_stop_fills_at_the_open_when_the_time_is_up():
    frame = decision_frame(FLAT)
    trade = only_trade(frame, intents(6, {0: {"enter": 1}}, max_hold_seconds=120.0))
    assert (trade["exit_reason"], trade["exit_ts"], trade["holding_seconds"]) == ("time", frame["ts"][3], 120.0)


def test_a_value_given_at_the_entry_alone_counts_there_with_nan_elsewhere():
    lane = intents(6, {0: {"enter": 1}}, max_hold_seconds=np.nan).with_row_index()
    lane = lane.with_columns(
        max_hold_seconds=pl.when(pl.col("index") == 1).then(120.0).otherwise(np.nan),
        enter=pl.when(pl.col("index") == 1).then(1).otherwise(0).cast(pl.Int8),
    ).drop("index")
    assert only_trade(decision_frame(FLAT), lane)["holding_seconds"] == 120.0


def test_an_entry_dies_across_a_data_gap_but_an_exit_waits():
    frame = decision_frame(FLAT, missing_before=[0, 11, 0, 11, 0, 0])
    result = replay(frame, intents(6, {0: {"enter": 1}, 1: {"enter": 1}, 2: {"exit": True}}))[0]
    assert dict(result.rejects) == {"DATA_GAP": 1}
    assert result.trades["entry_ts"].to_list() == [frame["ts"][2]]
    assert result.trades["exit_ts"].to_list() == [frame["ts"][3]]
    assert result.fill_rate == pytest.approx(2 / 3)


def test_participation_cuts_an_entry_and_counts_it_as_partial():
    result = replay(decision_frame(FLAT, volume=300), intents(6, {0: {"enter": 1}}))[0]
    assert (result.trades["quantity"].to_list(), result.partials, result.reject_count) == ([30.0], 1, 0)


def test_an_entry_without_volume_is_refused_for_size():
    result = replay(decision_frame(FLAT, volume=9), intents(6, {0: {"enter": 1}}))[0]
    assert dict(result.rejects) == {"INSUFFICIENT_SIZE": 1}
    assert (result.fills, result.fill_rate) == (0, 0.0)


def test_an_entry_beyond_the_cash_is_refused():
    result = replay(decision_frame(FLAT), intents(6, {0: {"enter": 1}}), cash=99.0)[0]
    assert dict(result.rejects) == {"NO_BUYING_POWER": 1}


def test_warm_up_rows_decide_nothing_and_warm_up_days_have_no_return():
    frame = decision_frame(FLAT, bars_per_day=2, warmup=2)
    result = replay(frame, intents(6, {0: {"enter": 1}, 1: {"enter": 1}, 3: {"enter": 1}}))[0]
    assert result.trades["entry_ts"].to_list() == [frame["ts"][4]]
    assert result.daily["trade_date"].to_list() == frame["trade_date"].unique().sort().to_list()[1:]
    assert result.exposure == pytest.approx(1 / 4)


def test_nothing_asked_gives_a_full_fill_rate_and_flat_equity():
    result = replay(decision_frame(FLAT, bars_per_day=3), intents(6, {}))[0]
    assert (result.fills, result.fill_rate, result.final_equity) == (0, 1.0, 10_000.0)
    assert result.daily["daily_return"].to_list() == [0.0, 0.0]


def test_equity_of_an_open_position_counts_what_it_is_worth():
    """Predecessor A1: cash + unrealised PnL made buying a 500-dollar ETF look like a 501 % drawdown."""
    frame = decision_frame([(500.0, 500.5, 499.5, 500.0)] * 4, bars_per_day=2)
    for side in (1, -1):
        daily = replay(frame, intents(4, {0: {"enter": side}}))[0].daily
        assert daily["equity"].to_list() == [10_000.0, 10_000.0]


def test_the_position_is_marked_on_the_side_it_would_be_closed_on():
    frame = decision_frame([(100.0, 100.0, 100.0, 100.0)] * 4, bars_per_day=2, half_spread=0.1)
    for side in (1, -1):
        daily = replay(frame, intents(4, {0: {"enter": side}}, quantity=10))[0].daily
        assert daily["equity"][0] == pytest.approx(10_000 - 10 * 0.2)


def test_an_opposite_signal_closes_but_does_not_reverse():
    frame = decision_frame(FLAT)
    trades = replay(frame, intents(6, {0: {"enter": 1}, 2: {"enter": -1}}))[0].trades
    assert trades["side"].to_list() == [1]
    assert trades["exit_ts"].to_list() == [frame["ts"][3]]


def test_excursions_cover_the_bars_held_and_the_exit():
    frame = decision_frame([FLAT[0], (100, 104, 98, 100), (100, 101, 97, 100), (105, 120, 80, 105), FLAT[0]])
    trade = only_trade(frame, intents(5, {0: {"enter": 1}, 2: {"exit": True}}))
    assert (trade["mae"], trade["mfe"]) == (pytest.approx(-0.03), pytest.approx(0.05))


def test_regime_labels_are_those_known_at_the_entry():
    frame = decision_frame(FLAT, vol=["LOW", "HIGH", "SPIKE", "LOW", "LOW", "LOW"])
    assert only_trade(frame, intents(6, {1: {"enter": 1}}))["entry_vol_regime"] == "HIGH"


@pytest.mark.parametrize(
    ("intent", "message"),
    [
        (pl.DataFrame({"enter": [1]}), "1 rows of intents"),
        (pl.DataFrame({"exit": [True] * 6}), "`enter` is required"),
        (pl.DataFrame({"enter": [1] * 6, "stop": [1.0] * 6}), "allowed: enter"),
        (pl.DataFrame({"enter": [2] * 6}), "enter must be"),
        (pl.DataFrame({"enter": [1] * 6, "stop_distance": [-1.0] * 6}), "stop_distance is negative at row 0"),
    ],
)
def test_unusable_intents_are_explained(intent, message):
    with pytest.raises(ValueError, match=message):
        replay(decision_frame(FLAT), intent)


def test_unusable_frames_are_explained():
    frame = decision_frame(FLAT)
    with pytest.raises(ValueError, match="no column half_spread"):
        replay(frame.drop("half_spread"), intents(6, {}))
    with pytest.raises(ValueError, match="ts must ascend"):
        replay(frame.reverse(), intents(6, {}))
    with pytest.raises(ValueError, match="close holds a null"):
        replay(frame.with_columns(close=pl.lit(None, pl.Float64)), intents(6, {}))


def test_an_empty_frame_gives_an_empty_result():
    result = replay(decision_frame(FLAT).clear(), intents(0, {}))[0]
    assert (result.trades.height, result.daily.height, result.final_equity) == (0, 0, 10_000.0)


CONVENTIONS = list(itertools.product(["next_open", "next_worst", "signal_close"], [0.0, 130.0], [1.0, 2.0]))


@pytest.mark.parametrize(("basis", "latency", "multiplier"), CONVENTIONS)
@pytest.mark.parametrize("instrument", [ETF, BTC], ids=lambda i: i.symbol)
def test_the_kernel_agrees_with_a_plain_loop(basis, latency, multiplier, instrument):
    height = 700
    rng = np.random.default_rng(5)
    frame = decision_frame(
        random_prices(11, height),
        bars_per_day=100,
        volume=rng.choice([0.0, 40.0, 900.0, 1e5], height),
        half_spread=rng.choice([0.005, 0.02], height),
        missing_before=rng.choice([0, 0, 0, 3, 12], height),
        warmup=100,
    )
    execution = ExecutionSettings(price_basis=basis, latency_seconds=latency, cost_multiplier=multiplier, leverage=1.5)
    lanes = [random_intents(seed, height) for seed in range(3)]
    results = replay(frame, *lanes, instrument=instrument, execution=execution, cash=5_000.0)
    last = np.flatnonzero((frame["trade_date"] != frame["trade_date"].shift(-1)).fill_null(True).to_numpy())
    for lane, result in zip(lanes, results, strict=True):
        twin = plain_replay(frame, lane, instrument, execution, 5_000.0)
        trades = result.trades
        assert trades.schema == dict(TRADE_SCHEMA)
        assert trades.height == len(twin["trades"]) > 20
        for column, key in {
            "side": "side",
            "quantity": "quantity",
            "entry_price": "price",
            "exit_price": "exit",
            "pnl": "pnl",
            "costs": "costs",
            "equity_at_entry": "equity_at_entry",
        }.items():
            np.testing.assert_allclose(
                trades[column].to_numpy(), [t[key] for t in twin["trades"]], rtol=1e-9, atol=1e-7
            )
        assert trades["exit_reason"].to_list() == [t["reason"] for t in twin["trades"]]
        for column in ("entry_ts", "exit_ts"):
            assert trades[column].dt.timestamp("us").to_list() == [t[column] for t in twin["trades"]]
        assert dict(result.rejects) == twin["rejects"]
        assert result.partials == twin["partials"]
        marked = np.array(twin["equity"])[last[1:]]
        np.testing.assert_allclose(result.daily["equity"].to_numpy(), marked, rtol=1e-9)
        assert result.final_equity == pytest.approx(twin["final"], rel=1e-9)
        held = sum(t["exit_row"] - t["entry_row"] for t in twin["trades"])
        assert result.exposure == pytest.approx(held / 600)


seeds = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, basis=st.sampled_from(["next_open", "next_worst", "signal_close"]), shorts=st.booleans())
def test_accounting_identities_hold(seed, basis, shorts):
    height = 300
    frame = decision_frame(random_prices(seed, height), bars_per_day=60, half_spread=0.01)
    execution = ExecutionSettings(price_basis=basis)
    result = replay(frame, random_intents(seed + 1, height, shorts=shorts), execution=execution)[0]
    trades = result.trades
    gross = trades["side"] * trades["quantity"] * (trades["exit_price"] - trades["entry_price"])
    fees = pl.Series([max(0.35, q * 0.0035) for q in trades["quantity"]], dtype=pl.Float64)
    # Equity changes by the sum of PnL after costs, and by nothing else.
    assert result.final_equity == pytest.approx(10_000 + (gross - 2 * fees).sum())
    assert result.final_equity == pytest.approx(10_000 + trades["pnl"].sum())
    growth = np.prod(1.0 + result.daily["daily_return"].to_numpy())
    assert 10_000 * growth == pytest.approx(result.final_equity)
    # Cash stays at or above zero without leverage.
    longs = trades["side"].to_numpy() > 0
    spent = (trades["quantity"] * trades["entry_price"] + fees).to_numpy()
    assert (trades["equity_at_entry"].to_numpy()[longs] - spent[longs] >= -1e-9).all()
    # No position without a fill: trades do not overlap, and every one has two fills.
    assert result.fills == 2 * trades.height
    assert (trades["entry_ts"][1:] >= trades["exit_ts"][:-1]).all()
    assert (trades["mae"] <= 0).all()
    assert (trades["mfe"] >= 0).all()


@settings(max_examples=10, deadline=None)
@given(seed=seeds, order=st.permutations(range(5)))
def test_the_order_of_lanes_is_irrelevant(seed, order):
    frame = decision_frame(random_prices(seed, 200), bars_per_day=50, half_spread=0.01)
    lanes = [random_intents(seed + k, 200) for k in range(5)]
    results = replay(frame, *lanes)
    shuffled = replay(frame, *(lanes[k] for k in order))
    for place, lane in enumerate(order):
        assert shuffled[place].trades.equals(results[lane].trades)
        assert shuffled[place].daily.equals(results[lane].daily)
        assert shuffled[place].rejects == results[lane].rejects


@settings(max_examples=15, deadline=None)
@given(seed=seeds, cut=st.integers(2, 299), basis=st.sampled_from(["next_open", "next_worst", "signal_close"]))
def test_truncating_the_data_leaves_earlier_trades_unchanged(seed, cut, basis):
    frame = decision_frame(random_prices(seed, 300), bars_per_day=60, half_spread=0.01)
    lane = random_intents(seed + 1, 300)
    execution = ExecutionSettings(price_basis=basis)
    whole = replay(frame, lane, execution=execution)[0].trades
    short = replay(frame.head(cut), lane.head(cut), execution=execution)[0].trades
    settled = short.filter(pl.col("exit_reason") != "forced")
    assert settled.equals(whole.head(settled.height))


def test_chunks_of_lanes_and_segments_of_bars_do_not_show():
    frame = decision_frame(random_prices(3, 9_000), half_spread=0.01)
    lanes = [random_intents(seed, 9_000, rate=0.01) for seed in (1, 2)]
    alone = [replay(frame, lane)[0] for lane in lanes]
    together = replay(frame, *(lanes[k % 2] for k in range(66)))
    assert len(together) == 66
    for k, result in enumerate(together):
        assert result.trades.equals(alone[k % 2].trades)
    twin = plain_replay(frame.head(4_000), lanes[0].head(4_000), ETF, FREE, 10_000.0)
    assert replay(frame.head(4_000), lanes[0].head(4_000))[0].final_equity == pytest.approx(twin["final"])


@pytest.mark.parametrize(
    ("basis", "equity"), [("signal_close", 990_929), ("next_open", 990_092), ("next_close", 988_775)]
)
def test_the_ema_cross_of_the_peer_benchmark_is_reproduced(shared_data, basis, equity):
    """1,340 fills and the final equities of ten other engines (peers.md §2b)."""
    bars = pl.read_parquet(shared_data / "bench" / "ema_cross_bars.parquet")
    start = pl.from_epoch("ts_ns", time_unit="ns").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    end = start + pl.duration(minutes=1)
    frame = bars.with_columns(
        ts=start, end=end, available_at=end, trade_date=start.dt.date(), half_spread=0.0, volume=1e9
    )
    fast, slow = (bars["close"].ewm_mean(span=n, adjust=False) for n in (20, 100))
    acts = pl.Series(np.arange(bars.height) >= 1_000)
    lane = pl.DataFrame({"enter": (acts & (fast > slow)).cast(pl.Int8), "exit": acts & (fast <= slow)})
    execution = FREE.model_copy(update={"price_basis": basis})
    result = replay(frame, lane.with_columns(quantity=100.0), execution=execution, cash=1e6)[0]
    assert result.fills == 1_340
    assert round(result.final_equity) == equity
