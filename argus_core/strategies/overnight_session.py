"""Carry a realised drift over a session change: the day's last minutes into the night, or a crypto hand-over."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import Field

from argus_core.calendar.trading import CRYPTO_SESSIONS
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import ColumnarStrategy, Params

#: Minutes since 00:00 UTC at which ASIA hands over to EU and EU to US.
_HAND_OVERS = (8 * 60, 14 * 60)


class OvernightParams(Params):
    """Parameters of `OvernightSession`."""

    fwd_return_threshold: float = Field(0.005, description="enter when the newest realised return exceeds it")
    entry_window_minutes: int = Field(30, ge=1, description="length of the window before the session ends")
    horizon_seconds: int = Field(14_400, gt=0, description="outcome horizon read, and time after which to close")
    min_global_risk_flow: float | None = Field(None, description="smallest global risk flow; null: no gate")


class OvernightSession(ColumnarStrategy):
    """Long only (shorts carry the gap risk), at most one entry per window, out after ``horizon_seconds``.

    Windows, in decision times (bar ends): the last ``entry_window_minutes`` of the regular session, its close
    excluded (an order then would wait for the next morning); the whole PRE session where the series has such bars;
    for crypto the last ``entry_window_minutes`` up to 08:00 UTC (ASIA to EU) and 14:00 UTC (EU to US).
    Enters on the first row of a window at which ``fwd_return_<horizon>`` (newest outcome that is complete and OK at
    that time) exceeds the threshold and, with a gate, ``global_risk_flow`` is known and not below the minimum.
    """

    Params = OvernightParams

    def __init__(self) -> None:
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: OvernightParams) -> pl.DataFrame:
        name = f"fwd_return_{params.horizon_seconds}"
        if name not in frame.columns:
            known = sorted(int(c.removeprefix("fwd_return_")) for c in frame.columns if c.startswith("fwd_return_"))
            raise ValueError(
                f"OvernightSession: horizon_seconds {params.horizon_seconds} is not computed; the outcomes have "
                f"{known}. Add it to outcomes.horizons in config/argus.yaml, or choose one of these."
            )
        minutes = params.entry_window_minutes
        window = self._cache.get(frame, ("window", minutes), lambda: _windows(frame, minutes))
        ready = (window >= 0) & (self._numbers(frame, name) > params.fwd_return_threshold)
        if params.min_global_risk_flow is not None:
            # NaN, an unknown flow, compares false: it blocks.
            ready &= self._numbers(frame, "global_risk_flow") >= params.min_global_risk_flow
        rows = np.flatnonzero(ready)
        windows = window[rows]
        first = rows[np.diff(windows, prepend=-1) != 0]
        enter = np.zeros(frame.height, np.int8)
        enter[first] = 1
        hold = pl.repeat(float(params.horizon_seconds), frame.height, dtype=pl.Float64, eager=True)
        return pl.DataFrame({"enter": enter, "max_hold_seconds": hold})

    def _numbers(self, frame: pl.DataFrame, name: str) -> np.ndarray:
        return self._cache.get(frame, name, lambda: frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy())


def _windows(frame: pl.DataFrame, minutes: int) -> np.ndarray:
    """Number of the entry window of every row, ascending in time; -1 outside (int64, one per row)."""
    session = frame["session"]
    crypto = session.is_in(list(CRYPTO_SESSIONS)).to_numpy()
    # Which kind of window a row is in: 1 close, 2 PRE, 3 and 4 the hand-overs, 0 none.
    kind = np.zeros(frame.height, np.int64)
    to_close = frame["seconds_to_close"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    kind[(session == "RTH").to_numpy() & (to_close > 0) & (to_close <= 60 * minutes)] = 1
    kind[(session == "PRE").to_numpy()] = 2
    end = frame["end"]
    minute = (end.dt.hour().cast(pl.Int32) * 60 + end.dt.minute().cast(pl.Int32)).to_numpy()
    for number, hand_over in enumerate(_HAND_OVERS):
        kind[crypto & (minute > hand_over - minutes) & (minute <= hand_over)] = 3 + number
    day = frame["trade_date"].to_physical().cast(pl.Int64).to_numpy()
    changes = np.ones(frame.height, bool)
    changes[1:] = (np.diff(kind) != 0) | (np.diff(day) != 0)
    return np.where(kind > 0, np.cumsum(changes), -1)
