"""What both engines do with inputs that no market and no sane strategy would send; docs/replay.md has the table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import load_calendar
from argus_core.packs.frame import assemble_frame
from argus_core.replay.callback import ColumnarAdapter, replay_callback
from argus_core.replay.lanes import replay_lanes
from argus_core.replay.metrics import compute_metrics
from argus_core.replay.results import ReplayResult
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import CallbackStrategy, ColumnarStrategy, Intent, Params
from tests.replay.frames import decision_frame, intents, random_prices

ETF = Instrument(symbol="SPY", asset_class="etf")
COSTS = ExecutionSettings()
FLAT = (100.0, 101.0, 99.0, 100.0)


class Recorded(ColumnarStrategy):
    """Returns intents that were made beforehand."""

    def __init__(self, made: pl.DataFrame) -> None:
        self._made = made

    def intents(self, frame: pl.DataFrame, params: Params) -> pl.DataFrame:
        return self._made


class Scripted(CallbackStrategy):
    """Calls a function at every bar."""

    def __init__(self, decide: Callable) -> None:
        super().__init__(Params())
        self.decide = decide

    def on_bar(self, view):
        return self.decide(view)


def from_lanes(frame, lane, *, execution=COSTS, instrument=ETF, cash=10_000.0) -> ReplayResult:
    return replay_lanes(frame, [lane], instrument, execution, starting_cash=cash, symbol="SPY")[0]


def from_callback(frame, lane, *, execution=COSTS, instrument=ETF, cash=10_000.0) -> ReplayResult:
    adapter = ColumnarAdapter(Recorded(lane), Params(), frame)
    return replay_callback(adapter, frame, instrument, execution, starting_cash=cash, symbol="SPY")


def from_both(frame, lane, **arguments) -> ReplayResult:
    """The result of both engines, which must agree."""
    lanes, callback = from_lanes(frame, lane, **arguments), from_callback(frame, lane, **arguments)
    assert (lanes.fills, lanes.rejects, lanes.partials) == (callback.fills, dict(callback.rejects), callback.partials)
    for name in ("quantity", "exit_reason", "entry_ts", "exit_ts", "flags"):
        assert lanes.trades[name].to_list() == callback.trades[name].to_list(), name
    assert lanes.final_equity == pytest.approx(callback.final_equity)
    np.testing.assert_allclose(lanes.daily["equity"], callback.daily["equity"])
    return lanes


def decide(call: Callable, frame: pl.DataFrame, **arguments) -> ReplayResult:
    return replay_callback(Scripted(call), frame, ETF, COSTS, starting_cash=10_000.0, symbol="SPY", **arguments)


def flat(height: int, **arguments) -> pl.DataFrame:
    return decision_frame([FLAT] * height, **arguments)


def entry(height: int, **values) -> pl.DataFrame:
    return intents(height, {0: {"enter": 1}} if height else {}, **values)


def with_value(frame: pl.DataFrame, row: int, column: str, value: object) -> pl.DataFrame:
    chosen = pl.int_range(pl.len()) == row
    value = pl.lit(value, frame.schema[column])
    return frame.with_columns(pl.when(chosen).then(value).otherwise(pl.col(column)).alias(column))


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "fills", "days"), [(0, 0, 0), (1, 0, 1), (2, 2, 1)])
def test_an_empty_frame_one_bar_and_two_bars_have_results(height, fills, days):
    result = from_both(flat(height), entry(height))
    assert (result.fills, result.daily.height) == (fills, days)
    assert result.trades["exit_reason"].to_list() == ["forced"] * (fills // 2)
    metrics = compute_metrics(result, days_per_year=252)
    assert metrics["sharpe"] is None


def test_a_pack_without_bars_makes_an_empty_frame_that_replays():
    calendar = load_calendar("XNYS")
    bars = flat(0).with_columns(bid=pl.lit(None, pl.Float64), ask=pl.lit(None, pl.Float64))
    frame = assemble_frame(bars, ETF, calendar, ())
    assert from_both(frame, entry(0)).fills == 0


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("close", float("nan"), r"close holds a null or a number that is not finite at row 2: nan. Gate the bars"),
        ("open", float("inf"), "open holds a null or a number that is not finite at row 2: inf"),
        ("high", None, "high holds a null or a number that is not finite at row 2: None"),
        ("volume", float("nan"), "volume holds a null"),
        ("half_spread", None, "half_spread holds a null"),
        ("close", 0.0, "close is not positive at row 2: 0.0. Gate the bars"),
        ("low", -1.0, "low is not positive at row 2"),
        ("volume", -5.0, "volume is negative at row 2"),
        ("half_spread", -0.5, r"half_spread is negative at row 2: -0.5"),
        ("high", 99.5, "high is below open or close at row 2"),
        ("low", 100.5, "low is above open or close at row 2"),
        ("ts", None, "ts is null at row 2"),
        ("end", None, "end is null at row 2"),
        ("available_at", None, "available_at is null at row 2"),
        ("trade_date", None, "trade_date is null at row 2"),
    ],
)
@pytest.mark.parametrize("engine", [from_lanes, from_callback])
def test_a_value_that_no_bar_has_is_an_error_that_tells_where_it_is(engine, column, value, message):
    with pytest.raises(ValueError, match=f"decision frame: {message}"):
        engine(with_value(flat(6), 2, column, value), entry(6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: pl.concat([f, f]).sort("ts"), "ts must ascend without duplicates"),
        (lambda f: f.reverse(), "ts must ascend without duplicates"),
        (lambda f: f.with_columns(available_at=pl.col("ts")), "available_at is before the bar's end at row 0"),
        (lambda f: f.drop("volume", "half_spread"), "no column volume, half_spread. Found: ts, open"),
    ],
)
@pytest.mark.parametrize("engine", [from_lanes, from_callback])
def test_a_clock_that_runs_backwards_and_a_missing_column_are_errors(engine, change, message):
    frame = change(flat(6))
    with pytest.raises(ValueError, match=message):
        engine(frame, entry(frame.height))


def test_an_order_dies_in_a_gap_of_a_week_and_a_position_lives_through_it():
    week = [0, 0, 0, 2_000, 0, 0]
    frame = flat(6, missing_before=week).with_columns(
        (pl.col(name) + pl.when(pl.int_range(pl.len()) >= 3).then(timedelta(days=7)).otherwise(timedelta(0)))
        for name in ("ts", "end", "available_at")
    )
    assert from_both(frame, intents(6, {2: {"enter": 1}})).rejects == {"DATA_GAP": 1}
    held = from_both(frame, intents(6, {0: {"enter": 1, "max_hold_seconds": 120.0}}))
    assert held.rejects == {}
    assert (held.trades["exit_reason"][0], held.trades["exit_ts"][0]) == ("time", frame["ts"][3])


def test_without_volume_nothing_is_entered():
    assert from_both(flat(6, volume=0.0), entry(6)).rejects == {"INSUFFICIENT_SIZE": 1}


def test_a_position_leaves_through_bars_without_volume():
    frame = flat(6, volume=[1e6, 1e6, 0.0, 0.0, 0.0, 0.0])
    assert from_both(frame, intents(6, {0: {"enter": 1}, 2: {"exit": True}})).trades["exit_reason"][0] == "signal"


def test_crossed_and_one_sided_quotes_cost_the_modelled_spread():
    calendar = load_calendar("XNYS")
    quotes = {"bid": [99.9, 100.2, None, 99.9, None, 99.9], "ask": [100.1, 99.8, 100.1, None, None, 99.9]}
    bars = flat(6).drop("half_spread").with_columns(pl.Series(n, v, dtype=pl.Float64) for n, v in quotes.items())
    spreads = assemble_frame(bars, ETF, calendar, ())["half_spread"].to_list()
    modelled = max(ETF.tick, 100.0 * ETF.spread_bps * 1e-4) / 2
    assert spreads == pytest.approx([0.1, modelled, modelled, modelled, modelled, 0.0])


@pytest.mark.parametrize("price", [1e12, 1e300])
def test_prices_beyond_the_cash_buy_nothing(price):
    assert from_both(decision_frame([(price,) * 4] * 6), entry(6)).rejects == {"NO_BUYING_POWER": 1}


# --- splits ----------------------------------------------------------------------------------------------------------

OLD, NEW = (700.0, 701.0, 699.0, 700.0), (100.0, 101.0, 99.0, 100.0)


@pytest.mark.parametrize("basis", ["next_open", "next_close", "signal_close"])
def test_a_trade_held_through_an_unadjusted_split_is_flagged(basis):
    frame = decision_frame([OLD] * 5 + [NEW] * 5, bars_per_day=5)
    execution = ExecutionSettings(price_basis=basis)
    held = from_both(frame, intents(10, {2: {"enter": 1}}), execution=execution)
    assert held.trades["flags"].to_list() == ["split"]
    before = from_both(frame, intents(10, {0: {"enter": 1}, 2: {"exit": True}}), execution=execution)
    after = from_both(frame, intents(10, {6: {"enter": 1}}), execution=execution)
    assert [*before.trades["flags"], *after.trades["flags"]] == ["", ""]


def test_a_reverse_split_flags_a_short():
    frame = decision_frame([NEW] * 5 + [OLD] * 5, bars_per_day=5)
    assert from_both(frame, intents(10, {2: {"enter": -1}})).trades["flags"].to_list() == ["split"]


@pytest.mark.parametrize("close", [61.0, 75.0, 150.0, 170.0])
def test_a_crash_and_a_rally_are_no_splits(close):
    frame = decision_frame([NEW] * 5 + [(close,) * 4] * 5, bars_per_day=5)
    assert from_both(frame, intents(10, {2: {"enter": 1}})).trades["flags"].to_list() == [""]


def test_half_the_price_within_a_day_is_no_split():
    frame = decision_frame([NEW] * 5 + [(50.0,) * 4] * 5, bars_per_day=10)
    assert from_both(frame, intents(10, {2: {"enter": 1}})).trades["flags"].to_list() == [""]


def test_raw_apple_minutes_across_the_split_of_2014_flag_what_was_held(shared_data):
    bars = pl.read_parquet(shared_data / "bars_1m_quotes" / "AAPL.parquet").filter(pl.col("session") != "post")
    end = pl.col("ts") + pl.duration(minutes=1)
    day = pl.col("ts").dt.convert_time_zone("America/New_York").dt.date()
    frame = assemble_frame(
        bars.with_columns(end=end, available_at=end, trade_date=day),
        Instrument(symbol="AAPL", asset_class="equity", hours="extended"),
        load_calendar("XNYS"),
        (),
    )
    split = frame["trade_date"].to_list().index(frame["trade_date"].unique().sort()[2])
    lane = intents(frame.height, {split - 5: {"enter": 1, "quantity": 10.0}, split + 100: {"exit": True}})
    trade = from_both(frame, lane, cash=100_000.0).trades.row(0, named=True)
    assert trade["pnl"] / (trade["quantity"] * trade["entry_price"]) < -0.85
    assert trade["flags"] == "split"
    later = intents(frame.height, {split + 5: {"enter": 1, "quantity": 10.0}, split + 100: {"exit": True}})
    assert from_both(frame, later, cash=100_000.0).trades["flags"].to_list() == [""]


# --- intents and settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["quantity", "size", "notional"])
@pytest.mark.parametrize(
    ("value", "rejects", "quantity"),
    [(0.0, {"NO_BUYING_POWER": 1}, []), (float("nan"), {}, [99.0]), (1e18, {}, [99.0])],
)
def test_an_entry_of_nothing_is_rejected_one_of_nan_is_the_default_and_a_huge_one_is_cut(
    column, value, rejects, quantity
):
    result = from_both(flat(6), entry(6, **{column: value}))
    assert (dict(result.rejects), result.trades["quantity"].to_list()) == (rejects, quantity)


@pytest.mark.parametrize(
    ("lane", "message"),
    [
        (entry(6, quantity=float("inf")), "lane 0: quantity is infinite; give a finite number"),
        (entry(6, quantity=-1.0), "lane 0: quantity is negative at row 0"),
        (entry(6, stop_distance=-1.0), "lane 0: stop_distance is negative at row 0"),
        (entry(6, risk=0.01), "lane 0: risk: .* has none. Give stop_distance"),
        (entry(6, risk=0.01, stop_distance=0.0), "lane 0: risk: .* has none. Give stop_distance"),
        (entry(6, max_entries=0), "lane 0: max_entries is 0; .* 1 or more"),
        (entry(6, banana=1.0), "lane 0: intent columns .*'banana'.* allowed: enter, exit"),
        (entry(5), "lane 0: 5 rows of intents for 6 rows"),
        (pl.DataFrame({"exit": [True] * 6}), "`enter` is required"),
        (pl.DataFrame({"enter": [2] * 6}), "lane 0: enter must be -1, 0 or"),
        (pl.DataFrame({"enter": ["long"] * 6}), "lane 0: enter is a column of String"),
        ({"enter": [1] * 6}, "lane 0: intents are dict; .* polars DataFrame"),
    ],
)
def test_a_lane_that_makes_no_sense_is_named(lane, message):
    with pytest.raises(ValueError, match=message):
        from_lanes(flat(6), lane)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (5, "on_bar returned 5; return a sequence of Intent"),
        ("buy", "on_bar returned 'buy'"),
        ({"side": 1}, "on_bar returned {'side': 1}"),
        (Intent("open"), "on_bar returned Intent.* return a sequence"),
        ([None], "on_bar returned None among its intents"),
        (["buy"], "on_bar returned 'buy' among its intents"),
        ([Intent("dance")], "action is 'dance'; use open, close or cancel"),
        ([Intent("open", side=0)], r"side is 0; use \+1"),
        ([Intent("open", quantity="many", tag="a")], "intent 'a': quantity is 'many'; give a number"),
        ([Intent("open", quantity=float("nan"))], "quantity is nan; give a finite number"),
        ([Intent("open", size=True)], "size is True; give a number"),
        ([Intent("open", risk=0.1)], "risk is 0.1 but stop_distance is None"),
        ([Intent("open", order="limit")], "price is None; a limit order needs"),
        ([Intent("open", symbol="QQQ")], "symbol is 'QQQ'; this replay has SPY"),
        ([Intent("cancel", order_id="O9")], "order_id 'O9' names no order"),
    ],
)
def test_garbage_from_a_callback_is_an_error_that_says_what_to_return(returned, message):
    with pytest.raises(ValueError, match=message):
        decide(lambda view: returned, flat(6))


def test_a_close_that_names_nothing_is_counted():
    result = decide(lambda view: [Intent("close", position_id="P9")], flat(4))
    assert dict(result.rejects) == {"NO_POSITION": 3}


def test_nothing_and_generators_are_taken():
    assert decide(lambda view: None, flat(4)).fills == 0
    assert decide(lambda view: (Intent("open", quantity=1) for _ in range(2)), flat(2)).fills == 4


def test_a_strategy_that_raises_tells_where():
    def fails(view):
        if view.index == 3:
            raise KeyError("own state")
        return ()

    with pytest.raises(KeyError, match="own state") as caught:
        decide(fails, flat(6))
    assert caught.value.__notes__ == ["Scripted on SPY at row 3, 2025-02-03 14:34:00 UTC"]


def test_the_pyramid_ends_where_bars_or_money_do():
    every = pl.DataFrame({"enter": [1] * 6, "quantity": [30.0] * 6, "max_entries": [1_000] * 6})
    result = from_both(flat(6), every)
    # 30 + 30 + 30 shares of 100 dollars leave money for 9: from the fourth order on the money ends it.
    assert result.trades["quantity"].to_list() == [30.0, 30.0, 30.0, 9.0]
    assert result.rejects == {"NO_BUYING_POWER": 1}


@pytest.mark.parametrize(
    ("arguments", "rejects"),
    [
        ({"cash": 0.0}, {"NO_BUYING_POWER": 1}),
        ({"cash": 99.0}, {"NO_BUYING_POWER": 1}),
        ({"instrument": ETF.model_copy(update={"lot": 1_000.0})}, {"NO_BUYING_POWER": 1}),
        ({"execution": ExecutionSettings(participation=1e-9)}, {"INSUFFICIENT_SIZE": 1}),
        ({"execution": ExecutionSettings(latency_seconds=1e6)}, {}),
    ],
)
def test_no_cash_large_lots_tiny_volume_shares_and_late_orders_fill_nothing(arguments, rejects):
    result = from_both(flat(6), entry(6), **arguments)
    assert (result.fills, dict(result.rejects)) == (0, rejects)


@pytest.mark.parametrize("cash", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("engine", [from_lanes, from_callback])
def test_cash_that_is_no_amount_is_an_error(engine, cash):
    with pytest.raises(ValueError, match=r"starting_cash is .*; give a finite number of dollars"):
        engine(flat(6), entry(6), cash=cash)


def test_a_cost_multiplier_of_zero_is_a_market_without_costs():
    frame = flat(6, half_spread=0.5)
    lane = intents(6, {0: {"enter": 1}, 3: {"exit": True}})
    result = from_both(frame, lane, execution=ExecutionSettings(cost_multiplier=0.0))
    assert (result.trades["costs"].to_list(), result.final_equity) == ([0.0], 10_000.0)


def test_a_small_participation_makes_a_partial_fill():
    result = from_both(flat(6), entry(6), execution=ExecutionSettings(participation=1e-5))
    assert (result.partials, result.trades["quantity"].to_list()) == (1, [10.0])


def test_distances_of_zero_close_and_unknown_or_endless_ones_never_do():
    for name, reason in (("stop_distance", "stop"), ("trail_distance", "stop"), ("max_hold_seconds", "time")):
        assert from_both(flat(6), entry(6, **{name: 0.0})).trades["exit_reason"][0] == reason
        for value in (float("nan"), float("inf"), 1e18):
            assert from_both(flat(6), entry(6, **{name: value})).trades["exit_reason"][0] == "forced"


# --- many orders -----------------------------------------------------------------------------------------------------


def test_ten_thousand_open_orders_fill_exactly_those_that_the_market_reaches():
    prices = random_prices(3, 400)
    frame = decision_frame(prices, bars_per_day=400)
    rng = np.random.default_rng(5)
    # Half a cent off the grid, so that rounding decides nothing.
    levels = np.round(rng.uniform(prices[0, 3] * 0.5, prices[0, 3], 10_000), 2) + 0.005
    seen: list[int] = []

    def place(view):
        if view.index == 0:
            return [Intent("open", quantity=1, order="limit", price=float(level)) for level in levels]
        seen.append(view.pending)
        return ()

    result = replay_callback(
        Scripted(place), frame, ETF, COSTS.model_copy(update={"participation": 1.0}), starting_cash=1e9, symbol="SPY"
    )
    lowest = np.minimum.accumulate(prices[1:, 2])
    reached = [int((levels >= low + ETF.tick).sum()) for low in lowest]
    assert 10 < reached[-1] < 9_990
    assert seen == [10_000 - count for count in reached[:-1]]
    assert result.trades.height == reached[-1]
