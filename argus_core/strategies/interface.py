"""What a strategy is: a named class with validated parameters and one of two interfaces of equal meaning.

* **Columnar**: `ColumnarStrategy.intents(frame, params)` maps the decision frame (one row per decision time) to a frame
  of the same height with the columns of `INTENT_COLUMNS`. Sweeps run as lanes of one JAX kernel.
* **Callback**: `CallbackStrategy.on_bar(view)` is called at every bar end and returns intents. Any Python; options too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict

from argus_core.strategies.family import Family

if TYPE_CHECKING:
    from argus_core.options.tape import OptionSnapshot

#: Columns of a columnar intent frame; all but ``enter`` may be left out (defaults in brackets). docs/replay.md has the
#: rules. The row that decides an entry gives all its values; null means the default.
#: enter: +1 long, -1 short, 0 nothing; exit (False): close every lot.
#: Size of an entry, the first that is given of: quantity (shares), notional (dollars), risk (share of equity lost at
#: the stop; needs a stop or trailing distance), target_volatility (annualised share of equity) over volatility
#: (annualised, of the instrument), size (share of equity times leverage; 1.0).
#: Distances in price units from the entry price (none): stop, target, trail (stop that follows the best price),
#: break_even (favourable move after which the stop stands at the entry price). max_hold_seconds (none).
#: max_entries (1): lots held at most, each with its own exits; the pyramiding limit.
#: confidence (null), 0..1: for signals only, orders do not depend on it.
INTENT_COLUMNS: Mapping[str, pl.DataType] = {
    "enter": pl.Int8(),
    "exit": pl.Boolean(),
    "size": pl.Float64(),
    "quantity": pl.Float64(),
    "notional": pl.Float64(),
    "risk": pl.Float64(),
    "target_volatility": pl.Float64(),
    "volatility": pl.Float64(),
    "stop_distance": pl.Float64(),
    "target_distance": pl.Float64(),
    "trail_distance": pl.Float64(),
    "break_even_distance": pl.Float64(),
    "max_hold_seconds": pl.Float64(),
    "max_entries": pl.Int32(),
    "confidence": pl.Float64(),
}


class Params(BaseModel):
    """Base of every strategy's parameters: unknown names are errors; values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Strategy(ABC):
    """Base of both interfaces. ``strategy_id`` is the class name unless set."""

    strategy_id: ClassVar[str]
    Params: ClassVar[type[Params]] = Params
    #: What the strategy's family may do; runs that break it are rejected.
    family: ClassVar[Family] = Family()
    #: Strategies that a wrapper is made of (`argus_core.strategies.wrapping`); their code counts as its own.
    parts: ClassVar[tuple[type[Strategy], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "strategy_id" not in cls.__dict__:
            cls.strategy_id = cls.__name__


class ColumnarStrategy(Strategy):
    """A strategy written as columns over the decision frame."""

    @abstractmethod
    def intents(self, frame: pl.DataFrame, params: Any) -> pl.DataFrame:
        """Return the intents of every row of ``frame``, using that row and rows before it only."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of an option order: ``quantity`` contracts per unit of the order, positive buys, negative sells."""

    contract: str
    expiry: date
    strike: float
    right: Literal["C", "P"]
    quantity: int


@dataclass(frozen=True, slots=True)
class Intent:
    """What a callback strategy wants: open a position, close the one named by ``position_id``, or cancel the order
    named by ``order_id``.

    Sizes and distances mean what the columns of `INTENT_COLUMNS` mean. For options ``quantity`` is a number of
    structures and ``size`` the share of equity at risk; distances are for shares only: options are closed by a close
    intent, whose ``tag`` (profit_target, stop_loss, time) becomes the exit reason.

    Attributes:
        symbol: instrument traded; None: the primary symbol of the replay.
        order: market; limit (fills at ``price`` once a bar trades one tick through it); stop (a market order once a
            bar touches ``price``). Shares only; limit and stop orders rest until filled, cancelled or expired.
        expires_seconds: a resting order dies so long after its decision; None: it rests to the end.
        confidence: 0..1, for signals only.
    """

    action: Literal["open", "close", "cancel"]
    side: Literal[1, -1] = 1
    size: float | None = None
    quantity: float | None = None
    legs: tuple[Leg, ...] = ()
    stop_distance: float | None = None
    target_distance: float | None = None
    max_hold_seconds: float | None = None
    position_id: str | None = None
    tag: str = ""
    symbol: str | None = None
    notional: float | None = None
    risk: float | None = None
    target_volatility: float | None = None
    volatility: float | None = None
    trail_distance: float | None = None
    break_even_distance: float | None = None
    order: Literal["market", "limit", "stop"] = "market"
    price: float | None = None
    expires_seconds: float | None = None
    order_id: str | None = None
    confidence: float | None = None


class OpenPosition:
    """A position as its strategy sees it. It lives as long as the position: ``close_price`` is always that of now."""

    __slots__ = (
        "_close_price",
        "entry_price",
        "entry_us",
        "legs",
        "position_id",
        "quantity",
        "side",
        "symbol",
        "tag",
    )

    def __init__(
        self,
        position_id: str,
        side: int,
        quantity: float,
        entry_us: int,
        entry_price: float,
        legs: tuple[Leg, ...] = (),
        close_price: float | Callable[[], float | None] | None = None,
        tag: str = "",
        symbol: str = "",
    ) -> None:
        self.position_id, self.side, self.quantity = position_id, side, quantity
        self.entry_us, self.entry_price, self.legs = entry_us, entry_price, legs
        self.tag, self.symbol, self._close_price = tag, symbol, close_price

    @property
    def close_price(self) -> float | None:
        """Dollars per share (or per structure) that closing costs now, on the adverse side; None: no usable quote."""
        found = self._close_price
        return found if found is None or isinstance(found, int | float) else found()


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that waits for its fill, as its strategy sees it."""

    order_id: str
    symbol: str
    decided_us: int
    intent: Intent


class BarView(Protocol):
    """What a callback strategy sees at a bar end: the barrier view, nothing later.

    ``symbol`` in the methods names a reference symbol of the replay; None is the primary one.
    """

    @property
    def now_us(self) -> int:
        """Decision time, microseconds since the epoch."""

    @property
    def index(self) -> int:
        """Row of the primary symbol's decision frame."""

    @property
    def equity(self) -> float: ...

    @property
    def cash(self) -> float: ...

    @property
    def positions(self) -> Sequence[OpenPosition]:
        """Open positions, oldest first."""

    @property
    def pending(self) -> int:
        """Number of orders that wait for their fill."""

    @property
    def orders(self) -> Sequence[OpenOrder]:
        """Orders of shares that wait for their fill, oldest first."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The primary symbol first, then the references."""

    @property
    def fresh(self) -> tuple[str, ...]:
        """Symbols whose bar became available at this very moment."""

    def value(self, column: str, symbol: str | None = None) -> Any:
        """Value of the decision-frame column at the symbol's newest bar; None where null or before its first bar."""

    def history(self, column: str, count: int, symbol: str | None = None) -> Any:
        """The last ``count`` values of a column, oldest first, the newest bar included (NumPy array)."""

    def chain(self) -> pl.DataFrame | None:
        """The newest option snapshot received by now (columns of `OptionQuotes`), or None."""

    def snapshot(self) -> OptionSnapshot | None:
        """The same as a shared object with arrays, which `argus_core.options.chains` reads without rebuilding."""


class CallbackStrategy(Strategy):
    """A strategy called at every bar end. One instance per run; state lives on the instance.

    ``clock``: "primary" calls at the bar ends of the primary symbol, "all" at those of every symbol of the replay.
    """

    clock: ClassVar[Literal["primary", "all"]] = "primary"

    def __init__(self, params: Any) -> None:
        self.params = params

    @classmethod
    def columns(cls, frame: pl.DataFrame, params: Any) -> pl.DataFrame | None:
        """Columns that a run adds to the primary symbol's decision frame for ``view.value`` and ``view.history``.

        For what is cheaper over a whole column than bar by bar. As with `ColumnarStrategy.intents` a row may rest on
        itself and rows before it only; the lookahead proof tests it. Same height as ``frame``; None: nothing to add.
        """
        return None

    @abstractmethod
    def on_bar(self, view: BarView) -> Sequence[Intent]:
        """Return intents decided at this bar's end."""
