"""The slow plain twin of the lane kernel: one loop over bars that reads like the contract."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from argus_core.settings import ExecutionSettings, Instrument


def plain_replay(
    frame: pl.DataFrame, lane: pl.DataFrame, instrument: Instrument, execution: ExecutionSettings, cash: float
) -> dict[str, Any]:
    """Trades as dicts, counts, and the marked equity of every row."""
    rows = frame.with_columns(pl.col("ts", "end", "available_at").dt.timestamp("us")).to_dicts()
    wants = lane.to_dicts()
    m, slip = execution.cost_multiplier, execution.slippage_bps * 1e-4
    at_close = execution.price_basis == "signal_close"
    position: dict | None = None
    pending: dict | None = None
    trades: list[dict] = []
    rejects: dict[str, int] = {}
    equity: list[float] = []
    partials = 0

    def fill(reference: float, direction: int, half_spread: float) -> float:
        return reference + direction * (m * (half_spread + slip * reference))

    def fee(quantity: float, price: float) -> float:
        if instrument.asset_class == "crypto":
            return quantity * price * execution.commission_rate_crypto * m
        return max(execution.commission_min, quantity * execution.commission_per_share) * m

    def reference_at_open(bar: dict, direction: int) -> float:
        if execution.price_basis == "next_worst":
            return bar["high"] if direction > 0 else bar["low"]
        return bar["open"]

    def close_position(j: int, price: float, reference: float, reason: str, when: int) -> None:
        nonlocal cash, position, pending
        p = position
        assert p is not None
        pnl = p["side"] * p["quantity"] * (price - p["price"]) - fee(p["quantity"], price)
        costs = p["costs"] + fee(p["quantity"], price) + p["quantity"] * abs(price - reference)
        cash += pnl
        trades.append({**p, "exit": price, "exit_ts": when, "reason": reason, "exit_row": j, "costs": costs})
        trades[-1]["pnl"] = pnl - p["fee"]
        position, pending = None, None

    def open_position(j: int, reference: float, side: int, want: dict, when: int) -> None:
        nonlocal cash, position, partials
        price = fill(reference, side, rows[j]["half_spread"])
        budget = cash * execution.leverage
        if want.get("quantity") is not None:
            quantity = want["quantity"]
        else:
            size = want.get("size")
            quantity = (1.0 if size is None else size) * budget / price
        lots = math.floor(quantity / instrument.lot + 1e-9)
        # Walk down lot by lot: slow, but cannot be wrong.
        lots = min(lots, math.floor(budget / price / instrument.lot) + 2)
        paid = fee if side > 0 else (lambda quantity, price: 0.0)
        while lots > 0 and lots * instrument.lot * price + paid(lots * instrument.lot, price) > budget:
            lots -= 1
        offered = math.floor(execution.participation * rows[j]["volume"] / instrument.lot + 1e-9)
        if min(lots, offered) <= 0:
            reason = "INSUFFICIENT_SIZE" if offered < 1 else "NO_BUYING_POWER"
            rejects[reason] = rejects.get(reason, 0) + 1
            return
        partials += offered < lots
        quantity = min(lots, offered) * instrument.lot
        stop, target, hold = (want.get(n) for n in ("stop_distance", "target_distance", "max_hold_seconds"))
        position = {
            "side": side,
            "quantity": quantity,
            "price": price,
            "entry_ts": when,
            "entry_row": j,
            "fee": fee(quantity, price),
            "costs": fee(quantity, price) + quantity * abs(price - reference),
            "equity_at_entry": cash,
            "stop": None if stop is None else price - side * stop,
            "target": None if target is None else price + side * target,
            "due": None if hold is None else when + hold * 1e6,
        }
        cash -= position["fee"]

    for j, bar in enumerate(rows):
        if position:
            side = position["side"]
            signal = bool(pending and pending["row"] <= j)
            due = position["due"] is not None and bar["ts"] >= position["due"]
            if signal or due:
                reference = reference_at_open(bar, -side)
                price = fill(reference, -side, bar["half_spread"])
                close_position(j, price, reference, "signal" if signal else "time", bar["ts"])
        elif pending and pending["row"] <= j:
            order, pending = pending, None
            missing = sum(r["missing_before"] for r in rows[order["from"] + 1 : j + 1])
            if missing * instrument.bar_seconds > execution.max_gap_seconds:
                rejects["DATA_GAP"] = rejects.get("DATA_GAP", 0) + 1
            else:
                open_position(j, reference_at_open(bar, order["side"]), order["side"], order["want"], bar["ts"])
        if position:
            side, stop, target = position["side"], position["stop"], position["target"]
            adverse, best = (bar["low"], bar["high"]) if side > 0 else (bar["high"], bar["low"])
            if stop is not None and side * (bar["open"] - stop) <= 0:
                price = fill(bar["open"], -side, bar["half_spread"])
                close_position(j, price, bar["open"], "stop", bar["ts"])
            elif stop is not None and side * (adverse - stop) <= 0:
                close_position(j, fill(stop, -side, bar["half_spread"]), stop, "stop", bar["end"])
            elif target is not None and side * (best - (target + side * instrument.tick)) >= 0:
                close_position(j, target, target, "target", bar["end"])
        want = wants[j]
        if not bar["warmup"] and j < len(rows) - 1 and pending is None:
            enter = want["enter"]
            earliest = next(
                (
                    k
                    for k in range(j + 1, len(rows))
                    if rows[k]["ts"] >= bar["available_at"] + execution.latency_seconds * 1e6
                ),
                len(rows),
            )
            if position is None and enter:
                if at_close:
                    open_position(j, bar["close"], enter, want, bar["available_at"])
                else:
                    pending = {"row": earliest, "from": j, "side": enter, "want": want}
            elif position and (want.get("exit") or enter == -position["side"]):
                if at_close:
                    price = fill(bar["close"], -position["side"], bar["half_spread"])
                    close_position(j, price, bar["close"], "signal", bar["available_at"])
                else:
                    pending = {"row": earliest}
        marked = cash
        if position:
            side = position["side"]
            mark = bar["close"] - side * m * bar["half_spread"]
            marked += side * position["quantity"] * (mark - position["price"])
        equity.append(marked)
    if position:
        bar, side = rows[-1], position["side"]
        price = fill(bar["close"], -side, bar["half_spread"])
        close_position(len(rows) - 1, price, bar["close"], "forced", bar["end"])
        equity[-1] = cash
    return {"trades": trades, "rejects": rejects, "partials": partials, "equity": equity, "final": cash}
