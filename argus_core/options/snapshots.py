"""Which snapshots of a day's chain the option tables are made of."""

from __future__ import annotations

import numpy as np
import polars as pl

from argus_core.market.schemas import OptionQuotes, conform, empty
from argus_core.options.carry import carried_snapshots


def chosen_snapshots(quotes: pl.DataFrame, *, per_day: int, carry_seconds: int = 0) -> pl.DataFrame:
    """Whole snapshots, one per ``recv_ts``, at most ``per_day``.

    Snapshots that are whole are taken as they are. Of a feed of changes (``carry_seconds`` above 0) each chosen receipt
    gets every side that still stands then. More receipts than ``per_day`` are thinned evenly, the last one kept.

    Args:
        quotes: rows of `OptionQuotes` of one underlying and trade date.
        carry_seconds: how long a side stands that a snapshot does not mention (`execution.option_quote_carry_seconds`).
    """
    if quotes.is_empty():
        return empty(OptionQuotes)
    receipts = quotes["recv_ts"].unique().sort()
    count = len(receipts)
    kept = np.unique(np.round(np.linspace(0, count - 1, min(count, per_day + 1))[-per_day:]).astype(int))
    if not carry_seconds:
        # One source may repeat a contract in a snapshot; the newer quote stands.
        chosen = quotes.filter(pl.col("recv_ts").is_in(receipts[kept.tolist()].implode()))
        return chosen.sort("recv_ts", "contract", "ts").unique(
            ["recv_ts", "contract"], keep="last", maintain_order=True
        )
    standing = carried_snapshots(quotes, carry_seconds)
    frames = [standing[number].frame for number in kept if number < len(standing)]
    return conform(pl.concat(frames), OptionQuotes) if frames else empty(OptionQuotes)
