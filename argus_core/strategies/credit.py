"""Exits of strategies that sell option structures for a credit."""

from __future__ import annotations

from typing import Protocol

from argus_core.strategies.interface import BarView, Intent


class CreditExitParams(Protocol):
    """``profit_target``: share of the credit earned; ``stop_loss``: closing cost in credits; ``dte_exit``: days."""

    @property
    def profit_target(self) -> float: ...

    @property
    def stop_loss(self) -> float: ...

    @property
    def dte_exit(self) -> int: ...


def credit_exits(view: BarView, params: CreditExitParams) -> list[Intent]:
    """Close every position whose stop, profit target or last day has come, tested in this order.

    Args:
        params: a ``dte_exit`` of 0 holds to the expiry.
    """
    today = view.value("trade_date")
    intents = []
    for position in view.positions:
        credit, cost = position.entry_price, position.close_price
        reason = None
        if cost is not None and cost >= params.stop_loss * credit:
            reason = "stop_loss"
        elif cost is not None and cost <= (1.0 - params.profit_target) * credit:
            reason = "profit_target"
        elif params.dte_exit and (min(leg.expiry for leg in position.legs) - today).days <= params.dte_exit:
            reason = "time"
        if reason is not None:
            intents.append(Intent("close", position_id=position.position_id, tag=reason))
    return intents
