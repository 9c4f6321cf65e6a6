"""Orders of the callback engine: market, limit and stop, their lives, their errors, and ten thousand of them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.settings import ExecutionSettings
from argus_core.strategies.interface import Intent
from tests.replay.frames import decision_frame, random_prices
from tests.replay.quotes import at
from tests.replay.watch import FREE, run

CALM = (100.0, 100.5, 99.5, 100.0)


def asked(intent: Intent, prices, row: int = 0, **arguments):
    """Run with one intent decided at ``row``."""
    return run(lambda view: [intent] if view.index == row else None, decision_frame(prices), **arguments)


def first(result):
    return result.trades.row(0, named=True)


# --- when and where orders fill ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "fills"), [(99.01, False), (99.0, False), (98.99, True), (97.0, True)])
def test_a_limit_buy_needs_a_trade_one_tick_below_its_price(low, fills):
    prices = [CALM, CALM, (100.0, 100.0, low, 100.0), CALM, CALM]
    result = asked(Intent("open", quantity=1, order="limit", price=99.0), prices)
    assert result.trades.height == fills
    if fills:
        assert first(result)["entry_price"] == 99.0
        assert first(result)["entry_ts"] == at("03 14:33")


@pytest.mark.parametrize(("high", "fills"), [(101.0, False), (101.01, True)])
def test_a_limit_sale_needs_a_trade_one_tick_above_its_price(high, fills):
    prices = [CALM, CALM, (100.0, high, 100.0, 100.0), CALM, CALM]
    result = asked(Intent("open", side=-1, quantity=1, order="limit", price=101.0), prices)
    assert result.trades.height == fills


def test_a_limit_fill_pays_commission_but_neither_spread_nor_slippage():
    prices = [CALM, (100.0, 100.0, 98.0, 100.0), CALM, CALM]
    frame = decision_frame(prices, half_spread=0.05)
    entry = Intent("open", quantity=10, order="limit", price=99.0, target_distance=1.0)
    execution = ExecutionSettings(commission_min=1.0)
    result = run(lambda view: [entry] if view.index == 0 else None, frame, execution=execution)
    trade = first(result)
    assert trade["exit_reason"] == "target"
    assert trade["costs"] == 2.0
    assert trade["pnl"] == 10 * 1.0 - 2.0


@pytest.mark.parametrize(
    ("side", "price", "bar", "reference", "stamp"),
    [
        (1, 101.0, (100.0, 101.0, 100.0, 100.5), 101.0, "03 14:33"),
        (1, 101.0, (102.0, 103.0, 101.5, 102.0), 102.0, "03 14:32"),
        (-1, 99.0, (100.0, 100.0, 99.0, 99.5), 99.0, "03 14:33"),
        (-1, 99.0, (98.0, 98.5, 97.0, 98.0), 98.0, "03 14:32"),
    ],
)
def test_a_stop_entry_fills_at_its_price_or_at_a_worse_open(side, price, bar, reference, stamp):
    result = asked(Intent("open", side=side, quantity=1, order="stop", price=price), [CALM, CALM, bar, CALM, CALM])
    trade = first(result)
    assert trade["entry_price"] == pytest.approx(reference * (1 + side * 0.5e-4), rel=1e-12)
    assert trade["entry_ts"] == at(stamp)


def test_a_stop_entry_that_its_bar_does_not_reach_rests():
    result = asked(Intent("open", quantity=1, order="stop", price=100.51), [CALM] * 6)
    assert (result.fills, dict(result.rejects)) == (0, {})


def test_a_bar_that_reaches_entry_and_stop_ends_the_lot_but_never_at_its_target():
    wide = (100.0, 103.0, 97.0, 100.0)
    both = Intent("open", quantity=1, order="limit", price=99.0, stop_distance=1.0, target_distance=1.0)
    stopped = first(asked(both, [CALM, wide, CALM, CALM], execution=FREE))
    assert (stopped["exit_reason"], stopped["exit_price"]) == ("stop", 98.0)
    assert stopped["entry_ts"] == stopped["exit_ts"] == at("03 14:32")
    target = Intent("open", quantity=1, order="limit", price=99.0, target_distance=1.0)
    later = first(asked(target, [CALM, wide, CALM, CALM], execution=FREE))
    assert (later["exit_reason"], later["exit_ts"]) == ("target", at("03 14:33"))


def test_a_stop_entry_at_the_open_holds_its_bar_in_full():
    gap = (102.0, 105.0, 101.5, 104.0)
    entry = Intent("open", quantity=1, order="stop", price=101.0, target_distance=2.0)
    trade = first(asked(entry, [CALM, gap, CALM, CALM], execution=FREE))
    assert (trade["entry_price"], trade["exit_price"], trade["exit_reason"]) == (102.0, 104.0, "target")
    assert trade["exit_ts"] == at("03 14:32")


def test_latency_keeps_an_order_out_of_bars_that_began_before_it_arrived():
    dip = (100.0, 100.0, 98.0, 100.0)
    entry = Intent("open", quantity=1, order="limit", price=99.0)
    late = ExecutionSettings(latency_seconds=61)
    assert asked(entry, [CALM, dip, CALM, CALM, CALM], execution=late).fills == 0
    found = first(asked(entry, [CALM, CALM, CALM, dip, CALM], execution=late))
    assert found["entry_ts"] == at("03 14:34")


def test_missing_data_kill_a_market_order_but_not_a_resting_one():
    frame = decision_frame([CALM, (100.0, 100.0, 98.0, 100.0), CALM, CALM], missing_before=[0, 30, 0, 0])
    both = [Intent("open", quantity=1), Intent("open", quantity=1, order="limit", price=99.0)]
    result = run(lambda view: both if view.index == 0 else None, frame)
    assert dict(result.rejects) == {"DATA_GAP": 1}
    assert result.trades["entry_price"].to_list() == [99.0]


def test_resting_orders_take_the_cash_in_the_order_in_which_the_price_meets_them():
    prices = [CALM, (100.0, 100.0, 90.0, 95.0), CALM, CALM]
    bids = [Intent("open", quantity=60, order="limit", price=price, tag=str(price)) for price in (97.0, 99.0, 98.0)]
    result = run(lambda view: bids if view.index == 0 else None, decision_frame(prices), execution=FREE, cash=12_000)
    assert sorted(result.trades["entry_price"].to_list(), reverse=True) == [99.0, 98.0, 97.0]
    assert result.trades.sort("entry_price")["quantity"].to_list() == [1.0, 60.0, 60.0]


# --- their lives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "fills"), [(120, 0), (179, 0), (180, 1), (None, 1)])
def test_an_order_fills_only_in_bars_that_lie_within_its_life(seconds, fills):
    dip = (100.0, 100.0, 98.0, 100.0)
    entry = Intent("open", quantity=1, order="limit", price=99.0, expires_seconds=seconds)
    result = asked(entry, [CALM, CALM, CALM, dip, CALM, CALM])
    assert result.trades.height == fills
    assert dict(result.rejects) == ({} if fills else {"EXPIRED": 1})


def test_a_cancelled_order_is_gone_and_counts_as_nothing():
    dip = (100.0, 100.0, 98.0, 100.0)
    seen: dict[int, list[str]] = {}

    def watch(view):
        seen[view.index] = [order.order_id for order in view.orders]
        assert view.pending == len(view.orders)
        if view.index == 0:
            return [Intent("open", quantity=1, order="limit", price=p, tag=f"{p}") for p in (99.0, 98.5, 97.0)]
        if view.index == 2:
            order = next(o for o in view.orders if o.intent.price == 98.5)
            assert (order.symbol, order.decided_us) == ("SPY", view.now_us - 120_000_000)
            return [Intent("cancel", order_id=order.order_id)] * 2
        return None

    result = run(watch, decision_frame([CALM, CALM, CALM, dip, CALM, CALM]))
    names = ["O000001", "O000002", "O000003"]
    assert seen == {0: [], 1: names, 2: names, 3: ["O000003"], 4: ["O000003"]}
    assert result.trades["entry_price"].to_list() == [99.0]
    assert (result.fills, result.reject_count) == (2, 0)


def test_a_waiting_market_order_and_a_waiting_close_can_be_cancelled():
    def watch(view):
        if view.index in (0, 2):
            return [Intent("open", quantity=1 + view.index / 2)]
        if view.index in (1, 6):
            return [Intent("cancel", order_id=order.order_id) for order in view.orders]
        return [Intent("close", position_id=p.position_id) for p in view.positions] if view.index == 5 else None

    late = ExecutionSettings(latency_seconds=61)
    result = run(watch, decision_frame([CALM] * 10), execution=late)
    assert result.trades["quantity"].to_list() == [2.0]
    assert result.trades["exit_reason"].to_list() == ["forced"]


def test_closing_twice_asks_once_and_a_lot_that_has_gone_takes_its_close_along():
    drop = (90.0, 90.0, 90.0, 90.0)

    def watch(view):
        if view.index == 0:
            return [Intent("open", quantity=1, stop_distance=5.0)]
        if view.index in (1, 2):
            return [Intent("close", position_id=p.position_id) for p in view.positions]
        assert view.pending == 0
        return None

    late = ExecutionSettings(latency_seconds=61)
    result = run(watch, decision_frame([CALM, CALM, CALM, drop, drop, drop]), execution=late)
    assert (result.fills, dict(result.rejects)) == (2, {})


# --- against a plain model --------------------------------------------------------------------------------------------


def plain_fills(prices: np.ndarray, orders: list[Intent], tick: float) -> dict[str, tuple[int, float]]:
    """tag -> (row, reference price) of every order decided at row 0, bar by bar and order by order."""
    found: dict[str, tuple[int, float]] = {}
    for row in range(1, len(prices)):
        opened, high, low, _ = prices[row]
        for order in orders:
            if order.tag in found or (order.expires_seconds is not None and row * 60 > order.expires_seconds):
                continue
            price, side = order.price, order.side
            if order.order == "limit" and (low <= price - tick if side > 0 else high >= price + tick):
                found[order.tag] = (row, price)
            if order.order == "stop" and (high >= price if side > 0 else low <= price):
                found[order.tag] = (row, max(opened, price) if side > 0 else min(opened, price))
    return found


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_resting_orders_fill_as_in_a_loop_over_all_of_them(seed):
    rng = np.random.default_rng(seed)
    prices = random_prices(seed, 40)
    orders = [
        Intent(
            "open",
            side=int(rng.choice([-1, 1])),
            quantity=1,
            order=str(rng.choice(["limit", "stop"])),
            price=float(np.round(100 + rng.normal(0, 2), 1)),
            expires_seconds=float(rng.choice([300.0, 900.0])) if rng.random() < 0.5 else None,
            tag=f"{k}",
        )
        for k in range(30)
    ]
    tags: dict[str, str] = {}
    free = FREE.model_copy(update={"leverage": 1_000.0})

    def watch(view):
        tags.update({p.position_id: p.tag for p in view.positions})
        return orders if view.index == 0 else None

    frame = decision_frame(prices)
    result = run(watch, frame, execution=free)
    expected = plain_fills(prices, orders, 0.01)
    # What fills in the last bar is closed by force there, unseen.
    seen = {tag: price for tag, (row, price) in expected.items() if row < len(prices) - 1}
    prices_of = {
        f"P{int(trade_id.rsplit('-', 1)[1]):06d}": price
        for trade_id, price in result.trades.select("trade_id", "entry_price").iter_rows()
    }
    assert {tag: prices_of[name] for name, tag in tags.items()} == seen
    assert result.trades.height == len(expected)
    dead = sum(o.expires_seconds is not None and o.tag not in expected for o in orders)
    assert result.rejects.get("EXPIRED", 0) == dead


def test_ten_thousand_resting_orders_wait_without_being_looked_at(monkeypatch):
    from argus_core.replay.orders import ShareOrder

    looks = 0
    plain = ShareOrder.__getattribute__

    def counted(self, name):
        nonlocal looks
        looks += 1
        return plain(self, name)

    height, count = 300, 10_000
    prices = np.full((height, 4), 100.0)
    prices[250] = (100.0, 100.0, 79.99, 100.0)
    orders = [Intent("open", quantity=1, order="limit", price=80.0 if k % 4 else 70.0) for k in range(count)]

    def watch(view):
        if view.index == 0:
            return orders
        if view.index == 1:
            assert view.pending == count
            monkeypatch.setattr(ShareOrder, "__getattribute__", counted)
        if view.index == 249:
            assert looks < 20 * count, looks
        return None

    result = run(watch, decision_frame(prices), cash=1e9)
    assert result.fills == 2 * 3 * count // 4


# --- errors -----------------------------------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": NAN}, "size is nan; give a finite number"),
        ({"quantity": float("inf")}, "quantity is inf"),
        ({"quantity": "ten"}, "quantity is 'ten'; give a number"),
        ({"notional": -5.0}, "notional is -5.0; it must not be negative"),
        ({"stop_distance": -1.0}, "stop_distance is -1.0"),
        ({"stop_distance": NAN}, "stop_distance is nan"),
        ({"trail_distance": -0.1}, "trail_distance is -0.1"),
        ({"break_even_distance": -0.1}, "break_even_distance is -0.1"),
        ({"max_hold_seconds": -1}, "max_hold_seconds is -1"),
        ({"risk": 0.01}, "risk is the loss at the stop, so give one"),
        ({"risk": 0.01, "stop_distance": 0.0}, "risk is 0.01 but stop_distance is 0.0"),
        ({"side": 0}, r"side is 0; use \+1"),
        ({"order": "limit"}, "price is None; a limit order needs"),
        ({"order": "stop", "price": NAN}, "price is nan"),
        ({"order": "stop", "price": -3.0}, "price is -3.0"),
        ({"order": "iceberg", "price": 1.0}, "order is 'iceberg'; use market, limit or stop"),
        ({"price": 99.0}, "price is 99.0, but order is market"),
        ({"expires_seconds": 60.0}, "expires_seconds is 60.0, but order is market"),
        ({"symbol": "QQQ"}, "symbol is 'QQQ'; this replay has SPY. Name others under pack.references"),
        ({"action": "hold"}, "action is 'hold'; use open, close or cancel"),
        ({"action": "cancel", "order_id": "O000009"}, "order_id 'O000009' names no order"),
        ({"action": "cancel"}, "order_id None names no order"),
    ],
)
def test_an_intent_that_makes_no_sense_names_its_tag_and_what_is_wrong(changes, message):
    intent = Intent(**{"action": "open", "tag": "mine", **changes})
    with pytest.raises(ValueError, match=f"intent 'mine': .*{message}") as caught:
        asked(intent, [CALM] * 4)
    assert re.match("intent 'mine'", str(caught.value))


def test_a_close_with_a_price_is_an_error():
    def watch(view):
        if view.index == 0:
            return [Intent("open", quantity=1)]
        return [Intent("close", position_id=p.position_id, order="limit", price=1.0, tag="x") for p in view.positions]

    with pytest.raises(ValueError, match=r"intent 'x': a close is a market order, got order 'limit' at price 1\.0"):
        run(watch, decision_frame([CALM] * 5))


@pytest.mark.parametrize("answer", [Intent("open"), {"action": "open"}, "open", 1, ["open"], [None], [("open", 1)]])
def test_an_answer_that_is_no_sequence_of_intents_is_an_error(answer):
    with pytest.raises(ValueError, match=r"on_bar returned .* return a sequence of Intent"):
        run(lambda view: answer, decision_frame([CALM] * 4))


def test_an_answer_may_be_a_list_a_generator_or_nothing():
    def watch(view):
        return (Intent("open", quantity=1) for _ in range(2)) if view.index == 1 else None

    assert run(watch, decision_frame([CALM] * 5)).trades.height == 2
