"""Quotes that stood still while their neighbours moved: no anomaly of the market, an old quote."""

from __future__ import annotations

import numpy as np
import polars as pl

from argus_core.settings.option_anomalies import AnomalySettings

_NEIGHBOURS = 2


def stale_contracts(vols: pl.DataFrame, previous: pl.DataFrame | None, settings: AnomalySettings) -> frozenset[str]:
    """Contracts with the same bid and ask as in the snapshot before, between neighbours that moved together.

    The neighbours are the two strikes on either side of the same expiry and right; they moved if all of them went the
    same way and their median went further than ``stale_moves`` times the contract's half spread.

    Args:
        vols, previous: `ImpliedVols` of this snapshot and of one received before it.

    Raises:
        ValueError: if ``previous`` was not received before ``vols``.
    """
    if previous is None or previous.is_empty() or vols.is_empty():
        return frozenset()
    then, now = previous["recv_ts"][0], vols["recv_ts"][0]
    if then >= now:
        raise ValueError(
            f"the snapshot before was received at {then}, not before this one ({now}): give an earlier one."
        )
    both = (
        vols.select("contract", "expiry_ts", "right", "strike", "bid", "ask")
        .join(previous.select("contract", old_bid="bid", old_ask="ask"), on="contract", how="inner")
        .filter(pl.all_horizontal(pl.col("bid", "ask", "old_bid", "old_ask").is_finite()))
        .sort("expiry_ts", "right", "strike", "contract")
    )
    found: list[str] = []
    for part in both.partition_by("expiry_ts", "right", maintain_order=True):
        bid, ask, old_bid, old_ask = (part[name].to_numpy() for name in ("bid", "ask", "old_bid", "old_ask"))
        move = 0.5 * (bid + ask - old_bid - old_ask)
        n = len(move)
        if n <= 2 * _NEIGHBOURS:
            continue
        still = (bid == old_bid) & (ask == old_ask)
        shifts = [s for s in range(-_NEIGHBOURS, _NEIGHBOURS + 1) if s]
        at = np.arange(n)[:, None] + np.array(shifts)[None, :]
        inside = (at >= 0) & (at < n)
        around = np.where(inside, move[np.clip(at, 0, n - 1)], np.nan)
        middle = np.nanmedian(around, axis=1)
        together = ((np.sign(around) == np.sign(middle)[:, None]) | ~inside).all(axis=1)
        stale = still & together & (np.abs(middle) > settings.stale_moves * 0.5 * (ask - bid))
        found += part["contract"].filter(pl.Series(stale)).to_list()
    return frozenset(found)
