"""What a replay needs of a decision frame, the same for all lanes: checked, as arrays, with fill rows and prices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from argus_core.accelerator import bucket
from argus_core.replay.execution import LOT_SLACK, closing_mark, market_price
from argus_core.replay.frame_checks import checked_numbers, split_counts
from argus_core.replay.results import UNKNOWN, offered_labels
from argus_core.settings import ExecutionSettings, Instrument

#: Price basis -> when a decision fills: at an open, at the close of its own bar, at the close of a later bar.
_BASES = {"next_open": "open", "next_worst": "open", "signal_close": "decision", "next_close": "close"}


@dataclass(frozen=True)
class MarketRows:
    """The lane-independent side of a replay; every array has one entry per bar. Built by `market_rows`.

    Attributes:
        basis: "open", "decision" or "close": where a decision fills.
        entry_ts: microseconds that a fill of a decision at this row is stamped with.
        fill_row, dead: row at which a decision fills, and whether missing data lie on the way.
        buy_reference, buy, buy_open: price before costs, after costs, and at the open after costs; sell alike.
        mark_long, mark_short: price at which a position is marked.
        offered_lots: most lots that an order gets.
        splits: moves that look like an unadjusted split, up to each open and each close (`split_counts`).
    """

    frame: pl.DataFrame
    basis: str
    ts: np.ndarray
    end: np.ndarray
    entry_ts: np.ndarray
    warmup: np.ndarray
    decide_mask: np.ndarray
    fill_row: np.ndarray
    dead: np.ndarray
    buy_reference: np.ndarray
    sell_reference: np.ndarray
    buy: np.ndarray
    sell: np.ndarray
    buy_open: np.ndarray
    sell_open: np.ndarray
    mark_long: np.ndarray
    mark_short: np.ndarray
    offered_lots: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    half_spread: np.ndarray
    splits: tuple[np.ndarray, np.ndarray] | None

    def crosses_split(self, entry_row: Any, exit_row: Any) -> Any:
        """Whether a lot was held through what looks like an unadjusted split; an exit on that very bar counts."""
        if self.splits is None:
            return np.zeros(np.shape(entry_row), bool)
        by_open, by_close = self.splits
        return (by_open if self.basis == "open" else by_close)[entry_row] < by_close[exit_row]

    @property
    def padded(self) -> int:
        """Rows that the kernel is compiled for."""
        return bucket(len(self.ts), smallest=512)

    @cached_property
    def on_device(self) -> Any:
        """The rows as the kernel takes them, padded and on the device."""
        from argus_core.replay.lane_kernel import Rows, on_device

        def stretched(values: np.ndarray, dtype: Any) -> np.ndarray:
            filled = np.zeros(self.padded, dtype)
            filled[: len(values)] = values
            return filled

        # Beyond every time, so that a search for a time past the end finds the padding.
        ts = np.full(self.padded, np.inf)
        ts[: len(self.ts)] = self.ts
        kinds = {"fill_row": np.int32, "dead": np.bool_}
        columns = [
            ts if name == "ts" else stretched(getattr(self, name), kinds.get(name, np.float64))
            for name in Rows._fields
            if name != "count"
        ]
        return Rows(*on_device((np.int32(len(self.ts)), *columns)))

    @cached_property
    def highest(self) -> list[np.ndarray]:
        return range_table(self.high, np.maximum)

    @cached_property
    def lowest(self) -> list[np.ndarray]:
        return range_table(self.low, np.minimum)

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

    @cached_property
    def day_dates(self) -> pl.Series:
        """Trade date of each of `day_rows`."""
        return self.frame["trade_date"].gather(self.day_rows)


def market_rows(frame: pl.DataFrame, instrument: Instrument, execution: ExecutionSettings) -> MarketRows:
    """Everything of a decision frame that a replay needs and that is the same for all lanes.

    Raises:
        ValueError: if the frame cannot be replayed (`checked_numbers`).
    """
    numbers = checked_numbers(frame)
    ts, end, available = (frame[name].dt.timestamp("us").to_numpy() for name in ("ts", "end", "available_at"))
    basis = _BASES[execution.price_basis]
    height = frame.height
    warmup = _optional(frame, "warmup", pl.Boolean, False).to_numpy()
    opened, close, spread = numbers["open"], numbers["close"], numbers["half_spread"]
    fill_row, dead = fill_rows(frame, ts, available, instrument, execution)
    if basis == "open":
        worst = execution.price_basis == "next_worst"
        buy_reference = numbers["high"] if worst else opened
        sell_reference = numbers["low"] if worst else opened
    else:
        buy_reference = sell_reference = close
    decide = ~warmup
    if height:
        decide[-1] = False
    return MarketRows(
        frame=frame,
        basis=basis,
        ts=ts,
        end=end,
        entry_ts={"open": ts, "decision": available, "close": end}[basis],
        warmup=warmup,
        decide_mask=decide * np.uint8(255),
        fill_row=fill_row,
        dead=dead,
        buy_reference=buy_reference,
        sell_reference=sell_reference,
        buy=market_price(buy_reference, 1, spread, execution),
        sell=market_price(sell_reference, -1, spread, execution),
        buy_open=market_price(opened, 1, spread, execution),
        sell_open=market_price(opened, -1, spread, execution),
        mark_long=closing_mark(close, 1, spread, execution),
        mark_short=closing_mark(close, -1, spread, execution),
        offered_lots=np.floor(execution.participation * numbers["volume"] / instrument.lot + LOT_SLACK),
        splits=split_counts(frame, instrument),
        **numbers,
    )


def fill_rows(
    frame: pl.DataFrame, ts: np.ndarray, available: np.ndarray, instrument: Instrument, execution: ExecutionSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Row at which a decision of each row fills (the height: never), and whether too much data is missing before."""
    height = frame.height
    if execution.price_basis == "signal_close":
        return np.arange(height), np.zeros(height, bool)
    after = np.searchsorted(ts, available + round(execution.latency_seconds * 1e6), side="left")
    row = np.maximum(after, np.arange(height) + 1)
    if not height:
        return row, np.zeros(0, bool)
    lost = np.cumsum(_optional(frame, "missing_before", pl.Int64, 0).to_numpy())
    gone = (lost[np.minimum(row, height - 1)] - lost) * instrument.bar_seconds
    return row, gone > execution.max_gap_seconds


def range_table(values: np.ndarray, best: Any) -> list[np.ndarray]:
    """Sparse table: level k holds the best of values[i : i + 2**k] (Bender & Farach-Colton 2000, section 3)."""
    levels = [values]
    width = 1
    while 2 * width <= len(values):
        previous = levels[-1]
        levels.append(best(previous[:-width], previous[width:]))
        width *= 2
    return levels


def range_value(levels: list[np.ndarray], first: np.ndarray, last: np.ndarray, best: Any) -> np.ndarray:
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


def _optional(frame: pl.DataFrame, name: str, dtype: Any, default: Any) -> pl.Series:
    if name not in frame.columns:
        return pl.repeat(default, frame.height, dtype=dtype, eager=True)
    return frame[name].cast(dtype).fill_null(default)
