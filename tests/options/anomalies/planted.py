"""Chains with faults of known place: the suite of options.md 1.9.

Realistic noise: every mid lies off the fair price by a number uniform within 60 % of the half spread, so that fair
prices, free of arbitrage, stay inside bid and ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from argus_core.options.anomalies import find_anomalies
from argus_core.options.heston import HestonParameters
from tests.options.heston_chains import PARAMETERS, heston_chain

SETS = (PARAMETERS, HestonParameters(0.04, 1.0, 0.04, 0.45, -0.6), HestonParameters(0.02, 5.0, 0.05, 0.3, -0.5))
DAYS = tuple(np.unique(np.round(np.geomspace(7, 730, 20)).astype(int)).tolist())
NOISE = 0.6


@lru_cache(maxsize=32)
def clean(seed: int, noise: float = NOISE, days: tuple[int, ...] = DAYS) -> pl.DataFrame:
    """A clean chain, 25 strikes per expiry."""
    return heston_chain(
        SETS[seed % len(SETS)],
        days=days,
        deviations=np.linspace(-2.5, 1.8, 25),
        noise=noise,
        noise_seed=seed,
        underlying="SPX",
    ).implied_vols


def bumped(vols: pl.DataFrame, seed: int, count: int, half_spreads: float = 3.0) -> tuple[pl.DataFrame, set[str]]:
    """``count`` used quotes moved by so many of their half spreads, up or down, volatilities and prices alike."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(np.flatnonzero(vols["used"].to_numpy()), count, replace=False)
    move = np.zeros(vols.height)
    move[rows] = half_spreads * rng.choice([-1.0, 1.0], count)
    half_iv = (0.5 * (pl.col("iv_ask") - pl.col("iv_bid"))).fill_null(0.0)
    half = 0.5 * (pl.col("ask") - pl.col("bid"))
    changed = vols.with_columns(
        *(pl.col(name) + pl.Series(move) * half_iv for name in ("iv_bid", "iv_mid", "iv_ask")),
        *((pl.col(name) + pl.Series(move) * half).clip(lower_bound=0.0) for name in ("bid", "ask")),
    )
    return changed, set(vols["contract"].gather(rows).to_list())


def with_arbitrage(vols: pl.DataFrame, seed: int, kind: str) -> tuple[pl.DataFrame, str]:
    """One quote lifted until it can be sold against others for at least five dollars after fees of all legs.

    Prices only: what is used and its volatility stay as they are.
    """
    rng = np.random.default_rng(seed)
    rows = vols.with_row_index("row").filter(pl.col("bid") > 0.05)
    room = 0.10  # dollars per share: 10 per contract, 2.60 of them fees of at most four legs
    while True:
        one = rows.row(int(rng.integers(rows.height)), named=True)
        same = rows.filter((pl.col("expiry_ts") == one["expiry_ts"]) & (pl.col("right") == one["right"])).sort("strike")
        sign = 1 if one["right"] == "C" else -1
        if kind == "vertical":
            better = same.filter((one["strike"] - pl.col("strike")) * sign > 0)
            wanted = None if better.is_empty() else better["ask"].min()
        elif kind == "butterfly":
            low, high = same.filter(pl.col("strike") < one["strike"]), same.filter(pl.col("strike") > one["strike"])
            if low.is_empty() or high.is_empty():
                continue
            a, b = (part.row(int(rng.integers(part.height)), named=True) for part in (low, high))
            share = (b["strike"] - one["strike"]) / (b["strike"] - a["strike"])
            wanted = share * a["ask"] + (1 - share) * b["ask"]
        elif kind == "calendar":
            later = rows.filter((pl.col("expiry_ts") > one["expiry_ts"]) & (pl.col("right") == one["right"]))
            if later.is_empty():
                continue
            end = later.filter(pl.col("expiry_ts") == later["expiry_ts"].min()).sort("strike")
            x = one["strike"] / one["forward"] * end["forward"][0]
            if not end["strike"].min() < x < end["strike"].max():
                continue
            unit = one["discount"] * one["forward"] / (end["discount"][0] * end["forward"][0])
            wanted = float(np.interp(x, end["strike"].to_numpy(), end["ask"].to_numpy())) * unit
        else:
            twin = rows.filter(
                (pl.col("expiry_ts") == one["expiry_ts"])
                & (pl.col("strike") == one["strike"])
                & (pl.col("right") != one["right"])
            )
            if twin.is_empty():
                continue
            parity = sign * one["discount"] * (one["forward"] - one["strike"])
            wanted = twin["ask"][0] + parity + 2 * (one["ask"] - one["bid"]) + 0.3
        if wanted is None or not np.isfinite(wanted):
            continue
        hit = pl.int_range(pl.len()) == one["row"]
        bid = max(wanted, one["bid"]) + room
        changed = vols.with_columns(
            bid=pl.when(hit).then(bid).otherwise("bid"), ask=pl.when(hit).then(bid + 0.05).otherwise("ask")
        )
        return changed, one["contract"]


@dataclass(frozen=True)
class Score:
    """Flags on clean chains, and the share of planted faults that were named."""

    quotes: int
    chains: int
    false_flags: int
    planted: int
    found: int

    @property
    def recall(self) -> float:
        return self.found / self.planted


def clean_score(seeds: range, noise: float = NOISE) -> Score:
    """False flags of any kind on clean chains."""
    tables = [clean(seed, noise) for seed in seeds]
    flags = sum(find_anomalies(vols).height for vols in tables)
    return Score(sum(vols.height for vols in tables), len(tables), flags, 0, 0)


def bump_score(seeds: range, per_chain: int = 4, noise: float = NOISE) -> Score:
    """Recall of bumps of three half spreads; a flag on a quote that was not moved is a false one."""
    found = false = planted = quotes = 0
    for seed in seeds:
        vols, contracts = bumped(clean(seed, noise), seed, per_chain)
        flags = find_anomalies(vols).filter(kind="residual")
        named = set(flags["contracts"].to_list())
        found += len(named & contracts)
        false += len(named - contracts)
        planted += per_chain
        quotes += vols.height
    return Score(quotes, len(seeds), false, planted, found)


def arbitrage_score(seeds: range, kinds: tuple[str, ...] = ("vertical", "butterfly", "calendar", "parity")) -> Score:
    """Recall of one executable arbitrage per chain: the quote must be among the legs of a flag."""
    found = planted = quotes = 0
    for seed in seeds:
        for number, kind in enumerate(kinds):
            vols, contract = with_arbitrage(clean(seed, NOISE, DAYS[::4]), 1_000 * seed + number, kind)
            flags = find_anomalies(vols).filter(pl.col("kind").is_in(["vertical", "butterfly", "calendar", "parity"]))
            found += any(contract in row.split(",") for row in flags["contracts"])
            planted += 1
            quotes += vols.height
    return Score(quotes, len(seeds), 0, planted, found)
