"""A filter that wraps any strategy: entries pass on weekdays and in conditions that score well enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from argus_core.strategies import rows as on
from argus_core.strategies.indicators import FrameCache
from argus_core.strategies.interface import BarView, CallbackStrategy, ColumnarStrategy, Intent, Params, Strategy
from argus_core.strategies.wrapping import Inner, Wrapper, bound_params, bound_spec

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LABELS = ("vol_regime", "trend_regime", "risk_regime", "liquidity_regime", "session")
_DEFAULT = "EmaCrossAtr"
_ALLOWS = "weekday_gate_allows"
#: Bars so long end with the session: their order fills in the next one, whatever the minute.
_DAILY_SECONDS = 6 * 3600.0


class WeekdayGateParams(Params):
    """Parameters of `WeekdayGate`. An entry passes where no block holds and the weekday's weight less all penalties
    reaches the threshold."""

    inner: Inner = Field(Inner(strategy_class=_DEFAULT), description="the strategy whose entries are filtered")
    threshold: float = Field(0.5, ge=0, le=1, description="least score at which an entry passes")
    monday: float = Field(0.9, ge=0, le=1, description="weight of Mondays: the score before penalties")
    tuesday: float = Field(1.0, ge=0, le=1, description="weight of Tuesdays")
    wednesday: float = Field(1.0, ge=0, le=1, description="weight of Wednesdays")
    thursday: float = Field(0.95, ge=0, le=1, description="weight of Thursdays")
    friday: float = Field(0.85, ge=0, le=1, description="weight of Fridays")
    saturday: float = Field(0.85, ge=0, le=1, description="weight of Saturdays; 24/7 symbols only")
    sunday: float = Field(0.85, ge=0, le=1, description="weight of Sundays; 24/7 symbols only")
    high_volatility: float = Field(0.25, ge=0, le=1, description="penalty while vol_regime is HIGH")
    down_trend: float = Field(0.1, ge=0, le=1, description="penalty while trend_regime is DOWN")
    risk_off: float = Field(0.2, ge=0, le=1, description="penalty while risk_regime is OFF")
    thin: float = Field(0.2, ge=0, le=1, description="penalty while liquidity_regime is LOW or DRIED")
    block_unknown: bool = Field(True, description="no entry while vol or trend regime is missing or cold")
    block_spike: bool = Field(True, description="no entry while vol_regime is SPIKE")
    extended_hours: bool = Field(False, description="let entries pass before and after the regular session")
    last_minutes: float = Field(15.0, ge=0, le=390, description="no entry within so long of the regular close; 0: off")
    quality_bars: int = Field(5, ge=0, le=10_000, description="no entry for so many bars after missing ones; 0: off")


def gate_allows(frame: pl.DataFrame, params: Any) -> np.ndarray:
    """Whether an entry may be decided at each row of the decision frame, (rows,) bool: the one rule of both forms.

    Weekdays are those of the trade date; of 24/7 symbols, which have no close, those of the bar's start in UTC. The
    last minutes are the calendar's own, early closes and daylight saving time included; bars of a day have none.
    """
    to_close = on.numbers(frame, "seconds_to_close")
    always = np.isnan(to_close)
    days = on.weekdays(np.where(always, on.stamps(frame, "ts") // on.DAY_US, on.day_ordinals(frame)))
    vol, trend, risk, liquidity, session = (frame[name].cast(pl.String).fill_null("").to_numpy() for name in _LABELS)
    score = np.array([getattr(params, day) for day in _DAYS])[days]
    score = score - params.high_volatility * (vol == "HIGH") - params.down_trend * (trend == "DOWN")
    score = score - params.risk_off * (risk == "OFF") - params.thin * np.isin(liquidity, ("LOW", "DRIED"))
    # Rounding must not decide between equal scores.
    allowed = score >= params.threshold - 1e-9
    if params.block_unknown:
        allowed &= (vol != "") & (trend != "") & frame["regime_warm"].fill_null(False).to_numpy()
    if params.block_spike:
        allowed &= vol != "SPIKE"
    regular = session == "RTH"
    if not params.extended_hours:
        allowed &= always | regular
    if params.last_minutes:
        ending = regular & (to_close < 60 * params.last_minutes)
        allowed &= ~(ending & (on.bar_seconds(frame) < _DAILY_SECONDS))
    if params.quality_bars:
        rows = np.arange(frame.height)
        missing = frame["missing_before"].fill_null(0).to_numpy() > 0
        newest = np.maximum.accumulate(np.where(missing, rows, -params.quality_bars))
        allowed &= rows - newest >= params.quality_bars
    return allowed


class WeekdayGate(Wrapper):
    """Passes the entries of the strategy named under ``inner`` where `gate_allows`, and its exits always.

    Wraps both interfaces and has that of what it wraps. An entry that is held back is forgotten, not postponed; one
    against the position held still closes it. A resting order that was let through may fill while the gate is shut.
    """

    Params = WeekdayGateParams

    @classmethod
    def specs(cls, params: Mapping[str, Any]) -> Sequence[Inner]:
        given = params.get("inner", {})
        return [Inner.model_validate({"strategy_class": _DEFAULT, **given} if isinstance(given, Mapping) else given)]

    @classmethod
    def form(cls, parts: Sequence[type[Strategy]]) -> type[Strategy]:
        return _ColumnarGate if issubclass(parts[0], ColumnarStrategy) else _CallbackGate

    @classmethod
    def attributes(cls, parts: Sequence[type[Strategy]], names: Sequence[set[str]]) -> dict[str, Any]:
        [part] = parts
        spec = bound_spec(Inner, part, names[0])
        swept = part.family.max_swept_parameters
        family = part.family.model_copy(
            update={"name": f"gated_{part.family.name}", "max_swept_parameters": None if swept is None else swept + 2}
        )
        made: dict[str, Any] = {"Params": bound_params(WeekdayGateParams, inner=(spec, spec)), "family": family}
        return made | ({"clock": part.clock} if issubclass(part, CallbackStrategy) else {})


class _ColumnarGate(WeekdayGate, ColumnarStrategy):
    def __init__(self) -> None:
        inner: Any = self.parts[0]
        self._inner: ColumnarStrategy = inner()
        self._cache = FrameCache()

    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        found = self._inner.intents(frame, params.inner.params)
        rule = tuple(params.model_dump(exclude={"inner"}).items())
        allowed = self._cache.get(frame, rule, lambda: gate_allows(frame, params))
        wanted = found["enter"].fill_null(0).to_numpy()
        passed = np.where(allowed, wanted, 0).astype(np.int8)
        # What is held, if anything, was entered by the last entry that passed.
        last = np.maximum.accumulate(np.where(passed != 0, np.arange(len(passed)), 0))
        against = ~allowed & (wanted * passed[last] < 0)
        columns = [pl.Series("enter", passed)]
        if against.any():
            leaves = found["exit"].fill_null(False).to_numpy() if "exit" in found.columns else False
            columns.append(pl.Series("exit", leaves | against))
        return found.with_columns(columns)


class _CallbackGate(WeekdayGate, CallbackStrategy):
    def __init__(self, params: Any) -> None:
        super().__init__(params)
        inner: Any = self.parts[0]
        self._inner: CallbackStrategy = inner(params.inner.params)

    @classmethod
    def columns(cls, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        own = pl.Series(_ALLOWS, gate_allows(frame, params))
        inner: Any = cls.parts[0]
        found = inner.columns(frame, params.inner.params)
        return pl.DataFrame([own]) if found is None else found.with_columns(own)

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        wanted = self._inner.on_bar(view)
        if not wanted or view.value(_ALLOWS):
            return wanted
        return [intent for intent in wanted if intent.action != "open"]
