"""The lookahead proof of a strategy within a cycle: its base parameters and a few combinations of its sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argus_core.experiments.plan import Trial, TrialGroup
from argus_core.experiments.replays import Market, replay_instance
from argus_core.replay.lookahead import LookaheadProof, Scene, prove_callback, prove_no_lookahead
from argus_core.strategies.interface import CallbackStrategy, ColumnarStrategy, Strategy


@dataclass(frozen=True)
class Verdict:
    """Whether a strategy was proved not to look ahead; None: the proof itself could not be run. In words."""

    ok: bool | None
    detail: str


#: Combinations of the sweep that are proved beside the base parameters. A callback costs a whole replay per cut, and
#: the engine already hides the future from it: one is enough.
SAMPLED_LANES, SAMPLED_CALLBACKS = 2, 1


def prove_group(group: TrialGroup, market: Market, trials: Sequence[Trial], cuts: int, seed: int) -> Verdict | None:
    """Prove a strategy once; the verdict holds for all its runs. One look into the future condemns the class.

    Args:
        trials: those that were replayed; the sample are the smallest run ids, which is as good as random.

    Returns:
        None where there is nothing to prove: no parameter set ran.
    """
    count = SAMPLED_LANES if issubclass(group.strategy, ColumnarStrategy) else SAMPLED_CALLBACKS
    sampled = [trial.model for trial in sorted(trials, key=lambda trial: trial.run_id)[:count]]
    if not sampled:
        return None
    candidates = [*group.proof_params, *sampled]
    tried = [params for i, params in enumerate(candidates) if params not in candidates[:i]]
    detail = ""
    for params in tried:
        try:
            proof = prove(group.strategy, params, market, cuts, seed)
        except Exception as error:  # a strategy that breaks on less data has not been proved
            return Verdict(None, f"raises {type(error).__name__} on truncated or changed data: {error} ({params})")
        detail = proof.detail
        if not proof.ok:
            return Verdict(False, f"{detail} (parameters {params})")
    return Verdict(True, f"{len(tried)} parameter sets; {detail}")


def prove(strategy: type[Strategy], params: Any, market: Market, cuts: int, seed: int) -> LookaheadProof:
    """The proof of one parameter set, whichever interface the strategy has."""
    if issubclass(strategy, ColumnarStrategy):
        return prove_no_lookahead(strategy, params, market.frame, cuts=cuts, seed=seed)
    assert issubclass(strategy, CallbackStrategy)

    # Without the data: a strategy that climbs the stack must find those of its run only.
    bars = {name: reference.frame for name, reference in market.references.items()}
    terms = market.seeing(market.frame.clear(), None, {name: frame.clear() for name, frame in bars.items()})

    def replay(instance: CallbackStrategy, scene: Scene) -> object:
        return replay_instance(instance, terms.seeing(scene.frame, scene.options, scene.references))

    scene = Scene(market.frame, market.options, bars)
    return prove_callback(strategy, params, scene, replay, cuts=cuts, seed=seed)
