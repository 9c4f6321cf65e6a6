"""What a strategy is: a named class with validated parameters and one of two interfaces of equal meaning.

* **Columnar**: `ColumnarStrategy.intents(frame, params)` maps the decision frame (one row per decision time) to a frame
  of the same height with the columns of `INTENT_COLUMNS`. Sweeps run as lanes of one JAX kernel.
* **Callback**: `CallbackStrategy.on_bar(view)` is called at every bar end and returns intents. Any Python; options too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from argus_core.options.tape import OptionSnapshot

#: Columns of a columnar intent frame; all but ``enter`` may be left out (defaults in brackets).
#: enter +1 long, -1 short, 0 nothing; exit (False); size: share of equity (1.0); quantity: fixed shares, wins over size
#: (null: by size); distances in price units (null: none).
INTENT_COLUMNS: Mapping[str, pl.DataType] = {
    "enter": pl.Int8(),
    "exit": pl.Boolean(),
    "size": pl.Float64(),
    "quantity": pl.Float64(),
    "stop_distance": pl.Float64(),
    "target_distance": pl.Float64(),
    "max_hold_seconds": pl.Float64(),
}


class Params(BaseModel):
    """Base of every strategy's parameters: unknown names are errors; values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Strategy(ABC):
    """Base of both interfaces. ``strategy_id`` is the class name unless set."""

    strategy_id: ClassVar[str]
    Params: ClassVar[type[Params]] = Params

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
    """What a callback strategy wants. Opens a position, or closes the one named by ``position_id``.

    ``size`` is a share of equity (shares); ``quantity`` a number of shares or of option structures and wins over
    ``size``; for options ``size`` is the share of equity at risk. Distances are in price units of the instrument and
    for shares only: options are closed by a close intent, whose ``tag`` (profit_target, stop_loss, time) becomes the
    exit reason.
    """

    action: Literal["open", "close"]
    side: Literal[1, -1] = 1
    size: float | None = None
    quantity: float | None = None
    legs: tuple[Leg, ...] = ()
    stop_distance: float | None = None
    target_distance: float | None = None
    max_hold_seconds: float | None = None
    position_id: str | None = None
    tag: str = ""


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position as its strategy sees it at a bar end."""

    position_id: str
    side: int
    quantity: float
    entry_us: int
    entry_price: float
    legs: tuple[Leg, ...]
    #: Dollars per share (or per structure) that closing costs now, on the adverse side; None: no usable quote.
    close_price: float | None
    tag: str


class BarView(Protocol):
    """What a callback strategy sees at a bar end: the barrier view, nothing later."""

    now_us: int
    index: int
    equity: float
    cash: float
    positions: Sequence[OpenPosition]
    #: Orders that wait for their fill.
    pending: int

    def value(self, column: str) -> Any:
        """Value of the decision-frame column at this bar."""

    def history(self, column: str, count: int) -> Any:
        """The last ``count`` values of a column, oldest first, this bar included (NumPy array)."""

    def chain(self) -> pl.DataFrame | None:
        """The newest option snapshot received by now (columns of `OptionQuotes`), or None."""

    def snapshot(self) -> OptionSnapshot | None:
        """The same as a shared object with arrays, which `argus_core.options.chains` reads without rebuilding."""


class CallbackStrategy(Strategy):
    """A strategy called at every bar end. One instance per run; state lives on the instance."""

    def __init__(self, params: Any) -> None:
        self.params = params

    @abstractmethod
    def on_bar(self, view: BarView) -> Sequence[Intent]:
        """Return intents decided at this bar's end."""
