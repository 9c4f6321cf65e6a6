"""Minute snap: an ETF that has come off its reference within minutes is expected to snap back."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from argus_core.strategies import rows as on
from argus_core.strategies.family import Family
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params

#: Variances of log prices below it are rounding: a price that did not move within the window.
_LEAST_VARIANCE = 1e-14


class MinuteSnapParams(Params):
    """Parameters of `MinuteSnap`. z: distance from the fitted relation in standard deviations of its residuals."""

    reference: str | None = Field(None, max_length=20, description="reference symbol; null: the only one of the frame")
    window: int = Field(240, ge=20, le=5_000, description="past pairs of bars to which the relation is fitted")
    entry_z: float = Field(3.0, ge=0.5, le=10, description="enter against |z| above it")
    exit_z: float = Field(0.5, ge=0, le=5, description="leave at |z| not above it, or when z changes sign")
    max_z: float = Field(8.0, ge=1, le=100, description="no entry at |z| from here on: a bad tick or a broken relation")
    min_correlation: float = Field(0.7, ge=0, le=1, description="least correlation of the log prices in the window")
    max_hold_minutes: float = Field(30.0, ge=1, le=1_440, description="time stop, minutes")
    stop_sigma: float = Field(6.0, ge=0.5, le=50, description="stop distance in standard deviations of the residual")
    max_age_seconds: float = Field(90.0, ge=0, le=3_600, description="reference bars that ended earlier are stale")
    risk_per_trade: float | None = Field(
        None, gt=0, le=0.05, description="share of equity lost at the stop; null: the whole equity is invested"
    )

    @model_validator(mode="after")
    def _ordered(self) -> MinuteSnapParams:
        if not self.exit_z < self.entry_z < self.max_z:
            raise ValueError(
                f"exit_z {self.exit_z}, entry_z {self.entry_z} and max_z {self.max_z} must ascend in this order"
            )
        return self


class _Relation(NamedTuple):
    """Per row, (n,) each, NaN where nothing is known: z, standard deviation of the residual (log), correlation."""

    z: np.ndarray
    deviation: np.ndarray
    correlation: np.ndarray


class MinuteSnap(ColumnarStrategy):
    """Regresses the log price on the reference's over the past ``window`` pairs, the newest excluded, and enters where
    the newest pair lies ``entry_z`` residual deviations off the line and the pair before, of the same day, did not.

    Pairs with a stale reference are left out everywhere. Session instruments trade in regular hours only and enter only
    where the time stop comes before the close. Only the ETF is traded: the reference is read, not a hedge.
    """

    Params = MinuteSnapParams
    family: ClassVar[Family] = Family(
        name="minute_snap",
        asset_classes=("equity", "etf", "crypto"),
        max_bar_seconds=300,
        min_references=1,
        max_swept_parameters=5,
        max_trades_per_day=25,
        max_annual_turnover=13_000,
    )

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: MinuteSnapParams) -> pl.DataFrame:
        symbol = _reference(frame, params.reference)
        z, deviation, correlation = self._cache.get(
            frame,
            ("relation", symbol, params.window, params.max_age_seconds),
            lambda: _relation(frame, symbol, params.window, params.max_age_seconds),
        )
        hold = 60.0 * params.max_hold_minutes
        stand = self._cache.get(frame, "stand", lambda: on.holdable(frame, 0.0))
        may_enter = self._cache.get(frame, ("enter", hold), lambda: on.holdable(frame, hold))
        before = self._cache.get(
            frame, ("before", symbol, params.window, params.max_age_seconds), lambda: _previous(z, frame)
        )
        # NaN compares false throughout.
        away = np.abs(z)
        fresh = (away > params.entry_z) & (away < params.max_z) & (np.abs(before) <= params.entry_z)
        at = np.flatnonzero(fresh & may_enter & (correlation >= params.min_correlation))
        back = (away <= params.exit_z) | (z * before < 0)
        return on.intent_frame(
            frame.height,
            at,
            -np.sign(z[at]),
            leave=~stand | back,
            stop_distance=params.stop_sigma * deviation[at] * frame["close"].to_numpy()[at],
            max_hold_seconds=hold,
            risk=params.risk_per_trade,
            confidence=1.0 - params.exit_z / away[at],
        )


def _reference(frame: pl.DataFrame, wanted: str | None) -> str:
    """The symbol whose columns ``ref_<symbol>_close`` and ``ref_<symbol>_end`` are read."""
    there = [
        name.removeprefix("ref_").removesuffix("_close")
        for name in frame.columns
        if name.startswith("ref_") and name.endswith("_close")
    ]
    how = "Name it under pack.references in the loop file"
    if wanted is None and len(there) == 1:
        return there[0]
    if wanted is None:
        what = f"several references: {', '.join(there)}" if there else "no reference"
        raise ValueError(f"MinuteSnap: the frame has {what}. {how}, and as `reference` in the strategy's params.")
    if wanted not in there:
        raise ValueError(f"MinuteSnap: no reference {wanted} in the frame; found: {', '.join(there) or 'none'}. {how}.")
    return wanted


def _relation(frame: pl.DataFrame, symbol: str, window: int, max_age_seconds: float) -> _Relation:
    price, other = on.numbers(frame, "close"), on.numbers(frame, f"ref_{symbol}_close")
    ended = frame[f"ref_{symbol}_end"].dt.timestamp("us").cast(pl.Float64).fill_null(np.nan).to_numpy()
    age = (on.stamps(frame, "available_at") - ended) / 1e6
    sound = (price > 0) & (other > 0) & np.isfinite(price) & np.isfinite(other)
    pairs = np.flatnonzero(sound & (age <= max_age_seconds))
    # Relative to the first pair: sums of squares of small numbers keep their digits.
    y, x = (np.log(values[pairs]) - np.log(values[pairs[:1]]) for values in (price, other))

    def mean(values: np.ndarray) -> np.ndarray:
        past = pl.Series(values).rolling_mean(window)
        return past.shift(1).fill_null(np.nan).to_numpy()

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    joint = mean(x * y) - mean_x * mean_y
    usable = (var_x > _LEAST_VARIANCE) & (var_y > _LEAST_VARIANCE)
    var_x, var_y = np.where(usable, var_x, np.nan), np.where(usable, var_y, np.nan)
    correlation = joint / np.sqrt(var_x * var_y)
    left = var_y - joint**2 / var_x
    deviation = np.sqrt(np.where(left > _LEAST_VARIANCE, left, np.nan))
    z = (y - mean_y - joint / var_x * (x - mean_x)) / deviation
    found = _Relation(*(np.full(frame.height, np.nan) for _ in range(3)))
    for column, values in zip(found, (z, deviation, correlation), strict=True):
        column[pairs] = values
    return found


def _previous(z: np.ndarray, frame: pl.DataFrame) -> np.ndarray:
    """z of the pair before, (n,); NaN where that is unknown or of another trade date: a night is no snap."""
    pairs = np.flatnonzero(~np.isnan(z))
    day = on.day_ordinals(frame)[pairs]
    before = np.full(len(z), np.nan)
    before[pairs[1:]] = np.where(day[1:] == day[:-1], z[pairs[:-1]], np.nan)
    return before
