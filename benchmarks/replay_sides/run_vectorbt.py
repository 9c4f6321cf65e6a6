"""vectorbt: `Portfolio.from_signals` with signals shifted by hand, so that it fills at the next open. No costs.

``argv[2]`` is its engine, numba or rust. "lean" reads order records and total return; otherwise trade records and the
equity at every day's end are made as well, which Argus always makes.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import vectorbt as vbt
from contest import CASH, FAST, FIRST, SHARES, SLOW, serve

#: Columns of one call: more would keep more matrices of bars x columns in memory.
CHUNK = 100


class Bars:
    def __init__(self, bars):
        # A time-zone-aware index makes vectorbt 20 times slower.
        self.index = pd.RangeIndex(len(bars["close"]))
        self.close, self.opened = (pd.Series(bars[name], self.index) for name in ("close", "open"))
        days = bars["ts_us"] // 86_400_000_000
        self.day_ends = np.flatnonzero(np.append(days[1:] != days[:-1], True))
        self.acts = np.arange(len(self.index)) >= FIRST

    def averages(self, spans):
        made = vbt.MA.run(self.close, window=list(spans), ewm=True).ma.to_numpy().reshape(len(self.index), -1)
        return {span: made[:, k] for k, span in enumerate(spans)}

    def signals(self, pairs, averages):
        above = np.column_stack([averages[fast] > averages[slow] for fast, slow in pairs])
        acts = self.acts[:, None]
        return _next_row(above & acts), _next_row(~above & acts)

    def simulate(self, signals, lean):
        enter, leave = (pd.DataFrame(flags, self.index) for flags in signals)
        found = vbt.Portfolio.from_signals(
            self.close, enter, leave, price=self.opened, size=SHARES, init_cash=CASH, freq="1min"
        )
        orders = np.bincount(found.orders.records_arr["col"], minlength=enter.shape[1])
        equity = CASH * (1 + np.asarray(found.total_return()))
        if not lean:
            trades = found.trades.records_arr
            daily = found.value().to_numpy()[self.day_ends]
            assert len(trades)
            assert len(daily)
        # Positions still open: Argus closes them and counts the fill.
        return orders + orders % 2, np.broadcast_to(equity, orders.shape)


def _next_row(flags):
    return np.vstack([np.zeros((1, flags.shape[1]), bool), flags[:-1]])


def one(bars, arguments):
    rows = Bars(bars)
    pairs, lean = [(FAST, SLOW)], arguments["lean"]
    signals = rows.signals(pairs, rows.averages((FAST, SLOW)))

    def run():
        # "whole" starts from prices instead of signals.
        used = rows.signals(pairs, rows.averages((FAST, SLOW))) if arguments["whole"] else signals
        fills, equity = rows.simulate(used, lean)
        return lambda: {"fills": int(fills[0]), "equity": float(equity[0])}

    return run


def sweep(bars, arguments):
    rows = Bars(bars)
    pairs = [tuple(pair) for pair in arguments["pairs"]]
    spans = sorted({span for pair in pairs for span in pair})

    def run():
        averages = rows.averages(spans)
        fills, equity = [], []
        for start in range(0, len(pairs), CHUNK):
            made = rows.simulate(rows.signals(pairs[start : start + CHUNK], averages), arguments["lean"])
            fills.append(made[0])
            equity.append(made[1])
        return lambda: {"fills": np.concatenate(fills).tolist(), "equity": np.concatenate(equity).tolist()}

    return run


if __name__ == "__main__":
    vbt.settings["engine"] = sys.argv[2]
    serve({"lane": one, "sweep": sweep}, version=vbt.__version__)
