"""One underlying on one date: its option tables, and what a page and the cycle report say about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl
import polars.selectors as cs

from argus_core.market.schemas import empty
from argus_core.options.profit.page import ProfitPage, page_legs
from argus_core.options.schemas import Anomalies, Forwards, HestonFits, ImpliedVols, SurfaceSlices
from argus_core.reports.words import MINUS, TIMES

#: What tables are called, and their schemas.
TABLES: Mapping[str, type[dy.Schema]] = {
    "forwards": Forwards,
    "implied_vols": ImpliedVols,
    "slices": SurfaceSlices,
    "fits": HestonFits,
    "anomalies": Anomalies,
    "pop": ProfitPage,
}
#: The tenor at which levels and skews of a day are compared.
TENOR = 30 / 365
#: Severities and their words, most serious first.
SEVERITIES: Mapping[str, str] = {"act": "to act on", "watch": "to watch", "info": "for information"}
#: Expected profits of a candidate, one per opinion.
OPINIONS = ("expected_pnl", "expected_pnl_surface", "expected_pnl_managed")


@dataclass(frozen=True)
class OptionDay:
    """The tables of a date, all snapshots. Build it with `of`, which takes absent tables."""

    underlying: str
    date: Any
    forwards: pl.DataFrame
    implied_vols: pl.DataFrame
    slices: pl.DataFrame
    fits: pl.DataFrame
    anomalies: pl.DataFrame
    pop: pl.DataFrame

    @classmethod
    def of(cls, underlying: str, date: Any, **tables: pl.DataFrame | None) -> OptionDay:
        """From the tables by their names in `TABLES`; None, absent or without rows: an empty table."""
        unknown = sorted(set(tables) - set(TABLES))
        if unknown:
            raise ValueError(f"no table is called {', '.join(unknown)}; the tables are {', '.join(TABLES)}.")
        whole = {}
        for name, schema in TABLES.items():
            found = tables.get(name)
            given = empty(schema) if found is None or found.is_empty() else found
            whole[name] = given.with_columns(cs.float().fill_nan(None))
        return cls(underlying, date, **whole)

    @property
    def times(self) -> list[datetime]:
        """Receipts of all snapshots, ascending."""
        return sorted(set().union(*(getattr(self, name)["recv_ts"].to_list() for name in TABLES)))

    def at(self, moment: datetime) -> OptionDay:
        """The tables of one snapshot."""
        cut = {name: getattr(self, name).filter(pl.col("recv_ts") == moment) for name in TABLES}
        return OptionDay(self.underlying, self.date, **cut)

    @property
    def last(self) -> OptionDay:
        """The newest snapshot; without any, itself."""
        times = self.times
        return self.at(times[-1]) if times else self

    @property
    def fit(self) -> dict[str, Any] | None:
        """The last Heston fit that has parameters."""
        known = self.fits.filter(pl.col("v0").is_not_null()).sort("recv_ts")
        return known.row(-1, named=True) if known.height else None


def snapshot_numbers(day: OptionDay) -> dict[str, Any]:
    """What is told of one snapshot; None where it is not known.

    ``atm`` and ``skew`` are at 30 days, fractions: the skew is the volatility one deviation below the forward less the
    one above. ``fit`` is the median misfit of the expiries in half-spreads, ``inside`` the share of quotes whose fit
    lies between bid and ask. ``act``, ``watch``, ``info``: anomalies by severity, None without a chain.
    """
    numbers: dict[str, Any] = dict.fromkeys(("atm", "skew", "fit", "inside", *SEVERITIES, "heston", "spot"))
    numbers |= {"quotes": day.implied_vols.height, "used": int(day.implied_vols["used"].sum())}
    numbers["spot"] = spot_of(day)
    if day.implied_vols.height:
        counts = dict(day.anomalies.group_by("severity").len().rows())
        numbers |= {name: int(counts.get(name, 0)) for name in SEVERITIES}
    sound = sound_slices(day.slices)
    if sound.height:
        from argus_core.options.surface import Surface

        surface = Surface.of(sound)
        level = float(surface.iv(0.0, TENOR))
        below, above = surface.iv(np.array([-1.0, 1.0]) * level * TENOR**0.5, TENOR)
        numbers |= {"atm": level, "skew": float(below - above)}
        quotes = sound["n_quotes"].to_numpy().astype(float)
        numbers["fit"] = float(np.median(sound["rmse_half_spreads"].to_numpy()))
        numbers["inside"] = float(np.average(sound["inside_share"].to_numpy(), weights=np.maximum(quotes, 1e-9)))
    fit = day.fit
    numbers["heston"] = fit["rmse_iv"] if fit else None
    return numbers


def sound_slices(slices: pl.DataFrame) -> pl.DataFrame:
    """Slices of a snapshot that can be drawn, ascending in time."""
    numbers = ("t_cal", "forward", "discount", "theta", "psi", "rho", "rmse_half_spreads", "inside_share")
    return slices.filter(
        pl.all_horizontal(pl.col(name).is_finite() for name in numbers),
        pl.col("t_cal") > 0,
        pl.col("theta") > 0,
        pl.col("forward") > 0,
    ).sort("t_cal")


def spot_of(day: OptionDay) -> float | None:
    """The spot that the forwards rest on."""
    known = day.forwards.filter(pl.col("spot").is_finite() & (pl.col("spot") > 0)).sort("recv_ts", "t_cal")
    return float(known["spot"][-1]) if known.height else None


def ranked_positions(pop: pl.DataFrame) -> pl.DataFrame:
    """Candidates with ``least_pnl``, the least of the expected profits after costs that the opinions give.

    Best first; those that lack the opinion of model or market come last: one opinion is not enough.
    """
    least = pl.min_horizontal(pl.col(name).fill_nan(None) for name in OPINIONS)
    both = pl.all_horizontal(pl.col(name).is_finite().fill_null(value=False) for name in OPINIONS[:2])
    rows = pop.with_columns(least_pnl=pl.when(both).then(least))
    return rows.sort("least_pnl", "score", "candidate", descending=[True, True, False], nulls_last=True)


def position_in_words(row: Mapping[str, Any]) -> str:
    """Side, structure and legs: ``sell put vertical -620P +615P``."""
    parts = []
    for leg in sorted(page_legs(row["legs"]), key=lambda leg: (leg["expiry"], leg["right"] == "C", leg["strike"])):
        size = abs(leg["quantity"])
        sign = "+" if leg["quantity"] > 0 else MINUS
        parts.append(f"{sign}{'' if size == 1 else f'{size:g}{TIMES}'}{leg['strike']:g}{leg['right']}")
    return f"{row['side']} {row['structure'].replace('_', ' ')} {' '.join(parts)}"
