"""Strategies that cheat on purpose, each in another way, to show what the lookahead proof convicts. Never research.

``argus lookahead argus_core.strategies.cheaters:NegativeShift`` proves one of them; docs/replay.md lists all.
"""

from argus_core.strategies.cheaters.callbacks import FutureQuote, PackReader, RunMemory, StolenFrame
from argus_core.strategies.cheaters.columns import (
    BackwardFill,
    CentredWindow,
    ClassMemory,
    EndOfData,
    FullSampleScaling,
    FutureStop,
    LastRowPeek,
    NegativeShift,
    PeekWithAlibi,
    SameBarRegime,
    SameDayClose,
    UnclosedBar,
    UnreleasedOutcome,
    WholePackFit,
    WholePackRank,
)

__all__ = [
    "BackwardFill",
    "CentredWindow",
    "ClassMemory",
    "EndOfData",
    "FullSampleScaling",
    "FutureQuote",
    "FutureStop",
    "LastRowPeek",
    "NegativeShift",
    "PackReader",
    "PeekWithAlibi",
    "RunMemory",
    "SameBarRegime",
    "SameDayClose",
    "StolenFrame",
    "UnclosedBar",
    "UnreleasedOutcome",
    "WholePackFit",
    "WholePackRank",
]
