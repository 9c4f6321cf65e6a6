"""Judge strategies: composite score, kill rules, the joint test over every trial, rankings and candidates."""

from argus_core.evaluation.documents import rankings_document, write_document, write_json
from argus_core.evaluation.error_budget import ERROR_BUDGET_SCHEMA
from argus_core.evaluation.joint import BENCHMARK_STRATEGY
from argus_core.evaluation.kill import KillReason, read_thresholds, resolve_thresholds
from argus_core.evaluation.verdict import (
    CANDIDATE_SCHEMA,
    KILLED_SCHEMA,
    RANKING_SCHEMA,
    Evaluation,
    evaluate,
)

__all__ = [
    "BENCHMARK_STRATEGY",
    "CANDIDATE_SCHEMA",
    "ERROR_BUDGET_SCHEMA",
    "KILLED_SCHEMA",
    "RANKING_SCHEMA",
    "Evaluation",
    "KillReason",
    "evaluate",
    "rankings_document",
    "read_thresholds",
    "resolve_thresholds",
    "write_document",
    "write_json",
]
