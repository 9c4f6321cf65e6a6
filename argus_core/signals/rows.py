"""Signals as rows: one per decision to enter or to leave, with an id that depends on nothing but the decision."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import polars as pl

from argus_core.experiments.rows import as_json
from argus_core.signals.explanation import explain
from argus_core.strategies.interface import INTENT_COLUMNS, Intent, Leg, Strategy

UTC_US = pl.Datetime("us", "UTC")

#: One row per signal, in order of time. docs/signals.md says what each column means.
SIGNAL_SCHEMA: Mapping[str, pl.DataType] = {
    "signal_id": pl.String(),
    "available_at": UTC_US,
    "bar_end": UTC_US,
    "trade_date": pl.Date(),
    "symbol": pl.String(),
    "strategy": pl.String(),
    "params": pl.String(),
    "direction": pl.Int8(),
    "kind": pl.String(),
    "confidence": pl.Float64(),
    "explanation": pl.String(),
    "regime": pl.String(),
    "intent": pl.String(),
    "code_hash": pl.String(),
    "pack_hash": pl.String(),
}

#: Scope of the regime snapshot -> column of the decision frame.
REGIME_COLUMNS: Mapping[str, str] = {
    "vol": "vol_regime",
    "trend": "trend_regime",
    "liquidity": "liquidity_regime",
    "risk": "risk_regime",
    "session": "session",
    "flow": "global_risk_flow",
}

ENTRY, EXIT = "entry", "exit"
#: Confidence of an exit: leaving is no forecast.
EXIT_CONFIDENCE = 1.0


@dataclass(frozen=True)
class Origin:
    """Where signals come from: one strategy with one parameter set on one pack.

    ``default_confidence`` is that of entries for which the strategy gives none.
    """

    strategy: type[Strategy]
    params: Any
    symbol: str
    code_hash: str
    pack_hash: str
    default_confidence: float = 0.5

    @property
    def values(self) -> dict[str, Any]:
        return self.params.model_dump(mode="json") if hasattr(self.params, "model_dump") else dict(self.params)


def signal_id(
    strategy: str, params: Mapping[str, Any], symbol: str, moment_us: int, direction: int, number: int = 0
) -> str:
    """16 hex digits over what makes a signal: strategy, parameters, symbol, decision time and direction.

    Args:
        moment_us: decision time, microseconds since the epoch.
        number: how many signals with all of that equal came before; only then does it count.
    """
    parts: list[Any] = [strategy, as_json(params), symbol, moment_us, direction]
    text = json.dumps(parts + ([number] if number else []), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def signals_from_intents(intents: pl.DataFrame, frame: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """Signals of a columnar strategy.

    A wish that stands is one signal: an entry where ``enter`` is not 0 and differs from the row before, an exit where
    ``exit`` becomes true. Whether an order was filled or a position held is the replay's matter. The last row counts:
    it is the newest decision. Warm-up rows do not.

    Args:
        intents: intent frame of the same height as ``frame``.
        frame: decision frame.
        origin: strategy, parameters, symbol and hashes.

    Raises:
        ValueError: if the heights differ or a confidence lies outside 0..1.
    """
    if intents.height != frame.height:
        raise ValueError(f"{intents.height} rows of intents for {frame.height} rows of the decision frame")
    enter = intents["enter"].cast(pl.Int8).fill_null(0).to_numpy()
    leave = _flags(intents, "exit")
    live = ~_flags(frame, "warmup")
    # What stood during the warm-up is first said after it.
    before = np.concatenate([[0], np.where(live, enter, 0)[:-1]])
    left = np.concatenate([[False], (live & leave)[:-1]])
    entries = np.flatnonzero(live & (enter != 0) & (enter != before))
    exits = np.flatnonzero(live & leave & ~left & (enter == 0))
    rows = sorted([(int(row), int(enter[row])) for row in entries] + [(int(row), 0) for row in exits])
    given = {
        name: intents[name].cast(dtype)
        for name, dtype in INTENT_COLUMNS.items()
        if name in intents.columns and name not in ("enter", "exit", "confidence")
    }
    confidence = intents["confidence"] if "confidence" in intents.columns else None
    build = _Builder(frame, origin)
    for row, direction in rows:
        wanted = {name: column[row] for name, column in given.items()} if direction else {}
        own = None if confidence is None or not direction else confidence[row]
        build.add(row, direction, ENTRY if direction else EXIT, own, wanted)
    return build.frame_of_signals()


def signals_from_decisions(
    decisions: Sequence[tuple[int, Intent]], frame: pl.DataFrame, origin: Origin
) -> pl.DataFrame:
    """Signals of a callback strategy, from ``ReplayResult.decisions``.

    Opening intents are entries, closing ones exits; cancelled orders are neither. The direction of an option structure
    is that of its payoff (`structure_direction`).

    Args:
        decisions: (microseconds, intent), in order.
        frame: the decision frame they were taken on; each belongs to the newest row available by then.
        origin: strategy, parameters, primary symbol and hashes.

    Raises:
        ValueError: if a confidence lies outside 0..1.
    """
    times = frame["available_at"].dt.timestamp("us").to_numpy()
    build = _Builder(frame, origin)
    for moment, intent in decisions:
        if intent.action == "cancel":
            continue
        row = int(np.searchsorted(times, moment, side="right")) - 1
        if row < 0:
            continue
        opens = intent.action == "open"
        direction = (structure_direction(intent.legs) if intent.legs else intent.side) if opens else 0
        wanted = _given_values(intent)
        build.add(
            row,
            direction,
            ENTRY if opens else EXIT,
            intent.confidence if opens else None,
            wanted,
            moment,
            intent.symbol,
        )
    return build.frame_of_signals()


def structure_direction(legs: Sequence[Leg]) -> int:
    """+1 where the structure gains more from a large rise than from an equal fall, -1 the other way, 0 where equal.

    Judged by the payoff at expiry far above and equally far below the middle of the strikes: a put credit spread is
    +1, a straddle, a condor and a calendar 0.
    """
    strikes = [leg.strike for leg in legs]
    middle, reach = sum(strikes) / len(strikes), 10.0 * (max(strikes) - min(strikes) + 1.0)

    def payoff(price: float) -> float:
        return sum(
            leg.quantity * max((price - leg.strike) if leg.right == "C" else (leg.strike - price), 0.0) for leg in legs
        )

    difference = payoff(middle + reach) - payoff(middle - reach)
    return 0 if abs(difference) < 1e-9 * reach else (1 if difference > 0 else -1)


class _Builder:
    """Collects signals of one origin."""

    def __init__(self, frame: pl.DataFrame, origin: Origin) -> None:
        self.frame, self.origin = frame, origin
        self.values = origin.values
        self.params = as_json(self.values)
        self.rows: list[dict[str, Any]] = []
        self.counted: Counter[tuple[Any, ...]] = Counter()
        self.explain: Callable[..., str] = explain

    def add(
        self,
        row: int,
        direction: int,
        kind: str,
        confidence: float | None,
        wanted: Mapping[str, Any],
        moment: int | None = None,
        symbol: str | None = None,
    ) -> None:
        origin, values = self.origin, self.frame.row(row, named=True)
        name = symbol or origin.symbol
        at = round(values["available_at"].timestamp() * 1e6) if moment is None else moment
        key = (name, at, direction)
        number, self.counted[key] = self.counted[key], self.counted[key] + 1
        told = {k: v for k, v in wanted.items() if v is not None and not (isinstance(v, float) and not isfinite(v))}
        self.rows.append(
            {
                "signal_id": signal_id(origin.strategy.strategy_id, self.values, name, at, direction, number),
                "available_at": at,
                "bar_end": values["end"],
                "trade_date": values["trade_date"],
                "symbol": name,
                "strategy": origin.strategy.strategy_id,
                "params": self.params,
                "direction": direction,
                "kind": kind,
                "confidence": self._confidence(confidence, kind, values),
                "explanation": self.explain(origin.strategy, origin.params, values, kind, direction, told),
                "regime": as_json({scope: values.get(column) for scope, column in REGIME_COLUMNS.items()}),
                "intent": as_json(told),
                "code_hash": origin.code_hash,
                "pack_hash": origin.pack_hash,
            }
        )

    def _confidence(self, own: float | None, kind: str, values: Mapping[str, Any]) -> float:
        if own is None or own != own:
            return EXIT_CONFIDENCE if kind == EXIT else self.origin.default_confidence
        if not 0.0 <= own <= 1.0:
            raise ValueError(
                f"{self.origin.strategy.strategy_id}: confidence {own} at {values['available_at']} lies outside 0..1"
            )
        return float(own)

    def frame_of_signals(self) -> pl.DataFrame:
        columns = {name: [row[name] for row in self.rows] for name in SIGNAL_SCHEMA}
        stamps = pl.Series("available_at", columns.pop("available_at"), pl.Int64).cast(UTC_US)
        made = pl.DataFrame(columns, schema={n: t for n, t in SIGNAL_SCHEMA.items() if n != "available_at"})
        return made.with_columns(stamps).select(*SIGNAL_SCHEMA).sort("available_at", maintain_order=True)


def _flags(frame: pl.DataFrame, name: str) -> np.ndarray:
    if name not in frame.columns:
        return np.zeros(frame.height, bool)
    return frame[name].cast(pl.Boolean).fill_null(False).to_numpy()


def _given_values(intent: Intent) -> dict[str, Any]:
    """What an intent asks for beyond the defaults; legs as plain rows."""
    plain = Intent(intent.action)
    told: dict[str, Any] = {}
    for name in Intent.__slots__:
        value = getattr(intent, name)
        if name in ("action", "side", "symbol", "confidence") or value == getattr(plain, name):
            continue
        told[name] = [{n: getattr(leg, n) for n in Leg.__slots__} for leg in value] if name == "legs" else value
    return told
