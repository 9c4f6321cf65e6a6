"""Fills of option structures: bid or ask, all legs or none, every reject counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.tape import OptionTape
from argus_core.replay.callback import replay_callback
from argus_core.replay.option_fills import leg_price, reject_reason, structure_quote
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import CallbackStrategy, Intent, Leg, Params
from tests.replay.frames import decision_frame
from tests.replay.quotes import EXPIRY, at, quotes

ETF = Instrument(symbol="SPY", asset_class="etf")
SHORT = Leg("SPY250205P00095000", EXPIRY, 95.0, "P", -1)
LONG = Leg("SPY250205P00090000", EXPIRY, 90.0, "P", 1)
SPREAD = (SHORT, LONG)
COSTS = ExecutionSettings()


class Scripted(CallbackStrategy):
    """Returns intents by row; a callable gets the view."""

    def __init__(self, script: dict) -> None:
        super().__init__(Params())
        self.script = script
        self.seen: list[tuple] = []

    def on_bar(self, view):
        self.seen.append((view.index, view.equity, view.cash, [p.close_price for p in view.positions]))
        intents = self.script.get(view.index, ())
        return intents(view) if callable(intents) else intents


def opening(quantity: float | None = 1, legs=SPREAD, **arguments) -> tuple[Intent, ...]:
    return (Intent("open", quantity=quantity, legs=legs, **arguments),)


def closing(tag: str = ""):
    return lambda view: [Intent("close", position_id=p.position_id, tag=tag) for p in view.positions]


def snapshot(recv, short=(1.40, 1.50), long=(0.40, 0.45), **defaults) -> list[dict]:
    rows = []
    for strike, quote in ((95.0, short), (90.0, long)):
        if quote is not None:
            rows.append({"recv": recv, "right": "P", "strike": strike, "bid": quote[0], "ask": quote[1], **defaults})
    return rows


def play(script, rows, *, execution=COSTS, cash=10_000.0, closes=(100.0,) * 30, per_day=10, **frame_arguments):
    """Days of ten one-minute bars from 2025-02-03 14:30 UTC on."""
    prices = [(c, c, c, c) for c in closes]
    frame = decision_frame(prices, bars_per_day=per_day, half_spread=0.01, **frame_arguments)
    strategy = Scripted(script)
    options = quotes(rows) if isinstance(rows, list) else rows
    result = replay_callback(strategy, frame, ETF, execution, starting_cash=cash, symbol="SPY", options=options)
    return result, strategy


def test_a_spread_sells_at_the_bid_and_buys_at_the_ask_of_the_next_snapshot():
    # Decided at 14:32; the snapshot of 14:31 was seen, that of 14:35 fills.
    rows = snapshot(at("03 14:31"), (9.0, 9.1), (5.0, 5.1)) + snapshot(at("03 14:35"))
    rows += snapshot(at("03 14:38"), (0.70, 0.80), (0.20, 0.25))
    result, _ = play({1: opening(2), 6: closing("profit_target")}, rows)
    trade = result.trades.row(0, named=True)
    assert trade["entry_ts"] == at("03 14:35")
    assert trade["exit_ts"] == at("03 14:38")
    assert (trade["side"], trade["quantity"]) == (-1, 2.0)
    assert trade["entry_price"] == pytest.approx(1.40 - 0.45)
    assert trade["exit_price"] == pytest.approx(0.80 - 0.20)
    assert trade["exit_reason"] == "profit_target"
    # 2 structures x 100 x (0.95 - 0.60) less 4 legs x 2 x 0.65.
    assert trade["pnl"] == pytest.approx(70.0 - 5.20)
    # Half spreads 0.05 + 0.025 on the way in, 0.05 + 0.025 on the way out.
    assert trade["costs"] == pytest.approx(200 * 0.15 + 5.20)
    assert result.final_equity == pytest.approx(10_000 + 64.80)
    assert result.fills == 2
    assert trade["legs"].startswith('[{"contract":"SPY250205P00095000","expiry":"2025-02-05"')


def test_a_snapshot_received_at_the_decision_time_fills_and_latency_skips_it():
    rows = snapshot(at("03 14:32")) + snapshot(at("03 14:36"), (1.00, 1.10))
    now, _ = play({1: opening()}, rows)
    late, _ = play({1: opening()}, rows, execution=ExecutionSettings(latency_seconds=1))
    assert now.trades["entry_ts"][0] == at("03 14:32")
    assert late.trades["entry_ts"][0] == at("03 14:36")


def test_an_order_without_a_later_snapshot_is_neither_fill_nor_reject():
    result, _ = play({3: opening()}, snapshot(at("03 14:31")))
    assert (result.fills, dict(result.rejects), result.fill_rate) == (0, {}, 1.0)


@pytest.mark.parametrize(
    ("reason", "rows", "quantity"),
    [
        ("NO_QUOTE", snapshot(at("03 14:35"), long=None), 1),
        ("NO_QUOTE", snapshot(at("03 14:35"), short=(None, 1.5)), 1),
        ("NO_QUOTE", snapshot(at("03 14:35"), expiry=date(2025, 2, 7)), 1),
        ("ZERO_BID", snapshot(at("03 14:35"), long=(0.0, 0.05)), 1),
        ("CROSSED", snapshot(at("03 14:35"), short=(1.6, 1.5)), 1),
        ("SPREAD_WIDE", snapshot(at("03 14:35"), short=(1.0, 1.7)), 1),
        ("STALE_QUOTE", snapshot(at("03 14:35"), age=93_601.0), 1),
        ("INSUFFICIENT_SIZE", snapshot(at("03 14:35"), bid_size=4.0, ask_size=4.0), 5),
        ("NO_BUYING_POWER", snapshot(at("03 14:35")), 25),
    ],
)
def test_every_reject_is_counted_once_and_fills_nothing(reason, rows, quantity):
    result, strategy = play({1: opening(quantity)}, rows)
    assert dict(result.rejects) == {reason: 1}
    assert (result.fills, result.fill_rate, result.final_equity) == (0, 0.0, 10_000.0)
    assert all(not positions for *_, positions in strategy.seen)


def test_rejects_are_tested_in_their_order_over_all_legs():
    def reason(**changes):
        rows = snapshot(at("03 14:35"), changes.pop("short", (1.4, 1.5)), changes.pop("long", (0.4, 0.45)), **changes)
        return reject_reason(SPREAD, 5, OptionTape(quotes(rows)).snapshots[0], COSTS)

    worst = {"age": 1e6, "bid_size": 1.0, "ask_size": 1.0}
    assert reason() is None
    assert reason(short=None, long=(0.0, 9.0), **worst) == "NO_QUOTE"
    assert reason(short=(2.0, 1.5), long=(0.0, 9.0), **worst) == "ZERO_BID"
    assert reason(short=(1.0, 9.0), long=(9.0, 8.0), **worst) == "CROSSED"
    assert reason(short=(1.0, 9.0), **worst) == "SPREAD_WIDE"
    assert reason(**worst) == "STALE_QUOTE"
    assert reason(bid_size=1.0, ask_size=1.0) == "INSUFFICIENT_SIZE"


@pytest.mark.parametrize(
    ("bid", "ask", "reason"),
    [
        (None, 1.5, "NO_QUOTE"), (1.4, None, "NO_QUOTE"), (0.0, 1.5, "ZERO_BID"), (1.4, 0.0, "ZERO_BID"),
        (0.0, 0.0, "ZERO_BID"), (1.6, 1.5, "CROSSED"), (1.5, 1.5, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("quantity", [1, -1])
def test_quotes_of_one_side_and_crossed_ones_do_not_trade_in_either_direction(bid, ask, reason, quantity):
    shot = OptionTape(quotes(snapshot(at("03 14:35"), (bid, ask)))).snapshots[0]
    assert reject_reason((replace(SHORT, quantity=quantity),), 1, shot, COSTS) == reason


def real_tape(path, carry_seconds: int = 0) -> OptionTape:
    return OptionTape(
        conform(pl.read_parquet(path).with_columns(provider=pl.lit("files")), OptionQuotes), carry_seconds
    )


def reasons(tape: OptionTape, rows: pl.DataFrame) -> set[str | None]:
    """Why each of ``rows`` cannot be bought or sold when it was received."""
    shots = {shot.recv_us: shot for shot in tape.snapshots}
    found = set()
    for row in rows.iter_rows(named=True):
        shot = shots[round(row["recv_ts"].timestamp() * 1e6)]
        for quantity in (1, -1):
            one = Leg(row["contract"], row["expiry"], row["strike"], row["right"], quantity)
            found.add(reject_reason((one,), 1, shot, COSTS))
    return found


@pytest.mark.parametrize("carry", [0, 6 * 3600])
def test_every_real_crossed_quote_is_refused(shared_data, carry):
    path = shared_data / "option_quotes" / "SPXW_2021-01-04_2021-01-08_1m.parquet"
    crossed = pl.read_parquet(path).filter(pl.col("bid") > pl.col("ask"))
    assert crossed.height == 56
    assert reasons(real_tape(path, carry), crossed) == {"CROSSED"}


def test_every_real_bid_without_an_ask_is_refused(shared_data):
    path = shared_data / "option_quotes" / "SPX_2026-08-05_eod.parquet"
    one_sided = pl.read_parquet(path).filter((pl.col("bid") > 0) & (pl.col("ask") == 0))
    assert one_sided.height == 66
    assert reasons(real_tape(path), one_sided) == {"ZERO_BID"}


def test_limits_themselves_still_trade():
    rows = snapshot(at("03 14:35"), (0.75, 1.25), (0.3, 0.5), age=93_600.0, bid_size=5.0, ask_size=5.0)
    assert reject_reason(SPREAD, 5, OptionTape(quotes(rows)).snapshots[0], COSTS) is None


def test_unknown_sizes_pass_but_a_side_that_is_not_needed_does_not_matter():
    shot = OptionTape(quotes(snapshot(at("03 14:35")))).snapshots[0]
    assert reject_reason(SPREAD, 10_000, shot, COSTS) is None
    rows = snapshot(at("03 14:35"))
    rows[0] |= {"bid_size": 5.0, "ask_size": 0.0}
    rows[1] |= {"bid_size": 0.0, "ask_size": 5.0}
    assert reject_reason(SPREAD, 5, OptionTape(quotes(rows)).snapshots[0], COSTS) is None


def test_a_quote_from_the_future_is_an_error():
    rows = snapshot(at("03 14:35"), age=-1.0)
    with pytest.raises(ValueError, match="cannot come from the future"):
        play({1: opening()}, rows)


@pytest.mark.parametrize("multiplier", [0.0, 1.0, 1.5, 2.0])
def test_the_cost_multiplier_scales_half_spread_and_commission(multiplier):
    execution = ExecutionSettings(cost_multiplier=multiplier)
    shot = OptionTape(quotes(snapshot(at("03 14:35")))).snapshots[0]
    bought, sold = (
        leg_price(shot.quote(SHORT.contract), 1, multiplier),
        leg_price(shot.quote(SHORT.contract), -1, multiplier),
    )
    assert bought == pytest.approx(1.45 + multiplier * 0.05)
    assert sold == pytest.approx(1.45 - multiplier * 0.05)
    if multiplier == 1.0:
        assert (bought, sold) == (1.50, 1.40)
    quote = structure_quote(SPREAD, shot, execution)
    assert quote.spread_cost == pytest.approx(multiplier * 0.075)
    result, _ = play({1: opening()}, snapshot(at("03 14:35")), execution=execution, closes=[100.0] * 10)
    # In and out at the same quotes.
    assert result.trades["pnl"][0] == pytest.approx(-multiplier * (15.0 + 4 * 0.65))


@pytest.mark.parametrize(("last", "value"), [(100.0, 0.0), (93.0, 2.0), (80.0, 5.0)])
def test_expiry_settles_at_intrinsic_value_of_the_closing_bar_without_commission(last, value):
    closes = [100.0] * 29 + [last] + [50.0] * 10
    result, _ = play({1: opening()}, snapshot(at("03 14:35")), closes=closes)
    trade = result.trades.row(0, named=True)
    assert trade["exit_reason"] == "expiry"
    assert trade["exit_price"] == pytest.approx(value)
    assert trade["pnl"] == pytest.approx(100 * (0.95 - value) - 2 * 0.65)
    assert trade["exit_ts"] == at("05 14:40")
    assert result.fills == 2
    assert result.final_equity == pytest.approx(10_000 + trade["pnl"])


def test_expiry_of_a_call_spread_in_the_money_pays_its_width():
    legs = (Leg("SPY250205C00100000", EXPIRY, 100.0, "C", 1), Leg("SPY250205C00105000", EXPIRY, 105.0, "C", -1))
    rows = [
        {"recv": at("03 14:35"), "right": "C", "strike": 100.0, "bid": 2.0, "ask": 2.1},
        {"recv": at("03 14:35"), "right": "C", "strike": 105.0, "bid": 0.5, "ask": 0.6},
    ]
    result, _ = play({1: opening(legs=legs)}, rows, closes=[100.0] * 29 + [111.0, 111.0])
    trade = result.trades.row(0, named=True)
    assert (trade["side"], trade["entry_price"], trade["exit_price"]) == (1, pytest.approx(1.6), pytest.approx(5.0))
    assert trade["pnl"] == pytest.approx(340 - 1.30)


def test_an_expiry_without_bars_settles_at_the_last_close_before():
    frame_days = [100.0] * 19 + [92.0]
    frame = decision_frame([(c, c, c, c) for c in [*frame_days, *[120.0] * 20]], bars_per_day=10)
    # Days 2025-02-03, 02-04, 02-05, 02-06: leave the expiry's own day out.
    frame = frame.filter(pl.col("trade_date") != EXPIRY)
    strategy = Scripted({1: opening()})
    result = replay_callback(
        strategy, frame, ETF, COSTS, starting_cash=1e4, symbol="SPY", options=quotes(snapshot(at("03 14:35")))
    )
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_price"]) == ("expiry", pytest.approx(3.0))
    assert trade["exit_ts"] == at("04 14:40")


def test_nothing_opens_in_an_expired_contract():
    # The evening archive still lists it: received 16:00, the session closed 14:40.
    rows = snapshot(at("05 16:00"), age=3600.0)
    result, _ = play({25: opening()}, rows, closes=[100.0] * 40)
    assert dict(result.rejects) == {"NO_QUOTE": 1}


def test_positions_at_the_end_are_liquidated_on_the_adverse_side_and_marked_forced():
    rows = snapshot(at("03 14:35")) + snapshot(at("03 14:37"), (2.0, 2.3), (0.5, 0.6))
    result, _ = play({1: opening()}, rows, closes=[100.0] * 10)
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_ts"]) == ("forced", at("03 14:40"))
    assert trade["exit_price"] == pytest.approx(2.3 - 0.5)
    assert trade["pnl"] == pytest.approx(100 * (0.95 - 1.80) - 4 * 0.65)
    assert trade["mae"] == pytest.approx(-(1.80 - 0.95) / 0.95)


def test_forced_liquidation_takes_the_worse_of_an_old_quote_and_intrinsic_value():
    execution = ExecutionSettings(option_max_quote_age_seconds=300)
    result, _ = play({1: opening()}, snapshot(at("03 14:35")), closes=[100.0] * 19 + [91.0], execution=execution)
    trade = result.trades.row(0, named=True)
    # Short put at max(1.50, 4.00), long put at min(0.40, 0.00).
    assert (trade["exit_reason"], trade["exit_price"]) == ("forced", pytest.approx(4.0))


def test_a_position_is_marked_on_the_side_it_would_be_closed_on_and_carried_between_snapshots():
    rows = snapshot(at("03 14:35")) + snapshot(at("03 14:38"), (1.0, 1.1), (0.3, 0.35))
    _, strategy = play({1: opening()}, rows, closes=[100.0] * 10)
    equity = {index: value for index, value, *_ in strategy.seen}
    paid = 10_000 + 95 - 1.30
    assert equity[3] == 10_000
    assert equity[4] == equity[5] == equity[6] == pytest.approx(paid - 110)
    assert equity[7] == equity[8] == pytest.approx(paid - 80)


def test_a_leg_without_a_usable_quote_keeps_its_last_mark():
    rows = snapshot(at("03 14:35")) + snapshot(at("03 14:37"), short=None, long=(0.30, 0.35))
    rows += snapshot(at("03 14:38"), short=(9.0, 8.0), long=None)
    _, strategy = play({1: opening()}, rows, closes=[100.0] * 10)
    mark = {index: prices[0] for index, *_, prices in strategy.seen if prices}
    assert mark[5] == pytest.approx(1.50 - 0.40)
    assert mark[6] == mark[7] == mark[8] == pytest.approx(1.50 - 0.30)


def test_a_rejected_close_keeps_the_position_and_a_second_request_is_not_counted_twice():
    rows = snapshot(at("03 14:35")) + snapshot(at("03 14:38"), long=(0.0, 0.05)) + snapshot(at("03 14:40"))
    script = {1: opening(), 5: closing(), 6: closing(), 8: closing()}
    result, _ = play(script, rows, closes=[100.0] * 20)
    assert dict(result.rejects) == {"ZERO_BID": 1}
    assert result.trades["exit_ts"].to_list() == [at("03 14:40")]


def test_size_is_the_share_of_equity_that_the_structure_can_lose():
    # Width 5, credit 0.95, commission 1.30: 406.30 dollars at risk; 10 % of 10,000 carries two.
    result, _ = play({1: opening(None, size=0.10)}, snapshot(at("03 14:35")))
    assert result.trades["quantity"].to_list() == [2.0]
    assert result.trades["risk"].to_list() == [pytest.approx(2 * 406.30)]
    refused, _ = play({1: opening(None, size=0.03)}, snapshot(at("03 14:35")))
    assert dict(refused.rejects) == {"NO_BUYING_POWER": 1}


@pytest.mark.parametrize(
    "leg", [Leg("SPY250205P00095000", EXPIRY, 95.0, "P", -1), Leg("SPY250205C00105000", EXPIRY, 105.0, "C", -1)]
)
def test_a_naked_short_option_needs_margin(leg):
    rows = [{"recv": at("03 14:35"), "right": leg.right, "strike": leg.strike, "bid": 1.4, "ask": 1.5}]
    plain, _ = play({1: opening(legs=(leg,))}, rows, cash=1e6)
    margin, _ = play({1: opening(legs=(leg,))}, rows, cash=1e6, execution=ExecutionSettings(leverage=2.0))
    assert dict(plain.rejects) == {"NO_BUYING_POWER": 1}
    assert margin.fills == 2
    assert margin.trades["risk"].to_list() == [None]  # it can lose without bound


def test_the_risk_of_a_bought_option_is_what_it_cost():
    leg = Leg("SPY250205C00105000", EXPIRY, 105.0, "C", 1)
    rows = [{"recv": at("03 14:35"), "right": "C", "strike": 105.0, "bid": 1.4, "ask": 1.5}]
    result, _ = play({1: opening(3, legs=(leg,))}, rows)
    assert result.trades["risk"].to_list() == [pytest.approx(3 * (150 + 0.65))]


@pytest.mark.parametrize(
    ("intent", "message"),
    [
        (Intent("open", quantity=1, legs=(SHORT, SHORT)), "another contract"),
        (Intent("open", quantity=1, legs=(Leg("X", EXPIRY, 90.0, "P", 0),)), "quantity is zero"),
        (Intent("open", quantity=1, legs=SPREAD, stop_distance=1.0), "close intent"),
        (Intent("open", legs=SPREAD), "quantity .* or size"),
    ],
)
def test_an_intent_that_makes_no_sense_teaches(intent, message):
    with pytest.raises(ValueError, match=message):
        play({1: (intent,)}, snapshot(at("03 14:35")))
