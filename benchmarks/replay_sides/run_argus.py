"""Argus: both engines on the same work. ``JAX_PLATFORMS`` picks the device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import polars as pl
from contest import CASH, FAST, FIRST, SHARES, SLOW, Bars, peak_mib, serve

from argus_core.replay.callback import replay_callback
from argus_core.replay.lanes import iter_replay_lanes, replay_lanes
from argus_core.replay.market_rows import market_rows
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.interface import CallbackStrategy, Intent, Params

ETF = Instrument(symbol="SIM", asset_class="etf")
COSTS = ExecutionSettings(participation=1.0)
FREE = COSTS.model_copy(update={"slippage_bps": 0.0, "commission_per_share": 0.0, "commission_min": 0.0})
#: Dollars of half the spread with costs, and mean ranges from the entry to the stop.
HALF_SPREAD, STOP_RANGES = 0.01, 8.0


def decision_frame(bars: Bars, *, costs: bool, copies: int = 1) -> pl.DataFrame:
    """The bars as a decision frame; ``copies`` puts them one after another in time."""
    height = len(bars["close"])
    span = (int(bars["ts_us"][-1]) - int(bars["ts_us"][0])) // 86_400_000_000 + 7
    ts = np.concatenate([bars["ts_us"] + k * span * 86_400_000_000 for k in range(copies)])
    prices = {name: np.tile(bars[name].astype(float), copies) for name in ("open", "high", "low", "close", "volume")}
    frame = pl.DataFrame(
        {"ts": pl.Series(ts).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), **prices},
    ).with_columns(half_spread=pl.lit(HALF_SPREAD if costs else 0.0), trade_date=pl.col("ts").dt.date())
    assert frame.height == copies * height
    end = pl.col("ts") + pl.duration(minutes=1)
    return frame.with_columns(end=end, available_at=end)


class Averages:
    """Exponential averages of the close, each made once; only those in use are kept."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._close = frame["close"]
        self._made: dict[int, np.ndarray] = {}

    def __call__(self, span: int) -> np.ndarray:
        if span not in self._made:
            self._made[span] = self._close.ewm_mean(span=span, adjust=False).to_numpy()
        return self._made[span]

    def forget(self, span: int) -> None:
        self._made.pop(span, None)


def lanes(frame: pl.DataFrame, pairs: Sequence[Sequence[int]], *, stops: bool) -> Iterator[pl.DataFrame]:
    """Intents of every (fast, slow) pair. With stops a position is entered at a cross only: what a stop ended stays
    closed until the next one."""
    averages = Averages(frame)
    acts = np.arange(frame.height) >= FIRST
    constant = {"quantity": np.full(frame.height, SHARES)}
    if stops:
        ranges = (frame["high"] - frame["low"]).rolling_mean(60).fill_null(1.0)
        constant["stop_distance"] = (STOP_RANGES * ranges).to_numpy()
    constants = pl.DataFrame(constant)
    previous = None
    for fast, slow in pairs:
        if previous is not None and slow != previous:
            averages.forget(previous)
        previous = slow
        above = averages(fast) > averages(slow)
        enter = above & acts
        if stops:
            enter[1:] &= ~(above & acts)[:-1]
        yield constants.hstack([pl.Series("enter", enter.view(np.int8)), pl.Series("exit", ~above & acts)])


class EmaCross(CallbackStrategy):
    """The rule with its own averages, bar by bar."""

    def __init__(self) -> None:
        super().__init__(Params())
        self.fast = self.slow = 0.0

    def on_bar(self, view):
        close = view.value("close")
        if view.index == 0:
            self.fast = self.slow = close
        self.fast += (close - self.fast) * (2 / (FAST + 1))
        self.slow += (close - self.slow) * (2 / (SLOW + 1))
        if view.index < FIRST or view.pending:
            return ()
        if self.fast > self.slow:
            return () if view.positions else (Intent("open", quantity=SHARES),)
        return tuple(Intent("close", position_id=p.position_id) for p in view.positions)


def facts_of(result) -> dict:
    return {"fills": result.fills, "equity": result.final_equity, "trades": result.trades.height}


def settings_of(arguments) -> ExecutionSettings:
    base = COSTS if arguments.get("costs") else FREE
    return base.model_copy(update={"price_basis": arguments.get("basis", "next_open")})


def callback(bars, arguments):
    frame, execution = decision_frame(bars, costs=arguments["costs"]), settings_of(arguments)

    def run():
        result = replay_callback(EmaCross(), frame, ETF, execution, starting_cash=CASH, symbol="SIM")
        return lambda: facts_of(result)

    return run


class Resting(CallbackStrategy):
    """Places limit orders far below the market and waits."""

    def __init__(self, count: int) -> None:
        super().__init__(Params())
        self.count = count

    def on_bar(self, view):
        if view.index:
            return ()
        far = view.value("close") / 20
        prices = (far * (1 + k / self.count) for k in range(self.count))
        return [Intent("open", quantity=1, order="limit", price=price) for price in prices]


def resting(bars, arguments):
    """A replay through which many orders rest."""
    frame, execution = decision_frame(bars, costs=True), settings_of({"costs": True})

    def run():
        strategy = Resting(arguments["orders"])
        result = replay_callback(strategy, frame, ETF, execution, starting_cash=CASH, symbol="SIM")
        return lambda: facts_of(result)

    return run


def lane(bars, arguments):
    frame, execution = decision_frame(bars, costs=arguments["costs"]), settings_of(arguments)
    (intents,) = lanes(frame, [(FAST, SLOW)], stops=False)
    market = market_rows(frame, ETF, execution)

    def run():
        # "whole" starts from prices: averages, intents and the preparation of the market included.
        rows = frame if arguments["whole"] else market
        used = lanes(frame, [(FAST, SLOW)], stops=False) if arguments["whole"] else [intents]
        (result,) = replay_lanes(rows, used, ETF, execution, starting_cash=CASH, symbol="SIM")
        return lambda: facts_of(result)

    return run


def sweep(bars, arguments):
    """Averages, intents, replay, trade lists and daily returns of every pair; ``copies`` lengthens the bars."""
    costs, execution = arguments["costs"], settings_of(arguments)
    frame = decision_frame(bars, costs=costs, copies=arguments.get("copies", 1))

    def run():
        results = replay_lanes(
            frame, lanes(frame, arguments["pairs"], stops=costs), ETF, execution, starting_cash=CASH, symbol="SIM"
        )

        def facts():
            digest = hashlib.sha256()
            for result in results:
                digest.update(trade_bytes(result))
            return {
                "fills": [r.fills for r in results],
                "equity": [r.final_equity for r in results],
                "trades": sum(r.trades.height for r in results),
                "trades_hash": digest.hexdigest()[:16],
            }

        return facts

    return run


def stream(bars, arguments):
    """A sweep of any size: chunk by chunk, of each run the daily returns and a few numbers are kept."""
    frame, execution = decision_frame(bars, costs=True), settings_of({"costs": True})
    first, fasts, slows = arguments["first_slow"], arguments["fasts"], arguments["slows"]
    days = frame["trade_date"].n_unique()
    # The slow average moves last, so that one of them is kept at a time.
    pairs = [(5 + fast, first + slow) for slow in range(slows) for fast in range(fasts)]

    def run():
        returns, equity = np.empty((len(pairs), days)), np.empty(len(pairs))
        digest, trades = hashlib.sha256(), 0
        before = peak_mib()
        chunks = iter_replay_lanes(
            frame, lanes(frame, pairs, stops=True), ETF, execution, starting_cash=CASH, symbol="SIM"
        )
        for k, result in enumerate(chain.from_iterable(chunks)):
            returns[k], equity[k] = result.daily["daily_return"], result.final_equity
            digest.update(trade_bytes(result))
            trades += result.trades.height
        return lambda: {
            "trades": trades,
            "trades_hash": digest.hexdigest()[:16],
            "equity": equity.tolist(),
            "data": before,
            "above_data": peak_mib() - before,
            "kept": returns.nbytes / 2**20,
        }

    return run


def trade_bytes(result) -> bytes:
    """What a trade list is recognised by: when, which way and why."""
    return result.trades.select("entry_ts", "exit_ts", "side", "exit_reason").hash_rows(seed=0).to_numpy().tobytes()


if __name__ == "__main__":
    serve({"callback": callback, "resting": resting, "lane": lane, "sweep": sweep, "stream": stream}, version="")
