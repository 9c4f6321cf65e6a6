"""Why a signal came: the strategy's own words, or the values of the decision frame that its code names."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from argus_core.strategies.interface import Strategy

#: Values that a generated sentence lists at most; a sentence is read, not parsed.
_LISTED = 6
#: Columns that say when, not why.
_CLOCK = frozenset({"ts", "end", "available_at", "trade_date", "warmup", "missing_before", "regime_warm"})
_SIDES = {1: "long", -1: "short", 0: "neutral"}


def explain(
    strategy: type[Strategy],
    params: Any,
    row: Mapping[str, Any],
    kind: str,
    direction: int,
    wanted: Mapping[str, Any],
) -> str:
    """One sentence about a signal.

    A strategy class may have a static method ``explain(row, params) -> str``, which gets the decision frame's row as a
    mapping. Without it the sentence lists the columns that the strategy's source names, and the distances and tag of
    the intent.
    """
    own = getattr(strategy, "explain", None)
    if callable(own):
        return str(own(row, params))
    names = used_columns(strategy, params, tuple(row))
    reasons = [f"{name} {_word(row[name])}" for name in names if row[name] is not None][:_LISTED]
    asked = [f"{name} {_word(value)}" for name, value in wanted.items() if name in ("tag", *_DISTANCES) and value]
    verb = f"enters {_SIDES[direction]}" if kind == "entry" else "leaves"
    parts = ", ".join(reasons) or "no column of the frame is named in its source"
    return f"{strategy.strategy_id} {verb}: {parts}" + (f"; {', '.join(asked)}" if asked else "") + "."


_DISTANCES = ("stop_distance", "target_distance", "trail_distance", "max_hold_seconds")


def used_columns(strategy: type[Strategy], params: Any, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Columns of the frame that the source of ``strategy`` names, in frame order.

    A name that is put together counts where its beginning and a parameter's value make a column
    (``f"fwd_return_{params.horizon_seconds}"``).
    """
    words, starts = _named(strategy)
    values = params.model_dump() if hasattr(params, "model_dump") else dict(params)
    made = {f"{start}{value}" for start in starts for value in values.values()}
    return tuple(name for name in columns if name not in _CLOCK and (name in words or name in made))


@lru_cache(maxsize=256)
def _named(strategy: type[Strategy]) -> tuple[frozenset[str], frozenset[str]]:
    """String constants, and beginnings of f-strings, in the module of a strategy."""
    path = getattr(sys.modules.get(strategy.__module__), "__file__", None)
    if path is None or not path.endswith(".py"):
        return frozenset(), frozenset()
    words: set[str] = set()
    starts: set[str] = set()
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
            starts.add(str(node.values[0].value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value)
    return frozenset(words), frozenset(starts)


def _word(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
