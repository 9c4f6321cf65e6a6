"""A split strikes the chain anew: what was held must not become a profit, and a crash must not become a split."""

from __future__ import annotations

import json
from datetime import date

import polars as pl
import pytest

from argus_core.calendar import load_calendar
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options import OptionTape
from argus_core.packs.frame import assemble_frame
from argus_core.replay.callback import replay_callback
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import CallbackStrategy, Intent, Leg, Params
from tests.replay.frames import decision_frame
from tests.replay.quotes import EXPIRY, at, quotes

FREE = ExecutionSettings(commission_per_contract=0.0)
EQUITY = Instrument(symbol="SPY", asset_class="equity", options=True)
OLD, NEW = (90.0, 95.0, 100.0, 105.0, 110.0), (45.0, 47.5, 50.0, 52.5, 55.0)


class Holds(CallbackStrategy):
    """Opens given legs at a row and closes at another."""

    def __init__(self, legs: tuple[Leg, ...], opens: int = 0, closes: int | None = None) -> None:
        super().__init__(Params())
        self.legs, self.opens, self.closes, self.seen = legs, opens, closes, {}

    def on_bar(self, view):
        self.seen[view.index] = [one.close_price for one in view.positions]
        if view.index == self.opens:
            return [Intent("open", quantity=1, legs=self.legs)]
        if view.index == self.closes:
            return [Intent("close", position_id=one.position_id) for one in view.positions]
        return []


def leg(right: str, strike: float, quantity: int) -> Leg:
    return Leg(f"SPY{EXPIRY:%y%m%d}{right}{round(strike * 1000):08d}", EXPIRY, strike, right, quantity)


def chain(recv, spot: float, strikes, half: float = 0.1) -> list[dict]:
    """A chain at intrinsic value plus two dollars."""
    rows = []
    for strike in strikes:
        for right in "CP":
            mid = max(spot - strike if right == "C" else strike - spot, 0.0) + 2.0
            rows.append({"recv": recv, "right": right, "strike": strike, "bid": mid - half, "ask": mid + half})
    return [{**row, "underlying_price": spot} for row in rows]


def play(legs, rows, closes, *, closing: int | None = None, opens: int = 0):
    frame = decision_frame([(c, c, c, c) for c in closes for _ in range(5)], bars_per_day=5)
    strategy = Holds(legs, opens, closing)
    result = replay_callback(strategy, frame, EQUITY, FREE, starting_cash=20_000.0, symbol="SPY", options=quotes(rows))
    return result, strategy


BEFORE = chain(at("03 14:32"), 100.0, OLD)
PUT, SPREAD = (leg("P", 105.0, 1),), (leg("P", 100.0, -1), leg("P", 95.0, 1))


@pytest.mark.parametrize(
    ("legs", "paid", "value"),
    [
        # Two to one: at 50 the put would be worth 55. Last bid 6.9, worth 5 before the split.
        (PUT, 7.1, 5.0),
        ((leg("C", 95.0, 1),), 7.1, 5.0),
        # Short at the ask of 2.1 (worth 0), long at nothing.
        (SPREAD, 2.1 - 1.9, -2.1),
    ],
)  # fmt: skip
def test_what_was_held_closes_at_the_worse_of_its_last_quote_and_its_worth_before(legs, paid, value):
    rows = BEFORE + chain(at("04 14:32"), 50.0, NEW)
    result, strategy = play(legs, rows, [100.0, 50.0, 50.0])
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["flags"], trade["exit_ts"]) == ("forced", "split", at("04 14:32"))
    assert trade["pnl"] == pytest.approx(100 * (value - paid))
    assert json.loads(trade["legs"])[0]["exit_price"] == pytest.approx(abs(value))
    # Marked at the last quote until the new chain tells.
    assert strategy.seen[4] == strategy.seen[5]
    assert strategy.seen[6] == []


def test_a_crash_leaves_the_chain_as_it_is_and_the_loss_where_it_belongs():
    rows = BEFORE + chain(at("04 14:32"), 50.0, OLD)
    result, strategy = play(SPREAD, rows, [100.0, 50.0, 50.0])
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["flags"]) == ("expiry", "assignment")
    assert trade["pnl"] == pytest.approx(100 * (1.9 - 2.1 - 5.0))
    assert strategy.seen[6] == [pytest.approx(46.9 - 52.1)]


@pytest.mark.parametrize(("days", "row"), [([100.0, 50.0, 50.0], 14), ([100.0, 50.0], 9)])
def test_without_a_chain_since_it_stays_in_doubt_and_closes_as_before_at_the_expiry_or_the_end(days, row):
    result, strategy = play(PUT, BEFORE, days)
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["flags"]) == ("forced", "split")
    assert trade["pnl"] == pytest.approx(100 * (5.0 - 7.1))
    assert trade["exit_ts"] == at(f"0{3 + row // 5} 14:35")
    assert strategy.seen[row - 1] == [pytest.approx(6.9)]


def test_a_piece_of_the_new_chain_is_not_enough_to_judge_and_nothing_trades_on_old_quotes():
    # Carried quotes of the old chain are still there after the split, and one contract of the new.
    old = [{**row, "recv": at("04 14:32"), "age": 86_400.0} for row in BEFORE]
    rows = BEFORE + old + chain(at("04 14:32"), 50.0, (55.0,)) + chain(at("04 14:34"), 50.0, NEW)
    result, _ = play(PUT, rows, [100.0, 50.0, 50.0], closing=5)
    assert dict(result.rejects) == {"NO_QUOTE": 1}
    trade = result.trades.row(0, named=True)
    assert (trade["flags"], trade["exit_ts"]) == ("split", at("04 14:34"))
    late, _ = play(PUT, rows[len(BEFORE) : -10], [100.0, 50.0, 50.0], opens=5)
    assert (dict(late.rejects), late.fills) == ({"NO_QUOTE": 1}, 0)


def test_a_quote_of_the_evening_before_still_fills():
    # Received after the close of the first day: nobody knows the split yet.
    rows = BEFORE + chain(at("03 20:00"), 101.0, OLD) + chain(at("04 14:32"), 50.0, NEW)
    result, _ = play(PUT, rows, [100.0, 50.0, 50.0], closing=4)
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["flags"], trade["exit_ts"]) == ("signal", "", at("03 20:00"))
    assert trade["exit_price"] == pytest.approx(5.9)


def test_apple_on_the_day_of_its_split_pays_nobody(shared_data):
    day = pl.col("ts").dt.convert_time_zone("America/New_York").dt.date()
    bars = pl.read_parquet(shared_data / "bars_1m_quotes" / "AAPL.parquet").filter(pl.col("session") == "rth")
    end = pl.col("ts") + pl.duration(minutes=1)
    frame = assemble_frame(
        bars.with_columns(end=end, available_at=end, trade_date=day).filter(day >= date(2014, 6, 6)),
        Instrument(symbol="AAPL", asset_class="equity"),
        load_calendar("XNYS"),
        (),
    )
    raw = pl.read_parquet(shared_data / "option_quotes" / "AAPL_2014-06-06_2014-06-09_1h.parquet")
    tape = OptionTape(conform(raw.with_columns(provider=pl.lit("lean")), OptionQuotes), 26 * 3600)
    expiry = date(2014, 6, 21)
    put, call = (Leg(f"AAPL140621{right}00645000", expiry, 645.0, right, 1) for right in "PC")
    condor = tuple(
        Leg(f"AAPL140621{right}{strike:05d}000", expiry, float(strike), right, quantity)
        for right, strike, quantity in (("P", 620, 1), ("P", 640, -1), ("C", 650, -1), ("C", 670, 1))
    )
    for legs in ((put,), (call,), (put, call), condor):
        strategy = Holds(legs, opens=200)
        result = replay_callback(strategy, frame, EQUITY, FREE, starting_cash=100_000.0, symbol="AAPL", options=tape)
        trade = result.trades.row(0, named=True)
        assert (trade["flags"], trade["exit_reason"]) == ("split", "forced")
        assert trade["exit_ts"].date() == date(2014, 6, 9)
        # At 92 a put of 645 would be worth 553, a call nothing; nothing may be earned by the new count of shares.
        assert -3_000 < trade["pnl"] < 0
        last = tape.snapshots[6]
        for one in json.loads(trade["legs"]):
            quote = last.quote(one["contract"])
            worth = max((645.57 - one["strike"]) * (1 if one["right"] == "C" else -1), 0.0)
            closing = min(quote.bid, worth) if one["quantity"] > 0 else max(quote.ask, worth)
            assert one["exit_price"] == pytest.approx(closing)
