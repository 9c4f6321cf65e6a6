"""Where a position would be closed: for each close and variance, the log prices at which its mark meets a level.

Along x = ln(S/S0) the axis falls into regions: hold, target (mark at or below the target level) and stop (mark at or
above the stop level). A vertical spread has the regions stop, hold, target; an iron condor stop, hold, target, hold,
stop. The boundaries between the regions of one common sequence, as functions of sqrt(v), are all that a path needs to
look up; a region that a state lacks has width zero there. Any position with one expiry has such a sequence.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


class _States(NamedTuple):
    """(close, variance node, share of the way to the next node), each (rows,)."""

    close: np.ndarray
    node: np.ndarray
    share: np.ndarray

    def only(self, rows: np.ndarray) -> _States:
        return _States(*(a[rows] for a in self))


def _marks(position: SimulatedPosition, market: Market, table: MarkTable, at: _States, x: np.ndarray) -> np.ndarray:
    """Cost to close at log prices ``x`` (rows, n), cubic in the volatility between the nodes of the table."""
    if not at.share.any():
        return _node_marks(position, market, table, at.close, at.node, x)
    first = np.clip(at.node - 1, 0, table.low.shape[1] - 4)
    t = at.node + at.share - first
    weights = (
        -(t - 1) * (t - 2) * (t - 3) / 6,
        t * (t - 2) * (t - 3) / 2,
        -t * (t - 1) * (t - 3) / 2,
        t * (t - 1) * (t - 2) / 6,
    )
    parts = [_node_marks(position, market, table, at.close, first + k, x) for k in range(4)]
    return sum((w[:, None] * part for w, part in zip(weights, parts, strict=True)), np.zeros_like(x))


def _node_marks(
    position: SimulatedPosition, market: Market, table: MarkTable, close: np.ndarray, node: np.ndarray, x: np.ndarray
) -> np.ndarray:
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


def _candidates(position: SimulatedPosition, market: Market, table: MarkTable, at: _States) -> np.ndarray:
    """Sorted x at which marks are examined, (rows, n): dense where a leg's value bends."""
    log_strikes = np.unique([np.log(leg.strike / market.spot) for leg in position.legs])
    nodes = table.value.shape[-1]
    z = np.arange(nodes // 6, nodes - nodes // 6 + 1, 2) / (nodes - 1)
    moneyness = table.low[at.close, at.node][:, None] + table.width[at.close, at.node][:, None] * z
    moved = [k - market.drift * table.years[at.close][:, None] - moneyness for k in log_strikes]
    wide = np.linspace(log_strikes[0] - 0.5, log_strikes[-1] + 0.5, 96)
    joined = np.concatenate([*moved, np.broadcast_to(wide, (len(moneyness), len(wide)))], axis=-1)
    return np.sort(joined, axis=-1)


class _Regions(NamedTuple):
    """Per row: labels of the regions along x (rows, n + 1), padded with -1, and the edges between them (rows, n)."""

    labels: np.ndarray
    edges: np.ndarray


def _crossings(x: np.ndarray, mark: np.ndarray, level: float, marks: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, x, upward) where the mark passes ``level``: linear, then one secant step with the mark at that place."""
    above = mark > level
    row, cell = np.nonzero(above[:, 1:] != above[:, :-1])
    x0, x1 = x[row, cell], x[row, cell + 1]
    y0, y1 = mark[row, cell] - level, mark[row, cell + 1] - level
    guess = x0 - y0 * (x1 - x0) / (y1 - y0)
    y = marks(row, guess[:, None])[:, 0] - level
    same = (y > 0) == (y0 > 0)  # the root lies between the guess and the far end
    xa, ya = np.where(same, x1, x0), np.where(same, y1, y0)
    better = guess - y * (xa - guess) / np.where(ya == y, 1.0, ya - y)
    return row, np.clip(better, x0, x1), y1 > y0


def _regions(
    position: SimulatedPosition, market: Market, table: MarkTable, at: _States, low: float, high: float
) -> _Regions:
    x = _candidates(position, market, table, at)
    mark = _marks(position, market, table, at, x)
    found = [(np.zeros(0, int), np.zeros(0), np.zeros(0, int))]
    for level, upward, downward in ((low, HOLD, TARGET), (high, STOP, HOLD)):
        if np.isfinite(level):
            again = lambda rows, place: _marks(position, market, table, at.only(rows), place)  # noqa: E731
            row, place, rising = _crossings(x, mark, level, again)
            found.append((row, place, np.where(rising, upward, downward)))
    row, place, after = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((place, row))
    row, place, after = row[order], place[order], after[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    most = int(rank.max()) + 1 if len(rank) else 0
    labels = np.full((len(x), most + 1), -1)
    edges = np.full((len(x), most), np.nan)
    labels[:, 0] = np.where(mark[:, 0] <= low, TARGET, np.where(mark[:, 0] > high, STOP, HOLD))
    labels[row, rank + 1] = after
    edges[row, rank] = place
    return _Regions(labels, edges)


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
    # At a level of zero or of the full width the mark only approaches it: rounding must not reach it.
    low, high = low + 1e-6 * market.spot, high - 1e-6 * market.spot
    closes, variances = table.low.shape
    close, node = (a.reshape(-1) for a in np.meshgrid(np.arange(closes), np.arange(variances), indexing="ij"))
    coarse = _regions(position, market, table, _States(close, node, np.zeros(len(node))), low, high)
    # Where a region opens between two nodes its edges are steep: every cell there and beside is solved.
    place = (np.arange(FINE) + 0.5) / FINE * (variances - 1)
    left = np.minimum(place.astype(int), variances - 2)
    share = place - left
    labels = coarse.labels.reshape(closes, variances, -1)
    opening = np.pad(np.any(labels[:, 1:] != labels[:, :-1], axis=-1), ((0, 0), (1, 1)))
    mixed = (opening[:, :-2] | opening[:, 1:-1] | opening[:, 2:])[:, left]
    close, cell = np.nonzero(mixed)
    solved = _regions(position, market, table, _States(close, left[cell], share[cell]), low, high)

    common = _common_sequence([*_sequences(coarse), *_sequences(solved)])
    known = _placed(coarse, common).reshape(closes, variances, -1)
    fine = known[:, left] * (1 - share[:, None]) + known[:, left + 1] * share[:, None]
    fine[close, cell] = _placed(solved, common)
    return ExitBoundaries(np.moveaxis(fine, 1, 2), np.array(common))


def _sequences(regions: _Regions) -> list[tuple[int, ...]]:
    """Distinct sequences of labels."""
    return [tuple(int(label) for label in row if label >= 0) for row in np.unique(regions.labels, axis=0)]


def _placed(regions: _Regions, common: tuple[int, ...]) -> np.ndarray:
    """Edges between the regions of the common sequence, (rows, boundaries)."""
    out = np.empty((len(regions.labels), len(common) - 1))
    kinds, kind = np.unique(regions.labels, axis=0, return_inverse=True)
    for number, labels in enumerate(kinds):
        sequence = tuple(int(label) for label in labels if label >= 0)
        places = _slots(sequence, common)
        assert places is not None  # `common` contains every sequence
        members = kind.reshape(-1) == number
        # Edge j lies between regions j and j + 1 of the common sequence; absent regions have width zero.
        owner = np.searchsorted(places, np.arange(len(common) - 1), side="right") - 1
        beyond = np.full((members.sum(), 1), FAR)
        bounded = np.concatenate([regions.edges[members, : len(sequence) - 1], beyond], axis=1)
        out[members] = np.where(owner >= 0, bounded[:, np.maximum(owner, 0)], -FAR)
    return out
