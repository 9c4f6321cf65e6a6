"""Which runs a loop asks for on a pack, and the id of each: known before anything is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import argus_core
from argus_core.experiments.sweep import load_sweep
from argus_core.market.lake import ENGINE_VERSION
from argus_core.settings import Project, SettingsError, canonical_hash
from argus_core.settings.nested import flattened
from argus_core.strategies.interface import Params, Strategy
from argus_core.strategies.registry import load_strategy, strategy_code_hash

#: Packages that come after experiments: a change there changes no run.
LATER_PACKAGES = ("allocation", "calibration", "evaluation", "reports", "signals")


@dataclass(frozen=True)
class Trial:
    """One parameter set of a strategy. ``params`` is complete (defaults filled in) where it is valid."""

    run_id: str
    params: Mapping[str, Any]
    model: Params | None
    error: str


@dataclass(frozen=True)
class TrialGroup:
    """All parameter sets of one strategy on one pack: what a plateau and a walk-forward choice range over.

    ``proof_params``: base parameters of the specs that are valid on their own, for the lookahead proof.
    """

    strategy: type[Strategy]
    code_hash: str
    trials: tuple[Trial, ...]
    proof_params: tuple[Params, ...]

    @property
    def run_ids(self) -> frozenset[str]:
        return frozenset(trial.run_id for trial in self.trials)


def plan_trials(project: Project, symbol: str, pack_hash: str) -> list[TrialGroup]:
    """Expand every strategy of the loop that applies to ``symbol``.

    Specs that name the same class are one group; equal parameter sets are one trial. A parameter set that the
    strategy refuses stays in the plan with its error: it is a trial, too.

    Raises:
        SettingsError: if a strategy cannot be loaded or a sweep file cannot be read.
    """
    found: dict[type[Strategy], tuple[dict[str, Trial], list[Params]]] = {}
    for spec in project.loop.strategies:
        if spec.symbols is not None and symbol not in spec.symbols:
            continue
        strategy = load_strategy(spec.strategy_class, root=project.root, params=spec.params)
        if misfit := _misfit(project, strategy, symbol):
            if spec.symbols is None:
                continue
            raise SettingsError(
                f"{project.source}: strategies: {spec.strategy_class} on {symbol}: {misfit}. Take the symbol out of "
                "its `symbols`."
            )
        code = strategy_code_hash(strategy)
        trials, proofs = found.setdefault(strategy, ({}, []))
        base = _validated(strategy, spec.params)[0]
        if base is not None and base not in proofs:
            proofs.append(base)
        sets = load_sweep(project.resolve(spec.sweep), spec.params) if spec.sweep else [dict(spec.params)]
        _check_swept(strategy, sets, spec.sweep)
        for params in sets:
            model, error = _validated(strategy, params)
            full = model.model_dump(mode="json") if model else params
            run_id = run_identity(project, strategy.strategy_id, code, full, symbol, pack_hash)
            trials.setdefault(run_id, Trial(run_id, full, model, error))
    return [
        TrialGroup(strategy, strategy_code_hash(strategy), tuple(trials.values()), tuple(proofs))
        for strategy, (trials, proofs) in found.items()
    ]


def left_out(project: Project, symbol: str) -> dict[str, str]:
    """Strategies of the loop that ``symbol`` does not fit, with the reason: strategy id -> words."""
    reasons: dict[str, str] = {}
    for spec in project.loop.strategies:
        if spec.symbols is None:
            strategy = load_strategy(spec.strategy_class, root=project.root, params=spec.params)
            if misfit := _misfit(project, strategy, symbol):
                reasons[strategy.strategy_id] = misfit
    return reasons


def run_identity(
    project: Project, strategy_id: str, code_hash: str, params: Mapping[str, Any], symbol: str, pack_hash: str
) -> str:
    """Id of a run: 16 hex digits over everything that can change its row, and nothing else.

    Strategy, its code, parameters, symbol, pack content, execution settings, starting cash, Monte Carlo and
    walk-forward settings, engine version. No path, no clock, no other run.
    """
    return canonical_hash(
        {
            "strategy": strategy_id,
            "code": code_hash,
            "params": params,
            "symbol": symbol,
            "pack": pack_hash,
            **_run_settings(project),
        }
    )


def experiment_inputs_hash(project: Project) -> str:
    """Hash of everything but the pack that the experiments of a loop rest on: strategies, sweeps, code, settings."""
    specs = []
    for spec in project.loop.strategies:
        strategy = load_strategy(spec.strategy_class, root=project.root, params=spec.params)
        sets = load_sweep(project.resolve(spec.sweep), spec.params) if spec.sweep else [dict(spec.params)]
        specs.append([strategy.strategy_id, strategy_code_hash(strategy), sets, spec.symbols])
    return canonical_hash({"strategies": specs, "config": project.config_hash, **_run_settings(project)})


def _run_settings(project: Project) -> dict[str, Any]:
    chosen = project.loop.experiment
    left = {"output_dir"}
    if chosen.mc_max_paths <= chosen.mc_paths:
        # Thresholds decide how many paths a run gets; without more paths to give they change no row.
        left.add("mc_kill_thresholds")
    experiment = chosen.model_dump(mode="json", exclude=left)
    return {
        "execution": project.platform.execution.model_dump(mode="json"),
        "experiment": experiment,
        "engine": engine_hash(),
    }


@lru_cache(maxsize=1)
def engine_hash() -> str:
    """Engine version: its name and 16 hex digits over the sources a run rests on, so changed code means new runs."""
    root = Path(argus_core.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*.py") if p.relative_to(root).parts[0] not in LATER_PACKAGES):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return f"{ENGINE_VERSION}-{digest.hexdigest()[:16]}"


def _misfit(project: Project, strategy: type[Strategy], symbol: str) -> str:
    return strategy.family.misfit(project.instrument(symbol), project.loop.pack.references.get(symbol, ()))


def _check_swept(strategy: type[Strategy], sets: Sequence[Mapping[str, Any]], sweep: str | None) -> None:
    """Refuse a sweep over more parameters than the family allows: each one multiplies the ways to be lucky."""
    allowed = strategy.family.max_swept_parameters
    flat = [flattened(params) for params in sets]
    names = {name for params in flat for name in params}
    varied = sorted(n for n in names if len({canonical_hash({"value": params.get(n)}) for params in flat}) > 1)
    if allowed is not None and len(varied) > allowed:
        raise SettingsError(
            f"{sweep}: varies {len(varied)} parameters ({', '.join(varied)}); the family {strategy.family.name} of "
            f"{strategy.strategy_id} allows {allowed}. Fix some of them in `params`."
        )


def _validated(strategy: type[Strategy], params: Mapping[str, Any]) -> tuple[Params | None, str]:
    try:
        return strategy.Params.model_validate(dict(params)), ""
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'params'}: {item['msg']} (value {item['input']!r})"
            for item in error.errors()
        )
        return None, f"{strategy.strategy_id} refuses these parameters: {details}"
