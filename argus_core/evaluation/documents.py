"""The JSON files of a cycle: rankings, killed, candidates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argus_core.market.lake import write_atomically

if TYPE_CHECKING:
    from argus_core.evaluation.verdict import Evaluation


def write_json(
    evaluation: Evaluation,
    *,
    rankings_dir: Path,
    killed_path: Path,
    candidates_path: Path,
    date: Any,
    generated_at: str,
) -> list[Path]:
    """Write ``strategy_rankings_<date>.json``, the killed and the candidates file; returns their paths.

    Args:
        date: of the cycle, ``YYYY-MM-DD`` or a date.
        generated_at: ISO time of writing, given by the caller: nothing here reads a clock.
    """
    head = {"generated_at": generated_at, "date": str(date)}
    killed = [_readable(row) for row in evaluation.killed.iter_rows(named=True)]
    candidates = [_readable(row) for row in evaluation.candidates.iter_rows(named=True)]
    documents = {
        rankings_dir / f"strategy_rankings_{date}.json": rankings_document(
            evaluation, date=date, generated_at=generated_at
        ),
        killed_path: head | {"killed": killed},
        candidates_path: head | {"candidates": candidates},
    }
    for path, document in documents.items():
        write_document(path, document)
    return list(documents)


def rankings_document(evaluation: Evaluation, *, date: Any, generated_at: str) -> dict[str, Any]:
    """Content of ``strategy_rankings_<date>.json``: every run in order, and the joint test."""
    rankings = [_readable(row) for row in evaluation.rankings.iter_rows(named=True)]
    return {
        "generated_at": generated_at,
        "date": str(date),
        "experiment_count": len(rankings),
        "joint_test": evaluation.joint_test,
        "rankings": rankings,
    }


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write ``document`` as indented JSON, whole or not at all."""
    text = json.dumps(document, indent=2, default=str, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A frame row for a JSON file: nested documents parsed, dates as text."""
    nested = ("params", "components", "reasons", "alternatives")
    return {
        key: json.loads(value) if key in nested and value else (None if value is None else _plain(value))
        for key, value in row.items()
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value)
