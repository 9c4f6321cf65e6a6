"""The cycle report: one file, no requests, the verdict in words."""

from __future__ import annotations

import dataclasses
import re
import sys
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.allocation import allocate
from argus_core.evaluation import evaluate
from argus_core.reports import cycle_report
from argus_core.reports.cycle import chosen_runs
from argus_core.reports.figures import MissingPlotlyError, resampled_equity
from argus_core.reports.sections import MOST_ROWS, verdict_in_words
from argus_core.settings import AllocationSettings, EvaluationSettings, ExperimentSettings

DAY = date(2025, 3, 31)


def without_library(path):
    """The page without plotly.js itself and without style, as text."""
    page = path.read_text()
    head = page.index("</script>")
    return page[head:]


def test_the_page_makes_no_request_and_holds_plotly_once(dead_cycle, tmp_path):
    path = cycle_report(tmp_path / "deep" / "report.html", **dead_cycle.arguments())
    page = path.read_text()
    assert page.count("plotly.js v") == 1
    assert not re.search(r"""<(script|link|img|iframe)[^>]+(src|href)=["']?(https?:)?//""", page)
    assert "@import" not in page
    assert "url(http" not in without_library(path)


def test_the_same_cycle_gives_the_same_bytes(dead_cycle, tmp_path):
    one = cycle_report(tmp_path / "a.html", **dead_cycle.arguments())
    other = cycle_report(tmp_path / "b.html", **dead_cycle.arguments())
    assert one.read_bytes() == other.read_bytes()


def test_luck_is_told_as_luck(dead_cycle, tmp_path):
    page = without_library(cycle_report(tmp_path / "r.html", **dead_cycle.arguments()))
    assert "Nothing deserves capital" in page
    assert "luck alone" in page
    assert "What would have to change" in page
    assert "fails the joint test" in page
    assert "None of them survived" in page
    assert "nan" not in re.sub(r"[A-Za-z]nan|nan[a-z]", "", re.sub(r"<[^>]+>", " ", page)).lower().split()


def test_a_survivor_is_the_headline_and_gets_an_allocation_table(live_cycle, tmp_path):
    page = without_library(cycle_report(tmp_path / "r.html", **live_cycle.arguments()))
    assert "One strategy deserves capital" in page
    assert "EmaCrossAtr on SPY" in page
    assert "cap per play" in page


def test_the_budget_and_the_ledger_tell_their_history(live_cycle, tmp_path):
    evaluation = live_cycle.evaluation
    day = timedelta(days=60)
    before = evaluation.budget.with_columns(
        date=pl.lit(DAY - day), lineage_trials=pl.lit(20, pl.Int32), p_consistent=pl.lit(0.4)
    )
    older = (
        evaluation.lineage.filter(pl.col("strategy") != "BuyAndHold")
        .head(5)
        .with_columns(pl.col("trial_id") + "x", first_date=pl.lit(DAY - day), last_date=pl.lit(DAY - day))
    )
    newer = evaluation.lineage.with_columns(generation=pl.lit(2, pl.Int32))
    told = dataclasses.replace(
        evaluation, budget=pl.concat([before, evaluation.budget]), lineage=pl.concat([older, newer])
    )
    page = without_library(cycle_report(tmp_path / "r.html", **live_cycle.arguments() | {"evaluation": told}))
    assert 'id="budget"' in page
    assert 'id="budgetleft"' in page
    assert 'id="ledger"' in page
    assert "2 generations" in page
    assert "5 trials no longer run" in page


def test_every_section_is_there(live_cycle, tmp_path):
    page = without_library(cycle_report(tmp_path / "r.html", **live_cycle.arguments()))
    titles = re.findall(r"<h2>([^<]+)</h2>", page)
    assert titles == [
        "Allocation",
        "Equity and drawdown",
        "Ranking",
        "Joint test",
        "Error budget",
        "Ledger",
        "What was killed, and why",
        "The same days in another order",
        "Monte Carlo over trades",
        "Costs",
        "Regimes",
        "Provenance",
    ]
    assert "c0ffee0123456789" in page
    assert "next_open, half spread" in page


def test_long_rankings_are_cut_with_a_count(cycle_of, tmp_path):
    cycle = cycle_of(sets=20, days=40)
    page = without_library(cycle_report(tmp_path / "r.html", **cycle.arguments()))
    ranking = page[page.index("<h2>Ranking") : page.index("<h2>Joint test")]
    assert ranking.count("<tr>") == MOST_ROWS + 1
    assert "and 32 more runs" in ranking


def test_text_from_data_is_escaped(dead_cycle, tmp_path):
    arguments = dead_cycle.arguments()
    arguments["project_summary"] = {"note": "<script>alert(1)</script>"}
    page = without_library(cycle_report(tmp_path / "r.html", **arguments))
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_cycle_without_runs_is_still_a_page(dead_cycle, tmp_path):
    runs, returns = dead_cycle.runs.clear(), dead_cycle.returns.clear()
    ledger = runs.select("run_id", "strategy", "symbol", "date", "sharpe_period")
    verdict = evaluate(runs, returns, ledger, EvaluationSettings(), ExperimentSettings())
    sized = allocate(verdict.candidates, returns, AllocationSettings(), equity=1000.0)
    assert verdict_in_words(verdict, sized)[0] == "Nothing was tried"
    arguments = dead_cycle.arguments() | {
        "runs": runs,
        "returns": returns,
        "trades": dead_cycle.trades.clear(),
        "evaluation": verdict,
        "allocation": sized,
    }
    assert "Nothing was tried" in cycle_report(tmp_path / "r.html", **arguments).read_text()


def test_drawn_runs_are_one_per_strategy_and_symbol_survivors_first(live_cycle):
    shown = chosen_runs(live_cycle.evaluation.rankings)
    keys = [(r["strategy"], r["symbol"]) for r in shown]
    assert len(set(keys)) == len(keys) == 4
    assert keys[0] == ("EmaCrossAtr", "SPY")
    assert not shown[0]["killed"]


def test_a_missing_plotly_names_the_extra(dead_cycle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingPlotlyError, match=r"argus-research\[report\]"):
        cycle_report(tmp_path / "r.html", **dead_cycle.arguments())


def test_the_fan_resamples_trades_and_starts_at_one():
    values = np.array([0.01, -0.02, 0.03])
    paths = resampled_equity(values, block=2.0, paths=500, seed=1)
    assert paths.shape == (500, 4)
    assert (paths[:, 0] == 1).all()
    steps = (paths[:, 1:] / paths[:, :-1] - 1).round(9)
    assert set(np.unique(steps)) == set(values)
    assert np.array_equal(paths, resampled_equity(values, block=2.0, paths=500, seed=1))


def test_importing_the_package_imports_no_plotly():
    import subprocess

    code = "import sys, argus_core.reports; sys.exit('plotly' in sys.modules or 'jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_without_stored_trades_or_returns_is_left_out_of_the_curves(dead_cycle, tmp_path):
    arguments = dead_cycle.arguments() | {"trades": dead_cycle.trades.clear(), "returns": dead_cycle.returns.clear()}
    page = without_library(cycle_report(tmp_path / "r.html", **arguments))
    assert "No daily returns are stored" in page
    assert "Monte Carlo over trades" not in page
    assert isinstance(dead_cycle.trades, pl.DataFrame)
