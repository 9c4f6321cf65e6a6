"""Run a strategy's code apart: freshly executed, on a stack of its own, with a record of what it reads elsewhere.

Leaks that no change of the data shows: knowledge that an earlier run left in a module, the unchanged data in the
variables of whoever called, and files. The first is taken away by executing the strategy's code anew, the second by a
thread whose stack ends at the run; the third is recorded while it happens.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from threading import Thread, local
from types import FrameType, ModuleType
from typing import Any, TypeVar

import argus_core

Cls = TypeVar("Cls", bound=type)
Result = TypeVar("Result")

#: Opening code is no secret: importing is how Python works.
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".dylib", ".pth")
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/")
#: Libraries whose readers are compiled and open files unseen by Python; those that are loaded are wrapped.
_READERS: Mapping[str, tuple[str, ...]] = {
    "polars": ("read_", "scan_"),
    "pandas": ("read_",),
    "pyarrow.parquet": ("read_", "ParquetFile", "ParquetDataset"),
    "pyarrow.dataset": ("dataset",),
    "pyarrow.feather": ("read_",),
    "duckdb": ("read_", "from_", "connect", "sql", "query", "execute"),
}
_EVENTS = {
    "open": "opens",
    "os.listdir": "lists",
    "os.scandir": "lists",
    "sqlite3.connect": "opens",
    "socket.connect": "connects to",
    "subprocess.Popen": "starts",
    "os.system": "starts",
}


class _State(local):
    record: list[str] | None = None


_STATE = _State()


@contextmanager
def fresh_class(cls: Cls) -> Generator[Cls, None, None]:
    """The class from a newly executed copy of its module and of the modules beside it, free of what earlier runs left.

    Modules of the same package, or of the same folder, are executed anew when the strategy imports them, and so are
    strategies that were loaded from files; those of Argus and of installed libraries are not. Where that cannot be
    (a class defined in a function or a notebook) the class itself is given.
    """
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None)
    if path is None or "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        yield cls
        return
    before = dict(sys.modules)
    homes = _homes(cls)
    aside = {n for n, known in before.items() if any(_belongs(n, known, home, at) for home, at in homes)}
    for name in aside:
        del sys.modules[name]
    try:
        yield _executed(cls, path)
    finally:
        for name, known in list(sys.modules.items()):
            source = getattr(known, "__file__", None)
            if name in aside or (name not in before and source and not _trusted(source) and source.endswith(".py")):
                del sys.modules[name]
        for name in aside:
            sys.modules[name] = before[name]
            # Importing a copy has also put it into its package.
            package, _, child = name.rpartition(".")
            if package in sys.modules:
                setattr(sys.modules[package], child, before[name])


def _homes(cls: type) -> list[tuple[str, Path]]:
    """Modules, with their files, of a class and of the strategies that it is made of."""
    path = getattr(sys.modules.get(cls.__module__), "__file__", None)
    inner = [home for part in getattr(cls, "parts", ()) for home in _homes(part)]
    return inner if path is None else [(cls.__module__, Path(path)), *inner]


def _executed(cls: Cls, path: str) -> Cls:
    name = cls.__module__
    # Its own name, so relative imports, pydantic and dataclasses find the module while classes are made.
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return cls
    copy = importlib.util.module_from_spec(spec)
    sys.modules[name] = copy
    spec.loader.exec_module(copy)
    found: Any = copy
    for part in cls.__qualname__.split("."):
        found = getattr(found, part)
    made_with = getattr(cls, "made_with", None)
    # A wrapper bound to its parts: bind the copy to copies of them.
    return found if made_with is None else found.bound(made_with[0], root=made_with[1])


def _belongs(name: str, module: ModuleType, strategy: str, path: Path) -> bool:
    """Whether ``module`` is code of the strategy in module ``strategy``, at ``path``, that could keep state for it."""
    if name == strategy or name.startswith("argus_strategy_"):
        return True
    top, own = strategy.partition(".")[0], name.partition(".")[0]
    if top == "argus_core" or own in ("argus_core", "argus_dagster", "__main__"):
        return False
    source = getattr(module, "__file__", None)
    if source is None:
        return own == top  # a namespace package: its modules are looked up anew, too
    if not source.endswith(".py") or _trusted(source):
        return False
    return own == top or (name == own and Path(source).parent == path.parent)


def apart(work: Callable[[], Result]) -> Result:
    """The result of ``work`` (or what it raises), run in a thread: no caller's variables are up its stack."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:  # handed to the caller, whatever it is
            errors.append(error)

    thread = Thread(target=body, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


@contextmanager
def watched() -> Generator[list[str], None, None]:
    """What the code of this thread opens, lists, connects to or starts meanwhile, in words, each once, in order.

    Code, installed libraries and the compile cache are left out. Readers of compiled libraries are seen by name, at
    their call; a library that hides its reader, and another thread, are not seen.
    """
    _install()
    outer, _STATE.record = _STATE.record, []
    try:
        with _wrapped_readers():
            yield _STATE.record
    finally:
        _STATE.record = outer


@contextmanager
def unwatched() -> Generator[None, None, None]:
    """Within `watched`: what happens here is not the strategy's doing."""
    outer, _STATE.record = _STATE.record, None
    try:
        yield
    finally:
        _STATE.record = outer


def resume(record: list[str] | None) -> list[str] | None:
    """Set the record of this thread and return the one before: a cheap switch for code called once a bar."""
    outer, _STATE.record = _STATE.record, record
    return outer


@lru_cache(maxsize=1)
def _install() -> None:
    # An audit hook stays for the life of the process; outside of `watched` it returns at once.
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    record = _STATE.record
    if record is None or event not in _EVENTS:
        return
    target = arguments[1] if event == "socket.connect" or arguments[0] is None else arguments[0]
    on_disk = event in ("open", "os.listdir", "os.scandir")
    # Frame 1 is the caller: importing lists folders and opens files of code.
    if isinstance(target, int) or (on_disk and (_importing(sys._getframe(1)) or _harmless(target))):
        return
    _note(f"{_EVENTS[event]} {_text(target)}")


def _importing(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith("<frozen importlib")


def _note(text: str) -> None:
    if _STATE.record is not None and text not in _STATE.record:
        _STATE.record.append(text)


def _text(target: Any) -> str:
    return os.fsdecode(target) if isinstance(target, str | bytes | os.PathLike) else repr(target)[:120]


def _harmless(target: Any) -> bool:
    path = _text("." if target is None else target)
    return path.endswith(_CODE) or _trusted(path)


def _trusted(path: str) -> bool:
    full = os.path.abspath(path)
    cache = getattr(getattr(sys.modules.get("jax"), "config", None), "jax_compilation_cache_dir", None)
    return full.startswith((*_SYSTEM, *_installed())) or bool(cache and full.startswith(os.path.abspath(cache)))


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    places = {*sysconfig.get_paths().values(), os.path.dirname(argus_core.__file__), os.path.dirname(os.__file__)}
    return tuple(sorted(os.path.join(os.path.abspath(place), "") for place in places if place and place != "/"))


@contextmanager
def _wrapped_readers() -> Generator[None, None, None]:
    changed: list[tuple[ModuleType, str, Any]] = []
    for name, starts in _READERS.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        for attribute, value in list(vars(module).items()):
            if attribute.startswith(starts) and callable(value) and not hasattr(value, "__argus_wrapped__"):
                changed.append((module, attribute, value))
                setattr(module, attribute, _noted(f"{name}.{attribute}", value))
    try:
        yield
    finally:
        for module, attribute, value in changed:
            setattr(module, attribute, value)


def _noted(name: str, reader: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(reader, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        source = args[0] if args else next(iter(kwargs.values()), "")
        _note(f"calls {name}({_text(source)!r})")
        with unwatched():
            return reader(*args, **kwargs)

    setattr(call, "__argus_wrapped__", True)  # noqa: B010
    return call
