"""Proof that a strategy does not look ahead: cut the future off, then change it; nothing before may move.

The engines already hide the future from callbacks, but a columnar strategy receives the whole frame, and any strategy
can keep state between runs. Every run of the proof therefore starts from a freshly executed copy of the strategy's
module. A proof by examples finds a leak that shows at its cuts; it cannot show that no leak exists.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from argus_core.strategies.interface import INTENT_COLUMNS, ColumnarStrategy

#: Columns that the calendar knows in advance: never perturbed.
_KNOWN_AHEAD = frozenset(
    {
        "ts", "end", "available_at", "trade_date", "session", "warmup", "minute_of_session", "seconds_to_close",
        "missing_before", "recv_ts", "expiry", "strike", "right", "contract", "underlying", "provider", "symbol",
    }
)  # fmt: skip
_PRICES = ("open", "high", "low", "close", "bid", "ask", "underlying_price")
_CLOSE = 1e-9


@dataclass(frozen=True)
class LookaheadProof:
    """Whether nothing before any cut moved, and what was tried or what moved first, in words."""

    ok: bool
    detail: str


def prove_no_lookahead(
    strategy_class: type[ColumnarStrategy],
    params: Any,
    frame: pl.DataFrame,
    *,
    cuts: int,
    seed: int,
) -> LookaheadProof:
    """Compare a columnar strategy's intents with those on truncated data and on data whose future is changed.

    Args:
        params: a mapping, or an instance of the strategy's ``Params``.
        frame: decision frame.
        cuts: number of cut points; half of them directly after a row with an entry or exit, where a peek at the next
            row shows.
        seed: places the other cuts and draws the changes.
    """
    values = params.model_dump() if hasattr(params, "model_dump") else dict(params)
    whole = _fresh_intents(strategy_class, values, frame)
    points = _cut_points(_active_rows(whole), frame.height, cuts, seed)
    for number, cut in enumerate(points):
        moved = _first_change(whole, _fresh_intents(strategy_class, values, frame.head(cut)), frame, cut)
        if moved:
            return LookaheadProof(False, f"{moved} when the rows from {cut} on are cut off")
        for direction in (1, -1):
            changed = perturb_future(frame, cut, seed=seed + number, direction=direction)
            moved = _first_change(whole, _fresh_intents(strategy_class, values, changed), frame, cut)
            if moved:
                return LookaheadProof(False, f"{moved} when the rows from {cut} on are changed")
    leak = _state_leak(strategy_class, values, frame, whole, seed)
    if leak:
        return LookaheadProof(False, leak)
    return LookaheadProof(True, f"{len(points)} cuts of {frame.height} rows: unchanged by truncation and perturbation")


def prove_no_lookahead_callback(
    decide: Callable[[pl.DataFrame, pl.DataFrame | None], Sequence[tuple[int, Any]]],
    frame: pl.DataFrame,
    options: pl.DataFrame | None = None,
    *,
    cuts: int,
    seed: int,
) -> LookaheadProof:
    """The same proof for anything that decides while bars pass by, option chains included.

    Args:
        decide: runs a **new** strategy over a frame and option quotes and returns (microseconds, intent) of every
            decision, in order. Intents are compared with ``==``.
        frame: decision frame.
        options: option quotes; those with ``recv_ts`` after a cut are dropped, then changed.
    """
    whole = list(decide(frame, options))
    times = frame["available_at"].dt.timestamp("us").to_numpy()
    decided = np.unique(np.searchsorted(times, [t for t, _ in whole]))
    points = _cut_points(decided, frame.height, cuts, seed)
    for number, cut in enumerate(points):
        now = int(times[cut - 1])
        seen = pl.col("recv_ts").dt.timestamp("us") <= now
        trials = [("cut off", frame.head(cut), None if options is None else options.filter(seen))]
        for direction in (1, -1):
            quotes = None
            if options is not None:
                ordered = options.sort("recv_ts", maintain_order=True)
                known = ordered.filter(seen).height
                quotes = perturb_future(ordered, known, seed=seed + number, direction=direction)
            trials.append(("changed", perturb_future(frame, cut, seed=seed + number, direction=direction), quotes))
        for verb, rows, quotes in trials:
            # The last row of a run decides nothing: the row before a truncation is compared in the changed runs only.
            limit = now if verb == "cut off" else now + 1
            before = [item for item in whole if item[0] < limit]
            again = [item for item in decide(rows, quotes) if item[0] < limit]
            if again != before:
                at = next((k for k, (a, b) in enumerate(zip(before, again, strict=False)) if a != b), None)
                place = f"decision {min(len(before), len(again)) if at is None else at}"
                return LookaheadProof(False, f"{place} up to {frame['available_at'][cut - 1]} moves when the rows "
                                             f"from {cut} on are {verb}")  # fmt: skip
    return LookaheadProof(True, f"{len(points)} cuts of {frame.height} rows: unchanged by truncation and perturbation")


def perturb_future(frame: pl.DataFrame, cut: int, *, seed: int, direction: int = 1) -> pl.DataFrame:
    """Copy of ``frame`` whose rows from ``cut`` on hold other prices, volumes, numbers and labels.

    Clock and calendar columns stay. Prices move together by 5 to 50 % in ``direction``, plus noise, so that
    low <= open, close <= high still holds; other numbers are negated, scaled and shifted; labels are rotated.
    """
    future = frame.slice(cut)
    if future.is_empty():
        return frame
    rng = np.random.default_rng(seed)
    height = future.height
    scale = np.exp(direction * rng.uniform(0.05, 0.4, height))
    columns: list[pl.Series] = []
    for name, dtype in future.schema.items():
        if name in _KNOWN_AHEAD:
            continue
        column = future[name]
        if name in _PRICES:
            columns.append((column * pl.Series(scale)).alias(name))
        elif dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
            labels = sorted(column.drop_nulls().cast(pl.String).unique().to_list())
            turned = {label: labels[(k + 1) % len(labels)] for k, label in enumerate(labels)}
            columns.append(column.cast(pl.String).replace(turned).cast(dtype).alias(name))
        elif dtype == pl.Boolean:
            columns.append((~column).alias(name))
        elif dtype.is_float():
            known = column.drop_nulls().to_numpy()
            spread = float(np.std(known)) if len(known) else 0.0
            spread = spread if np.isfinite(spread) and spread > 0 else 1.0
            positive = name in ("volume", "half_spread") or name.startswith("realized_vol")
            factor = pl.Series(scale if positive else -direction * scale)
            shift = 0.0 if positive else direction * spread
            columns.append((column * factor + shift).alias(name))
        elif dtype.is_integer():
            columns.append((column + pl.Series(rng.integers(1, 5, height))).cast(dtype).alias(name))
    return pl.concat([frame.head(cut), future.with_columns(columns)])


def _fresh_intents(strategy_class: type[ColumnarStrategy], values: Mapping[str, Any], frame: pl.DataFrame):
    cls = _fresh_class(strategy_class)
    return _conform(cls().intents(frame, cls.Params(**values)))


def _fresh_class(cls: type[ColumnarStrategy]) -> type[ColumnarStrategy]:
    """The class from a newly executed copy of its module, free of state that earlier runs left; or ``cls`` itself
    where that cannot be (defined in a function or a notebook)."""
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None)
    if path is None or "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        return cls
    # Keeps the parent package, so relative imports still work.
    name = f"{cls.__module__}__fresh"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return cls
    copy = importlib.util.module_from_spec(spec)
    # Pydantic and dataclasses look their module up while a class is made.
    sys.modules[name] = copy
    try:
        spec.loader.exec_module(copy)
        found: Any = copy
        for part in cls.__qualname__.split("."):
            found = getattr(found, part)
        return found
    finally:
        del sys.modules[name]


def _state_leak(
    cls: type[ColumnarStrategy], values: Mapping[str, Any], frame: pl.DataFrame, whole: pl.DataFrame, seed: int
) -> str | None:
    """What moves when the same instance has seen other data before."""
    strategy = _fresh_class(cls)
    params = strategy.Params(**values)
    used = strategy()
    used.intents(perturb_future(frame, 0, seed=seed), params)
    for name, instance in (("instance", used), ("class or module", strategy())):
        moved = _first_change(whole, _conform(instance.intents(frame, params)), frame, frame.height)
        if moved:
            return f"{moved} when the same {name} has run on other data before: state leaks between runs"
    return None


def _conform(intents: pl.DataFrame) -> pl.DataFrame:
    return intents.select(pl.col(name).cast(dtype) for name, dtype in INTENT_COLUMNS.items() if name in intents.columns)


def _active_rows(intents: pl.DataFrame) -> np.ndarray:
    active = intents["enter"].fill_null(0).to_numpy() != 0
    if "exit" in intents.columns:
        # A standing exit says nothing; its first row does.
        leaves = intents["exit"].fill_null(False).to_numpy()
        active |= leaves & ~np.concatenate([[False], leaves[:-1]])
    return np.flatnonzero(active)


def _cut_points(active: np.ndarray, height: int, cuts: int, seed: int) -> list[int]:
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


def _first_change(whole: pl.DataFrame, other: pl.DataFrame, frame: pl.DataFrame, cut: int) -> str | None:
    """The first row before ``cut`` and column that differ, in words; floats may differ by rounding only."""
    if whole.columns != other.columns:
        return f"the intent columns {whole.columns} become {other.columns}"
    if other.height < cut:
        return f"the intents of {cut} rows become {other.height}"
    first: tuple[int, str] | None = None
    for name in whole.columns:
        a, b = whole[name].head(cut), other[name].head(cut)
        if a.dtype.is_float():
            x = a.fill_null(np.nan).to_numpy()
            y = b.fill_null(np.nan).to_numpy()
            same = np.isclose(x, y, rtol=_CLOSE, atol=0.0, equal_nan=True)
        else:
            same = a.eq_missing(b).to_numpy()
        rows = np.flatnonzero(~same)
        if len(rows) and (first is None or rows[0] < first[0]):
            first = int(rows[0]), name
    if first is None:
        return None
    row, name = first
    return f"{name} at row {row} ({frame['ts'][row]}) turns from {whole[name][row]} to {other[name][row]}"
