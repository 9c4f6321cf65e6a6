"""A pair, or a symbol against a basket: trade the residual of a rolling regression of log prices."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import log, sqrt
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from argus_core.strategies.family import Family
from argus_core.strategies.interface import BarView, CallbackStrategy, Intent, Params

#: Variances of log prices below it are rounding: a price that did not move within the window.
_LEAST_VARIANCE = 1e-14
#: Bars so long end with the session.
_DAILY_SECONDS = 6 * 3600.0


class PairSpreadParams(Params):
    """Parameters of `PairSpread`; lengths in bars of the primary symbol, z in deviations of the residual."""

    window: int = Field(390, ge=5, le=10_000, description="past bars of the regression, the newest excluded")
    entry_z: float = Field(2.5, gt=0, le=20, description="|z| from which the spread is traded")
    exit_z: float = Field(0.5, ge=0, le=20, description="distance left at which it is closed")
    stop_z: float | None = Field(5.0, gt=0, le=100, description="distance at which it is given up; null: never")
    max_hold_bars: int = Field(195, ge=1, le=100_000, description="bars after which it is closed")
    weight: float = Field(0.45, gt=0, le=1, description="dollars of the primary leg as a share of equity")
    hedge: Literal["dollar", "beta", "none"] = Field(
        "dollar", description="dollars of the other leg: as many, times the slope, or none at all"
    )
    min_slope: float = Field(0.3, gt=0, le=10, description="no entry at a slope of the regression below it")
    max_slope: float = Field(3.0, gt=0, le=100, description="no entry at a slope of the regression above it")
    max_apart_seconds: float = Field(
        30.0,
        ge=0,
        le=864_000,
        description="bars that end further apart are not compared: a move would look like a spread",
    )
    flat_minutes: float = Field(15.0, ge=0, le=390, description="closed so long before the session's end; 0: held")

    @model_validator(mode="after")
    def _ordered(self) -> PairSpreadParams:
        if not self.exit_z < self.entry_z:
            raise ValueError(f"exit_z {self.exit_z} must be below entry_z {self.entry_z}")
        if self.stop_z is not None and self.stop_z <= self.entry_z:
            raise ValueError(f"stop_z {self.stop_z} must be above entry_z {self.entry_z}")
        if self.min_slope > self.max_slope:
            raise ValueError(f"min_slope {self.min_slope} must not exceed max_slope {self.max_slope}")
        return self


class _Judged(NamedTuple):
    z: float
    slope: float


class PairSpread(CallbackStrategy):
    """Sells what is dear and buys what is cheap: the log price against the mean log price of all references.

    The newest bar is judged by a regression over the ``window`` bars before it. Both legs are ordered together; a
    basket shares its leg in equal parts. A position that has lost a leg (a rejected order) is closed.

    Warning: two prices that merely trended together are regressed as well as two that belong together; the residual
    then has nothing to return to, and stop or time end the trade.
    """

    family: ClassVar[Family] = Family(
        name="pairs",
        asset_classes=("equity", "etf", "crypto"),
        min_references=1,
        max_swept_parameters=4,
        max_trades_per_day=20,
        max_annual_turnover=8_000,
    )
    Params = PairSpreadParams
    params: PairSpreadParams

    def __init__(self, params: PairSpreadParams) -> None:
        super().__init__(params)
        self._past: deque[tuple[float, float]] = deque()
        self._sums = [0.0] * 5
        self._origin: tuple[float, float] | None = None
        self._decided = 0

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        judged = self._newest(view)
        if view.pending:
            return ()
        if view.positions:
            return self._exits(view, judged)
        p = self.params
        if judged is None or abs(judged.z) < p.entry_z or not p.min_slope <= judged.slope <= p.max_slope:
            return ()
        return () if self._ends(view) else self._entries(view, judged)

    # --- measuring -------------------------------------------------------------------------------------------------

    def _newest(self, view: BarView) -> _Judged | None:
        """The newest pair judged by those before it, which it then joins; None where there is no pair, or too few."""
        pair = self._pair(view)
        if pair is None:
            return None
        judged = self._judge(*pair)
        self._past.append(pair)
        self._add(pair, 1.0)
        if len(self._past) > self.params.window:
            self._add(self._past.popleft(), -1.0)
        return judged

    def _pair(self, view: BarView) -> tuple[float, float] | None:
        """Log prices of the references (mean) and of the primary symbol; None where unknown or of another time."""
        logs, now = [], view.value("end")
        for symbol in view.symbols[1:]:
            price, ended = view.value("close", symbol), view.value("end", symbol)
            if price is None or abs((now - ended).total_seconds()) > self.params.max_apart_seconds:
                return None
            logs.append(log(price))
        if not logs:
            raise ValueError("PairSpread: the replay has no reference symbol. Name it under pack.references.")
        x, y = sum(logs) / len(logs), log(view.value("close"))
        # Relative to the first pair: sums of squares of small numbers keep their digits.
        self._origin = self._origin or (x, y)
        return x - self._origin[0], y - self._origin[1]

    def _judge(self, x: float, y: float) -> _Judged | None:
        n = self.params.window
        if len(self._past) < n:
            return None
        sx, sy, sxx, syy, sxy = self._sums
        mean_x, mean_y = sx / n, sy / n
        var_x, var_y = sxx / n - mean_x * mean_x, syy / n - mean_y * mean_y
        if var_x <= _LEAST_VARIANCE:
            return None
        joint = sxy / n - mean_x * mean_y
        slope, left = joint / var_x, var_y - joint * joint / var_x
        if left <= _LEAST_VARIANCE:
            return None
        return _Judged((y - mean_y - slope * (x - mean_x)) / sqrt(left), slope)

    def _add(self, pair: tuple[float, float], sign: float) -> None:
        x, y = pair
        for k, value in enumerate((x, y, x * x, y * y, x * y)):
            self._sums[k] += sign * value

    # --- trading ---------------------------------------------------------------------------------------------------

    def _entries(self, view: BarView, judged: _Judged) -> Sequence[Intent]:
        p, dear = self.params, judged.z > 0
        self._decided = view.index
        dollars, others = p.weight * view.equity, view.symbols[1:]
        confidence = min(abs(judged.z) / (2 * p.entry_z), 1.0)
        legs = [Intent("open", -1 if dear else 1, notional=dollars, tag="spread", confidence=confidence)]
        if p.hedge != "none":
            each = dollars * (judged.slope if p.hedge == "beta" else 1.0) / len(others)
            against = 1 if dear else -1
            legs += [Intent("open", against, notional=each, tag="spread", symbol=symbol) for symbol in others]
        return legs

    def _exits(self, view: BarView, judged: _Judged | None) -> Sequence[Intent]:
        p = self.params
        primary = next((held for held in view.positions if held.symbol == view.symbols[0]), None)
        legs = 1 if p.hedge == "none" else len(view.symbols)
        if primary is None or len(view.positions) < legs:
            return _closing(view, "")
        if view.index - self._decided >= p.max_hold_bars or self._ends(view):
            return _closing(view, "time")
        if judged is None:
            return ()
        away = -primary.side * judged.z
        if p.stop_z is not None and away >= p.stop_z:
            return _closing(view, "stop_loss")
        return _closing(view, "profit_target") if away <= p.exit_z else ()

    def _ends(self, view: BarView) -> bool:
        left, flat = view.value("seconds_to_close"), self.params.flat_minutes
        if not flat or left is None or left > 60 * flat:
            return False
        return (view.value("end") - view.value("ts")).total_seconds() < _DAILY_SECONDS


def _closing(view: BarView, tag: str) -> Sequence[Intent]:
    return [Intent("close", position_id=held.position_id, tag=tag) for held in view.positions]
