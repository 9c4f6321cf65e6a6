"""What happens to option positions between entry and exit: expiries one by one, assignment, exercise, dividends."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.replay.callback import replay_callback
from argus_core.replay.option_margin import intrinsic_value, is_naked, worst_expiry_loss
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import CallbackStrategy, Intent, Leg, Params
from tests.replay.frames import decision_frame
from tests.replay.quotes import at, quotes

FREE = ExecutionSettings(commission_per_contract=0.0)
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
    assert trade["flags"] == "assignment,early_exercise"
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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("CP"), st.sampled_from([90.0, 95.0, 100.0, 105.0]), st.sampled_from([-2, -1, 1, 2]),
            st.sampled_from(DAYS),
        ),
        min_size=1, max_size=4, unique_by=lambda x: (x[0], x[1], x[3]),
    )
)  # fmt: skip
def test_the_reserve_bounds_every_expiry_of_what_is_not_naked(parts):
    legs = tuple(leg(*part) for part in parts)
    if is_naked(legs):
        return
    reserve = worst_expiry_loss(legs)
    for day in DAYS:
        alive = [one for one in legs if one.expiry >= day]
        assert all(intrinsic_value(alive, spot) >= -reserve - 1e-9 for spot in np.linspace(0, 300, 601))


def test_assignment_and_pin_are_told():
    short = (leg("P", 100.0, -1), leg("P", 95.0, 1))
    rows = [quote("P", 100.0, 2.0, 2.1), quote("P", 95.0, 0.5, 0.6)]
    flags = {close: play(short, rows, [100.0, 100.0, close])[0].trades["flags"][0] for close in (97.0, 99.95, 102.0)}
    assert flags == {97.0: "assignment", 99.95: "assignment,pin", 102.0: ""}
    index = Instrument(symbol="SPY", asset_class="index", options=True)
    assert play(short, rows, [100.0, 100.0, 97.0], index)[0].trades["flags"][0] == ""


def test_a_short_leg_without_time_value_may_be_exercised_early():
    short = (leg("C", 95.0, -1), leg("C", 105.0, 1))
    later = [quote("C", 95.0, 4.8, 5.0, at("03 14:34")), quote("C", 105.0, 0.16, 0.2, at("03 14:34"))]
    rows = [quote("C", 95.0, 5.5, 5.7), quote("C", 105.0, 0.16, 0.2)]
    assert play(short, rows, [100.0, 100.0, 90.0])[0].trades["flags"][0] == ""
    assert play(short, rows + later, [100.0, 100.0, 90.0])[0].trades["flags"][0] == "early_exercise"


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
    small = payer.model_copy(update={"dividends": {DAYS[1]: 0.2}})
    assert play(short, rows, [100.0, 100.0, 90.0], small)[0].trades["flags"][0] == ""
