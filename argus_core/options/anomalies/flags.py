"""One flag, and what turns many of them into rows of `Anomalies`: persistence, age, size, severity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from argus_core.market.schemas import conform
from argus_core.options.schemas import Anomalies
from argus_core.settings.option_anomalies import AnomalySettings

#: Kinds whose edge can be locked in without a model.
EXECUTABLE = ("vertical", "butterfly", "calendar", "parity")
#: Kinds that belong to an expiry or to the whole surface, and not to a quote.
OF_EXPIRY, OF_SURFACE = ("kink",), ("history",)


@dataclass(frozen=True)
class Flag:
    """What one detector found. ``contracts`` begins with the quote at fault, or names a point of the surface."""

    kind: str
    expiry: date | None
    contracts: tuple[str, ...]
    statistic: float
    threshold: float
    p_value: float | None
    edge: float | None
    explanation: str

    @property
    def key(self) -> tuple[str, str]:
        """What makes a flag of another snapshot the same anomaly."""
        return _key(self.kind, self.expiry, self.contracts)


def _key(kind: str, expiry: date | None, contracts: Sequence[str]) -> tuple[str, str]:
    if kind in OF_EXPIRY:
        return kind, str(expiry)
    return kind, ",".join(contracts) if kind in OF_SURFACE else contracts[0]


def to_rows(
    flags: Iterable[Flag],
    vols: pl.DataFrame,
    settings: AnomalySettings,
    *,
    stale: frozenset[str] = frozenset(),
    earlier: pl.DataFrame | None = None,
    earlier_times: Sequence[datetime] = (),
) -> pl.DataFrame:
    """Rows of `Anomalies`, most serious first.

    Args:
        vols: `ImpliedVols` of the snapshot.
        stale: contracts that stood still while their neighbours moved.
        earlier: `Anomalies` of earlier snapshots; rows not before this snapshot's ``recv_ts`` are not looked at.
        earlier_times: ``recv_ts`` of all earlier snapshots, those without flags too.
    """
    head = vols.select("provider", "underlying", "recv_ts").row(0, named=True)
    now = head["recv_ts"]
    times = sorted({t for t in earlier_times if t < now})[-(settings.snapshots - 1) :] if settings.snapshots > 1 else []
    before: dict[tuple[str, str], set[datetime]] = {}
    if earlier is not None and times:
        for row in earlier.filter(pl.col("recv_ts").is_in(times)).iter_rows(named=True):
            key = _key(row["kind"], row["expiry"], row["contracts"].split(","))
            before.setdefault(key, set()).add(row["recv_ts"])
    quote = {
        row["contract"]: row
        for row in vols.select("contract", "quote_age", "bid_size", "ask_size", "used").iter_rows(named=True)
    }
    rows: list[dict[str, Any]] = []
    for flag in flags:
        legs = [quote[contract] for contract in flag.contracts if contract in quote]
        age = max((leg["quote_age"] for leg in legs), default=None)
        sizes = [side for leg in legs for side in (leg["bid_size"], leg["ask_size"]) if side is not None]
        size = min(sizes, default=None)
        unsized = [leg for leg in legs if leg["bid_size"] is None and leg["ask_size"] is None]
        # An arbitrage is as sure as its least sure leg. In the money a quote is all intrinsic value: one that was left
        # behind by the underlying is dollars away, and without a size nothing says that it still stands.
        unsure = flag.kind in EXECUTABLE and any(not leg["used"] for leg in unsized)
        persistence = 1 + len(before.get(flag.key, ()))
        words = flag.explanation
        still = [contract for contract in flag.contracts if contract in stale]
        if still:
            words += f" Stale: {', '.join(still)} stood still while neighbouring strikes moved."
        if unsure:
            doubtful = ", ".join(leg["contract"] for leg in unsized if not leg["used"])
            words += f" No size is known of {doubtful}, in the money or not clean: probably an old quote."
        rows.append(
            {
                **head,
                "kind": flag.kind,
                "expiry": flag.expiry,
                "contracts": ",".join(flag.contracts),
                "statistic": flag.statistic,
                "threshold": flag.threshold,
                "p_value": flag.p_value,
                "edge": flag.edge,
                "severity": _severity(
                    flag, persistence, len(times) + 1, age, None if unsized else size, bool(still) or unsure, settings
                ),
                "persistence": persistence,
                "of_snapshots": len(times) + 1,
                "quote_age": age,
                "size": size,
                "explanation": words,
            }
        )
    if not rows:
        return conform(vols.head(0).select("provider", "underlying", "recv_ts", *_missing()), Anomalies)
    order = {"act": 0, "watch": 1, "info": 2}
    rows.sort(key=lambda r: (order[str(r["severity"])], str(r["kind"]), -float(r["edge"] or 0.0), str(r["contracts"])))
    return conform(pl.DataFrame(rows, infer_schema_length=None), Anomalies)


def _missing() -> list[pl.Expr]:
    return [pl.lit(None).alias(name) for name in Anomalies.column_names()[3:]]


def _severity(
    flag: Flag,
    persistence: int,
    seen: int,
    age: float | None,
    size: float | None,
    doubtful: bool,
    settings: AnomalySettings,
) -> str:
    """act: a lockable edge that persists on fresh quotes of known and enough size; watch: one of these is missing, or
    no lockable edge but persistence; info: old, doubtful, or seen once where earlier snapshots are known."""
    old = age is not None and age > settings.max_age_seconds
    lasting = persistence >= settings.min_persistence
    if doubtful or old or (seen >= settings.min_persistence and not lasting and flag.kind not in EXECUTABLE):
        return "info"
    if flag.kind in EXECUTABLE and lasting and size is not None and size >= settings.min_size:
        return "act"
    return "watch"


def money(value: float) -> str:
    """Dollars for a sentence."""
    return f"{value:,.2f} dollars" if abs(value) < 1e6 else f"{value:,.0f} dollars"


def percent(value: float) -> str:
    """A volatility for a sentence."""
    return f"{100 * value:.2f} %" if np.isfinite(value) else "unknown"
