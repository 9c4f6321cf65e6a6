"""Replay of columnar strategies: many parameter sets over one symbol's decision frame, as lanes of one JAX kernel.

Fill rules: `execution` and docs/replay.md. Lanes run in chunks of at most `MAX_LANES`, bars in segments of a fixed
length, so two lane widths and two segment lengths are all that is ever compiled, and memory does not grow with the
number of lanes beyond their results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from argus_core.replay.execution import LOT_SLACK, market_price
from argus_core.replay.lane_trades import LaneEvents, MarketRows, lane_results
from argus_core.replay.results import ReplayResult
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import INTENT_COLUMNS

#: Most lanes of one kernel call.
MAX_LANES = 64
_LANE_WIDTHS = (8, MAX_LANES)
_SHORT_SEGMENT, _LONG_SEGMENT = 512, 8192

#: What an intent column means where it is absent or null.
_DEFAULTS = {
    "size": 1.0,
    "quantity": np.nan,
    "stop_distance": np.inf,
    "target_distance": np.inf,
    "max_hold_seconds": np.inf,
}

_REQUIRED = ("ts", "end", "available_at", "trade_date", "open", "high", "low", "close", "volume", "half_spread")


def replay_lanes(
    frame: pl.DataFrame,
    lanes: Iterable[pl.DataFrame],
    instrument: Instrument,
    execution: ExecutionSettings,
    *,
    starting_cash: float,
    symbol: str,
) -> list[ReplayResult]:
    """Replay every lane of intents over one symbol's decision frame.

    Args:
        frame: decision frame, one row per bar, ascending ``ts`` (docs/replay.md lists its columns).
        lanes: one intent frame per parameter set (`INTENT_COLUMNS`, ``enter`` required), each as high as ``frame``.
            A generator is consumed chunk by chunk.
        instrument: lot, tick, multiplier, asset class.
        execution: fill convention.
        starting_cash: dollars of every lane at the start.
        symbol: name written into the trades and their ids.

    Returns:
        One result per lane, in order. A lane's result does not depend on the other lanes.

    Raises:
        ValueError: if a column is missing or unknown, a height differs, or a value is not usable.
    """
    market = market_rows(frame, instrument, execution)
    results: list[ReplayResult] = []
    for chunk in _chunks(lanes):
        prepared = [_lane(lane, frame.height, number + len(results)) for number, lane in enumerate(chunk)]
        events = _run(market, prepared, instrument, execution, starting_cash)
        results += lane_results(
            events, market, len(prepared), instrument, execution, starting_cash=starting_cash, symbol=symbol
        )
    return results


def market_rows(frame: pl.DataFrame, instrument: Instrument, execution: ExecutionSettings) -> MarketRows:
    """Everything of a decision frame that a replay needs and that is the same for all lanes, as NumPy arrays.

    Raises:
        ValueError: if a column is missing, ``ts`` does not ascend, or prices hold nulls.
    """
    missing = [name for name in _REQUIRED if name not in frame.columns]
    if missing:
        raise ValueError(f"decision frame: no column {', '.join(missing)}. Found: {', '.join(frame.columns)}.")
    numbers = {
        name: frame[name].cast(pl.Float64).to_numpy()
        for name in ("open", "high", "low", "close", "volume", "half_spread")
    }
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"decision frame: {name} holds a null or a number that is not finite at row "
                f"{int(np.flatnonzero(~np.isfinite(values))[0])}. Gate the bars before replay."
            )
    ts, end, available = (frame[name].dt.timestamp("us").to_numpy() for name in ("ts", "end", "available_at"))
    if (np.diff(ts) <= 0).any():
        raise ValueError("decision frame: ts must ascend without duplicates. Sort it and drop duplicate bars.")
    height = frame.height
    warmup = _optional(frame, "warmup", pl.Boolean, False).to_numpy()
    lost = np.cumsum(_optional(frame, "missing_before", pl.Int64, 0).to_numpy())
    opened, close, spread = numbers["open"], numbers["close"], numbers["half_spread"]
    signal_close = execution.price_basis == "signal_close"
    if signal_close:
        fill_row = np.arange(height)
        dead = np.zeros(height, bool)
        buy_reference = sell_reference = close
    else:
        after = np.searchsorted(ts, available + round(execution.latency_seconds * 1e6), side="left")
        fill_row = np.maximum(after, np.arange(height) + 1)
        reached = np.minimum(fill_row, height - 1)
        gone = (lost[reached] - lost) * instrument.bar_seconds if height else lost
        dead = gone > execution.max_gap_seconds
        worst = execution.price_basis == "next_worst"
        buy_reference = numbers["high"] if worst else opened
        sell_reference = numbers["low"] if worst else opened
    decide = ~warmup
    if height:
        decide[-1] = False
    return MarketRows(
        frame=frame,
        ts=ts,
        end=end,
        entry_ts=available if signal_close else ts,
        warmup=warmup,
        decide=decide,
        fill_row=fill_row,
        dead=dead,
        buy_reference=buy_reference,
        sell_reference=sell_reference,
        buy=market_price(buy_reference, 1, spread, execution),
        sell=market_price(sell_reference, -1, spread, execution),
        buy_open=market_price(opened, 1, spread, execution),
        sell_open=market_price(opened, -1, spread, execution),
        offered_lots=np.floor(execution.participation * numbers["volume"] / instrument.lot + LOT_SLACK),
        signal_close=signal_close,
        **numbers,
    )


@dataclass(frozen=True)
class _Lane:
    """Intents of one lane as arrays; a value that is equal at every entry is kept as one number."""

    enter: np.ndarray
    leave: np.ndarray
    values: dict[str, float | np.ndarray]


def _lane(intents: pl.DataFrame, height: int, number: int) -> _Lane:
    where = f"lane {number}"
    if intents.height != height:
        raise ValueError(f"{where}: {intents.height} rows of intents for {height} rows of the decision frame.")
    unknown = [name for name in intents.columns if name not in INTENT_COLUMNS]
    if unknown or "enter" not in intents.columns:
        raise ValueError(
            f"{where}: intent columns {intents.columns}; `enter` is required, allowed: {', '.join(INTENT_COLUMNS)}."
        )
    enter = intents["enter"].cast(pl.Int8).fill_null(0).to_numpy()
    if len(enter) and (enter.min() < -1 or enter.max() > 1):
        raise ValueError(f"{where}: enter must be -1, 0 or +1.")
    leave = _optional(intents, "exit", pl.Boolean, False).to_numpy()
    at = np.flatnonzero(enter)
    values: dict[str, float | np.ndarray] = {}
    for name, default in _DEFAULTS.items():
        values[name] = default
        if name not in intents.columns or not len(at):
            continue
        column = intents[name].cast(pl.Float64).fill_null(default).to_numpy()
        used = column[at]
        if np.isnan(used).any():
            column = np.where(np.isnan(column), default, column)
            used = column[at]
        if (used < 0).any():
            raise ValueError(f"{where}: {name} is negative at row {int(at[np.flatnonzero(used < 0)[0]])}.")
        same = (used == used[0]).all() or np.isnan(used).all()
        values[name] = float(used[0]) if same else column
    return _Lane(enter, leave, values)


def _run(
    market: MarketRows,
    lanes: list[_Lane],
    instrument: Instrument,
    execution: ExecutionSettings,
    starting_cash: float,
) -> LaneEvents:
    """Run the kernel over all segments and gather the bars at which something happened."""
    # JAX is slow to import: only where a kernel runs.
    from argus_core.replay.lane_kernel import VALUE_COLUMNS, State, Terms, lane_kernel

    height = len(market.ts)
    width = next(w for w in _LANE_WIDTHS if w >= len(lanes))
    segment = _SHORT_SEGMENT if height <= _LONG_SEGMENT // 2 else _LONG_SEGMENT
    names = [name.replace("_us", "_seconds") for name in VALUE_COLUMNS]
    per_bar = tuple(any(isinstance(lane.values[name], np.ndarray) for lane in lanes) for name in names)
    kernel = lane_kernel(signal_close=market.signal_close, crypto=instrument.is_crypto, per_bar=per_bar)
    scale = execution.cost_multiplier
    terms = Terms(
        leverage=execution.leverage,
        lot=instrument.lot,
        multiplier=instrument.multiplier,
        tick=instrument.tick,
        spread_scale=scale,
        slippage=scale * execution.slippage_bps * 1e-4,
        commission_min=scale * execution.commission_min,
        commission_per_share=scale * execution.commission_per_share,
        commission_rate=scale * execution.commission_rate_crypto,
    )
    zeros = np.zeros((len(State._fields), width))
    state: Any = State(*zeros)._replace(cash=np.full(width, float(starting_cash)), due=np.full(width, np.inf))
    fixed = {name: _per_lane(lanes, name, width) for name, varies in zip(names, per_bar, strict=True) if not varies}
    matrix = _row_matrix(market, -(-height // segment) * segment)
    parts: list[tuple] = []
    waiting: tuple | None = None
    for start in range(0, height, segment):
        stop = start + segment
        values = tuple(fixed[name] if name in fixed else _stack(lanes, name, start, stop, width) for name in names)
        enter = np.zeros((width, segment), np.int8)
        leave = np.zeros((width, segment), bool)
        for row, lane in enumerate(lanes):
            taken = lane.enter[start:stop]
            enter[row, : len(taken)] = taken
            leave[row, : len(taken)] = lane.leave[start:stop]
        state, *output = kernel(state, terms, matrix[start:stop], enter, leave, values)
        # Reading blocks: read a segment only after the next one was handed to the kernel.
        if waiting is not None:
            parts.append(_happened(*waiting, lanes=len(lanes)))
        waiting = (start, *output)
    if waiting is not None:
        parts.append(_happened(*waiting, lanes=len(lanes)))
    return LaneEvents.gather(parts)


def _happened(start: int, event: Any, quantity: Any, level: Any, *, lanes: int) -> tuple[np.ndarray, ...]:
    codes = np.asarray(event)[:, :lanes]
    row, lane = np.nonzero(codes)
    return lane, row + start, codes[row, lane], np.asarray(quantity)[row, lane], np.asarray(level)[row, lane]


def _row_matrix(market: MarketRows, padded: int) -> np.ndarray:
    height = len(market.ts)
    columns = {
        "row": np.arange(height),
        "decide": market.decide,
        "open": market.open,
        "high": market.high,
        "low": market.low,
        "buy": market.buy,
        "sell": market.sell,
        "buy_open": market.buy_open,
        "sell_open": market.sell_open,
        "half_spread": market.half_spread,
        "offered_lots": market.offered_lots,
        "ts": market.ts,
        "entry_ts": market.entry_ts,
        "fill_row": market.fill_row,
        "dead": market.dead,
    }
    from argus_core.replay.lane_kernel import ROW_COLUMNS

    # Padding: comparisons with NaN are false, so no stop, no time stop and no order can happen there.
    matrix = np.full((padded, len(ROW_COLUMNS)), np.nan)
    for position, name in enumerate(ROW_COLUMNS):
        matrix[:height, position] = columns[name]
    matrix[height:, ROW_COLUMNS.index("row")] = -1.0
    matrix[height:, ROW_COLUMNS.index("decide")] = 0.0
    return matrix


def _per_lane(lanes: list[_Lane], name: str, width: int) -> np.ndarray:
    filled = np.full(width, _DEFAULTS[name])
    filled[: len(lanes)] = [lane.values[name] for lane in lanes]
    return filled * 1e6 if name == "max_hold_seconds" else filled


def _stack(lanes: list[_Lane], name: str, start: int, stop: int, width: int) -> np.ndarray:
    stacked = np.full((width, stop - start), _DEFAULTS[name])
    for row, lane in enumerate(lanes):
        value = lane.values[name]
        if isinstance(value, np.ndarray):
            taken = value[start:stop]
            stacked[row, : len(taken)] = taken
        else:
            stacked[row] = value
    return stacked * 1e6 if name == "max_hold_seconds" else stacked


def _optional(frame: pl.DataFrame, name: str, dtype: Any, default: Any) -> pl.Series:
    if name not in frame.columns:
        return pl.repeat(default, frame.height, dtype=dtype, eager=True)
    return frame[name].cast(dtype).fill_null(default)


def _chunks(lanes: Iterable[pl.DataFrame]) -> Iterator[list[pl.DataFrame]]:
    source = iter(lanes)
    while chunk := list(islice(source, MAX_LANES)):
        yield chunk
