"""VRPCreditSpread: when it sells, when it closes, and what it does on real chains."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.calendar import TradingCalendar
from argus_core.experiments.sweep import load_sweep
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.tape import OptionTape
from argus_core.replay.callback import replay_callback
from argus_core.replay.lookahead import prove_no_lookahead_callback
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.vrp_credit_spread import VRPCreditSpread, VRPCreditSpreadParams
from tests.replay.frames import decision_frame
from tests.replay.quotes import at, chain

ROOT = Path(__file__).resolve().parents[2]
MONTH, WEEK = date(2025, 3, 5), date(2025, 2, 7)


def etf(symbol: str) -> Instrument:
    return Instrument(symbol=symbol, asset_class="etf")


def market(days: int = 3, *, rv: float | None = 0.15, prices=None, **labels) -> pl.DataFrame:
    height = 10 * days
    prices = prices if prices is not None else [(100.0, 100.0, 100.0, 100.0)] * height
    values = {"liquidity_regime": ["NORMAL"] * height, "realized_vol_annual_86400": [rv] * height, **labels}
    return decision_frame(prices, bars_per_day=10, half_spread=0.01, **values)


def chains(vols=(0.3, 0.3), **arguments) -> pl.DataFrame:
    """One chain at 14:33 of each day from 2025-02-03 on."""
    days = [chain(at(f"{3 + n:02d} 14:33"), [WEEK, MONTH], vol=v, **arguments) for n, v in enumerate(vols)]
    return pl.concat(days)


def run(frame=None, options=None, *, symbol="SPY", execution=None, **params):
    frame = market() if frame is None else frame
    options = chains() if options is None else options
    wanted = {"premium_source": "vol", "target_days": 30, "min_days": 20, "width": 0.05, **params}
    strategy = VRPCreditSpread(VRPCreditSpreadParams(**wanted))
    arguments = {"starting_cash": 100_000.0, "symbol": symbol, "options": options}
    return replay_callback(strategy, frame, etf(symbol), execution or ExecutionSettings(), **arguments)


def test_it_sells_one_put_spread_where_the_premium_is_wide_enough():
    result = run()
    trade = result.trades.row(0, named=True)
    short, long = json.loads(trade["legs"])
    assert (short["right"], short["quantity"], short["expiry"]) == ("P", -1, "2025-03-05")
    assert (long["right"], long["quantity"]) == ("P", 1)
    assert short["strike"] - long["strike"] == 5.0
    assert trade["entry_ts"] == at("03 14:33")
    assert trade["exit_reason"] == "forced"
    assert result.trades.height == 1
    # Two percent of 100,000 dollars carry floor(2,000 / maximal loss) structures.
    assert trade["quantity"] == np.floor(2_000 / ((5 - trade["entry_price"]) * 100 + 1.30))


@pytest.mark.parametrize("rv", [None, float("nan"), -0.1, 0.0])
def test_an_unusable_realised_volatility_never_trades_and_never_crashes(rv):
    # Predecessor fact 5: TypeError whenever the chain was visible before the first outcome.
    assert run(market(rv=rv)).fills == 0


def test_the_premium_must_exceed_min_vrp():
    assert run(min_vrp=0.10).fills > 0
    assert run(min_vrp=0.16).fills == 0
    assert run(market(rv=0.35)).fills == 0


def premiums(values: list[float | None], received: list[datetime | None], **labels) -> pl.DataFrame:
    """A market without any realised volatility whose days carry one premium each, of a chain received then."""
    days = len(values)
    return market(
        days,
        rv=None,
        vol_premium_30=pl.Series([v for v in values for _ in range(10)], dtype=pl.Float64),
        iv_recv_ts=pl.Series([r for r in received for _ in range(10)], dtype=pl.Datetime("us", "UTC")),
        **labels,
    )


def test_the_variance_premium_of_the_frame_decides():
    received = [at("03 14:30")] * 3
    source = {"premium_source": "variance"}
    assert run(premiums([0.05] * 3, received), **source).fills > 0
    assert run(premiums([0.05] * 3, received), **source, min_vrp=0.05).fills == 0
    assert run(premiums([None] * 3, [None] * 3), **source).fills == 0
    assert run(premiums([float("nan")] * 3, received), **source).fills == 0
    # Realised volatility and ATM volatility of the chain no longer matter.
    assert run(premiums([-0.01] * 3, received), **source, min_vrp=0.0).fills == 0
    # Only the second day's premium is wide enough: its chain decides, the one after it fills or forces out.
    second = run(premiums([0.01, 0.05, 0.05], received), **source)
    assert [moment.day for moment in second.trades["entry_ts"]] == [4]


def test_a_premium_of_an_old_chain_is_none():
    frame = premiums([0.05] * 3, [at("01 14:30")] * 3)
    assert run(frame, premium_source="variance", max_premium_age_days=2.0).fills == 0
    assert run(frame, premium_source="variance", max_premium_age_days=4.0).fills > 0


def test_a_frame_without_the_premium_teaches():
    with pytest.raises(ValueError, match="premium_source variance needs the columns vol_premium_30"):
        run(premium_source="variance")


@pytest.mark.parametrize(
    ("labels", "params", "sells"),
    [
        ({"vol": ["SPIKE"] * 30}, {}, False),
        ({"vol": ["SPIKE"] * 30}, {"max_vol_regime": "SPIKE"}, True),
        ({"vol": ["NORMAL"] * 30}, {"max_vol_regime": "LOW"}, False),
        ({"vol": [None] * 30}, {}, False),
        ({"trend": ["DOWN"] * 30}, {}, False),
        ({"trend": ["DOWN"] * 30}, {"avoid_trend": "UP"}, True),
        ({"trend": ["DOWN"] * 30}, {"avoid_trend": None}, True),
        ({"trend": [None] * 30}, {"avoid_trend": None}, False),
        ({"liquidity_regime": ["DRIED"] * 30}, {}, False),
        ({"liquidity_regime": ["LOW"] * 30}, {"min_liquidity": "HIGH"}, False),
    ],
)
def test_regimes_gate_entries(labels, params, sells):
    # Predecessor C1: max_vol_regime and avoid_trend changed nothing.
    assert (run(market(**labels), **params).fills > 0) is sells


def test_credit_limits_and_liquidity_filters_hold():
    assert run(min_credit=2.0).fills == 0
    assert run(min_credit_ratio=0.5).fills == 0
    assert run(options=chains(half_spread=0.3)).fills == 0
    assert run(min_open_interest=10.0, options=chains().with_columns(open_interest=pl.lit(5.0))).fills == 0


def test_it_looks_only_at_new_snapshots_and_holds_at_most_max_positions():
    # Predecessor C1: 390 opens in a day.
    frame, options = market(4), chains((0.3, 0.3, 0.3))
    assert run(frame, options).trades.height == 1
    many = run(frame, options, max_positions=5)
    assert many.trades.height == 3
    assert len(many.decisions) == 3


def test_profit_target_stop_loss_and_time_exit_name_their_reason():
    assert run(options=chains((0.3, 0.19), half_spread=0.01)).trades["exit_reason"].to_list()[0] == "profit_target"
    falling = [(100.0,) * 4] * 10 + [(92.0,) * 4] * 20
    stopped = run(market(prices=falling), pl.concat([chains((0.3,)), chain(at("04 14:33"), [MONTH], spot=92, vol=0.5)]))
    assert stopped.trades["exit_reason"].to_list()[0] == "stop_loss"
    early = run(dte_exit=19, min_days=20, profit_target=1.0)
    assert early.trades["exit_reason"].to_list() == ["forced"]
    daily = chains((0.3, 0.3, 0.3), half_spread=0.01)
    # Two days before expiry the long leg trades at pennies, far apart in relative terms.
    wide = ExecutionSettings(option_max_spread=2.0)
    exits = {"dte_exit": 2, "profit_target": 1.0}
    week = run(min_days=3, target_days=4, width=0.02, options=daily, execution=wide, **exits)
    refused = run(min_days=3, target_days=4, width=0.02, options=daily, **exits)
    assert dict(refused.rejects) == {"SPREAD_WIDE": 1}
    assert week.trades["exit_reason"].to_list() == ["time"]
    assert week.trades["exit_ts"][0] == at("05 14:33")


def test_a_position_can_be_held_to_expiry():
    frame = market(6)
    result = run(frame, chains((0.3,)), min_days=3, target_days=4, width=0.02, dte_exit=0)
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_price"], trade["exit_trade_date"]) == ("expiry", 0.0, WEEK)
    assert trade["pnl"] == pytest.approx(trade["quantity"] * (100 * trade["entry_price"] - 1.30))


def test_realised_volatility_can_come_from_daily_closes():
    closes = 100 * np.exp(np.cumsum(np.where(np.arange(12) % 2 == 0, 0.02, -0.02)))
    prices = [(c, c, c, c) for c in closes for _ in range(10)]
    start = at("14 14:33")
    options = chain(start, [date(2025, 3, 14)], spot=float(closes[-1]), vol=0.45)
    frame = market(12, prices=prices, rv=None)
    returns = np.diff(np.log(closes[:11]))[-5:]
    realised = np.std(returns, ddof=1) * np.sqrt(252)
    params = {"rv_source": "history", "rv_days": 5, "min_days": 20}
    gap = 0.45 - realised
    assert run(frame, options, min_vrp=gap - 0.01, **params).fills == 2
    assert run(frame, options, min_vrp=gap + 0.01, **params).fills == 0
    assert run(frame, options, min_vrp=-1.0, **{**params, "rv_days": 11}).fills == 0


def test_a_horizon_that_is_not_configured_teaches():
    with pytest.raises(ValueError, match="rv_horizon 28800 is no configured outcome horizon"):
        run(rv_horizon=28_800)


def test_it_works_on_any_underlying():
    options = chains(spot=400.0, strikes=np.arange(330, 451, 2.0)).with_columns(underlying=pl.lit("QQQ"))
    frame = market(prices=[(400.0,) * 4] * 30)
    result = run(frame, options, symbol="QQQ", width=0.02)
    short, long = json.loads(result.trades["legs"][0])
    assert short["strike"] - long["strike"] == 8.0
    assert result.trades["symbol"].to_list() == ["QQQ"]


@pytest.mark.parametrize("bad", [{"min_days": 40}, {"dte_exit": 20}, {"short_delta": 0.6}, {"max_vol": "HIGH"}])
def test_parameters_are_validated(bad):
    with pytest.raises(ValidationError):
        VRPCreditSpreadParams(**bad)


def test_the_shipped_sweep_loads_and_every_set_is_valid():
    sets = load_sweep(ROOT / "config" / "sweeps" / "vrp_credit_spread.yaml")
    assert len(sets) == 24
    assert len({VRPCreditSpreadParams(**values) for values in sets}) == 24


def test_swept_parameters_change_the_outcome():
    frame = market(5)
    options = chains((0.3, 0.25, 0.2, 0.14))
    seen = {
        tuple(run(frame, options, **values).trades["pnl"].to_list())
        for values in ({"short_delta": 0.15}, {"short_delta": 0.3}, {"profit_target": 0.2}, {"min_vrp": 0.2})
    }
    assert len(seen) == 4


def test_it_does_not_look_ahead():
    frame = market(4, rv=0.1)
    options = chains((0.3, 0.2, 0.3, 0.15))

    def decide(rows, quotes):
        return run(rows, quotes, max_positions=3).decisions

    assert len(decide(frame, options)) >= 3
    result = prove_no_lookahead_callback(decide, frame, options, cuts=6, seed=3)
    assert result.ok, result.detail


def test_the_premium_of_the_frame_is_no_look_ahead():
    frame = premiums([0.05, 0.01, 0.06, 0.04], [at(f"{3 + n:02d} 14:30") for n in range(4)])
    options = chains((0.3, 0.2, 0.3, 0.15))

    def decide(rows, quotes):
        return run(rows, quotes, premium_source="variance", max_positions=3).decisions

    assert len(decide(frame, options)) >= 2
    result = prove_no_lookahead_callback(decide, frame, options, cuts=6, seed=3)
    assert result.ok, result.detail


# --- real chains ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data: Path, calendar: TradingCalendar) -> tuple[pl.DataFrame, OptionTape]:
    """SPX minutes scaled to SPY as a decision frame, and the evening chains of SPY, out to 60 days."""
    files = sorted((shared_data / "option_quotes").glob("SPY_2026-*_eod.parquet"))
    raw = pl.concat([pl.read_parquet(file) for file in files]).with_columns(provider=pl.lit("files"))
    raw = raw.filter(pl.col("expiry") - pl.col("ts").dt.date() <= timedelta(days=60))
    options = conform(raw, OptionQuotes)
    bars = pl.read_parquet(shared_data / "bars_1m" / "SPX.parquet").filter(pl.col("session") == "rth").sort("ts")
    last = bars.group_by(pl.col("ts").dt.date().alias("day")).agg(pl.col("close").last())
    joined = options.group_by(pl.col("ts").dt.date().alias("day")).agg(pl.col("underlying_price").first())
    ratio = joined.join(last, on="day").select((pl.col("underlying_price") / pl.col("close")).median()).item()
    assert 0.09 < ratio < 0.11
    instrument = etf("SPY")
    end = pl.col("ts") + pl.duration(minutes=1)
    frame = bars.select(
        "ts",
        *(pl.col(name) * ratio for name in ("open", "high", "low", "close")),
        end=end,
        available_at=end,
        trade_date=calendar.trade_dates(bars["ts"], instrument),
        volume=pl.lit(1e6),
        half_spread=pl.lit(0.005),
        session=pl.lit("RTH"),
        warmup=pl.lit(False),
        missing_before=pl.lit(0),
        vol_regime=pl.lit("NORMAL"),
        trend_regime=pl.lit("RANGE"),
        liquidity_regime=pl.lit("NORMAL"),
        realized_vol_annual_86400=pl.lit(0.08),
    )
    closes = calendar.sessions.select(trade_date="date", close_ts="close_ts")
    frame = frame.join(closes, on="trade_date", how="left").with_columns(
        seconds_to_close=(pl.col("close_ts") - pl.col("end")).dt.total_seconds()
    )
    return frame.drop("close_ts"), OptionTape(options)


def play_real(real, *, execution=None, **params):
    frame, tape = real
    values = {"premium_source": "vol", "min_vrp": 0.0, "profit_target": 0.3, **params}
    strategy = VRPCreditSpread(VRPCreditSpreadParams(**values))
    arguments = {"starting_cash": 100_000.0, "symbol": "SPY", "options": tape}
    return replay_callback(strategy, frame, etf("SPY"), execution or ExecutionSettings(), **arguments)


def test_real_chains_fill_at_their_own_bids_and_asks_on_the_next_evening(real):
    result = play_real(real, max_positions=3)
    assert result.fills >= 6
    by_time = {snapshot.recv_us: snapshot for snapshot in real[1].snapshots}
    # A day's exits of positions held over its close fill in the same evening: New York 18:00 to 21:00.
    decided = [datetime.fromtimestamp(t / 1e6, UTC) for t, _ in result.decisions]
    assert all(moment.hour in range(13, 21) for moment in decided)
    for trade in result.trades.iter_rows(named=True):
        short, long = json.loads(trade["legs"])
        entry = by_time[round(trade["entry_ts"].timestamp() * 1e6)]
        paid = entry.quote(short["contract"]).bid - entry.quote(long["contract"]).ask
        assert trade["entry_price"] == pytest.approx(paid)
        if trade["exit_reason"] in ("profit_target", "stop_loss", "time"):
            leaving = by_time[round(trade["exit_ts"].timestamp() * 1e6)]
            cost = leaving.quote(short["contract"]).ask - leaving.quote(long["contract"]).bid
            assert trade["exit_price"] == pytest.approx(cost)
    assert result.final_equity == pytest.approx(100_000 + result.trades["pnl"].sum())


def test_real_rejects_are_counted_by_reason(real):
    # The archive was fetched 2 to 5 hours after 16:15: an age limit of one hour refuses everything.
    stale = play_real(real, execution=ExecutionSettings(option_max_quote_age_seconds=3_600))
    assert stale.fills == 0
    assert set(stale.rejects) == {"STALE_QUOTE"}
    narrow = play_real(real, execution=ExecutionSettings(option_max_spread=0.004))
    assert narrow.rejects["SPREAD_WIDE"] > 0
    big = play_real(real, execution=ExecutionSettings(option_min_size=100_000))
    assert set(big.rejects) == {"INSUFFICIENT_SIZE"}


def test_more_cost_never_helps_on_real_chains(real):
    pnl = [
        play_real(real, execution=ExecutionSettings(cost_multiplier=m), profit_target=1.0).trades["pnl"].sum()
        for m in (1.0, 1.5, 2.0)
    ]
    assert pnl == sorted(pnl, reverse=True)
