"""Sections that tell how far a cycle's verdict can be trusted: joint test, error budget, the ledger's growth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from argus_core.bootstrap.joint_paths import joint_paths
from argus_core.evaluation.joint import BENCHMARK_STRATEGY
from argus_core.reports.figures import (
    budget_figure,
    budget_left_figure,
    joint_fan_figure,
    ledger_figure,
    null_figure,
)
from argus_core.reports.page import Column, definitions, section, table
from argus_core.reports.words import DASH, percent, plural
from argus_core.robustness import ruin_upper_bound

if TYPE_CHECKING:
    from argus_core.evaluation import Evaluation

#: Calendars of the joint fan.
JOINT_PATHS = 1000
#: Looks and generations named one by one; a line below says how many more there are.
_LISTED = 12


def joint(evaluation: Evaluation, figure: str) -> str:
    """The joint test: what was asked of the data, and what they said."""
    test = evaluation.joint_test
    needed = DASH if test["critical_value"] is None else f"{test['critical_value']:.2f}"
    entries: list[tuple[str, object]] = [
        ("Best t-value", f"{test['statistic']:.2f}, and {needed} was needed"),
        ("p lower · consistent · upper", " · ".join(f"{test[f'p_{k}']:.3f}" for k in ("lower", "consistent", "upper"))),
        ("Reality Check p (unscaled)", f"{test['p_reality_check']:.3f}"),
        ("Trials tested · in the ledger", f"{test['n_tested']:,} · {test['n_trials']:,}"),
        ("Days · resamples", f"{test['n_observations']:,} · {test['resamples']:,}"),
        ("Benchmark", {"cash": "cash", "buy_and_hold": "buying and holding"}[test["benchmark"]]),
        ("Trials that differ (effective rank)", f"{test['effective_trials']:.1f}"),
        ("Luck in the mean of the best", f"{percent(test['selection_bias'], 3)} a day"),
        ("Marked by StepM", plural(len(test["survivors"]), "run")),
    ]
    if test["block_length"] is not None:
        entries.append(
            (
                "Mean block",
                f"{test['block_length']:.1f} days; p at half and double: "
                + " · ".join(f"{test[f'p_consistent_{k}_block']:.3f}" for k in ("half", "double")),
            )
        )
    if test["detail"]:
        entries.append(("Note", test["detail"]))
    grids = sorted(test["pbo"], key=lambda g: (-g["pbo"], g["strategy"], g["symbol"]))[:8]
    overfit = ""
    if grids:
        columns = [Column("Grid"), Column("Sets", "number"), Column("Splits", "number"), Column("PBO", "number")]
        rows = [
            [f"{g['strategy']} {g['symbol']}", g["configurations"], f"{g['splits']:,}", percent(g["pbo"], 0)]
            for g in grids
        ]
        overfit = (
            "<h3>Probability of backtest overfitting</h3>"
            '<p class="say">How often the best set in one half of the days falls into the worse half of the sets in '
            "the other. Noise gives about 50 %, with wide scatter.</p>" + table(columns, rows)
        )
    say = (
        "Could luck alone have produced the best of everything that was tried? All trials are resampled together, "
        "failed ones and those that never traded included, so that trying more makes passing harder."
    )
    chart = f"<h3>Sharpe ratios of all trials</h3>{figure}" if figure else ""
    if test["null_histogram"] is not None:
        null = null_figure(
            "null",
            test["null_histogram"]["edges"],
            test["null_histogram"]["counts"],
            best=test["statistic"],
            needed=test["critical_value"],
        )
        chart = f"<h3>What luck gives the best of all trials</h3>{null}{chart}"
    chart = f"<div>{chart}</div>" if chart else ""
    return section("Joint test", say, f'<div class="two"><div>{definitions(entries)}{overfit}</div>{chart}</div>')


def joint_fan(labels: list[str], returns: np.ndarray, *, block_length: float, seed: int, capital: bool) -> str:
    """The drawn runs together, in equal parts, over resampled calendars: what their common days allow.

    Args:
        returns: (n, k) daily returns of the runs, one clock.
        capital: whether they survived and may receive capital.
    """
    if returns.shape[0] < 10 or not returns.shape[1]:
        return ""
    count = returns.shape[1]
    weights = np.full((1, count), 1.0 / count)
    found = joint_paths(returns, block_length=block_length, paths=JOINT_PATHS, seed=seed, weights=weights)
    rows = []
    for column, label in enumerate([*labels, "in equal parts"] if count > 1 else labels):
        at = column if column < count else count
        gain = found.terminal[:, at] - 1
        ruined = int(found.ruined[:, at].sum())
        rows.append(
            [
                label,
                percent(float(np.median(gain)), signed=True),
                percent(float(np.quantile(gain, 0.05)), signed=True),
                percent(float(np.quantile(found.max_drawdown[:, at], 0.95))),
                f"{np.quantile(found.time_under_water[:, at], 0.95):,.0f} days",
                percent(ruin_upper_bound(ruined, JOINT_PATHS), 2),
            ]
        )
    columns = [Column("Run", "words"), Column("Median return", "number"), Column("Worst path in twenty", "number")]
    columns += [Column(name, "number") for name in ("95 % drawdown", "95 % under water", "Ruin at most")]
    who = "What survived" if capital else "The best runs, none of which survived,"
    say = (
        f"{who} over {JOINT_PATHS:,} calendars drawn anew, all from the same days (mean block {block_length:.1f}), "
        "so that what falls together here falls together there. The mean is the measured, selected one."
    )
    figure = joint_fan_figure("jointfan", found.fan_steps.tolist(), found.fan[:, :, 0].astype(np.float64))
    return section("The same days in another order", say, figure, table(columns, rows))


def error_budget(evaluation: Evaluation) -> str:
    """What the joint test has been asked so far, and what it may still be asked."""
    now = evaluation.joint_test["error_budget"]
    if now["method"] == "none":
        return section("Error budget", "Switched off: every cycle is tested at the same level, so luck adds up unseen.")
    looks = evaluation.budget.filter(pl.col("is_look")).sort("date", "lineage_trials")
    cycles = evaluation.budget["date"].n_unique()
    if now["is_look"]:
        say = f"This cycle is look {now['look']} ({now['why']}): it is tested at {now['level']:.3g}."
    else:
        say = (
            f"This cycle is no look ({now['why']}): nothing new can be promoted. The next one comes in "
            f"{plural(now['days_to_next'] or 0, 'day')} of data, or with a new trial."
        )
    say += (
        f" {percent(now['remaining'], 0)} of the budget is left. All looks together promote falsely at most "
        f"{percent(now['q'], 0)} of what they promote."
    )
    rows = [
        [
            str(row["date"]),
            row["look"],
            row["why"],
            f"{row['n_observations']:,}",
            f"{row['lineage_trials']:,}",
            f"{row['level']:.4f}",
            f"{row['p_consistent']:.4f}",
            plural(len(json.loads(row["promoted"])), "trial") if row["passed"] else "nothing",
            percent(row["remaining"], 0),
        ]
        for row in looks.tail(_LISTED).iter_rows(named=True)
    ]
    columns = [
        Column("Date"),
        Column("Look", "number"),
        Column("Because of", "words"),
        Column("Days", "number"),
        Column("Trials ever", "number"),
        Column("Level", "number"),
        Column("Joint p", "number"),
        Column("Passed the joint test"),
        Column("Budget left", "number"),
    ]
    figure = ""
    if looks.height > 1:
        drawn = (budget_figure("budget", looks), budget_left_figure("budgetleft", looks))
        figure = '<div class="two">' + "".join(f"<div>{one}</div>" for one in drawn) + "</div>"
    counted = f"<p class='more'>{plural(cycles, 'cycle')}, {plural(looks.height, 'look')}.</p>"
    return section("Error budget", say, figure, table(columns, rows), counted)


def ledger_growth(evaluation: Evaluation) -> str:
    """How many trials the verdict answers for, and when they came."""
    trials = evaluation.lineage.filter(pl.col("strategy") != BENCHMARK_STRATEGY)
    if trials.is_empty():
        return ""
    newest = trials["last_date"].max()
    grown = (
        trials.group_by("generation", "first_date")
        .agg(
            pl.len().alias("new"),
            pl.col("strategy").unique().sort(),
            (pl.col("last_date") == newest).sum().alias("alive"),
        )
        .sort("generation", "first_date")
    )
    rows = [
        [
            row["generation"],
            str(row["first_date"]),
            f"{row['new']:,}",
            f"{row['alive']:,}",
            _names(row["strategy"]),
        ]
        for row in grown.tail(_LISTED).iter_rows(named=True)
    ]
    columns = [
        Column("Generation", "number"),
        Column("First tried"),
        Column("New trials", "number"),
        Column("Still tried", "number"),
        Column("Strategies", "words"),
    ]
    dropped = int((trials["last_date"] < newest).sum())
    say = (
        f"{plural(trials.height, 'trial')} in {plural(trials['generation'].n_unique(), 'generation')}. The deflated "
        "Sharpe answers for every one of them"
        + (f"; {plural(dropped, 'trial')} no longer run, and still count." if dropped else ".")
    )
    figure = ledger_figure("ledger", grown) if grown.height > 1 else ""
    return section("Ledger", say, figure, table(columns, rows))


def _names(strategies: list[str], shown: int = 4) -> str:
    rest = len(strategies) - shown
    return ", ".join(strategies[:shown]) + (f" and {rest} more" if rest > 0 else "")
