"""Votes of regime methods: thresholds, abstention, and that no method alone decides."""

from __future__ import annotations

from itertools import permutations, product

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_core.regimes.votes import change_vote, combine_votes, rule_vote, state_vote
from argus_core.settings import ModelRegimeSettings

SETTINGS = ModelRegimeSettings()
METHODS = ("a", "b", "c", "d")
ANY_VOTE = st.sampled_from([1, -1, 0, None])


def verdict(*votes: int | None, agreeing: int = 2) -> tuple[str, float]:
    frame = pl.DataFrame(
        {name: [vote] for name, vote in zip(METHODS, votes, strict=False)},
        schema={name: pl.Int8() for name in METHODS[: len(votes)]},
    )
    settings = ModelRegimeSettings(min_agreeing=agreeing)
    return frame.select(combine_votes(frame.columns, settings)).row(0)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((1, 1, 1), ("TURBULENT", 1.0)),
        ((1, 1, -1), ("TURBULENT", 2 / 3)),
        ((-1, None, -1), ("CALM", 2 / 3)),
        ((0, 0, 1), ("NEITHER", 2 / 3)),
        ((1, -1, 0), ("MIXED", 0.0)),
        ((1, -1, None), ("MIXED", 0.0)),
        ((1, None, None), ("UNKNOWN", 0.0)),
        ((None, None, None), ("UNKNOWN", 0.0)),
        ((1, 1, -1, -1), ("MIXED", 0.0)),
    ],
)
def test_the_verdict_and_its_confidence(votes, expected):
    name, confidence = verdict(*votes)
    assert name == expected[0]
    assert confidence == pytest.approx(expected[1])


def test_no_method_alone_moves_the_verdict_to_a_side():
    """Whatever one method says, the others' verdict never turns from one side to the other."""
    for others in product([1, -1, 0, None], repeat=2):
        sides = {verdict(*others, own)[0] for own in (1, -1, 0, None)}
        assert not {"TURBULENT", "CALM"} <= sides or set(others) == {1, -1}
    for own in (1, -1, 0):
        assert verdict(own, None, None)[0] == "UNKNOWN"


@given(st.lists(ANY_VOTE, min_size=2, max_size=4))
def test_methods_are_equal_and_sides_symmetric(votes):
    found = verdict(*votes)
    assert {verdict(*order) for order in permutations(votes)} == {found}
    mirrored = {"TURBULENT": "CALM", "CALM": "TURBULENT"}.get(found[0], found[0])
    assert verdict(*(None if v is None else -v for v in votes)) == (mirrored, found[1])
    assert 0 <= found[1] <= 1
    assert (found[1] > 0) == (found[0] in ("TURBULENT", "CALM", "NEITHER"))


@given(st.lists(ANY_VOTE, min_size=3, max_size=4))
def test_asking_for_more_agreement_never_makes_a_verdict(votes):
    if verdict(*votes)[0] in ("MIXED", "UNKNOWN"):
        assert verdict(*votes, agreeing=3)[0] in ("MIXED", "UNKNOWN")


def test_more_agreement_than_methods_is_refused():
    with pytest.raises(ValueError, match="min_agreeing is 3, but only 2"):
        verdict(1, 1, agreeing=3)
    with pytest.raises(ValueError, match="min_agreeing"):
        ModelRegimeSettings(min_agreeing=1)


def column(expression: pl.Expr, **values: list[object]) -> list[int | None]:
    return pl.DataFrame(values, strict=False).select(expression.alias("v"))["v"].to_list()


def test_thresholds_of_the_rules():
    found = column(
        rule_vote(pl.col("low"), pl.col("high"), SETTINGS),
        low=[0.1, 0.5, 0.4, 0.5, None],
        high=[0.5, 0.1, 0.4, 0.5, 0.9],
    )
    assert found == [1, -1, 0, 0, None]


def test_thresholds_of_the_change_points():
    found = column(change_vote(pl.col("x"), SETTINGS), x=[0.35, 0.34, -0.34, -0.35, None])
    assert found == [1, 0, 0, -1, None]


def test_thresholds_of_the_hidden_states():
    found = column(
        state_vote(pl.col("p"), pl.col("ratio"), pl.col("stable"), SETTINGS),
        p=[0.7, 0.3, 0.5, 0.99, 0.99, 0.99, None],
        ratio=[2.0, 2.0, 2.0, 1.2, 2.0, None, 2.0],
        stable=[True, True, True, True, False, True, True],
    )
    assert found == [1, -1, 0, None, None, None, None]
