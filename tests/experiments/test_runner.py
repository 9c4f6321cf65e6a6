from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.calendar import load_calendar
from argus_core.experiments import RUN_SCHEMA, run_experiments, write_manifests
from argus_core.market.gates import gate_bars
from argus_core.market.lake import Stamp, parquet_bytes
from argus_core.market.simulation import SimulatedMarket
from argus_core.settings import SettingsError
from argus_core.settings.loop import McKillThresholds

SWING = ("Swing", {"every": 20}, "swing.yaml")
CHEATER = ("Cheater", {}, None)


@pytest.fixture(scope="module")
def outcome(request):
    """The honest sweep and the cheater, run once for the module."""
    return {}


@pytest.fixture
def found(outcome, loop_of, pack, calendar):
    if "set" not in outcome:
        outcome["set"] = run_experiments(pack, loop_of(SWING, CHEATER), calendar=calendar)
    return outcome["set"]


def test_every_combination_has_one_complete_row(found, pack):
    runs = found.runs
    assert dict(runs.schema) == dict(RUN_SCHEMA)
    assert runs.height == 9 + 1
    assert runs["run_id"].n_unique() == 10
    assert set(runs["status"]) == {"ok"}
    assert runs["pack_hash"].unique().to_list() == [pack.pack_hash]
    assert runs["date"].unique().to_list() == [pack.last_date]
    assert runs["n_days"].unique().to_list() == [8]
    assert runs["n_trades"].min() > 10
    for name in ("sharpe", "mc_p95_drawdown", "mc_ruin_upper", "cost_break_even", "cost_sharpe_150", "wf_oos_sharpe"):
        assert runs[name].null_count() == 0, name
    for name, dtype in runs.schema.items():
        if dtype == pl.Float64:
            assert runs[name].is_nan().sum() == 0, name


def test_equity_is_cash_plus_the_profit_of_all_trades(found):
    pnl = found.trades.group_by("run_id").agg(pl.col("pnl").sum())
    joined = found.runs.join(pnl, on="run_id")
    assert joined.height == found.runs.height
    assert (joined["final_equity"] - joined["starting_cash"] - joined["pnl"]).abs().max() < 1e-6
    total = found.returns.group_by("run_id").agg(((1 + pl.col("daily_return")).product() - 1).alias("daily_return"))
    joined = found.runs.join(total, on="run_id")
    assert (joined["total_return"] - joined["daily_return"]).abs().max() < 1e-12


def test_the_cheater_is_flagged_and_the_honest_strategy_is_not(found):
    verdicts = dict(found.runs.select("strategy", "lookahead_ok").unique().rows())
    assert verdicts == {"Swing": True, "Cheater": False}
    detail = found.runs.filter(pl.col("strategy") == "Cheater")["lookahead_detail"][0]
    assert "rows from" in detail


def test_a_rerun_gives_the_same_bytes(found, loop_of, pack, calendar):
    again = run_experiments(pack, loop_of(SWING, CHEATER), calendar=calendar)
    stamp = Stamp("c", "d", "t")
    for name in ("runs", "trades", "returns", "ledger"):
        one, two = getattr(found, name), getattr(again, name)
        assert parquet_bytes(one, stamp) == parquet_bytes(two, stamp), name
    assert found.manifests == again.manifests


def test_the_order_of_strategies_changes_nothing(found, loop_of, pack, calendar):
    turned = run_experiments(pack, loop_of(CHEATER, SWING), calendar=calendar)
    assert_frame_equal(found.runs.drop("config_hash"), turned.runs.drop("config_hash"))
    assert_frame_equal(found.trades, turned.trades)


def test_stored_runs_are_returned_and_only_a_new_strategy_is_computed(found, loop_of, pack, calendar):
    lines = []
    more = loop_of(SWING, CHEATER, ("Caller", {}, None))
    again = run_experiments(pack, more, calendar=calendar, stored=found, progress=lines.append)
    assert again.reused == 10
    assert lines == ["SPY Swing: 9 runs reused", "SPY Cheater: 1 runs reused", "SPY Caller: 1 runs"]
    mine = pl.col("strategy") != "Caller"
    assert_frame_equal(again.runs.filter(mine), found.runs)
    assert again.trades.height > found.trades.height


def test_a_changed_sweep_is_computed_anew(found, loop_of, pack, calendar):
    # A plateau rests on the whole sweep: a part of it must not keep the old one.
    smaller = run_experiments(pack, loop_of(("Swing", {"every": 20}, None)), calendar=calendar, stored=found)
    assert smaller.reused == 0
    assert smaller.runs["plateau_neighbours"].to_list() == [0]


def test_a_strategy_that_breaks_under_the_proof_is_not_proved(loop_of, pack, calendar):
    row = run_experiments(pack, loop_of(("Sliced", {}, None)), calendar=calendar).runs.row(0, named=True)
    assert row["status"] == "ok"
    assert row["lookahead_ok"] is None
    assert "IndexError on truncated or changed data: too short" in row["lookahead_detail"]


def test_the_inputs_hash_follows_sweeps_and_strategy_code(loop_of, chain):
    from argus_core.experiments import experiment_inputs_hash

    base = experiment_inputs_hash(loop_of(SWING))
    assert experiment_inputs_hash(loop_of(SWING)) == base
    assert experiment_inputs_hash(loop_of(SWING, CHEATER)) != base
    (chain[1] / "other.yaml").write_text("params:\n  every: [20, 30]\n")
    assert experiment_inputs_hash(loop_of(("Swing", {"every": 20}, "other.yaml"))) != base
    source = chain[1] / "strategies.py"
    text = source.read_text()
    try:
        source.write_text(text + "\n# changed\n")
        assert experiment_inputs_hash(loop_of(SWING)) != base
    finally:
        source.write_text(text)
    assert experiment_inputs_hash(loop_of(SWING)) == base


def test_a_round_the_clock_symbol_has_as_many_returns_a_year_as_trade_dates(loop_of, chain, calendar):
    # Nights and weekends belong to the next session's trade date: 252 of them, and sqrt(365) would flatter by a fifth.
    from argus_core.experiments.replays import market_of
    from argus_core.packs import seal_pack

    lake, root = chain
    loop = loop_of(SWING)
    market = SimulatedMarket(loop.platform.providers.simulation, calendar, loop.universe.instruments)
    day, btc = date(2025, 2, 10), loop.instrument("BTC")
    bars = gate_bars(market.bars("BTC", day), btc, day, calendar, loop.platform.gates).published
    keys = {"provider": "sim", "bar_seconds": 60, "symbol": "BTC", "date": day}
    lake.write("bars", bars, keys=keys, config_hash="c", producer="test")
    sealed = seal_pack(lake, loop, calendar, "BTC", day, day, output_dir=root / "btc")
    assert market_of(sealed, loop, calendar).days_per_year == 252
    assert market_of(sealed, loop, load_calendar("always_open")).days_per_year == 365
    assert run_experiments(sealed, loop, calendar=calendar).runs["days_per_year"].unique().to_list() == [252]


def test_a_callback_strategy_runs_beside_columnar_ones(loop_of, pack, calendar):
    runs = run_experiments(pack, loop_of(("Caller", {"hold": 900}, None)), calendar=calendar).runs
    assert runs["status"].to_list() == ["ok"]
    assert runs["n_trades"][0] > 10
    assert runs["lookahead_ok"].to_list() == [True]


def test_a_combination_that_fails_does_not_stop_the_others(loop_of, pack, calendar, chain):
    (chain[1] / "fragile.yaml").write_text("every: [6, 7, 8, 500]\n")
    found = run_experiments(pack, loop_of(("Fragile", {}, "fragile.yaml")), calendar=calendar)
    by_value = {json.loads(p)["every"]: (s, r) for p, s, r in found.runs.select("params", "status", "reason").rows()}
    assert by_value[6] == ("ok", "")
    assert by_value[7] == ("infrastructure_failed", "intents: ZeroDivisionError: seven")
    assert by_value[8][0] == "infrastructure_failed"
    assert "every" in by_value[500][1]
    assert found.ledger.height == 4
    assert found.ledger.filter(pl.col("status") != "ok")["returns_hash"].unique().to_list() == [""]


def test_a_run_that_never_trades_has_undefined_numbers_not_zeros(loop_of, pack, calendar):
    row = run_experiments(pack, loop_of(("Fragile", {"every": 6}, None)), calendar=calendar).runs.row(0, named=True)
    assert row["n_trades"] == 0
    for name in ("sharpe", "win_rate", "mc_ruin_prob", "mc_median_return", "cost_break_even", "plateau_ratio"):
        assert row[name] is None, name


def test_the_ledger_tells_equal_bets_apart_from_different_ones(found):
    assert found.ledger["run_id"].sort().to_list() == found.runs["run_id"].sort().to_list()
    series = found.returns.group_by("run_id").agg(pl.col("daily_return").sort_by("trade_date"))
    distinct = series["daily_return"].list.eval(pl.element().cast(pl.String)).list.join(",").n_unique()
    # Entries every 20 minutes held for 20 or 30 are the same trades.
    assert found.ledger["returns_hash"].n_unique() == distinct < 10
    assert found.ledger["sharpe_period"].null_count() == 0


def test_dearer_fills_are_replayed_not_subtracted(found):
    for row in found.runs.iter_rows(named=True):
        table = json.loads(row["cost_sensitivity"])
        assert list(table) == ["1", "1.25", "1.5"]
        assert table["1"]["pnl"] > table["1.25"]["pnl"] > table["1.5"]["pnl"]
        assert table["1.5"]["pnl"] == row["cost_pnl_150"]
        assert table["1"]["sharpe"] == pytest.approx(row["sharpe"])


def test_the_run_id_depends_on_what_can_change_a_run_and_on_nothing_else(loop_of, pack, project, calendar):
    from argus_core.experiments import plan_trials

    def first(loop, pack_hash=pack.pack_hash):
        return plan_trials(loop, "SPY", pack_hash)[0].trials[0].run_id

    base = loop_of(SWING)
    same = replace(base, loop=base.loop.model_copy(update={"evaluation": project.loop.evaluation}))
    moved = loop_of(SWING, output_dir="elsewhere")
    assert first(base) == first(same) == first(moved)
    dearer = base.platform.execution.model_copy(update={"slippage_bps": 3.0})
    changed = [
        loop_of(("Swing", {"every": 20, "hold": 77}, None)),
        loop_of(SWING, starting_cash=5.0),
        loop_of(SWING, mc_seed=1),
        loop_of(SWING, mc_ruin_level=0.4),
        loop_of(SWING, mc_max_paths=400),
        loop_of(SWING, mc_unit="r_multiples"),
        # More paths go where a threshold is not settled.
        loop_of(SWING, mc_kill_thresholds=McKillThresholds(ruin_prob_max=0.1)),
        loop_of(SWING, cost_multipliers=(1.0, 2.0)),
        replace(base, platform=base.platform.model_copy(update={"execution": dearer})),
    ]
    ids = {first(base), first(base, "other pack"), *[first(one) for one in changed]}
    assert len(ids) == 2 + len(changed)
    # Where no run can get more paths, thresholds change no row.
    still = [loop_of(SWING, mc_max_paths=200, mc_kill_thresholds=McKillThresholds(ruin_prob_max=x)) for x in (0.1, 0.2)]
    assert first(still[0]) == first(still[1])


def test_specs_of_one_class_are_one_sweep_and_equal_sets_one_trial(loop_of):
    from argus_core.experiments import plan_trials

    [group] = plan_trials(loop_of(SWING, ("Swing", {"every": 20, "hold": 600}, None)), "SPY", "hash")
    assert len(group.trials) == 9


def test_a_strategy_is_skipped_where_it_does_not_apply(loop_of):
    from argus_core.experiments import plan_trials

    loop = loop_of(SWING)
    only = loop.loop.strategies[0].model_copy(update={"symbols": ("QQQ",)})
    loop = replace(loop, loop=loop.loop.model_copy(update={"strategies": (only,)}))
    assert plan_trials(loop, "SPY", "hash") == []
    assert len(plan_trials(loop, "QQQ", "hash")) == 1


def test_an_unknown_strategy_stops_the_cycle_with_a_teaching_error(loop_of, pack, calendar):
    with pytest.raises(SettingsError, match="Swung"):
        run_experiments(pack, loop_of(("Swung", {}, None)), calendar=calendar)


def test_timings_are_kept_apart_from_everything_stored(loop_of, pack, calendar):
    ticks = iter(range(100))
    found = run_experiments(pack, loop_of(CHEATER), calendar=calendar, clock=lambda: float(next(ticks)))
    assert found.timings == {"Cheater": 1.0}
    assert "timings" not in json.dumps(found.manifests)


def test_manifests_say_what_a_run_was(found, tmp_path):
    path = write_manifests(tmp_path, "SPY", found.runs["date"][0], found.manifests)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 10
    one = lines[0]
    row = found.runs.filter(pl.col("run_id") == one["run_id"]).row(0, named=True)
    assert one["metrics"]["sharpe"] == row["sharpe"]
    assert one["robustness"]["monte_carlo"]["mc_p95_drawdown"] == row["mc_p95_drawdown"]
    assert "half spread" in one["convention"]
    assert one["environment"]["polars"] == pl.__version__
    before = path.stat().st_mtime_ns
    assert write_manifests(tmp_path, "SPY", found.runs["date"][0], found.manifests).stat().st_mtime_ns == before


def test_warmup_sessions_are_neither_traded_nor_counted(loop_of, chain, calendar):
    from argus_core.packs import seal_pack

    lake, root = chain
    loop = loop_of(CHEATER)
    settings = loop.loop.pack.model_copy(update={"warmup_days": 2})
    warm = replace(loop, loop=loop.loop.model_copy(update={"pack": settings}))
    days = calendar.sessions_between(date(2025, 2, 5), date(2025, 2, 12))
    sealed = seal_pack(lake, warm, calendar, "SPY", days[0], days[-1], output_dir=root / "warm")
    found = run_experiments(sealed, warm, calendar=calendar)
    assert found.runs["n_days"].to_list() == [len(days)]
    assert found.trades["entry_trade_date"].min() >= days[0]
    assert np.isfinite(found.returns["daily_return"].to_numpy()).all()


def test_a_strategy_keeps_to_its_family(pack, loop_of, calendar):
    lines: list[str] = []
    found = run_experiments(pack, loop_of(("CryptoSwing", {}, None)), calendar=calendar, progress=lines.append)
    assert found.runs.is_empty()
    assert "asset class etf" in found.skipped["CryptoSwing"]
    assert "left out" in lines[0]
    loop = loop_of(("CryptoSwing", {}, None))
    [spec] = loop.loop.strategies
    named = spec.model_copy(update={"symbols": ("SPY",)})
    with pytest.raises(SettingsError, match="CryptoSwing on SPY: asset class etf"):
        run_experiments(
            pack, replace(loop, loop=loop.loop.model_copy(update={"strategies": (named,)})), calendar=calendar
        )
    row = run_experiments(pack, loop_of(("CalmSwing", {}, None)), calendar=calendar).runs.row(0, named=True)
    assert row["status"] == "rejected"
    assert "trades a day, at most 1 allowed" in row["reason"]
    with pytest.raises(SettingsError, match=r"varies 2 parameters \(every, hold\).*allows 1"):
        run_experiments(pack, loop_of(("CalmSwing", {}, "swing.yaml")), calendar=calendar)
