"""From the kernel's trades to trade tables, daily equity and counts, vectorised over all lanes of a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from argus_core.replay.execution import commission, market_price
from argus_core.replay.market_rows import MarketRows, range_value
from argus_core.replay.results import (
    DATA_GAP,
    INSUFFICIENT_SIZE,
    NO_BUYING_POWER,
    SPLIT,
    TRADE_SCHEMA,
    ReplayResult,
)
from argus_core.settings import ExecutionSettings, Instrument

# Exit codes of the kernel (`lane_kernel` defines them; repeated here to keep JAX out of this module).
_SIGNAL, _STOP, _BREAK_EVEN, _TRAILING, _TARGET, _TIME, _FORCED, _AT_OPEN = 1, 2, 3, 4, 5, 6, 7, 8
_EXIT_NAMES = pl.Series(["", "signal", "stop", "break_even", "trailing", "target", "time", "forced"])
_REJECTS = (DATA_GAP, INSUFFICIENT_SIZE, NO_BUYING_POWER)


@dataclass(frozen=True)
class LaneTrades:
    """All trades of a chunk, sorted by lane, then exit, entry and number; counts per lane.

    Attributes:
        lane, number, entry_row, exit_row, code: integers per trade.
        quantity: signed shares; level: price that ended the trade; equity: dollars at its entry; stop: distance of its
            initial stop in price units, infinite without one.
        partials: (lanes,); rejects: (lanes, reasons).
        overlap: whether trades of one lane may be open at the same time.
    """

    lane: np.ndarray
    number: np.ndarray
    entry_row: np.ndarray
    exit_row: np.ndarray
    code: np.ndarray
    quantity: np.ndarray
    level: np.ndarray
    equity: np.ndarray
    stop: np.ndarray
    partials: np.ndarray
    rejects: np.ndarray
    overlap: bool

    @property
    def lanes(self) -> int:
        return len(self.partials)

    @classmethod
    def none(cls, lanes: int) -> LaneTrades:
        """Lanes that never met a bar."""
        whole, real = np.empty(0, np.int64), np.empty(0)
        return cls(*(whole,) * 5, *(real,) * 4, np.zeros(lanes, int), np.zeros((lanes, 3), int), False)

    @classmethod
    def join(
        cls,
        parts: Sequence[dict[str, np.ndarray]],
        *,
        lanes: int,
        partials: np.ndarray,
        rejects: np.ndarray,
        ordered: bool,
    ) -> LaneTrades:
        """Trades of consecutive kernel calls; ``ordered``: every part is in order of exit already."""
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if len(parts) > 1 or not ordered:
            keys = (columns["lane"],) if ordered else (columns["number"], columns["exit_row"], columns["lane"])
            order = np.lexsort(keys)
            columns = {name: values[order] for name, values in columns.items()}
        return cls(**columns, partials=partials, rejects=rejects, overlap=not ordered)


def lane_results(
    trades: LaneTrades,
    market: MarketRows,
    instrument: Instrument,
    execution: ExecutionSettings,
    *,
    starting_cash: float,
    symbol: str,
) -> list[ReplayResult]:
    """Trades, daily equity and counts of every lane of a chunk."""
    lanes = trades.lanes
    money = _money(trades, market, instrument, execution)
    frame, order = _trade_frame(trades, money, market, symbol)
    counts = np.bincount(trades.lane, minlength=lanes)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    total = np.bincount(trades.lane, money["pnl"], minlength=lanes)
    equity = _daily_equity(trades, money, market, starting_cash, instrument.multiplier)
    daily = _daily_frame(equity, market, starting_cash)
    traded = money["scale"] * (money["entry_price"] + money["exit_price"])
    traded = np.bincount(trades.lane, traded, minlength=lanes)
    days = equity.shape[1]
    mean_equity = equity.mean(axis=1) if days else np.full(lanes, float(starting_cash))
    held = _bars_held(trades)
    tradable = int((~market.warmup).sum())
    if trades.overlap:
        frame = frame[order]
    return [
        ReplayResult(
            trades=frame.slice(int(offsets[lane]), int(counts[lane])),
            daily=daily.slice(lane * days, days),
            fills=2 * int(counts[lane]),
            rejects={name: int(n) for name, n in zip(_REJECTS, trades.rejects[lane], strict=True) if n},
            partials=int(trades.partials[lane]),
            starting_cash=float(starting_cash),
            final_equity=float(starting_cash + total[lane]),
            exposure=float(held[lane] / tradable) if tradable else 0.0,
            turnover=float(traded[lane] / mean_equity[lane]) if mean_equity[lane] > 0 else 0.0,
            offered=market.offered,
        )
        for lane in range(lanes)
    ]


def _money(
    trades: LaneTrades, market: MarketRows, instrument: Instrument, execution: ExecutionSettings
) -> dict[str, np.ndarray]:
    """Per trade: side, quantity, prices, pnl and costs."""
    side, quantity = np.sign(trades.quantity), np.abs(trades.quantity)
    entry_row, exit_row = trades.entry_row, trades.exit_row
    code, gapped = trades.code & 7, (trades.code & _AT_OPEN) != 0
    long = side > 0
    entry_reference = np.where(long, market.buy_reference[entry_row], market.sell_reference[entry_row])
    entry_price = np.where(long, market.buy[entry_row], market.sell[entry_row])
    # A market exit has a reference price; a limit at the target costs neither spread nor slippage.
    basis = np.where(long, market.sell_reference[exit_row], market.buy_reference[exit_row])
    at_open = gapped | ((code == _TIME) & (market.basis != "open"))
    at_level = ((code >= _STOP) & (code <= _TRAILING)) | (code == _TARGET)
    reference = np.select(
        [at_open, at_level, code == _FORCED],
        [market.open[exit_row], trades.level, market.close[exit_row]],
        basis,
    )
    market_exit = market_price(reference, -side, market.half_spread[exit_row], execution)
    exit_price = np.where(code == _TARGET, trades.level, market_exit)
    entry_fee = commission(quantity, entry_price, instrument, execution)
    exit_fee = commission(quantity, exit_price, instrument, execution)
    scale = quantity * instrument.multiplier
    given_up = np.abs(entry_price - entry_reference) + np.abs(exit_price - reference)
    return {
        "side": side,
        "quantity": quantity,
        "scale": scale,
        "entry_price": entry_price,
        "exit_price": exit_price,
        "entry_fee": entry_fee,
        "pnl": side * scale * (exit_price - entry_price) - entry_fee - exit_fee,
        "costs": scale * given_up + entry_fee + exit_fee,
    }


def _trade_frame(
    trades: LaneTrades, money: dict[str, np.ndarray], market: MarketRows, symbol: str
) -> tuple[pl.DataFrame, np.ndarray]:
    """The trade table of all lanes, and the order in which each lane's rows ascend by exit, entry and number."""
    entry_row, exit_row, code = trades.entry_row, trades.exit_row, trades.code & 7
    gapped = (trades.code & _AT_OPEN) != 0
    inside = (((code >= _STOP) & (code <= _TARGET)) & ~gapped) | (code == _FORCED)
    entry_us = market.entry_ts[entry_row]
    exit_us = np.where(inside, market.end[exit_row], market.ts[exit_row])
    if market.basis != "open":
        exit_us = np.where(code == _SIGNAL, market.entry_ts[exit_row], exit_us)
    mae, mfe = _excursions(trades, money, market)
    known = market.labels[entry_row if market.basis == "decision" else np.maximum(entry_row - 1, 0)]
    at_entry = market.labels[entry_row]
    frame = pl.DataFrame(
        {
            "side": money["side"],
            "number": trades.number,
            "quantity": money["quantity"],
            "entry_ts": entry_us,
            "entry_price": money["entry_price"],
            "exit_ts": exit_us,
            "exit_price": money["exit_price"],
            "exit_reason": _EXIT_NAMES.gather(code),
            "pnl": money["pnl"],
            "costs": money["costs"],
            "equity_at_entry": trades.equity,
            "trade_return": money["pnl"] / trades.equity,
            "risk": pl.Series(money["scale"] * trades.stop).replace(np.inf, None),
            "mae": mae,
            "mfe": mfe,
            "holding_seconds": (exit_us - entry_us) / 1e6,
            "entry_vol_regime": known["vol_regime"],
            "entry_trend_regime": known["trend_regime"],
            "entry_session": at_entry["session"],
            "entry_trade_date": at_entry["trade_date"],
            "exit_trade_date": market.labels["trade_date"].gather(exit_row),
        }
    )
    order = np.lexsort((trades.number, entry_us, exit_us, trades.lane))
    split = pl.Series(market.crosses_split(entry_row, exit_row))
    made = {
        "trade_id": trade_id(symbol),
        "symbol": pl.lit(symbol),
        "legs": pl.lit(""),
        "flags": pl.when(split).then(pl.lit(SPLIT)).otherwise(pl.lit("")),
    }
    return frame.select(
        made.get(name, pl.col(name)).cast(dtype).alias(name) for name, dtype in TRADE_SCHEMA.items()
    ), order


def trade_id(symbol: str) -> pl.Expr:
    """``<symbol>-<entry microseconds>-<L or S>-<number of the entry in its run>``."""
    letter = pl.when(pl.col("side") > 0).then(pl.lit("L")).otherwise(pl.lit("S"))
    return pl.format("{}-{}-{}-{}", pl.lit(symbol), "entry_ts", letter, "number")


def _excursions(trades: LaneTrades, money: dict[str, np.ndarray], market: MarketRows) -> tuple[np.ndarray, np.ndarray]:
    """mae and mfe over the bars held in full and the exit price, as fractions of the entry price."""
    code, side, entry = trades.code & 7, money["side"], money["entry_price"]
    at_close = market.basis != "open"
    first = trades.entry_row + int(at_close)
    held_to_close = (code == _FORCED) | ((code == _SIGNAL) & at_close)
    last = trades.exit_row - 1 + held_to_close
    exit_move = side * (money["exit_price"] / entry - 1.0)
    high = side * (range_value(market.highest, first, last, np.maximum) / entry - 1.0)
    low = side * (range_value(market.lowest, first, last, np.minimum) / entry - 1.0)
    # fmin and fmax pass over the NaN of an empty range.
    mae = np.fmin(np.fmin(np.fmin(high, low), exit_move), 0.0)
    mfe = np.fmax(np.fmax(np.fmax(high, low), exit_move), 0.0)
    return mae, mfe


def _daily_equity(
    trades: LaneTrades, money: dict[str, np.ndarray], market: MarketRows, starting_cash: float, multiplier: float
) -> np.ndarray:
    """Equity at the last bar of every trade date after warm-up, (lanes, days)."""
    rows, lanes = market.day_rows, trades.lanes
    shape = (lanes, len(rows))
    if not len(rows):
        return np.empty(shape)
    # Realised: what was closed by each day's last row, summed over the days.
    closed_on = np.searchsorted(rows, trades.exit_row, side="left")
    counted = closed_on < len(rows)
    place = trades.lane * len(rows) + closed_on
    realised = np.bincount(place[counted], money["pnl"][counted], minlength=lanes * len(rows)).reshape(shape)
    equity = starting_cash + np.cumsum(realised, axis=1)
    # Unrealised: a trade counts at the last row of every day at which it is held.
    first = np.searchsorted(rows, trades.entry_row, side="left")
    days = np.maximum(closed_on - first, 0)
    if days.any():
        trade = np.repeat(np.arange(len(days)), days)
        day = np.arange(len(trade)) - np.repeat(np.cumsum(days) - days, days) + first[trade]
        side, row = money["side"][trade], rows[day]
        mark = np.where(side > 0, market.mark_long[row], market.mark_short[row])
        gain = side * money["scale"][trade] * (mark - money["entry_price"][trade]) - money["entry_fee"][trade]
        place = trades.lane[trade] * len(rows) + day
        equity += np.bincount(place, gain, minlength=lanes * len(rows)).reshape(shape)
    return equity


def _daily_frame(equity: np.ndarray, market: MarketRows, starting_cash: float) -> pl.DataFrame:
    """Dates, equity and returns of all lanes, one lane after another."""
    lanes, days = equity.shape
    before = np.concatenate([np.full((lanes, 1), float(starting_cash)), equity[:, :-1]], axis=1)[:, :days]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(before > 0, equity / before - 1.0, 0.0)
    dates = pl.concat([market.day_dates] * lanes) if lanes else market.day_dates.head(0)
    return pl.DataFrame({"trade_date": dates, "equity": equity.ravel(), "daily_return": change.ravel()})


def _bars_held(trades: LaneTrades) -> np.ndarray:
    """Bars of each lane at whose close something was held."""
    if not trades.overlap:
        return np.bincount(trades.lane, trades.exit_row - trades.entry_row, minlength=trades.lanes)
    held = np.zeros(trades.lanes)
    for lane in range(trades.lanes):
        mine = trades.lane == lane
        order = np.argsort(trades.entry_row[mine], kind="stable")
        first, last = trades.entry_row[mine][order].astype(np.int64), trades.exit_row[mine][order].astype(np.int64)
        covered = np.concatenate([[0], np.maximum.accumulate(last)[:-1]]) if len(last) else last
        held[lane] = np.maximum(last - np.maximum(first, covered), 0).sum()
    return held
