"""Finished chunks of a sweep on disk: a killed cycle replays only the chunk that it was at.

A chunk is three files: trades and daily equity of its runs (Parquet), and a document with everything else and the
hashes of the other two, written last. What is not whole, or is not of these very runs, is as if it were not there.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from argus_core.experiments.replayed import CostPoint, Replayed
from argus_core.market.lake import write_atomically
from argus_core.replay.results import DAILY_SCHEMA, TRADE_SCHEMA, ReplayResult
from argus_core.settings import canonical_hash

_RUN = "__run"
_COUNTS = ("fills", "partials", "starting_cash", "final_equity", "exposure", "turnover")


class ReplayJournal:
    """The journal of one pack's experiments in ``folder``. Run ids name content, so an entry is never stale."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def load(self, run_ids: Sequence[str]) -> list[Replayed] | None:
        """What a chunk of these runs gave, bit for bit, or None where it is not there whole."""
        name = _name(run_ids)
        try:
            document = json.loads((self._folder / f"{name}.json").read_bytes())
            content = {part: (self._folder / f"{name}.{part}.parquet").read_bytes() for part in ("trades", "daily")}
            if document["run_ids"] != list(run_ids) or document["sha256"] != {p: _sha(c) for p, c in content.items()}:
                return None
            frames = {part: pl.read_parquet(io.BytesIO(found)) for part, found in content.items()}
            return [_restored(one, frames, place) for place, one in enumerate(document["runs"])]
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
            return None

    def store(self, run_ids: Sequence[str], replayed: Sequence[Replayed]) -> None:
        """Keep what a chunk gave."""
        name = _name(run_ids)
        content = {
            "trades": _bytes([one.base.trades if one.base else None for one in replayed], TRADE_SCHEMA),
            "daily": _bytes([one.base.daily if one.base else None for one in replayed], DAILY_SCHEMA),
        }
        for part, found in content.items():
            write_atomically(self._folder / f"{name}.{part}.parquet", found)
        document = {
            "run_ids": list(run_ids),
            "sha256": {part: _sha(found) for part, found in content.items()},
            "runs": [_document(one) for one in replayed],
        }
        write_atomically(self._folder / f"{name}.json", json.dumps(document, sort_keys=True).encode())

    def clear(self) -> None:
        """Drop everything, once the results are stored for good."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _name(run_ids: Sequence[str]) -> str:
    return canonical_hash({"runs": list(run_ids)})


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _bytes(frames: Sequence[pl.DataFrame | None], schema: Any) -> bytes:
    """The frames of all runs, one after another, with the run's place in the chunk."""
    marked = [
        frame.with_columns(pl.lit(place, pl.Int32).alias(_RUN))
        for place, frame in enumerate(frames)
        if frame is not None
    ]
    whole = pl.concat([pl.DataFrame(schema={**schema, _RUN: pl.Int32()}), *marked])
    buffer = io.BytesIO()
    whole.write_parquet(buffer)
    return buffer.getvalue()


def _document(one: Replayed) -> dict[str, Any]:
    base = one.base
    return {
        "error": one.error,
        "costs": [[multiplier, asdict(point)] for multiplier, point in one.costs.items()],
        "base": None
        if base is None
        else {name: getattr(base, name) for name in _COUNTS}
        | {"rejects": list(base.rejects.items()), "offered": [[k, list(v)] for k, v in base.offered.items()]},
    }


def _restored(document: dict[str, Any], frames: dict[str, pl.DataFrame], place: int) -> Replayed:
    costs = {float(multiplier): CostPoint(**point) for multiplier, point in document["costs"]}
    base = document["base"]
    if base is None:
        return Replayed(None, costs, document["error"])
    mine = {part: frame.filter(pl.col(_RUN) == place).drop(_RUN) for part, frame in frames.items()}
    return Replayed(
        ReplayResult(
            trades=mine["trades"],
            daily=mine["daily"],
            rejects=dict(base["rejects"]),
            offered={factor: tuple(labels) for factor, labels in base["offered"]},
            **{name: base[name] for name in _COUNTS},
        ),
        costs,
        document["error"],
    )
