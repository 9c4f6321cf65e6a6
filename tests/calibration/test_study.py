"""The study itself: the whole loop in small, the same for any number of workers, resumable."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.calibration import CALIBRATION_SCHEMA, calibrate, limit_of_one, summarise
from argus_core.calibration.study import calibration_project, night_drift, tasks_of
from argus_core.reports.calibration import calibration_in_words, calibration_report
from argus_core.settings import LoopSettings, PlatformSettings, Project, SettingsError, UniverseSettings
from argus_core.settings.calibration import CalibrationSettings

SWEEP = """
params:
  fwd_return_threshold: [-0.02, -0.01]
  entry_window_minutes: [30, 60]
  horizon_seconds: [14400]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    root = tmp_path_factory.mktemp("calibration")
    (root / "sweep.yaml").write_text(SWEEP)
    loop = LoopSettings.parse(
        {
            "pack": {"symbols": ["SPY"], "last_n_days": 5},
            "strategies": [{"strategy_class": "BuyAndHold"}],
            "experiment": {"mc_paths": 200},
            "evaluation": {"spa": {"resamples": 300}},
        },
        source="test",
    )
    platform = PlatformSettings.parse({"outcomes": {"horizons": [14400]}}, source="test")
    universe = UniverseSettings.parse({"instruments": {"SPY": {"asset_class": "etf"}}}, source="test")
    return Project(root, root / "loop.yaml", loop, platform, universe)


SMALL = CalibrationSettings(
    sweep="sweep.yaml", sessions=80, null_cycles=2, planted_cycles=1, planted_sharpes=(9.0,), output_dir="out"
)


@pytest.fixture(scope="module")
def cycles(project) -> pl.DataFrame:
    return calibrate(project, SMALL)


def test_every_cycle_is_a_row(cycles):
    assert cycles.schema == pl.Schema(CALIBRATION_SCHEMA)
    assert cycles.select("seed", "true_sharpe").rows() == [(1, 0.0), (2, 0.0), (1, 9.0)]
    assert cycles["n_trials"].to_list() == [4, 4, 4]
    assert (cycles["lane_t"].list.len() == 4).all()


def test_a_huge_edge_is_found_and_its_size_is_what_was_asked_for(cycles):
    null, planted = cycles.row(0, named=True), cycles.row(2, named=True)
    assert planted["joint_p"] < 0.01
    assert planted["passes_joint"] > 0
    # Costs take part of the drift: the lanes of the null market lose, so they gain a little more than nine.
    years = 80 / 252
    gained = (max(planted["lane_t"]) - max(null["lane_t"])) / years**0.5
    assert 7.5 < gained < 13.0
    assert planted["night_drift_bp"] > 10


def test_the_best_lane_has_the_sharpe_that_is_planted():
    lanes: dict[str, list[Any]] = {
        "run_id": ["bench", "a", "b", "c", "idle"],
        "strategy": ["BuyAndHold", "S", "S", "S", "S"],
        "status": ["ok"] * 5,
        "n_trades": [1, 252, 252, 126, 0],
        "n_days": [252] * 5,
        "volatility": [0.2, 0.10, 0.08, 0.05, None],
        "costs": [1.0, 2520.0, 2520.0, 1260.0, 0.0],
        "starting_cash": [100_000.0] * 5,
        "days_per_year": [252] * 5,
    }
    null: Any = SimpleNamespace(runs=pl.DataFrame(lanes))
    drift = night_drift(null, 2.0)
    sharpes = [
        (drift * lanes["n_trades"][k] - lanes["costs"][k] / 100_000) / lanes["volatility"][k] for k in range(1, 4)
    ]
    assert max(sharpes) == pytest.approx(2.0)
    assert sharpes[1] == max(sharpes)
    # 8 % a year of volatility, 2 after costs, over 252 nights.
    assert drift == pytest.approx((0.16 + 0.0252) / 252)


def test_finished_markets_are_read_and_workers_change_nothing(project, cycles):
    seen: list[tuple[int, int]] = []
    again = calibrate(project, SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 2)]
    assert again.equals(cycles)
    elsewhere = SMALL.model_copy(update={"output_dir": "other"})
    assert calibrate(project, elsewhere, workers=2).equals(cycles)
    one, two = (sorted((project.root / name / "cycles").iterdir()) for name in ("out", "other"))
    assert [path.name for path in one] == [path.name for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_more_cycles_go_on_from_those_that_are_done(project, cycles):
    more = SMALL.model_copy(update={"null_cycles": 3})
    found = calibrate(project, more)
    assert found.filter(pl.col("seed") < 3).equals(cycles)
    assert found.height == 4


def test_cycles_are_shared_out_over_the_sources():
    chosen = CalibrationSettings(sources=("simulated", "signs"), null_cycles=5, planted_cycles=1)
    tasks = tasks_of(chosen)
    assert [(t.source, t.seed) for t in tasks] == [
        ("simulated", 1),
        ("simulated", 2),
        ("simulated", 3),
        ("signs", 1),
        ("signs", 2),
    ]
    assert tasks[0].sharpes == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert tasks[3].sharpes == (0.0,)


def test_real_sources_need_real_bars(project):
    with pytest.raises(SettingsError, match=r"calibration\.real_bars: the sources signs and blocks redraw real bars"):
        calibrate(project, SMALL.model_copy(update={"sources": ("signs",)}))
    with pytest.raises(SettingsError, match="no file at"):
        calibrate(project, SMALL.model_copy(update={"sources": ("signs",), "real_bars": "none.parquet"}))


def test_the_study_uses_the_gates_of_the_loop_and_nothing_else_of_it(project):
    made = calibration_project(project, SMALL)
    assert made.symbols == ("SPY",)
    assert made.instrument("SPY").bar_seconds == 1800
    assert made.loop.evaluation == project.loop.evaluation
    assert made.platform == project.platform


def test_rates_come_with_intervals_and_limits(cycles):
    summary = summarise(cycles)
    everything = summary["null"][-1]
    assert (everything["source"], everything["cycles"], everything["promoting"]) == ("all", 2, 0)
    assert everything["high"] == pytest.approx(0.8418861, abs=1e-6)  # two-sided Clopper-Pearson, 0 of 2
    assert summary["power"][0]["limit_one"] > 0.99
    assert [row["years"] for row in summary["power"][0]["limit_by_years"]] == [1.0, 2.0, 3.0, 5.0]
    assert {row["gate"] for row in summary["gates"] if row["sharpe"] == 0} >= {"joint test", "dsr_below_threshold"}


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.floats(0.5, 3.0))
def test_the_limit_of_one_lane_is_that_of_one_strategy(seed, sharpe):
    """Net of costs: what the null markets lose counts against the edge."""
    noise = np.random.default_rng(seed).normal(size=400)
    noise -= noise.mean()
    cost = 0.3
    rows = [
        {"source": "simulated", "seed": k, "true_sharpe": s, "sessions": 252, "lane_t": [noise[k] - cost + edge]}
        for s, edge in ((0.0, 0.0), (sharpe, sharpe + cost))
        for k in range(400)
    ]
    cycles = pl.DataFrame(rows).with_columns(
        **dict.fromkeys(("promoted", "passes_joint", "passes_joint_and_dsr"), pl.lit(0))
    )
    row = summarise(cycles)["power"][0]
    assert row["limit_sweep"] == pytest.approx(row["limit_one"], abs=0.02)
    assert row["limit_by_years"][2]["one"] == limit_of_one(sharpe, 3.0)


def test_the_page_tells_the_study(cycles, tmp_path: Path):
    summary = summarise(cycles)
    headline, words = calibration_in_words(summary)
    assert "more cycles would tell" in headline
    assert "0 of 2 null cycles" in words
    page = calibration_report(tmp_path / "c.html", cycles, summary).read_text()
    assert 'id="power"' in page
    assert 'id="null"' in page
    assert json.dumps(summary)
