"""One verdict of several regime methods on one question: is the market turbulent, calm, or neither?

Every method votes +1 (turbulent: volatility above its usual level), -1 (calm) or 0 (neither), or abstains (null) where
it does not know. The verdict needs ``min_agreeing`` methods on its side, two at least, and more on it than on any
other: no method alone decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from argus_core.settings import ModelRegimeSettings

TURBULENT, CALM, NEITHER, MIXED, UNKNOWN = "TURBULENT", "CALM", "NEITHER", "MIXED", "UNKNOWN"


def rule_vote(calm_share: pl.Expr, wild_share: pl.Expr, settings: ModelRegimeSettings) -> pl.Expr:
    """Vote of the rule regimes: shares of a session's warm bars that are LOW, and HIGH or SPIKE; null: none is warm."""
    return (
        pl.when(calm_share.is_null() | wild_share.is_null())
        .then(None)
        .when((wild_share >= settings.rule_share) & (wild_share > calm_share))
        .then(1)
        .when((calm_share >= settings.rule_share) & (calm_share > wild_share))
        .then(-1)
        .otherwise(0)
        .cast(pl.Int8)
    )


def change_vote(level: pl.Expr, settings: ModelRegimeSettings) -> pl.Expr:
    """Vote of the change points: the expected level of log squared returns since the last change, standardised."""
    return (
        pl.when(level.is_null())
        .then(None)
        .when(level >= settings.change_level)
        .then(1)
        .when(level <= -settings.change_level)
        .then(-1)
        .otherwise(0)
        .cast(pl.Int8)
    )


def state_vote(probability: pl.Expr, ratio: pl.Expr, stable: pl.Expr, settings: ModelRegimeSettings) -> pl.Expr:
    """Vote of the hidden states: the filtered probability of the state of high variance.

    Abstains where the states' volatilities are too near (``ratio``) or labels swapped between refits (not ``stable``).
    """
    known = probability.is_not_null() & stable.fill_null(value=False) & (ratio >= settings.min_state_ratio)
    return (
        pl.when(~known.fill_null(value=False))
        .then(None)
        .when(probability >= settings.high_probability)
        .then(1)
        .when(probability <= 1 - settings.high_probability)
        .then(-1)
        .otherwise(0)
        .cast(pl.Int8)
    )


def combine_votes(votes: Sequence[str], settings: ModelRegimeSettings) -> list[pl.Expr]:
    """Columns ``model_vote`` and ``model_confidence`` of the vote columns named (+1, 0, -1 or null).

    ``model_vote``: TURBULENT, CALM or NEITHER where at least ``min_agreeing`` methods say so and more than say anything
    else; MIXED where enough vote and none has it; UNKNOWN where fewer than ``min_agreeing`` vote at all.
    ``model_confidence``: share of **all** methods, abstaining ones included, that agree with the verdict; 0 for MIXED
    and UNKNOWN.

    Raises:
        ValueError: if there are fewer methods than must agree.
    """
    if len(votes) < settings.min_agreeing:
        raise ValueError(
            f"model_regimes.min_agreeing is {settings.min_agreeing}, but only {len(votes)} methods vote: {list(votes)}."
        )
    side = {
        name: pl.sum_horizontal([(pl.col(v) == value).fill_null(value=False).cast(pl.Int32) for v in votes])
        for name, value in ((TURBULENT, 1), (CALM, -1), (NEITHER, 0))
    }
    heard = pl.sum_horizontal([pl.col(v).is_not_null().cast(pl.Int32) for v in votes])
    verdict, agreeing = (
        pl.when(heard < settings.min_agreeing).then(pl.lit(UNKNOWN)),
        pl.when(pl.lit(value=False)).then(0),
    )
    for name, count in side.items():
        others = pl.max_horizontal([other for key, other in side.items() if key != name])
        won = (count >= settings.min_agreeing) & (count > others)
        verdict, agreeing = verdict.when(won).then(pl.lit(name)), agreeing.when(won).then(count)
    return [
        verdict.otherwise(pl.lit(MIXED)).alias("model_vote"),
        (agreeing.otherwise(0) / len(votes)).alias("model_confidence"),
    ]
