"""Is the entry rule worth anything? A run's entries against random ones of the same number, holding and time of day.

Every trade is moved to another day: a bar of the same time-of-day bucket anywhere in the window, held for the same
number of bars on the same side. What is left is what the holding pattern earns by itself (a drift, a night, a
session); the difference is what choosing the moment adds. Gross returns from open to open, so costs cancel.

Limits: exits that depend on the path (stops, targets) are replaced by their holding time, and draws may overlap where
the strategy's own trades never do. A small p-value says that the moments matter, not that the strategy is profitable.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from argus_core.bootstrap.counter_hash import below, counters, seed_key, streams, words

_BUCKET_MINUTES = 30
#: Draws times trades held in memory at once.
_CELLS = 2_000_000


class EntrySignificance(NamedTuple):
    """p = (1 + #{random mean >= own mean}) / (1 + draws); excess over the draws in basis points per trade."""

    p_value: float
    excess_bp: float
    trades: int


def entry_significance(
    trades: pl.DataFrame, bars: pl.DataFrame, *, draws: int = 500, seed: int = 0
) -> EntrySignificance | None:
    """Compare a run's entries with random ones.

    Args:
        trades: entry_ts, exit_ts, side of one run on one series.
        bars: ts, open, close, ascending; warm-up left out. The time of day is ``minute_of_session`` where that column
            is there, else UTC's, which daylight saving moves against the session.
        draws: random sets of entries.

    Returns:
        None where no trade lies within the bars.
    """
    if trades.is_empty() or bars.height < 2:
        return None
    ts = bars["ts"].dt.epoch("us").to_numpy()
    opens = np.log(bars["open"].to_numpy())
    after = np.append(opens[1:], np.log(bars["close"][-1]))
    entry = np.searchsorted(ts, trades["entry_ts"].dt.epoch("us").to_numpy(), side="right") - 1
    leave = np.searchsorted(ts, trades["exit_ts"].dt.epoch("us").to_numpy(), side="right") - 1
    inside = (entry >= 0) & (leave >= entry)
    if not inside.any():
        return None
    entry, held = entry[inside], (leave - entry)[inside]
    side = trades["side"].cast(pl.Float64).to_numpy()[inside]
    utc = bars["ts"].dt.hour().cast(pl.Int32) * 60 + bars["ts"].dt.minute().cast(pl.Int32)
    minute = bars["minute_of_session"] if "minute_of_session" in bars.columns else utc
    bucket = minute.to_numpy() // _BUCKET_MINUTES
    order = np.argsort(bucket, kind="stable")
    first = np.searchsorted(bucket[order], bucket[entry], side="left")
    last = np.searchsorted(bucket[order], bucket[entry], side="right")
    # Candidates of a bucket ascend, so those that leave room for the holding are its first ones.
    room = np.array(
        [np.searchsorted(order[a:b], len(ts) - h, side="left") for a, b, h in zip(first, last, held, strict=True)]
    )
    room = np.maximum(room, 1)

    def gain(at: np.ndarray) -> np.ndarray:
        end = np.minimum(at + held, len(ts) - 1)
        return side * np.where(held > 0, opens[end] - opens[at], after[at] - opens[at])

    own = float(gain(entry).mean())
    stream = streams(np, np.uint32(seed_key(seed)), np.arange(draws, dtype=np.uint32))
    _, counter = counters(np, np.arange(len(entry), dtype=np.uint32))
    size = max(1, _CELLS // len(entry))
    means = np.concatenate(
        [
            gain(
                order[first + below(np, words(np, part[:, None], counter[None, :]), room.astype(np.uint32)).astype(int)]
            ).mean(axis=1)
            for part in np.split(stream, range(size, draws, size))
        ]
    )
    hits = int((means >= own - 1e-15).sum())
    return EntrySignificance((1 + hits) / (1 + draws), 1e4 * (own - float(means.mean())), len(entry))
