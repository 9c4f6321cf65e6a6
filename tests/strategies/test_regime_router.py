"""The regime router: who may enter, who leaves, and what each strategy sees of the book."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.experiments.proof import prove
from argus_core.experiments.replays import Market
from argus_core.experiments.sweep import load_sweep
from argus_core.options.tape import OptionTape
from argus_core.replay.callback import ColumnarAdapter, replay_callback
from argus_core.settings import ExecutionSettings, Instrument, SettingsError
from argus_core.strategies import load_strategy, strategy_code_hash
from argus_core.strategies.ema_cross_atr import EmaCrossAtr
from tests.replay.frames import decision_frame, random_prices
from tests.strategies.test_vrp_credit_spread import chains
from tests.strategies.test_vrp_credit_spread import market as vrp_market

ROOT = Path(__file__).resolve().parents[2]
ETF = Instrument(symbol="SPY", asset_class="etf")
HEIGHT = 120

MINE = """
import polars as pl
from argus_core.strategies import CallbackStrategy, ColumnarStrategy, Intent, Params

class Long(ColumnarStrategy):
    class Params(Params):
        hold: float | None = None

    def intents(self, frame, params):
        return frame.select(
            enter=pl.repeat(1, pl.len(), dtype=pl.Int8),
            exit=pl.col("leave_long"),
            size=pl.lit(0.5),
            max_hold_seconds=pl.lit(params.hold),
        )

class Short(ColumnarStrategy):
    def intents(self, frame, params):
        return frame.select(enter=-pl.repeat(1, pl.len(), dtype=pl.Int8), exit=pl.col("leave_short"))

class Peeks(ColumnarStrategy):
    def intents(self, frame, params):
        rises = pl.col("close").shift(-1) > pl.col("close")
        return frame.select(enter=rises.fill_null(False).cast(pl.Int8), exit=~rises.fill_null(False))

class Notes(CallbackStrategy):
    seen = []

    @classmethod
    def columns(cls, frame, params):
        return frame.select(wish=pl.int_range(pl.len()) % 10 == 0)

    def on_bar(self, view):
        self.seen.append((view.index, len(view.positions), view.pending, view.value("wish")))
        if view.positions:
            return [Intent("close", position_id=p.position_id, tag="time") for p in view.positions]
        return [Intent("open", size=0.1)] if view.value("wish") else ()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def router(root: Path, *routes: dict, **more):
    """Bound class and its parameters; routes as (when, class name, inner parameters)."""
    params = {"routes": [{**one, "strategy_class": f"mine.py:{one['strategy_class']}"} for one in routes], **more}
    cls = load_strategy("RegimeRouter", root=root, params=params)
    return cls, cls.Params.model_validate(params)


def route(name: str, *, params: dict | None = None, **when) -> dict:
    return {"strategy_class": name, "when": when, "params": params or {}}


def market(vol: list[str | None], trend: list[str | None] | None = None, **columns) -> pl.DataFrame:
    frame = decision_frame(random_prices(1, HEIGHT), bars_per_day=HEIGHT)
    wanted = {"leave_long": [False] * HEIGHT, "leave_short": [False] * HEIGHT, **columns}
    labels = {"vol_regime": vol, "trend_regime": trend or ["RANGE"] * HEIGHT, "risk_regime": ["NEUTRAL"] * HEIGHT}
    return frame.with_columns(**{k: pl.Series(k, v, pl.String) for k, v in labels.items()}, **{
        k: pl.Series(v) for k, v in wanted.items()
    })  # fmt: skip


def play(cls, params, frame, **more):
    return replay_callback(cls(params), frame, ETF, ExecutionSettings(), starting_cash=1e5, symbol="SPY", **more)


def rows_of(result, frame, action: str) -> list[tuple[int, int]]:
    at = {int(t.timestamp() * 1e6): k for k, t in enumerate(frame["available_at"])}
    return [(at[now], intent.side) for now, intent in result.decisions if intent.action == action]


def split(at: int, first: str | None, then: str | None) -> list[str | None]:
    return [first] * at + [then] * (HEIGHT - at)


def test_the_first_route_that_fits_enters_and_its_exits_count(root):
    leave = [k == 60 for k in range(HEIGHT)]
    frame = market(split(40, "LOW", "HIGH"), leave_long=leave, leave_short=[k in (50, 80) for k in range(HEIGHT)])
    cls, params = router(root, route("Long", vol_regime=["LOW"]), route("Short", vol_regime=["HIGH"]))
    result = play(cls, params, frame)
    # In at once; the regime turns at 40, where Short would enter and leave, but the position is Long's until 60.
    assert rows_of(result, frame, "open") == [(0, 1), (61, -1), (81, -1)]
    assert [row for row, _ in rows_of(result, frame, "close")] == [60, 80]
    assert result.trades["side"].to_list() == [1, -1, -1]
    first = result.trades.row(0, named=True)
    assert first["quantity"] * first["entry_price"] == pytest.approx(50_000, rel=0.01)


def test_the_order_of_routes_decides_and_no_route_means_no_entry(root):
    frame = market(split(60, "HIGH", "NORMAL"), trend=split(30, "UP", "DOWN"))
    cls, params = router(
        root, route("Short", vol_regime=["HIGH"], trend_regime=["UP"]), route("Long", trend_regime=["UP"])
    )
    assert rows_of(play(cls, params, frame), frame, "open") == [(0, -1)]
    nowhere = market(["SPIKE"] * HEIGHT)
    assert play(cls, params, nowhere).decisions == ()


def test_an_unknown_regime_fits_only_routes_that_do_not_name_it(root):
    frame = market([None] * HEIGHT)
    cls, params = router(root, route("Short", vol_regime=["LOW", "NORMAL", "HIGH", "SPIKE"]), route("Long"))
    assert rows_of(play(cls, params, frame), frame, "open") == [(0, 1)]


def test_a_position_can_be_closed_when_its_route_does_not_fit_any_more(root):
    frame = market(split(40, "LOW", "HIGH"))
    cls, params = router(root, route("Long", vol_regime=["LOW"]), close_outside=True)
    result = play(cls, params, frame)
    assert [row for row, _ in rows_of(result, frame, "close")] == [40]
    assert result.trades.height == 1


def test_a_time_stop_frees_the_router_for_the_next_strategy(root):
    frame = market(split(3, "LOW", "HIGH"))
    cls, params = router(
        root, route("Long", vol_regime=["LOW"], params={"hold": 300.0}), route("Short", vol_regime=["HIGH"])
    )
    result = play(cls, params, frame)
    assert result.trades["exit_reason"].to_list() == ["time", "forced"]
    assert rows_of(result, frame, "open") == [(0, 1), (6, -1)]


def test_columnar_and_callback_strategies_share_a_router_and_see_their_own_book(root):
    frame = market(split(60, "LOW", "HIGH"), leave_short=[k == 100 for k in range(HEIGHT)])
    cls, params = router(root, route("Notes", vol_regime=["LOW"]), route("Short", vol_regime=["HIGH"]))
    notes = cls.parts[0].seen
    notes.clear()
    result = play(cls, params, frame)
    assert rows_of(result, frame, "open") == [*((k, 1) for k in range(0, 60, 10)), (60, -1), (101, -1)]
    assert result.trades["exit_reason"].to_list() == ["time"] * 6 + ["signal", "forced"]
    assert [index for index, *_ in notes] == list(range(HEIGHT - 1)), "it sees every bar"
    assert all(wish == (index % 10 == 0) for index, _, _, wish in notes)
    # What Short holds is not shown to Notes.
    assert all((held, pending) == (0, 0) for index, held, pending, _ in notes if index > 60)
    assert {index for index, held, *_ in notes if held} == set(range(1, 60, 10))


def test_one_open_route_trades_like_the_strategy_alone(root):
    frame = decision_frame(random_prices(4, 600))
    inner = {"fast": 4, "slow": 15, "allow_short": True, "stop_atr": 2.0, "atr_window": 10}
    given = {"routes": [{"strategy_class": "EmaCrossAtr", "params": inner}]}
    cls = load_strategy("RegimeRouter", root=root, params=given)
    mine = play(cls, cls.Params.model_validate(given), frame)
    adapter = ColumnarAdapter(EmaCrossAtr(), EmaCrossAtr.Params(**inner), frame)
    alone = replay_callback(adapter, frame, ETF, ExecutionSettings(), starting_cash=1e5, symbol="SPY")
    assert alone.trades.height > 20
    assert mine.trades.equals(alone.trades)


def test_routes_of_gates_keep_their_columns_apart(root):
    frame = market(["LOW"] * HEIGHT).with_columns(liquidity_regime=pl.lit("NORMAL"), regime_warm=pl.lit(True))
    shut, wide = {"threshold": 1.0, "monday": 0.5}, {"threshold": 0.0}
    common = {"quality_bars": 0, "last_minutes": 0}
    inner = {"inner": {"strategy_class": "mine.py:Notes"}, **common}
    given = {"routes": [{"strategy_class": "WeekdayGate", "params": inner | gate} for gate in (shut, wide)]}
    cls = load_strategy("RegimeRouter", root=root, params=given)
    assert cls.strategy_id == "RegimeRouter(WeekdayGate(Notes), WeekdayGate(Notes))"
    assert play(cls, cls.Params.model_validate(given), frame).trades.is_empty()
    given["routes"].reverse()
    assert play(cls, cls.Params.model_validate(given), frame).trades.height == 12


def test_the_family_is_what_all_strategies_may_do(root):
    names = ("PanicSnapback", "OpeningRangeBreakout")
    families = [load_strategy(name, root=root).family for name in names]
    given = {"routes": [{"strategy_class": name} for name in names]}
    family = load_strategy("RegimeRouter", root=root, params=given).family
    assert set(family.asset_classes or ()) == {"equity", "etf"}
    assert family.max_bar_seconds == min(one.max_bar_seconds or 0 for one in families)
    assert family.max_trades_per_day == sum(one.max_trades_per_day or 0 for one in families)
    options = {"routes": [{"strategy_class": "VRPCreditSpread"}, {"strategy_class": "BuyAndHold"}]}
    assert load_strategy("RegimeRouter", root=root, params=options).family.needs_options


def test_option_strategies_route_too(root):
    routes = [
        {"when": {"vol_regime": ["HIGH"]}, "strategy_class": "HighVolCredit", "params": {"iv_source": "chain"}},
        {"strategy_class": "VRPCreditSpread", "params": {"min_vrp": 0.0, "avoid_trend": None, "premium_source": "vol"}},
    ]
    cls = load_strategy("RegimeRouter", root=root, params={"routes": routes})
    frame = vrp_market(risk_regime=["NEUTRAL"] * 30)
    wide = {**routes[1], "params": {**routes[1]["params"], "width": 0.05}}
    params = cls.Params.model_validate({"routes": [routes[0], wide]})
    result = play(cls, params, frame, options=OptionTape(chains()))
    assert result.trades["side"].to_list() == [-1]


def test_defaults_can_be_changed_one_by_one(root):
    cls = load_strategy("RegimeRouter", root=root)
    assert cls.strategy_id == "RegimeRouter(PanicSnapback, EmaCrossAtr)"
    params = cls.Params.model_validate({"routes": {"1": {"params": {"fast": 5}}}})
    assert params.routes[1].params.fast == 5
    assert params.routes[1].params.allow_short
    assert params.routes[0] == cls.Params().routes[0]
    full = params.model_dump(mode="json")
    assert cls.Params.model_validate(full) == params
    for wrong, words in (
        ({"routes": {"2": {}}}, "no entry 2; there are 2"),
        ({"routes": {"1": {"params": {"fast": 50, "slow": 5}}}}, "must be smaller"),
        ({"routes": {"0": {"when": {"vol_regime": ["WILD"]}}}}, "vol_regime"),
    ):
        with pytest.raises(ValidationError, match=words):
            cls.Params.model_validate(wrong)


@pytest.mark.parametrize("routes", [[], [{}], "EmaCrossAtr", [{"strategy_class": "Nothing"}], {"5": {}}])
def test_routes_that_cannot_be_read_teach(root, routes):
    with pytest.raises(SettingsError, match=r"RegimeRouter: cannot read|unknown strategy 'Nothing'"):
        load_strategy("RegimeRouter", root=root, params={"routes": routes})


def test_the_hash_covers_the_routes(root):
    first, _ = router(root, route("Long"))
    second, _ = router(root, route("Short"))
    assert strategy_code_hash(first) != strategy_code_hash(second)
    before = strategy_code_hash(first)
    (root / "mine.py").write_text(MINE + "\n# changed\n")
    assert strategy_code_hash(router(root, route("Long"))[0]) != before


@pytest.mark.parametrize(("name", "ok"), [("Long", True), ("Peeks", False)])
def test_the_proof_reaches_the_columns_of_a_route(root, name, ok):
    leave = (np.arange(HEIGHT) % 7 == 0).tolist()
    frame = market(split(60, "LOW", "HIGH"), leave_long=leave, leave_short=leave)
    cls, params = router(root, route(name, vol_regime=["LOW", "HIGH"]))
    given = Market("SPY", frame, None, ETF, ExecutionSettings(), 1e5, 252)
    assert prove(cls, params, given, cuts=3, seed=1).ok is ok


def test_the_shipped_sweep_reaches_the_parameters_of_its_routes():
    cls = load_strategy("RegimeRouter", root=ROOT)
    sets = load_sweep(ROOT / "config" / "sweeps" / "regime_router.yaml")
    models = [cls.Params.model_validate(params) for params in sets]
    assert len({model.model_dump_json() for model in models}) == len(sets) == 36
    assert {model.routes[0].params.sigmas for model in models} == {3.0, 4.0, 5.0}
