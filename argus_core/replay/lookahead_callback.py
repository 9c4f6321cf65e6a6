"""The lookahead proof of callback strategies: the engine hides the future, the proof shows that nothing gets round it.

See `lookahead` for what is compared and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from argus_core.replay.isolation import apart, fresh_class, resume, watched
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
from argus_core.replay.perturbation import hide_unfinished, keep_begun_bars, perturb_future
from argus_core.strategies.interface import BarView, CallbackStrategy, Intent

#: Part of the rows, one in so many, on which state between runs is looked for.
_STATE_SHARE = 3


@dataclass(frozen=True)
class Scene:
    """Everything that a callback run is given: decision frame, option quotes, and reference symbols' frames."""

    frame: pl.DataFrame
    options: pl.DataFrame | None = None
    references: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def truncated(self, cut: int) -> Scene:
        """Without what becomes known after the decision of row ``cut`` - 1."""
        now = self._now(cut)
        quotes = None if self.options is None else self.options.filter(_received(now))
        bars = {name: hide_unfinished(one, now, seed=0, direction=None) for name, one in self.references.items()}
        return Scene(self.frame.head(cut), quotes, bars)

    def perturbed(self, cut: int, *, seed: int, direction: int, scale: float = 1.0) -> Scene:
        """With another future after the decision of row ``cut`` - 1; ``cut`` 0 changes everything."""
        now = self._now(cut) if cut else -(2**62)
        quotes = self.options
        if quotes is not None:
            ordered = quotes.sort("recv_ts", maintain_order=True)
            known = ordered.filter(_received(now)).height
            quotes = perturb_future(ordered, known, seed=seed, direction=direction, scale=scale)
        bars = {
            name: hide_unfinished(one, now, seed=seed + k, direction=direction)
            for k, (name, one) in enumerate(self.references.items())
        }
        changed = perturb_future(self.frame, cut, seed=seed, direction=direction, scale=scale)
        return Scene(keep_begun_bars(changed, self.frame, cut, now), quotes, bars)

    def _now(self, cut: int) -> int:
        return int(self.frame["available_at"].dt.timestamp("us")[cut - 1])


def _received(now_us: int) -> pl.Expr:
    return pl.col("recv_ts").dt.timestamp("us") <= now_us


class _EnoughError(Exception):
    """Raised inside a run once every decision that is compared has been taken."""


class _Observed(CallbackStrategy):
    """Passes every call on, notes the decisions, and ends the run after ``until``."""

    def __init__(self, inner: CallbackStrategy, until: int | None, outside: list[str] | None) -> None:
        super().__init__(inner.params)
        self._inner, self._until, self._outside = inner, until, outside
        self.decisions: list[tuple[int, Intent]] = []

    def __getattribute__(self, name: str) -> Any:
        # Whatever else the engine asks of a strategy, its clock for instance, the strategy itself answers.
        if name in ("on_bar", "columns", "decisions") or name.startswith("_"):
            return super().__getattribute__(name)
        return getattr(super().__getattribute__("_inner"), name)

    def columns(self, frame: pl.DataFrame, params: Any) -> Any:
        """Columns that the strategy computes from the whole frame before the run: watched like its decisions."""
        before = resume(self._outside)
        try:
            own = getattr(self._inner, "columns", None)
            return None if own is None else own(frame, params)
        finally:
            resume(before)

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        now = view.now_us
        if self._until is not None and now > self._until:
            raise _EnoughError
        before = resume(self._outside)
        try:
            intents = self._inner.on_bar(view)
        finally:
            resume(before)
        self.decisions += [(now, intent) for intent in intents]
        return intents


#: Runs a strategy over a scene; what it returns is not read. It should hold no other data than the scene's.
Replay = Callable[[CallbackStrategy, Scene], object]
#: One run: what it decides up to a moment (microseconds; None: to the end), in order.
Decide = Callable[[Scene, int | None], Sequence[tuple[int, Any]]]


def prove_callback(
    strategy_class: type[CallbackStrategy],
    params: Any,
    scene: Scene,
    replay: Replay,
    *,
    cuts: int,
    seed: int,
) -> LookaheadProof:
    """The proof of a callback strategy: freshly executed for every run, option chains and references included.

    A run ends once the decisions before its cut are taken, so a cut costs half a replay on average.

    Args:
        params: a mapping, or an instance of the strategy's ``Params``.
        scene: what the strategy is replayed on.
        replay: runs a strategy over a scene.
        cuts, seed: as for `prove_no_lookahead`; one truncation per cut.
    """
    values = values_of(params)

    def decide(some: Scene, until: int | None) -> list[tuple[int, Intent]]:
        decisions, found = apart(partial(_fresh_decisions, strategy_class, values, replay, some, until))
        seen.extend(found)
        return decisions

    seen: list[str] = []
    comparison = _Comparison(scene, decide)
    if seen:
        return read_outside(seen, comparison.runs)
    rows = max(scene.frame.height // _STATE_SHARE, 1)
    until = int(comparison.times[rows - 1]) if scene.frame.height else 0
    if proof := comparison.compare(decide(scene, until), until, "repeat", "when it runs on the same data again"):
        return proof
    with fresh_class(strategy_class) as cls:
        run = partial(_decisions, cls, values, replay)
        apart(partial(run, scene, until))
        for data, other in (("the same", None), ("other", scene.perturbed(0, seed=seed, direction=1))):
            if other is not None:
                apart(partial(run, other, until))
            words = f"when the same class or module has run on {data} data before"
            if proof := comparison.compare(apart(partial(run, scene, until)), until, "state", words):
                return proof
    return comparison.over_futures(cuts, seed)


def _fresh_decisions(
    strategy: type[CallbackStrategy], values: Mapping[str, Any], replay: Replay, scene: Scene, until: int | None
) -> tuple[list[tuple[int, Intent]], list[str]]:
    """Decisions of freshly executed code, and what it opened meanwhile."""
    with watched() as seen, fresh_class(strategy) as cls:
        return _decisions(cls, values, replay, scene, until), seen


def _decisions(
    cls: type[CallbackStrategy], values: Mapping[str, Any], replay: Replay, scene: Scene, until: int | None
) -> list[tuple[int, Intent]]:
    inner = cls(cls.Params(**values))
    observed = _Observed(inner, until, resume(None))
    with suppress(_EnoughError):
        replay(observed, scene)
    return observed.decisions


def prove_no_lookahead_callback(
    decide: Callable[[pl.DataFrame, pl.DataFrame | None], Sequence[tuple[int, Any]]],
    frame: pl.DataFrame,
    options: pl.DataFrame | None = None,
    *,
    cuts: int,
    seed: int,
) -> LookaheadProof:
    """The comparison alone, for anything that decides while bars pass by; `prove_callback` is the whole proof.

    Args:
        decide: runs a **new** strategy over a frame and option quotes and returns (microseconds, intent) of every
            decision, in order. Intents are compared with ``==``.
        frame: decision frame.
        options: option quotes; those with ``recv_ts`` after a cut are dropped, then changed.
    """
    comparison = _Comparison(Scene(frame, options), lambda scene, until: decide(scene.frame, scene.options))
    return comparison.over_futures(cuts, seed)


class _Comparison:
    """What a strategy decides on a scene, against what it decides on others."""

    def __init__(self, scene: Scene, decide: Decide) -> None:
        self.scene, self.decide = scene, decide
        self.times = scene.frame["available_at"].dt.timestamp("us").to_numpy()
        self.starts = scene.frame["ts"].dt.timestamp("us").to_numpy()
        self.runs = 1
        self.whole = list(decide(scene, None))

    def over_futures(self, cuts: int, seed: int) -> LookaheadProof:
        height = self.scene.frame.height
        decided = np.unique(np.searchsorted(self.times, [t for t, _ in self.whole]))
        points = cut_points(decided, height, cuts, seed)
        for number, cut in enumerate(points):
            for test, words, scene in self._futures(cut, seed + number, 1 if number % 2 else -1):
                now = int(self.times[cut - 1])
                if test == "truncation":
                    # The last row of a run decides nothing, and orders that would fill in the rows cut off did not.
                    now = min(now - 1, int(self.starts[cut]))
                if proof := self.compare(self.decide(scene, now), now, test, words):
                    return proof
        detail = f"{len(points)} cuts of {height} rows: decisions unchanged by truncation and perturbation"
        return LookaheadProof(True, detail, runs=self.runs)

    def _futures(self, cut: int, seed: int, sign: int) -> Iterator[tuple[Test, str, Scene]]:
        yield "truncation", f"when rows from {cut} on are cut off", self.scene.truncated(cut)
        for direction in (1, -1):
            changed = self.scene.perturbed(cut, seed=seed, direction=direction)
            yield "perturbation", f"when rows from {cut} on are changed", changed
        small = self.scene.perturbed(cut, seed=seed, direction=sign, scale=SMALL)
        yield "perturbation", f"when rows from {cut} on are changed a little", small

    def compare(self, again: Sequence[tuple[int, Any]], until: int, test: Test, words: str) -> LookaheadProof | None:
        """The verdict if a decision up to ``until`` differs; None where none does."""
        self.runs += 1
        before = [item for item in self.whole if item[0] <= until]
        after = [item for item in again if item[0] <= until]
        if before == after:
            return None
        pairs = enumerate(zip(before, after, strict=False))
        # A NaN differs from itself, but not in words.
        at = next((k for k, (a, b) in pairs if a != b and repr(a) != repr(b)), min(len(before), len(after)))
        if at == len(before) == len(after):
            return None
        moment = min(item[0] for item in (*before[at : at + 1], *after[at : at + 1]))
        row = min(int(np.searchsorted(self.times, moment)), len(self.times) - 1)
        when = self.scene.frame["available_at"][row]
        hint = {"repeat": NOT_REPEATABLE, "state": STATE_LEAKS}.get(test, "")
        told = f"decision {at} turns from {_told(before, at)} to {_told(after, at)} at row {row} ({when})"
        return LookaheadProof(False, f"{told} {words}{hint}", test, row, when, runs=self.runs)


def _told(decisions: Sequence[tuple[int, Intent]], at: int) -> str:
    """One decision in a few words: action, side and what is not at its default."""
    if at >= len(decisions):
        return "none"
    intent = decisions[at][1]
    if not isinstance(intent, Intent):
        return repr(intent)
    plain = Intent(intent.action)
    given = [f"{n}={getattr(intent, n)!r}" for n in intent.__slots__ if getattr(intent, n) != getattr(plain, n)]
    return f"{intent.action}({', '.join(given)})"
