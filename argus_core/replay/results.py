"""What a replay returns, the same from the lane kernel and from the callback engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

UTC_US = pl.Datetime("us", "UTC")

# Why an order did not fill. Option reasons are tested in the order given here (semantics §6). NO_POSITION: a close
# that names no open position; EXPIRED: a limit or stop order that lived its time (both callback engine).
DATA_GAP = "DATA_GAP"
NO_QUOTE = "NO_QUOTE"
ZERO_BID = "ZERO_BID"
CROSSED = "CROSSED"
SPREAD_WIDE = "SPREAD_WIDE"
STALE_QUOTE = "STALE_QUOTE"
INSUFFICIENT_SIZE = "INSUFFICIENT_SIZE"
NO_BUYING_POWER = "NO_BUYING_POWER"
NO_POSITION = "NO_POSITION"
EXPIRED = "EXPIRED"
REJECT_REASONS = (
    DATA_GAP,
    NO_QUOTE,
    ZERO_BID,
    CROSSED,
    SPREAD_WIDE,
    STALE_QUOTE,
    INSUFFICIENT_SIZE,
    NO_BUYING_POWER,
    NO_POSITION,
    EXPIRED,
)

#: Values of the column ``exit_reason``.
EXIT_REASONS = (
    "signal",
    "stop",
    "break_even",
    "trailing",
    "target",
    "time",
    "expiry",
    "forced",
    "profit_target",
    "stop_loss",
)

#: Flag of a trade that was held through a price move that looks like an unadjusted split (`frame_checks`).
SPLIT = "split"

#: Label of a trade or row whose regime is not known.
UNKNOWN = "UNKNOWN"

#: One row per closed trade, in order of exit (then entry). Times: a fill at the open carries the bar's start, a fill
#: inside a bar (stop, target) and at its close its end. Money in dollars net of all costs, ``costs`` = spread,
#: slippage and commission of both sides. ``risk``: dollars that the trade may lose by its plan, before the costs of the
#: exit: shares, at the initial stop; option structures, at worst at expiry, with premium and commission of the entry;
#: null without a stop, or where no bound is known. mae and mfe are fractions of the entry price, mae <= 0 <= mfe.
#: Regime labels are those known when the entry filled (row before the entry bar; the decision row for
#: ``signal_close``); session and trade date are those of the entry bar. ``legs``: JSON of option legs, "" for shares.
#: ``flags``: what the replay could not model, sorted and joined by commas ("assignment", "early_exercise", "dividend",
#: ...); "" where none.
TRADE_SCHEMA: Mapping[str, pl.DataType] = {
    "trade_id": pl.String(),
    "symbol": pl.String(),
    "side": pl.Int8(),
    "quantity": pl.Float64(),
    "entry_ts": UTC_US,
    "entry_price": pl.Float64(),
    "exit_ts": UTC_US,
    "exit_price": pl.Float64(),
    "exit_reason": pl.String(),
    "pnl": pl.Float64(),
    "costs": pl.Float64(),
    "equity_at_entry": pl.Float64(),
    "trade_return": pl.Float64(),
    "risk": pl.Float64(),
    "mae": pl.Float64(),
    "mfe": pl.Float64(),
    "holding_seconds": pl.Float64(),
    "entry_vol_regime": pl.String(),
    "entry_trend_regime": pl.String(),
    "entry_session": pl.String(),
    "entry_trade_date": pl.Date(),
    "exit_trade_date": pl.Date(),
    "legs": pl.String(),
    "flags": pl.String(),
}

#: One row per trade date that is not warm-up: equity at its last bar, return against the day before (the first day
#: against the starting cash).
DAILY_SCHEMA: Mapping[str, pl.DataType] = {
    "trade_date": pl.Date(),
    "equity": pl.Float64(),
    "daily_return": pl.Float64(),
}


@dataclass(frozen=True)
class ReplayResult:
    """One strategy with one parameter set replayed over one symbol.

    Attributes:
        trades: closed trades, columns of `TRADE_SCHEMA`.
        daily: columns of `DAILY_SCHEMA`.
        fills: entries and exits filled; a forced liquidation counts.
        rejects: reason -> number of orders that died.
        partials: entries cut to the participation limit (they are fills, not rejects).
        starting_cash: dollars at the start.
        final_equity: dollars after every position was closed.
        exposure: share of the bars after warm-up at whose close a position was held.
        turnover: traded notional over the mean of the daily equity.
        decisions: (microseconds, intent) of the callback engine; empty from lanes.
        offered: factor (vol, trend, session) -> labels that the bars after warm-up carried (`offered_labels`); empty:
            not known.
    """

    trades: pl.DataFrame
    daily: pl.DataFrame
    fills: int
    rejects: Mapping[str, int]
    partials: int
    starting_cash: float
    final_equity: float
    exposure: float
    turnover: float
    decisions: tuple = field(default=(), repr=False)
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def reject_count(self) -> int:
        """Number of rejected orders, all reasons together."""
        return sum(self.rejects.values())

    @property
    def fill_rate(self) -> float:
        """fills / (fills + rejects); 1.0 when nothing was asked."""
        asked = self.fills + self.reject_count
        return self.fills / asked if asked else 1.0


def empty_trades() -> pl.DataFrame:
    """A trade frame without rows."""
    return pl.DataFrame(schema=dict(TRADE_SCHEMA))


def offered_labels(frame: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Labels of each factor that the rows of a decision frame after warm-up carry, sorted."""
    rows = frame.filter(~pl.col("warmup")) if "warmup" in frame.columns else frame
    columns = {"vol": "vol_regime", "trend": "trend_regime", "session": "session"}
    return {
        factor: tuple(sorted(rows[name].cast(pl.String).fill_null(UNKNOWN).unique().to_list()))
        for factor, name in columns.items()
        if name in frame.columns
    }
