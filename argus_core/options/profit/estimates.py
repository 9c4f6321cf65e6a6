"""A number about a position's profit together with how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import polars as pl

#: Q: risk-neutral, drift r - q and priced parameters. P: physical, someone's drift and variance premium.
Measure = Literal["Q", "P"]


@dataclass(frozen=True)
class Provenance:
    """How numbers were made.

    Attributes:
        measure: the law under which the numbers are true.
        monitoring: when the position is looked at; ``expiry`` for terminal numbers.
        scheme: the method, in words.
        parameter_hash: of the model's parameters; None for a law without a model.
        chain_hash: of the quotes behind them; None where none were used.
        seed: of simulated numbers; None for analytic ones.
    """

    measure: Measure
    monitoring: str
    scheme: str
    parameter_hash: str | None = None
    chain_hash: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Estimate:
    """One number: ``standard_error`` is None where it is analytic, ``error_bound`` None where it is simulated.

    ``reason`` tells why the value is NaN; None where it is not.
    """

    name: str
    value: float
    analytic: bool
    standard_error: float | None
    error_bound: float | None
    provenance: Provenance
    reason: str | None = None


def estimates_frame(estimates: Sequence[Estimate]) -> pl.DataFrame:
    """One row per estimate, the provenance as columns; NaN becomes null."""
    rows = []
    for estimate in estimates:
        row = asdict(estimate)
        rows.append(row | row.pop("provenance"))
    schema = {
        "name": pl.String,
        "value": pl.Float64,
        "analytic": pl.Boolean,
        "standard_error": pl.Float64,
        "error_bound": pl.Float64,
        "measure": pl.String,
        "monitoring": pl.String,
        "scheme": pl.String,
        "parameter_hash": pl.String,
        "chain_hash": pl.String,
        "seed": pl.Int64,
        "reason": pl.String,
    }
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col("value").fill_nan(None))
