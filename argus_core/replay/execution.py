"""Prices, commissions and quantities of fills of shares and crypto: one set of formulas for both engines.

The functions take numbers or NumPy arrays alike. The rules of the contract, made exact where it left room:

* ``fill_row[i]`` is the first row j > i with ts[j] >= available_at[i] + latency; with ``signal_close`` it is i itself.
  Whether data are missing on the way is judged at that row only.
* A fill at the open is stamped ts[j]; a stop that gaps through fills at the open, too. A stop or target touched inside
  the bar and a forced liquidation are stamped end[j].
* With ``signal_close`` fills of decisions are stamped available_at[i], protective exits start with the next bar, and
  the equity of row i is marked after the fill.
* A time stop fills at the open (``next_worst``: at the adverse extreme) of the first bar with ts >= entry time + hold.
* The last row decides nothing. An open position is closed at its close and marked ``forced``; it counts as a fill.
  An order that never met a bar is neither a fill nor a reject.
* Flat, equity equals cash, so sizing rests on cash: requested = quantity, or size * cash * leverage / price.
  Affordable: long qty*price + commission <= cash*leverage; short qty*price <= cash*leverage. Participation caps
  entries only; exits always fill whole. INSUFFICIENT_SIZE is tested before NO_BUYING_POWER.
* ``costs`` of a trade = quantity * |fill - reference| of market fills + commission, both sides.
* mae/mfe look at highs and lows of the bars held in full (entry bar, unless entered at its close, to the bar before
  the exit; a forced exit holds the last bar in full) and at the exit price: the path inside an exit bar is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from argus_core.settings import ExecutionSettings, Instrument

#: Slack in lots when a wanted quantity is floored, so that 0.3 / 0.1 is three lots.
LOT_SLACK = 1e-9


def market_price(reference: Any, direction: Any, half_spread: Any, execution: ExecutionSettings) -> Any:
    """Price of a market fill: ``reference`` made worse by half the spread and slippage.

    Args:
        reference: price before costs.
        direction: +1 buys, -1 sells.
        half_spread: price units.
    """
    cost = execution.cost_multiplier * (half_spread + execution.slippage_bps * 1e-4 * reference)
    return reference + direction * cost


def closing_mark(close: Any, side: Any, half_spread: Any, execution: ExecutionSettings) -> Any:
    """Price at which a position of ``side`` is marked: the close, on the side it would be closed on."""
    return close - side * (execution.cost_multiplier * half_spread)


def commission(quantity: Any, price: Any, instrument: Instrument, execution: ExecutionSettings) -> Any:
    """Commission in dollars of one order: per share with a minimum, or a share of the notional for crypto."""
    if instrument.is_crypto:
        return quantity * price * instrument.multiplier * execution.commission_rate_crypto * execution.cost_multiplier
    return np.maximum(execution.commission_min, quantity * execution.commission_per_share) * execution.cost_multiplier


def affordable_quantity(cash: Any, price: Any, side: Any, instrument: Instrument, execution: ExecutionSettings) -> Any:
    """Largest quantity, before flooring to lots, that the buying power ``cash * leverage`` carries."""
    budget = cash * execution.leverage
    unit = price * instrument.multiplier
    scale = execution.cost_multiplier
    if instrument.is_crypto:
        long = budget / (unit * (1.0 + execution.commission_rate_crypto * scale))
    else:
        fixed = (budget - execution.commission_min * scale) / unit
        long = np.minimum(fixed, budget / (unit + execution.commission_per_share * scale))
    return np.where(side > 0, long, budget / unit)


def entry_quantity(
    *,
    cash: float,
    price: float,
    side: int,
    volume: float,
    size: float,
    quantity: float | None,
    instrument: Instrument,
    execution: ExecutionSettings,
) -> tuple[float, bool]:
    """Quantity that an entry gets, in whole lots, and whether participation cut it. Zero: the order is rejected.

    A zero is INSUFFICIENT_SIZE where participation alone offers no lot, NO_BUYING_POWER otherwise.
    """
    lot = instrument.lot
    wanted = size * cash * execution.leverage / (price * instrument.multiplier) if quantity is None else quantity
    wanted_lots = np.floor(wanted / lot + LOT_SLACK)
    affordable_lots = np.floor(affordable_quantity(cash, price, side, instrument, execution) / lot)
    offered_lots = np.floor(execution.participation * volume / lot + LOT_SLACK)
    lots = min(wanted_lots, affordable_lots)
    partial = bool(offered_lots < lots)
    return float(max(min(lots, offered_lots), 0.0) * lot), partial
