"""Whole snapshots of a feed of changes: every side of every contract stands until it changes or grows too old.

A feed of changes has a row only where a side of a contract changed, and null on the side that did not. The rows are
kept once, sorted by contract; what stood at a receipt is found by binary search. A quote costs two searches, a whole
chain is gathered only for the strategy that asks for it, so that memory follows the rows received and not receipts
times contracts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.chains import EXPIRY_ZONE
from argus_core.options.tape import LegQuote, OptionSnapshot, read_only, slices_of

#: Contracts of all snapshots whose gathered arrays are kept, about 100 bytes each.
KEPT_ROWS = 3_000_000

_VALUES = ("bid", "ask", "bid_size", "ask_size", "iv", "delta", "open_interest")
_FIXED = ("provider", "underlying", "contract", "expiry", "strike", "right")


def carried_snapshots(quotes: pl.DataFrame, max_age_seconds: int) -> tuple[OptionSnapshot, ...]:
    """One snapshot per receipt, each with every contract of which a side is known by then.

    A side is known from its first row on; unknown again (NaN) once it has stood for more than ``max_age_seconds``
    before the receipt. A quote's time is that of its older known side, so that an age limit judges the oldest quote
    used. iv and delta age alike, open interest does not; the price of the underlying is the last one received.
    Contracts leave after their expiry.

    Args:
        quotes: rows of `OptionQuotes` in any order; of rows of one contract and receipt the later ``ts`` wins.
    """
    if quotes.is_empty():
        return ()
    feed = ChangeFeed(quotes, max_age_seconds * 1_000_000)
    return tuple(CarriedSnapshot(recv, number, feed=feed) for number, recv in enumerate(feed.recv_us.tolist()))


def whole_chains(quotes: pl.DataFrame, max_age_seconds: int, every_seconds: int = 0) -> pl.DataFrame:
    """Rows of whole snapshots (`OptionQuotes`) of a feed of changes.

    Args:
        quotes, max_age_seconds: as in `carried_snapshots`.
        every_seconds: of the receipts inside each such span of time the last one; 0: every receipt.
    """
    kept = {}
    for snapshot in carried_snapshots(quotes, max_age_seconds):
        kept[snapshot.recv_us // (every_seconds * 1_000_000) if every_seconds else snapshot.recv_us] = snapshot
    frames = [snapshot.frame for snapshot in kept.values()]
    return pl.concat(frames) if frames else quotes.clear()


class ChangeFeed:
    """The rows of a feed of changes by contract, and what stood at each receipt.

    Attributes:
        recv_us: the receipts, ascending.
        table: the contracts by expiry, strike, right and name.
    """

    def __init__(self, quotes: pl.DataFrame, max_age_us: int) -> None:
        order = ("expiry", "strike", "right", "contract")
        rows = quotes.sort(*order, "recv_ts", "ts").with_columns(pl.col(*_VALUES).cast(pl.Float64).fill_nan(None))
        begins = rows.select(pl.any_horizontal(pl.col(name) != pl.col(name).shift() for name in order)).to_series()
        new = begins.fill_null(value=True).to_numpy()
        first = np.flatnonzero(new)
        recv = rows["recv_ts"].dt.timestamp("us").to_numpy()
        self.recv_us, number = np.unique(recv, return_inverse=True)
        self.table = rows[first].select(_FIXED)
        self.code_of = {name: code for code, name in enumerate(self.table["contract"].to_list())}
        self.strike = self.table["strike"].to_numpy()
        self.calls = (self.table["right"] == "C").to_numpy()
        self._max_age_us, self._receipts = max_age_us, len(self.recv_us)
        # Row r belongs to contract key // receipts and was received at number key % receipts.
        self._key = (np.cumsum(new) - 1) * self._receipts + number
        self._ts = rows["ts"].dt.timestamp("us").to_numpy()
        self._first = number[first]
        self._expiry = self.table["expiry"].to_physical().to_numpy()
        local = pl.Series(self.recv_us).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(EXPIRY_ZONE.key)
        self._day = local.dt.date().to_physical().to_numpy()
        self.values: dict[str, NDArray[np.float64]] = {name: rows[name].to_numpy() for name in _VALUES}
        # Sizes belong to the row that gave their side.
        self._known = {
            name: np.flatnonzero(rows[name].is_not_null().to_numpy()) for name in _VALUES if not name.endswith("size")
        }
        self._known_keys = {name: self._key[found] for name, found in self._known.items()}
        last = rows.select("recv_ts", "ts", "underlying_price").drop_nulls().sort("recv_ts", "ts")
        spots = np.append(np.nan, last["underlying_price"].cast(pl.Float64).to_numpy())
        self.spot = spots[np.searchsorted(last["recv_ts"].dt.timestamp("us").to_numpy(), self.recv_us, side="right")]
        self._kept: deque[tuple[CarriedSnapshot, int]] = deque()
        self._kept_rows = 0

    def listed(self, number: int) -> NDArray[np.int64]:
        """Contracts received by then that have not expired."""
        return np.flatnonzero((self._first <= number) & (self._expiry >= self._day[number]))

    def standing(self, name: str, codes: NDArray[np.int64], number: int, *, ages: bool = True) -> NDArray[np.int64]:
        """Row that gives a column's value per contract at a receipt; -1 where none does."""
        known, keys = self._known[name], self._known_keys[name]
        if not len(known):
            return np.full(len(codes), -1)
        found = known[np.maximum(np.searchsorted(keys, codes * self._receipts + number, side="right") - 1, 0)]
        key = self._key[found]
        good = (key >= codes * self._receipts) & (key <= codes * self._receipts + number)
        if ages:
            good &= self.recv_us[number] - self._ts[found] <= self._max_age_us
        return np.where(good, found, -1)

    def at(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values at rows, NaN at row -1; read-only."""
        return read_only(np.where(rows >= 0, self.values[name][rows], np.nan))

    def stood(self, bid: NDArray[np.int64], ask: NDArray[np.int64]) -> NDArray[np.int64]:
        """Time of the older known side."""
        never = np.iinfo(np.int64).max
        sides = [np.where(rows >= 0, self._ts[rows], never) for rows in (bid, ask)]
        return read_only(np.minimum(*sides))

    def quote(self, contract: str, number: int) -> LegQuote | None:
        """One contract's quote at a receipt, without gathering the chain."""
        code = self.code_of.get(contract)
        if code is None or self._first[code] > number or self._expiry[code] < self._day[number]:
            return None
        bid, ask = (self._standing_one(side, code, number) for side in ("bid", "ask"))
        if bid < 0 and ask < 0:
            return None
        sides = (("bid", bid), ("ask", ask), ("bid_size", bid), ("ask_size", ask))
        prices = (float(self.values[name][row]) if row >= 0 else float("nan") for name, row in sides)
        stood = min(int(self._ts[row]) for row in (bid, ask) if row >= 0)
        return LegQuote(*prices, stood, float(self.spot[number]))

    def _standing_one(self, name: str, code: int, number: int) -> int:
        first, wanted = code * self._receipts, code * self._receipts + number
        at = int(np.searchsorted(self._known_keys[name], wanted, side="right")) - 1
        if at < 0 or self._known_keys[name][at] < first:
            return -1
        row = int(self._known[name][at])
        return row if self.recv_us[number] - self._ts[row] <= self._max_age_us else -1

    def keep(self, snapshot: CarriedSnapshot, rows: int) -> None:
        """Note that ``snapshot`` holds arrays of so many rows, and let the oldest go where they are too many."""
        self._kept.append((snapshot, rows))
        self._kept_rows += rows
        while self._kept_rows > KEPT_ROWS and len(self._kept) > 1:
            oldest, held = self._kept.popleft()
            oldest.forget()
            self._kept_rows -= held


@dataclass(frozen=True, eq=False)
class CarriedSnapshot(OptionSnapshot):
    """A receipt of a feed of changes with everything that stood then."""

    feed: ChangeFeed = field(kw_only=True, repr=False)

    def forget(self) -> None:
        """Drop what was gathered; it is gathered again when it is asked for."""
        for name in ("_gathered", "columns", "contracts", "expiry_rows", "calls"):
            self.__dict__.pop(name, None)
        self.cache.clear()

    @cached_property
    def _gathered(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Contracts, and the rows of their bids and asks."""
        feed = self.feed
        codes = feed.listed(self.number)
        bid, ask = (feed.standing(side, codes, self.number) for side in ("bid", "ask"))
        known = (bid >= 0) | (ask >= 0)
        feed.keep(self, int(known.sum()))
        return codes[known], bid[known], ask[known]

    @property
    def frame(self) -> pl.DataFrame:
        codes, columns = self._gathered[0], self.columns
        time = pl.Datetime("us", "UTC")
        data: dict[str, Any] = {
            "ts": pl.Series(self.ts_us).cast(time),
            "recv_ts": pl.Series(np.full(len(codes), self.recv_us)).cast(time),
            **{name: columns[name] for name in columns if name != "strike"},
        }
        frame = self.feed.table[codes].hstack(pl.DataFrame(data, nan_to_null=True))
        return frame.select("provider", "underlying", "ts", "recv_ts", *_FIXED[2:], *list(data)[2:])

    @cached_property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        feed, (codes, bid, ask) = self.feed, self._gathered
        sides = {"bid": bid, "ask": ask, "bid_size": bid, "ask_size": ask}
        found = {name: feed.at(name, rows) for name, rows in sides.items()}
        for name in ("iv", "delta", "open_interest"):
            rows = feed.standing(name, codes, self.number, ages=name != "open_interest")
            found[name] = feed.at(name, rows)
        spot = read_only(np.full(len(codes), feed.spot[self.number]))
        return {"strike": read_only(feed.strike[codes]), **found, "underlying_price": spot}

    @property
    def ts_us(self) -> NDArray[np.int64]:
        _, bid, ask = self._gathered
        return self.feed.stood(bid, ask)

    @cached_property
    def contracts(self) -> list[str]:
        return self.feed.table["contract"].gather(self._gathered[0]).to_list()

    @cached_property
    def calls(self) -> NDArray[np.bool_]:
        return read_only(self.feed.calls[self._gathered[0]])

    @cached_property
    def expiry_rows(self) -> dict[date, slice]:
        return slices_of(self.feed.table["expiry"].gather(self._gathered[0]))

    def quote(self, contract: str) -> LegQuote | None:
        return self.feed.quote(contract, self.number)
