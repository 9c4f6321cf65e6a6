"""Kill rules: every reason why a run may not be promoted: value, threshold, a sentence, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from argus_core.evaluation.kill_rules import RULES, KillReason
from argus_core.settings import (
    EvaluationSettings,
    ExperimentSettings,
    KillThresholds,
    SettingsError,
    read_yaml,
)

#: Reasons that only ``evaluation.deploy_gates`` switches on.
DEPLOY_GATES = frozenset({"slippage_sensitivity", "walk_forward_penalty", "reality_check_failed", "error_budget"})


def resolve_thresholds(
    settings: EvaluationSettings, experiment: ExperimentSettings, *, overrides: Mapping[str, Any] | None = None
) -> KillThresholds:
    """Thresholds in force: defaults, then ``experiment.mc_kill_thresholds``, then the config, then ``overrides``.

    Each layer overrides key by key; a key that a later layer sets to null switches that reason off.

    Raises:
        SettingsError: on an unknown key or a wrong value in ``overrides``.
    """
    monte_carlo = experiment.mc_kill_thresholds.model_dump() if experiment.mc_bootstrap else {}
    values = KillThresholds().model_dump() | {f"mc_{name}": value for name, value in monte_carlo.items()}
    values |= {name: getattr(settings.kill_thresholds, name) for name in settings.kill_thresholds.model_fields_set}
    if overrides is not None:
        KillThresholds.parse(overrides, source="kill threshold overrides")
        values |= dict(overrides)
    thresholds = KillThresholds.parse(values, source="kill thresholds")
    _check_custom(thresholds)
    return thresholds


def _check_custom(thresholds: KillThresholds) -> None:
    from argus_core.experiments.rows import RUN_SCHEMA

    numeric = [*sorted(n for n, kind in RUN_SCHEMA.items() if kind.is_numeric()), "dsr", "joint_p", "pbo", "psr"]
    for name, limit in thresholds.custom.items():
        if name not in numeric:
            raise SettingsError(
                f"kill thresholds: custom.{name} is no number of the run table. Numbers: {', '.join(numeric)}."
            )
        if limit.min is None and limit.max is None:
            raise SettingsError(f"kill thresholds: custom.{name} has neither min nor max. Give one, or leave it out.")


def read_thresholds(path: Path) -> dict[str, Any]:
    """Read and check a threshold file (YAML mapping of threshold names; null switches a reason off).

    Raises:
        SettingsError: naming file, key, value and what is allowed.
    """
    document = read_yaml(path)
    KillThresholds.parse(document, source=str(path))
    return document


def kill_reasons(
    run: Mapping[str, Any],
    components: Mapping[str, float],
    score: float | None,
    thresholds: KillThresholds,
    *,
    deploy_gates: bool,
) -> list[KillReason]:
    """Reasons that apply to one run row extended by dsr, min_track_record, joint_p, critical_t, t_value and pbo.

    A run that did not finish has that as its only reason: nothing else about it was measured.
    """
    if run.get("lookahead_ok") is False:
        detail = str(run.get("lookahead_detail") or "decisions changed when the future was cut off or perturbed")
        return [
            KillReason(
                "lookahead",
                0.0,
                1.0,
                f"It sees the future: {detail}.",
                "Use only values of the row itself and of rows before it; then run the proof again.",
            )
        ]
    if run.get("status") != "ok":
        status = str(run.get("status") or "unknown")
        return [
            KillReason(
                "run_failed",
                None,
                None,
                f"The run did not finish ({status}): {run.get('reason') or 'no reason was recorded'}.",
                "Fix what the reason names and run it again; until then it counts as a trial without profit.",
            )
        ]
    reasons = [found for rule in RULES if (found := rule(run, components, score, thresholds)) is not None]
    return [r for r in reasons if deploy_gates or r.reason not in DEPLOY_GATES]
