"""The study itself: the whole loop in small, the same for any number of workers, resumable."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from argus_core.calibration import CALIBRATION_SCHEMA, calibrate, summarise
from argus_core.calibration.study import calibration_project, tasks_of
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
    settings = CalibrationSettings(sources=("simulated", "signs"), null_cycles=5, planted_cycles=1)
    tasks = tasks_of(settings)
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


def test_the_page_tells_the_study(cycles, tmp_path: Path):
    summary = summarise(cycles)
    headline, words = calibration_in_words(summary)
    assert "more cycles would tell" in headline
    assert "0 of 2 null cycles" in words
    page = calibration_report(tmp_path / "c.html", cycles, summary).read_text()
    assert 'id="power"' in page
    assert 'id="null"' in page
    assert json.dumps(summary)
