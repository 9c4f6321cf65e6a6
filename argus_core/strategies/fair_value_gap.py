"""Fair value gap: a three-bar imbalance that price comes back to is expected to hold."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from argus_core.strategies import rows as on
from argus_core.strategies.family import Family
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params


class FairValueGapParams(Params):
    """Parameters of `FairValueGap`. R is the distance of the stop."""

    side: Literal["both", "long", "short"] = Field("both", description="bullish gaps are bought, bearish ones sold")
    atr_window: int = Field(60, ge=2, le=2_000, description="bars of the ATR")
    min_gap_atr: float = Field(1.0, ge=0.05, le=20, description="least size of a gap in ATRs")
    max_age: int = Field(30, ge=1, le=500, description="bars after the gap within which price must come back")
    fill: float = Field(0.0, ge=0, lt=1, description="share of the gap to be filled; 0: its near edge is touched")
    stop_atr: float = Field(0.5, ge=0, le=20, description="distance of the stop beyond the gap's far edge in ATRs")
    reward: float = Field(2.0, ge=0.25, le=20, description="target in R")
    break_even_r: float | None = Field(
        1.0, ge=0.25, le=20, description="favourable move in R after which the stop stands at the entry; null: none"
    )
    max_hold_minutes: float = Field(120.0, ge=1, le=10_080, description="time stop, minutes")
    flat_minutes: int = Field(5, ge=1, le=120, description="session instruments: flat so many minutes before the close")
    risk_per_trade: float | None = Field(
        0.0025, gt=0, le=0.05, description="share of equity lost at the stop; null: the whole equity is invested"
    )


class FairValueGap(ColumnarStrategy):
    """A bullish gap: the low of a bar above the high two bars before, without missing bars and within one trade date.

    Entered at the end of the first bar that trades back into the gap and does not close beyond its far edge; each gap
    once, and the newest where one bar meets several. Bearish gaps mirror it.
    """

    Params = FairValueGapParams
    family: ClassVar[Family] = Family(
        name="fair_value_gap",
        asset_classes=("equity", "etf", "crypto"),
        max_bar_seconds=3_600,
        max_swept_parameters=5,
        max_trades_per_day=40,
        max_annual_turnover=20_000,
    )

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: FairValueGapParams) -> pl.DataFrame:
        get = self._cache.get
        stand = get(frame, ("stand", params.flat_minutes), lambda: on.holdable(frame, 60.0 * params.flat_minutes))
        atr = on.average_range(frame, params.atr_window, self._cache)
        gaps, way, near, far = get(frame, "gaps", lambda: _gaps(frame))
        # NaN, no ATR yet, compares false.
        large = np.abs(near - far) >= params.min_gap_atr * atr[gaps]
        if params.side != "both":
            large &= way == (1 if params.side == "long" else -1)
        met, gap = _first_returns(frame, gaps[large], way[large], near[large], far[large], params)
        way, far, extent = way[large][gap], far[large][gap], np.abs(near - far)[large][gap]
        met, way, far, extent = (values[stand[met]] for values in (met, way, far, extent))
        stop = way * (frame["close"].to_numpy()[met] - far) + params.stop_atr * atr[met]
        kept = stop > 0
        met, way, extent, stop = met[kept], way[kept], extent[kept], stop[kept]
        return on.intent_frame(
            frame.height,
            met,
            way,
            leave=~stand,
            stop_distance=stop,
            target_distance=params.reward * stop,
            break_even_distance=None if params.break_even_r is None else params.break_even_r * stop,
            max_hold_seconds=np.fmin(60.0 * params.max_hold_minutes, on.numbers(frame, "seconds_to_close")[met]),
            risk=params.risk_per_trade,
            # A gap of one ATR is one half.
            confidence=extent / (extent + atr[met]),
        )


def _gaps(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Third bars of all imbalances, their direction (+1 bullish), near edge and far edge (prices), each (g,)."""
    high, low = frame["high"].to_numpy(), frame["low"].to_numpy()
    day = on.day_ordinals(frame)
    whole = np.cumsum(on.numbers(frame, "missing_before"))
    joined = (day == on.earlier(day, 2, -1)) & (whole == on.earlier(whole, 2, -1.0))
    bullish = joined & (low > on.earlier(high, 2, np.nan))
    bearish = joined & (high < on.earlier(low, 2, np.nan))
    at = np.flatnonzero(bullish | bearish)
    up = bullish[at]
    return (
        at,
        np.where(up, 1, -1),
        np.where(up, low[at], high[at]),
        np.where(up, high[at - 2], low[at - 2]),
    )


def _first_returns(
    frame: pl.DataFrame,
    gaps: np.ndarray,
    way: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    params: FairValueGapParams,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows at which price comes back into a gap for the first time, ascending, and the number of the gap of each."""
    high, low, close = (frame[name].to_numpy() for name in ("high", "low", "close"))
    day = on.day_ordinals(frame)
    level = near - params.fill * (near - far)
    waiting = np.arange(len(gaps))
    found: list[np.ndarray] = []
    # One pass per bar of age over the gaps that still wait.
    for age in range(1, params.max_age + 1):
        row = gaps[waiting] + age
        inside = row < frame.height
        waiting, row = waiting[inside], row[inside]
        alive = day[row] == day[gaps[waiting]]
        waiting, row = waiting[alive], row[alive]
        if not len(waiting):
            break
        up = way[waiting] > 0
        back = np.where(up, low[row] <= level[waiting], high[row] >= level[waiting])
        holds = way[waiting] * (close[row] - far[waiting]) > 0
        hit = back & holds
        found.append(np.column_stack([row[hit], waiting[hit]]))
        # A close beyond the far edge has filled the gap for good; a shallower touch that failed `fill` waits on.
        waiting = waiting[~back & holds]
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    table = np.concatenate(found)
    # The newest gap of a row last, then kept.
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    last = np.append(np.diff(table[:, 0]) != 0, True) if len(table) else np.empty(0, bool)
    return table[last, 0], table[last, 1]
