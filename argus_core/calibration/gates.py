"""What each gate costs: the share of cycles that would promote something were one kill rule switched off."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

#: Reasons of one and the same test, judged together.
JOINT = frozenset({"reality_check_failed", "error_budget"})
_JOINT_NAME = "joint test"


def reason_sets(reasons: Iterable[frozenset[str] | set[str]]) -> str:
    """Kill reasons of every run of a cycle as JSON: sorted reasons, joined by commas -> number of such runs."""
    found = Counter(",".join(sorted(one)) for one in reasons)
    return json.dumps(dict(sorted(found.items())), sort_keys=True)


def gate_costs(cycles: pl.DataFrame) -> list[dict[str, Any]]:
    """Every gate's price in power, per planted Sharpe: rows sharpe, gate, cycles, alone, without, power, cost.

    ``alone``: share of cycles in which this gate by itself lets some run pass. ``without``: share that would promote
    something if only this gate were off; ``cost`` = ``without`` - ``power``. Costs do not add up: two gates may both
    hold back the same run, and then neither costs anything alone.

    Args:
        cycles: rows of `CALIBRATION_SCHEMA`; null markets appear as Sharpe 0.
    """
    rows: list[dict[str, Any]] = []
    for (sharpe,), part in cycles.group_by("true_sharpe", maintain_order=True):
        sets = [_sets(text) for text in part["reason_sets"].to_list()]
        power = _share(sets, frozenset())
        gates = sorted({gate for cycle in sets for one in cycle for gate in one})
        for gate in gates:
            without = _share(sets, frozenset({gate}))
            rows.append(
                {
                    "sharpe": float(str(sharpe)),
                    "gate": gate,
                    "cycles": part.height,
                    "alone": sum(any(gate not in one for one in cycle) for cycle in sets) / part.height,
                    "without": without,
                    "power": power,
                    "cost": without - power,
                }
            )
    return sorted(rows, key=lambda row: (row["sharpe"], -row["cost"], row["alone"], row["gate"]))


def _sets(text: str) -> list[frozenset[str]]:
    """Distinct sets of gates that runs of a cycle fail; the reasons of the joint test are one gate."""
    stored: Mapping[str, int] = json.loads(text)
    named = [frozenset(name for name in key.split(",") if name) for key in stored]
    return [(one - JOINT) | {_JOINT_NAME} if one & JOINT else one for one in named]


def _share(sets: list[list[frozenset[str]]], off: frozenset[str]) -> float:
    """Share of cycles in which some run fails no gate but those that are off."""
    return sum(any(not one - off for one in cycle) for cycle in sets) / len(sets)
