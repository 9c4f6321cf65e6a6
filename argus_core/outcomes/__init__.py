"""The label engine: what happened after every bar, per horizon."""

from argus_core.outcomes.engine import OUTCOME_SCHEMA, compute_outcomes, sessions_ahead

__all__ = ["OUTCOME_SCHEMA", "compute_outcomes", "sessions_ahead"]
