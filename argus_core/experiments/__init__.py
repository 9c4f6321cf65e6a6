"""Experiments: sweeps, the runner, run rows, manifests and the trial ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from argus_core.experiments.ledger import LEDGER_SCHEMA, ledger_of
from argus_core.experiments.manifests import RunManifest, manifests_of, write_manifests
from argus_core.experiments.rows import RETURN_SCHEMA, RUN_SCHEMA, RUN_TRADE_SCHEMA
from argus_core.experiments.sweep import expand_sweep, load_sweep

if TYPE_CHECKING:
    from argus_core.experiments.plan import experiment_inputs_hash, left_out, plan_trials, run_identity
    from argus_core.experiments.runner import ExperimentSet, run_experiments

# Replay kernels are heavy: they are imported when a runner or a strategy is first asked for.
_LAZY = {
    "ExperimentSet": "argus_core.experiments.runner",
    "experiment_inputs_hash": "argus_core.experiments.plan",
    "left_out": "argus_core.experiments.plan",
    "plan_trials": "argus_core.experiments.plan",
    "run_experiments": "argus_core.experiments.runner",
    "run_identity": "argus_core.experiments.plan",
}

__all__ = [
    "LEDGER_SCHEMA",
    "RETURN_SCHEMA",
    "RUN_SCHEMA",
    "RUN_TRADE_SCHEMA",
    "ExperimentSet",
    "RunManifest",
    "expand_sweep",
    "experiment_inputs_hash",
    "ledger_of",
    "left_out",
    "load_sweep",
    "manifests_of",
    "plan_trials",
    "run_experiments",
    "run_identity",
    "write_manifests",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
