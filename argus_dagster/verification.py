"""Verify what is stored: every lake file readable and equal to its footer, every pack equal to its manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_core.market.lake import content_hash
from argus_core.packs import PackError, open_pack
from argus_dagster.workspace import Workspace


@dataclass
class Verification:
    """Counts of what was verified and a line per problem."""

    files: int = 0
    packs: int = 0
    problems: list[str] = field(default_factory=list)

    def as_document(self) -> dict[str, Any]:
        return {"files": self.files, "packs": self.packs, "ok": not self.problems, "problems": self.problems}


def verify_workspace(workspace: Workspace) -> Verification:
    """Read every file of the lake and every pack and compare with the hashes that were written with them."""
    found = Verification()
    for lake, table in ((one, table) for one in (workspace.lake, workspace.results) for table in one.tables()):
        for keys in lake.partitions(table):
            found.files += 1
            where = f"{table} {keys}"
            try:
                stamp = lake.stamp(table, **keys)
                actual = content_hash(lake.read(table, **keys))
            except Exception as error:  # a damaged file can fail in any way; each is a finding, none stops the rest
                found.problems.append(f"{where}: unreadable ({type(error).__name__}: {error})")
                continue
            if stamp is None:
                found.problems.append(f"{where}: no argus footer")
            elif stamp.data_hash != actual:
                found.problems.append(f"{where}: content {actual} differs from footer {stamp.data_hash}")
    folder = workspace.project.resolve(workspace.project.loop.pack.packs_output_dir)
    for manifest in sorted(folder.glob("*/pack.json")):
        found.packs += 1
        try:
            open_pack(manifest.parent)
        except PackError as error:
            found.problems.append(str(error))
    leftovers = sorted(str(path) for path in folder.parent.rglob(".*.tmp"))
    found.problems += [f"{path}: leftover of an interrupted write" for path in leftovers]
    return found


def artefact_hashes(workspace: Workspace) -> dict[str, str]:
    """SHA-256 of every artefact: lake files, packs, manifests, rankings, allocations. Names are relative, sorted.

    Reports are left out: they hold a copy of plotly, whose version is not Argus's.
    """
    project = workspace.project
    evaluation = project.loop.evaluation
    places = {
        "lake": Path(project.lake_root),
        "packs": project.resolve(project.loop.pack.packs_output_dir),
        "experiments": project.resolve(project.loop.experiment.output_dir),
        "rankings": project.resolve(evaluation.rankings_output_dir),
    }
    return {
        f"{name}/{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for name, folder in places.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def overall_hash(hashes: dict[str, str]) -> str:
    """One hash over all artefacts and their names."""
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()
