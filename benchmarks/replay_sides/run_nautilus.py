"""NautilusTrader: a `BacktestEngine` with its own indicators. Fills at the close of the deciding bar."""

from __future__ import annotations

from decimal import Decimal

import nautilus_trader
import pandas as pd
from contest import CASH, FAST, FIRST, SHARES, SLOW, serve
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, StrategyConfig
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("SIM")
BARS = BarType.from_str("SIM.SIM-1-MINUTE-LAST-EXTERNAL")


class EmaCross(Strategy):
    def __init__(self, instrument):
        super().__init__(StrategyConfig(strategy_id="EMA-1"))
        self.instrument = instrument
        self.fast, self.slow = ExponentialMovingAverage(FAST), ExponentialMovingAverage(SLOW)
        self.seen, self.held = 0, False

    def on_start(self):
        self.register_indicator_for_bars(BARS, self.fast)
        self.register_indicator_for_bars(BARS, self.slow)
        self.subscribe_bars(BARS)

    def on_bar(self, bar):
        self.seen += 1
        if self.seen <= FIRST:
            return
        above = self.fast.value > self.slow.value
        if above != self.held:
            side = OrderSide.BUY if above else OrderSide.SELL
            size = Quantity.from_int(int(SHARES))
            self.submit_order(self.order_factory.market(self.instrument.id, side, size))
            self.held = above


def callback(bars, arguments):
    instrument = Equity(
        instrument_id=InstrumentId(Symbol("SIM"), VENUE),
        raw_symbol=Symbol("SIM"),
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )
    ends = pd.DatetimeIndex((bars["ts_us"] + 60_000_000).astype("datetime64[us]").astype("datetime64[ns]"), tz="UTC")
    frame = pd.DataFrame({n: bars[n] for n in ("open", "high", "low", "close", "volume")}, index=ends)
    data = BarDataWrangler(BARS, instrument).process(frame)
    last = float(bars["close"][-1])

    def made():
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        engine.add_venue(VENUE, OmsType.NETTING, AccountType.CASH, [Money(CASH, USD)], base_currency=USD)
        engine.add_instrument(instrument)
        engine.add_data(data)
        strategy = EmaCross(instrument)
        engine.add_strategy(strategy)
        return engine, strategy

    waiting = [made()]

    def run():
        engine, strategy = waiting.pop()
        engine.run()

        def facts():
            fills = len(engine.trader.generate_order_fills_report())
            cash = engine.portfolio.account(VENUE).balance_total(USD).as_decimal()
            equity = float(cash + Decimal(SHARES if strategy.held else 0) * Decimal(str(last)))
            engine.dispose()
            waiting.append(made())
            return {"fills": fills + strategy.held, "equity": equity}

        return facts

    return run


if __name__ == "__main__":
    serve({"callback": callback}, version=nautilus_trader.__version__)
