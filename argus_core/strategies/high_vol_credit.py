"""Sell defined-risk credit once implied volatility is high against its own past and has begun to fall."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from argus_core.options.chains import atm_vol_at
from argus_core.options.selection import Liquidity, Structure, select_iron_condor, select_vertical
from argus_core.options.tape import OptionSnapshot
from argus_core.strategies.credit import credit_exits
from argus_core.strategies.family import Family
from argus_core.strategies.interface import BarView, CallbackStrategy, Intent, Params


class HighVolCreditParams(Params):
    """Parameters of `HighVolCredit`. Volatilities are annualised fractions, money is dollars per share."""

    structure: Literal["iron_condor", "put_spread"] = Field("iron_condor", description="what is sold")
    trigger: Literal["percentile", "regime", "both"] = Field(
        "percentile", description="percentile: of the ATM volatilities seen so far; regime: vol_regime HIGH or SPIKE"
    )
    iv_source: Literal["surface", "chain"] = Field(
        "surface", description="surface: iv_30 or iv_60 of the frame, by iv_days; chain: of the snapshot's own quotes"
    )
    iv_days: float = Field(30.0, gt=3, le=365, description="calendar days of the ATM implied volatility")
    min_percentile: float = Field(0.8, ge=0, le=1, description="least share of earlier snapshots below today's")
    min_snapshots: int = Field(10, ge=2, le=10_000, description="snapshots before a percentile counts")
    falling_from: int = Field(5, ge=1, le=1_000, description="snapshots whose highest volatility today's must be below")
    min_fall: float = Field(0.02, ge=0, lt=1, description="share by which it must be below")
    short_delta: float = Field(0.20, gt=0, lt=0.5, description="absolute delta of the short legs")
    width: float = Field(0.015, gt=0, lt=0.5, description="distance of the strikes as a share of the underlying")
    target_days: int = Field(30, ge=1, le=365, description="calendar days to expiry aimed at")
    min_days: int = Field(20, ge=1, le=365, description="shortest expiry, calendar days")
    max_days: int = Field(45, ge=1, le=365, description="longest expiry, calendar days")
    max_spread: float = Field(0.25, gt=0, le=2, description="largest (ask - bid)/mid of any leg")
    min_open_interest: float = Field(0.0, ge=0, le=1e6, description="fewest open contracts of any leg")
    min_credit_ratio: float = Field(0.15, ge=0, lt=1, description="least credit as a share of the width")
    profit_target: float = Field(0.5, gt=0, le=1, description="share of the credit earned at which it is bought back")
    stop_loss: float = Field(2.0, gt=1, le=20, description="closing cost, in credits, at which it is bought back")
    dte_exit: int = Field(7, ge=0, le=364, description="closed so many calendar days before expiry; 0: held to expiry")
    max_positions: int = Field(1, ge=1, le=20, description="structures of different entries held at once")
    risk_per_trade: float = Field(0.02, gt=0, le=1, description="share of equity that one trade may lose at most")

    @model_validator(mode="after")
    def _ordered(self) -> HighVolCreditParams:
        if not self.min_days <= self.target_days <= self.max_days:
            raise ValueError(
                f"target_days {self.target_days} must lie between min_days {self.min_days} and max_days {self.max_days}"
            )
        if self.dte_exit >= self.min_days:
            raise ValueError(f"dte_exit {self.dte_exit} must be below min_days {self.min_days}")
        if self.iv_source == "surface" and self.iv_days not in (30.0, 60.0):
            raise ValueError(f"iv_days {self.iv_days:g} must be 30 or 60, the frame's columns; or set iv_source: chain")
        return self


class HighVolCredit(CallbackStrategy):
    """Sells an iron condor or put spread at a new snapshot when volatility is high and off its recent peak.

    Volatility is that of the arbitrage-free surface at a constant maturity (``iv_30`` of the frame), known from the
    receipt of its chain on, or that of the snapshot's own quotes at the forward. High: it exceeds ``min_percentile`` of
    all snapshots seen before, or the rule regime says so. Falling: it is ``min_fall`` below the highest of the last
    ``falling_from`` snapshots. Waiting costs part of the premium and avoids selling into the rise. Exits as
    `VRPCreditSpread`'s.

    Warning: what is high is judged by a short past; after a quiet start every rise looks extreme.
    """

    family: ClassVar[Family] = Family(
        name="volatility_premium",
        asset_classes=("equity", "etf", "index"),
        needs_options=True,
        max_swept_parameters=5,
        max_trades_per_day=3,
        max_annual_turnover=50,
    )
    Params = HighVolCreditParams
    params: HighVolCreditParams

    def __init__(self, params: HighVolCreditParams) -> None:
        super().__init__(params)
        self._snapshot_seen = -1
        self._surface_seen: datetime | None = None
        self._ranked: list[float] = []
        self._recent: deque[float] = deque(maxlen=params.falling_from)

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        snapshot = view.snapshot()
        if snapshot is None or snapshot.number == self._snapshot_seen:
            return ()
        self._snapshot_seen = snapshot.number
        intents = credit_exits(view, self.params) if view.positions else []
        calm = self._calms_down(view, snapshot)
        if calm and not view.pending and len(view.positions) < self.params.max_positions:
            found = self._structure(view, snapshot)
            if found is not None:
                intents.append(
                    Intent("open", size=self.params.risk_per_trade, legs=found.legs, tag=self.params.structure)
                )
        return intents

    def _calms_down(self, view: BarView, snapshot: OptionSnapshot) -> bool:
        """Whether volatility is high and falling; takes the snapshot into the past."""
        p, now = self.params, self._volatility(view, snapshot)
        if now is None or not isfinite(now):
            return False
        seen, below = len(self._ranked), bisect_left(self._ranked, now)
        falling = seen > 0 and now <= max(self._recent) * (1.0 - p.min_fall)
        insort(self._ranked, now)
        self._recent.append(now)
        high = seen >= p.min_snapshots and below >= p.min_percentile * seen
        wild = view.value("vol_regime") in ("HIGH", "SPIKE")
        return falling and {"percentile": high, "regime": wild, "both": high and wild}[p.trigger]

    def _volatility(self, view: BarView, snapshot: OptionSnapshot) -> float | None:
        """ATM volatility of this snapshot; None where it is not known, or where the surface is one seen before."""
        days = self.params.iv_days
        if self.params.iv_source == "chain":
            return atm_vol_at(snapshot, days)
        try:
            now, received = view.value(f"iv_{days:g}"), view.value("iv_recv_ts")
        except KeyError as error:
            raise ValueError(
                f"HighVolCredit: iv_source surface needs the columns iv_{days:g} and iv_recv_ts of a decision frame "
                f"(docs/packs.md). Seal the pack again or set iv_source: chain. {error.args[0]}"
            ) from None
        if received == self._surface_seen:
            return None
        self._surface_seen = received
        return now

    def _structure(self, view: BarView, snapshot: OptionSnapshot) -> Structure | None:
        p = self.params
        wish: dict[str, Any] = {
            "short_delta": p.short_delta,
            "target_days": p.target_days,
            "min_days": p.min_days,
            "max_days": p.max_days,
            "width": p.width * view.value("close"),
            "liquidity": Liquidity(p.max_spread, p.min_open_interest),
        }
        if p.structure == "iron_condor":
            found = select_iron_condor(snapshot, **wish)
        else:
            found = select_vertical(snapshot, right="P", **wish)
        # A credit as large as the width would be free money: a broken quote.
        if found is None or not p.min_credit_ratio * found.width <= found.credit < found.width:
            return None
        return found
