"""Surfaces of many snapshots: one after the other, each starting where the last one ended."""

from __future__ import annotations

import polars as pl

from argus_core.options.schemas import SurfaceSlices
from argus_core.options.surface.fit import fit_surface
from argus_core.settings.option_surface import SurfaceSettings


def fit_surfaces(vols: pl.DataFrame, settings: SurfaceSettings | None = None) -> pl.DataFrame:
    """`SurfaceSlices` of every snapshot, in order of receipt; none of a snapshot that cannot be fitted.

    Args:
        vols: rows of `ImpliedVols` of one underlying and provider.
    """
    ordered = vols.sort("recv_ts", maintain_order=True).partition_by("recv_ts", maintain_order=True)
    parts: list[pl.DataFrame] = []
    for snapshot in ordered if vols.height else ():
        parts.append(fit_surface(snapshot, settings, previous=parts[-1] if parts else None).slices)
    return pl.concat(parts) if parts else SurfaceSlices.create_empty()
