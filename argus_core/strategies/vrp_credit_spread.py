"""Sell put spreads while the market pays more for variance than it is expected to deliver."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from argus_core.options.chains import atm_vol_at
from argus_core.options.selection import Liquidity, Structure, select_vertical
from argus_core.options.tape import OptionSnapshot
from argus_core.strategies.credit import credit_exits
from argus_core.strategies.family import Family
from argus_core.strategies.interface import BarView, CallbackStrategy, Intent, Params

_VOL_ORDER = ("LOW", "NORMAL", "HIGH", "SPIKE")
_LIQUIDITY_ORDER = ("DRIED", "LOW", "NORMAL", "HIGH")


class VRPCreditSpreadParams(Params):
    """Parameters of `VRPCreditSpread`. Volatilities are annualised fractions, money is dollars per share."""

    min_vrp: float = Field(0.02, description="least implied minus realised volatility, of either premium_source")
    premium_source: Literal["variance", "vol"] = Field(
        "variance",
        description="variance: vol_premium_30 of the frame, both sides over the next 30 days; vol: ATM implied of the "
        "chain at iv_days minus realised volatility of rv_source",
    )
    max_premium_age_days: float = Field(
        4.0, gt=0, le=30, description="oldest receipt of the chain behind premium_source variance"
    )
    iv_days: float = Field(30.0, gt=3, description="vol: calendar days of the ATM implied volatility")
    rv_source: Literal["outcome", "history"] = Field(
        "outcome", description="vol: outcome: newest OK outcome of rv_horizon; history: daily closes of the frame"
    )
    rv_horizon: int = Field(86_400, gt=0, description="seconds; one of the configured outcome horizons")
    rv_days: int = Field(20, ge=5, description="daily returns of rv_source history")
    days_per_year: int = Field(252, gt=0, description="annualises rv_source history")
    short_delta: float = Field(0.25, gt=0, lt=0.5, description="absolute delta of the short put")
    target_days: int = Field(30, ge=1, description="calendar days to expiry aimed at")
    min_days: int = Field(20, ge=1)
    max_days: int = Field(45, ge=1)
    width: float = Field(0.01, gt=0, lt=0.5, description="distance of the strikes as a share of the underlying")
    max_spread: float = Field(0.25, gt=0, description="largest (ask - bid)/mid of either leg")
    min_open_interest: float = Field(0.0, ge=0)
    min_credit: float = Field(0.10, ge=0, description="least credit")
    min_credit_ratio: float = Field(0.05, ge=0, lt=1, description="least credit as a share of the width")
    max_vol_regime: Literal["LOW", "NORMAL", "HIGH", "SPIKE"] = Field("HIGH", description="worst regime to sell in")
    avoid_trend: Literal["UP", "DOWN", "RANGE"] | None = Field("DOWN", description="trend in which nothing is sold")
    min_liquidity: Literal["DRIED", "LOW", "NORMAL", "HIGH"] = Field("LOW", description="thinnest regime to sell in")
    profit_target: float = Field(0.5, gt=0, le=1, description="share of the credit earned at which it is bought back")
    stop_loss: float = Field(2.0, gt=1, description="closing cost, in credits, at which it is bought back")
    dte_exit: int = Field(7, ge=0, description="closed at so many calendar days before expiry; 0: held to expiry")
    max_positions: int = Field(1, ge=1)
    risk_per_trade: float = Field(0.02, gt=0, le=1, description="share of equity that one trade may lose at most")

    @model_validator(mode="after")
    def _ordered(self) -> VRPCreditSpreadParams:
        if not self.min_days <= self.target_days <= self.max_days:
            raise ValueError(
                f"target_days {self.target_days} must lie between min_days {self.min_days} and max_days {self.max_days}"
            )
        if self.dte_exit >= self.min_days:
            raise ValueError(f"dte_exit {self.dte_exit} must be below min_days {self.min_days}")
        return self


class VRPCreditSpread(CallbackStrategy):
    """Sells a put spread where implied less realised volatility exceeds ``min_vrp`` and the regimes allow it.

    It looks once at every new chain snapshot: between snapshots nothing that an option order could trade on changes.
    A regime that is not known blocks entries, and so does a premium that is not known. Every exit names its position;
    the engine closes at bid and ask, or settles at expiry.

    The premium is ``vol_premium_30``: root of the model-free variance of the next 30 days less root of the variance
    that is expected of the sessions inside them, nights included, both annualised over the same 365 days. Its sign is
    that of the variance premium; the threshold is in volatility. ``premium_source="vol"`` compares the ATM volatility
    of the chain with a past realised volatility instead, over about the same month: 30 calendar days at 365 a year are
    21 sessions at 252.

    Warning: the variance premium rests on at least 22 sessions of bars before the pack; where the lake has fewer it is
    null and nothing is sold. Realised volatility from ``rv_source="outcome"`` rests on one window of ``rv_horizon``; a
    single day is a noisy estimate of the month that the option covers.
    """

    family = Family(name="volatility_premium", needs_options=True, max_swept_parameters=5, max_trades_per_day=3)
    Params = VRPCreditSpreadParams
    params: VRPCreditSpreadParams

    def __init__(self, params: VRPCreditSpreadParams) -> None:
        super().__init__(params)
        self._snapshot_seen = -1
        self._rows_read = 0
        self._daily_closes: list[float] = []

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        snapshot = view.snapshot()
        if snapshot is None:
            return ()
        if snapshot.number == self._snapshot_seen:
            return ()
        self._snapshot_seen = snapshot.number
        intents = credit_exits(view, self.params) if view.positions else []
        if not view.pending and len(view.positions) < self.params.max_positions:
            spread = self._entry(view)
            if spread is not None:
                intents.append(
                    Intent("open", size=self.params.risk_per_trade, legs=spread.legs, tag="put_credit_spread")
                )
        return intents

    def _entry(self, view: BarView) -> Structure | None:
        p, snapshot = self.params, view.snapshot()
        if snapshot is None or not self._regimes_allow(view):
            return None
        premium = self._premium(view, snapshot)
        if premium is None or not premium > p.min_vrp:
            return None
        spread = select_vertical(
            snapshot,
            right="P",
            short_delta=p.short_delta,
            target_days=p.target_days,
            min_days=p.min_days,
            max_days=p.max_days,
            width=p.width * view.value("close"),
            liquidity=Liquidity(p.max_spread, p.min_open_interest),
        )
        if spread is None or spread.credit < max(p.min_credit, p.min_credit_ratio * spread.width):
            return None
        # A credit as large as the width would be free money: a broken quote.
        return spread if spread.credit < spread.width else None

    def _regimes_allow(self, view: BarView) -> bool:
        p = self.params
        vol, trend, liquidity = (view.value(name) for name in ("vol_regime", "trend_regime", "liquidity_regime"))
        if vol not in _VOL_ORDER or trend is None or liquidity not in _LIQUIDITY_ORDER:
            return False
        return (
            _VOL_ORDER.index(vol) <= _VOL_ORDER.index(p.max_vol_regime)
            and trend != p.avoid_trend
            and _LIQUIDITY_ORDER.index(liquidity) >= _LIQUIDITY_ORDER.index(p.min_liquidity)
        )

    def _premium(self, view: BarView, snapshot: OptionSnapshot) -> float | None:
        """Implied less realised volatility known now; None or NaN where a side is not known."""
        p = self.params
        if p.premium_source == "variance":
            try:
                premium, received = view.value("vol_premium_30"), view.value("iv_recv_ts")
            except KeyError as error:
                raise ValueError(
                    "VRPCreditSpread: premium_source variance needs the columns vol_premium_30 and iv_recv_ts of a "
                    f"decision frame (docs/packs.md). Seal the pack again or set premium_source: vol. {error.args[0]}"
                ) from None
            if premium is None or received is None:
                return None
            age = view.now_us / 1e6 - received.timestamp()
            return premium if age <= p.max_premium_age_days * 86_400 else None
        realised = self._realised(view)
        # A volatility of zero is a market that did not trade, not a calm one.
        if realised is None or not isfinite(realised) or realised <= 0.0:
            return None
        return atm_vol_at(snapshot, p.iv_days) - realised

    def _realised(self, view: BarView) -> float | None:
        """Realised volatility known now, or None."""
        p = self.params
        if p.rv_source == "outcome":
            try:
                return view.value(f"realized_vol_annual_{p.rv_horizon}")
            except KeyError as error:
                raise ValueError(
                    f"VRPCreditSpread: rv_horizon {p.rv_horizon} is no configured outcome horizon. Add it to "
                    f"`outcomes.horizons` in config/argus.yaml or choose one of those there. {error.args[0]}"
                ) from None
        self._read_daily_closes(view)
        if len(self._daily_closes) <= p.rv_days:
            return None
        closes = np.array(self._daily_closes[-p.rv_days - 1 :])
        return float(np.std(np.diff(np.log(closes)), ddof=1) * sqrt(p.days_per_year))

    def _read_daily_closes(self, view: BarView) -> None:
        """Add the closes of the days finished since the last call; today's is not final yet."""
        count = view.index + 1 - self._rows_read
        dates = view.history("trade_date", count)
        closes = view.history("close", count)
        finished = np.flatnonzero(dates[1:] != dates[:-1])
        self._daily_closes += closes[finished].tolist()
        # The newest row stays unread: the next call compares its date with the row after it.
        self._rows_read = view.index
