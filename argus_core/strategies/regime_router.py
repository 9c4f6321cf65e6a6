"""Route the market to one of several strategies by its regime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any, ClassVar, Literal

import polars as pl
from numpy.typing import NDArray
from pydantic import Field, field_validator

from argus_core.options.tape import OptionSnapshot
from argus_core.settings.nested import merged
from argus_core.strategies.family import Family
from argus_core.strategies.interface import (
    INTENT_COLUMNS,
    BarView,
    CallbackStrategy,
    ColumnarStrategy,
    Intent,
    OpenOrder,
    OpenPosition,
    Params,
    Strategy,
)
from argus_core.strategies.wrapping import Inner, Wrapper, bound_params, bound_spec

_VALUES = tuple(name for name in INTENT_COLUMNS if name not in ("enter", "exit", "max_entries"))


class When(Params):
    """Regimes of a route; those left out do not matter, and an unknown one fits none that is named."""

    vol_regime: tuple[Literal["LOW", "NORMAL", "HIGH", "SPIKE"], ...] | None = Field(
        None, description="volatility labels in which the route is open; null: any"
    )
    trend_regime: tuple[Literal["UP", "DOWN", "RANGE"], ...] | None = Field(
        None, description="trend labels in which the route is open; null: any"
    )
    risk_regime: tuple[Literal["ON", "OFF", "NEUTRAL"], ...] | None = Field(
        None, description="market-wide risk labels in which the route is open; null: any"
    )


class Route(Inner):
    """A strategy of the router and the regimes in which it may enter."""

    when: When = Field(default_factory=When, description="regimes in which the strategy may enter")


_DEFAULT: list[dict[str, Any]] = [
    {"when": {"vol_regime": ["HIGH", "SPIKE"]}, "strategy_class": "PanicSnapback", "params": {}},
    {"when": {"trend_regime": ["UP", "DOWN"]}, "strategy_class": "EmaCrossAtr", "params": {"allow_short": True}},
]


class RegimeRouterParams(Params):
    """Parameters of `RegimeRouter`."""

    routes: tuple[Route, ...] = Field(
        default_factory=lambda: tuple(Route(**one) for one in _DEFAULT),
        min_length=1,
        description="tried in order, the first that fits may enter; default: PanicSnapback while volatility is HIGH or "
        "SPIKE, else EmaCrossAtr with shorts in trends. A mapping {0: ..., 1: ...} changes these defaults",
    )
    close_outside: bool = Field(False, description="close a position as soon as its strategy's route does not fit")

    @field_validator("routes", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        return merged(_DEFAULT, given) if isinstance(given, Mapping) else given


class RegimeRouter(Wrapper, CallbackStrategy):
    """Enters with the first strategy whose route fits the regimes known now; exits are those of who entered.

    One strategy trades at a time: until its positions and orders are gone, no other may enter. Routes hold columnar and
    callback strategies in any mixture; all see every bar, so that their state stays true, and an entry that is not let
    through is forgotten. Columnar intents are computed once and read row by row.
    """

    Params = RegimeRouterParams
    parts: ClassVar[tuple[type[Strategy], ...]]

    @classmethod
    def specs(cls, params: Mapping[str, Any]) -> Sequence[Inner]:
        given = {"routes": params["routes"]} if "routes" in params else {}
        return RegimeRouterParams.model_validate(given).routes

    @classmethod
    def form(cls, parts: Sequence[type[Strategy]]) -> type[Strategy]:
        return cls

    @classmethod
    def attributes(cls, parts: Sequence[type[Strategy]], names: Sequence[set[str]]) -> dict[str, Any]:
        routes = tuple(bound_spec(Route, part, known) for part, known in zip(parts, names, strict=True))

        def default() -> Any:
            return tuple(route(**one) for route, one in zip(routes, _DEFAULT, strict=True))

        clocks = {part.clock for part in parts if issubclass(part, CallbackStrategy)}
        return {
            "Params": bound_params(RegimeRouterParams, routes=(tuple.__class_getitem__(routes), default)),
            "family": _together([part.family for part in parts]),
            "clock": "all" if "all" in clocks else "primary",
        }

    @classmethod
    def columns(cls, frame: pl.DataFrame, params: Any) -> pl.DataFrame | None:
        found: list[pl.Series] = []
        for number, (part, route) in enumerate(zip(cls.parts, params.routes, strict=True)):
            if issubclass(part, ColumnarStrategy):
                intents = part().intents(frame, route.params)
                # All of them, so that no column of the frame is taken for one that is not given.
                own = intents.select(
                    (pl.col(name) if name in intents.columns else pl.lit(None)).cast(dtype).alias(name)
                    for name, dtype in INTENT_COLUMNS.items()
                )
            else:
                assert issubclass(part, CallbackStrategy)
                own = part.columns(frame, route.params)
            found += [] if own is None else [column.alias(f"{_prefix(number)}{column.name}") for column in own]
        return pl.DataFrame(found) if found else None

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self._views = [PartView(_prefix(number)) for number in range(len(self.parts))]
        self._strategies = [
            part(route.params) if issubclass(part, CallbackStrategy) else _RowByRow()
            for part, route in zip(self.parts, params.routes, strict=True)
        ]
        #: the strategy that holds positions or orders
        self._owner: int | None = None

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        busy = bool(view.positions) or view.pending > 0
        if not busy:
            self._owner = None
        open_route = self._open_route(view)
        answer: list[Intent] = []
        for number, strategy in enumerate(self._strategies):
            mine = number == self._owner
            wanted = strategy.on_bar(self._views[number].at(view, trades=mine))
            if not wanted:
                continue
            if mine:
                answer += [one for one in wanted if one.action != "open" or number == open_route]
            elif number == open_route and self._owner is None:
                answer += [one for one in wanted if one.action == "open"]
        if self._owner is None:
            self._owner = open_route if answer else None
        elif self.params.close_outside and self._owner != open_route:
            named = {one.position_id for one in answer if one.action == "close"}
            answer += [
                Intent("close", position_id=held.position_id)
                for held in view.positions
                if held.position_id not in named
            ]
        return answer

    def _open_route(self, view: BarView) -> int | None:
        """Number of the first route that fits, None without one."""
        for number, route in enumerate(self.params.routes):
            for name in type(route.when).model_fields:
                labels = getattr(route.when, name)
                if labels is not None and view.value(name) not in labels:
                    break
            else:
                return number
        return None


def _prefix(number: int) -> str:
    return f"route_{number}_"


def _together(families: Sequence[Family]) -> Family:
    """What strategies of these families may do one after another."""

    def total(values: list[Any]) -> Any:
        return None if None in values else sum(values)

    limits = [set(one.asset_classes) for one in families if one.asset_classes is not None]
    longest = [one.max_bar_seconds for one in families if one.max_bar_seconds is not None]
    return Family(
        name="regime_router",
        asset_classes=tuple(sorted(set.intersection(*limits))) if limits else None,
        min_bar_seconds=max((one.min_bar_seconds or 0 for one in families), default=0) or None,
        max_bar_seconds=min(longest) if longest else None,
        needs_options=any(one.needs_options for one in families),
        min_references=max(one.min_references for one in families),
        max_swept_parameters=6,
        max_trades_per_day=total([one.max_trades_per_day for one in families]),
        max_annual_turnover=total([one.max_annual_turnover for one in families]),
    )


class _RowByRow:
    """A columnar strategy's intents, read at the present row: rules of one lane (docs/replay.md)."""

    def __init__(self) -> None:
        self._row = -1

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        # A reference's bar alone is no new row, and while an order waits nothing is asked.
        known, self._row = self._row, view.index
        if view.index == known or view.pending:
            return ()
        enter, held = _given(view, "enter") or 0, view.positions
        if held and (_given(view, "exit") or enter == -held[0].side):
            return [Intent("close", position_id=position.position_id) for position in held]
        if not enter or len(held) >= (_given(view, "max_entries") or 1):
            return ()
        return [Intent("open", side=enter, **{name: _given(view, name) for name in _VALUES})]


def _given(view: BarView, name: str) -> Any:
    """Value of an intent column at this row; None where it is not given."""
    value = view.value(name)
    return None if isinstance(value, float) and isnan(value) else value


class PartView:
    """What one strategy of the router sees: the view, with its own columns, and no book while another one trades."""

    __slots__ = ("_names", "_prefix", "_trades", "_view")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[str, str] = {}
        self._view: BarView
        self._trades = True

    def at(self, view: BarView, *, trades: bool) -> PartView:
        """The view of this bar; ``trades``: positions and orders are this strategy's."""
        self._view, self._trades = view, trades
        return self

    def value(self, column: str, symbol: str | None = None) -> Any:
        return self._read(column, symbol, lambda name: self._view.value(name, symbol))

    def history(self, column: str, count: int, symbol: str | None = None) -> NDArray[Any]:
        return self._read(column, symbol, lambda name: self._view.history(name, count, symbol))

    def _read(self, column: str, symbol: str | None, read: Callable[[str], Any]) -> Any:
        if symbol is not None and symbol != self._view.symbols[0]:
            return read(column)
        name = self._names.get(column)
        if name is not None:
            return read(name)
        own = f"{self._prefix}{column}"
        try:
            found = read(own)
        except KeyError:
            found, own = read(column), column
        self._names[column] = own
        return found

    @property
    def now_us(self) -> int:
        return self._view.now_us

    @property
    def index(self) -> int:
        return self._view.index

    @property
    def equity(self) -> float:
        return self._view.equity

    @property
    def cash(self) -> float:
        return self._view.cash

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._view.symbols

    @property
    def fresh(self) -> tuple[str, ...]:
        return self._view.fresh

    @property
    def positions(self) -> Sequence[OpenPosition]:
        return self._view.positions if self._trades else ()

    @property
    def orders(self) -> Sequence[OpenOrder]:
        return self._view.orders if self._trades else ()

    @property
    def pending(self) -> int:
        return self._view.pending if self._trades else 0

    def snapshot(self) -> OptionSnapshot | None:
        return self._view.snapshot()

    def chain(self) -> pl.DataFrame | None:
        return self._view.chain()
