"""From the kernel's events to trades, daily equity and counts, vectorised over all lanes of a chunk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from argus_core.replay.execution import closing_mark, commission, market_price
from argus_core.replay.results import (
    DATA_GAP,
    INSUFFICIENT_SIZE,
    NO_BUYING_POWER,
    TRADE_SCHEMA,
    UNKNOWN,
    ReplayResult,
    offered_labels,
)
from argus_core.settings import ExecutionSettings, Instrument

# Codes of the kernel's event byte; `lane_kernel` defines them, repeated here to keep JAX out of this module.
_EXIT_NAMES = np.array(["", "signal", "stop", "stop", "target", "time", "forced"])
_STOP, _STOP_OPEN, _TARGET, _TIME, _FORCED = 2, 3, 4, 5, 6
_SIGNAL = 1
_EXIT_MASK, _ENTRY, _PARTIAL, _REJECT_SHIFT = 7, 8, 16, 5
_REJECTS = ((1, DATA_GAP), (2, INSUFFICIENT_SIZE), (3, NO_BUYING_POWER))


@dataclass(frozen=True)
class MarketRows:
    """The lane-independent side of a replay; every array has one entry per bar. Built by `lanes.market_rows`."""

    frame: pl.DataFrame
    ts: np.ndarray
    end: np.ndarray
    entry_ts: np.ndarray
    warmup: np.ndarray
    decide: np.ndarray
    fill_row: np.ndarray
    dead: np.ndarray
    buy_reference: np.ndarray
    sell_reference: np.ndarray
    buy: np.ndarray
    sell: np.ndarray
    buy_open: np.ndarray
    sell_open: np.ndarray
    offered_lots: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    half_spread: np.ndarray
    signal_close: bool

    @cached_property
    def highest(self) -> list[np.ndarray]:
        return _range_table(self.high, np.maximum)

    @cached_property
    def lowest(self) -> list[np.ndarray]:
        return _range_table(self.low, np.minimum)

    @cached_property
    def labels(self) -> pl.DataFrame:
        """vol, trend and session label and trade date of every row; UNKNOWN where the frame has none."""
        columns = self.frame.columns
        return self.frame.select(
            *(
                (pl.col(name).cast(pl.String).fill_null(UNKNOWN) if name in columns else pl.lit(UNKNOWN)).alias(name)
                for name in ("vol_regime", "trend_regime", "session")
            ),
            pl.col("trade_date"),
        )

    @cached_property
    def offered(self) -> dict[str, tuple[str, ...]]:
        return offered_labels(self.frame)

    @cached_property
    def day_rows(self) -> np.ndarray:
        """Last row of every trade date that is not warm-up."""
        dates = self.frame["trade_date"]
        if dates.is_empty():
            return np.empty(0, np.int64)
        last = np.append((dates != dates.shift(-1)).fill_null(True).to_numpy()[:-1], True)
        return np.flatnonzero(last & ~self.warmup)


@dataclass(frozen=True)
class LaneEvents:
    """Bars at which something happened, sorted by lane, then row: lane, row, event byte, quantity, level."""

    lane: np.ndarray
    row: np.ndarray
    code: np.ndarray
    quantity: np.ndarray
    level: np.ndarray

    @classmethod
    def gather(cls, parts: list[tuple[np.ndarray, ...]]) -> LaneEvents:
        """Join the events of consecutive segments."""
        if not parts:
            none = np.empty(0, np.int64)
            return cls(none, none, none.astype(np.uint8), none.astype(float), none.astype(float))
        joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        order = np.argsort(joined[0].astype(np.uint8), kind="stable")
        return cls(*(array[order] for array in joined))


def lane_results(
    events: LaneEvents,
    market: MarketRows,
    lanes: int,
    instrument: Instrument,
    execution: ExecutionSettings,
    *,
    starting_cash: float,
    symbol: str,
) -> list[ReplayResult]:
    """Trades, daily equity and counts of ``lanes`` lanes from their events."""
    entries = (events.code & _ENTRY) != 0
    exits = (events.code & _EXIT_MASK) != 0
    n_entries = np.bincount(events.lane[entries], minlength=lanes)
    n_exits = np.bincount(events.lane[exits], minlength=lanes)
    offsets = np.concatenate([[0], np.cumsum(n_entries)])
    columns = _trade_columns(events, entries, exits, offsets, n_exits, market, instrument, execution)
    columns |= _equity_columns(columns["pnl"], offsets, starting_cash)
    trades = _trade_frame(columns, offsets, market, symbol)
    partials = np.bincount(events.lane[(events.code & _PARTIAL) != 0], minlength=lanes)
    reject = events.code >> _REJECT_SHIFT
    rejects = {name: np.bincount(events.lane[reject == code], minlength=lanes) for code, name in _REJECTS}
    tradable = int((~market.warmup).sum())
    results = []
    for lane in range(lanes):
        part = slice(offsets[lane], offsets[lane + 1])
        own = {name: values[part] for name, values in columns.items()}
        daily = _daily(own, market, execution, starting_cash, instrument.multiplier)
        traded = own["quantity"] * instrument.multiplier * (own["entry_price"] + own["exit_price"])
        mean_equity = float(daily["equity"].to_numpy().mean()) if daily.height else starting_cash
        results.append(
            ReplayResult(
                trades=trades.slice(offsets[lane], n_entries[lane]),
                daily=daily,
                fills=2 * int(n_entries[lane]),
                rejects={name: int(counts[lane]) for name, counts in rejects.items() if counts[lane]},
                partials=int(partials[lane]),
                starting_cash=float(starting_cash),
                final_equity=float(starting_cash + own["pnl"].sum()),
                exposure=float((own["exit_row"] - own["entry_row"]).sum() / tradable) if tradable else 0.0,
                turnover=float(traded.sum() / mean_equity) if mean_equity > 0 else 0.0,
                offered=market.offered,
            )
        )
    return results


def _trade_columns(
    events: LaneEvents,
    entries: np.ndarray,
    exits: np.ndarray,
    offsets: np.ndarray,
    n_exits: np.ndarray,
    market: MarketRows,
    instrument: Instrument,
    execution: ExecutionSettings,
) -> dict[str, np.ndarray]:
    """Per trade, lanes one after another: rows, prices, costs, pnl. The k-th exit of a lane ends its k-th entry."""
    entry_row = events.row[entries]
    lane = events.lane[entries]
    side = np.sign(events.quantity[entries])
    quantity = np.abs(events.quantity[entries])
    number = np.arange(len(lane)) - offsets[lane]
    closed = number < n_exits[lane]
    exit_offsets = np.concatenate([[0], np.cumsum(n_exits)])
    chosen = np.flatnonzero(exits)[(exit_offsets[lane] + number)[closed]]
    last = len(market.ts) - 1
    exit_row = np.full(len(lane), last)
    exit_row[closed] = events.row[chosen]
    code = np.full(len(lane), _FORCED)
    code[closed] = events.code[chosen] & _EXIT_MASK
    level = np.full(len(lane), np.nan)
    level[closed] = events.level[chosen]

    long = side > 0
    entry_reference = np.where(long, market.buy_reference[entry_row], market.sell_reference[entry_row])
    entry_price = np.where(long, market.buy[entry_row], market.sell[entry_row])
    # A market exit has a reference price; a limit at the target costs neither spread nor slippage.
    basis = np.where(long, market.sell_reference[exit_row], market.buy_reference[exit_row])
    opened = market.open[exit_row]
    at_open = (code == _STOP_OPEN) | ((code == _TIME) & market.signal_close)
    reference = np.select(
        [at_open, (code == _STOP) | (code == _TARGET), code == _FORCED], [opened, level, market.close[exit_row]], basis
    )
    market_exit = market_price(reference, -side, market.half_spread[exit_row], execution)
    exit_price = np.where(code == _TARGET, level, market_exit)
    fees = (
        commission(quantity, entry_price, instrument, execution),
        commission(quantity, exit_price, instrument, execution),
    )
    scale = quantity * instrument.multiplier
    return {
        "side": side,
        "quantity": quantity,
        "number": number,
        "entry_row": entry_row,
        "exit_row": exit_row,
        "code": code,
        "entry_price": entry_price,
        "exit_price": exit_price,
        "entry_fee": fees[0],
        "pnl": side * scale * (exit_price - entry_price) - fees[0] - fees[1],
        "costs": scale * (np.abs(entry_price - entry_reference) + np.abs(exit_price - reference)) + fees[0] + fees[1],
    }


def _equity_columns(pnl: np.ndarray, offsets: np.ndarray, starting_cash: float) -> dict[str, np.ndarray]:
    """Equity of each lane before and after each of its trades."""
    after = np.empty(len(pnl))
    for start, stop in pairwise(offsets):
        np.cumsum(pnl[start:stop], out=after[start:stop])
    after += starting_cash
    return {"equity_after": after, "equity_at_entry": after - pnl}


def _trade_frame(columns: dict[str, np.ndarray], offsets: np.ndarray, market: MarketRows, symbol: str) -> pl.DataFrame:
    entry_row, exit_row, code = columns["entry_row"], columns["exit_row"], columns["code"]
    closes_bar = np.isin(code, [_STOP, _TARGET, _FORCED])
    entry_us = market.entry_ts[entry_row]
    exit_us = np.where(closes_bar, market.end[exit_row], market.ts[exit_row])
    if market.signal_close:
        exit_us = np.where(code == _SIGNAL, market.entry_ts[exit_row], exit_us)
    mae, mfe = _excursions(columns, market)
    known = market.labels[entry_row if market.signal_close else entry_row - 1]
    at_entry = market.labels[entry_row]
    ids = [
        trade_id(symbol, us, side, number)
        for us, side, number in zip(
            entry_us.tolist(), columns["side"].astype(int).tolist(), columns["number"].tolist(), strict=True
        )
    ]
    frame = pl.DataFrame(
        {
            "trade_id": ids,
            "side": columns["side"],
            "quantity": columns["quantity"],
            "entry_ts": entry_us,
            "entry_price": columns["entry_price"],
            "exit_ts": exit_us,
            "exit_price": columns["exit_price"],
            "exit_reason": _EXIT_NAMES[code],
            "pnl": columns["pnl"],
            "costs": columns["costs"],
            "equity_at_entry": columns["equity_at_entry"],
            "trade_return": columns["pnl"] / columns["equity_at_entry"],
            "mae": mae,
            "mfe": mfe,
            "holding_seconds": (exit_us - entry_us) / 1e6,
            "entry_vol_regime": known["vol_regime"],
            "entry_trend_regime": known["trend_regime"],
            "entry_session": at_entry["session"],
            "entry_trade_date": at_entry["trade_date"],
            "exit_trade_date": market.labels["trade_date"][exit_row],
        },
        schema_overrides={"trade_id": pl.String, "exit_reason": pl.String},
    )
    return frame.with_columns(symbol=pl.lit(symbol), legs=pl.lit(""), flags=pl.lit("")).select(
        pl.col(name).cast(dtype) for name, dtype in TRADE_SCHEMA.items()
    )


def trade_id(symbol: str, entry_us: int, side: int, number: int) -> str:
    """First 16 hex digits of the SHA-256 of ``symbol|entry microseconds|side|number of the trade in its run``."""
    return hashlib.sha256(f"{symbol}|{entry_us}|{side}|{number}".encode()).hexdigest()[:16]


def _excursions(columns: dict[str, np.ndarray], market: MarketRows) -> tuple[np.ndarray, np.ndarray]:
    """mae and mfe over the bars held in full and the exit price, as fractions of the entry price."""
    code, side, entry = columns["code"], columns["side"], columns["entry_price"]
    first = columns["entry_row"] + int(market.signal_close)
    held_to_close = (code == _FORCED) | ((code == _SIGNAL) & market.signal_close)
    last = columns["exit_row"] - 1 + held_to_close
    exit_move = side * (columns["exit_price"] / entry - 1.0)
    high = side * (_range_value(market.highest, first, last, np.maximum) / entry - 1.0)
    low = side * (_range_value(market.lowest, first, last, np.minimum) / entry - 1.0)
    # fmin and fmax pass over the NaN of an empty range.
    mae = np.fmin(np.fmin(np.fmin(high, low), exit_move), 0.0)
    mfe = np.fmax(np.fmax(np.fmax(high, low), exit_move), 0.0)
    return mae, mfe


def _range_table(values: np.ndarray, best: Any) -> list[np.ndarray]:
    """Sparse table: level k holds the best of values[i : i + 2**k] (Bender & Farach-Colton 2000, section 3)."""
    levels = [values]
    width = 1
    while 2 * width <= len(values):
        previous = levels[-1]
        levels.append(best(previous[:-width], previous[width:]))
        width *= 2
    return levels


def _range_value(levels: list[np.ndarray], first: np.ndarray, last: np.ndarray, best: Any) -> np.ndarray:
    """Best value of rows first..last, both included; NaN where the range is empty."""
    out = np.full(len(first), np.nan)
    length = last - first + 1
    some = length > 0
    # Exact for lengths below 2**52.
    exponent = np.frexp(np.maximum(length, 1).astype(float))[1] - 1
    for k in np.unique(exponent[some]):
        at = some & (exponent == k)
        table = levels[int(k)]
        out[at] = best(table[first[at]], table[last[at] + 1 - (1 << int(k))])
    return out


def _daily(
    own: dict[str, np.ndarray],
    market: MarketRows,
    execution: ExecutionSettings,
    starting_cash: float,
    multiplier: float,
) -> pl.DataFrame:
    """Equity at the last bar of every trade date after warm-up, and its return."""
    rows = market.day_rows
    done = np.searchsorted(own["exit_row"], rows, side="right")
    started = np.searchsorted(own["entry_row"], rows, side="right")
    equity = np.concatenate([[starting_cash], own["equity_after"]])[done]
    held = np.flatnonzero(started > done)
    if len(held):
        trade, row = done[held], rows[held]
        side, scale = own["side"][trade], own["quantity"][trade] * multiplier
        mark = closing_mark(market.close[row], side, market.half_spread[row], execution)
        equity[held] += side * scale * (mark - own["entry_price"][trade]) - own["entry_fee"][trade]
    before = np.concatenate([[starting_cash], equity[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(before > 0, equity / before - 1.0, 0.0)
    return pl.DataFrame({"trade_date": market.labels["trade_date"][rows], "equity": equity, "daily_return": change})
