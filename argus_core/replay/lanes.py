"""Replay of columnar strategies: many parameter sets over one symbol's decision frame, as lanes of one JAX kernel.

Fill rules: `execution` and docs/replay.md. Lanes run in chunks of at most `MAX_LANES`, so memory does not grow with
their number beyond the results; `iter_replay_lanes` hands those over chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from argus_core.accelerator import bucket
from argus_core.replay.execution import sizing
from argus_core.replay.frame_checks import checked_cash
from argus_core.replay.lane_trades import LaneTrades, lane_results
from argus_core.replay.market_rows import MarketRows, market_rows
from argus_core.replay.results import ReplayResult
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import INTENT_COLUMNS

#: Most lanes of one kernel call.
MAX_LANES = 64
_LANE_WIDTHS = (1, 8, MAX_LANES)
#: Trades that a lane may make before the host takes them out and lets it go on.
_CAPACITY = 2048

_SIZES = ("quantity", "notional", "risk", "target_volatility", "volatility", "size")
_DISTANCES = ("stop_distance", "target_distance", "trail_distance", "break_even_distance", "max_hold_seconds")
_INFINITE = np.float64(np.inf)
_NO_ROWS = np.empty(0, np.int32)


def replay_lanes(
    frame: pl.DataFrame | MarketRows,
    lanes: Iterable[pl.DataFrame],
    instrument: Instrument,
    execution: ExecutionSettings,
    *,
    starting_cash: float,
    symbol: str,
) -> list[ReplayResult]:
    """Replay every lane of intents over one symbol's decision frame.

    Args:
        frame: decision frame, one row per bar, ascending ``ts`` (docs/replay.md lists its columns); or `market_rows`
            of it with the same instrument and execution, to prepare once what several calls share.
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
    chunks = iter_replay_lanes(frame, lanes, instrument, execution, starting_cash=starting_cash, symbol=symbol)
    return [result for chunk in chunks for result in chunk]


def iter_replay_lanes(
    frame: pl.DataFrame | MarketRows,
    lanes: Iterable[pl.DataFrame],
    instrument: Instrument,
    execution: ExecutionSettings,
    *,
    starting_cash: float,
    symbol: str,
) -> Iterator[list[ReplayResult]]:
    """`replay_lanes`, chunk by chunk: what the caller drops is freed, whatever the size of the sweep."""
    market = frame if isinstance(frame, MarketRows) else market_rows(frame, instrument, execution)
    starting_cash = checked_cash(starting_cash)
    done = 0
    source = iter(lanes)
    while chunk := list(islice(source, MAX_LANES)):
        prepared = [_lane(lane, market, instrument, execution, number) for number, lane in enumerate(chunk, start=done)]
        done += len(chunk)
        trades = _run(market, prepared, instrument, execution, starting_cash)
        yield lane_results(trades, market, instrument, execution, starting_cash=starting_cash, symbol=symbol)


@dataclass(frozen=True)
class _Lane:
    """Intents of one lane: signal byte per row, rows with an entry, and per value one number or one per such row."""

    signal: np.ndarray
    entry_rows: np.ndarray
    values: dict[str, float | np.ndarray]
    lots: int


def _lane(
    intents: pl.DataFrame, market: MarketRows, instrument: Instrument, execution: ExecutionSettings, number: int
) -> _Lane:
    where, height = f"lane {number}", len(market.ts)
    if not isinstance(intents, pl.DataFrame):
        raise ValueError(
            f"{where}: intents are {type(intents).__name__}; a columnar strategy returns a polars DataFrame."
        )
    if intents.height != height:
        raise ValueError(f"{where}: {intents.height} rows of intents for {height} rows of the decision frame.")
    unknown = [name for name in intents.columns if name not in INTENT_COLUMNS]
    if unknown or "enter" not in intents.columns:
        raise ValueError(
            f"{where}: intent columns {intents.columns}; `enter` is required, allowed: {', '.join(INTENT_COLUMNS)}."
        )
    for name, dtype in intents.schema.items():
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
            raise ValueError(f"{where}: {name} is a column of {dtype}; give numbers (exit: true and false).")
    enter = _flags(intents["enter"], pl.Int8())
    if len(enter) and (enter.min() < -1 or enter.max() > 1):
        raise ValueError(f"{where}: enter must be -1, 0 or +1.")
    # +1 is bit 0, -1 bit 1: two's complement -1 ends in binary 11.
    signal = enter.view(np.uint8) & 3
    signal ^= signal >> 1
    if "exit" in intents.columns:
        signal |= _flags(intents["exit"], pl.Boolean()).view(np.uint8) << 2
    signal &= market.decide_mask
    entries = _Entries(signal)
    given = {name: _values(intents, name, entries, where) for name in (*_SIZES, *_DISTANCES) if name in intents.columns}
    distance = {name: _or_infinite(given.get(name, _INFINITE)) for name in _DISTANCES}
    stop = np.minimum(distance["stop_distance"], distance["trail_distance"])
    try:
        how = sizing(
            **{name: given.get(name, np.float64(np.nan)) for name in _SIZES},
            # Without an entry nothing is sized, and no stop is missing.
            stop=stop if entries.some else np.float64(1.0),
            instrument=instrument,
            execution=execution,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    most = _values(intents, "max_entries", entries, where) if "max_entries" in intents.columns else np.float64(1.0)
    most = np.where(np.isnan(most), 1.0, most)
    if (most < 1).any():
        raise ValueError(f"{where}: max_entries is {most.min():g}; it counts the lots held at most, so 1 or more.")
    values: dict[str, Any] = {
        **how._asdict(),
        "stop": stop,
        "target": distance["target_distance"],
        "trail": distance["trail_distance"],
        "break_even": distance["break_even_distance"],
        "hold_us": distance["max_hold_seconds"] * 1e6,
        "max_entries": most,
    }
    values = {name: float(value) if np.ndim(value) == 0 else value for name, value in values.items()}
    return _Lane(
        signal,
        entries.rows if any(isinstance(value, np.ndarray) for value in values.values()) else _NO_ROWS,
        values,
        int(np.max(most, initial=1.0)),
    )


class _Entries:
    """Rows of a lane that bear an entry; listed only where a value varies between them."""

    def __init__(self, signal: np.ndarray) -> None:
        self._signal = signal & 3

    @cached_property
    def some(self) -> bool:
        return bool(self._signal.any())

    @cached_property
    def rows(self) -> np.ndarray:
        return np.flatnonzero(self._signal).astype(np.int32)


def _values(intents: pl.DataFrame, name: str, entries: _Entries, where: str) -> Any:
    """A column at the entry rows as float64, NaN for null; one number where it is the same at all of them."""
    column = intents[name]
    if not entries.some:
        return np.float64(np.nan)
    numbers = (column if column.dtype == pl.Float64 else column.cast(pl.Float64)).to_numpy()
    first = numbers[0]
    # Comparing the ends first spares columns that vary the whole comparison.
    if numbers[-1] == first and (numbers == first).all():
        used = first
    else:
        used = numbers[entries.rows]
        first = used[0]
        if np.isnan(used).all() or (used == first).all():
            used = first
    negative = np.flatnonzero(np.atleast_1d(used) < 0)
    if len(negative):
        raise ValueError(f"{where}: {name} is negative at row {int(entries.rows[negative[0]])}.")
    if name in _SIZES and name != "volatility" and np.isinf(used).any():
        raise ValueError(f"{where}: {name} is infinite; give a finite number, or null.")
    return used


def _or_infinite(value: Any) -> Any:
    return np.where(np.isnan(value), np.inf, value)


def _flags(column: pl.Series, dtype: pl.DataType) -> np.ndarray:
    typed = column if column.dtype == dtype else column.cast(dtype)
    return (typed.fill_null(value=False if dtype == pl.Boolean else 0) if typed.null_count() else typed).to_numpy()


def _run(
    market: MarketRows,
    lanes: Sequence[_Lane],
    instrument: Instrument,
    execution: ExecutionSettings,
    starting_cash: float,
) -> LaneTrades:
    """Run the kernel until every lane has met its last bar; the trades of all lanes."""
    # JAX is slow to import: only where a kernel runs.
    from argus_core.replay import lane_kernel as kernels

    height = len(market.ts)
    if not height:
        return LaneTrades.none(len(lanes))
    width = next(w for w in _LANE_WIDTHS if w >= len(lanes))
    values, varies = [], []
    entries = bucket(max(len(lane.entry_rows) for lane in lanes))
    for name in kernels.VALUES:
        column = [lane.values[name] for lane in lanes]
        moving = any(isinstance(value, np.ndarray) for value in column)
        # Padding that asks for nothing, so that it compiles nothing in.
        filled = np.full((width, entries) if moving else width, np.inf)
        for row, value in enumerate(column):
            if isinstance(value, np.ndarray):
                filled[row, : len(value)] = value
            else:
                filled[row] = value
        values.append(filled)
        varies.append(moving)
    by_name = dict(zip(kernels.VALUES, values, strict=True))
    form = kernels.Form(
        basis=market.basis,
        crypto=instrument.is_crypto,
        lots=_lots(lanes),
        capacity=max(_CAPACITY, 4 * _lots(lanes)),
        **{
            name: bool(np.isfinite(by_name[column][: len(lanes)]).any())
            for name, column in (
                ("stop", "stop"),
                ("target", "target"),
                ("trail", "trail"),
                ("break_even", "break_even"),
                ("hold", "hold_us"),
            )
        },
        varies=tuple(varies),
        side_by_side=kernels.side_by_side(),
    )
    signal = np.zeros((width, market.padded), np.uint8)
    entry_rows = np.full((width, entries if any(varies) else 1), np.iinfo(np.int32).max, np.int32)
    for row, lane in enumerate(lanes):
        signal[row, :height] = lane.signal
        if any(varies):
            entry_rows[row, : len(lane.entry_rows)] = lane.entry_rows
    scale = execution.cost_multiplier
    terms = kernels.Terms(
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
    kernel = kernels.lane_kernel(form)
    state: Any = kernels.initial_state(form, width, starting_cash)
    intents = kernels.Lane(signal, entry_rows, tuple(values))
    parts = []
    while True:
        state = kernel(state, terms, market.on_device, intents)
        closed = np.asarray(state.closed)
        taken = _taken(state, closed, len(lanes))
        stops, position = by_name["stop"], taken.pop("position")
        parts.append(taken | {"stop": stops[taken["lane"], position] if stops.ndim == 2 else stops[taken["lane"]]})
        if (np.asarray(state.row)[: len(lanes)] >= height).all():
            break
        state = state._replace(closed=np.zeros_like(closed))
    return LaneTrades.join(
        parts,
        lanes=len(lanes),
        partials=np.asarray(state.partials)[: len(lanes)],
        rejects=np.asarray(state.rejects)[: len(lanes)],
        ordered=form.lots == 1,
    )


def _lots(lanes: Sequence[_Lane]) -> int:
    most = max(lane.lots for lane in lanes)
    return 1 << (most - 1).bit_length()


def _taken(state: Any, closed: np.ndarray, lanes: int) -> dict[str, np.ndarray]:
    """Trades in the buffers, lane by lane."""
    filled = np.arange(state.trades.number.shape[1]) < closed[:lanes, None]
    lane = np.repeat(np.arange(lanes), closed[:lanes])
    return {"lane": lane} | {
        name: np.asarray(column)[:lanes][filled] for name, column in state.trades._asdict().items()
    }
