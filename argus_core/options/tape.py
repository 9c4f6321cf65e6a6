"""Option snapshots in the order in which they were received, as compact arrays that many runs can share."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    """Quote of one contract. Prices in dollars per share, sizes in contracts; NaN where unknown.

    ``ts_us``: when its older known side stood; ``underlying``: price of the underlying given with it.
    """

    bid: float
    ask: float
    bid_size: float
    ask_size: float
    ts_us: int
    underlying: float = float("nan")


@dataclass(frozen=True, eq=False)
class OptionSnapshot(ABC):
    """All quotes known at one receipt, sorted by expiry, strike, right and contract.

    Attributes:
        recv_us: moment of receipt, microseconds since the epoch: nothing in it may be seen or traded before.
        number: position on the tape.
        cache: what `argus_core.options.chains` computed from this snapshot, kept for later runs.
    """

    recv_us: int
    number: int
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    @abstractmethod
    def frame(self) -> pl.DataFrame:
        """The rows, columns of `OptionQuotes`."""

    @property
    @abstractmethod
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Float columns as arrays with NaN for null; read-only, because many runs share them."""

    @property
    @abstractmethod
    def ts_us(self) -> NDArray[np.int64]:
        """When each quote stood, microseconds since the epoch."""

    @property
    @abstractmethod
    def contracts(self) -> list[str]: ...

    @property
    @abstractmethod
    def calls(self) -> NDArray[np.bool_]:
        """Whether each contract is a call."""

    @property
    @abstractmethod
    def expiry_rows(self) -> dict[date, slice]:
        """Rows of each expiry, ascending."""

    @abstractmethod
    def quote(self, contract: str) -> LegQuote | None:
        """The contract's quote, or None where this snapshot does not hold it."""


@dataclass(frozen=True, eq=False)
class WholeSnapshot(OptionSnapshot):
    """A snapshot that was received whole."""

    rows: pl.DataFrame = field(kw_only=True, repr=False)

    @property
    def frame(self) -> pl.DataFrame:
        return self.rows

    @cached_property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        return {name: read_only(self.rows[name].cast(pl.Float64).to_numpy()) for name in _FLOATS}

    @cached_property
    def ts_us(self) -> NDArray[np.int64]:
        return self.rows["ts"].dt.timestamp("us").to_numpy()

    @cached_property
    def contracts(self) -> list[str]:
        return self.rows["contract"].to_list()

    @cached_property
    def calls(self) -> NDArray[np.bool_]:
        return read_only((self.rows["right"] == "C").to_numpy())

    @cached_property
    def expiry_rows(self) -> dict[date, slice]:
        return slices_of(self.rows["expiry"])

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {contract: row for row, contract in enumerate(self.contracts)}

    def quote(self, contract: str) -> LegQuote | None:
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
            float(c["underlying_price"][row]),
        )


class OptionTape:
    """Snapshots in order of receipt. Build it once per pack and pass it to every run.

    Args:
        quotes: rows of `OptionQuotes` in any order.
        carry_seconds: for feeds of changes, which have a row only where a side of a contract changed: a side stands
            until it changes, and for so long at most (`argus_core.options.carry`). 0: every snapshot is whole.

    Raises:
        ValueError: if a quote carries a time after its receipt (a quote from the future), if one contract appears
            twice in a whole snapshot, or if more than one underlying or provider is mixed.
    """

    def __init__(self, quotes: pl.DataFrame, carry_seconds: int = 0) -> None:
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
        self.snapshots: tuple[OptionSnapshot, ...] = (
            _carried(quotes, carry_seconds) if carry_seconds else _whole(quotes)
        )
        self.recv_us: list[int] = [s.recv_us for s in self.snapshots]

    def __len__(self) -> int:
        return len(self.snapshots)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """``array``, which nobody may write to any more."""
    array.flags.writeable = False
    return array


def slices_of(days: pl.Series) -> dict[date, slice]:
    """Rows of each value of a sorted column."""
    runs = days.rle().struct.unnest()
    ends = runs["len"].cum_sum().to_list()
    return {day: slice(a, b) for day, a, b in zip(runs["value"].to_list(), [0, *ends[:-1]], ends, strict=True)}


def _whole(quotes: pl.DataFrame) -> tuple[OptionSnapshot, ...]:
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
    return tuple(
        WholeSnapshot(int(received[s]), number, rows=ordered.slice(int(s), int(length)))
        for number, (s, length) in enumerate(zip(starts, lengths, strict=True))
    )


def _carried(quotes: pl.DataFrame, seconds: int) -> tuple[OptionSnapshot, ...]:
    from argus_core.options.carry import carried_snapshots

    return carried_snapshots(quotes, seconds)
