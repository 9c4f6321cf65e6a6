"""backtesting.py: `Backtest.run()`, statistics included. Fills at the next open."""

from __future__ import annotations

import backtesting
import pandas as pd
from backtesting import Backtest, Strategy
from contest import CASH, FAST, FIRST, SHARES, SLOW, serve


def ema(values, span):
    return pd.Series(values).ewm(span=span, adjust=False).mean().to_numpy()


class EmaCross(Strategy):
    def init(self):
        self.fast = self.I(ema, self.data.Close, FAST, plot=False)
        self.slow = self.I(ema, self.data.Close, SLOW, plot=False)

    def next(self):
        if len(self.data) <= FIRST:
            return
        if self.fast[-1] > self.slow[-1]:
            if not self.position:
                self.buy(size=int(SHARES))
        elif self.position:
            self.position.close()


def callback(bars, arguments):
    frame = pd.DataFrame(
        {name.capitalize(): bars[name] for name in ("open", "high", "low", "close", "volume")},
        index=pd.DatetimeIndex(bars["ts_us"].astype("datetime64[us]")),
    )
    test = Backtest(frame, EmaCross, cash=CASH, finalize_trades=True)

    def run():
        found = test.run()
        return lambda: {"fills": 2 * int(found["# Trades"]), "equity": float(found["Equity Final [$]"])}

    return run


if __name__ == "__main__":
    backtesting._tqdm = None
    serve({"callback": callback}, version=backtesting.__version__)
