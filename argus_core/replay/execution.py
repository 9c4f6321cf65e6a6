"""Prices, commissions and quantities of fills of shares and crypto: one set of formulas for both engines.

The functions take numbers or NumPy arrays alike. The rules of the contract, made exact where it left room:

* ``fill_row[i]`` is the first row j > i with ts[j] >= available_at[i] + latency; with ``signal_close`` it is i itself.
  Whether data are missing on the way is judged at that row only.
* A fill at the open is stamped ts[j]; a stop that gaps through fills at the open, too. A stop or target touched inside
  the bar and a forced liquidation are stamped end[j].
* ``signal_close`` fills decisions at the close of row i, stamped available_at[i]; ``next_close`` at the close of the
  fill row, stamped end[j], before that row's own decision. Under both, protective exits of a lot start with the bar
  after its entry, and a time stop fills at the open.
* A time stop fills at the open (``next_worst``: at the adverse extreme) of the first bar with ts >= entry time + hold.
* A trailing or break-even stop moves at the end of a bar that the lot was held through (the entry bar when entered at
  its open), after that bar's protective check; it counts from the next bar on. Break-even: the best price came
  ``break_even_distance`` above the entry. What set the level last names the exit.
* The last row decides nothing. An open position is closed at its close and marked ``forced``; it counts as a fill.
  An order that never met a bar is neither a fill nor a reject.
* Sizing rests on the equity at the fill (flat: cash; with lots held: marked at the row before a fill at the open, at
  the row of a fill at the close). Budget: leverage * equity less the notional held at its marks. Affordable: long
  qty*price + commission <= budget; short qty*price <= budget. Participation caps entries only; exits always fill
  whole. INSUFFICIENT_SIZE is tested before NO_BUYING_POWER.
* ``costs`` of a trade = quantity * |fill - reference| of market fills + commission, both sides.
* mae/mfe look at highs and lows of the bars held in full (entry bar, unless entered at its close, to the bar before
  the exit; a forced exit holds the last bar in full) and at the exit price: the path inside an exit bar is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from argus_core.settings import ExecutionSettings, Instrument

#: Slack in lots when a quantity is floored, so that 0.3 / 0.1 is three lots, and a budget that is one lot's price but
#: for rounding buys it.
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


def affordable_quantity(
    budget: Any, price: Any, side: Any, instrument: Instrument, execution: ExecutionSettings
) -> Any:
    """Largest quantity, before flooring to lots, that ``budget`` dollars of buying power carry."""
    unit = price * instrument.multiplier
    scale = execution.cost_multiplier
    if instrument.is_crypto:
        long = budget / (unit * (1.0 + execution.commission_rate_crypto * scale))
    else:
        fixed = (budget - execution.commission_min * scale) / unit
        long = np.minimum(fixed, budget / (unit + execution.commission_per_share * scale))
    return np.where(side > 0, long, budget / unit)


class Sizing(NamedTuple):
    """How much an entry wants, as numbers of which at most one is not zero; `wanted_quantity` puts them together.

    Attributes:
        fixed: shares.
        dollars: notional.
        share: notional as a share of equity.
        per_equity: shares per dollar of equity.
    """

    fixed: Any = 0.0
    dollars: Any = 0.0
    share: Any = 0.0
    per_equity: Any = 0.0


def sizing(
    *,
    quantity: Any,
    notional: Any,
    risk: Any,
    target_volatility: Any,
    volatility: Any,
    size: Any,
    stop: Any,
    instrument: Instrument,
    execution: ExecutionSettings,
) -> Sizing:
    """The first way of sizing that is given (not NaN), in the order of the arguments; numbers or arrays alike.

    Args:
        risk: share of equity lost at ``stop``, the distance of the initial stop in price units.
        target_volatility, volatility: annualised; where the volatility is not known or not positive, nothing is wanted.
        size: share of equity, times leverage; NaN: 1.

    Raises:
        ValueError: if ``risk`` counts somewhere without a finite positive stop.
    """
    by_quantity = ~np.isnan(quantity)
    by_notional = ~by_quantity & ~np.isnan(notional)
    by_risk = ~by_quantity & ~by_notional & ~np.isnan(risk)
    by_volatility = ~by_quantity & ~by_notional & ~by_risk & ~np.isnan(target_volatility)
    by_size = ~(by_quantity | by_notional | by_risk | by_volatility)
    if np.any(by_risk) and np.any(by_risk & ~(np.isfinite(stop) & (np.asarray(stop) > 0))):
        raise ValueError(
            "risk: an entry is sized by the loss at its stop but has none. Give stop_distance or trail_distance, or "
            "another size."
        )
    scaled, per_equity = 0.0, 0.0
    if np.any(by_volatility):
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.where(np.asarray(volatility) > 0, np.divide(target_volatility, volatility), 0.0)
    if np.any(by_risk):
        with np.errstate(divide="ignore", invalid="ignore"):
            per_equity = np.where(by_risk, np.divide(risk, np.multiply(stop, instrument.multiplier)), 0.0)
    full = np.where(np.isnan(size), 1.0, size) * execution.leverage
    return Sizing(
        fixed=np.where(by_quantity, quantity, 0.0),
        dollars=np.where(by_notional, notional, 0.0),
        share=np.where(by_volatility, scaled, np.where(by_size, full, 0.0)),
        per_equity=per_equity,
    )


def wanted_quantity(how: Sizing, equity: Any, unit: Any) -> Any:
    """Shares wanted, before lots and limits; ``unit`` = fill price * multiplier."""
    return how.fixed + (how.dollars + how.share * equity) / unit + how.per_equity * equity


def entry_quantity(
    *,
    wanted: float,
    budget: float,
    price: float,
    side: int,
    volume: float,
    instrument: Instrument,
    execution: ExecutionSettings,
) -> tuple[float, bool]:
    """Quantity that an entry gets, in whole lots, and whether participation cut it. Zero: the order is rejected.

    A zero is INSUFFICIENT_SIZE where participation alone offers no lot, NO_BUYING_POWER otherwise.
    """
    lot = instrument.lot
    wanted_lots = np.floor(wanted / lot + LOT_SLACK)
    affordable_lots = np.floor(affordable_quantity(budget, price, side, instrument, execution) / lot + LOT_SLACK)
    offered_lots = np.floor(execution.participation * volume / lot + LOT_SLACK)
    lots = min(wanted_lots, affordable_lots)
    partial = bool(offered_lots < lots)
    return float(max(min(lots, offered_lots), 0.0) * lot), partial
