"""Is a parameter set a plateau or a lucky spike?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Plateau(NamedTuple):
    """Median score of the one-step neighbours over the own score, and how many neighbours there are.

    ``ratio`` is near 1 on a plateau and near or below 0 on a spike; None without a neighbour, or where the own
    score is undefined or not positive (there is nothing to defend).
    """

    ratio: float | None
    neighbours: int


def plateau(params: Sequence[Mapping[str, Any]], scores: Sequence[float | None]) -> list[Plateau]:
    """Compare every parameter set of a sweep with its neighbours (statistics §1.14a).

    A neighbour differs in exactly one parameter, by one step on the grid of that parameter's values in the sweep.
    Numbers are ordered by size, anything else by first appearance. A neighbour whose score is undefined (it never
    traded) counts as 0; combinations that a constraint dropped are no neighbours.
    """
    names = sorted({name for one in params for name in one})
    grids = {name: _grid([one.get(name) for one in params]) for name in names}
    swept = [name for name in names if len(grids[name]) > 1]
    cells = [tuple(grids[name][_key(one.get(name))] for name in swept) for one in params]
    at = {cell: i for i, cell in enumerate(cells)}
    result = []
    for cell, own in zip(cells, scores, strict=True):
        around = []
        for axis in range(len(swept)):
            for step in (-1, 1):
                other = at.get((*cell[:axis], cell[axis] + step, *cell[axis + 1 :]))
                if other is not None:
                    around.append(scores[other] or 0.0)
        defined = bool(around) and own is not None and own > 0
        result.append(Plateau(float(np.median(around)) / own if defined and own else None, len(around)))
    return result


def _grid(values: Sequence[Any]) -> dict[Any, int]:
    """Position of every distinct value on its axis."""
    distinct = {_key(value): value for value in values}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct.values()):
        return {key: i for i, key in enumerate(sorted(distinct, key=lambda key: distinct[key]))}
    return {key: i for i, key in enumerate(distinct)}


def _key(value: Any) -> Any:
    """Hashable form of a parameter; True and 1 stay apart."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)
