"""Run manifests: one JSON document per run, a view of its row with the environment that computed it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from argus_core.experiments.rows import as_json
from argus_core.market.lake import ENGINE_VERSION, write_atomically

MANIFEST_SCHEMA_VERSION = "2"
_PACKAGES = ("jax", "jaxlib", "numpy", "polars", "pydantic", "scipy")
_NAMED = ("run_id", "strategy", "symbol", "pack_hash", "code_hash", "config_hash", "convention", "status", "reason")
_BLOCKS = {
    "monte_carlo": "mc_",
    "selection": "selection_",
    "walk_forward": "wf_",
    "combinatorial": "cpcv_",
    "warmup": "warmup",
    "cost": "cost_",
    "plateau": "plateau_",
    "lookahead": "lookahead_",
    "regime": "dep_",
}
_JSON = ("rejects_by_reason", "regime_breakdown", "regime_stress", "walk_forward", "cost_sensitivity", "warmup")
#: Columns of a block that do not carry its prefix.
_PLACED = {
    "walk_forward": "walk_forward",
    **dict.fromkeys(("regime_stress", "regime_breakdown", "regime_balance"), "regime"),
    **dict.fromkeys(("worst_mean_without_regime", "worst_mean_without_fold", "hhi_regime", "hhi_fold"), "regime"),
}


class RunManifest(BaseModel):
    """What one run was and gave. No timing and no clock: two equal runs have equal manifests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: str = MANIFEST_SCHEMA_VERSION
    run_id: str
    strategy: str
    symbol: str
    date: date
    params: dict[str, Any]
    pack_hash: str
    code_hash: str
    config_hash: str
    engine: str
    convention: str
    status: Literal["ok", "rejected", "infrastructure_failed"]
    reason: str
    environment: dict[str, str]
    metrics: dict[str, Any]
    robustness: dict[str, dict[str, Any]]


def manifests_of(runs: pl.DataFrame) -> list[dict[str, Any]]:
    """One manifest per row of ``runs`` as a JSON-ready mapping, in row order."""
    return [_manifest(row).model_dump(mode="json") for row in runs.iter_rows(named=True)]


def write_manifests(output_dir: str | Path, symbol: str, day: date, manifests: Sequence[dict[str, Any]]) -> Path:
    """Write the manifests of one symbol and date as JSON lines: ``<output_dir>/<symbol>_<date>.jsonl``, atomically.

    An unchanged file is left alone.
    """
    path = Path(output_dir) / f"{symbol}_{day}.jsonl"
    content = "".join(as_json(one) + "\n" for one in manifests).encode()
    if not (path.is_file() and path.read_bytes() == content):
        write_atomically(path, content)
    return path


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Versions of Python and of the packages that compute."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _manifest(row: dict[str, Any]) -> RunManifest:
    metrics: dict[str, Any] = {}
    blocks: dict[str, dict[str, Any]] = {name: {} for name in _BLOCKS}
    for name, raw in row.items():
        if name in _NAMED or name in ("date", "params"):
            continue
        value = json.loads(raw) if name in _JSON and raw else raw
        prefixed = next((key for key, prefix in _BLOCKS.items() if name.startswith(prefix)), None)
        if block := _PLACED.get(name, prefixed):
            blocks[block][name] = value
        else:
            metrics[name] = value
    return RunManifest(
        **{name: row[name] for name in _NAMED},
        date=row["date"],
        params=json.loads(row["params"]),
        engine=ENGINE_VERSION,
        environment=environment(),
        metrics=metrics,
        robustness=blocks,
    )
