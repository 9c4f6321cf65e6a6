"""Trade the distance of a symbol from its references: the part that pairs, baskets and bases share."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import isfinite, log, sqrt
from typing import Any

from pydantic import Field, model_validator

from argus_core.strategies.interface import BarView, CallbackStrategy, Intent, Params


class SpreadParams(Params):
    """Parameters of strategies that trade a spread; lengths in bars of the primary symbol."""

    window: int = Field(60, ge=5, description="past bars from which mean, deviation and hedge ratio are taken")
    entry_z: float = Field(2.0, gt=0, description="deviations from the mean at which the spread is traded")
    exit_z: float = Field(0.5, ge=0, description="deviations at which it is closed")
    stop_z: float | None = Field(4.0, gt=0, description="deviations at which it is given up; null: never")
    max_hold_bars: int = Field(60, ge=1, description="bars after which it is closed")
    weight: float = Field(0.4, gt=0, le=1, description="notional of the primary leg as a share of equity")
    hedged: bool = Field(True, description="trade the references against it; false: the primary symbol alone")
    allow_short: bool = Field(True, description="also sell the primary symbol")
    max_age_seconds: int = Field(300, gt=0, description="age of a reference's bar beyond which nothing is decided")
    flat_minutes: int = Field(0, ge=0, description="closed so long before the session's end; 0: held overnight")

    @model_validator(mode="after")
    def _ordered(self) -> SpreadParams:
        if not self.exit_z < self.entry_z:
            raise ValueError(f"exit_z {self.exit_z} must be below entry_z {self.entry_z}")
        if self.stop_z is not None and self.stop_z <= self.entry_z:
            raise ValueError(f"stop_z {self.stop_z} must be above entry_z {self.entry_z}")
        return self


class SpreadStrategy(CallbackStrategy):
    """Sells what is dear and buys what is cheap: the log price against the mean log price of the references.

    The present bar is judged by the ``window`` bars before it. A position that lost a leg (a rejected order) is closed.
    Derived classes choose the hedge ratio.
    """

    params: Any
    #: Fixed hedge ratio; None: the slope of a regression over the window.
    hedge_ratio: float | None = None

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self._past: deque[tuple[float, float]] = deque()
        self._sums = [0.0] * 5
        self._origin: tuple[float, float] | None = None
        self._entered = 0

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        point = self._point(view)
        if point is None:
            return self._closing(view, "time") if view.positions and self._ends(view) else ()
        judged = self._judge(*point)
        self._remember(*point)
        if view.positions:
            return self._exits(view, judged)
        if judged is None or view.pending or self._ends(view):
            return ()
        z, ratio = judged
        return self._entries(view, z, ratio) if abs(z) >= self.params.entry_z else ()

    # --- measuring -------------------------------------------------------------------------------------------------

    def _point(self, view: BarView) -> tuple[float, float] | None:
        """Log prices of the primary symbol and of its references (mean), or None where one is unknown or stale."""
        price = view.value("close")
        logs = []
        for symbol in view.symbols[1:]:
            other, end = view.value("close", symbol), view.value("end", symbol)
            if other is None or (view.now_us / 1e6 - end.timestamp()) > self.params.max_age_seconds:
                return None
            logs.append(log(other))
        if not logs:
            raise ValueError(f"{self.strategy_id}: the replay has no reference symbol. Name it under pack.references.")
        x, y = log(price), sum(logs) / len(logs)
        # Sums of small numbers lose less: everything is measured from the first point.
        if self._origin is None:
            self._origin = x, y
        return x - self._origin[0], y - self._origin[1]

    def _judge(self, x: float, y: float) -> tuple[float, float] | None:
        """Deviations of the point from the past and the hedge ratio; None before the window is full."""
        n = len(self._past)
        if n < self.params.window:
            return None
        sx, sy, sxx, syy, sxy = self._sums
        mx, my = sx / n, sy / n
        vx, vy, cxy = sxx / n - mx * mx, syy / n - my * my, sxy / n - mx * my
        ratio = self.hedge_ratio if self.hedge_ratio is not None else (cxy / vy if vy > 1e-16 else 0.0)
        variance = vx - 2 * ratio * cxy + ratio * ratio * vy
        if variance <= 1e-14 or not isfinite(variance):
            return None
        return ((x - mx) - ratio * (y - my)) / sqrt(variance), ratio

    def _remember(self, x: float, y: float) -> None:
        self._past.append((x, y))
        self._add(x, y, 1.0)
        if len(self._past) > self.params.window:
            self._add(*self._past.popleft(), -1.0)

    def _add(self, x: float, y: float, sign: float) -> None:
        for k, value in enumerate((x, y, x * x, y * y, x * y)):
            self._sums[k] += sign * value

    # --- trading ---------------------------------------------------------------------------------------------------

    def _entries(self, view: BarView, z: float, ratio: float) -> Sequence[Intent]:
        p = self.params
        side = -1 if z > 0 else 1
        if side < 0 and not p.allow_short:
            return ()
        self._entered = view.index
        notional, others = p.weight * view.equity, view.symbols[1:]
        confidence = min(abs(z) / (2 * p.entry_z), 1.0)
        legs = [Intent("open", side, notional=notional, tag="spread", confidence=confidence)]
        if p.hedged and ratio:
            against = -side if ratio > 0 else side
            each = abs(ratio) * notional / len(others)
            legs += [Intent("open", against, notional=each, tag="spread", symbol=symbol) for symbol in others]
        return legs

    def _exits(self, view: BarView, judged: tuple[float, float] | None) -> Sequence[Intent]:
        p = self.params
        primary = next((held for held in view.positions if held.symbol == view.symbols[0]), None)
        legs = len(view.symbols) if p.hedged else 1
        if primary is None or (len(view.positions) < legs and not view.pending):
            return self._closing(view, "")
        if view.index - self._entered >= p.max_hold_bars or self._ends(view):
            return self._closing(view, "time")
        if judged is None:
            return ()
        against = -primary.side * judged[0]
        if p.stop_z is not None and against >= p.stop_z:
            return self._closing(view, "stop_loss")
        return self._closing(view, "profit_target") if against <= p.exit_z else ()

    def _closing(self, view: BarView, tag: str) -> Sequence[Intent]:
        return [Intent("close", position_id=held.position_id, tag=tag) for held in view.positions]

    def _ends(self, view: BarView) -> bool:
        left = view.value("seconds_to_close")
        return bool(self.params.flat_minutes) and left is not None and left <= 60 * self.params.flat_minutes
