"""The basis of a crypto ETF: its price against its last close moved along with the coin, which never stops trading."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from math import log
from typing import ClassVar

from pydantic import Field, model_validator

from argus_core.calendar.trading import NEW_YORK
from argus_core.strategies.family import Family
from argus_core.strategies.interface import BarView, CallbackStrategy, Intent, OpenPosition, Params

#: Bars so long end with the session: an order decided at their end fills at the next session's open.
_DAILY_SECONDS = 6 * 3600.0


class CryptoEtfBasisParams(Params):
    """Parameters of `CryptoEtfBasis`. Deviations are logs: 0.005 is half a percent."""

    anchor_sessions: int = Field(1, ge=1, le=60, description="session closes whose mean ratio makes the fair value")
    entry: float = Field(0.005, gt=0, le=0.2, description="deviation from the fair value from which it is traded")
    exit: float = Field(0.001, ge=-0.2, le=0.2, description="deviation left at which it is closed")
    stop: float | None = Field(0.02, gt=0, le=1, description="deviation at which it is given up; null: never")
    max_deviation: float = Field(0.05, gt=0, le=1, description="no entry from here on: a split, a bad tick, a halt")
    max_hold_sessions: int = Field(1, ge=1, le=60, description="closed at so many session closes after its decision")
    weight: float = Field(0.45, gt=0, le=1, description="dollars of the ETF leg as a share of equity")
    hedged: bool = Field(True, description="trade as many dollars of the coin against it; false: the ETF alone")
    allow_short: bool = Field(True, description="also sell the ETF (and buy the coin)")
    max_apart_seconds: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="bars that end further apart are not compared: a move would look like a basis",
    )
    flat_minutes: float = Field(
        10.0, ge=0, le=390, description="no entry so long before the session's end (bars shorter than a session)"
    )

    @model_validator(mode="after")
    def _ordered(self) -> CryptoEtfBasisParams:
        if not self.exit < self.entry < self.max_deviation:
            raise ValueError(f"exit {self.exit}, entry {self.entry} and max_deviation {self.max_deviation} must ascend")
        if self.stop is not None and self.stop <= self.entry:
            raise ValueError(f"stop {self.stop} must be above entry {self.entry}")
        return self


class CryptoEtfBasis(CallbackStrategy):
    """Trades the ETF back to its fair value: its last session closes, moved by what the coin has done since.

    The first reference symbol is the coin. Deviations are judged at the ETF's bars, those of an open position against
    the fair value of its entry. With daily bars the ETF's order fills at the next open; the coin's leg waits for that
    time of day on the next weekday, so that both legs trade together (a holiday parts them for a day). A leg that is
    left alone is closed.

    Warning: closing prices of the ETF and the coin's minute are seconds apart, and premium and fees drift; a deviation
    at the close is mostly gone at the next open, which trades on the coin's night.
    """

    clock = "all"
    family: ClassVar[Family] = Family(
        name="crypto_etf_basis",
        asset_classes=("etf",),
        min_references=1,
        max_swept_parameters=4,
        max_trades_per_day=20,
        max_annual_turnover=2_500,
    )
    Params = CryptoEtfBasisParams
    params: CryptoEtfBasisParams

    def __init__(self, params: CryptoEtfBasisParams) -> None:
        super().__init__(params)
        #: logs of ETF over coin at past session closes; the newest one waits for its session to be over
        self._closes: deque[float] = deque(maxlen=params.anchor_sessions)
        self._last: float | None = None
        self._day: date | None = None
        #: ratio that counts as fair for the open position, and session closes since its decision
        self._fair, self._sessions = 0.0, 0
        #: what the coin's leg will ask for, and from when on
        self._coin: Intent | None = None
        self._coin_us = 0.0
        self._trading = False

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        if len(view.symbols) < 2:
            raise ValueError("CryptoEtfBasis: the replay has no coin. Name it under pack.references.")
        intents = self._etf_bar(view) if view.symbols[0] in view.fresh else []
        return intents + self._coin_leg(view)

    def _etf_bar(self, view: BarView) -> list[Intent]:
        ratio = self._ratio(view)
        etf, coin = _held(view, 0), _held(view, 1)
        if self._trading and etf is None and not view.pending:
            # Closed, rejected, or given up: nothing of the coin may stay.
            self._trading, self._coin = False, None
            return [] if coin is None else [_close(coin, "")]
        if view.pending:
            return []
        if etf is not None:
            return self._exits(view, etf, coin, ratio)
        if ratio is None or self._coin is not None or coin is not None:
            return []
        return self._entries(view, ratio)

    def _ratio(self, view: BarView) -> float | None:
        """Log of ETF over coin now; None without a fresh coin. A new session makes the last ratio a session close."""
        day, coin = view.value("trade_date"), view.symbols[1]
        if day != self._day:
            self._closes.extend([] if self._last is None else [self._last])
            self._day, self._last = day, None
            self._sessions += 1
        price, ended = view.value("close", coin), view.value("end", coin)
        if price is None or abs((view.value("end") - ended).total_seconds()) > self.params.max_apart_seconds:
            return None
        self._last = log(view.value("close") / price)
        return self._last

    def _entries(self, view: BarView, ratio: float) -> list[Intent]:
        p = self.params
        if len(self._closes) < p.anchor_sessions or self._ending(view):
            return []
        fair = sum(self._closes) / len(self._closes)
        away = ratio - fair
        if not p.entry <= abs(away) < p.max_deviation or (away > 0 and not p.allow_short):
            return []
        rich, dollars = away > 0, p.weight * view.equity
        self._fair, self._sessions, self._trading = fair, 0, True
        if p.hedged:
            self._later(view, Intent("open", 1 if rich else -1, notional=dollars, symbol=view.symbols[1], tag="hedge"))
        confidence = min(abs(away) / (2 * p.entry), 1.0)
        return [Intent("open", -1 if rich else 1, notional=dollars, tag="basis", confidence=confidence)]

    def _exits(self, view: BarView, etf: OpenPosition, coin: OpenPosition | None, ratio: float | None) -> list[Intent]:
        p = self.params
        away = None if ratio is None else -etf.side * (ratio - self._fair)
        if p.hedged and coin is None and self._coin is None:
            tag = ""
        elif away is not None and p.stop is not None and away >= p.stop:
            tag = "stop_loss"
        elif away is not None and away <= p.exit:
            tag = "profit_target"
        elif self._sessions >= p.max_hold_sessions:
            tag = "time"
        else:
            return []
        if coin is not None:
            self._later(view, _close(coin, tag))
        return [_close(etf, tag)]

    def _coin_leg(self, view: BarView) -> list[Intent]:
        if self._coin is None or view.now_us < self._coin_us:
            return []
        intent, self._coin = self._coin, None
        return [intent]

    def _later(self, view: BarView, intent: Intent) -> None:
        """Ask for the coin's leg when the ETF's order will meet its market."""
        self._coin, self._coin_us = intent, float(view.now_us)
        if self._daily(view):
            opened: datetime = view.value("ts").astimezone(NEW_YORK)
            day = datetime.fromtimestamp(view.now_us / 1e6, UTC).astimezone(NEW_YORK).date() + timedelta(days=1)
            while day.weekday() > 4:
                day += timedelta(days=1)
            self._coin_us = datetime.combine(day, opened.time(), NEW_YORK).timestamp() * 1e6

    def _daily(self, view: BarView) -> bool:
        return (view.value("end") - view.value("ts")).total_seconds() >= _DAILY_SECONDS

    def _ending(self, view: BarView) -> bool:
        left = view.value("seconds_to_close")
        return not self._daily(view) and left is not None and left <= 60 * self.params.flat_minutes


def _held(view: BarView, number: int) -> OpenPosition | None:
    """The position in the symbol of that number, if any."""
    return next((held for held in view.positions if held.symbol == view.symbols[number]), None)


def _close(position: OpenPosition, tag: str) -> Intent:
    return Intent("close", position_id=position.position_id, tag=tag)
