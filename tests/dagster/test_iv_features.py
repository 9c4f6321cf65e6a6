"""The asset `iv_features`: from simulated chains and bars into packs and the decision frame."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.options.schemas import IV_FRAME_COLUMNS
from argus_core.packs import decision_frame
from argus_dagster.assets.bars import BARS, BARS_RAW
from argus_dagster.assets.experiments import experiments_hash
from argus_dagster.assets.option_tables import CHAIN_STAGES, IV_FEATURES, read_options
from argus_dagster.assets.replay_pack import seal
from argus_dagster.workspace import Workspace
from tests.dagster.conftest import SMALL, make_project

#: 23 sessions before the first chain: a month of realised volatility and the close before it.
FIRST, DAYS = date(2024, 12, 2), [date(2025, 1, 6), date(2025, 1, 7), date(2025, 1, 8)]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """SPY with bars since `FIRST` and chains on `DAYS`."""
    overrides = SMALL["overrides"] | {"calendar": {"start_date": str(FIRST)}}
    pack = {"symbols": ["SPY", "BTC"], "start_date": str(DAYS[0]), "end_date": str(DAYS[-1])}
    workspace = Workspace.open(make_project(tmp_path_factory.mktemp("market"), overrides=overrides, pack=pack))
    for stage in (BARS_RAW, BARS):
        stage.materialise(workspace, "SPY", workspace.sessions(FIRST, DAYS[-1]))
    for stage in CHAIN_STAGES:
        stage.materialise(workspace, "SPY", DAYS)
    return workspace


def test_packs_and_the_decision_frame_carry_the_features_of_the_newest_chain(market: Workspace) -> None:
    pack = seal(market, "SPY", DAYS[-1])
    rows = pack.table("iv_features")
    assert rows["recv_ts"].dt.date().to_list() == DAYS
    frame = decision_frame(pack, market.instrument("SPY"), market.calendar, ())
    names = list(IV_FRAME_COLUMNS.values())
    seen = frame.filter(pl.col("available_at") >= rows["recv_ts"][0])
    assert seen.select(names).null_count().row(0) == (0,) * len(names)
    before = frame.filter(pl.col("available_at") < rows["recv_ts"][0])
    assert before.select(names).null_count().row(0) == (before.height,) * len(names)
    # A slow twin of the join: the newest receipt at or before the decision.
    for row in frame.gather_every(53).iter_rows(named=True):
        known = rows.filter(pl.col("recv_ts") <= row["available_at"])
        assert row["iv_recv_ts"] == (known["recv_ts"][-1] if known.height else None)
        assert row["vol_premium_30"] == (known["vol_premium_30"][-1] if known.height else None)


def test_the_pack_of_an_earlier_end_holds_the_head_of_the_features(market: Workspace) -> None:
    whole, short = (seal(market, "SPY", day).table("iv_features") for day in (DAYS[-1], DAYS[0]))
    assert_frame_equal(whole.head(short.height), short)


def test_a_date_has_the_same_row_alone_and_in_a_range(market: Workspace) -> None:
    stored = read_options(market, "iv_features", "SPY", DAYS)
    assert stored["vol_premium_30"].null_count() == 0
    for day in reversed(DAYS):
        [(_, alone)] = list(IV_FEATURES.compute(market, "SPY", [day]))
        assert_frame_equal(alone, read_options(market, "iv_features", "SPY", [day]))


def test_rows_are_due_when_bars_of_their_history_change(market: Workspace, tmp_path: Path) -> None:
    assert IV_FEATURES.due(market, "SPY", DAYS) == []
    old = experiments_hash(market, "SPY", DAYS[-1])
    keys = market.series_keys("SPY", DAYS[1])
    bars = market.lake.read("bars", **keys)
    changed = bars.with_columns(pl.col("high") * 1.01)
    market.lake.write("bars", changed, keys=keys, config_hash="c", producer="test", inputs_hash="i")
    assert IV_FEATURES.due(market, "SPY", DAYS) == DAYS[1:]
    BARS.materialise(market, "SPY", [DAYS[1]])
    assert IV_FEATURES.due(market, "SPY", DAYS) == []
    assert experiments_hash(market, "SPY", DAYS[-1]) == old


def test_experiments_rest_on_the_features(market: Workspace) -> None:
    old = experiments_hash(market, "SPY", DAYS[-1])
    keys = {"provider": "sim", "underlying": "SPY", "date": DAYS[0]}
    rows = market.lake.read("iv_features", **keys)
    other = rows.with_columns(iv_30=pl.lit(0.5))
    for frame, same in ((other, False), (rows, True)):
        market.lake.write("iv_features", frame, keys=keys, config_hash="c", producer="test", inputs_hash="i")
        assert (experiments_hash(market, "SPY", DAYS[-1]) == old) is same


def test_an_instrument_without_options_has_none(market: Workspace) -> None:
    assert IV_FEATURES.inputs_hash(market, "BTC", DAYS[0]) is None
