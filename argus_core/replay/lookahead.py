"""Proof that a strategy does not look ahead: cut the future off, then change it; nothing before may move.

The engines already hide the future from callbacks, but a columnar strategy receives the whole frame, and any strategy
can keep state between runs or read files. Every run of the proof therefore starts from freshly executed code, and what
that code opens is recorded (`isolation`). Decisions are compared, not trades: they come before any fill, so delayed
entries, resting orders and own positions raise no false alarm. A proof by examples finds a leak that shows at its
cuts; it cannot show that no leak exists.
"""

from argus_core.replay.lookahead_callback import Scene, prove_callback, prove_no_lookahead_callback
from argus_core.replay.lookahead_columns import prove_no_lookahead
from argus_core.replay.lookahead_verdict import LookaheadProof
from argus_core.replay.perturbation import perturb_future

__all__ = [
    "LookaheadProof",
    "Scene",
    "perturb_future",
    "prove_callback",
    "prove_no_lookahead",
    "prove_no_lookahead_callback",
]
