"""What the lookahead proof says, and what both of its forms share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import numpy as np

#: What a strategy was put to. repeat: the same data twice; truncation; perturbation; next_row: only the row behind the
#: cut changes; gap: rows behind the cut are missing; extension: the frame goes on; state: other data came before;
#: outside: it reads beside its arguments.
Test = Literal["repeat", "truncation", "perturbation", "next_row", "gap", "extension", "state", "outside"]

#: Size of the small change, against the large one: a leak may throw away what looks like a data error.
SMALL = 0.01
NOT_REPEATABLE = ": not repeatable (random numbers without a seed, or a clock)"
STATE_LEAKS = ": state leaks between runs"


@dataclass(frozen=True)
class LookaheadProof:
    """Whether nothing before any cut moved, and what was tried or what moved first, in words.

    Attributes:
        test: the test that failed; None where all passed.
        row, moment: the first row of the decision frame whose decision moved, and its decision time.
        columns: of a columnar strategy: frame columns whose future alone moves that decision, as far as it is so.
        runs: runs of the strategy that were compared.
    """

    ok: bool
    detail: str
    test: Test | None = None
    row: int | None = None
    moment: datetime | None = None
    columns: tuple[str, ...] = ()
    runs: int = 0


def values_of(params: Any) -> dict[str, Any]:
    return params.model_dump() if hasattr(params, "model_dump") else dict(params)


def read_outside(seen: Sequence[str], runs: int) -> LookaheadProof:
    more = f" and {len(seen) - 3} more" if len(seen) > 3 else ""
    return LookaheadProof(
        False,
        f"{', '.join(seen[:3])}{more}: what a strategy knows must come from its frame or view; nothing else "
        "is cut off at the decision time, and no run id covers it",
        "outside",
        runs=runs,
    )


def cut_points(active: np.ndarray, height: int, cuts: int, seed: int) -> list[int]:
    """Rows at which the future starts, ascending, each in [1, height - 1]."""
    if height < 2:
        return []
    rng = np.random.default_rng(seed)
    edges = np.linspace(1, height, cuts + 1)
    drawn = [min(int(rng.uniform(a, b)), height - 1) for a, b in pairwise(edges)]
    usable = active[active < height - 1]
    if len(usable):
        picked = usable[np.linspace(0, len(usable) - 1, (cuts + 1) // 2 + 2).astype(int)[1:-1]]
        drawn = drawn[1::2] + [int(row) + 1 for row in picked]
    return sorted(set(drawn))
