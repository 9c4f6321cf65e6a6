"""A symbol that a replay carries beside its primary one: to be read, and traded by callback strategies."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from argus_core.settings import Instrument


@dataclass(frozen=True)
class Reference:
    """Decision frame (ascending ``ts``) and terms of a reference symbol."""

    frame: pl.DataFrame
    instrument: Instrument
