"""What can happen to a held option beside quotes: assignment, exercise, dividends, a chain struck anew by a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import isnan

from argus_core.options.tape import LegQuote, OptionSnapshot
from argus_core.replay.accounting import LegMark
from argus_core.replay.option_margin import leg_value
from argus_core.strategies.interface import Leg

#: A close so near to a strike, as a share of it, leaves open who exercises.
PIN_SHARE = 0.001
#: Dollars per share; less time value than a tick is none.
OPTION_TICK = 0.01
#: Share of the contracts listed before that a chain still quotes when it was not struck anew.
_GOES_ON = 0.25


def settlement_flags(expired: Iterable[Leg], close: float) -> set[str]:
    """``assignment`` where a short leg with delivery expires in the money, ``pin`` where the close is at a strike."""
    flags = set()
    for leg in expired:
        if leg.quantity < 0 and leg_value(leg, close) > 0:
            flags.add("assignment")
        if abs(close - leg.strike) < PIN_SHARE * leg.strike:
            flags.add("pin")
    return flags


def loses_time_value(leg: Leg, quote: LegQuote, underlying: float) -> bool:
    """Whether the holder of a short leg in the money gives up less than a tick by exercising now.

    Args:
        underlying: its price where the quote does not give one.
    """
    intrinsic = leg_value(leg, underlying if isnan(quote.underlying) else quote.underlying)
    if leg.quantity > 0 or intrinsic <= 0 or isnan(quote.ask) or quote.ask <= 0:
        return False
    return quote.ask - intrinsic < OPTION_TICK - 1e-9


def dividend_between(dividends: Mapping[date, float], after: date, until: date) -> float:
    """Dollars per share of the ex-dates after ``after`` up to ``until``."""
    return sum(dollars for day, dollars in dividends.items() if after < day <= until)


def dividend_owed(legs: Sequence[Leg], marks: Sequence[LegMark], close: float, dividend: float) -> float:
    """Dollars per share and structure that holders of its short calls gain by exercising for a dividend.

    The holder exercises at the close before the ex-date where the dividend exceeds the time value that he gives up.
    Beside a call that goes on, its writer loses the difference.
    """
    owed = 0.0
    for leg, mark in zip(legs, marks, strict=True):
        intrinsic = leg_value(leg, close)
        if leg.quantity < 0 and leg.right == "C" and intrinsic > 0:
            owed += -leg.quantity * max(dividend - max(mark.price - intrinsic, 0.0), 0.0)
    return owed


class SplitWatch:
    """What a move that looks like a split does to a chain: the strikes change, and contracts held are no more.

    A price alone cannot tell a split from a crash; the chain can. Until one of at least half the size has been quoted
    since the move, positions are in doubt. If it goes on with the contracts listed before, nothing happened to them.

    Attributes:
        since_us: quotes that stood before are worth nothing any more.
        close: the underlying's last close before.
        doubted: positions held through the move, not judged yet.
    """

    def __init__(self) -> None:
        self.since_us = 0
        self.close = float("nan")
        self.doubted: set[str] = set()
        self._listed: frozenset[str] = frozenset()

    def begin(
        self, since_us: int, close: float, today: date, newest: OptionSnapshot | None, held: Iterable[str]
    ) -> None:
        """Note the move: quotes before ``since_us`` are those of the old chain, its newest snapshot ``newest``."""
        self.since_us, self.close, self.doubted = since_us, close, set(held)
        if newest is not None and self.doubted:
            living = [newest.contracts[rows] for day, rows in newest.expiry_rows.items() if day >= today]
            self._listed = frozenset(name for names in living for name in names)

    def struck_anew(self, snapshot: OptionSnapshot) -> bool | None:
        """Whether the chain lists other contracts now; None: too little of it has been quoted yet."""
        quoted = (snapshot.ts_us >= self.since_us).tolist()
        fresh = [name for name, recent in zip(snapshot.contracts, quoted, strict=True) if recent]
        if 2 * len(fresh) < len(self._listed):
            return None
        return len(self._listed.intersection(fresh)) < _GOES_ON * len(self._listed)
