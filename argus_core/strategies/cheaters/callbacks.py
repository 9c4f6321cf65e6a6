"""Callback cheats: the engine shows no future, so they go and get it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import polars as pl
from pydantic import Field

from argus_core.options.tape import OptionTape
from argus_core.strategies.interface import BarView, CallbackStrategy, Intent, Params

Kind = TypeVar("Kind")


def _long_while(view: BarView, wanted: bool) -> Sequence[Intent]:
    if wanted == bool(view.positions) or view.pending:
        return ()
    if wanted:
        return (Intent("open", size=0.5),)
    return tuple(Intent("close", position_id=position.position_id) for position in view.positions)


def _around(kind: type[Kind]) -> list[Kind]:
    """Objects of ``kind`` that the functions which called this one hold, or their objects."""
    return [found for value in _held() for found in (value, *_attributes(value)) if isinstance(found, kind)]


def _held() -> Iterator[Any]:
    frame = inspect.currentframe()
    while frame is not None:
        for value in list(frame.f_locals.values()):
            yield value
            yield from _attributes(value)
        frame = frame.f_back


def _attributes(value: Any) -> list[Any]:
    if not type(value).__module__.startswith("argus_core.replay"):
        return []
    slots = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
    own = list(getattr(value, "__dict__", {}).values()) + slots
    return own + [item for one in own if isinstance(one, dict) for item in one.values()]


class StolenFrame(CallbackStrategy):
    """Climbs up the call stack to the engine's own frame and reads the next row."""

    closes: Any = None

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        if self.closes is None:
            frames = [frame for frame in _around(pl.DataFrame) if "close" in frame.columns and "open" in frame.columns]
            self.closes = max(frames, key=lambda frame: frame.height)["close"].to_list() if frames else []
        here = view.index
        return _long_while(view, here + 1 < len(self.closes) and self.closes[here + 1] > view.value("close"))


class FutureQuote(CallbackStrategy):
    """Climbs up the call stack to the option tape and reads the next snapshot, which nobody has received yet."""

    tape: Any = None

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        if self.tape is None:
            self.tape = (_around(OptionTape) or [()])[0]
        later = [one for one in getattr(self.tape, "snapshots", ()) if one.recv_us > view.now_us][:1]
        if not later:
            return _long_while(view, False)
        underlying = later[0].frame["underlying_price"].drop_nulls().median()
        return _long_while(view, underlying is not None and float(underlying) > view.value("close"))


class PackReaderParams(Params):
    """Parameters of `PackReader`."""

    folder: str = Field("data/packs", description="folder of sealed packs")


class PackReader(CallbackStrategy):
    """Reads the sealed pack from disk: cutting the engine's data off changes nothing for it."""

    Params = PackReaderParams
    params: PackReaderParams

    def __init__(self, params: PackReaderParams) -> None:
        super().__init__(params)
        self._next: dict[int, float] | None = None

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        if self._next is None:
            self._next = {}
            for path in sorted(Path(self.params.folder).glob("**/bars.parquet")):
                bars = pl.read_parquet(path)
                ends = bars["available_at"].dt.timestamp("us").to_list()
                self._next |= dict(zip(ends, bars["close"].shift(-1).to_list(), strict=True))
        known = self._next.get(view.now_us)
        return _long_while(view, known is not None and known > view.value("close"))


class RunMemory(CallbackStrategy):
    """Notes every close on the class while it runs: the next run, with other parameters, knows what comes."""

    seen: ClassVar[dict[int, float]] = {}
    _before: int = 0

    def on_bar(self, view: BarView) -> Sequence[Intent]:
        bar = round((view.now_us - self._before) / 1e6) if self._before else 0
        self._before = view.now_us
        ahead = RunMemory.seen.get(view.now_us + bar * 1_000_000)
        RunMemory.seen[view.now_us] = view.value("close")
        return _long_while(view, ahead is not None and ahead > view.value("close"))
