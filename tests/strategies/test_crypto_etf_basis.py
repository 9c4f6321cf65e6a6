"""CryptoEtfBasis: the fair value, both legs in time with each other, minutes and days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.experiments.sweep import load_sweep
from argus_core.replay.callback import replay_callback
from argus_core.replay.lookahead import Scene, prove_callback
from argus_core.replay.reference import Reference
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.crypto_etf_basis import CryptoEtfBasis, CryptoEtfBasisParams
from tests.strategies.frames import calendar_frame

ROOT = Path(__file__).resolve().parents[2]
FREE = ExecutionSettings(
    slippage_bps=0, commission_min=0, commission_per_share=0, commission_rate_crypto=0, participation=1
)
IBIT = Instrument(symbol="IBIT", asset_class="etf", lot=0.001, spread_bps=0)
BTC = Instrument(symbol="BTC", asset_class="crypto", hours="always", lot=1e-5, spread_bps=0)
MONDAY, FRIDAY = date(2025, 2, 3), date(2025, 2, 7)


def coin(last: date = date(2025, 2, 12), *, step: int = 1_800) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    path = 6e4 * np.exp(np.cumsum(rng.normal(0, 2e-3, 2_000)))
    return calendar_frame("always", MONDAY, last, bar_seconds=step, closes=path)


def etf(btc: pl.DataFrame, dear: dict[datetime, float], last: date = FRIDAY, *, step: int = 1_800) -> pl.DataFrame:
    """An ETF that is worth a thousandth of the coin at every bar's end, but for log deviations at some ends."""
    frame = calendar_frame("rth", MONDAY, last, bar_seconds=step)
    worth = frame.select("end").join_asof(btc.select("end", "close"), on="end")["close"].to_numpy() / 1_000
    away = np.array([dear.get(end, 0.0) for end in frame["end"]])
    closes = worth * np.exp(away)
    opens = np.concatenate([closes[:1], closes[:-1]])
    return frame.with_columns(
        open=pl.Series(opens), close=pl.Series(closes), half_spread=pl.lit(0.0),
        high=pl.Series(np.maximum(opens, closes)), low=pl.Series(np.minimum(opens, closes)),
    )  # fmt: skip


def run(frame: pl.DataFrame, btc: pl.DataFrame, *, execution=FREE, **params):
    strategy = CryptoEtfBasis(CryptoEtfBasisParams(**params))
    references = {"BTC": Reference(btc.with_columns(half_spread=pl.lit(0.0)), BTC)}
    return replay_callback(
        strategy, frame, IBIT, execution, starting_cash=100_000.0, symbol="IBIT", references=references
    )


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2025, 2, day, hour, minute, tzinfo=UTC)


DEAR = {at(4, 16): 0.012, at(4, 16, 30): 0.011, at(4, 17): 0.010}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_dear_etf_is_sold_against_the_coin_until_it_is_back(sign):
    btc = coin()
    result = run(etf(btc, {when: sign * size for when, size in DEAR.items()}), btc)
    first, second = result.trades.sort("symbol").to_dicts()
    assert [(t["symbol"], t["side"]) for t in (first, second)] == [("BTC", sign), ("IBIT", -sign)]
    assert {first["entry_ts"], second["entry_ts"]} == {at(4, 16)}
    # Back at the bar that ends at 17:30.
    assert {first["exit_ts"], second["exit_ts"]} == {at(4, 17, 30)}
    assert {first["exit_reason"], second["exit_reason"]} == {"profit_target"}
    for trade in (first, second):
        assert trade["quantity"] * trade["entry_price"] == pytest.approx(45_000, rel=1e-3)
    assert result.final_equity > 100_000


def test_the_coins_own_move_is_no_deviation():
    btc = coin()
    assert run(etf(btc, {}), btc, entry=0.001, exit=0.0005).decisions == ()


def test_without_a_hedge_the_etf_is_alone_and_shorts_can_be_left_out():
    btc = coin()
    assert run(etf(btc, DEAR), btc, hedged=False).trades["symbol"].to_list() == ["IBIT"]
    assert run(etf(btc, DEAR), btc, allow_short=False).decisions == ()


@pytest.mark.parametrize(
    ("params", "trades"),
    [({"entry": 0.0125}, 0), ({"entry": 0.0115}, 2), ({"max_deviation": 0.0115, "entry": 0.0112}, 0)],
)
def test_the_deviation_must_lie_between_its_limits(params, trades):
    btc = coin()
    assert run(etf(btc, DEAR), btc, **params).trades.height == trades


def test_the_fair_value_rests_on_the_last_closes():
    btc = coin()
    # Monday closes one percent dear: on Tuesday a true price looks cheap by as much, with a second close by half of it.
    frame = etf(btc, {at(3, 21): 0.01})
    result = run(frame, btc, entry=0.004, exit=0.001, max_hold_sessions=1)
    assert result.trades["entry_ts"].min() == at(4, 15)
    assert result.trades.filter(pl.col("symbol") == "IBIT")["side"].to_list()[0] == 1
    two = run(frame, btc, anchor_sessions=2, entry=0.004, exit=0.001)
    assert two.trades["entry_ts"].min() == at(5, 15)
    assert run(frame, btc, anchor_sessions=2, entry=0.006).decisions == ()


def test_a_deviation_that_grows_is_given_up_and_one_that_stays_is_closed_after_its_sessions():
    btc = coin()
    grows = run(etf(btc, {at(4, 16): 0.012, at(4, 16, 30): 0.03}), btc)
    assert set(grows.trades["exit_reason"]) == {"stop_loss"}
    ends = [end for end in etf(btc, {})["end"] if end >= at(4, 16)]
    stays = run(etf(btc, dict.fromkeys(ends, 0.012)), btc, max_hold_sessions=1)
    # Wednesday's first bar closes it; Tuesday's close is then the fair value, and nothing is dear any more.
    assert stays.trades["exit_ts"].to_list() == [at(5, 15), at(5, 15)]
    assert set(stays.trades["exit_reason"]) == {"time"}


def test_nothing_is_opened_at_the_end_of_a_session():
    btc = coin()
    late = etf(btc, {at(4, 20, 30): 0.012})
    assert run(late, btc, flat_minutes=30).decisions == ()
    assert run(late, btc, flat_minutes=0).decisions != ()


def test_bars_of_other_times_are_not_compared():
    btc = coin()
    hole = btc.filter(~pl.col("end").is_between(at(4, 16), at(4, 17)))
    assert run(etf(btc, DEAR), hole).decisions == ()


def daily(btc: pl.DataFrame, dear: dict[int, float], last: date) -> pl.DataFrame:
    return etf(btc, {at(day, 21): size for day, size in dear.items()}, last, step=86_400)


def test_with_daily_bars_both_legs_trade_at_the_next_open():
    btc = coin()
    frame = daily(btc, {4: 0.012}, date(2025, 2, 12))
    result = run(frame, btc)
    opened, left = at(5, 14, 30), at(6, 14, 30)
    assert result.trades.sort("symbol").select("symbol", "side", "entry_ts", "exit_ts").rows()[:2] == [
        ("BTC", 1, opened, left),
        ("IBIT", -1, opened, left),
    ]


def test_over_a_weekend_the_coin_waits_for_monday():
    btc = coin()
    result = run(daily(btc, {7: 0.012}, date(2025, 2, 12)), btc)
    assert set(result.trades["entry_ts"][:2]) == {at(10, 14, 30)}
    assert set(result.trades["exit_ts"][:2]) == {at(11, 14, 30)}


def test_a_coin_leg_that_is_left_alone_is_closed():
    btc = coin()
    frame = daily(btc, {4: 0.012}, date(2025, 2, 12))
    # The ETF's bar of the fill offers nothing.
    thin = frame.with_columns(volume=pl.when(pl.col("trade_date") == date(2025, 2, 5)).then(0.0).otherwise(1e6))
    result = run(thin, btc)
    assert dict(result.rejects) == {"INSUFFICIENT_SIZE": 1}
    [trade] = [row for row in result.trades.to_dicts() if row["entry_ts"] == at(5, 14, 30)]
    assert (trade["symbol"], trade["exit_ts"]) == ("BTC", at(5, 21))


def test_an_etf_leg_that_is_left_alone_is_closed():
    btc = coin()
    gone = btc.with_columns(volume=pl.when(pl.col("ts") == at(4, 16)).then(0.0).otherwise(1e6))
    result = run(etf(btc, DEAR), gone)
    first = result.trades.row(0, named=True)
    assert (first["symbol"], first["exit_reason"], first["exit_ts"]) == ("IBIT", "signal", at(4, 16, 30))


def test_without_a_coin_it_says_what_is_missing():
    strategy = CryptoEtfBasis(CryptoEtfBasisParams())
    with pytest.raises(ValueError, match=r"no coin\. Name it under pack\.references"):
        replay_callback(strategy, etf(coin(), {}), IBIT, FREE, starting_cash=1e5, symbol="IBIT")


@pytest.mark.parametrize("step", [1_800, 86_400])
def test_it_does_not_look_ahead(step):
    btc = coin()
    noise = np.random.default_rng(2).normal(0, 0.01, 200)
    ends = calendar_frame("rth", MONDAY, date(2025, 2, 12), bar_seconds=step)["end"]
    frame = etf(btc, dict(zip(ends, noise.tolist(), strict=False)), date(2025, 2, 12), step=step)

    def replay(strategy, scene):
        references = {"BTC": Reference(scene.references["BTC"], BTC)}
        return replay_callback(
            strategy, scene.frame, IBIT, FREE, starting_cash=1e5, symbol="IBIT", references=references
        )

    proof = prove_callback(CryptoEtfBasis, {}, Scene(frame, None, {"BTC": btc}), replay, cuts=3, seed=1)
    assert proof.ok, proof.detail


@pytest.mark.parametrize("bad", [{"entry": 0.06}, {"exit": 0.01}, {"stop": 0.004}, {"weight": 1.5}])
def test_parameters_are_validated(bad):
    with pytest.raises(ValidationError):
        CryptoEtfBasisParams(**bad)


def test_the_shipped_sweep_is_valid():
    sets = load_sweep(ROOT / "config" / "sweeps" / "crypto_etf_basis.yaml")
    assert len({CryptoEtfBasisParams(**values) for values in sets}) == len(sets) == 48
    assert all(timedelta(seconds=CryptoEtfBasisParams(**v).max_apart_seconds) < timedelta(minutes=1) for v in sets)
