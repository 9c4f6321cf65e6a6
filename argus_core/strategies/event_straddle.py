"""Buy volatility before a scheduled event and sell it after: straddles and strangles around known dates."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from argus_core.calendar.trading import NEW_YORK
from argus_core.options.chains import expiries
from argus_core.options.selection import Liquidity, select_strangle
from argus_core.options.tape import OptionSnapshot
from argus_core.strategies.family import Family
from argus_core.strategies.interface import BarView, CallbackStrategy, Intent, Params
from argus_core.strategies.scheduled_events import SCHEDULED, release

#: Tag of a position: its event in New York time.
_TAG = "event %Y-%m-%d %H:%M"


class EventStraddleParams(Params):
    """Parameters of `EventStraddle`."""

    calendar: Literal["fomc", "cpi", "jobs", "all", "given"] = Field(
        "fomc", description="events of `scheduled_events`; all: the three of them; given: `events` alone"
    )
    events: tuple[date, ...] = Field(
        (), description="further dates, which must have been public before they are traded"
    )
    release_time: time = Field(time(8, 30), description="New York time at which the events of `events` become public")
    days_before: int = Field(3, ge=1, le=60, description="calendar days before the event from which it is bought")
    hold_hours: float = Field(0.0, ge=0, le=720, description="hours after the event from which it is sold")
    delta: float | None = Field(
        None, ge=0.05, lt=0.5, description="absolute delta of a strangle's legs; null: a straddle"
    )
    target_days: int = Field(14, ge=1, le=365, description="calendar days to expiry aimed at; always after the event")
    max_days: int = Field(45, ge=1, le=730, description="longest expiry, calendar days")
    max_spread: float = Field(0.25, gt=0, le=2, description="largest (ask - bid)/mid of either leg")
    min_open_interest: float = Field(0.0, ge=0, le=1e6, description="fewest open contracts of either leg")
    profit_target: float | None = Field(
        1.0, gt=0, le=20, description="gain on the premium at which it is sold; null: none"
    )
    stop_loss: float | None = Field(0.5, gt=0, le=1, description="loss of the premium at which it is sold; null: none")
    risk_per_trade: float = Field(0.03, gt=0, le=1, description="premium as a share of equity")

    @model_validator(mode="after")
    def _dated(self) -> EventStraddleParams:
        if self.calendar == "given" and not self.events:
            raise ValueError("calendar `given` needs dates in `events`")
        if self.target_days > self.max_days:
            raise ValueError(f"target_days {self.target_days} must not exceed max_days {self.max_days}")
        return self


class EventStraddle(CallbackStrategy):
    """Buys once per event at a new snapshot within ``days_before`` it, an expiry behind it; sells when it is over.

    Profit target and stop are judged on what closing brings at bid, at every new snapshot. An order that is rejected is
    not repeated, a sale that is rejected is.

    Warning: option prices rise into events because everybody knows them; the straddle earns only where the move beats
    what was paid, and its bid-ask spread is paid twice on two legs.
    """

    family: ClassVar[Family] = Family(
        name="event_volatility",
        asset_classes=("equity", "etf", "index"),
        needs_options=True,
        max_swept_parameters=5,
        max_trades_per_day=1,
        max_annual_turnover=20,
    )
    Params = EventStraddleParams
    params: EventStraddleParams

    def __init__(self, params: EventStraddleParams) -> None:
        super().__init__(params)
        self._events = deque(_events(params))
        self._snapshot_seen = -1
        self._bought: set[str] = set()

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        intents = self._over(view) if view.positions and not view.pending else []
        snapshot = view.snapshot()
        if snapshot is None or snapshot.number == self._snapshot_seen:
            return intents
        self._snapshot_seen = snapshot.number
        if view.positions and not intents:
            intents = self._limits(view)
        return intents + self._entries(view, snapshot)

    def _entries(self, view: BarView, snapshot: OptionSnapshot) -> list[Intent]:
        p, intents = self.params, []
        while self._events and self._events[0].timestamp() * 1e6 <= view.now_us:
            self._events.popleft()
        for event in self._events:
            if (event.date() - view.value("trade_date")).days > p.days_before:
                break
            tag = f"{event:{_TAG}}"
            if tag in self._bought:
                continue
            # The snapshot may be of the evening before: days to expiry count from its own day.
            expiry, left = expiries(snapshot)[0]
            behind = (event.date() - (expiry - timedelta(days=left))).days + 1
            found = select_strangle(
                snapshot,
                delta=p.delta,
                target_days=max(p.target_days, behind),
                min_days=behind,
                max_days=p.max_days,
                liquidity=Liquidity(p.max_spread, p.min_open_interest),
            )
            if found is not None:
                self._bought.add(tag)
                intents.append(Intent("open", size=p.risk_per_trade, legs=found.legs, tag=tag))
        return intents

    def _over(self, view: BarView) -> list[Intent]:
        """Positions whose event lies ``hold_hours`` back. Their order meets the next snapshot; none need be seen."""
        intents = []
        for position in view.positions:
            moment = datetime.strptime(position.tag, _TAG).replace(tzinfo=NEW_YORK)
            if view.now_us >= (moment.timestamp() + 3_600 * self.params.hold_hours) * 1e6:
                intents.append(Intent("close", position_id=position.position_id, tag="time"))
        return intents

    def _limits(self, view: BarView) -> list[Intent]:
        p, intents = self.params, []
        for position in view.positions:
            worth = position.close_price
            if worth is None:
                continue
            gain = worth / position.entry_price - 1.0
            if p.stop_loss is not None and gain <= -p.stop_loss:
                intents.append(Intent("close", position_id=position.position_id, tag="stop_loss"))
            elif p.profit_target is not None and gain >= p.profit_target:
                intents.append(Intent("close", position_id=position.position_id, tag="profit_target"))
        return intents


def _events(params: EventStraddleParams) -> list[datetime]:
    """Every event once, ascending, in New York time."""
    names = [] if params.calendar == "given" else list(SCHEDULED) if params.calendar == "all" else [params.calendar]
    found = {release(name, day) for name in names for day in SCHEDULED[name]}
    return sorted(found | {datetime.combine(day, params.release_time, NEW_YORK) for day in params.events})
