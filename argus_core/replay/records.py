"""The record of a callback replay: trades, daily equity, counts, and the result they make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from argus_core.replay.accounting import Position
from argus_core.replay.results import DAILY_SCHEMA, REJECT_REASONS, TRADE_SCHEMA, UNKNOWN, ReplayResult, offered_labels
from argus_core.strategies.interface import Leg


class Recorder:
    """Collects what happened; ``fills`` and ``partials`` are counted by the engine."""

    def __init__(self, frames: Mapping[str, pl.DataFrame], starting_cash: float) -> None:
        """``frames``: decision frame of every symbol, the primary one first."""
        self._frames, self._symbol, self._starting_cash = frames, next(iter(frames)), float(starting_cash)
        self._trades: list[dict[str, Any]] = []
        self._days: list[tuple[date, float]] = []
        self._rejects: dict[str, int] = {}
        self._numbers = 0
        self._labels: dict[tuple[str, str], list[Any]] = {}
        self._traded = 0.0
        self.fills = 0
        self.partials = 0

    def next_number(self) -> int:
        """Number of the next position, from 0 in order of entry."""
        self._numbers += 1
        return self._numbers - 1

    def reject(self, reason: str) -> None:
        """Count one order that died."""
        self._rejects[reason] = self._rejects.get(reason, 0) + 1

    def day(self, trade_date: date, equity: float) -> None:
        """Note the equity at the last bar of ``trade_date``."""
        self._days.append((trade_date, equity))

    def trade(
        self, position: Position, price: float, fee: float, cost: float, reason: str, when_us: int, row: int
    ) -> None:
        """Note that ``position`` was closed at the oriented ``price`` at row ``row``; counts one fill.

        Args:
            fee: commission of the exit in dollars.
            cost: spread, slippage and commission of the exit in dollars.
        """
        self.fills += 1
        symbol = position.symbol or self._symbol
        pnl = position.pnl(price, fee)
        entry = position.entry_price
        self._traded += position.quantity * position.multiplier * (abs(entry) + abs(price))
        moves = [position.side * (x / entry - 1.0) for x in (position.low, position.high, price) if _usable(x, entry)]
        self._trades.append(
            {
                "trade_id": f"{symbol}-{position.entry_us}-{'L' if position.side > 0 else 'S'}-{position.number}",
                "symbol": symbol,
                "side": position.side,
                "quantity": position.quantity,
                "entry_ts": position.entry_us,
                "entry_price": entry,
                "exit_ts": when_us,
                "exit_price": price,
                "exit_reason": reason,
                "pnl": pnl,
                "costs": position.costs + cost,
                "equity_at_entry": position.equity_at_entry,
                "trade_return": pnl / position.equity_at_entry,
                "mae": min([0.0, *moves]),
                "mfe": max([0.0, *moves]),
                "holding_seconds": (when_us - position.entry_us) / 1e6,
                "entry_vol_regime": self._label(symbol, "vol_regime", position.label_row),
                "entry_trend_regime": self._label(symbol, "trend_regime", position.label_row),
                "entry_session": self._label(symbol, "session", position.entry_row),
                "entry_trade_date": self._label(symbol, "trade_date", position.entry_row),
                "exit_trade_date": self._label(symbol, "trade_date", row),
                "legs": legs_json(position.opened_legs),
                "flags": ",".join(sorted(position.flags)),
            }
        )

    def result(self, cash: float, *, exposure_bars: int, bars: int, decisions: tuple) -> ReplayResult:
        """The finished run; every position must be closed by now, so ``cash`` is its final equity."""
        trades = pl.DataFrame(
            {name: [t[name] for t in self._trades] for name in TRADE_SCHEMA},
            schema={n: pl.Int64 if n in ("entry_ts", "exit_ts") else d for n, d in TRADE_SCHEMA.items()},
        )
        trades = trades.with_columns(pl.col(name).cast(TRADE_SCHEMA[name]) for name in ("entry_ts", "exit_ts"))
        equities = [equity for _, equity in self._days]
        before = [self._starting_cash, *equities[:-1]]
        changes = [e / b - 1.0 if b > 0 else 0.0 for e, b in zip(equities, before, strict=bool(equities))]
        daily = pl.DataFrame(
            {"trade_date": [d for d, _ in self._days], "equity": equities, "daily_return": changes[: len(equities)]},
            schema=dict(DAILY_SCHEMA),
        )
        mean_equity = sum(equities) / len(equities) if equities else self._starting_cash
        return ReplayResult(
            trades=trades.sort("exit_ts", "entry_ts", maintain_order=True),
            daily=daily,
            fills=self.fills,
            rejects={name: self._rejects[name] for name in REJECT_REASONS if name in self._rejects},
            partials=self.partials,
            starting_cash=self._starting_cash,
            final_equity=cash,
            exposure=exposure_bars / bars if bars else 0.0,
            turnover=self._traded / mean_equity if mean_equity > 0 else 0.0,
            decisions=decisions,
            offered=offered_labels(self._frames[self._symbol]),
        )

    def _label(self, symbol: str, name: str, row: int) -> Any:
        values = self._labels.get((symbol, name))
        if values is None:
            frame = self._frames[symbol]
            if name not in frame.columns:
                values = [UNKNOWN] * frame.height
            elif name == "trade_date":
                values = frame[name].to_list()
            else:
                values = frame[name].cast(pl.String).fill_null(UNKNOWN).to_list()
            self._labels[symbol, name] = values
        return values[row]


def legs_json(legs: Sequence[Leg]) -> str:
    """The legs of a trade as JSON, "" for shares."""
    if not legs:
        return ""
    fields = ("contract", "expiry", "strike", "right", "quantity")
    return json.dumps(
        [{name: str(v) if name == "expiry" else v for name in fields for v in (getattr(leg, name),)} for leg in legs],
        separators=(",", ":"),
    )


def _usable(price: float, entry: float) -> bool:
    return entry > 0.0 and abs(price) != float("inf")
