"""What happens to option positions between entry and exit: expiries one by one, assignment, exercise, dividends."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.replay.callback import replay_callback
from argus_core.replay.option_margin import is_naked, worst_expiry_loss
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import CallbackStrategy, Intent, Leg, Params
from tests.replay.frames import decision_frame
from tests.replay.quotes import at, quotes

FREE = ExecutionSettings(commission_per_contract=0.0)
MARGIN = FREE.model_copy(update={"leverage": 4.0})
OPEN = at("03 14:32")
DAYS = (date(2025, 2, 3), date(2025, 2, 4), date(2025, 2, 5))


def leg(right: str, strike: float, quantity: int, expiry: date = DAYS[2]) -> Leg:
    return Leg(f"SPY{expiry:%y%m%d}{right}{round(strike * 1000):08d}", expiry, strike, right, quantity)


class Opens(CallbackStrategy):
    """Opens given legs at the first bar, then holds."""

    def __init__(self, legs: tuple[Leg, ...]) -> None:
        super().__init__(Params())
        self.legs, self.equity, self.cash = legs, [], []

    def on_bar(self, view):
        self.equity.append(view.equity)
        self.cash.append(view.cash)
        return [Intent("open", quantity=1, legs=self.legs)] if view.index == 0 else []


def play(legs, rows, closes, instrument=None, execution=FREE):
    """One run over 5-bar days; the underlying closes at ``closes``, one per day."""
    prices = np.repeat(np.array(closes, float), 5)
    frame = decision_frame(np.column_stack([prices] * 4), bars_per_day=5)
    # The session ends with the fifth bar.
    frame = frame.with_columns(seconds_to_close=((4 - pl.int_range(pl.len()) % 5) * 60).cast(pl.Int32))
    strategy = Opens(legs)
    etf = instrument or Instrument(symbol="SPY", asset_class="etf", options=True)
    result = replay_callback(
        strategy, frame, etf, execution, starting_cash=10_000.0, symbol="SPY", options=quotes(rows)
    )
    return result, strategy


def quote(right: str, strike: float, bid: float, ask: float, recv=OPEN, expiry=DAYS[2]) -> dict:
    return {"recv": recv, "right": right, "strike": strike, "bid": bid, "ask": ask, "expiry": expiry}


def test_a_calendar_outlives_its_near_leg_and_is_one_trade():
    near, far = leg("C", 100.0, -1, DAYS[0]), leg("C", 100.0, 1, DAYS[2])
    rows = [quote("C", 100.0, 1.0, 1.1, expiry=DAYS[0]), quote("C", 100.0, 2.0, 2.2)]
    result, strategy = play((near, far), rows, [103.0, 103.0, 105.0])
    [trade] = result.trades.iter_rows(named=True)
    # Paid 2.2 - 1.0; the near leg owed 3 on the first day, the far one brought 5 on the third.
    assert trade["entry_price"] == pytest.approx(1.2)
    assert trade["exit_price"] == pytest.approx(5.0 - 3.0)
    assert trade["pnl"] == pytest.approx(100 * (2.0 - 1.2))
    assert (trade["exit_reason"], trade["exit_trade_date"]) == ("expiry", DAYS[2])
    assert trade["flags"] == "assignment"
    assert trade["legs"].count("contract") == 2
    assert result.final_equity == pytest.approx(10_080)
    assert strategy.cash[5] == pytest.approx(10_000 - 120 - 300)
    # Marked at the bid of what lives on.
    assert strategy.equity[5] == pytest.approx(10_000 - 120 - 300 + 200)


def test_a_short_far_leg_is_naked_once_its_cover_has_expired():
    reverse = (leg("C", 100.0, 1, DAYS[0]), leg("C", 100.0, -1, DAYS[2]))
    assert is_naked(reverse)
    rows = [quote("C", 100.0, 1.0, 1.1, expiry=DAYS[0]), quote("C", 100.0, 2.0, 2.2)]
    assert dict(play(reverse, rows, [100.0] * 3)[0].rejects) == {"NO_BUYING_POWER": 1}
    assert not is_naked((leg("C", 100.0, -1, DAYS[0]), leg("C", 100.0, 1, DAYS[2])))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("CP"), st.sampled_from([90.0, 95.0, 100.0, 105.0]), st.sampled_from([-2, -1, 1, 2])),
        min_size=1, max_size=4, unique_by=lambda x: x[:2],
    ),
    st.floats(60.0, 180.0),
)  # fmt: skip
def test_an_account_never_loses_more_than_what_an_order_required(parts, close):
    legs = tuple(leg(*part) for part in parts)
    rows = [quote(r, k, max(102.0 - k if r == "C" else k - 98.0, 1.0), 16.0) for r, k, _ in parts]
    # So wide that nothing is sold at its worth.
    result, _ = play(legs, rows, [100.0, 100.0, close], execution=FREE.model_copy(update={"option_max_spread": 2.0}))
    if is_naked(legs):
        assert dict(result.rejects) == {"NO_BUYING_POWER": 1}
        return
    reserve = 100 * worst_expiry_loss(legs)
    # Bought at the ask, sold at the bid: what opening takes out of the account.
    paid = 100 * sum(
        one.quantity * (16.0 if one.quantity > 0 else row["bid"]) for one, row in zip(legs, rows, strict=True)
    )
    if paid + reserve > 10_000:
        assert dict(result.rejects) == {"NO_BUYING_POWER": 1}
        return
    trade = result.trades.row(0, named=True)
    assert trade["pnl"] >= -reserve - 100 * trade["side"] * trade["entry_price"] - 1e-6
    assert result.final_equity == pytest.approx(10_000 + trade["pnl"])


def test_legs_that_cannot_be_paid_for_without_lending_are_covered_by_what_lives_on():
    near, far = leg("C", 100.0, -1, DAYS[0]), leg("C", 100.0, 1, DAYS[2])
    rows = [quote("C", 100.0, 1.0, 1.1, expiry=DAYS[0]), quote("C", 100.0, 2.0, 2.2)]
    # The near leg owes 15,000 dollars, the account has 9,880; the far leg is exercised for as much.
    result, strategy = play((near, far), rows, [250.0, 100.0, 100.0])
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_trade_date"]) == ("forced", DAYS[0])
    assert trade["pnl"] == pytest.approx(-120.0)
    assert min(strategy.cash) >= 0
    european = Instrument(symbol="SPY", asset_class="etf", options=True, exercise="european")
    at_the_bid, _ = play((near, far), rows, [250.0, 100.0, 100.0], european)
    assert at_the_bid.trades["pnl"][0] == pytest.approx(-120 - 15_000 + 200)
    lent, _ = play((near, far), rows, [250.0, 100.0, 260.0], execution=FREE.model_copy(update={"leverage": 2.0}))
    assert lent.trades["exit_trade_date"][0] == DAYS[2]


def test_a_trade_tells_the_prices_of_its_legs():
    legs = (leg("P", 100.0, -1, DAYS[0]), leg("P", 95.0, 2), leg("C", 105.0, -1))
    rows = [
        quote("P", 100.0, 1.0, 1.1, expiry=DAYS[0]),
        *(quote("P", 95.0, 0.5, 0.6, at(t)) for t in ("03 14:32", "04 14:32")),
        *(quote("C", 105.0, 0.3, 0.4, at(t)) for t in ("03 14:32", "04 14:32")),
    ]
    frame_legs = json.loads(play(legs, rows, [97.0, 98.0], execution=MARGIN)[0].trades["legs"][0])
    assert [one["entry_price"] for one in frame_legs] == [1.0, 0.6, 0.3]
    # Settled at 97 on the first day; liquidated at the end of the second.
    assert [one["exit_price"] for one in frame_legs] == [3.0, 0.5, 0.4]
    assert [one["quantity"] for one in frame_legs] == [-1, 2, -1]
    assert [one["expiry"] for one in frame_legs] == ["2025-02-03", "2025-02-05", "2025-02-05"]


def test_assignment_and_pin_are_told():
    short = (leg("P", 100.0, -1), leg("P", 95.0, 1))
    rows = [quote("P", 100.0, 2.0, 2.1), quote("P", 95.0, 0.5, 0.6)]
    flags = {close: play(short, rows, [100.0, 100.0, close])[0].trades["flags"][0] for close in (97.0, 99.95, 102.0)}
    assert flags == {97.0: "assignment", 99.95: "assignment,pin", 102.0: ""}
    for instrument in (
        Instrument(symbol="SPY", asset_class="index", options=True),
        Instrument(symbol="SPY", asset_class="etf", options=True, settlement="cash"),
    ):
        assert play(short, rows, [100.0, 100.0, 99.95], instrument)[0].trades["flags"][0] == ""


def test_a_short_leg_without_time_value_may_be_exercised_early():
    short = (leg("C", 95.0, -1), leg("C", 105.0, 1))
    rows = [quote("C", 95.0, 5.5, 5.7), quote("C", 105.0, 0.16, 0.2)]

    def flags(ask: float, spot: float | None, exercise="american") -> str:
        later = [quote("C", 95.0, ask - 0.2, ask, at("03 14:34")), quote("C", 105.0, 0.16, 0.2, at("03 14:34"))]
        later = [{**row, "underlying_price": spot} for row in later]
        etf = Instrument(symbol="SPY", asset_class="etf", options=True, exercise=exercise)
        return play(short, rows + later, [100.0, 100.0, 90.0], etf)[0].trades["flags"][0]

    assert flags(5.0, 100.0) == flags(5.009, 100.0) == "early_exercise"
    assert flags(5.01, 100.0) == flags(5.0, 100.0, "european") == ""
    # The price that the quote was made at counts; where it is not given, the last close.
    assert flags(5.0, 99.0) == ""
    assert flags(5.0, None) == "early_exercise"


def test_a_dividend_beyond_the_time_value_is_owed_on_short_calls():
    short = (leg("C", 95.0, -1), leg("C", 105.0, 1))
    rows = [quote("C", 95.0, 5.2, 5.3), quote("C", 105.0, 0.16, 0.2)]
    payer = Instrument(symbol="SPY", asset_class="etf", options=True, dividends={DAYS[1]: 1.5})
    plain, _ = play(short, rows, [100.0, 100.0, 90.0])
    paid, _ = play(short, rows, [100.0, 100.0, 90.0], payer)
    # The ask left .3 of time value.
    assert plain.final_equity - paid.final_equity == pytest.approx(100 * (1.5 - 0.3))
    assert paid.trades["flags"][0] == "dividend,early_exercise"
    assert paid.final_equity == pytest.approx(10_000 + paid.trades["pnl"].sum())
    # An ex-date without bars counts on the next day.
    before = payer.model_copy(update={"dividends": {date(2025, 2, 2): 1.5, DAYS[2]: 1.5}})
    assert play(short, rows, [100.0, 100.0, 90.0], before)[0].final_equity == paid.final_equity
    european = payer.model_copy(update={"exercise": "european"})
    assert play(short, rows, [100.0, 100.0, 90.0], european)[0].final_equity == plain.final_equity
    small = payer.model_copy(update={"dividends": {DAYS[1]: 0.2}})
    assert play(short, rows, [100.0, 100.0, 90.0], small)[0].trades["flags"][0] == ""
