"""Panic snapback: after a fall far outside the usual, on heavy volume, the first sign of a reversal is bought."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from argus_core.features.volatility import log_returns, rolling_volatility
from argus_core.strategies import rows as on
from argus_core.strategies.family import Family
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params

_HIGH_VOLATILITY = ("HIGH", "SPIKE")


class PanicSnapbackParams(Params):
    """Parameters of `PanicSnapback`."""

    bars: int = Field(15, ge=2, le=500, description="bars over which the fall is measured")
    baseline: int = Field(390, ge=20, le=5_000, description="bars before the fall that say what is usual")
    sigmas: float = Field(4.0, ge=1, le=20, description="least fall in standard deviations of a fall of so many bars")
    volume_ratio: float = Field(1.5, ge=0, le=50, description="least mean volume of the fall over that of the baseline")
    only_high_volatility: bool = Field(False, description="only where vol_regime is HIGH or SPIKE; unknown blocks")
    confirm_bars: int = Field(10, ge=1, le=200, description="bars after the fall within which the reversal must come")
    target_fraction: float = Field(0.5, ge=0.05, le=2, description="share of the fall that price regains at the target")
    stop_buffer: float = Field(0.1, ge=0, le=2, description="distance of the stop below the low, in shares of the fall")
    trail_fraction: float | None = Field(
        None, ge=0.05, le=5, description="trailing stop, in shares of the fall; null: none"
    )
    break_even_fraction: float | None = Field(
        0.25, ge=0.02, le=2, description="gain, in shares of the fall, after which the stop stands at the entry"
    )
    max_hold_minutes: float = Field(90.0, ge=1, le=10_080, description="time stop, minutes")
    flat_minutes: int = Field(5, ge=1, le=120, description="session instruments: flat so many minutes before the close")
    risk_per_trade: float | None = Field(
        0.005, gt=0, le=0.05, description="share of equity lost at the stop; null: the whole equity is invested"
    )


class PanicSnapback(ColumnarStrategy):
    """Long only. Panic: the close lies ``sigmas`` deviations below that of ``bars`` bars ago, within one trade date,
    and the volume in between is ``volume_ratio`` times the usual. Panic rows no more than ``confirm_bars`` apart are
    one episode; it is bought once, at the first close above the high of the bar before.
    """

    Params = PanicSnapbackParams
    family: ClassVar[Family] = Family(
        name="panic_snapback",
        asset_classes=("equity", "etf", "crypto"),
        max_bar_seconds=3_600,
        max_swept_parameters=6,
        max_trades_per_day=5,
        max_annual_turnover=2_600,
    )

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: PanicSnapbackParams) -> pl.DataFrame:
        get = self._cache.get
        fall, heavy = get(frame, ("fall", params.bars, params.baseline), lambda: _fall(frame, params))
        stand = get(frame, ("stand", params.flat_minutes), lambda: on.holdable(frame, 60.0 * params.flat_minutes))
        # NaN, no baseline yet, compares false.
        panic = (fall >= params.sigmas) & (heavy >= params.volume_ratio)
        if params.only_high_volatility:
            panic &= get(frame, "high", lambda: frame["vol_regime"].is_in(_HIGH_VOLATILITY).fill_null(False).to_numpy())
        at = _reversals(frame, panic, params.confirm_bars)
        reach = params.bars + params.confirm_bars
        top, bottom = get(frame, ("extremes", reach), lambda: _extremes(frame, reach))
        close = frame["close"].to_numpy()
        height = top - bottom
        stop = close - bottom + params.stop_buffer * height
        target = bottom + params.target_fraction * height - close
        # A reversal that has already regained the target comes too late.
        at = at[stand[at] & (stop[at] > 0) & (target[at] > 0)]
        size, minutes = height[at], params.max_hold_minutes
        return on.intent_frame(
            frame.height,
            at,
            1,
            leave=~stand,
            stop_distance=stop[at],
            target_distance=target[at],
            trail_distance=None if params.trail_fraction is None else params.trail_fraction * size,
            break_even_distance=None if params.break_even_fraction is None else params.break_even_fraction * size,
            max_hold_seconds=np.fmin(60.0 * minutes, on.numbers(frame, "seconds_to_close")[at]),
            risk=params.risk_per_trade,
            # Share of the fall that is still to be regained.
            confidence=np.clip(target[at] / (params.target_fraction * size), 0.0, 1.0),
        )


def _fall(frame: pl.DataFrame, params: PanicSnapbackParams) -> tuple[np.ndarray, np.ndarray]:
    """Fall over the last bars in standard deviations, and their mean volume over that of the baseline, each (n,); NaN
    where the fall would cross a trade date of a session instrument or the baseline is not full."""
    bars = params.bars
    close = on.numbers(frame, "close")
    with np.errstate(all="ignore"):
        usual = on.earlier(rolling_volatility(log_returns(close), params.baseline), bars, np.nan) * np.sqrt(bars)
        fall = -np.log(close / on.earlier(close, bars, np.nan)) / np.where(usual > 0, usual, np.nan)
    volume = pl.Series(on.numbers(frame, "volume"))
    recent = volume.rolling_mean(bars).fill_null(np.nan).to_numpy()
    past = on.earlier(volume.rolling_mean(params.baseline).fill_null(np.nan).to_numpy(), bars, np.nan)
    with np.errstate(all="ignore"):
        heavy = recent / np.where(past > 0, past, np.nan)
    day = on.day_ordinals(frame)
    whole = np.isnan(on.numbers(frame, "seconds_to_close")) | (day == on.earlier(day, bars, -1))
    return np.where(whole, fall, np.nan), heavy


def _reversals(frame: pl.DataFrame, panic: np.ndarray, confirm_bars: int) -> np.ndarray:
    """First row of every episode of panic that closes above the high of the bar before."""
    rows = np.arange(len(panic))
    newest = np.maximum.accumulate(np.where(panic, rows, -1))
    active = (newest >= 0) & (rows - newest <= confirm_bars)
    # An episode ends where it is no longer active: the row that makes it active again begins another.
    episode = np.cumsum(active & ~on.earlier(active, 1, False))
    turns = frame["close"].to_numpy() > on.earlier(frame["high"].to_numpy(), 1, np.nan)
    return on.first_of_each(active & turns, episode)


def _extremes(frame: pl.DataFrame, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Highest close and lowest low of the last ``reach`` + 1 rows, each (n,); sessions of a day apart from the next."""
    day = pl.when(pl.col("seconds_to_close").is_null()).then(0).otherwise(pl.col("trade_date").to_physical())
    found = frame.select(
        top=pl.col("close").rolling_max(reach + 1, min_samples=1).over(day),
        bottom=pl.col("low").rolling_min(reach + 1, min_samples=1).over(day),
    )
    return on.numbers(found, "top"), on.numbers(found, "bottom")
