"""The record of a callback replay: trades, daily equity, counts, and the result they make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from argus_core.replay.accounting import Position
from argus_core.replay.results import DAILY_SCHEMA, REJECT_REASONS, TRADE_SCHEMA, UNKNOWN, ReplayResult, offered_labels

#: Column of the trade table -> column of the decision frame, and which row of the trade it is read at.
_LABELS = {
    "entry_vol_regime": ("vol_regime", "label_row"),
    "entry_trend_regime": ("trend_regime", "label_row"),
    "entry_session": ("session", "entry_row"),
    "entry_trade_date": ("trade_date", "entry_row"),
    "exit_trade_date": ("trade_date", "exit_row"),
}


class Recorder:
    """Collects what happened; ``fills`` and ``partials`` are counted by the engine.

    Args:
        frames: decision frame of every symbol, the primary one first.
    """

    def __init__(self, frames: Mapping[str, pl.DataFrame], starting_cash: float) -> None:
        self._frames, self._symbol, self._starting_cash = frames, next(iter(frames)), float(starting_cash)
        self._trades: list[dict[str, Any]] = []
        self._day_rows: list[int] = []
        self._equities: list[float] = []
        self._rejects: dict[str, int] = {}
        self._numbers = 0
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

    def day(self, row: int, equity: float) -> None:
        """Note the equity at row ``row`` of the primary symbol, the last of its trade date."""
        self._day_rows.append(row)
        self._equities.append(equity)

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
                "risk": position.risk,
                "mae": min([0.0, *moves]),
                "mfe": max([0.0, *moves]),
                "holding_seconds": (when_us - position.entry_us) / 1e6,
                "legs": legs_json(position),
                "flags": ",".join(sorted(position.flags)),
                "label_row": position.label_row,
                "entry_row": position.entry_row,
                "exit_row": row,
            }
        )

    def result(self, cash: float, *, exposure_bars: int, bars: int, decisions: tuple) -> ReplayResult:
        """The finished run; every position must be closed by now, so ``cash`` is its final equity."""
        before = [self._starting_cash, *self._equities[:-1]]
        changes = [e / b - 1.0 if b > 0 else 0.0 for e, b in zip(self._equities, before, strict=bool(self._equities))]
        daily = pl.DataFrame(
            {
                "trade_date": self._frames[self._symbol]["trade_date"].gather(self._day_rows),
                "equity": self._equities,
                "daily_return": changes,
            },
            schema=dict(DAILY_SCHEMA),
        )
        mean_equity = sum(self._equities) / len(self._equities) if self._equities else self._starting_cash
        return ReplayResult(
            trades=self._trade_table(),
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

    def _trade_table(self) -> pl.DataFrame:
        """All trades in order of exit, then entry; labels are looked up symbol by symbol."""
        trades = sorted(self._trades, key=lambda t: (t["exit_ts"], t["entry_ts"]))
        columns: dict[str, Any] = {name: [t[name] for t in trades] for name in TRADE_SCHEMA if name not in _LABELS}
        symbols = np.array(columns["symbol"], dtype=object)
        for name, (source, at) in _LABELS.items():
            found = np.full(len(trades), UNKNOWN, dtype=object)
            rows = np.array([t[at] for t in trades], dtype=np.int64)
            for symbol in dict.fromkeys(columns["symbol"]):
                frame, mine = self._frames[symbol], symbols == symbol
                if source in frame.columns:
                    values = frame[source].gather(rows[mine])
                    if source != "trade_date":
                        values = values.cast(pl.String).fill_null(UNKNOWN)
                    found[mine] = values.to_list()
            columns[name] = found.tolist()
        times = ("entry_ts", "exit_ts")
        schema = {name: pl.Int64() if name in times else dtype for name, dtype in TRADE_SCHEMA.items()}
        table = pl.DataFrame({name: columns[name] for name in TRADE_SCHEMA}, schema=schema)
        return table.with_columns(pl.col(name).cast(TRADE_SCHEMA[name]) for name in times)


def legs_json(position: Position) -> str:
    """The legs of a trade as JSON with the price at which each was opened and closed, "" for shares."""
    if not position.opened_legs:
        return ""
    told = [
        {
            "contract": leg.contract,
            "expiry": str(leg.expiry),
            "strike": leg.strike,
            "right": leg.right,
            "quantity": leg.quantity,
            "entry_price": round(entry, 6),
            "exit_price": round(position.leg_exits[leg.contract], 6),
        }
        for leg, entry in zip(position.opened_legs, position.leg_entries, strict=True)
    ]
    return json.dumps(told, separators=(",", ":"))


def _usable(price: float, entry: float) -> bool:
    return entry > 0.0 and abs(price) != float("inf")
