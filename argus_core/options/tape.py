"""Option snapshots in the order in which they were received, as compact arrays that many runs can share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

_FLOATS = ("strike", "bid", "ask", "bid_size", "ask_size", "iv", "delta", "open_interest", "underlying_price")


@dataclass(frozen=True, slots=True)
class LegQuote:
    """Quote of one contract. Prices in dollars per share, sizes in contracts; NaN where unknown."""

    bid: float
    ask: float
    bid_size: float
    ask_size: float
    ts_us: int


@dataclass(frozen=True)
class OptionSnapshot:
    """All quotes received at one moment, sorted by expiry, strike, right and contract.

    Attributes:
        recv_us: moment of receipt, microseconds since the epoch: nothing in it may be seen or traded before.
        frame: the rows, columns of `OptionQuotes`.
        number: position on the tape.
        cache: what `argus_core.options.chains` computed from this snapshot, kept for later runs.
    """

    recv_us: int
    frame: pl.DataFrame
    number: int
    cache: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Float columns as arrays with NaN for null; read-only, because many runs share them."""
        arrays = {name: self.frame[name].cast(pl.Float64).to_numpy() for name in _FLOATS}
        for array in arrays.values():
            array.flags.writeable = False
        return arrays

    @cached_property
    def ts_us(self) -> NDArray[np.int64]:
        """When each quote stood, microseconds since the epoch."""
        return self.frame["ts"].dt.timestamp("us").to_numpy()

    @cached_property
    def contracts(self) -> list[str]:
        return self.frame["contract"].to_list()

    @cached_property
    def expiry_rows(self) -> dict[date, slice]:
        """Rows of each expiry, ascending."""
        runs = self.frame["expiry"].rle().struct.unnest()
        ends = runs["len"].cum_sum().to_list()
        starts = [0, *ends[:-1]]
        return {day: slice(a, b) for day, a, b in zip(runs["value"].to_list(), starts, ends, strict=True)}

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {contract: row for row, contract in enumerate(self.contracts)}

    def quote(self, contract: str) -> LegQuote | None:
        """The contract's quote, or None where this snapshot does not hold it."""
        row = self._row_of.get(contract)
        if row is None:
            return None
        c = self.columns
        return LegQuote(
            float(c["bid"][row]),
            float(c["ask"][row]),
            float(c["bid_size"][row]),
            float(c["ask_size"][row]),
            int(self.ts_us[row]),
        )


class OptionTape:
    """Snapshots in order of receipt. Build it once per pack and pass it to every run.

    Args:
        quotes: rows of `OptionQuotes` in any order.

    Raises:
        ValueError: if a quote carries a time after its receipt (a quote from the future), if one contract appears
            twice in a snapshot, or if more than one underlying or provider is mixed.
    """

    def __init__(self, quotes: pl.DataFrame) -> None:
        future = quotes.filter(pl.col("ts") > pl.col("recv_ts"))
        if future.height:
            row = future.row(0, named=True)
            raise ValueError(
                f"option quotes: {future.height} row(s) stand after their receipt, first {row['contract']} with "
                f"ts {row['ts']} and recv_ts {row['recv_ts']}. A quote cannot come from the future: repair recv_ts."
            )
        for name in ("provider", "underlying"):
            found = quotes[name].unique().sort().to_list()
            if len(found) > 1:
                raise ValueError(f"option quotes: one {name} per tape, found {found}. Filter the frame first.")
        ordered = quotes.sort("recv_ts", "expiry", "strike", "right", "contract")
        # Sorted, so a contract that appears twice stands next to itself.
        double = ordered.filter(
            (pl.col("contract") == pl.col("contract").shift()) & (pl.col("recv_ts") == pl.col("recv_ts").shift())
        )
        if double.height:
            row = double.row(0, named=True)
            raise ValueError(
                f"option quotes: {row['contract']} appears more than once at recv_ts {row['recv_ts']}. "
                "Keep one quote per contract and snapshot."
            )
        received = ordered["recv_ts"].dt.timestamp("us").to_numpy()
        starts = np.flatnonzero(np.diff(received, prepend=-(2**62))) if len(received) else np.empty(0, np.int64)
        lengths = np.diff(starts, append=len(received))
        self.snapshots: tuple[OptionSnapshot, ...] = tuple(
            OptionSnapshot(int(received[s]), ordered.slice(int(s), int(length)), number)
            for number, (s, length) in enumerate(zip(starts, lengths, strict=True))
        )
        self.recv_us: list[int] = [s.recv_us for s in self.snapshots]

    def __len__(self) -> int:
        return len(self.snapshots)
