"""The error budget: how often the joint test may be asked before its 5 % mean nothing.

A loop that runs every day asks the same question of nearly the same data every day. At a fixed level it is wrong sooner
or later: a fixed 5 % test that is looked at daily over a year alarms falsely in a quarter of all null cases (A-77). So
the joint test is asked only at **looks**, and the looks share one budget:

* A cycle is a look if it brings something to look at: it is the first, or trials that no cycle has tried before, or
  ``look_growth`` (20 %) more days than the last look had.
* Look k is tested at the level that an online procedure allows it. The false discovery rate over all looks ever made is
  at most ``q``. No level is above `reality_check_alpha`.
* Between looks nothing new is promoted. What the last look promoted stays as long as it passes every gate, the joint
  test at the level of that look among them.

Which cycles are looks depends on the calendar and the ledger alone, never on results.

Procedures (``method``):

* ``lond`` (default): level q γ_k (D + 1), D looks that promoted something so far, γ_k = 1 / (k (k + 1)). Controls the
  FDR where p-values depend positively on each other, as those of growing data do (Javanmard & Montanari, Annals of
  Statistics 46, 2018; Zrnic, Ramdas & Jordan, JMLR 22, 2021, theorem 1). Half of the budget is spent at the first look.
* ``lord++``: earns more back after discoveries, needs independent p-values (Ramdas et al. 2017).
* ``e-lond``: the same weights on e-values; holds under any dependence and pays with power (Xu & Ramdas 2024).
* ``none``: every cycle is a look at `reality_check_alpha`, and the budget is spent unseen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from argus_core.settings import OnlineFdrSettings

#: One row per cycle and state of the ledger: (``date``, ``lineage_trials``) is its key.
ERROR_BUDGET_SCHEMA: Mapping[str, Any] = {
    "date": pl.Date,
    "lineage_trials": pl.Int32,
    "cycle_trials": pl.Int32,
    "new_trials": pl.Int32,
    "last_day": pl.Date,
    "n_observations": pl.Int32,
    "is_look": pl.Boolean,
    "look": pl.Int32,
    "method": pl.String,
    "level": pl.Float64,
    "p_consistent": pl.Float64,
    "passed": pl.Boolean,
    "promoted": pl.String,
    "remaining": pl.Float64,
    "why": pl.String,
}


@dataclass(frozen=True)
class Look:
    """What the budget allows a cycle.

    ``number``: looks so far, this one included. ``level``: of the joint test. ``standing``: where this is no look, the
    trials that the last look promoted and that alone may pass. ``remaining``: share of the budget left after it.
    ``days_to_next``: days of data until the next look where no new trial comes; None where every cycle is one.
    """

    is_look: bool
    number: int
    level: float
    standing: frozenset[str]
    remaining: float
    days_to_next: int | None
    why: str


def open_look(
    history: pl.DataFrame,
    settings: OnlineFdrSettings,
    *,
    alpha: float,
    dates: Sequence[date],
    lineage_trials: int,
) -> Look:
    """What the error budget allows a cycle.

    Args:
        history: earlier rows of `ERROR_BUDGET_SCHEMA` (see `earlier_rows`), any order.
        alpha: `reality_check_alpha`, which no level exceeds.
        dates: trade dates of the cycle's returns, ascending.
        lineage_trials: trials ever tried up to and with this cycle.
    """
    if settings.method == "none":
        return Look(True, history.height + 1, alpha, frozenset(), 1.0, None, "every cycle is tested at the same level")
    looks = history.filter(pl.col("is_look")).sort("date", "lineage_trials") if history.height else history
    number = looks.height + 1
    if looks.is_empty():
        why, due, wait = "the first cycle", True, None
    else:
        last = looks.row(-1, named=True)
        new = lineage_trials - int(last["lineage_trials"])
        fresh = sum(day > last["last_day"] for day in dates)
        needed = max(1, round(settings.look_growth * int(last["n_observations"])))
        due, wait = new > 0 or fresh >= needed, needed - fresh
        parts = ([f"{new} new trial{'s' if new > 1 else ''}"] if new > 0 else []) + (
            [f"{fresh} new days"] if fresh >= needed else []
        )
        why = " and ".join(parts) or f"no new trial, and {fresh} of the {needed} new days that the next look needs"
    passed = looks["passed"].to_list() if looks.height else []
    if due:
        level, remaining = _level(settings, passed)
        return Look(True, number, min(alpha, level), frozenset(), remaining, wait and max(wait, 0), why)
    last = looks.row(-1, named=True)
    standing = frozenset(json.loads(last["promoted"]))
    return Look(False, number - 1, float(last["level"]), standing, float(last["remaining"]), wait, why)


def earlier_rows(rows: pl.DataFrame, day: date | None, lineage_trials: int) -> pl.DataFrame:
    """Rows that come before a cycle: earlier dates, and the same date when fewer trials had been tried."""
    if rows.is_empty() or day is None:
        return pl.DataFrame(schema=dict(ERROR_BUDGET_SCHEMA))
    same = (pl.col("date") == day) & (pl.col("lineage_trials") < lineage_trials)
    return rows.filter((pl.col("date") < day) | same).sort("date", "lineage_trials")


def close_look(
    look: Look,
    settings: OnlineFdrSettings,
    *,
    day: date | None,
    dates: Sequence[date],
    lineage_trials: int,
    cycle_trials: int,
    new_trials: int,
    p_consistent: float,
    promoted: Sequence[str],
) -> pl.DataFrame:
    """The row that remembers a look. ``promoted``: trial_ids below the level in the joint test, other gates apart."""
    row = {
        "date": day,
        "lineage_trials": lineage_trials,
        "cycle_trials": cycle_trials,
        "new_trials": new_trials,
        "last_day": dates[-1] if dates else day,
        "n_observations": len(dates),
        "is_look": look.is_look,
        "look": look.number,
        "method": settings.method,
        "level": look.level,
        "p_consistent": p_consistent,
        "passed": look.is_look and bool(promoted),
        "promoted": json.dumps(sorted(promoted) if look.is_look else sorted(look.standing)),
        "remaining": look.remaining,
        "why": look.why,
    }
    return pl.DataFrame([row], schema=dict(ERROR_BUDGET_SCHEMA))


def lond_weight(k: int) -> float:
    """γ_k = 1 / (k (k + 1)): sums to 1, and 1 / (k + 1) is left after k looks."""
    return 1.0 / (k * (k + 1))


def _level(settings: OnlineFdrSettings, passed: Sequence[bool]) -> tuple[float, float]:
    """(level of the next look, share of the budget left after it) given which looks promoted something."""
    k = len(passed) + 1
    if settings.method == "lond":
        return settings.q * lond_weight(k) * (sum(passed) + 1), 1.0 / (k + 1)
    from argus_core.evaluation.multiplicity import e_lond_level, lord_level, p_value_for

    if settings.method == "e-lond":
        # The joint test gives a p-value; the largest one whose e-value is large enough is its level.
        return p_value_for(e_lond_level(passed, settings.q)), 1.0 / (k + 1)
    spent = sum(lord_level(passed[:j], settings.q) for j in range(k))
    earned = settings.q / 10 + sum(settings.q - (settings.q / 10 if first else 0) for first in _first(passed))
    return lord_level(passed, settings.q), min(1.0, max(0.0, (earned - spent) / settings.q))


def _first(passed: Sequence[bool]) -> list[bool]:
    """For every discovery, whether it is the first: that one earns less."""
    return [number == 0 for number in range(sum(passed))]
