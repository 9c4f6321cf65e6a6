"""The lookahead proof of columnar strategies: they receive the whole frame, so every row is compared.

See `lookahead` for what is compared and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from argus_core.replay.isolation import apart, fresh_class, watched
from argus_core.replay.lookahead_verdict import (
    NOT_REPEATABLE,
    SMALL,
    STATE_LEAKS,
    LookaheadProof,
    Test,
    cut_points,
    read_outside,
    values_of,
)
from argus_core.replay.perturbation import continue_frame, drop_future_rows, perturb_future
from argus_core.strategies.interface import INTENT_COLUMNS, ColumnarStrategy

#: Truncations of a columnar strategy per perturbed cut, beside its own: they cost the least.
_MORE_TRUNCATIONS = 3
_CLOSE = 1e-9


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
        cuts: cut points behind which the future is changed; four times as many truncations. Half of them lie
            directly after a row with an entry or exit, where a peek at the next row shows.
        seed: places the other cuts and draws the changes.
    """
    return _Columnar(strategy_class, values_of(params), frame, cuts, seed).prove()


class _Columnar:
    def __init__(
        self, cls: type[ColumnarStrategy], values: Mapping[str, Any], frame: pl.DataFrame, cuts: int, seed: int
    ) -> None:
        self.cls, self.values, self.frame, self.cuts, self.seed = cls, values, frame, cuts, seed
        self.runs = 0
        self.outside: list[str] = []

    def prove(self) -> LookaheadProof:
        frame = self.frame
        self.whole = self.run(frame)
        if self.outside:
            return read_outside(self.outside, self.runs)
        if proof := self.compare(self.run(frame), frame.height, "repeat", "when it runs on the same data again"):
            return proof
        active = _active_rows(self.whole)
        changed_at = cut_points(active, frame.height, self.cuts, self.seed)
        more_cuts = cut_points(active, frame.height, _MORE_TRUNCATIONS * self.cuts, self.seed + 1)
        points = sorted({*changed_at, *more_cuts})
        for cut in points:
            if proof := self.compare(
                self.run(frame.head(cut)), cut, "truncation", f"when rows from {cut} on are cut off"
            ):
                return proof
        for number, cut in enumerate(changed_at):
            for test, words, other in self._futures(cut, number):
                if proof := self.compare(self.run(other), cut, test, words):
                    return proof
        if frame.height > 1:
            more = self.run(continue_frame(frame, seed=self.seed))
            if proof := self.compare(more, frame.height, "extension", "when the data go on behind the last row"):
                return proof
        return self.state() or LookaheadProof(
            True,
            f"{len(points)} cuts of {frame.height} rows: unchanged by truncation, perturbation, gaps and more data",
            runs=self.runs,
        )

    def _futures(self, cut: int, number: int) -> Iterator[tuple[Test, str, pl.DataFrame]]:
        seed, sign = self.seed + number, 1 if number % 2 else -1
        for direction in (1, -1):
            changed = perturb_future(self.frame, cut, seed=seed, direction=direction)
            yield "perturbation", f"when rows from {cut} on are changed", changed
        small = perturb_future(self.frame, cut, seed=seed, direction=-sign, scale=SMALL)
        yield "perturbation", f"when rows from {cut} on are changed a little", small
        next_row = perturb_future(self.frame, cut, seed=seed, direction=sign, rows=1)
        yield "next_row", f"when only row {cut} is changed", next_row
        yield "gap", f"when row {cut} and others behind it are missing", drop_future_rows(self.frame, cut)

    def run(self, frame: pl.DataFrame) -> pl.DataFrame:
        self.runs += 1
        intents, self.outside = apart(partial(_fresh_intents, self.cls, self.values, frame))
        return intents

    def compare(self, other: pl.DataFrame, upto: int, test: Test, words: str) -> LookaheadProof | None:
        """The verdict if an intent before row ``upto`` differs; None where none does."""
        change = _first_change(self.whole, other, upto)
        if change is None:
            return None
        row, text = change
        if row is None:
            return LookaheadProof(False, f"{text} {words}", test, runs=self.runs)
        columns: tuple[str, ...] = ()
        if test in ("truncation", "perturbation", "next_row"):
            columns = self.columns_at(upto)
        hint = {
            "repeat": NOT_REPEATABLE,
            "state": STATE_LEAKS,
            "extension": ": it depends on where the data end",
        }.get(test) or _reach(upto - row, columns)
        moment = self.frame["available_at"][row] if "available_at" in self.frame.columns else self.frame["ts"][row]
        detail = f"{text} at row {row} ({self.frame['ts'][row]}) {words}{hint}"
        return LookaheadProof(False, detail, test, row, moment, columns, self.runs)

    def columns_at(self, cut: int) -> tuple[str, ...]:
        """Columns whose future from ``cut`` on alone moves an intent before it; price columns are tried one by one."""
        for scale in (1.0, SMALL):
            futures = [
                perturb_future(self.frame, cut, seed=self.seed, direction=direction, scale=scale)
                for direction in (1, -1)
            ]
            found = [name for name in self.frame.columns if any(self.moved_by(name, other, cut) for other in futures)]
            if found:
                return tuple(found)
        return ()

    def moved_by(self, name: str, other: pl.DataFrame, cut: int) -> bool:
        """Whether an intent before ``cut`` moves when column ``name`` is that of ``other``."""
        if other[name].equals(self.frame[name], null_equal=True):
            return False
        try:
            intents = self.run(self.frame.with_columns(other[name]))
        except Exception:  # one changed column can make a bar that no strategy expects
            return False
        return _first_change(self.whole, intents, cut) is not None

    def state(self) -> LookaheadProof | None:
        """What moves when the same instance, class or module has seen other data before."""
        other = perturb_future(self.frame, 0, seed=self.seed)
        self.runs += 3
        again = apart(partial(_used_intents, self.cls, self.values, other, self.frame))
        for name, intents in zip(("instance", "class or module"), again, strict=True):
            words = f"when the same {name} has run on other data before"
            if proof := self.compare(intents, self.frame.height, "state", words):
                return proof
        return None


def _fresh_intents(
    strategy: type[ColumnarStrategy], values: Mapping[str, Any], frame: pl.DataFrame
) -> tuple[pl.DataFrame, list[str]]:
    """Intents of freshly executed code, and what it opened meanwhile."""
    with watched() as seen, fresh_class(strategy) as cls:
        intents = _conform(cls().intents(frame, cls.Params(**values)))
    return intents, seen


def _used_intents(
    strategy: type[ColumnarStrategy], values: Mapping[str, Any], other: pl.DataFrame, frame: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Intents on ``frame`` of an instance that saw ``other`` before, and of another one of its class."""
    with fresh_class(strategy) as cls:
        params, used = cls.Params(**values), cls()
        used.intents(other, params)
        return _conform(used.intents(frame, params)), _conform(cls().intents(frame, params))


def _conform(intents: pl.DataFrame) -> pl.DataFrame:
    return intents.select(pl.col(name).cast(dtype) for name, dtype in INTENT_COLUMNS.items() if name in intents.columns)


def _active_rows(intents: pl.DataFrame) -> np.ndarray:
    active = intents["enter"].fill_null(0).to_numpy() != 0
    if "exit" in intents.columns:
        # A standing exit says nothing; its first row does.
        leaves = intents["exit"].fill_null(False).to_numpy()
        active |= leaves & ~np.concatenate([[False], leaves[:-1]])
    return np.flatnonzero(active)


def _first_change(whole: pl.DataFrame, other: pl.DataFrame, upto: int) -> tuple[int | None, str] | None:
    """The first row before ``upto`` whose intents differ, and how; floats may differ by rounding only."""
    if whole.columns != other.columns:
        return None, f"the intent columns {whole.columns} become {other.columns}"
    if other.height < upto:
        return None, f"the intents of {upto} rows become {other.height}"
    first: tuple[int, str] | None = None
    for name in whole.columns:
        a, b = whole[name].head(upto), other[name].head(upto)
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
    return row, f"{name} turns from {whole[name][row]} to {other[name][row]}"


def _reach(rows: int, columns: Sequence[str]) -> str:
    """How far ahead the decision reaches at least, and through which columns."""
    told = f": it reads at least {rows} row(s) ahead"
    return f"{told}, in {', '.join(columns)}" if columns else told
