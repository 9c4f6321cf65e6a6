"""Buy volatility before a scheduled event and sell it after: straddles and strangles around known dates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from argus_core.options.selection import Liquidity, select_strangle
from argus_core.strategies.family import Family
from argus_core.strategies.interface import BarView, CallbackStrategy, Intent, Params

#: Days of the rate decisions of the Federal Open Market Committee (federalreserve.gov, calendars published a year
#: ahead): the second day of each scheduled meeting.
FOMC = tuple(
    date.fromisoformat(day)
    for day in (
        "2024-01-31", "2024-03-20", "2024-05-01", "2024-06-12", "2024-07-31", "2024-09-18", "2024-11-07", "2024-12-18",
        "2025-01-29", "2025-03-19", "2025-05-07", "2025-06-18", "2025-07-30", "2025-09-17", "2025-10-29", "2025-12-10",
        "2026-01-28", "2026-03-18", "2026-04-29", "2026-06-17", "2026-07-29", "2026-09-16", "2026-10-28", "2026-12-09",
    )
)  # fmt: skip


class EventStraddleParams(Params):
    """Parameters of `EventStraddle`."""

    calendar: Literal["fomc", "given"] = Field("fomc", description="fomc: rate decisions 2024 to 2026; given: `events`")
    events: tuple[date, ...] = Field((), description="dates of calendar `given`, published before they are traded")
    days_before: int = Field(3, ge=1, le=60, description="calendar days before the event from which it is bought")
    days_after: int = Field(0, ge=0, le=30, description="calendar days after the event's day that it is still held")
    delta: float | None = Field(None, gt=0, lt=0.5, description="absolute delta of a strangle's legs; null: a straddle")
    target_days: int = Field(14, ge=1, description="calendar days to expiry aimed at, counted from the purchase")
    max_days: int = Field(45, ge=1)
    max_spread: float = Field(0.25, gt=0, description="largest (ask - bid)/mid of either leg")
    min_open_interest: float = Field(0.0, ge=0)
    profit_target: float | None = Field(1.0, gt=0, description="gain on the premium at which it is sold; null: none")
    stop_loss: float | None = Field(0.5, gt=0, le=1, description="loss of the premium at which it is sold; null: none")
    risk_per_trade: float = Field(0.01, gt=0, le=1, description="premium as a share of equity")

    @model_validator(mode="after")
    def _dated(self) -> EventStraddleParams:
        if self.calendar == "given" and not self.events:
            raise ValueError("calendar `given` needs dates in `events`")
        if self.target_days > self.max_days:
            raise ValueError(f"target_days {self.target_days} exceeds max_days {self.max_days}")
        return self


class EventStraddle(CallbackStrategy):
    """Buys once per event, in the ``days_before`` it, an expiry behind it; sells after it.

    Profit target and stop are judged on what closing brings at bid, at every new snapshot. An order that is
    rejected is not repeated.

    Warning: option prices rise into events because everybody knows them; the straddle earns only where the move beats
    what was paid, and its bid-ask spread is paid twice on two legs.
    """

    family = Family(name="event_volatility", needs_options=True, max_swept_parameters=5, max_trades_per_day=2)
    Params = EventStraddleParams
    params: EventStraddleParams

    def __init__(self, params: EventStraddleParams) -> None:
        super().__init__(params)
        self._events = sorted(FOMC if params.calendar == "fomc" else params.events)
        self._snapshot_seen = -1
        self._bought: set[date] = set()

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        snapshot = view.snapshot()
        if snapshot is None or snapshot.number == self._snapshot_seen:
            return ()
        self._snapshot_seen = snapshot.number
        today: date = view.value("trade_date")
        intents = self._exits(view, today)
        event = next((day for day in self._events if day > today), None)
        if event is None or (event - today).days > self.params.days_before or event in self._bought:
            return intents
        p, behind = self.params, (event - today).days + 1
        found = select_strangle(
            snapshot,
            delta=p.delta,
            target_days=max(p.target_days, behind),
            min_days=behind,
            max_days=max(p.max_days, behind),
            liquidity=Liquidity(p.max_spread, p.min_open_interest),
        )
        if found is not None:
            # Asked once: a rejected order is not chased.
            self._bought.add(event)
            intents.append(Intent("open", size=p.risk_per_trade, legs=found.legs, tag=str(event)))
        return intents

    def _exits(self, view: BarView, today: date) -> list[Intent]:
        p, intents = self.params, []
        for position in view.positions:
            event, worth = date.fromisoformat(position.tag), position.close_price
            gain = None if worth is None else worth / position.entry_price - 1.0
            reason = None
            if gain is not None and p.stop_loss is not None and gain <= -p.stop_loss:
                reason = "stop_loss"
            elif gain is not None and p.profit_target is not None and gain >= p.profit_target:
                reason = "profit_target"
            elif (today - event).days > p.days_after:
                reason = "time"
            if reason is not None:
                intents.append(Intent("close", position_id=position.position_id, tag=reason))
        return intents
