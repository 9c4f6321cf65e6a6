"""EventStraddle: which event, which expiry, when it is sold, and the dates it rests on."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.calendar import TradingCalendar
from argus_core.experiments.sweep import load_sweep
from argus_core.replay.callback import replay_callback
from argus_core.replay.lookahead import prove_no_lookahead_callback
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.event_straddle import EventStraddle, EventStraddleParams
from argus_core.strategies.scheduled_events import SCHEDULED, release
from tests.replay.frames import decision_frame
from tests.replay.quotes import at, chain

ROOT = Path(__file__).resolve().parents[2]
#: Days of the frame: Monday 2025-02-03 to Friday, bars of half an hour from 14:30 UTC (09:30 New York).
WEDNESDAY = date(2025, 2, 5)
EXPIRIES = [date(2025, 2, 5), date(2025, 2, 7), date(2025, 2, 21)]


def market(days: int = 5, price: float = 100.0) -> pl.DataFrame:
    return decision_frame([(price,) * 4] * (13 * days), bars_per_day=13, bar_seconds=1_800, half_spread=0.01)


def chains(*vols: float, spots: dict[int, float] | None = None, **arguments) -> pl.DataFrame:
    """One chain at 16:00 UTC of each day from Monday on."""
    return pl.concat(
        chain(at(f"{3 + n:02d} 16:00"), [day for day in EXPIRIES if day.day > 3 + n], vol=vol,
              spot=(spots or {}).get(n, 100.0), **arguments)
        for n, vol in enumerate(vols)
    )  # fmt: skip


def run(options: pl.DataFrame, frame: pl.DataFrame | None = None, execution=None, **params):
    values = {"calendar": "given", "events": [WEDNESDAY], "release_time": "14:00", "target_days": 4, **params}
    strategy = EventStraddle(EventStraddleParams.model_validate(values))
    arguments = {"starting_cash": 100_000.0, "symbol": "SPY", "options": options}
    etf = Instrument(symbol="SPY", asset_class="etf")
    return replay_callback(
        strategy, market() if frame is None else frame, etf, execution or ExecutionSettings(), **arguments
    )


CALM = (0.3, 0.3, 0.3, 0.3, 0.3)


def test_a_straddle_is_bought_before_the_event_and_sold_after_it():
    result = run(chains(*CALM), days_before=1)
    [trade] = result.trades.to_dicts()
    put, call = json.loads(trade["legs"])
    assert (put["right"], call["right"], put["strike"], call["strike"]) == ("P", "C", 100.0, 100.0)
    assert {put["expiry"], call["expiry"]} == {"2025-02-07"}
    assert put["quantity"] == call["quantity"] == 1
    # Tuesday's chain decides and fills; the event is on Wednesday at 19:00 UTC, after Wednesday's chain.
    assert trade["entry_ts"] == at("04 16:00")
    assert (trade["exit_ts"], trade["exit_reason"]) == (at("06 16:00"), "time")
    paid = trade["entry_price"] * 100
    assert trade["quantity"] == 3_000 // (paid + 1.30)


def test_an_event_before_the_open_is_over_at_the_same_days_chain():
    [trade] = run(chains(*CALM), release_time="08:30", days_before=1).trades.to_dicts()
    assert trade["exit_ts"] == at("05 16:00")
    [later] = run(chains(*CALM), release_time="08:30", days_before=1, hold_hours=24).trades.to_dicts()
    assert later["exit_ts"] == at("06 16:00")


def test_it_waits_for_its_days_and_buys_each_event_once():
    assert run(chains(*CALM), days_before=2).trades["entry_ts"].to_list() == [at("03 16:00")]
    far = run(chains(*CALM), events=[date(2025, 3, 19)], days_before=10)
    assert far.decisions == ()
    past = run(chains(*CALM), events=[date(2025, 2, 3)], release_time="09:30", days_before=5)
    assert past.decisions == ()


def test_two_events_of_a_week_are_two_positions():
    result = run(chains(*CALM), events=[WEDNESDAY, date(2025, 2, 6)], days_before=2)
    assert result.trades.height == 2
    assert result.trades["entry_ts"].sort().to_list() == [at("03 16:00"), at("04 16:00")]


@pytest.mark.parametrize(("event", "expiry"), [(date(2025, 2, 6), "2025-02-07"), (date(2025, 2, 7), "2025-02-21")])
def test_the_expiry_lies_behind_the_event_whatever_is_aimed_at(event, expiry):
    result = run(chains(*CALM), events=[event], target_days=1, days_before=4)
    assert {leg["expiry"] for leg in json.loads(result.trades["legs"][0])} == {expiry}


def test_an_evening_chain_counts_days_from_its_own_day():
    """A chain of Monday seen on Tuesday: an expiry on the event's day would be one day too early."""
    evening = chain(at("03 22:00"), EXPIRIES, vol=0.3)
    result = run(evening, events=[date(2025, 2, 7)], days_before=3, target_days=1, execution=ExecutionSettings())
    decided = [intent for _, intent in result.decisions]
    assert {leg.expiry for leg in decided[0].legs} == {date(2025, 2, 21)}


def test_a_strangle_takes_legs_out_of_the_money():
    put, call = json.loads(run(chains(*CALM), days_before=1, delta=0.25).trades["legs"][0])
    assert put["strike"] < 100 < call["strike"]


def test_profit_target_and_stop_loss_come_before_the_event_is_over():
    gains = run(chains(0.3, 0.3, 0.8, 0.3, 0.3), days_before=2, release_time="15:50", events=[date(2025, 2, 6)])
    assert gains.trades["exit_reason"].to_list() == ["profit_target"]
    loses = run(chains(0.6, 0.6, 0.1, 0.1), days_before=3, events=[date(2025, 2, 6)])
    assert loses.trades["exit_reason"].to_list() == ["stop_loss"]
    never = run(chains(0.6, 0.6, 0.1, 0.1), days_before=3, events=[date(2025, 2, 6)], stop_loss=None)
    # No chain comes after the event: what is not sold expires.
    assert never.trades["exit_reason"].to_list() == ["expiry"]


def test_wide_or_thin_quotes_are_not_bought():
    assert run(chains(*CALM, half_spread=0.5), days_before=1).decisions == ()
    thin = chains(*CALM).with_columns(open_interest=pl.lit(3.0))
    assert run(thin, days_before=1, min_open_interest=10).decisions == ()
    assert run(thin, days_before=1, min_open_interest=3).trades.height == 1


def test_it_does_not_look_ahead():
    options = chains(0.3, 0.5, 0.2, 0.6, 0.3)
    events = [WEDNESDAY, date(2025, 2, 6), date(2025, 2, 7)]

    def decide(rows, quotes):
        return run(quotes, rows, events=events, days_before=2).decisions

    assert len(decide(market(), options)) >= 4
    proof = prove_no_lookahead_callback(decide, market(), options, cuts=5, seed=3)
    assert proof.ok, proof.detail


def test_scheduled_events_are_sessions_in_order(calendar: TradingCalendar):
    sessions = set(calendar.sessions["date"])
    for name, days in SCHEDULED.items():
        assert list(days) == sorted(set(days)), name
        assert set(days) - {date(2026, 4, 3)} <= sessions, name
    # Good Friday 2026: the exchange is closed, the report comes.
    assert date(2026, 4, 3) in SCHEDULED["jobs"]
    by_year = {y: sum(day.year == y for day in SCHEDULED["fomc"]) for y in (2024, 2025, 2026)}
    assert by_year == {2024: 8, 2025: 8, 2026: 8}
    assert all(day.weekday() in (3, 4) for day in SCHEDULED["jobs"])


def test_releases_are_stated_in_new_york_time_all_year():
    winter, summer = release("cpi", date(2025, 1, 15)), release("fomc", date(2025, 7, 30))
    assert winter.timestamp() == datetime.fromisoformat("2025-01-15T13:30:00+00:00").timestamp()
    assert summer.timestamp() == datetime.fromisoformat("2025-07-30T18:00:00+00:00").timestamp()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"calendar": "given"}, "needs dates"),
        ({"target_days": 60}, "must not exceed"),
        ({"days_before": 0}, "days_before"),
    ],
)
def test_parameters_are_validated(bad, words):
    with pytest.raises(ValidationError, match=words):
        EventStraddleParams(**bad)


def test_the_shipped_sweep_is_valid():
    sets = load_sweep(ROOT / "config" / "sweeps" / "event_straddle.yaml")
    assert len({EventStraddleParams(**values) for values in sets}) == len(sets) == 48
