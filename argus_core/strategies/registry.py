"""Find a strategy class by the name a config gives it, and hash the code that a run rests on."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from argus_core.settings import SettingsError
from argus_core.strategies.interface import Strategy
from argus_core.strategies.wrapping import Wrapper

#: Shipped strategies: the name a config may use -> module and class. Imported on use.
SHIPPED: Mapping[str, str] = {
    "BuyAndHold": "argus_core.strategies.buy_and_hold:BuyAndHold",
    "CryptoEtfBasis": "argus_core.strategies.crypto_etf_basis:CryptoEtfBasis",
    "EightAmCandle": "argus_core.strategies.eight_am_candle:EightAmCandle",
    "EmaCrossAtr": "argus_core.strategies.ema_cross_atr:EmaCrossAtr",
    "EventStraddle": "argus_core.strategies.event_straddle:EventStraddle",
    "FairValueGap": "argus_core.strategies.fair_value_gap:FairValueGap",
    "FridayRevisit": "argus_core.strategies.friday_revisit:FridayRevisit",
    "GlobalPhase": "argus_core.strategies.global_phase:GlobalPhase",
    "HighVolCredit": "argus_core.strategies.high_vol_credit:HighVolCredit",
    "MinuteSnap": "argus_core.strategies.minute_snap:MinuteSnap",
    "OpeningRangeBreakout": "argus_core.strategies.opening_range_breakout:OpeningRangeBreakout",
    "OvernightSession": "argus_core.strategies.overnight_session:OvernightSession",
    "PairSpread": "argus_core.strategies.pair_spread:PairSpread",
    "PanicSnapback": "argus_core.strategies.panic_snapback:PanicSnapback",
    "RegimeRouter": "argus_core.strategies.regime_router:RegimeRouter",
    "VRPCreditSpread": "argus_core.strategies.vrp_credit_spread:VRPCreditSpread",
    "WeekdayGate": "argus_core.strategies.weekday_gate:WeekdayGate",
}

_HOW = "Give a shipped name ({shipped}), `module:Class`, or `path/to/file.py:Class`."


def load_strategy(name: str, *, root: Path, params: Mapping[str, Any] | None = None) -> type[Strategy]:
    """The class that ``name`` stands for.

    Args:
        name: a shipped name, ``module:Class``, or ``path/to/file.py:Class``.
        root: folder from which relative file paths start (the project root).
        params: its parameters, which tell a wrapper the strategies that it contains; None: its defaults.

    Raises:
        SettingsError: if the module, file or class does not exist, cannot be imported, or is no strategy.
    """
    how = _HOW.format(shipped=", ".join(sorted(SHIPPED)))
    target = SHIPPED.get(name, name)
    place, separator, class_name = target.rpartition(":")
    if not separator or not place or not class_name:
        raise SettingsError(f"strategy_class: unknown strategy {name!r}. {how}")
    module = _from_file(place, name, root) if place.endswith(".py") else _from_module(place, name, how)
    cls = getattr(module, class_name, None)
    if cls is None:
        found = sorted(k for k, v in vars(module).items() if _is_strategy(v) and v.__module__ == module.__name__)
        raise SettingsError(
            f"strategy_class: {name!r}: {place} has no class {class_name!r}. Strategies there: "
            f"{', '.join(found) or 'none'}."
        )
    if not _is_strategy(cls):
        raise SettingsError(
            f"strategy_class: {name!r} is no strategy. Derive it from ColumnarStrategy or CallbackStrategy "
            "(argus_core.strategies.interface); docs/strategies.md shows both."
        )
    if inspect.isabstract(cls):
        lacking = ", ".join(sorted(cls.__abstractmethods__))
        raise SettingsError(f"strategy_class: {name!r} does not implement {lacking}.")
    return cls.bound(params or {}, root=root) if issubclass(cls, Wrapper) else cls


def strategy_code_hash(cls: type[Strategy]) -> str:
    """First 16 hex digits of the SHA-256 over the source files of the class, its bases and its ``Params``, and of
    those of the strategies that it is made of.

    The interface itself is left out: the engine version covers it. Line endings do not matter.

    Raises:
        SettingsError: if the source of a class cannot be read (defined in a shell or notebook).
    """
    # File names, not paths: moving a project changes no run.
    sources: set[tuple[str, bytes]] = set()
    classes = [cls, *_inside(cls)]
    for owner in (base for one in classes for base in (*one.__mro__, *one.Params.__mro__)):
        package = owner.__module__.partition(".")[0]
        if owner.__module__ == "argus_core.strategies.interface" or package in ("builtins", "abc", "pydantic"):
            continue
        try:
            path = Path(inspect.getfile(owner))
            sources.add((path.name, path.read_bytes().replace(b"\r\n", b"\n")))
        except (TypeError, OSError):
            raise SettingsError(
                f"strategy_class: the source of {owner.__qualname__} cannot be read, so its runs could not be told "
                "apart after a change. Put the strategy into a file."
            ) from None
    digest = hashlib.sha256(" ".join(one.__qualname__ for one in classes).encode())
    for name, source in sorted(sources):
        digest.update(name.encode() + b"\0" + source + b"\0")
    return digest.hexdigest()[:16]


def _inside(cls: type[Strategy]) -> list[type[Strategy]]:
    """The strategies that a wrapper is made of, and those inside them."""
    return [one for inner in cls.parts for one in (inner, *_inside(inner))]


def _is_strategy(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Strategy)


def _from_module(place: str, name: str, how: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        missing = error.name or place
        if place == missing or place.startswith(f"{missing}."):
            raise SettingsError(f"strategy_class: {name!r}: no module {missing!r}. {how}") from None
        raise SettingsError(
            f"strategy_class: {name!r} needs the module {missing!r}, which is not installed."
        ) from error


def _from_file(place: str, name: str, root: Path) -> ModuleType:
    given = Path(place).expanduser()
    path = (given if given.is_absolute() else root / given).resolve()
    if not path.is_file():
        raise SettingsError(f"strategy_class: {name!r}: no file {path}. Relative paths start at {root}.")
    # The name depends on the path alone; a changed file is executed again, an unchanged one is the same class.
    content = path.read_bytes()
    key = f"argus_strategy_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    known = sys.modules.get(key)
    if known is not None and getattr(known, "__argus_source__", None) == content:
        return known
    spec = importlib.util.spec_from_file_location(key, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"strategy_class: {name!r}: {path} cannot be loaded as a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[key]
        raise SettingsError(f"strategy_class: {name!r}: {path} failed: {type(error).__name__}: {error}") from error
    vars(module)["__argus_source__"] = content
    return module
