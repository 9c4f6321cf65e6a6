"""All detectors over one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.anomalies.flags import Flag, money, percent, to_rows
from argus_core.options.anomalies.history import history_flags
from argus_core.options.anomalies.residuals import residuals
from argus_core.options.anomalies.stale import stale_contracts
from argus_core.options.anomalies.static import static_flags
from argus_core.options.anomalies.term import kink_flags
from argus_core.options.black import black_price
from argus_core.options.schemas import Anomalies
from argus_core.options.surface import SurfaceFit, fit_surface
from argus_core.settings.option_anomalies import AnomalySettings
from argus_core.settings.option_surface import SurfaceSettings


def find_anomalies(
    vols: pl.DataFrame,
    settings: AnomalySettings | None = None,
    *,
    fit: SurfaceFit | None = None,
    forwards: pl.DataFrame | None = None,
    previous: pl.DataFrame | None = None,
    history: pl.DataFrame | None = None,
    earlier: pl.DataFrame | None = None,
    earlier_times: Sequence[datetime] = (),
) -> pl.DataFrame:
    """Flags of one snapshot: residual, vertical, butterfly, calendar, parity, kink, history; most serious first.

    Nothing received at or after the snapshot is looked at. Rows may come in any order.

    Args:
        vols: `ImpliedVols` of the snapshot.
        fit: its surface; fitted here where None.
        forwards: its `Forwards`: spot, and the error that parity and calendars must exceed.
        previous: `ImpliedVols` of the snapshot before: quotes that stood still while others moved are told as stale.
        history: `SurfaceSlices` of earlier snapshots; without them nothing is compared with the past.
        earlier: `Anomalies` of earlier snapshots, and ``earlier_times``, the ``recv_ts`` of all of them, flagged or
            not: they count the persistence.

    Returns:
        `Anomalies`; empty for an empty chain.

    Raises:
        ValueError: if ``vols`` holds more than one snapshot, or ``previous`` was not received before it.
    """
    settings = settings or AnomalySettings()
    if vols.is_empty():
        return Anomalies.create_empty()
    fit = fit or fit_surface(vols, SurfaceSettings(diagnose_svi=False))
    flags = [
        *static_flags(vols, settings, forwards),
        *residual_flags(vols, fit.slices, settings),
        *kink_flags(fit, settings.kink, vols),
    ]
    if history is not None:
        flags += history_flags(fit.slices, history, settings.history)
    stale = stale_contracts(vols, previous, settings)
    return to_rows(flags, vols, settings, stale=stale, earlier=earlier, earlier_times=earlier_times)


def residual_flags(vols: pl.DataFrame, slices: pl.DataFrame, settings: AnomalySettings) -> list[Flag]:
    """R as flags; the edge is what the surface promises after crossing the spread and one fee, no locked-in profit."""
    found = residuals(vols, slices, settings.residual).filter("flagged")
    if found.is_empty():
        return []
    rich = found["z"].to_numpy() > 0
    crossed = np.where(rich, found["iv_bid"].to_numpy(), found["iv_ask"].to_numpy())
    market, fair = (_price(found, vol) for vol in (crossed, found["iv_expected"].to_numpy()))
    gap = np.where(rich, market - fair, fair - market)
    flags = []
    for row, edge in zip(found.iter_rows(named=True), gap * settings.multiplier - settings.fee, strict=True):
        dear = row["z"] > 0
        flags.append(
            Flag(
                "residual",
                row["expiry"],
                (row["contract"],),
                row["z"],
                settings.residual.min_z,
                row["p_value"],
                float(edge),
                f"{row['contract']} is {'dear' if dear else 'cheap'}: quoted at {percent(row['iv_bid'])} to "
                f"{percent(row['iv_ask'])}, its neighbours and the surface say {percent(row['iv_expected'])} "
                f"(z {row['z']:.1f}). {'Selling at the bid' if dear else 'Buying at the ask'} is worth {money(edge)} "
                "per contract if they are right.",
            )
        )
    return flags


def _price(rows: pl.DataFrame, vol: NDArray[np.float64]) -> NDArray[np.float64]:
    """European price per share at a volatility: the early-exercise premium is the same on both sides of a gap."""
    forward, strike, years, discount = (rows[name].to_numpy() for name in ("forward", "strike", "t_cal", "discount"))
    return black_price(forward, strike, years, np.maximum(vol, 1e-6), (rows["right"] == "C").to_numpy(), discount)
