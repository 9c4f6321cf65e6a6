"""Cash, positions and buying power; the defects of the predecessor as regressions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.replay.accounting import Book, Position
from argus_core.replay.callback import replay_callback
from argus_core.replay.option_margin import intrinsic_value, is_naked, worst_expiry_loss
from argus_core.replay.reference import Reference
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import CallbackStrategy, Intent, Leg, Params
from tests.replay.frames import decision_frame, random_prices
from tests.replay.quotes import EXPIRY, at, chain

ETF = Instrument(symbol="SPY", asset_class="etf", tick=0.05)


def position(name: str, **changes) -> Position:
    values = {
        "position_id": name, "number": 0, "side": 1, "quantity": 10.0, "multiplier": 1.0, "entry_us": 0, "entry_row": 0,
        "label_row": 0, "entry_price": 100.0, "mark": 100.0, "equity_at_entry": 10_000.0, "fees": 0.0, "costs": 0.0,
    }  # fmt: skip
    return Position(**{**values, **changes})


def test_equity_is_cash_plus_market_value_and_not_cash_plus_profit():
    # Predecessor A1: a 500-dollar unit of 100 bought with 10k cash showed -40,005 of equity.
    book = Book(10_000.0)
    book.open(position("P", quantity=18.0, entry_price=500.0, mark=499.0, fees=5.0))
    assert book.cash == 10_000 - 9_000 - 5
    assert book.equity == 10_000 - 5 - 18


def test_a_short_sale_adds_cash_but_no_equity():
    book = Book(10_000.0)
    book.open(position("P", side=-1, quantity=50.0, mark=100.0))
    assert book.cash == 15_000
    assert book.equity == 10_000
    # Its proceeds are no buying power: 10,000 of equity less 5,000 of exposure.
    assert book.available(1.0) == 5_000


def test_buying_with_ten_thousand_dollars_never_shows_a_debt():
    frame = decision_frame([(500.0, 501.0, 499.0, 500.0)] * 20, half_spread=0.05)

    class Greedy(CallbackStrategy):
        def on_bar(self, view):
            assert 9_900 < view.equity <= 10_000
            assert view.cash >= 0
            return (Intent("open", quantity=100),) if not view.positions else ()

    result = replay_callback(Greedy(Params()), frame, ETF, ExecutionSettings(), starting_cash=10_000, symbol="SPY")
    assert result.trades["quantity"].to_list() == [19.0]
    assert result.daily["equity"].min() > 9_900


def test_closing_names_the_position_and_nothing_else_is_touched():
    book = Book(10_000.0)
    for name, quantity in (("A", 10.0), ("B", 20.0)):
        book.open(position(name, quantity=quantity))
    book.close("B", 101.0, 0.0)
    assert list(book.positions) == ["A"]
    assert book.cash == 10_000 - 1_000 + 20
    with pytest.raises(KeyError):
        book.close("B", 101.0, 0.0)


def test_a_close_that_names_nothing_is_a_counted_reject_and_never_a_fill():
    # Predecessor A5: phantom closes were filled and paid commission.
    class Phantom(CallbackStrategy):
        def on_bar(self, view):
            return (Intent("close", position_id="P999999"), Intent("close")) if view.index == 2 else ()

    frame = decision_frame([(100.0, 101.0, 99.0, 100.0)] * 10)
    result = replay_callback(Phantom(Params()), frame, ETF, ExecutionSettings(), starting_cash=1e4, symbol="SPY")
    assert (result.fills, dict(result.rejects)) == (0, {"NO_POSITION": 2})
    assert result.final_equity == 10_000
    assert result.fill_rate == 0.0


def test_each_of_several_positions_is_closed_by_its_own_name():
    class Two(CallbackStrategy):
        def on_bar(self, view):
            if view.index in (0, 2):
                return (Intent("open", quantity=5 + view.index, tag=f"t{view.index}"),)
            if view.index == 5:
                second = next(p for p in view.positions if p.tag == "t2")
                return (Intent("close", position_id=second.position_id),)
            return ()

    frame = decision_frame([(100.0 + k, 101.0 + k, 99.0 + k, 100.0 + k) for k in range(10)])
    result = replay_callback(Two(Params()), frame, ETF, ExecutionSettings(), starting_cash=1e4, symbol="SPY")
    assert result.trades["quantity"].to_list() == [7.0, 5.0]
    assert result.trades["exit_reason"].to_list() == ["signal", "forced"]
    assert result.fills == 4


def put(strike: float, quantity: int) -> Leg:
    return Leg(f"P{strike}", EXPIRY, strike, "P", quantity)


def call(strike: float, quantity: int) -> Leg:
    return Leg(f"C{strike}", EXPIRY, strike, "C", quantity)


@pytest.mark.parametrize(
    ("legs", "worst", "naked"),
    [
        ((put(95, -1), put(90, 1)), 5.0, False),
        ((put(95, 1), put(90, -1)), 0.0, False),
        ((call(105, -1), call(110, 1)), 5.0, False),
        ((put(95, -1), put(90, 1), call(105, -1), call(112, 1)), 7.0, False),
        ((call(100, 1), call(105, -2), call(110, 1)), 0.0, False),
        ((put(95, -1),), 95.0, True),
        ((put(95, -2), put(90, 1)), 100.0, True),
        ((call(105, -1),), 105.0, True),
        ((call(105, 1), put(95, 1)), 0.0, False),
    ],
)
def test_the_worst_case_of_a_structure(legs, worst, naked):
    assert worst_expiry_loss(legs) == pytest.approx(worst)
    assert is_naked(legs) is naked
    if not naked:
        grid = [intrinsic_value(legs, s) for s in np.linspace(0, 300, 3001)]
        assert -min(*grid, 0.0) == pytest.approx(worst)


class RandomBook(CallbackStrategy):
    """Opens and closes shares and spreads at random and checks the book at every step."""

    def __init__(self, seed: int) -> None:
        super().__init__(Params())
        self.rng = np.random.default_rng(seed)

    def on_bar(self, view):
        marked = view.cash + sum(
            p.side * p.quantity * (100.0 if p.legs else 1.0) * p.close_price for p in view.positions
        )
        assert view.equity == pytest.approx(marked, abs=1e-6)
        assert view.cash >= -1e-6
        draw = self.rng.random()
        if draw < 0.15:
            stop = 0.5 if self.rng.random() < 0.5 else None
            return (Intent("open", size=float(self.rng.choice([0.2, 0.9, 2.0])), stop_distance=stop),)
        if draw < 0.40 and view.chain() is not None:
            low = float(self.rng.integers(90, 105))
            expiry = view.chain()["expiry"][0]
            legs = tuple(
                Leg(f"SPY{expiry:%y%m%d}P{round(k * 1000):08d}", expiry, k, "P", q)
                for k, q in ((low + 3, -1), (low, 1))
            )
            return (Intent("open", quantity=float(self.rng.integers(1, 15)), legs=legs),)
        if draw < 0.6 and view.positions:
            return (Intent("close", position_id=view.positions[-1].position_id),)
        return ()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), multiplier=st.sampled_from([1.0, 2.0]))
def test_money_is_neither_made_nor_lost_between_fills(seed, multiplier):
    frame = decision_frame(random_prices(seed, 80), bars_per_day=20, half_spread=0.02)
    moments = [at(f"{day:02d} 14:{minute}") for day in (3, 4, 5) for minute in (33, 40, 46)]
    options = pl.concat([chain(m, [EXPIRY], strikes=np.arange(88.0, 110.0), vol=0.4) for m in moments])
    result = replay_callback(
        RandomBook(seed), frame, ETF, ExecutionSettings(cost_multiplier=multiplier), starting_cash=20_000,
        symbol="SPY", options=options,
    )  # fmt: skip
    trades = result.trades
    assert result.final_equity == pytest.approx(20_000 + trades["pnl"].sum(), abs=1e-6)
    assert result.daily["equity"][-1] == pytest.approx(result.final_equity, abs=1e-6)
    assert result.fills == 2 * trades.height
    assert (trades["costs"] >= 0).all()
    assert (trades["mae"] <= 0).all()
    assert (trades["mfe"] >= 0).all()
    assert (trades["exit_ts"] >= trades["entry_ts"]).all()
    assert trades["trade_id"].n_unique() == trades.height


def test_equity_moves_by_costs_alone_at_a_fill_and_by_marks_alone_between_fills():
    frame = decision_frame([(100.0, 100.0, 100.0, 100.0)] * 12, half_spread=0.05)
    seen: dict[int, float] = {}

    class Once(CallbackStrategy):
        def on_bar(self, view):
            seen[view.index] = view.equity
            if view.index == 2:
                return (Intent("open", quantity=10),)
            return tuple(Intent("close", position_id=p.position_id) for p in view.positions) if view.index == 6 else ()

    execution = ExecutionSettings(slippage_bps=0, commission_min=1.0)
    replay_callback(Once(Params()), frame, ETF, execution, starting_cash=1e4, symbol="SPY")
    # In at 100.05 with a dollar of commission, marked at 99.95; out at 99.95 with another dollar.
    assert [seen[k] for k in range(2, 11)] == pytest.approx([10_000, *[9_998] * 4, *[9_997] * 4])


class RandomBasket(CallbackStrategy):
    """Trades two symbols at random, at market and by resting orders, and notes its book at every bar."""

    clock = "all"

    def __init__(self, seed: int, *, shorts: bool) -> None:
        super().__init__(Params())
        self.rng, self.shorts = np.random.default_rng(seed), shorts
        self.books: list[tuple[int, float, float, tuple]] = []
        self.named: set[str] = set()

    def on_bar(self, view):
        rng = self.rng
        self.books.append((view.now_us, view.cash, view.equity, tuple((p, p.close_price) for p in view.positions)))
        if view.orders and rng.random() < 0.1:
            return [Intent("cancel", order_id=view.orders[0].order_id)]
        if view.positions and rng.random() < 0.15:
            chosen = view.positions[int(rng.integers(len(view.positions)))].position_id
            self.named.add(chosen)
            return [Intent("close", position_id=chosen)]
        if rng.random() > 0.3:
            return ()
        symbol = str(rng.choice(view.symbols))
        kind = str(rng.choice(["market", "market", "limit", "stop"]))
        resting = {"price": view.value("close", symbol) * float(rng.choice([0.998, 1.002])), "expires_seconds": 900.0}
        return [
            Intent(
                "open",
                side=int(rng.choice([-1, 1])) if self.shorts else 1,
                symbol=symbol,
                order=kind,
                stop_distance=0.3,
                trail_distance=0.4 if rng.random() < 0.5 else None,
                target_distance=0.4,
                **{str(rng.choice(["size", "risk"])): float(rng.choice([0.01, 0.5]))},
                **({} if kind == "market" else resting),
            )
        ]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    basis=st.sampled_from(["next_open", "next_worst", "next_close"]),
    shorts=st.booleans(),
    leverage=st.sampled_from([1.0, 3.0]),
)
def test_at_every_step_equity_is_what_was_won_less_what_it_cost(seed, basis, shorts, leverage):
    # A minute lies between bars, so that no fill at an open carries the time of the decision before it.
    frame, other = (
        decision_frame(
            random_prices(seed + k, 120), bars_per_day=40, half_spread=0.02, volume=5_000, missing_before=[1] * 120
        )
        for k in (0, 1)
    )
    strategy = RandomBasket(seed, shorts=shorts)
    result = replay_callback(
        strategy, frame, ETF, ExecutionSettings(price_basis=basis, leverage=leverage), starting_cash=20_000,
        symbol="SPY", references={"QQQ": Reference(other, ETF)},
    )  # fmt: skip
    trades = {f"P{int(t['trade_id'].rsplit('-', 1)[1]):06d}": t for t in result.trades.to_dicts()}
    times = {name: (t["entry_ts"].timestamp() * 1e6, t["exit_ts"].timestamp() * 1e6) for name, t in trades.items()}
    for now, cash, equity, positions in strategy.books:
        assert equity == pytest.approx(cash + sum(p.side * p.quantity * price for p, price in positions), abs=1e-6)
        closed = sum(t["pnl"] for name, t in trades.items() if times[name][1] <= now)
        open_gain = sum(
            p.side * p.quantity * (price - p.entry_price) - max(0.35, p.quantity * 0.0035) for p, price in positions
        )
        assert equity == pytest.approx(20_000 + closed + open_gain, abs=1e-6)
        # Nobody holds what was never filled, and what is held is what was filled.
        assert {p.position_id for p, _ in positions} == {n for n, (a, b) in times.items() if a <= now < b}
        for p, _ in positions:
            trade = trades[p.position_id]
            assert (trade["symbol"], trade["side"], trade["quantity"]) == (p.symbol, p.side, p.quantity)
        if not shorts and leverage == 1.0:
            assert cash >= 0
    assert {name for name, t in trades.items() if t["exit_reason"] == "signal"} <= strategy.named
    assert result.final_equity == pytest.approx(20_000 + result.trades["pnl"].sum(), abs=1e-6)
    assert result.fills == 2 * len(trades)


@pytest.mark.parametrize(
    ("leverage", "asked", "got"),
    [
        (1.0, [(1, 1_000)], [100]),
        (2.0, [(1, 1_000)], [200]),
        (2.0, [(1, 120), (1, 120)], [120, 80]),
        (1.0, [(-1, 1_000)], [100]),
        (1.0, [(-1, 60), (1, 60)], [60, 40]),
        (1.0, [(1, 60), (-1, 60)], [60, 40]),
        (3.0, [(-1, 200), (-1, 200)], [200, 100]),
        (1.0, [(1, 100), (1, 1)], [100]),
    ],
)
def test_long_and_short_together_never_exceed_equity_times_leverage(leverage, asked, got):
    frame = decision_frame([(100.0,) * 4] * 8)
    free = {"slippage_bps": 0, "commission_per_share": 0, "commission_min": 0}
    orders = [Intent("open", side=side, quantity=quantity) for side, quantity in asked]

    class Asking(CallbackStrategy):
        def on_bar(self, view):
            return orders[view.index : view.index + 1]

    execution = ExecutionSettings(leverage=leverage, **free)
    result = replay_callback(Asking(Params()), frame, ETF, execution, starting_cash=1e4, symbol="SPY")
    assert result.trades.sort("entry_ts")["quantity"].to_list() == got
    assert result.rejects.get("NO_BUYING_POWER", 0) == len(asked) - len(got)


def test_a_lot_bought_in_this_bar_counts_at_its_price_when_the_next_is_sized():
    # The price halves overnight; the mark of the evening is no measure of what was bought in the morning.
    frame = decision_frame([(100.0,) * 4] * 2 + [(50.0,) * 4] * 3)
    free = {"slippage_bps": 0, "commission_per_share": 0, "commission_min": 0}

    class Twice(CallbackStrategy):
        def on_bar(self, view):
            return [Intent("open", quantity=q) for q in (100, 1_000)] if view.index == 1 else ()

    result = replay_callback(
        Twice(Params()), frame, ETF, ExecutionSettings(leverage=2.0, **free), starting_cash=1e4, symbol="SPY"
    )
    assert sorted(result.trades["quantity"].to_list()) == [100.0, 300.0]


def test_equity_in_sums_is_the_equity_of_the_lots():
    # Lots of one symbol are counted in sums; the bar in which a lot was bought counts it at its entry price.
    frame = decision_frame(random_prices(5, 60), half_spread=0.02)
    rng = np.random.default_rng(5)

    class Piling(CallbackStrategy):
        def on_bar(self, view):
            lots = sum(p.side * p.quantity * p.close_price for p in view.positions)
            assert view.equity == pytest.approx(view.cash + lots, abs=1e-9)
            if rng.random() < 0.3 and view.positions:
                return [Intent("close", position_id=p.position_id) for p in view.positions[::2]]
            side = int(rng.choice([-1, 1]))
            return [Intent("open", side=side, quantity=1, stop_distance=0.2), Intent("open", side=-side, quantity=2)]

    result = replay_callback(
        Piling(Params()), frame, ETF, ExecutionSettings(leverage=9), starting_cash=1e4, symbol="SPY"
    )
    assert result.trades.height > 60
    assert result.final_equity == pytest.approx(1e4 + result.trades["pnl"].sum(), abs=1e-6)
