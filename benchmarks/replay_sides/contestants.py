"""Contestants as processes: environments of their own for the peers, and requests to whoever runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIDES = Path(__file__).resolve().parent
ROOT = SIDES.parent.parent


@dataclass(frozen=True)
class Peer:
    """A contestant from a package registry: what is installed, and what is nice to have."""

    name: str
    requirement: str
    script: str
    extra: str | None = None


PEERS = (
    Peer("vectorbt", "vectorbt==1.2.0", "run_vectorbt.py", extra="vectorbt-rust==1.2.0"),
    Peer("backtesting", "backtesting==0.6.6", "run_backtesting.py"),
    Peer("nautilus", "nautilus_trader==1.221.0", "run_nautilus.py"),
)


class Failed(RuntimeError):
    """A contestant could not do its task."""


class Side:
    """A contestant's process."""

    def __init__(self, label: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        self.label = label
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.about = self._read()

    def ask(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Run a task once."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            last = self._log.read().strip().splitlines()[-1:] or ["it ended without a word"]
            raise Failed(f"{self.label}: {last[0]}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.label}: {answer['error']}")
        return answer


def installed(peer: Peer, folder: Path) -> Path:
    """Python of the peer's own environment, made the first time.

    Raises:
        Failed: if it cannot be installed.
    """
    home = folder / peer.requirement.replace("==", "-")
    python, ready = home / "bin" / "python", home / ".ready"
    if ready.exists():
        return python
    print(f"setting up {peer.requirement} in {home}", flush=True)
    for number, command in enumerate(
        (
            [sys.executable, "-m", "venv", "--clear", home],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", peer.requirement],
            *([[python, "-m", "pip", "install", "--quiet", peer.extra]] if peer.extra else []),
        )
    ):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode and number < 2:
            complaints = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
            raise Failed(f"{peer.requirement} cannot be installed: {(complaints or ['no reason given'])[-1]}")
    ready.touch()
    return python


@contextmanager
def contestants(peers: Path | None, bars: Path, cache: Path) -> Iterator[dict[str, Side]]:
    """Argus and, in environments under ``peers``, those that could be set up, by name; vectorbt once per engine."""
    sides = {"argus": argus_side(bars, cache)}
    try:
        for peer in PEERS if peers else ():
            try:
                python = installed(peer, peers)
            except Failed as error:
                print(f"left out: {error}")
                continue
            for engine in ("rust", "numba") if peer.name == "vectorbt" else (None,):
                name = peer.name if engine is None else f"{peer.name}-{engine}"
                label = peer.requirement.replace("==", " ") + (f" {engine}" if engine else "")
                try:
                    sides[name] = Side(label, [python, SIDES / peer.script, bars, *([engine] if engine else [])])
                except Failed as error:
                    print(f"left out: {error}")
        yield sides
    finally:
        for side in sides.values():
            side.close()


def argus_side(bars: Path, cache: Path, device: str = "cpu") -> Side:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {"JAX_PLATFORMS": device, "JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONPATH": paths}
    return Side("Argus", [sys.executable, SIDES / "run_argus.py", bars], environment)
