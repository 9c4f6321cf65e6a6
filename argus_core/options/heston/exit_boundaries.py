"""Where a position would be closed: for each close and variance, the log prices at which its mark meets a level.

Along x = ln(S/S0) the axis falls into regions: hold, target (mark at or below the target level) and stop (mark at or
above the stop level). A vertical spread has the regions stop, hold, target; an iron condor stop, hold, target, hold,
stop. The boundaries between the regions of one common sequence, as functions of sqrt(v), are all that a path needs to
look up; a region that a state lacks has width zero there. Any position with one expiry has such a sequence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from argus_core.options.heston.mark_table import MarkTable, put_at
from argus_core.options.heston.market import Market, SimulatedPosition

HOLD, TARGET, STOP = 0, 1, 2
#: Nodes of the boundaries in sqrt(v), read without interpolation: a path takes the node in whose middle it lies.
FINE = 1024
FAR = 50.0  # |x| of a boundary that lies at infinity


class ExitBoundaries(NamedTuple):
    """``edges`` (closes, boundaries, FINE) in x = ln(S/S0), ascending; ``labels`` (boundaries + 1,) of the regions."""

    edges: np.ndarray
    labels: np.ndarray


def levels(position: SimulatedPosition, target: float | None, stop: float | None) -> tuple[float, float]:
    """Marks (cost to close) of the target and the stop; infinite where there is none.

    The target is reached when the profit is ``target`` times the credit (debit); the stop when the mark is ``stop``
    times the credit, that is when the loss is ``stop`` - 1 times the credit (debit).
    """
    size = abs(position.credit)
    low = -np.inf if target is None else position.credit - target * size
    high = np.inf if stop is None else position.credit + (stop - 1) * size
    if not low < high:
        raise ValueError(f"target = {target}, stop = {stop}: the stop must lie at a worse mark than the target.")
    return low, high


def marks(position: SimulatedPosition, market: Market, table: MarkTable, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Cost to close at log prices ``x`` (rows, n); ``rows`` (rows, 2) are (close, variance node) of the table."""
    close, node = rows[:, 0], rows[:, 1]
    years = table.years[close][:, None]
    forward = market.spot * np.exp(x + market.drift * years)
    slices = [a[close, node] for a in (table.low[..., None], table.width[..., None], table.value, table.slope)]
    total = -position.shares * market.spot * np.exp(x) * np.exp(market.rate * years)
    for leg in position.legs:
        value = forward * put_at(np, *slices, np.log(leg.strike) - np.log(forward))
        if leg.right == "C":
            value = value + forward - leg.strike
        total -= leg.quantity * value
    return total * np.exp(-market.rate * years)


def _candidates(position: SimulatedPosition, market: Market, table: MarkTable) -> np.ndarray:
    """Sorted x at which marks are examined, (closes * variances, n): dense where a leg's value bends."""
    log_strikes = np.unique([np.log(leg.strike / market.spot) for leg in position.legs])
    nodes = table.value.shape[-1]
    z = np.arange(nodes // 6, nodes - nodes // 6 + 1, 2) / (nodes - 1)
    moneyness = table.low[..., None] + table.width[..., None] * z
    moved = [k - market.drift * table.years[:, None, None] - moneyness for k in log_strikes]
    wide = np.linspace(log_strikes[0] - 0.5, log_strikes[-1] + 0.5, 96)
    shape = (*table.low.shape, len(wide))
    joined = np.concatenate([*moved, np.broadcast_to(wide, shape)], axis=-1)
    return np.sort(joined.reshape(-1, joined.shape[-1]), axis=-1)


def _crossings(
    position: SimulatedPosition,
    market: Market,
    table: MarkTable,
    rows: np.ndarray,
    x: np.ndarray,
    mark: np.ndarray,
    level: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, x, upward) where the mark passes ``level``: linear, then one secant step with the mark at that place."""
    above = mark > level
    row, cell = np.nonzero(above[:, 1:] != above[:, :-1])
    x0, x1 = x[row, cell], x[row, cell + 1]
    y0, y1 = mark[row, cell] - level, mark[row, cell + 1] - level
    guess = x0 - y0 * (x1 - x0) / (y1 - y0)
    y = marks(position, market, table, rows[row], guess[:, None])[:, 0] - level
    same = (y > 0) == (y0 > 0)  # the root lies between the guess and the far end
    xa, ya = np.where(same, x1, x0), np.where(same, y1, y0)
    better = guess - y * (xa - guess) / np.where(ya == y, 1.0, ya - y)
    return row, np.clip(better, x0, x1), y1 > y0


def _common_sequence(sequences: list[tuple[int, ...]]) -> tuple[int, ...]:
    """A sequence of labels that contains all, built by shortest common supersequences, longest first."""
    common: tuple[int, ...] = ()
    for sequence in sorted(sequences, key=lambda s: (-len(s), s)):
        if _slots(sequence, common) is None:
            common = _joined(common, sequence)
    return common


def _slots(sequence: tuple[int, ...], common: tuple[int, ...]) -> list[int] | None:
    """Places of ``sequence`` in ``common`` in order, or None."""
    places, at = [], 0
    for label in sequence:
        while at < len(common) and common[at] != label:
            at += 1
        if at == len(common):
            return None
        places.append(at)
        at += 1
    return places


def _joined(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Shortest common supersequence."""
    best: dict[tuple[int, int], tuple[int, ...]] = {}
    for i in range(len(a), -1, -1):
        for j in range(len(b), -1, -1):
            if i == len(a) or j == len(b):
                best[i, j] = a[i:] + b[j:]
            elif a[i] == b[j]:
                best[i, j] = (a[i], *best[i + 1, j + 1])
            else:
                best[i, j] = min((a[i], *best[i + 1, j]), (b[j], *best[i, j + 1]), key=len)
    return best[0, 0]


def exit_boundaries(
    position: SimulatedPosition, market: Market, table: MarkTable, target: float | None, stop: float | None
) -> ExitBoundaries:
    """Boundaries of a position on all closes of the table."""
    low, high = levels(position, target, stop)
    closes, variances = table.low.shape
    rows = np.stack(np.meshgrid(np.arange(closes), np.arange(variances), indexing="ij"), -1).reshape(-1, 2)
    x = _candidates(position, market, table)
    mark = marks(position, market, table, rows, x)
    # At a level of zero or of the full width the mark only approaches it: rounding must not reach it.
    slack = 1e-6 * market.spot
    found = []
    for level, inside, below in ((low + slack, HOLD, TARGET), (high - slack, STOP, HOLD)):
        if np.isfinite(level):
            row, place, upward = _crossings(position, market, table, rows, x, mark, level)
            found.append((row, place, np.where(upward, inside, below)))
    first = np.where(mark[:, 0] <= low + slack, TARGET, np.where(mark[:, 0] >= high - slack, STOP, HOLD))
    row, place, after = (
        (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else (np.zeros(0, int),) * 3
    )
    order = np.lexsort((place, row))
    row, place, after = row[order], place[order], after[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    most = int(rank.max()) + 1 if len(rank) else 0
    labels = np.full((len(rows), most + 1), -1)
    edges = np.full((len(rows), most), np.nan)
    labels[:, 0] = first
    labels[row, rank + 1] = after
    edges[row, rank] = place
    kinds, kind = np.unique(labels, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    sequences = [tuple(int(label) for label in k if label >= 0) for k in kinds]
    common = _common_sequence(sequences)
    out = np.empty((len(rows), len(common) - 1))
    for number, sequence in enumerate(sequences):
        members = kind == number
        places = _slots(sequence, common)
        assert places is not None  # `common` contains every sequence
        # Edge j lies between regions j and j + 1 of the common sequence.
        owner = np.searchsorted(places, np.arange(len(common) - 1), side="right") - 1
        bounded = np.concatenate([edges[members, : len(sequence) - 1], np.full((members.sum(), 1), FAR)], axis=1)
        out[members] = np.where(owner >= 0, bounded[:, np.maximum(owner, 0)], -FAR)
    fine = _refined(out.reshape(closes, variances, -1), kind.reshape(closes, variances))
    return ExitBoundaries(fine, np.array(common))


def _refined(edges: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Edges (closes, variances, boundaries) at the middles of `FINE` cells in sqrt(v): (closes, boundaries, FINE)."""
    last = edges.shape[1] - 1
    at = (np.arange(FINE) + 0.5) / FINE * last
    left = np.minimum(at.astype(int), last - 1)
    share = at - left
    # Where the regions differ between two nodes, the nearer node decides.
    mixed = kind[:, left] != kind[:, left + 1]
    share = np.where(mixed, np.round(share), share)[..., None]
    return np.moveaxis(edges[:, left] * (1 - share) + edges[:, left + 1] * share, 1, 2)
